//! What is generated from the program itself: completions, man page, and the documents that lie in the repository.

use crate::admin::completion;
use crate::config::reference;
use crate::plan::recipes::REFERENCE;
use crate::terminal::failed::Failed;
use crate::terminal::printing;
use anyhow::Context;
use clap_complete::Shell;
use std::fmt::Write as _;
use std::path::Path;

const NAME: &str = "durhack-deployer";

pub fn completions(shell: Shell) -> Result<(), Failed> {
    printing::text(&completion::script(shell)?);
    Ok(())
}

pub fn man() -> Result<(), Failed> {
    printing::text(&man_page()?);
    Ok(())
}

/// One page for all: subcommands are named in it as they are typed, not as pages of their own, which there are none of.
fn man_page() -> Result<String, Failed> {
    let mut page = Vec::new();
    clap_mangen::Man::new(super::command()).render(&mut page).context("cannot make the man page")?;
    let page = String::from_utf8_lossy(&page);
    let line = |line: &str| {
        let subcommand = line.strip_prefix(r"durhack\-deployer\-").and_then(|rest| rest.strip_suffix("(1)"));
        subcommand.map_or_else(|| line.to_owned(), |name| format!(r"\fBdurhack\-deployer {name}\fR"))
    };
    Ok(page.lines().map(|text| line(text) + "\n").collect())
}

/// `__generate`: everything that is generated and committed.
pub fn all(root: &Path) -> Result<(), Failed> {
    let write = |path: &str, text: &str| -> anyhow::Result<()> {
        let path = root.join(path);
        fs_err::create_dir_all(path.parent().unwrap_or(root))?;
        Ok(fs_err::write(path, text)?)
    };
    write("docs/configuration.md", &reference::reference_file(&REFERENCE))?;
    let schema =
        serde_json::to_string_pretty(&reference::json_schema(&REFERENCE)).context("the schema serialises")?;
    write("docs/configuration.schema.json", &format!("{schema}\n"))?;
    write("docs/cli.md", &command_line_reference())?;
    write("packaging/man/durhack-deployer.1", &man_page()?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        write(&format!("packaging/completions/{NAME}.{shell}"), &completion::script(shell)?)?;
    }
    Ok(())
}

/// Every subcommand's help, in one document.
fn command_line_reference() -> String {
    let mut text = String::from(
        "# Command line\n\nGenerated from the program by `cargo xtask generate`. What `--json` prints is in [json.md](json.md).\n",
    );
    let mut root = super::command().term_width(100);
    root.build();
    append(&mut text, &mut root);
    text
}

fn append(text: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or(NAME).to_owned();
    let help = command.render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    let visible = |command: &&mut clap::Command| !command.is_hide_set() && command.get_name() != "help";
    for subcommand in command.get_subcommands_mut().filter(visible) {
        append(text, subcommand);
    }
}

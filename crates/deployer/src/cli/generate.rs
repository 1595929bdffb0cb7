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
    write("docs/reference/configuration.md", &reference::reference_file(&REFERENCE))?;
    let schema =
        serde_json::to_string_pretty(&reference::json_schema(&REFERENCE)).context("the schema serialises")?;
    write("docs/reference/configuration.schema.json", &format!("{schema}\n"))?;
    write("docs/reference/cli.md", &command_line_reference())?;
    write("packaging/man/durhack-deployer.1", &man_page()?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        write(&format!("packaging/completions/{NAME}.{shell}"), &completion::script(shell)?)?;
    }
    Ok(())
}

/// `__parse`: what the real parser says of the command lines that documents show, for `cargo xtask check`.
///
/// Prints a JSON list with an entry for each line of the file: null where it can be typed, else the kind and the text of clap's error.
/// Fails where the file cannot be read or is no list of lists of words.
pub fn parse(file: &Path) -> Result<(), Failed> {
    let text = fs_err::read_to_string(file).context("cannot read the command lines")?;
    let lines: Vec<Vec<String>> =
        serde_json::from_str(&text).context("the command lines are no lists of words")?;
    let judged: Vec<serde_json::Value> = lines.into_iter().map(|words| judge(words).into()).collect();
    printing::text(&format!("{}\n", serde_json::Value::from(judged)));
    Ok(())
}

fn judge(words: Vec<String>) -> Option<serde_json::Value> {
    let error = super::command().try_get_matches_from(words).err().filter(clap::Error::use_stderr)?;
    let text = error.to_string();
    Some(serde_json::json!({
        "kind": format!("{:?}", error.kind()),
        "text": text.lines().next().unwrap_or_default().trim_start_matches("error: "),
    }))
}

/// What stands above the subcommands in their document.
const COMMAND_LINE_HEAD: &str = "\
# Command line

<!-- Generated from the program by `cargo xtask generate`. Do not edit. -->

Each command with its help. What `--json` prints is in [JSON](json.md); words are in the [glossary](../glossary.md).

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | it did not succeed: the run failed, the configuration has errors; `status` and `doctor`: something is wrong |
| 2 | the command line cannot be parsed |
| 3 | there is no such deployment, run, delivery or entry |
| 4 | the database or the daemon is unavailable; the same command may succeed later |
";

/// Every subcommand's help, in one document.
fn command_line_reference() -> String {
    let mut text = String::from(COMMAND_LINE_HEAD);
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

#[cfg(test)]
mod tests {
    use super::judge;

    fn kind(line: &str) -> Option<String> {
        let judged = judge(line.split(' ').map(str::to_owned).collect())?;
        judged["kind"].as_str().map(str::to_owned)
    }

    #[test]
    fn a_line_that_can_be_typed_is_right_and_any_other_has_its_kind() {
        for (line, expected) in [
            ("durhack-deployer deploy SLUG --force", None),
            ("durhack-deployer --help", None),
            ("durhack-deployer deploy SLUG --hard", Some("UnknownArgument")),
            ("durhack-deployer launch", Some("InvalidSubcommand")),
            ("durhack-deployer explain", Some("MissingRequiredArgument")),
        ] {
            assert_eq!(kind(line).as_deref(), expected, "{line}");
        }
    }
}

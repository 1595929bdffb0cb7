//! For tests of recipes: the plan of a deployment, as a list that a person can read.

use super::{REFERENCE, plan};
use crate::base::names::CommitId;
use crate::config::recipe::Reference;
use crate::config::{Config, Environment, Layout, Privileges, load};
use crate::git::commit_tree::{File, Tree};
use crate::plan::Action;
use crate::plan::facts::{Facts, PlanPurpose, Target};
use std::fmt::Write as _;
use std::path::Path;

/// A host with one deployment, at `/srv/app`, with these further keys.
fn host(reference: &Reference, keys: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    fs_err::create_dir(directory.path().join("config")).unwrap();
    let text = format!(
        "[deployments.app]\nrepository = \"acme/app\"\nbranch = \"main\"\npath = \"/srv/app\"\n{keys}\n"
    );
    fs_err::write(directory.path().join("config/default.toml"), text).unwrap();
    let variables = [("DEPLOYER_WEBHOOK_SECRET", "a-secret-that-is-long-enough")];
    let loaded =
        load(reference, None, &Environment::new(variables, directory.path()), crate::config::Purpose::Serve);
    loaded.unwrap_or_else(|problems| panic!("{problems}")).config
}

fn target(digit: char, layout: Layout) -> Target {
    let commit = CommitId::parse(&digit.to_string().repeat(40)).unwrap();
    let directory = match layout {
        Layout::Releases => format!("/srv/app/releases/{digit}").into(),
        Layout::InPlace => "/srv/app".into(),
    };
    Target { commit, release: digit.to_string(), directory }
}

/// The steps of deploying commit 2 of these files where commit 1 is live, and how each is undone.
pub fn steps(keys: &str, layout: Layout, files: &[&str]) -> String {
    with_facts(keys, layout, files, |facts| {
        let mut shown = String::new();
        for step in plan(facts).steps {
            writeln!(shown, "{} {}: {}", step.phase.as_str(), step.name, in_words(&step.action)).unwrap();
            for undo in step.undo {
                writeln!(shown, "  back: {}", in_words(&undo.action)).unwrap();
            }
        }
        shown
    })
}

/// Gives a test the facts of that.
pub fn with_facts<T>(keys: &str, layout: Layout, files: &[&str], test: impl FnOnce(&Facts<'_>) -> T) -> T {
    with_facts_of(&REFERENCE, keys, layout, files, test)
}

/// The same where these are the recipes.
pub fn with_facts_of<T>(
    reference: &Reference,
    keys: &str,
    layout: Layout,
    files: &[&str],
    test: impl FnOnce(&Facts<'_>) -> T,
) -> T {
    let host = host(reference, keys);
    let (_, deployment) = host.deployments.first().expect("it is without error");
    let file = File { mode: "100644".into(), content: "a".into(), bytes: Some(1) };
    let tree = Tree::new(files.iter().map(|path| ((*path).to_owned(), file.clone())));
    test(&Facts {
        deployment,
        layout,
        privileges: Privileges::Direct,
        host: &host,
        configuration: Path::new("/srv/config"),
        working_directory: Path::new("/srv"),
        forced: false,
        tree: &tree,
        kept: &[],
        instance: "",
        run: "run",
        target: target('2', layout),
        live: Some(target('1', layout)),
        purpose: PlanPurpose::Deploy,
    })
}

fn in_words(action: &Action) -> String {
    match action {
        Action::Command(command) => format!("[{}] {}", command.directory.display(), command.line.shown()),
        other => other.shown(),
    }
}

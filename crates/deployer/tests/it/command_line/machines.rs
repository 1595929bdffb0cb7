//! `--json`: what is documented is what is printed, and errors are JSON too.

use crate::support::process::describe;
use crate::support::world::World;
use serde_json::Value;
use std::collections::BTreeSet;

/// What `docs/reference/json.md` says of a command: each key, and whether it is always there.
fn documented(command: &str) -> Vec<(String, bool)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/json.md");
    let page = fs_err::read_to_string(file).expect("the page is in the repository");
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("`{command}`\n")));
    let section = section.unwrap_or_else(|| panic!("docs/reference/json.md has no section `{command}`"));
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(key, meaning)| (key.to_owned(), !meaning.starts_with("*sometimes*"))).collect()
}

fn keys_of(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                keys_of(value, &path, found);
                found.insert(path);
            }
        }
        Value::Array(entries) => entries.iter().for_each(|entry| keys_of(entry, &format!("{path}[]"), found)),
        _ => {}
    }
}

/// Whether a documented key stands for this one: as it is, or by the `*` at its end.
fn covers(documented: &str, key: &str) -> bool {
    match documented.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => documented == key,
    }
}

#[test]
fn the_keys_that_are_printed_are_those_that_are_documented() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let line = "test ! -e broken || { echo 'error: it is broken'; exit 1; }";
        world.configure(&[world.deployment("site", &repository).step("build", "compile", line)]);
        world.start();
        let good = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &good);
        let bad = repository.commit(&[("broken", "")], "second");
        let guid = world.push(&repository, &bad);
        world.ended_run("site", &bad);
        world.wait_for_verdict(&guid, "failed");
        let spool = world.spool("main");
        fs_err::write(spool.join("bad/00000000000000000001-a.json"), "{}").expect("the spool is writable");

        for (command, further) in [
            ("status", &[][..]),
            ("runs", &[]),
            ("run", &["site"]),
            ("deliveries", &[]),
            ("explain", &["site"]),
            ("plan", &["site"]),
            ("queue", &[]),
            ("doctor", &[]),
            ("config check", &[]),
            ("config show", &[]),
            ("migrate status", &[]),
            ("simulate push", &["site"]),
        ] {
            let words: Vec<&str> =
                command.split(' ').chain(further.iter().copied()).chain(["--json"]).collect();
            let output = world.cli(&words);
            let printed: Value = serde_json::from_slice(&output.stdout)
                .unwrap_or_else(|error| panic!("{command}: {error}: {}", describe(&output)));
            let mut keys = BTreeSet::new();
            keys_of(&printed, "", &mut keys);
            let documented = documented(command);
            for key in &keys {
                let is_documented = documented.iter().any(|(name, _)| covers(name, key));
                assert!(
                    is_documented,
                    "`{command} --json` prints {key}, of which docs/reference/json.md says nothing"
                );
            }
            for (name, is_always_there) in &documented {
                let is_there = keys.iter().any(|key| covers(name, key));
                assert!(
                    is_there || !is_always_there,
                    "`{command} --json` does not print {name}: {printed:#}"
                );
            }
        }
    });
}

/// Every subcommand that knows `--json` is in the page.
#[test]
fn each_command_with_json_has_its_keys_documented() {
    fn look(command: &clap::Command, path: &str) {
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let path = format!("{path} {}", subcommand.get_name()).trim().to_owned();
            let prints_json = subcommand.get_arguments().any(|argument| argument.get_id() == "json");
            if let Some(of_hooks) = path.strip_prefix("webhook ").filter(|_| prints_json) {
                let section =
                    "webhook list, show, create, ping, test, deliveries, redeliver, rotate-secret, delete";
                assert!(section.contains(of_hooks), "{path}");
                documented(section);
            } else if path == "setup" {
                documented("setup --from, --back");
            } else if prints_json && !path.starts_with("queue ") {
                documented(&path);
            }
            look(subcommand, &path);
        }
    }
    look(&durhack_deployer::cli::command(), "");
}

#[test]
fn errors_are_json_where_json_was_asked_for() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        for (arguments, code) in [
            (&["run", "nothing", "--json"][..], 3),
            (&["explain", "nothing", "--json"], 3),
            (&["plan", "no-such", "--json"], 3),
            (&["plan", "site", "--commit", "xyz", "--json"], 2),
            (&["runs", "--no-such-option", "--json"], 2),
            (&["run", "--json"], 2),
            (&["simulate", "push", "site", "--json"], 3),
        ] {
            let output = world.cli(arguments);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", describe(&output));
            assert!(output.stdout.is_empty(), "{arguments:?}: {}", describe(&output));
            let lines = String::from_utf8_lossy(&output.stderr).into_owned();
            let documents: Vec<Value> = lines
                .lines()
                .map(|line| {
                    serde_json::from_str(line)
                        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {line}"))
                })
                .collect();
            let error = &documents.last().expect("it says why")["error"];
            assert_eq!(error["exit_code"], code, "{arguments:?}: {lines}");
            let mut keys = BTreeSet::new();
            keys_of(error, "error", &mut keys);
            let page = documented_errors();
            assert_eq!(keys, page, "{arguments:?}");
            assert!(
                error["message"].as_str().is_some_and(|text| !text.is_empty() && !text.contains('\u{1b}'))
            );
        }
    });
}

fn documented_errors() -> BTreeSet<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/json.md");
    let page = fs_err::read_to_string(file).expect("the page is in the repository");
    let section = page.split("\n## ").find(|section| section.starts_with("Errors")).expect("it is there");
    let rows =
        section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    rows.collect()
}

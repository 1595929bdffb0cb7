//! The examples of each subcommand's help, in one place. A test holds that each has one and that each can be typed.

/// Behind a subcommand's path, lines of what is typed and what it is for.
const EXAMPLES: [(&str, &[(&str, &str)]); 41] = [
    (
        "demo",
        &[
            ("demo", "three pushes in a temporary directory"),
            ("demo --keep", "and look around in it afterwards"),
        ],
    ),
    (
        "init",
        &[
            ("init owner/name", "print a deployment for it"),
            ("init ./site --write /etc/durhack-deployer/site.toml", "write it"),
        ],
    ),
    (
        "setup",
        &[
            ("setup --dry-run", "what would be done"),
            ("setup --origin https://deploy.example.org", "do it, with a site of nginx"),
        ],
    ),
    (
        "move-user",
        &[("move-user web --dry-run", "what would be done"), ("move-user web", "give it a user of its own")],
    ),
    ("serve", &[("serve", "as the service does it"), ("--log debug serve", "and say more")]),
    ("listen", &[("listen", "one of the two processes")]),
    ("work", &[("work", "the other one")]),
    (
        "deploy",
        &[
            ("deploy web", "the branch's head"),
            ("deploy web --commit 0b989ba", "this commit"),
            ("deploy web --force", "although it is live"),
        ],
    ),
    (
        "rollback",
        &[
            ("rollback web", "what was live before"),
            ("rollback web --to 0b989ba", "the release of this commit"),
        ],
    ),
    (
        "adopt",
        &[
            ("adopt web --dry-run", "what would be done"),
            ("adopt web --finish", "move the rest of the old tree aside"),
        ],
    ),
    (
        "approve",
        &[("approve web", "the blocked commit"), ("approve web 0b989ba", "only if it is this commit")],
    ),
    (
        "unfreeze",
        &[
            ("unfreeze web", "this commit, once"),
            ("unfreeze web --until \"2026-12-23 18:00\"", "everything until then"),
        ],
    ),
    ("cancel", &[("cancel web", "its newest run"), ("cancel 1238456", "this run")]),
    (
        "status",
        &[
            ("status", "for people"),
            ("status web", "of one deployment"),
            ("status --json", "for a monitor; exit code 1: something is wrong"),
        ],
    ),
    ("runs", &[("runs", "of all deployments"), ("runs web -n 5", "the latest five of one")]),
    ("run", &[("run web", "its newest run"), ("run 1238456", "this one, by a short id of `runs`")]),
    ("logs", &[("logs web", "its newest run's"), ("logs web -f", "and go on while it runs")]),
    ("deliveries", &[("deliveries", "the latest"), ("deliveries -n 100 --json", "more of them, as JSON")]),
    ("explain", &[("explain web", "its newest delivery"), ("explain 0b989ba4", "this one")]),
    ("plan", &[("plan web", "of the branch's head"), ("plan web --commit 0b989ba", "of this commit")]),
    (
        "queue",
        &[("queue", "queued and dead-lettered entries"), ("queue retry 0b989ba4", "put an entry back")],
    ),
    ("queue list", &[("queue list", "of all spools"), ("queue list --json", "as JSON")]),
    (
        "queue retry",
        &[
            ("queue retry 0b989ba4", "the entry of this delivery"),
            ("queue retry web", "the only one of this spool"),
        ],
    ),
    ("queue drop", &[("queue drop 0b989ba4", "the entry of this delivery")]),
    ("simulate", &[("simulate push web", "as if GitHub reported a push")]),
    ("simulate push", &[("simulate push web", "as if GitHub reported a push")]),
    (
        "webhook",
        &[("webhook create", "the hooks that are missing"), ("webhook list", "those that are there")],
    ),
    ("doctor", &[("doctor", "for people"), ("doctor --json", "as JSON")]),
    ("config", &[("config check", "is it right?"), ("config show", "what is in force?")]),
    (
        "config check",
        &[
            ("config check", "what is wrong, if anything"),
            ("config check --no-secrets", "where secrets cannot be read"),
        ],
    ),
    ("config show", &[("config show", "with where each value comes from")]),
    ("config schema", &[("config schema", "for an editor")]),
    ("config reference", &[("config reference", "all keys")]),
    ("migrate", &[("migrate status", "what is applied"), ("migrate up", "apply the rest")]),
    ("migrate up", &[("migrate up", "apply what is missing")]),
    ("migrate check", &[("migrate check", "before an upgrade")]),
    ("migrate status", &[("migrate status", "what is applied")]),
    ("migrate trust", &[("migrate trust --yes", "after you have checked the rows")]),
    ("migrate down", &[("migrate down --steps 1", "the latest one")]),
    ("completions", &[("completions bash", "to be sourced by bash"), ("completions fish", "or fish")]),
    ("man", &[("man", "the page")]),
];

/// The same for `webhook`, whose subcommands are alike.
const OF_HOOKS: [(&str, &str, &str); 10] = [
    ("create", "web", "for one deployment's repository"),
    ("list", "", "of every configured repository"),
    ("show", "web", "and what is wrong with it"),
    ("ping", "web", "and see that it arrives"),
    ("test", "web", "the latest push once more"),
    ("deliveries", "web --failed", "what did not arrive"),
    ("redeliver", "--failed", "once more what did not arrive"),
    ("rotate-secret", "web", "without losing a push"),
    ("delete", "web --hook 12345", "this hook"),
    ("relay", "web", "to the daemon on this machine"),
];

const PROGRAM: &str = "durhack-deployer";

/// The examples of a subcommand, as they are typed.
fn of(path: &str) -> Vec<(String, String)> {
    let hooks = OF_HOOKS.iter().filter(|(name, ..)| path.strip_prefix("webhook ") == Some(name));
    let hooks = hooks
        .map(|(name, rest, what)| (format!("webhook {name} {rest}").trim().to_owned(), (*what).to_owned()));
    let found = EXAMPLES.iter().filter(|(name, _)| *name == path).flat_map(|(_, examples)| examples.iter());
    found.map(|(typed, what)| ((*typed).to_owned(), (*what).to_owned())).chain(hooks).collect()
}

/// Adds its examples to the help of each subcommand.
pub fn added(command: clap::Command, path: &str) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|found| found.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}").trim().to_owned();
        command.mut_subcommand(name, |subcommand| added(subcommand, &path))
    });
    let examples = of(path);
    if examples.is_empty() {
        return command;
    }
    let width = examples.iter().map(|(typed, _)| typed.len()).max().unwrap_or_default();
    let lines = examples.iter().map(|(typed, what)| format!("  {PROGRAM} {typed:<width$}  {what}"));
    command.after_help(format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(command: &clap::Command, path: &str, count: &mut usize) {
        for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
            let path = format!("{path} {}", subcommand.get_name()).trim().to_owned();
            let examples = of(&path);
            assert!(!examples.is_empty(), "`{path}` has no example");
            for (typed, _) in &examples {
                // A text in quotation marks is one word.
                let mut words = vec![PROGRAM.to_owned()];
                for (number, part) in typed.split('"').enumerate() {
                    match number % 2 {
                        0 => words.extend(part.split_whitespace().map(str::to_owned)),
                        _ => words.push(part.to_owned()),
                    }
                }
                let parsed = crate::cli::command().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{typed}: {}", parsed.unwrap_err());
                *count += 1;
            }
            look(subcommand, &path, count);
        }
    }

    #[test]
    fn each_subcommand_has_examples_that_can_be_typed() {
        let mut count = 0;
        look(&crate::cli::command(), "", &mut count);
        let all = EXAMPLES.iter().map(|(_, examples)| examples.len()).sum::<usize>() + OF_HOOKS.len();
        assert_eq!(count, all, "an example is of a subcommand that is not there");
    }
}

//! Outputs that cannot be written. No command may panic because of one, and none may stop in the middle of what it does.

use crate::support::process::{describe, output};
use crate::support::world::World;
use std::process::{Command, Output, Stdio};

/// What each subcommand is called with, so that it gets as far as to print something. Those that serve would never end: they are called
/// with a configuration that is not there.
fn arguments(path: &str) -> Option<&'static [&'static str]> {
    Some(match path {
        "demo" | "doctor" | "man" | "config check" | "config show" | "config schema" | "config reference" => {
            &[]
        }
        "status" | "runs" | "deliveries" | "queue list" | "migrate check" | "migrate up"
        | "migrate status" => &[],
        "serve" | "listen" | "work" => &["--config", "/no/such/directory"],
        "init" => &["acme/site"],
        "setup" => &["--dry-run"],
        "move-user" | "adopt" => &["site", "--dry-run"],
        "deploy" => &["site", "--force"],
        "rollback" | "run" | "logs" | "explain" | "plan" | "cancel" | "approve" | "unfreeze" | "release"
        | "simulate push" => &["site"],
        "queue retry" | "queue drop" => &["00000000000000000001-a.json"],
        "webhook create" | "webhook list" | "webhook show" | "webhook ping" | "webhook test"
        | "webhook deliveries" => &[],
        "webhook redeliver" => &["--failed"],
        "webhook rotate-secret" => &["acme/site"],
        "webhook delete" => &["acme/site", "--hook", "1"],
        "webhook relay" => &["acme/site", "--once"],
        "migrate trust" => &["--yes"],
        "migrate down" => &["--steps", "1"],
        "__parse" => &["status"],
        "completions" => &["bash"],
        "complete" => &["bash"],
        _ => return None,
    })
}

/// The subcommands that do something themselves, as clap has them, hidden ones among them.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for subcommand in command.get_subcommands() {
        let path = format!("{path} {}", subcommand.get_name()).trim().to_owned();
        if subcommand.has_subcommands() { leaves(subcommand, &path, found) } else { found.push(path) }
    }
}

fn full() -> Stdio {
    fs_err::File::options().write(true).open("/dev/full").expect("the kernel has it").into_parts().0.into()
}

fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().expect("descriptors are left");
    writer.into()
}

#[track_caller]
fn run(mut command: Command, what: &str) -> Output {
    let output = output(&mut command);
    let said = describe(&output);
    assert!(output.status.code().is_some_and(|code| code != 101), "{what}: {}\n{said}", output.status);
    assert!(!said.contains("panicked"), "{what}: {said}");
    output
}

#[test]
fn no_command_panics_where_its_output_is_full_or_closed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        for text in ["one", "two"] {
            let commit = repository.commit(&[("index.html", text)], text);
            world.start();
            world.deploy("site", &repository, &commit);
            world.stop();
        }
        let mut paths = Vec::new();
        leaves(&durhack_deployer::cli::command(), "", &mut paths);
        paths.retain(|path| path != "__generate");
        assert!(paths.len() > 30, "{paths:?}");
        for path in &paths {
            let words: Vec<&str> = path.split(' ').collect();
            let further = arguments(path)
                .unwrap_or_else(|| panic!("`{path}` is new: say in `arguments` what it is called with here"));
            let whole: Vec<&str> = words.iter().chain(further).copied().collect();
            let command = |words: &[&str]| {
                // Its own configuration stands in front, and may be given once.
                let mut command = world.product(&[]);
                let is_own = words.contains(&"--config");
                if is_own {
                    command = crate::support::process::command(&world.binary, world.root());
                }
                command.args(words).env("DEPLOYER_HEARTBEAT", "0");
                command
            };
            for words in [&whole, &[&words[..], &["--help"]].concat()] {
                let mut to_full = command(words);
                to_full.stdout(full());
                let to_full = run(to_full, &format!("{path} > /dev/full"));
                let mut to_closed = command(words);
                to_closed.stdout(closed());
                run(to_closed, &format!("{path} | head -0"));
                let mut unheard = command(words);
                unheard.stdout(full()).stderr(full());
                run(unheard, &format!("{path} > /dev/full 2>&1"));
                let heard = run(command(words), path);
                if !heard.stdout.is_empty() {
                    assert_ne!(to_full.status.code(), Some(0), "{path}: {}", describe(&to_full));
                    let said = String::from_utf8_lossy(&to_full.stderr).into_owned();
                    assert!(said.contains("cannot write to standard output"), "{path}: {said}");
                }
            }
        }
    });
}

/// What a command does matters more than what it says about it.
#[test]
fn a_deploy_is_done_although_nobody_can_read_about_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        let closed_output = output(world.product(&["deploy", "site"]).stdout(closed()));
        assert_eq!(closed_output.status.code(), Some(0), "{}", describe(&closed_output));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        assert_eq!(world.ended_run("site", &first).state, "succeeded");

        let second = repository.commit(&[("index.html", "two")], "second");
        let full_output = output(world.product(&["deploy", "site"]).stdout(full()));
        assert_eq!(full_output.status.code(), Some(4), "{}", describe(&full_output));
        assert_eq!(world.ended_run("site", &second).state, "succeeded");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

/// The log goes to standard error, which may be a file on a disk that is full.
#[test]
fn a_daemon_serves_although_its_log_cannot_be_written() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        let product = world.product(&["serve"]);
        let mut shell = crate::support::process::command("sh", world.root());
        shell
            .args(["-c", "exec \"$@\" > /dev/full 2>&1", "sh"])
            .arg(product.get_program())
            .args(product.get_args());
        shell.envs(product.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(world.root());
        assert!(world.launch(shell).is_none(), "it ended at start");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

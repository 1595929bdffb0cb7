//! What somebody stumbled over who used this for the first time, and would again if it came back.

use crate::support::github::Weather;
use crate::support::process::{command, describe, output};
use crate::support::world::World;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

/// What a subcommand says where the package has brought the services: in a mount namespace of its own.
#[track_caller]
fn said_where_installed(world: &World, arguments: &[&str]) -> String {
    let install = r#"
        mount -t tmpfs tmpfs /etc/systemd && mkdir /etc/systemd/system || exit
        : > /etc/systemd/system/durhack-deployer-worker.service
        exec "$0" "$@"
    "#;
    let mut namespace = command("unshare", world.root());
    namespace
        .args(["--mount", "sh", "-c", install])
        .arg(&world.binary)
        .arg("--config")
        .arg(&world.configuration);
    describe(&output(namespace.args(arguments)))
}

#[test]
fn a_push_that_github_is_needed_for_says_what_to_do_without_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.settings.set("source_networks", "\"github\"");
        world.configure(&[world.deployment("site", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        world.github.set_weather(Weather::Fails);
        world.start();
        let refused = world.cli(&["simulate", "push", "site"]);
        assert!(!refused.status.success());
        let said = describe(&refused);
        for advice in ["`source_networks = \"any\"`", "`durhack-deployer deploy site`"] {
            assert!(said.contains(advice), "{advice} in {said}");
        }
    });
}

#[test]
fn what_comes_next_is_said_as_it_is_done_on_an_installed_host() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        repository.commit(&[("index.html", "one")], "first");
        world.settings.remove("github.token");
        world.configure(&[]);
        let file = world.configuration.join("default.toml").display().to_string();
        let url = repository.clone_url();
        let said = said_where_installed(world, &["init", &url, "--write", &file]);
        assert!(said.contains("sudo durhack-deployer setup && durhack-deployer plan site"), "{said}");
        let said = said_where_installed(world, &["doctor"]);
        let advice = "put a token into /etc/durhack-deployer/credentials/github-token";
        assert!(said.contains(advice), "{said}");
    });
}

#[test]
fn mistakes_of_one_deployment_are_counted_and_said_of_that_one() {
    World::run(|world| {
        let [site, api] = ["site", "api"].map(|slug| world.repository(&format!("acme/{slug}")));
        // As `steps` have it.
        let broken = world.deployment("api", &api).with("health", "[{ run = [\"true\"] }]");
        world.configure(&[world.deployment("site", &site), broken]);
        site.commit(&[("index.html", "one")], "first");
        let said = |arguments: &[&str]| describe(&world.cli(arguments));
        let plan = said(&["plan", "site"]);
        assert!(plan.contains("would be deployed") && !plan.contains("deployments.api"), "{plan}");
        let check = said(&["config", "check"]);
        assert!(check.contains("a check says `command` where a step says `run`"), "{check}");
        world.configure(&[world.deployment("site", &site), world.deployment("api", &api).with("zebra", "1")]);
        let status = said(&["status"]);
        assert!(status.contains("the configuration has 1 error;"), "{status}");
    });
}

#[test]
fn whoever_may_not_ask_is_advised_one_thing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        for directory in [world.root(), &world.configuration] {
            fs_err::set_permissions(directory, Permissions::from_mode(0o755)).expect("it is ours");
        }
        world.drop_privileges();
        let hint = |arguments: &[&str]| {
            let said = describe(&world.cli(arguments));
            let hint = said.lines().find(|line| line.contains("hint:")).map(str::to_owned);
            hint.unwrap_or_else(|| panic!("{said}"))
        };
        let advice = hint(&["status"]);
        assert!(advice.contains("sudo") && advice.contains("durhack-deployer ..."), "{advice}");
        assert_eq!(hint(&["plan", "site"]), advice);
        let file = world.configuration.join("default.toml");
        fs_err::set_permissions(file, Permissions::from_mode(0o600)).expect("it is ours");
        for arguments in [&["status"][..], &["plan", "site"]] {
            let said = describe(&world.cli(arguments));
            assert!(said.contains("denied") && !said.contains("layers"), "nothing was read: {said}");
        }
    });
}

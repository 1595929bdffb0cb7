//! A new user's day: what is said at the beginning is true, and said once.

use crate::support::process::{command, describe};
use crate::support::wait;
use crate::support::world::World;
use std::path::Path;

#[test]
fn the_demonstration_links_to_where_its_daemon_listens() {
    let home = tempfile::tempdir().expect("a directory in /tmp");
    let mut demo = command(env!("CARGO_BIN_EXE_durhack-deployer"), home.path());
    let output =
        demo.current_dir(home.path()).env("TMPDIR", home.path()).arg("demo").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", describe(&output));
    let after = |mark: &str| {
        let (_, rest) = said.split_once(mark).unwrap_or_else(|| panic!("{mark}: {said}"));
        rest.split(['/', '"', '\n']).next().unwrap_or_default().to_owned()
    };
    let (daemon, linked) = (after("daemon  http://"), after("\"url\":\"http://"));
    assert_eq!(linked, daemon, "{said}");
    assert!(!said.contains("which its health check asks"), "nothing is wrong: {said}");
}

#[test]
fn a_fresh_start_warns_of_nothing_and_a_run_says_once_what_the_kernel_lacks() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let steps = ["one", "two", "three"];
        let deployment = world.deployment("site", &repository);
        let deployment =
            steps.iter().fold(deployment, |deployment, name| deployment.step("build", name, "true"));
        world.configure(&[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let run = world.deploy("site", &repository, &commit);
        assert!(!world.log().contains("cannot remove old records"), "{}", world.log());
        let log = String::from_utf8_lossy(&world.cli(&["logs", &run.id]).stdout).into_owned();
        let told = log.matches("steps are sandboxed only in part").count();
        assert!(told <= 1, "{log}");
    });
}

#[test]
fn a_source_that_answers_again_is_not_called_away_any_longer() {
    World::run(|world| {
        // Asked once: what is said then stays until somebody else has an answer.
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"1h\"");
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        let aside = repository.bare().with_extension("away");
        fs_err::rename(repository.bare(), &aside).expect("writable");
        world.start();
        let compared = |world: &World| {
            let output = world.cli(&["status", "--json"]);
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let is_away = |world: &World| compared(world).contains("\"is_error\": true");
        wait::until("the branch to be asked for", || is_away(world).then_some(()));
        fs_err::rename(&aside, Path::new(repository.bare())).expect("writable");
        let plan = world.cli(&["plan", "site"]);
        assert!(plan.status.success(), "{}", describe(&plan));
        assert!(!is_away(world), "{}", compared(world));
        world.deploy("site", &repository, &commit);
    });
}

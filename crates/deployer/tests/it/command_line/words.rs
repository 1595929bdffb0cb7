//! One thing has one name, and one is one.

use crate::support::process::describe;
use crate::support::world::World;

#[test]
fn one_is_not_many_and_nothing_is_said_twice() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let guid = world.push(&repository, &commit);
        assert_eq!(world.ended_run("site", &commit).state, "succeeded");
        world.wait_for_verdict(&guid, "deployed");
        let bad = world.spool("main").join("bad/00000000000000000001-a.json");
        fs_err::write(bad, "{}").expect("the spool is writable");
        let mut said = String::new();
        for arguments in [
            &["status"][..],
            &["doctor"],
            &["queue"],
            &["config", "check"],
            &["explain", "site"],
            &["run", "site"],
            &["logs", "site"],
            &["plan", "site"],
        ] {
            said.push_str(&describe(&world.cli(arguments)));
        }
        for line in said.lines() {
            let words: Vec<&str> = line.split(|character: char| !character.is_alphanumeric()).collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "1") {
                let many = [
                    "deployments",
                    "deliveries",
                    "entries",
                    "layers",
                    "errors",
                    "warnings",
                    "migrations",
                    "statuses",
                    "files",
                ];
                assert!(!many.contains(&pair[1]), "{line}");
            }
            for said_twice in ["fetch fetch:", "deployed: deployed", "failed (failed)", "set aside", "buried"]
            {
                assert!(!line.contains(said_twice), "{line}");
            }
        }
        assert!(said.contains("1 delivery was dead-lettered"), "{said}");
    });
}

/// What a newcomer asked of one deployment is answered of that one, and in words of what was asked.
#[test]
fn a_question_about_one_deployment_is_answered_of_that_one() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository), world.deployment("api", &repository)]);
        repository.commit(&[("index.html", "one")], "first");
        let said = |arguments: &[&str]| describe(&world.cli(arguments));
        assert!(said(&["deploy", "site"]).contains("site is live"));
        let status = said(&["status", "site"]);
        assert!(status.contains("site") && !status.contains("api"), "{status}");
        let unknown = world.cli(&["status", "siet"]);
        assert_eq!(unknown.status.code(), Some(3), "{}", describe(&unknown));
        let cancelled = said(&["cancel", "site"]);
        assert!(
            cancelled.contains("nothing of site is running") && !cancelled.contains("already"),
            "{cancelled}"
        );
        let run = said(&["run", "site"]);
        assert!(!run.contains("reconcile (reconcile)"), "{run}");
        let reference = said(&["config", "reference"]);
        assert!(!reference.contains("<!--") && reference.contains("# Configuration"), "{reference}");
    });
}

/// What the original's configuration has that says nothing here is said where it is checked, and not before the output of every command.
#[test]
fn x_proto_is_told_by_config_check_alone() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.settings.set("proxy_fix", "{ x_for = 1, x_proto = 1 }");
        world.configure(&[world.deployment("site", &repository)]);
        let said = |arguments: &[&str]| describe(&world.cli(arguments));
        assert!(said(&["config", "check"]).contains("`x_proto` has no effect"));
        for arguments in [&["runs"][..], &["queue"], &["deliveries"], &["status"]] {
            assert!(!said(arguments).contains("x_proto"), "{arguments:?}");
        }
    });
}

/// In a checkout of the original's, whose `default.toml` alone is not enough: which environment is meant is missing, not a `path`.
#[test]
fn without_python_env_it_is_said_that_the_environment_is_unset() {
    World::run(|world| {
        world.configure(&[]);
        let production = world.root().join("config/production.toml");
        fs_err::write(production, "[deployments.site]\npath = \"/srv/site\"\n").expect("writable");
        let default = world.root().join("config/default.toml");
        let before = fs_err::read_to_string(&default).expect("it was written");
        fs_err::write(&default, format!("{before}\nlimits.body_max = \"much\"\n")).expect("writable");
        let mut command = world.product(&["runs"]);
        command.env_remove("DEPLOYER_ENV").env_remove("PYTHON_ENV");
        let said = describe(&crate::support::process::output(&mut command));
        assert!(said.contains("Neither DEPLOYER_ENV nor PYTHON_ENV is set"), "{said}");
        let mut command = world.product(&["runs"]);
        command.env("PYTHON_ENV", "production");
        let said = describe(&crate::support::process::output(&mut command));
        assert!(!said.contains("Neither DEPLOYER_ENV nor PYTHON_ENV is set"), "{said}");
    });
}

//! The faults of the Python deployer's PM2 worker, each by its number in the facts about it.

use super::{fails, with_app};
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::wait;
use crate::support::world::World;

/// Starts the daemon and deploys the first version.
#[track_caller]
fn first(world: &mut World, app: &NodeApp) {
    let first = app.version("one");
    world.start();
    world.deploy("app", &app.repository, &first);
    assert_eq!(app.live_version(), "one");
}

#[test]
fn b20_a_build_that_a_signal_ends_is_a_failure() {
    with_app(|world, _, app| {
        first(world, app);
        fails(world, app, &app.version("is killed"), "build");
    });
}

#[test]
fn b32_the_old_ecosystem_file_is_not_needed_to_go_forward() {
    with_app(|world, _, app| {
        first(world, app);
        let old = world.path_of("app").join("current/ecosystem.config.js");
        fs_err::write(old, "throw new Error('it cannot be read any more');").expect("it is there");
        let second = app.version("two");
        world.deploy("app", &app.repository, &second);
        assert_eq!(app.live_version(), "two");

        // The new one is: it fails before anything is restarted.
        let pid = app.answer()["pid"].clone();
        let file = "console.log('{');\nthrow new Error('no such instance\\nsecond line');";
        fails(
            world,
            app,
            &app.commit(&[("ecosystem.config.js", file)]),
            "ecosystem.config.js: no such instance",
        );
        fails(
            world,
            app,
            &app.commit(&[("ecosystem.config.js", "export const apps = [];")]),
            "it names no application",
        );
        fails(
            world,
            app,
            &app.commit(&[("ecosystem.config.js", "process.exit(0);")]),
            "it ended the program that read it",
        );
        let hostile = "export const apps = [{ name: 'all', script: 'server/dist/main.js' }];";
        fails(
            world,
            app,
            &app.commit(&[("ecosystem.config.js", hostile)]),
            "\"all\" is not the name of an application",
        );
        let pids = wait::until("both workers to have answered", || {
            Some(app.answer()["pid"].clone()).filter(|now| *now == pid)
        });
        assert_eq!(pids, pid, "nothing was restarted");
    });
}

#[test]
fn b32_every_kind_of_ecosystem_file_is_read() {
    with_app(|world, pm2, app| {
        first(world, app);
        let names = |name: &str| {
            format!("{{ name: '{name}', script: 'server/dist/main.js', env: {{ NODE_ENV: 'x' }} }}")
        };
        let common =
            format!("console.log('noise');\nmodule.exports = {{ apps: [{}] }};", names("app-common"));
        app.repository.git(&["mv", "ecosystem.config.js", "ecosystem.config.cjs"]);
        let commit = app.commit(&[("ecosystem.config.cjs", &common)]);
        world.deploy("app", &app.repository, &commit);
        assert_eq!(pm2.names(), ["app-common"], "what the file no longer names is gone");

        let esm = format!("export default {{ apps: [{}] }};", names("app-default"));
        app.repository.git(&["mv", "ecosystem.config.cjs", "ecosystem.config.mjs"]);
        let commit = app.commit(&[("ecosystem.config.mjs", &esm)]);
        world.deploy("app", &app.repository, &commit);
        assert_eq!(pm2.names(), ["app-default"]);
    });
}

#[test]
fn b33_applications_go_only_after_a_good_build_and_come_back_when_health_fails() {
    with_app(|world, pm2, app| {
        first(world, app);
        let pids = pm2.pids("app-server");
        let one = "export const apps = [{ name: 'app-other', script: 'server/dist/main.js' }];";
        let renamed = [("ecosystem.config.js", one), ("server/src/version.txt", "does not compile")];
        fails(world, app, &app.commit(&renamed), "does not compile");
        assert_eq!(pm2.pids("app-server"), pids, "not even reloaded");

        fails(world, app, &app.commit(&[("server/src/version.txt", "is ill")]), "500");
        assert_eq!(pm2.names(), ["app-server", "app-ticket-assigner"]);
        let missing = "export const apps = [{ name: 'app-other', script: 'server/dist/nothing.js' }];";
        let missing = [("ecosystem.config.js", missing), ("server/src/version.txt", "two")];
        fails(world, app, &app.commit(&missing), "the script of app-other is not there");
    });
}

#[test]
fn b33_what_crashes_again_and_again_is_a_failure_that_says_why() {
    with_app(|world, pm2, app| {
        first(world, app);
        fails(world, app, &app.version("crashes"), "no such key");
        assert_eq!(pm2.pids("app-server").len(), 2);
        let next = app.version("two");
        world.deploy("app", &app.repository, &next);
        assert_eq!(app.live_version(), "two");
    });
}

#[test]
fn b34_what_does_not_need_the_database_is_built_before_it_is_migrated() {
    with_app(|world, _, app| {
        let deployment =
            app.deployment(world).with("migrate_before", r#""switch""#).with("scripts", r#"["build-only"]"#);
        world.configure(&[deployment]);
        let manifest = fs_err::read_to_string(app.repository.work_tree().join("server/package.json"))
            .expect("it is there");
        let manifest = manifest.replace("\"prebuild\"", "\"build-only\": \"cd ../common && node build.mjs && cd ../server && echo {} > src/generated.json && node build.mjs\",\n    \"unused\"");
        app.commit(&[("server/package.json", &manifest)]);
        first(world, app);
        let database = || fs_err::read_to_string(app.aside("database")).unwrap_or_default();
        assert_eq!(database(), "1.sql\n2.sql\n");
        let broken = [("server/src/version.txt", "does not compile"), ("server/migrations/3.sql", "create")];
        fails(world, app, &app.commit(&broken), "does not compile");
        assert_eq!(database(), "1.sql\n2.sql\n", "the old code has its schema");
    });
}

#[test]
fn b35_a_build_does_not_touch_what_is_live() {
    with_app(|world, _, app| {
        first(world, app);
        app.told();
        let waiting = app.version("waits");
        world.push(&app.repository, &waiting);
        wait::until("the build to have emptied its dist", || {
            let told = fs_err::read_to_string(app.aside("told")).unwrap_or_default();
            told.contains("build-server").then_some(())
        });
        let answer = app.answer();
        assert_eq!(
            (&answer["version"], &answer["lazy"]),
            (&"one".into(), &true.into()),
            "it still finds its files"
        );
        fs_err::write(app.aside("gate"), "").expect("writable");
        assert_eq!(world.ended_run("app", &waiting).state, "succeeded");
        assert_eq!(app.live_version(), "waits");
    });
}

#[test]
fn b36_the_lockfile_is_not_rewritten_and_a_build_may_dirty_its_tree() {
    with_app(|world, _, app| {
        first(world, app);
        let manifest = fs_err::read_to_string(app.repository.work_tree().join("common/package.json"))
            .expect("it is there");
        let dependent = manifest.replace(
            "\"scripts\"",
            "\"dependencies\": { \"@acme/client\": \"workspace:*\" },\n  \"scripts\"",
        );
        fails(world, app, &app.commit(&[("common/package.json", &dependent)]), "ERR_PNPM_OUTDATED_LOCKFILE");

        let build =
            fs_err::read_to_string(app.repository.work_tree().join("server/build.mjs")).expect("it is there");
        let dirty =
            build + "\nimport { appendFileSync } from 'node:fs';\nappendFileSync('package.json', '\\n');\n";
        for (number, version) in ["two", "three"].iter().enumerate() {
            let files = [
                ("common/package.json", manifest.as_str()),
                ("server/build.mjs", &dirty),
                ("server/src/version.txt", version),
            ];
            let commit = app.commit(&files);
            world.deploy("app", &app.repository, &commit);
            assert_eq!(app.live_version(), *version, "{number}");
        }
    });
}

#[test]
fn b37_b38_two_deployments_of_one_commit_have_a_status_and_applications_each() {
    World::run(|world| {
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-app", "app");
        let staging = NodeApp {
            repository: world.repository("acme/unused"),
            slug: "staging",
            port: crate::support::servers::free_port(),
            aside: app.aside.clone(),
        };
        staging.keep(world, "server/.env", "of staging");
        let of_staging = staging
            .deployment(world)
            .with("repository", "\"acme/app\"")
            .with("clone_url", crate::support::configuration::text(&app.repository.clone_url()));
        world.configure(&[app.deployment(world), of_staging]);
        let commit = app.version("one");
        world.start();
        // Both runs at once: both reload, and both save all that PM2 runs.
        world.push(&app.repository, &commit);
        for slug in ["app", "staging"] {
            let run = world.ended_run(slug, &commit);
            assert_eq!(run.state, "succeeded", "{run:?}");
        }
        assert_eq!(
            (app.answer()["kept"].as_str(), staging.answer()["kept"].as_str()),
            (Some("kept"), Some("of staging"))
        );
        assert_eq!(
            pm2.names(),
            ["app-server", "app-ticket-assigner", "staging-server", "staging-ticket-assigner"]
        );
        let saved = fs_err::read_to_string(pm2.home().join("dump.pm2")).expect("it was saved");
        let saved: Vec<serde_json::Value> = serde_json::from_str(&saved).expect("PM2 saves JSON");
        for name in pm2.names() {
            assert!(saved.iter().any(|saved| saved["name"] == name.as_str()), "{name} is saved");
        }
        let contexts = wait::until("both statuses", || {
            let statuses = world.github.statuses("acme/app", &commit);
            let contexts: std::collections::BTreeSet<String> =
                statuses.iter().map(|status| status.context.clone()).collect();
            (contexts.len() == 2).then_some(contexts)
        });
        assert!(contexts.iter().any(|context| context.ends_with("staging")), "{contexts:?}");
    });
}

#[test]
fn b39_what_only_this_host_knows_outlives_every_release() {
    with_app(|world, _, app| {
        first(world, app);
        app.keep(world, "server/.env", "of this host");
        for version in ["two", "three"] {
            let commit = app.version(version);
            world.deploy("app", &app.repository, &commit);
            assert_eq!(app.answer()["kept"], "of this host");
        }
    });
}

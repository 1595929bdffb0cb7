//! `pnpm-pm2` and `pm2` with real pnpm, npm, yarn, bun, node and PM2, on small applications of our own (`tests/fixtures`).

mod applications;
mod faults;
mod installers;
mod processes;
mod under_systemd;

use crate::plan::deploy_as_planned;
use crate::support::node_app::NodeApp;
use crate::support::pm2::Pm2;
use crate::support::wait;
use crate::support::world::World;

/// Runs a test with one application, served by a daemon that is not started yet.
fn with_app(test: impl FnOnce(&mut World, &Pm2, &NodeApp)) {
    World::run(|world| {
        world.confine();
        let pm2 = Pm2::of(world);
        let app = NodeApp::of(world, "pnpm-app", "app");
        world.configure(&[app.deployment(world)]);
        test(world, &pm2, &app);
    });
}

/// Pushes a commit whose run must fail with this in its cause, and what is live must go on.
#[track_caller]
fn fails(world: &World, app: &NodeApp, commit: &str, cause: &str) {
    let before = app.live_version();
    world.push(&app.repository, commit);
    let run = world.ended_run(app.slug, commit);
    assert_eq!(run.state, "failed", "{run:?}");
    assert!(run.cause.as_ref().is_some_and(|said| said.contains(cause)), "{cause:?} in {run:?}");
    assert!(!run.cause.as_ref().is_some_and(|said| said.contains("undoing it failed")), "{run:?}");
    assert_eq!(app.live_version(), before, "the old release answers");
}

#[test]
fn the_story_of_a_workspace() {
    with_app(|world, pm2, app| {
        let first = app.version("one");
        world.start();
        world.deploy("app", &app.repository, &first);
        assert_eq!(app.live_version(), "one");
        let order = ["prepare", "migrate", "generate", "build-common", "generate", "build-server"];
        assert_eq!(app.told(), order, "and the client was not touched");
        assert_eq!(app.answer()["kept"], "kept");
        assert_eq!(pm2.names(), ["app-server", "app-ticket-assigner"]);

        let second = app.version("two");
        deploy_as_planned(world, "app", &app.repository, &second);
        assert_eq!((app.live_version().as_str(), &app.answer()["kept"]), ("two", &"kept".into()));
        let place = app.answer()["place"].as_str().expect("a place").to_owned();
        let live = fs_err::canonicalize(world.path_of("app").join("current")).expect("a link");
        assert_eq!(place, live.to_string_lossy(), "each release is its own working directory");

        // Nothing that the server depends on.
        app.told();
        let documents = app.commit(&[("README.md", "read me"), ("client/page.html", "<p>")]);
        world.push(&app.repository, &documents);
        let run = world.ended_run("app", &documents);
        assert_eq!((run.state.as_str(), app.told().len()), ("skipped", 0), "{run:?}");

        let common = app.commit(&[("common/src/greeting.txt", "good morning")]);
        let full = world.deploy("app", &app.repository, &common);
        let [skipped_ms, full_ms] = [&run, &full].map(|run| run.took_ms().expect("it has ended"));
        eprintln!("nothing that it depends on: {skipped_ms} ms; the full sequence: {full_ms} ms");
        assert_eq!(app.answer()["greeting"], "good morning");

        fails(world, app, &app.version("does not compile"), "TS2322: it does not compile");
        let broken = app.commit(&[("server/src/version.txt", "x"), ("server/migrations/3.sql", "broken")]);
        fails(world, app, &broken, "migration 3.sql is broken");
        fails(
            world,
            app,
            &app.commit(&[("server/src/version.txt", "is ill"), ("server/migrations/3.sql", "create")]),
            "500",
        );

        let dependencies = dependency(app);
        world.deploy("app", &app.repository, &dependencies);
        assert_eq!(app.answer()["greeting"], "from extra");

        let output = world.cli(&["rollback", "app"]);
        assert!(output.status.success(), "{output:?}");
        wait::until("the release before to answer", || {
            (app.answer()["greeting"] == "good morning").then_some(())
        });
        assert_eq!(pm2.pids("app-server").len(), 2);
    });
}

#[test]
fn in_place_the_old_commit_is_built_again_when_health_fails() {
    with_app(|world, pm2, app| {
        world.configure(&[app.deployment(world).with("layout", "\"in-place\"").with("shared_files", "[]")]);
        let env = world.path_of("app").join("server/.env");
        fs_err::create_dir_all(env.parent().expect("below the path")).expect("writable");
        fs_err::write(&env, "of this host").expect("writable");
        world.start();
        for version in ["one", "two"] {
            let commit = app.version(version);
            world.deploy("app", &app.repository, &commit);
            assert_eq!(
                (app.live_version().as_str(), &app.answer()["kept"]),
                (version, &"of this host".into())
            );
        }
        fails(world, app, &app.version("is ill"), "500");
        assert_eq!(pm2.pids("app-server").len(), 2);
    });
}

/// A commit in which `common` depends on one package more.
fn dependency(app: &NodeApp) -> String {
    let read = |name: &str| {
        fs_err::read_to_string(app.repository.work_tree().join(name)).expect("the fixture has it")
    };
    let lock = read("pnpm-lock.yaml").replace(
        "  common: {}\n",
        "  common:\n    dependencies:\n      '@acme/extra':\n        specifier: workspace:*\n        version: link:../extra\n\n  extra: {}\n",
    );
    let manifest = read("common/package.json")
        .replace("\"scripts\"", "\"dependencies\": { \"@acme/extra\": \"workspace:*\" },\n  \"scripts\"");
    let workspace = read("pnpm-workspace.yaml") + "  - extra\n";
    app.commit(&[
        ("pnpm-lock.yaml", &lock),
        ("pnpm-workspace.yaml", &workspace),
        ("common/package.json", &manifest),
        ("common/build.mjs", "import { mkdirSync, writeFileSync } from 'node:fs';\nimport { greeting } from '@acme/extra';\nmkdirSync('dist', { recursive: true });\nwriteFileSync('dist/index.js', `export const greeting = '${greeting}';\\n`);\n"),
        ("extra/package.json", r#"{ "name": "@acme/extra", "private": true, "type": "module", "exports": "./index.js" }"#),
        ("extra/index.js", "export const greeting = 'from extra';\n"),
        ("server/src/version.txt", "three"),
    ])
}

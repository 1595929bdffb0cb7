//! What can be known before anything changes is told before anything changes: by `plan`, `doctor`, `config check`, and by a run's first step.

use crate::doctor::Report;
use crate::support::configuration::text;
use crate::support::process::{command, describe, succeed};
use crate::support::repository::Repository;
use crate::support::world::World;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

#[track_caller]
fn plan_of(world: &World) -> String {
    let output = world.cli(&["plan", "site"]);
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `plan` says it, and a push fails by it with nothing fetched, or at least with no release made.
#[track_caller]
fn fails_before_anything_is_done(world: &World, repository: &Repository, expected: &str) {
    let commit = repository.commit(&[("index.html", expected)], expected);
    let plan = plan_of(world);
    assert!(plan.contains("would fail before anything is done") && plan.contains(expected), "{plan}");
    world.push(repository, &commit);
    let run = world.ended_run("site", &commit);
    let cause = run.cause.clone().unwrap_or_default();
    assert!(run.state == "failed" && cause.contains(expected), "{run:?}");
    let steps = world.run_page(&run.id).steps;
    assert!(steps.iter().all(|step| ["preflight", "fetch"].contains(&step.name.as_str())), "{steps:?}");
}

#[test]
fn a_program_that_is_not_there_is_missed_before_anything_is_done() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let plain = world.deployment("site", &repository);
        world.configure(std::slice::from_ref(&plain));
        world.start();
        let first = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &first);
        for deployment in [
            plain.clone().step_of(r#"{ phase = "build", run = ["no-such-program", "build"] }"#),
            plain.clone().step_of(r#"{ phase = "migrate", run = ["/usr/bin/no-such-program"] }"#),
            plain.clone().with("hooks", r#"{ after_verify = ["no-such-program"] }"#),
            plain.clone().with("health", r#"[{ command = ["no-such-program"] }]"#),
        ] {
            world.stop();
            world.configure(&[deployment]);
            world.start();
            fails_before_anything_is_done(world, &repository, "no-such-program (in phase ");
        }
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        // What steps make themselves, or what may lie anywhere, is none.
        world.stop();
        let deployment = plain
            .clone()
            .step(
                "install",
                "tools",
                "mkdir -p bin && printf '#!/bin/sh\\ntrue\\n' > bin/tool && chmod +x bin/tool",
            )
            .step_of(r#"{ phase = "build", run = ["bin/tool"] }"#)
            .step_of(r#"{ phase = "build", run = ["tool"], environment = { PATH = "bin:/usr/bin:/bin" } }"#)
            .step("build", "shell", "tool() { true; }; tool");
        world.configure(&[deployment]);
        world.start();
        let plan = plan_of(world);
        assert!(!plan.contains("would fail") && !plan.contains("tool (in phase"), "{plan}");
        let last = repository.commit(&[("index.html", "two")], "last");
        world.deploy("site", &repository, &last);
    });
}

#[test]
fn a_program_that_a_recipe_calls_is_missed_as_soon_as_the_commit_is_known() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world
            .deployment("site", &repository)
            .with("recipe", text("uv-uwsgi"))
            .with("uwsgi_config_path", text(&world.root().join("site.ini").to_string_lossy()))
            .with("environment", r#"{ PATH = "/usr/sbin" }"#);
        world.configure(&[deployment]);
        world.start();
        fails_before_anything_is_done(
            world,
            &repository,
            "uv (in phase install): there is no such program in PATH",
        );
        assert!(!world.path_of("site").join("releases").exists(), "nothing was made");
    });
}

#[test]
fn a_path_that_cannot_be_written_to_is_told_before_anything_is_fetched() {
    World::run(|world| {
        world.drop_privileges();
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let above = world.path_of("site").parent().expect("it has one").to_owned();
        fs_err::set_permissions(&above, Permissions::from_mode(0o555)).expect("ours");
        fails_before_anything_is_done(world, &repository, "may not make");
        fs_err::set_permissions(&above, Permissions::from_mode(0o755)).expect("ours");
        let good = repository.commit(&[("index.html", "good")], "good");
        world.deploy("site", &repository, &good);

        // As it is where a service's unit may not write there.
        let path = world.path_of("site");
        let mount = |options: &[&str]| {
            succeed(command("mount", world.root()).args(options).arg(&path).arg(&path));
        };
        mount(&["--bind"]);
        mount(&["-o", "remount,bind,ro"]);
        fails_before_anything_is_done(world, &repository, "is read-only for this process");
        succeed(command("umount", world.root()).arg(&path));
        let again = repository.commit(&[("index.html", "again")], "again");
        world.deploy("site", &repository, &again);
    });
}

#[test]
fn a_port_that_somebody_else_holds_is_remarked_on_where_nothing_runs() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let health = format!("[{{ tcp = \"127.0.0.1:{port}\" }}]");
        let deployment = world.deployment("site", &repository).with("health", health);
        world.configure(&[deployment.step("switch", "restart", "true")]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        let expected =
            format!("port {port}, which its health check asks, is held by process {} (", std::process::id());
        let plan = plan_of(world);
        assert!(plan.contains(&format!("note: nothing of site runs, and {expected}")), "{plan}");
        Report::of(&world.cli(&["doctor", "--json"])).assert(
            "units",
            "warning",
            &expected,
            "`sudo ss -ltnp`",
        );
        // It may be what serves it: the run goes on.
        let run = world.deploy("site", &repository, &commit);
        let log = world.cli(&["logs", &run.id]);
        assert!(String::from_utf8_lossy(&log.stdout).contains(&expected), "{}", describe(&log));
        assert!(!plan_of(world).contains("is held by"), "something is live now");
    });
}

#[test]
fn files_that_are_missing_are_told_by_config_check_and_doctor_too() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world
            .deployment("site", &repository)
            .with("env_files", r#"["shared/app.env"]"#)
            .with("shared_files", r#"["kept.json"]"#);
        world.configure(&[deployment]);
        world.start();
        let checked = world.cli(&["config", "check"]);
        assert!(checked.status.success(), "{}", describe(&checked));
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        let [env, kept] =
            ["app.env", "kept.json"].map(|name| world.path_of("site").join("shared").join(name));
        for file in [&env, &kept] {
            let expected = format!("site: there is no {} on this host", file.display());
            assert!(said.contains(&expected), "{said}");
        }
        let report = || Report::of(&world.cli(&["doctor", "--json"]));
        report().assert("files of deployments", "error", "app.env", "`durhack-deployer plan site`");
        report().assert("files of deployments", "error", "shared/kept.json does not exist", "");
        fs_err::create_dir_all(env.parent().expect("it has one")).expect("writable");
        fs_err::write(&env, "A=1\nno assignment\n").expect("writable");
        fs_err::write(&kept, "{}").expect("writable");
        report().assert("files of deployments", "warning", "line 2 of", "");
        fs_err::write(&env, "A=1\n").expect("writable");
        report().assert("files of deployments", "ok", "", "");
        let checked = world.cli(&["config", "check"]);
        assert!(!describe(&checked).contains("on this host"), "{}", describe(&checked));
    });
}

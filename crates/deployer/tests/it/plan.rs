//! What `plan` prints is what a run does: step by step, for every recipe; and no action of our own calls a program that its step does
//! not name.
//!
//! Those that need real tools ask it in the middle of their own stories, by [`deploy_as_planned`].

use crate::support::configuration::Deployment;
use crate::support::process::describe;
use crate::support::repository::Repository;
use crate::support::world::World;
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

/// How a deployment is configured.
type Case = fn(&mut World, &Repository) -> Deployment;

/// Recipes that need nothing else.
const RECIPES: [Case; 3] = [with_steps, with_units, in_place];

fn with_steps(world: &mut World, repository: &Repository) -> Deployment {
    let hooks = r#"{ before_build = "true", after_switch = ["true"], after_clean = "true" }"#;
    let health = r#"[{ command = ["true"] }]"#;
    let deployment = world.deployment("site", repository).with("hooks", hooks).with("health", health);
    let deployment = deployment.step("install", "npm", "true").step("migrate", "schema", "true");
    deployment.step("build", "compile", "echo 'a  b'").step("switch", "restart", "true")
}

fn with_units(world: &mut World, repository: &Repository) -> Deployment {
    // Stands in for systemd, which does not run in a test: whatever it is asked for is up.
    let shims = world.root().join("shims");
    fs_err::create_dir_all(&shims).expect("the world is writable");
    let answer =
        "#!/bin/sh\nprintf 'Id=site.service\\nActiveState=active\\nSubState=running\\nNRestarts=0\\n'\n";
    fs_err::write(shims.join("systemctl"), answer).expect("the world is writable");
    fs_err::set_permissions(shims.join("systemctl"), PermissionsExt::from_mode(0o755)).expect("it is ours");
    world.shims = Some(shims);
    let deployment = world.deployment("site", repository).with("recipe", "\"systemd\"");
    deployment.with("units", "[\"site.service\"]").with("user_units", "true").step("build", "compile", "true")
}

fn in_place(world: &mut World, repository: &Repository) -> Deployment {
    with_steps(world, repository).with("layout", "\"in-place\"")
}

/// Phase, name and command of each step, the release's name apart.
type Steps = Vec<[String; 3]>;

#[track_caller]
fn planned(world: &World, slug: &str) -> Steps {
    let output = world.cli(&["plan", slug, "--json"]);
    assert!(output.status.success(), "{}", describe(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("plan --json prints JSON");
    let steps = plan["steps"].as_array().expect("a list of steps");
    let release =
        steps.iter().find_map(|step| step["action"]["export"]["release"].as_str()).unwrap_or("none");
    let text = |value: &Value| normal(value.as_str().expect("a text"), release, "preview");
    steps.iter().map(|step| ["phase", "name", "command"].map(|key| text(&step[key]))).collect()
}

#[track_caller]
fn carried_out(world: &World, slug: &str, repository: &Repository, commit: &str) -> Steps {
    let run = world.deploy(slug, repository, commit);
    let release = run.release.expect("it made one");
    let text = |text: &str| normal(text, &release, &run.id);
    let steps = world.run_page(&run.id).steps;
    assert!(steps.iter().all(|step| step.direction == "do" && step.state == "succeeded"), "{steps:?}");
    for call in called(world, &run.id) {
        let mut said = steps.iter().filter_map(|step| step.command.as_ref());
        assert!(said.any(|command| command.contains(&call)), "no step says that it calls {call}: {steps:?}");
    }
    let command =
        |step: &crate::support::record::Step| step.command.clone().expect("each step says what it does");
    steps.iter().map(|step| [text(&step.phase), text(&step.name), text(&command(step))]).collect()
}

/// The programs that built-in actions called, each with its first argument, as the run's log has them.
#[track_caller]
fn called(world: &World, run: &str) -> BTreeSet<String> {
    let log = world.cli(&["logs", run]);
    assert!(log.status.success(), "{}", describe(&log));
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    let calls = log.lines().filter_map(|line| line.trim_start_matches("> ").strip_prefix("$ "));
    let named = |call: &str| {
        let mut words = call.split_whitespace();
        let program = words.next()?.rsplit('/').next()?;
        Some(format!("{program} {}", words.next().unwrap_or_default()).trim_end().to_owned())
    };
    calls.filter_map(named).collect()
}

/// What differs between two runs of one plan is the release's name and the run's.
fn normal(text: &str, release: &str, run: &str) -> String {
    text.replace(release, "RELEASE").replace(run, "RUN")
}

/// Asks `plan` what a deploy of the branch's head would do, pushes, and sees that just that is done.
#[track_caller]
pub fn deploy_as_planned(world: &World, slug: &str, repository: &Repository, commit: &str) {
    let planned = planned(world, slug);
    assert!(planned.len() >= 4, "{slug}: {planned:?}");
    assert_eq!(planned, carried_out(world, slug, repository, commit), "{slug}");
}

#[test]
fn a_run_does_what_plan_said() {
    for deployment in RECIPES {
        World::run(|world| {
            let repository = world.repository("acme/site");
            let deployment = deployment(world, &repository);
            world.configure(&[deployment]);
            world.start();
            for content in ["one", "two"] {
                let commit = repository.commit(&[("index.html", content)], content);
                deploy_as_planned(world, "site", &repository, &commit);
            }
        });
    }
}

//! What `plan` prints is what a run does: step by step, for every recipe.

use crate::support::configuration::Deployment;
use crate::support::process::describe;
use crate::support::repository::Repository;
use crate::support::world::World;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// A recipe: how a deployment of it is configured.
type Case = (&'static str, fn(&mut World, &Repository) -> Deployment);

/// Every recipe that this program carries out has a line here.
const RECIPES: [Case; 3] = [("steps", with_steps), ("systemd", with_units), ("steps in place", in_place)];

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
fn planned(world: &World) -> Steps {
    let output = world.cli(&["plan", "site", "--json"]);
    assert!(output.status.success(), "{}", describe(&output));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("plan --json prints JSON");
    let steps = plan["steps"].as_array().expect("a list of steps");
    let release =
        steps.iter().find_map(|step| step["action"]["export"]["release"].as_str()).unwrap_or("none");
    let text = |value: &Value| value.as_str().expect("a text").replace(release, "RELEASE");
    steps.iter().map(|step| ["phase", "name", "command"].map(|key| text(&step[key]))).collect()
}

#[track_caller]
fn carried_out(world: &World, repository: &Repository, commit: &str) -> Steps {
    let run = world.deploy("site", repository, commit);
    let release = run.release.expect("it made one");
    let text = |text: &str| text.replace(&release, "RELEASE");
    let steps = world.run_page(&run.id).steps;
    assert!(steps.iter().all(|step| step.direction == "do" && step.state == "succeeded"), "{steps:?}");
    let command =
        |step: &crate::support::record::Step| step.command.clone().expect("each step says what it does");
    steps.iter().map(|step| [text(&step.phase), text(&step.name), text(&command(step))]).collect()
}

#[test]
fn a_run_does_what_plan_said() {
    for (name, deployment) in RECIPES {
        World::run(|world| {
            let repository = world.repository("acme/site");
            let deployment = deployment(world, &repository);
            world.configure(&[deployment]);
            world.start();
            for content in ["one", "two"] {
                let commit = repository.commit(&[("index.html", content)], content);
                let planned = planned(world);
                assert!(planned.len() >= 4, "{name}: {planned:?}");
                assert_eq!(planned, carried_out(world, &repository, &commit), "{name}, {content}");
            }
        });
    }
}

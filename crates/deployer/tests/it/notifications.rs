//! What GitHub is told, as statuses and as deployments, through every way in which it fails; no deploy is late because of it.

use crate::support::configuration::Deployment;
use crate::support::gate::Gate;
use crate::support::github::{self, Weather};
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use serde_json::Value;

/// A deployment that is told under another name, with an address.
fn told(world: &mut World, repository: &Repository) -> Deployment {
    world.settings.set("github.deployments", "true");
    world
        .deployment("site", repository)
        .with("environment_name", "\"production site\"")
        .with("url", "\"https://site.test\"")
}

/// Waits until GitHub shows these states of its deployments, oldest first.
#[track_caller]
fn shows(world: &World, states: &[&str]) -> Vec<github::GithubDeployment> {
    wait::until(&format!("GitHub to show {states:?}"), || {
        let deployments = world.github.deployments();
        deployments
            .iter()
            .map(github::GithubDeployment::state)
            .eq(states.iter().copied())
            .then_some(deployments)
    })
}

#[track_caller]
fn status(world: &World) -> Value {
    let output = world.cli(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).expect("status --json prints JSON")
}

#[track_caller]
fn wait_until_all_is_told(world: &World) {
    wait::until("everything to be told", || (status(world)["statuses_unsent"] == 0).then_some(()));
}

#[test]
fn runs_are_told_as_deployments_and_the_one_before_becomes_inactive() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let deployment = told(world, &repository).step("build", "wait", &gate.shell());
        let deployment = deployment.step("build", "check", "test ! -e broken");
        world.configure(&[deployment]);
        world.start();
        let first = repository.commit(&[("index.html", "one")], "first");
        world.push(&repository, &first);
        gate.wait_for(&first);
        shows(world, &["in_progress"]);
        gate.open();
        let run = world.ended_run("site", &first);
        let deployments = shows(world, &["success"]);
        let [made, told] = [&deployments[0].body, deployments[0].statuses.last().expect("it has a state")];
        assert_eq!((&made["sha"], &made["environment"]), (&first.as_str().into(), &"production site".into()));
        assert_eq!(made["payload"]["run"], run.id.as_str());
        assert_eq!(told["log_url"], format!("https://deploy.test/runs/{}", run.id));
        assert_eq!(told["environment_url"], "https://site.test");

        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        shows(world, &["inactive", "success"]);

        let broken = repository.commit(&[("broken", "")], "third");
        world.push(&repository, &broken);
        assert_eq!(world.ended_run("site", &broken).state, "failed");
        let deployments = shows(world, &["inactive", "success", "failure"]);
        let cause = deployments[2].statuses.last().expect("it has a state")["description"].clone();
        assert!(cause.as_str().is_some_and(|cause| cause.contains("check")), "{cause}");

        assert!(world.cli(&["rollback", "site"]).status.success());
        shows(world, &["inactive", "inactive", "failure", "success"]);
        wait_until_all_is_told(world);
    });
}

#[test]
fn nothing_is_told_as_a_deployment_unless_asked_for() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        assert_eq!(world.reported(&repository, &commit).state, "success");
        wait_until_all_is_told(world);
        assert!(world.github.requests().iter().all(|request| !request.contains("/deployments")));
    });
}

#[test]
fn whatever_github_does_every_push_is_live_and_told_in_the_end() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = told(world, &repository);
        world.configure(&[deployment]);
        world.start();
        let weathers = [
            Weather::Fails,
            Weather::Hangs,
            Weather::Cuts,
            Weather::CutsAfterwards,
            Weather::PrimaryLimit,
            Weather::SecondaryLimit,
        ];
        let mut commits = Vec::new();
        for (number, weather) in weathers.into_iter().enumerate() {
            world.github.set_weather(weather);
            let commit = repository.commit(&[("index.html", &number.to_string())], "change");
            world.deploy("site", &repository, &commit);
            assert_eq!(world.live("site", "index.html"), Some(number.to_string()), "{weather:?}");
            commits.push(commit);
        }
        assert!(status(world)["statuses_unsent"].as_u64().is_some_and(|unsent| unsent > 0));
        world.github.set_weather(Weather::Fine);
        for commit in &commits {
            assert_eq!(world.reported(&repository, commit).state, "success");
        }
        wait_until_all_is_told(world);
        // Also where the answer was lost after GitHub had made it: each run has one deployment.
        let mut runs: Vec<String> = Vec::new();
        for deployment in world.github.deployments() {
            let run = deployment.body["payload"]["run"].as_str().expect("ours name their run").to_owned();
            let newest = deployment.body["sha"] == commits[commits.len() - 1].as_str();
            assert_eq!(deployment.state(), if newest { "success" } else { "inactive" });
            runs.push(run);
        }
        runs.sort();
        runs.dedup();
        assert_eq!((runs.len(), world.github.deployments().len()), (commits.len(), commits.len()));
    });
}

#[test]
fn a_daemon_that_dies_before_it_has_told_tells_after_its_return() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = told(world, &repository);
        world.configure(&[deployment]);
        world.start();
        world.github.set_weather(Weather::CutsAfterwards);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        wait::until("a deployment to be made", || (!world.github.deployments().is_empty()).then_some(()));
        world.kill();
        world.github.set_weather(Weather::Fine);
        world.start();
        assert_eq!(shows(world, &["success"]).len(), 1, "made once, though its answer was lost");
        assert_eq!(world.reported(&repository, &commit).state, "success");
    });
}

#[test]
fn what_always_fails_is_in_no_others_way() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let cursed = repository.commit(&[("index.html", "one")], "GitHub stumbles over this one");
        world.github.fail_on(&format!("/statuses/{cursed}"));
        world.deploy("site", &repository, &cursed);
        let next = repository.commit(&[("index.html", "two")], "not over this one");
        world.deploy("site", &repository, &next);
        assert_eq!(world.reported(&repository, &next).state, "success");
        let status = status(world);
        assert_eq!(status["oldest_unsent"]["commit_id"], cursed.as_str());
        assert!(status["oldest_unsent"]["last_error"].as_str().is_some_and(|error| error.contains("500")));
    });
}

#[test]
fn a_used_up_quota_is_waited_for_without_asking() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = told(world, &repository);
        world.configure(&[deployment]);
        world.start();
        world.github.set_quota(2, 3);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        shows(world, &["success"]);
        assert_eq!(world.reported(&repository, &commit).state, "success");
        assert_eq!(world.github.asked_while_limited(), 0);
    });
}

#[test]
fn what_github_refuses_for_good_is_said_once_and_shown() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        world.github.set_statuses_max(1);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.deploy("site", &repository, &commit);
        // What a newer one takes the place of before it is sent is not refused by anybody.
        wait_until_all_is_told(world);
        world.cli(&["deploy", "site", "--force"]);
        wait_until_all_is_told(world);
        let refused = status(world)["refused_by_github"].clone();
        let refused = refused.as_array().expect("a list");
        assert!(!refused.is_empty());
        for row in refused {
            assert_eq!((&row["attempts"], &row["kind"]), (&0.into(), &"status".into()), "tried once: {row}");
        }
        let shown = String::from_utf8(world.cli(&["status"]).stdout).expect("it is text");
        assert!(shown.contains("maximum number of statuses"), "{shown}");
        let asked = world.github.requests().iter().filter(|request| request.contains("/statuses/")).count();
        let stored = world.github.statuses("acme/site", &commit).len();
        assert_eq!(asked, stored + refused.len(), "no refusal was asked for again");
    });
}

#[test]
fn a_commit_that_github_does_not_know_yet_is_told_when_it_does() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = told(world, &repository);
        world.configure(&[deployment]);
        world.start();
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.github.forget_commit("acme/site", &commit);
        world.deploy("site", &repository, &commit);
        wait::until("GitHub to be asked about both", || {
            let requests = world.github.requests();
            let posted = |end: &str| {
                requests.iter().any(|request| request.starts_with("POST") && request.ends_with(end))
            };
            (posted("/deployments") && posted(&commit)).then_some(())
        });
        world.github.add_commit("acme/site", &commit);
        shows(world, &["success"]);
        assert_eq!(world.reported(&repository, &commit).state, "success");
    });
}

//! Many pushes, one deployment: which of them run, and what becomes of the others.

use crate::support::gate::Gate;
use crate::support::push::{Delivery, guid};
use crate::support::record::Run;
use crate::support::wait;
use crate::support::world::World;

/// The runs in which something was done.
fn carried_out(runs: &[Run]) -> Vec<&Run> {
    runs.iter().filter(|run| run.started_at_ms.is_some() && run.state != "superseded").collect()
}

#[test]
fn a_push_becomes_a_release() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let first = repository.commit(&[("index.html", "one")], "first");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();

        let guid = world.push(&repository, &first);
        let run = world.ended_run("site", &first);

        assert_eq!((run.state.as_str(), run.trigger.as_str(), run.attempt), ("succeeded", "delivery", 1));
        assert_eq!((run.repository.as_str(), run.branch.as_str()), ("acme/site", "main"));
        assert_eq!((&run.previous_commit, &run.delivery), (&None, &Some(guid.clone())));
        assert!(run.created_at_ms <= run.started_at_ms.expect("it ran"), "{run:?}");
        assert!(run.started_at_ms <= run.ended_at_ms, "{run:?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        let link = fs_err::read_link(world.path_of("site").join("current")).expect("current is a link");
        assert!(link.to_string_lossy().ends_with(&format!("-{}", &first[..7])), "{link:?}");
        assert_eq!(link.file_name().map(|name| name.to_string_lossy().into_owned()), run.release);
        assert!(!world.path_of("site").join("current/.git").exists(), "a release has no .git");
        assert_eq!(world.wait_for_verdict(&guid, "deployed").deployment.as_deref(), Some("site"));

        let status = world.status_of("site");
        let live = status.live.expect("something is live");
        assert_eq!((live.commit, Some(live.release)), (first.clone(), run.release));
        assert!(status.enabled && live.since_ms > 0 && status.queued == 0);
        assert_eq!(status.last_run.map(|run| run.id), Some(run.id.clone()));

        let page = world.run_page(&run.id);
        assert_eq!((page.run.id, page.run.state), (run.id, run.state));
        for step in page.steps {
            assert_eq!((step.direction.as_str(), step.state.as_str()), ("do", "succeeded"), "{step:?}");
            assert!(step.started_at_ms.is_some() && step.started_at_ms <= step.ended_at_ms, "{step:?}");
        }
        let final_status = world.reported(&repository, &first);
        let stored = world.github.statuses("acme/site", &first);
        assert_eq!(stored.first().map(|status| status.state.as_str()), Some("pending"));
        assert_eq!(final_status.state, "success");
        assert!(final_status.context.contains("deploy.test") && final_status.context.contains("site"));
        assert!(final_status.target_url.starts_with("https://deploy.test/"), "{final_status:?}");
    });
}

#[test]
fn pushes_during_a_deploy_are_one_further_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let first = repository.commit(&[("index.html", "0")], "first");
        world.start();
        world.push(&repository, &first);
        gate.wait_for(&first);

        let later: Vec<String> = (1..=3)
            .map(|number| {
                repository.commit(&[("index.html", &number.to_string())], &format!("number {number}"))
            })
            .collect();
        let guids: Vec<String> = later.iter().map(|commit| world.push(&repository, commit)).collect();
        for guid in &guids {
            world.verdict(guid);
        }
        gate.open();
        let last = world.ended_run("site", &later[2]);
        let runs = world.settled("site", 2);

        assert_eq!(last.state, "succeeded");
        assert_eq!(last.previous_commit.as_ref(), Some(&first));
        let deployed: Vec<&str> = carried_out(&runs).iter().map(|run| run.commit.as_str()).collect();
        assert_eq!(deployed, [&first, &later[2]], "two runs in all: {runs:#?}");
        assert_eq!(gate.arrivals(), [first.clone(), later[2].clone()]);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("3"));
        world.wait_for_verdict(&guids[2], "deployed");
        for (guid, commit) in guids.iter().zip(&later).take(2) {
            world.wait_for_verdict(guid, "superseded");
            let status = world.reported(&repository, commit);
            assert!(status.description.to_lowercase().contains("superseded"), "{status:?}");
        }
    });
}

#[test]
fn a_late_push_takes_no_success_back() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let first = repository.commit(&[("index.html", "1")], "first");
        world.deploy("site", &repository, &first);
        let second = repository.commit(&[("index.html", "2")], "second");
        world.deploy("site", &repository, &second);
        world.reported(&repository, &second);

        let told_before = world.github.statuses("acme/site", &first).len();
        let late = world.push(&repository, &first);
        world.wait_for_verdict(&late, "already-live");
        let told = wait::until("what GitHub is told of the late push", || {
            let told = world.github.statuses("acme/site", &first);
            let is_final = told.last().is_some_and(|status| status.state != "pending");
            (told.len() > told_before && is_final).then(|| told.last().expect("it is final").clone())
        });
        assert_eq!(told.state, "success", "{told:?}");
    });
}

#[test]
fn a_commit_whose_run_was_interrupted_and_is_not_tried_again_is_told_of() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let named = repository.commit(&[("index.html", "1")], "the push names it");
        let head = repository.commit(&[("index.html", "2")], "the run takes it");
        world.start();
        world.push(&repository, &named);
        gate.wait_for(&head);
        world.kill();
        let newer = repository.commit(&[("index.html", "3")], "the next run takes it");
        gate.open();
        world.start();
        world.ended_run("site", &newer);

        let told = world.reported(&repository, &head);
        assert_eq!(told.state, "error", "{told:?}");
        assert_eq!(world.reported(&repository, &newer).state, "success");
    });
}

#[test]
fn a_deployment_may_ask_for_every_push() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        let deployment = world.deployment("site", &repository).with("queue", "\"all\"");
        world.configure(&[deployment.step("build", "wait", &gate.shell())]);
        let first = repository.commit(&[("index.html", "0")], "first");
        world.start();
        world.push(&repository, &first);
        gate.wait_for(&first);

        let later: Vec<String> =
            (1..=3).map(|number| repository.commit(&[("index.html", &number.to_string())], "more")).collect();
        let guids: Vec<String> = later.iter().map(|commit| world.push(&repository, commit)).collect();
        gate.open();
        for guid in &guids {
            wait::until("every push to have its verdict", || {
                let code = world.verdict(guid).code;
                (code == "deployed" || code == "already-live").then_some(())
            });
        }
        let runs = world.settled("site", 4);

        let deployed: Vec<&str> = runs.iter().map(|run| run.commit.as_str()).collect();
        assert_eq!(deployed, [&first, &later[0], &later[1], &later[2]], "each in its turn: {runs:#?}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("3"));
    });
}

#[test]
fn pushes_in_reverse_order_leave_the_head_live() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commits: Vec<String> = (0..4)
            .map(|number| repository.commit(&[("index.html", &number.to_string())], "change"))
            .collect();
        world.start();

        let guids: Vec<String> = commits.iter().rev().map(|commit| world.push(&repository, commit)).collect();
        for guid in &guids {
            wait::until("every push to be done with", || {
                (world.verdict(guid).code != "queued").then_some(())
            });
        }
        let runs = world.settled("site", 1);

        assert_eq!(world.live("site", "index.html").as_deref(), Some("3"));
        let deployed: Vec<&str> = carried_out(&runs).iter().map(|run| run.commit.as_str()).collect();
        assert_eq!(deployed, [&commits[3]], "an old push wakes up, it does not decide: {runs:#?}");
    });
}

#[test]
fn a_forced_push_back_deploys_the_older_commit() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let old = repository.commit(&[("index.html", "old")], "old");
        let new = repository.commit(&[("index.html", "new")], "new");
        world.start();
        world.deploy("site", &repository, &new);

        repository.force(&old);
        world.accept(&Delivery::push("acme/site", "refs/heads/main", &new, &old));
        let run = world.ended_run("site", &old);

        assert_eq!(run.state, "succeeded");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("old"));
    });
}

#[test]
fn what_is_not_a_push_to_the_branch_gets_a_verdict_and_nothing_else() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let other = world.repository("acme/other");
        let off = world.deployment("off", &other).with("enabled", "false");
        world.configure(&[world.deployment("site", &repository), off]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        let disabled = other.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        let before = world.runs("site").len();

        let stranger = format!("refs/heads/{}", "feature");
        for (delivery, code) in [
            (Delivery::ping("acme/site"), "ping"),
            (Delivery::push("acme/site", &stranger, &commit, &commit), "not-a-configured-branch"),
            (Delivery::push("acme/site", "refs/tags/main", &commit, &commit), "not-a-configured-branch"),
            (
                Delivery::push("acme/unknown", "refs/heads/main", &commit, &commit),
                "not-a-configured-repository",
            ),
            (Delivery::of("issues", &serde_json::json!({ "action": "opened" })), "event-not-handled"),
            (Delivery::of("an_event_of_next_year", &serde_json::json!({})), "event-not-handled"),
            (other.push_of(&disabled), "deployment-disabled"),
            (repository.push_of(&commit), "already-live"),
        ] {
            let guid = world.accept(&delivery);
            assert_eq!(world.wait_for_verdict(&guid, code).code, code, "{}", delivery.event);
        }

        assert_eq!(world.settled("site", before).len(), before, "none of them is a run");
        assert!(world.runs("off").is_empty());
        assert!(!world.path_of("off").exists());
    });
}

#[test]
fn a_deleted_branch_changes_nothing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &commit);
        let before = world.runs("site").len();

        repository.delete_branch("main");
        let guid = world.accept(&Delivery::deletion("acme/site", "refs/heads/main", &commit));
        world.wait_for_verdict(&guid, "branch-deleted");

        assert_eq!(world.settled("site", before).len(), before);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn a_redelivery_after_success_does_nothing_and_says_so() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&commit);
        world.accept(&delivery);
        world.ended_run("site", &commit);
        world.wait_for_verdict(&delivery.guid, "deployed");
        let release = fs_err::read_link(world.path_of("site").join("current")).expect("current is a link");

        world.accept(&delivery);
        // What comes after it in the spool shows that it has been dealt with.
        let after = world.accept(&Delivery::ping("acme/site"));
        world.wait_for_verdict(&after, "ping");

        assert_eq!(world.settled("site", 1).len(), 1);
        assert_eq!(fs_err::read_link(world.path_of("site").join("current")).expect("a link"), release);
        let code = world.verdict(&delivery.guid).code;
        assert!(["deployed", "duplicate", "already-live"].contains(&code.as_str()), "{code}");
    });
}

#[test]
fn a_redelivery_after_failure_is_a_retry() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let switch = world.root().join("may-succeed");
        let line = format!("test -e '{}'", switch.display());
        world.configure(&[world.deployment("site", &repository).step("build", "compile", &line)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&commit);
        world.accept(&delivery);
        assert_eq!(world.ended_run("site", &commit).state, "failed");
        world.wait_for_verdict(&delivery.guid, "failed");

        fs_err::write(&switch, "").expect("the world is writable");
        world.accept(&delivery);
        let runs = world.settled("site", 2);

        let outcome: Vec<(u32, &str)> = runs.iter().map(|run| (run.attempt, run.state.as_str())).collect();
        assert_eq!(outcome, [(1, "failed"), (2, "succeeded")]);
        world.wait_for_verdict(&delivery.guid, "deployed");
        assert_eq!(world.reported(&repository, &commit).state, "success");
    });
}

// The same bytes may be a stranger's who has captured them: they have a build repeated a few times, not without end.
#[test]
fn a_delivery_is_tried_again_a_few_times_and_no_more() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).step("build", "compile", "exit 1")]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&commit);
        for sent in 1..=7 {
            world.accept(&delivery);
            let after = world.accept(&Delivery::ping("acme/site"));
            world.wait_for_verdict(&after, "ping");
            assert_eq!(world.settled("site", sent.min(4)).len(), sent.min(4));
            world.wait_for_verdict(&delivery.guid, "failed");
        }
        let explained = String::from_utf8_lossy(&world.cli(&["explain", &delivery.guid]).stdout).into_owned();
        assert_eq!(
            explained.matches("`durhack-deployer deploy site` tries it again").count(),
            1,
            "{explained}"
        );
    });
}

#[test]
fn a_failed_commit_is_not_tried_again_by_another_push_of_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).step("build", "compile", "exit 1")]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        world.ended_run("site", &commit);

        // A captured body under a new GUID: nothing in it is new.
        let replay = repository.push_of(&commit).replayed();
        let guid = world.accept(&replay);
        wait::until("the replay to be done with", || (world.verdict(&guid).code != "queued").then_some(()));

        let runs = world.settled("site", 1);
        assert_eq!(carried_out(&runs).len(), 1, "the replay did not run anything: {runs:#?}");
        assert_eq!(world.live("site", "index.html"), None);
    });
}

#[test]
fn one_delivery_sent_a_hundred_times_at_once_is_one_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&commit);

        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..100).map(|_| scope.spawn(|| world.deliver(&delivery).status)).collect();
            for sender in senders {
                assert_eq!(sender.join().expect("no sender panics"), 202);
            }
        });
        world.ended_run("site", &commit);

        assert_eq!(world.settled("site", 1).len(), 1);
        assert_eq!(world.verdicts(&delivery.guid).len(), 1);
    });
}

#[test]
fn two_deployments_of_one_branch_each_have_their_run_and_verdict() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("left", &repository), world.deployment("right", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let guid = world.push(&repository, &commit);

        for slug in ["left", "right"] {
            assert_eq!(world.ended_run(slug, &commit).state, "succeeded");
            assert_eq!(world.live(slug, "index.html").as_deref(), Some("one"));
        }
        let mut concerned: Vec<_> = wait::until_told("both verdicts to be final", || {
            let verdicts = world.verdicts(&guid);
            let all = verdicts.len() == 2 && verdicts.iter().all(|verdict| verdict.code == "deployed");
            all.then(|| {
                verdicts.into_iter().map(|verdict| (verdict.deployment, verdict.run.is_some())).collect()
            })
        });
        concerned.sort();
        assert_eq!(concerned, [(Some("left".to_owned()), true), (Some("right".to_owned()), true)]);
        for slug in ["left", "right"] {
            wait::until(&format!("{slug} to report for itself"), || {
                let statuses = world.github.statuses("acme/site", &commit);
                statuses
                    .iter()
                    .any(|told| told.context.contains(slug) && told.state == "success")
                    .then_some(())
            });
        }
    });
}

#[test]
fn paths_and_skip_deploy_leave_a_commit_out() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository).with("paths", "[\"web/**\"]");
        world.configure(&[deployment]);
        let first = repository.commit(&[("web/index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);

        let elsewhere = repository.commit(&[("docs/readme", "text")], "only documentation");
        let unwanted = repository.commit(&[("web/index.html", "two")], "a draft [skip deploy]");
        for commit in [&elsewhere, &unwanted] {
            let guid = world.push(&repository, commit);
            wait::until("the push to be done with", || (world.verdict(&guid).code != "queued").then_some(()));
        }
        world.settled("site", 1);
        assert_eq!(world.live("site", "web/index.html").as_deref(), Some("one"));

        let wanted = repository.commit(&[("web/index.html", "three")], "ready");
        world.deploy("site", &repository, &wanted);
        assert_eq!(world.live("site", "web/index.html").as_deref(), Some("three"));
    });
}

#[test]
fn github_being_away_delays_the_report_and_nothing_else() {
    use crate::support::github::Weather;
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        let all =
            [Weather::Fails, Weather::Hangs, Weather::Cuts, Weather::PrimaryLimit, Weather::SecondaryLimit];
        let mut commits = Vec::new();
        for (number, weather) in all.into_iter().enumerate() {
            world.github.set_weather(weather);
            let commit = repository.commit(&[("index.html", &number.to_string())], "change");
            world.deploy("site", &repository, &commit);
            assert_eq!(world.live("site", "index.html"), Some(number.to_string()), "{weather:?}");
            commits.push(commit);
        }
        let unknown = repository.commit(&[("index.html", "unknown")], "GitHub does not know it yet");
        world.github.forget_commit("acme/site", &unknown);
        world.github.set_weather(Weather::Fine);
        world.deploy("site", &repository, &unknown);
        world.github.add_commit("acme/site", &unknown);

        for commit in commits.iter().chain([&unknown]) {
            assert_eq!(world.reported(&repository, commit).state, "success");
        }
    });
}

#[test]
fn a_delivery_id_of_another_delivery_is_not_mixed_up() {
    World::run(|world| {
        let [one, two] = ["acme/one", "acme/two"].map(|name| world.repository(name));
        world.configure(&[world.deployment("one", &one), world.deployment("two", &two)]);
        let commits =
            [&one, &two].map(|repository| repository.commit(&[("index.html", &repository.name)], "first"));
        world.start();

        let mut second = two.push_of(&commits[1]);
        second.guid = guid();
        let first = world.push(&one, &commits[0]);
        world.accept(&second);

        assert_eq!(world.wait_for_verdict(&first, "deployed").deployment.as_deref(), Some("one"));
        assert_eq!(world.wait_for_verdict(&second.guid, "deployed").deployment.as_deref(), Some("two"));
        assert_eq!(world.live("one", "index.html").as_deref(), Some("acme/one"));
        assert_eq!(world.live("two", "index.html").as_deref(), Some("acme/two"));
    });
}

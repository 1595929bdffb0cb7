//! Pushes of which nothing was heard.

use crate::support::configuration::text;
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::process::{command, succeed};
use crate::support::record::{Comparison, Run};
use crate::support::wait;
use crate::support::world::World;
use rustix::process::{Resource, getrlimit};

/// Compares at start and four times a second.
fn compare_often(world: &mut World) {
    world.settings.set("reconcile.enabled", "true");
    world.settings.set("reconcile.interval", "\"250ms\"");
}

/// Waits for a comparison that began after now and ended so.
#[track_caller]
fn compared(world: &World, slug: &str, wanted: impl Fn(&Comparison) -> bool) -> Comparison {
    let last = || world.status_of(slug).compared;
    let before = last().map_or(0, |comparison| comparison.at_ms);
    // The first one after now may have begun before.
    let next = wait::until_told("a comparison", || last().filter(|found| found.at_ms > before)).at_ms;
    wait::until_told("a comparison of the wanted outcome", || {
        last().filter(|found| found.at_ms > next && wanted(found))
    })
}

/// The runs in which something was done for a commit.
fn runs_of(world: &World, slug: &str, commit: &str) -> Vec<Run> {
    world.runs(slug).into_iter().filter(|run| run.commit == commit).collect()
}

#[track_caller]
fn wait_until_live(world: &World, slug: &str, commit: &str) {
    wait::until_told(&format!("{commit} to be live"), || {
        world.status_of(slug).live.filter(|live| live.commit == commit)
    });
}

#[test]
fn a_push_missed_while_the_daemon_was_down_is_live_after_its_start() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        // No second comparison within this test: the one at start is enough.
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"1h\"");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);
        world.stop();

        let second = repository.commit(&[("index.html", "two")], "second");
        world.start();
        let run = world.ended_run("site", &second);
        assert_eq!((run.state.as_str(), run.trigger.as_str()), ("succeeded", "reconcile"));
        let page = world.cli(&["run", &run.id]);
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        assert!(page.contains("  trigger  reconcile\n"), "what asked for it is not said twice: {page}");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        assert_eq!(world.reported(&repository, &second).state, "success");

        // Its id is one of its own kind, and it has its verdict as a push has.
        let id = run.delivery.expect("it was asked for by an entry");
        assert_eq!(id.as_bytes()[14], b'8', "{id}");
        assert_eq!(world.wait_for_verdict(&id, "deployed").deployment.as_deref(), Some("site"));
    });
}

#[test]
fn a_dropped_delivery_is_live_after_the_interval() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);
        let second = repository.commit(&[("index.html", "two")], "second");
        wait_until_live(world, "site", &second);
        let found = compared(world, "site", |found| found.finding.contains("is live"));
        assert_eq!((found.head.as_deref(), found.is_error), (Some(second.as_str()), false));
        assert_eq!(world.runs("site").len(), 2, "what is live is left alone");
        assert!(String::from_utf8_lossy(&world.cli(&["status"]).stdout).contains("COMPARED"));
    });
}

#[test]
fn a_head_that_failed_or_was_rolled_back_is_not_tried_again_and_a_new_one_is() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository).step("build", "build", "test ! -e broken")]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);

        let broken = repository.commit(&[("broken", "")], "broken");
        assert_eq!(world.ended_run("site", &broken).state, "failed");
        compared(world, "site", |found| found.finding.contains("was tried"));
        assert_eq!(runs_of(world, "site", &broken).len(), 1);

        repository.git(&["rm", "-q", "broken"]);
        let repaired = repository.commit(&[("index.html", "two")], "repaired");
        wait_until_live(world, "site", &repaired);

        // An operator goes back: that stays.
        assert!(world.cli(&["rollback", "site"]).status.success());
        wait_until_live(world, "site", &first);
        compared(world, "site", |found| found.finding.contains("was tried"));
        compared(world, "site", |_| true);
        assert_eq!(world.status_of("site").live.expect("live").commit, first);

        // And so does a commit that an operator has named.
        assert!(world.cli(&["deploy", "site", "--commit", &first, "--force"]).status.success());
        compared(world, "site", |found| found.finding.contains("was tried"));
        assert_eq!(world.status_of("site").live.expect("live").commit, first);
        assert_eq!(runs_of(world, "site", &repaired).len(), 1);
    });
}

#[test]
fn a_head_that_gave_way_to_an_operator_while_it_waited_is_left_alone() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        compare_often(world);
        let line = format!("if [ -e wait ]; then {}; fi", gate.shell());
        world.configure(&[world.deployment("site", &repository).step("build", "build", &line)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);
        let second = repository.commit(&[("wait", "")], "second");
        gate.wait_for(&second);
        let third = repository.commit(&[("index.html", "three")], "third");
        wait::until("the third commit to wait", || (world.status_of("site").queued == 1).then_some(()));
        assert!(world.cli(&["rollback", "site", "--to", &first, "--no-wait"]).status.success());
        gate.open();

        wait_until_live(world, "site", &first);
        compared(world, "site", |found| found.finding.contains("superseded by what an operator asked for"));
        compared(world, "site", |_| true);
        assert_eq!(world.status_of("site").live.expect("live").commit, first);
        assert!(runs_of(world, "site", &third).is_empty());

        // The next head is new again.
        let fourth = repository.commit(&[("index.html", "four")], "fourth");
        wait_until_live(world, "site", &fourth);
    });
}

#[test]
fn a_branch_that_is_moved_back_by_force_is_followed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);
        let second = repository.commit(&[("index.html", "two")], "second");
        wait_until_live(world, "site", &second);
        repository.force(&first);
        wait_until_live(world, "site", &first);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        repository.force(&second);
        wait_until_live(world, "site", &second);
    });
}

#[test]
fn a_deleted_branch_changes_nothing_and_is_deployed_when_it_is_made_again() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);

        let second = repository.commit(&[("index.html", "two")], "second");
        repository.delete_branch("main");
        // Heard of, and gone when it is to be fetched: that must not count as tried.
        world.push(&repository, &second);
        let found = compared(world, "site", |found| found.finding.contains("does not exist"));
        assert!(!found.is_error && found.head.is_none(), "{found:?}");
        world.settled("site", 1);
        // It may have been seen in the moment in which it was there.
        let live = world.status_of("site").live.expect("live").commit;
        assert!([&first, &second].contains(&&live));

        let third = repository.commit(&[("index.html", "three")], "third");
        wait_until_live(world, "site", &third);
    });
}

#[test]
fn a_branch_that_was_gone_when_its_push_came_is_deployed_when_the_same_commit_is_back() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let commit = repository.commit(&[("index.html", "one")], "first");
        repository.delete_branch("main");
        world.start();
        let guid = world.push(&repository, &commit);
        world.wait_for_verdict(&guid, "branch-deleted");
        world.stop();

        compare_often(world);
        world.configure(&[world.deployment("site", &repository)]);
        world.start();
        compared(world, "site", |found| found.finding.contains("does not exist"));
        repository.force(&commit);
        wait_until_live(world, "site", &commit);
    });
}

#[test]
fn a_branch_that_was_gone_when_a_comparison_had_found_it_is_deployed_when_the_same_commit_is_back() {
    World::run(|world| {
        let (site, busy) = (world.repository("acme/site"), world.repository("acme/busy"));
        let gate = Gate::new(&world.root().join("gate"));
        compare_often(world);
        world.settings.set("runs.parallel", "1");
        let blocking = world.deployment("busy", &busy).step("build", "wait", &gate.shell());
        world.configure(&[blocking, world.deployment("site", &site)]);
        let blocks = busy.commit(&[("index.html", "one")], "blocks");
        world.start();
        gate.wait_for(&blocks);
        let commit = site.commit(&[("index.html", "one")], "first");
        compared(world, "site", |found| found.finding.contains("work on it waits or is under way"));
        site.delete_branch("main");
        gate.open();
        wait::until_told("the run to find no branch", || {
            world.runs("site").iter().any(|run| run.state == "skipped").then_some(())
        });
        site.set_reference("refs/heads/main", &commit);
        wait_until_live(world, "site", &commit);
    });
}

#[test]
fn a_push_and_a_comparison_of_the_same_commit_are_one_run() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        // Long enough for a comparison to fall into it; every second commit fails.
        let build = "sleep 0.7; test ! -e broken";
        world.configure(&[world.deployment("site", &repository).step("build", "build", build)]);
        let mut commits = vec![repository.commit(&[("index.html", "0")], "first")];
        world.start();
        wait_until_live(world, "site", &commits[0]);
        let mut guids = Vec::new();
        for number in 1..=8 {
            if number % 2 == 0 {
                repository.git(&["rm", "-q", "broken"]);
            } else {
                fs_err::write(repository.work_tree().join("broken"), "").expect("writable");
            }
            let commit = repository.commit(&[("index.html", &number.to_string())], "next");
            // Before, during and after the moment in which reconcile finds it.
            let pause = std::time::Duration::from_millis(number * 150 % 1100);
            if number % 3 != 0 {
                wait::until("the pause", {
                    let end = std::time::Instant::now() + pause;
                    move || (std::time::Instant::now() >= end).then_some(())
                });
            } else {
                wait::until("reconcile to begin", || {
                    (!runs_of(world, "site", &commit).is_empty()).then_some(())
                });
            }
            guids.push(world.push(&repository, &commit));
            world.ended_run("site", &commit);
            commits.push(commit);
        }
        for guid in &guids {
            wait::until("a final verdict", || (world.verdict(guid).code != "queued").then_some(()));
        }
        compared(world, "site", |_| true);
        world.settled("site", 9);
        for commit in &commits {
            let runs = runs_of(world, "site", commit);
            assert_eq!(runs.len(), 1, "{commit}: {runs:#?}");
        }
        // GitHub was told the truth in the end, whoever found the commit.
        for (number, commit) in commits.iter().enumerate() {
            let expected = if number % 2 == 1 { "failure" } else { "success" };
            wait::until(&format!("{expected} for number {number}"), || {
                (world.github.statuses("acme/site", commit).last()?.state == expected).then_some(())
            });
        }
    });
}

#[test]
fn a_daemon_that_is_killed_again_and_again_deploys_the_last_head_all_the_same() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository).step("build", "build", "sleep 0.2")]);
        let mut head = String::new();
        for number in 0..8 {
            head = repository.commit(&[("index.html", &number.to_string())], "next");
            world.start();
            // Killed at another place each time: before it compares, in the spool, in the run, behind it.
            let end = std::time::Instant::now() + std::time::Duration::from_millis(number * 90);
            wait::until("the next kill", || (std::time::Instant::now() >= end).then_some(()));
            world.kill();
        }
        world.start();
        wait_until_live(world, "site", &head);
        world.settled("site", 1);
        let succeeded = |run: &&Run| run.state == "succeeded" && run.commit == head;
        assert_eq!(world.runs("site").iter().filter(succeeded).count(), 1);
    });
}

#[test]
fn a_running_deploy_of_the_head_is_waited_for() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        compare_often(world);
        world.configure(&[world.deployment("site", &repository).step("build", "wait", &gate.shell())]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        gate.wait_for(&first);
        compared(world, "site", |found| found.finding.contains("under way"));
        gate.open();
        wait_until_live(world, "site", &first);
        compared(world, "site", |found| found.finding.contains("is live"));
        assert_eq!(world.runs("site").len(), 1);
    });
}

#[test]
fn all_deployments_of_a_repository_are_compared_by_one_question() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let server = world.github.serve_git(world.root());
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"1h\"");
        repository.commit(&[("index.html", "one")], "first");
        let slugs: Vec<String> = (0..20).map(|number| format!("site-{number}")).collect();
        let deployments: Vec<_> = slugs
            .iter()
            .map(|slug| {
                let deployment =
                    world.deployment(slug, &repository).with("branch", text(&format!("branch/{slug}")));
                deployment.with("clone_url", text(&server.clone_url("acme/site")))
            })
            .collect();
        world.configure(&deployments);
        world.start();
        for slug in &slugs {
            wait::until_told("all to be compared", || world.status_of(slug).compared);
        }
        let asked = |requests: Vec<(String, u16)>| {
            requests
                .iter()
                .filter(|(request, status)| request.contains("/info/refs") && *status == 200)
                .count()
        };
        assert_eq!(asked(server.requests()), 1, "{:?}", server.requests());
    });
}

#[test]
fn what_is_switched_off_is_left_alone() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        compare_often(world);
        repository.commit(&[("index.html", "one")], "first");
        world.configure(&[
            world.deployment("off", &repository).with("enabled", "false"),
            world.deployment("on", &repository),
        ]);
        world.start();
        compared(world, "on", |found| found.finding.contains("is live"));
        assert!(world.status_of("off").compared.is_none() && world.runs("off").is_empty());
        world.stop();

        world.settings.set("reconcile.enabled", "false");
        world.configure(&[world.deployment("on", &repository)]);
        let second = repository.commit(&[("index.html", "two")], "second");
        let before = world.status_of("on").compared.expect("it was compared").at_ms;
        world.start();
        world.push(&repository, &second);
        world.ended_run("on", &second);
        assert_eq!(world.status_of("on").compared.expect("still the old one").at_ms, before);
        assert_eq!(world.runs("on").last().expect("a run").trigger, "delivery");
    });
}

#[test]
fn a_repository_that_is_gone_is_said_and_hinders_nobody() {
    World::run(|world| {
        let [gone, other] = ["acme/gone", "acme/other"].map(|name| world.repository(name));
        compare_often(world);
        let first = gone.commit(&[("index.html", "one")], "first");
        let aside = world.root().join("aside.git");
        let bare = world.root().join("upstream/acme/gone.git");
        fs_err::rename(&bare, &aside).expect("writable");
        world.configure(&[world.deployment("gone", &gone), world.deployment("other", &other)]);
        world.start();
        let found = wait::until_told("the error to be shown", || {
            world.status_of("gone").compared.filter(|found| found.is_error)
        });
        assert!(found.finding.contains("git ls-remote"), "{found:?}");
        let shown = world.cli(&["status"]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("gone cannot be compared"), "{shown:?}");
        let commit = other.commit(&[("index.html", "one")], "first");
        wait_until_live(world, "other", &commit);
        assert!(world.runs("gone").is_empty(), "what cannot be asked for is not tried");
        fs_err::rename(&aside, &bare).expect("writable");
        wait_until_live(world, "gone", &first);
    });
}

#[test]
fn while_the_database_is_away_nothing_is_queued_and_then_it_is() {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    World::run(|world| {
        world.settings.set("database_url", text(&postgres.create_database("durhack")));
        let repository = world.repository("acme/site");
        compare_often(world);
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);
        postgres.stop();
        let second = repository.commit(&[("index.html", "two")], "second");
        let file = world.state().join("compared/site.json");
        wait::until("a comparison that says so", || {
            let found: Comparison = serde_json::from_slice(&fs_err::read(&file).ok()?).ok()?;
            (found.is_error && found.head.as_deref() == Some(&second)).then_some(())
        });
        postgres.start_again();
        wait_until_live(world, "site", &second);
        assert_eq!(runs_of(world, "site", &second).len(), 1);
    });
}

/// Root is not held to such a limit, so the daemon is nobody's.
#[test]
fn a_machine_without_processes_is_not_the_commits_fault() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let gate = Gate::new(&world.root().join("gate"));
        compare_often(world);
        world.drop_privileges();
        let line = format!("if [ -e wait ]; then {}; fi", gate.shell());
        let site = world.deployment("site", &repository).step("install", "wait", &line);
        world.configure(&[site.step("build", "build", "true")]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        wait_until_live(world, "site", &first);

        // By its own user: root in a container may not have the right to.
        let limit = |max: &str| {
            let daemon = world.daemon_id().to_string();
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
            let words = ["prlimit", "--pid", &daemon, &format!("--nproc={max}:")];
            succeed(command("setpriv", world.root()).args(nobody).args(words));
        };
        let second = repository.commit(&[("index.html", "two"), ("wait", "")], "second");
        let guid = world.push(&repository, &second);
        gate.wait_for(&second);
        limit("1");
        gate.open();
        let run = world.ended_run("site", &second);
        let cause = run.cause.as_deref().unwrap_or_default();
        assert!(
            cause.starts_with("build: `/bin/sh` could not be started") && cause.contains("TasksMax="),
            "{run:?}"
        );
        world.wait_for_verdict(&guid, "error");
        assert_eq!(world.reported(&repository, &second).state, "error");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        let before = getrlimit(Resource::Nproc).current;
        limit(&before.map_or("unlimited".into(), |max| max.to_string()));
        wait_until_live(world, "site", &second);
        let runs: Vec<(String, String)> =
            runs_of(world, "site", &second).into_iter().map(|run| (run.state, run.trigger)).collect();
        assert_eq!(runs.last(), Some(&("succeeded".into(), "reconcile".into())), "{runs:?}");
        assert!(runs.iter().rev().skip(1).all(|(state, _)| state == "failed"), "{runs:?}");
    });
}

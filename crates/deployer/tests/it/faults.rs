//! The faults of the Python tool that concern a worker, by their numbers in our description of it. Those that a test
//! elsewhere is about:
//!
//! | fault | test |
//! | --- | --- |
//! | 2 a deleted branch is stuck for ever | `queue::a_deleted_branch_changes_nothing` |
//! | 3 what failed is never tried again | `queue::a_redelivery_after_failure_is_a_retry`, `operator::an_entry_that_was_set_aside_...` |
//! | 4 GitHub's failure blocks a deploy | `queue::github_being_away_delays_the_report_and_nothing_else` |
//! | 5 an older commit wins | `queue::pushes_in_reverse_order_leave_the_head_live` |
//! | 6 order is scrambled | `queue::a_deployment_may_ask_for_every_push`, `daemon::a_backlog_is_worked_off_at_start_in_order` |
//! | 7 half a file is stuck | `daemon::an_operator_may_put_a_buried_entry_back` |
//! | 9 names collide, nothing is fsynced | `crates/spool/tests/it`: `append`, `power_cut` |
//! | 11 silent drops | `queue::what_is_not_a_push_to_the_branch_gets_a_verdict_and_nothing_else` |
//! | 12 no coalescing | `queue::pushes_during_a_deploy_are_one_further_run`, `daemon::a_stop_lets_a_run_end` |
//! | 13 pending for ever after a kill | `daemon::a_daemon_killed_in_a_step_leaves_no_process_and_no_running_run` |
//! | 14 one of two deployments wins | `queue::two_deployments_of_one_branch_each_have_their_run_and_verdict` |
//! | 19 nothing looks for what was missed | `reconcile` |
//! | 21 no time limits | `failures::a_step_hangs`, `failures::a_run_takes_too_long` |
//! | 22 to 31 nginx sites | `recipes::nginx_sites`, by number |
//! | 32 to 39 PM2 applications | `recipes::pnpm_pm2::faults` and `::processes`, by number |
//! | 40 to 42 the tool itself | `recipes::deployer`, by number |

use crate::support::configuration::{Deployment, text};
use crate::support::process::describe;
use crate::support::push::Delivery;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use std::path::PathBuf;

#[test]
fn b01_a_retry_does_the_work_that_failed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let (cure, done) = (world.root().join("cure"), world.root().join("done"));
        let switch = format!("echo $DEPLOYER_COMMIT >> '{}'; test -e '{}'", done.display(), cure.display());
        fs_err::write(&cure, "").expect("the world is writable");
        world.configure(&[world.deployment("site", &repository).step("switch", "sites", &switch)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);

        fs_err::remove_file(&cure).expect("it is ours");
        let second = repository.commit(&[("index.html", "two")], "second");
        let delivery = repository.push_of(&second);
        world.accept(&delivery);
        assert_eq!(world.ended_run("site", &second).state, "failed");
        fs_err::write(&cure, "").expect("the world is writable");
        fs_err::write(&done, "").expect("the world is writable");
        world.accept(&delivery);
        world.wait_for_verdict(&delivery.guid, "deployed");
        assert_eq!(
            fs_err::read_to_string(&done).expect("it was done"),
            format!("{second}\n"),
            "not a green no-op"
        );
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
    });
}

#[test]
fn b08_b10_a_file_counts_when_it_is_moved_into_the_queue_and_not_below_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        assert!(world.launch(world.product(&["listen"])).is_none(), "{}", world.log());
        let guid = world.push(&repository, &first);
        world.stop();
        let spool = world.spool("main");
        let files =
            fs_err::read_dir(&spool).expect("it is there").map(|entry| entry.expect("readable").path());
        let entry: PathBuf =
            files.into_iter().find(|path| path.to_string_lossy().ends_with(".json")).expect("it waits");
        let below = spool.join("aside").join(entry.file_name().expect("a file has a name"));
        fs_err::create_dir(spool.join("aside")).expect("the spool is writable");
        fs_err::rename(&entry, &below).expect("the spool is writable");
        // Neither at a start nor while it runs: what comes later is done, and it is not.
        for _ in 0..2 {
            world.start();
            world.wait_for_verdict(&world.accept(&Delivery::ping("acme/site")), "ping");
            assert!(world.verdicts(&guid).is_empty());
            world.stop();
        }
        world.start();
        fs_err::rename(&below, &entry).expect("the spool is writable");
        world.wait_for_verdict(&guid, "deployed");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
    });
}

#[test]
fn b15_a_deployment_cannot_take_the_main_queue() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let named = |slug: &str| {
            let quoted = text(slug);
            let deployment = Deployment::new(if slug == "base" { slug } else { &quoted });
            let deployment = deployment.with("repository", "\"acme/site\"").with("branch", "\"main\"");
            let path = text(&world.root().join("srv").join(slug.replace(['/', '.'], "_")).to_string_lossy());
            deployment.with("path", path).with("clone_url", text(&repository.clone_url()))
        };
        world.configure(&[named("main"), named("base"), named("../main")]);
        let checked = world.cli(&["config", "check"]);
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(
            !checked.status.success() && said.contains("`main` is the name of"),
            "{}",
            describe(&checked)
        );
        assert!(said.contains("\"../main\""), "{said}");
        let commit = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &commit);
        assert_eq!(world.ended_run("base", &commit).state, "succeeded");
        assert!(world.runs("main").is_empty());
    });
}

#[test]
fn b16_what_the_configuration_accepts_has_a_worker() {
    World::run(|world| {
        let names = ["ducompsoc/durhack-guilds", "ducompsoc/durhack-live", "ducompsoc/durhack-jury"];
        let repositories: Vec<Repository> = names.iter().map(|name| world.repository(name)).collect();
        let deployment = |repository: &Repository| {
            let slug = repository.name.split_once('/').expect("owner/name").1;
            let deployment = Deployment::new(slug).with("repository", text(&repository.name));
            let deployment = deployment.with("branch", "\"main\"").with("instance_name", text(slug));
            let path = text(&world.path_of(slug).to_string_lossy());
            deployment.with("path", path).with("clone_url", text(&repository.clone_url()))
        };
        // As the original wrote them: without a recipe, and without steps.
        let deployments: Vec<Deployment> = repositories.iter().map(deployment).collect();
        let file = world.settings.file(&deployments).replace("steps = []\n", "");
        fs_err::write(world.root().join("config/default.toml"), file).expect("the world is writable");
        world.start();
        for repository in &repositories {
            let commit = repository.commit(&[("README.md", "")], "first");
            let guid = world.push(repository, &commit);
            let decided = wait::until("a verdict that lasts", || {
                Some(world.verdict(&guid)).filter(|verdict| verdict.code != "queued")
            });
            assert!(["deployed", "failed"].contains(&decided.code.as_str()), "{decided:?}");
            assert!(
                ["success", "failure", "error"].contains(&world.reported(repository, &commit).state.as_str())
            );
        }
    });
}

#[test]
fn b17_one_deployment_in_trouble_stops_neither_the_others_nor_itself_for_ever() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let path = world.path_of("ill");
        // Nothing can be deployed into a file.
        fs_err::write(&path, "in the way").expect("the world is writable");
        world.configure(&[world.deployment("ill", &repository), world.deployment("well", &repository)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let delivery = repository.push_of(&first);
        world.accept(&delivery);
        assert_eq!(world.ended_run("well", &first).state, "succeeded");
        assert_eq!(world.ended_run("ill", &first).state, "failed");
        fs_err::remove_file(&path).expect("it is ours");
        world.accept(&delivery);
        let healed = || world.runs("ill").iter().any(|run| run.state == "succeeded").then_some(());
        wait::until("the redelivery to heal it", healed);
        assert_eq!(world.live("ill", "index.html").as_deref(), Some("one"));
        assert_eq!(world.runs("well").len(), 1);
    });
}

#[test]
fn b18_a_command_line_without_a_command_says_how_it_is_used() {
    World::run(|world| {
        let nothing = world.cli(&[]);
        assert_eq!(nothing.status.code(), Some(2));
        let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert!(said.contains("Usage:") && !said.contains("panicked"), "{said}");
    });
}

#[test]
fn b20_a_shell_that_dies_of_a_signal_has_failed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let die = "[ ! -e signal ] || kill -$(cat signal) $$";
        let restarts = world.root().join("restarts");
        let restart = format!("echo $DEPLOYER_COMMIT >> '{}'", restarts.display());
        let deployment = world.deployment("site", &repository).step("build", "compile", die);
        world.configure(&[deployment.step("switch", "restart", &restart)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        for signal in ["9", "15"] {
            let killed = repository.commit(&[("signal", signal)], signal);
            world.push(&repository, &killed);
            let run = world.ended_run("site", &killed);
            let cause = run.cause.expect("it failed");
            assert_eq!(run.state, "failed");
            assert!(cause.contains(&format!("was killed by signal {signal}")), "{cause}");
        }
        assert_eq!(fs_err::read_to_string(&restarts).expect("once"), format!("{first}\n"), "nothing went on");
    });
}

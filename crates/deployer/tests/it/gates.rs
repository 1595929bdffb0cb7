//! What stands between a commit and its deploy: checks, a signature, an approval, a freeze.

use crate::support::configuration::text;
use crate::support::github::Weather;
use crate::support::process::{command, describe, succeed};
use crate::support::push::Delivery;
use crate::support::record::Run;
use crate::support::repository::Repository;
use crate::support::wait;
use crate::support::world::World;
use jiff::{SignedDuration, Timestamp};
use std::path::{Path, PathBuf};

/// An event of the checks of a commit arrives.
#[track_caller]
fn tell(world: &World, event: &str, commit: &str) -> String {
    world.accept(&Delivery::checked(event, "acme/site", commit))
}

fn runs_of(world: &World, commit: &str) -> Vec<Run> {
    world.runs("site").into_iter().filter(|run| run.commit == commit).collect()
}

/// Waits until the newest run of a commit has ended so.
#[track_caller]
fn held(world: &World, commit: &str, state: &str, cause: &str) -> Run {
    wait::until_told(&format!("{commit} to be {state}: {cause}"), || {
        let newest = runs_of(world, commit).pop()?;
        (newest.state == state && newest.cause.as_deref() == Some(cause)).then_some(newest)
    })
}

#[track_caller]
fn wait_until_live(world: &World, commit: &str) {
    wait::until_told(&format!("{commit} to be live"), || {
        world.status_of("site").live.filter(|live| live.commit == commit)
    });
}

/// Waits until GitHub has heard this of a commit.
#[track_caller]
fn told(world: &World, commit: &str, state: &str, description: &str) {
    wait::until(&format!("{state}: {description}"), || {
        let mut all = world.github.statuses("acme/site", commit).into_iter();
        let last = all.rfind(|status| status.context.ends_with("/site"))?;
        (last.state == state && last.description == description).then_some(())
    });
}

/// What a refused command said.
#[track_caller]
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = world.cli(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", describe(&output));
    describe(&output)
}

#[test]
fn a_commit_is_deployed_when_all_its_checks_have_succeeded() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let checks = r#"["test", "ci/lint"]"#;
        let plain = world.deployment("plain", &repository);
        world.configure(&[world.deployment("site", &repository).with("require_checks", checks), plain]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let push = world.push(&repository, &first);
        held(world, &first, "waiting", "waiting for test, ci/lint");
        told(world, &first, "pending", "waiting for test, ci/lint");
        assert_eq!(world.verdicts(&push).iter().filter(|verdict| verdict.code == "waiting").count(), 1);
        assert!(world.status_of("site").live.is_none());
        let status = describe(&world.cli(&["status"]));
        assert!(status.contains("waiting") && status.contains("waiting for test, ci/lint"), "{status}");

        // What says nothing new leads to no run, and what is about something else to nothing at all.
        let nothing_new = tell(world, "check_suite", &first);
        world.wait_for_verdict(&nothing_new, "waiting");
        let other_commit = tell(world, "check_run", &"a".repeat(40));
        world.wait_for_verdict(&other_commit, "not-waited-for");
        let other_repository = world.accept(&Delivery::checked("status", "acme/other", &first));
        world.wait_for_verdict(&other_repository, "event-not-handled");
        assert_eq!(runs_of(world, &first).iter().filter(|run| run.deployment == "site").count(), 1);

        world.github.set_check(&first, "test", "success");
        let one_of_two = tell(world, "check_run", &first);
        held(world, &first, "waiting", "waiting for ci/lint");
        world.github.set_context(&first, "ci/lint", "success");
        let last = tell(world, "status", &first);
        wait_until_live(world, &first);
        for delivery in [&one_of_two, &last] {
            world.wait_for_verdict(delivery, "deployed");
        }
        // The push has the outcome of the run that it led to in the end.
        wait::until_told("the push to be deployed by both", || {
            let verdicts = world.verdicts(&push);
            (verdicts.len() == 2 && verdicts.iter().all(|verdict| verdict.code == "deployed")).then_some(())
        });
        let late = tell(world, "workflow_run", &first);
        world.wait_for_verdict(&late, "not-waited-for");
        assert_eq!(runs_of(world, &first).len(), 3);
    });
}

#[test]
fn an_event_that_comes_while_the_run_decides_is_not_lost() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.github.set_weather(Weather::Hangs);
        world.push(&repository, &first);
        wait::until("the run to ask", || {
            world.github.requests().iter().any(|request| request.ends_with("/check-runs")).then_some(())
        });
        world.github.set_check(&first, "test", "success");
        let event = tell(world, "check_run", &first);
        world.wait_for_verdict(&event, "queued");
        world.github.set_weather(Weather::Fine);
        wait_until_live(world, &first);
        world.wait_for_verdict(&event, "deployed");
    });
}

#[test]
fn what_waits_because_github_was_away_needs_no_further_event() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        held(world, &first, "waiting", "waiting for test");
        world.github.set_weather(Weather::Fails);
        world.github.set_check(&first, "test", "success");
        // The only event that there will be.
        tell(world, "check_run", &first);
        held(world, &first, "waiting", "waiting for test (GitHub cannot be asked now)");
        let again = tell(world, "check_suite", &first);
        world.wait_for_verdict(&again, "waiting");
        assert_eq!(runs_of(world, &first).len(), 2, "no run without news");
        world.github.set_weather(Weather::Fine);
        wait_until_live(world, &first);
    });
}

#[test]
fn what_would_change_nothing_does_not_wait() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository).with("paths", r#"["site/**"]"#);
        world.configure(&[deployment.with("approval", "true")]);
        let first = repository.commit(&[("site/index.html", "one")], "first");
        world.start();
        assert!(world.cli(&["deploy", "site", "--force"]).status.success());
        assert!(world.cli(&["deploy", "site"]).status.success(), "it is live already");
        let second = repository.commit(&[("README", "two")], "second");
        let push = world.push(&repository, &second);
        world.wait_for_verdict(&push, "skipped");
        let third = repository.commit(&[("site/index.html", "three")], "third");
        assert!(describe(&world.cli(&["plan", "site"])).contains("not at once: waiting for approval"));
        let push = world.push(&repository, &third);
        world.wait_for_verdict(&push, "waiting");
        assert_eq!(world.status_of("site").live.expect("live").commit, first);
    });
}

#[test]
fn a_failed_check_is_refused_by_name_and_its_repetition_may_succeed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.github.set_check(&first, "test", "skipped");
        world.start();
        world.deploy("site", &repository, &first);

        let second = repository.commit(&[("index.html", "two")], "second");
        world.github.set_check(&second, "test", "failure");
        let push = world.push(&repository, &second);
        let cause = "the check test did not succeed: failure";
        let run = held(world, &second, "failed", cause);
        assert!(run.summary.is_some_and(|summary| summary.contains("is live")));
        told(world, &second, "failure", cause);
        world.wait_for_verdict(&push, "refused");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        let again = tell(world, "check_suite", &second);
        world.wait_for_verdict(&again, "refused");
        assert_eq!(runs_of(world, &second).len(), 1, "nothing has changed");
        assert!(refused(world, &["deploy", "site"]).contains(cause));

        world.github.set_check(&second, "test", "in_progress");
        tell(world, "workflow_run", &second);
        held(world, &second, "waiting", "waiting for test");
        told(world, &second, "pending", "waiting for test");
        world.github.set_check(&second, "test", "neutral");
        tell(world, "workflow_run", &second);
        wait_until_live(world, &second);
        told(world, &second, "success", "deployed");
    });
}

#[test]
fn a_newer_head_takes_the_place_of_what_waits_and_late_checks_change_nothing() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let push = world.push(&repository, &first);
        held(world, &first, "waiting", "waiting for test");
        let second = repository.commit(&[("index.html", "two")], "second");
        world.github.set_check(&second, "test", "success");
        world.deploy("site", &repository, &second);
        told(world, &first, "error", &format!("superseded by {} while it waited", &second[..7]));
        world.wait_for_verdict(&push, "superseded");

        world.github.set_check(&first, "test", "success");
        let late = tell(world, "check_suite", &first);
        world.wait_for_verdict(&late, "not-waited-for");
        // The head moves on without a word, and then the checks of what waits succeed: what is deployed is never the older one.
        let third = repository.commit(&[("index.html", "three")], "third");
        world.push(&repository, &third);
        held(world, &third, "waiting", "waiting for test");
        let fourth = repository.commit(&[("index.html", "four")], "fourth");
        world.github.set_check(&third, "test", "success");
        let wake_up = tell(world, "check_suite", &third);
        held(world, &fourth, "waiting", "waiting for test");
        world.wait_for_verdict(&wake_up, "waiting");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("two"));
        told(world, &third, "error", &format!("superseded by {} while it waited", &fourth[..7]));
    });
}

#[test]
fn reconcile_sees_checks_of_which_nothing_was_heard_and_starts_no_run_before() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"250ms\"");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        held(world, &first, "waiting", "waiting for test");
        let compared = |wanted: &str| {
            let before = world.status_of("site").compared.map_or(0, |compared| compared.at_ms);
            wait::until_told("two comparisons", || {
                let compared = world.status_of("site").compared?;
                (compared.at_ms > before + 500 && compared.finding.contains(wanted)).then_some(())
            });
        };
        compared("waiting for test");
        assert_eq!(world.runs("site").len(), 1);
        // GitHub's absence is no news.
        world.github.set_weather(Weather::Fails);
        compared("waiting for test");
        assert_eq!(world.runs("site").len(), 1);
        // A commit that comes meanwhile waits too.
        let second = repository.commit(&[("index.html", "two")], "second");
        held(world, &second, "waiting", "waiting for test (GitHub cannot be asked now)");
        world.github.set_check(&second, "test", "success");
        world.github.set_weather(Weather::Fine);
        wait_until_live(world, &second);

        let third = repository.commit(&[("index.html", "three")], "third");
        world.github.set_check(&third, "test", "failure");
        held(world, &third, "failed", "the check test did not succeed: failure");
        compared("did not succeed");
        assert_eq!(runs_of(world, &third).len(), 1);
        world.github.set_check(&third, "test", "success");
        wait_until_live(world, &third);
    });
}

#[test]
fn what_waits_is_deployed_after_a_kill_whatever_came_meanwhile() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let push = world.push(&repository, &first);
        for _ in 0..3 {
            held(world, &first, "waiting", "waiting for test");
            world.kill();
            world.start();
        }
        world.kill();
        // Nobody hears of it; reconcile is off.
        world.github.set_check(&first, "test", "success");
        world.start();
        wait_until_live(world, &first);
        world.wait_for_verdict(&push, "deployed");
        assert_eq!(runs_of(world, &first).len(), 2);
    });
}

#[test]
fn an_operator_passes_what_waits_only_by_force_and_going_back_ends_the_waiting() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("require_checks", r#"["test"]"#)]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        let said = refused(world, &["deploy", "site"]);
        assert!(said.contains("waiting for test") && said.contains("--force"), "{said}");
        assert!(world.cli(&["deploy", "site", "--force"]).status.success());
        let second = repository.commit(&[("index.html", "two")], "second");
        assert!(world.cli(&["deploy", "site", "--force"]).status.success());

        let third = repository.commit(&[("index.html", "three")], "third");
        let push = world.push(&repository, &third);
        held(world, &third, "waiting", "waiting for test");
        // A commit that was named and blocked takes nobody's place.
        let named = refused(world, &["deploy", "site", "--commit", &first]);
        assert!(named.contains("waiting for test; `deploy --force` does not wait"), "{named}");
        assert_eq!(world.wait_for_verdict(&push, "waiting").code, "waiting");
        assert!(world.cli(&["rollback", "site"]).status.success());
        wait_until_live(world, &first);
        world.wait_for_verdict(&push, "superseded");
        world.github.set_check(&third, "test", "success");
        let late = tell(world, "check_suite", &third);
        world.wait_for_verdict(&late, "not-waited-for");
        assert_eq!(world.status_of("site").live.expect("live").commit, first);
        assert_eq!(runs_of(world, &second).len(), 1);
    });
}

/// A new ssh key, and its line of an allowed-signers file.
fn key(world: &World, name: &str) -> (PathBuf, String) {
    let file = world.root().join(name);
    let mut make = command("ssh-keygen", &world.root().join("home"));
    succeed(make.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file));
    let public = fs_err::read_to_string(file.with_extension("pub")).expect("it was made with the key");
    (file, format!("{name}@acme.test OPTIONS {public}"))
}

fn sign_with(repository: &Repository, key: Option<&Path>) {
    repository.git(&["config", "gpg.format", "ssh"]);
    repository.git(&["config", "commit.gpgsign", if key.is_some() { "true" } else { "false" }]);
    if let Some(key) = key {
        repository.git(&["config", "user.signingkey", &key.to_string_lossy()]);
    }
}

#[test]
fn only_a_head_that_an_allowed_signer_has_signed_is_deployed() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let ((alice, line), (mallory, foreign)) = (key(world, "alice"), key(world, "mallory"));
        let signers = world.root().join("allowed-signers");
        let allow = |options: &str| {
            fs_err::write(&signers, line.replace("OPTIONS", options)).expect("writable");
        };
        allow("namespaces=\"git\"");
        // Whoever the deployer runs as may trust others for work of his own.
        let own = world.root().join("own-signers");
        fs_err::write(&own, foreign.replace("OPTIONS", "")).expect("writable");
        let settings = format!("[gpg \"ssh\"]\n\tallowedSignersFile = {}\n", own.display());
        fs_err::write(world.root().join("home/.gitconfig"), settings).expect("writable");
        world.settings.set("reconcile.enabled", "true");
        world.settings.set("reconcile.interval", "\"250ms\"");
        let required = text(&signers.to_string_lossy());
        world.configure(&[world.deployment("site", &repository).with("require_signature", required)]);

        sign_with(&repository, Some(&alice));
        let first = repository.commit(&[("index.html", "one")], "signed");
        world.start();
        wait_until_live(world, &first);

        sign_with(&repository, None);
        let unsigned = repository.commit(&[("index.html", "two")], "unsigned");
        let cause = format!("{} is not signed; only signed commits are deployed", &unsigned[..7]);
        held(world, &unsigned, "failed", &cause);
        told(world, &unsigned, "failure", &cause);
        assert!(refused(world, &["deploy", "site", "--force"]).contains(&cause));
        assert!(refused(world, &["deploy", "site", "--commit", &unsigned, "--force"]).contains(&cause));

        sign_with(&repository, Some(&mallory));
        let foreign = repository.commit(&[("index.html", "three")], "by a stranger");
        let run = world.ended_run("site", &foreign);
        let cause = run.cause.unwrap_or_default();
        assert!(run.state == "failed" && cause.contains("is not signed by an allowed signer"), "{cause}");

        // As GitHub signs merges; no gpg is asked.
        let stored = repository.git(&["cat-file", "commit", &first]);
        let (headers, _) = stored.split_once("gpgsig ").expect("it is signed");
        let armour =
            "gpgsig -----BEGIN PGP SIGNATURE-----\n \n wsBc\n -----END PGP SIGNATURE-----\n\nmerged\n";
        let file = world.root().join("commit");
        fs_err::write(&file, format!("{headers}{armour}")).expect("writable");
        let merged = repository.git(&["hash-object", "-t", "commit", "-w", &file.to_string_lossy()]);
        world.github.add_commit("acme/site", &merged);
        repository.force(&merged);
        let openpgp =
            format!("{} is signed with OpenPGP; only ssh signatures of allowed signers count", &merged[..7]);
        held(world, &merged, "failed", &openpgp);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        // A key that had expired when the commit was made, and then not.
        allow("valid-before=\"20200101\"");
        repository.force(&first);
        sign_with(&repository, Some(&alice));
        let expired = repository.commit(&[("index.html", "four")], "by a key that has expired");
        let run = world.ended_run("site", &expired);
        assert_eq!(run.state, "failed", "{run:?}");
        allow("valid-after=\"20200101\"");
        wait_until_live(world, &expired);
        assert_eq!(world.live("site", "index.html").as_deref(), Some("four"));
        assert_eq!(runs_of(world, &foreign).len(), 1, "no run without news");
        fs_err::remove_file(&signers).expect("it is ours");
        let closed = repository.commit(&[("index.html", "five")], "nobody is allowed");
        let run = world.ended_run("site", &closed);
        assert!(run.cause.unwrap_or_default().contains("cannot be read"));
        assert_eq!(world.live("site", "index.html").as_deref(), Some("four"));
    });
}

#[test]
fn a_commit_waits_for_its_approval_and_no_other_has_it() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        world.configure(&[world.deployment("site", &repository).with("approval", "true")]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        assert!(refused(world, &["approve", "site"]).contains("nothing of site waits"));
        let push = world.push(&repository, &first);
        held(world, &first, "waiting", "waiting for approval");
        let said = refused(world, &["deploy", "site"]);
        assert!(said.contains("durhack-deployer approve site"), "{said}");
        assert!(refused(world, &["approve", "site", &"a".repeat(40)]).contains("not aaaa"));
        assert!(refused(world, &["approve", "site", ""]).contains("what waits is"));
        assert!(world.cli(&["approve", "site", &first[..8]]).status.success());
        wait_until_live(world, &first);
        world.wait_for_verdict(&push, "deployed");

        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        held(world, &second, "waiting", "waiting for approval");
        // The head moves on, unheard of: what was approved is not what would be deployed.
        let third = repository.commit(&[("index.html", "three")], "third");
        let said = refused(world, &["approve", "site", &second]);
        assert!(said.contains(&third[..7]), "{said}");
        held(world, &third, "waiting", "waiting for approval");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));

        // Without a daemon it is the same.
        world.stop();
        assert!(world.cli(&["approve", "site"]).status.success());
        assert_eq!(world.live("site", "index.html").as_deref(), Some("three"));
        assert!(world.cli(&["rollback", "site"]).status.success(), "going back needs no approval");
        assert_eq!(world.live("site", "index.html").as_deref(), Some("one"));
        world.start();
    });
}

/// A window from an hour ago to so many seconds from now.
fn window(seconds: i64) -> String {
    let border = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let now = durhack_deployer::base::clock::now();
    let (start, end) = (now - SignedDuration::from_hours(1), now + SignedDuration::from_secs(seconds));
    format!("[\"{}-{}\"]", border(start), border(end))
}

#[test]
fn a_freeze_holds_back_until_it_ends() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository);
        world.configure(std::slice::from_ref(&deployment));
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.deploy("site", &repository, &first);
        let second = repository.commit(&[("index.html", "two")], "second");
        world.deploy("site", &repository, &second);
        world.stop();

        world.configure(&[deployment.with("freeze", window(20))]);
        world.start();
        let third = repository.commit(&[("index.html", "three")], "third");
        let push = world.push(&repository, &third);
        let run = world.ended_run("site", &third);
        let cause = run.cause.unwrap_or_default();
        assert!(run.state == "waiting" && cause.contains("the end of the freeze"), "{cause}");
        // Nobody does anything: it ends.
        wait_until_live(world, &third);
        world.wait_for_verdict(&push, "deployed");
    });
}

#[test]
fn a_freeze_lets_through_what_is_released_and_whoever_goes_back() {
    World::run(|world| {
        let repository = world.repository("acme/site");
        let deployment = world.deployment("site", &repository).with("freeze", window(24 * 3600));
        world.configure(&[deployment]);
        let first = repository.commit(&[("index.html", "one")], "first");
        world.start();
        world.push(&repository, &first);
        let frozen = world.ended_run("site", &first).cause.unwrap_or_default();
        assert!(refused(world, &["deploy", "site"]).contains("durhack-deployer unfreeze site"));
        let by_its_old_name = world.cli(&["release", "site"]);
        assert!(by_its_old_name.status.success());
        let warning = String::from_utf8_lossy(&by_its_old_name.stderr).into_owned();
        assert!(
            warning.contains("`durhack-deployer release` is called `durhack-deployer unfreeze` now"),
            "{warning}"
        );
        wait_until_live(world, &first);
        assert!(refused(world, &["unfreeze", "site"]).contains("nothing of site waits"));

        let second = repository.commit(&[("index.html", "two")], "second");
        world.push(&repository, &second);
        held(world, &second, "waiting", &frozen);
        assert!(refused(world, &["unfreeze", "site", "--until", "tomorrow"]).contains("is not a time"));
        assert!(world.cli(&["unfreeze", "site", "--until", "2999-01-01 00:00"]).status.success());
        wait_until_live(world, &second);
        let third = repository.commit(&[("index.html", "three")], "third");
        world.deploy("site", &repository, &third);
        assert!(world.cli(&["unfreeze", "site", "--until", "2026-01-01 00:00"]).status.success());
        let fourth = repository.commit(&[("index.html", "four")], "fourth");
        world.push(&repository, &fourth);
        held(world, &fourth, "waiting", &frozen);
        assert!(world.cli(&["rollback", "site"]).status.success());
        wait_until_live(world, &second);
    });
}

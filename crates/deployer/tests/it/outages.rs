//! Nothing is missed and everything is told, whatever was away: schedules of pushes and outages that follow from seeds.
//!
//! A schedule is what happens to one repository ([`schedule`]): pushes, merges, force pushes, a branch that is deleted and made
//! again, and what becomes of each delivery. So many of them share a world (a batch), and go on in step; what happens to
//! the world meanwhile (the daemon is killed or down, GitHub's API fails or limits, the repositories cannot be reached) follows from
//! the batch. Then everything is up again, what is late arrives, and when nothing is left to do each repository is judged
//! ([`judgement`]).
//!
//! A sample is run with the other tests; `cargo xtask outages` runs as many as are wished for. What failed is printed with its
//! seed, and `OUTAGE_SEED=17` runs just that one again, with what happened to the world around it. What cannot be repeated is
//! the time that everything takes, so a seed may need some attempts.

mod dice;
mod judgement;
mod schedule;
mod site;

use crate::support::github::Weather;
use crate::support::record::{DeploymentStatus, Run};
use crate::support::wait;
use crate::support::world::World;
use dice::Dice;
use durhack_deployer::base::clock::now_ms;
use schedule::{Outage, Schedule, Step};
use serde_json::Value;
use site::Site;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Schedules that share a world: a daemon has as much to do as it ever will, and a start costs each of them little.
const BATCH: u64 = 40;

/// How many are run with the other tests: half a minute's worth.
const SAMPLE: u64 = 12;

/// More runs than a batch can have.
const RUNS_MAX: &str = "100000";

#[test]
fn after_any_outage_every_head_is_live_and_every_commit_told() {
    let seeds = wished();
    let mut failed = Vec::new();
    for batch in seeds.start / BATCH..seeds.end.div_ceil(BATCH) {
        let of_batch = seeds.start.max(batch * BATCH)..seeds.end.min((batch + 1) * BATCH);
        eprintln!("schedules {} to {} (until {})", of_batch.start, of_batch.end - 1, seeds.end - 1);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            World::run(|world| {
                let guilty = follow(world, batch, of_batch.clone());
                failed.extend(&guilty);
                assert!(guilty.is_empty(), "schedules failed: {guilty:?}");
            });
        }));
        if outcome.is_err() && !failed.iter().any(|seed| of_batch.contains(seed)) {
            // The world itself failed: any of them may be to blame.
            failed.push(of_batch.start);
        }
    }
    assert!(failed.is_empty(), "run again, one by one, with {}", hints(&failed));
}

fn hints(seeds: &[u64]) -> String {
    let hints: Vec<String> = seeds.iter().map(|seed| format!("OUTAGE_SEED={seed}")).collect();
    hints.join(", ")
}

/// Which schedules: the sample, or as the environment says.
#[expect(clippy::disallowed_methods, reason = "how the test is to be run, from cargo xtask or by hand")]
fn wished() -> Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let first: Option<u64> = number("OUTAGE_SEED");
    let schedules = number("OUTAGE_SCHEDULES").unwrap_or(if first.is_some() { 1 } else { SAMPLE });
    let first = first.unwrap_or(0);
    first..first + schedules
}

/// Runs a batch to its end. Which of its schedules failed.
fn follow(world: &mut World, batch: u64, seeds: Range<u64>) -> Vec<u64> {
    world.settings.set("reconcile.enabled", "true");
    world.settings.set("reconcile.interval", "\"1s\"");
    let mut sites: Vec<Site> = seeds.clone().map(|seed| Site::new(world, Schedule::new(seed))).collect();
    let deployments: Vec<_> = sites.iter().flat_map(|site| site.deployments(world)).collect();
    world.configure(&deployments);
    reach_repositories(world, true);
    world.start();
    let outages = schedule::outages(batch, usize::try_from(BATCH).expect("it is small"));
    // Who is judged before everything is quiet would be found guilty of what was not done yet.
    for (round, (outage, after)) in outages.iter().enumerate() {
        if let Some((seed, wrong)) = play(world, &mut sites, round, *outage, *after) {
            let site = sites.iter().find(|site| site.schedule.seed == seed).expect("it is one of them");
            accuse(site, &outages, &[wrong]);
            return vec![seed];
        }
    }
    deliver_late(world, batch, &mut sites);
    let quiet = catch_unwind(AssertUnwindSafe(|| wait_until_quiet(world, &sites)));
    let runs = runs(world);
    let mut guilty = Vec::new();
    for site in &sites {
        let wrong = judgement::judge(world, site, &runs);
        if !wrong.is_empty() {
            guilty.push(site.schedule.seed);
            accuse(site, &outages, &wrong);
        }
    }
    assert!(
        quiet.is_ok() || !guilty.is_empty(),
        "schedules {seeds:?} never come to an end: {:#}",
        status(world)
    );
    guilty
}

fn accuse(site: &Site, outages: &[(Outage, usize)], wrong: &[String]) {
    eprintln!("=== OUTAGE_SEED={} FAILED\n{}", site.schedule.seed, site.schedule);
    eprintln!("  the world, and after whose turn: {outages:?}\n  {}", wrong.join("\n  "));
}

/// One round: everybody's turn, and what happens to the world after so many of them. Whose wait was in vain, and for what.
fn play(
    world: &mut World,
    sites: &mut [Site],
    round: usize,
    outage: Outage,
    after: usize,
) -> Option<(u64, String)> {
    let mut has_begun = false;
    for site in sites {
        // As many have had their turn in this batch, also where only one of it is run.
        let turn = usize::try_from(site.schedule.seed % BATCH).expect("it is small");
        if !has_begun && turn >= after {
            begin(world, outage);
            has_begun = true;
        }
        match site.step(round) {
            Step::Moves { branch, head, fate, .. } => site.move_branch(world, branch, head, fate),
            Step::Waits { branch } => {
                let is_hopeless = has_begun && matches!(outage, Outage::Dead | Outage::Down | Outage::Git);
                let wait = AssertUnwindSafe(|| wait_for_head(world, site, branch));
                if !is_hopeless && catch_unwind(wait).is_err() {
                    let wrong = format!("round {round}: the head of {} does not go live", site.slug(branch));
                    return Some((site.schedule.seed, wrong));
                }
            }
        }
    }
    if !has_begun {
        begin(world, outage);
    }
    end(world, outage);
    None
}

/// Waits until a branch's head is live, if it has one that can be.
fn wait_for_head(world: &World, site: &Site, branch: usize) {
    if let Some(head) = site.good_head(branch) {
        let what = format!("OUTAGE_SEED={}: commit {head} live in {}", site.schedule.seed, site.slug(branch));
        wait::until(&what, || (site.live(world, branch) == Some(head)).then_some(()));
    }
}

fn begin(world: &mut World, outage: Outage) {
    match outage {
        Outage::None => {}
        Outage::Killed => {
            world.kill();
            world.start();
        }
        Outage::Stopped => {
            world.stop();
            world.start();
        }
        Outage::Dead => world.kill(),
        Outage::Down => drop(world.stop()),
        Outage::Api(weather) => world.github.set_weather(weather),
        Outage::Git => reach_repositories(world, false),
    }
}

fn end(world: &mut World, outage: Outage) {
    match outage {
        Outage::None | Outage::Killed | Outage::Stopped => {}
        Outage::Dead | Outage::Down => world.start(),
        Outage::Api(_) => world.github.set_weather(Weather::Fine),
        Outage::Git => reach_repositories(world, true),
    }
}

/// Whether the daemon can fetch from the repositories; pushes reach them always.
fn reach_repositories(world: &World, can: bool) {
    let link = site::reachable(world);
    match can {
        true => fs_err::os::unix::fs::symlink(world.root().join("upstream"), link).expect("writable"),
        false => fs_err::remove_file(link).expect("it was reachable"),
    }
}

fn deliver_late(world: &World, batch: u64, sites: &mut [Site]) {
    let mut late: Vec<_> = sites.iter_mut().flat_map(Site::take_late).collect();
    Dice::new(batch).shuffle(&mut late);
    late.iter().for_each(|delivery| site::send(world, delivery));
}

/// Waits until every head is live, every commit told, and, when every branch was compared once more, nothing waits or runs.
fn wait_until_quiet(world: &World, sites: &[Site]) {
    for site in sites {
        for branch in 0..site.schedule.branches {
            wait_for_head(world, site, branch);
        }
    }
    // These questions are cheap, and the next one is not: a process each time.
    let is_pending = |site: &Site| judgement::pending(world, site).next().is_some();
    wait::until("every commit to be told", || (!sites.iter().any(is_pending)).then_some(()));
    wait::until("nothing to be left to do", || {
        let before = runs_at_rest(world)?;
        let since = now_ms();
        wait::until("every branch to be compared", || {
            sites.iter().all(|site| site.was_compared(world, since)).then_some(())
        });
        (runs_at_rest(world)? == before).then_some(())
    });
}

/// How many runs there were, if nothing waits, runs or is untold.
fn runs_at_rest(world: &World) -> Option<usize> {
    let status = status(world);
    let deployments: Vec<DeploymentStatus> =
        serde_json::from_value(status["deployments"].clone()).expect("a list of deployments");
    let runs = runs(world);
    let is_at_rest = status["deliveries_waiting"] == 0
        && status["statuses_unsent"] == 0
        && runs.iter().all(Run::is_final)
        && deployments.iter().all(|deployment| deployment.queued == 0);
    is_at_rest.then_some(runs.len())
}

#[track_caller]
fn status(world: &World) -> Value {
    let output = world.cli(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).expect("status --json prints JSON")
}

#[track_caller]
fn runs(world: &World) -> Vec<Run> {
    let output = world.cli(&["runs", "--json", "--limit", RUNS_MAX]);
    serde_json::from_slice(&output.stdout).expect("runs --json prints JSON")
}

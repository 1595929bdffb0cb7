//! `kill -9` of the daemon at every named point of the way from accept to the end of a run, in every scenario; at a sample of its
//! system calls; and a second time while it recovers from the first.
//!
//! Theory of operation: a [`Scenario`] is played once without any death, by a daemon that writes down which points it reaches; then
//! once for each of these, with a daemon that dies there and another that finds what is left. After each play a
//! [`Stage`] asks the same questions, and deploys a further push. A new `failpoint!` in the sources is in the sweep
//! by being there; one that no scenario reaches fails [`every_point_is_on_the_way`].
//!
//! `cargo xtask test` takes a sample, `cargo xtask sweep` takes everything: see [`Extent`].

mod extent;
mod kill;
mod scenario;
mod stage;

use crate::support::world::{World, files_under};
use extent::Extent;
use kill::Kill;
use scenario::Scenario;
use stage::{Log, Stage};
use std::collections::BTreeSet;
use std::path::Path;

/// Deaths per scenario that the routine test tries.
const POINTS_SAMPLE: usize = 3;

/// Deaths during recovery that the routine test tries, per scenario.
const SECOND_DEATHS_SAMPLE: usize = 1;

/// Deaths at system calls that the routine test tries, per scenario.
const CALLS_SAMPLE: usize = 3;

/// Plays after which a new world is made, so that what a failure prints can still be read.
const PLAYS_PER_WORLD: usize = 20;

#[test]
fn a_first_deploy() {
    deaths_at_points(Scenario::FirstDeploy);
}

#[test]
fn a_next_deploy() {
    deaths_at_points(Scenario::NextDeploy);
}

#[test]
fn a_build_that_fails() {
    deaths_at_points(Scenario::BuildFails);
}

#[test]
fn a_health_check_that_fails() {
    deaths_at_points(Scenario::HealthFails);
}

#[test]
fn a_rollback() {
    deaths_at_points(Scenario::Rollback);
}

#[test]
fn a_deploy_in_place() {
    deaths_at_points(Scenario::InPlace);
}

#[test]
fn a_deploy_in_place_that_fails() {
    deaths_at_points(Scenario::InPlaceFails);
}

#[test]
fn a_second_death_during_recovery() {
    for scenario in [Scenario::NextDeploy, Scenario::Rollback, Scenario::InPlaceFails] {
        let first = [first_death(scenario)];
        let extent = Extent::of_environment();
        let second = extent.choose(observed(scenario, &first, Log::Points), SECOND_DEATHS_SAMPLE);
        die(&extent, scenario, &first, &second);
    }
}

#[test]
fn system_calls() {
    let extent = Extent::of_environment();
    for scenario in [Scenario::NextDeploy, Scenario::HealthFails] {
        let calls = extent.choose(observed(scenario, &[], Log::Calls), CALLS_SAMPLE);
        let deaths = die(&extent, scenario, &[], &calls);
        // The same call need not be the same thread's the next time. Most are.
        assert!(2 * deaths >= calls.len(), "only {deaths} of {} deaths came to pass", calls.len());
    }
}

/// A point that is never reached proves nothing.
#[test]
fn every_point_is_on_the_way() {
    let mut never = points_in_sources();
    for scenario in Scenario::ALL {
        for before in [&[][..], &[first_death(scenario)]] {
            if never.is_empty() {
                return;
            }
            for point in observed(scenario, before, Log::Points).into_iter().filter_map(Kill::into_point) {
                never.remove(&point);
            }
        }
    }
    assert!(never.is_empty(), "no scenario reaches {never:?}");
}

/// One death each, at every point on the scenario's way that the extent asks for.
fn deaths_at_points(scenario: Scenario) {
    let extent = Extent::of_environment();
    let points = extent.choose(observed(scenario, &[], Log::Points), POINTS_SAMPLE);
    die(&extent, scenario, &[], &points);
}

/// What a daemon comes by in a scenario, after those before it have died.
fn observed(scenario: Scenario, before: &[Kill], log: Log) -> Vec<Kill> {
    let mut observed = Vec::new();
    World::run(|world| observed = Stage::set(world, scenario).play(before, log).0);
    assert!(!observed.is_empty(), "a daemon comes by something");
    observed
}

/// Plays a scenario once for each of these deaths, `before` coming first. Gives how many of them came to pass.
fn die(extent: &Extent, scenario: Scenario, before: &[Kill], kills: &[Kill]) -> usize {
    let mut deaths = 0;
    // There is only one first deploy in a world.
    let plays_per_world = if scenario == Scenario::FirstDeploy { 1 } else { PLAYS_PER_WORLD };
    for (world_number, kills_of_world) in kills.chunks(plays_per_world).enumerate() {
        World::run(|world| {
            let mut stage = Stage::set(world, scenario);
            for (number, kill) in kills_of_world.iter().enumerate() {
                let all = [before, std::slice::from_ref(kill)].concat();
                let number = world_number * plays_per_world + number + 1;
                let _place = extent.announce(scenario, &all, number, kills.len());
                deaths += stage.play(&all, Log::Nothing).1 - before.len();
                stage.deploy_further();
            }
        });
    }
    deaths
}

/// Where the first daemon of two dies: where there is much to undo.
fn first_death(scenario: Scenario) -> Kill {
    let name = match scenario {
        Scenario::BuildFails => "taken-back",
        Scenario::InPlace | Scenario::InPlaceFails => "tree-updated",
        _ => "link-moved",
    };
    Kill::Point { name: name.to_owned(), time: 1 }
}

/// The names of all points in the product's sources.
fn points_in_sources() -> BTreeSet<String> {
    let files = files_under(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).into_iter();
    let sources = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut names = BTreeSet::new();
    for source in sources {
        let text = fs_err::read_to_string(source).expect("a source is text");
        names.extend(
            text.split("failpoint!(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
        );
    }
    names
}

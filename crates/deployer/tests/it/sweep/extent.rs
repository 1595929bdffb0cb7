//! How much of the sweep is done, and saying where it is.
//!
//! Without a wish it is a sample: a few deaths, spread over the way, always the same ones. `cargo xtask sweep` wishes by the
//! environment: `DEPLOYER_SWEEP_EVERY` (each how-manieth death), `DEPLOYER_SWEEP_SEED` (beginning with which),
//! `DEPLOYER_SWEEP_ONLY` (those whose name contains this).

use super::kill::Kill;
use super::scenario::Scenario;

#[derive(Debug, Clone)]
pub struct Extent {
    every: Option<usize>,
    seed: usize,
    only: String,
}

impl Extent {
    pub fn of_environment() -> Self {
        let number = |name| variable(name).map(|text| text.parse().expect("a number, by cargo xtask sweep"));
        Self {
            every: number("DEPLOYER_SWEEP_EVERY"),
            seed: number("DEPLOYER_SWEEP_SEED").unwrap_or(0),
            only: variable("DEPLOYER_SWEEP_ONLY").unwrap_or_default(),
        }
    }

    /// Those of the deaths that are to be died: so many, where nothing else is wished.
    pub fn choose(&self, mut kills: Vec<Kill>, sample: usize) -> Vec<Kill> {
        kills.retain(|kill| kill.to_string().contains(&self.only));
        let every = self.every.unwrap_or_else(|| kills.len().div_ceil(sample)).max(1);
        kills.into_iter().skip(self.seed % every).step_by(every).collect()
    }

    /// Says where the sweep is. What this gives says it again if the test fails before it is dropped.
    #[must_use]
    pub fn announce(&self, scenario: Scenario, kills: &[Kill], number: usize, of: usize) -> Place {
        let names: Vec<String> = kills.iter().map(Kill::to_string).collect();
        let place = format!("{scenario:?} at {}", names.join(", then at "));
        if self.every.is_some() {
            eprintln!("{number:>4} of {of}: {place}");
        }
        Place(place)
    }
}

/// Where the sweep is.
pub struct Place(String);

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== THE SWEEP FAILED: {}", self.0);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how the test is to be run, from cargo xtask")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn a_sample_is_spread_and_a_sweep_is_complete() {
    let kills = || (1..=10).map(|time| Kill::Point { name: "point".into(), time }).collect::<Vec<_>>();
    let shown =
        |extent: &Extent| -> Vec<String> { extent.choose(kills(), 3).iter().map(Kill::to_string).collect() };
    let extent = Extent { every: None, seed: 0, only: String::new() };
    assert_eq!(shown(&extent), ["point:1", "point:5", "point:9"]);
    assert_eq!(shown(&Extent { every: Some(1), ..extent.clone() }).len(), 10);
    assert_eq!(shown(&Extent { every: Some(4), seed: 6, ..extent.clone() }), ["point:3", "point:7"]);
    assert_eq!(shown(&Extent { only: "t:10".into(), ..extent }), ["point:10"]);
}

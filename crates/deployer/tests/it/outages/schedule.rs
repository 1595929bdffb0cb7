//! What happens to one repository, and what to the world around it, as it follows from a seed.

use super::dice::Dice;
use crate::support::github::Weather;
use std::fmt;

/// Moments of a schedule.
pub const ROUNDS: usize = 8;

/// Of four schedules so many have two branches, each with a deployment.
const TWO_BRANCHES_OF_FOUR: usize = 1;

/// A commit to be. Its number is its place in the schedule's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub parents: Vec<usize>,
    /// Its build fails.
    pub broken: bool,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    Dropped,
    /// Again under its GUID.
    Doubled,
    /// Again under another GUID.
    Replayed,
    /// After the next one that arrives.
    AfterTheNext,
    /// When everything is over.
    Late,
    /// When everything is over, and it says itself that it is four days old: GitHub has forgotten it.
    DaysLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A branch has another head: pushed, forced, or made again; None where it was deleted.
    Moves { branch: usize, head: Option<usize>, how: &'static str, fate: Fate },
    /// Until the branch's head is live, where that can be.
    Waits { branch: usize },
}

/// All that happens to one repository.
#[derive(Debug)]
pub struct Schedule {
    pub seed: u64,
    pub branches: usize,
    pub commits: Vec<Commit>,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let branches = if dice.below(4) < TWO_BRANCHES_OF_FOUR { 2 } else { 1 };
        let mut drawn = Drawn { dice, commits: Vec::new(), heads: vec![Vec::new(); branches] };
        let steps = (0..ROUNDS).map(|_| drawn.step()).collect();
        Self { seed, branches, commits: drawn.commits, steps }
    }
}

/// What a schedule has come to while it is drawn.
struct Drawn {
    dice: Dice,
    commits: Vec<Commit>,
    /// By branch, all that it ever was.
    heads: Vec<Vec<Option<usize>>>,
}

impl Drawn {
    fn step(&mut self) -> Step {
        let branch = self.dice.below(self.heads.len());
        let known: Vec<usize> = self.heads[branch].iter().copied().flatten().collect();
        let now = self.heads[branch].last().copied().flatten();
        let (head, how) = match (now, known.last()) {
            (None, None) => (Some(self.commit(vec![], false)), "is made"),
            (None, Some(&last)) => match self.dice.below(3) {
                0 => (Some(self.commit(vec![last], false)), "is made again with a new commit"),
                _ => (Some(last), "is made again as it was"),
            },
            (Some(now), _) => {
                let earlier = known[self.dice.below(known.len())];
                match self.dice.of(&[(8, 0), (2, 1), (2, 2), (3, 3), (2, 4), (2, 5), (5, 6)]) {
                    0 => (Some(self.commit(vec![now], false)), "is pushed to"),
                    1 => (Some(self.commit(vec![now], true)), "is pushed to, what does not build"),
                    2 => {
                        let side = self.commit(vec![earlier], false);
                        (Some(self.commit(vec![now, side], false)), "is merged into")
                    }
                    3 if earlier != now => (Some(earlier), "is forced back"),
                    3 | 4 => (Some(self.commit(vec![earlier], false)), "is forced aside"),
                    5 => (None, "is deleted"),
                    _ => return Step::Waits { branch },
                }
            }
        };
        self.heads[branch].push(head);
        let fate = self.dice.of(&[
            (8, Fate::Arrives),
            (4, Fate::Dropped),
            (2, Fate::Doubled),
            (1, Fate::Replayed),
            (3, Fate::AfterTheNext),
            (2, Fate::Late),
            (1, Fate::DaysLate),
        ]);
        Step::Moves { branch, head, how, fate }
    }

    fn commit(&mut self, parents: Vec<usize>, broken: bool) -> usize {
        self.commits.push(Commit { parents, broken });
        self.commits.len() - 1
    }
}

/// What happens to the world in a round, when so many repositories have had their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    None,
    /// `kill -9`, and started again at once.
    Killed,
    /// TERM, and started again at once.
    Stopped,
    /// `kill -9`, and not there for the rest of the round.
    Dead,
    /// TERM, and not there for the rest of the round.
    Down,
    /// GitHub's API fails for the rest of the round.
    Api(Weather),
    /// The repositories cannot be reached for the rest of the round.
    Git,
}

/// The world's part in a batch: for each round what happens, and after how many repositories.
pub fn outages(batch: u64, repositories: usize) -> Vec<(Outage, usize)> {
    // Not the seed of any schedule.
    let mut dice = Dice::new(!batch);
    let draw = |_| {
        let outage = dice.of(&[
            (3, Outage::None),
            (2, Outage::Killed),
            (1, Outage::Stopped),
            (2, Outage::Dead),
            (1, Outage::Down),
            (1, Outage::Api(Weather::Fails)),
            (1, Outage::Api(Weather::Cuts)),
            (1, Outage::Api(Weather::CutsAfterwards)),
            (1, Outage::Api(Weather::PrimaryLimit)),
            (1, Outage::Api(Weather::SecondaryLimit)),
            (1, Outage::Git),
        ]);
        (outage, dice.below(repositories))
    };
    (0..ROUNDS).map(draw).collect()
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, commit) in self.commits.iter().enumerate() {
            let broken = if commit.broken { ", does not build" } else { "" };
            writeln!(formatter, "  commit {number}: parents {:?}{broken}", commit.parents)?;
        }
        for (round, step) in self.steps.iter().enumerate() {
            writeln!(formatter, "  round {round}: {step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moves { branch, head: Some(head), how, fate } => {
                write!(formatter, "branch {branch} {how}: its head is commit {head}; delivery {fate:?}")
            }
            Self::Moves { branch, head: None, how, fate } => {
                write!(formatter, "branch {branch} {how}; delivery {fate:?}")
            }
            Self::Waits { branch } => write!(formatter, "waits for the head of branch {branch}"),
        }
    }
}

#[test]
fn a_thousand_schedules_have_everything_in_them() {
    let text: String = (0..1000).map(|seed| Schedule::new(seed).to_string()).collect();
    for wanted in [
        "is made:",
        "is made again as it was",
        "is made again with a new commit",
        "is pushed to:",
        "does not build",
        "is merged into",
        "is forced back",
        "is forced aside",
        "is deleted",
        "branch 1",
        "waits",
        "Arrives",
        "Dropped",
        "Doubled",
        "Replayed",
        "AfterTheNext",
        "Late",
        "DaysLate",
    ] {
        assert!(text.contains(wanted), "{wanted}");
    }
    let all: Vec<Outage> = (0..25).flat_map(|batch| outages(batch, 40)).map(|(outage, _)| outage).collect();
    for wanted in [Outage::Killed, Outage::Stopped, Outage::Dead, Outage::Down, Outage::Git] {
        assert!(all.contains(&wanted), "{wanted:?}");
    }
    assert!(all.iter().any(|outage| matches!(outage, Outage::Api(_))));
    assert_eq!(Schedule::new(5).to_string(), Schedule::new(5).to_string());
}

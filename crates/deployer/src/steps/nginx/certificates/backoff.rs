//! How long a certificate that could not be obtained is not asked for again. A CA counts failures, and then refuses for hours (Let's
//! Encrypt: five an hour for a name). One small file for each certificate, in the state directory.

use crate::base::files::atomic;
use crate::base::names::{DomainName, SiteName};
use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After the first failure; doubled for each further one.
const FIRST: Duration = Duration::from_secs(5 * 60);

/// Never longer: whoever comes back on the next day finds it tried.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Failures in a row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// For which names. Others are another question.
    names: Vec<DomainName>,
    pub number: u32,
    /// The last one's time, in Unix milliseconds.
    last_ms: i64,
}

impl Failures {
    /// What is remembered of a certificate with these names.
    pub fn load(state: &Path, site: &SiteName, names: &[DomainName]) -> Self {
        let read = || serde_json::from_slice::<Self>(&fs::read(path(state, site)).ok()?).ok();
        read().filter(|failures| failures.names == names).unwrap_or_default()
    }

    /// When it may be asked for again, in Unix milliseconds; None: now.
    pub fn wait_until_ms(&self, now_ms: i64) -> Option<i64> {
        let doublings = self.number.checked_sub(1)?;
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST);
        let until = self.last_ms.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        // A clock that was set back must not make it wait for years.
        (self.last_ms <= now_ms && now_ms < until).then_some(until)
    }

    pub fn add(self, state: &Path, site: &SiteName, names: &[DomainName], now_ms: i64) -> Result<()> {
        let failures = Self { names: names.to_vec(), number: self.number.saturating_add(1), last_ms: now_ms };
        let path = path(state, site);
        fs::create_dir_all(path.parent().expect("it lies below the state directory"))?;
        atomic::write(&path, &serde_json::to_vec(&failures).expect("texts serialise"), 0o600)
    }
}

/// It has been obtained.
pub fn forget(state: &Path, site: &SiteName) -> Result<()> {
    atomic::remove(&path(state, site))
}

fn path(state: &Path, site: &SiteName) -> PathBuf {
    state.join("certificates").join(format!("{site}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_half_a_day_and_other_names_are_another_question() {
        let directory = tempfile::tempdir().unwrap();
        let site = SiteName::parse("a.org").unwrap();
        let names = [DomainName::parse("a.org").unwrap()];
        let state = directory.path();
        let minutes =
            |failures: &Failures, at: i64| failures.wait_until_ms(at).map(|until| (until - at) / 60_000);
        let mut waits = Vec::new();
        for _ in 0..10 {
            Failures::load(state, &site, &names).add(state, &site, &names, 1_000).unwrap();
            waits.push(minutes(&Failures::load(state, &site, &names), 1_000).unwrap());
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 720, 720]);
        let failures = Failures::load(state, &site, &names);
        assert_eq!(minutes(&failures, 1_000 + 720 * 60_000), None, "it is over");
        assert_eq!(minutes(&failures, 0), None, "the clock was set back");
        let others = [DomainName::parse("b.org").unwrap()];
        assert_eq!(Failures::load(state, &site, &others).wait_until_ms(1_000), None);
        forget(state, &site).unwrap();
        assert_eq!(Failures::load(state, &site, &names), Failures::default());
    }
}

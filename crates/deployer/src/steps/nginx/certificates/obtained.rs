//! What certbot last said yes to, where we may not look at certificates ourselves (certbot makes `live/` for root alone): so that it is
//! not called, and nginx not reloaded, by each deploy. One small file for each certificate, beside what [`super::backoff`] keeps.

use crate::base::files::atomic;
use crate::base::names::{DomainName, SiteName};
use anyhow::Result;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long that is trusted. Certificates live for 90 days, and certbot's own timer renews them after 60: from then on, whether
/// it has is asked again.
const TRUSTED: Duration = Duration::from_secs(60 * 24 * 3600);

#[derive(Debug, Serialize, Deserialize)]
struct Obtained {
    names: Vec<DomainName>,
    /// In Unix milliseconds.
    at_ms: i64,
}

/// certbot has obtained a certificate for these names, or has found that there is one.
pub fn remember(state: &Path, site: &SiteName, names: &[DomainName], now_ms: i64) -> Result<()> {
    let path = path(state, site);
    fs::create_dir_all(path.parent().expect("it lies below the state directory"))?;
    let obtained = Obtained { names: names.to_vec(), at_ms: now_ms };
    atomic::write(&path, &serde_json::to_vec(&obtained).expect("texts serialise"), 0o600)
}

/// Whether that was so lately, for just these names.
pub fn is_remembered(state: &Path, site: &SiteName, names: &[DomainName], now_ms: i64) -> bool {
    let read = || serde_json::from_slice::<Obtained>(&fs::read(path(state, site)).ok()?).ok();
    // What is of the future is of a clock that was wrong.
    let age = |at_ms: i64| u64::try_from(now_ms.saturating_sub(at_ms)).ok().map(Duration::from_millis);
    read().is_some_and(|obtained| {
        obtained.names == names && age(obtained.at_ms).is_some_and(|age| age < TRUSTED)
    })
}

fn path(state: &Path, site: &SiteName) -> PathBuf {
    state.join("certificates").join(format!("{site}.obtained"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_trusted_for_the_same_names_and_sixty_days() {
        const DAY_MS: i64 = 24 * 3600 * 1000;
        let directory = tempfile::tempdir().unwrap();
        let (state, site) = (directory.path(), SiteName::parse("a.org").unwrap());
        let names = ["a.org", "www.a.org"].map(|name| DomainName::parse(name).unwrap());
        assert!(!is_remembered(state, &site, &names, 0), "nothing was obtained");
        remember(state, &site, &names, DAY_MS).unwrap();
        for (names, now_ms, expected) in [
            (&names[..], DAY_MS, true),
            (&names, 61 * DAY_MS - 1, true),
            (&names, 61 * DAY_MS, false),
            (&names, 0, false),
            (&names[..1], DAY_MS, false),
        ] {
            assert_eq!(is_remembered(state, &site, names, now_ms), expected, "{names:?} {now_ms}");
        }
        let other = SiteName::parse("b.org").unwrap();
        assert!(!is_remembered(state, &other, &names, DAY_MS));
    }
}

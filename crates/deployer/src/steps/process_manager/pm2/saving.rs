//! Writing down what runs, for the next boot, and forgetting nothing that somebody else has written down.
//!
//! After a boot the daemon answers while it is still starting what was saved, one application after the other. What is saved then lacks
//! the rest, which the boot after that would not start. So a foreign application that is saved and does not run is waited
//! for; where it does not come, nothing is saved, and people decide: it may be gone for good.

use super::Scene;
use super::changes::Owner;
use crate::process::tools::pm2::{self, Pm2Process};
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::Duration;

/// Looks at what a daemon is still starting: with the pauses half a minute, of which a large application takes ten seconds.
const LOOKS_MAX: usize = 30;

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Scene<'_> {
    /// See the module. The lock must be held.
    pub(super) async fn save(&self) -> Result<()> {
        // What has been saved since the daemon's start is missing because somebody has ended it, and will not come.
        let looks_max = if self.home.is_saved_since_start(&self.step_context).await { 1 } else { LOOKS_MAX };
        for look in 1..=looks_max {
            let saved = pm2::saved(&self.home.saved(&self.step_context).await);
            let absent = absent(self.of.owner(), &saved, &self.processes().await?).join(", ");
            if absent.is_empty() {
                return self.home.save(&self.step_context).await;
            }
            if look < looks_max {
                self.step_context.pause(LOOK_AGAIN).await?;
            } else {
                self.step_context.note(format!(
                    "WARNING: not saved for the next boot: {absent} is in PM2's dump and not running. hint: run `pm2 save` when that is right"
                ));
            }
        }
        Ok(())
    }
}

/// The names of what is saved of others, and is not there.
fn absent(owner: Owner<'_>, saved: &[Pm2Process], processes: &[Pm2Process]) -> Vec<String> {
    let there: BTreeSet<&str> = processes.iter().map(|process| process.name.as_str()).collect();
    let foreign = saved.iter().filter(|process| !owner.owns(process));
    let absent: BTreeSet<&str> =
        foreign.map(|process| process.name.as_str()).filter(|name| !there.contains(name)).collect();
    absent.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::Slug;
    use std::path::Path;

    #[test]
    fn what_others_have_saved_must_be_there() {
        let slug = Slug::parse("api").unwrap();
        let owner = Owner { deployment: &slug, path: Path::new("/srv/api") };
        let dump = r#"[
            {"name": "api", "pm_cwd": "/opt", "env": {"DEPLOYER_DEPLOYMENT": "api"}},
            {"name": "legacy", "pm_cwd": "/srv/api/server"},
            {"name": "shop", "pm_cwd": "/srv/shop/current", "env": {"DEPLOYER_DEPLOYMENT": "shop"}},
            {"name": "shop", "pm_cwd": "/srv/shop/current", "env": {"DEPLOYER_DEPLOYMENT": "shop"}},
            {"name": "by-hand", "pm_cwd": null}
        ]"#;
        let saved = pm2::saved(dump);
        assert_eq!(absent(owner, &saved, &[]), ["by-hand", "shop"]);
        assert_eq!(absent(owner, &saved, &saved[2..3]), ["by-hand"]);
        assert_eq!(absent(owner, &saved, &saved[2..]), Vec::<String>::new());
        assert_eq!(absent(owner, &pm2::saved("no JSON"), &[]), Vec::<String>::new());
    }
}

//! The directories that a run makes, changes and removes.

use super::{Run, recorded};
use crate::base::clock;
use crate::base::names::CommitId;
use crate::process::step_user_access;
use crate::run_log::rendering::plain;
use crate::steps::{kept_files, release, tree_in_place};
use crate::store::{NewRelease, Release, ReleaseState};
use anyhow::Result;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

impl Run {
    /// Makes a release's directory of a commit, with what is shared linked into it.
    pub(super) async fn export(
        &self,
        name: &str,
        commit: &CommitId,
        number: u32,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let deployment = &self.deployment;
        let path = release::directory(deployment, name);
        let path_text = path.to_string_lossy();
        let new = NewRelease {
            deployment: deployment.slug.as_str(),
            name,
            path: &path_text,
            commit_id: commit.as_str(),
            run_id: &self.id,
            created_at_ms: clock::now_ms(),
        };
        recorded(self.host.config.runs.record_wait, "release", || self.host.store.create_release(&new))
            .await?;
        crate::failpoint!("release-recorded");
        release::create(deployment, name)?;
        let executor = &self.host.executor;
        if let Some(user) = &deployment.user {
            step_user_access::prepare(executor, user, &path).await?;
        }
        crate::failpoint!("release-created");
        let index = self.index(name)?;
        self.mirror.check_out(&path, &index, commit).await?;
        if deployment.submodules {
            let hosts = &deployment.submodule_hosts;
            self.mirror.check_out_submodules(&path, &index, commit, hosts, cancel).await?;
        }
        let _ = fs_err::remove_file(&index);
        for note in release::link_shared(executor, deployment, &path).await? {
            self.note(number, note);
        }
        if let Some(user) = &deployment.user {
            step_user_access::share_shared(executor, user, deployment).await?;
            step_user_access::open(executor, user, &path).await?;
        }
        Ok(())
    }

    /// Brings the work tree in place to a commit.
    pub(super) async fn update_tree(
        &self,
        commit: &CommitId,
        number: u32,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let path = &self.deployment.path;
        let index = self.index("tree")?;
        if !index.exists() {
            tree_in_place::assume(&self.mirror, path, &index).await?;
        }
        fs_err::create_dir_all(path)?;
        let kept = kept_files::of_run(&self.host.config.state_directory, &self.deployment.slug, &self.id);
        let goes_back = kept.exists();
        if !goes_back {
            let changed = tree_in_place::changed_here(&self.mirror, path, &index, commit).await?;
            kept_files::keep(path, &kept, changed.clone()).await?;
            if !changed.is_empty() {
                let names: Vec<_> = changed.iter().map(|file| plain(&file.to_string_lossy())).collect();
                let note = format!(
                    "changed on this host, and overwritten or removed by the commit: {}. Copies lie in {}",
                    names.join(", "),
                    kept.display()
                );
                tracing::warn!(deployment = %self.deployment.slug, run = self.id, "{note}");
                self.note(number, note);
            }
        }
        self.mirror.check_out(path, &index, commit).await?;
        crate::failpoint!("tree-updated");
        if goes_back {
            kept_files::put_back(path, &kept).await?;
        }
        if self.deployment.submodules {
            let hosts = &self.deployment.submodule_hosts;
            self.mirror.check_out_submodules(path, &index, commit, hosts, cancel).await?;
        }
        Ok(())
    }

    /// Where git remembers what it wrote to a tree.
    fn index(&self, name: &str) -> Result<PathBuf> {
        let index = tree_in_place::index(&self.host.config.state_directory, &self.deployment.slug, name);
        fs_err::create_dir_all(index.parent().unwrap_or(&index))?;
        Ok(index)
    }

    /// Removes what `keep_releases` does not keep: never the live one, the one before it, or the last failed one.
    pub(super) async fn prune(&self, number: u32) -> Result<()> {
        let store = &self.host.store;
        let releases = store.releases(self.deployment.slug.as_str()).await?;
        let live = release::current(&self.deployment)?;
        for name in prunable(&releases, live.as_deref(), self.deployment.keep_releases) {
            release::remove(&self.host.executor, &self.deployment, &name).await?;
            crate::failpoint!("release-removed");
            store
                .set_release_state(self.deployment.slug.as_str(), &name, ReleaseState::Removed, None)
                .await?;
            self.note(number, format!("removed release {name}"));
        }
        Ok(())
    }
}

/// Which releases may go; see [`Run::prune`]. Newest first in, names out.
fn prunable(releases: &[Release], live: Option<&str>, keep: usize) -> Vec<String> {
    let is_success = |release: &&Release| matches!(release.state, ReleaseState::Good | ReleaseState::Live);
    let mut kept: Vec<&str> = live.into_iter().collect();
    // By when they served last, not by age: after a rollback the one before the live one may be the oldest of all.
    let mut successes: Vec<&Release> = releases.iter().filter(is_success).collect();
    successes.sort_by_key(|release| std::cmp::Reverse(release.live_at_ms));
    let others =
        successes.into_iter().map(|release| release.name.as_str()).filter(|name| Some(*name) != live);
    // At least the live one and the one before it.
    kept.extend(others.take(keep.saturating_sub(1).max(1)));
    // The newest is the first, whatever the clock said when it was made.
    let mut failures = releases.iter().filter(|release| release.state == ReleaseState::Failed);
    kept.extend(failures.next().map(|release| release.name.as_str()));
    releases
        .iter()
        .filter(|release| release.state != ReleaseState::Removed && release.state != ReleaseState::Building)
        .filter(|release| !kept.contains(&release.name.as_str()))
        .map(|release| release.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, state: ReleaseState, created_at_ms: i64, live_at_ms: Option<i64>) -> Release {
        let text = || name.to_owned();
        let (deployment, path, commit_id, run_id) = (text(), text(), text(), text());
        Release {
            deployment,
            name: text(),
            path,
            commit_id,
            run_id,
            state,
            created_at_ms,
            live_at_ms,
            bytes: None,
            mac: None,
        }
    }

    #[test]
    fn what_was_live_last_and_the_last_failure_are_kept() {
        use ReleaseState::{Building, Failed, Good, Live, Removed};
        let releases = [
            release("new", Building, 7, None),
            release("failed-last", Failed, 6, None),
            release("half", Building, 5, None),
            release("young", Good, 4, Some(4)),
            release("failed-first", Failed, 3, None),
            release("gone", Removed, 2, Some(2)),
            // The oldest, and live until now: somebody had gone back to it.
            release("old", Live, 1, Some(6)),
        ];
        for (keep, expected) in
            [(1, &["young", "failed-first"][..]), (2, &["young", "failed-first"]), (3, &["failed-first"])]
        {
            assert_eq!(prunable(&releases, Some("new"), keep), expected, "keep {keep}");
        }
    }
}

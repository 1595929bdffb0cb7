//! Who writes among nginx's files: root, who judges what is written once more, or this process, where it is root itself or nginx is its own.

use super::SitesStep;
use crate::base::files::atomic;
use crate::process::step_context::StepContext;
use crate::process::tools::nginx;
use anyhow::{Context, Result};
use fs_err as fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Everybody may read a site's configuration, as with the packages' own files.
pub const MODE: u32 = 0o644;

/// In the deployment's state: what root is to write, for as long as it does.
const CONTENT: &str = "content";

pub struct Writer<'a, 'w> {
    step: &'a SitesStep,
    step_context: &'a StepContext<'w>,
}

impl<'a, 'w> Writer<'a, 'w> {
    /// For one step.
    pub fn new(step: &'a SitesStep, step_context: &'a StepContext<'w>) -> Self {
        Self { step, step_context }
    }

    /// Whether root writes. It makes the directories that are missing, and knows by itself which files are the deployer's.
    pub fn is_root(&self) -> bool {
        nginx::root_writes(&self.step.nginx, self.step.privileges)
    }

    /// Puts a file there, whole and durably.
    pub async fn write(&self, target: &str, bytes: &[u8], mode: u32) -> Result<()> {
        if !self.is_root() {
            return atomic::write(&self.path(target), bytes, mode);
        }
        let content = self.step.state.join(CONTENT);
        atomic::write(&content, bytes, 0o600)?;
        let call = nginx::write_site(self.step.privileges, target, &content);
        let written = self.step_context.call(&call).await;
        fs::remove_file(&content)?;
        written.map(drop).with_context(|| format!("root did not write {target}"))
    }

    /// Removes a file; one that is not there is gone already.
    pub async fn remove(&self, target: &str) -> Result<()> {
        if !self.is_root() {
            return atomic::remove(&self.path(target));
        }
        let call = nginx::remove_site(self.step.privileges, target);
        self.step_context.call(&call).await.map(drop).with_context(|| format!("root did not remove {target}"))
    }

    /// Puts a link there. Root writes none: what it leads to would be judged by nobody.
    pub fn link(&self, target: &str, to: &Path) -> Result<()> {
        atomic::link(&self.path(target), to)
    }

    /// Makes directories below nginx's, outer ones first.
    pub fn make_directories(&self, names: &[String]) -> Result<()> {
        for name in names {
            let path = self.path(name);
            fs::create_dir(&path)?;
            fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Removes a directory of ours if nothing is in it.
    pub fn remove_directory(&self, name: &str) -> bool {
        fs::remove_dir(self.path(name)).is_ok()
    }

    fn path(&self, target: &str) -> PathBuf {
        self.step.nginx.directory.join(target)
    }
}

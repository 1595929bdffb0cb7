//! The wanted files put in their places among nginx's, and back.
//!
//! Only plain files are written, whole, and never through a link: what is live does not change when a work tree does. A file that is
//! not ours is never touched: an error names it. Where nothing is different, nginx is left alone.

use super::backup::{self, Backup, Original};
use super::manifest::Manifest;
use super::writer::{MODE, Writer};
use super::{SitesStep, dry_run, error_mapping, files, reload};
use crate::base::digest::sha256_hex;
use crate::base::files::atomic;
use crate::process::step_context::StepContext;
use crate::process::tools::nginx;
use crate::steps::nginx::ownership::{is_ours, links_into};
use crate::steps::nginx::site_file::SiteFile;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Says that nginx must read its files again, although none of them is different: a certificate is.
const RELOAD_WANTED: &str = "reload-wanted";

/// What is different between what is wanted and what is live.
#[derive(Debug, Default)]
pub struct Changes {
    /// What is written, by target; snippets first, as sites include them.
    writes: BTreeMap<(bool, String), Vec<u8>>,
    /// What is removed.
    removals: BTreeSet<String>,
    notes: Vec<String>,
}

/// Installs the files, and has nginx serve them.
pub async fn install(step: &SitesStep, step_context: &StepContext<'_>) -> Result<()> {
    let files = files::read(step, step_context).await?;
    let before = Manifest::load(&step.state)?;
    let changes = changes(step, &files, &before)?;
    changes.notes.iter().for_each(|note| step_context.note(note));
    let certificate_is_new = step.state.join(RELOAD_WANTED).exists();
    if changes.targets().is_empty() && !certificate_is_new {
        step_context.note("nothing is different: nginx is left alone");
        return Ok(());
    }
    // Others may have changed the host since it was tested.
    dry_run::test(step, &files, step_context).await?;
    let writer = Writer::new(step, step_context);
    let root = step.nginx.directory.as_path();
    let made = if writer.is_root() { Vec::new() } else { changes.directories_missing(root) };
    Backup::make(step, &writer, before.clone(), &changes.targets(), made.clone())?;
    // Until the end both the old files and the new ones are ours.
    let mut manifest = before.clone();
    let digests = files.iter().map(|file| (file.wanted.target.clone(), sha256_hex(file.text.as_bytes())));
    let digests: BTreeMap<String, String> = digests.collect();
    manifest.files.extend(digests.clone());
    manifest.directories.extend(made.iter().cloned());
    manifest.save(&step.state)?;
    writer.make_directories(&made)?;
    changes.carry_out(&writer, &mut manifest.directories, step_context).await?;
    test_live(step, step_context).await?;
    backup::mark_reloaded(&step.state, &step.run)?;
    reload::reload(step, step_context).await?;
    Manifest { files: digests, ..manifest }.save(&step.state)?;
    atomic::remove(&step.state.join(RELOAD_WANTED))
}

/// Puts back what the run replaced. Where nginx had been told of it, it is told again.
pub async fn restore(step: &SitesStep, step_context: &StepContext<'_>) -> Result<()> {
    let Some(backup) = Backup::of(&step.state, &step.run)? else {
        step_context.note("nothing had been installed");
        return Ok(());
    };
    backup.put_back(step, &Writer::new(step, step_context)).await?;
    if !backup::was_reloaded(&step.state, &step.run) {
        step_context.note("put back; nginx had not been told of anything else");
        return Ok(());
    }
    test_live(step, step_context)
        .await
        .context("what was there before is back, and nginx is not reloaded")?;
    reload::reload(step, step_context).await
}

/// The next install reloads nginx, whatever else it does.
pub fn want_reload(step: &SitesStep) -> Result<()> {
    fs::create_dir_all(&step.state)?;
    atomic::write(&step.state.join(RELOAD_WANTED), b"", 0o600)
}

async fn test_live(step: &SitesStep, step_context: &StepContext<'_>) -> Result<()> {
    let command = nginx::test(&step.nginx, step.privileges);
    error_mapping::judged(step, &command, None, step_context).await.map(drop)
}

/// Compares what is wanted with what is live. An error names what is in the way.
fn changes(step: &SitesStep, files: &[SiteFile], manifest: &Manifest) -> Result<Changes> {
    let root = &step.nginx.directory;
    let mut changes = Changes::default();
    let mut foreign = Vec::new();
    let mut gone: BTreeSet<String> = manifest.files.keys().cloned().collect();
    gone.extend(links_into(&step.checkout, root)?);
    for file in files {
        let target = &file.wanted.target;
        gone.remove(target);
        if let Some(obstacle) = obstacle(root, target) {
            foreign.push(obstacle);
            continue;
        }
        let found = backup::look(&root.join(target))?;
        let is_ours = is_ours(step, target, &found, manifest);
        match &found {
            Original::File { bytes, .. } if is_ours && bytes.as_slice() == file.text.as_bytes() => {}
            _ if is_ours => {
                changes.note_edits(target, &found, manifest);
                let is_site = file.wanted.target.starts_with("conf.d/");
                changes.writes.insert((is_site, target.clone()), file.text.clone().into_bytes());
            }
            _ => foreign.push(root.join(target).display().to_string()),
        }
    }
    if !foreign.is_empty() {
        bail!(
            "not the deployer's, and in the way: {}; move it away (or take it out of the repository), then deploy again",
            files::in_one_line(&foreign)
        );
    }
    for target in gone {
        let found = backup::look(&root.join(&target))?;
        match is_ours(step, &target, &found, manifest) {
            _ if found == Original::Missing => {}
            true => {
                changes.note_edits(&target, &found, manifest);
                changes.notes.push(format!("{target} is taken down; a certificate of its site stays"));
                changes.removals.insert(target);
            }
            false => changes.notes.push(format!("{target} has been replaced by somebody and is left alone")),
        }
    }
    Ok(changes)
}

/// What stands where a target's directory should be.
fn obstacle(root: &Path, target: &str) -> Option<String> {
    let inner = Path::new(target).ancestors().skip(1).filter(|path| path.components().count() > 1);
    let mut stands = inner.map(|path| root.join(path));
    let is_obstacle = |path: &std::path::PathBuf| path.symlink_metadata().is_ok_and(|found| !found.is_dir());
    stands.find(is_obstacle).map(|path| path.display().to_string())
}

impl Changes {
    /// Everything that is touched.
    fn targets(&self) -> Vec<String> {
        let writes = self.writes.keys().map(|(_, target)| target);
        writes.chain(&self.removals).cloned().collect()
    }

    /// A change by hand is overwritten, and said.
    fn note_edits(&mut self, target: &str, found: &Original, manifest: &Manifest) {
        if let (Original::File { bytes, .. }, Some(digest)) = (found, manifest.files.get(target))
            && sha256_hex(bytes) != *digest
        {
            self.notes.push(format!(
                "{target} was changed by hand since; that change is lost (it is in the run's backup)"
            ));
        }
    }

    /// Directories below nginx's that must be made; outer ones first.
    fn directories_missing(&self, root: &Path) -> Vec<String> {
        let targets = self.writes.keys().map(|(_, target)| Path::new(target));
        let parents = targets.flat_map(|target| target.ancestors().skip(1));
        let parents = parents.filter(|path| !path.as_os_str().is_empty() && !root.join(path).exists());
        let missing: BTreeSet<String> = parents.map(|path| path.to_string_lossy().into_owned()).collect();
        missing.into_iter().collect()
    }

    /// Writes snippets before the sites that include them, and removes them after.
    async fn carry_out(
        &self,
        writer: &Writer<'_, '_>,
        made: &mut BTreeSet<String>,
        step_context: &StepContext<'_>,
    ) -> Result<()> {
        for ((_, target), bytes) in &self.writes {
            writer.write(target, bytes, MODE).await?;
            step_context.note(format!("wrote {target}"));
        }
        for target in &self.removals {
            writer.remove(target).await?;
            step_context.note(format!("removed {target}"));
            for parent in Path::new(target).ancestors().skip(1) {
                let name = parent.to_string_lossy().into_owned();
                if made.contains(&name) && writer.remove_directory(&name) {
                    made.remove(&name);
                }
            }
        }
        Ok(())
    }
}

//! The wanted files, read from the release and judged. Nothing of them has been near nginx before.

use super::SitesStep;
use super::configuration::{self, Directive};
use super::selection::WantedFile;
use super::vetting;
use anyhow::{Context, Result, bail};
use fs_err as fs;
use std::path::Path;

/// One file, at most: the largest site files have some hundred lines.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Of several faults, those that an error names.
const FAULTS_SHOWN_MAX: usize = 4;

/// A file that may be installed.
#[derive(Debug)]
pub struct SiteFile {
    /// Where it comes from and goes to.
    pub wanted: WantedFile,
    /// What is written in it.
    pub text: String,
    /// The same, as nginx understands it.
    pub directives: Vec<Directive>,
}

/// Reads all wanted files. An error names the faults of all of them, each with file and line.
pub fn read(step: &SitesStep) -> Result<Vec<SiteFile>> {
    let mut faults = step.selection.refused.clone();
    let mut files = Vec::new();
    for wanted in &step.selection.files {
        match read_one(step, wanted) {
            Ok(file) => {
                let objections = vetting::objections(&file.directives, &step.bounds());
                let source = &wanted.source;
                faults.extend(objections.into_iter().map(|(line, why)| format!("{source}:{line}: {why}")));
                files.push(file);
            }
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if faults.is_empty() { Ok(files) } else { bail!(in_one_line(&faults)) }
}

/// Several faults as one cause.
pub fn in_one_line(faults: &[String]) -> String {
    let shown = faults.iter().take(FAULTS_SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
    match faults.len().saturating_sub(FAULTS_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn read_one(step: &SitesStep, wanted: &WantedFile) -> Result<SiteFile> {
    let source = &wanted.source;
    let path = step.release.join(source);
    if leads_through_link(&step.release, source) {
        bail!("{source}: there is a link in its place or on the way to it");
    }
    let bytes = path.symlink_metadata().with_context(|| format!("{source} cannot be read"))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{source}: {bytes} bytes are too many for a site file: at most {FILE_BYTES_MAX}");
    }
    let Ok(text) = String::from_utf8(fs::read(&path)?) else { bail!("{source}: its text is not UTF-8") };
    let directives = configuration::parse(&text)
        .map_err(|error| anyhow::anyhow!("{source}:{}: {}", error.line, error.message))?;
    Ok(SiteFile { wanted: wanted.clone(), text, directives })
}

/// What a build put there is not what the repository says.
fn leads_through_link(release: &Path, source: &str) -> bool {
    let mut path = release.to_owned();
    source.split('/').any(|part| {
        path.push(part);
        path.symlink_metadata().is_ok_and(|found| found.is_symlink())
    })
}

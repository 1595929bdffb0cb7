//! The wanted files, read from the release and judged. Nothing of them has been near nginx before.

use super::SitesStep;
use super::selection::WantedFile;
use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;
use nginx_policy::Directive;
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
    let bounds = step.bounds();
    let mut files = Vec::new();
    for wanted in &step.selection.files {
        let source = &wanted.source;
        let text = match read_one(step, wanted) {
            Ok(text) => text,
            Err(error) => {
                faults.push(format!("{error:#}"));
                continue;
            }
        };
        match nginx_policy::judge(text.as_bytes(), &bounds) {
            Ok(directives) => files.push(SiteFile { wanted: wanted.clone(), text, directives }),
            Err(objections) => faults
                .extend(objections.iter().map(|found| format!("{source}:{}: {}", found.line, found.message))),
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

fn read_one(step: &SitesStep, wanted: &WantedFile) -> Result<String> {
    let source = &wanted.source;
    let path = step.release.join(source);
    if leads_through_link(&step.release, source) {
        bail!("{source}: there is a link in its place or on the way to it");
    }
    let bytes = path.symlink_metadata().with_context(|| format!("{source} cannot be read"))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("{source}: {bytes} bytes are too many for a site file: at most {FILE_BYTES_MAX}");
    }
    String::from_utf8(fs::read(&path)?).map_err(|_| anyhow!("{source}: its text is not UTF-8"))
}

/// What a build put there is not what the repository says.
fn leads_through_link(release: &Path, source: &str) -> bool {
    let mut path = release.to_owned();
    source.split('/').any(|part| {
        path.push(part);
        path.symlink_metadata().is_ok_and(|found| found.is_symlink())
    })
}

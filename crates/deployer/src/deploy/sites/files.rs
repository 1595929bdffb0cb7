//! The wanted files, read from the release and judged. Nothing of them has been near nginx before.

use super::selection::WantedFile;
use super::{SitesStep, own_site};
use crate::safe_path::{self, Refused};
use anyhow::{Context, Result, bail};
use nginx_policy::{Directive, FILE_BYTES_MAX};
use std::path::{Component, Path};

/// All files of a repository, at most: they are held in memory at once, and what is read of them takes up to twenty times as much.
const ALL_BYTES_MAX: usize = 8 * 1024 * 1024;

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
    let mut total = 0;
    for wanted in &step.selection.files {
        let source = &wanted.source;
        let bytes = match read_one(step, wanted) {
            Ok(bytes) => bytes,
            Err(error) => {
                faults.push(format!("{error:#}"));
                continue;
            }
        };
        total += bytes.len();
        if total > ALL_BYTES_MAX {
            bail!("{source}: the site files are more than {ALL_BYTES_MAX} bytes together");
        }
        if let Err(why) = nginx_policy::judge_name(&wanted.target) {
            faults.push(format!("{source}: {why}"));
        }
        match nginx_policy::judge(&bytes, &bounds) {
            Ok(directives) => {
                let text = String::from_utf8(bytes).expect("what was judged is text");
                files.push(SiteFile { wanted: wanted.clone(), text, directives });
            }
            Err(objections) => faults
                .extend(objections.iter().map(|found| format!("{source}:{}: {}", found.line, found.message))),
        }
    }
    let together: Vec<&[Directive]> = files.iter().map(|file| file.directives.as_slice()).collect();
    let found = nginx_policy::judge_together(&together, &bounds);
    faults.extend(found.iter().map(|(number, found)| {
        format!("{}:{}: {}", files[*number].wanted.source, found.line, found.message)
    }));
    faults.extend(own_site::faults(step, &files));
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

/// What a build put in a file's place is not what the repository says: links, pipes and devices are not read, and nothing is waited for.
fn read_one(step: &SitesStep, wanted: &WantedFile) -> Result<Vec<u8>> {
    let source = &wanted.source;
    if !Path::new(source).components().all(|part| matches!(part, Component::Normal(_))) {
        bail!("{source} cannot be read: it does not lie in the repository");
    }
    match safe_path::read_now(&step.release, &step.release.join(source), FILE_BYTES_MAX as u64) {
        Ok(bytes) => Ok(bytes),
        Err(Refused::Link(_)) => bail!("{source}: there is a link in its place or on the way to it"),
        Err(Refused::Kind { .. }) => bail!("{source}: it is no plain file"),
        Err(Refused::TooLarge { bytes, max, .. }) => {
            bail!("{source}: {bytes} bytes are too many for a site file: at most {max}")
        }
        Err(refused) => Err(refused).with_context(|| format!("{source} cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;
    use rustix::fs::Mode;
    use std::os::unix::fs::symlink;

    fn step(release: &std::path::Path) -> SitesStep {
        let step = serde_json::json!({
            "work": "stage",
            "selection": { "files": [], "refused": [], "notes": [] },
            "release": release,
            "checkout": release,
            "state": release,
            "locks": release,
            "nginx": { "program": "/usr/sbin/nginx", "directory": "/etc/nginx", "configuration": "/etc/nginx/nginx.conf", "prefix": null, "log_directory": "/var/log/nginx", "reload": "systemctl" },
            "certificates": { "directory": "/etc/letsencrypt", "webroot": null, "email": null, "acme_server": null, "renew_before": { "secs": 1, "nanos": 0 }, "self_test": true },
            "privileges": "direct",
            "run": "r",
            "forced": false,
        });
        serde_json::from_value(step).expect("a step as plans have it")
    }

    #[test]
    fn what_a_build_put_in_the_place_of_a_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let release = directory.path();
        let step = step(release);
        fs::create_dir_all(release.join("production")).unwrap();
        symlink("/etc/passwd", release.join("production/link")).unwrap();
        symlink("/etc", release.join("snippets")).unwrap();
        symlink("production", release.join("inner")).unwrap();
        fs::write(release.join("production/file"), "gzip on;").unwrap();
        rustix::fs::mknodat(
            fs::File::open(release).unwrap(),
            "production/pipe",
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        let read = |source: &str| {
            let wanted = WantedFile { source: source.into(), target: "conf.d/x".into(), site: None };
            read_one(&step, &wanted).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(read("production/file").unwrap(), b"gzip on;");
        for (source, why) in [
            ("production/link", "link"),
            ("snippets/passwd", "link"),
            ("inner/file", "link"),
            ("production/pipe", "plain file"),
            ("production", "plain file"),
            ("production/missing", "cannot be read"),
            ("../passwd", "cannot be read"),
        ] {
            let error = read(source).expect_err(source);
            assert!(error.contains(why), "{source}: {error}");
        }
    }
}

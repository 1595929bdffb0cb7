//! The wanted files, read from the release and judged. Nothing of them has been near nginx before.

use super::selection::WantedFile;
use super::{SitesStep, own_site};
use crate::base::files::safe_path::{self, Refused};
use crate::process::step_context::StepContext;
use crate::steps::nginx::site_file::SiteFile;
use anyhow::{Context, Result, bail};
use nginx_policy::{Directive, FILE_BYTES_MAX};
use std::path::{Component, Path};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// All files of a repository, at most: they are held in memory at once, and what is read of them takes up to twenty times as much.
const ALL_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Of several faults, those that an error names.
const FAULTS_SHOWN_MAX: usize = 4;

/// Of remarks, those that are made in a run's log.
const REMARKS_SHOWN_MAX: usize = 20;

/// Reads all wanted files, and judges them. An error names the faults of all of them, each with file and line.
pub async fn read(step: &SitesStep, step_context: &StepContext<'_>) -> Result<Vec<SiteFile>> {
    read_within(step, step_context.left(), step_context.cancel).await
}

/// On a thread of its own: what people may write into many large files takes seconds to judge, and meanwhile the step can be stopped.
async fn read_within(step: &SitesStep, limit: Duration, cancel: &CancellationToken) -> Result<Vec<SiteFile>> {
    let own = step.clone();
    let judged = safe_path::off_thread(&step.release, limit, move || Ok(read_now(&own)));
    tokio::select! {
        biased;
        () = cancel.cancelled() => bail!("cancelled"),
        judged = judged => match judged {
            Ok(files) => files,
            Err(Refused::Hangs { .. }) => bail!("the site files were not read and judged within the step's time"),
            Err(refused) => Err(refused.into()),
        },
    }
}

fn read_now(step: &SitesStep) -> Result<Vec<SiteFile>> {
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

/// What whoever wrote them should hear of, although it is allowed.
pub fn remarks(step: &SitesStep, files: &[SiteFile]) -> Vec<String> {
    let of = |file: &SiteFile| {
        let remarks = nginx_policy::remarks(&file.directives, &step.deployments);
        let source = file.wanted.source.clone();
        remarks.into_iter().map(move |remark| format!("{source}:{}: {}", remark.line, remark.message))
    };
    files.iter().flat_map(of).take(REMARKS_SHOWN_MAX).collect()
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

    #[tokio::test]
    async fn whoever_waits_for_the_judge_can_stop() {
        let directory = tempfile::tempdir().unwrap();
        let values: String = (0..1_900).map(|number| format!("k{number} v{number};\n")).collect();
        let uses: String =
            (0..9_000).map(|number| format!("location / {{ root /srv/$b/{number}; }}\n")).collect();
        fs::write(directory.path().join("a"), format!("map $uri $b {{ {values} }} server {{ {uses} }}"))
            .unwrap();
        let mut step = step(directory.path());
        let wanted =
            |number: usize| WantedFile { source: "a".into(), target: format!("conf.d/{number}"), site: None };
        step.selection.files = (0..20).map(wanted).collect();
        let never = CancellationToken::new();
        let error = read_within(&step, Duration::ZERO, &never).await.unwrap_err();
        assert!(error.to_string().contains("within the step's time"), "{error:#}");
        // There is one thread for all that is async here, and it is free to hear that somebody wants it stopped.
        let stopped = CancellationToken::new();
        let stop = async { stopped.cancel() };
        let (read, ()) = tokio::join!(read_within(&step, Duration::from_secs(600), &stopped), stop);
        assert_eq!(read.unwrap_err().to_string(), "cancelled");
        step.selection.files.clear();
        assert!(read_within(&step, Duration::from_secs(600), &never).await.unwrap().is_empty());
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

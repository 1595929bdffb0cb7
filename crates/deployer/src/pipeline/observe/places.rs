//! Paths of a deployment, room on the disks, and nginx in front, as this host has them now. Nothing is opened that a build has written.

use crate::config::{Config, Deployment, Layout, Nginx, Probe};
use crate::process::process_table;
use crate::steps::finding::Finding;
use crate::steps::release::{self, CURRENT};
use crate::store::Release;
use fs_err as fs;
use nginx_policy::configuration::{self, Directive};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

/// Below this no run can be carried out, whatever `runs.disk_free_min` says.
const FREE_BYTES_MIN: u64 = 1 << 20;

/// Site files of nginx that are looked at, and bytes of each: more are not written by hand.
const SITES_MAX: usize = 500;
const SITE_BYTES_MAX: u64 = 1 << 20;

/// What lies where the live release should be. The first difference explains those behind it.
pub fn release(deployment: &Deployment, layout: Layout, recorded: &Release) -> Option<Finding> {
    let path = &deployment.path;
    let kind = |path: &Path| path.symlink_metadata().map(|found| found.file_type());
    let is_missing = |path: &Path| kind(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    let has_shared = !deployment.shared_files.is_empty() || !deployment.shared_dirs.is_empty();
    let keeps_data = has_shared && is_missing(&path.join("shared"));
    if is_missing(path) {
        return Some(Finding::PathGone { path: path.clone(), keeps_data });
    }
    if layout == Layout::InPlace || Path::new(&recorded.path) == path {
        return None;
    }
    let link = path.join(CURRENT);
    let directory = release::directory(deployment, &recorded.name);
    if kind(&link).is_ok_and(|kind| !kind.is_symlink()) {
        return Some(Finding::LinkReplaced { link });
    }
    if is_missing(&directory) {
        return Some(Finding::ReleaseGone { directory, keeps_data });
    }
    if kind(&directory).is_ok_and(|kind| !kind.is_dir()) {
        return Some(Finding::ReleaseReplaced { directory });
    }
    match release::current(deployment) {
        Ok(None) => Some(Finding::LinkGone { link, release: recorded.name.clone() }),
        Ok(Some(found)) if found != recorded.name => {
            Some(Finding::LinkMoved { link, found, recorded: recorded.name.clone() })
        }
        Ok(Some(_)) => None,
        Err(error) => Some(Finding::NotSeen { what: link.display().to_string(), why: format!("{error:#}") }),
    }
}

/// File systems that a run or the deployer itself writes to, and that have no room.
pub fn room(config: &Config, deployment: &Deployment) -> Vec<Finding> {
    let full = |path: &Path| {
        let wanted = config.runs.disk_free_bytes_min.max(FREE_BYTES_MIN);
        let error = release::check_space(&[path], wanted).err()?;
        Some(Finding::NoRoom { place: path.to_owned(), why: format!("{error:#}") })
    };
    [deployment.path.as_path(), &config.state_directory].into_iter().filter_map(full).collect()
}

/// nginx, where it serves this deployment and does not run.
pub fn nginx(config: &Config, deployment: &Deployment) -> Option<Finding> {
    let is_sites = deployment.recipe.sites.is_some();
    if !is_sites && !is_behind(config, deployment) {
        return None;
    }
    (!nginx_runs(&config.nginx))
        .then(|| Finding::NginxDown { why: "there is no master process of nginx".into() })
}

/// Whether nginx's first process is there: the one that its configuration has written into a file, where it names one.
pub fn nginx_runs(nginx: &Nginx) -> bool {
    let is_master = |process: &process_table::Process| {
        process.arguments.first().is_some_and(|name| name.starts_with("nginx: master process"))
    };
    let text = fs::read_to_string(&nginx.configuration).unwrap_or_default();
    let directives = configuration::parse(&text).unwrap_or_default();
    let pid_file =
        directives.iter().find(|directive| directive.name() == "pid").and_then(Directive::argument);
    match pid_file {
        Some(file) => {
            let file = nginx.prefix.as_deref().unwrap_or(Path::new("/")).join(file);
            let pid = fs::read_to_string(file).ok().and_then(|pid| pid.trim().parse().ok());
            pid.and_then(process_table::read).is_some_and(|process| is_master(&process))
        }
        None => process_table::all().is_ok_and(|processes| processes.iter().any(is_master)),
    }
}

/// Whether one of nginx's sites names the deployment's directory, or the port at which its health is asked.
pub fn is_behind(config: &Config, deployment: &Deployment) -> bool {
    let mut names = vec![deployment.path.to_string_lossy().into_owned()];
    for check in &deployment.health {
        let port = match &check.probe {
            Probe::Http { url, .. } => url.parse::<http::Uri>().ok().and_then(|url| url.port_u16()),
            Probe::Tcp(address) => address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()),
            Probe::Command(_) => None,
        };
        names.extend(port.filter(|port| ![80, 443].contains(port)).map(|port| format!(":{port}")));
    }
    let directories = ["sites-enabled", "conf.d"].map(|name| config.nginx.directory.join(name));
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    entries.take(SITES_MAX).any(|entry| {
        let path = entry.path();
        // A link may lead to a file of somebody's; what is no small file is nobody's site.
        let is_small = path.metadata().is_ok_and(|found| found.is_file() && found.len() <= SITE_BYTES_MAX);
        is_small
            && path.file_name() != Some(OsStr::new("default"))
            && fs::read_to_string(&path)
                .is_ok_and(|text| text.lines().any(|line| names.iter().any(|name| serves(line, name))))
    })
}

/// Whether a line of a site names this, and is no comment. A port or a path ends where its name does.
fn serves(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with('#')
        && line.match_indices(name).any(|(at, _)| {
            !line[at + name.len()..]
                .starts_with(|next: char| next.is_ascii_alphanumeric() || "-_.".contains(next))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_serves_what_it_names() {
        for (line, name, expected) in [
            ("  root /srv/web/current/public;", "/srv/web", true),
            ("  root /srv/web;", "/srv/web", true),
            ("  root /srv/website/current;", "/srv/web", false),
            ("  # root /srv/web/current;", "/srv/web", false),
            ("proxy_pass http://127.0.0.1:8080;", ":8080", true),
            ("proxy_pass http://127.0.0.1:80801;", ":8080", false),
            ("proxy_pass http://localhost:8080/api/;", ":8080", true),
        ] {
            assert_eq!(serves(line, name), expected, "{line} {name}");
        }
    }
}

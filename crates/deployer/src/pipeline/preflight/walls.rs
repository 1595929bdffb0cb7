//! Whether a deployment's path can be written to: by this process, and by the packaged units, whose view of the host is another one.

use crate::config::{Config, Deployment, Layout};
use crate::process::executor::Executor;
use crate::process::step_user;
use crate::process::tools::{Invocation, systemctl};
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long systemd may take to say what a unit's file says.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The state directory of the packaged services. Whose state lies elsewhere is not kept by their units.
const STATE_OF_UNITS: &str = "/var/lib/durhack-deployer";

/// What makes releases.
const WORKER: &str = "durhack-deployer-worker.service";

/// What mends a unit that may not write where it must.
const SETUP: &str = "`sudo durhack-deployer setup` lets it";

/// Why this process cannot make releases in a deployment's path, if it cannot.
pub fn here(deployment: &Deployment, layout: Layout) -> Option<String> {
    // In place, the user of the deployment's own writes.
    if layout == Layout::InPlace && deployment.user.is_some() {
        return None;
    }
    let path = &deployment.path;
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    // Not by effective user, which is the same here: the filters of some containers refuse the call that asks so.
    match access(existing, Access::WRITE_OK | Access::EXEC_OK) {
        Err(Errno::ACCESS | Errno::ROFS) => {}
        _ => return None,
    }
    let shown = existing.display();
    let is_read_only = statvfs(existing).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    if is_read_only {
        return Some(format!(
            "{shown} is read-only for this process, and {} lies there: where the service is a unit of systemd, {SETUP} write there; else `findmnt -T {shown}` says why",
            path.display()
        ));
    }
    let user = rustix::process::geteuid().as_raw();
    let what = if existing == path { "may not write" } else { "may not make" };
    Some(format!(
        "user {user}, as which this runs, {what} {}: `sudo install -d -o {user} {}`",
        path.display(),
        path.display()
    ))
}

/// What the packaged units may not write to and must, by what systemd has read of them; nothing where they are not there, or where they do not
/// keep this state.
pub async fn of_units(
    executor: &Executor,
    config: &Config,
    deployment: &Deployment,
    cancel: &CancellationToken,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for unit in units(config, deployment) {
        let question = Invocation::of(&systemctl::sandbox(&unit));
        let Ok(answer) = executor.ask(&question, ANSWER_MAX, cancel).await else { break };
        sentences.extend(judge(deployment, &unit, &answer.output));
    }
    sentences
}

/// The units that write to a deployment's path; none where this state is not kept by the packaged ones.
pub fn units(config: &Config, deployment: &Deployment) -> Vec<String> {
    if config.state_directory != Path::new(STATE_OF_UNITS) {
        return Vec::new();
    }
    let mut units = vec![WORKER.to_owned()];
    if let Some(user) = &deployment.user {
        units.push(step_user::steps_service(user));
        units.extend(deployment.recipe.is_under_pm2().then(|| step_user::pm2_unit(user)));
    }
    units
}

/// Why a unit of which systemd has said this cannot write to the deployment's path, if it cannot.
pub fn judge(deployment: &Deployment, unit: &str, printed: &str) -> Option<String> {
    let path = deployment.path.canonicalize().unwrap_or_else(|_| deployment.path.clone());
    let why = Walls::read(printed)?.complaint(&path)?;
    let path = deployment.path.display();
    Some(format!("{unit} {why} {path}, where releases lie: {SETUP}"))
}

/// What a unit may write to.
#[derive(Debug, Default)]
struct Walls {
    is_strict: bool,
    is_full: bool,
    /// `no`, `read-only`, `yes` or `tmpfs`.
    homes: String,
    writable: Vec<PathBuf>,
    read_only: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
    bound: Vec<PathBuf>,
    bound_read_only: Vec<PathBuf>,
}

impl Walls {
    /// Of `Name=value` lines; None where systemd has no such unit.
    fn read(printed: &str) -> Option<Self> {
        let value = |name: &str| {
            let of = |line: &'_ str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
            printed.lines().find_map(of).unwrap_or_default()
        };
        if value("LoadState") != "loaded" {
            return None;
        }
        let paths = |name: &str| words(&value(name)).iter().map(path_of).collect::<Vec<PathBuf>>();
        // `source:destination:options`
        let bound = |name: &str| {
            let places = words(&value(name));
            places.iter().filter_map(|word| word.split(':').nth(1).map(path_of)).collect::<Vec<PathBuf>>()
        };
        let mut writable = paths("ReadWritePaths");
        for (name, parent) in
            [("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache"), ("LogsDirectory", "/var/log")]
        {
            writable.extend(words(&value(name)).iter().map(|word| Path::new(parent).join(word)));
        }
        let mut hidden = paths("InaccessiblePaths");
        hidden.extend(
            words(&value("TemporaryFileSystem"))
                .iter()
                .filter_map(|word| word.split(':').next().map(path_of)),
        );
        let system = value("ProtectSystem");
        Some(Self {
            is_strict: system == "strict",
            is_full: matches!(system.as_str(), "full" | "yes"),
            homes: value("ProtectHome"),
            writable,
            read_only: paths("ReadOnlyPaths"),
            hidden,
            bound: bound("BindPaths"),
            bound_read_only: bound("BindReadOnlyPaths"),
        })
    }

    /// What keeps the unit from writing to a path. Of the places that it lies in, the innermost decides.
    fn complaint(&self, path: &Path) -> Option<&'static str> {
        const READ_ONLY: Option<&str> = Some("may only read");
        const HIDDEN: Option<&str> = Some("does not see");
        let homes: &[&str] = &["/home", "/root", "/run/user"];
        let of_homes = match self.homes.as_str() {
            "yes" | "tmpfs" => Some(HIDDEN),
            "read-only" => Some(READ_ONLY),
            _ => None,
        };
        let mut places: Vec<(&Path, Option<&str>)> = Vec::new();
        if self.is_strict {
            places.push((Path::new("/"), READ_ONLY));
        }
        if self.is_full {
            places.extend(["/usr", "/boot", "/efi", "/etc"].map(|place| (Path::new(place), READ_ONLY)));
        }
        // A place in a home that is hidden cannot be made writable; it can be bound there.
        let is_hidden =
            |path: &Path| of_homes == Some(HIDDEN) && homes.iter().any(|home| path.starts_with(home));
        places.extend(
            of_homes.into_iter().flat_map(|why| homes.iter().map(move |home| (Path::new(*home), why))),
        );
        let seen =
            |paths: &'_ [PathBuf]| paths.iter().filter(|path| !is_hidden(path)).cloned().collect::<Vec<_>>();
        let (writable, read_only) = (seen(&self.writable), seen(&self.read_only));
        places.extend(self.hidden.iter().map(|path| (path.as_path(), HIDDEN)));
        places.extend(read_only.iter().map(|path| (path.as_path(), READ_ONLY)));
        places.extend(writable.iter().map(|path| (path.as_path(), None)));
        places.extend(self.bound_read_only.iter().map(|path| (path.as_path(), READ_ONLY)));
        places.extend(self.bound.iter().map(|path| (path.as_path(), None)));
        let around = places.into_iter().filter(|(place, _)| path.starts_with(place));
        around.max_by_key(|(place, _)| place.components().count()).and_then(|(_, why)| why)
    }
}

/// As systemd prints lists: by spaces, with quotation marks around what has one.
fn words(list: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for character in list.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            other => word.push(other),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Without the marks for what may be missing, and for what lies below another root; where it leads, as systemd follows links.
fn path_of(word: impl AsRef<str>) -> PathBuf {
    let path = PathBuf::from(word.as_ref().trim_start_matches(['-', '+']));
    path.canonicalize().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_unit_may_write_to_is_what_its_file_and_drop_ins_say() {
        let printed = "LoadState=loaded\nProtectSystem=strict\nProtectHome=tmpfs\nReadWritePaths=-/var/www -/srv/site \"-/srv/my site\" -/home/web/old\nReadOnlyPaths=/run /srv/site/kept\nInaccessiblePaths=\nBindPaths=-/home/web/site:/home/web/site:rbind\nBindReadOnlyPaths=-/home/web/.nvm:/home/web/.nvm:rbind\nTemporaryFileSystem=/dev/shm:mode=1777\nStateDirectory=durhack-deployer\n";
        let walls = Walls::read(printed).unwrap();
        for (path, expected) in [
            ("/var/www/site", None),
            ("/srv/site", None),
            ("/srv/my site/x", None),
            ("/srv/other", Some("may only read")),
            ("/srv/site/kept/x", Some("may only read")),
            ("/var/lib/durhack-deployer/x", None),
            ("/home/web/site", None),
            ("/home/web/old", Some("does not see")),
            ("/home/web/other", Some("does not see")),
            ("/home/web/.nvm/x", Some("may only read")),
            ("/dev/shm/x", Some("does not see")),
        ] {
            assert_eq!(walls.complaint(Path::new(path)), expected, "{path}");
        }
        assert!(Walls::read("LoadState=not-found\n").is_none());
        let open = Walls::read("LoadState=loaded\nProtectSystem=no\nProtectHome=no\n").unwrap();
        assert_eq!(open.complaint(Path::new("/srv/other")), None);
        let old = Walls::read("LoadState=loaded\nProtectSystem=full\nProtectHome=read-only\n").unwrap();
        assert_eq!(old.complaint(Path::new("/home/web/x")), Some("may only read"));
        assert_eq!(old.complaint(Path::new("/srv/x")), None);
    }
}

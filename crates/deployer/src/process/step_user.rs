//! A user of a deployment's own, as whom its release is made and its commands are run, in every phase: `user = "web"`.
//! (`confinement` has the rule.)
//!
//! Nobody here can become another user, and nothing of ours is root to do it. systemd is: connecting to the socket of
//! `durhack-deployer-steps@web.socket` has it start a spawner (`supervise::spawner_main`) as `web`, in a unit with walls and a control group of its
//! own. That root has enabled this socket is what allows it; only the deployer may connect, and only who shows the key is heard: the worker, and
//! root. That keeps out builds of deployments that share the deployer's user.
//!
//! Two users then make one tree: the deployer its directory and what the commit holds, the other what comes of that. An access list
//! lets each write what the other makes, and everybody may read it, who runs or serves it too. It is of releases, and of what is shared: the
//! link `current` is beyond that user's reach. Earlier releases it has made itself: only Landlock keeps a step out of those.

use crate::base::digest::sha256_hex;
use crate::base::names::{Slug, UserName};
use crate::config::CREDENTIALS_VARIABLE;
use crate::config::users::DEPLOYER;
use rustix::process::getuid;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Below it lie the sockets, which the unit names too.
const SOCKETS: &str = "/run/durhack-deployer-steps";

/// Below it lie the homes, likewise.
const HOMES: &str = "/var/lib/durhack-deployer-steps";

/// Its number; None where there is no such user. Of the system's own file: it is no user of a directory service.
pub fn id(user: &UserName) -> Option<u32> {
    let users = fs_err::read_to_string("/etc/passwd").ok()?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields.into_iter().find(|fields| fields.first() == Some(&user.as_str()))?.get(2)?.parse().ok()
}

/// The numbers of all users that deployments of this host have of their own: root has enabled a socket for each.
pub fn ids() -> BTreeSet<u32> {
    let sockets = fs_err::read_dir(SOCKETS).into_iter().flatten().flatten();
    let names = sockets.filter_map(|socket| UserName::parse(socket.path().file_stem()?.to_str()?).ok());
    names.filter_map(|user| id(&user)).collect()
}

/// What is to be said of a program that is to run as this user, and runs as one with this number. None: nothing.
pub fn complaint(user: &UserName, what: &str, found: u32) -> Option<String> {
    if id(user) == Some(found) {
        return None;
    }
    let who = match found {
        0 => "root".to_owned(),
        found if found == getuid().as_raw() => "the deployer".to_owned(),
        found => format!("user {found}"),
    };
    let follows = if found == 0 { ": whoever can push is root" } else { "" };
    Some(format!("{what} runs as {who}, and not as {user}, as whom the deployment is to run{follows}"))
}

/// Where systemd puts the key that its worker shows the privileged helper; from it those of the spawners are made.
const WORKERS_KEY: &str = "/run/credentials/durhack-deployer-worker.service/helper-key";

/// Where root keeps it.
const ROOTS_KEY: &str = "/etc/durhack-deployer/credentials/helper-key";

/// Below it root keeps those of the spawners, `-USER` at the end, which the unit names too.
const STEPS_KEY: &str = "/etc/durhack-deployer/credentials/steps-key";

/// Who starts steps of this user, and the key that is shown there. Where this process has none, asking says so.
pub fn keeper(user: &UserName) -> supervise::Spawner {
    let key = helpers_keys().find_map(|path| key_from(user, &path));
    supervise::Spawner { socket: socket(user), key: key.unwrap_or_default() }
}

/// Where the helper's key lies for who may have it: the worker, and root.
#[expect(clippy::disallowed_methods, reason = "systemd says where a unit's credentials lie")]
fn helpers_keys() -> impl Iterator<Item = PathBuf> {
    let own =
        std::env::var_os(CREDENTIALS_VARIABLE).map(|directory| Path::new(&directory).join("helper-key"));
    own.into_iter().chain([WORKERS_KEY, ROOTS_KEY].map(PathBuf::from))
}

/// What a run shows `move-user`, of which the worker and root alone can know it. None where this process has none.
pub fn key_of_move(deployment: &Slug) -> Option<String> {
    helpers_keys().find_map(|path| derived(&path, &format!("move of {deployment}")))
}

/// The key of this user's steps, as root makes it.
pub fn key(user: &UserName) -> Option<String> {
    key_from(user, Path::new(ROOTS_KEY))
}

/// Where root keeps it.
pub fn key_file(user: &UserName) -> PathBuf {
    format!("{STEPS_KEY}-{user}").into()
}

/// Whether it is one of these files.
pub fn is_key_file(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(&format!("{STEPS_KEY}-")))
}

/// Whether root keeps the right one there.
pub fn has_key(user: &UserName) -> bool {
    let kept = fs_err::read_to_string(key_file(user)).ok();
    kept.is_some_and(|kept| key(user).is_some_and(|key| kept.trim_end() == key))
}

/// One that belongs to the helper's, and says nothing of it, nor of another user's: an application may read that of its own user. The package's
/// postinst makes the same.
fn key_from(user: &UserName, helpers: &Path) -> Option<String> {
    derived(helpers, &format!("steps of {user}"))
}

fn derived(helpers: &Path, what_for: &str) -> Option<String> {
    let helpers = fs_err::read_to_string(helpers).ok()?;
    let helpers = helpers.trim_end();
    (!helpers.is_empty()).then(|| sha256_hex(format!("{helpers} {what_for}").as_bytes()))
}

/// Where steps are asked for.
pub fn socket(user: &UserName) -> PathBuf {
    Path::new(SOCKETS).join(format!("{user}.sock"))
}

/// Why nobody starts steps of this user, if it is because systemd does not listen for them.
pub fn missing(user: &UserName) -> Option<String> {
    let socket = socket(user);
    let is_gone = socket.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    is_gone.then(|| {
        format!(
            "nobody starts commands as {user}: {} is not there; `sudo durhack-deployer setup` starts durhack-deployer-steps@{user}.socket",
            socket.display()
        )
    })
}

/// HOME of its steps.
pub fn home(user: &UserName) -> PathBuf {
    Path::new(HOMES).join(user.as_str())
}

/// What its programs need to know, whoever starts them. Its unit makes both directories; the latter is gone when the unit ends.
pub fn environment(user: &UserName) -> BTreeMap<String, String> {
    let home = home(user).to_string_lossy().into_owned();
    let (name, temporary) = (user.to_string(), "/tmp".to_owned());
    [("HOME", home), ("USER", name.clone()), ("LOGNAME", name), ("TMPDIR", temporary)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// What systemd listens by.
pub fn unit(user: &UserName) -> String {
    format!("durhack-deployer-steps@{user}.socket")
}

/// What runs steps as this user.
pub fn steps_service(user: &UserName) -> String {
    format!("durhack-deployer-steps@{user}.service")
}

/// Where the user's PM2 has its files, which the unit names too.
pub fn pm2_home(user: &UserName) -> PathBuf {
    home(user).join(".pm2")
}

/// What keeps the user's PM2, and with it the applications.
pub fn pm2_unit(user: &UserName) -> String {
    format!("durhack-deployer-pm2@{user}.service")
}

/// Whose steps a unit is about.
pub fn of_unit(name: &str) -> Option<UserName> {
    let user = name.strip_prefix("durhack-deployer-steps@")?.strip_suffix(".socket")?;
    UserName::parse(user).ok()
}

/// Whether we are root, and the state is another user's, or will be: then nothing that concerns it is ours to do.
pub fn is_anothers(state_directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    rustix::process::geteuid().is_root()
        && match state_directory.symlink_metadata() {
            Ok(found) => found.uid() != 0,
            // Before the first start. The package has made its user.
            Err(_) => UserName::parse(DEPLOYER).is_ok_and(|deployer| id(&deployer).is_some()),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_key_that_the_package_makes_too() {
        let scratch = tempfile::tempdir().unwrap();
        let helpers = scratch.path().join("helper-key");
        let key = |user: &str| key_from(&UserName::parse(user).unwrap(), &helpers);
        // What systemd puts in the place of one that is not there.
        std::fs::write(&helpers, "\n").unwrap();
        assert_eq!(key("app-a"), None);
        std::fs::write(&helpers, "abc\n").unwrap();
        // $ printf '%s steps of %s' abc app-a | sha256sum
        assert_eq!(key("app-a").unwrap(), "2fdd2efc51f2e7168117949fbcdff0edf39a5e39c94d72b3f25bab13436315ee");
        assert_ne!(key("app-a"), key("app-b"));
    }

    #[test]
    fn a_unit_is_about_one_user() {
        let user = UserName::parse("web").unwrap();
        assert_eq!(of_unit(&unit(&user)), Some(user));
        for other in ["durhack-deployer-steps@root.socket", "durhack-deployer-steps@.socket", "web.socket"] {
            assert_eq!(of_unit(other), None, "{other}");
        }
    }
}

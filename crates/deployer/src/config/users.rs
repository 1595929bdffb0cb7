//! As whom deployments run that name no `user`: what `setup` has recorded in `users.toml`, beside the layers.
//!
//! Only root can write that file, so an entry in it is root's consent as well. The rules, in this order:
//!
//! 1. `user = "..."` in the configuration wins. The deployer's own name there asks for the shared user: the deployer's.
//! 2. Otherwise the entry of the deployment's slug decides.
//! 3. Without an entry, where the file exists: nothing of the deployment runs until `setup` has been run. A deployment that was added since the
//!    last `setup` must not run as the deployer because somebody forgot a command.
//! 4. Without the file (development, and hosts on which no `setup` of this version has run): as the deployer, as earlier versions did.

use super::Deployment;
use crate::base::names::{Slug, UserName};
use rustix::fs::{Mode, OFlags, open};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use toml::{Table, Value};

/// The file's name, in the directory of the layers.
pub const FILE: &str = "users.toml";

/// As whom `setup` has the deployer run. As a deployment's user it stands for the user that all such deployments share.
pub const DEPLOYER: &str = "durhack-deployer";

const WAITING_HEADING: &str = "\
# These came with `setup --from`: nothing of them is deployed by itself before their first `durhack-deployer deploy SLUG`.
";

/// A line per deployment; larger files are not this one.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The table in it.
const TABLE: &str = "users";

/// The list in it: deployments that `setup --from` has brought along, of which nothing is deployed by itself before an operator has
/// deployed them once.
const WAITING: &str = "waiting";

/// Beside it: since when, in milliseconds since 1970.
const WAITING_SINCE: &str = "waiting_since_ms";

const HEADING: &str = "\
# As whom each deployment is built and run that names no `user` itself. Written by `durhack-deployer setup` and
# `durhack-deployer move-user`, which also change whose the files are: do not edit it by hand.
# \"durhack-deployer\" is the deployer's own user, which all deployments with that entry share.
";

/// Where a deployment's user comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserSource {
    /// `user` in the configuration.
    Written,
    /// An entry of `users.toml`.
    Recorded,
    /// There is no `users.toml`.
    NotSetUp,
    /// There is a `users.toml`, without this deployment in it: nothing of it may run.
    Missing,
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    users: BTreeMap<Slug, UserName>,
    waiting: BTreeSet<Slug>,
    waiting_since_ms: i64,
}

impl Users {
    /// Reads the file beside the layers. `None`: there is none.
    pub fn read(directory: &Path) -> Result<Option<Self>, String> {
        let path = directory.join(FILE);
        let said = |error: String| format!("{}: {error}", path.display());
        match read_of_root(&path) {
            Ok(text) => Self::parse(&text).map(Some).map_err(said),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(said(error.to_string())),
        }
    }

    /// Reads what [`Users::text`] has written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut users = BTreeMap::new();
        let (mut waiting, mut waiting_since_ms) = (BTreeSet::new(), 0);
        for (name, value) in &table {
            if let (WAITING_SINCE, Value::Integer(since_ms)) = (name.as_str(), value) {
                waiting_since_ms = *since_ms;
                continue;
            }
            if let (WAITING, Value::Array(slugs)) = (name.as_str(), value) {
                for slug in slugs {
                    let slug = slug.as_str().ok_or("an entry of `waiting` is not a text")?;
                    waiting.insert(Slug::parse(slug).map_err(|error| error.to_string())?);
                }
                continue;
            }
            let (TABLE, Value::Table(entries)) = (name.as_str(), value) else {
                return Err(format!("`{name}` is not the table `[{TABLE}]`"));
            };
            for (slug, user) in entries {
                let Value::String(user) = user else {
                    return Err(format!("the user of `{slug}` is not a text"));
                };
                let slug = Slug::parse(slug).map_err(|error| error.to_string())?;
                users.insert(slug, UserName::parse(user).map_err(|error| error.to_string())?);
            }
        }
        Ok(Self { users, waiting, waiting_since_ms })
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = HEADING.to_owned();
        if !self.waiting.is_empty() {
            let slugs: Vec<String> = self.waiting.iter().map(|slug| format!("\"{slug}\"")).collect();
            let _ = write!(
                text,
                "\n{WAITING_HEADING}{WAITING} = [{}]\n{WAITING_SINCE} = {}\n",
                slugs.join(", "),
                self.waiting_since_ms
            );
        }
        let _ = write!(text, "\n[{TABLE}]\n");
        for (slug, user) in &self.users {
            // Neither name can hold anything that TOML would have quoted.
            let _ = writeln!(text, "{slug} = \"{user}\"");
        }
        text
    }

    /// The entry of a deployment.
    pub fn of(&self, slug: &Slug) -> Option<&UserName> {
        self.users.get(slug)
    }

    /// Records a deployment's user.
    pub fn set(&mut self, slug: Slug, user: UserName) {
        self.users.insert(slug, user);
    }

    /// Since when nothing of a deployment is deployed by itself before an operator has deployed it once, in milliseconds since 1970.
    /// `None`: it does not wait.
    pub fn waits_since_ms(&self, slug: &Slug) -> Option<i64> {
        self.waiting.contains(slug).then_some(self.waiting_since_ms)
    }

    /// Has these wait for their first deploy by an operator after this time.
    pub fn set_waiting(&mut self, slugs: impl IntoIterator<Item = Slug>, since_ms: i64) {
        self.waiting = slugs.into_iter().collect();
        self.waiting_since_ms = since_ms;
    }

    /// Every recorded deployment with its user.
    pub fn iter(&self) -> impl Iterator<Item = (&Slug, &UserName)> {
        self.users.iter()
    }
}

/// The text of a file that only root can have written. Never waits, and follows no link.
fn read_of_root(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(open(path, flags, Mode::empty())?);
    let found = file.metadata()?;
    let refuse = |what: &str| Err(io::Error::new(ErrorKind::PermissionDenied, what.to_owned()));
    if !found.is_file() {
        return refuse("it is not a regular file");
    }
    if found.uid() != 0 || found.mode() & 0o022 != 0 {
        return refuse(
            "it decides as whom builds run, and others than root can write it: `chown root:` and `chmod go-w` it",
        );
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => {
            Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {FILE_BYTES_MAX} bytes")))
        }
        false => Ok(text),
    }
}

/// Which user a deployment has, by the rules of this module. `None` stands for the deployer's own, also where nothing may run.
pub fn choose(
    slug: &Slug,
    written: Option<UserName>,
    recorded: Option<&Users>,
) -> (Option<UserName>, UserSource) {
    let own = |user: UserName| Some(user).filter(|user| user.as_str() != DEPLOYER);
    match (written, recorded) {
        (Some(user), _) => (own(user), UserSource::Written),
        (None, None) => (None, UserSource::NotSetUp),
        (None, Some(users)) => match users.of(slug) {
            Some(user) => (own(user.clone()), UserSource::Recorded),
            None => (None, UserSource::Missing),
        },
    }
}

/// Whether the file names another user for a deployment now than when its configuration was read.
pub fn has_changed(directory: &Path, deployment: &Deployment) -> anyhow::Result<bool> {
    if deployment.user_source == UserSource::Written {
        return Ok(false);
    }
    let now = Users::read(directory).map_err(anyhow::Error::msg)?;
    let (user, source) = choose(&deployment.slug, None, now.as_ref());
    // That somebody has recorded what holds anyway changes nothing.
    let may_run = |source| source != UserSource::Missing;
    Ok(user != deployment.user || may_run(source) != may_run(deployment.user_source))
}

/// Why nothing of a deployment is deployed by itself that came with `setup --from`, and what to do about it.
pub fn awaits_first_deploy(slug: &Slug) -> String {
    format!("it came from the old tool and waits for its first `durhack-deployer deploy {slug}`")
}

/// Why nothing of a deployment runs that has no entry, and what to do about it.
pub fn missing(slug: &Slug) -> String {
    format!(
        "{slug} has no user yet, as whom it could be built and run: `sudo durhack-deployer setup` makes one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn slug(text: &str) -> Slug {
        Slug::parse(text).unwrap()
    }

    fn user(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    #[test]
    fn what_is_written_wins_then_what_is_recorded_and_then_nothing_runs() {
        let mut users = Users::default();
        users.set(slug("api"), user("app-api"));
        users.set(slug("old"), user(DEPLOYER));
        let recorded = Some(&users);
        for (name, written, recorded, expected) in [
            ("api", Some("web"), recorded, (Some("web"), UserSource::Written)),
            ("api", Some(DEPLOYER), recorded, (None, UserSource::Written)),
            ("api", None, recorded, (Some("app-api"), UserSource::Recorded)),
            ("old", None, recorded, (None, UserSource::Recorded)),
            ("new", None, recorded, (None, UserSource::Missing)),
            ("new", Some("web"), recorded, (Some("web"), UserSource::Written)),
            ("new", None, None, (None, UserSource::NotSetUp)),
            ("new", Some("web"), None, (Some("web"), UserSource::Written)),
        ] {
            let (found, source) = choose(&slug(name), written.map(user), recorded);
            assert_eq!((found.as_ref().map(UserName::as_str), source), expected, "{name} {written:?}");
        }
    }

    #[test]
    fn what_is_written_down_is_read_again_and_nothing_else_is() {
        let mut users = Users::default();
        users.set(slug("api"), user("app-api"));
        users.set(slug("0-9"), user("app-0-9"));
        assert_eq!(Users::parse(&users.text()).unwrap(), users, "{}", users.text());
        for (wrong, said) in [
            ("[users]\napi = \"root\"\n", "no push is worth root"),
            ("[users]\napi = 3\n", "is not a text"),
            ("[users]\n\"../x\" = \"web\"\n", "is not a deployment name"),
            ("[user]\napi = \"web\"\n", "`user` is not the table"),
            ("users = 3\n", "`users` is not the table"),
            ("[users\n", ""),
        ] {
            let error = Users::parse(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn only_roots_file_is_believed() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tried: this needs root");
            let is_ci = crate::config::Environment::of_process().get("CI").is_some();
            assert!(!is_ci, "CI runs tests as root");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(FILE);
        assert_eq!(Users::read(scratch.path()), Ok(None));
        std::fs::write(&path, Users::default().text()).unwrap();
        let with_mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        with_mode(0o644);
        assert_eq!(Users::read(scratch.path()), Ok(Some(Users::default())));
        for mode in [0o664, 0o646] {
            with_mode(mode);
            assert!(Users::read(scratch.path()).unwrap_err().contains("others than root can write it"));
        }
        with_mode(0o644);
        std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
        assert!(Users::read(scratch.path()).unwrap_err().contains("others than root can write it"));
        let aside = scratch.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::os::unix::fs::chown(&aside, Some(0), None).unwrap();
        symlink(&aside, &path).unwrap();
        assert!(Users::read(scratch.path()).is_err(), "a link is its maker's, wherever it leads");
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        assert!(Users::read(scratch.path()).unwrap_err().contains("not a regular file"));
    }
}

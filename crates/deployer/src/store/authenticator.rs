//! Which rows of the database this deployer wrote itself.
//!
//! Whoever can write to the database could otherwise have the deployer carry out a plan of theirs, or take a commit for approved:
//! a build that may connect to PostgreSQL, or a program that found a way to SQLite's file. So every row that leads to an action
//! carries an HMAC over all of it, with a key that is in the state directory and never in the database. A row without a valid one is
//! shown, and never acted on.
//!
//! An HMAC does not tell an old row from a new one: who has read a row while its run was in progress can put it back later. What is
//! new is therefore noted outside of the database, beside the key: which runs were begun and have not ended (a file each, without
//! which a run is never recovered), which answer to a gate is the newest, which rows of a deployment's releases are (one file for
//! each deployment), and which reports GitHub is still to have (a file for each commit and context, until it has it).
//!
//! A note and a row cannot be written at one moment. The note comes first and names the row as it was and as it will be; what is left
//! of that by a crash is settled by the next change.
//!
//! Beside them lies the id of the newest run. The next one is greater whatever the clock says: *newer* means a greater id.
//!
//! Deliberately absent: any protection against deletion. Whoever can write to the database can make the deployer forget.

use super::StoreError;
use crate::base::files::private_file;
use fs_err as fs;
use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use uuid::Uuid;

/// Where all of it lies, in the state directory.
const DIRECTORY: &str = "trust";

/// The key's file.
const KEY_FILE: &str = "record.key";

/// With what the name of a run's note begins.
const RUN_PREFIX: &str = "run-";

/// Random bytes of a key: as many as the hash has.
const KEY_BYTES: usize = 32;

/// One empty-handed reader of a file is enough: keys, slugs and HMACs in hexadecimal digits are shorter.
const SMALL_FILE_BYTES_MAX: u64 = 4096;

/// The rows of a deployment's releases, each with an HMAC: thousands of releases that are still there.
const RELEASES_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the id of the newest run is kept.
const NEWEST_RUN_FILE: &str = "newest-run";

/// Where the name of the database's file is kept, once there is one.
const DATABASE_FILE: &str = "database";

/// With what the name of a note of reports begins.
const TELLING_PREFIX: &str = "telling-";

/// Reports of one key that a note names: the one that has waited for longest, and the newest ones, of which some may not have been
/// written after all.
const TELLINGS_NOTED: usize = 16;

/// What makes these HMACs others than any other use of the same key.
const DOMAIN: &str = "durhack-deployer database row, version 1";

/// Signs rows, and recognises those that were signed here. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator(Arc<AuthenticatorInner>);

struct AuthenticatorInner {
    directory: PathBuf,
    key: OnceLock<[u8; KEY_BYTES]>,
    /// What is noted of reports while the disk is full.
    notifications: Mutex<HashMap<PathBuf, String>>,
    /// The newest id that was given to a run.
    newest_run: Mutex<Option<Uuid>>,
    /// Held by whoever changes a note of releases.
    releases: Mutex<()>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Authenticator").field(&self.0.directory).finish()
    }
}

/// What is signed of a row: its table, then each field in a fixed order. Every field is written with its kind and its length, so that
/// no two rows, and no rows of two tables, have the same bytes.
#[derive(Debug, Clone)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn of(table: &str) -> Self {
        Self(Vec::new()).text(DOMAIN).text(table)
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.field(b't', text.as_bytes())
    }

    pub(super) fn optional_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => self.field(b'0', &[]),
        }
    }

    pub(super) fn number(self, number: i64) -> Self {
        self.field(b'n', &number.to_be_bytes())
    }

    pub(super) fn optional_number(self, number: Option<i64>) -> Self {
        match number {
            Some(number) => self.number(number),
            None => self.field(b'0', &[]),
        }
    }

    fn field(mut self, kind: u8, bytes: &[u8]) -> Self {
        self.0.push(kind);
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }
}

/// A row that is signed.
pub(super) trait Signed {
    /// What is signed of it.
    fn message(&self) -> Message;

    /// What was found beside it.
    fn mac(&self) -> Option<&str>;

    /// What is signed by itself, and what was found beside that: columns that came later. What older programs sign and read of the row
    /// stays as they know it.
    fn further(&self) -> Option<(Message, Option<&str>)> {
        None
    }
}

impl Authenticator {
    /// That of a deployer whose state lies there. Reads and makes nothing before it is needed.
    pub fn new(state_directory: &Path) -> Self {
        Self(Arc::new(AuthenticatorInner {
            directory: state_directory.join(DIRECTORY),
            key: OnceLock::new(),
            notifications: Mutex::default(),
            newest_run: Mutex::default(),
            releases: Mutex::default(),
        }))
    }

    /// The HMAC of a row, in hexadecimal digits. Makes the key where there is none yet.
    pub(super) fn sign(&self, message: &Message) -> Result<String, StoreError> {
        Ok(hex::encode(self.mac(self.key_or_new()?, message).finalize().into_bytes()))
    }

    /// The HMAC of a text of ours that is not in the database. `what` says what it is, so that none passes for another.
    pub fn sign_text(&self, what: &'static str, text: &str) -> Result<String, StoreError> {
        self.sign(&Message::of(what).text(text))
    }

    /// Whether that is a text of ours.
    pub fn is_our_text(&self, what: &'static str, text: &str, mac: &str) -> Result<bool, StoreError> {
        self.verifies(&Message::of(what).text(text), Some(mac))
    }

    /// Whether we wrote this row.
    pub(super) fn recognises(&self, row: &impl Signed) -> Result<bool, StoreError> {
        let further = row.further().map_or(Ok(true), |(message, mac)| self.verifies(&message, mac))?;
        Ok(further && self.verifies(&row.message(), row.mac())?)
    }

    /// Whether this is the HMAC of that.
    pub(super) fn verifies(&self, message: &Message, mac: Option<&str>) -> Result<bool, StoreError> {
        let mut found = [0; 32];
        let Some(Ok(())) = mac.map(|mac| hex::decode_to_slice(mac, &mut found)) else { return Ok(false) };
        // Without a key nothing was ever signed here.
        let Some(key) = self.key()? else { return Ok(false) };
        Ok(self.mac(key, message).verify_slice(&found).is_ok())
    }

    fn mac(&self, key: &[u8; KEY_BYTES], message: &Message) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(&message.0);
        mac
    }

    fn key(&self) -> Result<Option<&[u8; KEY_BYTES]>, StoreError> {
        if let Some(key) = self.0.key.get() {
            return Ok(Some(key));
        }
        let path = self.key_path();
        let Some(text) = read_small(&path).map_err(|error| self.failed(&path, error))? else {
            return Ok(None);
        };
        let mut key = [0; KEY_BYTES];
        hex::decode_to_slice(text.trim_end(), &mut key).map_err(|_| {
            self.failed(&path, io::Error::new(ErrorKind::InvalidData, "it does not hold a key"))
        })?;
        Ok(Some(self.0.key.get_or_init(|| key)))
    }

    fn key_or_new(&self) -> Result<&[u8; KEY_BYTES], StoreError> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let mut bytes = [0; KEY_BYTES];
        getrandom::fill(&mut bytes).expect("Linux gives random numbers to every process");
        self.write(&self.key_path(), &format!("{}\n", hex::encode(bytes)), false)?;
        // Another process may have been first; theirs is the key.
        self.key()?.ok_or_else(|| self.failed(&self.key_path(), ErrorKind::NotFound.into()))
    }

    /// Where the key lies.
    pub fn key_path(&self) -> PathBuf {
        self.0.directory.join(KEY_FILE)
    }

    /// Notes that this database file has our tables; `None`: that nothing of a database is left, and a new one may be made.
    pub(super) fn set_database(&self, file: Option<&Path>) -> Result<(), StoreError> {
        let path = self.0.directory.join(DATABASE_FILE);
        match file {
            Some(file) if self.is_database(file) => Ok(()),
            Some(file) => match self.write(&path, &file.to_string_lossy(), true) {
                // It is noted at the next start.
                Err(StoreError::Trust { error, .. }) if is_full(&error) => Ok(()),
                result => result,
            },
            None => match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(&path, error)),
                _ => Ok(()),
            },
        }
    }

    /// Whether this file had our tables.
    pub(super) fn is_database(&self, file: &Path) -> bool {
        let noted = read_small(&self.0.directory.join(DATABASE_FILE)).ok().flatten();
        noted.is_some_and(|noted| Path::new(&noted) == file)
    }

    /// Notes that a run was begun: only such a run is recovered after a crash.
    pub(super) fn begin(&self, run: &str, deployment: &str) -> Result<(), StoreError> {
        self.write(&self.run_path(run), deployment, false)
    }

    /// Whether a run of this deployment was begun here, and has not ended.
    pub(super) fn has_begun(&self, run: &str, deployment: &str) -> Result<bool, StoreError> {
        let path = self.run_path(run);
        let found = read_small(&path).map_err(|error| self.failed(&path, error))?;
        Ok(found.as_deref() == Some(deployment))
    }

    /// A run has ended, and the database says so: whatever the database says later, nothing more is done for it.
    pub(super) fn end(&self, run: &str) -> Result<(), StoreError> {
        let path = self.run_path(run);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(&path, error)),
            _ => Ok(()),
        }
    }

    /// No run of a deployment is open: what a crash left of notes is removed.
    pub(super) fn end_all(&self, deployment: &str) -> Result<(), StoreError> {
        let Ok(entries) = fs::read_dir(&self.0.directory) else { return Ok(()) };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_run = entry.file_name().to_string_lossy().starts_with(RUN_PREFIX);
            let found =
                if is_run { read_small(&path).map_err(|error| self.failed(&path, error))? } else { None };
            if found.as_deref() == Some(deployment) {
                fs::remove_file(&path).map_err(|error| self.failed(&path, error))?;
            }
        }
        Ok(())
    }

    /// Keeps which answer is the newest under a key.
    pub(super) fn set_newest(&self, key: &str, mac: &str) -> Result<(), StoreError> {
        self.write(&self.answer_path(key), mac, true)
    }

    /// Whether an answer is the newest under its key.
    pub(super) fn is_newest(&self, key: &str, mac: Option<&str>) -> Result<bool, StoreError> {
        let path = self.answer_path(key);
        let found = read_small(&path).map_err(|error| self.failed(&path, error))?;
        Ok(mac.is_some() && found.as_deref() == mac)
    }

    /// An id for a run, greater than all that were given before: also where the clock was set back since, and by a process before this one.
    pub(super) fn next_run_id(&self) -> Result<String, StoreError> {
        let path = self.0.directory.join(NEWEST_RUN_FILE);
        let mut newest = locked(&self.0.newest_run);
        // Another process, or another handle of this one, may have given one since.
        let noted = read_small(&path)
            .map_err(|error| self.failed(&path, error))?
            .and_then(|text| Uuid::parse_str(text.trim_end()).ok())
            .max(*newest);
        let id = after(noted);
        *newest = Some(id);
        match self.write(&path, &id.to_string(), true) {
            Err(StoreError::Trust { error, .. }) if is_full(&error) => {
                tracing::warn!(%error, "the id of the newest run cannot be noted: the disk is full");
            }
            result => result?,
        }
        Ok(id.to_string())
    }

    /// Notes rows of releases that are about to be written: `name` and HMAC of each. The rows that they replace stay noted.
    pub(super) fn expect_releases(&self, deployment: &str, rows: &[(&str, &str)]) -> Result<(), StoreError> {
        self.change_releases(deployment, |noted| {
            for (name, mac) in rows {
                let macs = noted.entry((*name).to_owned()).or_default();
                if !macs.iter().any(|known| known == mac) {
                    macs.push((*mac).to_owned());
                }
            }
        })
    }

    /// The rows have been written: what they replace is old from now on. `None` is for a release that is there no longer.
    pub(super) fn settle_releases(
        &self,
        deployment: &str,
        rows: &[(&str, Option<&str>)],
    ) -> Result<(), StoreError> {
        self.change_releases(deployment, |noted| {
            for (name, mac) in rows {
                match mac {
                    Some(mac) => drop(noted.insert((*name).to_owned(), vec![(*mac).to_owned()])),
                    None => drop(noted.remove(*name)),
                }
            }
        })
    }

    /// Nothing but these rows of releases of a deployment is new.
    pub(super) fn set_releases(&self, deployment: &str, rows: &[(&str, &str)]) -> Result<(), StoreError> {
        self.change_releases(deployment, |noted| {
            noted.clear();
            for (name, mac) in rows {
                noted.entry((*name).to_owned()).or_default().push((*mac).to_owned());
            }
        })
    }

    /// The HMACs of the rows of a deployment's releases that are new, by name.
    pub(super) fn noted_releases(
        &self,
        deployment: &str,
    ) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
        let path = self.releases_path(deployment);
        let text = read_up_to(&path, RELEASES_FILE_BYTES_MAX).map_err(|error| self.failed(&path, error))?;
        let mut noted = BTreeMap::<String, Vec<String>>::new();
        for line in text.unwrap_or_default().lines() {
            // The HMAC has no blanks; a foreign name might.
            if let Some((mac, name)) = line.split_once(' ') {
                noted.entry(name.to_owned()).or_default().push(mac.to_owned());
            }
        }
        Ok(noted)
    }

    fn change_releases(
        &self,
        deployment: &str,
        change: impl FnOnce(&mut BTreeMap<String, Vec<String>>),
    ) -> Result<(), StoreError> {
        let _changing = locked(&self.0.releases);
        let before = self.noted_releases(deployment)?;
        let mut noted = before.clone();
        change(&mut noted);
        if noted == before {
            return Ok(());
        }
        let lines =
            noted.iter().flat_map(|(name, macs)| macs.iter().map(move |mac| format!("{mac} {name}\n")));
        self.write(&self.releases_path(deployment), &lines.collect::<String>(), true)
    }

    /// Notes a report that is about to be written for GitHub. On a full disk it is remembered for as long as this process lives.
    pub(super) fn expect_telling(&self, key: &Message, mac: &str) -> Result<(), StoreError> {
        let path = self.telling_path(key);
        let before = self.noted_tellings(&path)?;
        let mut macs: Vec<&str> = before.lines().collect();
        if macs.last() == Some(&mac) {
            return Ok(());
        }
        if macs.len() >= TELLINGS_NOTED {
            macs.remove(1);
        }
        macs.push(mac);
        let noted = macs.join("\n");
        match self.write(&path, &noted, true) {
            Err(StoreError::Trust { error, .. }) if is_full(&error) => {
                drop(locked(&self.0.notifications).insert(path, noted));
                Ok(())
            }
            result => {
                locked(&self.0.notifications).remove(&path);
                result
            }
        }
    }

    /// Whether GitHub is still to have this report.
    pub(super) fn is_expected(&self, key: &Message, mac: Option<&str>) -> Result<bool, StoreError> {
        let noted = self.noted_tellings(&self.telling_path(key))?;
        Ok(noted.lines().any(|known| Some(known) == mac))
    }

    /// GitHub has the report, or will never have it. Whoever puts its row back later has it told to nobody.
    pub(super) fn telling_is_done(&self, key: &Message, mac: Option<&str>) -> Result<(), StoreError> {
        let path = self.telling_path(key);
        if self.noted_tellings(&path)?.lines().last() != mac {
            return Ok(());
        }
        locked(&self.0.notifications).remove(&path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(&path, error)),
            _ => Ok(()),
        }
    }

    fn noted_tellings(&self, path: &Path) -> Result<String, StoreError> {
        if let Some(noted) = locked(&self.0.notifications).get(path) {
            return Ok(noted.clone());
        }
        Ok(read_small(path).map_err(|error| self.failed(path, error))?.unwrap_or_default())
    }

    fn releases_path(&self, deployment: &str) -> PathBuf {
        self.0.directory.join(format!("releases-{}", name_of(deployment)))
    }

    fn telling_path(&self, key: &Message) -> PathBuf {
        self.0.directory.join(format!("{TELLING_PREFIX}{}", hex::encode(Sha256::digest(&key.0))))
    }

    fn run_path(&self, run: &str) -> PathBuf {
        self.0.directory.join(format!("{RUN_PREFIX}{}", name_of(run)))
    }

    fn answer_path(&self, key: &str) -> PathBuf {
        self.0.directory.join(format!("answer-{}", name_of(key)))
    }

    fn write(&self, path: &Path, content: &str, is_replacing: bool) -> Result<(), StoreError> {
        let written = self.create_directory().and_then(|()| {
            match is_replacing {
                true => private_file::replace(path, content, &self.0.directory),
                false => private_file::create(path, content, &self.0.directory).map(drop),
            }
            .map_err(|error| {
                error.downcast::<io::Error>().unwrap_or_else(|error| io::Error::other(format!("{error:#}")))
            })
        });
        written.map_err(|error| self.failed(path, error))
    }

    /// Private, and of whoever the state directory belongs to.
    fn create_directory(&self) -> io::Result<()> {
        let directory = &self.0.directory;
        match std::fs::DirBuilder::new().recursive(false).mode(0o700).create(directory) {
            Ok(()) => {
                let state = directory.parent().unwrap_or(directory);
                if rustix::process::geteuid().is_root() {
                    let owner = fs::metadata(state)?;
                    // The very directory, if it still is ours: whose the state is may have put something else there meanwhile.
                    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let made = std::fs::File::from(rustix::fs::open(directory, flags, Mode::empty())?);
                    if made.metadata()?.uid() == 0 {
                        std::os::unix::fs::fchown(&made, Some(owner.uid()), Some(owner.gid()))?;
                    }
                }
                fs::File::open(state)?.sync_all()
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            // Stores of tests have no state directory yet.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&self, path: &Path, error: io::Error) -> StoreError {
        StoreError::Trust { path: path.to_owned(), error }
    }
}

/// A file's name for an id or a key that came from elsewhere: never a path.
fn name_of(id: &str) -> String {
    let is_plain = !id.is_empty()
        && id.len() <= 100
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // What is not plain gets its hash, which no plain id of ours has: ids are UUIDs.
    if is_plain { id.to_owned() } else { hex::encode(Sha256::digest(id)) }
}

/// An id for a run by the clock, or by the newest one where the clock is behind it.
fn after(newest: Option<Uuid>) -> Uuid {
    let now = Uuid::now_v7();
    let Some(newest) = newest.filter(|newest| *newest >= now) else { return now };
    // The first 48 bits are milliseconds; the rest of the new one is random.
    let millis = u64::try_from(newest.as_u128() >> 80).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&now.as_bytes()[6..]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A small regular file that is no link; None where there is none.
fn read_small(path: &Path) -> io::Result<Option<String>> {
    read_up_to(path, SMALL_FILE_BYTES_MAX)
}

fn read_up_to(path: &Path, bytes_max: u64) -> io::Result<Option<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let (found, us) = (file.metadata()?, rustix::process::geteuid());
    if !found.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidData, "it is not a file"));
    }
    // Whoever got into the directory for a moment may have put their own there.
    if !us.is_root() && found.uid() != us.as_raw() {
        let reason = format!("it belongs to user {}, and this runs as user {}", found.uid(), us.as_raw());
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text)?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn no_two_rows_have_the_same_bytes() {
        let messages = [
            Message::of("a").text("bc").text(""),
            Message::of("a").text("b").text("c"),
            Message::of("a").text("").text("bc"),
            Message::of("ab").text("c").text(""),
            Message::of("a").text("bc").optional_text(None),
            Message::of("a").text("bc").optional_text(None).optional_text(None),
            Message::of("a").text("bc").number(0),
            Message::of("a").text("bc").text("\0\0\0\0\0\0\0\0"),
        ];
        for (at, one) in messages.iter().enumerate() {
            assert!(messages[..at].iter().all(|other| other.0 != one.0), "{at}");
        }
    }

    #[test]
    fn a_key_is_made_once_is_private_and_is_not_shown() {
        let state = tempfile::tempdir().unwrap();
        let [one, other] = [Authenticator::new(state.path()), Authenticator::new(state.path())];
        let message = Message::of("runs").text("r1");
        assert!(!one.verifies(&message, Some(&"0".repeat(64))).unwrap());
        assert!(!one.key_path().exists(), "asking makes no key");
        let mac = one.sign(&message).unwrap();
        assert!(other.verifies(&message, Some(&mac)).unwrap());
        for wrong in [None, Some(""), Some("0"), Some(&mac[1..]), Some(&*"0".repeat(64)), Some("x")] {
            assert!(!one.verifies(&message, wrong).unwrap(), "{wrong:?}");
        }
        assert!(!one.verifies(&Message::of("runs").text("r2"), Some(&mac)).unwrap());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&one.key_path()), mode(one.key_path().parent().unwrap())), (0o600, 0o700));
        let text = std::fs::read_to_string(one.key_path()).unwrap();
        assert!(!format!("{one:?}").contains(text.trim_end()));

        // Another deployer's key recognises nothing of ours.
        let elsewhere = tempfile::tempdir().unwrap();
        let stranger = Authenticator::new(elsewhere.path());
        stranger.sign(&message).unwrap();
        assert!(!stranger.verifies(&message, Some(&mac)).unwrap());
    }

    #[test]
    fn a_key_that_is_none_is_an_error() {
        for content in ["", "abc", &"x".repeat(64)] {
            let state = tempfile::tempdir().unwrap();
            let authenticator = Authenticator::new(state.path());
            std::fs::create_dir(state.path().join(DIRECTORY)).unwrap();
            std::fs::write(authenticator.key_path(), content).unwrap();
            let error = authenticator.sign(&Message::of("runs")).unwrap_err();
            assert!(error.to_string().contains("record.key"), "{error}");
        }
        let state = tempfile::tempdir().unwrap();
        let authenticator = Authenticator::new(state.path());
        std::fs::create_dir(state.path().join(DIRECTORY)).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", authenticator.key_path()).unwrap();
        authenticator.sign(&Message::of("runs")).unwrap_err();
    }

    #[test]
    fn the_next_run_is_later_whatever_the_clock_says() {
        let state = tempfile::tempdir().unwrap();
        let one = Authenticator::new(state.path());
        let mut ids = vec![one.next_run_id().unwrap()];
        // As the clock of that time had it, which was set back since.
        let ahead = "0fffaaaa-0000-7000-8000-000000000001";
        std::fs::write(state.path().join(DIRECTORY).join(NEWEST_RUN_FILE), ahead).unwrap();
        ids.push(ahead.to_owned());
        let another = Authenticator::new(state.path());
        ids.extend((0..100).map(|_| another.next_run_id().unwrap()));
        ids.push(Authenticator::new(state.path()).next_run_id().unwrap());
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        assert!(ids.iter().all(|id| Uuid::parse_str(id).unwrap().get_version_num() == 7));
        // What is no id says nothing.
        std::fs::write(state.path().join(DIRECTORY).join(NEWEST_RUN_FILE), "nonsense").unwrap();
        Authenticator::new(state.path()).next_run_id().unwrap();
    }

    #[test]
    fn a_row_is_new_until_another_has_been_written() {
        let state = tempfile::tempdir().unwrap();
        let authenticator = Authenticator::new(state.path());
        let noted =
            |name: &str| authenticator.noted_releases("site").unwrap().get(name).cloned().unwrap_or_default();
        authenticator.expect_releases("site", &[("one", "m1")]).unwrap();
        authenticator.settle_releases("site", &[("one", Some("m1"))]).unwrap();
        // Between the note and the end of the transaction, whichever the transaction's end is.
        authenticator.expect_releases("site", &[("one", "m2"), ("two", "m3")]).unwrap();
        assert_eq!(
            (noted("one"), noted("two")),
            (vec!["m1".to_owned(), "m2".to_owned()], vec!["m3".to_owned()])
        );
        authenticator.settle_releases("site", &[("one", Some("m2")), ("two", None)]).unwrap();
        assert_eq!((noted("one"), noted("two")), (vec!["m2".to_owned()], vec![]));
        assert!(authenticator.noted_releases("another").unwrap().is_empty());

        let key = Message::of("key").text("a");
        let expected = |mac| authenticator.is_expected(&key, Some(mac)).unwrap();
        authenticator.expect_telling(&key, "m1").unwrap();
        authenticator.expect_telling(&key, "m2").unwrap();
        for _ in 0..2 {
            (3..30).for_each(|at| authenticator.expect_telling(&key, &format!("n{at}")).unwrap());
        }
        authenticator.expect_telling(&key, "m3").unwrap();
        assert!(expected("m1") && !expected("m2") && expected("n29") && expected("m3"));
        authenticator.telling_is_done(&key, Some("m2")).unwrap();
        assert!(expected("m3"));
        authenticator.telling_is_done(&key, Some("m3")).unwrap();
        assert!(!expected("m2") && !expected("m3"));
        assert!(!authenticator.is_expected(&key, None).unwrap());
    }

    #[test]
    fn a_run_is_open_from_its_beginning_to_its_end() {
        let state = tempfile::tempdir().unwrap();
        let authenticator = Authenticator::new(state.path());
        let (run, open) = ("0190-r", |run| authenticator.has_begun(run, "site").unwrap());
        assert!(!open(run));
        authenticator.begin(run, "site").unwrap();
        authenticator.begin(run, "another").unwrap();
        assert!(open(run) && !authenticator.has_begun(run, "another").unwrap());
        assert!(!open("../trust/run-0190-r") && !open(""));
        authenticator.end(run).unwrap();
        authenticator.end(run).unwrap();
        assert!(!open(run));
        authenticator.begin(run, "site").unwrap();
        authenticator.begin("0190-other", "another").unwrap();
        authenticator.end_all("site").unwrap();
        assert!(!open(run) && authenticator.has_begun("0190-other", "another").unwrap());
        authenticator.begin("../../outside", "site").unwrap();
        assert!(!state.path().parent().unwrap().join("outside").exists());
    }
}

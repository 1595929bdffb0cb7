//! What GitHub says of itself at `GET /meta`: from where its webhooks come, and the host keys of its ssh servers.
//!
//! Both are asked for in the background, never while somebody waits, and the last good answer lies in the state directory,
//! so that an outage of GitHub's API changes nothing. An answer is believed only as a whole and only if it can be true: what
//! is not JSON, has no `hooks`, or names half of the Internet never takes the place of a good one.
//!
//! The request carries no credential: one an hour needs none, and a token that has expired must not matter here.

use super::api::{Api, ApiRequest};
use super::error::ApiError;
use crate::base::files::safe_path;
use crate::config::{self, Config};
use anyhow::{Context, Result};
use base64::Engine;
use ipnet::IpNet;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The file in the state directory that holds the last good answer. GitHub's own answer, put there by hand, will do too.
pub const META_FILE: &str = "github-meta.json";

/// The file beside it that ssh reads: GitHub's host keys.
pub const KNOWN_HOSTS_FILE: &str = "github-known-hosts";

/// Between two questions. The ranges change a few times a year and GitHub allows 60 unauthenticated requests an hour to all who
/// share our address; a webhook from a range that is an hour old costs nothing but a wait for reconcile.
const REFRESH_INTERVAL: Duration = Duration::from_secs(3600);

/// After the first failure; doubled for each further one. Short, because of a first start everybody waits for it.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Between two attempts, at most: four an hour are well within the limit.
const RETRY_MAX: Duration = Duration::from_secs(900);

/// Between two looks at what another process keeps: of a first start GitHub waits no longer than that.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);

/// GitHub's own answer has some 200 KiB, most of it the addresses of its build machines.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// GitHub publishes about six.
const HOOKS_MAX: usize = 256;

/// The widest networks that can be true: GitHub's are /20 and /29. What is wider would let in whole providers.
const PREFIX_MIN: (u8, u8) = (12, 24);

/// An ETag that is longer is none that is worth keeping.
const ETAG_BYTES_MAX: usize = 256;

/// A good answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// From where webhooks come; never empty.
    pub hooks: Vec<IpNet>,
    /// Public keys of the ssh servers, `TYPE BASE64`. Empty where the answer has none.
    pub ssh_keys: Vec<String>,
    /// Of the answer; None: it was put there by hand.
    pub etag: Option<String>,
}

impl Meta {
    /// Reads an answer of GitHub's, or what [`Meta::keep`] wrote. On error: why it is not to be believed.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct MetaResponse {
            hooks: Vec<IpNet>,
            #[serde(default)]
            ssh_keys: Vec<String>,
            #[serde(default)]
            etag: Option<String>,
        }
        let answer: MetaResponse = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if answer.hooks.is_empty() || answer.hooks.len() > HOOKS_MAX {
            return Err(format!("`hooks` has {} networks", answer.hooks.len()));
        }
        let too_wide = |network: &&IpNet| match network {
            IpNet::V4(network) => network.prefix_len() < PREFIX_MIN.0,
            IpNet::V6(network) => network.prefix_len() < PREFIX_MIN.1,
        };
        if let Some(network) = answer.hooks.iter().find(too_wide) {
            return Err(format!("{network} in `hooks` is too wide to be true"));
        }
        let ssh_keys = answer.ssh_keys.into_iter().filter(|key| is_public_key(key)).collect();
        Ok(Self { hooks: answer.hooks, ssh_keys, etag: answer.etag.filter(|etag| is_etag(etag)) })
    }

    /// What lies in the state directory; None where nothing does.
    pub fn load(state_directory: &Path) -> Result<Option<Self>, String> {
        match safe_path::read_now(state_directory, &state_directory.join(META_FILE), ANSWER_BYTES_MAX as u64)
        {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether GitHub has other networks by now.
    pub async fn is_outdated(&self, settings: &config::GitHub) -> Result<bool, ApiError> {
        let asked = ApiRequest::new(Method::GET, "/meta").unless(self.etag.as_deref());
        let api = Api::new(settings).map_err(|error| ApiError::unreadable(format!("{error:#}")))?;
        let answer = api.send(&asked.answer_bytes_max(ANSWER_BYTES_MAX), None).await?;
        if answer.is_unchanged() {
            return Ok(false);
        }
        Ok(Self::parse(&answer.body).is_ok_and(|new| new.hooks != self.hooks))
    }

    /// Writes it there, whole or not at all.
    fn keep(&self, state_directory: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).context("a list of texts serialises")?;
        replace(state_directory, META_FILE, &text)
    }

    /// Writes the host keys for ssh, under the one name by which it looks for them.
    fn keep_known_hosts(&self, state_directory: &Path, host: &str) -> Result<()> {
        let lines: String = self.ssh_keys.iter().map(|key| format!("{host} {key}\n")).collect();
        match lines.is_empty() {
            true => Ok(()),
            false => replace(state_directory, KNOWN_HOSTS_FILE, lines.as_bytes()),
        }
    }
}

/// `ssh-ed25519 AAAA...`, as it stands in a `known_hosts` file.
fn is_public_key(text: &str) -> bool {
    let Some((kind, key)) = text.split_once(' ') else { return false };
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"-@.".contains(&b));
    is_kind && !key.is_empty() && base64::engine::general_purpose::STANDARD.decode(key).is_ok()
}

fn is_etag(text: &str) -> bool {
    (1..=ETAG_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Replaces a file in one step: a reader, and a power cut, find the old one or the new one.
fn replace(directory: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = directory.join(name);
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        fs_err::File::open(directory)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Keeps [`Meta`] up to date.
pub struct MetaRefresher {
    settings: config::GitHub,
    ssh_host: String,
    state_directory: PathBuf,
    known: watch::Sender<Option<Arc<Meta>>>,
}

/// What is known, whenever it is looked at.
pub type KnownMeta = watch::Receiver<Option<Arc<Meta>>>;

impl MetaRefresher {
    /// Starts from what is on disk. A file that is not to be believed is said in the log, and is as good as none.
    pub fn open(config: &Config) -> Self {
        let found = Meta::load(&config.state_directory).unwrap_or_else(|reason| {
            let path = config.state_directory.join(META_FILE);
            tracing::error!(path = %path.display(), reason, "this list of GitHub's networks cannot be used");
            None
        });
        let ssh_host = config.github.host();
        let (known, _) = watch::channel(found.map(Arc::new));
        let (settings, state_directory) = (config.github.clone(), config.state_directory.clone());
        Self { settings, ssh_host, state_directory, known }
    }

    /// Asks once, where nothing is known yet: whoever lets callers in must know first from where they come.
    pub async fn know(&self) -> Result<()> {
        if self.known.borrow().is_some() {
            return Ok(());
        }
        let asked = self.refresh(&Api::new(&self.settings)?).await;
        asked.map_err(|error| anyhow::anyhow!("{}", error.reason))
    }

    /// For whoever needs to know.
    pub fn known(&self) -> KnownMeta {
        self.known.subscribe()
    }

    /// Writes the host keys that are known from where ssh reads them.
    pub fn keep_known_hosts(&self) {
        let known = self.known.borrow().clone();
        let kept = known.map_or(Ok(()), |meta| meta.keep_known_hosts(&self.state_directory, &self.ssh_host));
        if let Err(error) = kept {
            tracing::warn!(error = format!("{error:#}"), "GitHub's host keys cannot be kept");
        }
    }

    /// Asks nobody, and looks whether another process has kept a newer answer, until told to stop.
    pub async fn follow(self, stop: CancellationToken) {
        let file = self.state_directory.join(META_FILE);
        let mut seen = None;
        loop {
            let written = fs_err::metadata(&file).and_then(|found| found.modified()).ok();
            if written != seen {
                seen = written;
                match Meta::load(&self.state_directory) {
                    Ok(Some(meta)) => drop(self.known.send_replace(Some(Arc::new(meta)))),
                    // Whoever writes it puts it right; until then what is known holds.
                    Ok(None) => {}
                    Err(reason) => tracing::warn!(reason, "GitHub's networks were not taken over"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FOLLOW_INTERVAL) => {}
            }
        }
    }

    /// Asks at once, and then again and again, until told to stop.
    pub async fn serve(self, stop: CancellationToken) {
        let api = match Api::new(&self.settings) {
            Ok(api) => api,
            Err(error) => {
                return tracing::error!(
                    error = format!("{error:#}"),
                    "GitHub cannot be asked for its networks"
                );
            }
        };
        let mut failures = 0;
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                asked = self.refresh(&api) => asked,
            };
            let pause = match asked {
                Ok(()) => {
                    failures = 0;
                    REFRESH_INTERVAL
                }
                Err(ApiError { reason, after, .. }) => {
                    let pause = retry_pause(failures, after);
                    failures += 1;
                    let known = self.known.borrow().is_some();
                    tracing::warn!(
                        reason,
                        retry_s = pause.as_secs(),
                        known,
                        "GitHub's networks were not refreshed"
                    );
                    pause
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn refresh(&self, api: &Api) -> Result<(), ApiError> {
        let before = self.known.borrow().clone();
        let etag = before.as_ref().and_then(|meta| meta.etag.as_deref());
        let request = ApiRequest::new(Method::GET, "/meta").unless(etag).answer_bytes_max(ANSWER_BYTES_MAX);
        let answer = api.send(&request, None).await?;
        if answer.is_unchanged() {
            return Ok(());
        }
        let parsed = Meta::parse(&answer.body);
        let mut meta = parsed.map_err(|error| ApiError::unreadable(format!("GET /meta: {error}")))?;
        meta.etag = answer.etag().filter(|etag| is_etag(etag)).map(str::to_owned);
        if let (true, Some(before)) = (meta.ssh_keys.is_empty(), &before) {
            meta.ssh_keys.clone_from(&before.ssh_keys);
        }
        tracing::info!(
            networks = meta.hooks.len(),
            ssh_keys = meta.ssh_keys.len(),
            "GitHub's networks are known"
        );
        let kept = meta
            .keep_known_hosts(&self.state_directory, &self.ssh_host)
            .and_then(|()| meta.keep(&self.state_directory));
        if let Err(error) = kept {
            tracing::warn!(error = format!("{error:#}"), "GitHub's networks are known, but cannot be kept");
            // So that the next answer is a whole one, and is kept.
            meta.etag = None;
        }
        self.known.send_replace(Some(Arc::new(meta)));
        Ok(())
    }
}

/// Doubled with each failure; longer where GitHub says so itself.
fn retry_pause(failures: u32, asked_for: Option<Duration>) -> Duration {
    let doubled = (FIRST_RETRY * 2u32.pow(failures.min(16))).min(RETRY_MAX);
    // A day is more than any limit of GitHub's lasts, whatever a header says.
    asked_for.unwrap_or_default().min(Duration::from_secs(24 * 3600)).max(doubled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_true_is_believed() {
        let good = br#"{"x":1,"hooks":["140.82.112.0/20","2a0a:a440::/29"],"ssh_keys":["ssh-ed25519 AAAA","no key\nx",""]}"#;
        let meta = Meta::parse(good).unwrap();
        assert_eq!(
            (meta.hooks.len(), meta.ssh_keys, meta.etag),
            (2, vec!["ssh-ed25519 AAAA".to_owned()], None)
        );
        let many = format!(r#"{{"hooks":[{}"192.0.2.0/24"]}}"#, r#""192.0.2.0/24","#.repeat(HOOKS_MAX));
        for bad in [
            "",
            "{}",
            "<html><body>Sign in to the Wi-Fi</body></html>",
            r#"{"hooks":null}"#,
            r#"{"hooks":[]}"#,
            r#"{"hooks":["x"]}"#,
            r#"{"hooks":["0.0.0.0/0"]}"#,
            r#"{"hooks":["140.82.112.0/20","::/0"]}"#,
            r#"{"hooks":["128.0.0.0/1"]}"#,
            r#"{"hooks":["192.0.2.1"]}"#,
            &many,
        ] {
            assert!(Meta::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_comes_back_with_its_etag() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(Meta::load(state.path()), Ok(None));
        let meta = Meta {
            hooks: vec!["140.82.112.0/20".parse().unwrap()],
            ssh_keys: vec!["ssh-ed25519 AAAA".into()],
            etag: Some("W/\"1\"".into()),
        };
        meta.keep(state.path()).unwrap();
        meta.keep_known_hosts(state.path(), "github.com").unwrap();
        assert_eq!(Meta::load(state.path()), Ok(Some(meta)));
        let hosts = fs_err::read_to_string(state.path().join(KNOWN_HOSTS_FILE)).unwrap();
        assert_eq!(hosts, "github.com ssh-ed25519 AAAA\n");
        fs_err::write(state.path().join(META_FILE), "{").unwrap();
        assert!(Meta::load(state.path()).is_err());
    }

    #[test]
    fn pauses_grow_to_a_limit_and_githubs_word_counts() {
        let seconds =
            |failures, after: Option<u64>| retry_pause(failures, after.map(Duration::from_secs)).as_secs();
        assert_eq!([seconds(0, None), seconds(3, None), seconds(40, None)], [2, 16, 900]);
        assert_eq!(
            [seconds(0, Some(1800)), seconds(9, Some(1)), seconds(0, Some(u64::MAX))],
            [1800, 900, 86_400]
        );
    }
}

//! `webhook rotate-secret`: another secret, without a moment in which GitHub signs with what the daemon does not accept.
//!
//! The daemon reads its secrets when it starts. So the command goes as far as it can, says what remains to be done, and goes on
//! from there when it is asked again:
//!
//! 1. The file of the old secret (`FILE.old`) is among the further files in the configuration; else it is written, and the
//!    operator is told to add it. From here on the daemon may be restarted at any moment: it accepts both.
//! 2. The note `FILE.rotation` is written (it holds the hash of the secret that goes), then `FILE.old`, then the new secret
//!    into `FILE`. Killed in between, the note tells where to go on.
//! 3. The daemon that runs is sent a ping signed with the new secret. If it does not accept it, it has to be restarted.
//! 4. Every hook is told the new secret; only then the note goes.
//!
//! The old secret stays accepted until `FILE.old` is taken out of the configuration.

use super::Webhooks;
use super::arguments::RotateArguments;
use super::report::WebhookReport;
use crate::base::files::private_file;
use crate::base::names::{DeliveryId, RepositoryName};
use crate::base::secret::Secret;
use crate::cli::simulate::{Outgoing, daemon_url, deliver};
use crate::config::SecretFiles;
use crate::terminal::failed::Failed;
use anyhow::{Context, Result, anyhow};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Where further secrets are named: the same word at the top and in a repository's table.
const FURTHER_KEY: &str = "webhook_secret_files";

pub async fn rotate(webhooks: &Webhooks, arguments: &RotateArguments) -> Result<(), Failed> {
    let named = webhooks.repositories(arguments.repository.as_deref())?;
    // Two at once would tell GitHub one secret and write another.
    let _lock = lock_of(&webhooks.config().state_directory)?;
    let mut report = WebhookReport::new(arguments.json);
    for rotation in rotations(webhooks, &named)? {
        rotation.go_on(webhooks, arguments, &mut report).await?;
    }
    report.end()
}

/// Of the state directory itself, so that nothing is made in it: it may be another user's. None where there is no state yet.
fn lock_of(state_directory: &Path) -> Result<Option<File>, Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(state_directory, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => {
            let what = format!("cannot open {}", state_directory.display());
            return Err(Failed::unavailable(anyhow!(error).context(what)));
        }
    };
    match opened.try_lock() {
        Ok(()) => Ok(Some(opened)),
        Err(TryLockError::WouldBlock) => {
            Err(Failed::unavailable(anyhow!("another `webhook rotate-secret` is running"))
                .hint("wait for its end"))
        }
        Err(TryLockError::Error(error)) => Err(Failed::unavailable(error)),
    }
}

/// One secret that is replaced, and whose it is.
struct Rotation {
    /// The table of the configuration in which the secret's file stands: None at its top.
    table: Option<RepositoryName>,
    /// Everybody who signs with it.
    repositories: Vec<RepositoryName>,
    current: Option<PathBuf>,
    further: Vec<PathBuf>,
}

/// How far a rotation has come.
enum RotationProgress {
    /// The configuration has to name the file of the old secret first.
    OldFileNotConfigured,
    /// The new secret is in its file.
    Written(Secret),
}

/// Whether the daemon accepts a secret.
enum Acceptance {
    Yes,
    /// It will, as it reads the file when it starts.
    NotRunning,
    No,
    /// It does not say, because of where we ask from.
    Unknown(String),
}

/// What is to be replaced for these repositories. A secret that several share is replaced for all of them.
fn rotations(webhooks: &Webhooks, named: &[RepositoryName]) -> Result<Vec<Rotation>, Failed> {
    let intake = &webhooks.config().intake;
    let has_own = |repository: &RepositoryName| intake.repository_secrets.contains_key(repository);
    let mut rotations = Vec::new();
    let shared = |files: &SecretFiles| (files.current.clone(), files.further.clone());
    if named.iter().any(|repository| !has_own(repository)) {
        let repositories = webhooks.repositories(None)?.into_iter().filter(|known| !has_own(known)).collect();
        let (current, further) = shared(&intake.secret_files);
        rotations.push(Rotation { table: None, repositories, current, further });
    }
    for repository in named.iter().filter(|repository| has_own(repository)) {
        let files = intake.repository_secret_files.get(repository).cloned().unwrap_or_default();
        let (current, further) = shared(&files);
        let repositories = vec![repository.clone()];
        rotations.push(Rotation { table: Some(repository.clone()), repositories, current, further });
    }
    Ok(rotations)
}

impl Rotation {
    async fn go_on(
        &self,
        webhooks: &Webhooks,
        arguments: &RotateArguments,
        report: &mut WebhookReport,
    ) -> Result<(), Failed> {
        let Some(file) = &self.current else {
            report.not_now(
                &self.subject(),
                "its secret is not in a file of its own",
                &self.how_to_use_a_file(),
            );
            return Ok(());
        };
        let secret = match self.write(file, &webhooks.config().state_directory)? {
            RotationProgress::OldFileNotConfigured => {
                let hint = self.how_to_accept_both(file);
                report.not_now(&self.subject(), "nothing was replaced yet", &hint);
                return Ok(());
            }
            RotationProgress::Written(secret) => secret,
        };
        report.say(&format!("{}: the new secret is in {}", self.subject(), file.display()));
        if arguments.show_secret {
            report.say(&format!("  secret   {}", secret.expose()));
            report.entry(json!({ "secret_file": file, "secret": secret.expose() }));
        }
        if !arguments.restarted && !self.is_accepted(webhooks, &secret, report).await? {
            return Ok(());
        }
        self.tell_github(webhooks, file, &secret, report).await
    }

    /// For people: whose secret it is.
    fn subject(&self) -> String {
        match &self.table {
            Some(repository) => repository.to_string(),
            None => "the instance's secret".to_owned(),
        }
    }

    /// Steps 1 and 2; what was done before an interruption is not done again.
    fn write(&self, file: &Path, like: &Path) -> Result<RotationProgress> {
        let (old, note) = (private_file::beside(file, ".old"), note_of(file));
        let current = read(file)?;
        if !self.further.contains(&old) {
            // While a rotation is under way, that file holds what GitHub signs with.
            if !note.exists() {
                private_file::replace(&old, &current, like)?;
            }
            return Ok(RotationProgress::OldFileNotConfigured);
        }
        let hash = hash_of(&current);
        if private_file::create(&note, &hash, like)? || read(&note)? == hash {
            private_file::replace(&old, &current, like)?;
            let secret = Secret::generate();
            private_file::replace(file, &format!("{}\n", secret.expose()), like)?;
            return Ok(RotationProgress::Written(secret));
        }
        Ok(RotationProgress::Written(Secret::new(current.trim_end().to_owned())))
    }

    /// Step 3. What stands against it has been said.
    async fn is_accepted(
        &self,
        webhooks: &Webhooks,
        secret: &Secret,
        report: &mut WebhookReport,
    ) -> Result<bool, Failed> {
        let again = "then run this command again: GitHub does not know yet, and both secrets are accepted";
        match acceptance(webhooks, &self.repositories[0], secret).await? {
            Acceptance::Yes => return Ok(true),
            Acceptance::NotRunning => {
                report.say("  no daemon is running here; it reads the new secret when it starts");
                return Ok(true);
            }
            Acceptance::No => {
                let hint = format!("restart the daemon (`systemctl restart durhack-deployer`), {again}");
                report.not_now(&self.subject(), "the daemon does not accept the new secret yet", &hint);
            }
            Acceptance::Unknown(answer) => {
                let hint = format!("restart the daemon, {again}, with --restarted");
                let message =
                    format!("whether the daemon accepts the new secret cannot be seen from here ({answer})");
                report.not_now(&self.subject(), &message, &hint);
            }
        }
        Ok(false)
    }

    async fn tell_github(
        &self,
        webhooks: &Webhooks,
        file: &Path,
        secret: &Secret,
        report: &mut WebhookReport,
    ) -> Result<(), Failed> {
        let mut all_told = true;
        for repository in &self.repositories {
            let told = match webhooks.hook(repository, None).await {
                Ok(Some(hook)) => {
                    webhooks.github.set_hook_secret(repository, hook.id, secret).await.map(|()| Some(hook.id))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            };
            match told {
                Ok(Some(hook)) => report.done(repository, hook, "GitHub signs with the new secret"),
                Ok(None) => report.say(&format!("{repository}: {}", webhooks.missing(None))),
                Err(error) => {
                    all_told = false;
                    report.api_error(repository, &error);
                }
            }
        }
        let old = private_file::beside(file, ".old");
        if all_told {
            let note = note_of(file);
            fs_err::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))?;
            report.say(&format!(
                "the old secret is still accepted; to end that, take {} out of `{FURTHER_KEY}` and restart the daemon",
                old.display()
            ));
        } else {
            report.say("run this command again: until GitHub knows everywhere, both secrets are accepted");
        }
        Ok(())
    }

    fn how_to_use_a_file(&self) -> String {
        let key = if self.table.is_some() { "webhook_secret_file" } else { "webhook_secret_token_file" };
        format!(
            "write the secret into a file that only its owner may read, name it as `{key}`{}, take it away where it is now, and restart the daemon",
            self.in_table()
        )
    }

    fn how_to_accept_both(&self, file: &Path) -> String {
        let old = private_file::beside(file, ".old");
        let files: Vec<&Path> = self.further.iter().map(PathBuf::as_path).chain([old.as_path()]).collect();
        format!(
            "write `{FURTHER_KEY} = {}`{} (the file is there already), restart the daemon, and run this command again",
            json!(files),
            self.in_table()
        )
    }

    fn in_table(&self) -> String {
        let table = self.table.as_ref().map(|name| format!(" into [repositories.{:?}]", name.as_str()));
        table.unwrap_or_else(|| " at the top of the configuration".to_owned())
    }
}

fn note_of(file: &Path) -> PathBuf {
    private_file::beside(file, ".rotation")
}

fn read(file: &Path) -> Result<String> {
    fs_err::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn hash_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Sends the daemon that runs here a ping, signed with this secret.
async fn acceptance(webhooks: &Webhooks, repository: &RepositoryName, secret: &Secret) -> Result<Acceptance> {
    let Ok(url) = daemon_url(webhooks.config()) else { return Ok(Acceptance::NotRunning) };
    let payload = json!({
        "zen": "Is the new secret accepted?",
        "repository": { "full_name": repository, "name": repository.name(), "owner": { "login": repository.owner() } },
    });
    let body = payload.to_string();
    let outgoing = Outgoing { delivery: DeliveryId::generate(), event: "ping", body: &body };
    let answer = deliver(webhooks.config(), secret, &outgoing, &format!("{url}/github-webhook")).await;
    Ok(match answer {
        Ok(answer) if answer.status == 202 => Acceptance::Yes,
        Ok(answer) if answer.status == 403 && answer.body.contains("X-Hub-Signature-256") => Acceptance::No,
        Ok(answer) => Acceptance::Unknown(format!("{} {}", answer.status, answer.body)),
        // The file that says where it listens outlives a daemon that was killed.
        Err(error) if is_refused(&error) => Acceptance::NotRunning,
        Err(error) => Acceptance::Unknown(format!("{error:#}")),
    })
}

/// Whether nobody listens there.
fn is_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

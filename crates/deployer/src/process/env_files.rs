//! Environment files: who may have written one, and which of its variables reach which program.
//!
//! What such a file says is a deployment's own: its application gets all of it, and so do the commands that make a release, inside their
//! sandbox. A command outside of the sandbox that runs as the deployer is where a push must not come to. It gets only the variables that
//! the operator names (`env_unsandboxed`), only from a file that nobody else can have written, and none that steers a loader, a shell or an
//! interpreter. What is withheld is said in the run's log.

use crate::base::files::safe_path::{self, ENV_FILE_BYTES_MAX, Trust};
use crate::config::keys::looks_secret;
use crate::config::{Config, Deployment, parse_env_file, steers, steers_starter};
use crate::process::sandbox;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What holds for a deployment's environment files.
#[derive(Debug, Default)]
pub struct EnvRules {
    /// The deployment's path.
    root: PathBuf,
    listed: Vec<String>,
    trust: Trust,
    /// What releases share, and builds only read.
    read_only: Vec<PathBuf>,
}

/// Where variables go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The deployment's application.
    Application,
    /// A command that is sandboxed, or runs as the deployment's own user.
    Sandboxed,
    /// One that makes a release, of a deployment whose operator wants no sandbox (`confine = false`).
    Unwalled,
    /// Any other: as the deployer, outside of the sandbox.
    Outside,
}

/// What files say.
#[derive(Debug, Default)]
pub struct FromFiles {
    /// What the program gets; of the same name the last counts.
    pub variables: Vec<(String, String)>,
    /// Values that may be secrets, for the redactor.
    pub secrets: Vec<String>,
    /// What of the files says nothing, in sentences.
    pub ignored: Vec<String>,
    /// Names that it does not get.
    pub withheld: Vec<String>,
}

impl EnvRules {
    /// Of a deployment's commands that stand in this directory.
    pub fn of(config: &Config, deployment: &Deployment, directory: &Path) -> Self {
        let has_walls = deployment.confine || deployment.user.is_some();
        let writable = if has_walls { sandbox::writable(config, deployment, directory) } else { Vec::new() };
        let users = config.deployments.values().filter_map(|deployment| deployment.user.as_ref());
        let users_of_deployments = users.map(ToString::to_string).collect();
        let trust = Trust { users_of_deployments, writable };
        let shared = deployment.shared_files.iter().map(|file| deployment.path.join("shared").join(file));
        let read_only = shared.chain(deployment.env_files.iter().cloned()).collect();
        Self { root: deployment.path.clone(), listed: deployment.env_unsandboxed.clone(), trust, read_only }
    }

    /// What is to be said where a sandboxed command failed and printed this: that it may have wanted to write to what it only reads.
    pub fn note_on_denial(&self, printed: &str) -> Option<String> {
        const SIGNS: [&str; 4] =
            ["ermission denied", "EACCES", "readonly database", "unable to open database file"];
        let file = self.read_only.first().filter(|_| SIGNS.iter().any(|sign| printed.contains(sign)))?;
        Some(format!(
            "a sandboxed command reads shared files ({}, ...) and does not write to them. hint: move what it writes to a directory of `shared_dirs`, or allow the directory in `writable`",
            file.display()
        ))
    }

    /// Reads them. Given up when the time is over, or somebody cancels.
    pub async fn read(
        &self,
        files: &[PathBuf],
        reach: Reach,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<FromFiles> {
        let mut found = FromFiles::default();
        for file in files {
            // Nothing of it is passed on: then it does not matter who has written it.
            let trust = (reach == Reach::Outside && !self.listed.is_empty()).then(|| self.trust.clone());
            let reading = safe_path::read_text(&self.root, file, ENV_FILE_BYTES_MAX, trust, limit);
            let text = tokio::select! {
                text = reading => text.context("environment file")?,
                () = cancel.cancelled() => bail!("cancelled"),
            };
            let read = parse_env_file(&text).with_context(|| format!("in {}", file.display()))?;
            for line in read.ignored_lines {
                found.ignored.push(format!("line {line} of {} has no `=`, and is ignored", file.display()));
            }
            let entries = read.variables;
            let may_be_secret = entries.iter().filter(|(name, value)| may_be_secret(name, value));
            found.secrets.extend(may_be_secret.map(|(_, value)| value.clone()));
            let (passed, withheld): (Vec<_>, Vec<_>) =
                entries.into_iter().partition(|(name, _)| self.passes(name, reach));
            found.variables.extend(passed);
            found.withheld.extend(withheld.into_iter().map(|(name, _)| name));
        }
        found.withheld.sort_unstable();
        found.withheld.dedup();
        Ok(found)
    }

    fn passes(&self, name: &str, reach: Reach) -> bool {
        match reach {
            Reach::Application => true,
            Reach::Sandboxed => !steers_starter(name),
            Reach::Unwalled => !steers(name),
            Reach::Outside => !steers(name) && self.listed.iter().any(|listed| listed == name),
        }
    }
}

impl FromFiles {
    /// What is to be said of the variables that the program does not get.
    pub fn note(&self, reach: Reach) -> Option<String> {
        /// As many as a person reads.
        const NAMED_MAX: usize = 20;
        if self.withheld.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = self.withheld.iter().take(NAMED_MAX).map(String::as_str).collect();
        if self.withheld.len() > NAMED_MAX {
            names.push("...");
        }
        let names = names.join(", ");
        Some(match reach {
            Reach::Outside => format!(
                "environment files: not passed to this command, which runs outside of the sandbox as the deployer: {names}. hint: `env_unsandboxed = [\"NAME\"]` passes what it needs"
            ),
            _ => format!(
                "environment files: not passed on, as it steers what starts commands: {names}. hint: what must be set belongs in `environment`"
            ),
        })
    }
}

/// Whether a value is hidden wherever it is printed. Ports, switches and the words of which every log is full are not, unless the name says
/// that they are secret: a line such as "listening on [redacted]:[redacted]" helps nobody.
fn may_be_secret(name: &str, value: &str) -> bool {
    const WORDS: [&str; 26] = [
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "none",
        "null",
        "auto",
        "default",
        "production",
        "development",
        "test",
        "testing",
        "staging",
        "local",
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
        "info",
        "debug",
        "warn",
        "warning",
        "error",
        "utf-8",
        "utc",
    ];
    let is_port = value.parse::<u16>().is_ok() && name.to_ascii_lowercase().ends_with("port");
    looks_secret(name) || !(is_port || WORDS.contains(&value.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_log_is_full_of_is_no_secret() {
        for (name, value, expected) in [
            ("PORT", "3000", false),
            ("NODE_ENV", "production", false),
            ("HOST", "localhost", false),
            ("DEBUG", "true", false),
            ("PIN", "1234", true),
            ("SMTP_PORT", "2525", false),
            ("DB_PASSWORD", "localhost", true),
            ("API_KEY", "1234", true),
            ("ANYTHING", "hunter2", true),
        ] {
            assert_eq!(may_be_secret(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn what_a_file_says_reaches_whom_it_may() {
        let rules = EnvRules { listed: vec!["TOKEN".into(), "PATH".into()], ..EnvRules::default() };
        let passed = |reach| {
            let names = ["TOKEN", "SECRET", "PATH", "NODE_OPTIONS", "LD_PRELOAD", "DEPLOYER_RUN"];
            names.into_iter().filter(|name| rules.passes(name, reach)).collect::<Vec<_>>()
        };
        assert_eq!(passed(Reach::Application).len(), 6);
        assert_eq!(passed(Reach::Sandboxed), ["TOKEN", "SECRET", "PATH", "NODE_OPTIONS"]);
        assert_eq!(passed(Reach::Unwalled), ["TOKEN", "SECRET"]);
        assert_eq!(passed(Reach::Outside), ["TOKEN"]);
    }

    #[tokio::test]
    async fn who_may_change_a_file_decides_whether_it_is_relied_on() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("srv");
        std::fs::create_dir_all(root.join("shared/open")).unwrap();
        let chmod = |path: &str, mode| {
            std::fs::set_permissions(root.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for file in ["shared/.env", "shared/open/.env"] {
            std::fs::write(root.join(file), "TOKEN=1\nSECRET=2\n").unwrap();
            chmod(file, 0o640);
        }
        let read = async |file: &str, reach, listed: &[&str], writable: &[&str]| {
            let rules = EnvRules {
                root: root.clone(),
                listed: listed.iter().map(|name| (*name).to_owned()).collect(),
                trust: Trust {
                    writable: writable.iter().map(|path| root.join(path)).collect(),
                    ..Trust::default()
                },
                ..EnvRules::default()
            };
            let never = CancellationToken::new();
            let found = rules.read(&[root.join(file)], reach, Duration::from_secs(60), &never).await;
            found.map(|found| found.variables.len()).map_err(|error| format!("{error:#}"))
        };
        let outside = Reach::Outside;
        assert_eq!(read("shared/.env", outside, &["TOKEN"], &["releases"]).await, Ok(1));
        let error = read("shared/.env", outside, &["TOKEN"], &["shared"]).await.unwrap_err();
        assert!(error.contains("build steps may write") && error.contains("hint: move it"), "{error}");
        chmod("shared/open", 0o777);
        let error = read("shared/open/.env", outside, &["TOKEN"], &[]).await.unwrap_err();
        assert!(error.contains("shared/open: its mode 0777") && error.contains("chmod go-w"), "{error}");
        // Nothing is passed, or to those who could have written it.
        assert_eq!(read("shared/open/.env", outside, &[], &[]).await, Ok(0));
        assert_eq!(read("shared/open/.env", Reach::Sandboxed, &["TOKEN"], &[]).await, Ok(2));
        // Where builds may write, under another name; and a second name of the file itself.
        std::os::unix::fs::symlink("shared", root.join("link")).unwrap();
        let error = read("shared/.env", outside, &["TOKEN"], &["link"]).await.unwrap_err();
        assert!(error.contains("build steps may write"), "{error}");
        std::fs::hard_link(root.join("shared/.env"), root.join("second")).unwrap();
        let error = read("shared/.env", outside, &["TOKEN"], &[]).await.unwrap_err();
        assert!(error.contains("hard link") && error.contains("mv "), "{error}");
        std::fs::remove_file(root.join("second")).unwrap();
        assert_eq!(read("shared/.env", outside, &["TOKEN"], &[]).await, Ok(1));
        chmod("shared/.env", 0o660);
        let error = read("shared/.env", outside, &["TOKEN"], &[]).await.unwrap_err();
        assert!(error.contains("0660") && error.contains("chmod 640"), "{error}");
    }
}

//! What can be wrong with a deployment on this host: a closed list, each entry with its words and with what to do about it.
//!
//! Findings are stored as data and put into words when they are shown. Pure.

use crate::base::clock::readable_utc;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It could not be seen.
    NotSeen,
    /// What is live serves now, and may not tomorrow.
    Warning,
    /// What should serve does not, or is not what the deployer has put there.
    Error,
}

/// A difference between a deployment as it was last deployed and this host as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Finding {
    /// The deployment's directory is not there.
    PathGone { path: PathBuf, keeps_data: bool },
    /// There is no link `current`.
    LinkGone { link: PathBuf, release: String },
    /// Something that is no link has its name.
    LinkReplaced { link: PathBuf },
    /// The link names another release than the one that was deployed last.
    LinkMoved { link: PathBuf, found: String, recorded: String },
    /// The directory of the live release is not there.
    ReleaseGone { directory: PathBuf, keeps_data: bool },
    /// What bears the name of the live release is no directory.
    ReleaseReplaced { directory: PathBuf },
    /// systemd knows no such unit.
    UnitMissing { unit: String },
    /// A unit does not run.
    UnitDown { unit: String, state: String, said: Option<String>, user: bool },
    /// A unit stands in another release than the live one.
    UnitElsewhere { unit: String, place: PathBuf, user: bool },
    /// A unit is not started at boot.
    UnitNotEnabled { unit: String, has_install: bool, user: bool },
    /// The files of a unit are newer than what systemd has read of them.
    UnitOutdated { unit: String, user: bool },
    /// Processes under PM2 or uWSGI do not run.
    ProcessesDown { what: String, mend: String },
    /// Processes under PM2 or uWSGI are another release's.
    ProcessesElsewhere { what: String },
    /// Processes that run now are not started at boot.
    NotAtBoot { what: String, mend: String },
    /// A health check is not passed.
    Unhealthy { check: String, why: String },
    /// The web server in front does not run.
    NginxDown { why: String },
    /// A file system has no room.
    NoRoom { place: PathBuf, why: String },
    /// The repository does not have the branch.
    BranchGone { branch: String },
    /// The repository cannot be asked.
    SourceAway { why: String, asked_at_ms: i64, next_at_ms: Option<i64> },
    /// Something could not be looked at.
    NotSeen { what: String, why: String },
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::NotSeen { .. } => Severity::NotSeen,
            Self::UnitNotEnabled { .. }
            | Self::UnitOutdated { .. }
            | Self::NotAtBoot { .. }
            | Self::BranchGone { .. }
            | Self::SourceAway { .. } => Severity::Warning,
            Self::PathGone { .. }
            | Self::LinkGone { .. }
            | Self::LinkReplaced { .. }
            | Self::LinkMoved { .. }
            | Self::ReleaseGone { .. }
            | Self::ReleaseReplaced { .. }
            | Self::UnitMissing { .. }
            | Self::UnitDown { .. }
            | Self::UnitElsewhere { .. }
            | Self::ProcessesDown { .. }
            | Self::ProcessesElsewhere { .. }
            | Self::Unhealthy { .. }
            | Self::NginxDown { .. }
            | Self::NoRoom { .. } => Severity::Error,
        }
    }

    /// Whether two looks found the same: what changes from look to look (free bytes, an error's words, a time) makes no news.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::UnitDown { unit, .. }, Self::UnitDown { unit: other, .. }) => unit == other,
            (Self::Unhealthy { check, .. }, Self::Unhealthy { check: other, .. }) => check == other,
            (Self::NoRoom { place, .. }, Self::NoRoom { place: other, .. }) => place == other,
            (Self::NotSeen { what, .. }, Self::NotSeen { what: other, .. }) => what == other,
            (Self::SourceAway { .. }, Self::SourceAway { .. })
            | (Self::NginxDown { .. }, Self::NginxDown { .. }) => true,
            _ => self == other,
        }
    }

    /// What is wrong, and why, in one line.
    pub fn what(&self) -> String {
        match self {
            Self::PathGone { path, .. } => format!("{} is not there", path.display()),
            Self::LinkGone { link, release } => {
                format!("the link {} is not there; {release} is to be live", link.display())
            }
            Self::LinkReplaced { link } => {
                format!("{} is not a link: what lies there was not deployed", link.display())
            }
            Self::LinkMoved { link, found, recorded } => {
                format!("{} names {found}, and {recorded} was deployed last", link.display())
            }
            Self::ReleaseGone { directory, .. } => {
                format!("the live release {} is not there", directory.display())
            }
            Self::ReleaseReplaced { directory } => {
                format!("the live release {} is not a directory", directory.display())
            }
            Self::UnitMissing { unit } => format!("systemd knows no unit {unit}"),
            Self::UnitDown { unit, state, said, .. } => match said {
                Some(said) => format!("{unit} does not run, it is {state}: {said}"),
                None => format!("{unit} does not run, it is {state}"),
            },
            Self::UnitElsewhere { unit, place, .. } => {
                format!("{unit} runs {}, which is not the live release", place.display())
            }
            Self::UnitNotEnabled { unit, .. } => {
                format!("{unit} runs now, and is not started at the next boot")
            }
            Self::UnitOutdated { unit, .. } => {
                format!(
                    "the files of {unit} have changed since systemd read them, and it runs what they said before"
                )
            }
            Self::ProcessesDown { what, .. }
            | Self::ProcessesElsewhere { what }
            | Self::NotAtBoot { what, .. } => what.clone(),
            Self::Unhealthy { check, why } => format!("{check} is not answered as it should be: {why}"),
            Self::NginxDown { why } => format!("nginx, which serves this, does not run: {why}"),
            Self::NoRoom { why, .. } => why.clone(),
            Self::BranchGone { branch } => {
                format!("the branch {branch} does not exist any more: no push is deployed")
            }
            Self::SourceAway { why, asked_at_ms, next_at_ms } => {
                let next = next_at_ms
                    .map_or(String::new(), |next| format!(", and is next at {} UTC", readable_utc(next)));
                format!(
                    "the repository cannot be asked for its branch: {why} (asked at {} UTC{next})",
                    readable_utc(*asked_at_ms)
                )
            }
            Self::NotSeen { what, why } => format!("cannot look at {what}: {why}"),
        }
    }

    /// What to do about it.
    pub fn mend(&self, slug: &str) -> String {
        let deploy_again = format!("`durhack-deployer deploy {slug} --force` makes a release again");
        match self {
            Self::PathGone { path, keeps_data: true } => format!(
                "it holds what releases share, so it is not made anew: mount it, or put it back from a backup; or, if nothing was in {}, {deploy_again}",
                path.join("shared").display()
            ),
            Self::ReleaseGone { keeps_data: true, .. } => format!(
                "what releases share is gone too, so no release is made: put it back from a backup; or, if it held nothing, {deploy_again}"
            ),
            Self::PathGone { .. } | Self::ReleaseGone { .. } => format!(
                "the worker makes the release again; `durhack-deployer logs {slug}` shows how far it is"
            ),
            Self::LinkGone { .. } => "the worker makes the link again".to_owned(),
            Self::LinkReplaced { link } => {
                format!(
                    "`sudo mv {0} {0}.aside`: the worker then makes the link again; look what was put there",
                    link.display()
                )
            }
            Self::LinkMoved { .. } => format!(
                "somebody has moved it: `durhack-deployer rollback {slug} --to RELEASE` goes live with one properly, `durhack-deployer deploy {slug}` with the branch's head"
            ),
            Self::ReleaseReplaced { directory } => format!(
                "`sudo mv {0} {0}.aside`: the worker then makes the release again",
                directory.display()
            ),
            Self::UnitMissing { unit } => format!(
                "install its file as /etc/systemd/system/{unit}, then `sudo systemctl daemon-reload` and `sudo systemctl enable --now {unit}`"
            ),
            Self::UnitDown { unit, user, .. } | Self::UnitElsewhere { unit, user, .. } => {
                let (systemctl, journalctl) = commands(*user);
                format!("`{journalctl} {unit}` says why; `{systemctl} restart {unit}` starts it")
            }
            Self::UnitNotEnabled { unit, has_install: true, user } => {
                format!("`{} enable {unit}`", commands(*user).0)
            }
            Self::UnitNotEnabled { unit, has_install: false, user } => {
                let systemctl = commands(*user).0;
                let target = if *user { "default.target" } else { "multi-user.target" };
                format!(
                    "its file has no [Install] section: `{systemctl} edit --full {unit}`, write `[Install]` and `WantedBy={target}` at its end, then `{systemctl} enable {unit}`"
                )
            }
            Self::UnitOutdated { unit, user } => {
                let systemctl = commands(*user).0;
                format!("`{systemctl} daemon-reload && {systemctl} restart {unit}`")
            }
            Self::ProcessesDown { mend, .. } | Self::NotAtBoot { mend, .. } => mend.clone(),
            Self::ProcessesElsewhere { .. } => {
                format!("`durhack-deployer deploy {slug} --force` brings them to a release")
            }
            Self::Unhealthy { .. } => format!(
                "look at the application's own log; `durhack-deployer rollback {slug}` goes back to the release before"
            ),
            Self::NginxDown { .. } => {
                "`sudo nginx -t` says what is wrong with its configuration; `sudo systemctl start nginx` starts it"
                    .to_owned()
            }
            Self::NoRoom { place, .. } => format!(
                "`du -xh --max-depth=2 {0} | sort -h | tail` says what takes the room (`du -x --inodes` where inodes are short)",
                place.display()
            ),
            Self::BranchGone { branch } => format!(
                "write the branch's new name as `branch` of {slug} and reload the deployer; or push {branch} again"
            ),
            Self::SourceAway { .. } => {
                format!("what is live stays live; `durhack-deployer plan {slug}` asks it now")
            }
            Self::NotSeen { .. } => "nothing, if it is seen the next time".to_owned(),
        }
    }
}

/// As whom a unit is managed by hand, and how its log is read.
fn commands(user: bool) -> (&'static str, &'static str) {
    match user {
        true => ("systemctl --user", "journalctl --user-unit"),
        false => ("sudo systemctl", "sudo journalctl -u"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_named_with_the_command_that_enables_it() {
        let finding =
            |has_install, user| Finding::UnitNotEnabled { unit: "web.service".into(), has_install, user };
        assert_eq!(finding(true, false).mend("web"), "`sudo systemctl enable web.service`");
        assert_eq!(finding(true, true).mend("web"), "`systemctl --user enable web.service`");
        assert!(finding(false, false).mend("web").contains("`WantedBy=multi-user.target`"));
        let outdated = Finding::UnitOutdated { unit: "web.service".into(), user: false };
        assert_eq!(
            outdated.mend("web"),
            "`sudo systemctl daemon-reload && sudo systemctl restart web.service`"
        );
    }

    #[test]
    fn what_only_differs_in_its_words_is_no_news() {
        let unhealthy = |check: &str, why: &str| Finding::Unhealthy { check: check.into(), why: why.into() };
        assert!(unhealthy("GET /", "refused").is_same(&unhealthy("GET /", "no answer")));
        assert!(!unhealthy("GET /", "refused").is_same(&unhealthy("GET /b", "refused")));
        let gone = |branch: &str| Finding::BranchGone { branch: branch.into() };
        assert!(gone("a").is_same(&gone("a")) && !gone("a").is_same(&gone("b")));
    }

    #[test]
    fn findings_are_stored_as_data() {
        let finding = Finding::BranchGone { branch: "main".into() };
        let stored = serde_json::to_string(&finding).unwrap();
        assert_eq!(stored, r#"{"code":"branch-gone","branch":"main"}"#);
        assert_eq!(serde_json::from_str::<Finding>(&stored).unwrap(), finding);
    }
}

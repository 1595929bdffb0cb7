//! systemd units, as a process manager.
//!
//! A restart that `systemctl` calls a success may be a program that dies a moment later and is started again and again: so
//! the proof looks twice.

use super::ManagerAction;
use crate::base::files::safe_path;
use crate::base::names::{UnitName, UserName};
use crate::config::{CommandLine, Privileges};
use crate::process::cause::Tail;
use crate::process::env_files::Reach;
use crate::process::step_context::StepContext;
use crate::process::tools::files;
use crate::process::tools::systemctl::{self, UnitState};
use crate::process::{executor, process_table};
use crate::steps::finding::Finding;
use crate::steps::release::CURRENT;
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use supervise::Stream;

/// How long a unit must run without being started again to count as running.
const SETTLE: Duration = Duration::from_secs(2);

/// Units, and how they are brought to run what is linked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Units {
    /// In the order in which they are started.
    pub names: Vec<UnitName>,
    /// Reload instead of restart, where the unit can.
    pub reload: bool,
    /// Units of our own user's manager.
    pub user: bool,
    /// Who may ask for it.
    pub privileges: Privileges,
    /// The deployment's own user, as whom they are to run. As whom they do, root says in the units.
    #[serde(default)]
    pub runs_as: Option<UserName>,
    /// For their environment, as far as their unit files name them: what is written in there is not told to the world.
    #[serde(default)]
    pub env_files: Vec<PathBuf>,
}

impl Units {
    pub async fn grant(&self, action: ManagerAction, step_context: &StepContext<'_>) -> Result<()> {
        if action == ManagerAction::Run {
            self.files_of_release(step_context).await?;
        }
        for (unit, command) in self.names.iter().zip(self.commands(action)) {
            let Err(error) = step_context.call(&command).await else { continue };
            // A release that was started again and again has used up the starts that systemd allows in a while, also for the one
            // that is gone back to: start the count anew.
            let forget = systemctl::verb(self.privileges, self.user, "reset-failed", unit);
            if action != ManagerAction::Run || executor::is_exhaustion(&error) {
                return Err(error);
            }
            let again = match step_context.call(&forget).await {
                Ok(_) => step_context.call(&command).await.map(drop),
                Err(refused) => {
                    step_context.note(format!("its count of failures is not forgotten: {refused:#}"));
                    Err(error)
                }
            };
            if let Err(error) = again {
                // systemctl says that it failed, the unit why.
                match self.last_words(unit.as_str(), step_context).await {
                    Some(said) if !format!("{error:#}").contains(&said) => bail!("{said} ({error:#})"),
                    _ => return Err(error),
                }
            }
        }
        if action == ManagerAction::Prove {
            self.prove(step_context).await?;
        }
        Ok(())
    }

    /// A release may bring its unit's file. Our own user's manager is told to read it. Root's reads nothing anew because of a push: what it has not
    /// read is said. systemd itself notices newer files alone, and a release that is gone back to has older ones.
    async fn files_of_release(&self, step_context: &StepContext<'_>) -> Result<()> {
        if self.user {
            let states = self.states(step_context).await?;
            let mut changed = states.iter().any(|unit| unit.is_outdated);
            for unit in &states {
                changed |= self.has_other_file(unit, step_context).await;
            }
            if changed {
                step_context.call(&systemctl::read_files_of_user_units()).await?;
            }
            return Ok(());
        }
        // Whatever is wrong with systemd, the restart says.
        let printed = step_context.look_as_deployer(&systemctl::show(false, &self.names)).await;
        for unit in systemctl::states(&printed.unwrap_or_default()) {
            // Of newer files the proof speaks.
            if !unit.is_outdated && self.has_other_file(&unit, step_context).await {
                let finding = Finding::UnitOutdated { unit: unit.name.clone(), user: false };
                step_context.note(format!("WARNING: {}\nhint: {}", finding.what(), finding.mend("")));
            }
        }
        Ok(())
    }

    /// Whether the release that a unit still runs brought another file for it than the new one does.
    async fn has_other_file(&self, unit: &UnitState, step_context: &StepContext<'_>) -> bool {
        /// Of units' files, the longest have some hundred lines.
        const BYTES_MAX: u64 = 1024 * 1024;
        let (Some(releases), Ok(file)) = (releases(step_context), unit.file.canonicalize()) else {
            return false;
        };
        let releases = releases.canonicalize().unwrap_or_else(|_| releases.to_owned());
        let release_of = |path: &Path| {
            let inner = path.strip_prefix(&releases).ok()?;
            let name = inner.components().next()?;
            Some((releases.join(name), inner.strip_prefix(name).ok()?.to_owned()))
        };
        let Some((_, inner)) = release_of(&file) else { return false };
        let before = self.places(unit, step_context).await;
        let before = before.iter().filter_map(|place| release_of(place)).map(|(release, _)| release);
        let new = step_context.directory.canonicalize().unwrap_or_else(|_| step_context.directory.to_owned());
        let read = |release: &Path| safe_path::read_now(release, &release.join(&inner), BYTES_MAX).ok();
        let said = read(&new);
        before.filter(|release| *release != new).any(|release| read(&release) != said)
    }

    pub async fn look(&self, step_context: &StepContext<'_>) -> Result<Vec<Finding>> {
        let mut findings: Vec<Finding> = self.lingering(step_context).into_iter().collect();
        for state in self.states(step_context).await? {
            let (unit, user) = (state.name.clone(), self.user);
            if !state.is_known {
                findings.push(Finding::UnitMissing { unit });
                continue;
            }
            if !state.is_active() {
                // One that was stopped has said nothing of that.
                let has_failed = state.active == "failed" || state.sub == "auto-restart";
                let said = if has_failed { self.last_words(&unit, step_context).await } else { None };
                findings.push(Finding::UnitDown { unit: unit.clone(), state: state.in_words(), said, user });
            } else if !self.reload
                && let Some(place) = self.wrong_place(&state, step_context).await
            {
                findings.push(Finding::UnitElsewhere { unit: unit.clone(), place, user });
            }
            if state.is_outdated {
                findings.push(Finding::UnitOutdated { unit: unit.clone(), user });
            }
            if !state.is_enabled {
                findings.push(Finding::UnitNotEnabled { unit, has_install: state.has_install, user });
            }
        }
        Ok(findings)
    }

    /// A user's own manager is started at boot only where the user lingers.
    fn lingering(&self, step_context: &StepContext<'_>) -> Option<Finding> {
        let name = step_context
            .variable("USER")
            .or_else(|| step_context.variable("LOGNAME"))
            .filter(|_| self.user)?;
        let lingers = Path::new("/var/lib/systemd/linger").join(&name).exists();
        (!lingers).then(|| Finding::NotAtBoot {
            what: format!("the systemd manager of {name}, which has its units, is not started at boot"),
            mend: format!("`sudo loginctl enable-linger {name}`"),
        })
    }

    pub fn shown(&self, action: ManagerAction) -> String {
        match action {
            ManagerAction::Prove => {
                let names: Vec<&str> = self.names.iter().map(UnitName::as_str).collect();
                format!("look whether {} runs, and goes on running", names.join(", "))
            }
            _ => self.commands(action).iter().map(CommandLine::shown).collect::<Vec<_>>().join(" && "),
        }
    }

    fn commands(&self, action: ManagerAction) -> Vec<CommandLine> {
        let verb = match (action, self.reload) {
            (ManagerAction::Run, true) => "reload-or-restart",
            (ManagerAction::Run, false) => "restart",
            (ManagerAction::Stop, _) => "stop",
            (ManagerAction::Check | ManagerAction::Prove, _) => return Vec::new(),
        };
        self.names.iter().map(|unit| systemctl::verb(self.privileges, self.user, verb, unit)).collect()
    }

    async fn prove(&self, step_context: &StepContext<'_>) -> Result<()> {
        let before = self.states(step_context).await?;
        step_context.pause(SETTLE).await?;
        for (before, after) in before.iter().zip(self.states(step_context).await?) {
            let wrong = if !after.is_active() {
                Some(format!("{} is {}", after.name, after.in_words()))
            } else if before.restarts != after.restarts {
                Some(format!("{} does not stay up: systemd started it again", after.name))
            } else {
                None
            };
            if let Some(wrong) = wrong {
                let hint = format!("journalctl -u {}", after.name);
                match self.last_words(&after.name, step_context).await {
                    Some(said) => bail!("{wrong}: {said}\nhint: {hint}"),
                    None => bail!("{wrong}\nhint: {hint}"),
                }
            }
            // A reload leaves the process, and where it stands, as they are.
            if !self.reload {
                self.stands_in_release(&after, step_context).await?;
            }
            if after.is_outdated {
                let finding = Finding::UnitOutdated { unit: after.name.clone(), user: self.user };
                step_context.note(format!("WARNING: {}\nhint: {}", finding.what(), finding.mend("")));
            }
            if !after.is_enabled {
                let (unit, user) = (after.name.clone(), self.user);
                let finding = Finding::UnitNotEnabled { unit, has_install: after.has_install, user };
                step_context.note(format!("WARNING: {}\nhint: {}", finding.what(), finding.mend("")));
            }
            if let Some(complaint) = self.runs_as.as_ref().and_then(|user| complaint(&after, user)) {
                step_context.note(format!("WARNING: {complaint}"));
            }
        }
        Ok(())
    }

    async fn states(&self, step_context: &StepContext<'_>) -> Result<Vec<UnitState>> {
        // Asked several times in each run, and by each look: the log has what follows from it.
        let printed = step_context.look_as_deployer(&systemctl::show(self.user, &self.names)).await?;
        let states = systemctl::states(&printed);
        if states.len() != self.names.len() {
            bail!("systemctl spoke of {} units, and was asked for {}", states.len(), self.names.len());
        }
        Ok(states)
    }

    /// A restarted unit must not stand in another release, or run a program out of it: its files name one, and not `current`. Where it
    /// stands elsewhere (its program may read what it needs by absolute paths), or nobody may look, nothing is known.
    async fn stands_in_release(&self, unit: &UnitState, step_context: &StepContext<'_>) -> Result<()> {
        match self.wrong_place(unit, step_context).await {
            None => Ok(()),
            Some(found) => bail!(
                "{} still runs {}, which is not the new release\nhint: let its unit name {} instead",
                unit.name,
                found.display(),
                releases(step_context).unwrap_or(step_context.directory).with_file_name(CURRENT).display()
            ),
        }
    }

    /// Where in another release a unit stands, or which program of one it runs.
    async fn wrong_place(&self, unit: &UnitState, step_context: &StepContext<'_>) -> Option<PathBuf> {
        let releases = releases(step_context)?;
        let places = self.places(unit, step_context).await;
        places
            .into_iter()
            .find(|found| found.starts_with(releases) && !found.starts_with(step_context.directory))
    }

    /// Why a unit does not run, by its own words; every line goes to the run's log. None where it said nothing, or its journal is not for us
    /// to read.
    async fn last_words(&self, unit: &str, step_context: &StepContext<'_>) -> Option<String> {
        let (rules, reach) = (step_context.env_rules, Reach::Application);
        // It may quote what its environment files say, and the world is told.
        let of_files =
            rules.read(&self.env_files, reach, step_context.left(), step_context.cancel).await.ok()?;
        let journal = systemctl::journal(self.privileges, self.user, unit);
        let printed = step_context.look_as_deployer(&journal).await.ok()?;
        let printed = step_context.executor.redacted(&printed, &of_files.secrets);
        let mut tail = Tail::default();
        for (line, times) in told(unit, &printed) {
            let times = if times > 1 { format!(" ({times} times)") } else { String::new() };
            step_context.note(format!("{unit}: {line}{times}"));
        }
        for line in printed.lines().filter(|line| !line.is_empty()) {
            let (stream, text) = (Stream::Err, line.to_owned());
            tail.push(supervise::Line { stream, text, truncated: false, at_ms: 0 });
        }
        tail.cause().filter(|cause| !says_only_that_it_failed(cause))
    }

    /// Where its main process stands, and the file that it runs: as far as we may look, or the deployment's own user.
    async fn places(&self, unit: &UnitState, step_context: &StepContext<'_>) -> Vec<PathBuf> {
        let Some(main) = i32::try_from(unit.main_pid).ok().and_then(process_table::read) else {
            return Vec::new();
        };
        let seen: Vec<PathBuf> = [main.directory(), main.program()].into_iter().flatten().collect();
        if !seen.is_empty() || !step_context.has_own_user() {
            return seen;
        }
        let links = ["cwd", "exe"].map(|link| format!("/proc/{}/{link}", main.pid).into());
        let asked = step_context.look(&files::read_links(&links)).await;
        asked.map(|printed| files::links(&printed).into_values().collect()).unwrap_or_default()
    }
}

/// The directory of all releases; None in place.
fn releases<'w>(step_context: &StepContext<'w>) -> Option<&'w Path> {
    step_context.directory.parent().filter(|parent| parent.ends_with("releases"))
}

/// The lines of a unit's journal that say something, each once, with how often it was said: one that is started again and again says the
/// same each time, and systemd of it that it has failed.
fn told<'a>(unit: &str, printed: &'a str) -> Vec<(&'a str, usize)> {
    let mut told: Vec<(&str, usize)> = Vec::new();
    let name = format!("{unit}: ");
    for line in printed.lines().filter(|line| !line.is_empty() && !says_only_that_it_failed(line)) {
        let line = line.strip_prefix(&name).unwrap_or(line);
        match told.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => told.push((line, 1)),
        }
    }
    told
}

/// Whether a line of a unit's journal says no more than is known: where neither the unit nor systemd has said why.
fn says_only_that_it_failed(line: &str) -> bool {
    [
        ": Failed with result",
        ": Scheduled restart job",
        "Failed to start ",
        "Stopped ",
        "Started ",
        "Starting ",
    ]
    .iter()
    .any(|words| line.contains(words))
}

/// What a run's log says of a unit that does not run as the deployment's own user. `doctor` says it too, with the deployment's name.
fn complaint(unit: &UnitState, user: &UserName) -> Option<String> {
    let found = unit.user.as_deref().filter(|found| *found != user.as_str())?;
    let follows = match found {
        "root" | "0" => ": whoever can push is root",
        _ => "",
    };
    let name = &unit.name;
    Some(format!(
        "{name} runs as {found}, and not as {user}, as whom the deployment is to run{follows}\nhint: `systemctl edit {name}`, write `[Service]` and `User={user}`, and deploy again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_unit_that_starts_again_and_again_each_line_is_told_once() {
        let start = "Started guestbook.service - Guestbook.\nTraceback\nno database\nguestbook.service: Main process exited, code=exited, status=1/FAILURE\nguestbook.service: Failed with result 'exit-code'.\nguestbook.service: Scheduled restart job, restart counter is at 1.\n";
        let printed = start.repeat(5);
        assert_eq!(
            told("guestbook.service", &printed),
            [("Traceback", 5), ("no database", 5), ("Main process exited, code=exited, status=1/FAILURE", 5)]
        );
    }

    #[test]
    fn a_unit_is_to_run_as_the_deployments_user() {
        let user = UserName::parse("web").unwrap();
        let said = |found: Option<&str>| {
            let unit = UnitState {
                name: "x.service".into(),
                user: found.map(str::to_owned),
                ..UnitState::default()
            };
            complaint(&unit, &user)
        };
        assert_eq!(said(Some("web")), None);
        assert_eq!(said(None), None, "a user that is made for it");
        assert!(
            said(Some("durhack-deployer"))
                .unwrap()
                .starts_with("x.service runs as durhack-deployer, and not as web")
        );
        assert!(
            said(Some("root"))
                .unwrap()
                .contains("whoever can push is root\nhint: `systemctl edit x.service`")
        );
    }
}

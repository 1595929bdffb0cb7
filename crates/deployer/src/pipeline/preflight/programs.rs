//! Whether the programs that commands call are there.
//!
//! Only what can be known is an obstacle: a name or an absolute path, searched where no earlier command can have put anything. A path into
//! the release (`node_modules/.bin/next`) comes to be during the run, a line for the shell may begin with anything, and a command outside of
//! the sandbox may install what the next one calls: of those nothing is said, or a remark.

use super::Seen;
use crate::config::{CommandLine, Config, Deployment, Moment, Phase, Probe, StepCommand};
use crate::plan::{Action, Plan};
use crate::process::executor::Executor;
use crate::process::sandbox::{RunAs, standing_of_command};
use crate::process::step_user;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Systems' own homes: what lies there may be seen by one of the services and not by another.
const HOMES: [&str; 2] = ["/home", "/root"];

/// A command as far as its program can be known.
#[derive(Debug, Clone, Copy)]
pub struct Called<'a> {
    program: &'a str,
    /// Its own `PATH`, where it has one.
    path: Option<&'a str>,
    has_env_files: bool,
}

/// What holds for all commands of a deployment.
struct SearchPlaces<'a> {
    deployment: &'a Deployment,
    /// What is the deployer's own, and what every deployment's steps may write.
    open: Vec<&'a Path>,
    /// `PATH` of the deployer's own programs.
    usual: &'a OsStr,
    /// Whether an environment file has a `PATH`.
    is_path_of_file: bool,
}

/// The commands that the configuration itself names, in the order in which a run comes to them.
pub fn commands(deployment: &Deployment) -> Vec<(Phase, Called<'_>)> {
    let mut found = Vec::new();
    for phase in Phase::ALL {
        let hooks = |moment| {
            let around = deployment.hooks.around.iter();
            around.filter(move |hook| hook.phase == phase && hook.moment == moment).map(|hook| &hook.command)
        };
        let own = deployment.recipe.steps.iter().filter(|step| step.phase == phase);
        for command in hooks(Moment::Before).chain(own) {
            found.push((phase, called(deployment, command)));
        }
        if phase == Phase::Verify {
            let checks = deployment.health.iter().filter_map(|check| match &check.probe {
                Probe::Command(line) => Some((phase, of_line(line, None, false))),
                Probe::Http { .. } | Probe::Tcp(_) => None,
            });
            found.extend(checks);
        }
        found.extend(hooks(Moment::After).map(|command| (phase, called(deployment, command))));
    }
    found
}

fn called<'a>(deployment: &Deployment, command: &'a StepCommand) -> Called<'a> {
    let path = command.environment.get("PATH").map(String::as_str);
    of_line(&command.run, path, !command.env_files.is_empty() || !deployment.env_files.is_empty())
}

/// A line for the shell is known to need the shell alone.
fn of_line<'a>(line: &'a CommandLine, path: Option<&'a str>, has_env_files: bool) -> Called<'a> {
    let program = match line {
        CommandLine::Argv(words) => words.first().map_or("", String::as_str),
        CommandLine::Shell(_) => "/bin/sh",
    };
    Called { program, path, has_env_files }
}

/// The commands of a plan, those of its recipe among them.
pub fn commands_of_plan(plan: &Plan) -> Vec<(Phase, Called<'_>)> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::Command(command) => {
                let path = command.environment.get("PATH").or_else(|| plan.environment.get("PATH"));
                let path = path.map(String::as_str);
                Some((step.phase, of_line(&command.line, path, !command.env_files.is_empty())))
            }
            _ => None,
        })
        .collect()
}

/// Looks for each program where its command would.
pub fn look(
    executor: &Executor,
    config: &Config,
    deployment: &Deployment,
    is_path_of_file: bool,
    commands: &[(Phase, Called<'_>)],
) -> Seen {
    let usual = executor.variable("PATH").unwrap_or_default();
    let open = std::iter::once(&config.state_directory).chain(&config.confinement.writable);
    let open = open.map(PathBuf::as_path).collect();
    SearchPlaces { deployment, open, usual, is_path_of_file }.look(commands)
}

enum Presence {
    Yes,
    No(String),
    Unsure(String),
}

impl SearchPlaces<'_> {
    fn look(&self, commands: &[(Phase, Called<'_>)]) -> Seen {
        let mut seen = Seen::default();
        let mut may_have_changed = false;
        for (phase, called) in commands {
            let what = |why: &str| format!("{} (in phase {}): {why}", called.program, phase.as_str());
            match self.find(called) {
                Presence::Yes => {}
                Presence::No(why) if !may_have_changed => push(&mut seen.obstacles, what(&why)),
                Presence::No(why) | Presence::Unsure(why) => push(
                    &mut seen.remarks,
                    what(&format!("{why}. Unless something before it in the run makes it, it fails there")),
                ),
            }
            may_have_changed |= is_free(self.deployment, *phase);
        }
        seen
    }

    fn find(&self, called: &Called<'_>) -> Presence {
        let program = Path::new(called.program);
        if program.is_absolute() {
            return match is_program(program) {
                true => Presence::Yes,
                false if self.may_change(program) => Presence::Yes,
                false if self.is_seen_otherwise(program) => Presence::Unsure("is not seen from here".into()),
                false if program.exists() => Presence::No("is no program that may be started".into()),
                false => Presence::No("there is no such file".into()),
            };
        }
        if called.program.is_empty() || called.program.contains('/') {
            return Presence::Yes;
        }
        let path = called.path.or_else(|| self.deployment.environment.get("PATH").map(String::as_str));
        let path = path.map_or(self.usual, OsStr::new);
        let directories: Vec<PathBuf> = std::env::split_paths(path).collect();
        if directories.iter().any(|directory| is_program(&directory.join(program))) {
            return Presence::Yes;
        }
        // Where a step or a file may have put it, or says that it lies elsewhere, nothing is known yet.
        let is_open = |directory: &PathBuf| !directory.is_absolute() || self.may_change(directory);
        if directories.iter().any(is_open) || (called.has_env_files && self.is_path_of_file) {
            return Presence::Yes;
        }
        let shown = path.to_string_lossy();
        let why = format!(
            "there is no such program in PATH ({shown}): install it, or name its directory in `executable_search_paths`"
        );
        match directories.iter().any(|directory| self.is_seen_otherwise(&directory.join(program))) {
            true => Presence::Unsure(why),
            false => Presence::No(why),
        }
    }

    /// Whether a sandboxed command of this deployment may write there.
    fn may_change(&self, path: &Path) -> bool {
        let deployment = self.deployment;
        let mut roots = vec![deployment.path.as_path(), Path::new("/tmp")];
        roots.extend(self.open.iter().copied().chain(deployment.writable.iter().map(PathBuf::as_path)));
        let home = deployment.user.as_ref().map(step_user::home);
        roots.extend(home.as_deref());
        roots.into_iter().any(|root| path.starts_with(root))
    }

    /// Whether the deployment's user may see there what we do not: its unit has homes of its own, and it may enter what is closed to us.
    fn is_seen_otherwise(&self, path: &Path) -> bool {
        let is_closed = || path.metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
        self.deployment.user.is_some() && (HOMES.iter().any(|home| path.starts_with(home)) || is_closed())
    }
}

fn push(sentences: &mut Vec<String>, sentence: String) {
    if !sentences.contains(&sentence) {
        sentences.push(sentence);
    }
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether a command of this phase may write beyond the deployment.
pub fn is_free(deployment: &Deployment, phase: Phase) -> bool {
    let has_walls = deployment.confine || deployment.user.is_some();
    standing_of_command(phase) != RunAs::Sandboxed || !has_walls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::deployment_of;

    fn said(keys: &str, usual: &str) -> (Vec<String>, Vec<String>) {
        let deployment = deployment_of(&format!("recipe = \"steps\"\n{keys}"));
        let usual = OsStr::new(usual);
        let places =
            SearchPlaces { deployment: &deployment, open: Vec::new(), usual, is_path_of_file: false };
        let seen = places.look(&commands(&deployment));
        (seen.obstacles, seen.remarks)
    }

    #[test]
    fn a_program_that_cannot_come_to_be_there_is_an_obstacle() {
        let usual = "/usr/bin:/bin";
        for keys in [
            "steps = [{ phase = \"build\", run = [\"no-such-program\", \"x\"] }]",
            "steps = [{ phase = \"build\", run = [\"/usr/bin/no-such-program\"] }]",
            "hooks = { after_verify = [\"no-such-program\"] }",
            "steps = [{ phase = \"build\", run = [\"sh\"] }, { phase = \"switch\", run = [\"no-such-program\"] }]",
            "health = [{ command = [\"no-such-program\"] }]",
            "environment = { PATH = \"/usr/bin\" }\nsteps = [{ phase = \"build\", run = [\"no-such-program\"] }]",
        ] {
            let (obstacles, remarks) = said(keys, usual);
            assert_eq!((obstacles.len(), remarks.len()), (1, 0), "{keys}: {obstacles:?} {remarks:?}");
            assert!(obstacles[0].contains("no-such-program (in phase "), "{obstacles:?}");
        }
    }

    #[test]
    fn what_works_or_may_come_to_work_is_none() {
        let usual = "/usr/bin:/bin";
        for (keys, remarks_expected) in [
            ("steps = [{ phase = \"build\", run = [\"sh\", \"-c\", \"true\"] }]", 0),
            ("steps = [{ phase = \"build\", run = [\"/bin/sh\"] }]", 0),
            (
                "steps = [{ phase = \"build\", run = [\"node_modules/.bin/next\"] }, { phase = \"build\", run = [\"./build.sh\"] }]",
                0,
            ),
            ("steps = [{ phase = \"build\", shell = \"no-such-program && x\" }]", 0),
            ("steps = [{ phase = \"build\", run = [\"/srv/x/current/tool\"] }]", 0),
            (
                "environment = { PATH = \"./node_modules/.bin:/usr/bin\" }\nsteps = [{ phase = \"build\", run = [\"next\"] }]",
                0,
            ),
            (
                "steps = [{ phase = \"build\", run = [\"next\"], environment = { PATH = \"node_modules/.bin:/usr/bin\" } }]",
                0,
            ),
            (
                "writable = [\"/opt/tools\"]\nenvironment = { PATH = \"/opt/tools/bin\" }\nsteps = [{ phase = \"build\", run = [\"x\"] }]",
                0,
            ),
            // What was installed by a command before.
            (
                "confine = false\nsteps = [{ phase = \"install\", run = [\"sh\"] }, { phase = \"build\", run = [\"no-such-program\"] }]",
                1,
            ),
            (
                "steps = [{ phase = \"switch\", run = [\"sh\"] }, { phase = \"switch\", run = [\"no-such-program\"] }]",
                1,
            ),
            (
                "user = \"app-x\"\nenvironment = { PATH = \"/home/app/bin:/usr/bin\" }\nsteps = [{ phase = \"build\", run = [\"no-such-program\"] }]",
                1,
            ),
        ] {
            let (obstacles, remarks) = said(keys, usual);
            assert_eq!(
                (obstacles.len(), remarks.len()),
                (0, remarks_expected),
                "{keys}: {obstacles:?} {remarks:?}"
            );
        }
    }
}

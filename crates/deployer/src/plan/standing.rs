//! As whom an action's programs are started.

use super::Action;
use crate::config::{HealthCheck, Phase, Probe};
use crate::process::sandbox::{RunAs, standing_of_command};
use crate::steps::process_manager::Manager;

/// The rule: whose a program is that is started for an action, as part of this phase. None: an older deployer's plan does not say.
///
/// Sandboxed are the commands that make a release: those of a recipe and of the operator up to the migration, and taking those back. Not
/// sandboxed is what comes from the switch on: one that was started sandboxed is so for ever, as is everything that it starts.
/// Asking systemd, uWSGI's emperor or nginx is the deployer's, PM2 is the user's own: it does what any of its applications tells it.
pub fn standing(phase: Option<Phase>, action: &Action) -> RunAs {
    match action {
        Action::Command(_) => phase.map_or(RunAs::Users, standing_of_command),
        Action::Health(HealthCheck { probe: Probe::Command(_), .. })
        | Action::Processes { manager: Manager::Pm2(_), .. } => RunAs::Users,
        Action::Health(HealthCheck { probe: Probe::Http { .. } | Probe::Tcp(_), .. })
        | Action::Processes { manager: Manager::Systemd(_) | Manager::Uwsgi(_), .. }
        | Action::Preflight
        | Action::Fetch
        | Action::Export { .. }
        | Action::UpdateTree { .. }
        | Action::Activate { .. }
        | Action::Deactivate
        | Action::Place(_)
        | Action::Sites(_)
        | Action::Examine(_)
        | Action::SelfUpdate(_)
        | Action::Prune
        | Action::Share { .. }
        | Action::Unshare { .. } => RunAs::Deployers,
    }
}

/// Whether a file of the repository that is a program is read for an action: that is sandboxed, whatever the phase.
pub fn is_evaluated(action: &Action) -> bool {
    matches!(action, Action::Processes { manager: Manager::Pm2(_), .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::CommitId;
    use crate::config::{CommandLine, Privileges};
    use crate::process::command::Command;
    use crate::steps::process_manager::systemd::Units;
    use crate::steps::process_manager::uwsgi::Vassal;
    use crate::steps::process_manager::{ManagerAction, pm2};
    use crate::steps::published_path::Placement;
    use crate::steps::self_update::{self, Program};
    use std::collections::BTreeMap;

    fn command() -> Action {
        Action::Command(Command {
            line: CommandLine::Shell("pm2 reload x".into()),
            directory: "/".into(),
            environment: BTreeMap::new(),
            env_files: Vec::new(),
        })
    }

    /// Every kind of action but a command, and whose it is in every phase.
    fn others() -> Vec<(Action, RunAs)> {
        let health = |probe| {
            let second = std::time::Duration::from_secs(1);
            Action::Health(HealthCheck { probe, timeout: second, interval: second, attempts: 1 })
        };
        let asked = |manager| Action::Processes { manager, action: ManagerAction::Run };
        let units = Units {
            names: Vec::new(),
            reload: false,
            user: false,
            privileges: Privileges::Helper,
            runs_as: None,
            env_files: Vec::new(),
        };
        let vassal = Vassal { config: "/x.ini".into(), source: None, releases: None, runs_as: None };
        let (release, commit) = (|| "1".to_owned(), CommitId::parse(&"1".repeat(40)).unwrap());
        let program = Program {
            release: "/srv/x".into(),
            file: "/srv/x/y".into(),
            configuration: "/etc".into(),
            working_directory: "/".into(),
        };
        let update =
            self_update::SelfUpdate { release: release(), program: program.clone(), health: Vec::new() };
        let http =
            Probe::Http { url: "http://x".into(), status: Vec::new(), body: None, headers: BTreeMap::new() };
        vec![
            (health(Probe::Command(CommandLine::Shell("./check".into()))), RunAs::Users),
            (health(http), RunAs::Deployers),
            (health(Probe::Tcp("x:1".into())), RunAs::Deployers),
            (asked(Manager::Pm2(pm2::sample())), RunAs::Users),
            (asked(Manager::Systemd(units)), RunAs::Deployers),
            (asked(Manager::Uwsgi(vassal)), RunAs::Deployers),
            (Action::Fetch, RunAs::Deployers),
            (Action::Export { release: release(), commit: commit.clone() }, RunAs::Deployers),
            (Action::UpdateTree { commit }, RunAs::Deployers),
            (Action::Activate { release: release() }, RunAs::Deployers),
            (Action::Deactivate, RunAs::Deployers),
            (Action::Place(Placement::Clear { path: "x".into() }), RunAs::Deployers),
            (Action::Examine(program), RunAs::Deployers),
            (Action::SelfUpdate(update), RunAs::Deployers),
            (Action::Prune, RunAs::Deployers),
            (Action::Share { paths: Vec::new() }, RunAs::Deployers),
            (Action::Unshare { paths: Vec::new() }, RunAs::Deployers),
        ]
    }

    #[test]
    fn whose_a_program_is_follows_from_what_it_is_for() {
        let phases = || Phase::ALL.into_iter().map(Some).chain([None]);
        let sandboxed: Vec<Option<Phase>> =
            phases().filter(|phase| standing(*phase, &command()) == RunAs::Sandboxed).collect();
        assert_eq!(sandboxed, [Phase::Fetch, Phase::Install, Phase::Build, Phase::Migrate].map(Some));
        for phase in phases() {
            assert_ne!(standing(phase, &command()), RunAs::Deployers, "a command is never the deployer's");
            for (action, expected) in others() {
                assert_eq!(standing(phase, &action), expected, "{phase:?} {action:?}");
            }
        }
    }
}

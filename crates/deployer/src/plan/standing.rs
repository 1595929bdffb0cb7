//! As whom an action's programs are started.

use super::Action;
use crate::config::{HealthCheck, Phase, Probe};
use crate::process::sandbox_policy::{Standing, standing_of_command};
use crate::steps::process_manager::Manager;

/// The rule: whose a program is that is started for an action, as part of this phase. None: an older deployer's plan does not say.
///
/// Sandboxed are the commands that make a release: those of a recipe and of the operator up to the migration, and taking those back. Not
/// sandboxed is what comes from the switch on: one that was started sandboxed is so for ever, as is everything that it starts.
/// Asking systemd, uWSGI's emperor or nginx is the deployer's, PM2 is the user's own: it does what any of its applications tells it.
pub fn standing(phase: Option<Phase>, action: &Action) -> Standing {
    match action {
        Action::Command(_) => phase.map_or(Standing::Users, standing_of_command),
        Action::Health(HealthCheck { probe: Probe::Command(_), .. })
        | Action::Processes { manager: Manager::Pm2(_), .. } => Standing::Users,
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
        | Action::HandOver(_)
        | Action::Prune
        | Action::Share { .. }
        | Action::Unshare { .. } => Standing::Deployers,
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
    use crate::steps::process_manager::{Wish, pm2};
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
    fn others() -> Vec<(Action, Standing)> {
        let health = |probe| {
            let second = std::time::Duration::from_secs(1);
            Action::Health(HealthCheck { probe, timeout: second, interval: second, attempts: 1 })
        };
        let asked = |manager| Action::Processes { manager, wish: Wish::Run };
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
        let wish = self_update::Wish { release: release(), program: program.clone(), health: Vec::new() };
        let http =
            Probe::Http { url: "http://x".into(), status: Vec::new(), body: None, headers: BTreeMap::new() };
        vec![
            (health(Probe::Command(CommandLine::Shell("./check".into()))), Standing::Users),
            (health(http), Standing::Deployers),
            (health(Probe::Tcp("x:1".into())), Standing::Deployers),
            (asked(Manager::Pm2(pm2::sample())), Standing::Users),
            (asked(Manager::Systemd(units)), Standing::Deployers),
            (asked(Manager::Uwsgi(vassal)), Standing::Deployers),
            (Action::Fetch, Standing::Deployers),
            (Action::Export { release: release(), commit: commit.clone() }, Standing::Deployers),
            (Action::UpdateTree { commit }, Standing::Deployers),
            (Action::Activate { release: release() }, Standing::Deployers),
            (Action::Deactivate, Standing::Deployers),
            (Action::Place(Placement::Clear { path: "x".into() }), Standing::Deployers),
            (Action::Examine(program), Standing::Deployers),
            (Action::HandOver(wish), Standing::Deployers),
            (Action::Prune, Standing::Deployers),
            (Action::Share { paths: Vec::new() }, Standing::Deployers),
            (Action::Unshare { paths: Vec::new() }, Standing::Deployers),
        ]
    }

    #[test]
    fn whose_a_program_is_follows_from_what_it_is_for() {
        let phases = || Phase::ALL.into_iter().map(Some).chain([None]);
        let sandboxed: Vec<Option<Phase>> =
            phases().filter(|phase| standing(*phase, &command()) == Standing::Sandboxed).collect();
        assert_eq!(sandboxed, [Phase::Fetch, Phase::Install, Phase::Build, Phase::Migrate].map(Some));
        for phase in phases() {
            assert_ne!(standing(phase, &command()), Standing::Deployers, "a command is never the deployer's");
            for (action, expected) in others() {
                assert_eq!(standing(phase, &action), expected, "{phase:?} {action:?}");
            }
        }
    }
}

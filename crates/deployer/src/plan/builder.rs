//! What a recipe says, and how it becomes a plan: the release, the switch, the checks and the way back are the same for
//! every recipe, and are planned here.
//!
//! A recipe gives, for any release, a list of [`Part`]s. Those for the new release become the plan's steps. Those for the release
//! that is live become the way back: when the link goes back to it, the parts of the switch (restarts, reloads) are done
//! again, for it, so that what runs is what is linked; in place, the old commit is brought back and built again first. A part
//! can say that it is undone otherwise, or not at all.

use crate::config::{CommandLine, Layout, Moment, Phase, StepCommand};
use crate::plan::facts::{Facts, PlanPurpose, Target};
use crate::plan::{Action, Plan, Step, Undo};
use crate::process::command::Command;
use std::path::Path;
use std::time::Duration;

/// One thing that a recipe does for a release.
#[derive(Debug, Clone)]
pub struct Part {
    pub phase: Phase,
    /// Shown to people.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// How it is undone.
    pub back: UndoneBy,
    /// None: the deployment's `step_timeout`.
    pub timeout: Option<Duration>,
    /// Further attempts after a failure.
    pub retries: u32,
    /// Whether it is done before what is built in of its phase.
    pub early: bool,
}

/// How a part is undone.
#[derive(Debug, Clone)]
pub enum UndoneBy {
    /// Not at all: nothing outside the release was changed, or it cannot be.
    Nothing,
    /// By the same part for the release that was live, once that is live again. Where none was: by this, if by anything.
    Again(Option<Action>),
    /// By this, before the link goes back.
    By(Action),
}

/// Further attempts of an installation: registries fail now and then, and what a lock file has wrong fails quickly.
pub const INSTALL_RETRIES: u32 = 2;

/// The order in which most recipes want their phases.
pub const ORDER: [Phase; 7] = Phase::ALL;

/// For packages whose build asks the migrated database.
pub const MIGRATION_FIRST: [Phase; 7] =
    [Phase::Fetch, Phase::Install, Phase::Migrate, Phase::Build, Phase::Switch, Phase::Verify, Phase::Clean];

impl Part {
    /// A part that is done again for the release that is gone back to.
    pub fn new(phase: Phase, name: impl Into<String>, action: Action) -> Self {
        Self {
            phase,
            name: name.into(),
            action,
            back: UndoneBy::Again(None),
            timeout: None,
            retries: 0,
            early: false,
        }
    }

    /// What must be so before anything that is live changes, and need not be undone: with the build, or, in a rollback that builds
    /// nothing, as the first of the switch.
    pub fn beforehand(facts: &Facts<'_>, name: &str, action: Action) -> Self {
        let early = is_ready_made(facts);
        let phase = if early { Phase::Switch } else { Phase::Build };
        Self { early, ..Self::new(phase, name, action).undone_by(UndoneBy::Nothing) }
    }

    /// The same part, undone in this way.
    pub fn undone_by(self, back: UndoneBy) -> Self {
        Self { back, ..self }
    }

    /// The same part, attempted again after a failure.
    pub fn retried(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// A program that a recipe calls, with the deployment's environment files. What the operator says of a variable wins.
    pub fn of_program<const NUMBER: usize>(
        facts: &Facts<'_>,
        phase: Phase,
        name: &str,
        line: CommandLine,
        directory: &Path,
        environment: [(&str, String); NUMBER],
    ) -> Self {
        let deployment = facts.deployment;
        let ours = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
        let command = Command {
            line,
            directory: directory.to_owned(),
            environment: ours.filter(|(name, _)| !deployment.environment.contains_key(name)).collect(),
            env_files: deployment.env_files.clone(),
        };
        Self::new(phase, name, Action::Command(command))
    }

    /// A command of the operator's.
    pub fn of_command(facts: &Facts<'_>, command: &StepCommand, release: &Target) -> Self {
        let back = match &command.undo {
            None => UndoneBy::Again(None),
            Some(line) => {
                // It undoes what was done for the new release, so that is what it hears of.
                let mut undo = Command { line: line.clone(), ..self::command(facts, command, &facts.target) };
                let own = std::mem::take(&mut undo.environment);
                undo.environment = facts.environment(&facts.target, facts.live.as_ref());
                undo.environment.extend(own);
                UndoneBy::By(Action::Command(undo))
            }
        };
        Self {
            phase: command.phase,
            name: command.name.clone(),
            action: Action::Command(self::command(facts, command, release)),
            back,
            timeout: command.timeout,
            retries: command.retries,
            early: false,
        }
    }
}

/// The plan of a recipe that gives these parts for a release, and wants its phases in this order.
pub fn plan(
    facts: &Facts<'_>,
    order: [Phase; 7],
    switch: (&'static str, Action),
    parts: &dyn Fn(&Target) -> Vec<Part>,
) -> Plan {
    let forward = parts(&facts.target);
    let back = facts.live.as_ref().map(parts).unwrap_or_default();
    let way_back = WayBack { facts, forward: &forward, back: &back, switch };
    let phases = order.into_iter().filter(|phase| is_needed(facts, *phase));
    let steps = phases.flat_map(|phase| phase_steps(facts, &forward, &way_back, phase)).collect();
    let on_failure = &facts.deployment.hooks.on_failure;
    Plan {
        version: crate::plan::version(),
        steps_before: None,
        steps,
        on_failure: on_failure.iter().map(|command| self::command(facts, command, &facts.target)).collect(),
        environment: facts.environment(&facts.target, facts.live.as_ref()),
        // Nothing to go back to: what there is to know is what was to be deployed.
        environment_before: facts.environment(facts.live.as_ref().unwrap_or(&facts.target), None),
        inputs: None,
        user: facts.deployment.user.clone(),
    }
}

/// A rollback to a release that lies there needs no install and no build, and never migrates.
fn is_needed(facts: &Facts<'_>, phase: Phase) -> bool {
    match phase {
        Phase::Fetch | Phase::Install | Phase::Build => !is_ready_made(facts),
        Phase::Migrate | Phase::Clean => facts.purpose != PlanPurpose::Rollback,
        Phase::Switch | Phase::Verify => true,
    }
}

fn is_ready_made(facts: &Facts<'_>) -> bool {
    facts.purpose == PlanPurpose::Rollback && facts.layout == Layout::Releases
}

/// Hooks before, the recipe's early parts, what is built in, its other parts, hooks after.
fn phase_steps(facts: &Facts<'_>, parts: &[Part], way_back: &WayBack<'_>, phase: Phase) -> Vec<Step> {
    let hooks = |moment| {
        let hooks = facts.deployment.hooks.around.iter();
        let hooks = hooks.filter(move |hook| hook.phase == phase && hook.moment == moment);
        hooks.map(move |hook| {
            let part = Part::of_command(facts, &hook.command, &facts.target);
            own_step(facts, &Part { phase, ..part })
        })
    };
    // What a check asks for must have been started by then; what is cleaned up must no longer be needed.
    let all_early = matches!(phase, Phase::Verify | Phase::Clean);
    let own = parts.iter().filter(|part| part.phase == phase);
    let (early, late): (Vec<&Part>, Vec<&Part>) = own.partition(|part| all_early || part.early);
    let mut steps: Vec<Step> = hooks(Moment::Before).collect();
    steps.extend(early.into_iter().map(|part| own_step(facts, part)));
    steps.extend(built_in(facts, way_back, phase));
    steps.extend(late.into_iter().map(|part| own_step(facts, part)));
    steps.extend(hooks(Moment::After));
    steps
}

/// What the deployer itself does in a phase.
fn built_in(facts: &Facts<'_>, way_back: &WayBack<'_>, phase: Phase) -> Vec<Step> {
    let target = &facts.target;
    let releases = facts.layout == Layout::Releases;
    let step = |name, action, undo| step(facts, phase, name, action, undo);
    match phase {
        Phase::Fetch if releases => {
            let action = Action::Export { release: target.release.clone(), commit: target.commit.clone() };
            vec![step("export", action, Vec::new())]
        }
        Phase::Fetch => {
            let action = Action::UpdateTree { commit: target.commit.clone() };
            vec![step("update-tree", action, way_back.in_place())]
        }
        Phase::Switch if releases => {
            let (name, action) = way_back.switch.clone();
            vec![step(name, action, way_back.by_link())]
        }
        // Asked before the new program is let go on alone: afterwards there is nobody who could undo it.
        Phase::Verify if matches!(way_back.switch.1, Action::SelfUpdate(_)) => Vec::new(),
        Phase::Verify => {
            let checks = facts.deployment.health.iter();
            checks.map(|check| step("health", Action::Health(check.clone()), Vec::new())).collect()
        }
        Phase::Clean if releases => vec![step("prune", Action::Prune, Vec::new())],
        _ => Vec::new(),
    }
}

/// What takes a release back as a whole.
struct WayBack<'a> {
    facts: &'a Facts<'a>,
    /// The parts of the release that is to be live.
    forward: &'a [Part],
    /// The parts of the one that is.
    back: &'a [Part],
    /// The step that makes the new release the live one.
    switch: (&'static str, Action),
}

impl WayBack<'_> {
    /// The link, then whatever makes the running program follow it. Where nothing was live, what runs is stopped first.
    fn by_link(&self) -> Vec<Undo> {
        let always = |action| Undo::always(Phase::Switch, action);
        match &self.facts.live {
            // A work tree that is being adopted: what follows no link is started again where it stands.
            Some(live) if live.directory == self.facts.deployment.path => {
                std::iter::once(always(Action::Deactivate)).chain(self.again(Phase::Switch, None)).collect()
            }
            Some(live) => std::iter::once(always(Action::Activate { release: live.release.clone() }))
                .chain(self.again(Phase::Switch, None))
                .collect(),
            None => self.stop(None).chain([always(Action::Deactivate)]).collect(),
        }
    }

    /// The old commit, built again, and restarted if the new one had been.
    fn in_place(&self) -> Vec<Undo> {
        let switched = Some(Phase::Switch);
        let Some(live) = &self.facts.live else { return self.stop(switched).collect() };
        let tree = Undo::always(Phase::Fetch, Action::UpdateTree { commit: live.commit.clone() });
        // What was not begun is as it was.
        std::iter::once(tree)
            .chain(self.again(Phase::Install, Some(Phase::Install)))
            .chain(self.again(Phase::Build, Some(Phase::Build)))
            .chain(self.again(Phase::Switch, switched))
            .collect()
    }

    /// The parts of a phase once more, for the release that was live.
    fn again(&self, phase: Phase, if_started: Option<Phase>) -> impl Iterator<Item = Undo> {
        let parts = self.back.iter().filter(move |part| part.phase == phase);
        let parts = parts.filter(|part| matches!(part.back, UndoneBy::Again(_)));
        parts.map(move |part| Undo {
            action: part.action.clone(),
            if_started,
            phase: Some(phase),
            timeout: part.timeout,
            retries: part.retries,
        })
    }

    /// What was started for a release that follows none, the last one first.
    fn stop(&self, if_started: Option<Phase>) -> impl Iterator<Item = Undo> {
        self.forward.iter().rev().filter_map(move |part| match &part.back {
            UndoneBy::Again(Some(action)) if part.phase == Phase::Switch => {
                Some(Undo::always(Phase::Switch, action.clone()).if_started(if_started))
            }
            _ => None,
        })
    }
}

fn own_step(facts: &Facts<'_>, part: &Part) -> Step {
    let undo = match &part.back {
        UndoneBy::By(action) => {
            vec![Undo { timeout: part.timeout, ..Undo::always(part.phase, action.clone()) }]
        }
        UndoneBy::Nothing | UndoneBy::Again(_) => Vec::new(),
    };
    let step = step(facts, part.phase, &part.name, part.action.clone(), undo);
    Step { timeout: part.timeout.unwrap_or(step.timeout), retries: part.retries, ..step }
}

fn step(facts: &Facts<'_>, phase: Phase, name: &str, action: Action, undo: Vec<Undo>) -> Step {
    let timeout = match &action {
        // Its own attempts and intervals bound it; this is the belt.
        Action::Health(check) => (check.timeout + check.interval) * check.attempts + Duration::from_secs(5),
        _ => facts.deployment.step_timeout,
    };
    Step { phase, name: name.to_owned(), action, undo, timeout, retries: 0 }
}

/// An operator's command for a release.
fn command(facts: &Facts<'_>, command: &StepCommand, release: &Target) -> Command {
    let directory = match &command.directory {
        Some(directory) => release.directory.join(directory),
        None => release.directory.clone(),
    };
    Command {
        line: command.run.clone(),
        directory,
        environment: command.environment.clone(),
        env_files: facts.deployment.env_files.iter().chain(&command.env_files).cloned().collect(),
    }
}

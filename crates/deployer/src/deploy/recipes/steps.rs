//! `steps`: the operator's own commands around what every deployment needs: a release, a switch, checks, and a way back.
//!
//! With no commands at all the release is the repository's content.
//!
//! Taking back is planned here too. When the link goes back to the old release, the commands of the switch
//! phase (restarts, reloads) are run again, there, so that what runs is what is linked; in place, the old commit is
//! brought back and built again first. A command with an `undo` of its own is taken back by that.

use super::{Facts, Purpose, Target};
use crate::config::{Layout, Moment, Phase, StepCommand, Steps};
use crate::deploy::plan::{Action, Command, Plan, Step, Undo};
use std::time::Duration;

/// The plan; see the module.
pub fn plan(facts: &Facts<'_>, recipe: &Steps) -> Plan {
    let steps = phases(facts).flat_map(|phase| phase_steps(facts, recipe, phase)).collect();
    let environment_before = match &facts.live {
        Some(live) => facts.environment(live, None),
        // Nothing to go back to: what there is to know is what was to be deployed.
        None => facts.environment(&facts.target, None),
    };
    Plan {
        steps,
        on_failure: recipe
            .on_failure
            .iter()
            .map(|command| self::command(facts, command, &facts.target))
            .collect(),
        environment: facts.environment(&facts.target, facts.live.as_ref()),
        environment_before,
    }
}

/// A rollback to a release that lies there needs no install and no build, and never migrates.
fn phases(facts: &Facts<'_>) -> impl Iterator<Item = Phase> {
    let ready_made = facts.purpose == Purpose::Rollback && facts.layout == Layout::Releases;
    let back = facts.purpose == Purpose::Rollback;
    Phase::ALL.into_iter().filter(move |phase| match phase {
        Phase::Fetch | Phase::Install | Phase::Build => !ready_made,
        Phase::Migrate | Phase::Clean => !back,
        Phase::Switch | Phase::Verify => true,
    })
}

/// Hooks before, what is built in, the operator's commands, hooks after.
fn phase_steps(facts: &Facts<'_>, recipe: &Steps, phase: Phase) -> Vec<Step> {
    let hooks = |moment| {
        let hooks = recipe.hooks.iter().filter(move |hook| hook.phase == phase && hook.moment == moment);
        hooks.map(move |hook| command_step(facts, phase, &hook.command))
    };
    let commands = recipe.steps.iter().filter(|step| step.phase == phase);
    let commands = commands.map(|step| command_step(facts, phase, step));
    let mut steps: Vec<Step> = hooks(Moment::Before).collect();
    match phase {
        // What a check asks for must have been started by then; what is cleaned up must no longer be needed.
        Phase::Verify | Phase::Clean => {
            steps.extend(commands);
            steps.extend(built_in(facts, recipe, phase));
        }
        _ => {
            steps.extend(built_in(facts, recipe, phase));
            steps.extend(commands);
        }
    }
    steps.extend(hooks(Moment::After));
    steps
}

/// What the deployer itself does in a phase.
fn built_in(facts: &Facts<'_>, recipe: &Steps, phase: Phase) -> Vec<Step> {
    let target = &facts.target;
    let releases = facts.layout == Layout::Releases;
    match phase {
        Phase::Fetch if releases => {
            let action = Action::Export { release: target.release.clone(), commit: target.commit.clone() };
            vec![step(facts, phase, "export", action, Vec::new())]
        }
        Phase::Fetch => {
            let action = Action::UpdateTree { commit: target.commit.clone() };
            vec![step(facts, phase, "update-tree", action, rebuild_before(facts, recipe))]
        }
        Phase::Switch if releases => {
            let action = Action::Activate { release: target.release.clone() };
            vec![step(facts, phase, "activate", action, back_to_before(facts, recipe))]
        }
        Phase::Verify => {
            let checks = facts.deployment.health.iter();
            checks
                .map(|check| step(facts, phase, "health", Action::Health(check.clone()), Vec::new()))
                .collect()
        }
        Phase::Clean if releases => vec![step(facts, phase, "prune", Action::Prune, Vec::new())],
        _ => Vec::new(),
    }
}

/// Takes the switch back: the link, then whatever makes the running program follow it.
fn back_to_before(facts: &Facts<'_>, recipe: &Steps) -> Vec<Undo> {
    let Some(live) = &facts.live else { return vec![Undo { action: Action::Deactivate, if_started: None }] };
    let link = Undo { action: Action::Activate { release: live.release.clone() }, if_started: None };
    std::iter::once(link).chain(again(facts, recipe, &[Phase::Switch], live, None)).collect()
}

/// Takes a change in place back: the old commit, built again, and restarted if the new one had been.
fn rebuild_before(facts: &Facts<'_>, recipe: &Steps) -> Vec<Undo> {
    let Some(live) = &facts.live else { return Vec::new() };
    let tree = Undo { action: Action::UpdateTree { commit: live.commit.clone() }, if_started: None };
    std::iter::once(tree)
        .chain(again(facts, recipe, &[Phase::Install, Phase::Build], live, None))
        .chain(again(facts, recipe, &[Phase::Switch], live, Some(Phase::Switch)))
        .collect()
}

/// The commands of some phases once more, for the release that was live.
fn again<'a>(
    facts: &'a Facts<'_>,
    recipe: &'a Steps,
    phases: &'a [Phase],
    live: &'a Target,
    if_started: Option<Phase>,
) -> impl Iterator<Item = Undo> + 'a {
    let commands = recipe.steps.iter().filter(|step| phases.contains(&step.phase) && step.undo.is_none());
    commands.map(move |step| Undo { action: Action::Command(command(facts, step, live)), if_started })
}

fn command_step(facts: &Facts<'_>, phase: Phase, command: &StepCommand) -> Step {
    let undo = command.undo.iter().map(|line| {
        // It takes back what was done for the new release, so that is what it hears of.
        let mut undo = Command { line: line.clone(), ..self::command(facts, command, &facts.target) };
        let own = std::mem::take(&mut undo.environment);
        undo.environment = facts.environment(&facts.target, facts.live.as_ref());
        undo.environment.extend(own);
        Undo { action: Action::Command(undo), if_started: None }
    });
    let mut step = step(
        facts,
        phase,
        &command.name,
        Action::Command(self::command(facts, command, &facts.target)),
        undo.collect(),
    );
    step.timeout = command.timeout.unwrap_or(facts.deployment.step_timeout);
    step.retries = command.retries;
    step
}

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

fn step(facts: &Facts<'_>, phase: Phase, name: &str, action: Action, undo: Vec<Undo>) -> Step {
    let timeout = match &action {
        // Its own attempts and intervals bound it; this is the belt.
        Action::Health(check) => (check.timeout + check.interval) * check.attempts + Duration::from_secs(5),
        _ => facts.deployment.step_timeout,
    };
    Step { phase, name: name.to_owned(), action, undo, timeout, retries: 0 }
}

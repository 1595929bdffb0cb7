//! Taking a run back: the undo of each step that was started, the last one first.
//!
//! It goes on without the database, is not cancelled, and is not bound by the run's deadline. It may be repeated from the beginning
//! (`pipeline::recovery` does so after a crash).

use super::{Bounds, Failure, Recording, Run, bare_step, named, recorded};
use crate::config::Phase;
use crate::plan::{Action, Plan, Step};
use crate::process::command::Command;
use crate::store::{Direction, ReleaseState};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a step of undoing waits for the database before it goes on unrecorded.
const UNDO_RECORD_WAIT: Duration = Duration::from_secs(2);

impl Run {
    /// Takes back what was started, in reverse, and tells the operator's `on_failure` commands.
    pub async fn take_back(&mut self, plan: &Plan, started: &[usize], mut failure: Failure) -> Failure {
        self.note(self.next_step, format!("failed: {}", failure.cause));
        failure.has_switched = started.iter().any(|index| plan.steps[*index].phase == Phase::Switch);
        let unfinished = self.undo(plan, started).await;
        crate::failpoint!("taken-back");
        if !unfinished.is_empty() {
            failure = failure.not_undone(&unfinished);
        }
        let environment = plan.environment.clone();
        let told = [("DEPLOYER_CAUSE".to_owned(), failure.cause.clone())];
        for command in &plan.on_failure {
            let command = Command {
                environment: command.environment.clone().into_iter().chain(told.clone()).collect(),
                ..command.clone()
            };
            let number = self.next_step;
            let action = Action::Command(command);
            let step =
                Step { name: "on-failure".into(), action, ..bare_step(&self.deployment, Phase::Clean) };
            if let Err(problem) = self.undo_step(&step, None, Some(step.phase), &environment).await {
                self.note(number, format!("on_failure: {}", problem.cause));
            }
        }
        failure
    }

    /// Runs the undo of each started step, given by their indices in the plan, the last one first. Returns what could not be undone; then nobody can say that
    /// what was live still is, and the database does not, until a run has succeeded again.
    pub async fn undo(&mut self, plan: &Plan, started: &[usize]) -> Vec<String> {
        let mut unfinished = Vec::new();
        let phases: Vec<Phase> = started.iter().map(|index| plan.steps[*index].phase).collect();
        for index in started.iter().rev() {
            let step = &plan.steps[*index];
            for undo in &step.undo {
                if undo.if_started.is_some_and(|phase| !phases.contains(&phase)) {
                    continue;
                }
                let bare = bare_step(&self.deployment, step.phase);
                let undo_step = Step {
                    action: undo.action.clone(),
                    name: step.name.clone(),
                    timeout: undo.timeout.unwrap_or(bare.timeout),
                    retries: undo.retries,
                    ..bare
                };
                let undone =
                    self.undo_step(&undo_step, Some(*index), undo.phase, &plan.environment_before).await;
                if let Err(failure) = undone {
                    unfinished.push(failure.cause);
                    // What follows would be done to the new files as if they were the old ones.
                    if matches!(undo.action, Action::Activate { .. } | Action::UpdateTree { .. }) {
                        break;
                    }
                }
            }
        }
        if !unfinished.is_empty() {
            self.doubt_what_is_live().await;
        }
        unfinished
    }

    /// Notes that nobody can say that what is live is what the release says, until a run has succeeded again.
    pub async fn doubt_what_is_live(&self) {
        let (store, slug) = (&self.host.store, self.deployment.slug.as_str());
        let doubt = || async {
            let Some(live) = store.live_release(slug).await? else { return Ok(()) };
            store.set_release_state(slug, &live.name, ReleaseState::Good, None).await
        };
        if let Err(error) = recorded(UNDO_RECORD_WAIT, "what is live", doubt).await {
            tracing::error!(run = self.id, %error, "cannot record that nobody knows what is live");
        }
    }

    /// One step of undoing: neither cancelled nor bound by the run's deadline, and not dependent on the database. `phase` is that of
    /// the undo's action; `step.phase` that of the step that is undone.
    async fn undo_step(
        &mut self,
        step: &Step,
        plan_index: Option<usize>,
        phase: Option<Phase>,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let recording =
            match self.start_step_within(step, plan_index, Direction::Undo, UNDO_RECORD_WAIT).await {
                Ok(recording) => recording,
                Err(failure) => {
                    tracing::error!(
                        run = self.id,
                        cause = failure.cause,
                        "undoing without a record in the database"
                    );
                    Recording { number: self.next_step, direction: Direction::Undo, wait: Duration::ZERO }
                }
            };
        let never = CancellationToken::new();
        let bounds = Bounds { ends_at: None, cancel: &never };
        let result = self.attempts(step, phase, environment, recording.number, bounds).await;
        let result = result.map_err(|failure| named(step, failure));
        if let Err(failure) = self.end_step(&recording, &result).await {
            tracing::error!(run = self.id, cause = failure.cause, "undone without a record in the database");
        }
        result
    }
}

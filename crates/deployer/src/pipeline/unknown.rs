//! What an operator is asked where nobody knows what is live: an interrupted run whose plan this program cannot read.

use crate::base::words::step_title;
use crate::plan::UnreadablePlan;
use crate::store::{Direction, Release, ReleaseState, Run, RunState, Step, StepState};

/// Releases that are named: those that could be live, of which a deployment keeps a few.
const RELEASES_MAX: usize = 5;

/// One line that says what is known, and a hint that says how to go on: the cause of a run in [`RunState::Unknown`].
pub fn question(run: &Run, steps: &[Step], releases: &[Release], unreadable: &UnreadablePlan) -> String {
    let begun: Vec<String> = steps.iter().map(described).collect();
    let begun = if begun.is_empty() { "no step".to_owned() } else { begun.join(", ") };
    let known: Vec<String> = releases.iter().filter_map(|release| named(run, release)).collect();
    let more = known.len().saturating_sub(RELEASES_MAX);
    let mut known: Vec<String> = known.into_iter().take(RELEASES_MAX).collect();
    if more > 0 {
        known.push(format!("{more} more"));
    }
    let known = if known.is_empty() { "no release".to_owned() } else { known.join(", ") };
    format!(
        "what is live is unknown: run {id} was interrupted, and its plan cannot be read ({unreadable}), so nothing was undone; recorded are {begun}; and {known}\n\
         hint: the version of durhack-deployer that began the run recovers it; or look at what is served, give the run up as it is with `durhack-deployer cancel {id}`, and then `durhack-deployer deploy {slug}`, or `durhack-deployer rollback {slug} --to RELEASE`",
        id = run.id,
        slug = run.deployment,
    )
}

/// The question that a deployment waits with, if it does.
pub fn of_runs(unfinished: &[Run]) -> Option<&Run> {
    unfinished.iter().find(|run| run.state == RunState::Unknown)
}

fn described(step: &Step) -> String {
    let undo = if step.direction == Direction::Undo { "undo " } else { "" };
    let state = match step.state {
        StepState::Started | StepState::Unknown => "may have happened",
        StepState::Succeeded => "succeeded",
        StepState::Failed => "failed",
        StepState::Skipped => "was skipped",
    };
    format!("{undo}{} {state}", step_title(&step.phase, &step.name))
}

/// A release that lies there, and what it was when the run began.
fn named(run: &Run, release: &Release) -> Option<String> {
    let what = match release.state {
        ReleaseState::Live => "live before",
        ReleaseState::Good => "was live earlier",
        ReleaseState::Building if run.release.as_ref() == Some(&release.name) => "being made by it",
        ReleaseState::Building | ReleaseState::Failed | ReleaseState::Removed => return None,
    };
    Some(format!("release {} ({what})", release.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::store::{FaultClass, RunTrigger};

    fn a_run() -> Run {
        Run {
            id: "0197".into(),
            deployment: "site".into(),
            repository: "acme/site".into(),
            branch: "main".into(),
            commit_id: Some("a".repeat(40)),
            previous_commit: None,
            attempt: 1,
            trigger: RunTrigger::Delivery,
            requested_by: String::new(),
            entry: String::new(),
            delivery_id: None,
            state: RunState::Running,
            fault: None::<FaultClass>,
            cause: None,
            summary: None,
            plan: None,
            release: Some("two".into()),
            created_at_ms: 0,
            started_at_ms: None,
            ended_at_ms: None,
            pid: 1,
            boot_id: String::new(),
            mac: None,
            fault_mac: None,
        }
    }

    fn a_step(number: u32, phase: &str, name: &str, state: StepState) -> Step {
        Step {
            run_id: "0197".into(),
            number,
            plan_index: None,
            direction: Direction::Do,
            phase: phase.into(),
            name: name.into(),
            command: None,
            state,
            detail: None,
            started_at_ms: 0,
            ended_at_ms: None,
            cause: None,
            mac: None,
            plan_index_mac: None,
        }
    }

    #[test]
    fn the_question_names_what_is_known_and_how_to_go_on() {
        let release = |name: &str, state| Release {
            deployment: "site".into(),
            name: name.into(),
            path: String::new(),
            commit_id: "b".repeat(40),
            run_id: String::new(),
            state,
            created_at_ms: 0,
            live_at_ms: None,
            bytes: None,
            mac: None,
        };
        let newer = Plan::read(r#"{"version": 3}"#).unwrap_err();
        let steps = [
            a_step(1, "fetch", "fetch", StepState::Succeeded),
            a_step(2, "switch", "activate", StepState::Unknown),
        ];
        let releases = [
            release("one", ReleaseState::Live),
            release("two", ReleaseState::Building),
            release("gone", ReleaseState::Removed),
        ];
        insta::assert_snapshot!(question(&a_run(), &steps, &releases, &newer), @"
        what is live is unknown: run 0197 was interrupted, and its plan cannot be read (it is of version 3, and this program reads plans up to version 2), so nothing was undone; recorded are fetch succeeded, switch activate may have happened; and release one (live before), release two (being made by it)
        hint: the version of durhack-deployer that began the run recovers it; or look at what is served, give the run up as it is with `durhack-deployer cancel 0197`, and then `durhack-deployer deploy site`, or `durhack-deployer rollback site --to RELEASE`
        ");
        let bare = question(&a_run(), &[], &[], &newer);
        assert!(bare.contains("recorded are no step; and no release\nhint: "), "{bare}");
    }
}

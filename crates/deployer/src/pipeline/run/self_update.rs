//! The two sides of a self-update within a run: making room for the new deployer, and carrying on as that one.

use super::{Failure, Run, named, record_gone};
use crate::plan::{Plan, Step};
use crate::steps::self_update::{self, Pending, SelfUpdateRequest};
use crate::store::Direction;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

impl Run {
    /// Waits until no other run is in progress: a self-update interrupts nobody. The step stays open.
    pub(super) async fn make_room(
        &mut self,
        index: usize,
        step: &Step,
        update: &self_update::SelfUpdate,
    ) -> Result<(SelfUpdateRequest, OwnedSemaphorePermit), Failure> {
        let ends_at = self.ends_at.min(Instant::now() + step.timeout);
        let recording = self.start_step(step, Some(index), Direction::Do).await?;
        let others = u32::try_from(self.host.config.runs.parallel_max).unwrap_or(u32::MAX) - 1;
        if self.host.slots.available_permits() < others as usize {
            self.note(recording.number, "waiting for the runs of other deployments to end");
        }
        let result = tokio::select! {
            () = self.cancel.cancelled() => Err(Failure::cancelled()),
            () = tokio::time::sleep_until(ends_at) => {
                Err(Failure::of_host("the runs of other deployments did not end in time"))
            }
            permits = Arc::clone(&self.host.slots).acquire_many_owned(others) => {
                Ok(permits.expect("the semaphore is never closed"))
            }
        };
        let schema = self.host.store.applied_versions().await.map_err(record_gone);
        let result = result.and_then(|permits| Ok((permits, schema?)));
        let result = result.map_err(|failure| named(step, failure));
        if result.is_err() {
            self.end_step(&recording, &result).await?;
        }
        let (permits, schema) = result?;
        let pending = Pending {
            deployment: self.deployment.slug.to_string(),
            run: self.id.clone(),
            program: update.program.clone(),
            schema,
            refused: None,
        };
        Ok((SelfUpdateRequest { pending, planned: update.clone(), step: recording.number, ends_at }, permits))
    }

    /// Carries out what follows a self-update, as the replacement that is in charge now. Nobody could undo it: what fails is said.
    pub async fn carry_on(&mut self, plan: &Plan, rest: &[usize]) -> Vec<String> {
        let mut warnings = Vec::new();
        for index in rest {
            if let Err(failure) = self.step(*index, plan).await {
                warnings.push(failure.cause);
            }
        }
        warnings
    }
}

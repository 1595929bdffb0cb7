//! What a deploy would do now. The mirror is brought up to date (it is a cache), and nothing else is touched.

use super::{gates, preflight, run};
use crate::base::names::CommitId;
use crate::config::Layout;
use crate::git::mirror::Commit;
use crate::pipeline::context::{Host, HostedDeployment};
use crate::pipeline::live_state::{self, LiveState};
use crate::plan::facts::{PlanPurpose, Target};
use crate::plan::{Step, recipes};
use crate::process::command::Command;
use crate::steps::tree_in_place;
use crate::store::comparison::Comparison;
use anyhow::{Context, Result};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// A plan that is not carried out.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// What is live.
    pub live: Option<CommitId>,
    /// What would be deployed.
    pub commit: CommitId,
    /// The first line of its message.
    pub message: String,
    /// Why a push of it would do nothing, if so.
    pub nothing_to_do: Option<String>,
    /// For what a push of it would have to wait, or why it would be refused.
    pub held: Option<String>,
    /// What a run could not do now, because something is missing on this host.
    pub obstacles: Vec<String>,
    /// What a release of it would lack, or what of the configuration has no effect on it.
    pub remarks: Vec<String>,
    /// Against what is live; None where nothing is, or the mirror does not have it.
    pub changed_paths: Option<Vec<String>>,
    pub steps: Vec<Planned>,
    /// Run if it fails.
    pub on_failure: Vec<Command>,
}

/// A step of it, as the run that carries it out will record it.
#[derive(Debug, Serialize)]
pub struct Planned {
    #[serde(flatten)]
    pub step: Step,
    /// What is done, in one line.
    pub command: String,
}

impl From<Step> for Planned {
    fn from(step: Step) -> Self {
        Self { command: step.action.shown(), step }
    }
}

/// What a deploy of the branch's head, or of one commit, would do now.
pub async fn preview(hosted: HostedDeployment<'_>, commit: Option<&CommitId>) -> Result<Preview> {
    let HostedDeployment { host, deployment } = hosted;

    let mirror = host.mirror(deployment);
    let never = CancellationToken::new();
    let head = mirror
        .fetch(&deployment.branch, commit, deployment.step_timeout, &never)
        .await
        .context("cannot fetch")?;
    Comparison::answered(&host.config.state_directory, &deployment.slug);
    let LiveState { layout, target: live, .. } = live_state::look_up(hosted).await?;
    let Host { executor, config, .. } = host;
    let seen = preflight::look(executor, config, deployment, layout, &never).await;
    let of_units = preflight::walls::of_units(executor, config, deployment, &never).await;
    let mut preview = of(hosted, head, (layout, live)).await?;
    for obstacle in seen.obstacles.into_iter().chain(of_units) {
        if !preview.obstacles.contains(&obstacle) {
            preview.obstacles.push(obstacle);
        }
    }
    preview.remarks.extend(seen.remarks);
    if layout == Layout::InPlace {
        preview.remarks.extend(overwritten(hosted, &preview.commit).await);
    }
    Ok(preview)
}

/// Says which files of a tree in place were changed on this host and would not outlive a deploy of the commit.
async fn overwritten(hosted: HostedDeployment<'_>, commit: &CommitId) -> Option<String> {
    let HostedDeployment { host, deployment } = hosted;

    let mirror = host.mirror(deployment);
    let look = async {
        // What git remembers of the tree is a run's to change.
        let aside = tempfile::tempdir()?;
        let index = aside.path().join("index");
        match fs_err::copy(
            tree_in_place::index(&host.config.state_directory, &deployment.slug, "tree"),
            &index,
        ) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tree_in_place::assume(&mirror, &deployment.path, &index).await?;
            }
            copied => drop(copied?),
        }
        tree_in_place::changed_here(&mirror, &deployment.path, &index, commit).await
    };
    match look.await {
        Ok(changed) if changed.is_empty() => None,
        Ok(changed) => {
            let names: Vec<_> = changed.iter().map(|file| file.display().to_string()).collect();
            Some(format!(
                "changed on this host, and overwritten or removed by the commit: {}; copies are kept then",
                names.join(", ")
            ))
        }
        Err(error) => Some(format!("whether files were changed by hand cannot be seen: {error:#}")),
    }
}

/// What a deploy of a commit would do where the path is laid out like this, and this is live.
pub async fn of(
    hosted: HostedDeployment<'_>,
    head: Commit,
    (layout, live): (Layout, Option<Target>),
) -> Result<Preview> {
    let HostedDeployment { host, deployment } = hosted;

    let mirror = host.mirror(deployment);
    let changed_paths = match &live {
        Some(live) => mirror.changed_paths(&live.commit, &head.id).await,
        None => None,
    };
    let target = live_state::new_target(deployment, layout, &head.id);
    let live_commit = live.as_ref().map(|live| live.commit.clone());
    let known = live_state::known(&mirror, deployment, &head.id).await?;
    let mut remarks = preflight::remarks(&mirror, deployment, &known.tree, &head.id).await?;
    if layout == Layout::Releases {
        remarks.extend(preflight::hidden_by_shared(deployment, &known.tree).await);
    }
    let facts = live_state::facts(hosted, &known, (layout, live), ("preview", target, PlanPurpose::Deploy));
    let plan = recipes::plan(&facts);
    let never = CancellationToken::new();
    let of_plan = preflight::programs_of_plan(&host.executor, &host.config, deployment, &plan, &never).await;
    let same_inputs = live_state::same_inputs(host, &facts, &plan).await?;
    let nothing_to_do =
        live_state::nothing_to_do(deployment, &mirror, &head, facts.live.as_ref(), same_inputs)
            .await
            .map(|(_, sentence)| sentence);
    let is_first = gates::is_first_after_the_move(hosted).await?;
    let nothing_to_do = nothing_to_do.filter(|_| !is_first);
    let answers = host.store.answers(deployment.slug.as_str()).await?;
    let decision = gates::ask(hosted, &head.id, &answers, gates::Asker::Nobody).await?;
    let held = decision.sentence(&deployment.slug, &deployment.gates, &head.id);
    let first = [run::preflight_step(deployment), run::fetch_step(deployment)];
    let steps = first.into_iter().chain(plan.steps).map(Planned::from).collect();
    let message = head.message.lines().next().unwrap_or_default().to_owned();
    Ok(Preview {
        live: live_commit,
        commit: head.id,
        message,
        nothing_to_do,
        held,
        obstacles: of_plan.obstacles,
        remarks,
        changed_paths,
        steps,
        on_failure: plan.on_failure,
    })
}

//! What is live, what would be next, and whether there is anything to do: the questions before a run.

use crate::base::files::safe_path::{self, Refused};
use crate::base::names::CommitId;
use crate::config::{Deployment, Layout};
use crate::git::commit_tree::{Tree, globs};
use crate::git::mirror::{Commit, Mirror};
use crate::pipeline::context::{Host, HostedDeployment};
use crate::plan::facts::{Facts, PlanPurpose, Target};
use crate::plan::{Plan, input_digest, recipes};
use crate::steps::release;
use crate::store::{self, ReleaseState, StoreError, VerdictCode};
use anyhow::Result;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Of a shared file, as much as is read to find out whether it has changed. What is larger holds data, not settings.
const COMPARED_BYTES_MAX: u64 = 1024 * 1024;

/// How long all of them may take: one after the other, on a slow disk.
const DIGEST_MAX: Duration = Duration::from_secs(30);

/// The words in a commit's message that keep it from being deployed.
const SKIP_MARKS: [&str; 2] = ["[skip deploy]", "[deploy skip]"];

/// The release that a work tree is before the database knows of one: nobody can say that its last build succeeded.
const UNRECORDED: &str = "in-place";

/// The name under which `adopt` records the work tree that it has found, before it makes the first release beside it.
pub fn name_of_found_tree(first_release: &str) -> String {
    format!("{first_release}-{UNRECORDED}")
}

/// Whether a release is a work tree that was found: no run made it, so nobody knows from what it was built, or whether that succeeded.
pub fn is_found_tree(release: &str) -> bool {
    // Names of releases that runs make end with a commit's digits, or with a number.
    release.ends_with(UNRECORDED)
}

/// How a deployment's path is laid out: as configured, else as what is live was deployed, else as the path is found. What a
/// repository or a build puts there does not change it.
pub async fn layout(hosted: HostedDeployment<'_>) -> Result<Layout, StoreError> {
    let HostedDeployment { host, deployment } = hosted;

    if let Some(configured) = deployment.layout {
        return Ok(configured);
    }
    let recorded = host.store.live_release(deployment.slug.as_str()).await?;
    Ok(layout_by(deployment, recorded.as_ref()))
}

fn layout_by(deployment: &Deployment, recorded: Option<&store::Release>) -> Layout {
    match (deployment.layout, recorded) {
        (Some(configured), _) => configured,
        (None, Some(live)) if deployment.path == Path::new(&live.path) => Layout::InPlace,
        (None, Some(_)) => Layout::Releases,
        (None, None) => release::layout_found(deployment),
    }
}

/// What is live of a deployment, and how its path is laid out: looked up once, and handed on to all that ask within one run or one look.
#[derive(Debug, Clone)]
pub struct LiveState {
    /// How its path is laid out.
    pub layout: Layout,
    /// What is live. None: nothing is.
    pub target: Option<Target>,
    /// What the database has as live; the link may name another release.
    pub recorded: Option<store::Release>,
}

/// Looks up what is live.
///
/// # Errors
///
/// The database's, and what keeps the link from being read.
pub async fn look_up(hosted: HostedDeployment<'_>) -> Result<LiveState> {
    let HostedDeployment { host, deployment } = hosted;

    let recorded = host.store.live_release(deployment.slug.as_str()).await?;
    look_at(hosted, recorded).await
}

/// The same for who has asked the database already.
pub async fn look_at(hosted: HostedDeployment<'_>, recorded: Option<store::Release>) -> Result<LiveState> {
    let HostedDeployment { deployment, .. } = hosted;

    let layout = layout_by(deployment, recorded.as_ref());
    let target = target_by(hosted, layout, recorded.as_ref()).await?;
    Ok(LiveState { layout, target, recorded })
}

/// What whoever deploys in place should know.
pub fn in_place_warning(deployment: &Deployment) -> String {
    let slug = &deployment.slug;
    format!(
        "{slug} is deployed in place: a build changes what is live; `durhack-deployer adopt {slug}` makes releases of it"
    )
}

/// What is live: what `current` names, or the work tree in place, as the database knows it.
pub async fn live(hosted: HostedDeployment<'_>, layout: Layout) -> Result<Option<Target>> {
    let HostedDeployment { host, deployment } = hosted;

    let recorded = host.store.live_release(deployment.slug.as_str()).await?;
    target_by(hosted, layout, recorded.as_ref()).await
}

async fn target_by(
    hosted: HostedDeployment<'_>,
    layout: Layout,
    recorded: Option<&store::Release>,
) -> Result<Option<Target>> {
    let HostedDeployment { host, deployment } = hosted;

    if layout == Layout::InPlace {
        let found = release::commit_of_work_tree(&deployment.path);
        let in_place =
            |commit| Target { commit, release: UNRECORDED.into(), directory: deployment.path.clone() };
        return Ok(recorded.and_then(target_of).or_else(|| found.map(in_place)));
    }
    let Some(linked) = release::current(deployment)? else { return Ok(None) };
    // A link to a release that somebody has removed serves nothing, and there is nothing to go back to.
    if !release::is_there(deployment, &linked) {
        return Ok(None);
    }
    if let Some(found) = recorded.filter(|found| found.name == linked) {
        return Ok(target_of(found));
    }
    // Somebody else moved the link: the link is what is live.
    let known = host.store.releases(deployment.slug.as_str()).await?;
    if let Some(found) = known.iter().find(|found| found.name == linked) {
        return Ok(target_of(found));
    }
    let unknown = CommitId::parse(&"0".repeat(40)).expect("forty zeros");
    Ok(Some(Target { commit: unknown, directory: release::directory(deployment, &linked), release: linked }))
}

/// Where a new release of a commit will lie.
pub fn new_target(deployment: &Deployment, layout: Layout, commit: &CommitId) -> Target {
    let release = release::new_name(deployment, commit);
    let directory = match layout {
        Layout::Releases => release::directory(deployment, &release),
        Layout::InPlace => deployment.path.clone(),
    };
    Target { commit: commit.clone(), release, directory }
}

/// A release as a target.
pub fn target_of(found: &store::Release) -> Option<Target> {
    let commit = CommitId::parse(&found.commit_id).ok()?;
    Some(Target { commit, release: found.name.clone(), directory: found.path.clone().into() })
}

/// What a recipe may know beside the deployment and the commit.
#[derive(Debug, Default)]
pub struct KnownState {
    /// The files of the commit.
    pub tree: Tree,
    kept: Vec<(String, String)>,
}

/// Finds out what the deployment's recipe wants to know of a commit.
pub async fn known(mirror: &Mirror, deployment: &Deployment, commit: &CommitId) -> Result<KnownState> {
    let for_recipe = recipes::planner(&deployment.recipe).reads_files();
    let tree = mirror.tree(commit, for_recipe).await?;
    if !for_recipe {
        return Ok(KnownState { tree, kept: Vec::new() });
    }
    let shared = deployment.shared_files.iter().map(|path| deployment.path.join("shared").join(path));
    let files: Vec<PathBuf> = shared.chain(deployment.env_files.iter().cloned()).collect();
    let root = deployment.path.clone();
    let digests = move || Ok(files.into_iter().map(|file| digest(&root, &file)).collect());
    let kept = safe_path::off_thread(&deployment.path, DIGEST_MAX, digests).await?;
    Ok(KnownState { tree, kept })
}

/// A file's name, and what tells its content.
fn digest(root: &Path, file: &Path) -> (String, String) {
    let digest = match safe_path::read_now(root, file, COMPARED_BYTES_MAX) {
        Ok(content) => hex::encode(Sha256::digest(content)),
        // A database, which changes with every request.
        Err(Refused::TooLarge { .. }) => "too large to be compared".into(),
        // One that is not there may come to be there. One that cannot be read fails the step that needs it.
        Err(_) => String::new(),
    };
    (file.to_string_lossy().into_owned(), digest)
}

/// Everything that a recipe may know.
pub fn facts<'a>(
    hosted: HostedDeployment<'a>,
    known: &'a KnownState,
    (layout, live): (Layout, Option<Target>),
    (run, target, purpose): (&'a str, Target, PlanPurpose),
) -> Facts<'a> {
    let HostedDeployment { host, deployment } = hosted;

    Facts {
        deployment,
        layout,
        configuration: &host.config.directory,
        working_directory: &host.this_process.working_directory,
        privileges: host.config.privileges,
        host: &host.config,
        forced: false,
        tree: &known.tree,
        kept: &known.kept,
        instance: host.config.instance.as_deref().unwrap_or_default(),
        run,
        target,
        live,
        purpose,
    }
}

/// Whether a plan would make the release again that is live. None: that is not known.
pub async fn same_inputs(host: &Host, facts: &Facts<'_>, plan: &Plan) -> Result<Option<bool>, StoreError> {
    // The run that recorded a found tree planned a release beside it, which is no word on the tree: after an adoption that was undone the
    // tree would pass for one that another configuration made.
    let Some(live) = facts.live.as_ref().filter(|live| !is_found_tree(&live.release)) else {
        return Ok(None);
    };
    let releases = host.store.releases(facts.deployment.slug.as_str()).await?;
    let Some(release) = releases.into_iter().find(|release| release.name == live.release) else {
        return Ok(None);
    };
    // Something could not be undone: what is linked is not known to be what runs.
    if release.state != ReleaseState::Live {
        return Ok(Some(false));
    }
    let Some(inputs) = &plan.inputs else { return Ok(None) };
    let maker = host.store.run(&release.run_id).await?;
    let plan = maker.as_ref().map(|run| host.store.own_plan(run)).transpose()?.flatten();
    // One that cannot be read says nothing of what it depended on.
    let made: Option<Plan> = plan.and_then(|plan| Plan::read(plan).ok());
    Ok(made.and_then(|made| input_digest::same(&made.inputs?, inputs)))
}

/// The live commit, where the configuration would make another release of it now: somebody has changed it, and started the deployer
/// again. Recipes that do not say on what their releases depend are never asked about.
pub async fn outdated(hosted: HostedDeployment<'_>) -> Result<Option<CommitId>> {
    let HostedDeployment { host, deployment } = hosted;

    if !recipes::planner(&deployment.recipe).reads_files() {
        return Ok(None);
    }
    let LiveState { layout, target: Some(live), .. } = look_up(hosted).await? else {
        return Ok(None);
    };
    let mirror = host.mirror(deployment);
    // A mirror that does not have it (any more) will after the next push.
    if mirror.commit(&live.commit).await.is_err() {
        return Ok(None);
    }
    let known = known(&mirror, deployment, &live.commit).await?;
    let commit = live.commit.clone();
    let target = new_target(deployment, layout, &commit);
    let facts = facts(hosted, &known, (layout, Some(live)), ("reconcile", target, PlanPurpose::Deploy));
    let plan = recipes::plan(&facts);
    Ok((same_inputs(host, &facts, &plan).await? == Some(false)).then_some(commit))
}

/// Why a push of this head would change nothing, if so: it is live, it says so itself, none of its paths is ours, or
/// none of what the release depends on is different (`same_inputs`).
pub async fn nothing_to_do(
    deployment: &Deployment,
    mirror: &Mirror,
    head: &Commit,
    live: Option<&Target>,
    same_inputs: Option<bool>,
) -> Option<(VerdictCode, String)> {
    if let Some(sentence) = already_live(head, live, same_inputs) {
        return Some((VerdictCode::AlreadyLive, sentence));
    }
    // The same commit again: then it is the configuration that has changed, whatever the commit says.
    if live.is_some_and(|live| live.commit == head.id) {
        return None;
    }
    if let Some(mark) = SKIP_MARKS.iter().find(|mark| head.message.contains(**mark)) {
        return Some((VerdictCode::Skipped, format!("{mark} in the message of {}", head.id.short())));
    }
    let live = live?;
    if same_inputs == Some(true) {
        let sentence = format!("nothing that it depends on has changed since {}", live.commit.short());
        return Some((VerdictCode::Skipped, sentence));
    }
    if deployment.paths.is_empty() && deployment.paths_ignore.is_empty() {
        return None;
    }
    let changed = mirror.changed_paths(&live.commit, &head.id).await?;
    let sentence = || match changed.len() {
        1 => "the one path that was changed does not concern this deployment".to_owned(),
        number => format!("none of the {number} changed paths concerns this deployment"),
    };
    (!concerns(&deployment.paths, &deployment.paths_ignore, &changed))
        .then(|| (VerdictCode::Skipped, sentence()))
}

/// Says so where the head is what is live, and the configuration still makes the same release of it, as far as is known.
pub fn already_live(head: &Commit, live: Option<&Target>, same_inputs: Option<bool>) -> Option<String> {
    let is_live = live?.commit == head.id && same_inputs != Some(false);
    is_live.then(|| format!("{} is live already", head.id.short()))
}

/// Whether a change of these paths is to be deployed.
fn concerns(paths: &[String], paths_ignore: &[String], changed: &[String]) -> bool {
    let (wanted, ignored) = (globs(paths), globs(paths_ignore));
    changed.iter().any(|path| (paths.is_empty() || wanted.is_match(path)) && !ignored.is_match(path))
}

/// How many releases are named to whoever named one that is not there.
const RELEASES_NAMED_MAX: usize = 5;

fn is_successful(release: &store::Release) -> bool {
    matches!(release.state, ReleaseState::Good | ReleaseState::Live)
}

fn newest(releases: &[store::Release]) -> String {
    let mut names: Vec<&str> =
        releases.iter().filter(|found| is_successful(found)).map(|found| found.name.as_str()).collect();
    // A name begins with the time.
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.truncate(RELEASES_NAMED_MAX);
    if names.is_empty() { String::new() } else { format!("; the newest are {}", names.join(", ")) }
}

/// Which release a rollback goes to: the one named, or the one that was live last before the live one.
pub fn rollback_candidate<'a>(
    releases: &'a [store::Release],
    wanted: Option<&str>,
    live: Option<&Target>,
) -> Result<&'a store::Release, String> {
    let successful = releases.iter().filter(|found| is_successful(found));
    if let Some(wanted) = wanted {
        let mut named =
            successful.filter(|found| found.name == wanted || found.commit_id.starts_with(wanted));
        let none = || format!("there is no successful release {wanted:?} to go back to{}", newest(releases));
        return named.by_ref().max_by_key(|found| found.live_at_ms).ok_or_else(none);
    }
    let others = successful.filter(|found| live.is_none_or(|live| found.name != live.release));
    let none = || "there is no earlier successful release to go back to".to_owned();
    others.max_by_key(|found| found.live_at_ms).ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_is_not_there_is_answered_with_the_newest_that_are() {
        let release = |day: i64, state| store::Release {
            deployment: "site".into(),
            name: format!("2026110{day}T000000Z-{day}{day}{day}{day}{day}{day}{day}"),
            path: String::new(),
            commit_id: day.to_string().repeat(40),
            run_id: String::new(),
            state,
            created_at_ms: day,
            live_at_ms: Some(day),
            bytes: None,
            mac: None,
        };
        let mut releases: Vec<_> = (1..8).map(|day| release(day, ReleaseState::Good)).collect();
        releases.push(release(9, ReleaseState::Failed));
        let refused =
            |releases: &[store::Release]| rollback_candidate(releases, Some("v1"), None).unwrap_err();
        insta::assert_snapshot!(refused(&releases), @r#"there is no successful release "v1" to go back to; the newest are 20261107T000000Z-7777777, 20261106T000000Z-6666666, 20261105T000000Z-5555555, 20261104T000000Z-4444444, 20261103T000000Z-3333333"#);
        assert_eq!(refused(&[]), "there is no successful release \"v1\" to go back to");
        assert_eq!(rollback_candidate(&releases, Some("333"), None).unwrap().created_at_ms, 3);
    }

    #[test]
    fn paths_decide_as_in_github_actions() {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (paths, ignored, changed, expected) in [
            (&[][..], &[][..], &["a"][..], true),
            (&["server/**"][..], &[][..], &["server/a/b.ts"][..], true),
            (&["server/**"][..], &[][..], &["client/a.ts"][..], false),
            (&["server/*"][..], &[][..], &["server/a/b.ts"][..], false),
            (&[][..], &["docs/**", "*.md"][..], &["docs/a/b", "README.md"][..], false),
            (&[][..], &["docs/**"][..], &["docs/a", "src/b"][..], true),
            (&["server/**"][..], &["**/*.md"][..], &["server/README.md"][..], false),
        ] {
            assert_eq!(
                concerns(&owned(paths), &owned(ignored), &owned(changed)),
                expected,
                "{paths:?} {changed:?}"
            );
        }
    }
}

//! What a deployment runs as its old users: asked of systemd and of their PM2. Each PM2 is asked as the user whose it is.

use super::plan::{Account, as_user, drop_in, units};
use crate::admin::host::accounts;
use crate::admin::host::ask::{CALL_TIMEOUT, ask};
use crate::config::users::DEPLOYER;
use crate::config::{CommandLine, Deployment};
use crate::process::executor::{Executor, complaint_of};
use crate::process::tools::pm2::{self, marks};
use crate::process::tools::{Invocation, systemctl};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Its units, and as whom they run. Those with a user that systemd makes for each start are left out: they stay as they are.
pub async fn of_units(deployment: &Deployment, executor: &Executor) -> Result<Vec<(String, String)>> {
    match units(deployment) {
        [] => Ok(Vec::new()),
        units => {
            let found = systemctl::read_users(&ask(executor, &systemctl::users(units)).await?);
            Ok(found.into_iter().filter_map(|(unit, user)| Some((unit, user?))).collect())
        }
    }
}

/// Those that have our drop-in.
pub fn with_drop_in(deployment: &Deployment) -> BTreeSet<String> {
    let names = units(deployment).iter().map(ToString::to_string);
    names.filter(|unit| drop_in(unit).symlink_metadata().is_ok()).collect()
}

/// A user's PM2, with applications of the deployment.
#[derive(Debug)]
pub struct Applications {
    /// The user whose PM2 it is.
    pub user: Account,
    /// By PM2's numbers.
    pub ids: Vec<u64>,
    /// What they are called.
    pub names: BTreeSet<String>,
    home: PathBuf,
    pm2_home: PathBuf,
}

/// What runs under the users' PM2s.
pub async fn of_pm2(
    deployment: &Deployment,
    users: &[Account],
    executor: &Executor,
) -> Result<Vec<Applications>> {
    let mut all = Vec::new();
    if !deployment.recipe.is_under_pm2() {
        return Ok(all);
    }
    for user in users {
        let Some(mut found) = Applications::none_of(deployment, user) else { continue };
        for process in found.all(executor).await? {
            let is_marked = process.variable(marks::DEPLOYMENT) == Some(deployment.slug.as_str());
            let is_in_path = process.kept.pm_cwd.starts_with(&deployment.path);
            if let (true, Some(id)) = (is_marked || is_in_path, process.id) {
                found.ids.push(id);
                found.names.insert(process.name);
            }
        }
        if !found.ids.is_empty() {
            all.push(found);
        }
    }
    Ok(all)
}

/// Ends what the deployment runs under the users' PM2s, and has those forget it. Gives a line for each of them.
pub async fn end_all(deployment: &Deployment, users: &[Account], executor: &Executor) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for applications in of_pm2(deployment, users, executor).await? {
        applications.end(executor).await?;
        ended.push(format!("ended {} in PM2 of {}", applications.shown(), applications.user.name));
    }
    Ok(ended)
}

/// Whether a user's PM2 keeps nothing of any deployment, or does not run.
pub async fn keeps_nothing(deployment: &Deployment, user: &Account, executor: &Executor) -> Result<bool> {
    match Applications::none_of(deployment, user) {
        Some(found) => Ok(found.all(executor).await?.is_empty()),
        None => Ok(true),
    }
}

impl Applications {
    /// Where a user's PM2 runs. `None` where it does not: who asked it would start it.
    fn none_of(deployment: &Deployment, user: &Account) -> Option<Self> {
        let home = accounts::Account::of(user.uid).home?;
        // What the configuration says holds for the deployer's PM2 alone.
        let configured = deployment.environment.get("PM2_HOME").filter(|_| user.name == DEPLOYER);
        let pm2_home = configured.map_or_else(|| home.join(".pm2"), PathBuf::from);
        let socket = pm2_home.join("rpc.sock").symlink_metadata();
        socket.is_ok_and(|found| found.file_type().is_socket()).then(|| Self {
            user: user.clone(),
            ids: Vec::new(),
            names: BTreeSet::new(),
            home,
            pm2_home,
        })
    }

    async fn all(&self, executor: &Executor) -> Result<Vec<pm2::Pm2Process>> {
        let printed = self.ask(&pm2::list(), executor).await?;
        pm2::processes(&printed).map_err(|error| anyhow!("PM2 of {}: {error}", self.user.name))
    }

    fn shown(&self) -> String {
        self.names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// One line for people.
    pub fn what(&self) -> String {
        format!(
            "end {} in PM2 of {} when that deploy is about to start them anew, and have it forget them",
            self.shown(),
            self.user.name
        )
    }

    /// One line for people, where nothing is deployed that would start them anew.
    pub fn are_left(&self, slug: &str) -> String {
        format!(
            "{} of PM2 of {} are left running: a deploy could not start its own beside them. `sudo durhack-deployer move-user {slug}` deploys, and ends them in time",
            self.shown(),
            self.user.name
        )
    }

    async fn end(&self, executor: &Executor) -> Result<()> {
        self.ask(&pm2::delete(&self.ids), executor).await?;
        self.ask(&pm2::save(), executor).await.map(drop)
    }

    async fn ask(&self, call: &CommandLine, executor: &Executor) -> Result<String> {
        let mut invocation = Invocation::of(&as_user(&self.user, call));
        let text = |path: &Path| path.as_os_str().to_owned();
        invocation.environment = [
            ("HOME".into(), text(&self.home)),
            ("PM2_HOME".into(), text(&self.pm2_home)),
            ("USER".into(), self.user.name.clone().into()),
            ("LOGNAME".into(), self.user.name.clone().into()),
        ]
        .into();
        let answer = executor.ask(&invocation, CALL_TIMEOUT, &CancellationToken::new()).await;
        let answer = answer.with_context(|| format!("cannot ask PM2 of {}", self.user.name))?;
        match complaint_of(&answer.end) {
            None => Ok(answer.output),
            Some(end) => bail!("`{}` of {} {end}: {}", call.shown(), self.user.name, answer.complaint),
        }
    }
}

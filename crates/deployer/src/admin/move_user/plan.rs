//! What moving a deployment to another user consists of. Pure.

use super::tree::{Change, Tree};
use crate::admin::host::paths::Owner;
use crate::admin::setup::action::{Action, File, Operation};
use crate::admin::setup::users::{AccountState, free_name};
use crate::base::names::{UnitName, UserName};
use crate::config::recipe::ProcessKeeper;
use crate::config::users::DEPLOYER;
use crate::config::{CommandLine, Deployment, UserSource, Users};
use crate::process::tools::{acl, systemctl};
use anyhow::{Result, anyhow, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where a unit's user is changed by us: no administrator's file is.
const DROP_IN: &str = "durhack-deployer-user.conf";

/// Below a deployment's path: what is fetched again.
const CACHE: &str = ".cache";

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// As `/etc/passwd` has it, and `User=` in units.
    pub name: String,
    /// By which the kernel knows the owner of a file.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
}

/// What is found of the deployment on the host.
#[derive(Debug, Clone)]
pub struct MoveHost {
    /// The deployer's own user, who owns `releases/`, `shared/` and `current` whoever builds.
    pub deployer: Account,
    /// Whose files become the new user's.
    pub old: Vec<Account>,
    /// The new user. None: it is not made yet.
    pub new: Option<Account>,
    /// The names of its releases' directories, as far as they are the deployer's.
    pub releases: Vec<PathBuf>,
    /// Whether packages were fetched as the deployer.
    pub has_cache: bool,
    /// Its units, and as whom they run.
    pub units: Vec<(String, String)>,
    /// Its units that have our drop-in.
    pub with_drop_in: BTreeSet<String>,
}

/// Whom the deployment is to run as. `None`: as the deployer.
pub fn target(
    deployment: &Deployment,
    asked: Option<&UserName>,
    recorded: &Users,
    of_others: &BTreeSet<UserName>,
    account: impl Fn(&UserName) -> AccountState,
) -> Result<Option<UserName>> {
    let slug = &deployment.slug;
    let own = |user: &UserName| Some(user.clone()).filter(|user| user.as_str() != DEPLOYER);
    if deployment.user_source == UserSource::Written {
        let written = deployment.user.as_ref().map_or(DEPLOYER, UserName::as_str);
        if asked.is_some_and(|asked| asked.as_str() != written) {
            bail!(
                "the configuration of {slug} says `user = \"{written}\"`: change it there, or take it out, and ask again"
            );
        }
        return Ok(deployment.user.clone());
    }
    if let Some(asked) = asked {
        return Ok(own(asked));
    }
    if let Some(user) = recorded.of(slug).and_then(own) {
        return Ok(Some(user));
    }
    free_name(slug, of_others, account)
        .map(Some)
        .ok_or_else(|| anyhow!("no name is free for a user of {slug}: say which user it is to be, by `--to`"))
}

/// The directories of the deployment in which files change hands, and the files that stay the deployer's and that the old user was let read.
pub fn trees(host: &MoveHost, deployment: &Deployment) -> Vec<Tree> {
    let releases = host.releases.iter().map(|name| Path::new("releases").join(name));
    let shared = deployment.shared_dirs.iter().map(|path| Path::new("shared").join(path));
    let files = deployment.shared_files.iter().map(|path| Path::new("shared").join(path));
    // The directories themselves are the deployer's, whoever makes what is in them.
    releases.chain(shared).chain(files).map(|directory| Tree { directory }).collect()
}

/// Whose files become whose. None: the new user is not there yet.
pub fn change(host: &MoveHost) -> Option<Change> {
    let new = host.new.as_ref()?;
    let old = host.old.iter().filter(|old| old.uid != new.uid && old.uid != 0);
    Some(Change {
        from: old.map(|old| (old.uid, old.gid)).collect::<BTreeMap<_, _>>(),
        to: (new.uid, new.gid),
        deployer: host.deployer.uid,
    })
}

/// What the deployer itself can do to its directories, it does: root would follow what is exchanged meanwhile.
pub fn of_directories(host: &MoveHost, deployment: &Deployment, to: Option<&UserName>) -> Vec<Action> {
    let mut actions = Vec::new();
    let path = &deployment.path;
    let releases: Vec<PathBuf> = host.releases.iter().map(|name| path.join("releases").join(name)).collect();
    let mut add = |what: String, call: &CommandLine| {
        actions.push(Action::new(what, Operation::Call(as_user(&host.deployer, call))));
    };
    // On the way back there is nothing to be shared; the lists that let the old user in go with the files.
    let Some(user) = to else { return actions };
    if !releases.is_empty() {
        let call = acl::share(user.as_str(), host.deployer.uid, &releases);
        add(format!("let {user} write in the {} releases of {}", releases.len(), path.display()), &call);
    }
    if host.has_cache {
        let cache = path.join(CACHE).to_string_lossy().into_owned();
        let call = CommandLine::Argv(vec!["rm".into(), "-rf".into(), "--".into(), cache.clone()]);
        add(
            format!("remove {cache}, which the deployer's builds have filled: {user} has a cache of its own"),
            &call,
        );
    }
    actions
}

/// A call by somebody who is not root, and cannot become it.
pub fn as_user(account: &Account, call: &CommandLine) -> CommandLine {
    let words =
        ["setpriv".to_owned(), format!("--reuid={}", account.uid), format!("--regid={}", account.gid)];
    let options = ["--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"].map(str::to_owned);
    CommandLine::Argv(words.into_iter().chain(options).chain(call.argv()).collect())
}

/// The units that systemd runs for everybody, of a deployment.
pub fn units(deployment: &Deployment) -> &[UnitName] {
    deployment.recipe.system_units()
}

/// Where our drop-in of a unit lies.
pub fn drop_in(unit: &str) -> PathBuf {
    Path::new("/etc/systemd/system").join(format!("{unit}.d")).join(DROP_IN)
}

/// Units that run as an old user run as the new one when they are started next. What else there is to be said of them stands beside it.
pub fn of_units(
    host: &MoveHost,
    deployment: &Deployment,
    to: Option<&UserName>,
) -> (Vec<Action>, Vec<String>) {
    let (mut actions, mut remarks) = (Vec::new(), Vec::new());
    let new = to.map_or(DEPLOYER, UserName::as_str);
    let slug = &deployment.slug;
    for (unit, user) in &host.units {
        let path = drop_in(unit);
        let is_old = host.old.iter().any(|old| old.name == *user);
        if to.is_none() && host.with_drop_in.contains(unit) {
            let what = format!("have {unit} run as its own file says again: remove {}", path.display());
            actions.push(Action::new(what, Operation::Remove(path)));
        } else if is_old && user != new {
            let text = format!(
                "# Written by `durhack-deployer move-user`: this unit belongs to the deployment {slug}.\n[Service]\nUser={new}\nGroup={new}\n"
            );
            let what = format!(
                "have {unit} run as {new}, and not as {user}, from its next start: {}",
                path.display()
            );
            actions.push(Action::new(
                what,
                Operation::Write(File { path, text, owner: Owner::Root, mode: 0o644 }),
            ));
        } else if user == "root" {
            remarks.push(format!(
                "{unit} runs as root, and with it whatever is pushed to {slug}: write `User={new}` by `systemctl edit {unit}`, and deploy again"
            ));
        } else if user != new {
            remarks.push(format!("{unit} runs as {user}, as its own files say: it keeps that user"));
        }
    }
    if !actions.is_empty() {
        actions.push(Action::new(
            "have systemd read its units again",
            Operation::Call(systemctl::reload_units()),
        ));
    }
    remarks.extend(of_managers(deployment, new));
    (actions, remarks)
}

/// What an operator moves by hand.
fn of_managers(deployment: &Deployment, new: &str) -> Option<String> {
    let slug = &deployment.slug;
    let recipe = &deployment.recipe;
    recipe.has_user_units.then(|| {
        format!("the units of {slug} belong to a user's own service manager (`user_units`): stop them there, and install them for {new}")
    })
    .or_else(|| {
        (recipe.kept_by == Some(ProcessKeeper::UwsgiEmperor)).then(|| {
            format!("what uWSGI's emperor starts for {slug} runs as the vassal's `uid` says: write {new} there, where it names another user")
        })
    })
}

/// What is known of a shared file that the program may want to write.
pub fn of_shared_files(deployment: &Deployment, to: Option<&UserName>) -> Option<String> {
    let user = to?;
    let files: Vec<String> =
        deployment.shared_files.iter().map(|path| format!("shared/{}", path.display())).collect();
    (!files.is_empty()).then(|| {
        format!(
            "{user} can read {}, and not write: a file that the program writes belongs into a directory of `shared_dirs`",
            files.join(", ")
        )
    })
}

//! What is on the host now: read only, so that a plan can be made of it, and made again.

use crate::admin::host::accounts::{account, home_of};
use crate::admin::host::ask::ask;
use crate::admin::host::paths::{self, Owner, ids};
use crate::admin::setup::action::{Action, Operation};
use crate::admin::setup::configured::Configuration;
use crate::admin::setup::options::SetupOptions;
use crate::admin::setup::reached::{TEXT_BYTES_MAX, read_plain};
use crate::admin::setup::users::{self, AccountState, PathState, UserTarget};
use crate::admin::setup::{aside, drop_in};
use crate::base::names::UserName;
use crate::config::{self, Deployment, Environment, UserSource};
use crate::plan::recipes::REFERENCE;
use crate::process::executor::Executor;
use crate::process::step_user;
use crate::process::tools::acl::{self, Access};
use crate::process::tools::systemctl::{self, Installation};
use crate::steps::release;
use anyhow::Result;
use fs_err as fs;
use nginx_policy::Bounds;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where nginx's logs are unless the configuration says otherwise.
pub const NGINX_LOGS: &str = "/var/log/nginx";

#[derive(Debug, Clone, Default)]
pub struct HostState {
    /// User and group id of the deployer's user.
    pub account: Option<(u32, u32)>,
    /// What lies where something should; nothing where nothing does.
    pub places: BTreeMap<PathBuf, PathFacts>,
    /// Secrets that others than their owner have access to, with their modes.
    pub open_secrets: BTreeMap<PathBuf, u32>,
    /// Deployments' directories that are not there, below directories in which only root makes any: elsewhere, somebody could have root
    /// make a directory in a place that a link leads to.
    pub roots: BTreeSet<PathBuf>,
    /// The text of those files that setup writes; nothing where there is none.
    pub texts: BTreeMap<PathBuf, String>,
    /// What systemd knows of the units that setup installs, by their names.
    pub units: BTreeMap<String, Installation>,
    /// Of the users that deployments name, or that sockets are enabled for: user id, where there is such a user.
    pub step_users: BTreeMap<UserName, Option<u32>>,
    /// Those of them that an earlier `setup` made.
    pub own_accounts: BTreeSet<UserName>,
    /// Those of them whose steps have the key by which they are asked for.
    pub keyed_users: BTreeSet<UserName>,
    /// None: there is no nginx.
    pub nginx: Option<Nginx>,
    /// None: there is none yet.
    pub configuration: Option<Configuration>,
    /// When this was looked at, as a directory is named after it.
    pub date: String,
    /// Whether the deployer's user is the one that the package makes, and not one that was there before.
    pub is_own_account: bool,
    /// How far a move from the Python tool has come, where one is under way.
    pub moving: Option<Moving>,
}

/// A move from the Python tool: what a plan has to leave out for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moving {
    /// The port behind nginx; the old listener has the usual one.
    pub port: u16,
    /// Whether the old tool still deploys: nothing of it may be touched, and the worker does not run.
    pub is_old_tool_live: bool,
}

/// Something in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathFacts {
    /// The number of its owner.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
    /// Its permission bits, without its kind.
    pub mode: u32,
    /// A directory, or a link to one: an administrator may have put the state on another disk.
    pub is_directory: bool,
}

/// The host's nginx.
#[derive(Debug, Clone, Default)]
pub struct Nginx {
    /// Where the deployer's own site is written.
    pub site: PathBuf,
    /// Whether there is a certificate for the host of the wished origin.
    pub has_certificate: bool,
    /// What an earlier version let the deployer do in its directories.
    pub access: Vec<(PathBuf, Access)>,
    /// What the deployer's user owns in these, relative to nginx's directory; and why root would not have it so, where that is so.
    pub users_files: BTreeMap<String, Option<String>>,
    /// Whether it runs as a unit.
    pub is_active: bool,
}

/// Looks at everything.
pub async fn look(
    options: &SetupOptions,
    environment: &Environment,
    executor: &Executor,
) -> Result<HostState> {
    look_also_at(&[], options, environment, executor).await
}

/// The same, and at these users too.
pub async fn look_also_at(
    users: &[UserName],
    options: &SetupOptions,
    environment: &Environment,
    executor: &Executor,
) -> Result<HostState> {
    let account = account(&paths::user())?;
    let configuration = match configuration(options, environment) {
        // What `--uninstall` removes does not depend on it.
        Err(_) if options.uninstall => None,
        read => read?,
    };
    let date = crate::base::clock::compact_utc(crate::base::clock::now());
    let is_own_account = home_of(&paths::user())?.is_none_or(|home| home == Path::new(paths::STATE));
    let mut found = HostState { account, configuration, date, is_own_account, ..HostState::default() };
    found.nginx = nginx(options, &found, executor).await?;
    let applications = found.configuration.iter().flat_map(|known| known.paths.iter().cloned());
    found.roots = applications.clone().filter(|path| is_roots(path)).collect();
    let directories = paths::directories().into_iter().map(|directory| directory.path);
    let files = [
        paths::STATE_OF_ROOT,
        paths::FIRST_LAYER,
        paths::WEBHOOK_SECRET,
        paths::HELPER_KEY,
        paths::SITE_PENDING,
    ]
    .map(PathBuf::from);
    for path in directories.chain(applications).chain(files) {
        if let Some(place) = place(&path)? {
            found.places.insert(path, place);
        }
    }
    found.open_secrets = open_secrets(Path::new(paths::CREDENTIALS))?;
    let written = [
        paths::ALLOW_LIST,
        paths::SUDOERS,
        paths::WORKER_DROP_IN,
        paths::STEPS_DROP_IN,
        paths::PM2_DROP_IN,
        paths::SOCKET_DROP_IN,
        paths::NGINX_DROP_IN,
        paths::ENVIRONMENT,
    ];
    let written =
        written.into_iter().chain(paths::USER_DROP_INS).chain(paths::NGINX_HOME_DROP_INS).collect::<Vec<_>>();
    let written = written.iter().map(PathBuf::from).chain([options.configuration.join(config::users::FILE)]);
    for path in written.chain(found.nginx.iter().map(|nginx| nginx.site.clone())) {
        match read_plain(&path, TEXT_BYTES_MAX) {
            Ok(text) => drop(found.texts.insert(path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let named = found.configuration.iter().flat_map(|known| known.users.iter().cloned());
    let more = users.iter().cloned();
    for user in named.chain(enabled_step_users(Path::new(paths::ENABLED_SOCKETS))).chain(more) {
        let id = crate::admin::host::accounts::account(user.as_str())?.map(|(id, _)| id);
        if account_state(&user)? == AccountState::Ours {
            found.own_accounts.insert(user.clone());
        }
        if step_user::has_key(&user) {
            found.keyed_users.insert(user.clone());
        }
        found.step_users.insert(user, id);
    }
    let pm2 = found.step_users.keys().map(step_user::pm2_unit);
    let units: Vec<String> = paths::units(found.step_users.keys()).into_iter().chain(pm2).collect();
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let printed = ask(executor, &systemctl::installations(&units)).await?;
    let units = systemctl::read_installations(&printed).into_iter();
    found.units = units.map(|unit| (unit.name.clone(), unit)).collect();
    Ok(found)
}

/// Whose steps systemd starts when they are asked for.
fn enabled_step_users(sockets: &Path) -> Vec<UserName> {
    let entries = fs::read_dir(sockets).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| step_user::of_unit(&name)).collect()
}

/// Who has a user's name, or a group's of that name.
pub fn account_state(user: &UserName) -> Result<AccountState> {
    let (users, groups) = (fs::read_to_string("/etc/passwd")?, fs::read_to_string("/etc/group")?);
    Ok(account_state_in(&users, &groups, user))
}

/// One that `setup` made has a home where nobody else's is.
fn account_state_in(users: &str, groups: &str, user: &UserName) -> AccountState {
    let fields_of = |lines: &str| -> Option<Vec<String>> {
        let mut lines = lines.lines().map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>());
        lines.find(|fields| fields.first().map(String::as_str) == Some(user.as_str()))
    };
    match fields_of(users) {
        Some(fields) if fields.get(5).map(Path::new) == Some(&step_user::home(user)) => AccountState::Ours,
        Some(_) => AccountState::Taken,
        None if fields_of(groups).is_some() => AccountState::Taken,
        None => AccountState::Free,
    }
}

/// Whether nothing of a deployment is there, and nobody has to agree before something is.
fn is_deployed_at_once(deployment: &Deployment) -> bool {
    deployment.enabled && !deployment.gates.approval && path_state(deployment) == PathState::New
}

/// What lies at a deployment's path. Only names are looked at: builds may have made what is there.
pub fn path_state(deployment: &Deployment) -> PathState {
    let there = |name: &str| deployment.path.join(name).symlink_metadata().is_ok();
    if release::layout_found(deployment) == config::Layout::InPlace {
        PathState::InPlace
    } else if there("releases") || there(release::CURRENT) {
        PathState::Releases
    } else if there(".git") {
        // Sites are never deployed in place; but the tree is somebody's who deployed it before.
        PathState::InPlace
    } else {
        PathState::New
    }
}

/// Whether it is not there, and all that is there of the way to it is root's.
fn is_roots(path: &Path) -> bool {
    let is_absent = |found: &std::io::Result<std::fs::Metadata>| {
        found.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    let is_roots = |found: std::io::Result<std::fs::Metadata>| {
        found.is_ok_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0)
    };
    let way = path.ancestors().map(fs::symlink_metadata).skip_while(is_absent);
    is_absent(&fs::symlink_metadata(path)) && way.into_iter().all(is_roots)
}

/// Files with secrets that others than their owner have access to, with their modes.
fn open_secrets(directory: &Path) -> Result<BTreeMap<PathBuf, u32>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut open = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let found = fs::symlink_metadata(&path)?;
        if found.is_file() && found.mode() & 0o077 != 0 {
            open.insert(path, found.mode() & 0o7777);
        }
    }
    Ok(open)
}

fn place(path: &Path) -> Result<Option<PathFacts>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(PathFacts {
            user: found.uid(),
            group: found.gid(),
            mode: found.mode() & 0o7777,
            is_directory: found.is_dir(),
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl HostState {
    /// Where site files may lead nginx, by the configuration.
    fn bounds(&self) -> Bounds {
        let known = self.configuration.as_ref();
        Bounds {
            directory: paths::NGINX.into(),
            certificates: "/etc/letsencrypt".into(),
            logs: known.map_or_else(|| NGINX_LOGS.into(), |known| known.log_directory.clone()),
            allowed: known.iter().flat_map(|known| known.sites_allow.iter().cloned()).collect(),
        }
    }

    /// The port of the intake behind nginx.
    pub fn port(&self) -> u16 {
        let written = self.texts.get(Path::new(paths::SOCKET_DROP_IN));
        let written = written.and_then(|text| drop_in::port_in(text));
        self.moving.map(|moving| moving.port).or(written).unwrap_or(drop_in::PORT)
    }

    /// Whether something lies at one of setup's own places that it has not written.
    pub fn is_foreign(&self, path: &Path) -> bool {
        self.texts.get(path).is_some_and(|text| !aside::is_ours(text))
    }

    /// What an action that is going to be carried out leaves: for a plan of what comes after it.
    pub fn note(&mut self, action: &Action) {
        match &action.operation {
            Operation::Write(file) => drop(self.texts.insert(file.path.clone(), file.text.clone())),
            Operation::MakeStepsKey(user) => drop(self.keyed_users.insert(user.clone())),
            Operation::Call(call) => {
                let words = call.argv();
                let (verb, last) = (words.get(2).map(String::as_str), words.last());
                if let (Some("enable"), Some(name)) = (verb, last) {
                    let unit = self.units.entry(name.clone()).or_default();
                    (unit.is_enabled, unit.is_active) = (true, true);
                }
            }
            _ => {}
        }
    }

    /// The ids that an owner stands for; None as long as the user is not there.
    pub fn ids(&self, owner: Owner) -> Option<(u32, u32)> {
        ids(owner, self.account)
    }
}

async fn nginx(options: &SetupOptions, found: &HostState, executor: &Executor) -> Result<Option<Nginx>> {
    let directory = Path::new(paths::NGINX);
    if executor.find("nginx").is_none() || !directory.is_dir() {
        return Ok(None);
    }
    let enabled = directory.join("sites-enabled");
    // Debian's nginx.conf includes sites-enabled/*; that of nginx.org only conf.d/*.conf.
    let sites = if enabled.is_dir() { enabled } else { directory.join("conf.d") };
    let mut access = Vec::new();
    for name in paths::NGINX_SITES {
        let path = directory.join(name);
        if path.is_dir() {
            let printed = ask(executor, &acl::show(&path)).await?;
            access.push((path, acl::access(&paths::user(), &printed)));
        }
    }
    let host = options.origin.as_ref().map(|origin| origin.host.as_str());
    let certificate = |host| Path::new("/etc/letsencrypt/live").join(host).join("fullchain.pem");
    let has_certificate = host.is_some_and(|host| certificate(host).exists());
    let users_files = match found.account {
        Some((user, _)) => users_files(directory, user, &found.bounds())?,
        None => BTreeMap::new(),
    };
    let printed = ask(executor, &systemctl::installations(&[paths::NGINX_UNIT])).await?;
    let is_active = systemctl::read_installations(&printed).iter().any(|unit| unit.is_active);
    let site = sites.join("durhack-deployer.conf");
    Ok(Some(Nginx { site, has_certificate, access, users_files, is_active }))
}

/// What a user owns below the directories of sites, and what of it root would not write itself.
fn users_files(nginx: &Path, user: u32, bounds: &Bounds) -> Result<BTreeMap<String, Option<String>>> {
    let mut files = BTreeMap::new();
    let mut pending: Vec<String> = paths::NGINX_SITES.map(str::to_owned).to_vec();
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(nginx.join(&directory)).into_iter().flatten().flatten();
        for entry in entries {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (target, found) = (format!("{directory}/{name}"), entry.metadata()?);
            if found.is_dir() {
                pending.push(target);
            } else if found.uid() == user {
                let why = objection(&entry.path(), &target, bounds);
                files.insert(target, why);
            }
        }
    }
    Ok(files)
}

/// Why root would not write this file.
fn objection(path: &Path, target: &str, bounds: &Bounds) -> Option<String> {
    if let Err(why) = nginx_policy::judge_name(target) {
        return Some(why);
    }
    // A link's file is looked at by root's own program, which asks whose it is.
    match read_plain(path, TEXT_BYTES_MAX) {
        Ok(text) => {
            let objections = nginx_policy::judge(text.as_bytes(), bounds).err()?;
            objections.first().map(ToString::to_string)
        }
        Err(_) if path.is_symlink() => None,
        Err(error) => Some(error.to_string()),
    }
}

/// The environment of the units, as far as a configuration is read by it.
pub fn as_units_have_it(environment: &Environment) -> Environment {
    let written = fs::read_to_string(paths::ENVIRONMENT).unwrap_or_default();
    let written = config::parse_env_file(&written).unwrap_or_default().variables;
    let named = written.iter().find(|(name, _)| name == "DEPLOYER_ENV").map(|(_, value)| value.as_str());
    environment
        .with_defaults([("DEPLOYER_ENV", named.unwrap_or("production"))])
        .with_defaults([("CREDENTIALS_DIRECTORY", paths::CREDENTIALS), ("DEPLOYER_ENV", "production")])
}

/// The configuration as the units have it: with their credentials, in their environment.
fn configuration(options: &SetupOptions, environment: &Environment) -> Result<Option<Configuration>> {
    let directory = options.configuration.as_path();
    if !directory.join("default.toml").exists() {
        return Ok(None);
    }
    let environment = as_units_have_it(environment);
    // Before the first secret is made, everything else is right already.
    let absent = crate::base::secret::Secret::generate;
    let unusable = |problems: &config::Diagnostics| {
        anyhow::anyhow!("{}", problems.render(config::Rendering::Plain).trim_end().to_owned())
            .context(format!("the configuration in {} cannot be used", directory.display()))
    };
    let loaded = config::load_making_secrets(&REFERENCE, Some(directory), &environment, &absent);
    let loaded = loaded.map_err(|problems| unusable(&problems))?;
    // A deployment with an error is left out of it: what that needs would be taken away, under a service that still has it as it was.
    if loaded.problems.problems().iter().any(|problem| problem.severity == config::Severity::Error) {
        return Err(unusable(&loaded.problems));
    }
    let targets: Vec<UserTarget> = loaded
        .config
        .deployments
        .values()
        .map(|deployment| UserTarget {
            slug: deployment.slug.clone(),
            user: deployment.user.clone(),
            source: deployment.user_source,
            path: path_state(deployment),
        })
        .collect();
    let states = |user: &UserName| account_state(user).unwrap_or(AccountState::Taken);
    let assignment = users::assign(&targets, loaded.users.as_ref(), states);
    // As it will be when the assignment is recorded.
    let user_of = |deployment: &Deployment| match deployment.user_source {
        UserSource::Written | UserSource::Recorded => deployment.user.clone(),
        UserSource::NotSetUp | UserSource::Missing => {
            let assigned = assignment.users.of(&deployment.slug).cloned();
            assigned.filter(|user| user.as_str() != config::users::DEPLOYER)
        }
    };
    let secrets = fs::read_dir(paths::CREDENTIALS).into_iter().flatten().flatten().map(|entry| entry.path());
    // Those are read at each start of the unit that has them.
    let secrets = secrets.filter(|path| !step_user::is_key_file(path));
    let deployments = loaded.config.deployments.values();
    let mut known = Configuration {
        privileges: loaded.config.privileges,
        origin: loaded.config.origin.clone(),
        changed_at_us: newest_us(
            loaded
                .layers
                .iter()
                .cloned()
                .chain(loaded.users.iter().map(|_| directory.join(config::users::FILE))),
        )?,
        secrets_changed_at_us: newest_us(secrets)?,
        slugs: deployments.clone().map(|deployment| deployment.slug.clone()).collect(),
        undeployed: deployments
            .clone()
            .filter(|deployment| loaded.config.reconcile.enabled && is_deployed_at_once(deployment))
            .map(|deployment| deployment.slug.clone())
            .collect(),
        paths: deployments.clone().map(|deployment| deployment.path.clone()).collect(),
        sites_paths: deployments
            .clone()
            .filter(|deployment| deployment.recipe.sites.is_some())
            .map(|deployment| deployment.path.clone())
            .collect(),
        users_paths: deployments
            .clone()
            .filter(|deployment| user_of(deployment).is_some())
            .map(|deployment| deployment.path.clone())
            .collect(),
        users: deployments.clone().filter_map(user_of).collect(),
        assignment: assignment.clone(),
        pm2_users: deployments
            .clone()
            .filter(|deployment| deployment.recipe.is_under_pm2())
            .filter_map(user_of)
            .collect(),
        search_paths: loaded.config.executable_search_paths.clone(),
        needs_user_manager: deployments.clone().any(needs_user_manager),
        units: BTreeSet::new(),
        domains: BTreeSet::new(),
        has_sites: false,
        sites_allow: BTreeSet::new(),
        log_directory: loaded.config.nginx.log_directory.clone(),
        state_elsewhere: paths::state_elsewhere(&loaded.config).map(Path::to_owned),
    };
    for deployment in deployments {
        known.note(&deployment.recipe);
    }
    known.units.extend(known.pm2_users.iter().map(step_user::pm2_unit));
    Ok(Some(known))
}

/// Whether it has units there, or a PM2 that may have to be started there.
pub fn needs_user_manager(deployment: &config::Deployment) -> bool {
    let recipe = &deployment.recipe;
    recipe.has_user_units || recipe.is_under_pm2() && deployment.user.is_none()
}

/// When the newest of these files was changed.
fn newest_us(files: impl Iterator<Item = PathBuf>) -> Result<i64> {
    files.map(|file| Ok(fs::metadata(file)?)).try_fold(0, |newest, found: Result<std::fs::Metadata>| {
        let found = found?;
        Ok(newest.max(found.mtime() * 1_000_000 + found.mtime_nsec() / 1000))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::host::accounts;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users =
            "root:x:0:0::/root:/bin/sh\ndurhack:x:5:5::/:/bin/sh\ndurhack-deployer:x:997:996::/:/bin/sh\n";
        assert_eq!(accounts::account_in(users, "durhack-deployer"), Some((997, 996)));
        assert_eq!(accounts::account_in(users, "durhack-"), None);
        assert_eq!(accounts::account_in("broken\n", "broken"), None);
    }

    #[test]
    fn an_account_is_ours_by_its_home() {
        let users = "app-a:x:998:998::/var/lib/durhack-deployer-steps/app-a:/usr/sbin/nologin\napp-b:x:1000:1000::/home/b:/bin/sh\napp-a2:x:997:997::/var/lib/durhack-deployer-steps/app-a:/bin/sh\n";
        let groups = "app-a:x:998:\napp-c:x:42:\n";
        for (name, expected) in [
            ("app-a", AccountState::Ours),
            ("app-a2", AccountState::Taken),
            ("app-b", AccountState::Taken),
            ("app-c", AccountState::Taken),
            ("app-d", AccountState::Free),
        ] {
            let user = UserName::parse(name).unwrap();
            assert_eq!(account_state_in(users, groups, &user), expected, "{name}");
        }
    }

    #[test]
    fn nothing_is_planned_by_a_configuration_that_has_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let options = SetupOptions {
            configuration: scratch.path().into(),
            origin: None,
            privileges: None,
            uninstall: false,
        };
        let environment = Environment::new([("HOME", "/")], scratch.path());
        let read = |deployment: &str| {
            let text = format!(
                "source_networks = \"any\"\n[deployments.site]\nrepository = \"a/b\"\npath = \"/srv/a\"\nuser = \"web\"\n{deployment}"
            );
            fs::write(scratch.path().join("default.toml"), text).unwrap();
            configuration(&options, &environment)
        };
        assert!(
            read("branch = \"main\"").unwrap().unwrap().users.iter().eq(&[UserName::parse("web").unwrap()])
        );
        let error = format!("{:#}", read("brnch = \"main\"").unwrap_err());
        assert!(error.contains("cannot be used") && error.contains("did you mean `branch`?"), "{error}");
    }

    #[test]
    fn root_makes_directories_only_where_nobody_else_can() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(!is_roots(&scratch.path().join("a/b")), "/tmp is everybody's");
        assert!(!is_roots(Path::new("/etc")), "it is there");
        assert!(is_roots(Path::new("/etc/no-such-directory/site")));
    }
}

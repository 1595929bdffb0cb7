//! What is found, what is wished: what is to be done. Pure.
//!
//! An action is in the plan only where something is not as it should be; so the plan of a host that is in order is empty, and that of a
//! host on which an earlier setup was interrupted is the rest of it. The order is that in which each finds what it needs.

use super::action::{Action, File, Operation};
use super::options::SetupOptions;
use super::{allow_list, aside, configuration, drop_in, site, sudoers};
use crate::admin::arguments::PrivilegesArgument;
use crate::admin::host::paths::{self, DirectorySpec, Owner};
use crate::admin::setup::host_state::HostState;
use crate::admin::setup::options::Origin;
use crate::base::names::{Slug, UserName};
use crate::config::{Privileges, users};
use crate::process::step_user;
use crate::process::tools::{self, accounts, acl, systemctl};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What is to be done, and what an operator should know beside it.
#[derive(Debug, Default)]
pub struct Plan {
    /// In this order.
    pub actions: Vec<Action>,
    /// What setup leaves to people.
    pub remarks: Vec<String>,
    /// Whether as whom deployments run is another thing than the services have read.
    users_change: bool,
}

pub fn plan(found: &HostState, options: &SetupOptions) -> Result<Plan> {
    if let Some(state) = found.configuration.as_ref().and_then(|known| known.state_elsewhere.as_ref()) {
        let (what, mend) = paths::said_of_state_elsewhere(state);
        anyhow::bail!("{what}; {mend}");
    }
    let privileges = privileges(found, options);
    let mut plan = Plan::default();
    plan.account(found);
    plan.step_users(found);
    plan.directories(found);
    plan.secret(found);
    plan.key(found);
    plan.first_layer(found, options, privileges);
    plan.users(found, options);
    plan.allow_list(found)?;
    plan.sudoers(found, privileges);
    plan.nginx_files(found);
    plan.units(found, options, privileges);
    plan.nginx_walls(found);
    plan.site(found, options);
    plan.remark_on_configuration(found, options, privileges);
    Ok(plan)
}

/// The directories of the deployer's own.
pub fn directories(found: &HostState) -> Result<Plan> {
    let mut plan = Plan::default();
    plan.directories(found);
    plan.key(found);
    Ok(plan)
}

/// What starts the steps of the users that are named, as far as it is not there: nothing is stopped.
pub fn users_made(found: &HostState) -> Plan {
    let mut plan = Plan::default();
    plan.step_users(found);
    plan.steps_drop_in(found);
    plan.step_sockets(found);
    plan
}

/// As whom deployments run is recorded, with what follows from it for the worker and for PM2, and the services read it, whatever they have
/// read before. `pm2`: whose PM2 is to keep the applications of the deployment that gets another user.
pub fn users_recorded(found: &HostState, options: &SetupOptions, pm2: Option<&UserName>) -> Result<Plan> {
    let mut plan = Plan::default();
    let privileges = privileges(found, options);
    plan.users(found, options);
    plan.users_change = true;
    if let Some(user) = pm2 {
        // Nothing else that the configuration may need by now: that is `setup`'s to say.
        let mut only = found.clone();
        if let Some(known) = &mut only.configuration {
            known.units = [step_user::pm2_unit(user)].into();
            known.domains.clear();
            known.sites_allow.clear();
        }
        plan.allow_list(&only)?;
        plan.sudoers(found, privileges);
    }
    let known = found.configuration.as_ref();
    let worker_changes = plan.drop_in(found, paths::WORKER_DROP_IN, drop_in::worker(known, privileges));
    let steps_change = plan.drop_in(found, paths::STEPS_DROP_IN, drop_in::steps(known));
    let pm2_changes = plan.drop_in(found, paths::PM2_DROP_IN, drop_in::pm2(known));
    if worker_changes || steps_change || pm2_changes {
        plan.add("have systemd read its units again", Operation::Call(systemctl::reload_units()));
    }
    plan.step_sockets(found);
    plan.pm2_units(found, pm2_changes);
    for (unit, is_new) in [(paths::WORKER, worker_changes), (paths::INTAKE, false)] {
        if found.units.get(unit).is_some_and(|unit| unit.is_active && unit.is_enabled) {
            plan.start(found, unit, is_new);
        }
    }
    Ok(plan)
}

/// How what needs root will be done.
pub fn privileges(found: &HostState, options: &SetupOptions) -> Privileges {
    match (options.privileges, &found.configuration) {
        (Some(PrivilegesArgument::Helper), _) | (None, None) => Privileges::Helper,
        (Some(PrivilegesArgument::Sudo), _) => Privileges::Sudo,
        (None, Some(known)) => known.privileges,
    }
}

impl Plan {
    /// Of actions alone.
    pub fn of(actions: Vec<Action>) -> Self {
        Self { actions, ..Self::default() }
    }

    fn add(&mut self, what: impl Into<String>, operation: Operation) {
        self.actions.push(Action::new(what, operation));
    }

    fn account(&mut self, found: &HostState) {
        if found.account.is_none() && paths::user() == paths::USER {
            let what = format!("make the user and group {}, without password and shell", paths::user());
            self.add(what, Operation::Call(accounts::make(paths::SYSUSERS)));
        }
    }

    /// Users of deployments' own.
    fn step_users(&mut self, found: &HostState) {
        for user in found.configuration.iter().flat_map(|known| &known.users) {
            match found.step_users.get(user) {
                Some(Some(id)) if is_special(found, *id) => self.remarks.push(format!(
                    "the user {user} is root, or the deployer, by another name: no step will run as that; name another one"
                )),
                Some(Some(_)) if found.own_accounts.contains(user) => {}
                // Whose steps are started already, was looked at before.
                Some(Some(_)) if found.units.get(&step_user::unit(user)).is_some_and(|unit| unit.is_enabled) => {}
                Some(Some(id)) => self.remarks.push(format!(
                    "the user {user} is there already (number {id}): whatever is pushed to its deployments can do what it can"
                )),
                _ => {
                    let what = format!("make the user and group {user}, without password and shell");
                    let home = step_user::home(user);
                    self.add(what, Operation::Call(accounts::make_user(user.as_str(), &home)));
                }
            }
        }
    }

    /// What their units may write, where that is all that changes.
    fn steps_drop_in(&mut self, found: &HostState) {
        let steps = drop_in::steps(found.configuration.as_ref());
        if self.drop_in(found, paths::STEPS_DROP_IN, steps) {
            self.add("have systemd read its units again", Operation::Call(systemctl::reload_units()));
        }
    }

    /// What starts their steps, and only theirs.
    fn step_sockets(&mut self, found: &HostState) {
        let named = found.configuration.as_ref().map(|known| known.users.clone()).unwrap_or_default();
        for (user, id) in &found.step_users {
            let unit = step_user::unit(user);
            if named.contains(user) && !id.is_some_and(|id| is_special(found, id)) {
                if !found.keyed_users.contains(user) {
                    let what = format!(
                        "make the key by which steps of {user} are asked for: {}",
                        step_user::key_file(user).display()
                    );
                    self.add(what, Operation::MakeStepsKey(user.clone()));
                }
                self.start(found, &unit, false);
            } else if found.units.get(&unit).is_some_and(|unit| unit.is_active || unit.is_enabled) {
                let what = format!("stop {unit}: no deployment names this user");
                self.add(what, Operation::Call(systemctl::disable(&[&unit])));
            }
        }
    }

    /// What keeps their applications. Started by their first deploy, which needs PM2, and from then on at every boot.
    fn pm2_units(&mut self, found: &HostState, changes: bool) {
        let is_up = |unit: &str| found.units.get(unit).is_some_and(|unit| unit.is_active);
        let is_enabled = |unit: &str| found.units.get(unit).is_some_and(|unit| unit.is_enabled);
        for (user, id) in &found.step_users {
            let unit = step_user::pm2_unit(user);
            let known = found.configuration.as_ref();
            let is_wanted = known.is_some_and(|known| known.pm2_users.contains(user))
                && !id.is_some_and(|id| is_special(found, id));
            if is_wanted && !is_enabled(&unit) {
                let what = format!("start {unit} at every boot");
                self.add(what, Operation::Call(systemctl::enable_only(&[&unit])));
            }
            if is_wanted && changes && is_up(&unit) {
                self.remarks.push(format!(
                    "{unit} has changed: restart it when its applications may stop for a moment (systemctl restart {unit})"
                ));
            }
            // It may keep what is live.
            if !is_wanted && (is_up(&unit) || is_enabled(&unit)) {
                self.remarks.push(format!(
                    "no deployment needs {unit} any more: where nothing that it keeps is live, systemctl disable --now {unit}"
                ));
            }
        }
    }

    fn directories(&mut self, found: &HostState) {
        for directory in paths::directories() {
            self.directory(found, directory, "make");
        }
        for path in found.configuration.iter().flat_map(|known| &known.paths) {
            match found.places.get(path) {
                // Whose it is and what lies in it is somebody's decision; it may be a work tree that is deployed in place.
                Some(place) if found.account.is_some_and(|(user, _)| place.user != user) => self.remarks.push(format!(
                    "{} is not {}'s (it is user {}'s): it cannot be deployed to before it is: chown -R {}: {}",
                    path.display(), paths::user(), place.user, paths::user(), path.display()
                )),
                Some(_) => {}
                None if found.roots.contains(path) => {
                    self.directory(found, paths::application(path), "make the deployment's directory");
                }
                // The deployer makes it itself, where it may.
                None if drop_in::is_in_a_home(path) => self.remarks.push(format!(
                    "{} is not there, and the service can make nothing in people's homes: make it (install -d -o {} {}), and run setup again",
                    path.display(), paths::user(), path.display()
                )),
                None => {}
            }
        }
    }

    fn directory(&mut self, found: &HostState, directory: DirectorySpec, verb: &str) {
        let is_right = match (found.places.get(&directory.path), found.ids(directory.owner)) {
            (Some(place), Some(ids)) => {
                place.is_directory && (place.user, place.group) == ids && place.mode == directory.mode
            }
            _ => false,
        };
        if !is_right {
            let verb = if found.places.contains_key(&directory.path) { "put right" } else { verb };
            let owner = match directory.owner {
                Owner::Root => "root",
                Owner::RootForDeployer => "root:durhack-deployer",
                Owner::Deployer => "durhack-deployer",
            };
            let what = format!("{verb} {} ({owner}, mode {:03o})", directory.path.display(), directory.mode);
            self.add(what, Operation::Make(directory));
        }
    }

    fn secret(&mut self, found: &HostState) {
        for (path, mode) in &found.open_secrets {
            let what = format!(
                "let nobody but its owner read the secret {} (mode 600; it was {mode:03o}: who may have read it is a reason to make a new one)",
                path.display()
            );
            self.add(what, Operation::Close(path.clone()));
        }
        if !found.places.contains_key(Path::new(paths::WEBHOOK_SECRET)) {
            self.add(format!("make a webhook secret in {}", paths::WEBHOOK_SECRET), Operation::MakeSecret);
        }
    }

    fn key(&mut self, found: &HostState) {
        if !found.places.contains_key(Path::new(paths::HELPER_KEY)) {
            let what =
                format!("make the key that the worker shows the privileged helper: {}", paths::HELPER_KEY);
            self.add(what, Operation::MakeKey);
        }
    }

    fn first_layer(&mut self, found: &HostState, options: &SetupOptions, privileges: Privileges) {
        let path = options.configuration.join("default.toml");
        if found.configuration.is_none() {
            let text = configuration::first_layer(options.origin.as_ref(), privileges);
            let what = format!("write a first configuration, {}", path.display());
            self.write(what, path, text, Owner::RootForDeployer, 0o640);
        }
    }

    /// Also where there is no deployment yet: from then on none runs as the deployer because nobody has called `setup`.
    fn users(&mut self, found: &HostState, options: &SetupOptions) {
        let assignment =
            found.configuration.as_ref().map(|known| known.assignment.clone()).unwrap_or_default();
        let text = assignment.users.text();
        let path = options.configuration.join(users::FILE);
        if found.texts.get(&path) != Some(&text) {
            let who = match assignment.new.as_slice() {
                [] => String::new(),
                new => format!(" ({})", new.join(", ")),
            };
            self.write(
                format!("record as whom deployments run{who}, in {}", path.display()),
                path,
                text,
                Owner::Root,
                0o644,
            );
            self.users_change = true;
        }
        self.remarks.extend(assignment.remarks);
    }

    /// What somebody else has written is kept, before a file of ours takes its place.
    fn keep(&mut self, found: &HostState, path: &Path) {
        if found.is_foreign(path) {
            let kept = aside::place_of(&found.date, path);
            let what = format!("keep {}, which setup has not written: {}", path.display(), kept.display());
            self.add(what, Operation::Keep(path.to_owned(), kept));
        }
    }

    fn write(&mut self, what: String, path: PathBuf, text: String, owner: Owner, mode: u32) {
        self.add(what, Operation::Write(File { path, text, owner, mode }));
    }

    /// Also with sudo: certificates are then obtained by the same program, for the names in the same list.
    fn allow_list(&mut self, found: &HostState) -> Result<()> {
        let allowed = found.configuration.iter().flat_map(|known| &known.sites_allow);
        self.remarks.extend(allowed.filter_map(|entry| nginx_policy::judge_allowance(entry).ok()));
        let path = PathBuf::from(paths::ALLOW_LIST);
        let before = found.texts.get(&path).map(String::as_str);
        let (text, new) = allow_list::complete(before, found.configuration.as_ref())?;
        let what = match (before, new.as_slice()) {
            (Some(_), []) => return Ok(()),
            (None, []) => format!("write what the privileged helper may do: {}", path.display()),
            (_, new) => format!("allow the privileged helper {}, in {}", new.join(", "), path.display()),
        };
        self.keep(found, &path);
        self.write(what, path, text, Owner::Root, 0o644);
        Ok(())
    }

    fn sudoers(&mut self, found: &HostState, privileges: Privileges) {
        let path = PathBuf::from(paths::SUDOERS);
        let before = found.texts.get(&path);
        if privileges != Privileges::Sudo {
            if found.is_foreign(&path) && found.moving.is_some() {
                // It is moved aside at its own time.
            } else if found.is_foreign(&path) {
                self.remarks.push(format!(
                    "{} was written by somebody else, and is left alone: it lets {} act as root, which the deployer does not need: move it away when nothing else needs it",
                    path.display(),
                    paths::user()
                ));
            } else if before.is_some() {
                self.add(format!("remove {}: the helper is used", path.display()), Operation::Remove(path));
            }
            return;
        }
        let text = sudoers::rules(found.configuration.as_ref());
        if before != Some(&text) {
            self.keep(found, &path);
            let what = format!("write sudo's rules, checked by visudo: {}", path.display());
            self.add(what, Operation::WriteSudoers(text));
        }
    }

    /// Root writes what nginx reads. What an earlier version let the deployer's user do there is taken away, and what it wrote becomes root's.
    fn nginx_files(&mut self, found: &HostState) {
        if found.moving.is_some_and(|moving| moving.is_old_tool_live) {
            return;
        }
        let Some(nginx) = &found.nginx else { return };
        for (path, access) in &nginx.access {
            if found.account.is_some() && (access.directory || access.new_files) {
                let what = format!(
                    "let the deployer write in {} no more: root judges and writes site files",
                    path.display()
                );
                self.add(what, Operation::Call(acl::revoke(&paths::user(), path)));
            }
        }
        let good: Vec<&str> = nginx
            .users_files
            .iter()
            .filter(|(_, why)| why.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        // The way back needs them as they are; the next setup makes them root's.
        if !good.is_empty() && found.moving.is_none() {
            let what =
                format!("make root's what the deployer wrote among nginx's files: {}", good.join(", "));
            self.add(what, Operation::Call(tools::nginx::adopt_sites()));
        }
        for (name, why) in nginx.users_files.iter().filter_map(|(name, why)| Some((name, why.as_ref()?))) {
            self.remarks.push(format!(
                "{}/{name} is {}'s, and root would not write it so: {why}. nginx is not reloaded by the deployer before that is \
                 mended: change the file and `chown root` it, or remove it",
                paths::NGINX,
                paths::user()
            ));
        }
    }

    /// The second wall, for what comes to be read by nginx all the same.
    fn nginx_walls(&mut self, found: &HostState) {
        let has_sites = found.configuration.as_ref().is_some_and(|known| known.has_sites);
        // It takes a restart of nginx, which every site of the host would feel.
        if has_sites && found.moving.is_some() {
            self.remarks.push(
                "nginx's unit is not confined now, which takes a restart of nginx: `durhack-deployer setup` does it, when sites may be away for a moment".into(),
            );
            return;
        }
        let before = found.texts.get(Path::new(paths::NGINX_DROP_IN)).map(String::as_str);
        let Some(nginx) = found.nginx.as_ref().filter(|_| has_sites && before != Some(drop_in::NGINX)) else {
            return;
        };
        let restart = if nginx.is_active { ", tried by a reload, then a restart of nginx" } else { "" };
        self.keep(found, Path::new(paths::NGINX_DROP_IN));
        let what = format!("confine nginx's unit{restart}: {}", paths::NGINX_DROP_IN);
        self.add(what, Operation::NginxWalls(Some(drop_in::NGINX.into())));
    }

    fn units(&mut self, found: &HostState, options: &SetupOptions, privileges: Privileges) {
        let worker = drop_in::worker(found.configuration.as_ref(), privileges);
        let worker_changes = self.drop_in(found, paths::WORKER_DROP_IN, worker);
        // Without a word about nginx this time, what an earlier one said holds.
        let behind_nginx = (options.origin.is_some() && found.nginx.is_some()) || found.moving.is_some();
        let socket_changes =
            behind_nginx && self.drop_in(found, paths::SOCKET_DROP_IN, Some(drop_in::socket(found.port())));
        let steps = drop_in::steps(found.configuration.as_ref());
        let steps_change = self.drop_in(found, paths::STEPS_DROP_IN, steps);
        let pm2 = drop_in::pm2(found.configuration.as_ref());
        let pm2_changes = self.drop_in(found, paths::PM2_DROP_IN, pm2);
        let homes = drop_in::nginx_homes(found.configuration.as_ref());
        let mut homes_change = false;
        for path in paths::NGINX_HOME_DROP_INS {
            homes_change |= self.drop_in(found, path, homes.clone());
        }
        if worker_changes
            || homes_change
            || steps_change
            || pm2_changes
            || socket_changes
            || found.units.values().any(|unit| unit.is_outdated)
        {
            self.add("have systemd read its units again", Operation::Call(systemctl::reload_units()));
        }
        let is_up = |unit: &str| found.units.get(unit).is_some_and(|unit| unit.is_active);
        if socket_changes && is_up(paths::INTAKE_SOCKET) {
            self.add(
                "open the port anew, for nginx alone",
                Operation::Call(systemctl::stop(&[paths::INTAKE])),
            );
            let what = format!("restart {}", paths::INTAKE_SOCKET);
            self.add(what, Operation::Call(systemctl::restart(&[paths::INTAKE_SOCKET, paths::INTAKE])));
        }
        if privileges != Privileges::Direct {
            self.start(found, paths::NGINX_TEST_SOCKET, false);
            self.start(found, paths::CERTBOT_SOCKET, false);
        }
        if privileges == Privileges::Helper {
            self.start(found, paths::PRIVILEGED_SOCKET, false);
        }
        self.step_sockets(found);
        self.pm2_units(found, pm2_changes);
        self.start(found, paths::INTAKE_SOCKET, false);
        // The worker makes the directories of the state, which the intake cannot.
        let has_key = found.places.contains_key(Path::new(paths::HELPER_KEY));
        if !found.moving.is_some_and(|moving| moving.is_old_tool_live) {
            self.start(found, paths::WORKER, worker_changes || !has_key);
        }
        self.start(found, paths::INTAKE, false);
        let socket = found.units.get(paths::PRIVILEGED_SOCKET);
        if privileges != Privileges::Helper && socket.is_some_and(|unit| unit.is_active || unit.is_enabled) {
            let what = format!("stop {}: the helper is not used", paths::PRIVILEGED_SOCKET);
            self.add(what, Operation::Call(systemctl::disable(&[paths::PRIVILEGED_SOCKET])));
        }
    }

    /// Whether the drop-in changes.
    fn drop_in(&mut self, found: &HostState, path: &str, wanted: Option<String>) -> bool {
        let path = PathBuf::from(path);
        let before = found.texts.get(&path);
        match (wanted, before) {
            (wanted, before) if wanted.as_ref() == before => return false,
            (Some(text), _) => {
                self.keep(found, &path);
                let what = format!("write what a unit does otherwise on this host: {}", path.display());
                self.write(what, path, text, Owner::Root, 0o644);
            }
            (None, _) if found.is_foreign(&path) => {
                self.remarks
                    .push(format!("{} was written by somebody else, and is left alone", path.display()));
                return false;
            }
            (None, _) => self.add(format!("remove {}", path.display()), Operation::Remove(path)),
        }
        true
    }

    fn start(&mut self, found: &HostState, unit: &str, is_new: bool) {
        let now = found.units.get(unit).cloned().unwrap_or_default();
        let known = found.configuration.as_ref();
        let (changed, secrets) =
            known.map_or((0, 0), |known| (known.changed_at_us, known.secrets_changed_at_us));
        if !(now.is_active && now.is_enabled) {
            self.add(
                format!("start {unit}, now and at every boot"),
                Operation::Call(systemctl::enable(&[unit])),
            );
        } else if is_new || now.started_at_us.is_some_and(|started_at| secrets > started_at) {
            let what = format!("restart {unit}: its unit or its secrets have changed since it was started");
            self.add(what, Operation::Call(systemctl::restart(&[unit])));
        } else if unit.ends_with(".service")
            && (self.users_change || now.changed_at_us.is_some_and(|at| changed > at))
        {
            let what = format!("have {unit} read the configuration, which has changed since it did");
            self.add(what, Operation::Call(systemctl::reload(&[unit])));
        }
    }

    fn site(&mut self, found: &HostState, options: &SetupOptions) {
        let Some(origin) = &options.origin else {
            self.remarks.extend(open_port(found));
            return;
        };
        let Some(nginx) = &found.nginx else {
            self.remarks.push(format!(
                "there is no nginx here: have your proxy send {} to 127.0.0.1:{}",
                origin.text(),
                found.port()
            ));
            return;
        };
        let text = site::text(origin, nginx.has_certificate, found.port());
        let before = found.texts.get(&nginx.site);
        let shown = nginx.site.display();
        match before {
            Some(before) if *before == text && !found.places.contains_key(Path::new(paths::SITE_PENDING)) => {
            }
            Some(before) if !before.starts_with(site::MARK) || before.contains("managed by Certbot") => {
                self.remarks.push(format!("{shown} was changed after `setup` wrote it, and is left alone"));
            }
            _ => {
                let what = format!("write nginx's site for {}, test it, reload: {shown}", origin.text());
                self.add(what, Operation::Site(nginx.site.clone(), Some(text)));
            }
        }
        if origin.scheme == "https" && !nginx.has_certificate {
            self.remarks.push(format!(
                "there is no certificate for {0} yet: `certbot certonly --webroot -w /var/www/html -d {0} --deploy-hook \"systemctl reload nginx\"`, then setup again",
                origin.host
            ));
        }
    }

    /// What stands in a configuration is the operator's: it is compared, and never changed.
    fn remark_on_configuration(&mut self, found: &HostState, options: &SetupOptions, privileges: Privileges) {
        let Some(known) = &found.configuration else { return };
        if !known.undeployed.is_empty() && found.moving.is_none() {
            let slugs: Vec<&str> = known.undeployed.iter().map(Slug::as_str).collect();
            self.remarks.push(format!(
                "never deployed yet: {}. As soon as the worker has this configuration, the heads of their branches are; with `enabled = false` they are not",
                slugs.join(", ")
            ));
        }
        if known.privileges != privileges {
            let word = configuration::privileges_word(privileges);
            self.remarks
                .push(format!("the configuration does not say so yet: write `privileges = \"{word}\"`"));
        }
        if let Some(origin) = options.origin.as_ref().map(super::options::Origin::text)
            && origin != known.origin
        {
            self.remarks.push(format!(
                "the configuration says origin {}: write `origin = \"{origin}\"`",
                known.origin
            ));
        }
    }
}

/// Where nginx is there and was not told of the deployer: an earlier `setup` may have been told of it, and undone.
fn open_port(found: &HostState) -> Option<String> {
    let (nginx, known) = (found.nginx.as_ref()?, found.configuration.as_ref()?);
    let origin = Origin::parse(&known.origin).ok()?.text();
    let is_told = found.texts.contains_key(&nginx.site)
        || found.texts.contains_key(Path::new(paths::SOCKET_DROP_IN))
        || found.moving.is_some();
    (!is_told).then(|| {
        format!(
            "nginx has no site of setup's for the deployer, and port {} is open on every address: `durhack-deployer setup --origin {origin}` writes it, and opens the port for nginx alone; right as it is where a proxy of yours, or GitHub itself, calls that port",
            found.port()
        )
    })
}

/// Whom no step may run as.
fn is_special(found: &HostState, id: u32) -> bool {
    id == 0 || found.account.is_some_and(|(deployer, _)| deployer == id)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::admin::setup::configured::Configuration;
    use crate::admin::setup::host_state::{Nginx, PathFacts};
    use crate::admin::setup::options::Origin;
    use crate::admin::setup::users::Assignment;
    use crate::base::names::{Slug, UserName};
    use crate::process::tools::acl::Access;
    use crate::process::tools::systemctl::Installation;
    use std::collections::{BTreeMap, BTreeSet};

    const ACCOUNT: (u32, u32) = (997, 996);

    /// Of one deployment.
    pub fn configuration() -> Configuration {
        Configuration {
            privileges: Privileges::Helper,
            origin: "https://deploy.example.org".into(),
            changed_at_us: 1_000,
            secrets_changed_at_us: 500,
            slugs: BTreeSet::new(),
            undeployed: BTreeSet::new(),
            sites_paths: BTreeSet::new(),
            paths: ["/srv/site".into()].into(),
            users_paths: BTreeSet::new(),
            users: BTreeSet::new(),
            assignment: Assignment::default(),
            pm2_users: BTreeSet::new(),
            search_paths: Vec::new(),
            needs_user_manager: false,
            units: ["site.service".to_owned()].into(),
            domains: ["example.org".to_owned()].into(),
            has_sites: true,
            sites_allow: BTreeSet::new(),
            log_directory: crate::admin::setup::host_state::NGINX_LOGS.into(),
            state_elsewhere: None,
        }
    }

    fn options() -> SetupOptions {
        let origin = Some(Origin::parse("https://deploy.example.org").unwrap());
        SetupOptions {
            configuration: paths::CONFIGURATION.into(),
            origin,
            privileges: None,
            uninstall: false,
        }
    }

    /// A fresh host with nginx and the package.
    fn fresh() -> HostState {
        let access = vec![("/etc/nginx/conf.d".into(), Access { existing_files: true, ..Access::default() })];
        let users_files = BTreeMap::new();
        let site = "/etc/nginx/sites-enabled/durhack-deployer.conf".into();
        HostState {
            roots: ["/srv/site".into()].into(),
            nginx: Some(Nginx { site, has_certificate: false, access, users_files, is_active: true }),
            ..HostState::default()
        }
    }

    /// What is found after an action has been carried out.
    fn after(mut found: HostState, action: &Action) -> HostState {
        let ids = |owner| crate::admin::host::paths::ids(owner, Some(ACCOUNT)).unwrap();
        let place = |owner, mode, is_directory| {
            let (user, group) = ids(owner);
            PathFacts { user, group, mode, is_directory }
        };
        match &action.operation {
            Operation::Make(directory) => {
                found.places.insert(directory.path.clone(), place(directory.owner, directory.mode, true));
            }
            Operation::MakeKey => {
                found.places.insert(paths::HELPER_KEY.into(), place(Owner::Root, 0o600, false));
            }
            Operation::MakeStepsKey(user) => drop(found.keyed_users.insert(user.clone())),
            Operation::NginxWalls(text) => {
                found.texts.insert(paths::NGINX_DROP_IN.into(), text.clone().unwrap());
            }
            Operation::MakeSecret => {
                found.places.insert(paths::WEBHOOK_SECRET.into(), place(Owner::Root, 0o600, false));
            }
            Operation::Write(file) if file.path == Path::new(paths::FIRST_LAYER) => {
                found.configuration = Some(configuration());
            }
            Operation::Write(file) => drop(found.texts.insert(file.path.clone(), file.text.clone())),
            Operation::WriteSudoers(text) => drop(found.texts.insert(paths::SUDOERS.into(), text.clone())),
            Operation::Site(path, text) => drop(found.texts.insert(path.clone(), text.clone().unwrap())),
            Operation::Keep(..) => {}
            Operation::Remove(path) => drop(found.texts.remove(path)),
            Operation::RemoveAll(path) => drop(found.places.remove(path)),
            Operation::Close(path) => drop(found.open_secrets.remove(path)),
            Operation::Call(call) => called(&mut found, &call.argv()),
        }
        found
    }

    fn called(found: &mut HostState, argv: &[String]) {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let nginx = found.nginx.as_mut().unwrap();
        match words.as_slice() {
            ["systemd-sysusers", _] => found.account = Some(ACCOUNT),
            ["useradd", .., user] => {
                found.step_users.insert(UserName::parse(user).unwrap(), Some(998));
            }
            ["setfacl", .., "--remove", _, "--", _] => nginx.access[0].1 = Access::default(),
            [_, "sites-adopt"] => nginx.users_files.retain(|_, why| why.is_some()),
            ["systemctl", _, verb @ ("enable" | "restart" | "reload" | "disable"), .., unit] => {
                let is_up = *verb != "disable";
                let name = (*unit).to_owned();
                let at = is_up.then_some(i64::MAX);
                let unit = Installation {
                    name: name.clone(),
                    is_enabled: is_up,
                    is_active: is_up,
                    is_outdated: false,
                    started_at_us: at,
                    changed_at_us: at,
                };
                found.units.insert(name, unit);
            }
            _ => found.units.values_mut().for_each(|unit| unit.is_outdated = false),
        }
    }

    fn settle(mut found: HostState, options: &SetupOptions) -> HostState {
        // The second plan knows what the first configuration says.
        for _ in 0..2 {
            for action in plan(&found, options).unwrap().actions {
                found = after(found, &action);
            }
        }
        found
    }

    fn lines(plan: &Plan) -> Vec<&str> {
        plan.actions.iter().map(|action| action.what.as_str()).collect()
    }

    #[test]
    fn a_fresh_host_gets_everything_and_then_nothing() {
        let first = plan(&fresh(), &options()).unwrap();
        insta::assert_snapshot!(lines(&first).join("\n"), @r"
        make the user and group durhack-deployer, without password and shell
        make /var/lib/durhack-deployer (durhack-deployer, mode 700)
        make /etc/durhack-deployer (root:durhack-deployer, mode 750)
        make /etc/durhack-deployer/credentials (root, mode 700)
        make a webhook secret in /etc/durhack-deployer/credentials/webhook-secret
        make the key that the worker shows the privileged helper: /etc/durhack-deployer/credentials/helper-key
        write a first configuration, /etc/durhack-deployer/default.toml
        record as whom deployments run, in /etc/durhack-deployer/users.toml
        write what the privileged helper may do: /etc/durhack-deployer/privileged.toml
        write what a unit does otherwise on this host: /etc/systemd/system/durhack-deployer-intake.socket.d/setup.conf
        have systemd read its units again
        start durhack-deployer-nginx-test.socket, now and at every boot
        start durhack-deployer-certbot.socket, now and at every boot
        start durhack-deployer-privileged.socket, now and at every boot
        start durhack-deployer-intake.socket, now and at every boot
        start durhack-deployer-worker.service, now and at every boot
        start durhack-deployer-intake.service, now and at every boot
        write nginx's site for https://deploy.example.org, test it, reload: /etc/nginx/sites-enabled/durhack-deployer.conf
        ");
        let settled = settle(fresh(), &options());
        assert_eq!(lines(&plan(&settled, &options()).unwrap()), Vec::<&str>::new());
    }

    #[test]
    fn what_was_interrupted_is_completed_and_nothing_done_twice() {
        let whole = plan(&fresh(), &options()).unwrap().actions;
        // systemd reads its units once more after each change to them.
        let once: Vec<&Action> = whole
            .iter()
            .filter(|action| action.operation != Operation::Call(systemctl::reload_units()))
            .collect();
        for done in 0..once.len() {
            let found = once[..done].iter().fold(fresh(), |found, action| after(found, action));
            let rest = plan(&found, &options()).unwrap().actions;
            assert!(!rest.is_empty(), "after {done}");
            assert!(once[..done].iter().all(|action| !rest.contains(action)), "after {done}: {rest:?}");
            let settled = settle(found, &options());
            assert!(plan(&settled, &options()).unwrap().actions.is_empty(), "after {done}");
        }
    }

    #[test]
    fn what_an_earlier_version_let_the_deployer_do_is_taken_away() {
        let mut found = settle(fresh(), &options());
        let nginx = found.nginx.as_mut().unwrap();
        nginx.access[0].1 = Access { directory: true, new_files: true, existing_files: true };
        nginx.users_files.insert("conf.d/good.conf".into(), None);
        nginx.users_files.insert("conf.d/bad.conf".into(), Some("line 1: no".into()));
        found.texts.remove(Path::new(paths::NGINX_DROP_IN));
        let upgraded = plan(&found, &options()).unwrap();
        insta::assert_snapshot!(lines(&upgraded).join("\n"), @r"
        let the deployer write in /etc/nginx/conf.d no more: root judges and writes site files
        make root's what the deployer wrote among nginx's files: conf.d/good.conf
        confine nginx's unit, tried by a reload, then a restart of nginx: /etc/systemd/system/nginx.service.d/durhack-deployer.conf
        ");
        let said =
            "/etc/nginx/conf.d/bad.conf is durhack-deployer's, and root would not write it so: line 1: no";
        assert!(upgraded.remarks.iter().any(|remark| remark.contains(said)), "{upgraded:?}");
        let settled = settle(found, &options());
        assert!(plan(&settled, &options()).unwrap().actions.is_empty());
        // Where no deployment has sites, nginx's unit is nobody's business.
        let mut without = fresh();
        without.configuration = Some(Configuration { has_sites: false, ..configuration() });
        let plan = plan(&without, &options()).unwrap();
        assert!(!lines(&plan).iter().any(|line| line.contains("confine nginx")), "{plan:?}");
    }

    #[test]
    fn sudo_instead_of_the_helper_and_back() {
        let sudo = SetupOptions { privileges: Some(PrivilegesArgument::Sudo), ..options() };
        let helped = settle(fresh(), &options());
        let changed = plan(&helped, &sudo).unwrap();
        insta::assert_snapshot!([lines(&changed), changed.remarks.iter().map(String::as_str).collect()].concat().join("\n"), @r#"
        write sudo's rules, checked by visudo: /etc/sudoers.d/durhack-deployer
        write what a unit does otherwise on this host: /etc/systemd/system/durhack-deployer-worker.service.d/setup.conf
        have systemd read its units again
        restart durhack-deployer-worker.service: its unit or its secrets have changed since it was started
        stop durhack-deployer-privileged.socket: the helper is not used
        there is no certificate for deploy.example.org yet: `certbot certonly --webroot -w /var/www/html -d deploy.example.org --deploy-hook "systemctl reload nginx"`, then setup again
        the configuration does not say so yet: write `privileges = "sudo"`
        "#);
        let with_sudo = settle(helped, &sudo);
        assert!(plan(&with_sudo, &sudo).unwrap().actions.is_empty());
        let back = plan(&with_sudo, &options()).unwrap();
        assert!(lines(&back).iter().any(|line| line.starts_with("remove /etc/sudoers.d")), "{back:?}");
    }

    #[test]
    fn a_changed_configuration_is_read_again_changed_secrets_are_handed_over_and_a_new_unit_is_allowed() {
        let mut found = settle(fresh(), &options());
        let known = found.configuration.as_mut().unwrap();
        known.units.insert("other.service".into());
        known.changed_at_us = 2_000;
        for unit in [paths::INTAKE, paths::WORKER] {
            let unit = found.units.get_mut(unit).unwrap();
            (unit.started_at_us, unit.changed_at_us) = (Some(1_500), Some(1_500));
        }
        let reloaded = plan(&found, &options()).unwrap();
        found.configuration.as_mut().unwrap().secrets_changed_at_us = 1_600;
        let restarted = plan(&found, &options()).unwrap();
        insta::assert_snapshot!(lines(&reloaded).join("\n"), @r"
        allow the privileged helper other.service, in /etc/durhack-deployer/privileged.toml
        have durhack-deployer-worker.service read the configuration, which has changed since it did
        have durhack-deployer-intake.service read the configuration, which has changed since it did
        ");
        insta::assert_snapshot!(lines(&restarted).join("\n"), @r"
        allow the privileged helper other.service, in /etc/durhack-deployer/privileged.toml
        restart durhack-deployer-worker.service: its unit or its secrets have changed since it was started
        restart durhack-deployer-intake.service: its unit or its secrets have changed since it was started
        ");
    }

    #[test]
    fn users_of_deployments_are_made_and_may_be_called_as_long_as_they_are_named() {
        let web = UserName::parse("web").unwrap();
        let mut found = settle(fresh(), &options());
        let known = found.configuration.as_mut().unwrap();
        (known.users, known.users_paths) = ([web.clone()].into(), ["/srv/site".into()].into());
        known.pm2_users = [web.clone()].into();
        found.step_users.insert(web.clone(), None);
        let named = plan(&found, &options()).unwrap();
        insta::assert_snapshot!(lines(&named).join("\n"), @r"
        make the user and group web, without password and shell
        write what a unit does otherwise on this host: /etc/systemd/system/durhack-deployer-steps@.service.d/setup.conf
        write what a unit does otherwise on this host: /etc/systemd/system/durhack-deployer-pm2@.service.d/setup.conf
        have systemd read its units again
        make the key by which steps of web are asked for: /etc/durhack-deployer/credentials/steps-key-web
        start durhack-deployer-steps@web.socket, now and at every boot
        start durhack-deployer-pm2@web.service at every boot
        ");
        let mut found = settle(found, &options());
        assert_eq!(lines(&plan(&found, &options()).unwrap()), Vec::<&str>::new());
        let known = found.configuration.as_mut().unwrap();
        (known.users, known.users_paths) = (BTreeSet::new(), BTreeSet::new());
        known.pm2_users = BTreeSet::new();
        let forgotten = plan(&found, &options()).unwrap();
        let remarks = forgotten.remarks.join("\n");
        assert!(
            remarks.contains("no deployment needs durhack-deployer-pm2@web.service any more"),
            "{remarks}"
        );
        insta::assert_snapshot!(lines(&forgotten).join("\n"), @r"
        remove /etc/systemd/system/durhack-deployer-steps@.service.d/setup.conf
        remove /etc/systemd/system/durhack-deployer-pm2@.service.d/setup.conf
        have systemd read its units again
        stop durhack-deployer-steps@web.socket: no deployment names this user
        ");
        found.configuration.as_mut().unwrap().users = [web.clone()].into();
        found.step_users.insert(web, Some(0));
        let plan = plan(&found, &options()).unwrap();
        assert!(
            plan.remarks.iter().any(|remark| remark.contains("root, or the deployer, by another name")),
            "{plan:?}"
        );
        assert!(lines(&plan).iter().any(|line| line.starts_with("stop durhack-deployer-steps@web.socket")));
    }

    #[test]
    fn who_is_recorded_anew_is_known_to_the_services_and_then_nothing_is_done() {
        let mut found = settle(fresh(), &options());
        let (slug, user) = (Slug::parse("site").unwrap(), UserName::parse("app-site").unwrap());
        let known = found.configuration.as_mut().unwrap();
        known.assignment.users.set(slug, user.clone());
        known.assignment.new.push("site: app-site".into());
        known.users = [user.clone()].into();
        found.step_users.insert(user.clone(), None);
        let assigned = plan(&found, &options()).unwrap();
        insta::assert_snapshot!(lines(&assigned).join("\n"), @r"
        make the user and group app-site, without password and shell
        record as whom deployments run (site: app-site), in /etc/durhack-deployer/users.toml
        make the key by which steps of app-site are asked for: /etc/durhack-deployer/credentials/steps-key-app-site
        start durhack-deployer-steps@app-site.socket, now and at every boot
        have durhack-deployer-worker.service read the configuration, which has changed since it did
        have durhack-deployer-intake.service read the configuration, which has changed since it did
        ");
        let mut found = settle(found, &options());
        assert_eq!(lines(&plan(&found, &options()).unwrap()), Vec::<&str>::new());
        // One of ours that is found without its socket is nobody to be warned of.
        found.own_accounts.insert(user.clone());
        found.units.remove(&step_user::unit(&user));
        let again = plan(&found, &options()).unwrap();
        assert_eq!(lines(&again), ["start durhack-deployer-steps@app-site.socket, now and at every boot"]);
        let is_warned = again.remarks.iter().any(|remark| remark.contains("app-site"));
        assert!(!is_warned, "{:?}", again.remarks);
    }

    #[test]
    fn without_an_origin_is_said_that_the_port_is_open_and_what_is_deployed_at_once() {
        let silent = SetupOptions { origin: None, ..options() };
        let mut found = settle(fresh(), &options());
        let remarks = |found: &HostState| plan(found, &silent).unwrap().remarks.join("\n");
        assert!(!remarks(&found).contains("is open on every address"), "what an earlier one said holds");
        // As `--uninstall` leaves it.
        let site = found.nginx.as_ref().unwrap().site.clone();
        found.texts.remove(&site);
        found.texts.remove(Path::new(paths::SOCKET_DROP_IN));
        let said = remarks(&found);
        assert!(
            said.contains("`durhack-deployer setup --origin https://deploy.example.org` writes it"),
            "{said}"
        );
        found.configuration.as_mut().unwrap().origin = "http://localhost:3400".into();
        assert!(!remarks(&found).contains("is open on every address"), "nobody has said how it is reached");
        assert!(!remarks(&found).contains("never deployed yet"));
        found.configuration.as_mut().unwrap().undeployed.insert(Slug::parse("site").unwrap());
        assert!(remarks(&found).contains("never deployed yet: site. As soon as"), "{}", remarks(&found));
    }

    #[test]
    fn what_is_somebody_elses_is_left_alone_and_said() {
        let mut found = settle(fresh(), &options());
        let foreign = PathFacts { user: 1000, group: 1000, mode: 0o755, is_directory: true };
        found.places.insert("/srv/site".into(), foreign);
        let site = found.nginx.as_ref().unwrap().site.clone();
        found.texts.insert(site, "server {}".into());
        let plan = plan(&found, &options()).unwrap();
        assert_eq!(lines(&plan), Vec::<&str>::new());
        for said in ["/srv/site is not durhack-deployer's", "changed after `setup` wrote it"] {
            assert!(plan.remarks.iter().any(|remark| remark.contains(said)), "{said}: {:?}", plan.remarks);
        }
    }
}

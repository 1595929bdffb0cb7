//! `--uninstall`: removes what setup made. Pure.
//!
//! What is live goes on serving: the directories of deployments are never removed, and neither are their units and sites.

use super::action::{Action, Operation};
use super::plan::Plan;
use super::site;
use crate::admin::host::paths;
use crate::admin::setup::host_state::HostState;
use crate::process::step_user;
use crate::process::tools::{accounts, acl, systemctl};
use std::path::{Path, PathBuf};

/// What is to be done, and what is left.
pub fn plan(found: &HostState, purge: bool) -> Plan {
    let mut plan = Plan::default();
    let mut add = |what: String, operation| plan.actions.push(Action::new(what, operation));
    // What lets work in goes first; the worker ends its run, or rolls it back.
    let units = paths::units(found.step_users.keys());
    let is_up = |unit: &str| found.units.get(unit).is_some_and(|unit| unit.is_active || unit.is_enabled);
    for unit in units.iter().filter(|unit| is_up(unit)) {
        add(format!("stop {unit}, and start it no more"), Operation::Call(systemctl::disable(&[unit])));
    }
    if is_up(paths::PRIVILEGED_SOCKET) {
        let what = "wait for the last request to the privileged helper".to_owned();
        add(what, Operation::Call(systemctl::stop(&paths::PRIVILEGED_INSTANCES)));
    }
    if found.step_users.keys().any(|user| is_up(&step_user::unit(user))) {
        let what = "end what is left of steps of deployments' own users".to_owned();
        add(what, Operation::Call(systemctl::stop(&[paths::STEPS_INSTANCES])));
    }
    if let Some(nginx) = &found.nginx {
        if found.texts.get(&nginx.site).is_some_and(|text| text.starts_with(site::MARK)) {
            let what = format!("remove nginx's site for the deployer, reload: {}", nginx.site.display());
            add(what, Operation::Site(nginx.site.clone(), None));
        }
        let granted = nginx.access.iter().filter(|(_, access)| access.directory || access.new_files);
        for (path, _) in granted.filter(|_| found.account.is_some()) {
            let what = format!("let the deployer write in {} no more", path.display());
            add(what, Operation::Call(acl::revoke(&paths::user(), path)));
        }
    }
    let walls = Path::new(paths::NGINX_DROP_IN);
    if found.texts.contains_key(walls) && !found.is_foreign(walls) {
        let what =
            format!("let nginx's unit be as its package has it: remove {}, restart", paths::NGINX_DROP_IN);
        add(what, Operation::NginxWalls(None));
    }
    let written = [
        paths::SUDOERS,
        paths::WORKER_DROP_IN,
        paths::STEPS_DROP_IN,
        paths::PM2_DROP_IN,
        paths::SOCKET_DROP_IN,
    ];
    let written = written.into_iter().chain(paths::USER_DROP_INS).chain(paths::NGINX_HOME_DROP_INS);
    let (foreign, there): (Vec<&str>, Vec<&str>) = written
        .filter(|path| found.texts.contains_key(Path::new(path)))
        .partition(|path| found.is_foreign(Path::new(path)));
    for path in &there {
        add(format!("remove {path}"), Operation::Remove(path.into()));
    }
    if there.iter().any(|path| path.starts_with("/etc/systemd")) {
        add("have systemd read its units again".into(), Operation::Call(systemctl::reload_units()));
    }
    let nginx_drop_in = Path::new(paths::NGINX_DROP_IN);
    let foreign = foreign.into_iter().chain(found.is_foreign(nginx_drop_in).then_some(paths::NGINX_DROP_IN));
    let foreign: Vec<String> =
        foreign.map(|path| format!("left: {path}, which somebody else has written")).collect();
    if purge {
        purge_rest(found, &mut plan);
    } else {
        plan.remarks = left(found);
    }
    plan.remarks.extend(foreign);
    let was_behind_nginx = found.texts.contains_key(Path::new(paths::SOCKET_DROP_IN));
    if let Some(known) = found.configuration.as_ref().filter(|_| was_behind_nginx && !purge) {
        plan.remarks.push(format!(
            "not left: that nginx leads to the deployer, and that nobody else reaches its port: a later setup is told so again, `durhack-deployer setup --origin {}`",
            known.origin
        ));
    }
    for user in found.step_users.iter().filter_map(|(user, id)| id.map(|_| user)) {
        plan.remarks.push(format!("left: the user {user}, and {}", step_user::home(user).display()));
    }
    for unit in found.step_users.keys().map(step_user::pm2_unit).filter(|unit| is_up(unit)) {
        plan.remarks.push(format!(
            "left: {unit}, which keeps what is live; with the package goes what starts it after a boot"
        ));
    }
    for path in found.configuration.iter().flat_map(|known| &known.paths) {
        plan.remarks.push(format!("left: {}, with what is live there", path.display()));
    }
    plan
}

/// The user first: where one of its programs still runs it cannot go, and then nothing of what that needs has gone either.
fn purge_rest(found: &HostState, plan: &mut Plan) {
    if found.account.is_some() && !found.is_own_account {
        plan.remarks.push(format!("left: the user {}, which setup has not made", paths::user()));
    } else if found.account.is_some() {
        let what = format!("remove the user and group {}", paths::user());
        plan.actions.push(Action::new(what, Operation::Call(accounts::remove(&paths::user()))));
    }
    for path in [paths::STATE, paths::STATE_OF_ROOT, paths::CONFIGURATION].map(PathBuf::from) {
        if found.places.contains_key(&path) {
            let what = format!("remove {} and everything in it", path.display());
            plan.actions.push(Action::new(what, Operation::RemoveAll(path)));
        }
    }
}

fn left(found: &HostState) -> Vec<String> {
    let what = [
        (paths::STATE, "the database and the queues"),
        (paths::CONFIGURATION, "the configuration, and its secrets"),
    ];
    let there = what.iter().filter(|(path, _)| found.places.contains_key(Path::new(path)));
    let mut left: Vec<String> = there.map(|(path, what)| format!("left: {path}: {what}")).collect();
    if found.account.is_some() {
        left.push(format!("left: the user and group {}", paths::user()));
    }
    if !left.is_empty() {
        left.push("`--uninstall --purge` removes these too".into());
    }
    left
}

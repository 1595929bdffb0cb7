//! Deployments' own users (`user = "web"`): whether steps can run as them, and whether that is a wall.

use super::accounts::Account;
use super::examined::Examined;
use super::finding::{Answer, Finding, or_ok};
use crate::config::Recipe;
use crate::deploy::processes::systemd::complaint;
use crate::deploy::step_user;
use crate::deploy::tools::systemctl;
use crate::names::UserName;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Groups whose members have ways to root, or to what is everybody's.
const POWERFUL_GROUPS: [&str; 11] =
    ["root", "sudo", "wheel", "admin", "docker", "lxd", "incus-admin", "libvirt", "disk", "shadow", "staff"];

const SETUP: &str = "`durhack-deployer setup` makes the user and has systemd start its steps";

/// One finding for each thing that is wrong with one of them.
pub fn all(examined: &Examined) -> Answer {
    let mut users: BTreeMap<&UserName, Vec<&str>> = BTreeMap::new();
    for deployment in examined.deployments()? {
        if let Some(user) = &deployment.user {
            users.entry(user).or_default().push(deployment.slug.as_str());
        }
    }
    let mut findings = Vec::new();
    for (user, slugs) in &users {
        let (whose, socket) = (slugs.join(", "), step_user::socket(user));
        let judged = judge(Account::named(user.as_str()).as_ref(), &examined.service, user, &whose);
        findings.extend(or_ok(
            judged.into_iter().chain(of_socket(&socket, &examined.service, user, &whose)).collect(),
            format!("releases of {whose} are made as {user}"),
        ));
    }
    // Steps of those without run as the deployer, whose the sockets are.
    let without: Vec<&str> = examined
        .deployments()?
        .filter(|deployment| deployment.user.is_none())
        .map(|deployment| deployment.slug.as_str())
        .collect();
    if !users.is_empty() && !without.is_empty() {
        findings.push(Finding::warning(
            format!(
                "builds of {} have no user of their own: they can ask for steps of those who have",
                without.join(", ")
            ),
            "give each deployment whose pushers you trust less a `user`, and then every other one too",
        ));
    }
    Ok(or_ok(findings, "no deployment has a user of its own"))
}

/// Whether the units that serve deployments with a user of their own run as that user. Root says so, in the units.
pub async fn units(examined: &Examined) -> Answer {
    let mut findings = Vec::new();
    let mut any = false;
    for deployment in examined.deployments()? {
        let units = match &deployment.recipe {
            Recipe::Systemd(recipe) => &recipe.units,
            Recipe::GoStatic(recipe) => &recipe.units,
            _ => continue,
        };
        let Some(user) = deployment.user.as_ref().filter(|_| !units.is_empty()) else { continue };
        any = true;
        let printed = examined.ask_tool(&systemctl::show(false, units)).await?.output;
        for complaint in systemctl::states(&printed).iter().filter_map(|unit| complaint(unit, user)) {
            let (what, hint) = complaint.split_once("\nhint: ").unwrap_or((&complaint, ""));
            findings.push(Finding::warning(format!("{}: {what}", deployment.slug), hint));
        }
    }
    if !any {
        return Ok(vec![Finding::not_checked("no deployment with a user of its own is run by units")]);
    }
    Ok(or_ok(findings, "units of deployments with a user of their own run as that user"))
}

fn judge(found: Option<&Account>, service: &Account, user: &UserName, whose: &str) -> Vec<Finding> {
    let Some(found) = found else {
        return vec![Finding::error(format!("there is no user {user}, as whom {whose} is built"), SETUP)];
    };
    if found.is_root() || found.uid == service.uid {
        let who = if found.is_root() { "root" } else { "the deployer" };
        let what = format!("{user} is {who} by another name: builds of {whose} would be, too");
        return vec![Finding::error(what, "name a user of this deployment's own")];
    }
    let is_powerful = |group: &&String| POWERFUL_GROUPS.contains(&group.as_str()) || **group == service.name;
    let powerful: Vec<&str> = found.groups.iter().filter(is_powerful).map(String::as_str).collect();
    if powerful.is_empty() {
        return Vec::new();
    }
    let groups = powerful.join(", ");
    vec![Finding::warning(
        format!("{user}, as whom {whose} is built, is in {groups}: so is whatever is pushed"),
        format!("gpasswd --delete {user} {}", powerful[0]),
    )]
}

fn of_socket(socket: &Path, service: &Account, user: &UserName, whose: &str) -> Option<Finding> {
    let unit = step_user::unit(user);
    match fs_err::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => Some(Finding::error(
            format!("{} is no socket", socket.display()),
            format!("systemctl restart {unit}"),
        )),
        Ok(found) if found.uid() != service.uid || found.mode() & 0o077 != 0 => Some(Finding::error(
            format!("{} is not the deployer's alone: others can do what {user} may", socket.display()),
            format!("write SocketUser={} and SocketMode=0600 for {unit}, and restart it", service.name),
        )),
        Ok(_) => None,
        Err(_) => Some(Finding::error(
            format!("nobody listens on {} to run steps of {whose} as {user}", socket.display()),
            format!("systemctl enable --now {unit}; {SETUP}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(uid: u32, name: &str, groups: &[&str]) -> Account {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Account { uid, gid: uid, name: name.into(), home: None, groups }
    }

    #[test]
    fn a_user_is_no_wall_where_it_is_somebody_else_or_may_become_root() {
        let (service, user) = (account(997, "durhack-deployer", &[]), UserName::parse("web").unwrap());
        for (found, expected) in [
            (None, Some("there is no user web")),
            (Some(account(0, "web", &[])), Some("web is root by another name")),
            (Some(account(997, "web", &[])), Some("web is the deployer by another name")),
            (Some(account(998, "web", &["web", "docker"])), Some("is in docker")),
            (Some(account(998, "web", &["durhack-deployer"])), Some("is in durhack-deployer")),
            (Some(account(998, "web", &["web", "www-data"])), None),
        ] {
            let findings = judge(found.as_ref(), &service, &user, "site");
            let said = findings.first().map(|finding| finding.what.as_str());
            assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{said:?}");
        }
    }

    #[test]
    fn a_socket_that_others_can_use_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let (scratch, user) = (tempfile::tempdir().unwrap(), UserName::parse("web").unwrap());
        let path = scratch.path().join("web.sock");
        let us = Account::ours();
        let said = |service: &Account| of_socket(&path, service, &user, "site").map(|finding| finding.what);
        assert!(said(&us).unwrap().contains("nobody listens"));
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o600);
        assert_eq!(said(&us), None);
        assert!(said(&account(us.uid + 1, "x", &[])).unwrap().contains("not the deployer's alone"));
        set(0o660);
        assert!(said(&us).unwrap().contains("not the deployer's alone"));
    }
}

//! As whom deployments run: whether steps can run as their own users, whether that is a wall, and who has none.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use crate::admin::host::accounts::Account;
use crate::admin::host::paths::ENABLED_SOCKETS;
use crate::admin::move_user::plan::units as system_units;
use crate::base::names::UserName;
use crate::config::{Deployment, UserSource, users};
use crate::process::step_user;
use crate::process::tools::systemctl;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Groups whose members have ways to root, or to what is everybody's: nginx's, logs, keys.
const POWERFUL_GROUPS: [&str; 17] = [
    "root",
    "sudo",
    "wheel",
    "admin",
    "adm",
    "docker",
    "lxd",
    "incus-admin",
    "libvirt",
    "kvm",
    "disk",
    "kmem",
    "shadow",
    "staff",
    "ssl-cert",
    "systemd-journal",
    "www-data",
];

const SETUP: &str = "`durhack-deployer setup` makes the user and has systemd start its steps";

/// One finding for each thing that is wrong with one of them.
pub fn all(context: &DoctorContext) -> CheckResult {
    let deployments: Vec<&Deployment> = context.deployments()?.collect();
    let mut users: BTreeMap<&UserName, Vec<&str>> = BTreeMap::new();
    for deployment in &deployments {
        if let Some(user) = &deployment.user {
            users.entry(user).or_default().push(deployment.slug.as_str());
        }
    }
    let mut findings = Vec::new();
    for (user, slugs) in &users {
        let (whose, socket, home) = (slugs.join(", "), step_user::socket(user), step_user::home(user));
        let account = Account::named(user.as_str());
        let mut wrong = judge(account.as_ref(), &context.service, user, &whose);
        wrong.extend(of_socket(&socket, &context.service, user, &whose));
        wrong.extend(of_boot(Path::new(ENABLED_SOCKETS), user));
        if context.us.is_root() && !step_user::has_key(user) {
            let file = step_user::key_file(user);
            let what = format!("{} is not the key by which steps of {whose} are asked for", file.display());
            wrong.push(Finding::error(what, SETUP));
        }
        wrong.extend(account.as_ref().and_then(|account| of_home(&home, account)));
        if slugs.len() > 1 {
            wrong.push(Finding::warning(
                format!("{whose} share the user {user}: whatever is pushed to one of them can change and end the others"),
                "leave `user` out, and `durhack-deployer setup` gives each a user of its own",
            ));
        }
        findings.extend(or_ok(wrong, format!("releases of {whose} are made as {user}")));
    }
    findings.extend(without(&deployments));
    Ok(or_ok(findings, "there is no deployment"))
}

/// What is said of deployments that have no user of their own.
fn without(deployments: &[&Deployment]) -> Vec<Finding> {
    let slugs = |is: fn(UserSource) -> bool| -> Vec<&str> {
        let those = deployments.iter().filter(|one| one.user.is_none() && is(one.user_source));
        those.map(|deployment| deployment.slug.as_str()).collect()
    };
    let mut findings = Vec::new();
    for slug in deployments.iter().filter(|one| one.user_source == UserSource::Missing) {
        findings.push(Finding::error(users::missing(&slug.slug), "`sudo durhack-deployer setup`"));
    }
    let shared = slugs(|source| source != UserSource::Missing);
    let Some(first) = shared.first() else { return findings };
    let is_set_up = slugs(|source| source == UserSource::NotSetUp).is_empty();
    let mend = match is_set_up {
        true => format!("`sudo durhack-deployer move-user {first}` gives {first} a user of its own"),
        false => "`sudo durhack-deployer setup`, and then the command that it names".to_owned(),
    };
    let what = match shared.as_slice() {
        [one] => format!(
            "{one} is built and run as the deployer itself: whatever is pushed to it can do what the deployer can"
        ),
        several => format!(
            "{} are built and run as the deployer itself: whatever is pushed to one of them can do what the deployer can, in all of them",
            several.join(", ")
        ),
    };
    findings.push(Finding::warning(what, mend));
    findings
}

/// As whom the units run that deployments restart: what is pushed runs as that. Root says it, in the units.
pub async fn of_units(context: &DoctorContext) -> CheckResult {
    let mut findings = Vec::new();
    let (mut number, mut named) = (0, 0);
    for deployment in context.deployments()? {
        if system_units(deployment).is_empty() {
            continue;
        }
        named += system_units(deployment).len();
        let call = systemctl::users(system_units(deployment)).argv();
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        for (unit, user) in systemctl::read_users(&context.ask(&words).await?.output) {
            number += 1;
            // A user that systemd makes for each start has nothing of anybody's.
            findings.extend(user.and_then(|user| judge_unit(deployment, &unit, &user, &context.service)));
        }
    }
    if named == 0 {
        return Ok(vec![Finding::not_checked("no deployment restarts units of systemd")]);
    }
    if number == 0 && findings.is_empty() {
        return Ok(vec![Finding::not_checked(
            "systemd does not know the units that deployments restart: `plan` names them",
        )]);
    }
    Ok(or_ok(findings, format!("units run as their deployments' users: {number}")))
}

fn judge_unit(deployment: &Deployment, unit: &str, user: &str, service: &Account) -> Option<Finding> {
    let slug = &deployment.slug;
    let uid = |user: &str| Account::named(user).map(|account| account.uid).or_else(|| user.parse().ok());
    let edit = |user: &str| {
        format!("`systemctl edit {unit}`, write `[Service]` and `User={user}`, and deploy {slug} again")
    };
    let own = deployment.user.as_ref().map(UserName::as_str);
    let found = uid(user);
    if user == "root" || found == Some(0) {
        let what = format!("{unit} runs as root, and with it whatever is pushed to {slug}");
        return Some(Finding::error(what, edit(own.unwrap_or(&service.name))));
    }
    let own = own.filter(|own| *own != user && (found.is_none() || found != uid(own)))?;
    Some(match user == service.name || found == Some(service.uid) {
        true => Finding::error(
            format!(
                "{unit} runs as the deployer, and with it whatever is pushed to {slug}, which is built as {own}"
            ),
            edit(own),
        ),
        false => Finding::warning(
            format!("{unit} runs as {user}, and not as {own}, as whom {slug} is built"),
            edit(own),
        ),
    })
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
    let is_powerful = |group: &str| POWERFUL_GROUPS.contains(&group) || group == service.name;
    let others = found.groups.iter().map(String::as_str).filter(|group| *group != user.as_str());
    let (powerful, harmless): (Vec<&str>, Vec<&str>) = others.partition(|group| is_powerful(group));
    let said = |groups: &[&str]| {
        format!("{user}, as whom {whose} is built, is in {}: so is whatever is pushed", groups.join(", "))
    };
    let leave = |group: &str| format!("gpasswd --delete {user} {group}");
    let powerful = powerful.first().map(|first| Finding::error(said(&powerful), leave(first)));
    let harmless = harmless.first().map(|first| Finding::warning(said(&harmless), leave(first)));
    powerful.into_iter().chain(harmless).collect()
}

/// Systemd makes the home when the first step is started.
fn of_home(home: &Path, account: &Account) -> Option<Finding> {
    let found = home.symlink_metadata().ok()?;
    let shown = home.display();
    let is_right = found.is_dir() && found.uid() == account.uid && found.mode() & 0o077 == 0;
    (!is_right).then(|| {
        Finding::error(
            format!(
                "{shown} is not a directory that {} alone can enter (user {}, mode {:03o})",
                account.name,
                found.uid(),
                found.mode() & 0o777
            ),
            format!("`chown {0}: {shown}; chmod 700 {shown}`", account.name),
        )
    })
}

fn of_boot(enabled: &Path, user: &UserName) -> Option<Finding> {
    let unit = step_user::unit(user);
    let is_enabled = enabled.join(&unit).symlink_metadata().is_ok();
    (enabled.is_dir() && !is_enabled).then(|| {
        Finding::error(
            format!("{unit} is not started at boot"),
            format!("systemctl enable --now {unit}; {SETUP}"),
        )
    })
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
            (Some(account(998, "web", &["web", "adm", "games"])), Some("is in adm")),
            (Some(account(998, "web", &["durhack-deployer"])), Some("is in durhack-deployer")),
            (Some(account(998, "web", &["web", "www-data"])), Some("is in www-data")),
            (Some(account(998, "web", &["web", "games"])), Some("is in games")),
            (Some(account(998, "web", &["web"])), None),
        ] {
            let findings = judge(found.as_ref(), &service, &user, "site");
            let said = findings.first().map(|finding| finding.what.as_str());
            assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{said:?}");
        }
    }

    #[test]
    fn a_home_is_its_users_alone_and_a_socket_is_there_at_boot() {
        use std::os::unix::fs::PermissionsExt;
        let (scratch, us, user) =
            (tempfile::tempdir().unwrap(), Account::ours(), UserName::parse("web").unwrap());
        let home = scratch.path().join("home");
        assert!(of_home(&home, &us).is_none(), "the first step makes it");
        std::fs::create_dir(&home).unwrap();
        let set = |mode| std::fs::set_permissions(&home, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o755);
        assert!(of_home(&home, &us).is_some());
        set(0o700);
        assert!(of_home(&home, &us).is_none());
        assert!(of_home(&home, &account(us.uid + 1, "web", &[])).is_some());
        assert!(of_boot(&scratch.path().join("none"), &user).is_none(), "there is no systemd");
        assert!(of_boot(scratch.path(), &user).is_some());
        std::fs::write(scratch.path().join(step_user::unit(&user)), "").unwrap();
        assert!(of_boot(scratch.path(), &user).is_none());
    }

    #[test]
    fn a_unit_that_runs_as_anybody_but_the_deployments_user_is_named() {
        let service = account(4_294_967_000, "durhack-deployer", &[]);
        let deployment = |user: &str| {
            let text = format!("user = \"{user}\"\nrecipe = \"systemd\"\nunits = [\"x.service\"]");
            crate::config::tests::deployment_of(&text)
        };
        let (own, shared) = (deployment("app-x"), deployment("durhack-deployer"));
        for (deployment, user, expected) in [
            (&own, "app-x", None),
            (&own, "nobody", Some("runs as nobody, and not as app-x")),
            (&own, "gone", Some("runs as gone, and not as app-x")),
            (&own, "root", Some("runs as root")),
            (&own, "0", Some("runs as root")),
            (&own, "durhack-deployer", Some("runs as the deployer")),
            (&own, "4294967000", Some("runs as the deployer")),
            (&shared, "durhack-deployer", None),
            (&shared, "nobody", None),
            (&shared, "root", Some("runs as root")),
        ] {
            let found = judge_unit(deployment, "x.service", user, &service).map(|finding| finding.what);
            assert_eq!(found.is_some(), expected.is_some(), "{user}: {found:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()), "{user}");
        }
    }

    #[test]
    fn who_has_no_user_of_its_own_is_named() {
        use crate::config::tests::deployment_of;
        let shared = deployment_of("user = \"durhack-deployer\"");
        let fresh = deployment_of("");
        let missing = Deployment { user_source: UserSource::Missing, ..fresh.clone() };
        let said = |deployments: &[&Deployment]| {
            let findings = without(deployments);
            findings
                .iter()
                .map(|one| format!("{:?} {}", one.level, one.mend.clone().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join("; ")
        };
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[&shared]), "Warning `sudo durhack-deployer move-user x` gives x a user of its own");
        assert_eq!(
            said(&[&fresh]),
            "Warning `sudo durhack-deployer setup`, and then the command that it names"
        );
        assert_eq!(said(&[&missing]), "Error `sudo durhack-deployer setup`");
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

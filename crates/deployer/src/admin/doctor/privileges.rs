//! What the service may do as root: too little for its deployments, or too much for everybody's good.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use super::sudoers::judgement::{Width, judge};
use super::sudoers::{self, Grant};
use crate::admin::host::accounts::Account;
use crate::admin::host::versions::{self, Judgement};
use crate::config::{Config, NginxReload, Privileges};
use anyhow::{Context, Result};
use std::path::Path;
use supervise::End;

const SUDOERS: &str = "/etc/sudoers";

/// Where the helper is asked.
const HELPER_SOCKET: &str = "/run/durhack-deployer-privileged.sock";

/// Whether `privileges` fits the user and the deployments.
pub fn way(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let operations = operations(config);
    let (user, is_root) = (&context.service.name, context.service.is_root());
    let has_sudo = context.find("sudo")?.is_some();
    let mut findings = Vec::new();
    if is_root {
        findings.push(Finding::warning(
            "the state belongs to root, so the service runs as root: whoever can push is root here",
            "make a user for it (docs/how-to/install.md), and give it the state directory and the deployments' paths",
        ));
    }
    if let Some(operation) = operations.first() {
        findings.extend(obstacle(config.privileges, operation, &context.service, has_sudo));
    }
    let what = match operations.as_slice() {
        [] => "no deployment needs root".to_owned(),
        operations => format!("{user} has a way to {}", operations.join(", to ")),
    };
    Ok(or_ok(findings, what))
}

/// Whether somebody listens who does what needs root. Nobody is connected to: that would start it.
pub fn helper() -> CheckResult {
    /// Of /proc/net/unix: a socket that accepts connections.
    const LISTENS: &str = "00010000";
    let sockets = fs_err::read_to_string("/proc/net/unix")?;
    let listens = sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words.as_slice(), [_, _, _, LISTENS, .., HELPER_SOCKET])
    });
    Ok(vec![match listens {
        true => Finding::ok(format!("the helper is listened for on {HELPER_SOCKET}")),
        false => Finding::error(
            format!("nobody listens on {HELPER_SOCKET}: what needs root cannot be done"),
            "`sudo systemctl enable --now durhack-deployer-privileged.socket`",
        ),
    }])
}

/// What is in the way of doing something as root.
fn obstacle(privileges: Privileges, operation: &str, service: &Account, has_sudo: bool) -> Option<Finding> {
    match privileges {
        Privileges::Direct if !service.is_root() => Some(Finding::warning(
            format!(
                "`privileges` is \"direct\", and {} is not root: it may not be able to {operation}",
                service.name
            ),
            "write `privileges = \"helper\"`, which `durhack-deployer setup` installs (docs/explanation/security.md)",
        )),
        Privileges::Sudo if !has_sudo => Some(Finding::error(
            format!("`privileges` is \"sudo\", and there is no program sudo to {operation}"),
            "`apt-get install sudo`, or write `privileges = \"direct\"`",
        )),
        Privileges::Helper if !Path::new(HELPER_SOCKET).exists() => Some(Finding::error(
            format!("`privileges` is \"helper\", and nobody listens on {HELPER_SOCKET} to {operation}"),
            "`systemctl enable --now durhack-deployer-privileged.socket`",
        )),
        Privileges::Direct | Privileges::Sudo | Privileges::Helper => None,
    }
}

/// What deployments need root for. An nginx that is told by a signal obeys its own user.
fn operations(config: &Config) -> Vec<&'static str> {
    let mut operations = Vec::new();
    let mut add = |needed: bool, operation| {
        if needed && !operations.contains(&operation) {
            operations.push(operation);
        }
    };
    for deployment in config.deployments.values().filter(|deployment| deployment.enabled) {
        let recipe = &deployment.recipe;
        let asks_systemd = config.nginx.reload == NginxReload::Systemctl;
        add(recipe.sites.is_some() && asks_systemd, "reload nginx and obtain certificates");
        add(!recipe.system_units().is_empty(), "restart units");
    }
    operations
}

/// Rules of sudo that give the service's user more than it needs.
pub async fn sudo_rules(context: &DoctorContext) -> CheckResult {
    let user = &context.service;
    if user.is_root() {
        return Ok(vec![Finding::not_checked("the service runs as root, which needs no rules")]);
    }
    let (grants, source) = match sudoers::read(Path::new(SUDOERS)) {
        Ok(lines) => (sudoers::parse(&lines, user), SUDOERS),
        Err(_) if !Path::new(SUDOERS).exists() => {
            return Ok(vec![Finding::ok(format!("there is no {SUDOERS}"))]);
        }
        Err(_) if context.is_service() => (listed(context).await?, "`sudo -n -l`"),
        Err(error) => return Err(error).context("sudo's rules cannot be read"),
    };
    let judged = judge(&grants);
    let what = format!("rules for {} in {source}: {}, none too wide", user.name, judged.len());
    Ok(or_ok(
        judged.into_iter().filter_map(|(grant, width)| too_wide(grant, &width, &user.name)).collect(),
        what,
    ))
}

/// What sudo itself says to whom it concerns.
async fn listed(context: &DoctorContext) -> Result<Vec<Grant>> {
    let answer = context.ask(&["sudo", "-n", "-l"]).await.context("sudo cannot be asked")?;
    match answer.end {
        End::Exited(0) => Ok(sudoers::parse_listing(&answer.output)),
        // Who has no rules at all is asked for a password.
        End::Exited(_) => Ok(Vec::new()),
        _ => anyhow::bail!("sudo does not say what it allows: {}", answer.complaint),
    }
}

fn too_wide(grant: &Grant, width: &Width, user: &str) -> Option<Finding> {
    let rule = format!("{}: {user} may run `{}`", grant.place, grant.command);
    match width {
        Width::Narrow => None,
        Width::Open(why) => Some(Finding::error(
            format!("{rule} as root: {why}, so whoever can push is root"),
            format!("`visudo -f {}`: write the exact arguments, or take the rule out", file_of(&grant.place)),
        )),
        Width::Doubtful(why) => Some(Finding::warning(
            format!("{rule}: {why}"),
            format!("`visudo -f {}`: write the exact arguments (`\"\"` for none)", file_of(&grant.place)),
        )),
    }
}

fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(SUDOERS, |(file, _)| file)
}

/// Whether sudo itself has a known hole.
pub async fn sudo_version(context: &DoctorContext) -> CheckResult {
    let Some(sudo) = context.find("sudo")? else {
        return Ok(vec![Finding::ok("sudo is not installed")]);
    };
    if !context.may_call(&sudo) {
        return Ok(vec![Finding::not_checked(format!(
            "{} is not root's: it is not called as root",
            sudo.display()
        ))]);
    }
    let answer = context.ask(&[&sudo.to_string_lossy(), "-V"]).await?;
    let printed = answer.output.lines().next().unwrap_or_default().to_owned();
    of_version(context, "sudo", &printed, versions::of_sudo(&printed)).await
}

/// Whether the package's own changelog names the hole: then it is mended, whatever the number says.
async fn is_mended(context: &DoctorContext, program: &str, hole: &str) -> bool {
    let name = hole.split(':').next().unwrap_or(hole);
    let changelog = format!("/usr/share/doc/{program}/changelog.Debian.gz");
    let found = context.ask(&["zgrep", "-q", "-F", "-w", name, &changelog]).await;
    found.is_ok_and(|answer| answer.end == End::Exited(0))
}

/// Whether apt knows of no newer package.
async fn is_newest(context: &DoctorContext, program: &str) -> bool {
    let Ok(answer) = context.ask(&["apt-cache", "policy", program]).await else { return false };
    versions::is_newest(&answer.output)
}

/// What to say of a version; a distribution's package is given the benefit of the doubt.
pub async fn of_version(
    context: &DoctorContext,
    program: &str,
    printed: &str,
    judgement: Judgement,
) -> CheckResult {
    let hole = match judgement {
        Judgement::Fine => return Ok(vec![Finding::ok(printed)]),
        Judgement::Unknown => return Ok(vec![Finding::not_checked(format!("{printed:?} is no version"))]),
        Judgement::Vulnerable(hole) => hole,
    };
    let query = ["dpkg-query", "--show", "--showformat=${Version}", program];
    let package = context.ask(&query).await.ok().filter(|answer| answer.end == End::Exited(0));
    let package = package.map(|answer| answer.output.trim().to_owned()).unwrap_or_default();
    Ok(vec![match versions::is_packaged(&package, printed) {
        // A warning that nobody can mend would be there for ever.
        true if is_mended(context, program, hole).await => {
            Finding::ok(format!("{printed}: {package} of the distribution has mended {hole}"))
        }
        true if is_newest(context, program).await => Finding::not_checked(format!(
            "{printed}: by its number it has {hole}; {package} is the distribution's newest, and its changelog is not here"
        )),
        true => Finding::warning(
            format!(
                "{printed}: by its number it has {hole}; the distribution may have mended it in a later package than {package}"
            ),
            format!(
                "`apt-get install --only-upgrade {program}`; `apt changelog {program}` names what is mended"
            ),
        ),
        false => Finding::error(format!("{printed} has {hole}"), format!("install a newer {program}")),
    }])
}

//! Programs that the recipes call, where steps find them, and their versions.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use super::privileges::of_version;
use crate::admin::host::versions;
use crate::config::{Config, Deployment, Layout};
use crate::pipeline::preflight::{ports, units};
use crate::process::tools::systemctl;
use crate::steps::release::{self, CURRENT};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What of a program's version is shown: some print a page.
const VERSION_CHARS_MAX: usize = 60;

/// One finding for each program.
pub async fn all(context: &DoctorContext) -> CheckResult {
    let mut findings = Vec::new();
    let whose = if context.looks_as_daemon()? { "the daemon's" } else { "this shell's" };
    for (program, users) in needed(context.config()?) {
        let users = users.into_iter().collect::<Vec<_>>().join(", ");
        findings.push(match context.find(&program)? {
            None => Finding::error(
                format!("{program} is not found on {whose} PATH, and {users} needs it"),
                format!("install {program}, or add its directory to `executable_search_paths`"),
            ),
            Some(path) => {
                let version = version(context, &program, &path).await;
                Finding::ok(format!("{program} {version} ({})", path.display()))
            }
        });
    }
    Ok(findings)
}

/// The units that deployments have systemd restart, and the ports of what does not run.
pub async fn units(context: &DoctorContext) -> CheckResult {
    let mut findings = Vec::new();
    let mut number = 0;
    for deployment in context.deployments()? {
        let (names, user) = units::named(deployment);
        let slug = &deployment.slug;
        if user && !context.is_service() {
            findings.push(Finding::not_checked(format!(
                "{slug}: only {} sees its own units",
                context.service.name
            )));
            continue;
        }
        number += names.len();
        let mut runs = None;
        if !names.is_empty() {
            let answer = context.ask_tool(&systemctl::load_states(user, names)).await?;
            let home = context.service.home.as_deref();
            let (seen, found) = units::judge(deployment, &answer.output, &answer.complaint, home);
            let mend = format!("`durhack-deployer plan {slug}` shows it, too");
            runs = found;
            findings.extend(
                seen.obstacles
                    .into_iter()
                    .map(|what| Finding::error(format!("{slug}: {what}"), mend.clone())),
            );
            let remarks = seen.remarks.into_iter();
            findings.extend(remarks.map(|what| Finding::warning(format!("{slug}: {what}"), mend.clone())));
        }
        let is_live = deployment.path.join(CURRENT).symlink_metadata().is_ok()
            || release::layout_found(deployment) == Layout::InPlace;
        if !runs.unwrap_or(is_live) {
            findings.extend(ports::taken(deployment).into_iter().map(|what| {
                Finding::warning(what, "`sudo ss -ltnp` shows who listens; end it, or choose another port")
            }));
        }
    }
    Ok(or_ok(findings, format!("units that deployments name, and systemd has: {number}")))
}

/// Whether git has a hole that a repository could use.
pub async fn git(context: &DoctorContext) -> CheckResult {
    let answer = context.ask(&["git", "--version"]).await?;
    let printed = answer.output.trim();
    of_version(context, "git", printed, versions::of_git(printed)).await
}

/// Programs by name or absolute path, and who needs each. A relative path leads into a release.
fn needed(config: &Config) -> BTreeMap<String, BTreeSet<String>> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |program: &str, user: &str| {
        if !program.contains('/') || program.starts_with('/') {
            needed.entry(program.to_owned()).or_default().insert(user.to_owned());
        }
    };
    add("git", "every deployment");
    for deployment in config.deployments.values().filter(|deployment| deployment.enabled) {
        of_deployment(deployment, config).iter().for_each(|program| add(program, deployment.slug.as_str()));
    }
    needed
}

fn of_deployment<'a>(deployment: &'a Deployment, config: &'a Config) -> Vec<&'a str> {
    let mut programs = Vec::new();
    if !deployment.clone_url.contains("://") && deployment.clone_url.contains(':')
        || deployment.clone_url.starts_with("ssh://")
    {
        programs.push("ssh");
    }
    programs.extend(deployment.recipe.programs.iter().map(String::as_str));
    if deployment.recipe.sites.is_some() {
        programs.push("certbot");
        programs.extend(config.nginx.program.to_str());
    }
    if deployment.user.is_some() {
        programs.push("setfacl");
    }
    programs.extend(deployment.hooks.around.iter().filter_map(|hook| hook.command.run.program()));
    programs
}

/// What a program says of itself, or its package does. PM2 is not asked: whatever it is asked, it may start its daemon.
async fn version(context: &DoctorContext, program: &str, path: &Path) -> String {
    if matches!(program, "pm2" | "pnpm") {
        return version_of_package(path).unwrap_or_default();
    }
    let option = match program.rsplit('/').next().unwrap_or_default() {
        "go" => "version",
        "nginx" => "-v",
        "ssh" | "sudo" => "-V",
        "git" | "node" | "uv" | "uwsgi" | "certbot" | "systemctl" | "cargo" | "npm" => "--version",
        // Whatever an operator's own program does with an option, it is not for us to find out.
        _ => return String::new(),
    };
    if !context.may_call(path) {
        return String::new();
    }
    let Ok(answer) = context.ask(&[&path.to_string_lossy(), option]).await else { return String::new() };
    let printed = if answer.output.trim().is_empty() { &answer.said } else { &answer.output };
    let line = printed.lines().next().unwrap_or_default().trim();
    let digits = line.find(|character: char| character.is_ascii_digit()).unwrap_or(0);
    line[digits..].chars().take(VERSION_CHARS_MAX).collect()
}

/// Of npm's packages: `node_modules/.bin/pm2 -> ../pm2/bin/pm2`.
fn version_of_package(program: &Path) -> Option<String> {
    let program = program.canonicalize().ok()?;
    let manifest =
        program.ancestors().map(|directory| directory.join("package.json")).find(|file| file.is_file())?;
    let manifest: Value = serde_json::from_slice(&fs_err::read(manifest).ok()?).ok()?;
    manifest["version"].as_str().map(str::to_owned)
}

//! Files and directories: whose they are, who may read them, and whether the service may write where it has to.

use super::context::DoctorContext;
use super::finding::{CheckResult, Finding, or_ok};
use crate::admin::host::accounts::Account;
use crate::admin::host::acl;
use crate::admin::owner;
use crate::pipeline::preflight::{self, walls};
use crate::process::tools::{self, systemctl};
use crate::steps::release;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Entries of the state directory that are looked at: what root has left behind shows among the first.
const ENTRIES_MAX: usize = 5_000;

/// How deep: `mirrors/OWNER/NAME.git`, `spool/SLUG/claimed`.
const DEPTH_MAX: usize = 3;

/// The state directory: private, and all of it the service's.
pub fn state(context: &DoctorContext) -> CheckResult {
    let directory = &context.config()?.state_directory;
    let Ok(found) = directory.metadata() else {
        return Ok(vec![Finding::warning(
            format!("there is no {} yet", directory.display()),
            format!(
                "the first start makes it, where it may ({}); `config show` says which it is",
                owner::how_to_start()
            ),
        )]);
    };
    let mut findings = Vec::new();
    let mend = format!("`chmod 700 {}`", directory.display());
    let mode = format!("{} has mode {:03o}", directory.display(), found.mode() & 0o777);
    // What lies in it is private by itself; but names tell something, and who may write may put something in its place.
    if found.mode() & 0o022 != 0 {
        findings.push(Finding::error(format!("{mode}: others may put files in it"), mend));
    } else if found.mode() & 0o055 != 0 {
        findings.push(Finding::warning(format!("{mode}: others may look into it"), mend));
    }
    let mut foreign = Vec::new();
    let mut seen = 0;
    collect_foreign(directory, context.service.uid, 0, &mut seen, &mut foreign);
    if let Some(first) = foreign.first() {
        let name = &context.service.name;
        findings.push(Finding::error(
            format!(
                "{} of the files of the state do not belong to {name}, who cannot use them: {}",
                foreign.len(),
                first.display()
            ),
            format!("`chown -R {name}: {}`, and run commands as {name}", directory.display()),
        ));
    }
    let what = format!("{}: private, of {}, {seen} files", directory.display(), context.service.name);
    Ok(or_ok(findings, what))
}

fn collect_foreign(directory: &Path, uid: u32, depth: usize, seen: &mut usize, foreign: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
        *seen += 1;
        if *seen > ENTRIES_MAX {
            return;
        }
        let path = entry.path();
        let Ok(found) = path.symlink_metadata() else { continue };
        if found.uid() != uid {
            foreign.push(path);
        } else if found.is_dir() && depth < DEPTH_MAX {
            collect_foreign(&path, uid, depth + 1, seen, foreign);
        }
    }
}

/// The configuration: written by nobody but root and the service's user, as it names what is run.
pub fn configuration(context: &DoctorContext) -> CheckResult {
    let loaded = context.loaded()?;
    let mut findings = Vec::new();
    let users = loaded.users.as_ref().map(|_| loaded.directory.join(crate::config::users::FILE));
    for path in std::iter::once(&loaded.directory).chain(&loaded.layers).chain(&users) {
        let path = loaded.environment.working_directory().join(path);
        let found = path.metadata()?;
        if found.mode() & 0o022 != 0 {
            findings.push(Finding::error(
                format!("others may write {}: they decide what is run", path.display()),
                format!("`chmod go-w {}`", path.display()),
            ));
        }
        if ![0, context.service.uid, context.us.uid].contains(&found.uid()) {
            findings.push(Finding::warning(
                format!("{} belongs to user {}, who decides what is run", path.display(), found.uid()),
                format!("`chown root: {}`", path.display()),
            ));
        }
    }
    Ok(or_ok(findings, format!("layers that nobody else writes: {}", loaded.layers.len())))
}

/// Whether a file's mode lets nobody in but its owner and the service. In the service's own group is nobody else (`step_users` looks at
/// that), so that root's files can be read by the deployer and not written.
fn is_closed(service: &Account, mode: u32, group: u32) -> bool {
    mode & 0o077 == 0 || (mode & 0o037 == 0 && group == service.gid)
}

/// Every file that holds a secret.
pub fn secrets(context: &DoctorContext) -> CheckResult {
    anyhow::ensure!(
        context.instead.is_none(),
        "which files hold secrets is seen once the configuration can be used"
    );
    let files = secret_files(context)?;
    let is_shared = context.deployments()?.any(|deployment| deployment.user.is_none());
    let handed_over = context.loaded()?.environment.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let env_files: Vec<&PathBuf> =
        context.config()?.deployments.values().flat_map(|deployment| &deployment.env_files).collect();
    // What is a deployment's own, its builds have anyway; what systemd hands over cannot be changed.
    let builds_own = |found: &std::fs::Metadata, path: &PathBuf| {
        is_shared
            && context.service.uid != 0
            && found.uid() == context.service.uid
            && !env_files.contains(&path)
            && handed_over.as_ref().is_none_or(|directory| !path.starts_with(directory))
    };
    let mut findings = Vec::new();
    let mut seen = 0;
    for path in &files {
        let is_handed_over = handed_over.as_ref().is_some_and(|directory| path.starts_with(directory));
        let leader = if is_handed_over { None } else { leader(path) };
        if let (Some((who, _)), Ok(target)) = (&leader, path.read_link()) {
            findings.push(Finding::error(
                format!("{} is a link to {}, and {} can have put it there", path.display(), target.display(), who.name),
                format!(
                    "do nothing with it as root that follows it; `ls -ld {}` shows it. Name the file itself in the configuration, in a directory of root's",
                    path.display()
                ),
            ));
            continue;
        }
        let found = match path.metadata() {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                findings.push(Finding::not_checked(format!("{}: {error}", path.display())));
                continue;
            }
        };
        seen += 1;
        if !is_closed(&context.service, found.mode(), found.gid()) && !is_shared_with_its_user(context, path)?
        {
            let is_roots = found.uid() == 0 && env_files.contains(&path);
            findings.push(Finding::error(
                format!(
                    "{} holds a secret, and its mode {:03o} lets others in",
                    path.display(),
                    found.mode() & 0o777
                ),
                match (&leader, is_roots) {
                    (Some(leader), true) => elsewhere(leader),
                    // As its owner, who gets nothing by what lies there by then.
                    (Some(_), false) => {
                        format!("`sudo -u {} chmod 600 {}`", Account::of(found.uid()).name, path.display())
                    }
                    // The deployer must be able to read it.
                    (None, true) => format!(
                        "`chgrp \"$(id -g -n {})\" {1} && chmod 640 {1}`",
                        context.service.name,
                        path.display()
                    ),
                    (None, false) => format!("`chmod 600 {}`", path.display()),
                },
            ));
        }
        if builds_own(&found, path) {
            findings.push(Finding::error(
                format!(
                    "{} holds a secret and belongs to {}, as which builds run: one of them can open it to others with chmod",
                    path.display(),
                    context.service.name
                ),
                "give every deployment its own `user`, or hand the secret over by systemd's LoadCredential= from a file of root's (docs/reference/services.md, \"Secrets\")",
            ));
        }
        if ![0, context.service.uid].contains(&found.uid()) {
            findings.push(Finding::warning(
                format!("{} holds a secret and belongs to user {}", path.display(), found.uid()),
                match &leader {
                    Some(leader) => elsewhere(leader),
                    None => format!("`chown {}: {}`", context.service.name, path.display()),
                },
            ));
        }
    }
    Ok(or_ok(findings, format!("files with secrets that nobody else reads: {seen}")))
}

/// Who beside root can change what a path leads to, by which directory: what root does there by name is done to whatever that one chooses.
fn leader(path: &Path) -> Option<(Account, PathBuf)> {
    if owner::is_roots_way(path) {
        return None;
    }
    let is_others = |directory: &&Path| directory.symlink_metadata().is_ok_and(|found| found.uid() != 0);
    let above = || path.ancestors().skip(1);
    let directory = above().find(is_others).or_else(|| above().find(|directory| directory.exists()))?;
    Some((Account::of(directory.symlink_metadata().ok()?.uid()), directory.to_owned()))
}

/// What is done about a file there instead.
fn elsewhere((who, directory): &(Account, PathBuf)) -> String {
    format!(
        "{} is {}'s to change, who can put another file there while you mend this one: write it anew in a directory of root's, as /etc/durhack-deployer, and name it there",
        directory.display(),
        who.name
    )
}

/// Whether it is a deployment's own, and nobody else than that one's user can read it: the access list shows in the group's bits.
fn is_shared_with_its_user(context: &DoctorContext, path: &Path) -> anyhow::Result<bool> {
    let users: Vec<u32> = context
        .config()?
        .deployments
        .values()
        .filter(|deployment| deployment.env_files.iter().any(|file| file == path))
        .filter_map(|deployment| Some(Account::named(deployment.user.as_ref()?.as_str())?.uid))
        .collect();
    let mut attribute = [0; 4096];
    let length = rustix::fs::getxattr(path, acl::ACCESS, &mut attribute);
    let list = length.ok().and_then(|length| acl::lets_only_read(&attribute[..length], &users));
    Ok(!users.is_empty() && list.unwrap_or(false))
}

/// Those that the configuration names, and what systemd hands over.
fn secret_files(context: &DoctorContext) -> anyhow::Result<BTreeSet<PathBuf>> {
    const KEYS: [&str; 9] = [
        "token_file",
        "app_key_file",
        "github_token_file",
        "ssh_key_file",
        "webhook_secret_file",
        "webhook_secret_token_file",
        "webhook_secret_files",
        "env_file",
        "env_files",
    ];
    let loaded = context.loaded()?;
    let base = loaded.environment.working_directory();
    let mut files = BTreeSet::new();
    for shown in loaded.merged.show() {
        let key = shown.key.rsplit('.').next().unwrap_or_default();
        let key = key.split('[').next().unwrap_or_default();
        if KEYS.contains(&key) {
            let one = shown.value.as_str().into_iter();
            let several = shown.value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str);
            files.extend(one.chain(several).map(|path| base.join(path)));
        }
    }
    for deployment in context.config()?.deployments.values() {
        files.extend(deployment.env_files.iter().filter(|path| path.is_absolute()).cloned());
    }
    if let Some(directory) = loaded.environment.get("CREDENTIALS_DIRECTORY") {
        files.extend(fs_err::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    Ok(files)
}

/// Where each deployment's releases lie: the service must be able to write there.
pub async fn paths(context: &DoctorContext) -> CheckResult {
    let mut findings = Vec::new();
    let mut number = 0;
    for deployment in context.deployments()? {
        number += 1;
        let existing = deployment.path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let is_directory = existing.is_dir();
        let mend = format!("`install -d -o {0} -g {0} {1}`", context.service.name, deployment.path.display());
        match context.service_may_write(existing).await {
            Ok(true) if is_directory => {}
            Ok(_) if existing == deployment.path => findings.push(Finding::error(
                format!("{}: {} may not write {}", deployment.slug, context.service.name, existing.display()),
                match leader(existing) {
                    None => format!("`chown {}: {}`", context.service.name, existing.display()),
                    Some((who, _)) => format!(
                        "`sudo -u {} mv {1} {1}.old`, and the next run makes it anew",
                        who.name,
                        existing.display()
                    ),
                },
            )),
            Ok(_) => findings.push(Finding::error(
                format!(
                    "{}: there is no {}, and {} may not make it in {}",
                    deployment.slug,
                    deployment.path.display(),
                    context.service.name,
                    existing.display()
                ),
                mend,
            )),
            Err(error) => findings.push(Finding::not_checked(format!("{}: {error:#}", deployment.slug))),
        }
    }
    Ok(or_ok(findings, format!("{} may write where its deployments lie: {number}", context.service.name)))
}

/// Whether the services' own view of the host lets them write there.
pub async fn sandboxes(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let mut findings = Vec::new();
    let mut number = 0;
    for deployment in context.deployments()? {
        for unit in walls::units(config, deployment) {
            number += 1;
            let answer = context.ask_tool(&systemctl::sandbox(&unit)).await?;
            let wrong = walls::judge(deployment, &unit, &answer.output);
            findings.extend(wrong.map(|what| {
                Finding::error(
                    format!("{}: {what}", deployment.slug),
                    "`sudo durhack-deployer setup`, which writes it into a drop-in and restarts the service",
                )
            }));
        }
    }
    if number == 0 {
        return Ok(vec![Finding::not_checked("this state is not kept by the packaged services")]);
    }
    Ok(or_ok(findings, "the services may write where deployments lie, in their own view of the host, too"))
}

/// Environment files and shared files that runs of the deployments need.
pub async fn of_deployments(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    let never = CancellationToken::new();
    let mut findings = Vec::new();
    for deployment in context.deployments()? {
        let (seen, _) = preflight::files(config, deployment, release::layout_found(deployment), &never).await;
        let of = |what: String| format!("{}: {what}", deployment.slug);
        let mend =
            format!("`durhack-deployer plan {}` shows it too; until then each run fails", deployment.slug);
        findings.extend(seen.obstacles.into_iter().map(|what| Finding::error(of(what), mend.clone())));
        let mend = "look whether that is meant";
        findings.extend(seen.remarks.into_iter().map(|what| Finding::warning(of(what), mend)));
    }
    Ok(or_ok(findings, "the files that `env_files` and `shared_files` name are there, and can be read"))
}

/// nginx's directories for sites: written by the service, and what others put there readable and writable by it, too.
pub async fn site_directories(context: &DoctorContext) -> CheckResult {
    let config = context.config()?;
    if !context.deployments()?.any(|deployment| deployment.recipe.sites.is_some()) {
        return Ok(vec![Finding::not_checked("no deployment has nginx sites")]);
    }
    let (name, uid) = (&context.service.name, context.service.uid);
    let mut findings = Vec::new();
    let directories = ["conf.d", "snippets"].map(|name| config.nginx.directory.join(name));
    if tools::nginx::root_writes(&config.nginx, config.privileges) {
        for directory in directories.iter().filter(|directory| directory.is_dir()) {
            // The default list alone gives nothing away yet, but does for what an administrator makes there.
            if context.service_may_write(directory).await? || has_default(directory, uid) {
                findings.push(Finding::warning(
                    format!(
                        "{name} may write {}, as an earlier version needed: root refuses to have nginx read what lies there",
                        directory.display()
                    ),
                    "`durhack-deployer setup` takes that away, and makes root's what the deployer wrote there",
                ));
            }
        }
        return Ok(or_ok(findings, "root alone writes sites, after it has judged them".to_owned()));
    }
    for directory in directories {
        let Ok(found) = directory.metadata() else {
            findings.push(Finding::error(
                format!("there is no {}", directory.display()),
                format!(
                    "`install -d {0} && setfacl -m user:{name}:rwx -m default:user:{name}:rw {0}`",
                    directory.display()
                ),
            ));
            continue;
        };
        if !context.service_may_write(&directory).await? {
            findings.push(Finding::error(
                format!("{name} may not write {}", directory.display()),
                format!("`setfacl -m user:{name}:rwx -m default:user:{name}:rw {}`", directory.display()),
            ));
        } else if found.uid() != uid && !context.service.is_root() && !has_default(&directory, uid) {
            findings.push(Finding::warning(
                format!(
                    "what others put into {} is not writable by {name}: it has no default ACL for it",
                    directory.display()
                ),
                format!("`setfacl -m default:user:{name}:rw {}`", directory.display()),
            ));
        }
    }
    Ok(or_ok(
        findings,
        format!("{name} may write conf.d and snippets in {}", config.nginx.directory.display()),
    ))
}

fn has_default(directory: &Path, uid: u32) -> bool {
    let mut attribute = [0; 4096];
    let length = rustix::fs::getxattr(directory, acl::DEFAULT, &mut attribute);
    length.ok().and_then(|length| acl::lets_write(&attribute[..length], uid)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_roots_may_be_read_by_the_services_own_group_and_written_by_nobody_else() {
        let service =
            Account { uid: 997, gid: 996, name: "durhack-deployer".into(), home: None, groups: vec![] };
        for (mode, group, expected) in [
            (0o100_600, 0, true),
            (0o100_400, 33, true),
            (0o100_640, 996, true),
            (0o100_640, 33, false),
            (0o100_660, 996, false),
            (0o100_644, 996, false),
            (0o100_604, 996, false),
        ] {
            assert_eq!(is_closed(&service, mode, group), expected, "{mode:o} of group {group}");
        }
    }
}

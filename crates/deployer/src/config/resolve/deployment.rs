//! One `[deployments.SLUG]`, and what deployments must not do to each other.

use super::{Location, ResolveFacts, gates, secrets, steps};
use crate::base::names::{RepositoryName, Slug, UserName};
use crate::config::preset::Preset;
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::environment::is_variable_name;
use crate::config::reading::raw::Node;
use crate::config::reading::reader::{Parsed, TableReader};
use crate::config::reading::values::addresses::{clone_url, host_and_port, http_url};
use crate::config::reading::values::{
    absolute_path, argv, boolean, checked_text, choice, duration, filled_text, glob, headers, inner_path,
    integer, list, name, path_in, shell_line, text,
};
use crate::config::recipe::{Descriptor, Source, Starts};
use crate::config::{Deployment, HealthCheck, Layout, Probe, Queue, UserSource, steers, users};
use indexmap::IndexMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All of them, in order; the caller takes out those with an error.
pub fn deployments(
    root: &TableReader<'_>,
    state_directory: &Path,
    facts: &ResolveFacts<'_>,
) -> IndexMap<Slug, Deployment> {
    let mut deployments = IndexMap::new();
    let mut taken: Vec<(&str, PathBuf)> = Vec::new();
    let mut of_users: Vec<(UserName, &str)> = Vec::new();
    let mut tables = Vec::new();
    for (slug, table) in root.named("deployments") {
        let table = match table {
            Ok(table) => table.for_deployment(slug).checked(),
            Err(node) => {
                root.error_in_deployment(
                    slug,
                    node,
                    format!("this must be a table, not {}", node.value.in_words()),
                );
                continue;
            }
        };
        if let Some(deployment) = deployment(&table, slug, facts) {
            // One that overlaps is left out itself, and takes nobody else's place.
            if check_path(
                &table,
                (&deployment.path, deployment.user.is_some()),
                &taken,
                state_directory,
                facts.location,
            ) {
                taken.push((slug, deployment.path.clone()));
            }
            if let Some(user) = &deployment.user {
                warn_of_shared_user(&table, user, &of_users);
                of_users.push((user.clone(), slug));
            }
            tables.push((deployment.slug.clone(), table));
            deployments.insert(deployment.slug.clone(), deployment);
        }
    }
    check_presets(&mut deployments, &tables, facts);
    deployments
}

/// Gives deployments of presets a health check of the ports that are known, where none is written and it can be no other deployment that
/// listens there.
fn check_presets(
    deployments: &mut IndexMap<Slug, Deployment>,
    tables: &[(Slug, TableReader<'_>)],
    facts: &ResolveFacts<'_>,
) {
    let preset_of = |name: &RepositoryName| facts.reference.preset(name);
    let repositories: Vec<RepositoryName> = deployments.values().map(|one| one.repository.clone()).collect();
    for (slug, table) in tables {
        let Some(deployment) = deployments.get_mut(slug) else { continue };
        let preset = preset_of(&deployment.repository).filter(|_| !table.is_written("recipe"));
        let Some(preset) = preset.filter(|preset| !preset.ports.is_empty() && !table.is_written("health"))
        else {
            continue;
        };
        // What nobody restarts here may run anywhere, or not at all.
        if deployment.recipe.starts == Starts::Unstarted {
            continue;
        }
        let is_of_preset =
            |name: &&RepositoryName| preset_of(name).is_some_and(|other| std::ptr::eq(other, preset));
        let is_alone = repositories.iter().filter(is_of_preset).count() == 1;
        if !is_alone || deployment.environment.contains_key("PORT") {
            let message = "no health check: a release counts as live also where its programs answer nobody";
            let help = "write for example `health = [{ http = \"http://localhost:3001/\" }]`, with its port";
            table.report_at_header(Severity::Note, message, help);
            continue;
        }
        let shown: Vec<String> = preset.ports.iter().map(|port| format!("tcp localhost:{port}")).collect();
        table.show_derived("health", shown, &preset.origin());
        deployment.health = preset.ports.iter().map(|port| listens(*port)).collect();
    }
}

/// A client of Next's needs some seconds until it listens.
fn listens(port: u16) -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp(format!("localhost:{port}")),
        attempts: 30,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(5),
    }
}

/// None where a name or the path is missing or wrong; everything else has been read and reported too.
fn deployment(table: &TableReader<'_>, slug: &str, facts: &ResolveFacts<'_>) -> Option<Deployment> {
    let repository: Option<RepositoryName> = table.value("repository", name);
    let branch = table.value("branch", name);
    let path = table.value("path", absolute_path);
    let preset = repository.as_ref().and_then(|name| facts.reference.preset(name));
    let preset = preset.filter(|_| !table.is_written("recipe"));
    let recipe = recipe(table, preset, facts);
    let clone_url = clone_url_of(table, repository.as_ref());
    let slug = Slug::parse(slug).map_err(|error| {
        table.error_at_header(error.to_string(), "write for example [deployments.durhack-api]");
    });
    let base = path.clone().unwrap_or_default();
    let (user, user_source) = user(table, slug.as_ref().ok(), recipe, facts);
    let (shared_files, shared_dirs) = shared(table, preset);
    Some(Deployment {
        enabled: table.value("enabled", boolean).unwrap_or_default(),
        layout: layout(table, recipe, user.is_some()),
        user,
        user_source,
        waits_since_ms: slug.as_ref().ok().and_then(|slug| facts.users?.waits_since_ms(slug)),
        queue: table
            .value("queue", choice(&[("latest", Queue::Latest), ("all", Queue::All)]))
            .unwrap_or(Queue::Latest),
        gates: gates::gates(table),
        paths: table.value("paths", list(glob)).unwrap_or_default(),
        paths_ignore: table.value("paths_ignore", list(glob)).unwrap_or_default(),
        shared_files,
        shared_files_written: table.is_written("shared_files"),
        shared_dirs,
        keep_releases: table.value("keep_releases", integer(1, 1000)).unwrap_or_default(),
        submodules: table.value("submodules", boolean).unwrap_or_default(),
        submodule_hosts: table.value("submodule_hosts", list(filled_text)).unwrap_or_default(),
        submodule_repositories: table.value("submodule_repositories", list(name)).unwrap_or_default(),
        timeout: table.value("timeout", duration).unwrap_or_default(),
        step_timeout: table.value("step_timeout", duration).unwrap_or_default(),
        env_files: env_files(table, &base),
        env_unsandboxed: table.value("env_unsandboxed", list(passed_variable)).unwrap_or_default(),
        hooks: steps::hooks(table, &base),
        environment: steps::environment(table),
        confine: table.value("confine", boolean).unwrap_or_default(),
        readable: table.value("readable", list(absolute_path)).unwrap_or_default(),
        writable: table.value("writable", list(absolute_path)).unwrap_or_default(),
        health: table.tables("health").iter().filter_map(health_check).collect(),
        environment_name: environment_name(table, slug.as_ref().map_or("", |slug| slug.as_str())),
        url: table.value("url", |node| checked_text(node, |text| http_url(text).map(|_| text.to_owned()))),
        instance_name: instance_name(table, preset),
        // Also where the recipe is wrong: the commands of the default one may be as well.
        recipe: (recipe.unwrap_or(facts.reference.default_recipe()).read)(
            table,
            &Source { preset, path: &base },
        ),
        ssh_key_file: ssh_key_file(table, &clone_url, facts),
        github_token: secrets::deployment_token(table, facts),
        clone_url,
        slug: slug.ok()?,
        repository: repository?,
        branch: branch?,
        path: path?,
    })
}

/// The recipe, and an error for each key that belongs to another one. None where what is written is no recipe.
fn recipe(
    table: &TableReader<'_>,
    preset: Option<&Preset>,
    facts: &ResolveFacts<'_>,
) -> Option<&'static Descriptor> {
    let known = facts.reference;
    let recipe = if table.is_written("recipe") {
        let names: Vec<_> = known.recipes.iter().map(|recipe| (recipe.name, *recipe)).collect();
        table.value("recipe", choice(&names))?
    } else if let Some(preset) = preset {
        table.show_derived("recipe", preset.recipe, &preset.origin());
        known.recipe(preset.recipe)?
    } else {
        let recipe = known.default_recipe();
        table.show_derived("recipe", recipe.name, "default");
        recipe
    };
    table.use_keys_of_recipe(recipe.name);
    Some(recipe)
}

/// As written; some recipes know releases only, and say why.
fn layout(
    table: &TableReader<'_>,
    recipe: Option<&'static Descriptor>,
    has_own_user: bool,
) -> Option<Layout> {
    let written =
        table.value("layout", choice(&[("releases", Layout::Releases), ("in-place", Layout::InPlace)]));
    let message = match recipe.and_then(|recipe| recipe.needs_releases) {
        _ if has_own_user => "what is deployed in place is the deployer's: a user of its own has releases",
        Some(why) => why,
        None => return written,
    };
    if written == Some(Layout::InPlace) {
        table.error_at_value("layout", message, "write \"releases\", or leave `layout` out");
    }
    Some(Layout::Releases)
}

/// As whom it is built and run, and who says so ([`users`]). Whoever shares a user is told what that means.
fn user(
    table: &TableReader<'_>,
    slug: Option<&Slug>,
    recipe: Option<&'static Descriptor>,
    facts: &ResolveFacts<'_>,
) -> (Option<UserName>, UserSource) {
    const SHARED: &str = "this deployment is built and run as the deployer itself: whatever is pushed to it can do what the deployer can: reach every deployment, also those that have a user of their own";
    let is_written = table.is_written("user");
    let written: Option<UserName> = table.value("user", name);
    // Of one that is wrong it has been said, and takes the deployment with it.
    let Some(slug) = slug.filter(|_| written.is_some() || !is_written) else {
        return (None, UserSource::Missing);
    };
    if let Some((why, help)) = recipe.and_then(|recipe| recipe.runs_as_deployer_because) {
        if written.is_some() {
            table.error_at_value("user", why, help);
        }
        return (None, UserSource::Written);
    }
    let are_deployers_units =
        table.knows("user_units") && table.value("user_units", boolean).unwrap_or_default();
    if let Some(user) =
        written.as_ref().filter(|user| are_deployers_units && user.as_str() != users::DEPLOYER)
    {
        table.error_at_value(
            "user_units",
            "these units run as the deployer, and what is deployed here is to run as another user",
            format!("leave it out, and have root write the unit, with `User={user}`"),
        );
    }
    // Whoever has units of the deployer's own manager asks for the deployer's user by that.
    let (user, source) = match are_deployers_units && written.is_none() {
        true => (None, UserSource::Written),
        false => users::choose(slug, written, facts.users),
    };
    match (&user, source) {
        (None, UserSource::Written) => {
            let key = if is_written { "user" } else { "user_units" };
            let help = format!(
                "leave `{key}` out, and run `sudo durhack-deployer move-user {slug}`: it then has a user of its own"
            );
            table.report_at_key(key, Severity::Warning, SHARED, help);
        }
        (None, UserSource::Recorded) => {
            let help = format!("`sudo durhack-deployer move-user {slug}` gives it a user of its own");
            table.report_at_header(Severity::Warning, SHARED, help);
        }
        (Some(user), UserSource::Recorded) => table.show_derived("user", user.as_str(), users::FILE),
        (_, UserSource::Missing) => {
            let help = "nothing of it runs before that: a deployment that was added since the last `setup` does not run as the deployer";
            table.report_at_header(Severity::Warning, users::missing(slug), help);
        }
        _ => {}
    }
    (user, source)
}

fn warn_of_shared_user(table: &TableReader<'_>, user: &UserName, of_users: &[(UserName, &str)]) {
    let others: Vec<&str> =
        of_users.iter().filter(|(other, _)| other == user).map(|(_, slug)| *slug).collect();
    if let Some(first) = others.first() {
        let message = format!(
            "{user} is also the user of deployment {first}: whatever is pushed to one of them can change and end the other"
        );
        let help = "leave `user` out, and each has a user of its own: `sudo durhack-deployer setup` makes it";
        table.report_at_key("user", Severity::Warning, message, help);
    }
}

fn instance_name(table: &TableReader<'_>, preset: Option<&Preset>) -> Option<String> {
    if preset.is_some_and(|preset| preset.requires_instance_name) && !table.is_written("instance_name") {
        table.missing("instance_name");
    }
    table.knows("instance_name").then(|| table.value("instance_name", filled_text)).flatten()
}

/// What GitHub calls an environment: at most 255 characters, its own limit.
fn environment_name(table: &TableReader<'_>, slug: &str) -> String {
    if !table.is_written("environment_name") {
        table.show_derived("environment_name", slug, "default");
        return slug.to_owned();
    }
    let name = table.value("environment_name", |node| {
        checked_text(node, |text| match text.chars().count() <= 255 && !text.contains(char::is_control) {
            true => Ok(text.to_owned()),
            false => Err("GitHub takes names of one line and at most 255 characters".to_owned()),
        })
    });
    name.unwrap_or_default()
}

fn clone_url_of(table: &TableReader<'_>, repository: Option<&RepositoryName>) -> String {
    if table.is_written("clone_url") {
        return table.value("clone_url", clone_url).unwrap_or_default();
    }
    let url = repository.map(|repository| format!("https://github.com/{repository}.git")).unwrap_or_default();
    table.show_derived("clone_url", url.as_str(), "default");
    url
}

fn ssh_key_file(table: &TableReader<'_>, clone_url: &str, facts: &ResolveFacts<'_>) -> Option<PathBuf> {
    let file = table.value("ssh_key_file", secrets::private_key_file(facts))?;
    let is_ssh =
        clone_url.starts_with("ssh://") || !(clone_url.contains("://") || clone_url.starts_with('/'));
    if !is_ssh {
        let message = "an ssh key is of no use to a `clone_url` that is not ssh";
        table.error_at_value(
            "ssh_key_file",
            message,
            "write for example `clone_url = \"git@github.com:OWNER/NAME.git\"`",
        );
    }
    Some(file)
}

fn env_files(table: &TableReader<'_>, path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = table.value("env_file", path_in(path)).into_iter().collect();
    files.extend(table.value("env_files", list(path_in(path))).into_iter().flatten());
    files
}

/// The name of a variable that may leave an environment file for a command outside of the sandbox.
fn passed_variable(node: &Node) -> Parsed<String> {
    checked_text(node, |name| match name {
        name if !is_variable_name(name) => {
            Err("the name of a variable has only letters, digits and _, and no digit first".to_owned())
        }
        name if steers(name) => Err(format!(
            "{name} decides what code a program runs, or where it reads and writes: no file passes it to a command outside of the sandbox; write it in `environment` if you mean it"
        )),
        name => Ok(name.to_owned()),
    })
}

fn shared(table: &TableReader<'_>, preset: Option<&Preset>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let read = |key: &str, of_preset: fn(&Preset) -> &'static [&'static str]| -> Vec<PathBuf> {
        if table.is_written(key) {
            return table.value(key, list(inner_path)).unwrap_or_default();
        }
        let paths = preset.map(of_preset).unwrap_or_default();
        let origin = preset.filter(|_| !paths.is_empty()).map_or("default".to_owned(), Preset::origin);
        table.show_derived(key, paths.to_vec(), &origin);
        paths.iter().map(PathBuf::from).collect()
    };
    let files = read("shared_files", |preset| preset.shared_files);
    let directories = read("shared_dirs", |preset| preset.shared_dirs);
    let all: Vec<&PathBuf> = files.iter().chain(&directories).collect();
    for (at, path) in all.iter().enumerate() {
        if let Some(other) = all[..at].iter().find(|other| overlap(path, other)) {
            let key = if at < files.len() { "shared_files" } else { "shared_dirs" };
            let message = format!(
                "`{}` and `{}` overlap: a link cannot lie in a link",
                other.display(),
                path.display()
            );
            table.error_at_value(key, message, "name only the outer one, once");
        }
    }
    (files, directories)
}

/// Whether one directory is the other, or lies in it.
pub fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Whether a deployment may have this path; why not is reported.
fn check_path(
    table: &TableReader<'_>,
    (path, has_user): (&Path, bool),
    taken: &[(&str, PathBuf)],
    state_directory: &Path,
    location: &dyn Fn(&Path) -> Location,
) -> bool {
    let mut wrongs = Vec::new();
    if path.parent().is_none() {
        wrongs.push((
            "the root of the file system cannot be deployed to".to_owned(),
            "name a directory below it",
        ));
    } else {
        if path.starts_with(state_directory) {
            let message = format!("this path lies in the state directory {}", state_directory.display());
            wrongs.push((message, "name a directory outside it"));
        }
        let (here, state) = (location(path), location(state_directory));
        if !path.starts_with(state_directory) && here.is_within(&state) {
            let message = format!(
                "this path leads through a link or a mount into the state directory {}",
                state_directory.display()
            );
            wrongs.push((message, "name a directory outside it"));
        } else if !path.starts_with(state_directory)
            && (state_directory.starts_with(path) || state.is_within(&here))
        {
            let message = format!("the state directory {} lies in this path", state_directory.display());
            let help = "name a directory that does not hold it: whoever writes in this one could change it";
            // So it was for the original, which ran in the tree that it deployed.
            match has_user {
                true => wrongs.push((message, help)),
                false => table.report_at_key("path", Severity::Warning, message, help),
            }
        }
        for (other, other_path) in taken {
            let relation = match () {
                () if path == other_path => "is also the path of",
                () if overlap(path, other_path) => "overlaps the path of",
                () => {
                    let other = location(other_path);
                    if !here.is_within(&other) && !other.is_within(&here) {
                        continue;
                    }
                    "leads through a link or a mount to the path of"
                }
            };
            let message = format!("this path {relation} deployment {other}");
            wrongs.push((message, "each deployment needs a directory of its own"));
        }
    }
    let is_free = wrongs.is_empty();
    wrongs.into_iter().for_each(|(message, help)| table.error_at_value("path", message, help));
    is_free
}

/// None where it does not have exactly one probe.
fn health_check(table: &TableReader<'_>) -> Option<HealthCheck> {
    let http = table.value("http", |node| checked_text(node, |text| http_url(text).map(|_| text.to_owned())));
    let status = table.value("status", list(integer(100, 599))).unwrap_or_default();
    let body = table.value("body", text);
    let headers = table.value("headers", headers).unwrap_or_default();
    let probes = [
        http.map(|url| Probe::Http { url, status, body, headers }),
        table.value("tcp", host_and_port).map(Probe::Tcp),
        table.value("command", argv).map(Probe::Command),
        table.value("shell", shell_line).map(Probe::Command),
    ];
    let written = ["http", "tcp", "command", "shell"].iter().filter(|key| table.is_written(key)).count();
    if written != 1 {
        let message = format!(
            "a health check needs exactly one of `http`, `tcp`, `command` and `shell`, not {written}"
        );
        table.error_at_header(message, "write for example `http = \"http://127.0.0.1:3001/health\"`");
    }
    for key in ["status", "body", "headers"] {
        if table.is_written(key) && !table.is_written("http") {
            let help = format!("leave `{key}` out");
            table.report_at_key(
                key,
                Severity::Error,
                format!("`{key}` has a meaning only beside `http`"),
                help,
            );
        }
    }
    Some(HealthCheck {
        attempts: table.value("attempts", integer(1, 1000)).unwrap_or_default(),
        interval: table.value("interval", duration).unwrap_or_default(),
        timeout: table.value("timeout", duration).unwrap_or_default(),
        probe: probes.into_iter().flatten().next()?,
    })
}

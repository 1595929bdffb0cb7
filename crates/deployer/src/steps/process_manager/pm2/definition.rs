//! What an ecosystem file says, as PM2 gets it from us.
//!
//! The release's own directory is replaced by the way on which it is reached (`<path>/current`) wherever it stands: so whatever PM2
//! starts, now, after a crash or after a boot, is what is live then; and so the same file in two releases gives the same definitions.

use crate::base::names::{ApplicationName, Slug};
use crate::process::tools::pm2::{is_no, is_schedule, marks};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Applications of one file, at most: each is one or more processes of some 50 MB.
const APPLICATIONS_MAX: usize = 64;

/// How long an old worker goes on serving while the new one does not listen yet, where the file does not say: PM2's 3 s are less than
/// a large application needs to start. One that never listens makes a reload last as long.
const LISTEN_TIMEOUT_MS: u64 = 15_000;

/// PM2's own, where the file does not say.
const KILL_TIMEOUT_MS: i64 = 1_600;

/// What a reload changes in an application that runs. For the rest it must be registered anew.
const RELOADED: [&str; 15] = [
    "env",
    "args",
    "node_args",
    "kill_timeout",
    "listen_timeout",
    "wait_ready",
    "shutdown_with_message",
    "max_memory_restart",
    "min_uptime",
    "max_restarts",
    "restart_delay",
    "exp_backoff_restart_delay",
    "stop_exit_codes",
    "autorestart",
    "vizion",
];

/// What a file may say of an application: PM2's own list (`lib/API/schema.json` of PM2 7), with its other names for the same, but for
/// [`REFUSED`]. PM2 takes over whatever else stands there into what it knows of the process, and follows it.
const FIELDS: [&str; 76] = [
    "append_env_to_name",
    "args",
    "automation",
    "autorestart",
    "autostart",
    "combine_logs",
    "cron",
    "cron_restart",
    "cwd",
    "deep_monitoring",
    "disable_logs",
    "disable_source_map_support",
    "disable_trace",
    "env",
    "err",
    "err_file",
    "err_log",
    "error",
    "error_file",
    "error_log",
    "event_loop_inspector",
    "exec",
    "exec_interpreter",
    "exec_mode",
    "exp_backoff_restart_delay",
    "filter_env",
    "force",
    "ignore_watch",
    "increment_var",
    "instance_var",
    "instances",
    "interpreter",
    "interpreterArgs",
    "interpreter_args",
    "kill_retry_time",
    "kill_timeout",
    "listen_timeout",
    "log",
    "log_date_format",
    "log_file",
    "log_type",
    "max_memory_restart",
    "max_restarts",
    "merge_logs",
    "min_uptime",
    "name",
    "name_prefix",
    "namespace",
    "node_args",
    "out",
    "out_file",
    "out_log",
    "output",
    "pid",
    "pid_file",
    "pmx",
    "port",
    "restart_delay",
    "script",
    "shutdown_with_message",
    "source_map_support",
    "stop_exit_codes",
    "time",
    "trace",
    "treekill",
    "v8",
    "version",
    "vizion",
    "wait_ready",
    "watch",
    "watch_delay",
    "watch_options",
    "windowsHide",
    "write",
    "io",
    "max_memory",
];

/// What it may not, and why.
const REFUSED: [(&str, &str); 8] = [
    ("execute_command", "PM2 would run it as a command of its own"),
    ("gid", "as whom an application runs is said by `user` in the deployer's configuration"),
    ("install_url", "PM2 would install what lies there"),
    ("post_update", "PM2 would run these commands on `pm2 pull`; write a step"),
    ("pre_deploy", "PM2 would run these commands; write a step"),
    ("uid", "as whom an application runs is said by `user` in the deployer's configuration"),
    ("user", "as whom an application runs is said by `user` in the deployer's configuration"),
    ("username", "as whom an application runs is said by `user` in the deployer's configuration"),
];

/// Variables that PM2 takes for what it knows of the process itself: it lays the one over the other.
const OF_PM2: [&str; 9] =
    ["exec_interpreter", "exec_mode", "gid", "node_args", "status", "uid", "user", "username", "watch"];

#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name, which no other of the file has.
    pub name: ApplicationName,
    /// Whether it is started by a clock alone.
    pub scheduled: bool,
    /// How many processes it is; None: as many as PM2 finds right.
    pub instances: Option<usize>,
    /// Where it is started.
    pub directory: PathBuf,
    pub fixed: String,
    pub whole: String,
    /// Names of the variables that are set for it, sorted.
    pub variables: Vec<String>,
    /// As PM2 reads it.
    application: Map<String, Value>,
}

/// Which of an application's blocks `env_NAME` is laid over its `env`, as by `pm2 start --env NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its name, without `env_`.
    pub name: String,
    /// Whether the operator has named it. Else it need not be there.
    pub is_asked_for: bool,
}

/// What definitions are made for.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub deployment: &'a Slug,
    /// The release's directory, in every way in which the file may have seen it.
    pub release: &'a [PathBuf],
    /// How the applications reach it.
    pub through: &'a Path,
    /// What they see below what the file says.
    pub environment: &'a BTreeMap<String, String>,
    /// The same, of what differs from release to release and makes no other definition.
    pub of_release: &'a BTreeMap<String, String>,
    /// Which block is laid over each `env`.
    pub block: Option<&'a Block>,
}

impl Definition {
    /// As a file for PM2 has it.
    ///
    /// All variables stand in it: of the environment of `pm2 reload` itself, nothing reaches an application whose file has an `env`.
    pub fn application(&self, origin: Origin<'_>) -> Value {
        let mut application = self.application.clone();
        let below = origin.environment.iter().chain(origin.of_release);
        let mut variables: Map<String, Value> =
            below.map(|(name, value)| (name.clone(), json!(value))).collect();
        variables.extend(own_variables(&application));
        for (name, value) in [
            (marks::DEPLOYMENT, origin.deployment.as_str()),
            (marks::FIXED, &self.fixed),
            (marks::WHOLE, &self.whole),
            (marks::VARIABLES, &self.variables.join(",")),
        ] {
            variables.insert(name.to_owned(), json!(value));
        }
        application.insert("env".into(), Value::Object(variables));
        Value::Object(application)
    }

    /// How long PM2 lets a process take to end.
    pub fn kill_timeout_ms(&self) -> i64 {
        self.application.get("kill_timeout").and_then(Value::as_i64).unwrap_or(KILL_TIMEOUT_MS)
    }

    /// The script, where it is a file that must be there: relative ones are looked for in the directory first.
    pub fn script(&self) -> Option<PathBuf> {
        let script = self.application.get("script")?.as_str()?;
        // `pnpm`, `node`, `next start`: found in the PATH, or a line for a shell.
        let is_path = script.contains('/') && !script.contains(' ');
        is_path.then(|| self.directory.join(script.strip_prefix("./").unwrap_or(script)))
    }
}

/// The applications that a file exports. An error is one line.
pub fn definitions(exported: &Value, origin: Origin<'_>) -> Result<Vec<Definition>, String> {
    let applications = exported.as_array().ok_or("it exports no list `apps`")?;
    if applications.is_empty() {
        return Err("it names no application".into());
    }
    if applications.len() > APPLICATIONS_MAX {
        return Err(format!(
            "it names {} applications, and at most {APPLICATIONS_MAX} are allowed",
            applications.len()
        ));
    }
    let mut definitions: Vec<Definition> = Vec::new();
    for (at, application) in applications.iter().enumerate() {
        let definition =
            definition(application, origin).map_err(|error| format!("application {}: {error}", at + 1))?;
        if definitions.iter().any(|other| other.name == definition.name) {
            return Err(format!("it names {} twice", definition.name));
        }
        definitions.push(definition);
    }
    Ok(definitions)
}

fn definition(exported: &Value, origin: Origin<'_>) -> Result<Definition, String> {
    let mut application = exported.as_object().cloned().ok_or("it is no object")?;
    use_aliases(&mut application);
    check_fields(&application)?;
    application.values_mut().for_each(|value| relocate(value, origin));
    let mut name = name(&application)?;
    if let Some(block) = origin.block {
        if application.get("append_env_to_name").is_some_and(|append| append == &json!(true)) {
            name = format!("{name}-{}", block.name);
        }
        lay_block(&mut application, block);
    }
    // The others are nothing to PM2: it would keep them, with what secrets they may hold.
    application.retain(|field, _| !field.starts_with("env_"));
    let name = ApplicationName::parse(&name).map_err(|error| error.to_string())?;
    let directory = application.get("cwd").and_then(Value::as_str).unwrap_or_default();
    let directory = joined(origin.through, directory);
    application.insert("name".into(), json!(name.as_str()));
    application.insert("cwd".into(), json!(directory.to_string_lossy()));
    application.entry("listen_timeout").or_insert(json!(LISTEN_TIMEOUT_MS));
    let own = own_variables(&application);
    let variables: BTreeSet<String> =
        own.into_iter().map(|(name, _)| name).chain(origin.environment.keys().cloned()).collect();
    let scheduled = application.get("cron_restart").is_some_and(is_schedule)
        && application.get("autorestart").is_some_and(is_no);
    Ok(Definition {
        scheduled,
        instances: instances(application.get("instances")),
        fixed: digest(&json!(
            application
                .iter()
                .filter(|(key, _)| !RELOADED.contains(&key.as_str()))
                .collect::<BTreeMap<_, _>>()
        )),
        whole: digest(&json!([application, origin.environment])),
        name,
        directory,
        variables: variables.into_iter().collect(),
        application,
    })
}

/// PM2's other names for the script.
fn use_aliases(application: &mut Map<String, Value>) {
    for alias in ["cmd", "command"] {
        if !application.contains_key("script")
            && let Some(script) = application.remove(alias)
        {
            application.insert("script".into(), script);
        }
    }
}

fn lay_block(application: &mut Map<String, Value>, block: &Block) {
    let Some(Value::Object(of_block)) = application.remove(&format!("env_{}", block.name)) else { return };
    let mut variables = own_variables(application);
    variables.extend(of_block);
    application.insert("env".into(), Value::Object(variables));
}

/// Why PM2 is not to be told what a file says, if so.
fn check_fields(application: &Map<String, Value>) -> Result<(), String> {
    for (field, value) in application {
        if let Some((_, reason)) = REFUSED.iter().find(|(name, _)| name == field) {
            return Err(format!("`{field}` is refused: {reason}"));
        }
        let is_environment = field == "env" || field.starts_with("env_");
        if !is_environment && !FIELDS.contains(&field.as_str()) {
            return Err(format!("`{field}` is not a field that PM2 describes: remove it"));
        }
        let variables = value.as_object().filter(|_| is_environment);
        let of_pm2 = |name: &&String| {
            name.starts_with("pm_") || name.starts_with("axm_") || OF_PM2.contains(&name.as_str())
        };
        if let Some(name) = variables.and_then(|variables| variables.keys().find(of_pm2)) {
            return Err(format!(
                "the variable `{name}` of `{field}` is refused: PM2 would take it for its own"
            ));
        }
    }
    Ok(())
}

fn own_variables(application: &Map<String, Value>) -> Map<String, Value> {
    application.get("env").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// What PM2 would call it.
fn name(application: &Map<String, Value>) -> Result<String, String> {
    let text = |key: &str| application.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(name) = application.get("name").filter(|name| !name.is_null()) {
        return Ok(name.as_str().map_or_else(|| name.to_string(), str::to_owned));
    }
    let script = text("script").ok_or("it has neither `name` nor `script`")?;
    let name = Path::new(script).file_stem().ok_or("it has no name")?;
    Ok(name.to_string_lossy().into_owned())
}

/// One where it is not said; unknown where it depends on the machine.
fn instances(value: Option<&Value>) -> Option<usize> {
    let Some(value) = value else { return Some(1) };
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok().filter(|number| *number > 0)
}

/// Puts the way to the release for the release's directory, in every text.
fn relocate(value: &mut Value, origin: Origin<'_>) {
    match value {
        Value::String(text) => {
            for release in origin.release {
                *text = replace_path(text, &release.to_string_lossy(), &origin.through.to_string_lossy());
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| relocate(value, origin)),
        Value::Object(values) => values.values_mut().for_each(|value| relocate(value, origin)),
        _ => {}
    }
}

/// Puts one path for another wherever it stands whole: not in `<path>-data`, and not in `/backup<path>`.
fn replace_path(text: &str, path: &str, by: &str) -> String {
    let is_of_name = |of: char| of.is_alphanumeric() || "-_.+@~".contains(of);
    let mut replaced = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(path) {
        let before = text[..at].rsplit(|of| !is_of_name(of) && of != '/').next().unwrap_or_default();
        // An option (`-L/srv`) and the slashes of an address (`file:///srv`) are no part of the path.
        let begins = !before.contains('/') || before.chars().all(|of| of == '/');
        let after = &text[at + path.len()..];
        if begins && !after.starts_with(is_of_name) {
            replaced += &text[done..at];
            replaced += by;
            done = at + path.len();
        }
    }
    replaced + &text[done..]
}

/// `a/./b/../c` below a directory: PM2 does the same, in words and not by looking.
fn joined(directory: &Path, path: &str) -> PathBuf {
    use std::path::Component;
    let mut joined = PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                joined.pop();
            }
            component => joined.push(component),
        }
    }
    joined
}

/// The same file gives its keys in the same order; another order counts as another definition, which does no harm.
fn digest(value: &Value) -> String {
    let mut digest = hex::encode(Sha256::digest(value.to_string()));
    digest.truncate(32);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(release: &str, exported: &Value) -> Result<Vec<Definition>, String> {
        let slug = Slug::parse("api").unwrap();
        let environment = BTreeMap::new();
        let (release, through) = ([PathBuf::from(release)], Path::new("/srv/api/current"));
        definitions(
            exported,
            Origin {
                deployment: &slug,
                release: &release,
                through,
                environment: &environment,
                of_release: &environment,
                block: None,
            },
        )
    }

    fn one(application: &Value) -> Definition {
        of("/srv/api/releases/1", &json!([application])).unwrap().remove(0)
    }

    #[test]
    fn the_release_is_reached_through_the_link_wherever_it_stands() {
        for (cwd, expected) in [
            (None, "/srv/api/current"),
            (Some("./server"), "/srv/api/current/server"),
            (Some("/srv/api/releases/1/client"), "/srv/api/current/client"),
            (Some("/srv/api/releases/1"), "/srv/api/current"),
            (Some("a/../b/"), "/srv/api/current/b"),
            (Some("/opt/data"), "/opt/data"),
        ] {
            let mut application = json!({"name": "web", "script": "./dist/main.js", "env": {"KEYS": "/srv/api/releases/1/keys"}});
            cwd.into_iter().for_each(|cwd| application["cwd"] = json!(cwd));
            let definition = one(&application);
            assert_eq!(definition.directory, Path::new(expected));
            assert_eq!(definition.application["env"]["KEYS"], "/srv/api/current/keys");
            assert_eq!(definition.script(), Some(Path::new(expected).join("dist/main.js")));
        }
    }

    #[test]
    fn only_whole_paths_are_replaced() {
        for (text, expected) in [
            ("/srv/api", "/srv/api/current"),
            ("/srv/api/keys:/srv/api", "/srv/api/current/keys:/srv/api/current"),
            ("--root=/srv/api -L/srv/api/lib", "--root=/srv/api/current -L/srv/api/current/lib"),
            ("file:///srv/api/main.js", "file:///srv/api/current/main.js"),
            ("/srv/api-data /srv/api2 /srv/api.old", "/srv/api-data /srv/api2 /srv/api.old"),
            ("/backup/srv/api", "/backup/srv/api"),
            ("", ""),
        ] {
            assert_eq!(replace_path(text, "/srv/api", "/srv/api/current"), expected);
        }
    }

    #[test]
    fn the_same_file_in_two_releases_gives_the_same_definitions() {
        let file = |release: &str| {
            of(release, &json!([{"name": "web", "script": format!("{release}/dist/main.js")}]))
        };
        assert_eq!(file("/srv/api/releases/1").unwrap(), file("/srv/api/releases/2").unwrap());
    }

    #[test]
    fn a_reload_changes_the_environment_and_not_the_script() {
        let before = one(&json!({"name": "web", "script": "a.js", "env": {"A": "1"}}));
        let environment = one(&json!({"name": "web", "script": "a.js", "env": {"A": "2", "B": "1"}}));
        let script = one(&json!({"name": "web", "script": "b.js", "env": {"A": "1"}}));
        assert!(before.fixed == environment.fixed && before.whole != environment.whole);
        assert!(before.fixed != script.fixed && before.whole != script.whole);
        assert_eq!(environment.variables, ["A", "B"]);
    }

    #[test]
    fn what_a_clock_alone_starts_is_scheduled() {
        let scheduled = |application: Value| one(&application).scheduled;
        assert!(scheduled(
            json!({"name": "x", "script": "x.js", "cron_restart": "*/15 * * * *", "autorestart": false})
        ));
        assert!(!scheduled(json!({"name": "x", "script": "x.js", "cron_restart": "0 4 * * *"})));
        assert!(!scheduled(
            json!({"name": "x", "script": "x.js", "cron_restart": "0", "autorestart": false})
        ));
        assert!(!scheduled(json!({"name": "x", "script": "x.js", "autorestart": false})));
    }

    #[test]
    fn names_are_checked_before_they_are_used() {
        assert_eq!(one(&json!({"script": "dist/worker.js"})).name.as_str(), "worker");
        for (exported, complaint) in [
            (json!(null), "it exports no list `apps`"),
            (json!([]), "it names no application"),
            (json!(["x"]), "application 1: it is no object"),
            (json!([{}]), "application 1: it has neither `name` nor `script`"),
            (json!([{"name": "web"}, {"name": "web"}]), "it names web twice"),
            (
                json!([{"name": 7}]),
                "application 1: \"7\" is not the name of an application: PM2 takes a number for an id",
            ),
            (
                json!([{"name": "all"}]),
                "application 1: \"all\" is not the name of an application: PM2 takes this word for something else",
            ),
        ] {
            assert_eq!(of("/srv/api/releases/1", &exported).unwrap_err(), complaint);
        }
        let many: Vec<Value> = (0..65).map(|number| json!({"name": format!("a{number}")})).collect();
        assert!(of("/r", &json!(many)).unwrap_err().contains("at most 64"));
    }

    #[test]
    fn a_block_is_laid_over_the_variables_as_pm2_does() {
        let slug = Slug::parse("api").unwrap();
        let environment = BTreeMap::new();
        let of = |name: &str, application: Value| {
            let block = Block { name: name.into(), is_asked_for: true };
            let origin = Origin {
                deployment: &slug,
                release: &[],
                through: Path::new("/srv/api/current"),
                environment: &environment,
                of_release: &environment,
                block: Some(&block),
            };
            definitions(&json!([application]), origin).unwrap().remove(0)
        };
        let application = || {
            json!({"name": "web", "cmd": "a.js", "append_env_to_name": true,
            "env": {"A": "env", "B": "env"}, "env_production": {"A": "prod", "C": 1}, "env_staging": {"A": "staging"}})
        };
        let production = of("production", application());
        assert_eq!(production.name.as_str(), "web-production");
        assert_eq!(production.application["env"], json!({"A": "prod", "B": "env", "C": 1}));
        assert_eq!((production.variables.len(), &production.application["script"]), (3, &json!("a.js")));
        assert!(production.application.keys().all(|field| !field.starts_with("env_")));
        let none = of("other", application());
        assert_eq!(none.application["env"], json!({"A": "env", "B": "env"}));
        let alone = of("production", json!({"script": "a.js", "env_production": {"PORT": 1}}));
        assert_eq!(alone.application["env"], json!({"PORT": 1}));
    }

    #[test]
    fn what_pm2_is_told_of_an_application_is_a_closed_list() {
        let refused = |application: Value| of("/srv/api/releases/1", &json!([application])).unwrap_err();
        for (field, value) in [
            ("uid", json!("root")),
            ("user", json!("root")),
            ("gid", json!(0)),
            ("post_update", json!(["id"])),
            ("install_url", json!("http://x")),
            ("pm_exec_path", json!("/x")),
            ("pm_out_log_path", json!("/etc/cron.d/x")),
            ("pmx_module", json!(true)),
            ("anything", json!(1)),
        ] {
            let error = refused(json!({"name": "web", "script": "a.js", field: value}));
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
        for variable in ["pm_exec_path", "pm_cwd", "exec_interpreter", "uid"] {
            let error = refused(json!({"name": "web", "script": "a.js", "env_production": {variable: "x"}}));
            assert!(error.contains(variable), "{error}");
        }
        one(&json!({
            "name": "web", "script": "a.js", "args": "-p 1", "interpreter": "node", "node_args": ["--enable-source-maps"],
            "instances": 2, "exec_mode": "cluster", "wait_ready": true, "env": {"NODE_ENV": "production", "PORT": 1},
            "env_staging": {"A": "1"}, "error_file": "/var/log/x", "max_memory_restart": "1G", "namespace": "x"
        }));
    }

    #[test]
    fn how_many_processes_an_application_is() {
        for (value, expected) in [
            (None, Some(1)),
            (Some(json!(2)), Some(2)),
            (Some(json!("2")), Some(2)),
            (Some(json!("max")), None),
            (Some(json!(0)), None),
            (Some(json!(-1)), None),
        ] {
            assert_eq!(instances(value.as_ref()), expected, "{value:?}");
        }
    }

    #[test]
    fn the_marks_win_over_what_the_file_says() {
        let slug = Slug::parse("api").unwrap();
        let definition =
            one(&json!({"name": "web", "script": "a.js", "env": {"DEPLOYER_DEPLOYMENT": "other", "A": "1"}}));
        let (path, environment) = (Path::new("/srv/api"), BTreeMap::new());
        let origin = Origin {
            deployment: &slug,
            release: &[],
            through: path,
            environment: &environment,
            of_release: &environment,
            block: None,
        };
        let application = definition.application(origin);
        assert_eq!(application["env"][marks::DEPLOYMENT], "api");
        assert_eq!(application["env"][marks::WHOLE], json!(definition.whole));
        assert_eq!(application["env"]["A"], "1");
    }
}

//! `pm2`, as we call it, and what it says of its processes.
//!
//! Facts of PM2 7 on which this rests, found by trying and in its source:
//! - `reload FILE` starts what the file names and does not run, reloads what runs in cluster mode, and restarts the rest. The exit code
//!   is 0 even when an application of the file could not be reloaded: only `jlist` tells.
//! - A name is taken for an id, a pattern, everything or a namespace where it can be: so processes are deleted by id, and everything
//!   else goes by a file.
//! - An application whose file has an `env` gets that by a reload, and of the environment of `pm2` itself nothing.

use crate::config::CommandLine;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Part of the id of a process that has a successor already, and is about to end.
const OUTGOING: &str = "_old_";

/// Variables of an application by which we know it again.
pub mod marks {
    /// The deployment that it belongs to.
    pub const DEPLOYMENT: &str = "DEPLOYER_DEPLOYMENT";
    /// The release it was last started or reloaded for.
    pub const RELEASE: &str = "DEPLOYER_RELEASE_NAME";
    /// A digest of how it is defined, as far as a reload does not change that.
    pub const FIXED: &str = "DEPLOYER_DEFINITION_FIXED";
    /// A digest of all of it.
    pub const WHOLE: &str = "DEPLOYER_DEFINITION";
    /// Names of the variables that its definition sets, with commas between.
    pub const VARIABLES: &str = "DEPLOYER_DEFINITION_VARIABLES";
}

/// All processes, as JSON.
pub fn list() -> CommandLine {
    pm2(&["jlist"])
}

/// Starts the daemon; with it, what was saved.
pub fn resurrect() -> CommandLine {
    pm2(&["resurrect"])
}

/// Starts the daemon alone.
pub fn ping() -> CommandLine {
    pm2(&["ping"])
}

/// Brings what a file names to run as it says. `--force`: over a reload that somebody has left half-done (we have a lock of our own).
pub fn reload(file: &Path) -> CommandLine {
    pm2(&["reload", &file.to_string_lossy(), "--force"])
}

/// Registers what a file names, which must not be there yet.
pub fn start(file: &Path) -> CommandLine {
    pm2(&["start", &file.to_string_lossy()])
}

/// Ends processes, and forgets them.
pub fn delete(ids: &[u64]) -> CommandLine {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    pm2(&[&["delete"], &ids.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
}

/// Writes down what is to be started again after a boot, also where that is nothing.
pub fn save() -> CommandLine {
    pm2(&["save", "--force"])
}

fn pm2(arguments: &[&str]) -> CommandLine {
    CommandLine::Argv(std::iter::once(&"pm2").chain(arguments).map(|word| (*word).to_owned()).collect())
}

/// A process that PM2 keeps, running or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Pm2Process {
    /// None: its successor is there already, and it is about to end.
    pub id: Option<u64>,
    /// The application's name, which several may have.
    pub name: String,
    /// 0 where it does not run.
    pub pid: i32,
    /// How PM2 keeps it.
    pub kept: Pm2State,
}

/// What PM2 knows of how it keeps a process.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Pm2State {
    /// `online`, `stopped`, `errored`, `launching`, ...
    pub status: String,
    /// How often it has been started again, by anybody.
    pub restart_time: u64,
    /// How often it has ended soon after its start, in a row.
    pub unstable_restarts: u64,
    /// When it was started, in Unix milliseconds.
    pub pm_uptime: i64,
    /// When somebody wanted it started; what PM2 does by itself after a death does not change that.
    pub created_at: Option<i64>,
    /// Where it is started.
    pub pm_cwd: PathBuf,
    /// What is started.
    pub pm_exec_path: PathBuf,
    /// What it writes to standard error.
    pub pm_err_log_path: PathBuf,
    /// When to start it, or to start it again.
    pub cron_restart: Value,
    /// Whether it is started again when it has ended.
    pub autorestart: Value,
    /// False: it is not started, not even when its time has come.
    pub autostart: Value,
    /// The environment of its next start.
    pub env: Value,
}

impl Pm2Process {
    /// A variable of its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.kept.env.get(name)?.as_str()
    }

    /// Whether it runs.
    pub fn is_online(&self) -> bool {
        self.kept.status == "online" && self.pid > 0
    }

    /// Whether it is started by a clock alone.
    pub fn is_scheduled(&self) -> bool {
        is_schedule(&self.kept.cron_restart) && is_no(&self.kept.autorestart)
    }

    /// Whether it has been started and has not ended. Of one that has, PM2 may still name the process id.
    pub fn is_at_work(&self) -> bool {
        !matches!(self.kept.status.as_str(), "stopped" | "errored" | "")
    }

    /// Whether PM2 would never start it by itself.
    pub fn is_dormant(&self) -> bool {
        is_no(&self.kept.autostart)
    }
}

/// Whether such a `cron_restart` is one: `0` takes an earlier one back.
pub fn is_schedule(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty() && text != "0")
}

/// Whether PM2 reads such a value as no.
pub fn is_no(value: &Value) -> bool {
    *value == Value::Bool(false) || value.as_str() == Some("false")
}

/// Reads what [`list`] printed. PM2 may say other things first.
pub fn processes(printed: &str) -> Result<Vec<Pm2Process>, String> {
    #[derive(Deserialize)]
    struct Listed {
        pm_id: Value,
        name: Value,
        #[serde(default)]
        pid: Option<i32>,
        #[serde(default)]
        pm2_env: Value,
    }
    let json = printed.lines().rfind(|line| line.starts_with('[') && line.ends_with(']'));
    let json = json.ok_or("`pm2 jlist` printed no list")?;
    let listed: Vec<Listed> =
        serde_json::from_str(json).map_err(|error| format!("`pm2 jlist` printed no list: {error}"))?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let read = |listed: Listed| {
        let id = text(&listed.pm_id);
        let kept = serde_json::from_value(listed.pm2_env);
        Ok(Pm2Process {
            id: if id.starts_with(OUTGOING) {
                None
            } else {
                Some(id.parse().map_err(|_| format!("PM2 has a process {id:?}"))?)
            },
            name: text(&listed.name),
            pid: listed.pid.unwrap_or_default(),
            kept: kept.map_err(|error| format!("`pm2 jlist` says of {id}: {error}"))?,
        })
    };
    listed.into_iter().map(read).collect()
}

/// What was saved for the next boot, without ids. Nothing where it is nonsense: PM2 starts nothing of that.
pub fn saved(dump: &str) -> Vec<Pm2Process> {
    let saved: Vec<Value> = serde_json::from_str(dump).unwrap_or_default();
    let read = |saved: Value| Pm2Process {
        id: None,
        name: saved["name"].as_str().unwrap_or_default().to_owned(),
        pid: 0,
        kept: serde_json::from_value(saved).unwrap_or_default(),
    };
    saved.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls() {
        assert_eq!(delete(&[0, 12]).shown(), "pm2 delete 0 12");
        assert_eq!(reload(Path::new("/h/.pm2/a b.json")).shown(), "pm2 reload '/h/.pm2/a b.json' --force");
        assert_eq!(save().shown(), "pm2 save --force");
    }

    #[test]
    fn a_list_is_read_behind_whatever_is_printed_before_it() {
        let printed = r#"[PM2] Spawning PM2 daemon
>>>> In-memory PM2 is out-of-date
[{"pid":7,"name":"web","pm_id":0,"pm2_env":{"status":"online","restart_time":2,"pm_cwd":"/a","env":{"DEPLOYER_DEPLOYMENT":"x"},"more":1}},{"pid":8,"name":"web","pm_id":"_old_0","pm2_env":{"status":"online"}},{"name":3,"pm_id":1,"pm2_env":{"status":"stopped","cron_restart":"* * * * *","autorestart":false}}]
"#;
        let processes = processes(printed).unwrap();
        assert_eq!(processes.iter().map(|process| process.id).collect::<Vec<_>>(), [Some(0), None, Some(1)]);
        assert_eq!(processes[0].variable(marks::DEPLOYMENT), Some("x"));
        assert!(processes[0].is_online() && !processes[0].is_scheduled());
        assert!(processes[2].is_scheduled() && !processes[2].is_online() && processes[2].name == "3");
    }

    #[test]
    fn what_is_no_list_is_said() {
        for printed in ["", "[PM2] nothing", "[{}]", "[PM2]"] {
            assert!(processes(printed).is_err(), "{printed:?}");
        }
    }
}

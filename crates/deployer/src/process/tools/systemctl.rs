//! `systemctl`, as we call it.

use super::{HELPER, privileged};
use crate::base::names::UnitName;
use crate::config::{CommandLine, Privileges};
use std::path::PathBuf;

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    pub name: String,
    /// `active`, `failed`, `activating`, ...
    pub active: String,
    /// `running`, `exited`, `auto-restart`, ...
    pub sub: String,
    /// How often systemd has started it again by itself.
    pub restarts: u64,
    /// Its main process; 0 where it has none.
    pub main_pid: u32,
    /// As whom it runs, by name or number; None: one that systemd makes for it.
    pub user: Option<String>,
    /// Whether systemd has a file for it.
    pub is_known: bool,
    /// Its files are newer than what systemd has read of them.
    pub is_outdated: bool,
    /// Whether it is started at boot, by itself or by a unit that is.
    pub is_enabled: bool,
    /// Whether its file says by what it would be started at boot, once it is enabled.
    pub has_install: bool,
    /// Its file, or the link in its place; empty where there is none.
    pub file: PathBuf,
}

impl UnitState {
    /// Whether it is up. A oneshot that has done its work and remains is, too.
    pub fn is_active(&self) -> bool {
        self.active == "active"
    }

    pub fn in_words(&self) -> String {
        format!("{} ({})", self.active, self.sub)
    }
}

/// `systemctl restart website.service`
pub fn verb(privileges: Privileges, user: bool, verb: &str, unit: &UnitName) -> CommandLine {
    let mut words = systemctl(user);
    words.extend([verb.to_owned(), "--".into(), unit.to_string()]);
    // Our own manager obeys us.
    if user {
        return CommandLine::Argv(words);
    }
    let asked = match verb {
        "reload-or-restart" => "unit-reload".to_owned(),
        verb => format!("unit-{verb}"),
    };
    privileged(privileges, words, vec![asked, unit.to_string()])
}

/// Has systemd read its units again.
pub fn reload_units() -> CommandLine {
    words(&["daemon-reload"], &[])
}

/// Has units started now and at every boot.
pub fn enable(units: &[&str]) -> CommandLine {
    words(&["enable", "--now"], units)
}

/// Has units started at every boot, and not now.
pub fn enable_only(units: &[&str]) -> CommandLine {
    words(&["enable"], units)
}

/// Has units stopped now, and not started again.
pub fn disable(units: &[&str]) -> CommandLine {
    words(&["disable", "--now"], units)
}

/// Stops units, also those that a pattern names.
pub fn stop(units: &[&str]) -> CommandLine {
    words(&["stop"], units)
}

/// Ends units and starts them again.
pub fn restart(units: &[&str]) -> CommandLine {
    words(&["restart"], units)
}

/// Has units read their configuration again.
pub fn reload(units: &[&str]) -> CommandLine {
    words(&["reload"], units)
}

/// What a unit and its processes have said last, systemd's own words among it; as many lines as the helper gives. Not by sudo: a rule that it
/// lacks would be complained of each time, and whoever may read the journal needs none.
pub fn journal(privileges: Privileges, user: bool, unit: &str) -> CommandLine {
    if privileges == Privileges::Helper && !user {
        return CommandLine::Argv([HELPER, "ask", "unit-journal", unit].map(str::to_owned).to_vec());
    }
    let of = if user { "--user-unit" } else { "--unit" };
    let words = ["journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=30", of, unit];
    CommandLine::Argv(words.map(str::to_owned).to_vec())
}

/// What a unit's processes have said last.
pub fn last_words(unit: &str) -> CommandLine {
    let matched = format!("_SYSTEMD_UNIT={unit}");
    let words = ["journalctl", "--no-pager", "--output=cat", "--lines=5", matched.as_str()];
    CommandLine::Argv(words.map(str::to_owned).to_vec())
}

/// The same for one that need not run; one that cannot be reloaded is restarted.
pub fn reload_if_running(unit: &str) -> CommandLine {
    words(&["try-reload-or-restart"], &[unit])
}

/// How a unit is installed, and since when it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installation {
    pub name: String,
    /// Started at boot.
    pub is_enabled: bool,
    /// Running, or listening.
    pub is_active: bool,
    /// Its files are newer than what systemd has read of them.
    pub is_outdated: bool,
    /// When its process was started, in microseconds since 1970.
    pub started_at_us: Option<i64>,
    /// When it was last started, stopped or reloaded, likewise.
    pub changed_at_us: Option<i64>,
}

/// Asks how units are installed.
pub fn installations(units: &[&str]) -> CommandLine {
    let properties = "--property=Id,UnitFileState,ActiveState,NeedDaemonReload,ExecMainStartTimestamp,StateChangeTimestamp";
    words(&["show", "--timestamp=us+utc", properties], units)
}

/// Reads what [`installations`] printed.
pub fn read_installations(printed: &str) -> Vec<Installation> {
    blocks(printed)
        .map(|block| Installation {
            name: value(block, "Id"),
            is_enabled: value(block, "UnitFileState") == "enabled",
            is_active: value(block, "ActiveState") == "active",
            is_outdated: value(block, "NeedDaemonReload") == "yes",
            started_at_us: microseconds(&value(block, "ExecMainStartTimestamp")),
            changed_at_us: microseconds(&value(block, "StateChangeTimestamp")),
        })
        .collect()
}

/// Has our user's own manager read its units' files anew.
pub fn read_files_of_user_units() -> CommandLine {
    let mut words = systemctl(true);
    words.push("daemon-reload".to_owned());
    CommandLine::Argv(words)
}

/// Asks for the states of units; anybody may.
pub fn show(user: bool, units: &[UnitName]) -> CommandLine {
    let mut words = systemctl(user);
    words.extend([
        "show".to_owned(),
        "--property=Id,ActiveState,SubState,NRestarts,MainPID,User,DynamicUser,LoadState,NeedDaemonReload,UnitFileState,WantedBy,RequiredBy,UpheldBy,TriggeredBy,FragmentPath".into(),
        "--".into(),
    ]);
    words.extend(units.iter().map(ToString::to_string));
    CommandLine::Argv(words)
}

/// Whether systemd can start a unit, as far as its files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadState {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`, ...
    pub state: String,
    /// Why it is none of the first, in systemd's words; empty where it says nothing more.
    pub error: String,
    /// Whether it runs.
    pub is_active: bool,
}

/// Asks what systemd has read of units; anybody may.
pub fn load_states(user: bool, units: &[UnitName]) -> CommandLine {
    let mut words = systemctl(user);
    words.extend(["show".to_owned(), "--property=Id,LoadState,LoadError,ActiveState".into(), "--".into()]);
    words.extend(units.iter().map(ToString::to_string));
    CommandLine::Argv(words)
}

/// Reads what [`load_states`] printed. The error comes with its name on the bus, and in quotation marks.
pub fn read_load_states(printed: &str) -> Vec<LoadState> {
    let sentence = |text: String| match text.split_once('"') {
        Some((_, quoted)) => quoted.trim_end_matches('"').to_owned(),
        None => text,
    };
    blocks(printed)
        .map(|block| LoadState {
            state: value(block, "LoadState"),
            error: sentence(value(block, "LoadError")),
            is_active: value(block, "ActiveState") == "active",
        })
        .collect()
}

/// Asks what a unit's services may write to; anybody may.
pub fn sandbox(unit: &str) -> CommandLine {
    let properties = "--property=LoadState,ProtectSystem,ProtectHome,ReadWritePaths,ReadOnlyPaths,InaccessiblePaths,BindPaths,BindReadOnlyPaths,TemporaryFileSystem,StateDirectory,CacheDirectory,LogsDirectory";
    words(&["show", properties, "--"], &[unit])
}

/// Asks as whom units run.
pub fn users(units: &[UnitName]) -> CommandLine {
    let mut words = systemctl(false);
    words.extend(["show".to_owned(), "--property=Id,User,DynamicUser,LoadState".into(), "--".into()]);
    words.extend(units.iter().map(ToString::to_string));
    CommandLine::Argv(words)
}

/// Reads what [`users`] printed: the unit, and its user, which is root where none is named, and `None` where systemd makes one for each start
/// (`DynamicUser=`). Nothing for units that are not there.
pub fn read_users(printed: &str) -> Vec<(String, Option<String>)> {
    let loaded = blocks(printed).filter(|block| value(block, "LoadState") == "loaded");
    loaded.map(|block| (value(block, "Id"), user_of(block))).collect()
}

fn user_of(block: &str) -> Option<String> {
    (value(block, "DynamicUser") != "yes").then(|| match value(block, "User") {
        none if none.is_empty() => "root".to_owned(),
        user => user,
    })
}

/// Reads what [`show`] printed: `Name=value` lines, an empty line between units.
pub fn states(printed: &str) -> Vec<UnitState> {
    blocks(printed)
        .map(|block| UnitState {
            name: value(block, "Id"),
            active: value(block, "ActiveState"),
            sub: value(block, "SubState"),
            restarts: value(block, "NRestarts").parse().unwrap_or_default(),
            main_pid: value(block, "MainPID").parse().unwrap_or_default(),
            user: user_of(block),
            is_known: value(block, "LoadState") != "not-found",
            is_outdated: value(block, "NeedDaemonReload") == "yes",
            is_enabled: starts_at_boot(block),
            has_install: value(block, "UnitFileState") != "static",
            file: value(block, "FragmentPath").into(),
        })
        .collect()
}

/// `enabled` says so; what is not may be started by a unit that wants it, or by its socket, timer or path.
fn starts_at_boot(block: &str) -> bool {
    let starters = ["WantedBy", "RequiredBy", "UpheldBy", "TriggeredBy"];
    match value(block, "UnitFileState").as_str() {
        "enabled" | "alias" => true,
        "masked" | "masked-runtime" => false,
        _ => starters.iter().any(|starter| !value(block, starter).is_empty()),
    }
}

/// The systemd service that a process belongs to, by its `/proc/PID/cgroup`; none for one of a session or a container's.
pub fn service_of(cgroups: &str) -> Option<String> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::").filter(|path| *path != "/"));
    let named = || cgroups.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    let unit = path
        .or_else(named)?
        .split('/')
        .rfind(|part| part.ends_with(".service") || part.ends_with(".scope"))?;
    unit.ends_with(".service").then(|| unit.to_owned())
}

/// `Mon 2026-11-23 19:02:20.123456 UTC`; nothing where it was never started.
fn microseconds(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%a %Y-%m-%d %H:%M:%S%.f UTC", text).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

fn blocks(printed: &str) -> impl Iterator<Item = &str> {
    printed.split("\n\n").filter(|block| !block.trim().is_empty())
}

fn value(block: &str, name: &str) -> String {
    let of = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    block.lines().find_map(of).unwrap_or_default()
}

/// For the system's manager, by root.
fn words(verb: &[&str], units: &[&str]) -> CommandLine {
    let mut words = systemctl(false);
    words.extend(verb.iter().chain(units).map(|word| (*word).to_owned()));
    CommandLine::Argv(words)
}

fn systemctl(user: bool) -> Vec<String> {
    let mut words = vec!["systemctl".to_owned()];
    if user {
        words.push("--user".into());
    }
    words.push("--no-ask-password".into());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_restarted_by_whoever_may() {
        let unit = UnitName::parse("website.service").unwrap();
        for (privileges, user, expected) in [
            (Privileges::Direct, false, "systemctl --no-ask-password restart -- website.service"),
            (Privileges::Sudo, false, "sudo -n systemctl --no-ask-password restart -- website.service"),
            (Privileges::Sudo, true, "systemctl --user --no-ask-password restart -- website.service"),
            (Privileges::Helper, false, &format!("{HELPER} ask unit-restart website.service")),
            (Privileges::Helper, true, "systemctl --user --no-ask-password restart -- website.service"),
        ] {
            assert_eq!(verb(privileges, user, "restart", &unit).shown(), expected);
        }
        let reload = verb(Privileges::Helper, false, "reload-or-restart", &unit).shown();
        assert_eq!(reload, format!("{HELPER} ask unit-reload website.service"));
    }

    #[test]
    fn installations_are_read_unit_by_unit() {
        let printed = "Id=a.socket\nActiveState=active\nExecMainStartTimestamp=Mon 2026-11-23 19:02:20.123456 UTC\nStateChangeTimestamp=Mon 2026-11-23 19:02:21.123456 UTC\nUnitFileState=enabled\nNeedDaemonReload=no\n\nId=b.service\nActiveState=failed\nExecMainStartTimestamp=\nUnitFileState=disabled\nNeedDaemonReload=yes\n";
        let read = read_installations(printed);
        let a = Installation {
            name: "a.socket".into(),
            is_enabled: true,
            is_active: true,
            is_outdated: false,
            started_at_us: Some(1_795_460_540_123_456),
            changed_at_us: Some(1_795_460_541_123_456),
        };
        let b = Installation { name: "b.service".into(), is_outdated: true, ..Installation::default() };
        assert_eq!(read, [a, b]);
    }

    #[test]
    fn states_are_read_unit_by_unit() {
        let printed = "NRestarts=0\nId=a.service\nActiveState=active\nSubState=running\nUser=web\nDynamicUser=no\n\nId=b.service\nActiveState=activating\nSubState=auto-restart\nNRestarts=3\nUser=\nDynamicUser=no\n\nId=c.service\nUser=\nDynamicUser=yes\n";
        let states = states(printed);
        let users: Vec<Option<&str>> = states.iter().map(|state| state.user.as_deref()).collect();
        assert_eq!(users, [Some("web"), Some("root"), None]);
        assert_eq!(
            (states.len() - 1, states[0].name.as_str(), states[0].is_active()),
            (2, "a.service", true)
        );
        assert_eq!((states[1].in_words().as_str(), states[1].restarts), ("activating (auto-restart)", 3));
        assert!(!states[1].is_active());
    }

    #[test]
    fn the_service_of_a_process() {
        for (cgroups, expected) in [
            ("0::/system.slice/durhack-deployer.service\n", Some("durhack-deployer.service")),
            ("0::/system.slice/pm2-durhack.service\n", Some("pm2-durhack.service")),
            ("0::/user.slice/user-0.slice/session-3.scope\n", None),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n", None),
            ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", Some("x.service")),
            ("12:pids:/\n1:name=systemd:/system.slice/x.service/sub\n0::/\n", Some("x.service")),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(service_of(cgroups).as_deref(), expected, "{cgroups:?}");
        }
    }
}

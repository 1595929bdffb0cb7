//! `systemctl`, as we call it.

use super::privileged;
use crate::config::{CommandLine, Privileges};
use crate::names::UnitName;

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Its name.
    pub name: String,
    /// `active`, `failed`, `activating`, ...
    pub active: String,
    /// `running`, `exited`, `auto-restart`, ...
    pub sub: String,
    /// How often systemd has started it again by itself.
    pub restarts: u64,
    /// Its main process; 0 where it has none.
    pub main_pid: u32,
}

impl UnitState {
    /// Whether it is up. A oneshot that has done its work and remains is, too.
    pub fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// `failed (exit-code)`
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

/// Asks for the states of units; anybody may.
pub fn show(user: bool, units: &[UnitName]) -> CommandLine {
    let mut words = systemctl(user);
    words.extend([
        "show".to_owned(),
        "--property=Id,ActiveState,SubState,NRestarts,MainPID".into(),
        "--".into(),
    ]);
    words.extend(units.iter().map(ToString::to_string));
    CommandLine::Argv(words)
}

/// Reads what [`show`] printed: `Name=value` lines, an empty line between units.
pub fn states(printed: &str) -> Vec<UnitState> {
    let blocks = printed.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks
        .map(|block| {
            let value = |name: &str| {
                let of = |line: &str| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
                block.lines().find_map(of).unwrap_or_default()
            };
            UnitState {
                name: value("Id"),
                active: value("ActiveState"),
                sub: value("SubState"),
                restarts: value("NRestarts").parse().unwrap_or_default(),
                main_pid: value("MainPID").parse().unwrap_or_default(),
            }
        })
        .collect()
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
    use super::super::HELPER;
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
    fn states_are_read_unit_by_unit() {
        let printed = "NRestarts=0\nId=a.service\nActiveState=active\nSubState=running\n\nId=b.service\nActiveState=activating\nSubState=auto-restart\nNRestarts=3\n";
        let states = states(printed);
        assert_eq!((states.len(), states[0].name.as_str(), states[0].is_active()), (2, "a.service", true));
        assert_eq!((states[1].in_words().as_str(), states[1].restarts), ("activating (auto-restart)", 3));
        assert!(!states[1].is_active());
    }
}

//! What sudo allows where the privileged helper is not used: the package's rules, and a line for each call of systemctl that the
//! deployments make. Pure.

use crate::admin::host::inspect::Configuration;
use crate::admin::host::paths;
use crate::base::names::UnitName;
use crate::config::Privileges;
use crate::process::tools::systemctl;
use std::fmt::Write as _;

/// The rules of every host.
const RULES: &str = include_str!("../../../../../packaging/sudo/durhack-deployer");

/// What is asked of systemctl for a unit that a recipe runs.
const VERBS: [&str; 5] = ["restart", "reload-or-restart", "start", "stop", "reset-failed"];

/// The text of the file in `/etc/sudoers.d`, with a rule for each command that deployments need.
pub fn rules(known: Option<&Configuration>) -> String {
    let mut text = format!("{RULES}\n# The units of the deployments, by `durhack-deployer setup`:\n");
    let units = known.into_iter().flat_map(|known| &known.units);
    for unit in units.filter_map(|unit| UnitName::parse(unit).ok()) {
        for verb in VERBS {
            // Behind `sudo -n`; the colon is sudo's.
            let call = systemctl::verb(Privileges::Sudo, false, verb, &unit).argv()[2..].join(" ");
            let call = call.replace(':', "\\:");
            let _ = writeln!(text, "{} ALL=(root) NOPASSWD: /usr/bin/{call}", paths::user());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::setup::plan::tests::configuration;

    #[test]
    fn sudo_allows_exactly_the_calls_that_are_made() {
        let known = Configuration { units: ["a:b@c.service".to_owned()].into(), ..configuration() };
        let text = rules(Some(&known));
        let line = "\ndurhack-deployer ALL=(root) NOPASSWD: /usr/bin/systemctl --no-ask-password restart -- a\\:b@c.service\n";
        assert!(text.contains(line), "{text}");
        let rules = text.lines().filter(|line| line.contains("NOPASSWD") && !line.starts_with('#'));
        assert!(rules.clone().all(|rule| !rule.contains('*') && !rule.contains("/certbot")), "{text}");
        assert_eq!(rules.count(), 4 + VERBS.len());
    }
}

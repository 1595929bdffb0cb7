//! `doctor` on a whole host, with the real sudo and the real helper: what somebody spoils is named, and mended by the line that it says.

use super::Host;
use crate::doctor::Report;

/// As root sees it.
#[track_caller]
fn examined(host: &Host) -> Report {
    Report::of(&host.machine.try_run(&["durhack-deployer", "doctor", "--json"]))
}

/// As the deployer's user does.
#[track_caller]
fn examined_by_user(host: &Host) -> Report {
    let words = ["runuser", "-u", "durhack-deployer", "--", "durhack-deployer", "doctor", "--json"];
    Report::of(&host.machine.try_run(&words))
}

/// GitHub, and names, are not here; and the program of these tests runs as nobody.
#[track_caller]
fn is_well(report: &Report) {
    let wrong = report.wrong_beside(&["credentials", "networks", "users of units"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where the helper is used.
pub fn says_what_mends_it(host: &Host) {
    let machine = &host.machine;
    let well = examined(host);
    is_well(&well);
    well.assert("privileges", "ok", "durhack-deployer has a way to restart units", "");
    for spoil in [
        "chmod 777 /var/lib/durhack-deployer",
        "chmod 666 /etc/durhack-deployer/default.toml",
        "touch /var/lib/durhack-deployer/mirrors/left-by-root",
        "chown root: /var/www/site",
        "systemctl disable --now durhack-deployer-privileged.socket",
    ] {
        machine.run(&["sh", "-c", spoil]);
    }
    let report = examined(host);
    report.assert("state", "error", "others may put files in it", "`chmod 700 /var/lib/durhack-deployer`");
    report.assert("state", "error", "left-by-root", "`chown -R durhack-deployer: /var/lib/durhack-deployer`");
    report.assert("configuration files", "error", "others may write", "`chmod go-w");
    report.assert("deployments' paths", "error", "durhack-deployer may not write /var/www/site", "`chown");
    report.assert(
        "privileges",
        "error",
        "nobody listens on /run/durhack-deployer-privileged.sock",
        "`systemctl",
    );
    for finding in report.wrong_beside(&["credentials", "networks", "users of units"]) {
        let mend = finding.mend.as_deref().expect("what is wrong says so");
        let line = mend.split('`').nth(1).unwrap_or_else(|| panic!("no command line: {finding:?}"));
        machine.run(&["sh", "-c", line]);
    }
    is_well(&examined(host));
}

/// Where sudo is used.
pub fn names_rules_that_are_too_wide(host: &Host) {
    let machine = &host.machine;
    for report in [examined(host), examined_by_user(host)] {
        report.assert("sudo's rules", "ok", "none too wide", "");
        report.assert("privileges", "ok", "durhack-deployer has a way to restart units", "");
    }
    // As the original's README has it.
    machine.write("/etc/sudoers.d/original", "durhack-deployer ALL=(ALL) NOPASSWD: /usr/bin/certbot\n");
    let what =
        "durhack-deployer may run `/usr/bin/certbot` as root: any arguments, so whoever can push is root";
    examined(host).assert("sudo's rules", "error", what, "`visudo -f /etc/sudoers.d/original`");
    examined_by_user(host).assert("sudo's rules", "error", what, "`visudo -f /etc/sudoers`");
    machine.run(&["rm", "/etc/sudoers.d/original"]);
}

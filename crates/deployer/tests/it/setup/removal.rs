//! `setup --uninstall`, with and without `--purge`: what is undone, what stays, and that a person is asked.

use super::{Host, UNITS};
use std::process::Output;

const SETUP: [&str; 2] = ["durhack-deployer", "setup"];

fn setup(host: &Host, options: &[&str]) -> Output {
    host.machine.try_run(&[&SETUP, options].concat())
}

/// At a terminal, where somebody answers.
fn answered(host: &Host, options: &str, answer: &str) -> (bool, String) {
    let command = format!("durhack-deployer setup {options}");
    let script = r#"echo "$2" | script --quiet --return --command "$1" /dev/null"#;
    let output = host.machine.try_run(&["sh", "-c", script, "sh", &command, answer]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Nothing is done by what only says, is not understood, or was not agreed to.
pub fn is_done_only_when_it_was_meant(host: &Host) {
    host.rests();
    let before = host.picture();
    for alone in [&["--purge", "--yes"][..], &["--uninstall", "--yes", "--origin", "https://deploy.test"]] {
        assert_eq!(setup(host, alone).status.code(), Some(2), "{alone:?}");
    }
    assert_eq!(
        setup(host, &["--uninstall", "--purge"]).status.code(),
        Some(1),
        "nobody is there to be asked"
    );
    let planned = setup(host, &["--uninstall", "--purge", "--dry-run"]);
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    for said in [
        "remove /var/lib/durhack-deployer and everything in it",
        "remove /etc/durhack-deployer and everything in it",
        "remove the user and group durhack-deployer",
        "left: /var/www/site, with what is live there",
        "nothing was done",
    ] {
        assert!(planned.contains(said), "{said}: {planned}");
    }
    let (agreed, asked) = answered(host, "--uninstall --purge", "n");
    assert!(!agreed && asked.contains("Do it? [y/N]") && asked.contains("nothing was done"), "{asked}");
    assert_eq!(host.picture(), before);
}

/// Services, site, rights go; what would be missed stays.
pub fn keeps_state_configuration_and_what_is_live(host: &Host, page: &str) {
    let machine = &host.machine;
    let left = machine.run(&[&SETUP[..], &["--uninstall", "--yes"]].concat());
    assert!(left.contains("left: /var/www/site") && left.contains("--uninstall --purge"), "{left}");
    assert!(left.contains("`durhack-deployer setup --origin http"), "{left}");
    // Told nothing, the next one opens the port to everybody, and says so.
    let planned = machine.run(&[&SETUP[..], &["--dry-run"]].concat());
    assert!(planned.contains("is open on every address: `durhack-deployer setup --origin http"), "{planned}");
    for unit in UNITS {
        assert_eq!(machine.property(unit, "ActiveState"), "inactive", "{unit}");
        assert_eq!(machine.property(unit, "UnitFileState"), "disabled", "{unit}");
    }
    assert!(!machine.path("/etc/nginx/sites-enabled/durhack-deployer.conf").exists());
    assert!(!machine.path("/etc/systemd/system/nginx.service.d/durhack-deployer.conf").exists());
    assert_eq!(machine.property("nginx.service", "NoNewPrivileges"), "no");
    assert!(!machine.run(&["getfacl", "-pR", "/etc/nginx"]).contains("user:durhack-deployer"));
    let secret = machine.run(&["cat", "/etc/durhack-deployer/credentials/webhook-secret"]);
    assert_eq!(secret.len(), 64, "state and configuration stay");
    assert!(machine.path("/var/lib/durhack-deployer/record.sqlite").exists());
    host.shows(page);
}

/// Mounts a file system of its own where the state lies, with what lies there.
pub fn state_on_a_mount(host: &Host) {
    host.machine.run(&["cp", "-a", "/var/lib/durhack-deployer", "/mnt/state"]);
    host.machine.run(&["mount", "--bind", "/mnt/state", "/var/lib/durhack-deployer"]);
}

/// What is mounted stays, and nothing in it does.
pub fn state_is_empty(host: &Host) {
    let files = host.machine.run(&["find", "/var/lib/durhack-deployer", "-mindepth", "1"]);
    assert_eq!(files, "");
    host.machine.run(&["mountpoint", "/var/lib/durhack-deployer"]);
}

/// All goes but the package and what is live; and all can be had anew.
pub fn purges_the_rest(host: &Host, page: &str) {
    let machine = &host.machine;
    // As PM2 does: a program of a deployment that runs as the user.
    machine.run(&[
        "systemd-run",
        "--quiet",
        "--unit=deployed",
        "--uid=durhack-deployer",
        "sleep",
        "infinity",
    ]);
    let refused = setup(host, &["--uninstall", "--purge", "--yes"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("currently used by process"), "{why}");
    assert!(machine.path("/var/lib/durhack-deployer/record.sqlite").exists(), "nothing of it is gone");
    assert!(machine.path("/etc/durhack-deployer/default.toml").exists());
    machine.run(&["systemctl", "stop", "deployed.service"]);
    state_on_a_mount(host);
    let (agreed, done) = answered(host, "--uninstall --purge", "y");
    assert!(agreed && done.contains("remove the user and group durhack-deployer"), "{done}");
    state_is_empty(host);
    machine.run(&["umount", "/var/lib/durhack-deployer"]);
    machine.run(&["rm", "-r", "/var/lib/durhack-deployer"]);
    for gone in ["/var/lib/durhack-deployer", "/var/lib/durhack-deployer-privileged", "/etc/durhack-deployer"]
    {
        assert!(!machine.path(gone).exists(), "{gone}");
    }
    for table in ["passwd", "group"] {
        assert!(!machine.try_run(&["getent", table, "durhack-deployer"]).status.success(), "{table}");
    }
    let files = "find /etc /run -name '*durhack-deployer*' ! -type d";
    assert_eq!(machine.run(&["sh", "-c", files]), "");
    host.shows(page);
    let again = machine.run(&[&SETUP[..], &["--uninstall", "--purge", "--yes"]].concat());
    assert!(again.contains("nothing to do"), "{again}");
    let anew = machine.run(&[&SETUP[..], &["--dry-run"]].concat());
    assert!(anew.contains("make the user and group") && anew.contains("make a webhook secret"), "{anew}");
}

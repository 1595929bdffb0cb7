//! What opens something is said; what can never be meant is refused.

use super::{GOOD_SECRET, TestHost, brief, slugs};
use crate::config::Purpose;

const HEAD: &str = "[deployments.x]\nrepository = \"a/b\"\nbranch = \"main\"\npath = \"/srv/x\"\n";
const OTHER: &str =
    "[deployments.y]\nrepository = \"a/c\"\nbranch = \"main\"\npath = \"/srv/y\"\nuser = \"app-y\"\n";

fn host(text: &str) -> TestHost {
    TestHost::new(text)
        .variable("DEPLOYER_ENV", "production")
        .variable("DEPLOYER_WEBHOOK_SECRET", GOOD_SECRET)
}

/// What is said besides of what is right.
fn said(text: &str, purpose: Purpose) -> String {
    brief(host(text).load_for(purpose))
}

fn of_x(more: &str) -> String {
    format!("{HEAD}user = \"app-x\"\n{more}\n{OTHER}")
}

#[test]
fn each_key_that_opens_something_is_said_where_the_configuration_is_checked() {
    assert_eq!(said(&of_x(""), Purpose::Check), "");
    for (text, expected) in [
        (
            of_x("confine = false"),
            "note default.toml:6:1 [x] what is pushed builds without a sandbox: it reads and writes all that app-x can",
        ),
        (
            format!("{HEAD}user = \"durhack-deployer\"\nconfine = false"),
            "note default.toml:6:1 [x] what is pushed builds without a sandbox, as the deployer itself",
        ),
        (
            of_x("writable = [\"/srv/cache\"]"),
            "note default.toml:6:1 [x] what is pushed can change all in /srv/cache",
        ),
        (
            of_x("readable = [\"/srv/fonts\"]"),
            "note default.toml:6:1 [x] what is pushed can read all in /srv/fonts",
        ),
        (
            format!("{}[confinement]\nwritable = [\"/srv/cache\"]", of_x("")),
            "every push can change all in /srv/cache",
        ),
        (
            format!("{}[confinement]\nreadable = [\"/srv/fonts\"]", of_x("")),
            "every push can read all in /srv/fonts",
        ),
        (
            of_x("env_file = \"/srv/y/shared/.env\""),
            "warning default.toml:6:1 [x] /srv/y/shared/.env lies below the path of deployment y",
        ),
        (
            of_x("require_signature = \"/srv/x/current/keys\""),
            "warning default.toml:6:1 [x] this file lies below the path of deployment x",
        ),
        (of_x("require_signature = \"/srv/y/current/keys\""), "below the path of deployment y"),
        (
            format!("{HEAD}user = \"postgres\""),
            "warning default.toml:5:1 [x] postgres is the account of a service",
        ),
        (format!("{HEAD}user = \"www-data\""), "www-data is the account of a service"),
        (
            of_x("").replace("/srv/x", "/etc/cron.d"),
            "warning default.toml:4:1 [x] this path lies in a directory of the system",
        ),
        (
            of_x("recipe = \"systemd\"\nunits = [\"ssh.service\"]"),
            "warning default.toml:7:1 [x] ssh.service is the host's own",
        ),
        (of_x("recipe = \"systemd\"\nunits = [\"reboot.target\"]"), "reboot.target is the host's own"),
        (
            format!("proxy_fix = {{ trusted_proxies = [\"0.0.0.0/0\"] }}\n{}", of_x("")),
            "warning default.toml:1:15 0.0.0.0/0 is wider than what a proxy can be",
        ),
        (format!("proxy_fix = {{ trusted_proxies = [\"::/0\"] }}\n{}", of_x("")), "::/0 is wider"),
        (
            format!("proxy_fix = {{ trusted_proxies = [\"10.0.0.0/8\"] }}\n{}", of_x("")),
            "10.0.0.0/8 is wider",
        ),
    ] {
        let checked = said(&text, Purpose::Check);
        assert!(checked.contains(expected), "{text}:\n{checked}");
        assert!(checked.contains(" -> "), "what to do: {checked}");
        let served = host(&text).load().unwrap_or_else(|problems| panic!("{text}: {problems}"));
        assert!(slugs(&served.config).contains(&"x"), "{text}");
        assert!(
            !super::brief_of(&served.problems).contains(expected),
            "a command that does not check: {text}"
        );
    }
    for ordinary in [
        "proxy_fix = { trusted_proxies = [\"127.0.0.0/8\", \"::1\", \"192.0.2.0/24\"] }\n".to_owned()
            + &of_x(""),
        of_x(
            "env_file = \"shared/.env\"\nenv_files = [\"/etc/x.env\"]\nrequire_signature = \"/etc/signers\"",
        ),
        of_x("recipe = \"systemd\"\nunits = [\"website.service\", \"api@8101.service\", \"jobs.timer\"]"),
        of_x("").replace("/srv/x", "/usr/local/x"),
    ] {
        assert_eq!(said(&ordinary, Purpose::Check), "", "{ordinary}");
    }
}

#[test]
fn what_can_never_be_meant_is_refused_by_every_command() {
    for place in [
        "/etc/durhack-deployer/credentials",
        "/etc/durhack-deployer",
        "/etc",
        "/",
        "/var/lib",
        "/var/lib/durhack-deployer",
        "/var/lib/durhack-deployer-steps/app-y",
        "/var/lib/durhack-deployer-privileged",
    ] {
        for purpose in [Purpose::Check, Purpose::Serve, Purpose::Deploy] {
            for key in ["writable", "readable"] {
                let of_one = said(&of_x(&format!("{key} = [\"{place}\"]")), purpose);
                assert!(
                    of_one.starts_with("error default.toml:6:")
                        && of_one.contains(" -> name the one directory"),
                    "{place}: {of_one}"
                );
                let of_all = said(&format!("{}[confinement]\n{key} = [\"{place}\"]", of_x("")), purpose);
                assert!(of_all.starts_with("refused\nerror"), "{place}: {of_all}");
            }
        }
    }
    for place in ["/etc/nginx", "/usr/bin", "/boot", "/run"] {
        assert!(
            said(&of_x(&format!("writable = [\"{place}\"]")), Purpose::Serve).starts_with("error"),
            "{place}"
        );
        assert!(
            !said(&of_x(&format!("readable = [\"{place}\"]")), Purpose::Serve).contains("error"),
            "{place}"
        );
    }
    let host = host("").file("of-webhooks", GOOD_SECRET);
    let secret = host.path("of-webhooks");
    for more in [
        format!("env_file = {secret:?}"),
        format!("env_files = [{secret:?}]"),
        format!("readable = [{secret:?}]"),
    ] {
        let text = format!("webhook_secret_token_file = {secret:?}\n{}", of_x(&more));
        let host = TestHost::new(&text).variable("DEPLOYER_ENV", "production");
        let said = brief(host.load_for(Purpose::Check));
        assert!(said.contains("error default.toml:7:") && said.contains("secret"), "{more}: {said}");
    }
}

#[test]
fn one_directory_by_two_names_is_one_directory() {
    let host = host("");
    let real = host.path("sites");
    fs_err::create_dir(&real).unwrap();
    fs_err::os::unix::fs::symlink(&real, host.path("link")).unwrap();
    fs_err::create_dir_all(host.path("var")).unwrap();
    fs_err::os::unix::fs::symlink(host.path("var"), host.path("state")).unwrap();
    let in_state = of_x("").replace("/srv/x", &host.path("state/x").to_string_lossy());
    let in_state = format!("state_directory = {:?}\n{in_state}", host.path("var"));
    assert!(
        brief(TestHost::signed(&in_state).load())
            .contains("leads through a link or a mount into the state directory")
    );
    for (one, other) in [("sites", "link"), ("sites/a", "link/a"), ("link", "sites/a/b")] {
        let text = of_x("")
            .replace("/srv/x", &host.path(one).to_string_lossy())
            .replace("/srv/y", &host.path(other).to_string_lossy());
        let host = TestHost::signed(&text);
        let loaded = host.loaded();
        assert_eq!(slugs(&loaded.config), ["x"], "{one} {other}");
        assert!(
            super::brief_of(&loaded.problems)
                .contains("leads through a link or a mount to the path of deployment x")
        );
    }
}

//! What the configuration opens: each key that lets a push reach more than its own directories is said, and what can never be meant is an
//! error. Only outside of development, where builds and the deployer share one directory.
//!
//! Errors count for every command. What is merely opened is said where the configuration is checked, and not at each command.

use super::ResolveFacts;
use super::deployment::overlap;
use crate::config::purpose::{Purpose, SYSTEM_DIRECTORY};
use crate::config::reading::diagnostics::Severity;
use crate::config::reading::reader::TableReader;
use crate::config::{Config, Deployment, Proxies};
use ipnet::IpNet;
use std::path::{Path, PathBuf};

/// Where the deployer, its helper and the users of steps keep their state, whatever `state_directory` says.
const STATES: &str = "/var/lib/durhack-deployer";

/// Directories of which the system is made. Who writes there is root sooner or later.
const SYSTEM: [&str; 13] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
    "/usr",
];

/// What lies in [`SYSTEM`] and is an administrator's to give away.
const NOT_SYSTEM: [&str; 3] = ["/usr/local", "/usr/share/nginx", "/run/durhack-deployer"];

/// Accounts with which Debian's packages run their services: who is one of them has its files and databases.
const SERVICES: [&str; 46] = [
    "backup",
    "bin",
    "bind",
    "caddy",
    "couchdb",
    "daemon",
    "dnsmasq",
    "docker",
    "dovecot",
    "elasticsearch",
    "git",
    "gitea",
    "gitlab-runner",
    "grafana",
    "haproxy",
    "irc",
    "jenkins",
    "list",
    "lp",
    "mail",
    "man",
    "memcache",
    "messagebus",
    "minio",
    "mongodb",
    "mosquitto",
    "munin",
    "mysql",
    "news",
    "nginx",
    "ntp",
    "openldap",
    "polkitd",
    "postfix",
    "postgres",
    "prometheus",
    "proxy",
    "rabbitmq",
    "redis",
    "sshd",
    "sync",
    "sys",
    "systemd-network",
    "unbound",
    "uucp",
    "www-data",
];

/// Units by which the host itself stands: whoever restarts them at each push has to mean it.
const HOSTS_UNITS: [&str; 26] = [
    "acpid",
    "apparmor",
    "auditd",
    "console-setup",
    "containerd",
    "cron",
    "dbus",
    "dbus-broker",
    "docker",
    "fail2ban",
    "getty@tty1",
    "ifupdown",
    "init",
    "networking",
    "nftables",
    "NetworkManager",
    "polkit",
    "rsyslog",
    "serial-getty@ttyS0",
    "ssh",
    "sshd",
    "sudo",
    "ufw",
    "udev",
    "unattended-upgrades",
    "wpa_supplicant",
];

/// See the module. After everything has been read.
pub fn judge(root: &TableReader<'_>, config: &Config, facts: &ResolveFacts<'_>) {
    if facts.is_development() {
        return;
    }
    let judge = Judge { config, says_what_is_open: facts.purpose == Purpose::Check };
    if let Some(proxy_fix) = root.known_table("proxy_fix") {
        judge.proxies(&proxy_fix);
    }
    if let Some(confinement) = root.known_table("confinement") {
        judge.places(&confinement, "readable", &config.confinement.readable, "every push");
        judge.places(&confinement, "writable", &config.confinement.writable, "every push");
    }
    for (slug, table) in root.named("deployments") {
        let known = config.deployments.values().find(|deployment| deployment.slug.as_str() == slug);
        if let (Ok(table), Some(deployment)) = (table, known) {
            judge.deployment(&table.for_deployment(slug), deployment);
        }
    }
}

struct Judge<'a> {
    config: &'a Config,
    says_what_is_open: bool,
}

impl Judge<'_> {
    fn say(&self, table: &TableReader<'_>, key: &str, severity: Severity, message: String, help: &str) {
        if self.says_what_is_open {
            table.report_at_key(key, severity, message, help);
        }
    }

    fn proxies(&self, table: &TableReader<'_>) {
        let Proxies::Trusted(networks) = &self.config.intake.proxies else { return };
        for network in networks.iter().filter(|network| is_wide(network)) {
            let message = format!(
                "{network} is wider than what a proxy can be: everybody in it is believed, whatever address he names, and `source_networks` and `page_networks` do not hold for him"
            );
            let help = "name the proxy's address, as in `trusted_proxies = [\"127.0.0.1\", \"::1\"]`";
            self.say(table, "trusted_proxies", Severity::Warning, message, help);
        }
    }

    fn deployment(&self, table: &TableReader<'_>, deployment: &Deployment) {
        if !deployment.confine {
            let message = match &deployment.user {
                Some(user) => format!("what is pushed builds without a sandbox: it reads and writes all that {user} can"),
                None => "what is pushed builds without a sandbox, as the deployer itself: it reads the deployer's secrets and changes every deployment".to_owned(),
            };
            let help =
                "leave it out where no step needs it; `readable` and `writable` open single directories";
            self.say(table, "confine", Severity::Note, message, help);
        }
        self.places(table, "readable", &deployment.readable, "what is pushed");
        self.places(table, "writable", &deployment.writable, "what is pushed");
        self.env_files(table, deployment);
        if let Some(signers) = &deployment.gates.allowed_signers
            && let Some(written) = self.written_by_push(signers)
        {
            let message = format!(
                "this file lies below the path of deployment {written}: what is pushed there says whose signatures count"
            );
            let help = "keep it where only root writes, as in `require_signature = \"/etc/durhack-deployer/signers\"`";
            self.say(table, "require_signature", Severity::Warning, message, help);
        }
        if let Some(user) = deployment.user.as_ref().filter(|user| SERVICES.contains(&user.as_str())) {
            let message = format!(
                "{user} is the account of a service: what is pushed can do what that service can, with its files and databases"
            );
            let help = "leave `user` out: `sudo durhack-deployer setup` makes a user for it";
            self.say(table, "user", Severity::Warning, message, help);
        }
        if is_system(&deployment.path) {
            let message = "this path lies in a directory of the system: what is pushed becomes the host's own configuration or programs".to_owned();
            let help = "name a directory of its own, as in `path = \"/srv/website\"`";
            self.say(table, "path", Severity::Warning, message, help);
        }
        for unit in deployment.recipe.system_units().iter().filter(|unit| is_hosts_own(unit.as_str())) {
            let message = format!("{unit} is the host's own: each push restarts it");
            let help = "name the application's unit, as in `units = [\"website.service\"]`";
            self.say(table, "units", Severity::Warning, message, help);
        }
    }

    /// Directories that builds may reach besides their own.
    fn places(&self, table: &TableReader<'_>, key: &str, places: &[PathBuf], who: &str) {
        let is_writable = key == "writable";
        for place in places {
            if let Some(why) = self.never(place, is_writable) {
                let help = format!(
                    "name the one directory that is needed, as in `{key} = [\"/srv/{}\"]`",
                    if is_writable { "cache" } else { "fonts" }
                );
                table.error_at_value(key, format!("{} {why}", place.display()), help);
                continue;
            }
            let can = if is_writable { "change" } else { "read" };
            let message = format!("{who} can {can} all in {}", place.display());
            let help = "leave it out where no step needs it";
            self.say(table, key, Severity::Note, message, help);
        }
    }

    /// Why no build may have this directory, whatever is wanted with it.
    fn never(&self, place: &Path, is_writable: bool) -> Option<String> {
        if place.parent().is_none() {
            return Some("is the whole host, with the deployer's secrets".to_owned());
        }
        let credentials = Path::new(SYSTEM_DIRECTORY).join("credentials");
        let secrets = [&credentials].into_iter().chain(&self.config.secret_files);
        if let Some(secret) = secrets.into_iter().find(|secret| overlap(place, secret)) {
            return Some(format!("holds the deployer's secrets ({})", secret.display()));
        }
        let of_deployer = [Path::new(STATES), &self.config.state_directory];
        let is_states = place.to_string_lossy().starts_with(STATES);
        if is_states || of_deployer.iter().any(|state| overlap(place, state)) {
            return Some("holds the deployer's state, or that of other users' steps".to_owned());
        }
        let is_ours = overlap(place, Path::new(SYSTEM_DIRECTORY)) || overlap(place, &self.config.directory);
        if is_writable && is_ours {
            return Some("holds the deployer's configuration".to_owned());
        }
        (is_writable && is_system(place))
            .then(|| "belongs to the system: who writes there is root sooner or later".to_owned())
    }

    fn env_files(&self, table: &TableReader<'_>, deployment: &Deployment) {
        let credentials = Path::new(SYSTEM_DIRECTORY).join("credentials");
        for file in &deployment.env_files {
            let key = match table.is_written("env_file") && Some(file) == deployment.env_files.first() {
                true => "env_file",
                false => "env_files",
            };
            if file.starts_with(&credentials) || self.config.secret_files.contains(file) {
                let message = format!(
                    "{} is a secret of the deployer's: what is pushed would be given it",
                    file.display()
                );
                let help =
                    "name a file with the application's own variables, as in `env_file = \"shared/.env\"`";
                table.error_at_value(key, message, help);
                continue;
            }
            let other = self
                .config
                .deployments
                .values()
                .find(|other| other.slug != deployment.slug && file.starts_with(&other.path));
            if let Some(other) = other {
                let message = format!(
                    "{} lies below the path of deployment {}: what is pushed here is given what that one keeps secret",
                    file.display(),
                    other.slug
                );
                let help = "keep what both need in a file of its own";
                self.say(table, key, Severity::Warning, message, help);
            }
        }
    }

    /// The deployment whose pushes write this file.
    fn written_by_push(&self, file: &Path) -> Option<&str> {
        let found = self.config.deployments.values().find(|deployment| file.starts_with(&deployment.path));
        found.map(|deployment| deployment.slug.as_str())
    }
}

/// Whether a network is more than the addresses of one site's proxies. All of loopback is this host.
fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 16 && !network.network().is_loopback(),
        IpNet::V6(network) => network.prefix_len() < 48,
    }
}

fn is_system(place: &Path) -> bool {
    SYSTEM.iter().any(|system| place.starts_with(system))
        && !NOT_SYSTEM.iter().any(|other| place.starts_with(other))
}

fn is_hosts_own(unit: &str) -> bool {
    let Some((name, kind)) = unit.rsplit_once('.') else { return HOSTS_UNITS.contains(&unit) };
    let starts_programs = matches!(kind, "service" | "socket" | "timer" | "path");
    !starts_programs
        || HOSTS_UNITS.contains(&name)
        || name.starts_with("systemd-")
        || name.starts_with("durhack-deployer")
        || name.starts_with("user@")
}

//! The first configuration: what holds for this host, with comments, and where the rest is explained. Pure.

use super::options::Origin;
use crate::config::Privileges;

/// The text of a first layer.
pub fn first_layer(origin: Option<&Origin>, privileges: Privileges) -> String {
    let origin = match origin {
        Some(origin) => format!("origin = \"{}\"", origin.text()),
        None => "#origin = \"https://deploy.example.org\"".to_owned(),
    };
    let privileges = privileges_word(privileges);
    format!(
        r#"# The deployer's configuration. Written once by `durhack-deployer setup`, and yours from now on.
# Every key: `durhack-deployer config reference`. What is wrong with it: `durhack-deployer config check`.
# After a change: `durhack-deployer setup` again. It allows what new deployments need, and restarts the worker.

# Where GitHub and people reach this instance; links in commit statuses begin with it.
{origin}

# How what needs root is done: by the helper, which does nothing but what /etc/durhack-deployer/privileged.toml allows.
privileges = "{privileges}"

# Who a caller is, is believed only of a proxy on this machine.
proxy_fix = {{ trusted_proxies = ["127.0.0.1", "::1"] }}

# From where a webhook may come, beside being signed: GitHub's published networks, a list, or "any".
source_networks = "github"

# Secrets are files in credentials/, which systemd hands to the units that need them:
#   webhook-secret   what GitHub signs with; made already
#   github-token     for commit statuses and private repositories; put yours there, readable by root alone

# Deployments: `durhack-deployer init OWNER/NAME --write /etc/durhack-deployer/default.toml` adds one.
"#
    )
}

/// As it stands in a configuration.
pub fn privileges_word(privileges: Privileges) -> &'static str {
    match privileges {
        Privileges::Direct => "direct",
        Privileges::Sudo => "sudo",
        Privileges::Helper => "helper",
    }
}

//! From where may a webhook come?
//!
//! A list in the configuration, anywhere, or GitHub's published ranges. These lie in the state directory, in the form in
//! which GitHub's `/meta` answers, so that an outage of GitHub's API never changes who is let in: the
//! last good list counts. Nothing is fetched while a webhook waits.

use crate::config::SourceNetworks;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::Path;

/// The file in the state directory that holds GitHub's ranges.
pub const GITHUB_META_FILE: &str = "github-meta.json";

/// Whether an address may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Allowed,
    /// It is in none of the networks.
    Refused,
    /// GitHub's ranges are wanted and none are known yet.
    Unknown,
}

/// The networks in force.
#[derive(Debug)]
pub enum Networks {
    /// Anywhere.
    Any,
    /// Only these.
    Only(Vec<IpNet>),
    /// GitHub's, of which no list is known.
    UnknownGitHub,
}

impl Networks {
    /// Resolves the setting; a missing or unreadable list of GitHub's is said in the log, and refuses everybody.
    pub fn load(setting: &SourceNetworks, state_directory: &Path) -> Self {
        match setting {
            SourceNetworks::Any => Self::Any,
            SourceNetworks::List(networks) => Self::Only(networks.clone()),
            SourceNetworks::GitHub => {
                let path = state_directory.join(GITHUB_META_FILE);
                match fs_err::read(&path).map_err(|error| error.to_string()).and_then(|text| hooks(&text)) {
                    Ok(networks) => Self::Only(networks),
                    Err(reason) => {
                        tracing::error!(path = %path.display(), reason,
                            "GitHub's networks are not known: webhooks are refused; put GitHub's /meta answer there, or set `source_networks`");
                        Self::UnknownGitHub
                    }
                }
            }
        }
    }

    /// Whether this address may call.
    pub fn admit(&self, address: IpAddr) -> Admission {
        match self {
            Self::Any => Admission::Allowed,
            Self::UnknownGitHub => Admission::Unknown,
            Self::Only(networks)
                if networks.iter().any(|network| network.contains(&address.to_canonical())) =>
            {
                Admission::Allowed
            }
            Self::Only(_) => Admission::Refused,
        }
    }
}

/// The `hooks` ranges of an answer of `GET /meta`.
fn hooks(meta: &[u8]) -> Result<Vec<IpNet>, String> {
    #[derive(Deserialize)]
    struct Meta {
        hooks: Vec<IpNet>,
    }
    let meta: Meta = serde_json::from_slice(meta).map_err(|error| error.to_string())?;
    if meta.hooks.is_empty() {
        return Err("`hooks` is empty".into());
    }
    Ok(meta.hooks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_s_list_on_disk_is_used_and_a_missing_one_admits_nobody() {
        let state = tempfile::tempdir().unwrap();
        let github: IpAddr = "140.82.112.7".parse().unwrap();
        assert_eq!(Networks::load(&SourceNetworks::GitHub, state.path()).admit(github), Admission::Unknown);
        fs_err::write(
            state.path().join(GITHUB_META_FILE),
            r#"{"hooks":["140.82.112.0/20","2606:50c0::/32"],"x":1}"#,
        )
        .unwrap();
        let networks = Networks::load(&SourceNetworks::GitHub, state.path());
        for (address, expected) in [
            ("140.82.112.7", Admission::Allowed),
            ("::ffff:140.82.112.7", Admission::Allowed),
            ("2606:50c0::1", Admission::Allowed),
            ("192.0.2.1", Admission::Refused),
            ("::1", Admission::Refused),
        ] {
            assert_eq!(networks.admit(address.parse().unwrap()), expected, "{address}");
        }
        for broken in ["", "{}", r#"{"hooks":[]}"#, r#"{"hooks":["x"]}"#] {
            fs_err::write(state.path().join(GITHUB_META_FILE), broken).unwrap();
            assert_eq!(
                Networks::load(&SourceNetworks::GitHub, state.path()).admit(github),
                Admission::Unknown
            );
        }
    }
}

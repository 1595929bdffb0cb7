//! From where may a webhook come?
//!
//! A list in the configuration, anywhere, or GitHub's published ranges. These are kept by [`crate::github::meta`] in the
//! background; here they are only looked at, so that nothing is fetched while a webhook waits, and an outage of GitHub's API
//! never changes who is let in.

use crate::config::SourceNetworks;
use crate::github::meta::KnownMeta;
use ipnet::{IpNet, Ipv4Net};
use std::net::IpAddr;

/// Whether an address may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Allowed,
    /// It is in none of the networks.
    Refused,
    /// GitHub's ranges are wanted and none are known yet.
    Unknown,
}

/// The networks in force.
#[derive(Debug)]
pub enum Networks {
    Any,
    Only(Vec<IpNet>),
    /// GitHub's, as far as they are known.
    GitHub(KnownMeta),
}

impl Networks {
    /// Resolves the setting.
    pub fn new(setting: &SourceNetworks, github: KnownMeta) -> Self {
        match setting {
            SourceNetworks::Any => Self::Any,
            SourceNetworks::List(networks) => Self::Only(networks.clone()),
            SourceNetworks::GitHub => {
                if github.borrow().is_none() {
                    tracing::warn!(
                        "GitHub's networks are not known yet: webhooks are refused until GitHub has said them, or set `source_networks`"
                    );
                }
                Self::GitHub(github)
            }
        }
    }

    /// Whether this address may call.
    pub fn admit(&self, address: IpAddr) -> Admission {
        match self {
            Self::Any => Admission::Allowed,
            Self::Only(networks) => among(networks, address),
            Self::GitHub(known) => {
                known.borrow().as_ref().map_or(Admission::Unknown, |meta| among(&meta.hooks, address))
            }
        }
    }
}

fn among(networks: &[IpNet], address: IpAddr) -> Admission {
    let address = address.to_canonical();
    match networks.iter().any(|network| canonical(*network).contains(&address)) {
        true => Admission::Allowed,
        false => Admission::Refused,
    }
}

/// A network of IPv4 addresses that is written as one of IPv6 (`::ffff:192.0.2.0/120`), as what it is.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(written) = network else { return network };
    let mapped = written.addr().to_ipv4_mapped().zip(written.prefix_len().checked_sub(96));
    let v4 = mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::meta::Meta;
    use std::sync::Arc;
    use tokio::sync::watch;

    fn admit(networks: &Networks, address: &str) -> Admission {
        networks.admit(address.parse().unwrap())
    }

    #[test]
    fn githubs_networks_count_from_the_moment_in_which_they_are_known() {
        let (known, receiver) = watch::channel(None);
        let networks = Networks::new(&SourceNetworks::GitHub, receiver);
        assert_eq!(admit(&networks, "140.82.112.7"), Admission::Unknown);
        let meta = Meta::parse(br#"{"hooks":["140.82.112.0/20","2606:50c0::/32"]}"#).unwrap();
        known.send_replace(Some(Arc::new(meta)));
        for (address, expected) in [
            ("140.82.112.7", Admission::Allowed),
            ("::ffff:140.82.112.7", Admission::Allowed),
            ("2606:50c0::1", Admission::Allowed),
            ("192.0.2.1", Admission::Refused),
            ("::1", Admission::Refused),
            ("::140.82.112.7", Admission::Refused),
        ] {
            assert_eq!(admit(&networks, address), expected, "{address}");
        }
    }

    #[test]
    fn a_mapped_network_means_the_ipv4_addresses_in_it() {
        let networks = ["::ffff:192.0.2.0/120", "2001:db8::/32"].map(|text| text.parse().unwrap()).to_vec();
        let networks = Networks::Only(networks);
        for (address, expected) in [
            ("192.0.2.9", Admission::Allowed),
            ("::ffff:192.0.2.9", Admission::Allowed),
            ("192.0.3.9", Admission::Refused),
            ("2001:db8::1", Admission::Allowed),
        ] {
            assert_eq!(admit(&networks, address), expected, "{address}");
        }
    }
}

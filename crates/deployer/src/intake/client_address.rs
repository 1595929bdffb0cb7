//! Who called? Pure.
//!
//! A proxy appends the address it sees to `X-Forwarded-For`; whatever stands left of what our own proxies appended was
//! written by the caller and means nothing. So the list is read from the right, for exactly as many
//! proxies as the operator says stand there, or past the networks he trusts.

use crate::config::Proxies;
use std::net::{IpAddr, SocketAddr};

/// The client's address, or `None` where a header that must be believed cannot be read.
///
/// `forwarded_for` are the values of all `X-Forwarded-For` headers, in order.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl Iterator<Item = &'a [u8]>,
    proxies: &Proxies,
) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if matches!(proxies, Proxies::Hops(0)) {
        return Some(peer);
    }
    let mut entries: Vec<&[u8]> =
        forwarded_for.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).collect();
    match proxies {
        Proxies::Hops(hops) => match entries.len().checked_sub(*hops) {
            // Fewer entries than proxies: the request did not come through them, so nothing in it counts.
            None => Some(peer),
            Some(index) => address(entries[index]),
        },
        Proxies::Trusted(networks) => {
            let mut client = peer;
            while networks.iter().any(|network| network.contains(&client)) {
                match entries.pop() {
                    Some(entry) => client = address(entry)?,
                    None => break,
                }
            }
            Some(client)
        }
    }
}

/// One entry: an address, with or without a port, IPv6 with or without brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let address = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>())
        .ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[&str], proxies: &Proxies) -> String {
        client_address(peer.parse().unwrap(), headers.iter().map(|value| value.as_bytes()), proxies)
            .map_or("unreadable".into(), |address| address.to_string())
    }

    #[test]
    fn hops() {
        let one = Proxies::Hops(1);
        let two = Proxies::Hops(2);
        for (headers, proxies, expected) in [
            (&[][..], &Proxies::Hops(0), "127.0.0.1"),
            (&["140.82.112.7"][..], &Proxies::Hops(0), "127.0.0.1"),
            (&[][..], &one, "127.0.0.1"),
            (&["140.82.112.7"][..], &one, "140.82.112.7"),
            (&["140.82.112.7, 198.51.100.9"][..], &one, "198.51.100.9"),
            (&["140.82.112.7", "198.51.100.9"][..], &one, "198.51.100.9"),
            (&["140.82.112.7"][..], &two, "127.0.0.1"),
            (&["1.1.1.1, 140.82.112.7 ,10.0.0.1"][..], &two, "140.82.112.7"),
            (&["::ffff:140.82.112.7"][..], &one, "140.82.112.7"),
            (&["140.82.112.7:4711"][..], &one, "140.82.112.7"),
            (&["[2606:50c0::1]:443"][..], &one, "2606:50c0::1"),
            (&["[2606:50c0::1]"][..], &one, "2606:50c0::1"),
            (&["unknown"][..], &one, "unreadable"),
            (&[""][..], &one, "unreadable"),
            (&["140.82.112.7,"][..], &one, "unreadable"),
        ] {
            assert_eq!(client("127.0.0.1", headers, proxies), expected, "{headers:?} {proxies:?}");
        }
        assert_eq!(client("::ffff:140.82.112.7", &[], &Proxies::Hops(0)), "140.82.112.7");
    }

    #[test]
    fn trusted_networks() {
        let trusted = Proxies::Trusted(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]);
        for (peer, headers, expected) in [
            ("192.0.2.5", &["140.82.112.7"][..], "192.0.2.5"),
            ("127.0.0.1", &["140.82.112.7"][..], "140.82.112.7"),
            ("127.0.0.1", &["140.82.112.7, 192.0.2.5, 10.1.1.1"][..], "192.0.2.5"),
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &["10.0.0.1"][..], "10.0.0.1"),
            ("127.0.0.1", &["140.82.112.7, nonsense"][..], "unreadable"),
        ] {
            assert_eq!(client(peer, headers, &trusted), expected, "{peer} {headers:?}");
        }
    }
}

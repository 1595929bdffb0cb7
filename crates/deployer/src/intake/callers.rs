//! Who may have a connection, and how many: decided by the address of the peer when it is accepted, before a byte of it is read.
//!
//! Where the peer is no proxy that stands in front, it is the caller itself:
//! whoever may neither push nor look at pages gets no connection; whoever may only look at pages shares a quarter of the places with
//! all others of his kind, so that the rest is left for pushes; and no address has more than `limits.connections_per_address_max`.
//!
//! Where the peer may be a proxy, the head of each request says for whom it speaks: that address is counted then, in the same way, and the
//! peer's own where it says nothing. Until a head has come nobody is counted; where more connections of one peer than one address may have
//! are silent, further ones must say something soon. A proxy has read a head before it connects, and never notices.

use super::networks::{Admission, Networks};
use crate::config::Proxies;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// One in so many places is for those who may only look at pages.
const VISITORS_ONE_IN: usize = 4;

/// How often at most the log says that callers are turned away.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// The callers that have a connection.
#[derive(Debug)]
pub struct Callers {
    proxies: Proxies,
    per_address_max: usize,
    visitors_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    /// Connections of peers that may be proxies, before the first head.
    silent: HashMap<IpAddr, usize>,
    visitors: usize,
    complained_at: Option<Instant>,
}

/// Why somebody gets no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// The address may do nothing here.
    Foreign,
    /// The address has as many as one may have.
    TooMany,
    /// All places for those who may only look at pages are taken.
    NoPlaceForVisitors,
}

impl TurnedAway {
    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "the address is in none of the networks",
            Self::TooMany => "the address has `limits.connections_per_address_max` connections",
            Self::NoPlaceForVisitors => "too many connections from outside the source networks",
        }
    }
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    callers: Arc<Callers>,
    may_be_proxy: bool,
    is_crowded: bool,
    counted: Mutex<Counted>,
}

/// As whose connection one is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// A proxy's whose last request was turned away.
    Nobody,
    /// That of a peer that may be a proxy, and has said nothing yet.
    Silent(IpAddr),
    /// That of an address, which may only look at pages, or more.
    Caller { address: IpAddr, is_visitor: bool },
}

impl Callers {
    /// Of whom there are none yet.
    pub fn new(proxies: &Proxies, connections_max: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            proxies: proxies.clone(),
            per_address_max: per_address,
            visitors_max: (connections_max / VISITORS_ONE_IN).max(1),
            counts: Mutex::default(),
        })
    }

    /// A place for a connection from this address.
    pub fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        pushes: &Networks,
        pages: &Networks,
    ) -> Result<Place, TurnedAway> {
        let peer = peer.to_canonical();
        let place = |may_be_proxy, is_crowded, counted| Place {
            callers: Arc::clone(self),
            may_be_proxy,
            is_crowded,
            counted: Mutex::new(counted),
        };
        if self.is_proxy(peer) {
            let address = counted_as(peer);
            let mut counts = self.counts();
            let silent = counts.silent.entry(address).or_default();
            *silent += 1;
            return Ok(place(true, *silent > self.per_address_max, Counted::Silent(address)));
        }
        // While GitHub's networks are not known nobody may push, and whoever tries is to be told so.
        let may_push = pushes.admit(peer) != Admission::Refused;
        if !may_push && pages.admit(peer) != Admission::Allowed {
            return Err(TurnedAway::Foreign);
        }
        let counted = self.counts().take(self, peer, !may_push)?;
        Ok(place(false, false, counted))
    }

    /// Whether it is time to say again that somebody was turned away: a flood of callers must not become one of lines.
    pub fn may_complain(&self) -> bool {
        let mut counts = self.counts();
        let is_due = counts.complained_at.is_none_or(|at| at.elapsed() >= COMPLAINT_INTERVAL);
        if is_due {
            counts.complained_at = Some(Instant::now());
        }
        is_due
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        match &self.proxies {
            Proxies::Hops(hops) => *hops > 0,
            Proxies::Trusted(networks) => networks.iter().any(|network| network.contains(&peer)),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nothing that holds this lock can panic")
    }
}

impl Counts {
    /// A place for one more connection of this address.
    fn take(&mut self, callers: &Callers, address: IpAddr, is_visitor: bool) -> Result<Counted, TurnedAway> {
        let address = counted_as(address);
        if self.by_address.get(&address).is_some_and(|count| *count >= callers.per_address_max) {
            return Err(TurnedAway::TooMany);
        }
        if is_visitor && self.visitors >= callers.visitors_max {
            return Err(TurnedAway::NoPlaceForVisitors);
        }
        *self.by_address.entry(address).or_default() += 1;
        self.visitors += usize::from(is_visitor);
        Ok(Counted::Caller { address, is_visitor })
    }

    fn give_back(&mut self, counted: Counted) {
        match counted {
            Counted::Nobody => {}
            Counted::Silent(address) => one_less(&mut self.silent, address),
            Counted::Caller { address, is_visitor } => {
                self.visitors -= usize::from(is_visitor);
                one_less(&mut self.by_address, address);
            }
        }
    }
}

fn one_less(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

impl Place {
    /// The head of a request has come, and the request is this caller's: from now on the connection is counted as his. What a caller may do
    /// who is in no network is said by the answer; he is counted with those who only look at pages.
    pub fn heard_of(&self, client: IpAddr, pushes: &Networks) -> Result<(), TurnedAway> {
        if !self.may_be_proxy {
            return Ok(());
        }
        let client = client.to_canonical();
        let is_visitor = pushes.admit(client) == Admission::Refused;
        let mut counted = self.counted();
        let mut counts = self.callers.counts();
        counts.give_back(std::mem::replace(&mut *counted, Counted::Nobody));
        *counted = counts.take(&self.callers, client, is_visitor)?;
        Ok(())
    }

    /// Whether so many connections of the same peer are silent that this one must say something soon.
    pub fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// See [`Callers::may_complain`].
    pub fn may_complain(&self) -> bool {
        self.callers.may_complain()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().expect("nothing that holds this lock can panic")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counted = *self.counted();
        self.callers.counts().give_back(counted);
    }
}

/// Whoever has one address of IPv6 has 2^64 of them: they count as one.
pub fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(text: &str) -> Networks {
        Networks::Only(vec![text.parse().unwrap()])
    }

    fn admit(callers: &Arc<Callers>, peer: &str, pages: &Networks) -> Result<Place, TurnedAway> {
        callers.admit(peer.parse().unwrap(), &networks("192.0.2.0/24"), pages)
    }

    #[test]
    fn without_a_proxy_the_address_decides_before_anything_is_read() {
        let callers = Callers::new(&Proxies::Hops(0), 8, 3);
        let everybody = Networks::Any;
        let nobody_else = networks("198.51.100.0/24");
        assert_eq!(admit(&callers, "203.0.113.1", &nobody_else).unwrap_err(), TurnedAway::Foreign);
        assert!(admit(&callers, "198.51.100.1", &nobody_else).is_ok());

        let places: Vec<_> = (0..3).map(|_| admit(&callers, "192.0.2.1", &everybody).unwrap()).collect();
        assert_eq!(admit(&callers, "::ffff:192.0.2.1", &everybody).unwrap_err(), TurnedAway::TooMany);
        assert!(admit(&callers, "192.0.2.2", &everybody).is_ok());
        drop(places);
        assert!(admit(&callers, "192.0.2.1", &everybody).is_ok());

        // A quarter of eight.
        let _visitors =
            ["203.0.113.1", "203.0.113.2"].map(|address| admit(&callers, address, &everybody).unwrap());
        let refused = admit(&callers, "203.0.113.3", &everybody).unwrap_err();
        assert_eq!(refused, TurnedAway::NoPlaceForVisitors);
        assert!(admit(&callers, "192.0.2.1", &everybody).is_ok(), "a push finds a place");
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let callers = Callers::new(&Proxies::Hops(0), 100, 2);
        let admit = |peer: &str| callers.admit(peer.parse().unwrap(), &Networks::Any, &Networks::Any);
        let _places = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert_eq!(admit("2001:db8::3").unwrap_err(), TurnedAway::TooMany);
        assert!(admit("2001:db8:0:1::3").is_ok());
    }

    #[test]
    fn a_proxy_may_have_every_place_and_who_goes_around_it_may_not() {
        for proxies in [Proxies::Hops(1), Proxies::Trusted(vec!["127.0.0.0/8".parse().unwrap()])] {
            let callers = Callers::new(&proxies, 4, 1);
            let none = networks("198.51.100.0/24");
            let places: Vec<_> = (0..4).map(|_| admit(&callers, "127.0.0.1", &none).unwrap()).collect();
            assert_eq!(places.len(), 4);
            // Only the first may take its time.
            assert_eq!(places.iter().filter(|place| place.is_crowded()).count(), 3);
            drop(places);
            assert!(callers.counts().silent.is_empty());
        }
        let callers = Callers::new(&Proxies::Trusted(vec!["127.0.0.0/8".parse().unwrap()]), 4, 1);
        assert_eq!(
            admit(&callers, "203.0.113.1", &networks("198.51.100.0/24")).unwrap_err(),
            TurnedAway::Foreign
        );
    }

    #[test]
    fn behind_a_proxy_the_caller_is_counted_and_who_names_none_is_the_caller() {
        for proxies in [Proxies::Hops(1), Proxies::Trusted(vec!["127.0.0.0/8".parse().unwrap()])] {
            let callers = Callers::new(&proxies, 8, 2);
            let pushes = networks("192.0.2.0/24");
            let heard = |client: &str| {
                let place = admit(&callers, "127.0.0.1", &Networks::Any).unwrap();
                place.heard_of(client.parse().unwrap(), &pushes).map(|()| place)
            };
            let pushing = [heard("192.0.2.1").unwrap(), heard("192.0.2.1").unwrap()];
            assert_eq!(heard("::ffff:192.0.2.1").unwrap_err(), TurnedAway::TooMany);
            // One connection speaks for one after the other.
            pushing[0].heard_of("192.0.2.2".parse().unwrap(), &pushes).unwrap();
            let again = heard("192.0.2.1").unwrap();
            let refused = pushing[0].heard_of("192.0.2.1".parse().unwrap(), &pushes).unwrap_err();
            assert_eq!(refused, TurnedAway::TooMany);
            // Whoever may not push: a quarter of the places, and so for whoever stands where the proxy does.
            let visitors = [heard("127.0.0.1").unwrap(), heard("203.0.113.1").unwrap()];
            assert_eq!(heard("203.0.113.2").unwrap_err(), TurnedAway::NoPlaceForVisitors);
            drop((pushing, again, visitors));
            let counts = callers.counts();
            assert!(counts.by_address.is_empty() && counts.silent.is_empty() && counts.visitors == 0);
        }
    }
}

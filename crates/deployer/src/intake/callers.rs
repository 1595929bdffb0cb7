//! Who may have a connection, and how many: decided by the address of the peer when it is accepted, before a byte of it is read.
//!
//! Where the peer is no proxy that stands in front, it is the caller itself:
//! whoever may neither push nor look at pages gets no connection; whoever may only look at pages shares a quarter of the places with
//! all others of his kind, so that the rest is left for pushes; and no address has more than `limits.connections_per_address_max`.
//!
//! Where the peer may be a proxy, the head of each request says for whom it speaks: that address is counted then, in the same way, and the
//! peer's own where it says nothing. But any process beside the proxy can connect as it does and name any address. A proxy
//! sends a request that it has read already, and takes the answer at once. So a connection of a possible proxy for whose *peer* we wait (no
//! whole request is there, or its answer was not taken yet) is superseded: the oldest is closed when a place is needed, and where more
//! of one peer are waited for than one address may have, a further one has [`CROWDED_LIMIT`].

use super::networks::{Admission, Networks};
use crate::config::Proxies;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One in so many places is for those who may only look at pages.
const VISITORS_ONE_IN: usize = 4;

/// How often at most the log says that callers are turned away.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// How long a connection of a proxy may keep us waiting where many of the same peer do: for a whole request, or for the taking of an answer.
const CROWDED_LIMIT: Duration = Duration::from_secs(2);

/// A connection of a proxy is not closed for want of a place before it is this old: the proxy sends at once, and needs a turn to do so.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(100);

/// The callers that have a connection.
#[derive(Debug)]
pub struct Callers {
    proxies: Proxies,
    per_address_max: usize,
    visitors_max: usize,
    counts: Mutex<Counts>,
    /// Somebody is waited for who was not before.
    more_waited_for: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    /// Connections of peers that may be proxies, and for which we wait, by the order in which they were accepted.
    waited_for: BTreeMap<u64, WaitedFor>,
    /// How many these are of each peer.
    waited_for_of: HashMap<IpAddr, usize>,
    accepted: u64,
    visitors: usize,
    complained_at: Option<Instant>,
}

/// A connection that is superseded.
#[derive(Debug)]
struct WaitedFor {
    began: Instant,
    gives_way: CancellationToken,
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
pub struct CallerSlot {
    callers: Arc<Callers>,
    /// None where the peer is no proxy.
    proxied: Option<Proxied>,
    counted: Mutex<Counted>,
}

/// The connection of a peer that may be a proxy.
#[derive(Debug)]
struct Proxied {
    peer: IpAddr,
    number: u64,
    began: OnceLock<Instant>,
    gives_way: CancellationToken,
    /// Until when the peer has to do its part. None: it is our turn, or there is room enough.
    until: Mutex<Option<Instant>>,
}

/// As whose connection one is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    /// A proxy's that has said nothing yet, or whose last request was turned away.
    Nobody,
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
            more_waited_for: Notify::new(),
        })
    }

    /// A place for a connection from this address.
    pub fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        pushes: &Networks,
        pages: &Networks,
    ) -> Result<CallerSlot, TurnedAway> {
        let peer = peer.to_canonical();
        let place = |proxied, counted| CallerSlot {
            callers: Arc::clone(self),
            proxied,
            counted: Mutex::new(counted),
        };
        if self.is_proxy(peer) {
            let mut counts = self.counts();
            counts.accepted += 1;
            let proxied = Proxied {
                peer: counted_as(peer),
                number: counts.accepted,
                began: OnceLock::new(),
                gives_way: CancellationToken::new(),
                until: Mutex::default(),
            };
            drop(counts);
            return Ok(place(Some(proxied), Counted::Nobody));
        }
        // While GitHub's networks are not known nobody may push, and whoever tries is to be told so.
        let may_push = pushes.admit(peer) != Admission::Refused;
        if !may_push && pages.admit(peer) != Admission::Allowed {
            return Err(TurnedAway::Foreign);
        }
        let counted = self.counts().take(self, peer, !may_push)?;
        Ok(place(None, counted))
    }

    /// Closes the oldest connection of a proxy for which we wait, as soon as there is one that is old enough. It leaves the list when it is
    /// closed: asked again before, this closes no other.
    pub async fn close_oldest(&self) {
        loop {
            let more = self.more_waited_for.notified();
            let oldest = self.counts().oldest();
            match oldest {
                None => more.await,
                Some((began, gives_way)) if began.elapsed() >= GIVES_WAY_AFTER => {
                    gives_way.cancel();
                    return;
                }
                // Until then it may have become our turn.
                Some((began, _)) => tokio::time::sleep_until(began + GIVES_WAY_AFTER).await,
            }
        }
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
            Counted::Caller { address, is_visitor } => {
                self.visitors -= usize::from(is_visitor);
                one_less(&mut self.by_address, address);
            }
        }
    }

    fn oldest(&self) -> Option<(Instant, CancellationToken)> {
        self.waited_for.values().next().map(|oldest| (oldest.began, oldest.gives_way.clone()))
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

impl CallerSlot {
    /// The head of a request has come, and the request is this caller's: from now on the connection is counted as his. What a caller may do
    /// who is in no network is said by the answer; he is counted with those who only look at pages.
    pub fn heard_of(&self, client: IpAddr, pushes: &Networks) -> Result<(), TurnedAway> {
        if self.proxied.is_none() {
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

    /// The peer has to do its part: send a whole request, or take the answer to one. A connection that was accepted and still waits for
    /// a place itself is not one that could give way.
    pub fn waits_for_peer(&self) {
        let Some(proxied) = &self.proxied else { return };
        let mut counts = self.callers.counts();
        let began = *proxied.began.get_or_init(Instant::now);
        let waited_for = WaitedFor { began, gives_way: proxied.gives_way.clone() };
        if counts.waited_for.insert(proxied.number, waited_for).is_some() {
            return;
        }
        let of_peer = counts.waited_for_of.entry(proxied.peer).or_default();
        *of_peer += 1;
        let is_crowded = *of_peer > self.callers.per_address_max;
        *proxied.until() = is_crowded.then(|| Instant::now() + CROWDED_LIMIT);
        self.callers.more_waited_for.notify_waiters();
    }

    /// A whole request is there: it is our turn.
    fn has_whole_request(&self) {
        let Some(proxied) = &self.proxied else { return };
        let mut counts = self.callers.counts();
        if counts.waited_for.remove(&proxied.number).is_some() {
            one_less(&mut counts.waited_for_of, proxied.peer);
            *proxied.until() = None;
        }
    }

    /// Waits until the connection has to be closed, because its peer took too long or somebody else needs the place.
    pub async fn gives_way(&self) {
        let Some(proxied) = &self.proxied else { return std::future::pending().await };
        let overdue = async {
            loop {
                let until = *proxied.until();
                match until {
                    Some(until) if until <= Instant::now() => return,
                    Some(until) => tokio::time::sleep_until(until).await,
                    // A limit that begins from now on ends later than this.
                    None => tokio::time::sleep(CROWDED_LIMIT).await,
                }
            }
        };
        tokio::select! {
            () = proxied.gives_way.cancelled() => {}
            () = overdue => {}
        }
    }

    pub fn may_complain(&self) -> bool {
        self.callers.may_complain()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().expect("nothing that holds this lock can panic")
    }
}

impl Proxied {
    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().expect("nothing that holds this lock can panic")
    }
}

/// The body of a request, which tells the [`CallerSlot`] of its connection when all of it is there.
#[derive(Debug)]
pub struct CountedBody<B> {
    body: B,
    place: Option<Arc<CallerSlot>>,
}

impl<B: Body> CountedBody<B> {
    /// Wraps the body of a request whose head has come.
    pub fn new(body: B, place: Option<Arc<CallerSlot>>) -> Self {
        let mut counted = Self { body, place };
        counted.look();
        counted
    }

    fn look(&mut self) {
        if self.body.is_end_stream()
            && let Some(place) = self.place.take()
        {
            place.has_whole_request();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match frame {
            Some(_) => self.look(),
            None => {
                if let Some(place) = self.place.take() {
                    place.has_whole_request();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        self.has_whole_request();
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

    fn admit(callers: &Arc<Callers>, peer: &str, pages: &Networks) -> Result<CallerSlot, TurnedAway> {
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
            places.iter().for_each(CallerSlot::waits_for_peer);
            // Only the first may take its time.
            let limits = || places.iter().map(|place| place.proxied.as_ref().unwrap().until().is_some());
            assert_eq!(limits().collect::<Vec<_>>(), [false, true, true, true]);
            places[1].has_whole_request();
            assert_eq!(limits().collect::<Vec<_>>(), [false, false, true, true]);
            // What the answer is for has to be taken.
            places[1].waits_for_peer();
            assert!(limits().nth(1).unwrap());
            drop(places);
            assert!(callers.counts().waited_for.is_empty() && callers.counts().waited_for_of.is_empty());
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
            assert!(counts.by_address.is_empty() && counts.waited_for.is_empty() && counts.visitors == 0);
        }
    }
    #[tokio::test]
    async fn the_oldest_that_is_waited_for_gives_way_and_nobody_whose_turn_is_ours() {
        let callers = Callers::new(&Proxies::Hops(1), 8, 8);
        let place = || {
            let place = admit(&callers, "127.0.0.1", &Networks::Any).unwrap();
            place.waits_for_peer();
            Arc::new(place)
        };
        let places = [place(), place(), place()];
        let has_to_close = |place: &CallerSlot| {
            place.proxied.as_ref().is_some_and(|proxied| proxied.gives_way.is_cancelled())
        };
        // A request without a body is whole with its head; one that has sent a part is not.
        let empty = http_body_util::Empty::<Bytes>::new();
        drop(CountedBody::new(empty, Some(Arc::clone(&places[0]))));
        drop(CountedBody::new(http_body_util::Full::new(Bytes::from("part")), Some(Arc::clone(&places[1]))));
        for _ in 0..2 {
            callers.close_oldest().await;
            assert_eq!(places.each_ref().map(|place| has_to_close(place)), [false, true, false]);
        }
        places[1].gives_way().await;
        let [first, second, third] = places;
        drop(second);
        third.has_whole_request();
        // Nobody is waited for, until the first has its answer.
        let ((), ()) = tokio::join!(callers.close_oldest(), async {
            assert!(!has_to_close(&first) && !has_to_close(&third));
            first.waits_for_peer();
        });
        assert!(has_to_close(&first) && !has_to_close(&third));
    }
}

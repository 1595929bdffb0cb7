//! The memory of bodies that are being received: one buffer for each, all of them within one budget.
//!
//! What is counted is the memory that a body *holds*, from its first byte on, not the bytes that it says it has. Senders choose how
//! their bytes are cut (one byte in a chunk), so pieces are copied into the buffer at once, and what they came in is given back.
//!
//! A buffer is a mapping of its own, of which the kernel provides only the pages that were written. So there is no second
//! copy while it grows, nothing of it stays in the allocator afterwards, and a caller who announces 25 MiB and sends one byte
//! costs one page.
//!
//! The budget has two parts. The first [`SMALL_BODY_BYTES`] of every body come from one that is large enough for as many
//! connections as there are by default; nearly every push is shorter. What goes beyond comes from the other. Callers who send
//! much and slowly can use up only the second, and keep no ordinary push out. Of the second, one address has half at most, which is the
//! largest body: whoever sends one, signed or not, leaves room for another from elsewhere.

use super::callers::counted_as;
use bytes::Bytes;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So much of each body comes from the first part of the budget.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;

/// The first part of the budget: 256 small bodies, the default of `limits.connections_max`.
const SMALL_BODIES_KIB_MAX: usize = 16 * 1024;

/// Half of the second part, for one address: the largest body that GitHub sends fits.
const LARGE_BODIES_OF_ONE_KIB_MIN: usize = 25 * 1024;

/// Counted in these steps, the smallest pages that the kernel gives.
const PAGE_KIB: usize = 4;

/// So many pieces may be of any size; beyond, they must have [`PIECE_BYTES_MIN`] bytes each on average. Nobody who means well sends
/// millions of chunks of one byte, each of which costs a microsecond.
const PIECES_UNCOUNTED: usize = 4096;

const PIECE_BYTES_MIN: usize = 64;

/// What all bodies together may hold.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes_max: usize,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// Of the second part, in KiB.
    of_one_max: usize,
    /// What each address holds of the second part, in KiB.
    held: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Why a body is not received any further.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than a body may be.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// It comes in pieces so small that taking them costs more than they bring.
    #[error("it comes in too many and too small pieces")]
    TooManyPieces,
    /// Other bodies hold the memory.
    #[error("other bodies use up the memory that there is for them")]
    NoRoom,
    /// Other bodies of the same address hold its share of the memory.
    #[error("other bodies of this address use up its share of the memory that there is for them")]
    NoRoomForAddress,
    /// The kernel has no memory.
    #[error("there is no memory for it: {0}")]
    NoMemory(#[from] io::Error),
}

/// One body as far as it has come. Its memory is given back when it is dropped.
#[derive(Debug)]
pub struct ReceivedBody {
    budget: Budget,
    /// Whose share it has.
    address: IpAddr,
    /// The length announced; the mapping need not be larger.
    announced: Option<usize>,
    mapping: Option<MmapMut>,
    length: usize,
    pieces: usize,
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Of which nothing is used. A body may have `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        let of_one_max = LARGE_BODIES_OF_ONE_KIB_MIN.max(bytes_max.div_ceil(1024));
        Self {
            bytes_max,
            small: Arc::new(Semaphore::new(SMALL_BODIES_KIB_MAX)),
            large: Arc::new(Semaphore::new(2 * of_one_max)),
            of_one_max,
            held: Arc::default(),
        }
    }

    /// A body from this address of which nothing has come; `announced` is its Content-Length.
    pub fn receive(&self, address: IpAddr, announced: Option<usize>) -> ReceivedBody {
        ReceivedBody {
            budget: self.clone(),
            address: counted_as(address),
            announced,
            mapping: None,
            length: 0,
            pieces: 0,
            small: None,
            large: None,
        }
    }
}

impl ReceivedBody {
    /// Copies a piece to the end.
    pub fn append(&mut self, piece: &Bytes) -> Result<(), BodyError> {
        self.pieces += 1;
        let length = self.length + piece.len();
        let bytes_max = self.budget.bytes_max;
        if length > bytes_max {
            return Err(BodyError::TooLarge(bytes_max));
        }
        if self.pieces > PIECES_UNCOUNTED && self.pieces > PIECES_UNCOUNTED + length / PIECE_BYTES_MIN {
            return Err(BodyError::TooManyPieces);
        }
        if piece.is_empty() {
            return Ok(());
        }
        self.count(length)?;
        let mapping = match &mut self.mapping {
            Some(mapping) => mapping,
            none => none.insert(map(self.announced.unwrap_or(bytes_max).max(length))?),
        };
        mapping[self.length..length].copy_from_slice(piece);
        self.length = length;
        Ok(())
    }

    /// Everything that has come.
    pub fn bytes(&self) -> &[u8] {
        self.mapping.as_ref().map_or(&[], |mapping| &mapping[..self.length])
    }

    /// Forgets everything that has come, and keeps its share of the budget: something that was made of it holds as much.
    pub fn give_back_memory(&mut self) {
        self.mapping = None;
        self.length = 0;
    }

    /// Takes from the budget what a body of this length holds beyond what was taken.
    fn count(&mut self, length: usize) -> Result<(), BodyError> {
        let kib = |bytes: usize| bytes.div_ceil(PAGE_KIB * 1024) * PAGE_KIB;
        let small = kib(length.min(SMALL_BODY_BYTES));
        let large = kib(length.saturating_sub(SMALL_BODY_BYTES));
        take(&self.budget.small, &mut self.small, small)?;
        let has = self.large.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = large.saturating_sub(has);
        if missing == 0 {
            return Ok(());
        }
        let mut held = self.budget.held();
        let of_address = held.entry(self.address).or_default();
        if *of_address + missing > self.budget.of_one_max {
            return Err(BodyError::NoRoomForAddress);
        }
        take(&self.budget.large, &mut self.large, large)?;
        *of_address += missing;
        Ok(())
    }
}

impl Drop for ReceivedBody {
    fn drop(&mut self) {
        let Some(large) = self.large.as_ref().map(OwnedSemaphorePermit::num_permits) else { return };
        let mut held = self.budget.held();
        if let Some(of_address) = held.get_mut(&self.address) {
            *of_address = of_address.saturating_sub(large);
            if *of_address == 0 {
                held.remove(&self.address);
            }
        }
    }
}

impl Budget {
    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.held.lock().expect("nothing that holds this lock can panic")
    }
}

fn take(
    part: &Arc<Semaphore>,
    taken: &mut Option<OwnedSemaphorePermit>,
    kib: usize,
) -> Result<(), BodyError> {
    let missing = kib.saturating_sub(taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
    if missing == 0 {
        return Ok(());
    }
    let missing = u32::try_from(missing).map_err(|_| BodyError::NoRoom)?;
    let more = Arc::clone(part).try_acquire_many_owned(missing).map_err(|_| BodyError::NoRoom)?;
    match taken {
        Some(taken) => taken.merge(more),
        None => *taken = Some(more),
    }
    Ok(())
}

fn map(bytes: usize) -> io::Result<MmapMut> {
    let mapping = MmapOptions::new().len(bytes).no_reserve_swap().map_anon()?;
    // A huge page would be two megabytes for one byte. A kernel without them refuses the advice, which is as good.
    let _ = mapping.advise(Advice::NoHugePage);
    Ok(mapping)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ANOTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn piece(bytes: usize) -> Bytes {
        Bytes::from(vec![b'x'; bytes])
    }

    const LARGE_KIB: usize = 2 * LARGE_BODIES_OF_ONE_KIB_MIN;

    fn left(budget: &Budget) -> (usize, usize) {
        (budget.small.available_permits(), budget.large.available_permits())
    }

    #[test]
    fn a_body_is_what_its_pieces_were() {
        let mut body = Budget::new(100).receive(ONE, None);
        assert_eq!(body.bytes(), b"");
        for piece in ["on", "", "e bo", "dy"] {
            body.append(&Bytes::from_static(piece.as_bytes())).unwrap();
        }
        assert_eq!(body.bytes(), b"one body");
    }

    #[test]
    fn every_byte_is_counted_and_given_back() {
        let budget = Budget::new(25 * MIB);
        let mut body = budget.receive(ONE, Some(25 * MIB));
        assert_eq!(left(&budget), (SMALL_BODIES_KIB_MAX, LARGE_KIB));
        body.append(&piece(1)).unwrap();
        assert_eq!(left(&budget), (SMALL_BODIES_KIB_MAX - 4, LARGE_KIB));
        body.append(&piece(SMALL_BODY_BYTES)).unwrap();
        assert_eq!(left(&budget), (SMALL_BODIES_KIB_MAX - 64, LARGE_KIB - 4));
        drop(body);
        assert_eq!(left(&budget), (SMALL_BODIES_KIB_MAX, LARGE_KIB));
    }

    #[test]
    fn the_largest_body_fits_and_small_ones_beside_it() {
        let budget = Budget::new(25 * MIB);
        let mut large = budget.receive(ONE, None);
        for _ in 0..25 {
            large.append(&piece(MIB)).unwrap();
        }
        assert!(matches!(large.append(&piece(1)), Err(BodyError::TooLarge(_))));
        let mut small = budget.receive(ONE, None);
        small.append(&piece(SMALL_BODY_BYTES)).unwrap();
        // The largest took its first bytes from the small ones' part, so one small body's worth is left in the other.
        small.append(&piece(SMALL_BODY_BYTES)).unwrap();
        assert!(matches!(small.append(&piece(1)), Err(BodyError::NoRoomForAddress)));
        // As large a one from elsewhere fits beside it, and then no third.
        let mut other = budget.receive(ANOTHER, None);
        for _ in 0..25 {
            other.append(&piece(MIB)).unwrap();
        }
        let mut third = budget.receive("192.0.2.1".parse().unwrap(), None);
        third.append(&piece(SMALL_BODY_BYTES)).unwrap();
        // The two largest took their first bytes from the small ones' part.
        third.append(&piece(SMALL_BODY_BYTES)).unwrap();
        assert!(matches!(third.append(&piece(1)), Err(BodyError::NoRoom)));
        drop((large, third));
        small.append(&piece(1)).unwrap();
        drop((small, other));
        assert_eq!(left(&budget), (SMALL_BODIES_KIB_MAX, LARGE_KIB));
        assert!(budget.held().is_empty());
    }

    #[test]
    fn a_length_that_was_announced_too_small_or_too_large_does_no_harm() {
        for announced in [0, 1, 25 * MIB] {
            let mut body = Budget::new(25 * MIB).receive(ONE, Some(announced));
            body.append(&piece(2)).unwrap();
            assert_eq!(body.bytes(), b"xx");
        }
    }

    #[test]
    fn many_pieces_are_taken_but_not_millions_of_one_byte() {
        let mut body = Budget::new(25 * MIB).receive(ONE, None);
        let taken = (0..MIB).take_while(|_| body.append(&piece(1)).is_ok()).count();
        assert!((PIECES_UNCOUNTED..2 * PIECES_UNCOUNTED).contains(&taken), "{taken}");
        let mut body = Budget::new(25 * MIB).receive(ONE, None);
        for _ in 0..100_000 {
            body.append(&piece(PIECE_BYTES_MIN)).unwrap();
        }
    }
}

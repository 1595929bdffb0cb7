//! Which time the next name bears: the clock's, or one more than the last where the clock has not moved on
//! or was set back. Order is therefore never decided by the wall clock alone.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Sequence {
    last: AtomicU64,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Sequence {
    pub(crate) fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Sequence {
        Sequence { last: AtomicU64::new(0), now: Box::new(now) }
    }

    /// The clock's time, in nanoseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        (self.now)()
    }

    /// Takes notice of a name that exists: the next ones will be greater.
    pub(crate) fn observe(&self, nanos: u64) {
        self.last.fetch_max(nanos, Ordering::SeqCst);
    }

    /// Greater than every number returned or observed before; `None` when `u64::MAX` has been (only a file
    /// that somebody named so can bring that about).
    pub(crate) fn next(&self) -> Option<u64> {
        let now = self.now();
        let after = |last: u64| last.checked_add(1).map(|successor| successor.max(now));
        let previous = self.last.try_update(Ordering::SeqCst, Ordering::SeqCst, after).ok()?;
        after(previous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_clock_and_never_goes_back() {
        let times = std::sync::Mutex::new(vec![30, 5, 20, 20, 10]);
        let sequence = Sequence::new(move || times.lock().unwrap().pop().unwrap());
        let next = || sequence.next().unwrap();
        assert_eq!([next(), next(), next(), next(), next()], [10, 20, 21, 22, 30]);
    }

    #[test]
    fn is_greater_than_what_was_observed() {
        let sequence = Sequence::new(|| 10);
        sequence.observe(99);
        sequence.observe(50);
        assert_eq!(sequence.next(), Some(100));
    }

    #[test]
    fn ends_instead_of_wrapping() {
        let sequence = Sequence::new(|| 10);
        sequence.observe(u64::MAX - 1);
        assert_eq!(sequence.next(), Some(u64::MAX));
        assert_eq!(sequence.next(), None);
    }
}

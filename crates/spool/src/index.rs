//! Which ids are in the spool, so that a second append of one is recognised without looking at the disk.
//!
//! A hint that is checked, not a truth: another process, or an operator with `rm`, may have taken the entry
//! away. A hit is therefore believed only after the entry was seen, and forgotten otherwise. In the other
//! direction the index knows only what this process appended, or saw in a scan.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::name::EntryName;

/// Below this many ids the index is not searched for stale ones; above, whenever it has doubled.
const PRUNE_FROM: usize = 1024;

pub(crate) struct Index {
    slots: Mutex<Slots>,
    settled: Condvar,
}

struct Slots {
    by_id: HashMap<Box<str>, Slot>,
    prune_at: usize,
}

enum Slot {
    /// Somebody is writing it at this moment.
    Pending,
    /// Hardly ever more than one: an operator can make a dead-lettered entry ready again beside a newer one.
    Present(Vec<EntryName>),
}

impl Slot {
    fn present(&self) -> &[EntryName] {
        match self {
            Slot::Present(names) => names,
            Slot::Pending => &[],
        }
    }
}

/// The answer to [`Index::reserve`].
pub(crate) enum Reserved<'index, Place> {
    /// The id is free and now ours to write.
    Ours(Reservation<'index>),
    /// An entry with this id is there, in the place that the caller's check found it in.
    Present(EntryName, Place),
}

/// The right to write an id. Dropped without [`fulfil`](Self::fulfil), the id is free again and those who
/// waited try themselves.
pub(crate) struct Reservation<'index> {
    index: &'index Index,
    id: &'index str,
    written: Option<EntryName>,
}

impl Index {
    pub(crate) fn new() -> Index {
        let slots = Slots { by_id: HashMap::new(), prune_at: PRUNE_FROM };
        Index { slots: Mutex::new(slots), settled: Condvar::new() }
    }

    /// Waits for whoever is writing this id. `find` says where an entry is, if it still is anywhere.
    pub(crate) fn reserve<'index, Place, Error>(
        &'index self,
        id: &'index str,
        find: impl Fn(&EntryName) -> Result<Option<Place>, Error>,
    ) -> Result<Reserved<'index, Place>, Error> {
        let mut slots = self.lock();
        loop {
            match slots.by_id.get(id) {
                None => {
                    slots.by_id.insert(id.into(), Slot::Pending);
                    return Ok(Reserved::Ours(Reservation { index: self, id, written: None }));
                }
                Some(Slot::Pending) => slots = self.settled.wait(slots).expect(NOT_POISONED),
                Some(Slot::Present(names)) => {
                    let names = names.clone();
                    drop(slots); // the disk may be slow; others need not wait for it
                    for name in names {
                        if let Some(place) = find(&name)? {
                            return Ok(Reserved::Present(name, place));
                        }
                        self.forget(&name);
                    }
                    slots = self.lock();
                }
            }
        }
    }

    /// Takes notice of an entry that was seen.
    pub(crate) fn learn(&self, names: &[EntryName]) {
        let mut slots = self.lock();
        for name in names {
            match slots.by_id.get_mut(name.id()) {
                None => drop(slots.by_id.insert(name.id().into(), Slot::Present(vec![name.clone()]))),
                Some(Slot::Present(names)) if !names.contains(name) => names.push(name.clone()),
                // Known, or being written: then its writer will say.
                Some(Slot::Present(_) | Slot::Pending) => {}
            }
        }
    }

    /// The entry is no longer in the spool.
    pub(crate) fn forget(&self, name: &EntryName) {
        let mut slots = self.lock();
        let Some(Slot::Present(names)) = slots.by_id.get_mut(name.id()) else { return };
        names.retain(|present| present != name);
        if names.is_empty() {
            slots.by_id.remove(name.id());
        }
    }

    /// Forgets what other processes consumed, so that a process that only appends does not grow for ever.
    /// Costs one look at each id whenever their number has doubled. An id whose check fails is kept.
    pub(crate) fn prune_if_grown(&self, is_there: impl Fn(&EntryName) -> bool) {
        let names: Vec<EntryName> = {
            let mut slots = self.lock();
            if slots.by_id.len() < slots.prune_at {
                return;
            }
            slots.prune_at = usize::MAX; // nobody else meanwhile
            slots.by_id.values().flat_map(Slot::present).cloned().collect()
        };
        for name in names.iter().filter(|name| !is_there(name)) {
            self.forget(name);
        }
        let mut slots = self.lock();
        slots.prune_at = PRUNE_FROM.max(2 * slots.by_id.len());
        let capacity = slots.prune_at;
        slots.by_id.shrink_to(capacity);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect(NOT_POISONED)
    }
}

impl Reservation<'_> {
    /// The id was written, durably, under this name.
    pub(crate) fn fulfil(mut self, name: EntryName) {
        self.written = Some(name);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut slots = self.index.lock();
        match self.written.take() {
            Some(name) => slots.by_id.insert(self.id.into(), Slot::Present(vec![name])),
            None => slots.by_id.remove(self.id),
        };
        drop(slots);
        self.index.settled.notify_all();
    }
}

const NOT_POISONED: &str = "nothing that holds this lock can panic";

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn reserve<'index>(index: &'index Index, id: &'index str, there: bool) -> Reserved<'index, ()> {
        index.reserve(id, |_| Ok::<_, Infallible>(there.then_some(()))).unwrap()
    }

    fn known(index: &Index) -> usize {
        index.lock().by_id.len()
    }

    #[test]
    fn a_hit_that_is_gone_is_forgotten() {
        let index = Index::new();
        let name = EntryName::new(1, "a");
        index.learn(std::slice::from_ref(&name));
        assert!(matches!(reserve(&index, "a", true), Reserved::Present(found, ()) if found == name));
        assert!(matches!(reserve(&index, "a", false), Reserved::Ours(_)));
    }

    #[test]
    fn an_abandoned_reservation_frees_the_id() {
        let index = Index::new();
        assert!(matches!(reserve(&index, "a", false), Reserved::Ours(_)));
        assert_eq!(known(&index), 0);
    }

    #[test]
    fn forgetting_an_older_entry_keeps_a_newer_one_of_the_same_id() {
        let index = Index::new();
        index.learn(&[EntryName::new(2, "a")]);
        index.forget(&EntryName::new(1, "a"));
        assert_eq!(known(&index), 1);
    }

    #[test]
    fn what_others_consumed_does_not_pile_up() {
        let index = Index::new();
        for number in 0..20 * PRUNE_FROM as u64 {
            index.learn(&[EntryName::new(number, &number.to_string())]);
            index.prune_if_grown(|name| name.nanos() + 10 > number);
        }
        assert!(known(&index) <= PRUNE_FROM, "{} ids kept of 10 that exist", known(&index));
    }
}

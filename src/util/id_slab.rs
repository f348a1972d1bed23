//! Connections under small keys that are never mistaken for an earlier connection's.

use crate::util::trim::TrimMemory;
use slab::Slab;

/// The key of one connection, unlike any other for as long as an event of it can be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(usize);

/// Bits of a key that say where in the slab; the others count generations.
const INDEX_BITS: u32 = if usize::BITS > 32 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// Generations before the count starts again: all but the last, whose keys are left for others.
const GENERATIONS: usize = (usize::MAX >> INDEX_BITS) - 1;

impl ClientId {
    /// The most connections that keys can tell apart.
    pub const MOST: usize = INDEX_MASK;

    /// The key as a number below [`FIRST_FREE`](Self::FIRST_FREE).
    pub const fn number(self) -> usize {
        self.0
    }

    /// The key of that number.
    pub const fn from_number(number: usize) -> Self {
        Self(number)
    }

    /// From here on no number is a key.
    pub const FIRST_FREE: usize = GENERATIONS << INDEX_BITS;

    const fn index(self) -> usize {
        self.0 & INDEX_MASK
    }

    const fn generation(self) -> usize {
        self.0 >> INDEX_BITS
    }
}

/// A slab whose places are used again, and whose keys are not.
#[derive(Debug)]
pub struct IdSlab<T> {
    slab: Slab<Entry<T>>,
    generation: usize,
    /// Address space taken for so many at once.
    reserve: usize,
    /// Nobody has a place from here on.
    end: usize,
    /// Nobody has had one from here on since memory was given back: that is what is resident.
    used: usize,
}

/// ConnectionBudget whose memory is kept in any case.
const KEPT: usize = 256;

/// Address space is taken for so many at most. It is memory only once someone is there; growing step by
/// step instead leaves copies behind, which made each of 10,000 idle clients cost 20 bytes more.
const MOST_RESERVED: usize = 65_536;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    /// Only for a moment there is none, in [`IdSlab::trim`](TrimMemory::trim).
    item: Option<T>,
}

impl<T> IdSlab<T> {
    /// Nobody, of `most` that there will ever be at a time.
    pub fn new(most: usize) -> Self {
        let reserve = most.min(MOST_RESERVED);
        Self { slab: Slab::with_capacity(reserve), generation: 0, reserve, end: 0, used: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Adds `item` under a new key.
    #[expect(clippy::cast_possible_truncation, reason = "generations fit 32 bits by INDEX_BITS")]
    pub fn insert(&mut self, item: T) -> ClientId {
        let generation = self.generation;
        self.generation = (generation + 1) % GENERATIONS;
        let index = self.slab.insert(Entry { generation: generation as u32, item: Some(item) });
        self.end = self.end.max(index + 1);
        self.used = self.used.max(self.end);
        ClientId(generation << INDEX_BITS | index)
    }

    /// The item of `key`, unless it was removed.
    pub fn get(&self, key: ClientId) -> Option<&T> {
        let entry = self.slab.get(key.index())?;
        entry.item.as_ref().filter(|_| entry.generation as usize == key.generation())
    }

    /// The item of `key`, unless it was removed.
    pub fn get_mut(&mut self, key: ClientId) -> Option<&mut T> {
        let entry = self.slab.get_mut(key.index())?;
        let generation = entry.generation as usize;
        entry.item.as_mut().filter(|_| generation == key.generation())
    }

    /// Removes and returns the item of `key`.
    pub fn remove(&mut self, key: ClientId) -> Option<T> {
        self.get(key)?;
        let entry = self.slab.try_remove(key.index())?;
        while self.end > 0 && !self.slab.contains(self.end - 1) {
            self.end -= 1;
        }
        entry.item
    }

    /// All places that may be taken, in order, but for where the order begins: anew each `round`, and
    /// evenly spread, so that nobody is always first or always last. Without it the last of 1,000 heard
    /// each line 6 ms after the first, and in paired runs it cost nothing.
    pub fn iter_rotated(&self, round: usize) -> impl Iterator<Item = usize> + use<T> {
        let end = self.end;
        // The golden ratio's multiples are the most evenly spread: 0.618 of 2^16 is 40503.
        let first = (((round.wrapping_mul(40_503) & 0xffff) as u64 * end as u64) >> 16) as usize;
        (first..end).chain(0..first)
    }

    /// Who has the place, with the key.
    pub fn at(&mut self, place: usize) -> Option<(ClientId, &mut T)> {
        let entry = self.slab.get_mut(place)?;
        Some((ClientId((entry.generation as usize) << INDEX_BITS | place), entry.item.as_mut()?))
    }

    /// Everyone, with their keys, in the order of their places.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut T)> {
        self.slab
            .iter_mut()
            .filter_map(|(index, entry)| Some((index, entry.generation as usize, entry.item.as_mut()?)))
            .map(|(index, generation, item)| (ClientId(generation << INDEX_BITS | index), item))
    }
}

impl<T> TrimMemory for IdSlab<T> {
    fn has_slack(&self) -> bool {
        self.used > KEPT && self.end <= self.used / 2
    }

    fn trim(&mut self) {
        if !self.has_slack() {
            return;
        }
        // glibc would free the allocation of an empty slab as a whole, and from then on keep as much memory
        // for itself (mallopt(3), M_MMAP_THRESHOLD): an empty entry prevents that.
        let placeholder = self.slab.is_empty().then(|| {
            self.slab.clear();
            self.slab.insert(Entry { generation: 0, item: None })
        });
        self.slab.shrink_to_fit();
        self.slab.reserve_exact(self.reserve.saturating_sub(self.slab.len()));
        if let Some(placeholder) = placeholder {
            self.slab.remove(placeholder);
        }
        self.used = self.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_a_key_of_someone_gone_does_not_reach_who_took_the_place() {
        let mut slots = IdSlab::new(2);
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(old.index(), new.index(), "the place is used again");
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }

    #[test]
    fn e2_an_unknown_key_finds_nobody() {
        let mut slots = IdSlab::new(2);
        slots.insert("one");
        for number in [1, 77, ClientId::FIRST_FREE, usize::MAX] {
            assert_eq!(slots.get(ClientId::from_number(number)), None);
        }
    }

    #[test]
    fn each_round_has_every_place_once_and_soon_everyone_was_first() {
        let mut slots = IdSlab::new(0);
        for item in 0..10 {
            slots.insert(item);
        }
        let mut firsts = Vec::new();
        for round in 0..16 {
            let mut places = slots.iter_rotated(round).collect::<Vec<_>>();
            firsts.push(places[0]);
            places.sort_unstable();
            assert_eq!(places, (0..10).collect::<Vec<_>>());
        }
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 10, "{firsts:?}");
        assert_eq!(IdSlab::<()>::new(5).iter_rotated(3).count(), 0, "an empty room has no places");
    }

    #[test]
    fn once_the_last_places_are_free_no_round_walks_them() {
        let mut slots = IdSlab::new(0);
        let keys = (0..10).map(|item| slots.insert(item)).collect::<Vec<_>>();
        for (removed, places) in [(3, 10), (9, 9), (7, 9), (8, 7), (0, 7), (5, 7), (6, 5)] {
            assert_eq!(slots.remove(keys[removed]), Some(removed));
            assert_eq!(slots.iter_rotated(1).count(), places, "without {removed}");
        }
        let key = slots.insert(10);
        assert_eq!(slots.iter_rotated(1).count(), 7, "the place that came free last is taken first");
        slots.remove(key);
        for last in [1, 2, 4] {
            slots.remove(keys[last]);
        }
        assert_eq!(slots.iter_rotated(1).count(), 0);
    }

    #[test]
    fn keys_survive_the_way_through_numbers_and_stay_below_the_free_ones() {
        let mut slots = IdSlab::new(2);
        slots.generation = GENERATIONS - 1;
        for item in 0..3 {
            let key = slots.insert(item);
            assert!(key.number() < ClientId::FIRST_FREE);
            assert_eq!(slots.get(ClientId::from_number(key.number())), Some(&item));
        }
        let keys = slots.iter_mut().map(|(key, item)| (key, *item)).collect::<Vec<_>>();
        for (key, item) in keys {
            assert_eq!(slots.get(key), Some(&item));
        }
    }
}

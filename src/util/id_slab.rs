//! A slab whose ids have generations: the id of a removed client never finds a later one.

use crate::util::trim::TrimMemory;
use slab::Slab;

/// The id of one client. Not reused while an event for it can be pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(usize);

/// Low bits of an id: the index in the slab. The other bits: the generation.
const INDEX_BITS: u32 = if usize::BITS > 32 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// Generations before the count starts again. The last is not used: its numbers are poll tokens for other sources.
const GENERATIONS: usize = (usize::MAX >> INDEX_BITS) - 1;

impl ClientId {
    /// The most clients at a time.
    pub const MOST: usize = INDEX_MASK;

    /// The id as a number below [`FIRST_FREE`](Self::FIRST_FREE).
    pub const fn number(self) -> usize {
        self.0
    }

    /// The id of that number.
    pub const fn from_number(number: usize) -> Self {
        Self(number)
    }

    /// The first number that is not an id; all higher ones are not either.
    pub const FIRST_FREE: usize = GENERATIONS << INDEX_BITS;

    const fn index(self) -> usize {
        self.0 & INDEX_MASK
    }

    const fn generation(self) -> usize {
        self.0 >> INDEX_BITS
    }
}

/// A slab that reuses slots, but not ids.
#[derive(Debug)]
pub struct IdSlab<T> {
    slab: Slab<Entry<T>>,
    generation: usize,
    /// Slots for which address space is reserved.
    reserve: usize,
    /// One after the last used slot.
    end: usize,
    /// The highest `end` since the last trim. The memory of slots up to here is resident.
    high_water: usize,
}

/// Slots for which memory is kept after a burst.
const MIN_RETAINED: usize = 256;

/// The most slots for which address space is reserved at the start. It becomes memory only when slots are used.
/// Growing step by step leaves freed copies behind: 20 bytes more for each of 10,000 idle clients.
const MAX_RESERVED: usize = 65_536;

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    /// `None` only inside [`trim`](TrimMemory::trim).
    item: Option<T>,
}

impl<T> IdSlab<T> {
    /// An empty slab for at most `max_items` items.
    pub fn new(max_items: usize) -> Self {
        let reserve = max_items.min(MAX_RESERVED);
        Self { slab: Slab::with_capacity(reserve), generation: 0, reserve, end: 0, high_water: 0 }
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Adds an item; returns its id.
    #[expect(clippy::cast_possible_truncation, reason = "generations fit 32 bits by INDEX_BITS")]
    pub fn insert(&mut self, item: T) -> ClientId {
        let generation = self.generation;
        self.generation = (generation + 1) % GENERATIONS;
        let index = self.slab.insert(Entry { generation: generation as u32, item: Some(item) });
        self.end = self.end.max(index + 1);
        self.high_water = self.high_water.max(self.end);
        ClientId(generation << INDEX_BITS | index)
    }

    /// The item of an id, unless it was removed.
    pub fn get(&self, id: ClientId) -> Option<&T> {
        let entry = self.slab.get(id.index())?;
        entry.item.as_ref().filter(|_| entry.generation as usize == id.generation())
    }

    /// The item of an id, unless it was removed.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut T> {
        let entry = self.slab.get_mut(id.index())?;
        let generation = entry.generation as usize;
        entry.item.as_mut().filter(|_| generation == id.generation())
    }

    /// Removes and returns the item of an id.
    pub fn remove(&mut self, id: ClientId) -> Option<T> {
        self.get(id)?;
        let entry = self.slab.try_remove(id.index())?;
        while self.end > 0 && !self.slab.contains(self.end - 1) {
            self.end -= 1;
        }
        entry.item
    }

    /// All slots that may be used, in order, from another start in each `round`. The starts are evenly spread, so
    /// that no client is always served first or last. With one fixed start, the last of 1,000 clients got each line
    /// 6 ms after the first. Changing the start costs no measurable time.
    pub fn iter_rotated(&self, round: usize) -> impl Iterator<Item = usize> + use<T> {
        let end = self.end;
        // Multiples of the golden ratio are evenly spread: 40503 = 0.618 * 2^16.
        let first = (((round.wrapping_mul(40_503) & 0xffff) as u64 * end as u64) >> 16) as usize;
        (first..end).chain(0..first)
    }

    /// The item in a slot, with its id.
    pub fn at(&mut self, slot: usize) -> Option<(ClientId, &mut T)> {
        let entry = self.slab.get_mut(slot)?;
        Some((ClientId((entry.generation as usize) << INDEX_BITS | slot), entry.item.as_mut()?))
    }

    /// All items with their ids, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &T)> {
        self.slab.iter().filter_map(|(index, entry)| {
            Some((ClientId((entry.generation as usize) << INDEX_BITS | index), entry.item.as_ref()?))
        })
    }

    /// All items with their ids, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut T)> {
        self.slab
            .iter_mut()
            .filter_map(|(index, entry)| Some((index, entry.generation as usize, entry.item.as_mut()?)))
            .map(|(index, generation, item)| (ClientId(generation << INDEX_BITS | index), item))
    }
}

impl<T> TrimMemory for IdSlab<T> {
    fn has_slack(&self) -> bool {
        self.high_water > MIN_RETAINED && self.end <= self.high_water / 2
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
        self.high_water = self.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_the_id_of_a_removed_item_does_not_find_the_next_in_its_slot() {
        let mut slots = IdSlab::new(2);
        let old = slots.insert("old");
        assert_eq!(slots.remove(old), Some("old"));
        let new = slots.insert("new");
        assert_eq!(old.index(), new.index(), "the slot is reused");
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.get_mut(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"new"));
    }

    #[test]
    fn e2_an_unknown_id_finds_nothing() {
        let mut slots = IdSlab::new(2);
        slots.insert("one");
        for number in [1, 77, ClientId::FIRST_FREE, usize::MAX] {
            assert_eq!(slots.get(ClientId::from_number(number)), None);
        }
    }

    #[test]
    fn each_round_has_every_slot_once_and_soon_each_was_first() {
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
        assert_eq!(IdSlab::<()>::new(5).iter_rotated(3).count(), 0, "an empty slab has no slots");
    }

    #[test]
    fn free_slots_at_the_end_are_not_walked() {
        let mut slots = IdSlab::new(0);
        let ids = (0..10).map(|item| slots.insert(item)).collect::<Vec<_>>();
        for (removed, places) in [(3, 10), (9, 9), (7, 9), (8, 7), (0, 7), (5, 7), (6, 5)] {
            assert_eq!(slots.remove(ids[removed]), Some(removed));
            assert_eq!(slots.iter_rotated(1).count(), places, "without {removed}");
        }
        let id = slots.insert(10);
        assert_eq!(slots.iter_rotated(1).count(), 7, "the slot that was freed last is reused first");
        slots.remove(id);
        for last in [1, 2, 4] {
            slots.remove(ids[last]);
        }
        assert_eq!(slots.iter_rotated(1).count(), 0);
    }

    #[test]
    fn ids_can_be_converted_to_numbers_and_back() {
        let mut slots = IdSlab::new(2);
        slots.generation = GENERATIONS - 1;
        for item in 0..3 {
            let id = slots.insert(item);
            assert!(id.number() < ClientId::FIRST_FREE);
            assert_eq!(slots.get(ClientId::from_number(id.number())), Some(&item));
        }
        let ids = slots.iter_mut().map(|(id, item)| (id, *item)).collect::<Vec<_>>();
        for (id, item) in ids {
            assert_eq!(slots.get(id), Some(&item));
        }
    }
}

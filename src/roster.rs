//! Connections under small keys that are never mistaken for an earlier connection's.

use slab::Slab;

/// The key of one connection, unlike any other for as long as an event of it can be on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(usize);

/// Bits of a key that say where in the slab; the others count generations.
const INDEX_BITS: u32 = if usize::BITS > 32 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;
/// Generations before the count starts again: all but the last, whose keys are left for others.
const GENERATIONS: usize = (usize::MAX >> INDEX_BITS) - 1;

impl Key {
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
pub struct Roster<T> {
    slab: Slab<Entry<T>>,
    generation: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    item: T,
}

impl<T> Roster<T> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { slab: Slab::new(), generation: 0 }
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
    pub fn insert(&mut self, item: T) -> Key {
        let generation = self.generation;
        self.generation = (generation + 1) % GENERATIONS;
        let index = self.slab.insert(Entry { generation: generation as u32, item });
        Key(generation << INDEX_BITS | index)
    }

    /// The item of `key`, unless it was removed.
    pub fn get(&self, key: Key) -> Option<&T> {
        let entry = self.slab.get(key.index())?;
        (entry.generation as usize == key.generation()).then_some(&entry.item)
    }

    /// The item of `key`, unless it was removed.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.slab.get_mut(key.index())?;
        (entry.generation as usize == key.generation()).then_some(&mut entry.item)
    }

    /// Removes and returns the item of `key`; gives memory back when most of it is unused.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = self.slab.try_remove(key.index())?;
        if self.slab.is_empty() {
            self.slab = Slab::new();
        }
        Some(entry.item)
    }

    /// Everyone, with their keys, in the order of their places.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slab
            .iter_mut()
            .map(|(index, entry)| (Key((entry.generation as usize) << INDEX_BITS | index), &mut entry.item))
    }
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e1_a_key_of_someone_gone_does_not_reach_who_took_the_place() {
        let mut roster = Roster::new();
        let old = roster.insert("old");
        assert_eq!(roster.remove(old), Some("old"));
        let new = roster.insert("new");
        assert_eq!(old.index(), new.index(), "the place is used again");
        assert_eq!(roster.get(old), None);
        assert_eq!(roster.get_mut(old), None);
        assert_eq!(roster.remove(old), None);
        assert_eq!(roster.get(new), Some(&"new"));
    }

    #[test]
    fn e2_an_unknown_key_finds_nobody() {
        let mut roster = Roster::new();
        roster.insert("one");
        for number in [1, 77, Key::FIRST_FREE, usize::MAX] {
            assert_eq!(roster.get(Key::from_number(number)), None);
        }
    }

    #[test]
    fn keys_survive_the_way_through_numbers_and_stay_below_the_free_ones() {
        let mut roster = Roster::new();
        roster.generation = GENERATIONS - 1;
        for item in 0..3 {
            let key = roster.insert(item);
            assert!(key.number() < Key::FIRST_FREE);
            assert_eq!(roster.get(Key::from_number(key.number())), Some(&item));
        }
        let keys = roster.iter_mut().map(|(key, item)| (key, *item)).collect::<Vec<_>>();
        for (key, item) in keys {
            assert_eq!(roster.get(key), Some(&item));
        }
    }
}

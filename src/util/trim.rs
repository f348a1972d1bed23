//! Returning to the system the memory that a burst took.
//!
//! Each helper frees the old allocation before it makes the new one. Shrinking in place would keep the old
//! block at its address in the heap, and malloc returns nothing that lies below a block in use.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A container that may keep much more memory than it needs.
pub trait TrimMemory {
    /// Whether [`trim`](Self::trim) would return much memory. Cheap: called once per turn.
    fn has_slack(&self) -> bool;

    /// Returns unneeded memory to the system. The contents stay.
    fn trim(&mut self);
}

/// Whether a list is empty and has a capacity above `retained`.
pub const fn is_unused(len: usize, capacity: usize, retained: usize) -> bool {
    len == 0 && capacity > retained
}

/// Whether the capacity is over twice `retained`, and less than a quarter of it is used.
pub const fn is_mostly_unused(len: usize, capacity: usize, retained: usize) -> bool {
    capacity > 2 * retained && len < capacity / 4
}

/// Replaces the allocation of `list` by one of `retained` items, if the list is empty.
pub fn trim_vec<T>(list: &mut Vec<T>, retained: usize) {
    if list.is_empty() {
        *list = Vec::new();
        list.reserve(retained);
    }
}

/// Replaces the allocation of `list` by one of `retained` items, if the list is empty.
pub fn trim_deque<T>(list: &mut VecDeque<T>, retained: usize) {
    if list.is_empty() {
        *list = VecDeque::new();
        list.reserve(retained);
    }
}

/// Replaces the allocation of `map` by one that fits its entries.
pub fn rebuild_map<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    let entries = std::mem::take(map).into_iter().collect::<Vec<_>>();
    map.extend(entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_trimmed_to_what_it_retains_and_a_full_one_is_left_alone() {
        let (mut list, mut deque) = ((0..1000).collect::<Vec<_>>(), (0..1000).collect::<VecDeque<_>>());
        trim_vec(&mut list, 8);
        trim_deque(&mut deque, 8);
        assert_eq!((list.len(), deque.len()), (1000, 1000));
        assert!(!is_unused(list.len(), list.capacity(), 8));
        list.clear();
        deque.clear();
        assert!(is_unused(list.len(), list.capacity(), 8));
        trim_vec(&mut list, 8);
        trim_deque(&mut deque, 8);
        for capacity in [list.capacity(), deque.capacity()] {
            assert!((8..100).contains(&capacity), "{capacity}");
        }
    }

    #[test]
    fn a_rebuilt_map_has_the_same_entries_in_less_memory() {
        let mut map = (0..1000).map(|key| (key, 2 * key)).collect::<HashMap<_, _>>();
        map.retain(|&key, _| key < 3);
        assert!(is_mostly_unused(map.len(), map.capacity(), 16));
        rebuild_map(&mut map);
        assert!(!is_mostly_unused(map.len(), map.capacity(), 16));
        assert_eq!(map, HashMap::from([(0, 0), (1, 2), (2, 4)]));
    }
}

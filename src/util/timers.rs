//! A queue of timers.

use crate::util::clock::Moment;
use crate::util::trim::{self, TrimMemory};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;

/// Timers for which memory is kept after a burst.
const MIN_RETAINED: usize = 256;

/// Deadlines by key. Each key has at most one; a key without a deadline takes no memory.
///
/// It consists of two large allocations, which can be returned to the system. A tree has many small ones: malloc
/// would keep all of them that lie below one in use.
#[derive(Debug)]
pub struct Timers<K> {
    by_key: HashMap<K, Moment>,
    /// Soonest first. It may have outdated entries (of deadlines that were moved or cancelled), but never at the top.
    by_moment: BinaryHeap<Reverse<(Moment, K)>>,
}

impl<K: Ord + Copy + Hash> Timers<K> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { by_key: HashMap::new(), by_moment: BinaryHeap::new() }
    }

    /// Sets the deadline of `key`. Replaces an earlier one.
    pub fn set(&mut self, key: K, at: Moment) {
        let old = self.by_key.insert(key, at);
        if old != Some(at) {
            self.by_moment.push(Reverse((at, key)));
            self.drop_stale();
        }
    }

    /// Sets the deadline of `key` unless it has one.
    pub fn set_if_none(&mut self, key: K, at: Moment) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at);
        }
    }

    /// Removes the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: K) {
        if self.by_key.remove(&key).is_some() {
            self.drop_stale();
        }
    }

    /// The next deadline.
    pub fn next(&self) -> Option<Moment> {
        self.by_moment.peek().map(|&Reverse((at, _))| at)
    }

    /// Removes the soonest deadline if it is not after `now`; returns its key.
    pub fn pop(&mut self, now: Moment) -> Option<K> {
        let &Reverse((at, key)) = self.by_moment.peek()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    /// Removes outdated entries from the top, and all of them if they outnumber the others.
    fn drop_stale(&mut self) {
        while let Some(Reverse((at, key))) = self.by_moment.peek()
            && self.by_key.get(key) != Some(at)
        {
            self.by_moment.pop();
        }
        if self.by_moment.len() > 2 * self.by_key.len() + MIN_RETAINED {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        let by_key = &self.by_key;
        self.by_moment.retain(|Reverse((at, key))| by_key.get(key) == Some(at));
    }
}

impl<K: Ord + Copy + Hash> TrimMemory for Timers<K> {
    fn has_slack(&self) -> bool {
        let capacity = self.by_key.capacity().max(self.by_moment.capacity());
        trim::is_mostly_unused(self.by_key.len(), capacity, MIN_RETAINED)
    }

    fn trim(&mut self) {
        let deadlines = self.by_key.iter().map(|(&key, &at)| (key, at)).collect::<Vec<_>>();
        *self = Self::new();
        deadlines.into_iter().for_each(|(key, at)| self.set(key, at));
    }
}

impl<K: Ord + Copy + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> Moment {
        Moment::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn deadlines_come_soonest_first_and_only_when_due() {
        let mut timers = Timers::new();
        timers.set('b', at(20));
        timers.set('a', at(10));
        timers.set('c', at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(15)), Some('a'));
        assert_eq!(timers.pop(at(15)), Some('c'));
        assert_eq!(timers.pop(at(15)), None);
        assert_eq!(timers.pop(at(20)), Some('b'));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_key_has_one_deadline_the_last_that_was_set() {
        let mut timers = Timers::new();
        timers.set('a', at(10));
        timers.set('a', at(30));
        timers.set_if_none('a', at(5));
        assert_eq!(timers.pop(at(29)), None);
        assert_eq!(timers.pop(at(30)), Some('a'));
        timers.set('a', at(40));
        timers.cancel('a');
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn deadlines_that_move_again_and_again_come_once_and_do_not_pile_up() {
        let mut timers = Timers::new();
        for round in 0..10_000 {
            for key in 0..10 {
                timers.set(key, at(1000 + round));
                timers.set(key, at(1000 + round));
            }
            timers.cancel(round % 10);
            timers.set_if_none(round % 10, at(1000 + round));
        }
        assert!(timers.by_moment.len() <= 2 * 10 + MIN_RETAINED);
        assert_eq!(timers.next(), Some(at(10_999)));
        let popped = std::iter::from_fn(|| timers.pop(at(11_000))).collect::<Vec<_>>();
        assert_eq!(popped, (0..10).collect::<Vec<_>>());
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn memory_of_many_deadlines_is_returned_when_few_are_left() {
        let mut timers = Timers::new();
        (0..10_000).for_each(|key| timers.set(key, at(key)));
        (1..10_000).for_each(|key| timers.cancel(key));
        assert!(timers.has_slack());
        timers.trim();
        assert!(!timers.has_slack());
        assert_eq!(timers.pop(at(0)), Some(0));
    }
}

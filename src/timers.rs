//! Every deadline of the server, in one place, soonest first.

use crate::clock::Moment;
use std::collections::{BTreeMap, BTreeSet};

/// Deadlines by what they are for: each `K` has one at most, and costs nothing while it has none.
#[derive(Debug)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Moment>,
    by_moment: BTreeSet<(Moment, K)>,
}

impl<K: Ord + Copy> Timers<K> {
    /// No deadline at all.
    pub const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_moment: BTreeSet::new() }
    }

    /// Sets the deadline of `key`, in place of one that it had.
    pub fn set(&mut self, key: K, at: Moment) {
        match self.by_key.insert(key, at) {
            Some(old) if old == at => return,
            Some(old) => _ = self.by_moment.remove(&(old, key)),
            None => {}
        }
        self.by_moment.insert((at, key));
    }

    /// Sets the deadline of `key` unless it has one.
    pub fn set_if_none(&mut self, key: K, at: Moment) {
        if !self.by_key.contains_key(&key) {
            self.set(key, at);
        }
    }

    /// Forgets the deadline of `key`.
    pub fn cancel(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.by_moment.remove(&(old, key));
        }
        if self.by_key.is_empty() {
            // An empty map keeps a node, and that would keep all memory below it resident after a burst.
            *self = Self::new();
        }
    }

    /// The next deadline.
    pub fn next(&self) -> Option<Moment> {
        self.by_moment.first().map(|&(at, _)| at)
    }

    /// Takes the soonest of the deadlines that have come by `now`.
    pub fn pop(&mut self, now: Moment) -> Option<K> {
        let &(at, key) = self.by_moment.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

impl<K: Ord + Copy> Default for Timers<K> {
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
}

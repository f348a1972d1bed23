//! How many are here from each network, where that is limited.

use crate::net::peer::{Network, Peer};
use crate::util::trim::{self, TrimMemory};
use std::collections::HashMap;

/// Networks whose memory is kept in any case.
const KEPT: usize = 256;

/// Counts of those who are here, by where they come from; of nobody where there is no limit.
#[derive(Debug)]
pub struct PerNetwork {
    most: Option<usize>,
    counts: HashMap<Network, usize>,
}

impl PerNetwork {
    /// Nobody yet, and at most `most` of one network.
    pub fn new(most: Option<usize>) -> Self {
        Self { most, counts: HashMap::new() }
    }

    /// How many come from where `peer` does, where there is no place for one more.
    pub fn full(&self, peer: Peer) -> Option<usize> {
        let network = peer.network()?;
        let count = self.counts.get(&network).copied().unwrap_or(0);
        self.most.is_some_and(|most| count >= most).then_some(count)
    }

    /// One more has come.
    pub fn add(&mut self, peer: Peer) {
        if self.most.is_some()
            && let Some(network) = peer.network()
        {
            *self.counts.entry(network).or_default() += 1;
        }
    }

    /// One has gone.
    pub fn remove(&mut self, peer: Peer) {
        if let Some(network) = peer.network()
            && let Some(count) = self.counts.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&network);
            }
        }
    }
}

impl TrimMemory for PerNetwork {
    fn has_slack(&self) -> bool {
        trim::is_mostly_unused(self.counts.len(), self.counts.capacity(), KEPT)
    }

    fn trim(&mut self) {
        trim::rebuild_map(&mut self.counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn a_network_is_full_until_one_of_it_has_gone_and_costs_nothing_once_all_have() {
        let peer = |last| Peer::from(SocketAddr::from(([10, 0, 0, last], 1)));
        let mut tally = PerNetwork::new(Some(2));
        for _ in 0..2 {
            assert_eq!(tally.full(peer(1)), None);
            tally.add(peer(1));
        }
        assert_eq!((tally.full(peer(1)), tally.full(peer(2))), (Some(2), None));
        tally.remove(peer(1));
        assert_eq!(tally.full(peer(1)), None);
        tally.remove(peer(1));
        assert!(tally.counts.is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let peer = Peer::from(SocketAddr::from(([10, 0, 0, 1], 1)));
        let mut tally = PerNetwork::new(None);
        tally.add(peer);
        assert_eq!((tally.full(peer), tally.counts.len()), (None, 0));
        tally.remove(peer);
    }

    #[test]
    fn who_comes_through_the_file_system_is_of_no_network() {
        let mut tally = PerNetwork::new(Some(1));
        let peer = Peer::Unix { pid: 1, uid: 0 };
        for _ in 0..3 {
            assert_eq!(tally.full(peer), None);
            tally.add(peer);
        }
        tally.remove(peer);
        assert!(tally.counts.is_empty());
    }
}

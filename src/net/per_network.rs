//! Number of clients from each network, for `--max-per-ip`.

use crate::net::peer::{Network, Peer};
use crate::util::trim::{self, TrimMemory};
use std::collections::HashMap;

/// Networks for which memory is kept after a burst.
const MIN_RETAINED: usize = 256;

/// Clients by network. Counts nothing if there is no limit.
#[derive(Debug)]
pub struct PerNetwork {
    limit: Option<usize>,
    counts: HashMap<Network, usize>,
}

impl PerNetwork {
    /// An empty table with at most `limit` clients of one network; `None` = no limit.
    pub fn new(limit: Option<usize>) -> Self {
        Self { limit, counts: HashMap::new() }
    }

    /// The number of clients from the network of `peer`, if that has reached the limit.
    pub fn full(&self, peer: Peer) -> Option<usize> {
        let network = peer.network()?;
        let count = self.counts.get(&network).copied().unwrap_or(0);
        self.limit.is_some_and(|limit| count >= limit).then_some(count)
    }

    /// Counts a client.
    pub fn add(&mut self, peer: Peer) {
        if self.limit.is_some()
            && let Some(network) = peer.network()
        {
            *self.counts.entry(network).or_default() += 1;
        }
    }

    /// Stops counting a client.
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
        trim::is_mostly_unused(self.counts.len(), self.counts.capacity(), MIN_RETAINED)
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
    fn a_network_is_full_until_a_client_leaves_and_takes_no_memory_when_all_have_left() {
        let peer = |last| Peer::from(SocketAddr::from(([10, 0, 0, last], 1)));
        let mut table = PerNetwork::new(Some(2));
        for _ in 0..2 {
            assert_eq!(table.full(peer(1)), None);
            table.add(peer(1));
        }
        assert_eq!((table.full(peer(1)), table.full(peer(2))), (Some(2), None));
        table.remove(peer(1));
        assert_eq!(table.full(peer(1)), None);
        table.remove(peer(1));
        assert!(table.counts.is_empty());
    }

    #[test]
    fn without_a_limit_no_client_is_counted() {
        let peer = Peer::from(SocketAddr::from(([10, 0, 0, 1], 1)));
        let mut table = PerNetwork::new(None);
        table.add(peer);
        assert_eq!((table.full(peer), table.counts.len()), (None, 0));
        table.remove(peer);
    }

    #[test]
    fn clients_of_unix_sockets_are_not_counted() {
        let mut table = PerNetwork::new(Some(1));
        let peer = Peer::Unix { pid: 1, uid: 0 };
        for _ in 0..3 {
            assert_eq!(table.full(peer), None);
            table.add(peer);
        }
        table.remove(peer);
        assert!(table.counts.is_empty());
    }
}

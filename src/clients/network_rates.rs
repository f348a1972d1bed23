//! The accounts from which new clients, and clients that have left, get the lines that `--rate` allows.

use super::Clients;
use super::connection::LineSource;
use crate::broadcast::rate_limit::{RateLimit, RateUsage};
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use std::hash::{BuildHasher, RandomState};

/// Number of accounts, of 8 bytes each. Origins with the same hash share one. An account is full again after two
/// seconds, so only origins that use it in the same two seconds notice: their new clients may start with nothing.
/// No client can choose whose account it shares, because the key of the hash is random.
const ACCOUNTS: usize = 4096;

/// One account for each origin of clients: a network, or a user of this machine.
#[derive(Debug)]
pub(super) struct NetworkRates {
    /// Empty if there is no rate limit.
    accounts: Vec<RateUsage>,
    hasher: RandomState,
}

impl NetworkRates {
    /// Full accounts.
    pub(super) fn new(limit: Option<RateLimit>) -> Self {
        let accounts = if limit.is_some() { vec![RateUsage::default(); ACCOUNTS] } else { Vec::new() };
        Self { accounts, hasher: RandomState::new() }
    }

    /// What a new client starts with, taken from the account of its origin; `None` if there is no rate limit.
    pub(super) fn take_start(&mut self, peer: Peer, now: Moment) -> Option<RateUsage> {
        self.account(peer).map(|account| account.take_start(now))
    }

    /// Pays what a client has left into the account of its origin.
    pub(super) fn give_back(&mut self, peer: Peer, left: RateUsage, now: Moment) {
        if let Some(account) = self.account(peer) {
            account.give_back(left, now);
        }
    }

    /// The account of an origin; `None` if there is no rate limit.
    fn account(&mut self, peer: Peer) -> Option<&mut RateUsage> {
        let hash = self.hasher.hash_one(peer.origin());
        let index = usize::try_from(hash % ACCOUNTS as u64).ok()?;
        self.accounts.get_mut(index)
    }
}

impl<S: Transport> Clients<S> {
    /// From now on the lines of a client come from the account of its network. What it has left is paid into that.
    pub(super) fn take_from_network(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id) {
            connection.line_source = Some(LineSource::Network);
            self.network_rates.give_back(connection.peer(), connection.rate.usage(), now);
        }
    }

    /// Before the permit for a client is decided: if its lines come from the account of its network, that counts.
    pub(super) fn load_network_rate(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.line_source == Some(LineSource::Network)
            && let Some(account) = self.network_rates.account(connection.peer())
        {
            connection.rate.set_usage(account.capped(now));
        }
    }

    /// Counts what a client sent.
    pub(super) fn record_sent(&mut self, id: ClientId, lines: usize, bytes: usize, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        connection.lines = connection.lines.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.room.admission().record_sent(&mut connection.rate, lines, bytes, now);
        if connection.line_source == Some(LineSource::Network)
            && let Some(account) = self.network_rates.account(connection.peer())
        {
            *account = connection.rate.usage();
        }
    }
}

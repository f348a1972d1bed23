//! Clients that wait for their turn to be read.

use super::MIN_RETAINED;
use super::connection::{Connection, ReadState};
use crate::chat::room::Room;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::trim::{TrimMemory, is_unused, trim_deque};
use std::collections::VecDeque;

/// Clients that wait for their turn to be read, interactive ones first.
#[derive(Debug)]
pub(super) struct ReadQueue {
    interactive: VecDeque<ClientId>,
    bulk: VecDeque<ClientId>,
}

/// Whether a client has sent little lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SenderKind {
    Interactive,
    Bulk,
}

impl ReadQueue {
    /// Both kinds, in the order in which they are read.
    pub(super) const KINDS: [SenderKind; 2] = [SenderKind::Interactive, SenderKind::Bulk];

    /// An empty queue.
    pub(super) fn new() -> Self {
        Self {
            interactive: VecDeque::with_capacity(MIN_RETAINED),
            bulk: VecDeque::with_capacity(MIN_RETAINED),
        }
    }

    /// Whether no client waits.
    pub(super) fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.bulk.is_empty()
    }

    /// The number of clients of one kind.
    pub(super) fn len(&self, kind: SenderKind) -> usize {
        match kind {
            SenderKind::Interactive => self.interactive.len(),
            SenderKind::Bulk => self.bulk.len(),
        }
    }

    /// Takes the next client of one kind.
    pub(super) fn pop(&mut self, kind: SenderKind) -> Option<ClientId> {
        match kind {
            SenderKind::Interactive => self.interactive.pop_front(),
            SenderKind::Bulk => self.bulk.pop_front(),
        }
    }

    /// Queues a client behind those of its kind.
    pub(super) fn push<S: Transport>(
        &mut self,
        id: ClientId,
        connection: &mut Connection<S>,
        room: &Room,
        now: Moment,
    ) {
        connection.read_state = ReadState::Queued;
        if room.admission().is_interactive(&connection.rate, now) {
            self.interactive.push_back(id);
        } else {
            self.bulk.push_back(id);
        }
    }

    /// Puts a client before those that were read last: otherwise these would take the space each time.
    pub(super) fn push_front(&mut self, id: ClientId) {
        self.bulk.push_front(id);
    }
}

impl TrimMemory for ReadQueue {
    fn has_slack(&self) -> bool {
        [&self.interactive, &self.bulk]
            .iter()
            .any(|list| is_unused(list.len(), list.capacity(), MIN_RETAINED))
    }

    fn trim(&mut self) {
        trim_deque(&mut self.interactive, MIN_RETAINED);
        trim_deque(&mut self.bulk, MIN_RETAINED);
    }
}

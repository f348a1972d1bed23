//! Clients that wait for their turn to be read.

use super::MIN_RETAINED;
use super::connection::{Connection, ReadState};
use crate::broadcast::admission::Admission;
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

/// What is left of the read step of one turn.
#[derive(Debug)]
pub struct ReadTurn {
    /// Number of clients of each kind that are still to be read.
    interactive: usize,
    bulk: usize,
    /// Work, in bytes of input.
    budget: usize,
}

impl ReadTurn {
    /// Takes work from the budget.
    pub(super) const fn spend(&mut self, work: usize) {
        self.budget = self.budget.saturating_sub(work);
    }
}

impl ReadQueue {
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

    /// Starts a turn with this budget. Clients that are queued later are read in the next turn.
    pub(super) fn start_turn(&self, budget: usize) -> ReadTurn {
        ReadTurn { interactive: self.interactive.len(), bulk: self.bulk.len(), budget }
    }

    /// Takes the next client of a turn, an interactive one first; `None` if the turn is over.
    pub(super) fn pop(&mut self, turn: &mut ReadTurn) -> Option<ClientId> {
        if turn.budget == 0 {
            return None;
        }
        if turn.interactive > 0 {
            turn.interactive -= 1;
            return self.interactive.pop_front();
        }
        turn.bulk = turn.bulk.checked_sub(1)?;
        self.bulk.pop_front()
    }

    /// Queues a client behind those of its kind.
    pub(super) fn push<S: Transport>(
        &mut self,
        id: ClientId,
        connection: &mut Connection<S>,
        room: &Room,
        now: Moment,
    ) {
        let is_interactive = if connection.is_paused() {
            connection.read_state = ReadState::Resumed;
            Admission::has_credit_in_pause(&connection.rate)
        } else {
            connection.read_state = ReadState::Queued;
            room.admission().is_interactive(&connection.rate, now)
        };
        if is_interactive {
            self.interactive.push_back(id);
        } else {
            self.bulk.push_back(id);
        }
    }

    /// Puts a client at the front of the queue of bulk senders.
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

//! The read step: each client with input is read once per turn, within the turn's budget.

use super::connection::{Connection, Input, LineSource, ReadState, Unparsed};
use super::handle::Handled;
use super::read_queue::ReadTurn;
use super::{Blocked, ClientTimer, Clients};
use crate::broadcast::admission::{Admission, ReadBudget, ReadPermit, ReadRequest};
use crate::chat::room::Room;
use crate::clients::close_reason::CloseReason;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use memchr::memchr;
use std::io::ErrorKind;
use std::time::Duration;

/// Bytes of one read. With a larger one the other clients wait longer, and nothing gets faster: with 1,000 saturated
/// clients a delivery cost 5.1 ns of CPU time with 16 KiB, 4.9 with 64 KiB and 4.9 with 256 KiB.
const READ_SIZE: usize = 64 * 1024;
/// Bytes of one read if the number of lines is limited, or while the unparsed input of all clients is
/// more than [`MAX_UNPARSED`]. So 1,000 clients whose input cannot be handled yet hold 4 MB and not 64 MB.
const SMALL_READ_SIZE: usize = 4 * 1024;
/// Bytes of unparsed input of all clients together, above which reads are small.
const MAX_UNPARSED: usize = 1024 * 1024;
/// The most work of the read step in one turn, in bytes of input: about 5 ms. The remaining clients keep their
/// place in the queue.
const TURN_BUDGET: usize = 1024 * 1024;
/// What one read costs in addition to its bytes, in bytes of input: about the time of a system call.
const READ_COST: usize = 512;
/// First lines that may be the opening of another protocol are held for at most this time. Such a client sends all of
/// its opening at once; on a slow line a part of it comes one round trip later.
const OPENING_TIMEOUT: Duration = Duration::from_secs(2);

/// A buffer for one read.
pub(super) fn new_buffer() -> Box<[u8]> {
    vec![0; READ_SIZE].into_boxed_slice()
}

impl<S: Transport> Clients<S> {
    /// Notes that a socket is ready; returns whether the client is still in the table.
    pub fn mark_ready(&mut self, id: ClientId, readable: bool, writable: bool, now: Moment) -> bool {
        let claimed = self.claimed_space(id);
        let Some(connection) = self.slots.get_mut(id) else {
            self.stats.stale += 1;
            return false;
        };
        connection.readable |= readable;
        connection.writable |= writable;
        if writable {
            self.due.push(id);
        }
        match connection.read_state {
            ReadState::Idle if connection.has_input() => self.queue.push(id, connection, &self.room, now),
            ReadState::Blocked | ReadState::Resumed if readable => {
                self.room.admission().note_input(&mut connection.rate, now);
                if connection.read_state == ReadState::Resumed {
                    return true;
                }
                let permit = connection.read_permit(&self.room, claimed, now);
                // Unless its next line fits, it keeps its place: blocked again it would be the last.
                if permit.has_space_for(0)
                    && let Some(place) =
                        self.blocked.iter().position(|it| it.id == id && permit.has_space_for(it.space))
                {
                    self.blocked.remove(place);
                    self.queue.push(id, connection, &self.room, now);
                }
            }
            _ => {}
        }
        true
    }

    /// Notes that a peer has reset its connection. A rate-limited client is closed at once. Otherwise its
    /// input would be read only at the rate limit, and its slot could stay in use for hours.
    pub fn mark_reset(&mut self, id: ClientId) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.read_state == ReadState::RateLimited
        {
            connection.close_now(CloseReason::ConnectionLost(ErrorKind::ConnectionReset));
            self.closed.push(id);
        }
    }

    /// Notes that no more input will arrive from a client: from now on it earns no lines.
    pub fn mark_input_end(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.line_source == Some(LineSource::Own)
        {
            connection.line_source = Some(LineSource::OwnUntilSpent);
            if connection.read_state == ReadState::RateLimited {
                self.take_from_network(id, now);
            }
        }
    }

    /// Reads once each client that has input, if the room permits it, until the turn's budget is used up.
    pub fn read(&mut self, now: Moment) {
        let mut turn = self.start_read();
        while self.read_next(&mut turn, now).is_some() {}
    }

    /// Starts the read step: clients that are queued later are read in the next turn.
    pub fn start_read(&self) -> ReadTurn {
        self.queue.start_turn(TURN_BUDGET)
    }

    /// Reads the next client of a turn, an interactive one first; returns it, or `None` if the turn is over.
    pub fn read_next(&mut self, turn: &mut ReadTurn, now: Moment) -> Option<ClientId> {
        let id = self.queue.pop(turn)?;
        turn.spend(self.read_client(id, now));
        Some(id)
    }

    /// Reads one client and handles its input; returns the work, in the unit of [`TURN_BUDGET`].
    fn read_client(&mut self, id: ClientId, now: Moment) -> usize {
        let claimed = self.claimed_space(id);
        self.load_network_rate(id, now);
        let Some(connection) = self.slots.get_mut(id) else { return 0 };
        let permit = connection.read_permit(&self.room, claimed, now);
        if permit != ReadPermit::AfterSpace {
            if connection.is_paused() {
                Admission::resume(&mut connection.rate, now);
            }
            connection.read_state = ReadState::Idle;
        }
        if !connection.has_input() {
            connection.read_state = ReadState::Idle;
            return 0;
        }
        let budget = match permit {
            ReadPermit::Now(budget) => budget,
            // The write step puts it into the queue again.
            ReadPermit::AfterWrite => return 0,
            ReadPermit::AfterSpace => {
                self.read_ahead(id, now);
                return READ_COST;
            }
            ReadPermit::At(_) if connection.line_source == Some(LineSource::OwnUntilSpent) => {
                self.take_from_network(id, now);
                self.after_read(id, now);
                return 0;
            }
            ReadPermit::At(moment) => {
                connection.read_state = ReadState::RateLimited;
                self.timers.set((id, ClientTimer::RateLimit), moment);
                return 0;
            }
        };
        let work = self.read_within(id, budget, now);
        self.after_read(id, now);
        READ_COST + work
    }

    /// Blocks a client until the feeds have space for its next line. Before that it is read once if it is between
    /// two lines: the end of input needs no space, so a client that has left does not wait.
    fn read_ahead(&mut self, id: ClientId, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        if connection.decoder.is_between_lines() && connection.unparsed_len() == 0 {
            let buffer = &mut self.buffer[..SMALL_READ_SIZE];
            match connection.read(buffer) {
                Input::Bytes(count) => {
                    connection.keep_unparsed(&buffer[..count]);
                    self.stats.read += count as u64;
                    self.unparsed += count;
                }
                input => {
                    connection.read_state = ReadState::Idle;
                    if let Input::End { is_cut } = input {
                        self.handle_end(id, is_cut, now);
                    }
                    return self.after_read(id, now);
                }
            }
        }
        let len = self.slots.get(id).map_or(0, Connection::next_line_len);
        self.block(id, len, now);
    }

    /// Blocks a client until the feeds have space for more than `len` bytes of its next line.
    pub(super) fn block(&mut self, id: ClientId, len: usize, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id) {
            if !connection.is_paused() {
                self.room.admission().pause(&mut connection.rate, now);
            }
            connection.read_state = ReadState::Blocked;
            let len = (len + 1).min(self.room.rules().max_line);
            self.blocked.push(Blocked { id, space: self.room.admission().cost().of(len) });
        }
    }

    /// Handles input of one client within the budget: input that was read before, or else one read.
    fn read_within(&mut self, id: ClientId, budget: ReadBudget, now: Moment) -> usize {
        if let Some(handled) = self.handle_earlier_input(id, budget, now) {
            if let Some(len) = handled.no_space_for.filter(|_| handled.is_nothing()) {
                self.block(id, len, now);
            }
            return handled.work;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let size = self.read_size(id, budget);
        let mut work = 0;
        let input =
            self.slots.get_mut(id).map_or(Input::Nothing, |connection| connection.read(&mut buffer[..size]));
        match input {
            Input::Bytes(count) => {
                self.stats.read += count as u64;
                let bytes = &buffer[..count];
                let handled = self.handle_input(id, bytes, budget, now);
                work = handled.work;
                if let Some(connection) = self.slots.get_mut(id) {
                    connection.keep_unparsed(&bytes[handled.input..]);
                    self.unparsed += count - handled.input;
                }
            }
            Input::End { is_cut } => self.handle_end(id, is_cut, now),
            Input::Nothing => {}
        }
        self.buffer = buffer;
        work
    }

    /// Handles lines that were held and unparsed input, if there are any, within the budget.
    pub(super) fn handle_earlier_input(
        &mut self,
        id: ClientId,
        budget: ReadBudget,
        now: Moment,
    ) -> Option<Handled> {
        let connection = self.slots.get_mut(id)?;
        let mut unparsed = match connection.take_unparsed() {
            None if connection.has_held_lines() => Unparsed::default(),
            unparsed => unparsed?,
        };
        let before = unparsed.bytes().len();
        let handled = self.handle_input(id, unparsed.bytes(), budget, now);
        unparsed.consume(handled.input);
        self.unparsed -= before - unparsed.bytes().len();
        if let Some(connection) = self.slots.get_mut(id) {
            connection.put_back_unparsed(unparsed);
        }
        Some(handled)
    }

    /// The most bytes to read now. The feeds certainly have space for the rest of a line that has begun, and
    /// probably for all lines in these bytes.
    fn read_size(&self, id: ClientId, budget: ReadBudget) -> usize {
        let Some(connection) = self.slots.get(id).filter(|connection| connection.is_active()) else {
            return READ_SIZE;
        };
        let is_small = budget.lines < usize::MAX || self.unparsed > MAX_UNPARSED;
        let most = if is_small { SMALL_READ_SIZE } else { READ_SIZE };
        let longest = self.room.admission().cost().longest(budget.space).unwrap_or(0);
        longest.saturating_sub(connection.decoder.held()).clamp(1, most)
    }

    /// After a read: puts the client into the queues for its next read and its output, and sets its timers.
    pub(super) fn after_read(&mut self, id: ClientId, now: Moment) {
        self.leave_if_closing(id);
        let Some(connection) = self.slots.get_mut(id) else { return };
        if connection.has_input() && connection.read_state == ReadState::Idle {
            self.queue.push(id, connection, &self.room, now);
        }
        let feed = self.room.feed(connection.view());
        if connection.has_pending_output(feed) || !connection.is_active() {
            self.due.push(id);
        }
        if connection.decoder.is_holding_lines() {
            self.timers.set_if_none((id, ClientTimer::Opening), now.after(OPENING_TIMEOUT));
        }
        let Some(flush_after) = self.limits.flush_after else { return };
        if connection.is_open() && connection.decoder.is_mid_line() {
            self.timers.set((id, ClientTimer::Flush), now.after(flush_after));
        } else {
            self.timers.cancel((id, ClientTimer::Flush));
        }
    }

    /// Removes a client from the room as soon as it begins to close, even if its last output is written later.
    pub(super) fn leave_if_closing(&mut self, id: ClientId) {
        if self.slots.get(id).is_some_and(Connection::is_closing) {
            self.room.leave(id);
        }
    }
}

impl<S: Transport> Connection<S> {
    /// The length of the known part of the next line, in bytes. If a part was decoded, a small read more is
    /// counted: space for one byte would not be worth a read.
    fn next_line_len(&self) -> usize {
        let held = self.decoder.held();
        match self.unparsed() {
            [] if held > 0 => held + SMALL_READ_SIZE,
            bytes => held + memchr(b'\n', bytes).unwrap_or(bytes.len()),
        }
    }

    /// Whether the client may be read now, and how much of its input may be handled. `claimed` is the space that
    /// another client claims.
    pub(super) fn read_permit(&self, room: &Room, claimed: usize, now: Moment) -> ReadPermit {
        if self.is_draining() {
            return ReadPermit::Now(ReadBudget::UNLIMITED);
        }
        if !self.is_active()
            || self.is_open() && (self.is_outbox_full() || !self.cursor().has_skip_capacity())
        {
            return ReadPermit::AfterWrite;
        }
        let request = ReadRequest { held: self.decoder.held(), claimed, is_paused: self.is_paused() };
        room.read_permit(&self.rate, request, now)
    }
}

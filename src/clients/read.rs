//! The read step: each client with input is read once per turn, within the turn's budget.

use super::connection::{Connection, Input, ReadState};
use super::{ClientTimer, Clients, MIN_RETAINED};
use crate::broadcast::admission::{Admission, ReadBudget, ReadPermit};
use crate::chat::command::Command;
use crate::chat::room::{Reply, Room};
use crate::clients::close_reason::CloseReason;
use crate::net::transport::Transport;
use crate::util::buffer::Buffer;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::util::trim::{TrimMemory, is_unused, trim_deque};
use crate::wire::escape;
use crate::wire::line_decoder::Decoded;
use log::{debug, error, log_enabled};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

/// Bytes of one read: a larger one gains nothing, and the other clients wait longer. With 1,000 saturated
/// clients a delivery cost 5.1 ns of CPU time with 16 KiB, 4.9 with 64 KiB and 4.9 with 256 KiB.
const READ_SIZE: usize = 64 * 1024;
/// Bytes of a read while all clients together hold more than [`MAX_UNPARSED`], so that 1,000 clients that
/// may not be handled yet hold 4 MB and not 64.
const SMALL_READ_SIZE: usize = 4 * 1024;
/// Bytes of unparsed input that all clients together may hold before reads become small.
const MAX_UNPARSED: usize = 1024 * 1024;
/// Work of one turn, in bytes of input: some 5 ms. The remaining clients keep their place.
const TURN_BUDGET: usize = 1024 * 1024;
/// What one read costs beside its bytes: about a system call.
const READ_COST: usize = 512;
/// What a line costs beside its bytes.
const LINE_COST: usize = 32;
/// What a command costs instead: its reply and its notices are rendered, 1 to 2 µs.
const COMMAND_COST: usize = 512;

/// A buffer for one read.
pub(super) fn new_buffer() -> Box<[u8]> {
    vec![0; READ_SIZE].into_boxed_slice()
}

/// Clients that wait for their turn to be read, interactive ones first.
#[derive(Debug)]
pub(super) struct ReadQueue {
    interactive: VecDeque<ClientId>,
    bulk: VecDeque<ClientId>,
}

impl ReadQueue {
    pub(super) fn new() -> Self {
        Self {
            interactive: VecDeque::with_capacity(MIN_RETAINED),
            bulk: VecDeque::with_capacity(MIN_RETAINED),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.bulk.is_empty()
    }

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

/// What is left of the read step of one turn.
#[derive(Debug)]
pub struct ReadTurn {
    /// Clients that are still to be read, of each kind.
    interactive: usize,
    bulk: usize,
    /// In units of [`TURN_BUDGET`].
    budget: usize,
}

/// What was handled of one client's input.
#[derive(Debug, Default)]
struct Handled {
    /// Bytes of input.
    input: usize,
    lines: usize,
    /// Bytes that its lines took in the most expensive view.
    space: usize,
    /// In units of [`TURN_BUDGET`].
    work: usize,
}

impl<S: Transport> Clients<S> {
    /// Notes that a socket is ready; returns whether the client is still known.
    pub fn mark_ready(&mut self, id: ClientId, readable: bool, writable: bool, now: Moment) -> bool {
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
            // It had been read before the reserve was used up, or has credit left.
            ReadState::Blocked if readable => {
                Admission::resume(&mut connection.rate, now);
                let permit = self.room.read_permit(&connection.rate, connection.decoder.held(), now);
                if matches!(permit, ReadPermit::Now(_)) {
                    self.blocked.retain(|&blocked| blocked != id);
                    self.queue.push(id, connection, &self.room, now);
                }
            }
            ReadState::Idle | ReadState::Queued | ReadState::Blocked | ReadState::RateLimited => {}
        }
        true
    }

    /// Notes that a peer has reset its connection. Without this a client over its rate limit would be handled
    /// at that rate, and hold a slot, for hours.
    pub fn mark_reset(&mut self, id: ClientId) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.read_state == ReadState::RateLimited
        {
            connection.close_now(CloseReason::ConnectionLost(ErrorKind::ConnectionReset));
            self.closed.push(id);
        }
    }

    /// Reads clients that have input, each once, as far as the room permits and the turn's budget lasts.
    pub fn read(&mut self, now: Moment) {
        let mut turn = self.start_read();
        while self.read_next(&mut turn, now).is_some() {}
    }

    /// Starts the read step: clients that are queued later are read in the next turn.
    pub fn start_read(&self) -> ReadTurn {
        let ReadQueue { interactive, bulk } = &self.queue;
        ReadTurn { interactive: interactive.len(), bulk: bulk.len(), budget: TURN_BUDGET }
    }

    /// Reads the next client of a turn, an interactive one first; returns it, or `None` if the turn is over.
    pub fn read_next(&mut self, turn: &mut ReadTurn, now: Moment) -> Option<ClientId> {
        if turn.budget == 0 {
            return None;
        }
        let ReadQueue { interactive, bulk } = &mut self.queue;
        let (left, queue) =
            if turn.interactive > 0 { (&mut turn.interactive, interactive) } else { (&mut turn.bulk, bulk) };
        *left = left.checked_sub(1)?;
        let id = queue.pop_front()?;
        turn.budget = turn.budget.saturating_sub(self.read_client(id, now));
        Some(id)
    }

    /// Reads one client, and handles what it sent; returns the work in units of [`TURN_BUDGET`].
    fn read_client(&mut self, id: ClientId, now: Moment) -> usize {
        let Some(connection) = self.slots.get_mut(id) else { return 0 };
        connection.read_state = ReadState::Idle;
        if !connection.has_input() {
            return 0;
        }
        let budget = match connection.read_permit(&self.room, now) {
            ReadPermit::Now(budget) => budget,
            // The write step queues it again.
            ReadPermit::AfterWrite => return 0,
            ReadPermit::AfterSpace => {
                self.block(id, now);
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

    /// Makes a client wait for space in the feeds.
    fn block(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id) {
            connection.read_state = ReadState::Blocked;
            self.room.admission().pause(&mut connection.rate, now);
            self.blocked.push(id);
        }
    }

    /// Handles input of one client within the budget: unparsed input, or else one read.
    fn read_within(&mut self, id: ClientId, budget: ReadBudget, now: Moment) -> usize {
        let Some(connection) = self.slots.get_mut(id) else { return 0 };
        if let Some(mut unparsed) = connection.take_unparsed() {
            let before = unparsed.bytes().len();
            let handled = self.handle_input(id, unparsed.bytes(), budget, now);
            unparsed.consume(handled.input);
            self.unparsed -= before - unparsed.bytes().len();
            if let Some(connection) = self.slots.get_mut(id) {
                connection.put_back_unparsed(unparsed);
            }
            if handled.input == 0 {
                // Its next line finds no space.
                self.block(id, now);
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
            Input::End => self.handle_end(id, now),
            Input::Nothing => {}
        }
        self.buffer = buffer;
        work
    }

    /// How many bytes to read at most, so that they are likely to find space, and a line that is held already
    /// is sure to.
    fn read_size(&self, id: ClientId, budget: ReadBudget) -> usize {
        let Some(connection) = self.slots.get(id).filter(|connection| connection.is_active()) else {
            return READ_SIZE;
        };
        let admission = self.room.admission();
        let may_leave_input = admission.may_leave_input() || connection.view().has_names();
        let most = if may_leave_input && self.unparsed > MAX_UNPARSED { SMALL_READ_SIZE } else { READ_SIZE };
        let longest = admission.cost().longest(budget.space).unwrap_or(0);
        longest.saturating_sub(connection.decoder.held()).clamp(1, most)
    }

    /// Decodes input and handles its lines, as far as the budget allows and the client takes its replies.
    fn handle_input(&mut self, id: ClientId, input: &[u8], mut budget: ReadBudget, now: Moment) -> Handled {
        let mut handled = Handled::default();
        let mut rest = input;
        let mut scratch = Buffer::default();
        let rules = *self.room.rules();
        let cost = self.room.admission().cost();
        let held = self.slots.get(id).map_or(0, |connection| connection.decoder.held());
        while budget.lines > 0
            && let Some(longest) = cost.longest(budget.space)
        {
            let Some(connection) = self.slots.get_mut(id) else { break };
            if !connection.is_active() {
                // What follows the last line of a client that leaves, or of another protocol, is no chat.
                rest = &[];
                break;
            }
            if connection.is_outbox_full() {
                break;
            }
            let next = connection.decoder.next_within(&rules, longest, &mut rest, &mut scratch);
            let Ok(Some(decoded)) = next else { break };
            match decoded {
                Decoded::Line(line) => {
                    let space = self.handle_line(id, line, &mut handled.work);
                    budget.space = budget.space.saturating_sub(space);
                    budget.lines -= 1;
                    handled.space += space;
                    handled.lines += 1;
                }
                Decoded::TooLong => {
                    self.refuse_too_long(id);
                    budget.lines -= 1;
                    handled.lines += 1;
                }
                Decoded::TelnetReply(reply) => connection.queue_text(&reply),
                Decoded::OtherProtocol(protocol) => {
                    let error = self.room.error(connection.view(), protocol.refusal());
                    let feed = self.room.feed(connection.view());
                    connection.refuse(&error, CloseReason::OtherProtocol(protocol), feed);
                }
            }
        }
        handled.input = input.len() - rest.len();
        handled.work += handled.input + handled.lines * LINE_COST;
        if let Some(connection) = self.slots.get_mut(id) {
            // Bytes of an unfinished line are counted when it is complete, as what it takes then.
            let new_held = connection.decoder.held().saturating_sub(held);
            let bytes = handled.space.max(handled.input.saturating_sub(new_held));
            self.room.admission().record_sent(&mut connection.rate, handled.lines, bytes, now);
        }
        handled
    }

    /// Does what a line asks for; returns the bytes that it took in the most expensive view.
    fn handle_line(&mut self, id: ClientId, line: &[u8], work: &mut usize) -> usize {
        let Some(connection) = self.slots.get_mut(id) else { return 0 };
        if log_enabled!(log::Level::Debug) {
            log_line(connection, line);
        }
        let sender = connection.sender(id);
        match self.room.handle_line(sender, &mut connection.cursor, line) {
            Ok((Reply::None, space)) => space,
            Ok((reply, space)) => {
                *work += COMMAND_COST;
                match reply {
                    Reply::None => {}
                    Reply::Lines(lines) => connection.queue_text(&lines),
                    Reply::Private(message) => self.deliver_private(&message),
                    Reply::Quit => {
                        connection.begin_close(CloseReason::ClosedByPeer, self.room.feed(sender.view));
                        self.leave_if_closing(id);
                    }
                }
                space
            }
            Err(_) => {
                error!(
                    "{}: a line of {} bytes found no space in the feed and was lost",
                    connection.peer(),
                    line.len()
                );
                0
            }
        }
    }

    fn refuse_too_long(&mut self, id: ClientId) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        debug!("{}: line too long", connection.peer());
        let wants_error = !connection.is_outbox_full();
        if let Some(error) = self.room.refuse_too_long(connection.view(), wants_error) {
            connection.queue_text(&error);
        }
    }

    /// Handles the end of input: after an orderly end an unfinished line is a message.
    fn handle_end(&mut self, id: ClientId, now: Moment) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        let rules = *self.room.rules();
        let mut scratch = Buffer::default();
        if connection.has_ended_cleanly()
            && let Some(decoded) = connection.decoder.finish(&rules, &mut scratch)
        {
            self.handle_unfinished(id, decoded, now);
        }
        if let Some(connection) = self.slots.get_mut(id) {
            let feed = self.room.feed(connection.view());
            connection.end_input(feed);
        }
    }

    fn handle_unfinished(&mut self, id: ClientId, decoded: Decoded<'_>, now: Moment) {
        match decoded {
            Decoded::Line(line) => {
                let space = self.handle_line(id, line, &mut 0);
                if let Some(connection) = self.slots.get_mut(id) {
                    self.room.admission().record_sent(&mut connection.rate, 1, space, now);
                }
            }
            Decoded::TooLong => self.refuse_too_long(id),
            Decoded::OtherProtocol(protocol) => {
                if let Some(connection) = self.slots.get_mut(id) {
                    let error = self.room.error(connection.view(), protocol.refusal());
                    let feed = self.room.feed(connection.view());
                    connection.refuse(&error, CloseReason::OtherProtocol(protocol), feed);
                }
            }
            Decoded::TelnetReply(_) => {}
        }
    }

    /// After a read: queues the client again, has its output written, and sets its timers.
    fn after_read(&mut self, id: ClientId, now: Moment) {
        self.leave_if_closing(id);
        let Some(connection) = self.slots.get_mut(id) else { return };
        if connection.has_input() && connection.read_state == ReadState::Idle {
            self.queue.push(id, connection, &self.room, now);
        }
        let feed = self.room.feed(connection.view());
        if connection.has_pending_output(feed) || !connection.is_active() {
            self.due.push(id);
        }
        let Some(flush_after) = self.limits.flush_after else { return };
        if connection.is_open() && connection.decoder.is_mid_line() {
            self.timers.set((id, ClientTimer::Flush), now.after(flush_after));
        } else {
            self.timers.cancel((id, ClientTimer::Flush));
        }
    }

    /// A client that begins to close leaves the room now, even if its last output takes longer to write.
    fn leave_if_closing(&mut self, id: ClientId) {
        if self.slots.get(id).is_some_and(Connection::is_closing) {
            self.room.leave(id);
        }
    }

    /// Announces a client's join to the others.
    pub(super) fn announce_join(&mut self, id: ClientId) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.is_open()
        {
            let client = connection.sender(id);
            self.room.announce(client, &mut connection.cursor);
        }
    }

    /// A client's pause for its rate limit is over.
    pub(super) fn resume_rate_limited(&mut self, id: ClientId, now: Moment) {
        if let Some(connection) = self.slots.get_mut(id)
            && connection.read_state == ReadState::RateLimited
        {
            self.queue.push(id, connection, &self.room, now);
        }
    }

    /// Disconnects a client that has sent nothing for the idle timeout.
    pub(super) fn check_idle(&mut self, id: ClientId, now: Moment) {
        let Some(idle_timeout) = self.limits.idle_timeout else { return };
        let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_open()) else {
            return;
        };
        // A client with unread input is not idle, unless it is not read because it does not take its replies.
        let permit = connection.read_permit(&self.room, now);
        let is_waiting = connection.has_input() && permit != ReadPermit::AfterWrite;
        let idle_time = if is_waiting { Duration::ZERO } else { connection.rate.idle_time(now) };
        let left = idle_timeout.saturating_sub(idle_time);
        if !left.is_zero() {
            return self.timers.set((id, ClientTimer::Idle), now.after(left));
        }
        let text = format!("disconnected: nothing sent for {} s", idle_timeout.as_secs_f64());
        let error = self.room.error(connection.view(), &text);
        let feed = self.room.feed(connection.view());
        connection.refuse(&error, CloseReason::IdleTimeout, feed);
        self.timers.cancel((id, ClientTimer::Flush));
        self.due.push(id);
        self.leave_if_closing(id);
    }

    /// Sends a client's unfinished line as a message, after `--flush-after` without input.
    pub(super) fn flush(&mut self, id: ClientId, now: Moment) {
        let Some(flush_after) = self.limits.flush_after else { return };
        let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_open()) else {
            return;
        };
        if connection.has_input() {
            // Not silent: its read sets another deadline.
            return;
        }
        if !self.room.has_space_for(connection.decoder.held()) {
            return self.timers.set((id, ClientTimer::Flush), now.after(flush_after));
        }
        let rules = *self.room.rules();
        let mut scratch = Buffer::default();
        if let Some(decoded) = connection.decoder.flush(&rules, &mut scratch) {
            self.handle_unfinished(id, decoded, now);
        }
        self.due.push(id);
        self.leave_if_closing(id);
    }
}

impl<S: Transport> Connection<S> {
    /// Whether the client may be read now, and how much of its input may be handled.
    fn read_permit(&self, room: &Room, now: Moment) -> ReadPermit {
        if self.is_draining() {
            return ReadPermit::Now(ReadBudget::UNLIMITED);
        }
        if !self.is_active()
            || self.is_open() && (self.is_outbox_full() || !self.cursor().has_skip_capacity())
        {
            return ReadPermit::AfterWrite;
        }
        room.read_permit(&self.rate, self.decoder.held(), now)
    }
}

fn log_line<S: Transport>(connection: &Connection<S>, line: &[u8]) {
    match Command::parse(line) {
        Command::Private { .. } if connection.view().has_names() => {
            debug!("{}: a private message", connection.peer());
        }
        _ => debug!("{}: {}", connection.peer(), String::from_utf8_lossy(&escape::escape(line))),
    }
}

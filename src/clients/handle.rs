//! Handles the input of one client: decodes it, and does what each line asks for.

use super::Clients;
use super::close_reason::CloseReason;
use super::connection::Connection;
use super::refusal::Refusal;
use crate::broadcast::admission::ReadBudget;
use crate::chat::command::Command;
use crate::chat::room::Reply;
use crate::chat::text::YOU_ARE_MUTED;
use crate::net::transport::Transport;
use crate::util::buffer::Buffer;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::escape;
use crate::wire::line_decoder::{Decoded, LineOverLimit};
use crate::wire::other_protocol::OtherProtocol;
use log::{debug, error, log_enabled};

/// What a line costs in addition to its bytes, in bytes of input.
const LINE_COST: usize = 32;
/// What a command costs in addition, in bytes of input: rendering its reply and its notices takes 1 to 2 µs.
const COMMAND_COST: usize = 512;

/// The error after a pause (`--flush-after`) within a line that is or may be private.
const REST_NOT_SENT: &str =
    "the rest of a line that may be private was not sent; only a line end ends such a line";

/// How much of one client's input was handled.
#[derive(Debug, Default)]
pub(super) struct Handled {
    /// Bytes of input.
    pub(super) input: usize,
    /// Lines, including those that were refused as too long.
    lines: usize,
    /// Bytes that its lines took in the most expensive view.
    space: usize,
    /// Work, in the unit of the budget of a turn: bytes of input.
    pub(super) work: usize,
    /// The length of the next line, if there was no space for it.
    pub(super) no_space_for: Option<usize>,
}

impl Handled {
    /// Whether nothing was handled.
    pub(super) const fn is_nothing(&self) -> bool {
        self.input == 0 && self.lines == 0
    }
}

impl<S: Transport> Clients<S> {
    /// Decodes input and handles its lines, until the budget is used up or the client's outbox is full.
    pub(super) fn handle_input(
        &mut self,
        id: ClientId,
        input: &[u8],
        budget: ReadBudget,
        now: Moment,
    ) -> Handled {
        let mut handled = Handled::default();
        let mut rest = input;
        let mut scratch = Buffer::default();
        let rules = *self.room.rules();
        let cost = self.room.admission().cost();
        let held = self.slots.get(id).map_or(0, |connection| connection.decoder.held());
        while handled.lines < budget.lines
            && let Some(longest) = cost.longest(budget.space.saturating_sub(handled.space))
        {
            let Some(connection) = self.slots.get_mut(id) else { break };
            if !connection.is_active() {
                // The client has left, or speaks another protocol: the rest of its input is dropped.
                rest = &[];
                break;
            }
            if connection.is_outbox_full() {
                break;
            }
            match connection.decoder.next_within(&rules, longest, &mut rest, &mut scratch) {
                Ok(Some(decoded)) => self.handle_decoded(id, decoded, &mut handled),
                Ok(None) => break,
                Err(LineOverLimit { len }) => {
                    handled.no_space_for = Some(len);
                    break;
                }
            }
        }
        handled.input = input.len() - rest.len();
        handled.work += handled.input + handled.lines * LINE_COST;
        if let Some(connection) = self.slots.get(id) {
            // An unfinished line is counted when it is complete.
            let new_held = connection.decoder.held().saturating_sub(held);
            let bytes = handled.space.max(handled.input.saturating_sub(new_held));
            self.record_sent(id, handled.lines, bytes, now);
        }
        handled
    }

    /// Handles one decoded item, and counts its line, space and work in `handled`.
    fn handle_decoded(&mut self, id: ClientId, decoded: Decoded<'_>, handled: &mut Handled) {
        match decoded {
            Decoded::Line(line) => {
                handled.space += self.handle_line(id, line, &mut handled.work);
                handled.lines += 1;
            }
            Decoded::TooLong => {
                self.refuse_too_long(id);
                handled.lines += 1;
            }
            Decoded::Discarded => self.report_discarded(id),
            Decoded::TelnetReply(reply) => {
                if let Some(connection) = self.slots.get_mut(id) {
                    connection.queue_text(&reply);
                }
            }
            Decoded::OtherProtocol(protocol) => self.refuse_protocol(id, protocol),
        }
    }

    /// Refuses a client of another protocol, with a reason that its user sees.
    #[cold]
    fn refuse_protocol(&mut self, id: ClientId, protocol: OtherProtocol) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        let view = connection.view();
        if protocol == OtherProtocol::Http {
            // An HTTP client reads a response only if nothing comes before it.
            connection.drop_held_greeting();
        }
        let refusal = Refusal::of_protocol(protocol);
        let answer = self.render_refusal(view, &refusal);
        if let Some(connection) = self.slots.get_mut(id) {
            connection.refuse(&answer, refusal.reason, self.room.feed(view));
        }
    }

    /// Does what a line asks for; returns the bytes that it took in the most expensive view.
    fn handle_line(&mut self, id: ClientId, line: &[u8], work: &mut usize) -> usize {
        let Some(connection) = self.slots.get_mut(id) else { return 0 };
        if log_enabled!(log::Level::Debug) {
            log_line(connection, line);
        }
        let sender = connection.sender(id);
        if connection.is_muted && (!sender.view.has_names() || Command::parse(line).reaches_others()) {
            *work += COMMAND_COST;
            connection.queue_text(&self.room.error(sender.view, YOU_ARE_MUTED));
            return 0;
        }
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

    fn report_discarded(&mut self, id: ClientId) {
        let Some(connection) = self.slots.get_mut(id) else { return };
        debug!("{}: the rest of a line that may be private was not sent", connection.peer());
        if !connection.is_outbox_full() {
            connection.queue_text(&self.room.error(connection.view(), REST_NOT_SENT));
        }
    }

    /// Handles the end of input: after an orderly end an unfinished line is a message.
    pub(super) fn handle_end(&mut self, id: ClientId, is_cut: bool, now: Moment) {
        self.decide_opening(id, now);
        let rules = *self.room.rules();
        let Some(connection) = self.slots.get_mut(id) else { return };
        if connection.has_held_lines() {
            // Like all lines, they may have to wait for space.
            return connection.read_end_again();
        }
        let mut scratch = Buffer::default();
        if !is_cut
            && connection.has_ended_cleanly()
            && let Some(decoded) = connection.decoder.finish(&rules, &mut scratch)
        {
            self.handle_unfinished(id, decoded, now);
        }
        if let Some(connection) = self.slots.get_mut(id) {
            let feed = self.room.feed(connection.view());
            connection.end_input(is_cut, feed);
        }
    }

    /// Decides about a client's first bytes, because nothing follows them: they are the opening of another protocol, or
    /// lines that are to be handled.
    #[cold]
    pub(super) fn decide_opening(&mut self, id: ClientId, now: Moment) {
        let rules = *self.room.rules();
        if let Some(connection) = self.slots.get_mut(id).filter(|connection| connection.is_active())
            && let Some(decoded) = connection.decoder.decide_opening(&rules)
        {
            self.handle_unfinished(id, decoded, now);
        }
    }

    /// Handles what the decoder makes of an unfinished line.
    pub(super) fn handle_unfinished(&mut self, id: ClientId, decoded: Decoded<'_>, now: Moment) {
        let mut handled = Handled::default();
        self.handle_decoded(id, decoded, &mut handled);
        self.record_sent(id, handled.lines, handled.space, now);
    }
}

fn log_line<S: Transport>(connection: &Connection<S>, line: &[u8]) {
    let has_commands = connection.view().has_names();
    match Command::parse(line) {
        Command::Private { .. } if has_commands => debug!("{}: a private message", connection.peer()),
        // The text may be meant for one client alone.
        Command::Unknown(_) if has_commands => debug!("{}: an unknown command", connection.peer()),
        _ => debug!("{}: {}", connection.peer(), String::from_utf8_lossy(&escape::escape(line))),
    }
}

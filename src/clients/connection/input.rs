//! What one client says: reading, and what the framing makes of it.

use super::{Connection, Phase, State};
use crate::broadcast::feed::FeedFull;
use crate::chat::command::Command;
use crate::chat::room::{Reply, Room};
use crate::clients::close_reason::CloseReason;
use crate::net::transport::{Transport, retry};
use crate::util::buffer::Buffer;
use crate::util::clock::Moment;
use crate::util::id_slab::ClientId;
use crate::wire::escape;
use crate::wire::line_decoder::Decoded;
use log::{debug, error, log_enabled};
use memchr::memchr2_iter;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Reads of one who is closed at once: what it said before it was told to leave is less than that.
const MOST_DRAINS: usize = 8;

/// Whether a sender may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPermit {
    /// Now, and at most so much of it.
    Now(Most),
    /// Once it was told what it is owed.
    AfterWrite,
    /// Once there is room in the feed.
    AfterSpace,
    /// Then, for it said its lines faster than one may.
    At(Moment),
}

/// How much may be read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// Bytes, at least 1.
    pub bytes: usize,
    /// Lines that end in them, at least 1.
    pub lines: usize,
}

impl Most {
    const ALL: Self = Self { bytes: usize::MAX, lines: usize::MAX };
}

impl<S: Transport> Connection<S> {
    /// Whether it may be read now, and how much.
    pub fn may_read(&self, room: &Room, now: Moment) -> ReadPermit {
        match self.state {
            State::Open if self.is_outbox_full() || !self.cursor.has_skip_capacity() => {
                ReadPermit::AfterWrite
            }
            State::Open | State::WriteFailed { .. } => self.may_say(room, now),
            State::Draining { .. } => ReadPermit::Now(Most::ALL),
            State::Closing { .. } | State::Closed { .. } => ReadPermit::AfterWrite,
        }
    }

    fn may_say(&self, room: &Room, now: Moment) -> ReadPermit {
        let mut lines = usize::MAX;
        if let Some(rate) = room.rate() {
            lines = self.pace.lines_left(rate, now);
            if lines == 0 {
                return ReadPermit::At(self.pace.may_go_on_at(rate, now));
            }
        }
        let space = room.may_read(&self.pace, self.decoder.held(), now);
        if space.is_some() {
            ReadPermit::Now(Most { bytes: space.bytes, lines: space.lines.min(lines) })
        } else {
            ReadPermit::AfterSpace
        }
    }

    /// How long it has said nothing.
    pub fn silence(&self, now: Moment) -> Duration {
        self.pace.silence(now)
    }

    /// Reads once into `buffer`, at most `lines` lines, of the one with that key; passes on what was said,
    /// and notes the end of the input; returns the bytes read, or `None` where there is nothing until the
    /// socket is reported readable, or for good.
    pub fn hear(
        &mut self,
        key: ClientId,
        buffer: &mut [u8],
        lines: usize,
        room: &mut Room,
        now: Moment,
    ) -> Option<usize> {
        let given = buffer.len();
        let asks = self.view.has_names() && self.phase() == Phase::Open;
        let heard = match self.end_of_lines(buffer, lines, asks, room.rules().raw) {
            Ok(0) => Ok(0),
            Ok(most) if asks => {
                // Heard before it is read, for who is not given its answers is heard no further.
                let taken = self.decode(key, &buffer[..most], room);
                self.record_sent(taken, given, room, now);
                if taken == 0 {
                    // A read of nothing would look like the end.
                    return Some(0);
                }
                retry(|| self.socket.read(&mut buffer[..taken]))
            }
            Ok(most) => retry(|| self.socket.read(&mut buffer[..most])),
            Err(error) => Err(error),
        };
        match heard {
            Ok(0) => {
                self.readable = false;
                self.input_ended(key, room);
                None
            }
            Ok(bytes) => {
                if !asks && self.phase() != Phase::Draining {
                    self.record_sent(bytes, given, room, now);
                    self.decode(key, &buffer[..bytes], room);
                }
                Some(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                if let State::WriteFailed { broken } = self.state {
                    // All that it said before was read, and it can be told nothing.
                    self.over(CloseReason::ConnectionLost(broken));
                }
                None
            }
            Err(error) => {
                self.readable = false;
                self.broke(&error);
                None
            }
        }
    }

    /// Books what was said, of so many bytes that could have been.
    fn record_sent(&mut self, bytes: usize, given: usize, room: &Room, now: Moment) {
        // Who fills what it was given has more to say: that is no person typing.
        let said = if bytes == given { bytes.max(room.quiet()) } else { bytes };
        self.pace.note(said, room.quiet(), now);
    }

    /// How many bytes of `buffer` can be filled with no more than so many lines of what has arrived, 0 at the
    /// end of the input: the others stay with the system, which holds back who sends them.
    ///
    /// An error is told once, here or by the read.
    fn end_of_lines(
        &mut self,
        buffer: &mut [u8],
        lines: usize,
        is_looked_at: bool,
        raw: bool,
    ) -> io::Result<usize> {
        if lines >= buffer.len() && !is_looked_at {
            return Ok(buffer.len());
        }
        let bytes = retry(|| self.socket.peek(buffer))?;
        let arrived = &buffer[..bytes];
        let after_cr = self.decoder.is_after_cr();
        let is_end = |&at: &usize| {
            let is_preceded_by_cr = at.checked_sub(1).map_or(after_cr, |before| arrived[before] == b'\r');
            arrived[at] == b'\n' || is_preceded_by_cr && !raw
        };
        let mut ends = memchr2_iter(b'\n', 0, arrived).filter(is_end);
        Ok(ends.nth(lines.saturating_sub(1)).map_or(bytes, |end| end + 1))
    }

    /// Reads and drops what has arrived, within bounds, so that no reset destroys what it was told; returns
    /// the bytes read.
    pub fn drain(&mut self, buffer: &mut [u8]) -> usize {
        let reads = (0..MOST_DRAINS).map_while(|_| retry(|| self.socket.read(buffer)).ok());
        reads.take_while(|&bytes| bytes > 0).sum()
    }

    /// Takes what was said, up to what its answers leave room for or the first of it that is for one alone;
    /// returns how many bytes that were.
    fn decode(&mut self, key: ClientId, said: &[u8], room: &mut Room) -> usize {
        let rules = *room.rules();
        let mut input = said;
        let mut line = Buffer::default();
        while let Some(event) = self.decoder.next(&rules, &mut input, &mut line) {
            self.dispatch(key, event, room);
            if self.phase() != Phase::Open {
                // A stranger, or one who took leave: what follows is no chat.
                return said.len();
            }
            if room.has_private() || self.view.has_names() && self.is_outbox_full() {
                break;
            }
        }
        said.len() - input.len()
    }

    /// Takes the unfinished line as a message.
    pub fn flush(&mut self, key: ClientId, room: &mut Room) {
        let rules = *room.rules();
        let mut line = Buffer::default();
        if let Some(event) = self.decoder.flush(&rules, &mut line) {
            self.dispatch(key, event, room);
        }
    }

    fn input_ended(&mut self, key: ClientId, room: &mut Room) {
        // A broken pipe, unlike a reset, is what the system calls a peer that first ended its input.
        let ended_cleanly = match self.state {
            State::Open => true,
            State::WriteFailed { broken } => broken == ErrorKind::BrokenPipe,
            _ => false,
        };
        let rules = *room.rules();
        let mut line = Buffer::default();
        if ended_cleanly && let Some(event) = self.decoder.finish(&rules, &mut line) {
            self.dispatch(key, event, room);
        }
        match self.state {
            State::Open => {
                room.feed(self.view).stop_at_head(&mut self.cursor);
                self.state = State::Closing { close_reason: CloseReason::ClosedByPeer, peer_ended: true };
            }
            State::Closing { close_reason, .. } => {
                self.state = State::Closing { close_reason, peer_ended: true }
            }
            State::WriteFailed { .. } if ended_cleanly => self.over(CloseReason::ClosedByPeer),
            State::WriteFailed { broken } => self.over(CloseReason::ConnectionLost(broken)),
            State::Draining { close_reason } => self.over(close_reason),
            State::Closed { .. } => {}
        }
    }

    fn dispatch(&mut self, key: ClientId, event: Decoded<'_>, room: &mut Room) {
        if matches!(event, Decoded::Line(_) | Decoded::TooLong)
            && let Some(rate) = room.rate()
        {
            self.pace.note_line(rate);
        }
        match event {
            Decoded::Line(text) => self.say(key, text, room),
            Decoded::TelnetReply(bytes) => self.tell(&bytes),
            Decoded::TooLong => {
                debug!("{}: a line was too long", self.peer);
                let told = room.count_too_long();
                // Who sends many such lines and reads none of this is told of some.
                if !self.is_outbox_full() {
                    self.tell(&room.error(self.view, &told));
                }
            }
            Decoded::OtherProtocol(stranger) => {
                self.refuse(stranger.refusal(), CloseReason::OtherProtocol(stranger), room);
            }
        }
    }

    /// Tells it why it cannot stay; then the connection ends.
    pub fn refuse(&mut self, told: &str, close_reason: CloseReason, room: &Room) {
        if !self.can_write() {
            return self.over(close_reason);
        }
        self.tell(&room.error(self.view, told));
        room.feed(self.view).stop_at_line_end(&mut self.cursor);
        self.state = State::Closing { close_reason, peer_ended: false };
    }

    /// Passes a line on, logs it where asked to, and takes what the room answers.
    fn say(&mut self, key: ClientId, text: &[u8], room: &mut Room) {
        if log_enabled!(log::Level::Debug) {
            match Command::read(text) {
                Command::Private { .. } if self.view.has_names() => {
                    debug!("{}: something for one alone", self.peer);
                }
                _ => debug!("{}: {}", self.peer, String::from_utf8_lossy(&escape::escape(text))),
            }
        }
        match room.hear(self.speaker(key), &mut self.cursor, text) {
            Ok(Reply::None) => {}
            Ok(Reply::Lines(lines)) => self.tell(&lines),
            Ok(Reply::Quit) => self.end(CloseReason::ClosedByPeer, room),
            Err(FeedFull) => {
                error!(
                    "{}: a line of {} bytes found no room in the feed and was lost",
                    self.peer,
                    text.len()
                );
            }
        }
    }
}

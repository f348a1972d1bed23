//! What one client says: reading, and what the framing makes of it.

use super::{Connection, Phase, State};
use crate::clock::Moment;
use crate::feed::Cursor;
use crate::framing::{Event, text};
use crate::goodbye::Goodbye;
use crate::peer::Peer;
use crate::room::Room;
use crate::socket::{Socket, retry};
use log::{debug, error, log_enabled};
use std::io::ErrorKind;

impl<S: Socket> Connection<S> {
    /// How many bytes may be read now: 0 where the sender has to wait for room, `None` where nothing
    /// of it is to be read until it is told what it is owed.
    pub fn may_read(&self, room: &Room, now: Moment) -> Option<usize> {
        match self.state {
            State::Open if self.is_outbox_full() || !self.cursor.may_say_more() => None,
            State::Open | State::Deaf { .. } => Some(room.may_read(&self.pace, self.framer.held(), now)),
            State::Draining { .. } => Some(usize::MAX),
            State::Ending { .. } | State::Over { .. } => None,
        }
    }

    /// Reads once into `buffer`, passes on what was said, and notes the end of the input; returns the
    /// bytes read, or `None` where there is nothing until the socket is reported readable, or for good.
    pub fn hear(
        &mut self,
        buffer: &mut [u8],
        room: &mut Room,
        line: &mut Vec<u8>,
        now: Moment,
    ) -> Option<usize> {
        match retry(|| self.socket.read(buffer)) {
            Ok(0) => {
                self.readable = false;
                self.input_ended(room, line);
                None
            }
            Ok(bytes) => {
                if self.phase() != Phase::Draining {
                    // Who fills what it was given has more to say: that is no person typing.
                    let said = if bytes == buffer.len() { bytes.max(room.quiet()) } else { bytes };
                    self.pace.note(said, room.quiet(), now);
                    self.take_in(&buffer[..bytes], room, line);
                }
                Some(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                if let State::Deaf { broken } = self.state {
                    // All that it said before was read, and it can be told nothing.
                    self.over(Goodbye::Broken(broken));
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

    fn take_in(&mut self, mut input: &[u8], room: &mut Room, line: &mut Vec<u8>) {
        let rules = *room.rules();
        while let Some(event) = self.framer.next(&rules, &mut input, line) {
            self.act_on(event, room);
            if self.phase() != Phase::Staying {
                // A stranger: what follows is no chat.
                return;
            }
        }
    }

    /// Takes the unfinished line as a message.
    pub fn flush(&mut self, room: &mut Room, line: &mut Vec<u8>) {
        let rules = *room.rules();
        if let Some(event) = self.framer.flush(&rules, line) {
            self.act_on(event, room);
        }
    }

    fn input_ended(&mut self, room: &mut Room, line: &mut Vec<u8>) {
        // A broken pipe, unlike a reset, is what the system calls a peer that first ended its input.
        let ended_cleanly = match self.state {
            State::Open => true,
            State::Deaf { broken } => broken == ErrorKind::BrokenPipe,
            _ => false,
        };
        let rules = *room.rules();
        if ended_cleanly && let Some(event) = self.framer.finish(&rules, line) {
            self.act_on(event, room);
        }
        match self.state {
            State::Open => {
                room.feed().end_here(&mut self.cursor);
                self.state = State::Ending { goodbye: Goodbye::Left, peer_ended: true };
            }
            State::Ending { goodbye, .. } => self.state = State::Ending { goodbye, peer_ended: true },
            State::Deaf { .. } if ended_cleanly => self.over(Goodbye::Left),
            State::Deaf { broken } => self.over(Goodbye::Broken(broken)),
            State::Draining { goodbye } => self.over(goodbye),
            State::Over { .. } => {}
        }
    }

    fn act_on(&mut self, event: Event<'_>, room: &mut Room) {
        match event {
            Event::Line(text) => say(self.peer, &mut self.cursor, text, room),
            Event::Answer(bytes) => self.tell(&bytes),
            Event::TooLong => {
                debug!("{}: a line was too long", self.peer);
                let told = room.refuse_line();
                // Who sends many such lines and reads none of this is told of some.
                if !self.is_outbox_full() {
                    self.tell(&room.notice(&told));
                }
            }
            Event::Stranger(stranger) => {
                self.refuse(stranger.told(), Goodbye::Stranger(stranger), room);
            }
        }
    }

    /// Tells it why it cannot stay; then the connection ends.
    pub fn refuse(&mut self, told: &str, goodbye: Goodbye, room: &Room) {
        if !self.is_told() {
            return self.over(goodbye);
        }
        self.tell(&room.notice(told));
        room.feed().end_at_line(&mut self.cursor);
        self.state = State::Ending { goodbye, peer_ended: false };
    }
}

/// Passes a line on, and logs it where asked to.
fn say(peer: Peer, cursor: &mut Cursor, text: &[u8], room: &mut Room) {
    if log_enabled!(log::Level::Debug) {
        debug!("{peer}: {}", String::from_utf8_lossy(&text::safe(text)));
    }
    if room.say(cursor, text).is_err() {
        error!("{peer}: a line of {} bytes found no room in the feed and was lost", text.len());
    }
}

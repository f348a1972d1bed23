//! One client: its socket, its unfinished input, its place in the feed, and the text for it alone.

use crate::clock::Moment;
use crate::feed::{Cursor, Feed, Slices};
use crate::framing::{Event, Framer};
use crate::goodbye::Goodbye;
use crate::pace::Pace;
use crate::room::Room;
use crate::socket::Socket;
use log::{debug, error, log_enabled};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{Ipv6Addr, SocketAddr};

/// Text for one connection alone is not added, and its sender not read, beyond this many bytes. One
/// read more may add its telnet answers, no longer than what was read.
const OUTBOX_FULL: usize = 4096;
/// Tries of one interrupted call: a socket that is interrupted for ever is ended instead.
const MOST_TRIES: usize = 10_000;

/// An address and port of a peer, in less space than the standard one; IPv4 as its mapped IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for Peer {
    fn from(peer: SocketAddr) -> Self {
        let address = match peer.ip() {
            std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
            std::net::IpAddr::V6(address) => address,
        };
        Self { address: address.octets(), port: peer.port() }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(Ipv6Addr::from(self.address).to_canonical(), self.port).fmt(f)
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the room: heard and told.
    Open,
    /// Nothing new is owed; what is, is still written.
    Ending { goodbye: Goodbye, peer_ended: bool },
    /// Nothing can be written any more; what the peer said before is still read.
    Deaf { broken: ErrorKind },
    /// All is written and the peer told; its input is read and dropped so that no reset destroys
    /// what is on its way to it.
    Draining { goodbye: Goodbye },
    /// To be removed.
    Over { goodbye: Goodbye },
}

/// What a connection's end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is not ending.
    Staying,
    /// For what is owed to be written.
    Ending,
    /// For the peer's end of input.
    Draining,
    /// For nothing: it is to be removed.
    Over,
}

/// What one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// So many bytes, and perhaps there is more.
    Some(usize),
    /// Nothing until the socket is reported readable again.
    NotYet,
    /// Nothing, for good.
    Nothing,
}

/// A client of the room.
#[derive(Debug)]
pub struct Connection<S> {
    socket: S,
    cursor: Cursor,
    framer: Framer,
    /// Text for this client alone; boxed, for nearly nobody has any and everybody has the pointer.
    #[expect(clippy::box_collection, reason = "8 bytes an idle client instead of 24")]
    outbox: Option<Box<Vec<u8>>>,
    pace: Pace,
    peer: Peer,
    state: State,
    /// The system has not said since the last report that there is nothing to read.
    pub readable: bool,
    /// The system has not said since the last report that nothing can be written.
    pub writable: bool,
    /// Whether the server has it in line to be read, or waiting for room to be read.
    pub in_line: bool,
}

impl<S: Socket> Connection<S> {
    /// A newcomer, told the welcome.
    pub fn join(socket: S, peer: Peer, room: &Room) -> Self {
        Self::new(socket, peer, room, State::Open, &room.welcome())
    }

    /// A newcomer who cannot stay and is told why.
    pub fn turn_away(socket: S, peer: Peer, room: &Room, told: &str, goodbye: Goodbye) -> Self {
        let state = State::Ending { goodbye, peer_ended: false };
        let mut connection = Self::new(socket, peer, room, state, &room.notice(told));
        room.feed().end_here(&mut connection.cursor);
        connection
    }

    fn new(socket: S, peer: Peer, room: &Room, state: State, told: &[u8]) -> Self {
        let mut connection = Self {
            socket,
            cursor: room.feed().join(),
            framer: Framer::default(),
            outbox: None,
            pace: Pace::default(),
            peer,
            state,
            readable: false,
            // A new socket takes bytes at once.
            writable: true,
            in_line: false,
        };
        connection.tell(told);
        connection
    }

    /// The socket, to be watched.
    pub const fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The peer's address.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// The place in the feed.
    pub const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether it is in the room, heard and told.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    const fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// Whether it was admitted, rather than turned away at the door.
    pub const fn is_member(&self) -> bool {
        !matches!(
            self.state,
            State::Ending { goodbye: Goodbye::RoomFull, .. }
                | State::Draining { goodbye: Goodbye::RoomFull }
                | State::Over { goodbye: Goodbye::RoomFull }
        )
    }

    /// What its ending waits for next, where it is ending.
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Open | State::Deaf { .. } => Phase::Staying,
            State::Ending { .. } => Phase::Ending,
            State::Draining { .. } => Phase::Draining,
            State::Over { .. } => Phase::Over,
        }
    }

    /// Whether it lacks lines of the feed.
    pub fn is_behind(&mut self, feed: &Feed) -> bool {
        self.is_told() && feed.is_behind(&mut self.cursor)
    }

    /// Whether anything can still be written to it.
    const fn is_told(&self) -> bool {
        matches!(self.state, State::Open | State::Ending { .. })
    }

    /// Why it ended, once it is to be removed.
    pub const fn goodbye(&self) -> Option<Goodbye> {
        match self.state {
            State::Over { goodbye } => Some(goodbye),
            _ => None,
        }
    }

    /// Bytes of an unfinished line.
    pub fn unfinished(&self) -> usize {
        self.framer.held()
    }

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

    /// Reads once into `buffer`, passes on what was said, and notes the end of the input.
    pub fn hear(&mut self, buffer: &mut [u8], room: &mut Room, line: &mut Vec<u8>, now: Moment) -> Heard {
        match retry(|| self.socket.read(buffer)) {
            Ok(0) => {
                self.readable = false;
                self.input_ended(room, line);
                Heard::Nothing
            }
            Ok(bytes) => {
                if !self.is_draining() {
                    self.pace.note(bytes, room.quiet(), now);
                    self.take_in(&buffer[..bytes], room, line);
                }
                Heard::Some(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Heard::NotYet
            }
            Err(error) => {
                self.readable = false;
                match error.kind() {
                    ErrorKind::Interrupted => self.over(Goodbye::Runaway),
                    _ => self.broke(&error),
                }
                Heard::Nothing
            }
        }
    }

    fn take_in(&mut self, mut input: &[u8], room: &mut Room, line: &mut Vec<u8>) {
        let rules = *room.rules();
        while let Some(event) = self.framer.next(&rules, &mut input, line) {
            match event {
                Event::Line(text) => say(self.peer, &mut self.cursor, text, room),
                Event::Answer(bytes) => self.tell(&bytes),
                Event::TooLong => {
                    if !self.is_outbox_full() {
                        self.tell(&room.notice(&format!(
                            "that line was too long and nobody saw it: {} bytes is the most",
                            rules.max_line
                        )));
                    }
                }
                Event::Stranger(stranger) => {
                    return self.refuse(stranger.told(), Goodbye::Stranger(stranger), room);
                }
            }
        }
    }

    fn input_ended(&mut self, room: &mut Room, line: &mut Vec<u8>) {
        match self.state {
            State::Open => {
                let rules = *room.rules();
                match self.framer.finish(&rules, line) {
                    Some(Event::Line(text)) => say(self.peer, &mut self.cursor, text, room),
                    Some(Event::Stranger(stranger)) => {
                        self.refuse(stranger.told(), Goodbye::Stranger(stranger), room);
                    }
                    _ => {}
                }
                let goodbye = match self.state {
                    State::Ending { goodbye, .. } => goodbye,
                    _ => Goodbye::Left,
                };
                room.feed().end_here(&mut self.cursor);
                self.state = State::Ending { goodbye, peer_ended: true };
            }
            State::Ending { goodbye, .. } => self.state = State::Ending { goodbye, peer_ended: true },
            State::Deaf { broken } => self.over(Goodbye::Broken(broken)),
            State::Draining { goodbye } => self.over(goodbye),
            State::Over { .. } => {}
        }
    }

    /// Takes the unfinished line as a message.
    pub fn flush(&mut self, room: &mut Room, line: &mut Vec<u8>) {
        let rules = *room.rules();
        match self.framer.flush(&rules, line) {
            Some(Event::Line(text)) => say(self.peer, &mut self.cursor, text, room),
            Some(Event::Stranger(stranger)) => {
                self.refuse(stranger.told(), Goodbye::Stranger(stranger), room);
            }
            _ => {}
        }
    }

    fn is_outbox_full(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.len() > OUTBOX_FULL)
    }

    /// Adds text for this client alone, if it still hears any.
    fn tell(&mut self, text: &[u8]) {
        if self.is_told() && !text.is_empty() {
            self.outbox.get_or_insert_default().extend_from_slice(text);
        }
    }

    fn refuse(&mut self, told: &str, goodbye: Goodbye, room: &Room) {
        if !self.is_told() {
            return self.over(goodbye);
        }
        self.tell(&room.notice(told));
        room.feed().end_at_line(&mut self.cursor);
        self.state = State::Ending { goodbye, peer_ended: false };
    }

    /// Says goodbye on our side: what is owed until now is written, then the connection ends.
    pub fn end(&mut self, goodbye: Goodbye, room: &Room) {
        match self.state {
            State::Open => {
                room.feed().end_here(&mut self.cursor);
                self.state = State::Ending { goodbye, peer_ended: false };
            }
            State::Deaf { .. } => self.over(goodbye),
            State::Ending { .. } | State::Draining { .. } | State::Over { .. } => {}
        }
    }

    /// Ends it now: what is owed is not written.
    pub const fn over(&mut self, goodbye: Goodbye) {
        if !matches!(self.state, State::Over { .. }) {
            self.state = State::Over { goodbye };
        }
    }

    /// Ends it now, for what it was ending for.
    pub const fn give_up(&mut self) {
        match self.state {
            State::Ending { goodbye: Goodbye::Left, .. } => self.over(Goodbye::NotTaken),
            State::Ending { goodbye, .. } | State::Draining { goodbye } => self.over(goodbye),
            State::Deaf { broken } => self.over(Goodbye::Broken(broken)),
            State::Open | State::Over { .. } => {}
        }
    }

    /// Whether it lacks anything that can still be written.
    pub fn is_owed(&mut self, feed: &Feed) -> bool {
        self.is_told() && (self.outbox.is_some() || feed.is_behind(&mut self.cursor))
    }

    /// Writes once, all that it lacks; returns the bytes written.
    ///
    /// The text for it alone goes where its cursor stands at a line's end, before any more lines.
    pub fn write(&mut self, feed: &Feed) -> usize {
        let mut slices = Slices::default();
        let (rest, own) = match &self.outbox {
            None => {
                feed.owed(&self.cursor, &mut slices);
                (0, 0)
            }
            Some(outbox) => {
                feed.rest_of_line(&self.cursor, &mut slices);
                let rest = slices.len();
                slices.push(outbox);
                let mut after = self.cursor.clone();
                feed.advance(&mut after, rest);
                feed.owed(&after, &mut slices);
                (rest, outbox.len())
            }
        };
        if slices.is_empty() {
            return 0;
        }
        match retry(|| self.socket.write(slices.as_slices())) {
            Ok(bytes) => {
                let told = bytes.saturating_sub(rest).min(own);
                self.told(told);
                feed.advance(&mut self.cursor, bytes - told);
                bytes
            }
            Err(error) => {
                self.writable = false;
                match error.kind() {
                    ErrorKind::WouldBlock => {}
                    ErrorKind::Interrupted => self.over(Goodbye::Runaway),
                    _ => self.fell_deaf(&error),
                }
                0
            }
        }
    }

    /// The first `bytes` of the outbox were written.
    fn told(&mut self, bytes: usize) {
        self.outbox.take_if(|outbox| outbox.len() == bytes);
        if let Some(outbox) = &mut self.outbox {
            outbox.drain(..bytes);
        }
    }

    /// Takes the next step of an ending once nothing is owed; whether it drains from now on.
    pub fn settle(&mut self, feed: &Feed) -> bool {
        let State::Ending { goodbye, peer_ended } = self.state else { return false };
        if self.is_owed(feed) {
            return false;
        }
        self.socket.shutdown_write();
        if peer_ended {
            self.over(goodbye);
            return false;
        }
        self.state = State::Draining { goodbye };
        // What arrived before may be all that ever arrives.
        self.readable = true;
        true
    }

    /// A write failed: nobody hears, but what was said before is still to be read.
    fn fell_deaf(&mut self, error: &io::Error) {
        match self.state {
            State::Open => {
                self.outbox = None;
                self.state = State::Deaf { broken: error.kind() };
                self.readable = true;
            }
            _ => self.broke(error),
        }
    }

    fn broke(&mut self, error: &io::Error) {
        match self.state {
            State::Draining { goodbye } => self.over(goodbye),
            State::Ending { goodbye, .. } if goodbye != Goodbye::Left => self.over(goodbye),
            _ => self.over(Goodbye::Broken(error.kind())),
        }
    }
}

/// Passes a line on, and logs it where asked to.
fn say(peer: Peer, cursor: &mut Cursor, text: &[u8], room: &mut Room) {
    if log_enabled!(log::Level::Debug) {
        debug!("{peer}: {}", String::from_utf8_lossy(&crate::framing::text::safe(text)));
    }
    if room.say(cursor, text).is_err() {
        error!("{peer}: a line of {} bytes found no room in the feed and was lost", text.len());
    }
}

/// Makes a call again while it is interrupted, within bounds.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..MOST_TRIES {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_is_small() {
        // Its socket is a descriptor of 4 bytes; a debug build of mio keeps 8 more.
        assert!(size_of::<Connection<i32>>() <= 104, "{}", size_of::<Connection<i32>>());
    }

    #[test]
    fn a_peer_is_shown_as_its_address_and_ipv4_as_ipv4() {
        for (given, shown) in [
            ("127.0.0.1:9", "127.0.0.1:9"),
            ("[::ffff:10.0.0.7]:9", "10.0.0.7:9"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            let address = given.parse::<SocketAddr>().expect(given);
            assert_eq!(Peer::from(address).to_string(), shown);
        }
    }
}

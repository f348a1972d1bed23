//! What one client is told: the lines it lacks, and text for it alone.

use super::{Connection, State};
use crate::feed::Slices;
use crate::goodbye::Goodbye;
use crate::room::Room;
use crate::socket::{Socket, retry};
use std::io::{self, ErrorKind};

/// Text for one connection alone is not added, and its sender not read, beyond this many bytes. One
/// read more may add its telnet answers, no longer than what was read.
const OUTBOX_FULL: usize = 4096;

impl<S: Socket> Connection<S> {
    /// Whether it has so much text for it alone to take that no more is added but what it has to be told.
    pub fn is_outbox_full(&self) -> bool {
        self.untold() > OUTBOX_FULL
    }

    /// Bytes of text for this client alone that it was not told yet.
    pub fn untold(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Adds text for this client alone, if it still hears any.
    pub fn tell(&mut self, text: &[u8]) {
        if self.is_told() && !text.is_empty() {
            self.outbox.get_or_insert_default().extend_from_slice(text);
        }
    }

    /// Writes once, all that it lacks; returns the bytes written.
    ///
    /// The text for it alone goes where its cursor stands at a line's end, before any more lines.
    pub fn write(&mut self, room: &Room) -> usize {
        let feed = room.feed(self.view);
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
            Ok(0) => {
                // Neither taken nor refused: to try again would keep the loop busy for nothing.
                self.over(Goodbye::Runaway);
                0
            }
            Ok(bytes) => {
                let told = bytes.saturating_sub(rest).min(own);
                self.told(told);
                feed.advance(&mut self.cursor, bytes - told);
                bytes
            }
            Err(error) => {
                self.writable = false;
                if error.kind() != ErrorKind::WouldBlock {
                    self.fell_deaf(&error);
                }
                0
            }
        }
    }

    /// The first `bytes` of the outbox were written.
    fn told(&mut self, bytes: usize) {
        self.outbox.take_if(|outbox| outbox.len() == bytes);
        if let Some(outbox) = &mut self.outbox {
            outbox.drop_first(bytes);
        }
    }

    /// A write failed: nobody hears, but what was said before is still to be read.
    fn fell_deaf(&mut self, error: &io::Error) {
        match self.state {
            State::Open if error.kind() != ErrorKind::Interrupted => {
                self.outbox = None;
                self.state = State::Deaf { broken: error.kind() };
                self.readable = true;
            }
            _ => self.broke(error),
        }
    }
}

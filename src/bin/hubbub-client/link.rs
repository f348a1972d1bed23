//! The terminal's connection, on a thread of its own: the editing library waits for keys on the other.

use crate::connect::{Connected, Place};
use crate::goodbye::{self, Hurry};
use crate::hearing::{Hearing, TOO_LONG};
use crate::look::Look;
use crate::pause::Pause;
use crate::ready::{self, is_passing};
use crate::screen::Screen;
use crate::signals::Signals;
use crate::speech::Speech;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use hubbub::wire::escape;
use rustix::event::{PollFd, PollFlags};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes read at once, and shown at once: one drawing of the line for all that arrives together.
const READ: usize = 64 * 1024;
/// How often the editor is told that the connection is lost: it may just begin to wait for a key, and miss it.
const AGAIN: Duration = Duration::from_millis(20);

/// What the two threads tell each other.
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// A byte here wakes the connection's thread.
    waker: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    is_connected: bool,
    /// Lines typed that the connection's thread has not taken. It always takes them, so that with those that
    /// the server has not taken they are as many as somebody typed or pasted: there is no other cap.
    typed: Vec<u8>,
    is_leaving: bool,
    /// Why there is no connection, and will not be.
    lost: Option<String>,
}

impl Desk {
    pub(crate) fn new(waker: UnixStream, is_connected: bool) -> Self {
        Self { state: Mutex::new(State { is_connected, ..State::default() }), waker }
    }

    /// Says `line`, or as many as it is; false where there is no connection.
    pub(crate) fn say(&self, line: &str) -> bool {
        let mut state = self.state();
        if state.is_connected {
            state.typed.extend_from_slice(line.as_bytes());
            state.typed.push(b'\n');
            self.wake();
        }
        state.is_connected
    }

    /// Tells the connection's thread to leave.
    pub(crate) fn leave(&self) {
        self.state().is_leaving = true;
        self.wake();
    }

    /// Why there is no connection and will not be, where that is so.
    pub(crate) fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Where it is full, there are bytes enough.
        _ = (&self.waker).write(b"w");
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// As asked; why not all that was said may have arrived, where that is so.
    Left(Result<(), String>),
    Lost(String),
}

/// The connection's thread.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) place: Place,
    pub(crate) reconnect: bool,
    pub(crate) look: Look,
    pub(crate) desk: Arc<Desk>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) signals: Signals,
    pub(crate) wake: UnixStream,
    pub(crate) speech: Speech,
}

impl Link {
    /// Talks over `connected`, or says why it is none, and over those that come after it.
    ///
    /// # Errors
    /// One line that says why it did not end as asked.
    pub(crate) fn run(mut self, connected: Connected) -> Result<(), String> {
        let mut pause = Pause::new();
        let mut was_connected = connected.is_ok();
        let mut next = connected;
        loop {
            let since = Instant::now();
            let why = match next {
                Ok(stream) => match self.talk(stream) {
                    End::Left(how) => return how,
                    End::Lost(why) => why,
                },
                Err(why) => why,
            };
            if !self.reconnect || self.signals.came() {
                self.give_up(&why);
                return Err(why);
            }
            let pause = pause.next(since.elapsed());
            self.note(&format!("{why}; connecting again in {} s", pause.as_secs()));
            if self.rests_until(Instant::now() + pause) {
                return self.left_unconnected();
            }
            next = match self.connect() {
                Some(connected) => connected,
                None => return self.left_unconnected(),
            };
            if next.is_ok() {
                self.note(if was_connected { "connected again" } else { "connected" });
                was_connected = true;
            }
        }
    }

    fn talk(&mut self, mut stream: PlainStream) -> End {
        self.desk.state().is_connected = true;
        let mut hearing = Hearing::new(self.look, None);
        let mut is_deaf = false;
        let end = loop {
            let hears = !self.screen.is_full();
            let speaks = !is_deaf && self.speech.owed() > 0;
            if let Err(why) = self.wait(&stream, hears, speaks) {
                break why;
            }
            if self.is_to_leave() {
                if self.signals.came() {
                    return End::Lost(String::new());
                }
                let hurry = Hurry { wake: &self.wake, signals: &self.signals };
                return End::Left(goodbye::leave(
                    stream,
                    std::mem::take(&mut self.speech),
                    None,
                    Some(hurry),
                ));
            }
            // What the server said before it stopped listening is still to be read.
            is_deaf = is_deaf || self.speech.send(&mut stream).is_err();
            if !hears {
                continue;
            }
            let mut shown = Vec::new();
            let end = hear(&mut stream, &mut hearing, &mut shown);
            self.show(&shown);
            (0..hearing.too_long()).for_each(|_| self.note(TOO_LONG));
            if let Some(why) = end {
                break why;
            }
        };
        self.desk.state().is_connected = false;
        self.is_to_leave();
        self.speech.begin_line_again();
        End::Lost(end)
    }

    /// Waits until the server can be heard, where it `hears`, or spoken to, or the editor's thread wakes it.
    fn wait(&self, stream: &PlainStream, hears: bool, speaks: bool) -> Result<(), String> {
        let mut server = PollFlags::empty();
        server.set(PollFlags::IN, hears);
        server.set(PollFlags::OUT, speaks);
        let wake = PollFd::new(&self.wake, PollFlags::IN);
        // What nothing is wanted of would still report its end, again and again.
        if server.is_empty() {
            ready::wait(&mut [wake], None)?;
        } else {
            ready::wait(&mut [wake, PollFd::new(stream, server)], None)?;
        }
        Ok(())
    }

    /// Takes what the editor's thread left; whether that is the wish to leave.
    fn is_to_leave(&mut self) -> bool {
        while matches!(self.wake.read(&mut [0; 64]), Ok(1..)) {}
        let mut state = self.desk.state();
        self.speech.say(&std::mem::take(&mut state.typed));
        state.is_leaving || self.signals.came()
    }

    /// Waits; whether it is to leave instead.
    fn rests_until(&mut self, end: Instant) -> bool {
        while ready::wait(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(end)) == Ok(true) {
            if self.leaves_unconnected() {
                return true;
            }
        }
        false
    }

    /// Connects; none where it is to leave instead.
    fn connect(&mut self) -> Option<Connected> {
        let desk = Arc::clone(&self.desk);
        let connected = match self.place.start(None, move || desk.wake()) {
            Ok(connected) => connected,
            Err(why) => return Some(Err(why)),
        };
        loop {
            match connected.try_recv() {
                Err(TryRecvError::Empty) => {}
                outcome => return outcome.ok(),
            }
            if let Err(why) = ready::wait(&mut [PollFd::new(&self.wake, PollFlags::IN)], None) {
                return Some(Err(why));
            }
            if self.leaves_unconnected() {
                return None;
            }
        }
    }

    /// Whether it is to leave; a signal is passed on to the editor's thread.
    fn leaves_unconnected(&mut self) -> bool {
        let leaves = self.is_to_leave();
        if leaves && self.signals.came() {
            self.give_up("");
        }
        leaves
    }

    fn left_unconnected(&self) -> Result<(), String> {
        match self.speech.owed() {
            0 => Ok(()),
            _ => Err("left while not connected; what was said last may not have arrived".to_owned()),
        }
    }

    fn show(&self, lines: &[u8]) {
        if !lines.is_empty() {
            // All of it is UTF-8, for it was made safe.
            self.screen.show(&String::from_utf8_lossy(lines));
        }
    }

    /// Shows a line of our own.
    fn note(&self, what: &str) {
        let mut line = escape::escape(format!("hubbub-client: {what}").as_bytes()).into_owned();
        line.push(b'\n');
        self.show(&line);
    }

    /// Gets the editor's thread out of waiting for keys.
    fn give_up(&self, why: &str) {
        // It reads better above the line that is typed than below it.
        self.screen.settle();
        self.desk.state().lost = Some(why.to_owned());
        loop {
            self.signals.interrupt();
            if self.screen.closes_within(AGAIN) {
                return;
            }
        }
    }
}

/// Reads once; what ended the connection, if something did.
fn hear(stream: &mut PlainStream, hearing: &mut Hearing, shown: &mut Vec<u8>) -> Option<String> {
    let mut buffer = [0; READ];
    match stream.read(&mut buffer) {
        Ok(0) => {
            hearing.finish(shown);
            Some("connection lost: the server ended it".to_owned())
        }
        Ok(bytes) => {
            hearing.hear(&buffer[..bytes], shown);
            None
        }
        Err(error) if is_passing(&error) => None,
        Err(error) => Some(format!("connection lost: {}", os_error::text(&error))),
    }
}

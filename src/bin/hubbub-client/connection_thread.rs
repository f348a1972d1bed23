//! The connection of the interactive client. It has a thread of its own, because rustyline blocks the main
//! thread while it waits for keys.

use crate::NAME;
use crate::backoff::Backoff;
use crate::completion::Names;
use crate::connect::{ConnectError, Connected, QUIET_CONNECT, Target};
use crate::job::{Continued, Job};
use crate::leave::{self, AbortWatch, MAY_BE_LOST};
use crate::nick::{Nick, NickError};
use crate::password::{NO_PASSWORD, NOT_ASKED, wrong_password};
use crate::poll::{self, is_retryable};
use crate::receive::{EXPECTS_TLS, LineReceiver, TOO_LONG};
use crate::screen::Screen;
use crate::send::SendBuffer;
use crate::shared_state::SharedState;
use crate::signals::Signals;
use crate::style::Style;
use hubbub::cli::secret::Secret;
use hubbub::net::client_stream::ClientStream;
use hubbub::util::os_error;
use hubbub::wire::escape;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

/// Bytes per read: lines that arrive together need one drawing.
const READ_SIZE: usize = 64 * 1024;
/// Interval between interrupts of the editor. An interrupt just before the editor waits for a key has no effect,
/// so it is repeated.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(20);

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The client left; an error says why the last lines may not have arrived.
    Left(Result<(), String>),
    Lost(String),
    /// The connection is lost, and connecting again cannot help.
    Refused(&'static str),
}

/// How a pause between two attempts to connect ended.
#[derive(Debug)]
enum PauseEnd {
    Over,
    Enter,
    Leave,
}

/// The connection thread.
#[derive(Debug)]
pub(crate) struct ConnectionThread {
    pub(crate) target: Target,
    pub(crate) reconnect: bool,
    /// The password of the room, if it is known.
    pub(crate) password: Option<Secret>,
    /// Whether the password is that of `--password-file`.
    pub(crate) has_password_file: bool,
    /// What was read of the first connection already.
    pub(crate) received: Vec<u8>,
    /// The name to ask for on each connection.
    pub(crate) nick: Option<String>,
    /// Why the client did not get its name, as reported last.
    pub(crate) nick_error: Option<NickError>,
    pub(crate) style: Style,
    pub(crate) shared: Arc<SharedState>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) names: Arc<Names>,
    pub(crate) job: Arc<Job>,
    pub(crate) signals: Signals,
    pub(crate) wake: UnixStream,
    pub(crate) buffer: SendBuffer,
}

impl ConnectionThread {
    /// Serves the connection `connected` and, with `--reconnect`, those after it.
    ///
    /// # Errors
    /// One line that says why the connection is lost for good, or why the last lines may not have arrived.
    pub(crate) fn run(mut self, connected: Connected) -> Result<(), String> {
        let mut backoff = Backoff::new();
        let mut was_connected = connected.is_ok();
        let mut next = connected;
        loop {
            let since = Instant::now();
            let why = match next {
                Ok(stream) => match self.serve(stream) {
                    End::Left(result) => return result,
                    End::Lost(why) => why,
                    End::Refused(why) => {
                        self.reconnect = false;
                        why.to_owned()
                    }
                },
                Err(error) if self.reconnect => error.to_string(),
                Err(error) => error.with_advice(),
            };
            if !self.reconnect || self.signals.has_fatal() {
                self.stop_editor(&why);
                return Err(why);
            }
            let pause = backoff.next(since.elapsed());
            self.note(&format!("{why}; connecting again in {} s, or when you press Enter", pause.as_secs()));
            match self.pause(Instant::now() + pause) {
                PauseEnd::Over => {}
                PauseEnd::Enter => backoff = Backoff::new(),
                PauseEnd::Leave => return self.leave_unconnected(),
            }
            next = match self.connect() {
                Some(connected) => connected,
                None => return self.leave_unconnected(),
            };
            if next.is_ok() {
                self.note(if was_connected { "connected again" } else { "connected" });
                was_connected = true;
            }
        }
    }

    fn serve(&mut self, mut stream: ClientStream) -> End {
        self.shared.lock().is_connected = true;
        let nick = self.nick.as_deref().map(Nick::new);
        let mut receiver = LineReceiver::new(self.style, None, nick, self.password.clone());
        receiver = receiver.with_names(Arc::clone(&self.names));
        let mut has_write_failed = false;
        let mut output = Vec::new();
        receiver.receive(&std::mem::take(&mut self.received), &mut output);
        let why = loop {
            self.show(&std::mem::take(&mut output));
            self.check_password(&mut receiver);
            if receiver.password().is_missing() {
                return End::Refused(NO_PASSWORD);
            }
            self.check_nick(&mut receiver);
            let reads = !self.screen.is_full();
            let writes = !has_write_failed && has_output(&receiver, &self.buffer, &stream);
            if let Err(why) = self.wait(&stream, reads, writes, deadline(&receiver)) {
                break why;
            }
            if self.must_leave() {
                if self.signals.has_fatal() {
                    return End::Lost(String::new());
                }
                let abort = AbortWatch { wake: &self.wake, signals: &self.signals };
                let buffer = std::mem::take(&mut self.buffer);
                return End::Left(leave::leave(stream, buffer, None, Some(abort)));
            }
            // After a failed write the socket is still read: the server may have sent its reason before.
            has_write_failed = has_write_failed || self.send(&mut stream, &mut receiver).is_err();
            if !reads {
                continue;
            }
            let end = receive(&mut stream, &mut receiver, &mut output);
            (0..receiver.take_too_long()).for_each(|_| self.note(TOO_LONG));
            if let Some(why) = end {
                break why;
            }
        };
        self.show(&output);
        self.shared.lock().is_connected = false;
        self.take_typed();
        self.buffer.rewind_line();
        if receiver.password().is_wrong() {
            End::Refused(wrong_password(self.has_password_file))
        } else if receiver.expects_tls() {
            End::Refused(EXPECTS_TLS)
        } else {
            End::Lost(why)
        }
    }

    /// Sends what the connection takes: the password, the request for a name, and then the typed lines.
    fn send(&mut self, stream: &mut ClientStream, receiver: &mut LineReceiver) -> io::Result<()> {
        match stream.flush() {
            Err(error) if is_retryable(&error) => return Ok(()),
            flushed => flushed?,
        }
        receiver.password_mut().send(stream)?;
        if let Some(nick) = receiver.nick_mut() {
            nick.send(stream)?;
        }
        if awaits_admission(receiver) { Ok(()) } else { self.buffer.send(stream) }
    }

    /// Reports if the server does not ask for the password.
    fn check_password(&self, receiver: &mut LineReceiver) {
        receiver.password_mut().check_time();
        if receiver.password_mut().take_not_asked() {
            self.note(NOT_ASKED);
        }
    }

    /// Reports why the client does not get its name, once for each reason. The server itself has shown a refusal.
    fn check_nick(&mut self, receiver: &mut LineReceiver) {
        let Some(nick) = receiver.nick_mut() else { return };
        nick.check_time();
        let Some(error) = nick.error().cloned() else { return };
        if self.nick_error.as_ref() == Some(&error) {
            return;
        }
        match error {
            NickError::Refused(_) => self.nick = None,
            NickError::Taken(_) => {}
            NickError::NoNames | NickError::NoReply => self.note(&nick.message(&error)),
        }
        self.nick_error = Some(error);
    }

    /// Waits until the connection can be read or written, as asked, until the main thread or a signal wakes this
    /// thread, or until `deadline`.
    fn wait(
        &self,
        stream: &ClientStream,
        reads: bool,
        writes: bool,
        deadline: Option<Instant>,
    ) -> Result<(), String> {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, reads);
        interest.set(PollFlags::OUT, writes);
        let wake = PollFd::new(&self.wake, PollFlags::IN);
        // No event tells of bytes that TLS has decrypted.
        let deadline = if reads && stream.has_unread() { Some(Instant::now()) } else { deadline };
        // A closed connection is reported even without interest, and the loop would spin.
        if interest.is_empty() {
            poll::wait(&mut [wake], deadline)?;
        } else {
            poll::wait(&mut [wake, PollFd::new(stream, interest)], deadline)?;
        }
        Ok(())
    }

    /// Moves the typed lines to the send buffer.
    fn take_typed(&mut self) {
        self.buffer.push(&std::mem::take(&mut self.shared.lock().typed));
    }

    /// Takes the typed lines; returns whether the user leaves or a signal ends the client.
    fn must_leave(&mut self) -> bool {
        while matches!(self.wake.read(&mut [0; 64]), Ok(1..)) {}
        if self.signals.take_continued() {
            self.go_on_after_stop();
        }
        // Under one lock, so that a line typed just before the user leaves is not missed.
        let mut state = self.shared.lock();
        self.buffer.push(&std::mem::take(&mut state.typed));
        state.is_leaving || self.signals.has_fatal()
    }

    /// Goes on after the client was stopped.
    fn go_on_after_stop(&self) {
        match self.job.go_on() {
            Continued::WithoutLine => {}
            Continued::InForeground => self.screen.draw_below(),
            Continued::InBackground => {
                while self.job.is_detached() {
                    self.signals.interrupt_editor();
                    if self.screen.is_closed_within(INTERRUPT_INTERVAL) {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until `end`, or until the user presses Enter or leaves.
    fn pause(&mut self, end: Instant) -> PauseEnd {
        self.shared.lock().wants_connection = false;
        while poll::wait(&mut [PollFd::new(&self.wake, PollFlags::IN)], Some(end)) == Ok(true) {
            if self.must_leave_unconnected() {
                return PauseEnd::Leave;
            }
            if self.shared.lock().wants_connection {
                return PauseEnd::Enter;
            }
        }
        PauseEnd::Over
    }

    /// Connects; returns `None` if the client must leave before it is connected.
    fn connect(&mut self) -> Option<Connected> {
        let shared = Arc::clone(&self.shared);
        let connected = match self.target.start(None, move || shared.wake()) {
            Ok(connected) => connected,
            Err(why) => return Some(Err(ConnectError::unreached(why))),
        };
        let mut tell_at = Some(Instant::now() + QUIET_CONNECT);
        loop {
            match connected.try_recv() {
                Err(TryRecvError::Empty) => {}
                result => return result.ok(),
            }
            match poll::wait(&mut [PollFd::new(&self.wake, PollFlags::IN)], tell_at) {
                Ok(true) => {}
                Ok(false) => {
                    self.note(&self.target.connecting());
                    tell_at = None;
                }
                Err(why) => return Some(Err(ConnectError::unreached(why))),
            }
            if self.must_leave_unconnected() {
                return None;
            }
        }
    }

    /// Returns whether the client must leave. If a signal ends it, the editor is stopped.
    fn must_leave_unconnected(&mut self) -> bool {
        let is_leaving = self.must_leave();
        if is_leaving && self.signals.has_fatal() {
            self.stop_editor("");
        }
        is_leaving
    }

    fn leave_unconnected(&self) -> Result<(), String> {
        match self.buffer.pending() {
            0 => Ok(()),
            _ => Err(format!("left without a connection; {MAY_BE_LOST}")),
        }
    }

    fn show(&self, lines: &[u8]) {
        if !lines.is_empty() {
            // Always valid: on a terminal every line is escaped.
            self.screen.show(&String::from_utf8_lossy(lines));
        }
    }

    /// Shows a message of the client program itself.
    fn note(&self, text: &str) {
        let mut line = escape::escape(format!("{NAME}: {text}").as_bytes()).into_owned();
        line.push(b'\n');
        self.show(&line);
    }

    /// Stops the editor with the reason, which is empty for a signal.
    fn stop_editor(&self, why: &str) {
        // The last received lines must be above the edited line.
        self.screen.wait_until_shown();
        self.shared.lock().lost = Some(why.to_owned());
        loop {
            self.signals.interrupt_editor();
            if self.screen.is_closed_within(INTERRUPT_INTERVAL) {
                return;
            }
        }
    }
}

/// Returns whether the typed lines must wait for the password and the client's name.
fn awaits_admission(receiver: &LineReceiver) -> bool {
    receiver.password().holds_lines() || receiver.nick().is_some_and(|nick| !nick.is_settled())
}

/// Returns whether there is something that may be sent now.
fn has_output(receiver: &LineReceiver, buffer: &SendBuffer, stream: &ClientStream) -> bool {
    let has_lines = buffer.pending() > 0 && !awaits_admission(receiver);
    let has_request = receiver.password().has_request() || receiver.nick().is_some_and(Nick::has_request);
    has_lines || has_request || stream.has_unsent()
}

/// Returns until when the server may ask for a password or answer the request for a name.
fn deadline(receiver: &LineReceiver) -> Option<Instant> {
    receiver.password().deadline().into_iter().chain(receiver.nick().and_then(Nick::deadline)).min()
}

/// Reads once; returns why the connection ended, if it did.
fn receive(stream: &mut ClientStream, receiver: &mut LineReceiver, output: &mut Vec<u8>) -> Option<String> {
    let mut bytes = [0; READ_SIZE];
    match stream.read(&mut bytes) {
        Ok(0) => {
            receiver.finish(output);
            Some("connection lost: the server closed it".to_owned())
        }
        Ok(count) => {
            receiver.receive(&bytes[..count], output);
            None
        }
        Err(error) if is_retryable(&error) => None,
        Err(error) => Some(format!("connection lost: {}", os_error::text(&error))),
    }
}

//! One connection of a script.
//!
//! One loop polls the connection, standard input and standard output together, so that a slow one delays only
//! what depends on it.

use crate::NAME;
use crate::leave;
use crate::nick::{Nick, NickError};
use crate::password::{NO_PASSWORD, NOT_ASKED, wrong_password};
use crate::password_prompt;
use crate::poll::{self, is_retryable};
use crate::receive::{EXPECTS_TLS, LineReceiver, TOO_LONG};
use crate::script::{Failure, Script};
use crate::signals;
use crate::terminal::terminal_error;
use hubbub::cli::args;
use hubbub::net::client_stream::ClientStream;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

/// Bytes per read.
const READ_SIZE: usize = 64 * 1024;
/// While this many bytes are pending in one direction, no more are read for it.
const MAX_PENDING: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection<'a, 'b> {
    script: &'a mut Script<'b>,
    stream: ClientStream,
    receiver: LineReceiver,
    /// Whether the sending side is shut down.
    is_shut_down: bool,
    /// Whether a write failed. The server may have sent its reason before, so the socket is still read.
    has_write_failed: bool,
    /// How the server closed the connection.
    end: Option<Result<(), io::Error>>,
}

/// What to wait for.
#[derive(Debug, Clone, Copy)]
struct Interest {
    receive: bool,
    send: bool,
    input: bool,
}

/// Which descriptors are ready.
#[derive(Debug, Clone, Copy)]
struct Ready {
    output: bool,
    server: bool,
    input: bool,
}

impl<'a, 'b> Connection<'a, 'b> {
    pub(crate) fn new(script: &'a mut Script<'b>, stream: ClientStream) -> Self {
        let nick = script.options.nick.as_deref().map(Nick::new);
        let receiver = LineReceiver::new(script.style, script.remaining, nick, script.password.clone());
        let receiver = receiver.quiet(script.options.quiet);
        Self { script, stream, receiver, is_shut_down: false, has_write_failed: false, end: None }
    }

    /// Runs until the script has done what its options ask for.
    ///
    /// # Errors
    /// Why it could not.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        loop {
            self.shut_down_if_all_is_sent();
            self.check_password()?;
            if let Some(nick) = self.receiver.nick_mut() {
                nick.check_time();
            }
            if self.script.output.pending() == 0 {
                self.check_nick()?;
                if self.is_count_reached() {
                    // A refusal fails the run, even if it completes the count.
                    if self.receiver.was_refused() || self.receiver.password().is_wrong() {
                        return self.on_close(Ok(()));
                    }
                    break;
                }
                if let Some(end) = self.end.take() {
                    return self.on_close(end);
                }
            }
            if !self.turn()? {
                break;
            }
        }
        let script = self.script;
        let left = leave::leave(self.stream, std::mem::take(&mut script.buffer), script.deadline, None);
        left.map_err(|why| if script.is_late() { script.timed_out() } else { Failure::Other(why) })
    }

    fn is_count_reached(&self) -> bool {
        self.receiver.remaining() == Some(0) && !self.awaits_admission()
    }

    /// Returns whether the lines must wait for the password and the client's name. They are never sent under another
    /// name.
    fn awaits_admission(&self) -> bool {
        self.receiver.password().holds_lines()
            || self.receiver.nick().is_some_and(|nick| !nick.has_succeeded())
    }

    /// Sends the password, asks the user for it, or fails if there is none. Without a user and a name, the first line
    /// of the script may be the password.
    fn check_password(&mut self) -> Result<(), Failure> {
        let password = self.receiver.password_mut();
        password.check_time();
        if password.take_not_asked() {
            args::print_error(NAME, NOT_ASKED);
        }
        if !password.is_missing() {
            return Ok(());
        }
        if self.script.has_user() {
            let answer = password_prompt::ask(&self.stream).map_err(Failure::Other)?;
            signals::restore_defaults().map_err(|error| Failure::Other(terminal_error(&error)))?;
            password.answer(&answer);
            self.script.password = Some(answer);
        } else if self.receiver.nick().is_some() {
            return Err(Failure::Other(NO_PASSWORD.to_owned()));
        }
        Ok(())
    }

    /// Fails if the client does not get its name.
    fn check_nick(&mut self) -> Result<(), Failure> {
        let Some(nick) = self.receiver.nick() else { return Ok(()) };
        let Some(error) = nick.error() else { return Ok(()) };
        self.script.remaining = self.receiver.remaining();
        match error {
            // A slow server may answer the next time.
            NickError::NoNames | NickError::NoReply => Err(Failure::Lost(nick.message(error))),
            NickError::Taken(_) | NickError::Refused(_) => Err(Failure::Other(nick.message(error))),
        }
    }

    fn shut_down_if_all_is_sent(&mut self) {
        let stays = self.script.options.follow || self.script.options.count.is_some();
        let is_all_sent = self.script.input.is_none() && self.script.buffer.pending() == 0;
        if is_all_sent && !stays && !self.is_shut_down && !self.awaits_admission() {
            self.stream.shutdown_write();
            self.is_shut_down = true;
        }
    }

    /// Returns the result of the connection that the server has closed. Everything received is written.
    fn on_close(&mut self, end: io::Result<()>) -> Result<(), Failure> {
        self.script.remaining = self.receiver.remaining();
        let has_quit = self.receiver.has_name() && self.script.buffer.has_sent_quit();
        let is_expected = self.is_shut_down || has_quit;
        self.script.buffer.rewind_line();
        match end {
            _ if self.receiver.expects_tls() => Err(Failure::Other(EXPECTS_TLS.to_owned())),
            _ if self.receiver.password().is_wrong() => {
                let why = wrong_password(self.script.options.password_file.is_some());
                Err(Failure::Other(why.to_owned()))
            }
            _ if self.receiver.was_refused() => {
                Err(Failure::Lost("the server refused the connection; its message says why".to_owned()))
            }
            Ok(()) if is_expected && self.script.remaining.is_none() => leave::check_end(&self.stream)
                .map_err(|error| Failure::Lost(format!("connection lost: {}", os_error::text(&error)))),
            Ok(()) => Err(Failure::Lost("connection lost: the server closed it".to_owned())),
            Err(error) => Err(Failure::Lost(format!("connection lost: {}", os_error::text(&error)))),
        }
    }

    /// Waits, then reads and writes each ready descriptor once; returns false if the reader of standard output
    /// is gone.
    fn turn(&mut self) -> Result<bool, Failure> {
        let interest = self.interest();
        let ready = self.wait(interest)?;
        if ready.input {
            self.read_input()?;
        }
        if ready.server && interest.send && self.send().is_err() {
            self.has_write_failed = true;
        }
        if ready.server && interest.receive {
            self.receive();
        }
        if ready.output { self.script.output.write().map_err(Failure::Other) } else { Ok(true) }
    }

    fn interest(&self) -> Interest {
        let script = &self.script;
        let can_send = !self.has_write_failed && self.end.is_none();
        let has_space = script.output.pending() < MAX_PENDING && !self.is_count_reached();
        let has_lines = script.buffer.pending() > 0 && !self.awaits_admission();
        let has_request = self.receiver.password().has_request()
            || self.receiver.nick().is_some_and(Nick::has_request)
            || self.stream.has_unsent();
        Interest {
            receive: self.end.is_none() && has_space,
            send: can_send && (has_lines || has_request),
            input: can_send && script.buffer.pending() < MAX_PENDING,
        }
    }

    fn wait(&self, interest: Interest) -> Result<Ready, Failure> {
        let script = &self.script;
        let mut server_flags = PollFlags::empty();
        server_flags.set(PollFlags::IN, interest.receive);
        server_flags.set(PollFlags::OUT, interest.send);
        let output_flags = if script.output.pending() > 0 { PollFlags::OUT } else { PollFlags::empty() };
        // poll(2) reports a closed descriptor even without flags, and the loop would spin. A descriptor that need
        // not be polled is therefore replaced by standard output, whose close is always of interest.
        let output = |flags| PollFd::new(script.output.descriptor(), flags);
        let server = match server_flags.is_empty() {
            true => output(PollFlags::empty()),
            false => PollFd::new(&self.stream, server_flags),
        };
        let input = match &script.input {
            Some(input) if interest.input => PollFd::new(input.descriptor(), PollFlags::IN),
            _ => output(PollFlags::empty()),
        };
        let mut descriptors = [output(output_flags), server, input];
        // No event tells of bytes that TLS has decrypted.
        let unread_deadline = (interest.receive && self.stream.has_unread()).then(Instant::now);
        let nick_deadline = self.receiver.nick().and_then(Nick::deadline);
        let others = [unread_deadline, nick_deadline, self.receiver.password().deadline()];
        let deadline = others.into_iter().chain([script.deadline]).flatten().min();
        poll::wait(&mut descriptors, deadline).map_err(Failure::Other)?;
        if script.is_late() {
            return Err(script.timed_out());
        }
        let [output, server, input] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        Ok(Ready {
            output,
            server: (server && !server_flags.is_empty()) || unread_deadline.is_some(),
            input: input && interest.input && script.input.is_some(),
        })
    }

    /// Sends what the connection takes: the password, the request for a name, and then the lines.
    fn send(&mut self) -> io::Result<()> {
        match self.stream.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            flushed => flushed?,
        }
        self.receiver.password_mut().send(&mut self.stream)?;
        if let Some(nick) = self.receiver.nick_mut() {
            nick.send(&mut self.stream)?;
        }
        if self.awaits_admission() { Ok(()) } else { self.script.buffer.send(&mut self.stream) }
    }

    fn read_input(&mut self) -> Result<(), Failure> {
        let Script { input, buffer, .. } = &mut *self.script;
        if let Some(open) = input
            && !open.read(buffer).map_err(Failure::Other)?
        {
            *input = None;
        }
        Ok(())
    }

    fn receive(&mut self) {
        let mut bytes = [0; READ_SIZE];
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                self.receiver.finish(self.script.output.buffer());
                self.end = Some(Ok(()));
            }
            Ok(count) => self.receiver.receive(&bytes[..count], self.script.output.buffer()),
            Err(error) if is_retryable(&error) => {}
            Err(error) => self.end = Some(Err(error)),
        }
        for _ in 0..self.receiver.take_too_long() {
            args::print_error(NAME, TOO_LONG);
        }
        for error in self.receiver.take_errors() {
            args::print_error(NAME, &error);
        }
        // A client that has sent nothing has nothing refused: it cannot be made to fail by others.
        self.script.has_errors |= self.receiver.has_errors() && self.script.buffer.has_sent();
    }
}

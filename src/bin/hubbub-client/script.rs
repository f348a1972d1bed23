//! The client without a user: standard input is sent, received lines are written to standard output.
//!
//! One loop polls the connection, standard input and standard output together, so that a slow one delays only
//! what depends on it.

use crate::NAME;
use crate::backoff::Backoff;
use crate::connect::{Target, with_advice};
use crate::input::Input;
use crate::leave;
use crate::options::Options;
use crate::output::Output;
use crate::poll::{self, is_retryable};
use crate::receive::{LineReceiver, TOO_LONG};
use crate::send::SendBuffer;
use crate::style::Style;
use hubbub::cli::address::Address;
use hubbub::cli::args;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
use std::time::Instant;

/// Bytes per read.
const READ_SIZE: usize = 64 * 1024;
/// While this many bytes are pending in one direction, no more are read for it.
const MAX_PENDING: usize = 256 * 1024;

/// Why the client failed.
#[derive(Debug)]
enum Failure {
    /// There is no connection: connecting again may help.
    Lost(String),
    /// Connecting again cannot help.
    Other(String),
}

/// What stays the same from one connection to the next.
#[derive(Debug)]
struct Script<'a> {
    options: &'a Options,
    target: Target,
    style: Style,
    deadline: Option<Instant>,
    input: Option<Input>,
    buffer: SendBuffer,
    output: Output,
    /// How many more lines to receive (`--count`); `None` = no limit.
    remaining: Option<usize>,
}

/// Runs the client until it has done what `options` ask for.
///
/// # Errors
/// One line that says why it could not.
pub(crate) fn run(options: &Options, address: Address, style: Style) -> Result<(), String> {
    let mut script = Script::new(options, address, style);
    let mut backoff = Backoff::new();
    loop {
        let mut since = None;
        match script.connect_and_run(&mut since) {
            Ok(()) => return Ok(()),
            Err(Failure::Lost(why)) if options.reconnect && !script.is_late() => {
                let pause = backoff.next(since.map(|since: Instant| since.elapsed()).unwrap_or_default());
                let note = format!("{why}; connecting again in {} s", pause.as_secs());
                args::print_error(NAME, &note);
                if script.wait_for_closed_output(Instant::now() + pause)? {
                    return Ok(());
                }
            }
            Err(Failure::Lost(why) | Failure::Other(why)) => return Err(why),
        }
    }
}

impl<'a> Script<'a> {
    fn new(options: &'a Options, address: Address, style: Style) -> Self {
        let mut buffer = SendBuffer::default();
        for line in &options.send {
            buffer.push(line.as_bytes());
            buffer.push(b"\n");
        }
        Self {
            options,
            target: Target { address, sends_input: options.sends_input() },
            style,
            deadline: options.timeout.map(|timeout| Instant::now() + timeout),
            input: options.sends_input().then(Input::new),
            buffer,
            output: Output::new(),
            remaining: options.count,
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits until `end`; returns true as soon as the reader of standard output is gone.
    fn wait_for_closed_output(&self, end: Instant) -> Result<bool, String> {
        let end = self.deadline.map_or(end, |deadline| deadline.min(end));
        poll::wait(&mut [PollFd::new(self.output.descriptor(), PollFlags::empty())], Some(end))
    }

    fn connect_and_run(&mut self, since: &mut Option<Instant>) -> Result<(), Failure> {
        if self.is_late() {
            return Err(self.timed_out());
        }
        let stream = match self.target.connect(self.deadline) {
            Ok(stream) => stream,
            Err(_) if self.is_late() => return Err(self.timed_out()),
            Err(why) if self.options.reconnect => return Err(Failure::Lost(why)),
            Err(why) => return Err(Failure::Lost(with_advice(&why))),
        };
        *since = Some(Instant::now());
        let connection = Connection {
            stream,
            receiver: LineReceiver::new(self.style, self.remaining),
            is_shut_down: false,
            has_write_failed: false,
            end: None,
            script: self,
        };
        connection.run()
    }

    fn timed_out(&self) -> Failure {
        let seconds = self.options.timeout.unwrap_or_default().as_secs_f64();
        Failure::Other(format!("timed out after {seconds} s (--timeout)"))
    }
}

/// One connection.
#[derive(Debug)]
struct Connection<'a, 'b> {
    script: &'a mut Script<'b>,
    stream: PlainStream,
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

impl Connection<'_, '_> {
    fn run(mut self) -> Result<(), Failure> {
        loop {
            self.shut_down_if_all_is_sent();
            if self.script.output.pending() == 0 {
                if self.receiver.remaining() == Some(0) {
                    // A refusal fails the run, even if it completes the count.
                    if self.receiver.was_refused() {
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

    fn shut_down_if_all_is_sent(&mut self) {
        let stays = self.script.options.follow || self.script.options.count.is_some();
        let is_all_sent = self.script.input.is_none() && self.script.buffer.pending() == 0;
        if is_all_sent && !stays && !self.is_shut_down {
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
            _ if self.receiver.was_refused() => {
                Err(Failure::Lost("the server refused the connection; its message says why".to_owned()))
            }
            Ok(()) if is_expected && self.script.remaining.is_none() => Ok(()),
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
        if ready.server && interest.send && self.script.buffer.send(&mut self.stream).is_err() {
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
        let has_space = script.output.pending() < MAX_PENDING && self.receiver.remaining() != Some(0);
        Interest {
            receive: self.end.is_none() && has_space,
            send: can_send && script.buffer.pending() > 0,
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
        let is_ready = poll::wait(&mut descriptors, script.deadline).map_err(Failure::Other)?;
        if !is_ready || script.is_late() {
            return Err(script.timed_out());
        }
        let [output, server, input] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        Ok(Ready {
            output,
            server: server && !server_flags.is_empty(),
            input: input && interest.input && script.input.is_some(),
        })
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
    }
}

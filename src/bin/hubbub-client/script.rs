//! The client without a user: standard input is sent, received lines are written to standard output.

use crate::NAME;
use crate::backoff::Backoff;
use crate::connect::Target;
use crate::input::Input;
use crate::options::{Options, SEND_TIMEOUT};
use crate::output::Output;
use crate::poll;
use crate::script_connection::Connection;
use crate::send::SendBuffer;
use crate::server::Server;
use crate::style::Style;
use hubbub::cli::args;
use hubbub::cli::secret::Secret;
use hubbub::util::seconds::Seconds;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, IsTerminal};
use std::time::Instant;

/// Why the client failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection: connecting again may help.
    Lost(String),
    /// Connecting again cannot help.
    Other(String),
}

/// What stays the same from one connection to the next.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    pub(crate) options: &'a Options,
    target: Target,
    /// The password of the room, if it is known.
    pub(crate) password: Option<Secret>,
    pub(crate) style: Style,
    pub(crate) deadline: Option<Instant>,
    pub(crate) input: Option<Input>,
    pub(crate) buffer: SendBuffer,
    pub(crate) output: Output,
    /// How many more lines to receive (`--count`); `None` = no limit.
    pub(crate) remaining: Option<usize>,
    /// Whether the server has refused something that the client sent.
    pub(crate) has_errors: bool,
}

/// Runs the client until it has done what `options` ask for.
///
/// # Errors
/// One line that says why it could not.
pub(crate) fn run(options: &Options, server: Server, style: Style) -> Result<(), String> {
    let mut script = Script::new(options, server, style);
    let mut backoff = Backoff::new();
    loop {
        let mut since = None;
        match script.connect_and_run(&mut since) {
            Ok(()) if script.has_errors && !script.has_user() => {
                return Err("the server refused what was sent; its message says why".to_owned());
            }
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
    fn new(options: &'a Options, server: Server, style: Style) -> Self {
        let mut buffer = SendBuffer::default();
        for line in &options.send {
            buffer.push(line.as_bytes());
            buffer.push(b"\n");
        }
        Self {
            options,
            target: server.target(options.sends_input()),
            password: server.password,
            style,
            deadline: options.timeout.map(|timeout| Instant::now() + timeout),
            input: options.sends_input().then(Input::new),
            buffer,
            output: Output::new(),
            remaining: options.count,
            has_errors: false,
        }
    }

    /// Returns whether a user types the lines, and so has seen what the server refused.
    pub(crate) fn has_user(&self) -> bool {
        self.options.sends_input() && io::stdin().is_terminal()
    }

    pub(crate) fn is_late(&self) -> bool {
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
        let tell = |note: &str| {
            if io::stderr().is_terminal() {
                args::print_error(NAME, note);
            }
        };
        let stream = match self.target.connect(self.deadline, tell) {
            Ok(stream) => stream,
            Err(_) if self.is_late() => return Err(self.timed_out()),
            Err(error) if self.options.reconnect => return Err(Failure::Lost(error.to_string())),
            Err(error) => return Err(Failure::Lost(error.with_advice())),
        };
        *since = Some(Instant::now());
        Connection::new(self, stream).run()
    }

    pub(crate) fn timed_out(&self) -> Failure {
        let timeout = self.options.timeout.unwrap_or_default();
        let option = if timeout == SEND_TIMEOUT { "--timeout changes this" } else { "--timeout" };
        Failure::Other(format!("timed out after {} s ({option})", Seconds(timeout)))
    }
}

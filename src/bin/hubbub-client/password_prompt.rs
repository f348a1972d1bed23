//! Asks the user for a password, without showing it.

use crate::poll::{self, is_retryable};
use crate::signals::Pending;
use crate::terminal::terminal_error;
use hubbub::cli::secret::Secret;
use hubbub::net::client_stream::ClientStream;
use rustix::event::{PollFd, PollFlags};
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// The longest line that a terminal passes on, in bytes (termios(3)).
const MAX_LINE: usize = 4096;
/// How long the prompt waits for the first line of the server, which may ask for a password. It comes at once, even over
/// a slow link; only a plain view without a welcome line has none.
const FIRST_LINE_WAIT: Duration = Duration::from_secs(1);
/// Turns a special key off.
const NO_KEY: u8 = 0;

/// Reads a line of the terminal at standard input, as long as the server of `stream` waits for it.
///
/// # Errors
/// One line that says why there is no password. A signal that ends the process is obeyed.
pub(crate) fn ask(stream: &ClientStream) -> Result<Secret, String> {
    let signals = Pending::watch().map_err(|error| terminal_error(&error))?;
    let hidden = Hidden::start().map_err(|error| terminal_error(&error.into()))?;
    show("Password: ");
    let line = read_line(stream, &signals);
    show("\n");
    drop(hidden);
    signals.raise();
    line.and_then(|line| Secret::from_line(&line).map_err(|_| "no password was entered".to_owned()))
}

/// Reads what the server sends, up to the end of its first line, for [`FIRST_LINE_WAIT`] at most. The end of the
/// connection comes again with the next read.
pub(crate) fn first_line(stream: &mut ClientStream) -> Vec<u8> {
    let end = Instant::now() + FIRST_LINE_WAIT;
    let mut received = Vec::new();
    let mut bytes = [0; MAX_LINE];
    while !received.contains(&b'\n') && received.len() < MAX_LINE {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => received.extend_from_slice(&bytes[..count]),
            Err(error) if is_retryable(&error) => {
                if poll::wait(&mut [PollFd::new(stream, PollFlags::IN)], Some(end)) != Ok(true) {
                    break;
                }
            }
            _ => break,
        }
    }
    received
}

fn read_line(stream: &ClientStream, signals: &Pending) -> Result<Vec<u8>, String> {
    let mut ready = [
        PollFd::new(signals.wake(), PollFlags::IN),
        PollFd::from_borrowed_fd(stdin(), PollFlags::IN),
        PollFd::new(stream, PollFlags::IN),
    ];
    poll::wait(&mut ready, None)?;
    let [is_signalled, has_line, _] = ready.map(|descriptor| !descriptor.revents().is_empty());
    if is_signalled {
        return Ok(Vec::new());
    }
    if !has_line {
        return Err("the server did not wait for the password".to_owned());
    }
    let mut bytes = [0; MAX_LINE];
    let count = rustix::io::read(stdin(), &mut bytes).map_err(|error| terminal_error(&error.into()))?;
    Ok(bytes[..count].strip_suffix(b"\n").unwrap_or(&bytes[..count]).to_vec())
}

fn show(text: &str) {
    // Standard output may be a pipe. If the terminal is gone, the read fails too.
    _ = io::stderr().write_all(text.as_bytes());
}

/// The terminal without echo, until drop.
struct Hidden(Termios);

impl Hidden {
    fn start() -> rustix::io::Result<Self> {
        let original = tcgetattr(stdin())?;
        let mut modes = original.clone();
        modes.local_modes -= LocalModes::ECHO;
        // A shell would not restore these modes when the client goes on.
        modes.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        tcsetattr(stdin(), OptionalActions::Now, &modes)?;
        Ok(Self(original))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

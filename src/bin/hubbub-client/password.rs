//! The password that a server may ask for before anything else.
//!
//! Only the first line of a connection can ask for it. A server that does not ask would send the password to everyone
//! in the room.

use crate::origin::{GREETING_TIMEOUT, server_text};
use crate::send::SendBuffer;
use hubbub::chat::text::{PASSWORD, WRONG_PASSWORD};
use hubbub::cli::secret::Secret;
use hubbub::net::client_stream::ClientStream;
use std::io;
use std::time::Instant;

/// The error if the server asks for a password that the client does not have.
pub(crate) const NO_PASSWORD: &str = "the server asks for a password: give it with --password-file FILE";
/// The note if it does not ask.
pub(crate) const NOT_ASKED: &str = "the server did not ask for a password, so none was sent";

/// The password on one connection.
#[derive(Debug)]
pub(crate) struct Password {
    known: Option<Secret>,
    state: State,
    /// Until when the first line may ask for the password.
    deadline: Instant,
    request: SendBuffer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitsFirstLine,
    /// The server has asked.
    Asked,
    /// The server has asked, and the password is sent or in the request.
    Answered,
    /// The server has said that the password is wrong.
    Wrong,
    /// The server has not asked, and that is to be reported if there is a password.
    NotAsked,
    Over,
}

/// What a line means for the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing.
    None,
    /// The server asks for the password.
    Asks,
    /// It is the first line after that.
    Follows,
}

impl Password {
    /// Starts on a new connection.
    pub(crate) fn new(known: Option<Secret>) -> Self {
        let deadline = Instant::now() + GREETING_TIMEOUT;
        Self { known, state: State::AwaitsFirstLine, deadline, request: SendBuffer::default() }
    }

    /// Reads a received line.
    pub(crate) fn receive(&mut self, line: &[u8]) -> Meaning {
        let text = || server_text(line);
        match self.state {
            State::AwaitsFirstLine if text().as_deref() == Some(PASSWORD) => {
                self.state = State::Asked;
                if let Some(password) = self.known.take() {
                    self.answer(&password);
                }
                Meaning::Asks
            }
            State::AwaitsFirstLine => {
                self.state = State::NotAsked;
                Meaning::None
            }
            State::Asked | State::Answered => {
                let is_wrong = text().as_deref() == Some(WRONG_PASSWORD);
                self.state = if is_wrong { State::Wrong } else { State::Over };
                Meaning::Follows
            }
            State::Wrong | State::NotAsked | State::Over => Meaning::None,
        }
    }

    /// Sends the password that the server has asked for.
    pub(crate) fn answer(&mut self, password: &Secret) {
        self.request.push(password.bytes());
        self.request.push(b"\n");
        self.state = State::Answered;
    }

    /// No longer waits if the first line does not come in time.
    pub(crate) fn check_time(&mut self) {
        if self.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            self.state = State::NotAsked;
        }
    }

    /// Returns the time of the next [`check_time`](Self::check_time); `None` if there is nothing to wait for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.state == State::AwaitsFirstLine && self.known.is_some()).then_some(self.deadline)
    }

    /// Returns whether everything else must wait until the password is sent, or until it is certain that it is not
    /// to be sent.
    pub(crate) fn holds_lines(&self) -> bool {
        self.deadline().is_some() || self.has_request()
    }

    /// Returns whether the server has asked for a password that the client does not have.
    pub(crate) fn is_missing(&self) -> bool {
        self.state == State::Asked
    }

    /// Returns whether the server has said that the password is wrong.
    pub(crate) fn is_wrong(&self) -> bool {
        self.state == State::Wrong
    }

    /// Returns once whether there is a password for which the server has not asked.
    pub(crate) fn take_not_asked(&mut self) -> bool {
        let is_new = self.state == State::NotAsked && self.known.is_some();
        if is_new {
            self.state = State::Over;
        }
        is_new
    }

    /// Returns whether there is something to send.
    pub(crate) const fn has_request(&self) -> bool {
        self.request.pending() > 0
    }

    /// Sends the password if the server has asked for it.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(&mut self, stream: &mut ClientStream) -> io::Result<()> {
        self.request.send(stream)
    }
}

/// Returns whether the first of these lines asks for a password.
pub(crate) fn asks_for_password(received: &[u8]) -> bool {
    received.split(|byte| *byte == b'\n').next().and_then(server_text).as_deref() == Some(PASSWORD)
}

/// Returns the error for a wrong password; `is_from_file` says whether it is that of `--password-file`.
pub(crate) const fn wrong_password(is_from_file: bool) -> &'static str {
    if is_from_file { "--password-file: the server refused the password" } else { WRONG }
}

/// The error if the user, or a script with its first line, has given a wrong password.
const WRONG: &str = "the server refused the password; --password-file FILE sends one";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is sent after these lines, and whether the password was wrong.
    fn sent(lines: &[&str]) -> (usize, bool) {
        let mut password = Password::new(Secret::from_line(b"secret").ok());
        for line in lines {
            password.receive(line.as_bytes());
        }
        (password.request.pending(), password.is_wrong())
    }

    #[test]
    fn the_password_is_sent_once_and_only_if_the_first_line_asks_for_it() {
        const WELCOME: &str = "Welcome.";
        let length = "secret\n".len();
        for (lines, expected) in [
            (&["* password:"][..], (length, false)),
            (&[r#"{"type":"notice","text":"password:","at":"x"}"#], (length, false)),
            (&["* password:", "* password:"], (length, false)),
            (&["* password:", "* wrong password"], (length, true)),
            (&["* password:", r#"{"type":"error","text":"wrong password","at":"x"}"#], (length, true)),
            (&["* password:", WELCOME, "* wrong password"], (length, false)),
            (&[WELCOME, "* password:"], (0, false)),
            (&["password:"], (0, false)),
            (&["<bob> * password:"], (0, false)),
            (&[r#"{"type":"message","from":"bob","text":"password:"}"#], (0, false)),
            (&["* wrong password"], (0, false)),
        ] {
            assert_eq!(sent(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_first_line_that_comes_too_late_asks_for_nothing() {
        let mut password = Password::new(Secret::from_line(b"secret").ok());
        password.deadline = Instant::now();
        assert!(password.holds_lines());
        password.check_time();
        assert!(!password.holds_lines() && password.take_not_asked() && !password.take_not_asked());
        password.receive(b"* password:");
        assert!(!password.has_request());
    }
}

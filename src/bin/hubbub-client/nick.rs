//! The name of the client (`--nick`): asks the server for it after each connect.
//!
//! In the plain view, `/nick NAME` would be a message to everyone. So the client asks only after the server has
//! told it a name, as views with names do.

use crate::origin::{GREETING_TIMEOUT, server_text};
use crate::send::SendBuffer;
use hubbub::chat::name::MAX_CHARS;
use hubbub::chat::text::{INVALID_NAME, IS_RESERVED, IS_TAKEN, NOW, YOU_ARE};
use hubbub::net::client_stream::ClientStream;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// How long the server may take to answer `/nick`. It may limit each client to a few lines per second.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// How many names to ask for: the wanted one, and more with `_` appended.
const MAX_TRIES: usize = 5;

/// The request for a name, on one connection.
#[derive(Debug)]
pub(crate) struct Nick {
    wanted: String,
    /// The name that is asked for: the wanted one, or one with `_` appended if that is taken.
    name: String,
    tries: usize,
    state: State,
    deadline: Instant,
    request: SendBuffer,
}

#[derive(Debug)]
enum State {
    AwaitsGreeting,
    AwaitsReply,
    Settled(Result<(), NickError>),
}

/// Why the client has another name, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NickError {
    /// The server has not told the client a name, so `/nick` was not sent.
    NoNames,
    /// The server has not answered.
    NoReply,
    /// The names that the client may have are taken.
    Taken(String),
    /// The server gives the name to nobody.
    Refused(String),
}

impl Nick {
    /// Starts on a new connection.
    pub(crate) fn new(wanted: &str) -> Self {
        Self {
            wanted: wanted.to_owned(),
            name: wanted.to_owned(),
            tries: 0,
            state: State::AwaitsGreeting,
            deadline: Instant::now() + GREETING_TIMEOUT,
            request: SendBuffer::default(),
        }
    }

    /// Gives the server its whole time to greet the client, from now on.
    pub(crate) fn restart(&mut self) {
        self.deadline = Instant::now() + GREETING_TIMEOUT;
    }

    /// Reads a received line; returns whether it answers the request. `has_name` tells whether the server has told
    /// the client a name.
    pub(crate) fn receive(&mut self, line: &[u8], has_name: bool) -> bool {
        match &self.state {
            State::AwaitsGreeting if has_name => self.ask(),
            State::AwaitsReply => return server_text(line).is_some_and(|text| self.receive_reply(text)),
            State::AwaitsGreeting | State::Settled(_) => {}
        }
        false
    }

    fn receive_reply(&mut self, text: String) -> bool {
        if text.starts_with(YOU_ARE) && text.ends_with(NOW) {
            self.state = State::Settled(Ok(()));
        } else if text.ends_with(IS_TAKEN) {
            if self.tries == MAX_TRIES || self.name.chars().count() == MAX_CHARS {
                self.fail(NickError::Taken(text));
            } else {
                self.name.push('_');
                self.ask();
            }
        } else if text.starts_with(INVALID_NAME) || text.ends_with(IS_RESERVED) {
            self.fail(NickError::Refused(text));
        } else {
            return false;
        }
        true
    }

    fn ask(&mut self) {
        self.tries += 1;
        self.request.push(format!("/nick {}\n", self.name).as_bytes());
        (self.state, self.deadline) = (State::AwaitsReply, Instant::now() + REPLY_TIMEOUT);
    }

    fn fail(&mut self, error: NickError) {
        self.state = State::Settled(Err(error));
    }

    /// Gives up if the server has not answered in time.
    pub(crate) fn check_time(&mut self) {
        let error = match self.state {
            State::AwaitsGreeting => NickError::NoNames,
            State::AwaitsReply => NickError::NoReply,
            State::Settled(_) => return,
        };
        if Instant::now() >= self.deadline {
            self.fail(error);
        }
    }

    /// Returns the time of the next [`check_time`](Self::check_time); `None` if there is nothing to wait for.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        if self.is_settled() { None } else { Some(self.deadline) }
    }

    /// Returns whether the client has the name, or one with `_` appended.
    pub(crate) const fn has_succeeded(&self) -> bool {
        matches!(self.state, State::Settled(Ok(())))
    }

    /// Returns whether the client has the name, or will not get it.
    pub(crate) const fn is_settled(&self) -> bool {
        matches!(self.state, State::Settled(_))
    }

    /// Returns why the client does not get the name.
    pub(crate) const fn error(&self) -> Option<&NickError> {
        match &self.state {
            State::Settled(Err(error)) => Some(error),
            _ => None,
        }
    }

    /// Returns the message for `error`.
    pub(crate) fn message(&self, error: &NickError) -> String {
        format!("--nick \"{}\": {error}", self.wanted)
    }

    /// Returns whether there is something to send.
    pub(crate) const fn has_request(&self) -> bool {
        self.request.pending() > 0
    }

    /// Sends the request.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn send(&mut self, stream: &mut ClientStream) -> io::Result<()> {
        self.request.send(stream)
    }
}

impl fmt::Display for NickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNames => f.write_str(
                "the server gives no names, as in the plain view or without a welcome line, so /nick was not \
                 sent: connect to a named or json view",
            ),
            Self::NoReply => f.write_str("the server did not answer /nick"),
            Self::Taken(why) | Self::Refused(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names that are asked for if the server gives these answers, and the error.
    fn asked(wanted: &str, answers: &[&str]) -> (Vec<String>, Option<NickError>) {
        let mut nick = Nick::new(wanted);
        let mut names = Vec::new();
        for answer in answers {
            nick.receive(answer.as_bytes(), true);
            if names.last() != Some(&nick.name) {
                names.push(nick.name.clone());
            }
        }
        (names, nick.error().cloned())
    }

    const GREETING: &str = "* you are anon1 (1 here); /help lists the commands";

    #[test]
    fn a_taken_name_is_tried_again_with_an_underscore_until_it_is_too_long() {
        let taken = |name: &str| format!("* the name \"{name}\" is taken: choose another");
        let settled = "* you are bob__ now";
        let answers =
            [GREETING, &taken("bob"), "<eve> you are eve now", &taken("bob_"), settled, &taken("x")];
        assert_eq!(asked("bob", &answers), (vec!["bob".into(), "bob_".into(), "bob__".into()], None));
        let longest = "b".repeat(MAX_CHARS);
        let error = NickError::Taken(taken("b").split_off(2));
        assert_eq!(asked(&longest, &[GREETING, &taken("b")]), (vec![longest], Some(error.clone())));
        let json = r#"{"type":"error","text":"the name \"b\" is taken: choose another","at":"x"}"#;
        let (names, why) = asked("bob", &[GREETING, json, json, json, json, json, json]);
        assert_eq!((names.len(), why), (MAX_TRIES, Some(error)));
    }

    #[test]
    fn an_invalid_or_reserved_name_is_not_tried_again() {
        for text in ["invalid name \"a\": use letters", "the name \"you\" is reserved: choose another"] {
            let (names, error) = asked("you", &[GREETING, &format!("* {text}"), &format!("* {text}")]);
            assert_eq!((names.len(), error), (1, Some(NickError::Refused(text.to_owned()))));
        }
    }

    #[test]
    fn nothing_is_asked_before_the_server_has_told_a_name() {
        let mut nick = Nick::new("bob");
        nick.receive(b"Welcome.", false);
        nick.receive(b"* you are bob now", false);
        assert!(!nick.has_request() && !nick.is_settled());
        nick.deadline = Instant::now();
        nick.check_time();
        assert_eq!(nick.error(), Some(&NickError::NoNames));
    }
}

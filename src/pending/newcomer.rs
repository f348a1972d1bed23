//! One connection that is not admitted yet, and its steps.

use super::password_step::{FirstLine, PasswordStep};
use super::{DEADLINE, Entry, INTERESTS, Timer};
use crate::chat::text::{IS_PROXY, NEEDS_TLS, PASSWORD, WRONG_PASSWORD};
use crate::clients::close_reason::CloseReason;
use crate::clients::refusal::{Answer, Refusal};
use crate::clients::{ClientLimits, Clients};
use crate::net::peer::Peer;
use crate::net::proxy_header;
use crate::net::stream::{Handshake, Stream};
use crate::net::tls::TlsStream;
use crate::net::transport::{Transport, retry};
use crate::util::clock::Moment;
use crate::util::os_error;
use crate::wire::http;
use crate::wire::view::View;
use mio::event::Source;
use mio::{Registry, Token};
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

/// The most bytes that a connection may send before it is admitted. TLS has limits of its own for its handshake.
const MAX_INPUT: usize = 8 * 1024;
/// The pause before a wrong password is refused.
const WRONG_PASSWORD_DELAY: Duration = Duration::from_secs(1);
/// First bytes that may be the opening of another protocol are held for at most this time.
const OPENING_TIMEOUT: Duration = Duration::from_secs(2);
/// The first byte of a TLS connection: a record of the handshake (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Alerts that end a TLS handshake (RFC 8446, 6.2), in records of TLS 1.2, which all clients understand.
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];

/// A connection that is not admitted yet.
#[derive(Debug)]
pub(super) struct Newcomer {
    /// `None` only if it could not be wrapped in TLS.
    stream: Option<Stream>,
    pub(super) view: View,
    pub(super) peer: Peer,
    step: Step,
    /// Whether the listener has TLS.
    has_tls: bool,
    /// Bytes of input.
    input: usize,
    /// Its place in the order of arrival.
    pub(super) number: u64,
    /// Whether it is in the queue of those that may go on.
    pub(super) is_queued: bool,
    pub(super) is_registered: bool,
    /// Whether it counts as a connection from its network.
    is_counted: bool,
}

/// The step that a connection is at.
#[derive(Debug)]
enum Step {
    /// The PROXY header is read.
    Proxy,
    /// Nothing of the TLS handshake has been read yet.
    BeforeTls,
    /// The TLS handshake goes on.
    Tls,
    /// The next step is the password, if there is one.
    AfterTls,
    /// The first line is read.
    Password { first_line: PasswordStep, has_prompt: bool },
    /// The password was wrong; the refusal waits.
    WrongPassword,
}

/// What follows a step.
#[derive(Debug)]
pub(super) enum Next {
    /// The connection waits for an event, and for a timer if there is one.
    Wait(Option<(Timer, Duration)>),
    /// It goes on in the next turn.
    Again,
    /// It is admitted, with this input of its own.
    Admit(Vec<u8>),
    /// It is refused.
    Refuse(Refusal),
    /// It is closed, with details for the log.
    Close(CloseReason, String),
}

impl Newcomer {
    /// A connection that has taken no step.
    pub(super) fn new(stream: Stream, view: View, peer: Peer, is_proxy: bool, has_tls: bool) -> Self {
        Self {
            stream: Some(stream),
            view,
            peer,
            step: if is_proxy { Step::Proxy } else { Step::first(has_tls) },
            has_tls,
            input: 0,
            number: 0,
            is_queued: false,
            is_registered: false,
            is_counted: false,
        }
    }

    /// Registers its socket.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if let Some(stream) = &mut self.stream {
            stream.register(registry, token, INTERESTS)?;
        }
        self.is_registered = true;
        Ok(())
    }

    /// Takes its stream to admit or refuse it.
    pub(super) fn into_stream(self) -> Option<Stream> {
        self.stream
    }

    /// Counts it as a connection from its network.
    ///
    /// # Errors
    /// The refusal, if its network has too many.
    pub(super) fn reserve(&mut self, clients: &mut Clients<Stream>) -> Result<(), Refusal> {
        clients.reserve(self.peer)?;
        self.is_counted = true;
        Ok(())
    }

    /// Stops counting it.
    pub(super) fn unreserve(&mut self, clients: &mut Clients<Stream>) {
        if self.is_counted {
            clients.unreserve(self.peer);
            self.is_counted = false;
        }
    }

    /// How it is refused: until the TLS handshake ends, it understands no line of the room.
    pub(super) fn refusal(&self, refusal: Refusal) -> Next {
        match self.step {
            Step::Tls => Next::Close(refusal.reason, String::new()),
            Step::Proxy | Step::BeforeTls if self.has_tls => {
                let reason = refusal.reason;
                let is_denied = matches!(reason, CloseReason::NotAllowed | CloseReason::AddressBanned);
                let alert = if is_denied { ACCESS_DENIED } else { INTERNAL_ERROR };
                Next::Refuse(Refusal { reason, answer: Answer::Bytes(alert.to_vec()) })
            }
            _ => Next::Refuse(refusal),
        }
    }

    /// Takes the steps that are possible now, at most `handshakes` of them in TLS handshakes.
    pub(super) fn advance(&mut self, entry: &mut Entry<'_>, handshakes: &mut usize, now: Moment) -> Next {
        loop {
            let done = match self.step {
                Step::Proxy => self.read_header(entry, now),
                Step::BeforeTls => self.begin_tls(entry),
                Step::Tls if *handshakes == 0 => return Next::Again,
                Step::Tls => {
                    *handshakes -= 1;
                    self.shake_hands()
                }
                Step::AfterTls => self.begin_password(entry, now),
                Step::Password { .. } => return self.read_password(entry, now),
                Step::WrongPassword => return Next::Wait(None),
            };
            if let Err(next) = done {
                return next;
            }
        }
    }

    /// Reads the PROXY header, and nothing after it.
    fn read_header(&mut self, entry: &mut Entry<'_>, now: Moment) -> Result<(), Next> {
        let Some(Stream::Plain(socket)) = &mut self.stream else { return Err(lost()) };
        let mut bytes = [0; proxy_header::MAX_LENGTH];
        let len = received(retry(|| socket.peek(&mut bytes)))?;
        let header = match proxy_header::parse(&bytes[..len]) {
            Ok(Some(header)) => header,
            Ok(None) => return Err(Next::Wait(None)),
            Err(invalid) => return Err(self.invalid_header(invalid)),
        };
        received(retry(|| Transport::read(socket, &mut bytes[..header.length])))?;
        if let Some(client) = header.client {
            self.peer = client;
        }
        let refusal = entry.refusal(self.peer, now);
        match refusal.map_or_else(|| self.reserve(entry.clients), Err) {
            Ok(()) => self.step = Step::first(self.has_tls),
            Err(refusal) => return Err(self.refusal(refusal)),
        }
        Ok(())
    }

    fn invalid_header(&self, why: impl std::fmt::Display) -> Next {
        let text = format!("{IS_PROXY}{why}: let it send PROXY headers");
        self.refusal(Refusal::new(CloseReason::ProxyHeader, text))
    }

    /// Wraps the stream in TLS when its first byte has arrived.
    fn begin_tls(&mut self, entry: &Entry<'_>) -> Result<(), Next> {
        let Some(Stream::Plain(socket)) = &mut self.stream else { return Err(lost()) };
        let mut bytes = [0; http::LONGEST_METHOD + 1];
        let len = received(retry(|| socket.peek(&mut bytes)))?;
        if bytes[0] != TLS_HANDSHAKE {
            return Err(Next::Refuse(no_tls(CloseReason::Handshake, &bytes[..len])));
        }
        let Some(config) = &entry.rules.tls else { return Err(lost()) };
        if let Some(Stream::Plain(socket)) = self.stream.take() {
            let stream = TlsStream::accept(socket, config).map_err(|error| failed_handshake(&error))?;
            self.stream = Some(stream.into());
        }
        self.step = Step::Tls;
        Ok(())
    }

    /// Goes on with the TLS handshake.
    fn shake_hands(&mut self) -> Result<(), Next> {
        let Some(Stream::Tls(stream)) = &mut self.stream else { return Err(lost()) };
        match stream.handshake() {
            Ok(Handshake::Done) => {
                self.step = Step::AfterTls;
                Ok(())
            }
            Ok(Handshake::Waiting) => Err(Next::Wait(None)),
            Ok(Handshake::Again) => Err(Next::Again),
            Err(error) => Err(failed_handshake(&error)),
        }
    }

    fn begin_password(&mut self, entry: &Entry<'_>, now: Moment) -> Result<(), Next> {
        if entry.rules.password.is_none() {
            return Err(Next::Admit(Vec::new()));
        }
        if entry.rules.failures.is_refused(self.peer.origin(), now) {
            return Err(Next::Refuse(too_many_failures()));
        }
        self.step = Step::Password { first_line: PasswordStep::default(), has_prompt: false };
        Ok(())
    }

    /// Reads the first line. If it is the password, the connection is admitted.
    fn read_password(&mut self, entry: &mut Entry<'_>, now: Moment) -> Next {
        let mut buffer = [0; MAX_INPUT];
        loop {
            let Step::Password { first_line, .. } = &mut self.step else { return Next::Again };
            let Some(stream) = &mut self.stream else { return lost() };
            let space = MAX_INPUT - self.input;
            if space == 0 {
                return Next::Refuse(Refusal::new(
                    CloseReason::EntryTimeout,
                    "too much input before the password",
                ));
            }
            if stream.has_pending_output() {
                _ = stream.flush();
            }
            let len = match retry(|| stream.read(&mut buffer[..space])) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock && stream.may_have_input() => {
                    return Next::Again;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.wait(),
                Err(error) => return Next::Close(CloseReason::ConnectionLost(error.kind()), String::new()),
            };
            self.input += len;
            let mut input = &buffer[..len];
            let mut replies = Vec::new();
            let first = match len {
                0 => first_line.finish(true),
                _ => first_line.push(&mut input, &mut replies),
            };
            self.write(&replies);
            match first {
                Some(first) => return self.judge(&first, input, entry, now),
                None if len == 0 => return Next::Close(CloseReason::LeftBeforeEntry, String::new()),
                None => {}
            }
        }
    }

    /// What a connection waits for that has yet to send its first line.
    fn wait(&self) -> Next {
        Next::Wait(match &self.step {
            Step::Password { has_prompt: false, .. } => Some((Timer::Prompt, ClientLimits::GREET_AFTER)),
            Step::Password { first_line, .. } if first_line.is_holding_lines() => {
                Some((Timer::Opening, OPENING_TIMEOUT))
            }
            _ => None,
        })
    }

    /// Decides about the first line; `rest` is what came after it.
    fn judge(&mut self, first: &FirstLine, rest: &[u8], entry: &mut Entry<'_>, now: Moment) -> Next {
        let line = match first {
            FirstLine::Line(line) => Some(line),
            FirstLine::TooLong => None,
            FirstLine::OtherProtocol(protocol) => return Next::Refuse(Refusal::of_protocol(*protocol)),
        };
        self.prompt(entry);
        let Some(password) = &entry.rules.password else { return Next::Admit(rest.to_vec()) };
        let origin = self.peer.origin();
        if entry.rules.failures.is_refused(origin, now) {
            return Next::Refuse(too_many_failures());
        }
        if line.is_some_and(|line| password.matches(line)) {
            return Next::Admit(rest.to_vec());
        }
        entry.rules.failures.record(origin, now);
        self.step = Step::WrongPassword;
        Next::Wait(Some((Timer::Refusal, WRONG_PASSWORD_DELAY)))
    }

    /// Asks for the password, unless that was done.
    fn prompt(&mut self, entry: &Entry<'_>) {
        if let Step::Password { has_prompt: has_prompt @ false, .. } = &mut self.step {
            *has_prompt = true;
            self.write(&entry.clients.room().prompt(self.view, PASSWORD));
        }
    }

    /// Writes a few bytes: the socket has space, for nothing was written to it before. If the connection is lost,
    /// the next read says so.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream
            && !bytes.is_empty()
        {
            _ = retry(|| stream.write_vectored(&[IoSlice::new(bytes)]));
        }
    }

    /// Does what a timer is for.
    pub(super) fn on_timer(&mut self, timer: Timer, entry: &mut Entry<'_>, now: Moment) -> Next {
        match (timer, &mut self.step) {
            (Timer::Deadline, Step::WrongPassword) => Next::Wait(None),
            (Timer::Deadline, Step::Proxy) => self.refuse_late("PROXY header"),
            (Timer::Deadline, Step::Password { .. }) => self.refuse_late("password"),
            // Rather somebody who waits for a prompt than a program that speaks TLS.
            (Timer::Deadline, Step::BeforeTls) => Next::Refuse(no_tls(CloseReason::EntryTimeout, &[])),
            (Timer::Deadline, _) => self.refuse_late("TLS handshake"),
            (Timer::Prompt, Step::Password { .. }) => {
                self.prompt(entry);
                self.wait()
            }
            (Timer::Opening, Step::Password { first_line, .. }) => match first_line.finish(false) {
                Some(first) => self.judge(&first, &[], entry, now),
                None => Next::Wait(None),
            },
            (Timer::Refusal, _) => Next::Refuse(Refusal::new(CloseReason::WrongPassword, WRONG_PASSWORD)),
            (Timer::Prompt | Timer::Opening, _) => Next::Wait(None),
        }
    }

    fn refuse_late(&self, what: &str) -> Next {
        let text = format!("no {what} within {} s", DEADLINE.as_secs());
        self.refusal(Refusal::new(CloseReason::EntryTimeout, text))
    }
}

impl Step {
    /// The first step after the PROXY header.
    const fn first(has_tls: bool) -> Self {
        if has_tls { Self::BeforeTls } else { Self::AfterTls }
    }
}

/// The bytes that a call received.
fn received(result: io::Result<usize>) -> Result<usize, Next> {
    match result {
        Ok(0) => Err(Next::Close(CloseReason::LeftBeforeEntry, String::new())),
        Ok(len) => Ok(len),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Next::Wait(None)),
        Err(error) => Err(Next::Close(CloseReason::ConnectionLost(error.kind()), String::new())),
    }
}

/// Its stream does not fit its step; no peer can cause this.
const fn lost() -> Next {
    Next::Close(CloseReason::NoProgress, String::new())
}

fn failed_handshake(error: &io::Error) -> Next {
    Next::Close(CloseReason::Handshake, format!(": {}", os_error::text(error)))
}

fn too_many_failures() -> Refusal {
    Refusal::for_now(CloseReason::PasswordLimit, "too many wrong passwords from your network")
}

/// The refusal of a client that does not speak TLS, in the language that its first bytes are of.
fn no_tls(reason: CloseReason, bytes: &[u8]) -> Refusal {
    let text = format!("{NEEDS_TLS}connect with hubbub-client --tls or ncat --ssl");
    if http::begins_with_method(bytes) {
        Refusal { reason, answer: Answer::Bytes(http::bad_request(&text)) }
    } else {
        Refusal::new(reason, text)
    }
}

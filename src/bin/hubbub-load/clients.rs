//! The clients and the poll loop that serves them.

use crate::client::{Client, ReadResult, State};
use crate::protocol::{Protocol, Received};
use crate::recorder::{self, Recorder};
use crate::schedule::Schedule;
use crate::sender::{SendPlan, TICK};
use crate::side_load::{SideLoad, SideOptions};
use crate::target::Target;
use hubbub::chat::text::PASSWORD;
use hubbub::cli::secret::Secret;
use hubbub::util::os_error;
use hubbub::wire::escape;
use hubbub::wire::view::View;
use mio::event::Event;
use mio::{Events, Poll, Token};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// The most clients that join at the same time, if the server sends a greeting.
const MAX_JOINING: usize = 100;
/// The same without a greeting: the backlog may be short, and no reply shows that a client is in.
const MAX_JOINING_SILENT: usize = 8;
/// Bytes of one read, at least.
const READ: usize = 256 * 1024;
/// Reads of one client in a row, so that the other clients and the clock get their turn.
const MAX_READS: usize = 8;
/// Bytes of a server's message that are shown.
const MAX_SHOWN: usize = 200;
/// The first probe is sent when no client has joined for this long.
const FIRST_PROBE_AFTER: Duration = Duration::from_millis(300);
/// The same for later probes, when the server is known to send no greeting.
const PROBE_AFTER: Duration = Duration::from_millis(10);

/// The clients, the record of what they received, and their poll.
#[derive(Debug)]
pub(crate) struct Clients {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    epoch: Instant,
    target: Target,
    protocol: Protocol,
    clients: Vec<Client>,
    connecting: usize,
    joined: usize,
    /// Whether the server greets each client; none until that is known.
    greets: Option<bool>,
    disconnected: usize,
    pub(crate) side_load: SideLoad,
    pub(crate) recorder: Recorder,
    server_error: Option<String>,
    /// What each client sends if the first line of the server asks for a password.
    password: Option<Secret>,
    /// Clients whose reads reached [`MAX_READS`]: there may be more to read without an event.
    unfinished: Vec<usize>,
    plan: SendPlan,
}

impl Clients {
    /// Connects the side load only: its connections must exist before those of the clients.
    pub(crate) fn new(
        mut target: Target,
        recorder: Recorder,
        schedule: Schedule,
        side_options: SideOptions,
        password: Option<Secret>,
    ) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| system_error(&error))?;
        let workload = *recorder.workload();
        let handshake = workload.protocol.handshake();
        let side_load =
            SideLoad::connect(&mut target, poll.registry(), handshake, workload.readers, side_options)
                .map_err(|error| os_error::text(&error))?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; READ.max(4 * workload.bytes)],
            epoch: Instant::now(),
            target,
            protocol: workload.protocol,
            clients: Vec::with_capacity(workload.readers),
            connecting: 0,
            joined: 0,
            greets: None,
            disconnected: 0,
            side_load,
            recorder,
            server_error: None,
            password,
            unfinished: Vec::new(),
            plan: SendPlan::new(schedule, workload.senders),
        })
    }

    /// Returns the time since the creation.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Returns how many clients are known to receive lines.
    pub(crate) const fn joined(&self) -> usize {
        self.joined
    }

    /// Whether `count` clients are connected, joined or not.
    pub(crate) const fn are_connected(&self, count: usize) -> bool {
        self.connecting == 0 && self.clients.len() == count
    }

    /// Returns how many clients the server disconnected.
    pub(crate) const fn disconnected(&self) -> usize {
        self.disconnected
    }

    /// Whether the server has disconnected all clients.
    pub(crate) const fn are_all_disconnected(&self) -> bool {
        self.disconnected == self.clients.len()
    }

    /// Returns why TLS failed on the first connection on which it did.
    pub(crate) fn tls_failure(&self) -> Option<&str> {
        self.clients.iter().find_map(Client::failure)
    }

    /// Returns the first error or notice that the server sent.
    pub(crate) fn server_message(&self) -> Option<String> {
        let notice = || self.recorder.notice().map(shown);
        self.server_error.clone().or_else(notice)
    }

    /// Opens as many connections as may be joining at a time, up to `count` in total.
    pub(crate) fn connect(&mut self, count: usize) -> Result<(), String> {
        let most = if self.greets == Some(true) { MAX_JOINING } else { MAX_JOINING_SILENT };
        while self.clients.len() < count && self.clients.len() - self.joined < most {
            let mut stream = match self.target.connect() {
                Ok(stream) => stream,
                // A unix socket's backlog is full.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(os_error::text(&error)),
            };
            let token = Token(self.clients.len());
            stream.register(self.poll.registry(), token).map_err(|error| system_error(&error))?;
            self.clients.push(Client::new(stream, self.protocol.handshake()));
            self.connecting += 1;
        }
        Ok(())
    }

    /// Sends a probe from the first client to the others, and from the second to the first.
    ///
    /// Does so only if no client is connecting and none has joined for a while since `last_join`. Returns
    /// whether probes were sent.
    pub(crate) fn probe(&mut self, last_join: Duration) -> bool {
        let after = if self.greets == Some(false) { PROBE_AFTER } else { FIRST_PROBE_AFTER };
        // A probe before the password would be taken for it.
        let may_ask =
            self.password.is_some() && !self.clients.iter().take(2).all(|client| client.has_password);
        if self.connecting > 0 || may_ask || self.now().saturating_sub(last_join) < after {
            return false;
        }
        self.greets.get_or_insert(false);
        let probe = self.recorder.probe();
        for client in self.clients.iter_mut().take(2) {
            // A server that does not read must not cost memory.
            if !client.has_output() {
                client.output().extend_from_slice(&probe);
                client.flush();
            }
        }
        true
    }

    /// Starts the senders.
    pub(crate) fn start_sending(&mut self) {
        self.plan.start(self.now());
    }

    /// Ends sending early: only what was sent has to arrive.
    pub(crate) fn stop_sending(&mut self) {
        self.plan.stop();
        self.recorder.stop_sending();
    }

    /// Returns how many lines were sent.
    pub(crate) const fn sent(&self) -> u32 {
        self.plan.sent()
    }

    /// Whether sending has ended, and no client waits until the server reads.
    pub(crate) fn have_sent_all(&self) -> bool {
        self.plan.is_complete() && !self.clients.iter().any(Client::has_output)
    }

    /// Returns the view of the listener, if it is not the plain view.
    pub(crate) const fn wrong_view(&self) -> Option<View> {
        self.recorder.wrong_view()
    }

    /// Runs one turn of the loop, which waits for `wait` at most: handles the events, then sends what is due.
    pub(crate) fn turn(&mut self, wait: Duration) -> Result<(), String> {
        // poll rounds up to whole milliseconds, so a line would be late. Rounded down here, the loop polls
        // without a wait during the last millisecond.
        let wait = Duration::from_millis(self.poll_timeout().min(wait).as_millis() as u64);
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(|error| system_error(&error))?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let handled = events.iter().try_for_each(|event| self.on_event(event));
        self.events = events;
        handled?;
        for index in std::mem::take(&mut self.unfinished) {
            if self.clients[index].is_connected() {
                self.read(index, true);
            }
        }
        self.plan.send_due(&mut self.clients, &mut self.recorder, self.epoch);
        if let Some(started) = self.plan.started() {
            let elapsed = self.now().saturating_sub(started);
            let (target, registry) = (&mut self.target, self.poll.registry());
            self.side_load
                .run_due(elapsed, target, registry, &mut self.buffer)
                .map_err(|error| system_error(&error))?;
        }
        Ok(())
    }

    /// Reads what the stuck readers left unread, to see whether they were disconnected.
    ///
    /// Returns whether anything was read.
    pub(crate) fn drain_side_load(&mut self) -> bool {
        self.side_load.drain(&mut self.buffer)
    }

    fn poll_timeout(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let Some(started) = self.plan.started() else { return TICK };
        let wait = self.plan.wait(self.now().saturating_sub(started), self.recorder.received_by_all());
        wait.min(self.side_load.interval().unwrap_or(TICK)).min(TICK)
    }

    fn on_event(&mut self, event: &Event) -> Result<(), String> {
        let Token(index) = event.token();
        let Some(client) = self.clients.get_mut(index) else {
            // A broker greets only after a handshake, which the churn connections do not send.
            let greets = self.protocol == Protocol::Lines && self.greets == Some(true);
            self.side_load.on_event(index, greets);
            return Ok(());
        };
        if client.state == State::Connecting {
            self.connecting -= 1;
            if let Ok(Some(error)) = client.stream().take_error() {
                return Err(os_error::text(&error));
            }
            client.state = State::Connected;
        }
        // A reset may follow a clean end: the client is then closed already and counts once.
        if client.is_connected() && (event.is_readable() || event.is_read_closed() || event.is_error()) {
            self.read(index, event.is_read_closed() || event.is_error());
        }
        if self.clients[index].flush() {
            self.plan.on_flushed(index);
        }
        Ok(())
    }

    /// Reads what has arrived for a client, in at most [`MAX_READS`] reads.
    fn read(&mut self, index: usize, is_closed: bool) {
        let client = &mut self.clients[index];
        let mut has_joined = false;
        let mut may_ask = self.password.is_some() && !client.has_password && client.state == State::Connected;
        for reads in 1.. {
            if !client.is_connected() {
                break;
            }
            let ReadResult::Bytes(bytes, may_be_more) = client.read(&mut self.buffer) else { break };
            let now = self.epoch.elapsed();
            let capacity = self.buffer.len();
            let mut is_asked = false;
            client.decode(&self.buffer[..bytes], self.protocol, capacity, |message| match message {
                Received::Line(line) if std::mem::take(&mut may_ask) && is_prompt(line) => is_asked = true,
                Received::Line(line) => {
                    // A notice may be a refusal: it does not show that the client receives lines.
                    has_joined |= !recorder::is_notice(line);
                    self.recorder.receive(index, line, now);
                }
                Received::Joined => has_joined = true,
                Received::Error(text) => _ = self.server_error.get_or_insert_with(|| shown(text)),
                Received::Ping(_) | Received::Other => {}
            });
            if let Some(password) = self.password.as_ref().filter(|_| is_asked) {
                client.has_password = true;
                client.output().extend_from_slice(&[password.bytes(), b"\n"].concat());
            }
            // A read that does not fill the buffer took everything; only the end of input needs one more.
            if !may_be_more && !is_closed {
                break;
            }
            if reads == MAX_READS {
                self.unfinished.push(index);
                break;
            }
        }
        match client.state {
            State::Connected if has_joined => {
                client.state = State::Joined;
                self.joined += 1;
                self.greets.get_or_insert(true);
            }
            State::Closed => {
                self.disconnected += 1;
                self.recorder.disconnect(index);
            }
            State::Connecting | State::Connected | State::Joined => {}
        }
    }
}

/// Whether a line asks for the password of the room.
fn is_prompt(line: &[u8]) -> bool {
    line.strip_prefix(b"* ") == Some(PASSWORD.as_bytes())
}

fn system_error(error: &std::io::Error) -> String {
    format!("system error: {}", os_error::text(error))
}

/// Returns the start of a server's message, made safe for a terminal.
fn shown(bytes: &[u8]) -> String {
    let (start, more) = match bytes.get(..MAX_SHOWN) {
        Some(start) => (start, "…"),
        None => (bytes, ""),
    };
    format!("{}{more}", String::from_utf8_lossy(&escape::escape(start)))
}

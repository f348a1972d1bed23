//! The loop: one poll, and in each turn the same steps in the same order.

mod signals;

use crate::clients::stats::count;
use crate::clients::{Clients, Timer};
use crate::logging::log_file::LogFile;
use crate::net::acceptor::{Accepted, Acceptor};
use crate::net::peer::Peer;
use crate::net::systemd::Notifier;
use crate::net::transport::PlainStream;
use crate::util::clock::{Clock, Moment};
use crate::util::id_slab::ClientId;
use crate::util::timers::Timers;
use crate::util::trim::TrimMemory;
use crate::wire::view::View;
use log::{debug, error, info, warn};
use mio::{Events, Interest, Poll, Token};
use signals::{Signal, Signals};
use std::io;
use std::time::{Duration, Instant};

/// Events taken at a time; what does not fit comes with the next turn.
const EVENTS: usize = 1024;
/// After so many failures of poll in a row the server ends, for whoever supervises it to start anew.
const MOST_POLL_FAILURES: u32 = 5;
/// How long a stopping server waits for those who are owed something.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long memory that a burst took is kept: a burst that follows soon needs it again.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(1);
/// How soon the supervisor knows of what changed.
const STATUS_AFTER: Duration = Duration::from_secs(1);
/// How often a log that does not take lines is tried again.
const LOG_RETRY: Duration = Duration::from_secs(1);

const SIGNALS: Token = Token(usize::MAX);

/// The server: everything that is registered with the poll.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    doors: Acceptor,
    signals: Signals,
    clients: Clients<PlainStream>,
    timers: Timers<Timer>,
    clock: Clock,
    log: LogFile,
    report_every: Option<Duration>,
    /// As of the last report, by which the next is known to be worth making.
    reported: ReportState,
    supervisor: Notifier,
    /// As the supervisor was told last.
    shown: ReportState,
    stopping: bool,
}

/// What a report is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReportState {
    accepted: u64,
    online: usize,
    lines: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everyone was told what they were owed.
    Clean,
    /// A second signal asked for haste.
    Forced,
}

impl Server {
    /// Registers listeners and signals with a poll.
    ///
    /// # Errors
    /// Those of the system's poll and signal calls.
    pub fn new(
        mut doors: Acceptor,
        clients: Clients<PlainStream>,
        log: LogFile,
        report_every: Option<Duration>,
        supervisor: Notifier,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut signals = Signals::new()?;
        poll.registry().register(signals.source(), SIGNALS, Interest::READABLE)?;
        doors.register(poll.registry())?;
        Ok(Self {
            poll,
            doors,
            signals,
            clients,
            timers: Timers::new(),
            clock: Clock::start(Instant::now()),
            log,
            report_every,
            reported: ReportState::default(),
            supervisor,
            shown: ReportState::default(),
            stopping: false,
        })
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// Poll's own, after it failed several times in a row: nothing of one client's making.
    pub fn run(mut self) -> io::Result<Exit> {
        let mut events = Events::with_capacity(EVENTS);
        let mut failures = 0;
        // Not before: who reads this line may send newcomers or a signal at once.
        self.doors.announce();
        self.supervisor.ready();
        self.notify_status();
        self.ping_watchdog();
        let end = loop {
            let asked = self.sleep();
            match self.poll.poll(&mut events, asked) {
                Ok(()) => failures = 0,
                // A signal: it is an event of the next poll, which tells what the time was spent on.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    events.clear();
                    failures += 1;
                    error!("poll failed: {error}");
                    if failures == MOST_POLL_FAILURES {
                        return Err(error);
                    }
                }
            }
            let now = Instant::now();
            // After a stop between poll's return and here, the signal's event only comes with the next poll.
            let is_signalled = events.iter().any(|event| event.token() == SIGNALS)
                || asked.is_some() && self.clock.is_long_since(now);
            let signals = if is_signalled { self.signals.pending() } else { Vec::new() };
            let now = self.clock.turn(now, asked, signals.contains(&Signal::Resume));
            if let Some(end) = self.turn(&events, &signals, now) {
                break end;
            }
        };
        self.clients.log_suppressed();
        info!("stopped: {}, {}", self.clients.room().relayed(), self.clients.stats);
        Ok(end)
    }

    /// How long to wait for events: not at all while there is work, else until the next deadline.
    fn sleep(&self) -> Option<Duration> {
        if self.clients.has_work() || self.doors.has_pending() {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|at| at.since(self.clock.now()))
    }

    fn turn(&mut self, events: &Events, signals: &[Signal], now: Moment) -> Option<Exit> {
        for event in events {
            match event.token() {
                SIGNALS => {}
                token if token.0 < ClientId::FIRST_FREE => {
                    // An error or a hang-up is found out by the read or write that it makes fail.
                    let readable = event.is_readable() || event.is_read_closed() || event.is_error();
                    let writable = event.is_writable() || event.is_write_closed() || event.is_error();
                    let key = ClientId::from_number(token.0);
                    self.clients.note(key, readable, writable, now);
                    if event.is_error() || event.is_read_closed() && event.is_write_closed() {
                        self.clients.mark_reset(key);
                    }
                }
                token => self.doors.mark_ready(token),
            }
        }
        while let Some(timer) = self.timers.pop(now) {
            self.deadline(timer, now);
        }
        self.clients.read(&mut self.timers, now);
        self.clients.write(&mut self.timers, now);
        self.clients.disconnect_stalled(&mut self.timers, now);
        for &signal in signals {
            if let Some(end) = self.handle_signal(signal, now) {
                return Some(end);
            }
        }
        if self.clients.sweep(&mut self.timers, now) {
            // A descriptor came free: whoever waits for one need not wait for a timer.
            self.doors.try_again();
        }
        if self.stopping {
            return self.clients.is_empty().then_some(Exit::Clean);
        }
        self.accept(now);
        self.note_changes(now);
        None
    }

    fn deadline(&mut self, timer: Timer, now: Moment) {
        match timer {
            Timer::Client(key, due) => self.clients.deadline(key, due, &mut self.timers, now),
            // Only wakes the loop: whom it concerns is known when everyone was written to.
            Timer::Stall => {}
            Timer::RetryAccept => self.doors.try_again(),
            Timer::Report => self.report(),
            Timer::Status => self.notify_status(),
            Timer::Watchdog => self.ping_watchdog(),
            Timer::TrimMemory => {
                self.timers.trim();
                self.clients.trim_memory();
            }
            Timer::RetryLog => self.log.try_again(),
            Timer::ShutdownDeadline => self.clients.abort_pending_writes(),
        }
    }

    fn accept(&mut self, now: Moment) {
        for _ in 0..Acceptor::ACCEPTS {
            match self.doors.accept(now) {
                Accepted::WouldBlock => return,
                Accepted::Aborted => {}
                Accepted::Backoff { retry_at } => {
                    self.clients.stats.accept_failures += 1;
                    self.timers.set(Timer::RetryAccept, retry_at);
                    return;
                }
                Accepted::Client(socket, view, peer) => self.admit(socket, view, peer, now),
                Accepted::NoDescriptor(socket, view, peer) => {
                    self.clients.stats.accept_failures += 1;
                    self.clients.refuse_without_fd(socket, view, peer, now);
                    self.doors.restore_spare_fd();
                }
            }
        }
    }

    fn admit(&mut self, socket: PlainStream, view: View, peer: Peer, now: Moment) {
        let registry = self.poll.registry();
        self.clients.admit(socket, view, peer, &mut self.timers, now, |socket, key| {
            registry.register(socket, Token(key.number()), Interest::READABLE | Interest::WRITABLE)
        });
    }

    /// Sets the timers that only a change sets, so that an idle server is never woken.
    fn note_changes(&mut self, now: Moment) {
        if let Some(every) = self.report_every
            && self.reported != self.state()
        {
            self.timers.set_if_none(Timer::Report, now.after(every));
        }
        if self.supervisor.exists() && self.shown != self.state() {
            self.timers.set_if_none(Timer::Status, now.after(STATUS_AFTER));
        }
        if self.clients.has_slack() || self.timers.has_slack() {
            self.timers.set_if_none(Timer::TrimMemory, now.after(GIVE_BACK_AFTER));
        }
        if self.log.is_stuck() {
            self.timers.set_if_none(Timer::RetryLog, now.after(LOG_RETRY));
        }
    }

    fn state(&self) -> ReportState {
        ReportState {
            accepted: self.clients.stats.accepted,
            online: self.clients.online(),
            lines: self.clients.room().relayed().lines,
        }
    }

    fn report(&mut self) {
        let state = self.state();
        let lines = state.lines - self.reported.lines;
        info!("{} online, {} relayed since the last report", state.online, count(lines, "line"));
        self.clients.log_suppressed();
        self.reported = state;
    }

    /// Tells the supervisor who is online.
    fn notify_status(&mut self) {
        self.shown = self.state();
        self.supervisor.status(&format!("{} online, {}", self.shown.online, self.clients.room().relayed()));
    }

    /// Tells the supervisor that the loop goes round, and will again.
    fn ping_watchdog(&mut self) {
        if let Some(every) = self.supervisor.watchdog() {
            self.supervisor.alive();
            self.timers.set(Timer::Watchdog, self.clock.now().after(every));
        }
    }

    fn handle_signal(&mut self, signal: Signal, now: Moment) -> Option<Exit> {
        match signal {
            Signal::Stop if self.stopping => {
                warn!("stopping at once");
                return Some(Exit::Forced);
            }
            Signal::Stop => self.stop(now),
            Signal::ReopenLog => match self.log.reopen() {
                Ok(true) => info!("log reopened"),
                Ok(false) => {}
                Err(error) => error!("{error}"),
            },
            Signal::Count => {
                let online = self.clients.online();
                info!("{online} online, {}, {}", self.clients.room().relayed(), self.clients.stats);
            }
            Signal::Resume => {}
        }
        None
    }

    fn stop(&mut self, now: Moment) {
        self.stopping = true;
        self.supervisor.stopping();
        info!("stopping; a second signal stops at once");
        self.doors.close();
        for timer in [Timer::RetryAccept, Timer::Report, Timer::Status] {
            self.timers.cancel(timer);
        }
        debug!("{} online are given what they are owed", self.clients.online());
        self.clients.stop(&mut self.timers);
        self.timers.set(Timer::ShutdownDeadline, now.after(SHUTDOWN_GRACE));
    }
}

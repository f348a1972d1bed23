//! The event loop: one poll, and in each turn the same steps in the same order.

mod process_status;
mod signals;
mod timer;
mod tokens;

use crate::admin::{Admin, Operated};
use crate::clients::Clients;
use crate::logging::log_file::LogFile;
use crate::net::acceptor::{Accepted, Acceptor};
use crate::net::bans::Bans;
use crate::net::failures;
use crate::net::service::Service;
use crate::net::stream::Stream;
use crate::net::systemd::Notifier;
use crate::net::transport::PlainStream;
use crate::pending::rules::EntryRules;
use crate::pending::{Arrival, Entry, Pending};
use crate::util::clock::{Clock, Moment};
use crate::util::os_error;
use crate::util::plural::count;
use crate::util::timers::Timers;
use crate::util::trim::TrimMemory;
use log::{debug, error, info, warn};
use mio::event::Event;
use mio::{Events, Interest, Poll};
use signals::{Signal, Signals};
use std::io;
use std::time::{Duration, Instant};
use timer::ServerTimer;
use tokens::{SIGNALS, Source};

/// The most events of one poll; the next poll returns the others.
const EVENTS: usize = 1024;
/// After this many failures of poll in a row the server ends, so that a supervisor can restart it.
const MAX_POLL_FAILURES: u32 = 5;
/// When the server stops, it waits this long for its clients to receive what is pending.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// Memory of a burst is returned after this time: another burst may need it sooner.
const TRIM_AFTER: Duration = Duration::from_secs(1);
/// The supervisor receives a new status line at most once in this time.
const STATUS_AFTER: Duration = Duration::from_secs(1);
/// The interval of attempts to write to a log that takes no lines.
const LOG_RETRY: Duration = Duration::from_secs(1);

/// The server: everything that is registered with the poll, and what it owns.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    acceptor: Acceptor,
    signals: Signals,
    clients: Clients<Stream>,
    door: Door,
    admin: Admin<PlainStream>,
    bans: Bans,
    timers: Timers<ServerTimer>,
    clock: Clock,
    log: LogFile,
    report_every: Option<Duration>,
    /// The state at the last report. The next report is logged only if the state has changed.
    reported: ReportState,
    notifier: Notifier,
    /// The state in the last status line for the supervisor.
    notified: ReportState,
    is_stopping: bool,
}

/// What a connection passes before it is in the room.
#[derive(Debug)]
pub struct Door {
    /// Who is admitted, and after which steps.
    rules: EntryRules,
    /// Connections that are not admitted yet.
    pending: Pending,
}

impl Door {
    /// At most `pending` connections are not admitted yet.
    pub fn new(rules: EntryRules, pending: usize) -> Self {
        Self { rules, pending: Pending::new(pending, tokens::FIRST_PENDING) }
    }
}

/// The figures of a report and of a status line.
#[derive(Debug, Default, PartialEq, Eq)]
struct ReportState {
    accepted: u64,
    online: usize,
    lines: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Each connection was closed after its pending output was written, or when the time for that was over.
    Clean,
    /// A second signal asked to stop at once.
    Forced,
}

impl Server {
    /// Registers listeners and signals with a poll.
    ///
    /// # Errors
    /// Those of the system's poll and signal calls.
    pub fn new(
        mut acceptor: Acceptor,
        clients: Clients<Stream>,
        door: Door,
        log: LogFile,
        report_every: Option<Duration>,
        notifier: Notifier,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut signals = Signals::new()?;
        poll.registry().register(signals.source(), SIGNALS, Interest::READABLE)?;
        acceptor.register(poll.registry())?;
        Ok(Self {
            poll,
            acceptor,
            signals,
            clients,
            door,
            admin: Admin::new(),
            bans: Bans::default(),
            timers: Timers::new(),
            clock: Clock::start(Instant::now()),
            log,
            report_every,
            reported: ReportState::default(),
            notifier,
            notified: ReportState::default(),
            is_stopping: false,
        })
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// The error of poll, if it failed five times in a row. No client can cause it.
    pub fn run(mut self) -> io::Result<Exit> {
        let mut events = Events::with_capacity(EVENTS);
        let mut failures = 0;
        // Logged after registration: a program that reads these lines may connect or send a signal at once.
        self.acceptor.announce();
        self.notifier.ready();
        self.notify_status();
        self.ping_watchdog();
        let exit = loop {
            let timeout = self.poll_timeout();
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => failures = 0,
                // A signal interrupted poll. The next poll returns the signal as an event, and then the clock is set.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    events.clear();
                    failures += 1;
                    error!("poll failed: {}", os_error::text(&error));
                    if failures == MAX_POLL_FAILURES {
                        return Err(error);
                    }
                }
            }
            let now = Instant::now();
            // If SIGCONT arrives after poll has returned, there is no event for it yet. Only the time since the
            // last turn shows that the process may have been stopped.
            let may_be_signalled = events.iter().any(|event| event.token() == SIGNALS)
                || timeout.is_some() && self.clock.may_have_stopped(now);
            let signals = if may_be_signalled { self.signals.pending() } else { Vec::new() };
            let now = self.clock.turn(now, timeout, signals.contains(&Signal::Continued));
            if let Some(exit) = self.turn(&events, &signals, now) {
                break exit;
            }
        };
        self.clients.log_suppressed();
        info!("stopped: {}, {}", self.clients.room().stats(), self.clients.stats);
        Ok(exit)
    }

    /// How long to wait for events: not at all while there is work, otherwise until the next deadline.
    fn poll_timeout(&self) -> Option<Duration> {
        let has_work = self.clients.has_work() || self.admin.has_work() || self.door.pending.has_work();
        if has_work || self.acceptor.has_pending() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.timers.next(),
            self.clients.next_deadline(),
            self.admin.next_deadline(),
            self.door.pending.next_deadline(),
        ];
        let next = deadlines.into_iter().flatten().min();
        next.map(|deadline| deadline.since(self.clock.now()))
    }

    /// One turn of the loop. Nothing is removed before all events are handled, and accepting comes last, so
    /// that no event of a removed client reaches a new one.
    fn turn(&mut self, events: &Events, signals: &[Signal], now: Moment) -> Option<Exit> {
        for event in events {
            self.handle_event(event, now);
        }
        while let Some(timer) = self.timers.pop(now) {
            self.handle_timer(timer);
        }
        self.clients.run_timers(now);
        self.clients.read(now);
        let mut freed = self.run_admin(now);
        self.clients.write(now);
        self.clients.disconnect_stalled(now);
        for &signal in signals {
            if let Some(exit) = self.handle_signal(signal, now) {
                return Some(exit);
            }
        }
        freed |= self.clients.sweep(now);
        if freed {
            // A file descriptor was freed: a connection that waits for one need not wait for the timer.
            self.acceptor.retry();
        }
        if self.is_stopping {
            return self.clients.is_empty().then_some(Exit::Clean);
        }
        if !self.door.pending.is_empty() {
            let (pending, mut entry) = self.door();
            pending.run(&mut entry, now);
        }
        self.accept(now);
        self.set_timers(now);
        None
    }

    fn handle_event(&mut self, event: &Event, now: Moment) {
        // The next read or write returns the error or the end of input.
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let writable = event.is_writable() || event.is_write_closed() || event.is_error();
        match Source::of(event.token()) {
            Source::Signals => {}
            Source::Client(id) => {
                self.clients.mark_ready(id, readable, writable, now);
                if event.is_read_closed() {
                    self.clients.mark_input_end(id, now);
                }
                if event.is_error() || event.is_read_closed() && event.is_write_closed() {
                    self.clients.mark_reset(id);
                }
            }
            Source::Pending(slot) => self.door.pending.mark_ready(slot),
            Source::Admin(slot) => self.admin.mark_ready(slot, readable, writable),
            Source::Listener(token) => self.acceptor.mark_ready(token),
        }
    }

    /// Carries out the commands of operators; returns whether a connection of theirs was closed.
    fn run_admin(&mut self, now: Moment) -> bool {
        let Self { door: Door { rules, pending }, clients, bans, admin, .. } = self;
        let mut operated = Operated { clients, bans, proxies: rules.proxies(), pending: pending.len() };
        admin.run(&mut operated, now)
    }

    fn handle_timer(&mut self, timer: ServerTimer) {
        match timer {
            ServerTimer::RetryAccept => self.acceptor.retry(),
            ServerTimer::Report => self.report(),
            ServerTimer::Status => self.notify_status(),
            ServerTimer::Watchdog => self.ping_watchdog(),
            ServerTimer::TrimMemory => {
                self.timers.trim();
                self.clients.trim();
            }
            ServerTimer::ForgetFailures => self.door.rules.forget_failures(self.clock.now()),
            ServerTimer::RetryLog => self.log.retry(),
            ServerTimer::ShutdownDeadline => self.clients.abort_pending_writes(),
        }
    }

    fn accept(&mut self, now: Moment) {
        for _ in 0..Acceptor::ACCEPTS {
            match self.acceptor.accept(now) {
                Accepted::WouldBlock => return,
                Accepted::Aborted => {}
                Accepted::Backoff { retry_at } => {
                    self.clients.stats.accept_failures += 1;
                    self.timers.set(ServerTimer::RetryAccept, retry_at);
                    return;
                }
                Accepted::Client(socket, service, peer) => match service {
                    Service::Room { view, tls } => {
                        let (pending, mut entry) = self.door();
                        pending.enter(Arrival { socket, view, tls, peer }, &mut entry, now);
                    }
                    Service::Admin => {
                        let registry = self.poll.registry();
                        let both = Interest::READABLE | Interest::WRITABLE;
                        self.admin.accept(socket, peer, |socket, slot| {
                            registry.register(socket, tokens::admin(slot), both)
                        });
                    }
                },
                Accepted::NoDescriptor(socket, service, peer) => {
                    self.clients.stats.accept_failures += 1;
                    match service {
                        Service::Room { view, tls } => {
                            let (_, mut entry) = self.door();
                            entry.refuse_without_descriptor(Arrival { socket, view, tls, peer }, now);
                        }
                        Service::Admin => Admin::refuse(socket, "the server has no free file descriptor"),
                    }
                    self.acceptor.restore_spare_fd();
                }
            }
        }
    }

    /// The connections that are not admitted yet, and what their steps need.
    fn door(&mut self) -> (&mut Pending, Entry<'_>) {
        let Self { door: Door { rules, pending }, clients, bans, poll, .. } = self;
        (pending, Entry { rules, bans, clients, registry: poll.registry() })
    }

    /// Sets each timer whose work has become necessary. An idle server sets none, and so is never woken.
    fn set_timers(&mut self, now: Moment) {
        if let Some(every) = self.report_every
            && self.reported != self.report_state()
        {
            self.timers.set_if_none(ServerTimer::Report, now.after(every));
        }
        if self.notifier.exists() && self.notified != self.report_state() {
            self.timers.set_if_none(ServerTimer::Status, now.after(STATUS_AFTER));
        }
        if self.clients.has_slack() || self.timers.has_slack() {
            self.timers.set_if_none(ServerTimer::TrimMemory, now.after(TRIM_AFTER));
        }
        if self.door.rules.has_failures() {
            self.timers.set_if_none(ServerTimer::ForgetFailures, now.after(failures::WINDOW));
        }
        if self.log.is_stuck() {
            self.timers.set_if_none(ServerTimer::RetryLog, now.after(LOG_RETRY));
        }
    }

    fn report_state(&self) -> ReportState {
        ReportState {
            accepted: self.clients.stats.accepted,
            online: self.clients.online(),
            lines: self.clients.room().stats().lines,
        }
    }

    fn report(&mut self) {
        let state = self.report_state();
        let lines = state.lines - self.reported.lines;
        info!("{} online, {} relayed since the last report", state.online, count(lines, "line"));
        self.clients.log_suppressed();
        self.reported = state;
    }

    /// Sends a status line to the supervisor.
    fn notify_status(&mut self) {
        self.notified = self.report_state();
        self.notifier.status(&format!("{} online, {}", self.notified.online, self.clients.room().stats()));
    }

    /// Sends a watchdog message to the supervisor, and sets the timer for the next one.
    fn ping_watchdog(&mut self) {
        if let Some(every) = self.notifier.watchdog() {
            self.notifier.alive();
            self.timers.set(ServerTimer::Watchdog, self.clock.now().after(every));
        }
    }

    fn handle_signal(&mut self, signal: Signal, now: Moment) -> Option<Exit> {
        match signal {
            Signal::Stop if self.is_stopping => {
                warn!("stopping at once");
                return Some(Exit::Forced);
            }
            Signal::Stop => self.stop(now),
            Signal::ReopenLog => {
                match self.log.reopen() {
                    Ok(true) => info!("log reopened"),
                    Ok(false) => {}
                    Err(error) => error!("{error}"),
                }
                self.door.rules.reread();
            }
            Signal::LogStats => {
                let online = self.clients.online();
                info!("{online} online, {}, {}", self.clients.room().stats(), self.clients.stats);
            }
            Signal::Continued => {}
        }
        None
    }

    fn stop(&mut self, now: Moment) {
        self.is_stopping = true;
        self.notifier.stopping();
        info!("stopping; a second signal stops at once");
        self.acceptor.close();
        self.door.pending.close();
        self.admin.close();
        for timer in
            [ServerTimer::RetryAccept, ServerTimer::Report, ServerTimer::Status, ServerTimer::ForgetFailures]
        {
            self.timers.cancel(timer);
        }
        debug!("{} online: sending what is pending", self.clients.online());
        self.clients.shut_down(now);
        self.timers.set(ServerTimer::ShutdownDeadline, now.after(SHUTDOWN_GRACE));
    }
}

//! The loop: one poll, and in each turn the same steps in the same order.

pub mod doors;
pub mod listen;
pub mod listener;
mod signals;
mod unix;

use crate::clock::{Clock, Moment};
use crate::counters::count;
use crate::crowd::{Crowd, Timer};
use crate::logfile::LogFile;
use crate::peer::Peer;
use crate::roster::Key;
use crate::socket::Stream;
use crate::systemd::Supervisor;
use crate::timers::Timers;
use crate::view::View;
use doors::{Doors, Knock};
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
const LAST_WORDS: Duration = Duration::from_secs(5);
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
    doors: Doors,
    signals: Signals,
    crowd: Crowd<Stream>,
    timers: Timers<Timer>,
    clock: Clock,
    log: LogFile,
    report_every: Option<Duration>,
    /// As of the last report, by which the next is known to be worth making.
    reported: State,
    supervisor: Supervisor,
    /// As the supervisor was told last.
    shown: State,
    stopping: bool,
}

/// What a report is about.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    accepted: u64,
    online: usize,
    lines: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everyone was told what they were owed.
    Clean,
    /// A second signal asked for haste.
    Hasty,
}

impl Server {
    /// Registers listeners and signals with a poll.
    ///
    /// # Errors
    /// Those of the system's poll and signal calls.
    pub fn new(
        mut doors: Doors,
        crowd: Crowd<Stream>,
        log: LogFile,
        report_every: Option<Duration>,
        supervisor: Supervisor,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut signals = Signals::new()?;
        poll.registry().register(signals.source(), SIGNALS, Interest::READABLE)?;
        doors.register(poll.registry())?;
        Ok(Self {
            poll,
            doors,
            signals,
            crowd,
            timers: Timers::new(),
            clock: Clock::start(Instant::now()),
            log,
            report_every,
            reported: State::default(),
            supervisor,
            shown: State::default(),
            stopping: false,
        })
    }

    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// Poll's own, after it failed several times in a row: nothing of one client's making.
    pub fn run(mut self) -> io::Result<End> {
        let mut events = Events::with_capacity(EVENTS);
        let mut failures = 0;
        // Not before: who reads this line may send newcomers or a signal at once.
        self.doors.announce();
        self.supervisor.ready();
        self.show_status();
        self.show_life();
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
        self.crowd.log_what_was_not();
        info!("stopped: {}, {}", self.crowd.room().relayed(), self.crowd.counters);
        Ok(end)
    }

    /// How long to wait for events: not at all while there is work, else until the next deadline.
    fn sleep(&self) -> Option<Duration> {
        if self.crowd.has_work() || self.doors.anyone_waits() {
            return Some(Duration::ZERO);
        }
        self.timers.next().map(|at| at.since(self.clock.now()))
    }

    fn turn(&mut self, events: &Events, signals: &[Signal], now: Moment) -> Option<End> {
        for event in events {
            match event.token() {
                SIGNALS => {}
                token if token.0 < Key::FIRST_FREE => {
                    // An error or a hang-up is found out by the read or write that it makes fail.
                    let readable = event.is_readable() || event.is_read_closed() || event.is_error();
                    let writable = event.is_writable() || event.is_write_closed() || event.is_error();
                    let key = Key::from_number(token.0);
                    self.crowd.note(key, readable, writable, now);
                    if event.is_error() || event.is_read_closed() && event.is_write_closed() {
                        self.crowd.note_gone(key);
                    }
                }
                token => self.doors.knocked(token),
            }
        }
        while let Some(timer) = self.timers.pop(now) {
            self.deadline(timer, now);
        }
        self.crowd.read(&mut self.timers, now);
        self.crowd.write(&mut self.timers, now);
        self.crowd.be_patient(&mut self.timers, now);
        for &signal in signals {
            if let Some(end) = self.heed(signal, now) {
                return Some(end);
            }
        }
        if self.crowd.sweep(&mut self.timers, now) {
            // A descriptor came free: whoever waits for one need not wait for a timer.
            self.doors.try_again();
        }
        if self.stopping {
            return self.crowd.is_empty().then_some(End::Clean);
        }
        self.accept(now);
        self.note_changes(now);
        None
    }

    fn deadline(&mut self, timer: Timer, now: Moment) {
        match timer {
            Timer::Connection(key, due) => self.crowd.deadline(key, due, &mut self.timers, now),
            // Only wakes the loop: whom it concerns is known when everyone was written to.
            Timer::Patience => {}
            Timer::Accept => self.doors.try_again(),
            Timer::Report => self.report(),
            Timer::Status => self.show_status(),
            Timer::Watchdog => self.show_life(),
            Timer::GiveBack => {
                self.timers.give_back();
                self.crowd.give_back();
            }
            Timer::Log => self.log.try_again(),
            Timer::Stop => self.crowd.give_up_writing(),
        }
    }

    fn accept(&mut self, now: Moment) {
        for _ in 0..Doors::ACCEPTS {
            match self.doors.accept(now) {
                Knock::Nobody => return,
                Knock::Left => {}
                Knock::Failed { retry_at } => {
                    self.crowd.counters.accept_failures += 1;
                    self.timers.set(Timer::Accept, retry_at);
                    return;
                }
                Knock::Someone(socket, view, peer) => self.admit(socket, view, peer, now),
                Knock::OneTooMany(socket, view, peer) => {
                    self.crowd.counters.accept_failures += 1;
                    self.crowd.send_away(socket, view, peer, now);
                    self.doors.keep_reserve();
                }
            }
        }
    }

    fn admit(&mut self, socket: Stream, view: View, peer: Peer, now: Moment) {
        let registry = self.poll.registry();
        self.crowd.admit(socket, view, peer, &mut self.timers, now, |socket, key| {
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
        if self.crowd.is_swollen() || self.timers.is_swollen() {
            self.timers.set_if_none(Timer::GiveBack, now.after(GIVE_BACK_AFTER));
        }
        if self.log.is_stuck() {
            self.timers.set_if_none(Timer::Log, now.after(LOG_RETRY));
        }
    }

    fn state(&self) -> State {
        State {
            accepted: self.crowd.counters.accepted,
            online: self.crowd.online(),
            lines: self.crowd.room().relayed().lines,
        }
    }

    fn report(&mut self) {
        let state = self.state();
        let lines = state.lines - self.reported.lines;
        info!("{} online, {} relayed since the last report", state.online, count(lines, "line"));
        self.crowd.log_what_was_not();
        self.reported = state;
    }

    /// Tells the supervisor who is online.
    fn show_status(&mut self) {
        self.shown = self.state();
        self.supervisor.status(&format!("{} online, {}", self.shown.online, self.crowd.room().relayed()));
    }

    /// Tells the supervisor that the loop goes round, and will again.
    fn show_life(&mut self) {
        if let Some(every) = self.supervisor.watchdog() {
            self.supervisor.alive();
            self.timers.set(Timer::Watchdog, self.clock.now().after(every));
        }
    }

    fn heed(&mut self, signal: Signal, now: Moment) -> Option<End> {
        match signal {
            Signal::Stop if self.stopping => {
                warn!("stopping at once");
                return Some(End::Hasty);
            }
            Signal::Stop => self.stop(now),
            Signal::ReopenLog => match self.log.reopen() {
                Ok(true) => info!("log reopened"),
                Ok(false) => {}
                Err(error) => error!("{error}"),
            },
            Signal::Count => {
                let online = self.crowd.online();
                info!("{online} online, {}, {}", self.crowd.room().relayed(), self.crowd.counters);
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
        for timer in [Timer::Accept, Timer::Report, Timer::Status] {
            self.timers.cancel(timer);
        }
        debug!("{} online are given what they are owed", self.crowd.online());
        self.crowd.stop(&mut self.timers);
        self.timers.set(Timer::Stop, now.after(LAST_WORDS));
    }
}

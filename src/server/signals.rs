//! Signals as a source of events for the poll.

use mio::event::Source;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook_mio::v1_0::Signals as Pipe;
use std::fmt;
use std::io;

/// A request that arrives as a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    ReopenLog,
    /// SIGUSR1.
    LogStats,
    /// SIGCONT.
    Continued,
}

/// The signals that the server handles.
pub(super) struct Signals(Pipe);

impl Signals {
    /// Starts to catch the signals.
    ///
    /// # Errors
    /// Those of sigaction(2) and of making a pipe.
    pub(super) fn new() -> io::Result<Self> {
        // SIGXFSZ is caught and ignored. By default it would end the process when the log file reaches a limit.
        Pipe::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT, SIGXFSZ]).map(Self)
    }

    /// What to register with the poll.
    pub(super) const fn source(&mut self) -> &mut impl Source {
        &mut self.0
    }

    /// Returns the requests since the last call.
    pub(super) fn pending(&mut self) -> Vec<Signal> {
        let request = |number| match number {
            SIGINT | SIGTERM => Some(Signal::Stop),
            SIGHUP => Some(Signal::ReopenLog),
            SIGUSR1 => Some(Signal::LogStats),
            SIGCONT => Some(Signal::Continued),
            _ => None,
        };
        self.0.pending().filter_map(request).collect()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

//! Signals as one more source of events.

use mio::event::Source;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook_mio::v1_0::Signals as Pipe;
use std::fmt;
use std::io;

/// What a signal asks for.
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

pub(super) struct Signals(Pipe);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        // SIGXFSZ asks for nothing, but unheeded it kills: a log over its size limit is only a full log.
        Pipe::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCONT, SIGXFSZ]).map(Self)
    }

    pub(super) const fn source(&mut self) -> &mut impl Source {
        &mut self.0
    }

    pub(super) fn pending(&mut self) -> Vec<Signal> {
        let ask = |number| match number {
            SIGINT | SIGTERM => Some(Signal::Stop),
            SIGHUP => Some(Signal::ReopenLog),
            SIGUSR1 => Some(Signal::LogStats),
            SIGCONT => Some(Signal::Continued),
            _ => None,
        };
        self.0.pending().filter_map(ask).collect()
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

//! Signals as a source of events for the poll.

use super::process_status::SignalStatus;
use mio::event::Source;
use rustix::process::{WaitOptions, getpid, wait};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
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
        let mut handled = vec![SIGTERM, SIGHUP, SIGUSR1, SIGCONT];
        // A shell script ignores SIGINT in the programs that it starts with `&`, so that Ctrl-C ends the script
        // alone. SIGHUP is caught even if nohup(1) ignores it: it reopens the log, and does not end the server.
        if !SignalStatus::of_this_process().ignores(SIGINT) {
            handled.push(SIGINT);
        }
        if getpid().is_init() {
            handled.push(SIGCHLD);
        }
        let signals = Pipe::new(handled).map(Self)?;
        if getpid().is_init() {
            // Some may have ended before SIGCHLD was caught.
            reap();
        }
        Ok(signals)
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
            SIGCHLD => {
                reap();
                None
            }
            _ => None,
        };
        self.0.pending().filter_map(request).collect()
    }
}

/// Removes the ended processes from the system's table. The first process of a container inherits all processes
/// whose parents have ended.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signals")
    }
}

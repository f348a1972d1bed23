//! Signals as a source of events for the poll.

use super::process_status;
use mio::event::Source;
use mio::net::UnixStream;
use nix::sys::signal::{SigSet, Signal as SignalNumber};
use rustix::process::{WaitOptions, getpid, wait};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::OwnedFd;

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
#[derive(Debug)]
pub(super) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// Starts to catch the signals. Those that were blocked when the process started are unblocked: SIGTERM could not
    /// stop the server otherwise.
    ///
    /// # Errors
    /// Those of sigaction(2), of pthread_sigmask(3) and of making a pair of sockets.
    pub(super) fn new() -> io::Result<Self> {
        let mut handled = vec![SIGTERM, SIGHUP, SIGUSR1, SIGCONT];
        // A shell script ignores SIGINT in the programs that it starts with `&`, so that Ctrl-C ends the script
        // alone. SIGHUP is caught even if nohup(1) ignores it: it reopens the log, and does not end the server.
        if !process_status::ignores(SIGINT) {
            handled.push(SIGINT);
        }
        if getpid().is_init() {
            handled.push(SIGCHLD);
        }
        let (read, write) = UnixStream::pair()?;
        let delivery = SignalDelivery::with_pipe(read, OwnedFd::from(write), SignalOnly, &handled)?;
        // Only now: a signal that is pending would end the process if it were not caught.
        let handled = handled.into_iter().map(SignalNumber::try_from).collect::<Result<SigSet, _>>()?;
        handled.thread_unblock()?;
        if getpid().is_init() {
            // Some may have ended before SIGCHLD was caught.
            reap();
        }
        Ok(Self(delivery))
    }

    /// What to register with the poll.
    pub(super) fn source(&mut self) -> &mut impl Source {
        self.0.get_read_mut()
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

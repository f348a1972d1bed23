//! Totals from start to stop, for the log.

use super::close_reason::CloseReason;
use crate::util::plural::count;
use std::fmt;

/// Totals since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted, refused ones included.
    pub accepted: u64,
    /// Connections closed, by [`CloseReason::index`].
    pub closed: [u64; CloseReason::COUNT],
    /// Bytes read from clients.
    pub read: u64,
    /// Bytes written to clients.
    pub written: u64,
    /// Unfinished lines that were dropped when their connection closed.
    pub torn: u64,
    /// Events for a client that was removed already.
    pub stale: u64,
    /// Failures of accept(2) because the system lacked a resource.
    pub accept_failures: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.accepted, "accepted connection"))?;
        for (label, number) in CloseReason::labels().zip(self.closed).filter(|&(_, number)| number > 0) {
            write!(f, ", {number} {label}")?;
        }
        write!(f, ", {} in, {} out", count(self.read, "byte"), count(self.written, "byte"))?;
        for (number, what) in [
            (self.torn, "dropped unfinished line"),
            (self.stale, "stale event"),
            (self.accept_failures, "failed accept"),
        ] {
            if number > 0 {
                write!(f, ", {}", count(number, what))?;
            }
        }
        Ok(())
    }
}

//! What is counted from start to stop, for the log.

use crate::clients::close_reason::CloseReason;
pub use crate::util::plural::count;
use std::fmt;

/// Totals since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted, those turned away included.
    pub accepted: u64,
    /// Connections that ended, by [`CloseReason::index`].
    pub ended: [u64; CloseReason::KINDS.len()],
    /// Bytes read from clients.
    pub read: u64,
    /// Bytes written to clients.
    pub written: u64,
    /// Unfinished lines dropped with a broken connection.
    pub torn: u64,
    /// Events for a connection that was no longer there.
    pub stale: u64,
    /// Times that accepting failed for want of something.
    pub accept_failures: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accepted", self.accepted)?;
        for (kind, count) in CloseReason::KINDS.iter().zip(self.ended).filter(|&(_, count)| count > 0) {
            write!(f, ", {count} {kind}")?;
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

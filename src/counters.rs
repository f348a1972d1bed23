//! What is counted from start to stop, for the log.

use crate::goodbye::Goodbye;
use std::fmt;

/// Totals since the start.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted, those turned away included.
    pub accepted: u64,
    /// Connections that ended, by [`Goodbye::index`].
    pub ended: [u64; Goodbye::KINDS.len()],
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

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} accepted", self.accepted)?;
        for (kind, count) in Goodbye::KINDS.iter().zip(self.ended).filter(|&(_, count)| count > 0) {
            write!(f, ", {count} {kind}")?;
        }
        write!(f, ", {} bytes in, {} bytes out", self.read, self.written)?;
        for (count, what) in [
            (self.torn, "unfinished lines dropped"),
            (self.stale, "stale events"),
            (self.accept_failures, "failures to accept"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

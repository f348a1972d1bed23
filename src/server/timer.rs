//! The deadlines of the server itself. Those of clients are in the table of clients.

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ServerTimer {
    /// Memory of a burst is returned to the system.
    TrimMemory,
    /// Accepting is tried again.
    RetryAccept,
    /// The log gets a line about who is online.
    Report,
    /// The service manager gets a status line.
    Status,
    /// The service manager gets a sign of life.
    Watchdog,
    /// A log that does not take lines is tried again.
    RetryLog,
    /// Clients that have still to receive something are closed.
    ShutdownDeadline,
}

//! The deadlines of the server itself. The table of clients has the deadlines of clients.

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ServerTimer {
    /// Memory of a burst is returned to the system.
    TrimMemory,
    /// Accepting is tried again.
    RetryAccept,
    /// A report is logged.
    Report,
    /// The supervisor receives a status line.
    Status,
    /// The supervisor receives a watchdog message.
    Watchdog,
    /// Wrong passwords that do not count any more are forgotten.
    ForgetFailures,
    /// Writing to a log that takes no lines is tried again.
    RetryLog,
    /// Connections with pending output are closed.
    ShutdownDeadline,
}

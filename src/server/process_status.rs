//! Which signals are blocked or ignored: the process inherits both from the one that started it.

use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::ffi::c_int;

/// Signals that the server handles and that must not stay blocked, with their names for env(1).
pub(super) const HANDLED: [(c_int, &str); 6] = [
    (SIGHUP, "HUP"),
    (SIGINT, "INT"),
    (SIGUSR1, "USR1"),
    (SIGTERM, "TERM"),
    (SIGCHLD, "CHLD"),
    // Continues a process also if it is blocked, but then the server does not learn that it was stopped.
    (SIGCONT, "CONT"),
];

/// The state of the signals of a process, from `/proc/PID/status` (proc(5)).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignalStatus {
    blocked: u64,
    ignored: u64,
}

impl SignalStatus {
    /// The state of this process. Nothing is blocked or ignored if the system does not say.
    pub(super) fn of_this_process() -> Self {
        std::fs::read_to_string("/proc/self/status").map(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// Reads the text of `/proc/PID/status`.
    pub(super) fn parse(text: &str) -> Self {
        let mask = |name| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()).unwrap_or_default()
        };
        Self { blocked: mask("SigBlk:"), ignored: mask("SigIgn:") }
    }

    /// Whether a signal is ignored.
    pub(super) const fn ignores(self, signal: c_int) -> bool {
        has(self.ignored, signal)
    }

    /// The names of the handled signals that are blocked.
    pub(super) fn blocked_names(self) -> Vec<&'static str> {
        HANDLED.iter().filter(|(signal, _)| has(self.blocked, *signal)).map(|(_, name)| *name).collect()
    }
}

/// Whether a mask contains a signal: bit 0 is signal 1.
const fn has(mask: u64, signal: c_int) -> bool {
    mask & (1 << (signal - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_and_ignored_signals_are_read_from_the_status() {
        let status =
            SignalStatus::parse("Name:\thubbub\nSigBlk:\t0000000000024001\nSigIgn:\t0000000000001002\n");
        assert_eq!(status.blocked_names(), ["HUP", "TERM", "CONT"]);
        assert!(status.ignores(SIGINT) && !status.ignores(SIGTERM));
        assert_eq!(SignalStatus::parse("Name: x"), SignalStatus::default());
    }
}

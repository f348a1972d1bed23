//! Which signals are ignored: the process inherits this from the one that started it.

use std::ffi::c_int;

/// Whether this process ignores a signal. No if the system does not say.
pub(super) fn ignores(signal: c_int) -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status_ignores(&status, signal))
}

/// Whether the text of `/proc/PID/status` (proc(5)) says that a signal is ignored: bit 0 is signal 1.
fn status_ignores(status: &str, signal: c_int) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::status_ignores;
    use signal_hook::consts::{SIGINT, SIGTERM};

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        let status = "Name:\thubbub\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000001002\n";
        assert!(status_ignores(status, SIGINT) && !status_ignores(status, SIGTERM));
        assert!(!status_ignores("Name: x", SIGINT));
    }
}

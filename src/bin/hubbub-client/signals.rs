//! Signals while the terminal is not as it was found: it is put back before they take effect.

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which signal came that ends the process.
#[derive(Debug, Clone)]
pub(crate) struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// From now on signals are noted, and `waker` gets a byte for each that ends the process.
    pub(crate) fn watch(waker: &UnixStream) -> io::Result<Self> {
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGTERM, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        // Where the editing library does not wait for it, it is not to end the process.
        flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
        Ok(Self(last))
    }

    /// Whether one came that ends the process.
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Ends the process by the signal that came, if one did.
    pub(crate) fn take_effect(&self) {
        let signal = i32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default();
        if signal != 0 {
            // It fails for what is no signal.
            _ = low_level::emulate_default_handler(signal);
        }
    }

    /// Interrupts the waiting for keys.
    pub(crate) fn interrupt(&self) {
        // This process is there.
        _ = kill_process(getpid(), Signal::INT);
    }
}

//! Signals while the terminal is not as it was found: it is put back before they take effect.

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Which signals came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The last that ends the process; 0 for none.
    last: Arc<AtomicUsize>,
    is_interrupted: Arc<AtomicBool>,
}

impl Signals {
    /// From now on signals are noted, and `waker` gets a byte for each.
    pub(crate) fn watch(waker: &UnixStream) -> io::Result<Self> {
        let signals = Self::default();
        for signal in [SIGTERM, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&signals.last), signal.unsigned_abs() as usize)?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        // While a line is typed it is the editing library's; else it is not to end the process.
        flag::register(SIGINT, Arc::clone(&signals.is_interrupted))?;
        low_level::pipe::register(SIGINT, waker.try_clone()?)?;
        Ok(signals)
    }

    /// Whether one came that ends the process.
    pub(crate) fn came(&self) -> bool {
        self.last.load(Ordering::Relaxed) != 0
    }

    /// Whether Ctrl-C was pressed while no line was typed, since it was forgotten.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Whatever interrupted until now was meant otherwise.
    pub(crate) fn forget_interrupt(&self) {
        self.is_interrupted.store(false, Ordering::Relaxed);
    }

    /// An interrupt came that is to end the process.
    pub(crate) fn interrupt_came(&self) {
        self.last.store(SIGINT.unsigned_abs() as usize, Ordering::Relaxed);
    }

    /// Ends the process by the signal that came, if one did.
    pub(crate) fn take_effect(&self) {
        let signal = i32::try_from(self.last.load(Ordering::Relaxed)).unwrap_or_default();
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

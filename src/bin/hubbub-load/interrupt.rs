//! Ctrl-C and SIGTERM: the first one ends the run early, and the second one ends the program at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signal that has arrived, if any.
#[derive(Debug)]
pub(crate) struct Interrupt {
    /// Its number; 0 = none.
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Handles the signals from now on.
    ///
    /// # Errors
    /// The system refuses a signal handler.
    pub(crate) fn catch() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        let is_second = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // The handlers run in this order: the first signal finds the flag unset.
            flag::register_conditional_default(number, Arc::clone(&is_second))?;
            flag::register(number, Arc::clone(&is_second))?;
            flag::register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Self { signal })
    }

    /// Whether a signal has arrived.
    pub(crate) fn is_caught(&self) -> bool {
        self.signal.load(Ordering::Relaxed) != 0
    }

    /// Ends the program by the signal that has arrived, if any: a shell then knows that the run was cut short, and a
    /// loop in a script ends too.
    pub(crate) fn end_by_signal(&self) {
        let signal = self.signal.load(Ordering::Relaxed);
        if signal != 0 {
            // On an error the program ends with its own status.
            _ = low_level::emulate_default_handler(signal as i32);
        }
    }
}

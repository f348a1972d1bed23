//! Signals, delayed until the terminal is restored.

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The signals that have arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// The last signal that is to end the process; 0 = none.
    fatal: Arc<AtomicUsize>,
    is_interrupted: Arc<AtomicBool>,
    is_continued: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to record signals, and writes a byte to `waker` for each.
    pub(crate) fn watch(waker: &UnixStream) -> io::Result<Self> {
        let signals = Self::default();
        for signal in [SIGTERM, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&signals.fatal), signal.unsigned_abs() as usize)?;
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        // While a line is edited, rustyline handles SIGINT itself. At other times it must not end the process.
        flag::register(SIGINT, Arc::clone(&signals.is_interrupted))?;
        low_level::pipe::register(SIGINT, waker.try_clone()?)?;
        flag::register(SIGCONT, Arc::clone(&signals.is_continued))?;
        low_level::pipe::register(SIGCONT, waker.try_clone()?)?;
        Ok(signals)
    }

    /// Also writes a byte to `waker` for each SIGINT and SIGCONT.
    pub(crate) fn wake(&self, waker: &UnixStream) -> io::Result<()> {
        for signal in [SIGINT, SIGCONT] {
            low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(())
    }

    /// Returns whether a signal that is to end the process has arrived.
    pub(crate) fn has_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed) != 0
    }

    /// Returns whether SIGINT arrived while no line was edited, since [`clear_interrupt`](Self::clear_interrupt).
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Returns whether the process was stopped and goes on, since the last call.
    pub(crate) fn take_continued(&self) -> bool {
        self.is_continued.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn clear_interrupt(&self) {
        self.is_interrupted.store(false, Ordering::Relaxed);
    }

    /// Records SIGINT as a signal that is to end the process.
    pub(crate) fn make_interrupt_fatal(&self) {
        self.fatal.store(SIGINT.unsigned_abs() as usize, Ordering::Relaxed);
    }

    /// Ends the process by the recorded signal, if there is one.
    pub(crate) fn raise_fatal(&self) {
        raise(&self.fatal);
    }

    /// Sends SIGINT to this process, which ends rustyline's wait for a key.
    pub(crate) fn interrupt_editor(&self) {
        // The process exists, so this cannot fail.
        _ = kill_process(getpid(), Signal::INT);
    }
}

/// The signals that are to end the process, held back for a short time.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The last signal; 0 = none.
    last: Arc<AtomicUsize>,
    wake: UnixStream,
    ids: Vec<SigId>,
}

impl Pending {
    pub(crate) fn watch() -> io::Result<Self> {
        let (waker, wake) = UnixStream::pair()?;
        let (last, mut ids) = (Arc::<AtomicUsize>::default(), Vec::new());
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            ids.push(flag::register_usize(signal, Arc::clone(&last), signal.unsigned_abs() as usize)?);
            ids.push(low_level::pipe::register(signal, waker.try_clone()?)?);
        }
        Ok(Self { last, wake, ids })
    }

    /// Returns the descriptor that becomes readable when a signal has arrived.
    pub(crate) const fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// Ends the process by the signal that has arrived, if there is one.
    pub(crate) fn raise(&self) {
        raise(&self.last);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// Gives the signals that end a process their default action again, after [`Pending`] is dropped.
pub(crate) fn restore_defaults() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)))?;
    }
    Ok(())
}

/// Ends the process by the signal in `last`, if there is one.
fn raise(last: &AtomicUsize) {
    let signal = i32::try_from(last.load(Ordering::Relaxed)).unwrap_or_default();
    if signal != 0 {
        // Fails only for a number that is no signal.
        _ = low_level::emulate_default_handler(signal);
    }
}

//! The screen that two share: the editor of the line that is typed, and what others say above it.
//!
//! The editing library asks for the prompt whenever it draws the line, and what others said goes before
//! that: written by the one thread that writes, in one order, and never in the middle of a line. Where
//! nobody types, a bell makes it draw: an empty text for its external printer, which may have to wait for
//! the library, and so has a thread of its own.

use rustyline::ExternalPrinter;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// While so many bytes wait to be shown, the server is not read.
const ENOUGH: usize = 256 * 1024;
/// Drawing takes no time, unless the library is busy, as while its history is searched.
const DRAWING: Duration = Duration::from_millis(100);
/// The library moves down a row after a text that does not end in a line end, as the bell's; back up again.
const UP: &str = "\x1b[A";

/// What is to be shown above the line that is typed.
#[derive(Debug)]
pub(crate) struct Screen {
    state: Mutex<State>,
    changed: Condvar,
    /// A byte here wakes the connection's thread.
    waker: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    /// Whole lines that are not shown.
    waiting: String,
    is_bell_wanted: bool,
    /// The library is about to draw the line, and not because of the bell.
    is_announced: bool,
    /// No more lines will be typed.
    is_closed: bool,
}

impl Screen {
    pub(crate) fn new(waker: UnixStream) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), waker }
    }

    /// Shows whole lines above the line that is typed, as soon as that is drawn.
    pub(crate) fn show(&self, text: &str) {
        self.change(|state| {
            // Where something waits, the bell was rung for that.
            state.is_bell_wanted |= state.waiting.is_empty();
            state.waiting.push_str(text);
        });
    }

    /// Whether so much waits to be shown that no more is to be read; the waker tells when that is over.
    pub(crate) fn is_full(&self) -> bool {
        self.state().waiting.len() >= ENOUGH
    }

    /// Rings for the editor until no more lines are typed.
    pub(crate) fn ring(&self, printer: &mut impl ExternalPrinter) {
        loop {
            let waiting =
                self.changed.wait_while(self.state(), |state| !state.is_bell_wanted && !state.is_closed);
            let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return;
            }
            state.is_bell_wanted = false;
            drop(state);
            // Between two lines it does nothing, and the next one is drawn anyway. It fails where the editor
            // is gone.
            if printer.print(String::new()).is_err() {
                return;
            }
        }
    }

    /// The library is about to draw the line for a key.
    pub(crate) fn announce(&self) {
        self.change(|state| state.is_announced = true);
    }

    /// The line is being drawn: what is to be written before it.
    pub(crate) fn draw(&self) -> String {
        let mut before = String::new();
        self.change(|state| {
            if !std::mem::take(&mut state.is_announced) {
                // Where a key was faster and nothing waits any more, and the line was at the bottom of the
                // screen, a row below it stays empty until the next text.
                before.push_str(UP);
            }
            before.push_str(&state.take());
        });
        self.wake_after(&before);
        before
    }

    /// Waits for a moment until all is shown.
    pub(crate) fn settle(&self) {
        drop(self.wait_briefly(DRAWING, |state| !state.waiting.is_empty()));
    }

    /// What was not shown, and will not be.
    pub(crate) fn rest(&self) -> String {
        self.state().take()
    }

    /// No more lines will be typed.
    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Waits for a moment; whether no more lines will be typed.
    pub(crate) fn closes_within(&self, moment: Duration) -> bool {
        self.wait_briefly(moment, |state| !state.is_closed).is_closed
    }

    fn wake_after(&self, shown: &str) {
        if shown.len() >= ENOUGH {
            // Where it is full, there are bytes enough.
            _ = (&self.waker).write(b"w");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_briefly(&self, longest: Duration, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), longest, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    fn take(&mut self) -> String {
        self.is_bell_wanted = false;
        std::mem::take(&mut self.waiting)
    }
}

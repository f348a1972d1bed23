//! Received lines, shown above the line that is edited.
//!
//! rustyline asks for the prompt each time it draws the line. The received lines are put before the prompt, so
//! one thread writes everything in one order, and never in the middle of a line. If no key is pressed, an empty
//! text for rustyline's external printer triggers a drawing. The external printer may block while rustyline is
//! busy, so it has a thread of its own, the redraw thread.

use crate::rows::Rows;
use rustyline::GraphemeClusterMode;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The server is not read while this many bytes wait to be shown.
const MAX_PENDING: usize = 256 * 1024;
/// A drawing takes less time than this, unless rustyline is busy, for example with a history search.
const DRAW_TIME: Duration = Duration::from_millis(100);
/// Moves the cursor up one row. The external printer moves it down after a text without a line end, and the
/// text of the redraw thread is empty.
const CURSOR_UP: &str = "\x1b[A";
/// Clears the rest of the screen. Below the line there can only be rows of an older drawing.
const CLEAR_BELOW: &str = "\x1b[J";

/// As rustyline does for each line: the terminal then marks pastes.
const BRACKETED_PASTE_ON: &str = "\x1b[?2004h";

/// The lines that are to be shown above the edited line.
#[derive(Debug)]
pub(crate) struct Screen {
    state: Mutex<State>,
    changed: Condvar,
    rows: Mutex<Rows>,
    /// A byte here wakes the connection thread.
    waker: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    /// Complete lines that are not shown yet.
    pending: String,
    /// Whether the redraw thread is to trigger a drawing.
    needs_redraw: bool,
    /// Whether the next drawing is not for the redraw thread.
    is_draw_announced: bool,
    /// Whether the last drawing was for the redraw thread. rustyline makes it only if no key waits.
    is_idle: bool,
    /// Whether line editing has ended.
    is_closed: bool,
}

impl Screen {
    pub(crate) fn new(waker: UnixStream, widths: GraphemeClusterMode) -> Self {
        let rows = Mutex::new(Rows::new(widths));
        Self { state: Mutex::default(), changed: Condvar::new(), rows, waker }
    }

    /// Returns the rows of the typed line.
    pub(crate) fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows complete lines at the next drawing, and triggers one.
    pub(crate) fn show(&self, lines: &str) {
        self.change(|state| {
            // If lines are pending already, a drawing was triggered for these.
            state.needs_redraw |= state.pending.is_empty();
            state.pending.push_str(lines);
            // An editor that holds lines back must show them now.
            state.needs_redraw |= state.pending.len() >= MAX_PENDING;
        });
    }

    /// Returns whether the pending lines have reached their limit. Then the server is not read, until the waker
    /// reports that they were shown.
    pub(crate) fn is_full(&self) -> bool {
        self.state().pending.len() >= MAX_PENDING
    }

    /// Triggers drawings with `redraw` until the screen is closed, or until `redraw` returns false because the editor
    /// is gone. Runs on the redraw thread.
    pub(crate) fn redraw_loop(&self, mut redraw: impl FnMut() -> bool) {
        loop {
            let state =
                self.changed.wait_while(self.state(), |state| !state.needs_redraw && !state.is_closed);
            let mut state = state.unwrap_or_else(PoisonError::into_inner);
            if state.is_closed {
                return;
            }
            state.needs_redraw = false;
            drop(state);
            print(&self.rows().prepare(false));
            if !redraw() {
                return;
            }
        }
    }

    /// Draws the line anew, below what others have written to the terminal while the client was stopped.
    pub(crate) fn draw_below(&self) {
        print(&format!("{BRACKETED_PASTE_ON}{}", self.rows().move_below()));
        self.change(|state| state.needs_redraw = true);
    }

    /// Announces that the next drawing is not for the redraw thread, but for a key or for another reason.
    pub(crate) fn prepare_draw(&self, was_idle: bool) {
        self.change(|state| state.is_draw_announced = true);
        print(&self.rows().prepare(was_idle));
    }

    /// Returns whether no key has waited to be read since the last drawing.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().is_idle
    }

    /// Returns the text to write before the prompt, because the line is being drawn.
    pub(crate) fn draw(&self) -> String {
        let mut before = String::new();
        self.change(|state| {
            state.is_idle = !std::mem::take(&mut state.is_draw_announced);
            if state.is_idle {
                before.push_str(CURSOR_UP);
            }
            before.push_str(CLEAR_BELOW);
            before.push_str(&state.take_pending());
        });
        self.report_space(&before);
        before
    }

    /// Wakes the connection thread if it waits for space, because `shown` is no longer pending.
    fn report_space(&self, shown: &str) {
        if shown.len() >= MAX_PENDING {
            // Fails only if the socket is full; then the connection thread wakes anyway.
            _ = (&self.waker).write(b"w");
        }
    }

    /// Waits until everything is shown, for [`DRAW_TIME`] at most.
    pub(crate) fn wait_until_shown(&self) {
        drop(self.wait_while(DRAW_TIME, |state| !state.pending.is_empty()));
    }

    /// Returns the lines that were not shown, because they are shown now.
    pub(crate) fn take_pending(&self) -> String {
        let mut pending = String::new();
        self.change(|state| pending = state.take_pending());
        self.report_space(&pending);
        pending
    }

    /// Records that line editing has ended.
    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    /// Waits until the screen is closed, for `timeout` at most; returns whether it is.
    pub(crate) fn is_closed_within(&self, timeout: Duration) -> bool {
        self.wait_while(timeout, |state| !state.is_closed).is_closed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_while(&self, timeout: Duration, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), timeout, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Writes to the terminal.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout();
    // If the terminal is gone, the next read fails too.
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl State {
    fn take_pending(&mut self) -> String {
        self.needs_redraw = false;
        std::mem::take(&mut self.pending)
    }
}

//! The screen that two share: the editor of the line that is typed, and what others say above it.
//!
//! The editing library prints what it is handed above the line, as long as it edits one; between two
//! lines it would print at once, past what it was handed before. So nothing is handed to it then.

use rustyline::ExternalPrinter;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Handing over takes microseconds, unless the library has not yet shown what it was handed before: then it
/// waits, and comes in its turn.
const HANDING_OVER: Duration = Duration::from_millis(10);
/// Showing takes no time, unless the library is busy, as while its history is searched.
const SHOWING: Duration = Duration::from_millis(100);

/// Who may write to the screen, and whether all is shown.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    is_handing_over: bool,
    /// How often the line was drawn, and how often that was before the last text was handed over.
    drawn: u64,
    drawn_before: u64,
    /// The text that was handed over last.
    last: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No line is being typed right now.
    #[default]
    Between,
    /// A line is being typed.
    Editing,
    /// No more lines will be typed.
    Over,
}

impl Screen {
    /// Shows whole lines above the line that is typed, as soon as one is; false where none will be.
    pub(crate) fn show(&self, printer: &mut impl ExternalPrinter, text: String) -> bool {
        let mut state = self.wait_while(self.state(), |state| state.phase == Phase::Between);
        if state.phase == Phase::Over {
            return false;
        }
        state.is_handing_over = true;
        state.drawn_before = state.drawn;
        state.last.clone_from(&text);
        drop(state);
        // It waits for its turn, and fails where the editor is gone.
        let is_shown = printer.print(text).is_ok();
        self.change(|state| state.is_handing_over = false);
        is_shown
    }

    /// Waits until what was handed over last is shown; what is not shown soon is returned.
    pub(crate) fn settle(&self) -> String {
        let mut state = self.wait_briefly(SHOWING, |state| state.drawn == state.drawn_before);
        // Whatever shows it draws the line, too.
        if state.drawn == state.drawn_before { std::mem::take(&mut state.last) } else { String::new() }
    }

    /// The line is complete: whatever is handed over from now on comes after it.
    pub(crate) fn ends(&self) {
        self.change(|state| state.phase = Phase::Between);
        drop(self.wait_briefly(HANDING_OVER, |state| state.is_handing_over));
    }

    /// The line was drawn, for whatever reason; so it is being typed.
    pub(crate) fn drawn(&self) {
        self.change(|state| {
            state.drawn += 1;
            if state.phase == Phase::Between {
                state.phase = Phase::Editing;
            }
        });
    }

    /// No more lines will be typed.
    pub(crate) fn close(&self) {
        self.change(|state| state.phase = Phase::Over);
    }

    /// Waits for a moment; whether no more lines will be typed.
    pub(crate) fn closes_within(&self, moment: Duration) -> bool {
        self.wait_briefly(moment, |state| state.phase != Phase::Over).phase == Phase::Over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, how: impl FnOnce(&mut State)) {
        how(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_while(state, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_briefly(&self, longest: Duration, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), longest, |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

//! What the editing library asks about the line that is typed, and what keys do.

use crate::screen::Screen;
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper, KeyEvent};
use rustyline::{Modifiers, Movement, RepeatCount};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// How long what follows an escape may take, until that is a key by itself; as in bash.
pub(crate) const SEQUENCE_MS: u16 = 500;

/// Shows what others say where the line is drawn; it completes, hints and colours nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    screen: Arc<Screen>,
    line: Mutex<(String, usize)>,
}

impl Watch {
    pub(crate) const fn new(screen: Arc<Screen>) -> Self {
        Self { screen, line: Mutex::new((String::new(), 0)) }
    }

    /// Whether nothing is in the line.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.lock().unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }

    /// The line as it was last, before and after its cursor.
    pub(crate) fn line(&self) -> (String, String) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = line.0.split_at_checked(line.1).unwrap_or((&line.0, ""));
        (before.to_owned(), after.to_owned())
    }
}

impl Highlighter for Watch {
    /// Asked whenever the line is drawn.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let mut before = self.screen.draw();
        before.push_str(prompt);
        Cow::Owned(before)
    }

    /// Asked whenever the line or the cursor was changed, and before the line is drawn, but for the bell.
    fn highlight_char(&self, line: &str, cursor: usize, _: CmdKind) -> bool {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = (line.to_owned(), cursor);
        self.screen.announce();
        // So it is drawn in any case, and what was announced takes place.
        true
    }
}

impl Hinter for Watch {
    type Hint = String;
}

impl Validator for Watch {}

impl Completer for Watch {
    type Candidate = String;
}

impl Helper for Watch {}

/// Gives keys their meaning where that is another than the library's.
pub(crate) fn bind(editor: &mut Editor<Watch, DefaultHistory>) {
    editor.bind_sequence(KeyEvent::ctrl('c'), EventHandler::Conditional(Box::new(ClearLine)));
    // After these the library waits for one more key, and shows nothing meanwhile.
    for key in ['v', 'q', 'x', ']'] {
        editor.bind_sequence(KeyEvent::ctrl(key), Cmd::Noop);
    }
    editor.bind_sequence(KeyEvent::new(']', Modifiers::CTRL_ALT), Cmd::Noop);
}

/// Ctrl-C clears the line; where it is empty, it is left to interrupt.
#[derive(Debug)]
struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

//! The hooks of the editing library (rustyline): what it asks for while it draws, and the key bindings.

use crate::screen::Screen;
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper, KeyEvent};
use rustyline::{Modifiers, Movement, RepeatCount};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// After this time, ESC is a key of its own and not the start of a key sequence; the default of bash.
pub(crate) const SEQUENCE_TIMEOUT_MS: u16 = 500;

/// Writes received lines before the prompt. Completion, hints and syntax colours are unused.
#[derive(Debug)]
pub(crate) struct EditorHelper {
    screen: Arc<Screen>,
    /// The edited line and the byte offset of its cursor.
    line: Mutex<(String, usize)>,
}

impl EditorHelper {
    pub(crate) const fn new(screen: Arc<Screen>) -> Self {
        Self { screen, line: Mutex::new((String::new(), 0)) }
    }

    /// Returns whether the edited line is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().0.is_empty()
    }

    /// Returns the edited line, before and after its cursor.
    pub(crate) fn line(&self) -> (String, String) {
        let line = self.lock();
        let (before, after) = line.0.split_at_checked(line.1).unwrap_or((&line.0, ""));
        (before.to_owned(), after.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, (String, usize)> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Highlighter for EditorHelper {
    /// Called for each drawing of the line.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let mut before = self.screen.draw();
        before.push_str(prompt);
        Cow::Owned(before)
    }

    /// Called after each change of the line or its cursor, before the line is drawn. Not called for the
    /// external printer.
    fn highlight_char(&self, line: &str, cursor: usize, _: CmdKind) -> bool {
        *self.lock() = (line.to_owned(), cursor);
        self.screen.announce_draw();
        // Forces the drawing that was announced.
        true
    }
}

impl Hinter for EditorHelper {
    type Hint = String;
}

impl Validator for EditorHelper {}

impl Completer for EditorHelper {
    type Candidate = String;
}

impl Helper for EditorHelper {}

/// Binds the keys that differ from rustyline's defaults.
pub(crate) fn bind(editor: &mut Editor<EditorHelper, DefaultHistory>) {
    editor.bind_sequence(KeyEvent::ctrl('c'), EventHandler::Conditional(Box::new(ClearLine)));
    // After these keys rustyline waits for another key, and shows no received line until it comes.
    for key in ['v', 'q', 'x', ']'] {
        editor.bind_sequence(KeyEvent::ctrl(key), Cmd::Noop);
    }
    editor.bind_sequence(KeyEvent::new(']', Modifiers::CTRL_ALT), Cmd::Noop);
}

/// Ctrl-C: clears the line. If the line is empty, rustyline's default applies, which is to interrupt.
#[derive(Debug)]
struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

//! What the editing library asks about the line that is typed.

use crate::screen::Screen;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, ConditionalEventHandler, Context, Event, EventContext, Helper, Movement, RepeatCount};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Tells the screen when a line is drawn and when it ends; it completes and colours nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    screen: Arc<Screen>,
    line: Mutex<(String, usize)>,
}

impl Watch {
    pub(crate) const fn new(screen: Arc<Screen>) -> Self {
        Self { screen, line: Mutex::new((String::new(), 0)) }
    }

    /// The line when it was last changed, before and after its cursor.
    pub(crate) fn line(&self) -> (String, String) {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = line.0.split_at_checked(line.1).unwrap_or((&line.0, ""));
        (before.to_owned(), after.to_owned())
    }
}

impl Hinter for Watch {
    type Hint = String;

    /// Asked whenever the line changes.
    fn hint(&self, line: &str, cursor: usize, _: &Context<'_>) -> Option<String> {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner) = (line.to_owned(), cursor);
        None
    }
}

impl Highlighter for Watch {
    /// Asked whenever the line is drawn.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        self.screen.drawn();
        Cow::Borrowed(prompt)
    }
}

impl Validator for Watch {
    /// Asked when Enter was pressed.
    fn validate(&self, _: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        self.screen.ends();
        Ok(ValidationResult::Valid(None))
    }
}

impl Completer for Watch {
    type Candidate = String;
}

impl Helper for Watch {}

/// Ctrl-C clears the line; where it is empty, it is left to interrupt.
#[derive(Debug)]
pub(crate) struct ClearLine;

impl ConditionalEventHandler for ClearLine {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
    }
}

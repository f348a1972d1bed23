//! The hooks of the editing library (rustyline): what it asks for while it draws, and the key bindings.

use crate::completion::{Completion, Names};
use crate::job::Job;
use crate::screen::Screen;
use crate::style::time_of_day;
use crate::terminal::Session;
use rustyline::completion::Completer;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Cmd, ConditionalEventHandler, Editor, Event, EventContext, EventHandler, Helper};
use rustyline::{KeyCode, KeyEvent, Modifiers, Movement, Prompt, RepeatCount};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) const PROMPT: &str = "> ";
/// Keys that follow each other faster than this come from a paste, or have waited together. Nobody types so fast.
const KEY_INTERVAL: Duration = Duration::from_millis(50);
/// The most candidates that TAB shows.
const MAX_SHOWN: usize = 100;
/// After this time, ESC is a key of its own and not the start of a key sequence; the default of bash.
pub(crate) const SEQUENCE_TIMEOUT_MS: u16 = 500;

/// Draws the line and what is above it. Completion, hints and syntax colours of rustyline are unused.
#[derive(Debug)]
pub(crate) struct EditorHelper {
    screen: Arc<Screen>,
    names: Arc<Names>,
    job: Arc<Job>,
    /// Starts each entered line with the local time of day.
    timestamps: bool,
    edited: Arc<Mutex<Edited>>,
}

/// The edited line.
#[derive(Debug, Default)]
struct Edited {
    line: String,
    /// Byte offset.
    cursor: usize,
    /// Whether the line is drawn for the last time, because it is entered.
    is_entered: bool,
    last_key: Option<Instant>,
    /// Whether rustyline had to wait for the last key.
    was_idle: bool,
}

/// The prompt. rustyline asks for its raw form only when it has just asked for the width of the window.
#[derive(Debug)]
pub(crate) struct MeasuringPrompt<'a>(pub(crate) &'a Screen);

impl Prompt for MeasuringPrompt<'_> {
    fn raw(&self) -> &str {
        self.0.rows().measure();
        PROMPT
    }

    fn styled(&self) -> &str {
        PROMPT
    }
}

impl EditorHelper {
    pub(crate) fn new(session: &Session, timestamps: bool) -> Self {
        let (screen, names, job) = (&session.screen, &session.names, &session.job);
        Self {
            screen: Arc::clone(screen),
            names: Arc::clone(names),
            job: Arc::clone(job),
            timestamps,
            edited: Arc::default(),
        }
    }

    /// Prepares for a new line.
    pub(crate) fn start_line(&self) {
        let mut edited = self.lock();
        *edited = Edited { last_key: edited.last_key, ..Edited::default() };
    }

    /// Returns whether the edited line is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().line.is_empty()
    }

    /// Returns the edited line, before and after its cursor.
    pub(crate) fn line(&self) -> (String, String) {
        let edited = self.lock();
        let (before, after) = edited.line.split_at_checked(edited.cursor).unwrap_or((&edited.line, ""));
        (before.to_owned(), after.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, Edited> {
        lock(&self.edited)
    }
}

fn lock(edited: &Mutex<Edited>) -> MutexGuard<'_, Edited> {
    edited.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Highlighter for EditorHelper {
    /// Called for each drawing of the line.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        let mut before = self.screen.draw();
        if self.timestamps && self.lock().is_entered {
            before.push_str(&time_of_day());
        }
        before.push_str(&self.screen.rows().prompt(prompt));
        Cow::Owned(before)
    }

    /// Called after `highlight_prompt`.
    fn highlight<'l>(&self, line: &'l str, cursor: usize) -> Cow<'l, str> {
        let mut rows = self.screen.rows();
        Cow::Owned(if self.lock().is_entered { rows.entered_line(line) } else { rows.line(line, cursor) })
    }

    /// Called after each change of the line or its cursor, or of the window, before the line is drawn. Not called
    /// for the external printer.
    fn highlight_char(&self, line: &str, cursor: usize, kind: CmdKind) -> bool {
        let was_idle = {
            let mut edited = self.lock();
            (edited.line, edited.cursor) = (line.to_owned(), cursor);
            // A cursor that is not at the end leads to one more drawing.
            let is_entered = kind == CmdKind::ForcedRefresh && cursor == line.len();
            edited.is_entered = is_entered && !line.trim().is_empty();
            std::mem::take(&mut edited.was_idle)
        };
        self.job.line_begins();
        self.screen.prepare_draw(was_idle);
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
pub(crate) fn bind(editor: &mut Editor<EditorHelper, DefaultHistory>, helper: &EditorHelper) {
    let keys = Keys {
        screen: Arc::clone(&helper.screen),
        names: Arc::clone(&helper.names),
        job: Arc::clone(&helper.job),
        edited: Arc::clone(&helper.edited),
    };
    editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(keys)));
}

/// The keys that differ from rustyline's defaults.
#[derive(Debug)]
struct Keys {
    screen: Arc<Screen>,
    names: Arc<Names>,
    job: Arc<Job>,
    edited: Arc<Mutex<Edited>>,
}

impl Keys {
    /// Returns whether rustyline had to wait for this key.
    fn record_key(&self) -> bool {
        let mut edited = lock(&self.edited);
        let is_slow = edited.last_key.is_none_or(|last| last.elapsed() >= KEY_INTERVAL);
        edited.was_idle = is_slow || self.screen.is_idle();
        edited.last_key = Some(Instant::now());
        edited.was_idle
    }

    fn complete(&self, context: &EventContext<'_>) -> Cmd {
        match self.names.complete(context.line(), context.pos()) {
            Completion::Insert(text) => Cmd::Insert(1, text),
            Completion::Show(mut candidates) => {
                let hidden = candidates.len().saturating_sub(MAX_SHOWN);
                candidates.truncate(MAX_SHOWN);
                let more = if hidden > 0 { format!("  and {hidden} more") } else { String::new() };
                self.screen.show(&format!("{}{more}\n", candidates.join("  ")));
                Cmd::Noop
            }
            Completion::Nothing => insert_tab(),
        }
    }
}

impl ConditionalEventHandler for Keys {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        let was_idle = self.record_key();
        match *event.get(0)? {
            // rustyline's own completion would wait for another key, and show no received line until it comes.
            KeyEvent(KeyCode::Tab, Modifiers::NONE) if was_idle => Some(self.complete(context)),
            KeyEvent(KeyCode::Tab, Modifiers::NONE) => Some(insert_tab()),
            // Clears the line. If it is empty, rustyline's default applies, which is to interrupt.
            KeyEvent(KeyCode::Char('C'), Modifiers::CTRL) => {
                (!context.line().is_empty()).then_some(Cmd::Kill(Movement::WholeBuffer))
            }
            // rustyline would set its modes again as soon as the client goes on, also in the background.
            KeyEvent(KeyCode::Char('Z'), Modifiers::CTRL) => {
                self.job.ask_to_stop();
                Some(Cmd::Interrupt)
            }
            // After these keys rustyline waits for another key, too.
            KeyEvent(KeyCode::Char('V' | 'Q' | 'X' | ']'), Modifiers::CTRL)
            | KeyEvent(KeyCode::Char(']'), Modifiers::CTRL_ALT) => Some(Cmd::Noop),
            _ => None,
        }
    }
}

/// Not `SelfInsert`: rustyline replaces it by what was inserted before.
fn insert_tab() -> Cmd {
    Cmd::Insert(1, "\t".to_owned())
}

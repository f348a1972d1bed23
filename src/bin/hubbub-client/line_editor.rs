//! Edits lines with rustyline, below the received lines.

use crate::job;
use crate::keys::{self, EditorHelper, MeasuringPrompt};
use crate::rows;
use crate::screen::print;
use crate::terminal::{AfterEnter, Session, terminal_error};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, Config, Editor, ExternalPrinter, GraphemeClusterMode};
use std::io::{self, ErrorKind};

/// Sent lines that the arrow keys bring back.
const HISTORY_LINES: usize = 1000;

type LineEditor = Editor<EditorHelper, DefaultHistory>;

/// Starts the other threads with `start`, and sends each typed line until the user leaves.
///
/// # Errors
/// One line that says why the connection is lost, or the terminal.
pub(crate) fn run(
    session: &Session,
    widths: GraphemeClusterMode,
    timestamps: bool,
    start: impl FnOnce(Box<dyn FnMut() -> bool + Send>) -> Result<(), String>,
) -> Result<(), String> {
    let mut editor = new_editor(EditorHelper::new(session, timestamps), widths).map_err(editor_error)?;
    let mut printer = editor.create_external_printer().map_err(editor_error)?;
    // An empty text does nothing between two lines, and the next line is drawn anyway.
    start(Box::new(move || printer.print(String::new()).is_ok()))?;
    let edited = edit_lines(&mut editor, session);
    session.screen.close();
    // Ends a print of the redraw thread that waits for the editor.
    drop(editor);
    edited
}

fn editor_error(error: ReadlineError) -> String {
    terminal_error(&io::Error::other(error))
}

fn new_editor(helper: EditorHelper, widths: GraphemeClusterMode) -> rustyline::Result<LineEditor> {
    // Forced: rustyline calls the highlighter, which writes the received lines, only with colours on.
    let config = Config::builder().color_mode(ColorMode::Forced);
    let config = config
        .keyseq_timeout(Some(keys::SEQUENCE_TIMEOUT_MS))
        .auto_add_history(true)
        .max_history_size(HISTORY_LINES)?
        .grapheme_cluster_mode(widths)
        .tab_stop(rows::TAB_STOP)
        .build();
    let mut editor = Editor::with_config(config)?;
    keys::bind(&mut editor, &helper);
    editor.set_helper(Some(helper));
    Ok(editor)
}

/// Sends each typed line, until the user leaves.
fn edit_lines(editor: &mut LineEditor, session: &Session) -> Result<(), String> {
    // The text to edit next, before and after the cursor.
    let mut kept = (String::new(), String::new());
    loop {
        if !job::wait_for_foreground(|| session.shared.lost().is_some()) {
            return Err(session.lost().unwrap_or_default());
        }
        if let Some(helper) = editor.helper() {
            helper.start_line();
        }
        let read = editor.readline_with_initial(&MeasuringPrompt(&session.screen), (&kept.0, &kept.1));
        let had_no_terminal = session.job.line_ends();
        if let Some(why) = session.lost() {
            return Err(why);
        }
        if had_no_terminal || session.job.stop_if_asked() {
            kept = editor.helper().map(EditorHelper::line).unwrap_or_default();
            continue;
        }
        kept = (String::new(), String::new());
        match read {
            Ok(line) => match session.enter(&line) {
                AfterEnter::NextLine => {}
                AfterEnter::SameLine => kept.0 = line,
                AfterEnter::Leave => return Ok(()),
            },
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) => {
                // With text in the line, Ctrl-C only clears it: this SIGINT came from another process.
                if editor.helper().is_some_and(|helper| !helper.is_empty()) {
                    session.signals.make_interrupt_fatal();
                }
                return Ok(());
            }
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                // rustyline drops its read-ahead too, without saying whether there was any.
                print("hubbub-client: dropped a key that is not UTF-8, and the keys right after it\n");
                kept = editor.helper().map(EditorHelper::line).unwrap_or_default();
            }
            // The window was resized in the middle of a key sequence.
            Err(ReadlineError::Signal(_)) => {
                kept = editor.helper().map(EditorHelper::line).unwrap_or_default();
            }
            Err(error) => return Err(format!("cannot read the terminal: {error}")),
        }
    }
}

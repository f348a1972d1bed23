//! The interactive client: the user edits a line below the received lines.

use crate::NAME;
use crate::completion::Names;
use crate::connect::{Target, with_advice};
use crate::connection_thread::{ConnectionThread, SharedState};
use crate::entered::Entered;
use crate::job::{self, Job};
use crate::keys::{self, EditorHelper, MeasuringPrompt};
use crate::options::Options;
use crate::rows;
use crate::screen::{Screen, print};
use crate::send::SendBuffer;
use crate::signals::Signals;
use crate::style::Style;
use hubbub::cli::address::Address;
use hubbub::util::os_error;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, Config, Editor, GraphemeClusterMode};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Sent lines that the arrow keys bring back.
const HISTORY_LINES: usize = 1000;
/// After this time, a note explains why the client has not ended yet.
const QUIET_LEAVE: Duration = Duration::from_millis(1500);
/// Terminals on which rustyline does not edit.
const WITHOUT_EDITING: [&str; 3] = ["dumb", "cons25", "emacs"];

type LineEditor = Editor<EditorHelper, DefaultHistory>;

/// Returns whether rustyline can edit a line on a terminal with this value of `TERM`.
pub(crate) fn can_edit(term: Option<&OsStr>) -> bool {
    let is_without = |term: &OsStr| WITHOUT_EDITING.iter().any(|without| term.eq_ignore_ascii_case(without));
    !term.is_some_and(is_without)
}

/// Runs the client until the user leaves or the connection is lost for good.
///
/// # Errors
/// One line that says why the connection is lost, or why the last lines may not have arrived.
pub(crate) fn run(options: &Options, address: Address, style: Style) -> Result<(), String> {
    let target = Target { address, sends_input: false };
    let mut connected = target.connect(None, |note| print(&format!("{NAME}: {note}\n")));
    if !options.reconnect {
        connected = Ok(connected.map_err(|why| with_advice(&why))?);
    }
    let (waker, wake) = wake_pair().map_err(|error| terminal_error(&error))?;
    let signals = Signals::watch(&waker).map_err(|error| terminal_error(&error))?;
    let widths = GraphemeClusterMode::from_env();
    let screen = Arc::new(Screen::new(waker.try_clone().map_err(|error| terminal_error(&error))?, widths));
    let names = Arc::<Names>::default();
    let job = Arc::<Job>::default();
    let helper =
        EditorHelper::new(Arc::clone(&screen), Arc::clone(&names), Arc::clone(&job), style.timestamps);
    let mut editor = new_editor(helper, widths).map_err(editor_error)?;
    let mut printer = editor.create_external_printer().map_err(editor_error)?;
    let shared = Arc::new(SharedState::new(waker, connected.is_ok()));
    let connection = ConnectionThread {
        target,
        reconnect: options.reconnect,
        nick: options.nick.clone(),
        nick_error: None,
        style,
        shared: Arc::clone(&shared),
        screen: Arc::clone(&screen),
        names,
        job: Arc::clone(&job),
        signals: signals.clone(),
        wake,
        buffer: SendBuffer::default(),
    };
    let (sender, result) = channel();
    let redraw_screen = Arc::clone(&screen);
    spawn(move || redraw_screen.redraw_loop(&mut printer))?;
    spawn(move || _ = sender.send(connection.run(connected)))?;
    let edited = edit_lines(&mut editor, &shared, &screen, &job, &signals);
    screen.close();
    // Ends a print of the redraw thread that waits for the editor.
    drop(editor);
    signals.raise_fatal();
    edited?;
    signals.clear_interrupt();
    shared.leave();
    let left = wait_for_leave(&result);
    signals.raise_fatal();
    left
}

/// Waits for the result of the connection thread.
fn wait_for_leave(result: &Receiver<Result<(), String>>) -> Result<(), String> {
    let left = match result.recv_timeout(QUIET_LEAVE) {
        Err(RecvTimeoutError::Timeout) => {
            print("hubbub-client: waiting for the server to read the last lines; Ctrl-C leaves at once\n");
            result.recv().ok()
        }
        left => left.ok(),
    };
    left.unwrap_or_else(|| Err("internal error: the connection thread has panicked".to_owned()))
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    thread::Builder::new().spawn(run).map_err(|error| terminal_error(&error))?;
    Ok(())
}

fn terminal_error(error: &io::Error) -> String {
    format!("cannot use the terminal: {}", os_error::text(error))
}

fn editor_error(error: ReadlineError) -> String {
    terminal_error(&io::Error::other(error))
}

fn wake_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (waker, wake) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    wake.set_nonblocking(true)?;
    Ok((waker, wake))
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
fn edit_lines(
    editor: &mut LineEditor,
    shared: &SharedState,
    screen: &Screen,
    job: &Job,
    signals: &Signals,
) -> Result<(), String> {
    // The text to edit next, before and after the cursor.
    let mut kept = (String::new(), String::new());
    loop {
        if !job::wait_for_foreground(|| shared.lost().is_some()) {
            return Err(shared.lost().unwrap_or_default());
        }
        if let Some(helper) = editor.helper() {
            helper.start_line();
        }
        let read = editor.readline_with_initial(&MeasuringPrompt(screen), (&kept.0, &kept.1));
        let had_no_terminal = job.line_ends();
        if let Some(why) = shared.lost() {
            print(&screen.take_pending());
            return Err(why);
        }
        if had_no_terminal || job.stop_if_asked() {
            kept = editor.helper().map(EditorHelper::line).unwrap_or_default();
            continue;
        }
        kept = (String::new(), String::new());
        match read {
            Ok(line) => {
                let entered = Entered::parse(&line);
                if !shared.send(&entered.lines) && !entered.lines.is_empty() {
                    print("hubbub-client: not connected: the line was not sent\n");
                    kept.0 = line;
                } else if entered.leaves {
                    return Ok(());
                }
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) => {
                // With text in the line, Ctrl-C only clears it: this SIGINT came from another process.
                if editor.helper().is_some_and(|helper| !helper.is_empty()) {
                    signals.make_interrupt_fatal();
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

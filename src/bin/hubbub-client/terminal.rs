//! The interactive client: the user edits a line below the received lines.

use crate::NAME;
use crate::completion::Names;
use crate::connection_thread::ConnectionThread;
use crate::entered::Entered;
use crate::job::Job;
use crate::line_editor;
use crate::options::Options;
use crate::password::asks_for_password;
use crate::password_prompt;
use crate::plain_editor;
use crate::screen::{Screen, print};
use crate::send::SendBuffer;
use crate::server::Server;
use crate::shared_state::SharedState;
use crate::signals::Signals;
use crate::style::Style;
use hubbub::util::os_error;
use rustyline::GraphemeClusterMode;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// After this time, a note explains why the client has not ended yet.
const QUIET_LEAVE: Duration = Duration::from_millis(1500);
/// Terminals that cannot move their cursor. rustyline does not edit on these.
const WITHOUT_EDITING: [&str; 4] = ["", "dumb", "cons25", "emacs"];

/// Returns whether rustyline can edit a line on a terminal with this value of `TERM`.
pub(crate) fn can_edit(term: Option<&OsStr>) -> bool {
    let is_without = |term: &OsStr| WITHOUT_EDITING.iter().any(|without| term.eq_ignore_ascii_case(without));
    term.is_some_and(|term| !is_without(term))
}

/// What the editor of lines shares with the other threads.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) shared: Arc<SharedState>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) names: Arc<Names>,
    pub(crate) job: Arc<Job>,
    pub(crate) signals: Signals,
}

/// What follows an entered text.
#[derive(Debug)]
pub(crate) enum AfterEnter {
    NextLine,
    /// The text was not sent, and is edited again.
    SameLine,
    Leave,
}

impl Session {
    /// Sends what the user has entered.
    pub(crate) fn enter(&self, text: &str) -> AfterEnter {
        let entered = Entered::parse(text);
        if !self.shared.send(&entered.lines) && !entered.lines.is_empty() {
            print("hubbub-client: not connected: the line was not sent\n");
            AfterEnter::SameLine
        } else if entered.leaves {
            AfterEnter::Leave
        } else {
            AfterEnter::NextLine
        }
    }

    /// Returns why the connection is lost for good, if it is, and shows the last received lines.
    pub(crate) fn lost(&self) -> Option<String> {
        let why = self.shared.lost()?;
        print(&self.screen.take_pending());
        Some(why)
    }
}

/// Runs the client until the user leaves or the connection is lost for good.
///
/// # Errors
/// One line that says why the connection is lost, or why the last lines may not have arrived.
pub(crate) fn run(options: &Options, mut server: Server, style: Style, can_edit: bool) -> Result<(), String> {
    let target = server.target(false);
    let mut connected = target.connect(None, |note| print(&format!("{NAME}: {note}\n")));
    if !options.reconnect {
        connected = Ok(connected.map_err(|error| error.with_advice())?);
    }
    let mut received = Vec::new();
    if let Ok(stream) = &mut connected
        && server.password.is_none()
    {
        received = password_prompt::first_line(stream);
        if asks_for_password(&received) {
            server.password = Some(password_prompt::ask(stream)?);
        }
    }
    let (waker, wake) = wake_pair().map_err(|error| terminal_error(&error))?;
    let signals = Signals::watch(&waker).map_err(|error| terminal_error(&error))?;
    let widths = GraphemeClusterMode::from_env();
    let screen = Screen::new(waker.try_clone().map_err(|error| terminal_error(&error))?, widths);
    let session = Session {
        shared: Arc::new(SharedState::new(waker, connected.is_ok())),
        screen: Arc::new(screen),
        names: Arc::default(),
        job: Arc::default(),
        signals,
    };
    let connection = ConnectionThread {
        target,
        reconnect: options.reconnect,
        password: server.password,
        has_password_file: options.password_file.is_some(),
        received,
        nick: options.nick.clone(),
        nick_error: None,
        style,
        shared: Arc::clone(&session.shared),
        screen: Arc::clone(&session.screen),
        names: Arc::clone(&session.names),
        job: Arc::clone(&session.job),
        signals: session.signals.clone(),
        wake,
        buffer: SendBuffer::default(),
    };
    let (sender, result) = channel();
    let start = |redraw: Box<dyn FnMut() -> bool + Send>| -> Result<(), String> {
        let screen = Arc::clone(&session.screen);
        spawn(move || screen.redraw_loop(redraw))?;
        spawn(move || _ = sender.send(connection.run(connected)))
    };
    let edited = match can_edit {
        true => line_editor::run(&session, widths, style.timestamps, start),
        false => plain_editor::run(&session, widths, start),
    };
    session.signals.raise_fatal();
    edited?;
    session.signals.clear_interrupt();
    session.shared.leave();
    let left = wait_for_leave(&result);
    session.signals.raise_fatal();
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

pub(crate) fn terminal_error(error: &io::Error) -> String {
    format!("cannot use the terminal: {}", os_error::text(error))
}

pub(crate) fn wake_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (waker, wake) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    wake.set_nonblocking(true)?;
    Ok((waker, wake))
}

//! Talk on a terminal: a line is typed below what others say.

use crate::connect::Place;
use crate::keys::{self, Watch};
use crate::link::{Desk, Link};
use crate::look::Look;
use crate::options::Options;
use crate::screen::Screen;
use crate::signals::Signals;
use crate::speech::Speech;
use crate::speech::is_quit;
use hubbub::util::os_error;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{ColorMode, Config, Editor};
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

const PROMPT: &str = ":";
/// Lines of the session that the arrow keys bring back.
const HISTORY: usize = 1000;
/// How long it may take to leave until it is told why.
const LEAVING: Duration = Duration::from_millis(1500);
/// Terminals on which the editing library does not edit.
const WITHOUT_EDITING: [&str; 3] = ["dumb", "cons25", "emacs"];

/// Whether a line can be edited on a terminal of that name.
pub(crate) fn can_edit(term: Option<&OsStr>) -> bool {
    let is_without = |term: &OsStr| WITHOUT_EDITING.iter().any(|without| term.eq_ignore_ascii_case(without));
    !term.is_some_and(is_without)
}

/// Talks as `options` ask, to the end.
///
/// # Errors
/// One line that says why it did not end as asked.
pub(crate) fn run(options: &Options, look: Look) -> Result<(), String> {
    let place = Place { address: options.address.clone(), is_fed: false };
    let connected = place.connect(None);
    let connected = if options.reconnect { connected } else { Ok(connected?) };
    let cannot = |error: &io::Error| format!("cannot use the terminal: {}", os_error::text(error));
    let (waker, wake) = pair().map_err(|error| cannot(&error))?;
    let signals = Signals::watch(&waker).map_err(|error| cannot(&error))?;
    let screen = Arc::new(Screen::new(waker.try_clone().map_err(|error| cannot(&error))?));
    let unfit = |error: ReadlineError| cannot(&io::Error::other(error));
    let mut editor = editor(&screen).map_err(unfit)?;
    let mut printer = editor.create_external_printer().map_err(unfit)?;
    let link = Link {
        place,
        reconnect: options.reconnect,
        look,
        desk: Arc::new(Desk::new(waker, connected.is_ok())),
        screen: Arc::clone(&screen),
        signals: signals.clone(),
        wake,
        speech: Speech::default(),
    };
    let desk = Arc::clone(&link.desk);
    let (done, left) = channel();
    let talk = move || _ = done.send(link.run(connected));
    let bell = Arc::clone(&screen);
    thread::Builder::new().spawn(move || bell.ring(&mut printer)).map_err(|error| cannot(&error))?;
    thread::Builder::new().spawn(talk).map_err(|error| cannot(&error))?;
    let ended = type_lines(&mut editor, &desk, &screen, &signals);
    screen.close();
    // A bell that waits for it now fails.
    drop(editor);
    signals.take_effect();
    ended?;
    signals.forget_interrupt();
    desk.leave();
    let ended = wait_for_goodbye(&left);
    signals.take_effect();
    ended
}

/// Waits until the connection's thread has left.
fn wait_for_goodbye(left: &Receiver<Result<(), String>>) -> Result<(), String> {
    let ended = match left.recv_timeout(LEAVING) {
        Err(RecvTimeoutError::Timeout) => {
            tell("hubbub-client: waiting until the server has heard what was said; Ctrl-C leaves at once\n");
            left.recv().ok()
        }
        ended => ended.ok(),
    };
    ended.unwrap_or_else(|| Err("the connection's thread is gone".to_owned()))
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (waker, wake) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    wake.set_nonblocking(true)?;
    Ok((waker, wake))
}

fn editor(screen: &Arc<Screen>) -> rustyline::Result<Editor<Watch, DefaultHistory>> {
    // It asks about colours where it draws, also where nothing gets one.
    let config = Config::builder().color_mode(ColorMode::Forced);
    let config = config
        .keyseq_timeout(Some(keys::SEQUENCE_MS))
        .auto_add_history(true)
        .max_history_size(HISTORY)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Watch::new(Arc::clone(screen))));
    keys::bind(&mut editor);
    Ok(editor)
}

/// Says each line that is typed, until one leaves.
fn type_lines(
    editor: &mut Editor<Watch, DefaultHistory>,
    desk: &Desk,
    screen: &Screen,
    signals: &Signals,
) -> Result<(), String> {
    let mut kept = (String::new(), String::new());
    loop {
        let typed = editor.readline_with_initial(PROMPT, (&kept.0, &kept.1));
        if let Some(why) = desk.lost() {
            tell(&screen.rest());
            return Err(why);
        }
        kept = (String::new(), String::new());
        match typed {
            Ok(line) if line.trim() == "exit" => return Ok(()),
            // Nobody says nothing by pressing Enter once more.
            Ok(line) if line.is_empty() => {}
            Ok(line) => {
                let is_said = desk.say(&line);
                if line.lines().any(|line| is_quit(line.as_bytes())) {
                    return Ok(());
                }
                if !is_said {
                    tell("hubbub-client: not connected, so this was not said\n");
                    kept.0 = line;
                }
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted) => {
                // Ctrl-C would have cleared it: the interrupt came from elsewhere.
                if editor.helper().is_some_and(|watch| !watch.is_empty()) {
                    signals.interrupt_came();
                }
                return Ok(());
            }
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                // The library drops what it has read ahead, and does not say whether that was anything.
                tell(
                    "hubbub-client: a key that is not UTF-8 was dropped, with what came in one go behind it\n",
                );
                kept = editor.helper().map(Watch::line).unwrap_or_default();
            }
            // The window changed in the middle of a key.
            Err(ReadlineError::Signal(_)) => {
                kept = editor.helper().map(Watch::line).unwrap_or_default();
            }
            Err(error) => return Err(format!("cannot read the terminal: {error}")),
        }
    }
}

/// Writes to the terminal while no line is typed.
fn tell(text: &str) {
    let mut out = io::stdout();
    // Where there is no terminal any more, the next line cannot be read either.
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

//! Edits lines on a terminal that cannot move its cursor, such as one with `TERM=dumb`.
//!
//! Lines that arrive while the user types would tear the typed line, so they are shown after Enter. The terminal's own
//! line editing does not tell when the user has begun to type, so the client reads and echoes each key itself.

use crate::job::{self, FOREGROUND_INTERVAL};
use crate::screen::print;
use crate::terminal::{AfterEnter, Session, terminal_error, wake_pair};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use rustyline::GraphemeClusterMode;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes per read.
const READ_SIZE: usize = 1024;

const CTRL_C: char = '\x03';
const CTRL_D: char = '\x04';
const CTRL_U: char = '\x15';
const CTRL_W: char = '\x17';
const CTRL_Z: char = '\x1a';

/// Starts the other threads with `start`, and sends each typed line until the user leaves.
///
/// # Errors
/// One line that says why the connection is lost, or the terminal.
pub(crate) fn run(
    session: &Session,
    widths: GraphemeClusterMode,
    start: impl FnOnce(Box<dyn FnMut() -> bool + Send>) -> Result<(), String>,
) -> Result<(), String> {
    let (waker, wake) = wake_pair().map_err(|error| terminal_error(&error))?;
    session.signals.wake(&waker).map_err(|error| terminal_error(&error))?;
    let modes = Modes::read().map_err(|error| terminal_error(&error.into()))?;
    // Fails only if the socket is full; then the editor wakes anyway.
    start(Box::new(move || {
        _ = (&waker).write(b"w");
        true
    }))?;
    let line = TypedLine { text: String::new(), widths, echo: modes.echo };
    let mut editor = PlainEditor { session, wake, modes, line, keys: Keys::default() };
    let edited = editor.edit_lines();
    editor.modes.restore();
    session.screen.close();
    edited
}

/// The modes of the terminal.
#[derive(Debug)]
struct Modes {
    original: Termios,
    editing: Termios,
    /// Whether typed characters are echoed. Emacs turns this off, because it shows them itself.
    echo: bool,
}

/// The line that is edited, with the cursor at its end.
#[derive(Debug)]
struct TypedLine {
    text: String,
    widths: GraphemeClusterMode,
    echo: bool,
}

/// Turns bytes into characters.
#[derive(Debug, Default)]
struct Keys {
    /// The start of a character in UTF-8.
    partial: Vec<u8>,
    escape: Escape,
}

/// Where in an escape sequence the last byte was. Keys such as the arrows send these; nothing is bound to them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Started,
    Parameters,
}

struct PlainEditor<'a> {
    session: &'a Session,
    wake: UnixStream,
    modes: Modes,
    line: TypedLine,
    keys: Keys,
}

impl Modes {
    fn read() -> rustix::io::Result<Self> {
        let original = tcgetattr(stdin())?;
        let mut editing = original.clone();
        editing.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        editing.input_modes -= InputModes::IXON;
        editing.special_codes[SpecialCodeIndex::VMIN] = 1;
        editing.special_codes[SpecialCodeIndex::VTIME] = 0;
        let echo = original.local_modes.contains(LocalModes::ECHO);
        Ok(Self { original, editing, echo })
    }

    /// Sets the modes for editing, unless they are set; returns whether they were not.
    fn set(&self) -> bool {
        let is_set = tcgetattr(stdin()).is_ok_and(|now| !now.local_modes.contains(LocalModes::ICANON));
        if !is_set {
            // If the terminal is gone, the next read fails too.
            _ = tcsetattr(stdin(), OptionalActions::Now, &self.editing);
        }
        !is_set
    }

    fn restore(&self) {
        if job::is_foreground() {
            _ = tcsetattr(stdin(), OptionalActions::Drain, &self.original);
        }
    }
}

impl TypedLine {
    fn push(&mut self, key: char) {
        self.text.push(key);
        let shown = if key == '\t' { ' ' } else { key };
        self.show(shown.encode_utf8(&mut [0; 4]));
    }

    /// Removes what the user sees as the last character.
    fn pop(&mut self) {
        let Some((at, last)) = self.text.grapheme_indices(true).next_back() else { return };
        let width = if last == "\t" { 1 } else { self.widths.width(last) };
        self.show(&"\x08 \x08".repeat(width.into()));
        self.text.truncate(at);
    }

    fn pop_word(&mut self) {
        let start = self.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
        while self.text.len() > start {
            self.pop();
        }
    }

    fn clear(&mut self) {
        while !self.text.is_empty() {
            self.pop();
        }
    }

    /// Shows the whole line, on a new row.
    fn show_again(&self) {
        self.show(&self.text.replace('\t', " "));
    }

    fn show(&self, text: &str) {
        if self.echo {
            print(text);
        }
    }
}

impl Keys {
    fn next(&mut self, byte: u8) -> Option<char> {
        match (self.escape, byte) {
            (Escape::None, 0x1b) => self.escape = Escape::Started,
            (Escape::None, _) => return self.decode(byte),
            (Escape::Started, b'[' | b'O') => self.escape = Escape::Parameters,
            (Escape::Parameters, b'0'..=b'?') => {}
            _ => self.escape = Escape::None,
        }
        None
    }

    fn decode(&mut self, byte: u8) -> Option<char> {
        self.partial.push(byte);
        let decoded = std::str::from_utf8(&self.partial);
        if decoded.is_err_and(|error| error.error_len().is_none()) {
            return None;
        }
        // What is not UTF-8 is dropped.
        let key = decoded.ok().and_then(|text| text.chars().next());
        self.partial.clear();
        key
    }
}

impl PlainEditor<'_> {
    fn edit_lines(&mut self) -> Result<(), String> {
        loop {
            if self.session.shared.lost().is_some() {
                self.end_row();
                return Err(self.session.lost().unwrap_or_default());
            }
            if self.session.signals.is_interrupted() {
                // From another process: the key Ctrl-C sends no signal here.
                if !self.line.text.is_empty() {
                    self.session.signals.make_interrupt_fatal();
                }
                self.end_row();
                return Ok(());
            }
            let is_foreground = job::is_foreground();
            if is_foreground {
                if self.modes.set() {
                    self.line.show_again();
                }
                self.show_received();
            }
            if self.wait(is_foreground)? && !self.read_keys()? {
                return Ok(());
            }
        }
    }

    /// Waits for a key, for received lines or for a signal; returns whether there is a key.
    fn wait(&mut self, is_foreground: bool) -> Result<bool, String> {
        let wake = PollFd::new(&self.wake, PollFlags::IN);
        let ready = if is_foreground {
            let mut descriptors = [wake, PollFd::from_borrowed_fd(stdin(), PollFlags::IN)];
            poll(&mut descriptors, None).map(|_| !descriptors[1].revents().is_empty())
        } else {
            let interval = Timespec::try_from(FOREGROUND_INTERVAL).ok();
            poll(&mut [wake], interval.as_ref()).map(|_| false)
        };
        while matches!(self.wake.read(&mut [0; 64]), Ok(1..)) {}
        match ready {
            // A signal.
            Err(Errno::INTR) => Ok(false),
            ready => ready.map_err(|error| terminal_error(&error.into())),
        }
    }

    /// Shows what was received, unless it would tear the typed line.
    fn show_received(&self) {
        if self.line.text.is_empty() {
            print(&self.session.screen.take_pending());
        } else if self.session.screen.is_full() {
            // More is not kept. The typed line stays above, and begins again below.
            self.end_row();
            print(&self.session.screen.take_pending());
            self.line.show_again();
        }
    }

    /// Ends the row of the typed line.
    fn end_row(&self) {
        if !self.line.text.is_empty() {
            self.line.show("\n");
        }
    }

    /// Reads once; returns false if the user leaves.
    fn read_keys(&mut self) -> Result<bool, String> {
        let mut bytes = [0; READ_SIZE];
        let count = match rustix::io::read(stdin(), &mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => return Err(terminal_error(&io::Error::from(error))),
        };
        for &byte in &bytes[..count] {
            if let Some(key) = self.keys.next(byte)
                && !self.press(key)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns false if the user leaves.
    fn press(&mut self, key: char) -> bool {
        match key {
            '\n' | '\r' => return self.enter(),
            '\x08' | '\x7f' => self.line.pop(),
            CTRL_C | CTRL_D if self.line.text.is_empty() => return false,
            CTRL_C | CTRL_U => self.line.clear(),
            CTRL_W => self.line.pop_word(),
            CTRL_Z => {
                self.end_row();
                self.modes.restore();
                self.session.job.ask_to_stop();
                self.session.job.stop_if_asked();
            }
            key if key == '\t' || !key.is_control() => self.line.push(key),
            _ => {}
        }
        true
    }

    /// Returns false if the user leaves.
    fn enter(&mut self) -> bool {
        self.line.show("\n");
        match self.session.enter(&self.line.text) {
            AfterEnter::NextLine => self.line.text.clear(),
            AfterEnter::SameLine => self.line.show_again(),
            AfterEnter::Leave => return false,
        }
        self.show_received();
        true
    }
}

//! A pseudo-terminal with a program on it: keys in, and what is on its screen.

use crate::common::{eventually, signal, time_limit, wait_for_end};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const ROWS: u16 = 12;

/// What a terminal does with its rows when its width changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wrapping {
    /// Each row stays as it is, and is cut if it is too long (xterm, the Linux console).
    Cut,
    /// Rows that the terminal has wrapped are joined and wrapped again (tmux, GNOME, kitty, Windows Terminal).
    Rewrap,
}

/// The output of the program.
struct Output {
    bytes: Vec<u8>,
    screen: vt100::Parser,
}

/// A program that runs on a terminal.
pub(crate) struct Terminal {
    /// The controlling side.
    keyboard: File,
    /// The program's side. It stays open so that its modes can be read after the program has ended.
    program_side: OwnedFd,
    output: Arc<Mutex<Output>>,
    child: Child,
}

impl Terminal {
    /// Runs `command` on a terminal of [`ROWS`] rows and `columns` columns.
    #[track_caller]
    pub(crate) fn start(command: &Command, columns: u16) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        tcsetwinsize(&keyboard, window(columns, ROWS)).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let program_side = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        let handle = || program_side.try_clone().unwrap();
        let mut on_terminal = on_its_own_terminal(command);
        let child = on_terminal.stdin(handle()).stdout(handle()).stderr(handle()).spawn().unwrap();
        let keyboard = File::from(keyboard);
        let screen = vt100::Parser::new(non_zero(ROWS), non_zero(columns), 0);
        let output = Arc::new(Mutex::new(Output { bytes: Vec::new(), screen }));
        let (mut reader, into) = (keyboard.try_clone().unwrap(), Arc::clone(&output));
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(bytes @ 1..) = reader.read(&mut buffer) {
                let mut output = into.lock().unwrap();
                output.bytes.extend_from_slice(&buffer[..bytes]);
                process(&mut output.screen, &buffer[..bytes]);
            }
        });
        Self { keyboard, program_side, output, child }
    }

    /// Presses keys.
    #[track_caller]
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.type_bytes(keys.as_bytes());
    }

    /// Presses keys that may not be UTF-8.
    #[track_caller]
    pub(crate) fn type_bytes(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Changes the width, which the kernel signals to the program.
    #[track_caller]
    pub(crate) fn resize(&self, columns: u16, wrapping: Wrapping) {
        // Locked until both know the size, so that no answer of the program is shown at the old one.
        let mut output = self.lock();
        let (rows, _) = output.screen.screen().size();
        match wrapping {
            Wrapping::Cut => output.screen.screen_mut().set_size(rows, non_zero(columns)),
            Wrapping::Rewrap => output.screen = rewrapped(output.screen.screen(), columns),
        }
        tcsetwinsize(&self.keyboard, window(columns, rows.get())).unwrap();
    }

    /// Changes the height. Like xterm, the terminal first drops the rows below the cursor.
    #[track_caller]
    pub(crate) fn set_height(&self, rows: u16) {
        let mut output = self.lock();
        let (_, columns) = output.screen.screen().size();
        output.screen.screen_mut().set_size(non_zero(rows), columns);
        tcsetwinsize(&self.keyboard, window(columns.get(), rows)).unwrap();
    }

    /// Waits until exactly `rows` are on the screen, trailing blanks aside.
    #[track_caller]
    pub(crate) fn expect_screen(&self, rows: &[&str]) {
        self.wait_for(rows, |screen| rows_of(screen) == rows);
    }

    /// Waits for `rows` and for the cursor at (row, column), counted from 0.
    #[track_caller]
    pub(crate) fn expect_screen_and_cursor(&self, rows: &[&str], cursor: (u16, u16)) {
        self.wait_for(rows, |screen| rows_of(screen) == rows && screen.cursor_position() == cursor);
    }

    /// Waits until `rows` are the last rows on the screen.
    #[track_caller]
    pub(crate) fn expect_last_rows(&self, rows: &[&str]) {
        let expected = rows.iter().map(ToString::to_string).collect::<Vec<_>>();
        self.wait_for(rows, |screen| rows_of(screen).ends_with(&expected));
    }

    /// Waits until the rows on the screen are as asked.
    #[track_caller]
    pub(crate) fn expect_rows(&self, what: &str, are_shown: impl Fn(&[String]) -> bool) {
        self.wait_for(&[what], |screen| are_shown(&rows_of(screen)));
    }

    #[track_caller]
    fn wait_for(&self, expected: &[&str], is_shown: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + time_limit();
        while !is_shown(self.lock().screen.screen()) {
            let screen = self.lock().screen.screen().clone();
            let (shown, cursor) = (rows_of(&screen), screen.cursor_position());
            assert!(Instant::now() < deadline, "expected {expected:#?}, shown {shown:#?}, cursor {cursor:?}");
            // The output of another process can only be polled.
            thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// All output so far, escape sequences included.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until the output contains `text`.
    #[track_caller]
    pub(crate) fn expect_output(&self, text: &str) {
        eventually(&format!("{text:?} is written"), || self.output().contains(text).then_some(()));
    }

    /// Whether the terminal itself edits and echoes lines, as before the program started.
    pub(crate) fn is_restored(&self) -> bool {
        let modes = tcgetattr(&self.program_side).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The number of threads of the program.
    #[track_caller]
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// The process that the program, a shell, has started.
    #[track_caller]
    pub(crate) fn job(&self) -> u32 {
        let shell = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        children.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends the program a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end of the program, which must have restored the terminal.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = wait_for_end(&mut self.child);
        assert!(self.is_restored(), "the terminal is left in another mode");
        status
    }

    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `command`, started so that its standard input becomes its controlling terminal, which sends it signals.
fn on_its_own_terminal(command: &Command) -> Command {
    // A part of util-linux.
    let mut setsid = Command::new("setsid");
    setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
    setsid.env("TERM", "xterm-256color").env_remove("NO_COLOR").env("TZ", "UTC0");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => setsid.env(name, value),
            None => setsid.env_remove(name),
        };
    }
    setsid
}

/// The rows on a screen, without the empty ones at the bottom.
fn rows_of(screen: &vt100::Screen) -> Vec<String> {
    let (_, columns) = screen.size();
    let mut rows = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect::<Vec<_>>();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

/// Shows output. As in tmux, a row that is erased is no longer the continuation of the row above it.
fn process(screen: &mut vt100::Parser, mut output: &[u8]) {
    let is_erasing = |sequence: &[u8]| matches!(sequence, b"\x1b[K" | b"\x1b[J");
    while let Some(at) = output.windows(3).position(is_erasing) {
        screen.process(&output[..at]);
        let (row, column) = screen.screen().cursor_position();
        if column == 0 && row > 0 && screen.screen().row_wrapped(row - 1) {
            let (_, columns) = screen.screen().size();
            let last = (0..columns.get()).rfind(|&column| {
                screen.screen().cell(row - 1, column).is_some_and(|cell| cell.has_contents())
            });
            let last = last.unwrap_or_default();
            let text = screen.screen().cell(row - 1, last).map(|cell| cell.contents().to_owned());
            // Erasing the last cell and writing it again ends the wrapping.
            let rewrite = format!("\x1b7\x1b[{row};{}H\x1b[K{}\x1b8", last + 1, text.unwrap_or_default());
            screen.process(rewrite.as_bytes());
        }
        screen.process(&output[at..at + 3]);
        output = &output[at + 3..];
    }
    screen.process(output);
}

/// The same lines and cursor on a screen of another width: rows that the terminal has wrapped itself are joined
/// first.
fn rewrapped(screen: &vt100::Screen, columns: u16) -> vt100::Parser {
    // Higher than any screen here, so that no row is lost before the rows are counted.
    const ALL_ROWS: u16 = 200;
    let (rows, old_columns) = screen.size();
    let (cursor_row, cursor_column) = screen.cursor_position();
    let cell = |row, column| screen.cell(row, column).filter(|cell| !cell.is_wide_continuation());
    let text = |row, columns: u16| -> String {
        let contents = |cell: &vt100::Cell| match cell.contents() {
            "" => " ".to_owned(),
            text => text.to_owned(),
        };
        (0..columns).filter_map(|column| cell(row, column).map(contents)).collect()
    };
    let (mut before_cursor, mut all) = (String::new(), String::new());
    for row in 0..rows.get() {
        if row == cursor_row {
            before_cursor = format!("{all}{}", text(row, cursor_column));
        }
        match screen.row_wrapped(row) {
            // A wide character that did not fit has left a blank.
            true => all.push_str(text(row, old_columns.get()).trim_end()),
            false => all.push_str(&format!("{}\r\n", text(row, old_columns.get()).trim_end())),
        }
    }
    let mut high = vt100::Parser::new(non_zero(ALL_ROWS), non_zero(columns), 0);
    high.process(before_cursor.as_bytes());
    let cursor = high.screen().cursor_position();
    high.process(format!("\x1b[H\x1b[J{}", all.trim_end()).as_bytes());
    let used = high.screen().cursor_position().0.max(cursor.0) + 1;
    let mut parser = vt100::Parser::new(rows, non_zero(columns), 0);
    parser.process(all.trim_end().as_bytes());
    let hidden = used.saturating_sub(rows.get());
    parser.process(format!("\x1b[{};{}H", cursor.0 - hidden + 1, cursor.1 + 1).as_bytes());
    parser
}

const fn window(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn non_zero(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

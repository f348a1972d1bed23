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
        tcsetwinsize(&keyboard, window(columns)).unwrap();
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
                output.screen.process(&buffer[..bytes]);
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
    pub(crate) fn resize(&self, columns: u16) {
        tcsetwinsize(&self.keyboard, window(columns)).unwrap();
        self.lock().screen.screen_mut().set_size(non_zero(ROWS), non_zero(columns));
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

const fn window(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn non_zero(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

//! A terminal of the tests' own: keys in, and what is on its screen.

use crate::common::{eventually, signal, wait_for_end};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) const ROWS: u16 = 12;

/// What the program wrote.
struct Written {
    bytes: Vec<u8>,
    screen: vt100::Parser,
}

/// A program that runs on a terminal.
pub(crate) struct Terminal {
    keyboard: File,
    /// Held, so that its modes can be asked for when the program is gone.
    programs: OwnedFd,
    written: Arc<Mutex<Written>>,
    child: Child,
}

impl Terminal {
    /// Runs `command` on a terminal that is so many columns wide.
    #[track_caller]
    pub(crate) fn start(command: &Command, columns: u16) -> Self {
        let side = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&side).unwrap();
        unlockpt(&side).unwrap();
        tcsetwinsize(&side, Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&side, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let programs = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
        // The terminal becomes the program's own, with all signals that it sends; a part of util-linux.
        let mut on_it = Command::new("setsid");
        on_it.arg("--ctty").arg(command.get_program()).args(command.get_args());
        on_it.env("TERM", "xterm-256color").env_remove("NO_COLOR").env("TZ", "UTC0");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_it.env(name, value),
                None => on_it.env_remove(name),
            };
        }
        let handle = || programs.try_clone().unwrap();
        let child = on_it.stdin(handle()).stdout(handle()).stderr(handle()).spawn().unwrap();
        let keyboard = File::from(side);
        let written = Arc::new(Mutex::new(Written {
            bytes: Vec::new(),
            screen: vt100::Parser::new(size(ROWS), size(columns), 0),
        }));
        let (mut reader, into) = (keyboard.try_clone().unwrap(), Arc::clone(&written));
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(bytes @ 1..) = reader.read(&mut buffer) {
                let mut written = into.lock().unwrap();
                written.bytes.extend_from_slice(&buffer[..bytes]);
                written.screen.process(&buffer[..bytes]);
            }
        });
        Self { keyboard, programs, written, child }
    }

    /// Presses keys.
    #[track_caller]
    pub(crate) fn types(&mut self, keys: &str) {
        self.types_bytes(keys.as_bytes());
    }

    /// Presses keys that may be no text.
    #[track_caller]
    pub(crate) fn types_bytes(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Makes it so many columns wide, of which the program is told by a signal.
    #[track_caller]
    pub(crate) fn resizes(&self, columns: u16) {
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
        self.written.lock().unwrap().screen.screen_mut().set_size(self::size(ROWS), self::size(columns));
    }

    /// Waits until exactly `lines` are on the screen, blanks at their ends aside.
    #[track_caller]
    pub(crate) fn shows(&self, lines: &[&str]) {
        self.waits_for(lines, |screen| rows(screen) == lines);
    }

    /// The same, with the cursor in that row and column, counted from 0.
    #[track_caller]
    pub(crate) fn shows_with_cursor(&self, lines: &[&str], cursor: (u16, u16)) {
        self.waits_for(lines, |screen| rows(screen) == lines && screen.cursor_position() == cursor);
    }

    /// Waits until `lines` are the last on the screen.
    #[track_caller]
    pub(crate) fn shows_at_the_end(&self, lines: &[&str]) {
        self.waits_for(lines, |screen| {
            rows(screen).ends_with(&lines.iter().map(ToString::to_string).collect::<Vec<_>>())
        });
    }

    #[track_caller]
    fn waits_for(&self, what: &[&str], is_there: impl Fn(&vt100::Screen) -> bool) {
        let seen = || self.written.lock().unwrap();
        let deadline = std::time::Instant::now() + crate::common::DEADLINE;
        while !is_there(seen().screen.screen()) {
            let screen = seen().screen.screen().clone();
            let late = std::time::Instant::now() >= deadline;
            assert!(!late, "not {what:#?}, but {:#?} {:?}", rows(&screen), screen.cursor_position());
            thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    /// All that was written, with what moves the cursor and colours.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap().bytes).into_owned()
    }

    /// Waits until `text` was written, with what moves the cursor and colours.
    #[track_caller]
    pub(crate) fn writes(&self, text: &str) {
        eventually(&format!("{text:?} is written"), || self.written().contains(text).then_some(()));
    }

    /// Whether lines are edited by the terminal itself, and echoed, as it was found.
    pub(crate) fn is_as_found(&self) -> bool {
        let modes = tcgetattr(&self.programs).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// How many threads the program has.
    #[track_caller]
    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// Sends the program a signal.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the end of the program, which leaves the terminal as it was found; its status.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> std::process::ExitStatus {
        let status = wait_for_end(&mut self.child);
        assert!(self.is_as_found(), "the terminal is left in another mode");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The lines on a screen, without the empty ones below.
fn rows(screen: &vt100::Screen) -> Vec<String> {
    let (_, columns) = screen.size();
    let mut rows = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect::<Vec<_>>();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    rows
}

fn size(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

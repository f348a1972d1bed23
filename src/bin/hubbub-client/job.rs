//! Job control: the client is stopped, and goes on in the foreground or in the background.
//!
//! rustyline sets the modes of the terminal when a line begins and when it ends. After SIGSTOP the shell sets its own
//! modes, and only SIGCONT tells that the client goes on. In the background, each access of rustyline to the terminal
//! would disturb the shell or stop the client. So the line ends there, and the main thread waits for the foreground.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Result;
use rustix::process::{Signal, getpgrp, kill_current_process_group};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a client in the background checks whether it is in the foreground again. No signal announces it.
pub(crate) const FOREGROUND_INTERVAL: Duration = Duration::from_millis(100);

/// The client as a job of a shell.
#[derive(Debug, Default)]
pub(crate) struct Job {
    state: Mutex<State>,
    /// Whether the user has pressed Ctrl-Z.
    wants_stop: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The modes of the terminal while a line is edited.
    modes: Option<Termios>,
    /// The terminal, while standard input and output are something else.
    detached: Option<Terminal>,
}

#[derive(Debug)]
struct Terminal {
    input: OwnedFd,
    output: OwnedFd,
}

/// How an edited line goes on after the client was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continued {
    /// No line is edited.
    WithoutLine,
    /// The line must be drawn again.
    InForeground,
    /// rustyline has lost the terminal, and must end the line.
    InBackground,
}

impl Job {
    /// Records the modes that rustyline has set for a line, if it is a new one.
    pub(crate) fn line_begins(&self) {
        let mut state = self.state();
        if state.modes.is_none() {
            state.modes = tcgetattr(stdin()).ok();
        }
    }

    /// Records that rustyline has ended the line; returns whether it had lost the terminal.
    pub(crate) fn line_ends(&self) -> bool {
        let mut state = self.state();
        state.modes = None;
        let detached = state.detached.take();
        if let Some(terminal) = &detached {
            // The descriptors exist, so these cannot fail.
            _ = dup2_stdin(&terminal.input);
            _ = dup2_stdout(&terminal.output);
        }
        detached.is_some()
    }

    /// Returns whether rustyline has not yet ended the line without its terminal.
    pub(crate) fn is_detached(&self) -> bool {
        self.state().detached.is_some()
    }

    /// Sets the modes for the edited line again, or takes the terminal away from rustyline.
    pub(crate) fn go_on(&self) -> Continued {
        let mut state = self.state();
        let Some(modes) = &state.modes else { return Continued::WithoutLine };
        if is_foreground() {
            // If the terminal is gone, the next read fails too.
            _ = tcsetattr(stdin(), OptionalActions::Now, modes);
            return Continued::InForeground;
        }
        match Terminal::detach() {
            Ok(terminal) => {
                state.detached = Some(terminal);
                Continued::InBackground
            }
            // Without a descriptor the shell stops the client when rustyline reads the terminal.
            Err(_) => Continued::WithoutLine,
        }
    }

    /// Asks for [`stop_if_asked`](Self::stop_if_asked).
    pub(crate) fn ask_to_stop(&self) {
        self.wants_stop.store(true, Ordering::Relaxed);
    }

    /// Stops the client, and all processes of its job, if the user has pressed Ctrl-Z; returns whether that is so.
    pub(crate) fn stop_if_asked(&self) -> bool {
        let wants_stop = self.wants_stop.swap(false, Ordering::Relaxed);
        if wants_stop {
            // Does nothing if there is no shell that could let the client go on.
            _ = kill_current_process_group(Signal::TSTP);
        }
        wants_stop
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terminal {
    /// Replaces standard input and output by /dev/null.
    fn detach() -> Result<Self> {
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let terminal = Self { input: rustix::io::dup(stdin())?, output: rustix::io::dup(stdout())? };
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        Ok(terminal)
    }
}

/// Waits until the client is in the foreground of its terminal; returns false if `is_over` comes first.
pub(crate) fn wait_for_foreground(is_over: impl Fn() -> bool) -> bool {
    while !is_foreground() {
        if is_over() {
            return false;
        }
        thread::sleep(FOREGROUND_INTERVAL);
    }
    true
}

/// Returns whether the client is in the foreground of its terminal.
pub(crate) fn is_foreground() -> bool {
    // It fails without job control; then there is no background.
    tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp())
}

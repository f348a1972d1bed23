//! What the main thread and the connection thread share.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state that the main thread and the connection thread share.
#[derive(Debug)]
pub(crate) struct SharedState {
    state: Mutex<State>,
    /// A byte here wakes the connection thread.
    waker: UnixStream,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) is_connected: bool,
    /// Typed lines that the connection thread has not taken yet. It takes them at once, so only what the user
    /// types or pastes limits the size.
    pub(crate) typed: Vec<u8>,
    /// Whether the user has pressed Enter without a connection.
    pub(crate) wants_connection: bool,
    pub(crate) is_leaving: bool,
    /// Why the connection is lost for good, or empty if a signal ends the client.
    pub(crate) lost: Option<String>,
}

impl SharedState {
    pub(crate) fn new(waker: UnixStream, is_connected: bool) -> Self {
        Self { state: Mutex::new(State { is_connected, ..State::default() }), waker }
    }

    /// Queues lines that the user has entered. If there is no connection, asks for one at once and returns false.
    pub(crate) fn send(&self, lines: &[&str]) -> bool {
        let mut state = self.lock();
        if state.is_connected {
            for line in lines {
                state.typed.extend_from_slice(line.as_bytes());
                state.typed.push(b'\n');
            }
        } else {
            state.wants_connection = true;
        }
        self.wake();
        state.is_connected
    }

    /// Asks the connection thread to leave.
    pub(crate) fn leave(&self) {
        self.lock().is_leaving = true;
        self.wake();
    }

    /// Returns why the connection is lost for good, if it is.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lock().lost.clone()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the connection thread.
    pub(crate) fn wake(&self) {
        // Fails only if the socket is full; then the thread wakes anyway.
        _ = (&self.waker).write(b"w");
    }
}

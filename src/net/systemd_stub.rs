//! In place of `systemd.rs` where the server is built without it: nothing is handed over, and nobody is told.

use crate::net::listener::InheritedSocket;
use std::time::Duration;

/// None.
///
/// # Errors
/// One line where some were handed over.
pub fn inherited() -> Result<Vec<InheritedSocket>, String> {
    let is_for_us = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if is_for_us && std::env::var_os("LISTEN_FDS").is_some() {
        return Err(
            "cannot take over LISTEN_FDS: this server was built without the feature systemd".to_owned()
        );
    }
    Ok(Vec::new())
}

/// Nobody.
#[derive(Debug)]
pub struct Notifier;

impl Notifier {
    /// Nobody.
    pub const fn find() -> Self {
        Self
    }

    /// Nobody wants to be told.
    pub const fn exists(&self) -> bool {
        false
    }

    /// Nor a sign of life.
    pub const fn watchdog(&self) -> Option<Duration> {
        None
    }

    /// The room is open.
    pub const fn ready(&mut self) {}

    /// One line about the room.
    pub const fn status(&mut self, _: &str) {}

    /// The loop goes round.
    pub const fn alive(&mut self) {}

    /// The server stops.
    pub const fn stopping(&mut self) {}
}

//! Replaces `systemd.rs` in a build without the feature `systemd`: no inherited sockets, no notifications.

use crate::net::listener::InheritedSocket;
use std::time::Duration;

/// Returns no sockets.
///
/// # Errors
/// One line, if systemd passed sockets to the process.
pub fn inherited() -> Result<Vec<InheritedSocket>, String> {
    let is_for_us = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if is_for_us && std::env::var_os("LISTEN_FDS").is_some() {
        return Err("cannot take over the sockets of LISTEN_FDS: this server was built without the feature \
                    systemd"
            .to_owned());
    }
    Ok(Vec::new())
}

/// Sends no notifications.
#[derive(Debug)]
pub struct Notifier;

impl Notifier {
    /// Does nothing.
    pub const fn find() -> Self {
        Self
    }

    /// Always false.
    pub const fn exists(&self) -> bool {
        false
    }

    /// Always `None`.
    pub const fn watchdog(&self) -> Option<Duration> {
        None
    }

    /// Does nothing.
    pub const fn ready(&mut self) {}

    /// Does nothing.
    pub const fn status(&mut self, _: &str) {}

    /// Does nothing.
    pub const fn alive(&mut self) {}

    /// Does nothing.
    pub const fn stopping(&mut self) {}
}

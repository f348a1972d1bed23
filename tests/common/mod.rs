//! Helpers of the tests that run the server: the server itself, its log, and clients that wait for
//! lines until a deadline.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unused_imports, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(unreachable_pub, reason = "a module of several test binaries, each of which is its own crate")]

mod client;
pub mod client_group;
mod machine;
mod process;
pub mod random;
pub mod scripted;
mod server;
pub mod texts;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tls")]
pub mod tls_front;
pub mod twin;

pub use client::Client;
pub use machine::*;
pub use process::*;
pub use server::{Server, address_in};
pub use texts::WELCOME;

use std::thread;
use std::time::{Duration, Instant};

/// Returns how long a test waits for anything: `HUBBUB_DEADLINE` in seconds, default 20. Only a test
/// that fails waits so long.
pub fn time_limit() -> Duration {
    Duration::from_secs(random::number_from("HUBBUB_DEADLINE").unwrap_or(20))
}

/// Repeats `attempt` until it returns a value. Fails the test after the time limit.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time_limit();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within the time limit: {what}");
        // The state of another process can only be polled.
        thread::park_timeout(Duration::from_millis(2));
    }
}

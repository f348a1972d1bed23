//! Helpers of the tests that run the server: the server itself, its log, and clients that wait for
//! lines until a deadline.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(unused_imports, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(unreachable_pub, reason = "a module of several test binaries, each of which is its own crate")]

mod client;
mod process;
pub mod random;
mod server;
pub mod swarm;
pub mod table;
pub mod texts;
pub mod twin;

pub use client::Client;
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

// BEGIN old names, for test files that still use them.
pub use process::run_to_end as run_to_its_end;
pub const DEADLINE: Duration = Duration::from_secs(20);
impl Client {
    #[track_caller]
    pub fn over(stream: std::net::TcpStream) -> Self {
        Self::from_stream(stream)
    }
    #[track_caller]
    pub fn says(&mut self, bytes: impl AsRef<[u8]>) {
        self.send(bytes);
    }
    #[track_caller]
    pub fn expects(&mut self, line: impl AsRef<[u8]>) {
        self.expect_line(line);
    }
    #[track_caller]
    pub fn hears_line(&mut self) -> Vec<u8> {
        self.read_line()
    }
    #[track_caller]
    pub fn hears_bytes(&mut self, count: usize) -> Vec<u8> {
        self.read_bytes(count)
    }
    #[track_caller]
    pub fn hears_all(&mut self) -> Vec<u8> {
        self.read_to_end()
    }
    #[track_caller]
    pub fn expects_end(&mut self) {
        self.expect_end();
    }
    #[track_caller]
    pub fn ends(&mut self) {
        self.end_input();
    }
    #[track_caller]
    pub fn resets(self) {
        self.reset();
    }
}
impl Server {
    #[track_caller]
    pub fn spawn_unheard(command: std::process::Command, port: &Port) -> Self {
        Self::spawn_without_log(command, port)
    }
    #[track_caller]
    pub fn spawn_with_its_files(command: std::process::Command) -> Self {
        Self::spawn_with_stdio(command)
    }
    pub fn hear_log(&mut self, source: impl std::io::Read + Send + 'static) {
        self.read_log_from(source);
    }
}
// END old names.

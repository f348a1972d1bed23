//! The turn of the table of clients, with scripted sockets and a clock that the test sets: which client is read,
//! written to or disconnected, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod admission;
mod admit;
mod close;
#[path = "../common/mod.rs"]
mod common;
mod notices;
mod opening;
mod operator;
mod pauses;
mod pending_bytes;
mod rate_limit;
mod read;
mod stall;
mod unparsed;
mod write;

use common::scripted::*;

/// Returns numbered lines of 20 bytes, `bytes` in all.
fn lines(bytes: usize) -> Vec<u8> {
    (0..bytes / 20).flat_map(|number| format!("line number {number:7}\n").into_bytes()).collect()
}

/// Lets `bulk` send four feeds while `stuck` does not read, so that it has to wait for space. Returns what it
/// sends.
#[track_caller]
fn block(server: &mut ScriptedServer, stuck: &ScriptedClient, bulk: &ScriptedClient) -> Vec<u8> {
    let flood = lines(4 * server.clients.room().feed(hubbub::wire::view::View::Plain).size());
    stuck.accepts([], Accept::WouldBlock);
    server.send(bulk, &flood);
    assert!(bulk.unread() > 0, "the bulk sender waits");
    flood
}

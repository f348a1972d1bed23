//! TLS on the side of the server: the files, the stream, and clients in the room, with a client by rustls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;
#[path = "tls/files.rs"]
mod files;
#[path = "tls/room.rs"]
mod room;
#[path = "tls/server.rs"]
mod server;
#[path = "tls/stream.rs"]
mod stream;

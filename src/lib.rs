//! hubbub: a chat room server on one thread with one poll loop.
//!
//! ```text
//! socket ─► connection/input ─► wire::LineDecoder ─► chat::Room ─► chat::view ─► broadcast::Feed
//!                                                      │ (replies)                    │ (cursor)
//! socket ◄─ connection ◄──────────────── outbox ◄──────┘          ◄───────────────────┘
//! ```
//!
//! A broadcast is one append to the feed, a ring of bytes that all readers share. A reader owns no
//! copy of what is pending for it, only a cursor: an offset into the feed.
//!
//! One turn of the loop: wait for events; mark sockets ready; run due timers; read each ready client once,
//! within the turn's budget; carry out operators' commands; write once to each client that is behind; disconnect
//! stalled readers; handle signals; remove closed clients; accept.
//!
//! # Layers
//!
//! Each folder uses only the folders below it (`scripts/layers` checks this). [`wire`], [`broadcast`] and
//! [`chat`] are pure: they have no sockets, no clock and no log, and time is an argument.
//!
//! | folder | contents |
//! |---|---|
//! | [`server`] | the event loop: poll, tokens, timers, signals, shutdown |
//! | [`admin`] | the operator's connections, commands and answers; figures for monitoring |
//! | [`pending`] | connections that are not admitted yet: PROXY header, TLS handshake, password |
//! | [`clients`] | the table of connected clients; one file per step of a turn: admit, read, write |
//! | [`clients::connection`] | one client: input, outbox, state and close reason |
//! | [`cli`] | command line: options, addresses, errors |
//! | [`chat`] | the room: members, commands, private messages, events and how each view renders them |
//! | [`broadcast`] | the feed, its cursors and history; which senders may be read while readers are slow |
//! | [`net`] | sockets: listen, accept, connect, TLS, systemd; who may come in; limits per network and of file descriptors |
//! | [`logging`] | a log file that never blocks; the limit on log lines about connections |
//! | [`wire`] | bytes to lines: line ends, telnet, escapes, detection of other protocols |
//! | [`util`] | clock, timers, byte buffer, small files, client ids, error text |
//!
//! # Patterns
//!
//! | pattern | file |
//! |---|---|
//! | edge-triggered readiness that is remembered; one read and one write per turn | `src/clients/read.rs`, `write.rs` |
//! | a parser that gives the same result wherever its input is cut; tested against a naive twin | `src/wire/line_decoder.rs` |
//! | other protocols are known by their first bytes, and what people type is not | `src/wire/first_line.rs`, `opening.rs` |
//! | a ring buffer with many cursors, tested against a model | `src/broadcast/feed.rs`, `tests/feed.rs` |
//! | random runs that a seed repeats, compared with a naive model | `tests/simulation.rs` |
//! | ids that are never mistaken for those of an earlier connection | `src/util/id_slab.rs` |
//! | accepting when file descriptors run out | `src/net/acceptor.rs` |
//! | a unix socket's file: its mode from the start, replaced if stale, never stolen, removed at the end | `src/net/unix_listener.rs` |
//! | a parser that decides at the first wrong byte | `src/net/proxy_header.rs` |
//! | a comparison whose time tells nothing about the secret | `src/net/password.rs` |
//! | a bounded table that forgets last what it refuses | `src/net/failures.rs` |
//! | a file that may be a pipe or a device, read without waiting | `src/util/small_file.rs` |
//! | errors for addresses that overlap or are in use | `src/net/open.rs` |
//! | the addresses of network interfaces over netlink, without a name server | `src/net/interfaces.rs` |
//! | inherited sockets, and a supervisor that is notified without blocking | `src/net/systemd.rs` |
//! | TLS over a socket that does not block, with at most one record held per client | `src/net/tls.rs`, `stream.rs` |
//! | memory that returns to the system after a burst | `src/util/trim.rs`, `src/util/buffer.rs` |
//! | limits that delay senders instead of dropping lines | `src/broadcast/admission.rs`, `rate_limit.rs` |
//! | a log that cannot block the program | `src/logging/log_file.rs`, `destination.rs` |
//! | a self-signed certificate that is trusted as it is, with its times, its name and its key checked | `src/net/tls_client/verifier.rs` |
//! | deadlines that do not count the time in which the process was stopped | `src/util/clock.rs`, `timers.rs` |
//! | why a connection closed, as a value that is logged once | `src/clients/close_reason.rs` |
//! | printing above a line that is being typed | `src/bin/hubbub-client/screen.rs` |
//! | checking one order for many readers, cheaply | `src/bin/hubbub-load/check.rs` |

pub mod admin;
pub mod broadcast;
pub mod chat;
pub mod cli;
pub mod clients;
pub mod logging;
pub mod net;
pub mod pending;
pub mod server;
pub mod util;
pub mod wire;

//! hubbub: an anonymous chat room on one TCP port, on one thread and one poll loop.
//!
//! ```text
//!              bytes            lines         whole lines, one order       bytes
//!  socket ──► connection ──►  framing   ──►  room  ──►  feed (ring)  ──►  connection ──► socket
//!              (read)      (telnet, text)   (views)     + cursor          (write, once a turn)
//!                          ╰──── pure: no sockets, no clock, no logging ────╯
//!                          clients: who is ready, waiting, behind, leaving
//!                          server: poll, tokens, timers, signals, listeners
//! ```
//!
//! The modules in the order in which bytes travel:
//!
//! - [`socket`]: all that a connection needs of its socket.
//! - [`connection`]: one client and its [`peer`]; [`close_reason`] says why it ended.
//! - [`framing`]: bytes in, lines out; telnet, first bytes, text made safe; what is unfinished is [`held`].
//! - [`room`]: who hears what, and who may speak how much while others are slow ([`pace`]); the [`people`],
//!   by name, and their [`command`]s.
//! - [`hall`]: what is heard in one [`view`], which makes lines of what is told.
//! - [`feed`]: the one ring of lines, and the cursors of its readers.
//! - [`crowd`]: everyone in the room, and what a turn does for them; [`roster`] holds them, [`tally`] counts
//!   where they come from.
//! - [`server`]: the loop; [`timers`] and [`clock`] tell it when, [`server::doors`] who comes and
//!   [`server::listen`] where; [`systemd`] may hand it its listeners, and is told how it is.
//!
//! Around them: [`options`] with [`arguments`] and [`address`], [`logfile`], [`logbudget`], [`descriptors`], [`counters`], [`os_error`].

pub mod broadcast;
pub mod chat;
pub mod cli;
pub mod clients;
pub mod logging;
pub mod net;
pub mod server;
pub mod util;
pub mod wire;

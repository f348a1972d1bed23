//! hubbub: an anonymous chat room on one TCP port, on one thread and one poll loop.
//!
//! ```text
//!              bytes            lines         whole lines, one order       bytes
//!  socket ──► connection ──►  framing   ──►  room  ──►  feed (ring)  ──►  connection ──► socket
//!              (read)      (telnet, text)   (views)     + cursor          (write, once a turn)
//!                          ╰──── pure: no sockets, no clock, no logging ────╯
//!                          crowd: who is ready, waiting, behind, leaving
//!                          server: poll, tokens, timers, signals, listeners
//! ```
//!
//! The modules in the order in which bytes travel:
//!
//! - [`socket`]: all that a connection needs of its socket.
//! - [`connection`]: one client and its [`peer`]; [`goodbye`] says why it ended.
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

pub mod address;
pub mod arguments;
pub mod clock;
pub mod command;
pub mod connection;
pub mod counters;
pub mod crowd;
pub mod descriptors;
pub mod feed;
pub mod framing;
pub mod goodbye;
pub mod hall;
pub mod held;
pub mod logbudget;
pub mod logfile;
pub mod options;
pub mod os_error;
pub mod pace;
pub mod peer;
pub mod people;
pub mod room;
pub mod roster;
pub mod server;
pub mod socket;
#[cfg_attr(not(all(feature = "systemd", target_os = "linux")), path = "systemd_absent.rs")]
pub mod systemd;
pub mod tally;
pub mod timers;
pub mod view;

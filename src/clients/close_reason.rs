//! Why a connection closed: logged once, and counted.

use crate::wire::other_protocol::OtherProtocol;
use log::Level;
use std::fmt;
use std::io::ErrorKind;

/// Why a connection closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended its input, or sent `/quit`, and received what was pending.
    ClosedByPeer,
    /// Reset, timed out or unreachable.
    ConnectionLost(ErrorKind),
    /// The peer ended its input and did not receive what was pending in time.
    CloseTimeout,
    /// The room waited for this reader as long as `--stall-timeout`.
    StalledReader,
    /// Its first bytes were of another protocol.
    OtherProtocol(OtherProtocol),
    /// The room is full.
    RoomFull,
    /// The server is stopping.
    ShuttingDown,
    /// A call on its socket was interrupted, or wrote nothing, again and again.
    NoProgress,
    /// The poll could not register its socket.
    RegisterFailed(ErrorKind),
    /// Too many clients from its network.
    PerAddressLimit,
    /// The system has no file descriptor for it.
    NoDescriptor,
    /// It sent nothing for as long as `--idle-timeout`.
    IdleTimeout,
    /// An operator removed it.
    Kicked,
    /// An operator banned its address.
    Banned,
}

/// How one kind of close is logged and counted.
struct Kind {
    /// Its name in the totals.
    label: &'static str,
    level: Level,
    /// Whether the limit on log lines does not apply, because peers cannot cause this close many times a second.
    is_always_logged: bool,
}

impl CloseReason {
    /// How many kinds there are.
    pub const COUNT: usize = 14;

    /// By [`index`](Self::index). Levels: info if the peer left or the server stops, warning if the server refused
    /// or disconnected the client, error if the server or the system failed.
    const KINDS: [Kind; Self::COUNT] = [
        Kind { label: "left", level: Level::Info, is_always_logged: false },
        Kind { label: "lost", level: Level::Info, is_always_logged: false },
        Kind { label: "close timed out", level: Level::Warn, is_always_logged: true },
        Kind { label: "stalled", level: Level::Warn, is_always_logged: true },
        Kind { label: "other protocol", level: Level::Warn, is_always_logged: false },
        Kind { label: "room full", level: Level::Warn, is_always_logged: false },
        Kind { label: "stopped", level: Level::Info, is_always_logged: false },
        Kind { label: "no progress", level: Level::Error, is_always_logged: true },
        Kind { label: "not registered", level: Level::Error, is_always_logged: true },
        Kind { label: "address limit", level: Level::Warn, is_always_logged: false },
        // The acceptor logs a warning, once a minute.
        Kind { label: "no descriptor", level: Level::Debug, is_always_logged: false },
        Kind { label: "idle", level: Level::Warn, is_always_logged: false },
        Kind { label: "kicked", level: Level::Warn, is_always_logged: true },
        Kind { label: "banned", level: Level::Warn, is_always_logged: false },
    ];

    /// The number of this kind, in the order of the enum.
    pub const fn index(self) -> usize {
        match self {
            Self::ClosedByPeer => 0,
            Self::ConnectionLost(_) => 1,
            Self::CloseTimeout => 2,
            Self::StalledReader => 3,
            Self::OtherProtocol(_) => 4,
            Self::RoomFull => 5,
            Self::ShuttingDown => 6,
            Self::NoProgress => 7,
            Self::RegisterFailed(_) => 8,
            Self::PerAddressLimit => 9,
            Self::NoDescriptor => 10,
            Self::IdleTimeout => 11,
            Self::Kicked => 12,
            Self::Banned => 13,
        }
    }

    /// The labels of all kinds in the totals, by [`index`](Self::index).
    pub fn labels() -> impl Iterator<Item = &'static str> {
        Self::KINDS.iter().map(|kind| kind.label)
    }

    const fn kind(self) -> &'static Kind {
        &Self::KINDS[self.index()]
    }

    /// Whether the limit on log lines about joins and leaves does not apply.
    pub const fn is_always_logged(self) -> bool {
        self.kind().is_always_logged
    }

    /// The level of its log line.
    pub const fn level(self) -> Level {
        self.kind().level
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("left"),
            Self::ConnectionLost(kind) => write!(f, "connection lost: {kind}"),
            Self::CloseTimeout => {
                f.write_str("disconnected: ended its input and did not read the rest in time")
            }
            Self::StalledReader => f.write_str("disconnected: read too slowly while others waited"),
            Self::OtherProtocol(protocol) => write!(f, "refused: spoke {}", protocol.name()),
            Self::RoomFull => f.write_str("refused: the room is full"),
            Self::ShuttingDown => f.write_str("disconnected: the server is stopping"),
            Self::NoProgress => f.write_str("disconnected: its socket made no progress"),
            Self::RegisterFailed(kind) => write!(f, "refused: cannot register its socket: {kind}"),
            Self::PerAddressLimit => f.write_str("refused: too many connections from this address"),
            Self::NoDescriptor => f.write_str("refused: no free file descriptor"),
            Self::IdleTimeout => f.write_str("disconnected: nothing sent for too long"),
            Self::Kicked => f.write_str("disconnected: removed by the operator"),
            Self::Banned => f.write_str("disconnected: banned by the operator"),
        }
    }
}

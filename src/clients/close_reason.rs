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
    /// The access list denies its address.
    NotAllowed,
    /// An operator has banned its address.
    AddressBanned,
    /// It sent no valid PROXY header, although its address is a proxy.
    ProxyHeader,
    /// Its TLS handshake failed.
    Handshake,
    /// It sent a wrong password.
    WrongPassword,
    /// Too many wrong passwords came from its network.
    PasswordLimit,
    /// It did not complete the steps before its admission in time, or with too many bytes.
    EntryTimeout,
    /// It ended before it was admitted.
    LeftBeforeEntry,
    /// Too many newcomers wait for their admission.
    TooManyNewcomers,
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
    pub const COUNT: usize = 23;

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
        Kind { label: "not allowed", level: Level::Warn, is_always_logged: false },
        Kind { label: "refused as banned", level: Level::Warn, is_always_logged: false },
        Kind { label: "no proxy header", level: Level::Warn, is_always_logged: false },
        Kind { label: "tls failed", level: Level::Warn, is_always_logged: false },
        Kind { label: "wrong password", level: Level::Warn, is_always_logged: false },
        Kind { label: "password limit", level: Level::Warn, is_always_logged: false },
        Kind { label: "entry timed out", level: Level::Warn, is_always_logged: false },
        Kind { label: "left before entry", level: Level::Info, is_always_logged: false },
        Kind { label: "too many newcomers", level: Level::Warn, is_always_logged: false },
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
            Self::NotAllowed => 12,
            Self::AddressBanned => 13,
            Self::ProxyHeader => 14,
            Self::Handshake => 15,
            Self::WrongPassword => 16,
            Self::PasswordLimit => 17,
            Self::EntryTimeout => 18,
            Self::LeftBeforeEntry => 19,
            Self::TooManyNewcomers => 20,
            Self::Kicked => 21,
            Self::Banned => 22,
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
            // Only TLS causes these two.
            Self::ConnectionLost(ErrorKind::UnexpectedEof) => {
                f.write_str("connection lost: ended without close_notify of TLS")
            }
            Self::ConnectionLost(ErrorKind::InvalidData) => f.write_str("connection lost: invalid TLS data"),
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
            Self::NotAllowed => f.write_str("refused: not allowed by the access list"),
            Self::AddressBanned => f.write_str("refused: its address is banned"),
            Self::ProxyHeader => f.write_str("refused: no valid PROXY header"),
            Self::Handshake => f.write_str("refused: the TLS handshake failed"),
            Self::WrongPassword => f.write_str("refused: wrong password"),
            Self::PasswordLimit => f.write_str("refused: too many wrong passwords from its network"),
            Self::EntryTimeout => f.write_str("refused: not admitted in time"),
            Self::LeftBeforeEntry => f.write_str("left before it was admitted"),
            Self::TooManyNewcomers => f.write_str("refused: too many newcomers"),
            Self::Kicked => f.write_str("disconnected: removed by the operator"),
            Self::Banned => f.write_str("disconnected: banned by the operator"),
        }
    }
}

//! Why a connection ended: said once, in the log, when it is over.

use crate::wire::line_decoder::OtherProtocol;
use log::Level;
use std::fmt;
use std::io::ErrorKind;

/// The reason for which a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer ended its input and was given what it was owed.
    ClosedByPeer,
    /// The connection broke: reset, timed out or unreachable.
    ConnectionLost(ErrorKind),
    /// The peer ended its input and did not take what it was owed in time.
    CloseTimeout,
    /// The room waited for this reader for as long as it waits.
    StalledReader,
    /// Its first bytes were another protocol's.
    OtherProtocol(OtherProtocol),
    /// There is no place for one more.
    RoomFull,
    /// There is no place for one more from its network.
    PerAddressLimit,
    /// The system lets the server have no further connection.
    NoDescriptor,
    /// It said nothing for as long as one may.
    IdleTimeout,
    /// The server stops.
    ShuttingDown,
    /// Its socket kept a loop busy without progress.
    NoProgress,
    /// The system would not watch its socket.
    RegisterFailed(ErrorKind),
}

impl CloseReason {
    /// All kinds, in the order of [`index`](Self::index), as the counters name them.
    pub const KINDS: [&'static str; 12] = [
        "left",
        "broken",
        "not taken",
        "stalled",
        "of another protocol",
        "refused for room",
        "stopping",
        "runaway",
        "unwatched",
        "refused for their address",
        "refused for want of a descriptor",
        "silent",
    ];

    /// The place of this kind in [`KINDS`](Self::KINDS).
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
        }
    }

    /// Whether it is not one of those that anyone can bring about as often as they like.
    pub const fn is_always_logged(self) -> bool {
        match self {
            Self::CloseTimeout | Self::StalledReader | Self::NoProgress | Self::RegisterFailed(_) => true,
            Self::ClosedByPeer
            | Self::ConnectionLost(_)
            | Self::OtherProtocol(_)
            | Self::RoomFull
            | Self::PerAddressLimit
            | Self::NoDescriptor
            | Self::IdleTimeout
            | Self::ShuttingDown => false,
        }
    }

    /// Peer gone is info, a limit of ours is a warning, a fault of ours an error.
    pub const fn level(self) -> Level {
        match self {
            Self::ClosedByPeer | Self::ConnectionLost(_) | Self::ShuttingDown => Level::Info,
            Self::CloseTimeout
            | Self::StalledReader
            | Self::OtherProtocol(_)
            | Self::RoomFull
            | Self::PerAddressLimit
            | Self::IdleTimeout => Level::Warn,
            // One complaint a minute tells of all of them.
            Self::NoDescriptor => Level::Debug,
            Self::NoProgress | Self::RegisterFailed(_) => Level::Error,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClosedByPeer => f.write_str("left"),
            Self::ConnectionLost(kind) => write!(f, "connection lost: {kind}"),
            Self::CloseTimeout => f.write_str("cut: ended its input and did not take the rest in time"),
            Self::StalledReader => f.write_str("cut: read too slowly while others waited"),
            Self::OtherProtocol(stranger) => write!(f, "refused: spoke {}", stranger.name()),
            Self::RoomFull => f.write_str("refused: the room is full"),
            Self::PerAddressLimit => f.write_str("refused: too many from this address"),
            Self::NoDescriptor => f.write_str("refused: no descriptor is left"),
            Self::IdleTimeout => f.write_str("cut: said nothing for too long"),
            Self::ShuttingDown => f.write_str("the server stops"),
            Self::NoProgress => f.write_str("cut: its socket made no progress"),
            Self::RegisterFailed(kind) => write!(f, "refused: its socket cannot be watched: {kind}"),
        }
    }
}

//! Why a connection ended: said once, in the log, when it is over.

use crate::framing::Stranger;
use log::Level;
use std::fmt;
use std::io::ErrorKind;

/// The reason for which a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// The peer ended its input and was given what it was owed.
    Left,
    /// The connection broke: reset, timed out or unreachable.
    Broken(ErrorKind),
    /// The peer ended its input and did not take what it was owed in time.
    NotTaken,
    /// The room waited for this reader for as long as it waits.
    Stalled,
    /// Its first bytes were another protocol's.
    Stranger(Stranger),
    /// There is no place for one more.
    RoomFull,
    /// There is no place for one more from its network.
    NetworkFull,
    /// The system lets the server have no further connection.
    NoDescriptor,
    /// It said nothing for as long as one may.
    Silent,
    /// The server stops.
    Stopping,
    /// Its socket kept a loop busy without progress.
    Runaway,
    /// The system would not watch its socket.
    Unwatched(ErrorKind),
}

impl Goodbye {
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
            Self::Left => 0,
            Self::Broken(_) => 1,
            Self::NotTaken => 2,
            Self::Stalled => 3,
            Self::Stranger(_) => 4,
            Self::RoomFull => 5,
            Self::Stopping => 6,
            Self::Runaway => 7,
            Self::Unwatched(_) => 8,
            Self::NetworkFull => 9,
            Self::NoDescriptor => 10,
            Self::Silent => 11,
        }
    }

    /// Whether it is not one of those that anyone can bring about as often as they like.
    pub const fn is_news(self) -> bool {
        match self {
            Self::NotTaken | Self::Stalled | Self::Runaway | Self::Unwatched(_) => true,
            Self::Left
            | Self::Broken(_)
            | Self::Stranger(_)
            | Self::RoomFull
            | Self::NetworkFull
            | Self::NoDescriptor
            | Self::Silent
            | Self::Stopping => false,
        }
    }

    /// Peer gone is info, a limit of ours is a warning, a fault of ours an error.
    pub const fn level(self) -> Level {
        match self {
            Self::Left | Self::Broken(_) | Self::Stopping => Level::Info,
            Self::NotTaken
            | Self::Stalled
            | Self::Stranger(_)
            | Self::RoomFull
            | Self::NetworkFull
            | Self::Silent => Level::Warn,
            // One complaint a minute tells of all of them.
            Self::NoDescriptor => Level::Debug,
            Self::Runaway | Self::Unwatched(_) => Level::Error,
        }
    }
}

impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left => f.write_str("left"),
            Self::Broken(kind) => write!(f, "connection lost: {kind}"),
            Self::NotTaken => f.write_str("cut: ended its input and did not take the rest in time"),
            Self::Stalled => f.write_str("cut: read too slowly while others waited"),
            Self::Stranger(stranger) => write!(f, "refused: spoke {}", stranger.name()),
            Self::RoomFull => f.write_str("refused: the room is full"),
            Self::NetworkFull => f.write_str("refused: too many from this address"),
            Self::NoDescriptor => f.write_str("refused: no descriptor is left"),
            Self::Silent => f.write_str("cut: said nothing for too long"),
            Self::Stopping => f.write_str("the server stops"),
            Self::Runaway => f.write_str("cut: its socket made no progress"),
            Self::Unwatched(kind) => write!(f, "refused: its socket cannot be watched: {kind}"),
        }
    }
}

//! Where and how to listen, as the command line gives it.

use super::service::Service;
use super::socket_options::VanishedPeer;
use super::unix_addr::UnixAddr;
use crate::util::os_error;
use std::fmt;
use std::io;
use std::time::Duration;

/// One listener of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    /// What its clients get.
    pub service: Service,
    /// The address.
    pub address: ListenAddr,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP port.
    Tcp {
        /// The host; `None` = all interfaces.
        host: Option<String>,
        /// The port; 0 = the system picks one.
        port: u16,
    },
    /// A unix socket.
    Unix(UnixAddr),
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host: None, port } => write!(f, "[::]:{port}"),
            Self::Tcp { host: Some(host), port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host: Some(host), port } => write!(f, "{host}:{port}"),
            Self::Unix(address) => address.fmt(f),
        }
    }
}

/// Options that apply to every listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenerConfig {
    /// When a TCP peer that vanished is disconnected.
    pub peer_timeout: PeerTimeout,
    /// Permission bits of unix socket files; `None` = [`DEFAULT_UNIX_MODE`].
    pub unix_mode: Option<u32>,
}

/// Read and write access for the user and the group of the server.
pub const DEFAULT_UNIX_MODE: u32 = 0o660;

/// The permission bits of an admin socket, whatever the option says: only the user of the server may give commands.
pub(super) const ADMIN_MODE: u32 = 0o600;

/// How long a TCP peer that vanished may stay connected, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerTimeout(u32);

impl PeerTimeout {
    /// The shortest timeout: each of its seven parts is at least 1 s, the unit of keepalive.
    pub const LEAST: Duration = Duration::from_secs(Self::PARTS as u64);
    /// The longest timeout: its first four parts must fit 32,767 s (Linux: `MAX_TCP_KEEPIDLE`).
    pub const MOST: Duration = Duration::from_secs(57_337);
    /// Four parts pass before the first keepalive probe; three probes follow, one per part.
    const PARTS: u32 = 7;
    const SILENT_PARTS: u32 = 4;

    /// A timeout of whole seconds; `None` if it is less than [`LEAST`](Self::LEAST).
    pub fn new(timeout: Duration) -> Option<Self> {
        let seconds = u32::try_from(timeout.as_secs()).ok()?;
        (timeout >= Self::LEAST).then_some(Self(seconds))
    }

    /// The timeout in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The socket options that keep the timeout.
    ///
    /// Written data may stay unacknowledged for one part. Keepalive does not detect these peers: the system
    /// retransmits the data and sends no probes.
    pub(super) fn options(self) -> VanishedPeer {
        let part = Duration::from_secs(u64::from(self.0 / Self::PARTS));
        VanishedPeer {
            probe_after: part * Self::SILENT_PARTS,
            probe_every: part,
            probes: Self::PARTS - Self::SILENT_PARTS,
            unacknowledged: Some(part),
        }
    }
}

impl Default for PeerTimeout {
    /// 120 s of silence, then three probes 30 s apart; 30 s for unacknowledged data.
    fn default() -> Self {
        Self(210)
    }
}

/// The server cannot listen on an address.
#[derive(Debug)]
pub struct ListenError {
    pub(super) address: String,
    pub(super) why: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, os_error::text(&self.why))
    }
}

//! TCP options that both ends of a connection set, the server and the client.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

/// When the system gives up a TCP connection whose peer vanished without closing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VanishedPeer {
    /// Silence before the first keepalive probe; whole seconds.
    pub probe_after: Duration,
    /// Time between two probes; whole seconds.
    pub probe_every: Duration,
    /// Unanswered probes after which the connection fails.
    pub probes: u32,
    /// How long written data may stay unacknowledged; `None` = the system's limit, about 15 minutes. The
    /// system sends no keepalive probes during that time. Linux and Android only.
    pub unacknowledged: Option<Duration>,
}

/// A socket option that the system does not let this socket set. The socket works without it: kinds of sockets such
/// as MPTCP lack some options, and so do kernels such as gVisor and WSL.
#[derive(Debug)]
pub struct RefusedOption {
    /// The name, such as `TCP_NODELAY`.
    pub name: &'static str,
    /// Why it cannot be set.
    pub error: io::Error,
}

impl RefusedOption {
    /// The option of that name, if `result` is an error.
    pub(super) fn check(name: &'static str, result: io::Result<()>) -> Option<Self> {
        result.err().map(|error| Self { name, error })
    }
}

/// Sets `TCP_NODELAY`, keepalive and `TCP_USER_TIMEOUT`, and returns those that could not be set.
///
/// A listener passes them on to the connections that it accepts.
pub fn set(socket: &impl AsFd, vanished: &VanishedPeer) -> Vec<RefusedOption> {
    let socket = SockRef::from(socket);
    let keepalive = TcpKeepalive::new().with_time(vanished.probe_after).with_interval(vanished.probe_every);
    let keepalive = socket.set_tcp_keepalive(&keepalive.with_retries(vanished.probes));
    let timeout = vanished.unacknowledged.map_or(Ok(()), |timeout| set_user_timeout(&socket, timeout));
    let results = [
        ("TCP_NODELAY", socket.set_tcp_nodelay(true)),
        ("SO_KEEPALIVE", keepalive),
        ("TCP_USER_TIMEOUT", timeout),
    ];
    results.into_iter().filter_map(|(name, result)| RefusedOption::check(name, result)).collect()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_set() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
        let vanished = VanishedPeer {
            probe_after: Duration::from_secs(40),
            probe_every: Duration::from_secs(7),
            probes: 3,
            unacknowledged: Some(Duration::from_secs(11)),
        };
        assert!(set(&listener, &vanished).is_empty());
        let socket = SockRef::from(&listener);
        assert!(socket.tcp_nodelay().expect("nodelay") && socket.keepalive().expect("keepalive"));
        assert_eq!(socket.tcp_keepalive_time().expect("time"), vanished.probe_after);
        assert_eq!(socket.tcp_keepalive_interval().expect("interval"), vanished.probe_every);
        assert_eq!(socket.tcp_keepalive_retries().expect("retries"), vanished.probes);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().expect("timeout"), vanished.unacknowledged);
    }
}

//! Sockets and addresses: listen, accept, systemd, limits per network and of file descriptors.

pub mod acceptor;
pub mod bind;
pub mod fd_limit;
pub mod listener;
pub mod peer;
pub mod per_network;
#[cfg_attr(not(all(feature = "systemd", target_os = "linux")), path = "net/systemd_stub.rs")]
pub mod systemd;
pub mod transport;
mod unix_listener;

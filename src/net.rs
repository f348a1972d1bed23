//! Sockets and addresses: listen, accept, connect, systemd, limits per network and of file descriptors.

pub mod acceptor;
pub mod bans;
mod bind;
pub mod cidr;
pub mod connect;
pub mod fd_limit;
mod interfaces;
pub mod listen_spec;
pub mod listener;
mod open;
pub mod peer;
pub mod per_network;
pub mod service;
pub mod socket_options;
#[cfg_attr(not(all(feature = "systemd", target_os = "linux")), path = "net/systemd_stub.rs")]
pub mod systemd;
pub mod transport;
pub mod unix_addr;
mod unix_listener;

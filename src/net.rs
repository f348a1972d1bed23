//! Sockets and addresses: listen, accept, access list, TLS, connect, systemd, limits per network and of descriptors.

pub mod acceptor;
pub mod access_list;
pub mod bans;
mod bind;
pub mod cidr;
pub mod client_stream;
pub mod connect;
pub mod entry_config;
pub mod failures;
pub mod fd_limit;
mod interfaces;
pub mod listen_spec;
pub mod listener;
mod open;
pub mod password;
pub mod peer;
pub mod per_network;
pub mod proxy_header;
pub mod service;
pub mod socket_options;
pub mod stream;
#[cfg_attr(not(all(feature = "systemd", target_os = "linux")), path = "net/systemd_stub.rs")]
pub mod systemd;
#[cfg_attr(not(feature = "tls"), path = "net/tls_stub.rs")]
pub mod tls;
#[cfg_attr(not(feature = "tls"), path = "net/tls_client_stub.rs")]
pub mod tls_client;
pub mod transport;
pub mod unix_addr;
mod unix_listener;

//! Opening the listeners of a server: inherited sockets, and the addresses of its command line.

use super::bind;
use super::listen_spec::{
    ADMIN_MODE, DEFAULT_UNIX_MODE, ListenAddr, ListenError, ListenSpec, ListenerConfig,
};
use super::listener::{InheritedSocket, Listener, LocalAddr};
use super::service::Service;
use super::socket_options::RefusedOption;
use super::unix_addr::UnixAddr;
use super::unix_listener::{self, SocketFile};
use crate::util::os_error;
use log::warn;
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A listener, and what its clients get.
#[derive(Debug)]
pub(super) struct OpenListener {
    /// When dropped, it removes the file. It stands before the listener and so is dropped first: while the listener
    /// is open, no other server can replace the file.
    file: Option<SocketFile>,
    pub(super) listener: Listener,
    pub(super) service: Service,
    pub(super) address: LocalAddr,
    /// A connection may be pending: poll reported one, and accept(2) did not return `WouldBlock` since.
    pub(super) ready: bool,
}

/// Takes over the inherited sockets and opens a listener for each of `specs`. Logs a warning for each socket option
/// that cannot be set.
///
/// # Errors
/// Names the first listener that cannot be opened.
pub(super) fn open(
    inherited: Vec<InheritedSocket>,
    specs: &[ListenSpec],
    config: ListenerConfig,
) -> Result<Vec<OpenListener>, ListenError> {
    let mut opening = Opening { config, listeners: Vec::new(), refused: Vec::new() };
    for socket in inherited {
        opening.adopt(socket)?;
    }
    for spec in specs {
        match &spec.address {
            ListenAddr::Unix(address) => opening.open_unix(address, spec.service)?,
            ListenAddr::Tcp { host, port } => {
                let only_v6 = host.is_some() && opening.has_all_ipv4(specs, *port);
                opening.open_tcp(spec, host.as_deref(), *port, only_v6)?;
            }
        }
    }
    opening.warn_of_refused_options();
    Ok(opening.listeners)
}

/// The listeners that are open already.
struct Opening {
    config: ListenerConfig,
    listeners: Vec<OpenListener>,
    /// Options that could not be set, each with the address of its listener.
    refused: Vec<(LocalAddr, RefusedOption)>,
}

impl Opening {
    fn add(&mut self, listener: Listener, service: Service, address: LocalAddr, file: Option<SocketFile>) {
        self.listeners.push(OpenListener { file, listener, service, address, ready: false });
    }

    fn adopt(&mut self, InheritedSocket { service, socket }: InheritedSocket) -> Result<(), ListenError> {
        let cannot = |why| ListenError { address: "inherited socket".to_owned(), why };
        let (listener, address, refused) =
            Listener::adopt(socket, self.config.peer_timeout).map_err(cannot)?;
        self.refused.extend(refused.into_iter().map(|option| (address.clone(), option)));
        self.add(listener, service, address, None);
        Ok(())
    }

    fn open_unix(&mut self, address: &UnixAddr, service: Service) -> Result<(), ListenError> {
        if self.config.unix_mode.is_some() && matches!(address, UnixAddr::Abstract(_)) {
            warn!("--unix-mode does not apply to {address}: an abstract socket has no permissions");
        }
        let mode = match service {
            Service::Admin => ADMIN_MODE,
            Service::Room { .. } => self.config.unix_mode.unwrap_or(DEFAULT_UNIX_MODE),
        };
        let (listener, file) = unix_listener::bind(address, mode).map_err(|why| ListenError {
            address: address.to_string(),
            why: if is_in_use(&why) && self.has_unix(address) { given_twice() } else { why },
        })?;
        self.add(Listener::Unix(listener), service, LocalAddr::Unix(address.clone()), file);
        Ok(())
    }

    fn open_tcp(
        &mut self,
        spec: &ListenSpec,
        host: Option<&str>,
        port: u16,
        only_v6: bool,
    ) -> Result<(), ListenError> {
        let cannot = |why| ListenError { address: spec.address.to_string(), why };
        let mut opened = None;
        let mut missing = None;
        for mut address in bind::addresses(host, port).map_err(cannot)? {
            if let Some(port) = opened {
                // With port 0, all addresses of a host get the port of the first.
                address.set_port(port);
            }
            match bind::bind(address, only_v6, self.config.peer_timeout) {
                Ok((listener, refused)) => {
                    let address = listener.local_addr().map_err(cannot)?;
                    opened = Some(address.port());
                    let address_of = |option| (LocalAddr::Tcp(address), option);
                    self.refused.extend(refused.into_iter().map(address_of));
                    self.add(Listener::Tcp(listener), spec.service, LocalAddr::Tcp(address), None);
                    if host.is_none() {
                        break;
                    }
                }
                // A host name may have addresses of a family that this machine does not use.
                Err(error) if bind::is_not_local(&error) => missing = Some(error),
                Err(error) if is_in_use(&error) => return Err(self.in_use(address, only_v6, error)),
                Err(why) => return Err(ListenError { address: address.to_string(), why }),
            }
        }
        match (opened, missing) {
            (None, Some(why)) => Err(cannot(why)),
            (None, None) => Err(cannot(io::Error::other("the host name has no address"))),
            (Some(_), _) => Ok(()),
        }
    }

    /// Whether all IPv4 interfaces have a listener of their own on `port`. Then an address that stands for all
    /// interfaces of both families leaves IPv4 to it.
    fn has_all_ipv4(&self, specs: &[ListenSpec], port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let is_given = |spec: &ListenSpec| match &spec.address {
            ListenAddr::Tcp { host: Some(host), port } => {
                host.parse().is_ok_and(|ip: IpAddr| SocketAddr::new(ip, *port) == address)
            }
            _ => false,
        };
        port != 0 && (specs.iter().any(is_given) || self.tcp().any(|(open, _)| open == address))
    }

    /// The error for an address that is in use: names what has it.
    fn in_use(&self, address: SocketAddr, only_v6: bool, error: io::Error) -> ListenError {
        let has_ipv4 = address.ip() == Ipv6Addr::UNSPECIFIED && !only_v6;
        if let Some(why) = self.conflict(address, has_ipv4) {
            return ListenError { address: address.to_string(), why };
        }
        // Another process has it, or only the IPv4 part of it.
        let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let taken = if has_ipv4 && bind::is_free_on_v6(address) { ipv4 } else { address };
        ListenError { address: taken.to_string(), why: error }
    }

    /// Why a listener of this server keeps another one from `address`, if one does.
    fn conflict(&self, address: SocketAddr, has_ipv4: bool) -> Option<io::Error> {
        if self.tcp().any(|(open, _)| open == address) {
            return Some(given_twice());
        }
        let why = self.tcp().find_map(|(open, open_has_ipv4)| {
            if includes(open, open_has_ipv4, address) {
                Some(format!("{open} includes it: give only one of them"))
            } else if includes(address, has_ipv4, open) {
                Some(format!("it includes {open}: give only one of them"))
            } else {
                None
            }
        });
        why.map(io::Error::other)
    }

    /// The addresses of the TCP listeners, and whether an IPv6 one also accepts IPv4.
    fn tcp(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        self.listeners.iter().filter_map(|listener| match listener.address {
            LocalAddr::Tcp(address) => Some((address, listener.listener.accepts_both_families())),
            LocalAddr::Unix(_) => None,
        })
    }

    fn has_unix(&self, address: &UnixAddr) -> bool {
        self.listeners.iter().any(|listener| {
            let is_same_file = match (&listener.file, address) {
                (Some(file), UnixAddr::Path(path)) => file.is_at(path),
                _ => false,
            };
            is_same_file || matches!(&listener.address, LocalAddr::Unix(open) if open == address)
        })
    }

    /// One warning for each option, whatever the number of listeners.
    fn warn_of_refused_options(&self) {
        let mut named = Vec::new();
        for (_, option) in &self.refused {
            if named.contains(&option.name) {
                continue;
            }
            named.push(option.name);
            let same = self.refused.iter().filter(|(_, other)| other.name == option.name);
            let addresses = same.map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(", ");
            let why = os_error::text(&option.error);
            warn!("cannot set {} on {addresses}: {why}; the server works without it", option.name);
        }
    }
}

/// Whether the `wide` address stands for all interfaces and `narrow` is one of its addresses.
fn includes(wide: SocketAddr, has_ipv4: bool, narrow: SocketAddr) -> bool {
    let has_family = wide.is_ipv4() == narrow.is_ipv4() || has_ipv4;
    wide.ip().is_unspecified() && wide.port() == narrow.port() && has_family
}

fn is_in_use(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::ADDRINUSE)
}

fn given_twice() -> io::Error {
    io::Error::other("the same address is given twice")
}

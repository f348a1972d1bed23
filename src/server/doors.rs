//! The listeners: binding them, and accepting through whatever goes wrong.

use crate::clock::Moment;
use crate::os_error;
use crate::view::View;
use log::{info, warn};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// Connections that may wait to be accepted: a whole room that reconnects after a restart.
const BACKLOG: i32 = 4096;
/// Bytes that the kernel keeps for a reader, before its own doubling. Less makes each write wait for
/// the peer's delayed acknowledgement; more is memory for those who do not read. With 1,000 saturated
/// clients a delivery cost 6.9 ns of CPU time with 64 KiB, 4.9 with 128 KiB and 4.8 with 256 KiB; and 9.1
/// or 7.4 where `TCP_NOTSENT_LOWAT` kept what is not yet sent under 16 or 64 KiB, which is not set therefore.
const SEND_BUFFER: usize = 128 * 1024;
/// What takes the place of a connection's descriptor until there is none for it.
const RESERVE: &str = "/dev/null";
/// The first and the longest pause after accepting failed for want of something.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The same complaint is not logged more often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// How soon a peer that is gone without a word is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadAfter(u32);

impl DeadAfter {
    /// Keepalive counts in seconds, and needs one for each of seven parts.
    pub const LEAST: Duration = Duration::from_secs(Self::PARTS as u64);
    /// The most that keepalive can count: its first part may have 32,767 s (`MAX_TCP_KEEPIDLE` of Linux).
    pub const MOST: Duration = Duration::from_secs(57_337);
    /// Of these parts of the time, 4 pass in silence, then 3 before as many probes are given up.
    const PARTS: u32 = 7;
    const SILENT_PARTS: u32 = 4;

    /// After so much silence, or a seventh of it where something was sent to it, which the system then
    /// tries again; `None` where that is less than [`LEAST`](Self::LEAST).
    pub fn new(silence: Duration) -> Option<Self> {
        let seconds = u32::try_from(silence.as_secs()).ok()?;
        (silence >= Self::LEAST).then_some(Self(seconds))
    }

    /// The silence, in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    fn part(self) -> Duration {
        Duration::from_secs(u64::from(self.0 / Self::PARTS))
    }

    /// For a peer to whom nothing is sent.
    fn keepalive(self) -> TcpKeepalive {
        TcpKeepalive::new()
            .with_time(self.part() * Self::SILENT_PARTS)
            .with_interval(self.part())
            .with_retries(Self::PARTS - Self::SILENT_PARTS)
    }

    /// For a peer to whom something is sent: keepalive does not find those.
    fn user_timeout(self) -> Duration {
        self.part()
    }
}

impl Default for DeadAfter {
    /// 120 s and three probes 30 s apart; 30 s where something was sent.
    fn default() -> Self {
        Self(210)
    }
}

/// Where to listen, as given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// How the room is shown there.
    pub view: View,
    /// The host, or none for all interfaces.
    pub host: Option<String>,
    /// The port; 0 for any.
    pub port: u16,
}

impl Listen {
    /// Whether it is all interfaces.
    fn is_everywhere(&self) -> bool {
        let is_unspecified =
            |host: &String| host.parse().is_ok_and(|address: IpAddr| address.is_unspecified());
        self.host.as_ref().is_none_or(is_unspecified)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "[::]:{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// Nobody can listen there; says where and why.
#[derive(Debug)]
pub struct CannotListen {
    place: String,
    why: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, os_error::text(&self.why))
    }
}

#[derive(Debug)]
struct Door {
    listener: TcpListener,
    view: View,
    address: SocketAddr,
    /// The system has not said since the last report that nobody waits.
    ready: bool,
}

/// All listeners, and the pause that they make together when the system has nothing left.
#[derive(Debug)]
pub struct Doors {
    doors: Vec<Door>,
    /// Where others reach this machine, if it listens on all interfaces.
    own_name: Option<OwnName>,
    next: usize,
    pause: Duration,
    paused: bool,
    /// Kept for telling one who comes when no descriptor is left.
    reserve: Option<File>,
    complained: Option<Moment>,
}

/// Who was at the door.
#[derive(Debug)]
pub enum Knock {
    /// A newcomer, how it sees the room, and its address.
    Someone(TcpStream, View, SocketAddr),
    /// A newcomer for whom the reserve was given up: to be told so, and closed before the next is accepted.
    OneTooMany(TcpStream, View, SocketAddr),
    /// Someone who gave up while waiting.
    Left,
    /// Nobody, until a listener is reported ready.
    Nobody,
    /// The system lacks something; nobody is accepted until then, or until a connection ends.
    Failed {
        /// When to try again.
        retry_at: Moment,
    },
}

impl Doors {
    /// Newcomers accepted in one turn, so that those who are in are served between them.
    pub const ACCEPTS: usize = 256;

    /// Listens at each of `places`.
    ///
    /// # Errors
    /// The first place that cannot be listened at.
    pub fn open(places: &[Listen], dead_after: DeadAfter) -> Result<Self, CannotListen> {
        // Asked first, for it may take as long as a resolver that does not answer.
        let own_name = places.iter().any(Listen::is_everywhere).then(OwnName::find);
        let mut doors = Vec::new();
        for place in places {
            open_one(place, dead_after, &mut doors)?;
        }
        Ok(Self {
            doors,
            own_name,
            next: 0,
            pause: PAUSES.0,
            paused: false,
            reserve: File::open(RESERVE).ok(),
            complained: None,
        })
    }

    /// Says in the log where the room is now open.
    pub(super) fn announce(&self) {
        for door in &self.doors {
            info!("listening on {} ({})", door.address, door.view.name());
        }
        let Some(own_name) = &self.own_name else { return };
        for door in self.doors.iter().filter(|door| door.address.ip().is_unspecified()) {
            info!("this machine is {}", own_name.at(door.address.port()));
        }
    }

    /// How many listeners there are.
    pub const fn count(&self) -> usize {
        self.doors.len()
    }

    pub(super) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (index, door) in self.doors.iter_mut().enumerate() {
            registry.register(&mut door.listener, token(index), Interest::READABLE)?;
        }
        Ok(())
    }

    pub(super) fn knocked(&mut self, at: Token) {
        if let Some(door) = self.doors.iter_mut().enumerate().find(|(index, _)| token(*index) == at) {
            door.1.ready = true;
        }
    }

    pub(super) fn anyone_waits(&self) -> bool {
        !self.paused && self.doors.iter().any(|door| door.ready)
    }

    /// Ends a pause.
    pub(super) const fn try_again(&mut self) {
        self.paused = false;
    }

    pub(super) fn close(&mut self) {
        self.doors.clear();
    }

    /// Accepts one newcomer, from each listener in turn.
    pub(super) fn accept(&mut self, now: Moment) -> Knock {
        while !self.paused {
            let count = self.doors.len();
            let first = self.next;
            let Some(index) = (0..count).map(|step| (first + step) % count).find(|&i| self.doors[i].ready)
            else {
                return Knock::Nobody;
            };
            self.next = index + 1;
            match self.accept_at(index) {
                Ok((socket, address)) => {
                    self.pause = PAUSES.0;
                    self.keep_reserve();
                    return Knock::Someone(socket, self.doors[index].view, address);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.doors[index].ready = false,
                Err(error) if is_the_newcomers(&error) => return Knock::Left,
                Err(error) if is_out_of_descriptors(&error) => match self.accept_by_reserve(index) {
                    Ok((socket, address)) => {
                        self.complain(&error, now);
                        return Knock::OneTooMany(socket, self.doors[index].view, address);
                    }
                    // Without a descriptor the system does not even say that nobody waits.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.doors[index].ready = false
                    }
                    Err(error) => return self.rest(&error, now),
                },
                Err(error) => return self.rest(&error, now),
            }
        }
        Knock::Nobody
    }

    fn accept_at(&self, index: usize) -> io::Result<(TcpStream, SocketAddr)> {
        self.doors[index].listener.accept()
    }

    /// Gives up the reserve for whoever waits there, and takes it again where nobody does.
    fn accept_by_reserve(&mut self, index: usize) -> io::Result<(TcpStream, SocketAddr)> {
        self.reserve = None;
        let accepted = self.accept_at(index);
        if accepted.is_err() {
            self.keep_reserve();
        }
        accepted
    }

    /// Opens the reserve, unless it is open or cannot be: to be called when a newcomer has taken its place
    /// and left.
    pub(super) fn keep_reserve(&mut self) {
        if self.reserve.is_none() {
            self.reserve = File::open(RESERVE).ok();
        }
    }

    fn complain(&mut self, error: &io::Error, now: Moment) {
        let may_complain = self.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY);
        if may_complain {
            self.complained = Some(now);
            warn!("cannot accept for now: {}", os_error::text(error));
        }
    }

    fn rest(&mut self, error: &io::Error, now: Moment) -> Knock {
        self.complain(error, now);
        let retry_at = now.after(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.paused = true;
        Knock::Failed { retry_at }
    }
}

const fn token(index: usize) -> Token {
    Token(usize::MAX - 1 - index)
}

/// Errors of one newcomer's connection or network, by accept(2): the next one may do better.
fn is_the_newcomers(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::PERM
                | Errno::TIMEDOUT
        )
    )
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn open_one(place: &Listen, dead_after: DeadAfter, doors: &mut Vec<Door>) -> Result<(), CannotListen> {
    let cannot = |why| CannotListen { place: place.to_string(), why };
    let mut opened = None;
    let mut missing = None;
    for mut address in addresses(place).map_err(cannot)? {
        if let Some(port) = opened {
            // Asked for any port, all addresses of a host get the same one.
            address.set_port(port);
        }
        match bind(address, dead_after) {
            Ok(listener) => {
                let address = listener.local_addr().map_err(cannot)?;
                opened = Some(address.port());
                doors.push(Door { listener, view: place.view, address, ready: false });
                if place.host.is_none() {
                    break;
                }
            }
            // A name may stand for addresses of a family that this machine does not use.
            Err(error) if is_not_here(&error) => missing = Some(error),
            Err(why) => return Err(CannotListen { place: address.to_string(), why }),
        }
    }
    match (opened, missing) {
        (None, Some(why)) => Err(cannot(why)),
        (None, None) => Err(cannot(io::Error::other("the name has no address"))),
        (Some(_), _) => Ok(()),
    }
}

/// All interfaces are one socket for both families where there is IPv6, else one for IPv4.
fn addresses(place: &Listen) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = &place.host else {
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, place.port).into(),
            (Ipv4Addr::UNSPECIFIED, place.port).into(),
        ]);
    };
    let found = (host.as_str(), place.port).to_socket_addrs()?;
    // An IPv4 address in IPv6's clothes is listened at as what it is.
    let mut addresses = found
        .map(|address| match address.ip().to_canonical() {
            IpAddr::V4(ip) => (ip, address.port()).into(),
            IpAddr::V6(_) => address,
        })
        .collect::<Vec<_>>();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

fn is_not_here(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT))
}

/// A listening socket whose options all that it accepts inherit.
fn bind(address: SocketAddr, dead_after: DeadAfter) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_keepalive(&dead_after.keepalive())?;
    set_user_timeout(SockRef::from(&socket), dead_after.user_timeout())?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: SockRef<'_>, _: Duration) -> io::Result<()> {
    Ok(())
}

/// The machine's own host name, and its address where it has one.
#[derive(Debug)]
struct OwnName {
    name: String,
    address: Option<IpAddr>,
}

impl OwnName {
    fn find() -> Self {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let address = (name.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| found.next());
        Self { name, address: address.map(|address| address.ip()) }
    }

    fn at(&self, port: u16) -> String {
        match self.address {
            Some(address) => format!("{}: {}", self.name, SocketAddr::new(address, port)),
            None => format!("{}, a name without an address", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str) -> Vec<SocketAddr> {
        addresses(&Listen { view: View::Plain, host: Some(host.to_owned()), port: 7 }).expect(host)
    }

    #[test]
    fn an_address_is_listened_at_as_what_it_is_and_with_its_zone() {
        assert_eq!(found("::ffff:127.0.0.1"), [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(found("::1"), [SocketAddr::from((Ipv6Addr::LOCALHOST, 7))]);
        let zoned = found("fe80::1%lo");
        assert!(matches!(zoned[..], [SocketAddr::V6(address)] if address.scope_id() != 0), "{zoned:?}");
    }
}

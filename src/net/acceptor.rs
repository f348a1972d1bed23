//! The listeners: binding them, and accepting through whatever goes wrong.

use super::bind::{
    HostName, ListenAddr, ListenError, ListenSpec, ListenerConfig, addresses, bind, is_not_here,
};
use super::listener::{InheritedSocket, Listener, LocalAddr};
use super::unix_listener::{self, SocketFile};
use crate::net::peer::Peer;
use crate::net::transport::PlainStream;
use crate::util::clock::Moment;
use crate::util::os_error;
use crate::wire::view::View;
use log::{info, warn};
use mio::{Registry, Token};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::time::Duration;

/// What takes the place of a connection's descriptor until there is none for it.
const SPARE_FD: &str = "/dev/null";
/// The first and the longest pause after accepting failed for want of something.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The same complaint is not logged more often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct AcceptorListener {
    /// Before the listener, for it is only removed while that keeps anyone from taking its place.
    _file: Option<SocketFile>,
    listener: Listener,
    view: View,
    place: LocalAddr,
    /// The system has not said since the last report that nobody waits.
    ready: bool,
}

/// All listeners, and the pause that they make together when the system has nothing left.
#[derive(Debug)]
pub struct Acceptor {
    doors: Vec<AcceptorListener>,
    /// LocalAddr others reach this machine, if it listens on all interfaces.
    own_name: Option<HostName>,
    next: usize,
    pause: Duration,
    paused: bool,
    /// Kept for telling one who comes when no descriptor is left.
    reserve: Option<File>,
    complained: Option<Moment>,
}

/// Who was at the door.
#[derive(Debug)]
pub enum Accepted {
    /// A newcomer, how it sees the room, and who it is.
    Client(PlainStream, View, Peer),
    /// A newcomer for whom the reserve was given up: to be told so, and closed before the next is accepted.
    NoDescriptor(PlainStream, View, Peer),
    /// Someone who gave up while waiting.
    Aborted,
    /// Nobody, until a listener is reported ready.
    WouldBlock,
    /// The system lacks something; nobody is accepted until then, or until a connection ends.
    Backoff {
        /// When to try again.
        retry_at: Moment,
    },
}

impl Acceptor {
    /// Newcomers accepted in one turn, so that those who are in are served between them.
    pub const ACCEPTS: usize = 256;

    /// Listens at each of `places`, and where others made it listen before.
    ///
    /// # Errors
    /// The first place that cannot be listened at.
    pub fn open(
        inherited: Vec<InheritedSocket>,
        places: &[ListenSpec],
        settings: ListenerConfig,
    ) -> Result<Self, ListenError> {
        let mut doors = Vec::new();
        for InheritedSocket { view, socket } in inherited {
            let cannot = |why| ListenError { place: "an inherited socket".to_owned(), why };
            let (listener, place) = Listener::adopt(socket, settings.dead_after).map_err(cannot)?;
            doors.push(AcceptorListener { _file: None, listener, view, place, ready: false });
        }
        // Invocation first, for it may take as long as a resolver that does not answer.
        let is_everywhere = places.iter().any(|listen| listen.place.is_everywhere())
            || doors.iter().any(|door| door.place.port_everywhere().is_some());
        let own_name = is_everywhere.then(HostName::find);
        for place in places {
            open_one(place, settings, &mut doors)?;
        }
        Ok(Self {
            doors,
            own_name,
            next: 0,
            pause: PAUSES.0,
            paused: false,
            reserve: File::open(SPARE_FD).ok(),
            complained: None,
        })
    }

    /// Says in the log where the room is now open.
    pub fn announce(&self) {
        for door in &self.doors {
            info!("listening on {} ({})", door.place, door.view.name());
        }
        let Some(own_name) = &self.own_name else { return };
        for port in self.doors.iter().filter_map(|door| door.place.port_everywhere()) {
            info!("this machine is {}", own_name.at(port));
        }
    }

    /// The view of each listener.
    pub fn views(&self) -> Vec<View> {
        self.doors.iter().map(|door| door.view).collect()
    }

    /// How many listeners there are.
    pub const fn count(&self) -> usize {
        self.doors.len()
    }

    /// Registers every listener with the poll.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn register(&mut self, registry: &Registry) -> io::Result<()> {
        for (index, door) in self.doors.iter_mut().enumerate() {
            door.listener.register(registry, token(index))?;
        }
        Ok(())
    }

    /// Marks the listener of that token as ready to accept.
    pub fn mark_ready(&mut self, at: Token) {
        if let Some(door) = self.doors.iter_mut().enumerate().find(|(index, _)| token(*index) == at) {
            door.1.ready = true;
        }
    }

    /// Whether a listener may have a connection to accept now.
    pub fn has_pending(&self) -> bool {
        !self.paused && self.doors.iter().any(|door| door.ready)
    }

    /// Ends a pause.
    pub const fn retry(&mut self) {
        self.paused = false;
    }

    /// Closes all listeners.
    pub fn close(&mut self) {
        self.doors.clear();
    }

    /// Accepts one newcomer, from each listener in turn.
    pub fn accept(&mut self, now: Moment) -> Accepted {
        while !self.paused {
            let count = self.doors.len();
            let first = self.next;
            let Some(index) = (0..count).map(|step| (first + step) % count).find(|&i| self.doors[i].ready)
            else {
                return Accepted::WouldBlock;
            };
            self.next = index + 1;
            match self.accept_at(index) {
                Ok((socket, peer)) => {
                    self.pause = PAUSES.0;
                    self.restore_spare_fd();
                    return Accepted::Client(socket, self.doors[index].view, peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.doors[index].ready = false,
                Err(error) if is_the_newcomers(&error) => return Accepted::Aborted,
                Err(error) if is_out_of_descriptors(&error) => match self.accept_by_reserve(index) {
                    Ok((socket, peer)) => {
                        self.complain(&error, now);
                        return Accepted::NoDescriptor(socket, self.doors[index].view, peer);
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
        Accepted::WouldBlock
    }

    fn accept_at(&self, index: usize) -> io::Result<(PlainStream, Peer)> {
        self.doors[index].listener.accept()
    }

    /// Gives up the reserve for whoever waits there, and takes it again where nobody does.
    fn accept_by_reserve(&mut self, index: usize) -> io::Result<(PlainStream, Peer)> {
        self.reserve = None;
        let accepted = self.accept_at(index);
        if accepted.is_err() {
            self.restore_spare_fd();
        }
        accepted
    }

    /// Opens the reserve, unless it is open or cannot be: to be called when a newcomer has taken its place
    /// and left.
    pub fn restore_spare_fd(&mut self) {
        if self.reserve.is_none() {
            self.reserve = File::open(SPARE_FD).ok();
        }
    }

    fn complain(&mut self, error: &io::Error, now: Moment) {
        let may_complain = self.complained.is_none_or(|last| now.since(last) >= COMPLAIN_EVERY);
        if may_complain {
            self.complained = Some(now);
            warn!("cannot accept for now: {}", os_error::text(error));
        }
    }

    fn rest(&mut self, error: &io::Error, now: Moment) -> Accepted {
        self.complain(error, now);
        let retry_at = now.after(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.paused = true;
        Accepted::Backoff { retry_at }
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

fn open_one(
    listen: &ListenSpec,
    settings: ListenerConfig,
    doors: &mut Vec<AcceptorListener>,
) -> Result<(), ListenError> {
    let cannot = |why| ListenError { place: listen.place.to_string(), why };
    let view = listen.view;
    let (host, port) = match &listen.place {
        ListenAddr::Tcp { host, port } => (host.as_deref(), *port),
        ListenAddr::Unix(path) => {
            let (listener, file) = unix_listener::bind(path, settings.unix_mode).map_err(cannot)?;
            let (listener, place) = (Listener::Unix(listener), LocalAddr::Unix(path.clone()));
            doors.push(AcceptorListener { _file: Some(file), listener, view, place, ready: false });
            return Ok(());
        }
    };
    let mut opened = None;
    let mut missing = None;
    for mut address in addresses(host, port).map_err(cannot)? {
        if let Some(port) = opened {
            // Invocation for any port, all addresses of a host get the same one.
            address.set_port(port);
        }
        match bind(address, settings.dead_after) {
            Ok(listener) => {
                let address = listener.local_addr().map_err(cannot)?;
                opened = Some(address.port());
                let (listener, place) = (Listener::Tcp(listener), LocalAddr::Tcp(address));
                doors.push(AcceptorListener { _file: None, listener, view, place, ready: false });
                if host.is_none() {
                    break;
                }
            }
            // A name may stand for addresses of a family that this machine does not use.
            Err(error) if is_not_here(&error) => missing = Some(error),
            Err(why) => return Err(ListenError { place: address.to_string(), why }),
        }
    }
    match (opened, missing) {
        (None, Some(why)) => Err(cannot(why)),
        (None, None) => Err(cannot(io::Error::other("the name has no address"))),
        (Some(_), _) => Ok(()),
    }
}

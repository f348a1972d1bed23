//! The listeners: binding them, and accepting through whatever goes wrong.

use super::listen::{CannotListen, DeadAfter, Listen, OwnName, addresses, bind, is_not_here};
use crate::clock::Moment;
use crate::os_error;
use crate::view::View;
use log::{info, warn};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What takes the place of a connection's descriptor until there is none for it.
const RESERVE: &str = "/dev/null";
/// The first and the longest pause after accepting failed for want of something.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The same complaint is not logged more often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

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

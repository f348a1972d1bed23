//! The admin view: an operator's commands over a unix socket, one per line, and their answers.
//!
//! Its connections are few and have a table of their own: they are no clients, and the limits on clients do not apply.
//! The server reports which sockets are ready, and calls [`run`](Admin::run) once per turn.

mod answer;
mod command;
mod connection;
mod figures;

use crate::clients::Clients;
use crate::net::bans::Bans;
use crate::net::cidr::Cidr;
use crate::net::peer::Peer;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use connection::{AdminConnection, MAX_LINE, Step};
use log::info;
use std::io::{self, IoSlice};

/// What the commands show and change.
#[derive(Debug)]
pub struct Operated<'a, S> {
    /// The room and its clients.
    pub clients: &'a mut Clients<S>,
    /// The addresses whose connections are refused.
    pub bans: &'a mut Bans,
    /// The addresses of proxies, which cannot be banned: each of them stands for many clients.
    pub proxies: &'a [Cidr],
    /// How many connections are not admitted yet.
    pub pending: usize,
}

/// The connections of operators.
#[derive(Debug)]
pub struct Admin<S> {
    slots: [Option<AdminConnection<S>>; MOST],
}

const MOST: usize = 16;
/// Steps of one connection in one turn: it can read a command, carry it out and write the answer, and others wait no
/// longer than that.
const STEPS: usize = 4;

impl<S: Transport> Admin<S> {
    /// The most connections.
    pub const MOST: usize = MOST;

    /// An empty table.
    pub fn new() -> Self {
        Self { slots: [const { None }; MOST] }
    }

    /// Adds a connection, or refuses it with a reason. `register` registers its socket under its slot, which is less
    /// than [`MOST`](Self::MOST).
    pub fn accept(
        &mut self,
        mut socket: S,
        peer: Peer,
        register: impl FnOnce(&mut S, usize) -> io::Result<()>,
    ) {
        let Some(free) = self.slots.iter().position(Option::is_none) else {
            return Self::refuse(socket, "too many admin connections");
        };
        match register(&mut socket, free) {
            Ok(()) => self.slots[free] = Some(AdminConnection::new(socket, peer)),
            Err(_) => Self::refuse(socket, "the server cannot accept you"),
        }
    }

    /// Tells a connection why it gets no slot, and closes it.
    pub fn refuse(mut socket: S, why: &str) {
        // A new socket takes so few bytes at once.
        _ = socket.write_vectored(&[IoSlice::new(format!("* error: {why}, try again\n").as_bytes())]);
        socket.shutdown_write();
        // What it has sent already; unread it would make the close an error for the peer.
        _ = socket.read(&mut [0; MAX_LINE]);
    }

    /// Notes that the socket of a slot is ready.
    pub fn mark_ready(&mut self, slot: usize, readable: bool, writable: bool) {
        if let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            connection.mark_ready(readable, writable);
        }
    }

    /// Reads commands, carries them out and writes the answers, a few steps for each connection. Returns whether a
    /// connection was closed.
    pub fn run<C: Transport>(&mut self, server: &mut Operated<'_, C>, now: Moment) -> bool {
        let mut closed = false;
        for slot in &mut self.slots {
            if slot.as_mut().is_some_and(|connection| !run(connection, server, now)) {
                *slot = None;
                closed = true;
            }
        }
        closed
    }

    /// Whether the next turn has work even without an event or a deadline.
    pub fn has_work(&self) -> bool {
        self.slots.iter().flatten().any(AdminConnection::has_work)
    }

    /// When the next connection is closed that reads nothing.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.slots.iter().flatten().filter_map(AdminConnection::deadline).min()
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.slots.fill_with(|| None);
    }
}

impl<S: Transport> Default for Admin<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a few steps of one connection; returns whether it stays open. Operators are rare: this is not a part of the
/// code of each turn.
#[cold]
#[inline(never)]
fn run<S: Transport, C: Transport>(
    connection: &mut AdminConnection<S>,
    server: &mut Operated<'_, C>,
    now: Moment,
) -> bool {
    for _ in 0..STEPS {
        let answer = match connection.step(now) {
            Step::Run(line) => {
                info!("admin {}: {line}", connection.peer());
                answer::answer(&line, server, now)
            }
            Step::TooLong => format!("* error: line too long: at most {MAX_LINE} bytes\n"),
            Step::Again => continue,
            Step::Wait => return true,
            Step::Close => return false,
        };
        connection.answer(answer, now);
    }
    true
}

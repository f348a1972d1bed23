//! How many sockets the system lets one process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of clients and listeners: the standard three, poll, two of signals, the log,
/// and some to spare.
const OWN: usize = 10;
/// A room for fewer is not worth starting: the limit is a mistake.
const FEWEST: usize = 16;
/// The most that are kept for those who are told that the room is full, and the part of a small limit
/// that is kept instead.
const TOLD: (usize, usize) = (32, 8);

/// How many sockets there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBudget {
    /// Clients at a time.
    pub clients: usize,
    /// Those at a time who are told that there is no place for them.
    pub refusals: usize,
}

impl ConnectionBudget {
    /// Raises the limit as far as the system allows, and shares it out beside `listeners`; at most
    /// `most` clients.
    ///
    /// # Errors
    /// What to tell where not even a small room fits.
    pub fn find(listeners: usize, most: usize) -> Result<Self, String> {
        let limit = raise_limit();
        let refusals = (limit / TOLD.1).min(TOLD.0);
        let clients = limit.saturating_sub(OWN + listeners + refusals);
        if clients < FEWEST.min(most) {
            return Err(format!(
                "the limit of {limit} open files leaves room for {clients} clients: raise it with ulimit -n"
            ));
        }
        Ok(Self { clients: clients.min(most), refusals })
    }
}

/// Raises the limit of open files as far as the system allows; returns it.
pub fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let asked = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, asked).is_ok() {
            limit = asked;
        }
    }
    limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

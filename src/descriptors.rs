//! How many sockets the system lets one process have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors beside those of clients and listeners: the standard three, poll and its waker, two of
/// signals, the log, one for whoever is told that the room is full, and some to spare.
const OWN: usize = 12;
/// A room for fewer is not worth starting: the limit is a mistake.
const FEWEST: usize = 16;

/// Raises the limit as far as the system allows, and returns how many clients fit beside `listeners`;
/// at most `most`.
///
/// # Errors
/// What to tell where not even a small room fits.
pub fn clients(listeners: usize, most: usize) -> Result<usize, String> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let asked = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, asked).is_ok() {
            limit = asked;
        }
    }
    let limit = limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let clients = limit.saturating_sub(OWN + listeners);
    if clients < FEWEST.min(most) {
        return Err(format!(
            "the limit of {limit} open files leaves room for {clients} clients: raise it with ulimit -n"
        ));
    }
    Ok(clients.min(most))
}

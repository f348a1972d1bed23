//! The limit of open files, and how many connections it allows.

use crate::util::plural::count;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// File descriptors that are not clients or listeners: three standard ones, poll, two of signals, the log,
/// the spare one, and two in reserve.
const OWN: usize = 10;
/// The server does not start with a limit that allows fewer clients: such a limit is probably a mistake.
const MIN_CLIENTS: usize = 16;
/// Connections that are kept open while the server refuses them: at most 32, and an eighth of a small limit.
const MAX_REFUSALS: usize = 32;
const REFUSALS_SHARE: usize = 8;
/// Connections that are not admitted yet, if there may be any: at most 1,024, and an eighth of a small limit.
const MAX_PENDING: usize = 1024;
const PENDING_SHARE: usize = 8;

/// How many connections there can be at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionBudget {
    /// Clients.
    pub clients: usize,
    /// Connections that are being refused: the client has yet to read why.
    pub refusals: usize,
    /// Connections that are not admitted yet.
    pub pending: usize,
}

impl ConnectionBudget {
    /// Raises the limit of open files to its hard limit and divides it. Returns at most `max_clients`.
    /// `has_steps`: connections may need steps before they are admitted.
    ///
    /// # Errors
    /// One line, if the limit allows fewer than 16 clients and fewer than `max_clients`.
    pub fn find(listeners: usize, max_clients: usize, has_steps: bool) -> Result<Self, String> {
        let limit = raise_limit();
        let refusals = (limit / REFUSALS_SHARE).min(MAX_REFUSALS);
        let pending = if has_steps { (limit / PENDING_SHARE).min(MAX_PENDING) } else { 0 };
        let clients = limit.saturating_sub(OWN + listeners + refusals + pending);
        if clients < MIN_CLIENTS.min(max_clients) {
            return Err(format!(
                "the limit of {limit} open files allows {}: raise it with ulimit -n",
                count(clients as u64, "client")
            ));
        }
        Ok(Self { clients: clients.min(max_clients), refusals, pending })
    }
}

/// Raises the limit of open files to its hard limit and returns it.
pub fn raise_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

//! Connections that disturb the server: stuck readers, a slow reader, and short connections (churn).

use crate::client::{Client, ReadResult, State};
use crate::recorder;
use crate::stream::Stream;
use crate::target::Target;
use mio::{Registry, Token};
use slab::Slab;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

/// Receive buffer of these connections in bytes, so that unread lines soon stay in the server. Linux gives at
/// least 2 KiB.
const RECEIVE_BUFFER: usize = 4096;
/// How often the slow reader reads.
const SLOW_READ_INTERVAL: Duration = Duration::from_millis(50);
/// The most churn connections that are open at a time.
pub(crate) const MAX_CHURN_OPEN: usize = 1000;
/// Reads of one stuck reader in a row while it is drained, so that all get their turn.
const MAX_DRAIN_READS: usize = 16;

/// Which connections to add.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SideOptions {
    /// Connections that never read.
    pub(crate) stuck: usize,
    /// Bytes per second of the slow reader, if there is one.
    pub(crate) slow: Option<usize>,
    /// Connections to open and close per second; 0 = none.
    pub(crate) churn: u32,
}

/// All connections in addition to the clients.
#[derive(Debug)]
pub(crate) struct SideLoad {
    /// The token of the first connection.
    first: usize,
    /// The stuck readers; behind them the slow reader, if there is one.
    readers: Vec<Client>,
    slow: Option<SlowReader>,
    churn: Churn,
}

#[derive(Debug)]
struct SlowReader {
    /// Bytes per second.
    rate: usize,
    /// Bytes read so far.
    read: u64,
}

#[derive(Debug, Default)]
struct Churn {
    /// Connections per second.
    rate: u32,
    open: Slab<Stream>,
    started: u64,
    accepted: u64,
    refused: u64,
}

/// What happened to these connections.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Outcomes {
    /// Stuck readers that the server disconnected.
    pub(crate) stuck_disconnected: usize,
    /// Bytes that the slow reader read.
    pub(crate) slow_read: Option<u64>,
    pub(crate) slow_disconnected: bool,
    /// Churn connections that got into the room.
    pub(crate) accepted: u64,
    /// Churn connections that were refused or failed.
    pub(crate) refused: u64,
}

impl SideLoad {
    /// Connects the stuck readers and the slow reader. Tokens from `first` on belong to the side load.
    pub(crate) fn connect(
        target: &mut Target,
        registry: &Registry,
        handshake: &[u8],
        first: usize,
        options: SideOptions,
    ) -> io::Result<Self> {
        let mut readers = Vec::new();
        for index in 0..options.stuck + usize::from(options.slow.is_some()) {
            let mut client = Client::new(target.connect_with(RECEIVE_BUFFER)?, handshake);
            client.stream().register(registry, Token(first + index))?;
            readers.push(client);
        }
        let slow = options.slow.map(|rate| SlowReader { rate, read: 0 });
        Ok(Self { first, readers, slow, churn: Churn { rate: options.churn, ..Churn::default() } })
    }

    /// Handles an event of the connection with this token; `greets` says whether the server sends a greeting.
    pub(crate) fn on_event(&mut self, token: usize, greets: bool) {
        let index = token - self.first;
        match self.readers.get_mut(index) {
            Some(client) => {
                if client.state == State::Connecting {
                    client.state = State::Joined;
                }
                // A stuck reader reads as much as TLS needs to begin, and no more.
                client.handshake();
                client.flush();
            }
            None => self.churn.close_greeted(index - self.readers.len(), greets),
        }
    }

    /// Makes the slow reads and churn connections that are due `elapsed` after the start of sending.
    pub(crate) fn run_due(
        &mut self,
        elapsed: Duration,
        target: &mut Target,
        registry: &Registry,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if let (Some(slow), Some(client)) = (&mut self.slow, self.readers.last_mut()) {
            slow.read_due(elapsed, client, buffer);
        }
        self.churn.open_due(elapsed, target, registry, self.first + self.readers.len())
    }

    /// Returns the longest time between two calls of [`run_due`](Self::run_due); none if it is not needed.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let churn = (self.churn.rate > 0).then(|| Duration::from_secs(1) / self.churn.rate);
        let slow = self.slow.as_ref().map(|_| SLOW_READ_INTERVAL);
        churn.into_iter().chain(slow).min()
    }

    /// Reads what the stuck and slow readers left unread; returns whether anything was read.
    pub(crate) fn drain(&mut self, buffer: &mut [u8]) -> bool {
        let mut any = false;
        for client in &mut self.readers {
            for _ in 0..MAX_DRAIN_READS {
                if !client.is_connected() || !matches!(client.read(buffer), ReadResult::Bytes(..)) {
                    break;
                }
                any = true;
            }
        }
        any
    }

    /// Whether there are stuck readers or a slow reader.
    pub(crate) const fn has_readers(&self) -> bool {
        !self.readers.is_empty()
    }

    /// Returns what happened to the connections.
    pub(crate) fn outcomes(&self) -> Outcomes {
        let is_closed = |client: &Client| client.state == State::Closed;
        let (stuck, slow) = self.readers.split_at(self.readers.len() - usize::from(self.slow.is_some()));
        Outcomes {
            stuck_disconnected: stuck.iter().filter(|client| is_closed(client)).count(),
            slow_read: self.slow.as_ref().map(|slow| slow.read),
            slow_disconnected: slow.iter().any(is_closed),
            accepted: self.churn.accepted,
            refused: self.churn.refused,
        }
    }
}

impl SlowReader {
    fn read_due(&mut self, elapsed: Duration, client: &mut Client, buffer: &mut [u8]) {
        let due = (elapsed.as_secs_f64() * self.rate as f64) as u64;
        while client.is_connected() && self.read < due {
            let most = usize::try_from(due - self.read).unwrap_or(usize::MAX).min(buffer.len());
            let ReadResult::Bytes(bytes, _) = client.read(&mut buffer[..most]) else { return };
            self.read += bytes as u64;
        }
    }
}

impl Churn {
    fn open_due(
        &mut self,
        elapsed: Duration,
        target: &mut Target,
        registry: &Registry,
        first: usize,
    ) -> io::Result<()> {
        let due = (elapsed.as_secs_f64() * f64::from(self.rate)) as u64;
        while self.started < due && self.open.len() < MAX_CHURN_OPEN {
            self.started += 1;
            match target.connect() {
                Ok(mut stream) => {
                    let entry = self.open.vacant_entry();
                    stream.register(registry, Token(first + entry.key()))?;
                    entry.insert(stream);
                }
                Err(_) => self.refused += 1,
            }
        }
        Ok(())
    }

    /// Closes a connection once it is accepted or refused. If the server greets, its first bytes show which it is.
    fn close_greeted(&mut self, index: usize, greets: bool) {
        let Some(stream) = self.open.get_mut(index) else { return };
        let is_accepted = match stream.take_error().and_then(|error| Ok((error, stream.handshake()?))) {
            Ok((None, false)) => return,
            Ok((None, true)) if greets => {
                let mut start = [0; 2];
                match stream.read(&mut start) {
                    Ok(bytes) => bytes > 0 && !recorder::is_notice(&start[..bytes]),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                        return;
                    }
                    Err(_) => false,
                }
            }
            found => matches!(found, Ok((None, true))),
        };
        self.open.remove(index);
        *(if is_accepted { &mut self.accepted } else { &mut self.refused }) += 1;
    }
}

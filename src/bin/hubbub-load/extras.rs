//! Clients that are there to be a nuisance: who never reads, who reads slowly, who comes and goes.

use crate::client::{Client, Received, State};
use crate::ledger;
use crate::target::{self, Target};
use hubbub::net::transport::PlainStream;
use mio::{Registry, Token};
use slab::Slab;
use std::io::{self, ErrorKind, Read};
use std::time::Duration;

/// Bytes that the kernel is asked to keep for a nuisance, so that what it does not read soon stays with
/// the server. Kernels give at least some 2 KiB.
const RECEIVE_BUFFER: usize = 4096;
/// How often the slow one reads.
const SIPS: Duration = Duration::from_millis(50);
/// The most that are on their way in at a time.
const MOST_COMERS: usize = 1000;

/// Connections that are not served as the others are.
#[derive(Debug)]
pub(crate) struct Extras {
    first: usize,
    /// Those who never read; then the slow one, if there is one.
    silent: Vec<Client>,
    slow: Option<Slow>,
    churn: Churn,
}

/// One who reads so many bytes a second.
#[derive(Debug)]
struct Slow {
    rate: usize,
    read: u64,
}

/// Those who come and go.
#[derive(Debug, Default)]
struct Churn {
    rate: u32,
    comers: Slab<PlainStream>,
    begun: u64,
    came: u64,
    failed: u64,
}

/// What became of them.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fates {
    /// Of those who never read, so many were cut.
    pub(crate) stuck_cut: usize,
    /// What the slow one read, in bytes.
    pub(crate) slow_read: Option<u64>,
    pub(crate) slow_cut: bool,
    /// Comers that got in, and that did not.
    pub(crate) came: u64,
    pub(crate) turned_away: u64,
}

impl Extras {
    /// Connects `stuck` who never read and one for `slow`; their tokens are from `first` on.
    pub(crate) fn connect(
        target: &mut Target,
        registry: &Registry,
        hello: &[u8],
        first: usize,
        (stuck, slow, churn): (usize, Option<usize>, u32),
    ) -> io::Result<Self> {
        let mut silent = Vec::new();
        for index in 0..stuck + usize::from(slow.is_some()) {
            let mut client = Client::new(target.connect_with(RECEIVE_BUFFER)?, hello);
            target::watch(client.stream(), registry, Token(first + index))?;
            silent.push(client);
        }
        let slow = slow.map(|rate| Slow { rate, read: 0 });
        Ok(Self { first, silent, slow, churn: Churn { rate: churn, ..Churn::default() } })
    }

    /// Something happened to the one of that token, at a server that greets or does not.
    pub(crate) fn note(&mut self, token: usize, greets: bool) {
        let index = token - self.first;
        match self.silent.get_mut(index) {
            Some(client) => {
                if client.state == State::Connecting {
                    client.state = State::In;
                }
                client.send();
            }
            None => self.churn.goes(index - self.silent.len(), greets),
        }
    }

    /// Does what is due, `passed` after the start of the talk.
    pub(crate) fn act(
        &mut self,
        passed: Duration,
        target: &mut Target,
        registry: &Registry,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if let (Some(slow), Some(client)) = (&mut self.slow, self.silent.last_mut()) {
            slow.sip(passed, client, buffer);
        }
        self.churn.come(passed, target, registry, self.first + self.silent.len())
    }

    /// How long they can be left alone.
    pub(crate) fn rest(&self) -> Option<Duration> {
        let comes = (self.churn.rate > 0).then(|| Duration::from_secs(1) / self.churn.rate);
        let sips = self.slow.as_ref().map(|_| SIPS);
        comes.into_iter().chain(sips).min()
    }

    /// Reads what is there for those who never read, once the talk is over; whether there was anything.
    pub(crate) fn drain(&mut self, buffer: &mut [u8]) -> bool {
        let mut any = false;
        for client in &mut self.silent {
            // Others have their turn also where a server floods: what is left is read the next time.
            for _ in 0..16 {
                if !client.is_up() || !matches!(client.receive(buffer), Received::Bytes(..)) {
                    break;
                }
                any = true;
            }
        }
        any
    }

    /// Whether there are any who do not read, or slowly.
    pub(crate) const fn has_any(&self) -> bool {
        !self.silent.is_empty()
    }

    /// What became of them.
    pub(crate) fn fates(&self) -> Fates {
        let is_gone = |client: &Client| client.state == State::Gone;
        let stuck = self.silent.len() - usize::from(self.slow.is_some());
        Fates {
            stuck_cut: self.silent[..stuck].iter().filter(|client| is_gone(client)).count(),
            slow_read: self.slow.as_ref().map(|slow| slow.read),
            slow_cut: self.silent[stuck..].iter().any(is_gone),
            came: self.churn.came,
            turned_away: self.churn.failed,
        }
    }
}

impl Slow {
    fn sip(&mut self, passed: Duration, client: &mut Client, buffer: &mut [u8]) {
        let due = (passed.as_secs_f64() * self.rate as f64) as u64;
        while client.is_up() && self.read < due {
            let most = usize::try_from(due - self.read).unwrap_or(usize::MAX).min(buffer.len());
            let Received::Bytes(bytes, _) = client.receive(&mut buffer[..most]) else { return };
            self.read += bytes as u64;
        }
    }
}

impl Churn {
    fn come(
        &mut self,
        passed: Duration,
        target: &mut Target,
        registry: &Registry,
        first: usize,
    ) -> io::Result<()> {
        let due = (passed.as_secs_f64() * f64::from(self.rate)) as u64;
        while self.begun < due && self.comers.len() < MOST_COMERS {
            self.begun += 1;
            match target.connect() {
                Ok(mut stream) => {
                    let entry = self.comers.vacant_entry();
                    target::watch(&mut stream, registry, Token(first + entry.key()))?;
                    entry.insert(stream);
                }
                Err(_) => self.failed += 1,
            }
        }
        Ok(())
    }

    /// Whoever was let in, or not, leaves: a server that greets tells which.
    fn goes(&mut self, index: usize, greets: bool) {
        let Some(stream) = self.comers.get_mut(index) else { return };
        let is_in = match target::take_error(stream) {
            Ok(None) if greets => {
                let mut word = [0; 2];
                match stream.read(&mut word) {
                    Ok(bytes) => bytes > 0 && !ledger::is_notice(&word[..bytes]),
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                        return;
                    }
                    Err(_) => false,
                }
            }
            found => matches!(found, Ok(None)),
        };
        self.comers.remove(index);
        *(if is_in { &mut self.came } else { &mut self.failed }) += 1;
    }
}

//! Many at once: one order for everyone, nothing lost, doubled, torn or returned to its author.
//!
//! One thread plays all clients. The first reader to receive a byte sets what all others have to
//! receive in that place, so that agreement on one order is a comparison of memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stdout, reason = "one test prints what it measured")]

mod common;

use common::{time_limit, Server, WELCOME};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// A crowd of clients: the first of them speak, all of them listen.
struct Flock {
    poll: Poll,
    clients: Vec<Member>,
    /// What every silent reader receives after the welcome.
    heard: Vec<u8>,
}

struct Member {
    stream: TcpStream,
    /// What is left to say.
    says: Vec<u8>,
    said: usize,
    /// What a speaker heard: it lacks its own lines, so that it is compared at the end.
    heard: Vec<u8>,
    heard_bytes: usize,
    expects: usize,
}

impl Flock {
    /// `clients` join; the first ones say what `speeches` holds for them.
    #[track_caller]
    fn join(server: &Server, clients: usize, speeches: &[Vec<u8>]) -> Self {
        let poll = Poll::new().unwrap();
        let total = speeches.iter().map(Vec::len).sum::<usize>();
        let mut flock = Self { poll, clients: Vec::new(), heard: Vec::new() };
        for index in 0..clients {
            let mut stream = std::net::TcpStream::connect_timeout(&server.address(), time_limit()).unwrap();
            stream.set_read_timeout(Some(time_limit())).unwrap();
            stream.read_exact(&mut [0; WELCOME.len() + 1]).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            let both = Interest::READABLE | Interest::WRITABLE;
            flock.poll.registry().register(&mut stream, Token(index), both).unwrap();
            let says = speeches.get(index).cloned().unwrap_or_default();
            let expects = total - says.len();
            flock.clients.push(Member { stream, says, said: 0, heard: Vec::new(), heard_bytes: 0, expects });
        }
        flock
    }

    /// Everyone says all it has to say, as fast as it goes, until all have heard everything.
    #[track_caller]
    fn talk(&mut self, mut meanwhile: impl FnMut()) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 256 * 1024];
        let mut waiting = self.clients.len();
        let mut last_progress = Instant::now();
        while waiting > 0 {
            self.poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            for event in &events {
                let Token(index) = event.token();
                let client = &mut self.clients[index];
                let was_waiting = client.heard_bytes < client.expects;
                client.write();
                client.read(&mut buffer, &mut self.heard);
                if was_waiting && client.heard_bytes == client.expects {
                    waiting -= 1;
                }
                last_progress = Instant::now();
            }
            meanwhile();
            assert!(last_progress.elapsed() < time_limit(), "{waiting} clients still lack something");
        }
        for (index, client) in self.clients.iter().enumerate() {
            assert_eq!(client.heard_bytes, client.expects, "client {index} heard too much");
        }
    }

    /// The lines that silent readers heard.
    fn lines(&self) -> Vec<&[u8]> {
        self.heard.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect()
    }
}

impl Member {
    fn write(&mut self) {
        while self.said < self.says.len() {
            match self.stream.write(&self.says[self.said..]) {
                Ok(bytes) => self.said += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a speaker was cut: {error}"),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8], all: &mut Vec<u8>) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("a reader was cut after {} bytes", self.heard_bytes),
                Ok(bytes) if self.says.is_empty() => {
                    let new = &buffer[..bytes];
                    let known = all.len().saturating_sub(self.heard_bytes).min(bytes);
                    let at = self.heard_bytes;
                    assert!(all[at..at + known] == new[..known], "another order at byte {at}");
                    all.extend_from_slice(&new[known..]);
                    self.heard_bytes += bytes;
                }
                Ok(bytes) => {
                    self.heard.extend_from_slice(&buffer[..bytes]);
                    self.heard_bytes += bytes;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a reader was cut: {error}"),
            }
        }
    }
}

/// Lines `SPEAKER NUMBER …`, each padded to `length` with its LF.
fn speech(speaker: usize, lines: usize, length: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut speech = Vec::new();
    for number in 0..lines {
        let line = format!("{speaker} {number} ");
        speech.extend_from_slice(line.as_bytes());
        speech.resize(speech.len() + length(number).saturating_sub(line.len() + 1), b'x');
        speech.push(b'\n');
    }
    speech
}

/// Each line of each speech is among `lines` once, whole, and in its speaker's order.
#[track_caller]
fn assert_complete(lines: &[&[u8]], speeches: &[Vec<u8>]) {
    let mut by_speaker = HashMap::<&[u8], Vec<u8>>::new();
    for line in lines {
        let speaker = line.split(|&byte| byte == b' ').next().unwrap();
        let said = by_speaker.entry(speaker).or_default();
        said.extend_from_slice(line);
        said.push(b'\n');
    }
    for (speaker, speech) in speeches.iter().enumerate() {
        let said = by_speaker.remove(speaker.to_string().as_bytes()).unwrap_or_default();
        assert!(said == *speech, "what {speaker} said arrived otherwise");
    }
    assert!(by_speaker.is_empty(), "lines of nobody: {:?}", by_speaker.keys());
}

/// Each speaker heard what the silent heard, without its own lines.
#[track_caller]
fn assert_speakers_agree(flock: &Flock, speakers: usize) {
    for (speaker, client) in flock.clients[..speakers].iter().enumerate() {
        let own = format!("{speaker} ");
        let mut others = Vec::new();
        for line in flock.lines().into_iter().filter(|line| !line.starts_with(own.as_bytes())) {
            others.extend_from_slice(line);
            others.push(b'\n');
        }
        assert!(client.heard == others, "speaker {speaker} heard another order, or itself");
    }
}

#[test]
fn forty_senders_at_once_are_heard_in_one_order_by_all() {
    let server = Server::start(&["--feed", "256k"]);
    let speeches = (0..40)
        .map(|speaker| speech(speaker, 500, |number| 8 + (number * 37 + speaker * 101) % 700))
        .collect::<Vec<_>>();
    let mut flock = Flock::join(&server, 45, &speeches);
    flock.talk(|| {});
    assert_complete(&flock.lines(), &speeches);
    assert_speakers_agree(&flock, speeches.len());
}

#[test]
fn ten_senders_pour_into_a_thousand_clients_and_nothing_is_lost() {
    let mut server = Server::start(&[]);
    let speeches = (0..10).map(|speaker| speech(speaker, 2000, |_| 64)).collect::<Vec<_>>();
    let mut flock = Flock::join(&server, 1000, &speeches);
    let before = server.cpu_ticks();
    let mut resident = 0;
    flock.talk(|| resident = resident.max(server.status_kb("RssAnon")));
    let after = server.cpu_ticks();
    assert_complete(&flock.lines(), &speeches);
    assert_speakers_agree(&flock, speeches.len());
    assert!(server.log_so_far().iter().all(|line| !line.contains("cut")));
    // With `--release -- --nocapture` this is the measurement; it asserts no time.
    let (user, system) = (10 * (after.0 - before.0), 10 * (after.1 - before.1));
    let each = (user + system) as f64 * 1e6 / 19_980_000.0;
    println!("{each:.1} ns of CPU time a delivery ({user} ms user, {system} ms system in all)");
    println!("{resident} kB of data resident at most");
    // Of code, a build without optimisation takes as much as it likes.
    assert!(resident < 2 * 1024, "{resident} kB of data resident");
    assert_eq!(server.status("Threads"), "1");
}

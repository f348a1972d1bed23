//! Many at once in three views: the same lines in the same order for everyone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{time_limit, Server};
use hubbub::wire::view::View;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CLIENTS: usize = 1000;
const SPEAKERS: usize = 10;

/// One who hears messages, in some view, and may say some.
struct Member {
    stream: TcpStream,
    view: View,
    says: Vec<u8>,
    said: usize,
    partial: Vec<u8>,
    /// Messages heard, and what they were, in their order.
    heard: usize,
    digest: DefaultHasher,
    /// The messages themselves, of those who speak and of one who does not.
    kept: Option<Vec<Vec<u8>>>,
}

impl Member {
    fn speak(&mut self) {
        while self.said < self.says.len() {
            match self.stream.write(&self.says[self.said..]) {
                Ok(bytes) => self.said += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("a speaker was cut: {error}"),
            }
        }
    }

    fn listen(&mut self, buffer: &mut [u8]) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("one was cut after {} messages", self.heard),
                Ok(bytes) => self.hear(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("one was cut: {error}"),
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                if let Some(message) = message(self.view, &self.partial) {
                    message.hash(&mut self.digest);
                    self.heard += 1;
                    if let Some(kept) = &mut self.kept {
                        kept.push(message.to_vec());
                    }
                }
                self.partial.clear();
            }
        }
    }
}

/// What was said, where a line is a message.
fn message(view: View, line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    match view {
        View::Plain => line.starts_with(b"speaker ").then_some(line),
        View::Named => {
            let rest = line.strip_prefix(b"<")?;
            Some(&rest[find(rest, b"> ")? + 2..])
        }
        View::Json => {
            let text = &line[find(line, br#","text":""#)? + 9..];
            line.starts_with(br#"{"type":"message""#).then_some(&text[..find(text, b"\"")?])
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[track_caller]
fn join(addresses: [SocketAddr; 3], poll: &Poll, number: usize, lines: usize) -> Member {
    let view = View::ALL[number % 3];
    let mut stream = std::net::TcpStream::connect_timeout(&addresses[view.index()], time_limit()).unwrap();
    stream.set_read_timeout(Some(time_limit())).unwrap();
    // The welcome's first byte: it is in the room.
    stream.read_exact(&mut [0]).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE).unwrap();
    let line = |turn| format!("speaker {number} says line {turn:40}\n");
    let says =
        if number < SPEAKERS { (0..lines / SPEAKERS).map(line).collect::<String>() } else { String::new() };
    Member {
        stream,
        view,
        says: says.into_bytes(),
        said: 0,
        partial: Vec::new(),
        heard: 0,
        digest: DefaultHasher::new(),
        kept: (number <= SPEAKERS).then(Vec::new),
    }
}

#[test]
fn a_thousand_in_three_views_hear_the_same_lines_in_the_same_order() {
    // A build without optimisation is too slow to hear more of them in little time.
    let lines = std::env::var("HUBBUB_LINES").map_or(2000, |lines| lines.parse().unwrap());
    let (mut server, addresses) = Server::start_in_views(&["--stall-timeout", "60"]);
    let poll = Poll::new().unwrap();
    let mut members = (0..CLIENTS).map(|number| join(addresses, &poll, number, lines)).collect::<Vec<_>>();
    let expects = |number: usize| if number < SPEAKERS { lines - lines / SPEAKERS } else { lines };
    let mut poll = poll;
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 256 * 1024]);
    let mut last_progress = Instant::now();
    while members.iter().enumerate().any(|(number, member)| member.heard < expects(number)) {
        poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        for event in &events {
            let member = &mut members[event.token().0];
            member.speak();
            member.listen(&mut buffer);
            last_progress = Instant::now();
        }
        assert!(last_progress.elapsed() < time_limit(), "some still lack something");
    }
    let digests = members[SPEAKERS..].iter().map(|member| (member.heard, member.digest.finish()));
    let digests = digests.collect::<std::collections::HashSet<_>>();
    assert_eq!(digests.len(), 1, "another order, or other lines: {digests:?}");
    // Who speaks hears the same, without what it said.
    let all = members[SPEAKERS].kept.take().unwrap();
    for (number, member) in members[..SPEAKERS].iter().enumerate() {
        let own = format!("speaker {number} ");
        let others = all.iter().filter(|message| !message.starts_with(own.as_bytes()));
        assert!(member.kept.as_ref().unwrap().iter().eq(others), "speaker {number} heard another order");
    }
    let peak = server.status_kb("VmHWM");
    assert!(peak < 8 * 1024, "{peak} kB resident at most");
    assert!(server.log_so_far().iter().all(|line| !line.contains("cut")));
}

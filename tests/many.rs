//! Many clients at once: one order for all, nothing lost, doubled, torn or returned to its sender.
//!
//! One thread drives all clients. What the first silent reader receives, all others must receive too, so
//! that the comparison of a thousand readers is a comparison of memory or of digests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stdout, reason = "one test prints what it measured")]

mod common;

use common::client_group::ClientGroup;
use common::texts::DISCONNECTED;
use common::{Server, WELCOME, has_descriptors, time_limit};
use hubbub::wire::view::View;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Lets all clients send and receive until `is_complete`. `receive` gets a client's index and its bytes.
#[track_caller]
fn drive<State>(
    group: &mut ClientGroup,
    state: &mut State,
    receive: impl Fn(&mut State, usize, &[u8]),
    mut is_complete: impl FnMut(&State) -> bool,
) {
    let mut last_progress = Instant::now();
    while !is_complete(state) {
        if group.turn(Duration::from_millis(100), |index, bytes| receive(state, index, bytes)) {
            last_progress = Instant::now();
        }
        assert!(last_progress.elapsed() < time_limit(), "no progress, and some clients lack lines");
    }
}

/// What clients of the plain view have received. The first of them send.
#[derive(Default)]
struct PlainRoom {
    /// The bytes that every silent client receives.
    all: Vec<u8>,
    clients: Vec<PlainClient>,
    /// How many clients lack bytes.
    incomplete: usize,
}

struct PlainClient {
    /// The bytes of a sender. They lack its own lines, so they are compared at the end.
    received: Option<Vec<u8>>,
    received_bytes: usize,
    expected_bytes: usize,
}

impl PlainRoom {
    /// Joins `count` clients, of which the first send `inputs`, and waits until all lines have arrived.
    #[track_caller]
    fn run(server: &Server, count: usize, inputs: &[Vec<u8>], mut meanwhile: impl FnMut()) -> Self {
        let total = inputs.iter().map(Vec::len).sum::<usize>();
        let (mut room, mut group) = (Self { incomplete: count, ..Self::default() }, ClientGroup::new());
        let mut joining = Vec::new();
        for index in 0..count {
            let input = inputs.get(index).cloned().unwrap_or_default();
            let expected_bytes = total - input.len();
            let received = (index < inputs.len()).then(Vec::new);
            room.clients.push(PlainClient { received, received_bytes: 0, expected_bytes });
            joining.push((server.address(), input));
        }
        group.join_all(WELCOME.len() + 1, joining);
        drive(&mut group, &mut room, Self::receive, |room| {
            meanwhile();
            room.incomplete == 0
        });
        for (index, client) in room.clients.iter().enumerate() {
            assert_eq!(client.received_bytes, client.expected_bytes, "client {index} received too much");
        }
        room.assert_complete(inputs);
        room.assert_senders_agree();
        room
    }

    fn receive(&mut self, index: usize, bytes: &[u8]) {
        let client = &mut self.clients[index];
        let at = client.received_bytes;
        match &mut client.received {
            Some(received) => received.extend_from_slice(bytes),
            None => {
                let known = self.all.len().saturating_sub(at).min(bytes.len());
                assert!(self.all[at..at + known] == bytes[..known], "another order at byte {at}");
                self.all.extend_from_slice(&bytes[known..]);
            }
        }
        client.received_bytes += bytes.len();
        if at < client.expected_bytes && client.received_bytes >= client.expected_bytes {
            self.incomplete -= 1;
        }
    }

    /// The lines that silent clients received.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.all.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n')
    }

    /// Asserts that each line of each sender arrived once, whole and in its sender's order.
    #[track_caller]
    fn assert_complete(&self, inputs: &[Vec<u8>]) {
        let mut by_sender = HashMap::<&[u8], Vec<u8>>::new();
        for line in self.lines() {
            let sender = line.split(|&byte| byte == b' ').next().unwrap();
            let received = by_sender.entry(sender).or_default();
            received.extend_from_slice(line);
            received.push(b'\n');
        }
        for (sender, input) in inputs.iter().enumerate() {
            let received = by_sender.remove(sender.to_string().as_bytes()).unwrap_or_default();
            assert!(received == *input, "the lines of sender {sender} changed on the way");
        }
        assert!(by_sender.is_empty(), "lines without a sender: {:?}", by_sender.keys());
    }

    /// Asserts that each sender received what silent clients received, without its own lines.
    #[track_caller]
    fn assert_senders_agree(&self) {
        for (sender, client) in self.clients.iter().enumerate() {
            let Some(received) = &client.received else { continue };
            let own = format!("{sender} ");
            let mut others = Vec::new();
            for line in self.lines().filter(|line| !line.starts_with(own.as_bytes())) {
                others.extend_from_slice(line);
                others.push(b'\n');
            }
            assert!(*received == others, "sender {sender} received another order or its own lines");
        }
    }
}

/// Returns lines `SENDER NUMBER …`, each padded to `length` with its LF.
fn input_of(sender: usize, lines: usize, length: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut input = Vec::new();
    for number in 0..lines {
        let line = format!("{sender} {number} ");
        input.extend_from_slice(line.as_bytes());
        input.resize(input.len() + length(number).saturating_sub(line.len() + 1), b'x');
        input.push(b'\n');
    }
    input
}

#[test]
fn all_clients_receive_the_lines_of_forty_senders_in_one_order() {
    let server = Server::start(&["--feed", "256k"]);
    let inputs = (0..40)
        .map(|sender| input_of(sender, 500, |number| 8 + (number * 37 + sender * 101) % 700))
        .collect::<Vec<_>>();
    PlainRoom::run(&server, 45, &inputs, || {});
}

#[test]
fn a_thousand_clients_lose_nothing_of_ten_fast_senders() {
    if !has_descriptors(4000) {
        return;
    }
    let mut server = Server::start(&[]);
    let inputs = (0..10).map(|sender| input_of(sender, 2000, |_| 64)).collect::<Vec<_>>();
    let before = server.cpu_ticks();
    let mut resident = 0;
    PlainRoom::run(&server, 1000, &inputs, || resident = resident.max(server.status_kb("RssAnon")));
    let after = server.cpu_ticks();
    server.assert_not_logged(DISCONNECTED);
    // A measurement with `--release -- --nocapture`. No time is asserted.
    let (user, system) = (10 * (after.0 - before.0), 10 * (after.1 - before.1));
    let each = (user + system) as f64 * 1e6 / 19_980_000.0;
    println!("{each:.1} ns of CPU time per delivery ({user} ms user, {system} ms system in all)");
    println!("{resident} kB of data resident at most");
    // Data alone, because the code of a debug build is much larger.
    assert!(resident < 2 * 1024, "{resident} kB of data resident");
    assert_eq!(server.status("Threads"), "1");
}

const CLIENTS: usize = 1000;
const SENDERS: usize = 10;

/// What a client of any view has received.
struct ViewClient {
    view: View,
    partial: Vec<u8>,
    /// The number of messages, and a digest of their texts in their order.
    count: usize,
    digest: DefaultHasher,
    /// The texts themselves, for the senders and one silent client.
    texts: Option<Vec<Vec<u8>>>,
}

impl ViewClient {
    fn receive(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                if let Some(text) = text_of_message(self.view, &self.partial) {
                    text.hash(&mut self.digest);
                    self.count += 1;
                    if let Some(texts) = &mut self.texts {
                        texts.push(text.to_vec());
                    }
                }
                self.partial.clear();
            }
        }
    }
}

/// Returns the text of a message, or `None` for any other line.
fn text_of_message(view: View, line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b"\n")?;
    match view {
        View::Plain => line.starts_with(b"sender ").then_some(line),
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

#[test]
fn a_thousand_clients_in_three_views_receive_the_same_lines_in_the_same_order() {
    if !has_descriptors(4000) {
        return;
    }
    // Few by default, because a debug build is slow.
    let lines = std::env::var("HUBBUB_LINES").map_or(2000, |lines| lines.parse().unwrap());
    let (mut server, addresses) = Server::start_in_views(&["--stall-timeout", "60"]);
    let (mut group, mut clients, mut joining) = (ClientGroup::new(), Vec::new(), Vec::new());
    for number in 0..CLIENTS {
        let view = View::ALL[number % 3];
        let line = |turn| format!("sender {number} sends line {turn:40}\n");
        let is_sender = number < SENDERS;
        let input = if is_sender { (0..lines / SENDERS).map(line).collect() } else { String::new() };
        joining.push((addresses[view.index()], input.into_bytes()));
        clients.push(ViewClient {
            view,
            partial: Vec::new(),
            count: 0,
            digest: DefaultHasher::new(),
            texts: (number <= SENDERS).then(Vec::new),
        });
    }
    // After the first byte of the welcome a client is in the room.
    group.join_all(1, joining);
    let expected = |number: usize| if number < SENDERS { lines - lines / SENDERS } else { lines };
    drive(
        &mut group,
        &mut clients,
        |clients, number, bytes| clients[number].receive(bytes),
        |clients| clients.iter().enumerate().all(|(number, client)| client.count >= expected(number)),
    );
    let digests = clients[SENDERS..].iter().map(|client| (client.count, client.digest.finish()));
    let digests = digests.collect::<HashSet<_>>();
    assert_eq!(digests.len(), 1, "another order or other lines: {digests:?}");
    // The senders receive the same without their own lines.
    let all = clients[SENDERS].texts.take().unwrap();
    for (number, client) in clients[..SENDERS].iter().enumerate() {
        let own = format!("sender {number} ");
        let others = all.iter().filter(|text| !text.starts_with(own.as_bytes()));
        assert!(client.texts.as_ref().unwrap().iter().eq(others), "sender {number} received another order");
    }
    let peak = server.status_kb("VmHWM");
    assert!(peak < 8 * 1024, "{peak} kB resident at most");
    server.assert_not_logged(DISCONNECTED);
}

//! The crowd's turn with scripted sockets and a clock set by hand: who is read, written to, cut, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

use hubbub::clock::Moment;
use hubbub::crowd::{Crowd, Limits, Timer};
use hubbub::descriptors::Places;
use hubbub::framing::Rules;
use hubbub::goodbye::Goodbye;
use hubbub::peer::Peer;
use hubbub::room::{Manners, Room};
use hubbub::roster::Key;
use hubbub::socket::Socket;
use hubbub::timers::Timers;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Bytes of the feed where a test does not care; divides well.
const FEED: usize = 64_000;
const STALL_TIMEOUT: Duration = Duration::from_secs(5);
const A_MILLISECOND: Duration = Duration::from_millis(1);
/// More turns than any test needs before a crowd that still has work is taken for one that spins.
const MOST_TURNS: usize = 10_000;

/// What a socket does with one write.
#[derive(Clone, Copy, Default)]
enum Take {
    #[default]
    All,
    /// So many bytes, or all if there are fewer.
    Bytes(usize),
    NotNow,
    Fail(ErrorKind),
}

/// What a socket does from now on, and what it was asked.
#[derive(Default)]
struct Script {
    /// Results of reads: an empty one is the end of input. Then nothing is there yet.
    input: VecDeque<Result<Vec<u8>, ErrorKind>>,
    /// Every read fails so, whatever the input.
    read_always_fails: Option<ErrorKind>,
    /// Results of writes, and the result of all further ones.
    takes: VecDeque<Take>,
    then_takes: Take,
    reads: usize,
    writes: usize,
    heard: Vec<u8>,
    is_shut: bool,
}

#[derive(Clone, Default)]
struct FakeSocket(Rc<RefCell<Script>>);

impl Socket for FakeSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        script.reads += 1;
        if let Some(kind) = script.read_always_fails {
            return Err(kind.into());
        }
        let mut bytes = script.input.pop_front().unwrap_or(Err(ErrorKind::WouldBlock))?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        if count < bytes.len() {
            script.input.push_front(Ok(bytes.split_off(count)));
        }
        Ok(count)
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = self.0.borrow_mut();
        script.writes += 1;
        assert!(!script.is_shut, "nothing is written after the shutdown");
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<_>>();
        assert!(!bytes.is_empty(), "a write of nothing");
        let count = match script.takes.pop_front().unwrap_or(script.then_takes) {
            Take::All => bytes.len(),
            Take::Bytes(count) => count.min(bytes.len()),
            Take::NotNow => return Err(ErrorKind::WouldBlock.into()),
            Take::Fail(kind) => return Err(kind.into()),
        };
        script.heard.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn shutdown_write(&mut self) {
        self.0.borrow_mut().is_shut = true;
    }
}

/// One client as the test sees it.
struct Client {
    key: Key,
    socket: FakeSocket,
}

impl Client {
    fn script(&self) -> Ref<'_, Script> {
        self.socket.0.borrow()
    }

    fn edit(&self) -> RefMut<'_, Script> {
        self.socket.0.borrow_mut()
    }

    /// What its next writes do, and all later ones.
    fn takes<const N: usize>(&self, takes: [Take; N], then: Take) {
        let mut script = self.edit();
        script.takes = takes.into();
        script.then_takes = then;
    }

    fn will_read(&self, bytes: impl AsRef<[u8]>) {
        self.edit().input.push_back(Ok(bytes.as_ref().to_vec()));
    }

    fn will_end(&self) {
        self.will_read("");
    }

    fn will_fail(&self, kind: ErrorKind) {
        self.edit().input.push_back(Err(kind));
    }

    fn heard(&self) -> Vec<u8> {
        self.script().heard.clone()
    }

    #[track_caller]
    fn has_heard(&self, text: impl AsRef<[u8]>) {
        let (heard, text) = (self.heard(), text.as_ref().to_vec());
        assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&text));
    }

    fn unread(&self) -> usize {
        self.script().input.iter().flatten().map(Vec::len).sum()
    }

    /// Whether the crowd has dropped its socket.
    fn is_gone(&self) -> bool {
        Rc::strong_count(&self.socket.0) == 1
    }
}

/// A crowd, and the part of the server that calls its steps.
struct Table {
    crowd: Crowd<FakeSocket>,
    timers: Timers<Timer>,
    now: Moment,
}

impl Table {
    fn new(feed: usize, welcome: &str) -> Self {
        Self { crowd: Self::crowd(feed, welcome, None), timers: Timers::new(), now: Moment::default() }
    }

    fn crowd(feed: usize, welcome: &str, flush_after: Option<Duration>) -> Crowd<FakeSocket> {
        let room = Room::new(Manners {
            rules: Rules { max_line: feed / Room::LINES_PER_FEED, raw: false },
            feed,
            welcome: welcome.to_owned(),
            stall_timeout: STALL_TIMEOUT,
        });
        let limits = Limits {
            places: Places { clients: 1000, turned_away: 32 },
            flush_after,
            farewell: STALL_TIMEOUT,
        };
        Crowd::new(room, limits)
    }

    /// From now on an unfinished line is a message after so much silence. Nobody is there yet.
    fn flush_after(&mut self, silence: Duration) {
        assert!(self.crowd.is_empty());
        self.crowd = Self::crowd(FEED, "", Some(silence));
    }

    /// A crowd of `N` who were told no welcome.
    fn of<const N: usize>(feed: usize) -> (Self, [Client; N]) {
        let mut table = Self::new(feed, "");
        let clients = std::array::from_fn(|_| table.join());
        table.settle();
        (table, clients)
    }

    fn join(&mut self) -> Client {
        let socket = FakeSocket::default();
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let key = self.crowd.admit(socket.clone(), peer, self.now, |_, _| Ok(())).unwrap();
        Client { key, socket }
    }

    /// The steps of one turn of the server, in its order.
    fn turn(&mut self) {
        while let Some(timer) = self.timers.pop(self.now) {
            if let Timer::Connection(key) = timer {
                self.crowd.deadline(key, &mut self.timers, self.now);
            }
        }
        self.crowd.read(&mut self.timers, self.now);
        self.write();
        self.crowd.be_patient(&mut self.timers, self.now);
        self.crowd.sweep(&mut self.timers, self.now);
    }

    fn write(&mut self) {
        self.crowd.write(&mut self.timers, self.now);
    }

    /// Turns until there is no work that waits for no report.
    #[track_caller]
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            if !self.crowd.has_work() {
                return;
            }
            self.turn();
        }
        panic!("after {MOST_TURNS} turns there is still work");
    }

    #[track_caller]
    fn passes(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.turn();
        self.settle();
    }

    fn is_readable(&mut self, client: &Client) {
        assert!(self.crowd.note(client.key, true, false, self.now));
    }

    fn is_writable(&mut self, client: &Client) {
        assert!(self.crowd.note(client.key, false, true, self.now));
    }

    /// `client` sends `bytes`, and everything that follows from that is done.
    #[track_caller]
    fn says(&mut self, client: &Client, bytes: impl AsRef<[u8]>) {
        client.will_read(bytes);
        self.is_readable(client);
        self.settle();
    }

    /// `client` takes `bytes` more and then nothing until the next call.
    #[track_caller]
    fn gives(&mut self, client: &Client, bytes: usize) {
        client.takes([Take::Bytes(bytes)], Take::NotNow);
        self.is_writable(client);
        self.settle();
    }

    /// `client` takes everything from now on.
    #[track_caller]
    fn gives_all(&mut self, client: &Client) {
        client.takes([], Take::All);
        self.is_writable(client);
        self.settle();
    }

    fn ended(&self, goodbye: Goodbye) -> u64 {
        self.crowd.counters.ended[goodbye.index()]
    }

    fn stalled(&self) -> u64 {
        self.ended(Goodbye::Stalled { behind: 0 })
    }

    fn broken(&self) -> u64 {
        self.ended(Goodbye::Broken(ErrorKind::Other))
    }
}

/// Numbered lines, `bytes` in all, each of 20.
fn lines(bytes: usize) -> Vec<u8> {
    (0..bytes / 20).flat_map(|number| format!("line number {number:7}\n").into_bytes()).collect()
}

#[test]
fn e1_a_report_for_someone_gone_does_not_reach_who_took_the_place() {
    let (mut table, [old, other]) = Table::of(FEED);
    old.will_end();
    table.is_readable(&old);
    table.settle();
    assert!(old.is_gone());
    let new = table.join();
    table.settle();
    assert!(!table.crowd.note(old.key, true, true, table.now), "nobody has that key any more");
    assert!(!table.crowd.has_work());
    assert_eq!(new.script().reads, 0);
    table.says(&other, "hello\n");
    new.has_heard("hello\n");
}

#[test]
fn e2_a_report_for_a_key_that_nobody_ever_had_is_no_more_than_that() {
    let (mut table, [one]) = Table::of(FEED);
    for number in [one.key.number() + 1, 4711, Key::FIRST_FREE, usize::MAX] {
        let stale = table.crowd.counters.stale;
        assert!(!table.crowd.note(Key::from_number(number), true, true, table.now));
        assert_eq!(table.crowd.counters.stale, stale + 1, "it is counted");
        table.crowd.deadline(Key::from_number(number), &mut table.timers, table.now);
        table.crowd.deadline(Key::from_number(number), &mut table.timers, table.now);
    }
    table.settle();
    assert_eq!(table.crowd.online(), 1);
}

#[test]
fn e3_who_ends_while_a_line_is_written_to_all_is_removed_after_the_others_have_it() {
    let (mut table, [speaker, before, ends, after]) = Table::of(FEED);
    ends.takes([], Take::Fail(ErrorKind::Interrupted));
    speaker.will_read("hello\n");
    table.is_readable(&speaker);
    table.crowd.read(&mut table.timers, table.now);
    table.write();
    assert_eq!(table.crowd.online(), 4, "nobody is removed by the writing itself");
    before.has_heard("hello\n");
    after.has_heard("hello\n");
    table.crowd.sweep(&mut table.timers, table.now);
    assert!(ends.is_gone());
    assert_eq!(table.crowd.online(), 3);
    table.settle();
    table.says(&speaker, "again\n");
    after.has_heard("hello\nagain\n");
}

#[test]
fn e4_a_failed_write_to_any_one_costs_the_others_nothing_and_its_last_words_are_relayed() {
    for broken in 1..5 {
        let (mut table, clients) = Table::of::<5>(FEED);
        clients[broken].takes([], Take::Fail(ErrorKind::ConnectionReset));
        clients[broken].will_read("last ");
        clients[broken].will_read("words\nunfinished");
        clients[broken].will_fail(ErrorKind::ConnectionReset);
        table.says(&clients[0], "hello\n");
        clients[0].has_heard("last words\n");
        for (number, client) in clients.iter().enumerate().skip(1).filter(|&(number, _)| number != broken) {
            client.has_heard("hello\nlast words\n");
            assert!(!client.is_gone(), "{number} stays");
        }
        assert!(clients[broken].is_gone());
        assert_eq!(clients[broken].script().writes, 1, "a failed write is not tried again");
        assert_eq!((table.broken(), table.crowd.counters.torn, table.crowd.online()), (1, 1, 4));
    }
}

#[test]
fn e4_a_failed_write_ends_the_connection_though_its_peer_says_nothing_more() {
    let (mut table, [speaker, broken, other]) = Table::of(FEED);
    broken.takes([], Take::Fail(ErrorKind::ConnectionReset));
    table.says(&speaker, "hello\n");
    other.has_heard("hello\n");
    table.passes(STALL_TIMEOUT);
    assert!(broken.is_gone(), "who cannot be told anything does not stay as a ghost");
    assert_eq!((table.broken(), table.crowd.online()), (1, 2));
}

#[test]
fn e5_the_line_of_a_sender_that_is_cut_while_it_is_written_reaches_everyone() {
    for cut in [ErrorKind::BrokenPipe, ErrorKind::Interrupted] {
        let (mut table, [other, sender, listener]) = Table::of(FEED);
        // Both speak in one turn, so that the sender is written to in its own broadcast.
        sender.takes([], Take::Fail(cut));
        sender.will_read("of the sender\n");
        other.will_read("of the other\n");
        table.is_readable(&sender);
        table.is_readable(&other);
        table.turn();
        other.has_heard("of the sender\n");
        listener.has_heard("of the sender\nof the other\n");
        sender.will_end();
        table.settle();
        assert!(sender.is_gone());
        sender.has_heard("");
        table.says(&other, "more\n");
        listener.has_heard("of the sender\nof the other\nmore\n");
        other.has_heard("of the sender\n");
    }
}

#[test]
fn e5_a_line_and_a_reset_in_one_turn_are_a_line_and_a_goodbye() {
    let (mut table, [sender, listener]) = Table::of(FEED);
    sender.will_read("goodbye\n");
    sender.will_fail(ErrorKind::ConnectionReset);
    table.is_readable(&sender);
    table.settle();
    listener.has_heard("goodbye\n");
    assert!(sender.is_gone());
}

#[test]
fn e6_many_who_end_in_one_turn_in_every_way_are_all_gone_soon_and_cost_nobody_else() {
    let mut table = Table::new(FEED, "");
    let clients = (0..200).map(|_| table.join()).collect::<Vec<_>>();
    table.settle();
    let mut last_words = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        match number % 5 {
            0 => continue,
            1 => client.will_end(),
            2 => client.will_fail(ErrorKind::ConnectionReset),
            3 => {
                client.takes([], Take::Fail(ErrorKind::BrokenPipe));
                client.will_end();
            }
            _ => client.edit().read_always_fails = Some(ErrorKind::Interrupted),
        }
        if number % 5 == 1 {
            client.edit().input.push_front(Ok(format!("{number} leaves\n").into_bytes()));
            last_words.extend_from_slice(format!("{number} leaves\n").as_bytes());
        }
        table.is_readable(client);
    }
    let mut turns = 0;
    while table.crowd.has_work() {
        table.turn();
        turns += 1;
        assert!(turns < 10, "ending is a matter of a few turns");
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.is_gone(), number % 5 != 0, "{number}");
        if number % 5 == 0 {
            client.has_heard(&last_words);
        }
    }
    assert_eq!(table.crowd.online(), 40);
    assert_eq!(table.crowd.counters.ended.iter().sum::<u64>(), 160, "each is counted once");
}

#[test]
fn e7_writes_cut_at_any_two_bytes_lose_and_double_nothing_and_mix_no_lines() {
    let told = "welcome\nfirst\nsecond\nthird\nfourth\n";
    let answer = b"\xFF\xFC\x01";
    for first in 1..=told.len() {
        for second in 1..=told.len() {
            let mut table = Table::new(4096, "welcome");
            let (reader, speaker) = (table.join(), table.join());
            reader.takes([Take::Bytes(first)], Take::NotNow);
            table.says(&speaker, "first\nsecond\n");
            table.says(&reader, b"mine\n\xFF\xFD\x01");
            table.says(&speaker, "third\n");
            table.says(&reader, "mine too\n");
            table.says(&speaker, "fourth\n");
            table.gives(&reader, second);
            table.gives_all(&reader);
            speaker.has_heard("welcome\nmine\nmine too\n");
            let mut heard = reader.heard();
            let at = heard.windows(3).position(|bytes| bytes == answer).unwrap();
            assert!(at == 0 || heard[at - 1] == b'\n', "cut at {first} and {second}: an answer in a line");
            heard.drain(at..at + 3);
            assert_eq!(String::from_utf8_lossy(&heard), told, "cut at {first} and {second}");
        }
    }
}

#[test]
fn e7_writes_of_any_length_bring_the_exact_stream_around_the_ring() {
    let said =
        (0..150).flat_map(|n| format!("{n} {}\n", "x".repeat(n % 25)).into_bytes()).collect::<Vec<_>>();
    for length in 1..=100 {
        let (mut table, [reader, speaker]) = Table::of(512);
        reader.takes([], Take::NotNow);
        table.says(&speaker, &said);
        assert!(speaker.unread() > 512, "the ring is passed more than once");
        let mut own = Vec::new();
        for step in 0..said.len() {
            if reader.heard().len() == said.len() {
                break;
            }
            if step % 7 == 0 && own.len() < 300 {
                own.extend_from_slice(format!("own {step}\n").as_bytes());
                reader.will_read(format!("own {step}\n"));
                table.is_readable(&reader);
            }
            table.gives(&reader, length);
        }
        reader.has_heard(&said);
        speaker.has_heard(&own);
    }
}

#[test]
fn e8_a_reader_that_took_a_part_is_written_to_again_when_it_is_writable_and_not_before() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::Bytes(3)], Take::NotNow);
    table.says(&speaker, "hello\n");
    reader.has_heard("hel");
    let writes = reader.script().writes;
    table.says(&speaker, "again\n");
    assert_eq!(reader.script().writes, writes, "it would block: nothing is tried until it is reported");
    table.gives_all(&reader);
    reader.has_heard("hello\nagain\n");
}

#[test]
fn e8_a_short_write_goes_on_without_a_report() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::Bytes(3), Take::Bytes(2)], Take::All);
    table.says(&speaker, "hello, all of you\n");
    reader.has_heard("hello, all of you\n");
    assert_eq!(reader.script().writes, 3);
}

#[test]
fn e8_who_was_writable_when_nothing_was_owed_is_written_to_at_once_later() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::NotNow], Take::All);
    table.says(&speaker, "one\n");
    table.is_writable(&reader);
    table.settle();
    table.is_writable(&reader);
    table.settle();
    table.says(&speaker, "two\n");
    table.says(&speaker, "three\n");
    reader.has_heard("one\ntwo\nthree\n");
}

#[test]
fn e9_writable_with_nothing_owed_writes_nothing_and_is_no_work_afterwards() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    table.says(&speaker, "hello\n");
    assert_eq!((reader.script().writes, speaker.script().writes), (1, 0));
    for _ in 0..10 {
        table.is_writable(&reader);
        table.is_writable(&speaker);
        table.turn();
        assert!(!table.crowd.has_work());
    }
    assert_eq!((reader.script().writes, speaker.script().writes), (1, 0));
}

#[test]
fn e10_a_sender_held_for_want_of_room_is_read_again_without_a_report() {
    let (mut table, [reader, flooder, other]) = Table::of(FEED);
    let flood = lines(5 * FEED);
    reader.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    let (reads, unread) = (flooder.script().reads, flooder.unread());
    assert!(unread > 3 * FEED, "it waits with {unread} bytes unread");
    table.is_readable(&flooder);
    table.turn();
    assert!(!table.crowd.has_work(), "waiting is no work");
    assert_eq!(flooder.script().reads, reads);
    table.gives_all(&reader);
    assert_eq!(flooder.unread(), 0);
    reader.has_heard(&flood);
    other.has_heard(&flood);
}

#[test]
fn e10_a_sender_held_for_a_reader_that_ends_is_read_again_without_a_report() {
    let (mut table, [reader, flooder, other]) = Table::of(FEED);
    let flood = lines(5 * FEED);
    reader.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    assert!(flooder.unread() > 0);
    reader.will_fail(ErrorKind::ConnectionReset);
    table.is_readable(&reader);
    table.settle();
    assert!(reader.is_gone());
    assert_eq!(flooder.unread(), 0);
    other.has_heard(&flood);
}

#[test]
fn e10_a_sender_that_does_not_take_its_answers_is_read_again_once_it_takes_them() {
    let (mut table, [asker, other]) = Table::of(FEED);
    // Each is answered: telnet's DO TIMING-MARK.
    let questions = b"\xFF\xFD\x06".repeat(100_000);
    asker.takes([], Take::NotNow);
    table.says(&asker, &questions);
    assert!(asker.unread() > 0, "its answers are not kept without end");
    table.is_readable(&asker);
    table.turn();
    assert!(!table.crowd.has_work(), "waiting is no work");
    table.gives_all(&asker);
    assert_eq!((asker.unread(), asker.heard().len()), (0, questions.len()));
    table.says(&asker, "hello\n");
    other.has_heard("hello\n");
}

#[test]
fn e11_the_end_behind_a_short_read_is_found_with_one_report() {
    for (said, heard) in [("hi\nbye", "hi\nbye\n"), ("bye", "bye\n"), ("bye\n", "bye\n")] {
        let (mut table, [sender, listener]) = Table::of(FEED);
        sender.will_read(said);
        sender.will_end();
        table.is_readable(&sender);
        table.settle();
        listener.has_heard(heard);
        assert!(sender.script().is_shut && sender.is_gone());
        assert_eq!(table.ended(Goodbye::Left), 1);
    }
}

#[test]
fn e12_a_hint_of_an_error_alone_closes_nothing_and_the_read_that_fails_does() {
    let (mut table, [client, other]) = Table::of(FEED);
    // An error or a hang-up is reported as readable and writable.
    assert!(table.crowd.note(client.key, true, true, table.now));
    table.settle();
    assert!(!client.is_gone());
    table.says(&other, "still there?\n");
    client.has_heard("still there?\n");
    table.says(&client, "yes\n");
    other.has_heard("yes\n");
    client.will_fail(ErrorKind::ConnectionReset);
    assert!(table.crowd.note(client.key, true, true, table.now));
    table.settle();
    assert!(client.is_gone());
    assert_eq!((table.broken(), table.crowd.online()), (1, 1));
}

#[test]
fn e13_work_left_over_is_not_slept_upon_and_a_room_at_rest_has_none() {
    let (mut table, [sender, listener]) = Table::of(FEED);
    assert!(!table.crowd.has_work());
    assert_eq!(table.timers.next(), None, "nothing wakes a room at rest");
    sender.will_read("hello\n");
    table.is_readable(&sender);
    assert!(table.crowd.has_work(), "there is someone to read");
    listener.takes([Take::Bytes(1), Take::Bytes(1)], Take::All);
    table.turn();
    // Finds that there is nothing more to read.
    table.turn();
    assert!(table.crowd.has_work(), "there is someone to write to");
    table.settle();
    listener.has_heard("hello\n");
    assert_eq!(table.timers.next(), None);
}

#[test]
fn e14_a_socket_that_is_interrupted_for_ever_is_ended_and_the_others_live() {
    for in_read in [true, false] {
        let (mut table, [runaway, speaker, listener]) = Table::of(FEED);
        match in_read {
            true => runaway.edit().read_always_fails = Some(ErrorKind::Interrupted),
            false => runaway.takes([], Take::Fail(ErrorKind::Interrupted)),
        }
        table.is_readable(&runaway);
        table.says(&speaker, "hello\n");
        listener.has_heard("hello\n");
        assert!(runaway.is_gone());
        let tries = if in_read { runaway.script().reads } else { runaway.script().writes };
        assert!((2..=10_001).contains(&tries), "{tries} tries");
        assert_eq!(table.ended(Goodbye::Runaway), 1);
        table.says(&listener, "we are fine\n");
        speaker.has_heard("we are fine\n");
    }
}

#[test]
fn e14_a_call_that_is_interrupted_a_few_times_is_made_again() {
    let (mut table, [speaker, listener]) = Table::of(FEED);
    for _ in 0..50 {
        speaker.will_fail(ErrorKind::Interrupted);
    }
    listener.takes([Take::Fail(ErrorKind::Interrupted); 50], Take::All);
    table.says(&speaker, "hello\n");
    listener.has_heard("hello\n");
}

#[test]
fn e14_a_socket_that_takes_nothing_without_saying_why_does_not_keep_the_loop_busy() {
    let (mut table, [speaker, runaway, listener]) = Table::of(FEED);
    runaway.takes([], Take::Bytes(0));
    table.says(&speaker, "hello\n");
    listener.has_heard("hello\n");
}

#[test]
fn e18_nobody_or_only_the_sender_is_no_error_and_no_echo() {
    let mut table = Table::new(FEED, "welcome");
    table.turn();
    assert!(table.crowd.is_empty() && !table.crowd.has_work());
    let alone = table.join();
    table.settle();
    table.says(&alone, "anybody here?\n");
    table.says(&alone, lines(20 * FEED));
    alone.has_heard("welcome\n");
    assert_eq!((alone.script().writes, alone.unread()), (1, 0));
    let late = table.join();
    table.says(&alone, "at last\n");
    late.has_heard("welcome\nat last\n");
    alone.has_heard("welcome\n");
}

#[test]
fn b9_a_stuck_reader_is_cut_only_after_the_room_has_waited_for_it() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    let flood = lines(4 * FEED);
    table.says(&flooder, &flood[..FEED / 4]);
    table.passes(Duration::from_secs(3600));
    assert!(!stuck.is_gone(), "nobody waits for it, so it may take its time");
    table.says(&flooder, &flood[FEED / 4..]);
    let relayed = healthy.heard().len();
    assert!(flooder.unread() > 0, "the flooder waits");
    table.passes(STALL_TIMEOUT - A_MILLISECOND);
    assert!(!stuck.is_gone());
    assert_eq!(table.timers.next(), Some(table.now.after(A_MILLISECOND)), "which wakes the loop");
    assert_eq!(healthy.heard().len(), relayed, "the room waits for it");
    table.passes(A_MILLISECOND);
    assert!(stuck.is_gone());
    assert_eq!(table.stalled(), 1);
    healthy.has_heard(&flood);
    assert_eq!(table.timers.next(), None);
}

#[test]
fn b9_stuck_readers_who_speak_in_turn_do_not_hold_the_room() {
    let (mut table, [one, two, person, healthy]) = Table::of(4096);
    one.takes([], Take::NotNow);
    two.takes([], Take::NotNow);
    for _ in 0..200 {
        table.says(&one, "1\n");
        table.says(&two, "2\n");
    }
    table.says(&person, "hello\n");
    for _ in 0..4 {
        table.passes(STALL_TIMEOUT);
    }
    let heard = String::from_utf8(healthy.heard()).unwrap();
    assert!(heard.contains("hello\n"), "after 4 stall timeouts a line does not get through");
}

#[test]
fn b10_a_reader_that_takes_less_than_half_a_feed_a_timeout_is_cut() {
    let (mut table, [trickle, flooder, healthy]) = Table::of(FEED);
    let flood = lines(4 * FEED);
    trickle.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    for _ in 0..10 {
        assert!(!trickle.is_gone());
        table.gives(&trickle, FEED / 20 - 20);
        table.passes(STALL_TIMEOUT / 10);
    }
    assert!(trickle.is_gone());
    assert_eq!(table.stalled(), 1);
    healthy.has_heard(&flood);
    assert!(flood.starts_with(&trickle.heard()));
}

#[test]
fn b11_a_reader_that_takes_half_a_feed_a_timeout_is_never_cut_and_gets_everything() {
    let flood = lines(20 * FEED);
    // In many pieces, and all of it at the last moment.
    for pieces in [10, 1] {
        let (mut table, [slow, flooder, healthy]) = Table::of(FEED);
        slow.takes([], Take::NotNow);
        table.says(&flooder, &flood);
        let mut waited = 0;
        while slow.heard().len() < flood.len() {
            waited += usize::from(flooder.unread() > 0);
            table.now = table.now.after(STALL_TIMEOUT / pieces);
            table.gives(&slow, FEED / 2 / pieces as usize);
            assert!(!slow.is_gone(), "cut after {} bytes", slow.heard().len());
            assert!(table.timers.next().is_none_or(|at| at > table.now));
        }
        assert!(waited > 10 * pieces as usize, "the flooder waited only {waited} times");
        slow.has_heard(&flood);
        healthy.has_heard(&flood);
    }
}

#[test]
fn b12_who_caught_up_between_two_bursts_is_waited_for_anew() {
    let (mut table, [reader, flooder, healthy]) = Table::of(FEED);
    let burst = lines(2 * FEED);
    for _ in 0..3 {
        reader.takes([], Take::NotNow);
        table.says(&flooder, &burst);
        assert!(flooder.unread() > 0, "the flooder waits");
        table.passes(STALL_TIMEOUT - A_MILLISECOND);
        assert!(!reader.is_gone());
        table.gives_all(&reader);
        assert_eq!(flooder.unread(), 0);
    }
    reader.has_heard(burst.repeat(3));
    reader.takes([], Take::NotNow);
    table.says(&flooder, &burst);
    table.passes(STALL_TIMEOUT);
    assert!(reader.is_gone());
    healthy.has_heard(burst.repeat(4));
}

#[test]
fn c10_someone_who_was_held_for_saying_much_is_heard_again_after_some_silence() {
    let (mut table, [stuck, flooder, person, healthy]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    let unread = flooder.unread();
    table.says(&person, lines(2000));
    let held = person.unread();
    assert!(held > 0, "it says more than a person does");
    table.passes(STALL_TIMEOUT - A_MILLISECOND);
    assert_eq!(person.unread(), held, "nobody asks for it");
    let heard = healthy.heard().len();
    table.says(&person, "and again\n");
    assert!(healthy.heard().len() > heard, "what it says next is read in its turn");
    assert_eq!(flooder.unread(), unread, "who floods has said nothing more");
}

#[test]
fn c10_people_are_heard_from_the_kept_part_of_the_feed_while_a_flooder_waits() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    let people = (0..20).map(|_| table.join()).collect::<Vec<_>>();
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    let unread = flooder.unread();
    assert!(unread > 0, "the flooder waits");
    for (number, person) in people.iter().enumerate() {
        table.says(person, format!("person {number}\n"));
        assert!(healthy.heard().ends_with(format!("person {number}\n").as_bytes()));
    }
    assert_eq!(flooder.unread(), unread, "and still waits");
    table.gives_all(&stuck);
    assert_eq!(stuck.heard(), healthy.heard());
}

#[test]
fn d1_a_sender_that_was_held_when_the_server_stops_is_drained_before_its_close() {
    let (mut table, [stuck, flooder]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits");
    flooder.will_end();
    table.crowd.stop(&mut table.timers);
    table.settle();
    assert!(flooder.script().is_shut);
    assert_eq!(flooder.unread(), 0, "a close with unread input destroys what is on its way");
    assert!(flooder.is_gone(), "its end was read: there is nothing left to wait for");
}

#[test]
fn b5_who_ended_its_input_and_does_not_read_is_given_up_after_the_stall_timeout() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([], Take::NotNow);
    table.says(&speaker, lines(1000));
    reader.will_end();
    table.is_readable(&reader);
    table.settle();
    table.passes(STALL_TIMEOUT - A_MILLISECOND);
    assert_eq!(table.crowd.online(), 2, "it has its time");
    table.passes(A_MILLISECOND);
    assert_eq!((table.crowd.online(), table.ended(Goodbye::NotTaken)), (1, 1));
}

#[test]
fn b18_a_refused_client_is_read_to_its_end_before_it_is_closed() {
    let (mut table, [stranger]) = Table::of(FEED);
    stranger.will_read("GET / HTTP/1.1\n");
    for _ in 0..50 {
        stranger.will_read(lines(1000));
    }
    table.is_readable(&stranger);
    table.settle();
    assert!(stranger.heard().starts_with(b"* this is a chat room and not a web server"));
    assert!(stranger.script().is_shut, "it is told that nothing more comes");
    assert_eq!((table.crowd.online(), stranger.unread()), (1, 0), "what it sends is read, and it stays");
    stranger.will_end();
    table.is_readable(&stranger);
    table.settle();
    assert!(table.crowd.is_empty());
}

#[test]
fn b21_a_client_that_ignores_our_end_is_closed_after_two_seconds() {
    let (mut table, [stranger]) = Table::of(FEED);
    table.says(&stranger, "GET / HTTP/1.1\n");
    table.passes(Duration::from_secs(2) - A_MILLISECOND);
    assert_eq!(table.crowd.online(), 1);
    table.passes(A_MILLISECOND);
    assert!(table.crowd.is_empty());
}

#[test]
fn b9_a_stuck_reader_who_is_refused_no_longer_holds_the_room() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits");
    table.says(&stuck, "GET / HTTP/1.1\n");
    assert_eq!(flooder.unread(), 0, "and goes on as soon as nothing more is owed to the reader");
    assert_eq!(healthy.heard(), lines(4 * FEED));
}

#[test]
fn c10_a_person_s_line_passes_while_a_flood_waits_also_in_more_than_one_read() {
    for feed in [16 * 1024, 64 * 1024, 1024 * 1024] {
        for length in [100, feed / 128, feed / 64] {
            let (mut table, [stuck, flooder, person, healthy]) = Table::of(feed);
            table.passes(STALL_TIMEOUT);
            stuck.takes([], Take::NotNow);
            table.says(&flooder, lines(4 * feed));
            let unread = flooder.unread();
            assert!(unread > 0, "the flooder waits");
            let line = [vec![b'-'; length], vec![b'\n']].concat();
            table.says(&person, &line);
            assert!(healthy.heard().ends_with(&line), "{length} bytes, {feed} of feed");
            assert_eq!(flooder.unread(), unread);
        }
    }
}

#[test]
fn c10_newcomers_who_flood_leave_half_of_what_is_kept_for_people() {
    let (mut table, [stuck, flooder, person, healthy]) = Table::of(FEED);
    table.passes(STALL_TIMEOUT);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    for _ in 0..300 {
        let newcomer = table.join();
        table.says(&newcomer, lines(2000));
    }
    table.says(&person, "a person's line of an ordinary length, typed while many who came just now flood\n");
    assert!(healthy.heard().ends_with(b"typed while many who came just now flood\n"));
}

#[test]
fn a_line_of_which_the_rest_has_arrived_is_not_taken_for_unfinished() {
    let mut table = Table::new(FEED, "");
    let flush_after = Duration::from_millis(50);
    table.flush_after(flush_after);
    let [stuck, flooder, healthy] = std::array::from_fn(|_| table.join());
    table.settle();
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits, in the middle of a line");
    table.passes(2 * flush_after);
    table.gives_all(&stuck);
    assert_eq!(healthy.heard(), lines(4 * FEED));
}

#[test]
fn silence_ends_a_refused_line_where_unfinished_lines_are_messages() {
    let mut table = Table::new(FEED, "");
    let flush_after = Duration::from_millis(50);
    table.flush_after(flush_after);
    let [speaker, listener] = std::array::from_fn(|_| table.join());
    table.says(&speaker, vec![b'x'; FEED]);
    table.passes(flush_after);
    table.says(&speaker, "no line end");
    table.passes(flush_after);
    listener.has_heard("no line end\n");
}

#[test]
fn c10_floods_that_wait_for_a_slow_reader_take_turns() {
    let (mut table, flooders) = Table::of::<10>(FEED);
    let slow = table.join();
    table.settle();
    slow.takes([], Take::NotNow);
    let speech = lines(8 * FEED);
    for flooder in &flooders {
        table.says(flooder, &speech);
    }
    for _ in 0..100 {
        table.gives(&slow, FEED / 4);
    }
    let said = flooders.iter().map(|flooder| speech.len() - flooder.unread()).collect::<Vec<_>>();
    let (least, most) = (*said.iter().min().unwrap(), *said.iter().max().unwrap());
    assert!(most <= 2 * least, "{said:?}");
}

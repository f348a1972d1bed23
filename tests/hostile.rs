//! Hostile connections, twenty at a time, and two people who talk all the while and lose nothing.
//!
//! What the hostile do is decided by a seed, `HUBBUB_SEED`; when it meets what is the system's affair.
//! `HUBBUB_SOAK_SECONDS` says how long the people talk, and `HUBBUB_SOAK_ADDRESS` in which running room,
//! rather than in one of the test's own: `scripts/soak` uses both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stdout, reason = "a long run tells what was said")]

mod common;

use common::random::{Random, number_from};
use common::{Client, time_limit, Server, WELCOME, eventually};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

const HOSTILE: u64 = 20;
/// How long the people talk at least, where nothing else is asked for, and how often.
const TALK: Duration = Duration::from_secs(2);
const FEWEST_LINES: usize = 20;
/// Between two lines of one of them. So they say less than 2 KiB a second, as people do: while a flood waits
/// for somebody, the room still hears them.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a hostile connection lets one call block before it thinks of something else.
const PATIENCE: Duration = Duration::from_millis(200);
/// A receive buffer of the two who talk: smaller than a read of the server, so that they are given parts of
/// lines when there is much to hear.
const BUFFER: usize = 32 * 1024;
/// A receive buffer that is soon full.
const SMALL: usize = 4096;
/// Memory that the hostile may leave behind, in kB: the whole feed, of which only a part may have been in use
/// before, and 1 MiB for what the allocator keeps of hundreds of connections that were there at a time.
const LEFT_BEHIND_KB: u64 = 1024 + 1024;

/// Whether the talk is over, for those who would go on for ever.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    fn set(&self) {
        *self.is_over.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Does nothing until it is over, or for so long; whether it is.
    fn wait(&self, most: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap();
        *self.changed.wait_timeout_while(is_over, most, |is_over| !*is_over).unwrap().0
    }
}

/// One who connects, does something that no person would, and leaves somehow, again and again.
struct Hostile {
    random: Random,
    address: SocketAddr,
    over: Arc<Over>,
}

impl Hostile {
    fn start(seed: u64, address: SocketAddr, over: &Arc<Over>) -> JoinHandle<()> {
        let mut hostile = Self { random: Random::seeded(seed), address, over: Arc::clone(over) };
        spawn(move || {
            while !hostile.over.wait(Duration::ZERO) {
                // Being cut is what it has to expect.
                if hostile.does_something().is_err() {
                    hostile.over.wait(Duration::from_millis(1));
                }
            }
        })
    }

    fn does_something(&mut self) -> io::Result<()> {
        let stream = self.connect()?;
        let done = match self.random.below(11) {
            0 => self.says_random_bytes(&stream),
            1 => self.says_telnet_fragments(&stream),
            2 => self.says_half_a_line(&stream),
            3 => self.floods(&stream),
            4 => self.says_a_line_without_end(&stream),
            5 => self.says_byte_by_byte(&stream),
            6 => self.reconnects(),
            7 => self.never_reads(&stream),
            8 => self.reads_byte_by_byte(&stream),
            9 => self.speaks_something_else(&stream),
            _ => Ok(()),
        };
        self.leaves(stream)?;
        done
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(self.address), socket2::Type::STREAM, None)?;
        if self.random.one_in(2) {
            // Before connecting: it decides what the server may send without being asked again.
            socket.set_recv_buffer_size(SMALL)?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect_timeout(&self.address.into(), time_limit())?;
        Ok(socket.into())
    }

    /// Closes, resets, or ends its input and hears something of what it is owed.
    fn leaves(&mut self, stream: TcpStream) -> io::Result<()> {
        match self.random.below(3) {
            0 => Ok(()),
            1 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            _ => {
                stream.shutdown(Shutdown::Write)?;
                self.reads(&stream, 1 << 20)
            }
        }
    }

    fn reads(&self, mut stream: &TcpStream, most: usize) -> io::Result<()> {
        let (mut buffer, mut read) = ([0; 4096], 0);
        while read < most && !self.over.wait(Duration::ZERO) {
            match stream.read(&mut buffer)? {
                0 => break,
                bytes => read += bytes,
            }
        }
        Ok(())
    }

    fn says_random_bytes(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        for _ in 0..self.random.within(1..=20) {
            let count = self.random.within(1..=3000);
            stream.write_all(&self.random.bytes(count))?;
        }
        Ok(())
    }

    fn says_telnet_fragments(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        for _ in 0..self.random.within(1..=300) {
            let command = self.random.within(236..=255) as u8;
            let sequence = [255, command, self.random.number() as u8, b'\r', b'\n'];
            stream.write_all(&sequence[..self.random.within(1..=5)])?;
        }
        self.reads(stream, 100)
    }

    fn says_half_a_line(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        let length = self.random.within(1..=8000);
        stream.write_all(&vec![b'h'; length])?;
        self.reads(stream, 1000)
    }

    fn floods(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        let line = flood_line(self.random.below(200)) + "\n";
        let lines = line.repeat(64 * 1024 / line.len()).into_bytes();
        for _ in 0..self.random.within(1..=30) {
            stream.write_all(&lines)?;
            if self.random.one_in(2) {
                self.reads(stream, lines.len())?;
            }
        }
        Ok(())
    }

    fn says_a_line_without_end(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        (0..self.random.within(1..=40)).try_for_each(|_| stream.write_all(&[b'e'; 10_000]))
    }

    fn says_byte_by_byte(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let said = "a b\r\nżółw\r\0* error\n\x1B[2J\r".as_bytes();
        (0..self.random.within(1..=500)).try_for_each(|at| stream.write_all(&[said[at % said.len()]]))
    }

    fn reconnects(&mut self) -> io::Result<()> {
        for _ in 0..self.random.within(1..=20) {
            let mut stream = self.connect()?;
            if self.random.one_in(2) {
                stream.write_all(b"here\nand gone")?;
            }
            self.leaves(stream)?;
        }
        Ok(())
    }

    fn never_reads(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(b"I never read\n")?;
        self.over.wait(Duration::from_millis(self.random.within(1..=3000) as u64));
        Ok(())
    }

    fn reads_byte_by_byte(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        (0..self.random.within(1..=2000)).try_for_each(|_| stream.read_exact(&mut [0]))
    }

    fn speaks_something_else(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(self.random.pick(&[
            &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..],
            b"SSH-2.0-hostile\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ]))?;
        self.reads(stream, 1000)
    }
}

/// A line that tells how long it is.
fn flood_line(length: usize) -> String {
    format!("flood {length} {}!", "f".repeat(length))
}

/// Who said a line of the flood may have left in the middle of it, but what has an end is whole.
#[track_caller]
fn check_flood(line: &str) {
    if let Some(flood) = line.strip_prefix("flood ").filter(|flood| flood.ends_with('!')) {
        let length = flood.split(' ').next().and_then(|length| length.parse().ok());
        assert_eq!(Some(line), length.map(flood_line).as_deref());
    }
}

/// One of the two who talk: each answers a line of the other with the next of its own.
struct Person {
    input: BufReader<TcpStream>,
    /// What was heard of the next line.
    partial: Vec<u8>,
    /// What its own lines begin with and what the other's do: nobody can guess it.
    own: String,
    other: String,
    /// How long the slowest answer took.
    slowest: Duration,
}

/// What somebody hears within some time.
enum Heard {
    Line(String),
    End,
    Nothing,
}

impl Person {
    #[track_caller]
    fn join(address: SocketAddr, own: &str, other: &str) -> Self {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(BUFFER).unwrap();
        socket.connect_timeout(&address.into(), time_limit()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(time_limit())).unwrap();
        let input = BufReader::with_capacity(64 * 1024, stream);
        let (own, other) = (own.to_owned(), other.to_owned());
        let mut person = Self { input, partial: Vec::new(), own, other, slowest: Duration::ZERO };
        let welcome = person.hears(Instant::now() + time_limit());
        assert!(matches!(welcome, Heard::Line(line) if line == WELCOME));
        person
    }

    /// The next line, if it comes until then; what the hostile say comes as safe text, and as lines.
    fn hears(&mut self, until: Instant) -> Heard {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.input.get_ref().set_read_timeout(Some(left)).unwrap();
        match self.input.read_until(b'\n', &mut self.partial) {
            Ok(0) => return Heard::End,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Heard::Nothing;
            }
            Err(error) => panic!("cut: {error}"),
        }
        let mut line = std::mem::take(&mut self.partial);
        assert_eq!(line.pop(), Some(b'\n'), "a torn line: {}", String::from_utf8_lossy(&line));
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "a control in {line:?}");
        assert!(!line.contains(&self.own), "its own line came back: {line}");
        check_flood(&line);
        Heard::Line(line)
    }

    fn says(&mut self, line: &str) {
        self.input.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Hears whatever is said until the other says something, and returns that.
    fn hears_the_other(&mut self) -> String {
        let started = Instant::now();
        while started.elapsed() < time_limit() {
            match self.hears(started + time_limit()) {
                Heard::Line(line) if line.contains(&self.other) => {
                    self.slowest = self.slowest.max(started.elapsed());
                    return line;
                }
                Heard::Line(_) => {}
                Heard::End => panic!("cut, with the other's line yet to come"),
                Heard::Nothing => break,
            }
        }
        panic!("the other's line never came")
    }

    /// Says a line, hears the answer, and so on until then; how many lines it said, and the slowest answer.
    fn leads(mut self, until: Instant) -> (usize, Duration) {
        let mut number = 0;
        while number < FEWEST_LINES || Instant::now() < until {
            let next = Instant::now() + PAUSE;
            self.send(&line(&self.own, number));
            assert_eq!(self.hears_the_other(), line(&self.other, number));
            number += 1;
            while Instant::now() < next {
                match self.hears(next) {
                    Heard::Line(line) => assert!(!line.contains(&self.other), "heard again: {line:?}"),
                    Heard::End => panic!("cut in a pause"),
                    Heard::Nothing => {}
                }
            }
        }
        self.send(&goodbye(&self.own));
        assert_eq!(self.hears_the_other(), goodbye(&self.other));
        let slowest = self.slowest;
        self.leaves();
        (number, slowest)
    }

    /// Answers each line until the goodbye; how many it answered.
    fn follows(mut self) -> usize {
        let mut number = 0;
        loop {
            let heard = self.hears_the_other();
            if heard == goodbye(&self.other) {
                break;
            }
            assert_eq!(heard, line(&self.other, number));
            self.send(&line(&self.own, number));
            number += 1;
        }
        self.send(&goodbye(&self.own));
        self.leaves();
        number
    }

    /// Ends its input and hears what it is owed: nothing more of the other.
    fn leaves(mut self) {
        self.input.get_ref().shutdown(Shutdown::Write).unwrap();
        let deadline = Instant::now() + time_limit();
        loop {
            match self.hears(deadline) {
                Heard::Line(line) => assert!(!line.contains(&self.other), "heard again: {line:?}"),
                Heard::End => return,
                Heard::Nothing => panic!("the connection does not end"),
            }
        }
    }
}

/// A line of someone's, of any length that a person types, so that none is like another.
fn line(whose: &str, number: usize) -> String {
    let length = if number % 50 == 49 { 500 } else { number * 37 % 60 };
    let words = "żółw 🙂 word ".chars().cycle().skip(number % 13).take(length).collect::<String>();
    format!("{whose} {number} {words}.")
}

fn goodbye(whose: &str) -> String {
    format!("{whose} goodbye")
}

/// Two people talk among the hostile for so long; what came of it, in words.
#[track_caller]
fn talk_among_the_hostile(address: SocketAddr, span: Duration, seed: u64) -> String {
    let over = Arc::new(Over::default());
    // Seeded anew for each process: the one source of randomness that the standard library has.
    let secret = RandomState::new().build_hasher().finish();
    let names = [format!("anna-{secret:016x}"), format!("bela-{secret:016x}")];
    let leader = Person::join(address, &names[0], &names[1]);
    let follower = Person::join(address, &names[1], &names[0]);
    let hostile = (0..HOSTILE).map(|number| Hostile::start(seed * HOSTILE + number, address, &over));
    let hostile = hostile.collect::<Vec<_>>();
    let until = Instant::now() + span;
    let people = (spawn(move || leader.leads(until)), spawn(move || follower.follows()));
    let said = (people.0.join(), people.1.join());
    over.set();
    hostile.into_iter().for_each(|hostile| hostile.join().unwrap());
    let (Ok((led, slowest)), Ok(followed)) = said else { panic!("with the seed {seed} of the hostile") };
    assert_eq!(led, followed);
    let (said, millis) = (led + followed, slowest.as_millis());
    format!("two people said {said} lines and lost none, and the slowest answer took {millis} ms")
}

/// A paste, after which all parts of the server have been in use, and are in memory.
#[track_caller]
fn paste(server: &Server) {
    let (mut reader, mut speaker) = (Client::join(server), Client::join(server));
    let paste = format!("{}\n", "x".repeat(1023)).repeat(2048);
    let bytes = paste.len();
    let reads = spawn(move || reader.read_bytes(bytes));
    speaker.send(paste);
    reads.join().unwrap();
}

/// Two people talk among the hostile at a server of their own with `limits`; all is as before at the end.
#[track_caller]
fn nothing_is_lost_or_left_behind(limits: &[&str]) {
    let span = number_from("HUBBUB_SOAK_SECONDS").map_or(TALK, Duration::from_secs);
    let seed = number_from("HUBBUB_SEED").unwrap_or(0);
    let server = Server::start(&[&["--stall-timeout", "1"], limits].concat());
    let descriptors = server.descriptors();
    paste(&server);
    let alone = || (server.descriptors() == descriptors).then(|| server.status_kb("VmRSS"));
    let resident = eventually("those who pasted are gone", alone);
    let said = talk_among_the_hostile(server.address(), span, seed);
    println!("{said}");
    eventually("descriptors and memory are back", || alone().filter(|&now| now <= resident + LEFT_BEHIND_KB));
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    // A lost line and a runaway loop are errors of ours, and there is no other.
    let fault = log.iter().find(|line| line.contains("panicked") || line.contains("ERROR"));
    assert_eq!(fault, None);
}

#[test]
fn while_twenty_hostile_connections_do_their_worst_two_people_lose_nothing() {
    // As `scripts/soak` has it, in a room that others share.
    if let Ok(address) = std::env::var("HUBBUB_SOAK_ADDRESS") {
        let span = number_from("HUBBUB_SOAK_SECONDS").map_or(TALK, Duration::from_secs);
        let seed = number_from("HUBBUB_SEED").unwrap_or(0);
        println!("{}", talk_among_the_hostile(address.parse().unwrap(), span, seed));
        return;
    }
    nothing_is_lost_or_left_behind(&[]);
}

#[test]
fn with_every_limit_set_two_people_lose_nothing_either() {
    nothing_is_lost_or_left_behind(&["--rate", "5000", "--idle-timeout", "600", "--max-per-ip", "500"]);
}

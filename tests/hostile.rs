//! Twenty hostile clients at a time, while two polite clients exchange lines and lose nothing.
//!
//! The seed `HUBBUB_SEED` decides what the hostile clients do, but not when. `HUBBUB_SOAK_SECONDS` is how
//! long the exchange lasts. `HUBBUB_SOAK_ADDRESS` is the address of a running server to use instead of
//! one of the test's own. `scripts/soak` sets both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(clippy::print_stdout, reason = "a long run prints its result")]

mod common;

use common::random::{Random, number_from};
use common::{Client, Server, WELCOME, eventually, time_limit};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// Hostile clients at a time.
const HOSTILE: u64 = 20;
/// How long the exchange lasts by default, and its minimum of lines.
const EXCHANGE: Duration = Duration::from_secs(2);
const FEWEST_LINES: usize = 20;
/// Pause between two lines of a polite client. It then sends less than 2 KiB a second, so the server reads
/// it even while a slow reader blocks bulk senders.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one call of a hostile client may block.
const CALL_TIMEOUT: Duration = Duration::from_millis(200);
/// Receive buffer of a polite client in bytes. It is smaller than the server's reads, so that the server
/// often writes a part of a line.
const BUFFER: usize = 32 * 1024;
/// A receive buffer in bytes that is soon full.
const SMALL: usize = 4096;
/// Memory in kB that may remain in use: the whole feed, because only a part of it may have been in use
/// before, and 1 MiB that the allocator keeps from hundreds of connections.
const LEFT_BEHIND_KB: u64 = 1024 + 1024;

/// Tells the hostile clients when to stop.
#[derive(Default)]
struct StopFlag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl StopFlag {
    fn set(&self) {
        *self.is_set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits until the flag is set, at most for `time`, and returns whether it is set.
    fn wait(&self, time: Duration) -> bool {
        let is_set = self.is_set.lock().unwrap();
        *self.changed.wait_timeout_while(is_set, time, |is_set| !*is_set).unwrap().0
    }
}

/// A client that repeatedly connects, misbehaves in a random way and leaves in a random way.
struct Hostile {
    random: Random,
    address: SocketAddr,
    stop: Arc<StopFlag>,
}

impl Hostile {
    fn start(seed: u64, address: SocketAddr, stop: &Arc<StopFlag>) -> JoinHandle<()> {
        let mut hostile = Self { random: Random::seeded(seed), address, stop: Arc::clone(stop) };
        spawn(move || {
            while !hostile.stop.wait(Duration::ZERO) {
                // Errors are expected: the server disconnects such clients.
                if hostile.misbehave().is_err() {
                    hostile.stop.wait(Duration::from_millis(1));
                }
            }
        })
    }

    fn misbehave(&mut self) -> io::Result<()> {
        let stream = self.connect()?;
        let result = match self.random.below(11) {
            0 => self.send_random_bytes(&stream),
            1 => self.send_telnet_fragments(&stream),
            2 => self.send_half_a_line(&stream),
            3 => self.flood(&stream),
            4 => self.send_a_line_without_end(&stream),
            5 => self.send_byte_by_byte(&stream),
            6 => self.reconnect(),
            7 => self.never_read(&stream),
            8 => self.read_byte_by_byte(&stream),
            9 => self.open_another_protocol(&stream),
            _ => Ok(()),
        };
        self.leave(stream)?;
        result
    }

    fn connect(&mut self) -> io::Result<TcpStream> {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(self.address), socket2::Type::STREAM, None)?;
        if self.random.one_in(2) {
            // Set before connecting, because the size decides the first receive window.
            socket.set_recv_buffer_size(SMALL)?;
        }
        socket.set_read_timeout(Some(CALL_TIMEOUT))?;
        socket.set_write_timeout(Some(CALL_TIMEOUT))?;
        socket.connect_timeout(&self.address.into(), time_limit())?;
        Ok(socket.into())
    }

    /// Closes, resets, or ends the input and reads a part of the pending output.
    fn leave(&mut self, stream: TcpStream) -> io::Result<()> {
        match self.random.below(3) {
            0 => Ok(()),
            1 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            _ => {
                stream.shutdown(Shutdown::Write)?;
                self.read(&stream, 1 << 20)
            }
        }
    }

    fn read(&self, mut stream: &TcpStream, most: usize) -> io::Result<()> {
        let (mut buffer, mut read) = ([0; 4096], 0);
        while read < most && !self.stop.wait(Duration::ZERO) {
            match stream.read(&mut buffer)? {
                0 => break,
                bytes => read += bytes,
            }
        }
        Ok(())
    }

    fn send_random_bytes(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        for _ in 0..self.random.within(1..=20) {
            let count = self.random.within(1..=3000);
            stream.write_all(&self.random.bytes(count))?;
        }
        Ok(())
    }

    fn send_telnet_fragments(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        for _ in 0..self.random.within(1..=300) {
            let command = self.random.within(236..=255) as u8;
            let sequence = [255, command, self.random.number() as u8, b'\r', b'\n'];
            stream.write_all(&sequence[..self.random.within(1..=5)])?;
        }
        self.read(stream, 100)
    }

    fn send_half_a_line(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        let length = self.random.within(1..=8000);
        stream.write_all(&vec![b'h'; length])?;
        self.read(stream, 1000)
    }

    fn flood(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        let line = flood_line(self.random.below(200)) + "\n";
        let lines = line.repeat(64 * 1024 / line.len()).into_bytes();
        for _ in 0..self.random.within(1..=30) {
            stream.write_all(&lines)?;
            if self.random.one_in(2) {
                self.read(stream, lines.len())?;
            }
        }
        Ok(())
    }

    fn send_a_line_without_end(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        (0..self.random.within(1..=40)).try_for_each(|_| stream.write_all(&[b'e'; 10_000]))
    }

    fn send_byte_by_byte(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let text = "a b\r\nżółw\r\0* error\n\x1B[2J\r".as_bytes();
        (0..self.random.within(1..=500)).try_for_each(|at| stream.write_all(&[text[at % text.len()]]))
    }

    fn reconnect(&mut self) -> io::Result<()> {
        for _ in 0..self.random.within(1..=20) {
            let mut stream = self.connect()?;
            if self.random.one_in(2) {
                stream.write_all(b"here\nand gone")?;
            }
            self.leave(stream)?;
        }
        Ok(())
    }

    fn never_read(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(b"I never read\n")?;
        self.stop.wait(Duration::from_millis(self.random.within(1..=3000) as u64));
        Ok(())
    }

    fn read_byte_by_byte(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        (0..self.random.within(1..=2000)).try_for_each(|_| stream.read_exact(&mut [0]))
    }

    fn open_another_protocol(&mut self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(self.random.pick(&[
            &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..],
            b"SSH-2.0-hostile\r\n",
            b"NICK hostile\r\nUSER hostile 0 * :Hostile\r\n",
            b"NICK hostile\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C",
            b"\r\n\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ]))?;
        self.read(stream, 1000)
    }
}

/// A line that contains its own length.
fn flood_line(length: usize) -> String {
    format!("flood {length} {}!", "f".repeat(length))
}

/// A hostile client may leave in the middle of a line, but a line with its end must be whole.
#[track_caller]
fn check_flood(line: &str) {
    if let Some(flood) = line.strip_prefix("flood ").filter(|flood| flood.ends_with('!')) {
        let length = flood.split(' ').next().and_then(|length| length.parse().ok());
        assert_eq!(Some(line), length.map(flood_line).as_deref());
    }
}

/// One of the two polite clients. Each answers a line of the other with its next line.
struct Polite {
    input: BufReader<TcpStream>,
    /// Bytes received of the next line.
    partial: Vec<u8>,
    /// How the lines of this client and of the other begin. The hostile clients cannot guess it.
    own: String,
    other: String,
    /// The longest time that an answer took.
    slowest: Duration,
}

/// What a polite client receives until a deadline.
enum Received {
    Line(String),
    End,
    Nothing,
}

impl Polite {
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
        let mut client = Self { input, partial: Vec::new(), own, other, slowest: Duration::ZERO };
        let welcome = client.receive(Instant::now() + time_limit());
        assert!(matches!(welcome, Received::Line(line) if line == WELCOME));
        client
    }

    /// Returns the next line, if it arrives until `deadline`. Lines of hostile clients must be escaped.
    fn receive(&mut self, deadline: Instant) -> Received {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.input.get_ref().set_read_timeout(Some(left)).unwrap();
        match self.input.read_until(b'\n', &mut self.partial) {
            Ok(0) => return Received::End,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Received::Nothing;
            }
            Err(error) => panic!("disconnected: {error}"),
        }
        let mut line = std::mem::take(&mut self.partial);
        assert_eq!(line.pop(), Some(b'\n'), "a torn line: {}", String::from_utf8_lossy(&line));
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(|c: char| c.is_control() && c != '\t'), "a control in {line:?}");
        assert!(!line.contains(&self.own), "its own line came back: {line}");
        check_flood(&line);
        Received::Line(line)
    }

    fn send_line(&mut self, line: &str) {
        self.input.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Skips the lines of hostile clients, and returns the next line of the other polite client.
    fn next_line_of_other(&mut self) -> String {
        let started = Instant::now();
        while started.elapsed() < time_limit() {
            match self.receive(started + time_limit()) {
                Received::Line(line) if line.contains(&self.other) => {
                    self.slowest = self.slowest.max(started.elapsed());
                    return line;
                }
                Received::Line(_) => {}
                Received::End => panic!("disconnected before the other's line arrived"),
                Received::Nothing => break,
            }
        }
        panic!("the other's line did not arrive")
    }

    /// Sends lines and waits for each answer until `end`. Returns the number of lines and the longest wait.
    fn lead(mut self, end: Instant) -> (usize, Duration) {
        let mut number = 0;
        while number < FEWEST_LINES || Instant::now() < end {
            let next = Instant::now() + PAUSE;
            self.send_line(&line(&self.own, number));
            assert_eq!(self.next_line_of_other(), line(&self.other, number));
            number += 1;
            while Instant::now() < next {
                match self.receive(next) {
                    Received::Line(line) => assert!(!line.contains(&self.other), "received twice: {line:?}"),
                    Received::End => panic!("disconnected in a pause"),
                    Received::Nothing => {}
                }
            }
        }
        self.send_line(&last_line(&self.own));
        assert_eq!(self.next_line_of_other(), last_line(&self.other));
        let slowest = self.slowest;
        self.leave();
        (number, slowest)
    }

    /// Answers each line until the last, and returns how many it answered.
    fn follow(mut self) -> usize {
        let mut number = 0;
        loop {
            let received = self.next_line_of_other();
            if received == last_line(&self.other) {
                break;
            }
            assert_eq!(received, line(&self.other, number));
            self.send_line(&line(&self.own, number));
            number += 1;
        }
        self.send_line(&last_line(&self.own));
        self.leave();
        number
    }

    /// Ends the input and reads the pending output, which contains no further line of the other.
    fn leave(mut self) {
        self.input.get_ref().shutdown(Shutdown::Write).unwrap();
        let deadline = Instant::now() + time_limit();
        loop {
            match self.receive(deadline) {
                Received::Line(line) => assert!(!line.contains(&self.other), "received twice: {line:?}"),
                Received::End => return,
                Received::Nothing => panic!("the connection is not closed"),
            }
        }
    }
}

/// Line `number` of a client, different from all others and of a length that people type.
fn line(client: &str, number: usize) -> String {
    let length = if number % 50 == 49 { 500 } else { number * 37 % 60 };
    let words = "żółw 🙂 word ".chars().cycle().skip(number % 13).take(length).collect::<String>();
    format!("{client} {number} {words}.")
}

fn last_line(client: &str) -> String {
    format!("{client} last line")
}

/// Two polite clients exchange lines for `span` while hostile clients misbehave. Returns the result in words.
#[track_caller]
fn exchange_among_hostile(address: SocketAddr, span: Duration, seed: u64) -> String {
    let stop = Arc::new(StopFlag::default());
    // RandomState is the only source of randomness in the standard library.
    let secret = RandomState::new().build_hasher().finish();
    let names = [format!("anna-{secret:016x}"), format!("bela-{secret:016x}")];
    let leader = Polite::join(address, &names[0], &names[1]);
    let follower = Polite::join(address, &names[1], &names[0]);
    let hostile = (0..HOSTILE).map(|number| Hostile::start(seed * HOSTILE + number, address, &stop));
    let hostile = hostile.collect::<Vec<_>>();
    let end = Instant::now() + span;
    let polite = (spawn(move || leader.lead(end)), spawn(move || follower.follow()));
    let results = (polite.0.join(), polite.1.join());
    stop.set();
    hostile.into_iter().for_each(|hostile| hostile.join().unwrap());
    let (Ok((led, slowest)), Ok(followed)) = results else { panic!("with HUBBUB_SEED={seed}") };
    assert_eq!(led, followed);
    let (sent, millis) = (led + followed, slowest.as_millis());
    format!("two clients sent {sent} lines and lost none, and the slowest answer took {millis} ms")
}

/// Sends a paste of 2 MiB, so that all parts of the server have been in use and are resident.
#[track_caller]
fn paste(server: &Server) {
    let (mut reader, mut sender) = (Client::join(server), Client::join(server));
    let paste = format!("{}\n", "x".repeat(1023)).repeat(2048);
    let bytes = paste.len();
    let reads = spawn(move || reader.read_bytes(bytes));
    sender.send(paste);
    reads.join().unwrap();
}

/// Returns how long the exchange lasts, and the seed.
fn span_and_seed() -> (Duration, u64) {
    let span = number_from("HUBBUB_SOAK_SECONDS").map_or(EXCHANGE, Duration::from_secs);
    (span, number_from("HUBBUB_SEED").unwrap_or(0))
}

/// Runs the exchange on a server of its own with `limits`. Asserts that its memory and descriptors return
/// and that its log has no error.
#[track_caller]
fn expect_nothing_lost_or_leaked(limits: &[&str]) {
    let (span, seed) = span_and_seed();
    let server = Server::start(&[&["--stall-timeout", "1"], limits].concat());
    let descriptors = server.descriptors();
    paste(&server);
    let resident_alone = || (server.descriptors() == descriptors).then(|| server.status_kb("VmRSS"));
    let resident = eventually("the clients of the paste have left", resident_alone);
    println!("{}", exchange_among_hostile(server.address(), span, seed));
    eventually("descriptors and memory are back", || {
        resident_alone().filter(|&now| now <= resident + LEFT_BEHIND_KB)
    });
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log:#?}");
    // Only a fault of the server itself is logged as an error.
    let fault = log.iter().find(|line| line.contains("panicked") || line.contains("ERROR"));
    assert_eq!(fault, None);
}

#[test]
fn while_twenty_hostile_clients_misbehave_two_others_lose_nothing() {
    // Set by `scripts/soak`, whose server has other clients too.
    if let Ok(address) = std::env::var("HUBBUB_SOAK_ADDRESS") {
        let (span, seed) = span_and_seed();
        println!("{}", exchange_among_hostile(address.parse().unwrap(), span, seed));
        return;
    }
    expect_nothing_lost_or_leaked(&[]);
}

#[test]
fn with_all_limits_set_two_clients_lose_nothing_among_hostile_clients() {
    expect_nothing_lost_or_leaked(&["--rate", "5000", "--idle-timeout", "600", "--max-per-ip", "500"]);
}

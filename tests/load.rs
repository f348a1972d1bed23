//! The load tool against the real server, and against test servers with known faults.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;
#[path = "load/ending.rs"]
mod ending;
#[path = "load/password.rs"]
mod password;
#[path = "load/peers.rs"]
mod peers;
#[cfg(feature = "tls")]
#[path = "load/tls.rs"]
mod tls;

use common::{Folder, Port, Server, in_background, run_to_end, terminal, wait_for_end};
use serde_json::Value;
use socket2::Socket;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Runs the load tool to its end; returns its status, standard output and standard error.
#[track_caller]
fn run(address: impl ToString, options: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(options.split_whitespace()).arg(address.to_string()).stdin(Stdio::null());
    run_to_end(command)
}

/// Runs the load tool with `--json`; returns its status and result.
#[track_caller]
fn run_json(address: impl ToString, options: &str) -> (Option<i32>, Value) {
    let (status, json, errors) = run(address, &format!("{options} --json"));
    assert_eq!((&errors[..], json.lines().count()), ("", 1), "{json}");
    (status, serde_json::from_str(&json).unwrap())
}

/// Returns how many lines were lost, out of order, duplicated, corrupted and returned to their sender, and
/// how many clients were disconnected.
fn fault_counts(result: &Value) -> [u64; 6] {
    assert_eq!(result["unexpected"], 0, "{result}");
    let names = ["lost", "out_of_order", "doubled", "altered", "returned", "cut"];
    names.map(|name| result[name].as_u64().unwrap())
}

/// Runs a load without any fault and with this many deliveries; returns the result.
#[track_caller]
fn expect_fine(address: impl ToString, options: &str, deliveries: u64) -> Value {
    let (status, result) = run_json(address, options);
    assert_eq!((status, fault_counts(&result)), (Some(0), [0; 6]), "{options}: {result}");
    assert_eq!((&result["fine"], &result["deliveries"]), (&true.into(), &deliveries.into()), "{result}");
    result
}

/// Runs a load that ends with `status` and without a result; returns its error of one line.
#[track_caller]
fn expect_error(address: impl ToString, options: &str, status: i32) -> String {
    let (ended, output, errors) = run(address, options);
    assert_eq!((ended, &output[..], errors.lines().count()), (Some(status), "", 1), "{options}: {errors}");
    errors.strip_prefix("hubbub-load: ").and_then(|line| line.strip_suffix('\n')).unwrap().to_owned()
}

/// Runs a load against a server with `fault`, which must fail; returns the fault counts.
#[track_caller]
fn counts_with_fault(fault: Fault, options: &str) -> [u64; 6] {
    let (status, result) = run_json(TestServer::start_on_port(Protocol::Lines, fault), options);
    assert_eq!((status, &result["fine"]), (Some(1), &false.into()), "{result}");
    fault_counts(&result)
}

/// The protocol of a test server.
#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Lines,
    Nats,
    Redis,
}

impl Protocol {
    /// Returns the server's first message, the client's expected messages, and the reply that it has joined.
    fn handshake(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Lines => ("", &[], "Welcome to a test server.\n"),
            Self::Nats => ("INFO {}\r\nPING\r\n", &["CONNECT {", "SUB room 1", "PING", "PONG"], "PONG\r\n"),
            Self::Redis => {
                let joined = "%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n";
                ("", &["HELLO 3", "SUBSCRIBE room"], joined)
            }
        }
    }

    /// Reads the next line that a client publishes; none at the end of its input.
    fn read_line(self, input: &mut impl BufRead) -> Option<Vec<u8>> {
        match self {
            Self::Lines => read_text_line(input).map(String::into_bytes),
            Self::Nats => read_payload(input, "PUB room "),
            Self::Redis => {
                assert_eq!(read_text_line(input)?, "*3");
                let words = [(); 3].map(|()| read_payload(input, "$").unwrap());
                assert_eq!(words[..2], [&b"PUBLISH"[..], b"room"]);
                words.into_iter().nth(2)
            }
        }
    }

    /// Returns the message that delivers `line`.
    fn encode(self, line: &[u8]) -> Vec<u8> {
        let length = line.len();
        let (head, end) = match self {
            Self::Lines => (String::new(), "\n"),
            Self::Nats => (format!("MSG room 1 {length}\r\n"), "\r\n"),
            Self::Redis => (format!(">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n${length}\r\n"), "\r\n"),
        };
        [head.as_bytes(), line, end.as_bytes()].concat()
    }
}

fn read_text_line(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    Some(line.trim_end().to_owned())
}

/// Reads a payload; the line before it is `prefix` and its length.
fn read_payload(input: &mut impl BufRead, prefix: &str) -> Option<Vec<u8>> {
    let length = read_text_line(input)?.strip_prefix(prefix).unwrap().parse::<usize>().unwrap();
    let mut payload = vec![0; length + 2];
    input.read_exact(&mut payload).unwrap();
    payload.truncate(length);
    Some(payload)
}

/// The line with which a test server does something wrong.
const FAULTY_LINE: u32 = 20;

/// What a test server does wrong, in most cases to one victim: a client that sends nothing.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Lose,
    Duplicate,
    Corrupt,
    /// Adds a copy without its first byte.
    Tear,
    /// Swaps the line with the next one; with two senders, this or a later line with one of the other sender.
    Swap,
    /// Sends the line back to its sender too.
    Return,
    /// Ends the victim's connection instead, and resets it ten lines later.
    Disconnect,
}

/// The state of a test server.
struct TestServer {
    protocol: Protocol,
    fault: Fault,
    /// Each client's socket, and whether the client has sent a line.
    clients: Vec<(Option<Socket>, bool)>,
    /// The line that waits to be swapped.
    delayed: Option<Vec<u8>>,
}

impl TestServer {
    /// Serves `listener` until this process ends.
    fn start(listener: impl Into<Socket>, protocol: Protocol, fault: Fault) {
        let listener = listener.into();
        let server = Arc::new(Mutex::new(Self { protocol, fault, clients: Vec::new(), delayed: None }));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let server = Arc::clone(&server);
                thread::spawn(move || Self::serve(&server, socket));
            }
        });
    }

    /// Starts a server on a free port; returns its address.
    fn start_on_port(protocol: Protocol, fault: Fault) -> String {
        let (listener, address) = listen();
        Self::start(listener, protocol, fault);
        address
    }

    fn serve(server: &Mutex<Self>, mut socket: Socket) {
        // Fails on a unix socket, which does not need it.
        _ = socket.set_tcp_nodelay(true);
        let mut input = BufReader::new(socket.try_clone().unwrap());
        let protocol = server.lock().unwrap().protocol;
        let (first, expected, joined) = protocol.handshake();
        socket.write_all(first.as_bytes()).unwrap();
        for start in expected {
            let line = read_text_line(&mut input).unwrap();
            assert!(line.starts_with(start), "{line}");
        }
        let index = {
            let clients = &mut server.lock().unwrap().clients;
            socket.write_all(joined.as_bytes()).unwrap();
            clients.push((Some(socket), false));
            clients.len() - 1
        };
        while let Some(line) = protocol.read_line(&mut input) {
            server.lock().unwrap().relay(index, &line);
        }
    }

    /// Sends a client's line to all others, with the fault.
    fn relay(&mut self, from: usize, line: &[u8]) {
        let number = line_number(line);
        self.clients[from].1 |= number.is_some();
        let echoes =
            self.protocol == Protocol::Redis || self.fault == Fault::Return && number == Some(FAULTY_LINE);
        let victim = self.clients.iter().position(|(_, is_sender)| !is_sender);
        for to in 0..self.clients.len() {
            let lines = match to {
                _ if to == from && !echoes => vec![],
                _ if Some(to) == victim => self.apply_fault(number, line.to_vec(), to),
                _ => vec![line.to_vec()],
            };
            let mut output = lines.iter().flat_map(|line| self.protocol.encode(line)).collect::<Vec<_>>();
            if to == from && self.protocol == Protocol::Redis {
                output.extend_from_slice(b":9\r\n");
            }
            // Fails if the client has disconnected.
            _ = self.clients[to].0.as_mut().map(|socket| socket.write_all(&output));
        }
    }

    /// Returns what to send to the victim instead of `line`.
    fn apply_fault(&mut self, number: Option<u32>, mut line: Vec<u8>, victim: usize) -> Vec<Vec<u8>> {
        if let Some(first) = self.delayed.take() {
            let has_two_senders = self.clients.iter().filter(|(_, is_sender)| *is_sender).count() > 1;
            if has_two_senders && first[4..8] == line[4..8] {
                self.delayed = Some(line);
                return vec![first];
            }
            return vec![line, first];
        }
        match (self.fault, number.and_then(|number| number.checked_sub(FAULTY_LINE))) {
            (Fault::Lose, Some(0)) => return vec![],
            (Fault::Duplicate, Some(0)) => return vec![line.clone(), line],
            (Fault::Corrupt, Some(0)) => line[40] ^= 1,
            (Fault::Tear, Some(0)) => return vec![line[1..].to_vec(), line],
            (Fault::Swap, Some(0)) => {
                self.delayed = Some(line);
                return vec![];
            }
            (Fault::Disconnect, Some(0)) => {
                let socket = self.clients[victim].0.as_ref().unwrap();
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                socket.shutdown(Shutdown::Both).unwrap();
            }
            (Fault::Disconnect, Some(10)) => self.clients[victim].0 = None,
            _ => {}
        }
        vec![line]
    }
}

/// Returns the number of a line of the load; none for a probe or another line.
fn line_number(line: &[u8]) -> Option<u32> {
    let (header, number) = std::str::from_utf8(line.get(..16)?).ok()?.split_at(8);
    u32::from_str_radix(number, 16).ok().filter(|_| !header.ends_with("ffff"))
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Starts a server that sends `greeting` to each connection and passes it to `then`; returns its address.
fn greet_and_then(greeting: &'static str, then: impl Fn(TcpStream) + Send + 'static) -> String {
    let (listener, address) = listen();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            socket.write_all(greeting.as_bytes()).unwrap();
            then(socket);
        }
    });
    address
}

#[test]
fn every_line_arrives_and_the_table_has_one_aligned_row_for_each_result() {
    let server = Server::start(&[]);
    let options = "--verify -c 8 -s 3 -n 500";
    let result = expect_fine(server.address(), options, 500 * 7);
    assert_eq!((&result["verified"], &result["foreign"]), (&true.into(), &8.into()), "{result}");
    let (status, table, errors) = run(server.address(), options);
    assert_eq!((status, &errors[..]), (Some(0), ""), "{table}");
    for (label, value) in [
        ("load", "8 clients, 3 senders, 500 lines of 64 bytes"),
        ("connected", "8 connections in "),
        ("deliveries", "3,500 in "),
        ("latency", "p50 "),
        ("evenness", "slowest sender at "),
        ("lost", "0 deliveries"),
        ("out of order", "0 deliveries"),
        ("corrupted", "0 deliveries"),
        ("duplicated", "0 deliveries"),
        ("disconnected", "0 clients"),
    ] {
        let rows = table.lines().filter(|line| line.starts_with(&format!("{label:<14}  {value}")));
        assert_eq!(rows.count(), 1, "{label}: {table}");
    }
    assert_eq!(table.lines().count(), 10, "{table}");
}

#[test]
fn a_load_of_any_shape_arrives() {
    let server = Server::start(&[]);
    let shapes = [
        ("--verify -c 5 -s 2 -n 100 --window 1", 400),
        ("--verify -c 5 -s 2 -n 100 --window 3 --rate 2000", 400),
        ("-c 5 -s 5 -n 100", 400),
        ("-c 1 -n 100", 0),
        ("-c 1 -n 100 --window 1", 0),
        ("--verify -c 5 -s 2 --lines 0", 0),
        ("--verify -c 5 -s 2 --lines 1", 4),
        ("--verify -c 5 -s 2 -n 100 --idle 0.1", 400),
        ("--verify -c 5 -s 2 -n 100 --bytes 17", 400),
        ("--verify -c 5 -s 2 -n 100 --bytes 18", 400),
        ("--verify -c 5 -s 2 -n 100 --bytes 8000", 400),
    ];
    for (options, deliveries) in shapes {
        expect_fine(server.address(), options, deliveries);
    }
}

#[test]
fn if_all_clients_send_verify_adds_a_client_that_only_receives() {
    let server = Server::start(&[]);
    for (options, deliveries, clients) in
        [("--verify -c 5 -s 5 -n 100", 500, 6), ("--verify -c 1 -n 100", 100, 2)]
    {
        assert_eq!(expect_fine(server.address(), options, deliveries)["clients"], clients);
        let (_, table, _) = run(server.address(), options);
        let load =
            format!("{clients} clients (one added, because --verify needs a client that sends nothing), ");
        assert!(table.starts_with(&format!("{:<14}  {load}", "load")), "{table}");
    }
}

#[test]
fn with_a_rate_no_line_is_sent_before_its_time() {
    let server = Server::start(&[]);
    let result = expect_fine(server.address(), "--verify -c 3 -s 2 -n 101 --rate 1000", 202);
    // A slow machine can only take longer.
    assert!(result["seconds"].as_f64().unwrap() >= 0.1, "{result}");
}

#[test]
fn with_a_window_of_one_a_line_is_sent_only_after_all_received_the_last() {
    let options = "--verify -c 3 -s 1 -n 30 --window 1 --timeout 1";
    // One of two readers lacks line 20, and both lack the 9 lines after it.
    assert_eq!(counts_with_fault(Fault::Lose, options), [1 + 9 * 2, 0, 0, 0, 0, 0]);
}

#[test]
fn without_a_greeting_probes_show_which_clients_receive() {
    let server = Server::start(&["-w", ""]);
    // A single client has no other to send a probe to.
    for (options, deliveries) in
        [("-c 1 -n 9", 0), ("--verify -c 2 -s 1 -n 9", 9), ("--verify -c 3 -s 1 -n 9", 18)]
    {
        assert_eq!(expect_fine(server.address(), options, deliveries)["foreign"], 0);
    }
}

#[test]
fn with_a_pid_the_result_has_the_resource_use_of_the_server() {
    let server = Server::start(&[]);
    let options = format!("-c 5 -n 100 --idle 0.1 --pid {}", server.pid());
    let result = expect_fine(server.address(), &options, 400);
    for name in ["resident_kib", "peak_kib", "idle_resident_kib"] {
        assert!(result["server"][name].as_u64().unwrap() > 100, "{name}: {result}");
    }
    assert!(result["server"]["cpu_ns_a_delivery"].is_f64(), "{result}");
    let (_, table, _) = run(server.address(), &options);
    for label in ["idle", "server CPU", "server memory", "per connection"] {
        assert!(table.lines().any(|line| line.starts_with(&format!("{label:<14}  "))), "{label}: {table}");
    }
    // Another process counts too: this one.
    let both = expect_fine(server.address(), &format!("{options} --pid {}", std::process::id()), 400);
    let resident = |result: &Value| result["server"]["resident_kib"].as_u64().unwrap();
    assert!(resident(&both) > resident(&result) + 1000, "{both}");
    // Linux never assigns this id.
    let why = expect_error(server.address(), "--pid 4294967295", 1);
    assert_eq!(why, "cannot read \"/proc/4294967295/stat\": No such file or directory; check --pid");
}

#[test]
fn disconnected_stuck_readers_are_counted_and_disturb_no_client() {
    let server = Server::start(&["--stall-timeout", "0.2"]);
    for (options, deliveries, disconnected) in [("-n 40000 --bytes 200", 120_000, 2), ("-n 100", 300, 0)] {
        let result = expect_fine(server.address(), &format!("-c 4 -s 2 --stuck 2 {options}"), deliveries);
        assert_eq!((&result["stuck"], &result["stuck_cut"]), (&2.into(), &disconnected.into()), "{result}");
    }
}

#[test]
fn a_slow_reader_and_churn_connections_keep_to_their_rates() {
    let server = Server::start(&[]);
    let options = "--verify -c 3 -s 1 -n 500 --rate 1000 --slow 1000 --churn 200";
    let result = expect_fine(server.address(), options, 1000);
    let seconds = result["seconds"].as_f64().unwrap();
    for (name, rate) in [("slow_read", 1000.0), ("churn_accepted", 200.0)] {
        let amount = result[name].as_u64().unwrap();
        assert!(amount > 0 && amount as f64 <= rate * (seconds + 1.0), "{name}: {result}");
    }
    assert_eq!((&result["slow_cut"], &result["churn_refused"]), (&false.into(), &0.into()), "{result}");
}

#[test]
fn a_refused_churn_connection_is_not_counted_as_accepted() {
    let server = Server::start(&["-m", "3"]);
    let result = expect_fine(server.address(), "-c 3 -s 1 -n 500 --rate 1000 --churn 200", 1000);
    assert_eq!(result["churn_accepted"], 0, "{result}");
    assert!(result["churn_refused"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn the_latency_of_a_late_line_counts_from_its_due_time() {
    let server = Server::start(&[]);
    // All lines are due at the start, and the window sends them one by one.
    let result = expect_fine(server.address(), "-c 2 -s 1 -n 300 --rate 1000000000 --window 1", 300);
    let (longest, all) = (result["latency_us"]["max"].as_f64(), result["seconds"].as_f64());
    assert!(longest.unwrap() >= 0.9e6 * all.unwrap(), "{result}");
}

#[test]
fn lines_that_the_server_does_not_read_take_bounded_memory() {
    let address = greet_and_then("Welcome.\n", std::mem::forget);
    for pace in ["--rate 1000000000", "--window 1000000"] {
        let mut command = Command::new("sh");
        // In KiB: a tenth of all lines.
        command.args(["-c", "ulimit -v 200000 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hubbub-load")]);
        command.args(format!("-c 2 -s 1 -n 20000 -b 100000 {pace} --timeout 1 --json {address}").split(' '));
        let (status, json, errors) = run_to_end(command);
        assert_eq!((status, &errors[..]), (Some(1), ""), "{pace}");
        assert!(json.contains("\"lost\":20000,"), "{json}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_but_a_closed_pipe_is_not() {
    let server = Server::start(&[]);
    let shell = |line: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", line, env!("CARGO_BIN_EXE_hubbub-load"), &server.address().to_string()]);
        run_to_end(command)
    };
    let why = "hubbub-load: cannot write to standard output: No space left on device\n";
    assert_eq!(shell("exec $0 -c 2 -n 9 $1 >/dev/full"), (Some(1), String::new(), why.to_owned()));
    let (status, _, errors) = shell("$0 -c 2 -n 9 $1 | true; exit ${PIPESTATUS[0]}");
    assert_eq!((status, &errors[..]), (Some(0), ""));
}

/// Two senders in turn, with at most two lines that not all readers have received.
const IN_TURN: &str = "--verify --clients 4 --senders 2 --lines 60 --window 2 --timeout 1";

#[test]
fn each_fault_of_a_server_is_counted_under_its_kind() {
    // Lost, out of order, duplicated, corrupted, returned, disconnected.
    for (fault, options, counts) in [
        (Fault::Lose, IN_TURN, [1, 0, 0, 0, 0, 0]),
        (Fault::Swap, IN_TURN, [0, 1, 0, 0, 0, 0]),
        (Fault::Swap, "--verify -c 2 -s 1 -n 60 --window 2", [0, 1, 0, 0, 0, 0]),
        (Fault::Duplicate, IN_TURN, [0, 0, 1, 0, 0, 0]),
        // The duplicate of the last line; without --verify it is one line too many.
        (Fault::Duplicate, "--verify -c 4 -s 1 -n 21 --window 2", [0, 0, 1, 0, 0, 0]),
        (Fault::Duplicate, "-c 4 -s 1 -n 21 --window 2", [0, 0, 1, 0, 0, 0]),
        // A corrupted line is also lost: the original never arrives.
        (Fault::Corrupt, IN_TURN, [1, 0, 0, 1, 0, 0]),
        (Fault::Return, IN_TURN, [0, 0, 0, 0, 1, 0]),
        // The connection ends once though a reset follows, and lines 20 to 59 are lost.
        (Fault::Disconnect, "--verify -c 3 -s 1 -n 60 --rate 300 --timeout 1", [40, 0, 0, 0, 0, 1]),
    ] {
        assert_eq!(counts_with_fault(fault, options), counts, "{options}");
    }
}

#[test]
fn the_deliveries_lost_to_or_from_disconnected_clients_are_counted() {
    // Lines 20 to 59 are lost to the disconnected client, and no other is.
    let options = "--verify -c 3 -s 1 -n 60 --rate 300 --timeout 1";
    let start = || TestServer::start_on_port(Protocol::Lines, Fault::Disconnect);
    let (_, result) = run_json(start(), options);
    assert_eq!((&result["lost"], &result["lost_by_cut"]), (&40.into(), &40.into()), "{result}");
    let (_, table, _) = run(start(), options);
    assert!(table.contains("1 client; 40 of the lost deliveries were to or from them\n"), "{table}");
}

#[test]
fn a_torn_copy_of_a_line_is_unexpected_unless_others_may_talk() {
    for (options, unexpected) in [("", 1), (" --others", 0)] {
        let address = TestServer::start_on_port(Protocol::Lines, Fault::Tear);
        let (status, result) = run_json(address, &format!("{IN_TURN}{options}"));
        assert_eq!((status, &result["unexpected"]), (Some(unexpected), &unexpected.into()), "{result}");
        assert_eq!(result["lost"], 0, "{result}");
    }
}

#[test]
fn lines_that_the_server_never_read_are_a_failure_even_with_a_single_client() {
    let address = greet_and_then("Welcome.\n", std::mem::forget);
    let (status, result) = run_json(address, "-c 1 -n 100000 -b 1000 --timeout 0.5");
    assert_eq!((status, &result["fine"]), (Some(1), &false.into()), "{result}");
    assert!(result["sent"].as_u64() < Some(100_000), "{result}");
}

#[test]
fn the_run_ends_at_once_when_the_last_client_is_disconnected() {
    let clients = Mutex::new(Vec::new());
    let address = greet_and_then("Welcome.\n", move |socket| {
        let mut clients = clients.lock().unwrap();
        clients.push(socket);
        if clients.len() == 3 {
            let mut clients = std::mem::take(&mut *clients);
            // Closes all connections when the first line arrives.
            thread::spawn(move || clients[0].read(&mut [0]));
        }
    });
    // Longer than a test may take.
    let (status, result) = run_json(address, "-c 3 -s 1 -n 1000 --rate 1 --timeout 1000");
    assert_eq!((status, &result["cut"]), (Some(1), &3.into()), "{result}");
}

#[test]
fn a_server_on_a_unix_socket_is_reached_by_its_path() {
    let folder = Folder::new("load");
    let path = folder.path("socket");
    let address = format!("unix:{}", path.display());
    let why = expect_error(&address, "-c 2", 1);
    assert_eq!(why, format!("cannot connect to \"{address}\": No such file or directory"));
    TestServer::start(UnixListener::bind(&path).unwrap(), Protocol::Lines, Fault::None);
    expect_fine(&address, "--verify -c 5 -s 2 -n 100", 400);
}

#[test]
fn a_server_on_an_abstract_socket_is_reached_by_its_name() {
    let name = format!("hubbub-test-{}-load", std::process::id());
    let address = format!("unix:@{name}");
    let why = expect_error(&address, "-c 2", 1);
    assert_eq!(why, format!("cannot connect to \"{address}\": Connection refused"));
    let listener = UnixListener::bind_addr(&UnixAddress::from_abstract_name(name).unwrap()).unwrap();
    TestServer::start(listener, Protocol::Lines, Fault::None);
    expect_fine(&address, "--verify -c 5 -s 2 -n 100", 400);
}

#[test]
fn message_brokers_are_measured_in_their_own_protocols() {
    for (name, protocol) in [("nats", Protocol::Nats), ("redis", Protocol::Redis)] {
        let options = format!("--verify -c 5 -s 2 -n 100 --protocol {name}");
        let address = TestServer::start_on_port(protocol, Fault::None);
        assert_eq!(expect_fine(address, &options, 400)["protocol"], name);
    }
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // An address for documentation, where no machine is.
    let why = expect_error("192.0.2.1:9090", "", 2);
    assert!(why.starts_with("\"192.0.2.1:9090\" is not a loopback address: "), "{why}");
    assert!(why.contains("--i-own-this-host"), "{why}");
}

#[test]
fn a_port_without_a_listener_is_named() {
    let port = Port::reserve();
    for options in ["-c 1", "-c 5", "-c 5 --stuck 1"] {
        let why = expect_error(port.address(), options, 1);
        assert_eq!(why, format!("cannot connect to \"{}\": Connection refused", port.address()));
    }
}

#[test]
fn the_refusal_of_a_full_room_is_quoted() {
    let server = Server::start(&["-m", "2"]);
    let why = expect_error(server.address(), "-c 5", 1);
    // The server's own words, from another full room.
    let full = Server::start(&["-m", "2"]);
    let [_first, _second, mut third] = [(); 3].map(|()| TcpStream::connect(full.address()).unwrap());
    let mut refusal = String::new();
    third.read_to_string(&mut refusal).unwrap();
    assert!(refusal.starts_with("* the room is full"), "{refusal}");
    let sent = format!("the server closed the connection and sent \"{}\"", refusal.trim_end());
    assert_eq!(why, format!("cannot connect to \"{}\": {sent}", server.address()));
}

#[test]
fn a_client_that_received_only_a_notice_does_not_count_as_joined() {
    let address = greet_and_then("* not today\n", std::mem::forget);
    let why = expect_error(&address, "-c 2 --timeout 0.5", 1);
    let reason = "only 0 of 2 clients receive lines; the server sent \"* not today\"";
    assert_eq!(why, format!("cannot connect to \"{address}\": {reason}"));
}

#[test]
fn a_wrong_command_line_is_reported_in_one_line() {
    let wrong = ["-b 3", "--protocol smtp", "-s 5 -c 2", "127.0.0.1:1", "--unknown", "-n -1", "--timeout 0"];
    for options in wrong {
        let why = expect_error("127.0.0.1:9", options, 2);
        assert!(why.ends_with(" (hubbub-load --help lists the options)"), "{why}");
    }
}

#[test]
fn the_help_and_the_version_are_printed() {
    let (status, help, errors) = run("", "--help");
    assert_eq!((status, &errors[..]), (Some(0), ""));
    assert!(help.contains("\nUsage: hubbub-load [OPTIONS] [ADDR | HOST PORT]\n"), "{help}");
    let version = format!("hubbub-load {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("", "--version"), (Some(0), version, String::new()));
}

#[test]
fn a_terminal_that_stops_background_jobs_does_not_stop_a_run() {
    let server = Server::start(&[]);
    let (_screen, terminal) = terminal();
    let mut load = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    load.args(["--clients", "2", "--senders", "1", "--lines", "2", "--json", &server.address().to_string()]);
    let mut job = in_background(&terminal, &load).stdout(Stdio::piped()).spawn().unwrap();
    wait_for_end(&mut job);
    let mut result = String::new();
    job.stdout.unwrap().read_to_string(&mut result).unwrap();
    assert!(result.contains("\"deliveries\":2"), "{result}");
}

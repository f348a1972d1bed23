//! The load tool against the real server, and against servers whose faults are known.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Folder, Port, Server, run_to_its_end};
use serde_json::Value;
use socket2::Socket;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Runs the load tool to its end: status, standard output, standard error.
#[track_caller]
fn load(address: impl ToString, options: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(options.split_whitespace()).arg(address.to_string()).stdin(Stdio::null());
    run_to_its_end(command)
}

/// The status of a run, and its result.
#[track_caller]
fn result(address: impl ToString, options: &str) -> (Option<i32>, Value) {
    let (status, json, errors) = load(address, &format!("{options} --json"));
    assert_eq!((&errors[..], json.lines().count()), ("", 1), "{json}");
    (status, serde_json::from_str(&json).unwrap())
}

/// How much was lost, out of order, doubled, altered, returned to its sender, and how many were cut.
fn faults(result: &Value) -> [u64; 6] {
    assert_eq!(result["strange"], 0, "{result}");
    let names = ["lost", "out_of_order", "doubled", "altered", "returned", "cut"];
    names.map(|name| result[name].as_u64().unwrap())
}

/// The result of a run in which all is well and `deliveries` were made.
#[track_caller]
fn is_fine(address: impl ToString, options: &str, deliveries: u64) -> Value {
    let (status, result) = result(address, options);
    assert_eq!((status, faults(&result)), (Some(0), [0; 6]), "{options}: {result}");
    assert_eq!((&result["fine"], &result["deliveries"]), (&true.into(), &deliveries.into()), "{result}");
    result
}

/// There is no result, and one line tells why, which is returned.
#[track_caller]
fn is_refused(address: impl ToString, options: &str, status: i32) -> String {
    let (ended, said, errors) = load(address, options);
    assert_eq!((ended, &said[..], errors.lines().count()), (Some(status), "", 1), "{options}: {errors}");
    errors.strip_prefix("hubbub-load: ").and_then(|line| line.strip_suffix('\n')).unwrap().to_owned()
}

/// The words in which a server of the tests' own is spoken to.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Lines,
    Nats,
    Redis,
}

impl Dialect {
    /// What a newcomer is told at once, what it has to say, and what it is told when it hears the others.
    fn manners(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Lines => ("", &[], "Welcome to a server of the tests.\n"),
            Self::Nats => ("INFO {}\r\nPING\r\n", &["CONNECT {", "SUB room 1", "PING", "PONG"], "PONG\r\n"),
            Self::Redis => {
                let joined = "%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n";
                ("", &["HELLO 3", "SUBSCRIBE room"], joined)
            }
        }
    }

    /// The next line that somebody says to all others, while there is one.
    fn hears(self, input: &mut impl BufRead) -> Option<Vec<u8>> {
        match self {
            Self::Lines => control(input).map(String::into_bytes),
            Self::Nats => payload(input, "PUB room "),
            Self::Redis => {
                assert_eq!(control(input)?, "*3");
                let words = [(); 3].map(|()| payload(input, "$").unwrap());
                assert_eq!(words[..2], [&b"PUBLISH"[..], b"room"]);
                words.into_iter().nth(2)
            }
        }
    }

    /// How a client is told `line`.
    fn tells(self, line: &[u8]) -> Vec<u8> {
        let length = line.len();
        let (head, end) = match self {
            Self::Lines => (String::new(), "\n"),
            Self::Nats => (format!("MSG room 1 {length}\r\n"), "\r\n"),
            Self::Redis => (format!(">3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n${length}\r\n"), "\r\n"),
        };
        [head.as_bytes(), line, end.as_bytes()].concat()
    }
}

fn control(input: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    Some(line.trim_end().to_owned())
}

/// What follows a line that ends in its length.
fn payload(input: &mut impl BufRead, before: &str) -> Option<Vec<u8>> {
    let length = control(input)?.strip_prefix(before).unwrap().parse::<usize>().unwrap();
    let mut payload = vec![0; length + 2];
    input.read_exact(&mut payload).unwrap();
    payload.truncate(length);
    Some(payload)
}

/// The line with which a server of the tests' own does something wrong.
const WHICH: u32 = 20;

/// What it does, mostly to one victim who says nothing.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Lose,
    Double,
    Alter,
    /// Adds a torn copy of the line.
    Tear,
    /// Changes places with the next line; where two speak, this or a later one with the other sender's.
    Swap,
    /// Tells the line also who said it.
    Echo,
    /// Ends the victim's connection instead, and breaks it ten lines later.
    Close,
}

/// The clients of a server of the tests' own.
struct Room {
    dialect: Dialect,
    fault: Fault,
    /// Each with whether it spoke.
    members: Vec<(Option<Socket>, bool)>,
    held: Option<Vec<u8>>,
}

impl Room {
    /// Opens a room at `door`, for as long as this process lives.
    fn open(door: impl Into<Socket>, dialect: Dialect, fault: Fault) {
        let door = door.into();
        let room = Arc::new(Mutex::new(Self { dialect, fault, members: Vec::new(), held: None }));
        thread::spawn(move || {
            while let Ok((socket, _)) = door.accept() {
                let room = Arc::clone(&room);
                thread::spawn(move || Self::serve(&room, socket));
            }
        });
    }

    /// Opens a room at a port.
    fn at_port(dialect: Dialect, fault: Fault) -> String {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = door.local_addr().unwrap().to_string();
        Self::open(door, dialect, fault);
        address
    }

    fn serve(room: &Mutex<Self>, mut socket: Socket) {
        // A unix socket has no such thing.
        _ = socket.set_tcp_nodelay(true);
        let mut input = BufReader::new(socket.try_clone().unwrap());
        let dialect = room.lock().unwrap().dialect;
        let (first, expected, joined) = dialect.manners();
        socket.write_all(first.as_bytes()).unwrap();
        for word in expected {
            let said = control(&mut input).unwrap();
            assert!(said.starts_with(word), "{said}");
        }
        let member = {
            let members = &mut room.lock().unwrap().members;
            socket.write_all(joined.as_bytes()).unwrap();
            members.push((Some(socket), false));
            members.len() - 1
        };
        while let Some(line) = dialect.hears(&mut input) {
            room.lock().unwrap().relay(member, &line);
        }
    }

    /// Tells everyone else what a member said, but for the fault.
    fn relay(&mut self, from: usize, line: &[u8]) {
        let number = number(line);
        self.members[from].1 |= number.is_some();
        let echoes = self.dialect == Dialect::Redis || self.fault == Fault::Echo && number == Some(WHICH);
        let victim = self.members.iter().position(|(_, spoke)| !spoke);
        for to in 0..self.members.len() {
            let lines = match to {
                _ if to == from && !echoes => vec![],
                _ if Some(to) == victim => self.wrongly(number, line.to_vec(), to),
                _ => vec![line.to_vec()],
            };
            let mut told = lines.iter().flat_map(|line| self.dialect.tells(line)).collect::<Vec<_>>();
            if to == from && self.dialect == Dialect::Redis {
                told.extend_from_slice(b":9\r\n");
            }
            // Who is gone hears nothing.
            _ = self.members[to].0.as_mut().map(|socket| socket.write_all(&told));
        }
    }

    /// What the victim is told when it is to be told `line`.
    fn wrongly(&mut self, number: Option<u32>, mut line: Vec<u8>, victim: usize) -> Vec<Vec<u8>> {
        if let Some(first) = self.held.take() {
            let two_speak = self.members.iter().filter(|(_, spoke)| *spoke).count() > 1;
            if two_speak && first[4..8] == line[4..8] {
                self.held = Some(line);
                return vec![first];
            }
            return vec![line, first];
        }
        match (self.fault, number.and_then(|number| number.checked_sub(WHICH))) {
            (Fault::Lose, Some(0)) => return vec![],
            (Fault::Double, Some(0)) => return vec![line.clone(), line],
            (Fault::Alter, Some(0)) => line[40] ^= 1,
            (Fault::Tear, Some(0)) => return vec![line[1..].to_vec(), line],
            (Fault::Swap, Some(0)) => {
                self.held = Some(line);
                return vec![];
            }
            (Fault::Close, Some(0)) => {
                let socket = self.members[victim].0.as_ref().unwrap();
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                socket.shutdown(Shutdown::Both).unwrap();
            }
            (Fault::Close, Some(10)) => self.members[victim].0 = None,
            _ => {}
        }
        vec![line]
    }
}

/// Which line of the load it is, if it is one and does not only ask who hears.
fn number(line: &[u8]) -> Option<u32> {
    let (header, number) = std::str::from_utf8(line.get(..16)?).ok()?.split_at(8);
    u32::from_str_radix(number, 16).ok().filter(|_| !header.ends_with("ffff"))
}

/// What a run counts at a server with that fault: the run fails.
#[track_caller]
fn counted(fault: Fault, options: &str) -> [u64; 6] {
    let (status, result) = result(Room::at_port(Dialect::Lines, fault), options);
    assert_eq!((status, &result["fine"]), (Some(1), &false.into()), "{result}");
    faults(&result)
}

/// Two who speak in turn, so that no more than two lines are under way.
const IN_TURN: &str = "--verify --clients 4 --senders 2 --lines 60 --window 2 --timeout 1";

#[test]
fn everything_that_is_said_to_the_server_is_heard_and_the_table_tells_so() {
    let server = Server::start(&[]);
    let result = is_fine(server.address(), "--verify -c 8 -s 3 -n 500", 500 * 7);
    assert_eq!((&result["verified"], &result["foreign"]), (&true.into(), &8.into()), "{result}");
    let (status, table, errors) = load(server.address(), "--verify -c 8 -s 3 -n 500");
    assert_eq!((status, &errors[..]), (Some(0), ""), "{table}");
    let rows = [
        "load",
        "connected",
        "deliveries",
        "latency",
        "evenness",
        "lost",
        "out of order",
        "altered",
        "doubled",
    ];
    for row in rows.iter().chain(&["cut"]) {
        let count = table.lines().filter(|line| line.starts_with(&format!("{row:<13} "))).count();
        assert_eq!(count, 1, "{row}: {table}");
    }
    assert!(table.contains("3500 in "), "{table}");
}

#[test]
fn a_load_of_any_shape_is_heard_by_all() {
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
        is_fine(server.address(), options, deliveries);
    }
}

#[test]
fn where_all_speak_one_more_listens_so_that_the_order_can_be_checked() {
    let server = Server::start(&[]);
    assert_eq!(is_fine(server.address(), "--verify -c 5 -s 5 -n 100", 500)["clients"], 6);
    assert_eq!(is_fine(server.address(), "--verify -c 1 -n 100", 100)["clients"], 2);
}

#[test]
fn with_a_rate_no_line_is_said_before_its_time() {
    let server = Server::start(&[]);
    let result = is_fine(server.address(), "--verify -c 3 -s 2 -n 101 --rate 1000", 202);
    // However slow the machine is: it can only take longer.
    assert!(result["seconds"].as_f64().unwrap() >= 0.1, "{result}");
}

#[test]
fn with_a_window_of_one_nothing_is_said_before_all_heard_the_last() {
    let options = "--verify -c 3 -s 1 -n 30 --window 1 --timeout 1";
    // One of two lacks line 20, and both lack the 9 after it.
    assert_eq!(counted(Fault::Lose, options), [1 + 9 * 2, 0, 0, 0, 0, 0]);
}

#[test]
fn a_server_without_a_welcome_is_asked_who_hears() {
    let server = Server::start(&["-w", ""]);
    // Who is alone has nobody to ask.
    for (options, deliveries) in
        [("-c 1 -n 9", 0), ("--verify -c 2 -s 1 -n 9", 9), ("--verify -c 3 -s 1 -n 9", 18)]
    {
        assert_eq!(is_fine(server.address(), options, deliveries)["foreign"], 0);
    }
}

#[test]
fn the_servers_process_is_watched_where_it_is_named() {
    let server = Server::start(&[]);
    let options = format!("-c 5 -n 100 --idle 0.1 --pid {}", server.pid());
    let result = is_fine(server.address(), &options, 400);
    for name in ["resident_kib", "peak_kib", "idle_resident_kib"] {
        assert!(result["server"][name].as_u64().unwrap() > 100, "{name}: {result}");
    }
    assert!(result["server"]["cpu_ns_a_delivery"].is_f64(), "{result}");
    let (_, table, _) = load(server.address(), &options);
    for row in ["idle", "server CPU", "resident", "a connection"] {
        assert!(table.lines().any(|line| line.starts_with(&format!("{row:<13} "))), "{row}: {table}");
    }
    // Process numbers end far below.
    let why = is_refused(server.address(), "--pid 4294967295", 1);
    assert_eq!(why, "cannot read /proc/4294967295/stat: No such file or directory");
}

#[test]
fn readers_that_never_read_are_seen_to_be_cut_and_harm_nobody() {
    let server = Server::start(&["--stall-timeout", "0.2"]);
    let result = is_fine(server.address(), "-c 4 -s 2 -n 40000 --bytes 200 --stuck 2", 120_000);
    assert_eq!((&result["stuck"], &result["stuck_cut"]), (&2.into(), &2.into()), "{result}");
    let result = is_fine(server.address(), "-c 4 -s 2 -n 100 --stuck 2", 300);
    assert_eq!((&result["stuck"], &result["stuck_cut"]), (&2.into(), &0.into()), "{result}");
}

#[test]
fn a_slow_reader_reads_some_and_others_come_and_go() {
    let server = Server::start(&[]);
    let options = "--verify -c 3 -s 1 -n 500 --rate 1000 --slow 1000 --churn 200";
    let result = is_fine(server.address(), options, 1000);
    let seconds = result["seconds"].as_f64().unwrap();
    let read = result["slow_read"].as_u64().unwrap();
    assert!(read > 0 && read as f64 <= 1000.0 * (seconds + 1.0), "{result}");
    assert_eq!((&result["slow_cut"], &result["turned_away"]), (&false.into(), &0.into()), "{result}");
    let came = result["came"].as_u64().unwrap();
    assert!(came > 0 && came as f64 <= 200.0 * (seconds + 1.0), "{result}");
}

#[test]
fn who_comes_and_is_refused_did_not_come() {
    let server = Server::start(&["-m", "3"]);
    let result = is_fine(server.address(), "-c 3 -s 1 -n 500 --rate 1000 --churn 200", 1000);
    assert_eq!(result["came"], 0, "{result}");
    assert!(result["turned_away"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn a_line_that_is_said_late_is_late_for_who_hears_it() {
    let server = Server::start(&[]);
    // All are due at the start, and said one by one.
    let result = is_fine(server.address(), "-c 2 -s 1 -n 300 --rate 1000000000 --window 1", 300);
    let (longest, all) = (result["latency_us"]["max"].as_f64(), result["seconds"].as_f64());
    assert!(longest.unwrap() >= 0.9e6 * all.unwrap(), "{result}");
}

#[test]
fn what_a_server_does_not_read_is_not_kept_without_bound() {
    let address = greets_and_then(std::mem::forget);
    for pace in ["--rate 1000000000", "--window 1000000"] {
        let mut command = Command::new("sh");
        // A tenth of what there is to say, in KiB.
        command.args(["-c", "ulimit -v 200000 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hubbub-load")]);
        command.args(format!("-c 2 -s 1 -n 20000 -b 100000 {pace} --timeout 1 --json {address}").split(' '));
        let (status, json, errors) = run_to_its_end(command);
        assert_eq!((status, &errors[..]), (Some(1), ""), "{pace}");
        assert!(json.contains("\"lost\":20000,"), "{json}");
    }
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_and_one_that_nobody_reads_is_not() {
    let server = Server::start(&[]);
    let shell = |line: &str| {
        let mut command = Command::new("bash");
        command.args(["-c", line, env!("CARGO_BIN_EXE_hubbub-load"), &server.address().to_string()]);
        run_to_its_end(command)
    };
    let why = "hubbub-load: cannot write to standard output: No space left on device\n";
    assert_eq!(shell("exec $0 -c 2 -n 9 $1 >/dev/full"), (Some(1), String::new(), why.to_owned()));
    let (status, _, errors) = shell("$0 -c 2 -n 9 $1 | true; exit ${PIPESTATUS[0]}");
    assert_eq!((status, &errors[..]), (Some(0), ""));
}

#[test]
fn a_line_that_comes_twice_is_doubled() {
    // Also when it is the last; and unverified, it is one too many.
    for options in [IN_TURN, "--verify -c 4 -s 1 -n 21 --window 2", "-c 4 -s 1 -n 21 --window 2"] {
        assert_eq!(counted(Fault::Double, options), [0, 0, 1, 0, 0, 0], "{options}");
    }
}

#[test]
fn two_lines_that_change_places_for_one_reader_are_out_of_order_whoever_said_them() {
    for options in [IN_TURN, "--verify -c 2 -s 1 -n 60 --window 2"] {
        assert_eq!(counted(Fault::Swap, options), [0, 1, 0, 0, 0, 0], "{options}");
    }
}

#[test]
fn a_line_lost_altered_or_returned_to_who_said_it_is_counted_as_that() {
    assert_eq!(counted(Fault::Lose, IN_TURN), [1, 0, 0, 0, 0, 0]);
    // What it was before, nobody heard.
    assert_eq!(counted(Fault::Alter, IN_TURN), [1, 0, 0, 1, 0, 0]);
    assert_eq!(counted(Fault::Echo, IN_TURN), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn a_torn_copy_beside_a_line_is_strange_unless_others_may_talk() {
    for (options, strange) in [("", 1), (" --others", 0)] {
        let address = Room::at_port(Dialect::Lines, Fault::Tear);
        let (status, result) = result(address, &format!("{IN_TURN}{options}"));
        assert_eq!((status, &result["strange"]), (Some(strange), &strange.into()), "{result}");
        assert_eq!(result["lost"], 0, "{result}");
    }
}

/// A server that greets, and then does with each connection what `then` does.
fn greets_and_then(then: impl Fn(TcpStream) + Send + 'static) -> String {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = door.accept() {
            socket.write_all(b"Welcome.\n").unwrap();
            then(socket);
        }
    });
    address
}

#[test]
fn what_a_server_never_took_is_no_success_even_where_nobody_is_to_hear_it() {
    let address = greets_and_then(std::mem::forget);
    let (status, result) = result(address, "-c 1 -n 100000 -b 1000 --timeout 0.5");
    assert_eq!((status, &result["fine"]), (Some(1), &false.into()), "{result}");
    assert!(result["said"].as_u64() < Some(100_000), "{result}");
}

#[test]
fn once_nobody_is_left_nothing_is_waited_for() {
    let members = Mutex::new(Vec::new());
    let address = greets_and_then(move |socket| {
        let mut members = members.lock().unwrap();
        members.push(socket);
        if members.len() == 3 {
            let mut members = std::mem::take(&mut *members);
            // At the first word of the first, all are ended.
            thread::spawn(move || members[0].read(&mut [0]));
        }
    });
    // Longer than a test may take.
    let (status, result) = result(address, "-c 3 -s 1 -n 1000 --rate 1 --timeout 1000");
    assert_eq!((status, &result["cut"]), (Some(1), &3.into()), "{result}");
}

#[test]
fn a_connection_that_the_server_ends_is_cut_once_and_what_it_lacks_is_lost() {
    let paced = "--verify -c 3 -s 1 -n 60 --rate 300 --timeout 1";
    assert_eq!(counted(Fault::Close, paced), [40, 0, 0, 0, 0, 1]);
}

#[test]
fn a_server_at_a_unix_socket_is_reached_by_its_path() {
    let folder = Folder::new("load");
    let path = folder.path("socket");
    let address = format!("unix:{}", path.display());
    let why = is_refused(&address, "-c 2", 1);
    assert_eq!(why, format!("cannot connect to {address}: No such file or directory"));
    Room::open(UnixListener::bind(&path).unwrap(), Dialect::Lines, Fault::None);
    is_fine(&address, "--verify -c 5 -s 2 -n 100", 400);
}

#[test]
fn a_message_broker_is_spoken_to_in_its_own_words() {
    for (name, dialect) in [("nats", Dialect::Nats), ("redis", Dialect::Redis)] {
        let options = format!("--verify -c 5 -s 2 -n 100 --protocol {name}");
        assert_eq!(is_fine(Room::at_port(dialect, Fault::None), &options, 400)["protocol"], name);
    }
}

#[test]
fn load_goes_to_this_machine_only() {
    // An address for documentation, at which there is nobody.
    let why = is_refused("192.0.2.1:9090", "", 2);
    assert!(why.starts_with("192.0.2.1:9090 is not a loopback address: "), "{why}");
    assert!(why.contains("--i-own-this-host"), "{why}");
}

#[test]
fn a_port_at_which_nobody_listens_is_named() {
    let port = Port::reserve();
    for options in ["-c 1", "-c 5", "-c 5 --stuck 1"] {
        let why = is_refused(port.address(), options, 1);
        assert_eq!(why, format!("cannot connect to {}: Connection refused", port.address()));
    }
}

#[test]
fn a_room_that_is_full_is_quoted() {
    let server = Server::start(&["-m", "2"]);
    let why = is_refused(server.address(), "-c 5", 1);
    let said = "the server ended the connection, saying '* the room is full, with 2 in it: try again later'";
    assert_eq!(why, format!("cannot connect to {}: {said}", server.address()));
}

#[test]
fn who_is_told_by_the_server_itself_why_it_hears_nothing_does_not_count_as_heard() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    thread::spawn(move || {
        let refuse = |(mut socket, _): (TcpStream, _)| socket.write_all(b"* not today\n").map(|()| socket);
        let refused = [door.accept(), door.accept()].map(|accepted| accepted.and_then(refuse));
        // Until the other end is closed: nothing that it says goes anywhere.
        refused.map(|socket| std::io::copy(&mut socket.unwrap(), &mut std::io::sink()))
    });
    let why = is_refused(address, "-c 2 --timeout 0.5", 1);
    let said = "only 0 of 2 clients hear what is said and the server says '* not today'";
    assert_eq!(why, format!("cannot connect to {address}: {said}"));
}

#[test]
fn a_wrong_command_line_is_told_in_one_line() {
    let wrong = ["-b 3", "--protocol smtp", "-s 5 -c 2", "127.0.0.1:1", "--unknown", "-n -1", "--timeout 0"];
    for options in wrong {
        let why = is_refused("127.0.0.1:9", options, 2);
        assert!(why.ends_with(" (hubbub-load --help tells the options)"), "{why}");
    }
}

#[test]
fn the_help_and_the_version_are_printed() {
    let (status, help, errors) = load("", "--help");
    assert_eq!((status, &errors[..]), (Some(0), ""));
    assert!(help.contains("\nUsage: hubbub-load [OPTIONS] [ADDR]\n"), "{help}");
    let version = format!("hubbub-load {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(load("", "--version"), (Some(0), version, String::new()));
}

//! The client in scripts, against the real server and against servers of the tests' own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, DEADLINE, Folder, Port, Server, WELCOME, eventually, run_to_its_end, wait_for_end};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

fn client(address: impl ToString, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-client"));
    command.args(options).arg(address.to_string()).stdin(Stdio::null());
    command
}

/// Status, standard output and standard error of a run whose standard input is `said`.
#[track_caller]
fn says(address: impl ToString, options: &[&str], said: &[u8]) -> (Option<i32>, String, String) {
    let folder = Folder::new(&format!("client-{:?}", thread::current().id()));
    let path = folder.path("said");
    std::fs::write(&path, said).unwrap();
    let mut command = client(address, options);
    command.stdin(File::open(&path).unwrap());
    run_to_its_end(command)
}

#[track_caller]
fn ended_well(shown: impl AsRef<str>) -> (Option<i32>, String, String) {
    (Some(0), shown.as_ref().to_owned(), String::new())
}

#[track_caller]
fn failed(why: &str) -> (Option<i32>, String, String) {
    (Some(1), String::new(), format!("hubbub-client: {why}\n"))
}

/// A client that runs, with pipes at both ends.
struct Running {
    child: Child,
    shown: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl Running {
    #[track_caller]
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        Self::spawn(command)
    }

    /// The same, with the standard input that the command has.
    #[track_caller]
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, shown) = channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { stdin: child.stdin.take(), child, shown }
    }

    #[track_caller]
    fn types(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn shows(&self, line: &str) {
        assert_eq!(self.shown.recv_timeout(DEADLINE).as_deref(), Ok(line));
    }

    /// Its status and what it said on standard error.
    #[track_caller]
    fn ends(&mut self) -> (Option<i32>, String) {
        let status = wait_for_end(&mut self.child);
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A server for one client: sends `words`, then waits for the end of its input where it should, and ends.
fn server_that_says(words: &'static [u8], waits: bool) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(words).unwrap();
        let mut heard = Vec::new();
        if waits {
            stream.read_to_end(&mut heard).unwrap();
        }
        heard
    });
    (address, heard)
}

#[test]
fn lines_go_in_and_what_is_owed_comes_out() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    assert_eq!(says(server.address(), &[], b"one\ntwo\n"), ended_well(format!("{WELCOME}\n")));
    other.expects("one");
    other.expects("two");
}

#[test]
fn an_unterminated_last_line_is_said_with_its_end() {
    let (address, heard) = server_that_says(b"torn", true);
    assert_eq!(says(address, &[], b"one\ntwo"), ended_well("torn\n"));
    assert_eq!(heard.join().unwrap(), b"one\ntwo\n");
}

#[test]
fn no_input_at_all_is_an_end_of_input() {
    let server = Server::start(&[]);
    for redirection in ["</dev/null", "<&-", "</dev/null >&- 2>&-"] {
        let mut shell = Command::new("sh");
        let line = format!("exec \"$0\" {} {redirection}", server.address());
        shell.args(["-c", &line, env!("CARGO_BIN_EXE_hubbub-client")]);
        let shown = if redirection.contains(">&-") { String::new() } else { format!("{WELCOME}\n") };
        assert_eq!(run_to_its_end(shell), ended_well(shown), "{redirection}");
    }
}

#[test]
fn twenty_megabytes_pass_both_ways_without_a_loss() {
    let folder = Folder::new("client-big");
    let big = folder.path("big");
    let line = |number: usize| format!("line {number} of a paste that is twenty megabytes long\n");
    let text = (0..410_000).map(line).collect::<String>();
    assert!(text.len() > 20_000_000);
    std::fs::write(&big, &text).unwrap();
    let server = Server::start(&[]);
    let mut listener = client(server.address(), &["-f", "-n", "410001"]);
    let mut listener = listener.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(listener.stdout.take().unwrap());
    let mut welcome = String::new();
    shown.read_line(&mut welcome).unwrap();
    let mut speaker = client(server.address(), &[]);
    speaker.stdin(File::open(&big).unwrap());
    let ended = thread::spawn(move || run_to_its_end(speaker));
    let mut heard = String::new();
    shown.read_to_string(&mut heard).unwrap();
    assert!(heard == text, "{} bytes of {} came", heard.len(), text.len());
    assert_eq!(wait_for_end(&mut listener).code(), Some(0));
    assert_eq!(ended.join().unwrap(), ended_well(format!("{WELCOME}\n")));
}

#[test]
fn each_line_is_there_as_soon_as_it_is_said() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let mut running = Running::start(client(server.address(), &[]));
    running.shows(WELCOME);
    for line in ["one", "two", ""] {
        other.says(format!("{line}\n"));
        running.shows(line);
        running.types(&format!("you said {line}\n"));
        other.expects(format!("you said {line}"));
    }
    running.stdin = None;
    assert_eq!(running.ends(), (Some(0), String::new()));
}

#[test]
fn send_says_its_lines_and_leaves_with_what_is_owed() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let sends = ["--send", "one", "-s", "", "-s", "deux é"];
    assert_eq!(says(server.address(), &sends, b"not read"), ended_well(format!("{WELCOME}\n")));
    for line in ["one", "", "deux é"] {
        other.expects(line);
    }
}

#[test]
fn a_follower_stays_says_nothing_and_is_told_of_the_end() {
    let server = Server::start(&[]);
    let mut running = Running::start(client(server.address(), &["--follow"]));
    running.shows(WELCOME);
    running.types("not read\n");
    let mut other = Client::join(&server);
    other.says("hello\n");
    running.shows("hello");
    server.signal("TERM");
    assert_eq!(running.ends(), (Some(1), "hubbub-client: connection lost: the server ended it\n".to_owned()));
    other.expects_end();
}

#[test]
fn a_follower_may_speak_first() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let running = Running::start(client(server.address(), &["-f", "-s", "/nick bot"]));
    running.shows(WELCOME);
    other.expects("/nick bot");
    other.says("hello\n");
    running.shows("hello");
}

#[test]
fn count_ends_it_after_so_many_lines_and_keeps_it_after_its_input() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let mut running = Running::start(client(server.address(), &["--count", "3"]));
    running.shows(WELCOME);
    running.types("over to you");
    running.stdin = None;
    other.expects("over to you");
    other.says("one\ntwo\nthree\n");
    running.shows("one");
    running.shows("two");
    assert_eq!(running.ends(), (Some(0), String::new()));
    assert!(running.shown.recv_timeout(DEADLINE).is_err(), "no more is shown");
}

#[test]
fn count_says_what_it_was_to_say_even_where_the_welcome_is_enough() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    assert_eq!(says(server.address(), &["-n", "1", "-s", "hi"], b""), ended_well(format!("{WELCOME}\n")));
    other.expects("hi");
}

#[test]
fn count_fails_where_the_server_ends_first() {
    let (address, _) = server_that_says(b"one\n", false);
    let told = "hubbub-client: connection lost: the server ended it\n";
    assert_eq!(says(address, &["-n", "2"], b""), (Some(1), "one\n".to_owned(), told.to_owned()));
}

#[test]
fn what_the_server_does_not_hear_before_the_count_is_told() {
    // More than sockets hold, to one who says a line and does not read.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Folder::new("client-unheard");
    std::fs::write(folder.path("big"), "many lines\n".repeat(2_000_000)).unwrap();
    let mut command = client(address, &["-n", "1"]);
    command.stdin(File::open(folder.path("big")).unwrap());
    let mut running = Running::spawn(command);
    let (mut stream, _) = listener.accept().unwrap();
    // It speaks when it is sure that its own input is full.
    wait_for_a_full_socket(&stream);
    stream.write_all(b"hello\n").unwrap();
    running.shows("hello");
    drop(stream);
    let (status, told) = running.ends();
    assert_eq!(status, Some(1));
    let told = told.strip_prefix("hubbub-client: connection lost: ").unwrap();
    assert!(told.ends_with("; what was said last may not have arrived\n"), "{told}");
}

/// Waits until what `stream` is to read does not become more.
#[track_caller]
fn wait_for_a_full_socket(stream: &TcpStream) {
    let port = stream.local_addr().unwrap().port();
    eventually("the server's input is full", || {
        // What the client could not send.
        let owes = |entry: &common::TcpEntry| entry.peer_port == port && entry.unsent > 0;
        common::tcp_table().iter().any(owes).then_some(())
    });
}

#[test]
fn a_server_that_vanishes_is_found_out_though_something_was_said() {
    let folder = Folder::new("client-traced");
    let options = |options: &[&str]| {
        let (address, _) = server_that_says(b"hello\n", true);
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=setsockopt", "-o"]).arg(folder.path("trace"));
        command.arg(env!("CARGO_BIN_EXE_hubbub-client")).args(options).arg(address.to_string());
        command.stdin(Stdio::null());
        assert_eq!(run_to_its_end(command), ended_well("hello\n"));
        std::fs::read_to_string(folder.path("trace")).unwrap()
    };
    let trace = options(&["-s", "hi"]);
    assert!(trace.contains("TCP_USER_TIMEOUT, [120000]"), "{trace}");
    // Whoever says a large file may be held back for longer.
    let trace = options(&[]);
    assert!(trace.contains("SO_KEEPALIVE, [1]") && !trace.contains("TCP_USER_TIMEOUT"), "{trace}");
}

#[test]
fn timeout_bounds_leaving_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello\n").unwrap();
        let mut heard = Vec::new();
        // It hears the end, and does not end itself.
        stream.read_to_end(&mut heard).unwrap();
        (stream, heard)
    });
    let began = Instant::now();
    let told = "hubbub-client: timed out after 0.5 s\n";
    let late = (Some(1), "hello\n".to_owned(), told.to_owned());
    assert_eq!(says(address, &["-n", "1", "--timeout", "0.5", "-s", "hi"], b""), late);
    // Far less than it waits without.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(served.join().unwrap().1, b"hi\n");
}

#[test]
fn timeout_ends_it_with_a_failure() {
    let server = Server::start(&[]);
    let told = "hubbub-client: timed out after 0.2 s\n";
    let late = (Some(1), format!("{WELCOME}\n"), told.to_owned());
    assert_eq!(says(server.address(), &["--timeout", "0.2", "-f"], b""), late);
    assert_eq!(says(server.address(), &["--timeout", "0.2", "-n", "2"], b""), late);
    // Enough time is no failure.
    let well = ended_well(format!("{WELCOME}\n"));
    assert_eq!(says(server.address(), &["--timeout", "20", "-n", "1"], b""), well);
    assert_eq!(says(server.address(), &["--timeout", "20"], b"hi\n"), well);
}

#[test]
fn timeout_bounds_connecting_too() {
    let folder = Folder::new("client-backlog");
    let path = folder.path("room");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    // Whoever is accepted by nobody fills the queue.
    let _first = UnixStream::connect(&path).unwrap();
    let address = format!("unix:{}", path.display());
    assert_eq!(says(address, &["--timeout", "0.2"], b""), failed("timed out after 0.2 s"));
}

#[test]
fn a_closed_standard_output_ends_it_quietly_and_at_once() {
    let server = Server::start(&[]);
    let mut child = client(server.address(), &["-f"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, format!("{WELCOME}\n"));
    // Nobody speaks: that its reader is gone is noticed without a write.
    assert_eq!(wait_for_end(&mut child).code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn a_standard_output_that_is_closed_while_much_is_owed_ends_it_quietly() {
    // More than a pipe takes.
    let (address, _) = server_that_says("many lines\n".repeat(20_000).leak().as_bytes(), true);
    let mut child = client(address, &["-f"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 11];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(wait_for_end(&mut child).code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn a_full_disk_is_told() {
    let server = Server::start(&[]);
    let mut child = client(server.address(), &["-n", "1"]);
    child.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = child.output().unwrap();
    let told = "hubbub-client: cannot write to standard output: No space left on device\n";
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), told));
}

/// A server for one client that says `words`, then waits for its end and ends.
fn server_that_says_much(words: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Who does not hear all of it left first.
        _ = stream.write_all(&words);
        _ = stream.read_to_end(&mut Vec::new());
    });
    address
}

const LONGEST: usize = 16 * 1024 * 1024;

#[test]
fn a_line_without_end_takes_bounded_memory_and_is_told_on_standard_error() {
    let words =
        [b"one\n", &vec![1; 60_000_000][..], b"\ntwo\n", &vec![b'x'; LONGEST + 1], b"\nthree\n"].concat();
    let address = server_that_says_much(words);
    let mut shell = Command::new("sh");
    // In kB of addresses, of which threads take more than memory.
    let limited = format!("ulimit -v 400000; exec \"$0\" -n 3 {address}");
    shell.args(["-c", &limited, env!("CARGO_BIN_EXE_hubbub-client")]).stdin(Stdio::null());
    let told = "hubbub-client: a line of more than 16 MiB is not shown\n".repeat(2);
    assert_eq!(run_to_its_end(shell), (Some(0), "one\ntwo\nthree\n".to_owned(), told));
}

#[test]
fn the_longest_line_is_shown_whole() {
    let line = vec![b'x'; LONGEST];
    let address = server_that_says_much([&line[..], b"\n"].concat());
    let (status, shown, told) = run_to_its_end_reading(client(address, &["-n", "1"]));
    assert_eq!((status, &told[..]), (Some(0), ""));
    assert!(shown == [&line[..], b"\n"].concat(), "{} bytes", shown.len());
}

/// The same as [`run_to_its_end`], of a command that writes more than a pipe takes.
#[track_caller]
fn run_to_its_end_reading(mut command: Command) -> (Option<i32>, Vec<u8>, String) {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_could_drive_a_terminal_is_shown_unless_raw() {
    let words = b"a\x1b[2J\xC2\x9B\xFF\r\nb\x07\n";
    let (address, _) = server_that_says(words, true);
    assert_eq!(says(address, &[], b""), ended_well("a\\x1B[2J\\x9B\\xFF\nb\\x07\n"));
    let (address, _) = server_that_says(words, true);
    let output = client(address, &["--raw"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &words[..]));
}

#[test]
fn nothing_is_coloured_and_nothing_is_prompted_in_a_pipe() {
    let words = b"<alice> hi\n* bob left\n";
    let (address, _) = server_that_says(words, true);
    let mut command = client(address, &[]);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    assert_eq!(run_to_its_end(command), ended_well(String::from_utf8_lossy(words)));
}

#[test]
fn timestamps_are_the_local_time_of_day() {
    let of = |zone: &str| {
        let (address, _) = server_that_says(b"hi\n", true);
        let mut command = client(address, &["--timestamps"]);
        command.env("TZ", zone);
        let (_, shown, _) = run_to_its_end(command);
        let (time, line) = shown.split_once(' ').unwrap();
        let parts = time.split(':').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
        assert_eq!((parts.len(), time.len(), line), (3, 8, "hi\n"), "{shown}");
        parts[0] * 3600 + parts[1] * 60 + parts[2]
    };
    // The second is five hours and a half later.
    let (utc, india) = (of("UTC0"), of("IST-5:30"));
    let apart = (india + 24 * 3600 - utc) % (24 * 3600);
    assert!((19_800..19_860).contains(&apart), "{apart}");
}

#[test]
fn a_server_that_ends_before_the_input_does_is_a_loss() {
    let server = Server::start(&["-m", "1"]);
    let _only = Client::join(&server);
    let mut running = Running::start(client(server.address(), &[]));
    let refusal = running.shown.recv_timeout(DEADLINE).unwrap();
    assert!(refusal.starts_with("* "), "{refusal}");
    let (status, told) = running.ends();
    assert_eq!((status, told.starts_with("hubbub-client: connection lost: ")), (Some(1), true), "{told}");
    assert_eq!(told.lines().count(), 1);
}

#[test]
fn who_is_turned_away_is_told_whatever_was_to_be_said() {
    let told = "hubbub-client: connection lost: the server took nobody in\n";
    for view in ["plain", "named", "json"] {
        for limit in [["-m", "1"], ["--max-per-ip", "1"]] {
            let mut command = common::program(&["-l", &format!("{view}:127.0.0.1:0")]);
            command.args(limit).args(["-w", ""]);
            let server = Server::spawn(command);
            let _only = Client::connect(server.address());
            for (options, said) in [
                (&["--send", "hi"][..], ""),
                (&[], "hi\n"),
                (&[], ""),
                (&["-n", "1"], ""),
                (&["-s", "hi", "-n", "2"], ""),
            ] {
                let (status, shown, why) = says(server.address(), options, said.as_bytes());
                assert_eq!((status, &why[..]), (Some(1), told), "{view} {limit:?} {options:?}: {shown}");
                assert!(shown.contains("try again later") && shown.lines().count() == 1, "{shown}");
            }
        }
    }
}

#[test]
fn one_notice_alone_is_not_taken_for_a_refusal() {
    // A room without a welcome: an answer, what somebody said, and the end of the room.
    let server = Server::spawn(common::program(&["-l", "named:127.0.0.1:0", "-w", ""]));
    assert_eq!(says(server.address(), &["-s", "/who"], b""), ended_well("* 1 here: anon1\n"));
    for words in [&b"* try again\n"[..], b"* the room closes\n", b"* welcome\n* full: try again later\n"] {
        let (address, heard) = server_that_says(words, true);
        assert_eq!(says(address, &["-s", "hi"], b""), ended_well(String::from_utf8_lossy(words)));
        assert_eq!(heard.join().unwrap(), b"hi\n");
    }
    let server = Server::start(&["-w", ""]);
    assert_eq!(says(server.address(), &["-s", "hi"], b""), ended_well(""));
}

#[test]
fn what_cannot_be_connected_to_is_told_in_one_line() {
    let nobody = Port::reserve();
    let to = format!("cannot connect to {}: Connection refused", nobody.address());
    assert_eq!(says(nobody.address(), &[], b""), failed(&to));
    let there_is_none = "cannot connect to unix:/nowhere/at/all: No such file or directory";
    assert_eq!(says("unix:/nowhere/at/all", &[], b""), failed(there_is_none));
    let (status, _, told) = says("a..b:1", &[], b"");
    assert!(status == Some(1) && told.starts_with("hubbub-client: cannot connect to a..b:1: "), "{told}");
    assert_eq!(told.lines().count(), 1);
}

#[test]
fn a_unix_socket_is_a_room_too() {
    let folder = Folder::new("client-unix");
    let listener = UnixListener::bind(folder.path("room")).unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"welcome\n").unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        heard
    });
    let address = format!("unix:{}", folder.path("room").display());
    assert_eq!(says(address, &[], b"hi\n"), ended_well("welcome\n"));
    assert_eq!(served.join().unwrap(), "hi\n");
}

#[test]
fn a_wrong_command_line_is_status_2_and_help_is_0() {
    for options in [
        &["--loud"][..],
        &["--count", "0"],
        &["--timeout", "NaN"],
        &["-s", "a\nb"],
        &["extra"],
        &["-r", "-s", "hi"],
        &["-r", "-n", "1"],
        &["-r", "--timeout", "1"],
    ] {
        let (status, shown, told) = says("127.0.0.1:1", options, b"");
        assert_eq!((status, &shown[..], told.lines().count()), (Some(2), "", 1), "{options:?}: {told}");
        let hint = "(hubbub-client --help tells the options)\n";
        assert!(told.starts_with("hubbub-client: ") && told.ends_with(hint), "{told}");
    }
    for (option, part) in [("--help", "Usage: hubbub-client [OPTIONS] [ADDR]"), ("-V", "hubbub-client 0.")] {
        let (status, shown, told) = says("127.0.0.1:1", &[option], b"");
        assert!(status == Some(0) && shown.contains(part) && told.is_empty(), "{option}: {shown}{told}");
    }
}

#[test]
fn standard_input_is_said_to_one_server_after_another_where_it_is_to_reconnect() {
    let port = Port::reserve();
    let start = || {
        let mut command = common::program(&["-q", "-l", &port.address().to_string()]);
        command.stderr(Stdio::null());
        Server::spawn_unheard(command, &port)
    };
    let server = start();
    let mut running = Running::start(client(port.address(), &["--reconnect"]));
    running.shows(WELCOME);
    let mut other = Client::join(&server);
    running.types("one\n");
    other.expects("one");
    server.signal("TERM");
    let mut errors = BufReader::new(running.child.stderr.take().unwrap()).lines();
    let lost = "hubbub-client: connection lost: the server ended it; connecting again in 1 s";
    assert_eq!(errors.next().unwrap().unwrap(), lost);
    server.wait();
    let server = start();
    running.shows(WELCOME);
    let mut other = Client::join(&server);
    running.types("three\n");
    other.expects("three");
    running.stdin = None;
    assert_eq!(wait_for_end(&mut running.child).code(), Some(0));
}

#[test]
fn a_follower_that_is_to_reconnect_comes_back_and_says_so() {
    let port = Port::reserve();
    let mut running = Running::start(client(port.address(), &["-f", "--reconnect"]));
    let mut errors = BufReader::new(running.child.stderr.take().unwrap()).lines();
    let mut told = || errors.next().unwrap().unwrap();
    let refused = format!("cannot connect to {}: Connection refused", port.address());
    assert_eq!(told(), format!("hubbub-client: {refused}; connecting again in 1 s"));
    let mut command = common::program(&["-q", "-l", &port.address().to_string()]);
    command.stderr(Stdio::null());
    let server = Server::spawn_unheard(command, &port);
    running.shows(WELCOME);
    server.signal("TERM");
    let lost = "connection lost: the server ended it; connecting again in 2 s";
    assert_eq!(told(), format!("hubbub-client: {lost}"));
    running.child.kill().unwrap();
}

#[test]
fn whoever_says_quit_is_let_go_and_was_not_cut() {
    let (_server, addresses) = Server::start_in_views(&[]);
    for (said, status) in
        [("/quit\n", 0), ("hi\n/quit now\n", 0), ("/quit\r\0", 0), ("/quite\n", 1), ("//quit\nhi\n", 1)]
    {
        let server = Server::start(&["-l", "named:127.0.0.1:0"]);
        let address = if status == 0 { addresses[1] } else { server.address() };
        let mut running = Running::start(client(address, &[]));
        running.shows(WELCOME);
        running.types(said);
        // Its input stays open.
        if status != 0 {
            server.signal("TERM");
        }
        let (ended, why) = running.ends();
        assert_eq!((ended, why.contains("connection lost")), (Some(status), status != 0), "{said:?}: {why}");
    }
}

#[test]
fn whoever_said_quit_where_that_is_chat_was_cut_all_the_same() {
    let server = Server::start(&[]);
    let mut running = Running::start(client(server.address(), &[]));
    running.shows(WELCOME);
    let mut other = Client::join(&server);
    running.types("hi\n/quit\n");
    other.expects("hi");
    other.expects("/quit");
    server.signal("TERM");
    assert_eq!(running.ends(), (Some(1), "hubbub-client: connection lost: the server ended it\n".to_owned()));
}

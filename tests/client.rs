//! The client in scripts, against the real server and against scripted servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Port, Server, WELCOME, eventually, run_to_end, time_limit, wait_for_end};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const CLIENT: &str = env!("CARGO_BIN_EXE_hubbub-client");
/// The error after the server has closed the connection.
const LOST: &str = "hubbub-client: connection lost: the server closed it";
/// The longest line that the client shows.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Exit status, standard output and standard error.
type Outcome = (Option<i32>, String, String);

fn client(address: impl ToString, options: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(options).arg(address.to_string()).stdin(Stdio::null());
    command
}

/// The client under strace, which writes to `trace` in `folder`.
fn traced_client(folder: &Folder, strace_options: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(folder.path("trace")).args(strace_options);
    command.arg(CLIENT).args(arguments).stdin(Stdio::null());
    command
}

/// The client, started by a shell that can redirect its files or set limits. `line` has the client as `"$0"`.
fn client_in_shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line, CLIENT]).stdin(Stdio::null());
    command
}

/// Runs the client to its end with `input` as its standard input.
#[track_caller]
fn run(address: impl ToString, options: &[&str], input: &[u8]) -> Outcome {
    let folder = Folder::new(&format!("client-{:?}", thread::current().id()));
    let path = folder.path("input");
    std::fs::write(&path, input).unwrap();
    let mut command = client(address, options);
    command.stdin(File::open(&path).unwrap());
    run_to_end(command)
}

fn success(output: impl AsRef<str>) -> Outcome {
    (Some(0), output.as_ref().to_owned(), String::new())
}

fn failure(output: &str, error: &str) -> Outcome {
    (Some(1), output.to_owned(), format!("hubbub-client: {error}\n"))
}

fn refused(address: impl ToString) -> String {
    format!("cannot connect to \"{}\": Connection refused", address.to_string())
}

/// What the client adds to an error of connecting, unless it connects again.
const ADVICE: &str = "check the address and whether the server runs";

/// A running client with pipes at its standard files.
struct Session {
    child: Child,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
}

impl Session {
    #[track_caller]
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        Self::start_with_stdin_of(command)
    }

    #[track_caller]
    fn start_with_stdin_of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { stdin: child.stdin.take(), child, lines }
    }

    #[track_caller]
    fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect_line(&mut self, line: &str) {
        assert_eq!(self.lines.recv_timeout(time_limit()).as_deref(), Ok(line));
    }

    fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Its standard error, line by line.
    fn errors(&mut self) -> std::io::Lines<BufReader<ChildStderr>> {
        BufReader::new(self.child.stderr.take().unwrap()).lines()
    }

    /// Waits for its end; the exit status and standard error.
    #[track_caller]
    fn wait(&mut self) -> (Option<i32>, String) {
        let status = wait_for_end(&mut self.child);
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A server for one client: sends `bytes`, reads until the client's end of input if `reads` is set, and closes.
/// The thread returns what it has read.
fn scripted_server(bytes: impl Into<Vec<u8>>, reads: bool) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bytes = bytes.into();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        // Both fail if the client has left before; the tests check what the client shows.
        _ = stream.write_all(&bytes);
        if reads {
            _ = stream.read_to_end(&mut received);
        }
        received
    });
    (address, server)
}

/// A server at `port` that logs nothing.
fn quiet_server(port: &Port) -> Server {
    let mut command = common::program(&["-q", "-l", &port.address().to_string()]);
    command.stderr(Stdio::null());
    Server::spawn_without_log(command, port)
}

#[test]
fn standard_input_is_sent_and_received_lines_are_written() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    assert_eq!(run(server.address(), &[], b"one\ntwo\n"), success(format!("{WELCOME}\n")));
    other.expect_line("one");
    other.expect_line("two");
}

#[test]
fn an_unterminated_last_line_gets_a_line_end_in_both_directions() {
    let (address, server) = scripted_server("torn", true);
    assert_eq!(run(address, &[], b"one\ntwo"), success("torn\n"));
    assert_eq!(server.join().unwrap(), b"one\ntwo\n");
}

#[test]
fn an_empty_or_closed_standard_input_is_an_end_of_input() {
    let server = Server::start(&[]);
    let welcome = format!("{WELCOME}\n");
    for (redirection, output) in
        [("</dev/null", &welcome[..]), ("<&-", &welcome), ("</dev/null >&- 2>&-", "")]
    {
        let shell = client_in_shell(&format!("exec \"$0\" {} {redirection}", server.address()));
        assert_eq!(run_to_end(shell), success(output), "{redirection}");
    }
}

#[test]
fn twenty_megabytes_pass_both_ways_without_a_loss() {
    let folder = Folder::new("client-big");
    let line = |number: usize| format!("line {number} of a paste that is twenty megabytes long\n");
    let text = (0..410_000).map(line).collect::<String>();
    assert!(text.len() > 20_000_000);
    std::fs::write(folder.path("big"), &text).unwrap();
    let server = Server::start(&[]);
    let mut reader = client(server.address(), &["-f", "-n", "410001"]);
    let mut reader = reader.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(reader.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let mut sender = client(server.address(), &[]);
    sender.stdin(File::open(folder.path("big")).unwrap());
    let sender = thread::spawn(move || run_to_end(sender));
    let mut received = String::new();
    output.read_to_string(&mut received).unwrap();
    assert!(received == text, "{} of {} bytes arrived", received.len(), text.len());
    assert_eq!(wait_for_end(&mut reader).code(), Some(0));
    assert_eq!(sender.join().unwrap(), success(format!("{WELCOME}\n")));
}

#[test]
fn each_line_passes_at_once_in_both_directions() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let mut session = Session::start(client(server.address(), &[]));
    session.expect_line(WELCOME);
    for line in ["one", "two", ""] {
        other.send(format!("{line}\n"));
        session.expect_line(line);
        session.send(&format!("reply to {line}\n"));
        other.expect_line(format!("reply to {line}"));
    }
    session.close_input();
    assert_eq!(session.wait(), (Some(0), String::new()));
}

#[test]
fn send_sends_its_lines_instead_of_standard_input() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let options = ["--send", "one", "-s", "", "-s", "deux é"];
    assert_eq!(run(server.address(), &options, b"not read"), success(format!("{WELCOME}\n")));
    for line in ["one", "", "deux é"] {
        other.expect_line(line);
    }
}

#[test]
fn follow_reads_no_input_and_reports_the_lost_connection() {
    let server = Server::start(&[]);
    let mut session = Session::start(client(server.address(), &["--follow"]));
    session.expect_line(WELCOME);
    session.send("not read\n");
    let mut other = Client::join(&server);
    other.send("hello\n");
    session.expect_line("hello");
    server.signal("TERM");
    assert_eq!(session.wait(), (Some(1), format!("{LOST}\n")));
    other.expect_end();
}

#[test]
fn follow_sends_the_lines_of_send_first() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let mut session = Session::start(client(server.address(), &["-f", "-s", "/nick bot"]));
    session.expect_line(WELCOME);
    other.expect_line("/nick bot");
    other.send("hello\n");
    session.expect_line("hello");
}

#[test]
fn count_stays_after_the_end_of_the_input_and_ends_after_that_many_lines() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    let mut session = Session::start(client(server.address(), &["--count", "3"]));
    session.expect_line(WELCOME);
    session.send("over to you");
    session.close_input();
    other.expect_line("over to you");
    other.send("one\ntwo\nthree\n");
    session.expect_line("one");
    session.expect_line("two");
    assert_eq!(session.wait(), (Some(0), String::new()));
    assert!(session.lines.recv_timeout(time_limit()).is_err(), "a line beyond the count is written");
}

#[test]
fn count_sends_everything_even_if_the_welcome_line_is_enough() {
    let server = Server::start(&[]);
    let mut other = Client::join(&server);
    assert_eq!(run(server.address(), &["-n", "1", "-s", "hi"], b""), success(format!("{WELCOME}\n")));
    other.expect_line("hi");
}

#[test]
fn count_fails_if_the_server_closes_first() {
    let (address, _) = scripted_server("one\n", false);
    let lost = "connection lost: the server closed it";
    assert_eq!(run(address, &["-n", "2"], b""), failure("one\n", lost));
}

#[test]
fn lines_that_the_server_does_not_read_before_the_count_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = Folder::new("client-unread");
    // More than the sockets buffer.
    std::fs::write(folder.path("big"), "many lines\n".repeat(2_000_000)).unwrap();
    let mut command = client(address, &["-n", "1"]);
    command.stdin(File::open(folder.path("big")).unwrap());
    let mut session = Session::start_with_stdin_of(command);
    let (mut stream, _) = listener.accept().unwrap();
    wait_for_a_full_socket(&stream);
    stream.write_all(b"hello\n").unwrap();
    session.expect_line("hello");
    drop(stream);
    let (status, error) = session.wait();
    assert_eq!(status, Some(1));
    let error = error.strip_prefix("hubbub-client: connection lost: ").unwrap();
    assert!(error.ends_with("; the last lines may not have arrived\n"), "{error}");
}

/// Waits until the client has bytes that it cannot send to `stream`.
#[track_caller]
fn wait_for_a_full_socket(stream: &TcpStream) {
    let port = stream.local_addr().unwrap().port();
    eventually("the server's receive buffer is full", || {
        let is_full = |entry: &common::TcpEntry| entry.peer_port == port && entry.unsent > 0;
        common::tcp_table().iter().any(is_full).then_some(())
    });
}

#[test]
fn a_vanished_server_is_detected_even_while_data_is_unacknowledged() {
    let folder = Folder::new("client-traced");
    let trace = |options: &[&str]| {
        let (address, _) = scripted_server("hello\n", true);
        let address = address.to_string();
        let arguments = [options, &[&address]].concat();
        let command = traced_client(&folder, &["-e", "trace=setsockopt"], &arguments);
        assert_eq!(run_to_end(command), success("hello\n"));
        std::fs::read_to_string(folder.path("trace")).unwrap()
    };
    let trace_of_send = trace(&["-s", "hi"]);
    assert!(trace_of_send.contains("TCP_USER_TIMEOUT, [120000]"), "{trace_of_send}");
    // A server may take longer than that to read a large file.
    let trace_of_input = trace(&[]);
    let has_keepalive = trace_of_input.contains("SO_KEEPALIVE, [1]");
    assert!(has_keepalive && !trace_of_input.contains("TCP_USER_TIMEOUT"), "{trace_of_input}");
}

#[test]
fn timeout_limits_the_time_to_leave() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello\n").unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        // The stream is returned, so that it stays open.
        (stream, received)
    });
    let start = Instant::now();
    let options = ["-n", "1", "--timeout", "0.5", "-s", "hi"];
    assert_eq!(run(address, &options, b""), failure("hello\n", "timed out after 0.5 s (--timeout)"));
    // Without --timeout the client waits for 30 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(server.join().unwrap().1, b"hi\n");
}

#[test]
fn timeout_fails_only_if_the_client_is_not_done_before() {
    let server = Server::start(&[]);
    let welcome = format!("{WELCOME}\n");
    let timed_out = failure(&welcome, "timed out after 0.2 s (--timeout)");
    for (options, input, expected) in [
        (&["--timeout", "0.2", "-f"][..], &b""[..], timed_out.clone()),
        (&["--timeout", "0.2", "-n", "2"], b"", timed_out),
        (&["--timeout", "20", "-n", "1"], b"", success(&welcome)),
        (&["--timeout", "20"], b"hi\n", success(&welcome)),
    ] {
        assert_eq!(run(server.address(), options, input), expected, "{options:?}");
    }
}

#[test]
fn timeout_limits_the_time_to_connect() {
    let folder = Folder::new("client-backlog");
    let path = folder.path("room");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    // A connection that is not accepted fills the queue.
    let _first = UnixStream::connect(&path).unwrap();
    let address = format!("unix:{}", path.display());
    let timed_out = failure("", "timed out after 0.2 s (--timeout)");
    assert_eq!(run(address, &["--timeout", "0.2"], b""), timed_out);
}

/// The client writes `first` and then ends without an error, because its standard output is closed.
#[track_caller]
fn check_quiet_end_without_reader(address: SocketAddr, first: &str) {
    let mut child = client(address, &["-f"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = vec![0; first.len()];
    child.stdout.take().unwrap().read_exact(&mut output).unwrap();
    assert_eq!(String::from_utf8_lossy(&output), first);
    assert_eq!(wait_for_end(&mut child).code(), Some(0));
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
}

#[test]
fn a_closed_standard_output_ends_the_client_without_a_write() {
    check_quiet_end_without_reader(Server::start(&[]).address(), &format!("{WELCOME}\n"));
}

#[test]
fn a_closed_standard_output_ends_the_client_while_it_has_lines_to_write() {
    // More than a pipe buffers.
    let (address, _) = scripted_server("many lines\n".repeat(20_000), true);
    check_quiet_end_without_reader(address, "many lines\n");
}

#[test]
fn a_full_disk_is_reported() {
    let server = Server::start(&[]);
    let mut child = client(server.address(), &["-n", "1"]);
    child.stdout(File::options().write(true).open("/dev/full").unwrap()).stderr(Stdio::piped());
    let output = child.output().unwrap();
    let error = "hubbub-client: cannot write to standard output: No space left on device\n";
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), error));
}

#[test]
fn a_line_without_end_takes_bounded_memory_and_is_reported() {
    let bytes =
        [b"one\n", &vec![1; 60_000_000][..], b"\ntwo\n", &vec![b'x'; MAX_LINE + 1], b"\nthree\n"].concat();
    let (address, _) = scripted_server(bytes, true);
    // The limit is in kB of address space; threads take more of it than of memory.
    let shell = client_in_shell(&format!("ulimit -v 400000; exec \"$0\" -n 3 {address}"));
    let errors = "hubbub-client: a line longer than 16 MiB was not shown\n".repeat(2);
    assert_eq!(run_to_end(shell), (Some(0), "one\ntwo\nthree\n".to_owned(), errors));
}

#[test]
fn the_longest_line_is_shown_whole() {
    let line = [&vec![b'x'; MAX_LINE][..], b"\n"].concat();
    let (address, _) = scripted_server(line.clone(), true);
    // `output` reads while the client runs: the line is longer than a pipe buffers.
    let output = client(address, &["-n", "1"]).output().unwrap();
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
    assert!(output.stdout == line, "{} bytes", output.stdout.len());
}

#[test]
fn control_characters_are_escaped_unless_raw() {
    let bytes = b"a\x1b[2J\xC2\x9B\xFF\r\nb\x07\n";
    let (address, _) = scripted_server(bytes, true);
    assert_eq!(run(address, &[], b""), success("a\\x1B[2J\\x9B\\xFF\nb\\x07\n"));
    let (address, _) = scripted_server(bytes, true);
    let output = client(address, &["--raw"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &bytes[..]));
}

#[test]
fn a_pipe_gets_neither_colour_nor_prompt() {
    let text = "<alice> hi\n* bob left\n";
    let (address, _) = scripted_server(text, true);
    let mut command = client(address, &[]);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    assert_eq!(run_to_end(command), success(text));
}

#[test]
fn timestamps_are_in_local_time() {
    let seconds_in = |zone: &str| {
        let (address, _) = scripted_server("hi\n", true);
        let mut command = client(address, &["--timestamps"]);
        command.env("TZ", zone);
        let (_, output, _) = run_to_end(command);
        let (time, line) = output.split_once(' ').unwrap();
        let parts = time.split(':').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
        assert_eq!((parts.len(), time.len(), line), (3, 8, "hi\n"), "{output}");
        parts[0] * 3600 + parts[1] * 60 + parts[2]
    };
    let (utc, india) = (seconds_in("UTC0"), seconds_in("IST-5:30"));
    // 5 hours and 30 minutes apart, and up to a minute between the two runs.
    let difference = (india + 24 * 3600 - utc) % (24 * 3600);
    assert!((19_800..19_860).contains(&difference), "{difference}");
}

#[test]
fn a_connection_that_the_server_closes_before_the_end_of_input_is_lost() {
    let (address, _) = scripted_server("* goodbye\n", false);
    let mut session = Session::start(client(address, &[]));
    session.expect_line("* goodbye");
    assert_eq!(session.wait(), (Some(1), format!("{LOST}\n")));
}

#[test]
fn a_refusal_fails_whatever_the_client_was_to_send() {
    let refusal = "hubbub-client: the server refused the connection; its message says why\n";
    for view in ["plain", "named", "json"] {
        for limit in [["-m", "1"], ["--max-per-ip", "1"]] {
            let mut command = common::program(&["-l", &format!("{view}:127.0.0.1:0")]);
            command.args(limit).args(["-w", ""]);
            let server = Server::spawn(command);
            let _only = Client::connect(server.address());
            let check = |(status, output, error): Outcome, case: &dyn std::fmt::Debug| {
                assert_eq!((status, &error[..]), (Some(1), refusal), "{view} {limit:?} {case:?}: {output}");
                assert!(output.contains("try again later") && output.lines().count() == 1, "{output}");
            };
            for (options, input) in [
                (&["--send", "hi"][..], ""),
                (&[], "hi\n"),
                (&[], ""),
                (&["-n", "1"], ""),
                (&["-s", "hi", "-n", "2"], ""),
            ] {
                check(run(server.address(), options, input.as_bytes()), &(options, input));
            }
            // The end of the input has not come yet.
            let mut session = Session::start(client(server.address(), &[]));
            let output = session.lines.recv_timeout(time_limit()).unwrap();
            let (status, error) = session.wait();
            check((status, output, error), &"an open pipe");
        }
    }
}

#[test]
fn no_other_notice_is_taken_for_a_refusal() {
    let server = Server::spawn(common::program(&["-l", "named:127.0.0.1:0", "-w", ""]));
    assert_eq!(run(server.address(), &["-s", "/who"], b""), success("* 1 here: anon1\n"));
    for text in ["* try again\n", "* the room closes\n", "* welcome\n* full: try again later\n"] {
        let (address, server) = scripted_server(text, true);
        assert_eq!(run(address, &["-s", "hi"], b""), success(text));
        assert_eq!(server.join().unwrap(), b"hi\n");
    }
    let server = Server::start(&["-w", ""]);
    assert_eq!(run(server.address(), &["-s", "hi"], b""), success(""));
}

#[test]
fn a_failed_connect_is_reported_in_one_line() {
    let port = Port::reserve();
    let expected = failure("", &format!("{}; {ADVICE}", refused(port.address())));
    assert_eq!(run(port.address(), &[], b""), expected);
    let missing = "cannot connect to \"unix:/nowhere/at/all\": No such file or directory";
    assert_eq!(run("unix:/nowhere/at/all", &[], b""), failure("", &format!("{missing}; {ADVICE}")));
    let (status, _, error) = run("a..b:1", &[], b"");
    let start = "hubbub-client: cannot connect to \"a..b:1\": ";
    assert!(status == Some(1) && error.starts_with(start), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn without_an_address_a_script_connects_to_the_plain_view() {
    let folder = Folder::new("client-default");
    let expected = failure("", &format!("{}; {ADVICE}", refused("127.0.0.1:9090")));
    for options in [&[][..], &["-s", "hi"], &["-f"], &["-n", "1"], &["--timeout", "60"]] {
        // Each connect fails, whatever listens on this machine.
        let command = traced_client(&folder, &["-e", "inject=connect:error=ECONNREFUSED"], options);
        assert_eq!(run_to_end(command), expected, "{options:?}");
    }
}

#[test]
fn the_client_connects_to_a_unix_socket() {
    let folder = Folder::new("client-unix");
    let listener = UnixListener::bind(folder.path("room")).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"welcome\n").unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).unwrap();
        received
    });
    let address = format!("unix:{}", folder.path("room").display());
    assert_eq!(run(address, &[], b"hi\n"), success("welcome\n"));
    assert_eq!(server.join().unwrap(), "hi\n");
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
        let (status, output, error) = run("127.0.0.1:1", options, b"");
        assert_eq!((status, &output[..], error.lines().count()), (Some(2), "", 1), "{options:?}: {error}");
        let hint = "(hubbub-client --help lists the options)\n";
        assert!(error.starts_with("hubbub-client: ") && error.ends_with(hint), "{error}");
    }
    for (option, part) in [("--help", "Usage: hubbub-client [OPTIONS] [ADDR]"), ("-V", "hubbub-client 0.")] {
        let (status, output, error) = run("127.0.0.1:1", &[option], b"");
        assert!(status == Some(0) && output.contains(part) && error.is_empty(), "{option}: {output}{error}");
    }
}

#[test]
fn reconnect_sends_standard_input_to_one_server_after_the_other() {
    let port = Port::reserve();
    let server = quiet_server(&port);
    let mut session = Session::start(client(port.address(), &["--reconnect"]));
    session.expect_line(WELCOME);
    let mut other = Client::join(&server);
    session.send("one\n");
    other.expect_line("one");
    server.signal("TERM");
    let mut errors = session.errors();
    assert_eq!(errors.next().unwrap().unwrap(), format!("{LOST}; connecting again in 1 s"));
    server.wait();
    let server = quiet_server(&port);
    session.expect_line(WELCOME);
    let mut other = Client::join(&server);
    session.send("three\n");
    other.expect_line("three");
    session.close_input();
    assert_eq!(wait_for_end(&mut session.child).code(), Some(0));
}

#[test]
fn follow_with_reconnect_reports_each_attempt() {
    let port = Port::reserve();
    let mut session = Session::start(client(port.address(), &["-f", "--reconnect"]));
    let mut errors = session.errors();
    let mut next_error = || errors.next().unwrap().unwrap();
    let refused = refused(port.address());
    assert_eq!(next_error(), format!("hubbub-client: {refused}; connecting again in 1 s"));
    let server = quiet_server(&port);
    session.expect_line(WELCOME);
    server.signal("TERM");
    assert_eq!(next_error(), format!("{LOST}; connecting again in 2 s"));
}

#[test]
fn a_close_after_quit_is_no_lost_connection() {
    let (_server, addresses) = Server::start_in_views(&[]);
    for (input, status) in
        [("/quit\n", 0), ("hi\n/quit now\n", 0), ("/quit\r\0", 0), ("/quite\n", 1), ("//quit\nhi\n", 1)]
    {
        let server = Server::start(&["-l", "named:127.0.0.1:0"]);
        let address = if status == 0 { addresses[1] } else { server.address() };
        let mut session = Session::start(client(address, &[]));
        session.expect_line(WELCOME);
        // The input stays open.
        session.send(input);
        if status != 0 {
            server.signal("TERM");
        }
        let (ended, error) = session.wait();
        assert_eq!((ended, error.starts_with(LOST)), (Some(status), status != 0), "{input:?}: {error}");
    }
}

#[test]
fn quit_is_chat_in_the_plain_view_so_a_close_after_it_is_a_lost_connection() {
    let server = Server::start(&[]);
    let mut session = Session::start(client(server.address(), &[]));
    session.expect_line(WELCOME);
    let mut other = Client::join(&server);
    session.send("hi\n/quit\n");
    other.expect_line("hi");
    other.expect_line("/quit");
    server.signal("TERM");
    assert_eq!(session.wait(), (Some(1), format!("{LOST}\n")));
}

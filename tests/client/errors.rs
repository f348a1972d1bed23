//! How the client in a script fails: timeouts, closed outputs, lost connections, refusals, wrong options.

use crate::common::{
    self, Client, Folder, Port, Server, WELCOME, eventually, run_to_end, time_limit, wait_for_end,
};
use crate::session::{
    ADVICE, CLIENT, LOST, Outcome, Session, client, failure, quiet_server, refused, run, scripted_server,
    success, traced_client,
};
use hubbub::chat::text::{IS_PROXY, NEEDS_TLS, NOT_ALLOWED};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

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
fn a_failed_connect_is_reported_in_one_line() {
    let port = Port::reserve();
    let expected = failure("", &format!("{}; {ADVICE}", refused(port.address())));
    assert_eq!(run(port.address(), &[], b""), expected);
    let missing = "cannot connect to \"unix:/nowhere/at/all\": No such file or directory";
    assert_eq!(run("unix:/nowhere/at/all", &[], b""), failure("", &format!("{missing}; {ADVICE}")));
    let file = format!("unix:{CLIENT}");
    let no_socket = format!("cannot connect to \"{file}\": it is not a socket; {ADVICE}");
    assert_eq!(run(file, &[], b""), failure("", &no_socket));
    let (status, _, error) = run("a..b:1", &[], b"");
    let start = "hubbub-client: cannot connect to \"a..b:1\": ";
    assert!(status == Some(1) && error.starts_with(start), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_connection_that_the_server_closes_before_the_end_of_input_is_lost() {
    let (address, _) = scripted_server("* goodbye\n", false);
    let mut session = Session::start(client(address, &[]));
    session.expect_line("* goodbye");
    assert_eq!(session.wait(), (Some(1), format!("{LOST}\n")));
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
fn a_client_that_may_not_come_in_fails() {
    let folder = Folder::new("client-denied");
    let list = folder.path("list");
    std::fs::write(&list, "deny 127.0.0.0/8\n").unwrap();
    let refused = |address, text: &str, case: &str| {
        for options in [&[][..], &["-s", "hi"], &["-n", "1"]] {
            let (status, output, error) = run(address, options, b"hi\n");
            assert_eq!(
                (status, &error[..]),
                (Some(1), "hubbub-client: the server refused the connection; its message says why\n"),
                "{case} {options:?}: {output}"
            );
            assert!(output.contains(text), "{output}");
        }
    };
    for (options, text) in
        [(["--access", list.to_str().unwrap()], NOT_ALLOWED), (["--proxy-from", "127.0.0.1"], IS_PROXY)]
    {
        let (_server, addresses) = Server::start_in_views(&options);
        for (address, view) in addresses.into_iter().zip(["plain", "named", "json"]) {
            refused(address, text, view);
        }
    }
    for line in
        [format!("* {NEEDS_TLS}hurry\n"), format!("{{\"type\":\"error\",\"text\":\"{NEEDS_TLS}hurry\"}}\n")]
    {
        for options in [&[][..], &["-s", "hi"]] {
            let (address, _) = scripted_server(&*line, true);
            assert_eq!(run(address, options, b"hi\n").0, Some(1), "{line} {options:?}");
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
fn a_wrong_command_line_is_status_2_and_help_is_0() {
    for options in [
        &["--loud"][..],
        &["--count", "0"],
        &["--timeout", "NaN"],
        &["-s", "a\nb"],
        &["-s", ""],
        &["--nick", "a b"],
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
    for (option, part) in
        [("--help", "Usage: hubbub-client [OPTIONS] [ADDR | HOST PORT]"), ("-V", "hubbub-client 0.")]
    {
        let (status, output, error) = run("127.0.0.1:1", &[option], b"");
        assert!(status == Some(0) && output.contains(part) && error.is_empty(), "{option}: {output}{error}");
    }
}

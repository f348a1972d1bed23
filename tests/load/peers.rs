//! What the load tool connects to: its address, listeners in another view, and servers that send without end.

use super::{Protocol, Server, expect_error, listen, run_to_end};
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;

#[test]
fn a_host_and_a_port_may_be_two_arguments_as_for_nc() {
    let server = Server::start(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(["-c", "2", "127.0.0.1", &server.address().port().to_string(), "-n", "9"]);
    command.stdin(Stdio::null());
    let (status, _, errors) = run_to_end(command);
    assert_eq!((status, &errors[..]), (Some(0), ""));
}

#[test]
fn a_listener_in_another_view_is_named_instead_of_counting_lost_lines() {
    for welcome in ["Welcome.", ""] {
        let (_server, addresses) = Server::start_in_views(&["-w", welcome, "--history", "5"]);
        for (view, address) in [("named", addresses[1]), ("json", addresses[2])] {
            // Without a greeting, a single client receives nothing that could show the view.
            let alone = if welcome.is_empty() { &[][..] } else { &["-c 1 -n 9"] };
            for options in ["--verify -c 1", "-c 5"].iter().chain(alone) {
                let why = expect_error(address, options, 1);
                let expected = format!(
                    "\"{address}\" is a listener in the {view} view: \
                     hubbub-load needs one in the plain view, by default port 9090"
                );
                assert_eq!(why, expected);
            }
        }
    }
}

/// Starts a server that sends `start`, then `more` without end, and never reads; returns its address.
fn send_without_end(start: &'static str, more: &'static [u8]) -> String {
    let (listener, address) = listen();
    let send = move |mut socket: TcpStream| {
        let chunk = more.repeat(64 * 1024 / more.len());
        socket.write_all(start.as_bytes())?;
        loop {
            socket.write_all(&chunk)?;
        }
    };
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            // Ends when the client has left.
            thread::spawn(move || -> std::io::Result<()> { send(socket) });
        }
    });
    address
}

#[test]
fn a_server_that_sends_without_end_takes_bounded_memory() {
    let [nats, redis] = [Protocol::Nats, Protocol::Redis].map(|protocol| protocol.handshake().2);
    for (protocol, start, more) in [
        ("nats", "INFO {}\r\n", &b"PING\r\n"[..]),
        ("nats", nats, b"PING\r\n"),
        ("nats", "MSG room 1 999999999999\r\n", b"x"),
        ("nats", "", b"x"),
        ("redis", "%1\r\n$5\r\nproto\r\n:3\r\n", b">2\r\n$4\r\nnews\r\n:1\r\n"),
        ("redis", redis, b"-ERR no\r\n"),
        ("redis", "$999999999999\r\n", b"x"),
        ("redis", ">999999999999\r\n", b":1\r\n"),
        ("redis", redis, b"*1\r\n"),
        ("lines", "", b"x"),
        ("lines", "", b"* no\n"),
    ] {
        let address = send_without_end(start, more);
        let mut command = Command::new("sh");
        // In KiB: twice of what the program needs.
        command.args(["-c", "ulimit -v 20000 && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_hubbub-load")]);
        command.args(["-c", "2", "-s", "1", "-n", "1", "--timeout", "0.3", "--protocol", protocol, &address]);
        let (status, _, errors) = run_to_end(command);
        assert_eq!(status, Some(1), "{protocol} {start:?} {more:?}: {errors}");
        assert!(errors.is_empty() || errors.contains(" of 2 clients receive lines"), "{start:?}: {errors}");
    }
}

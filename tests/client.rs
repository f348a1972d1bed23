//! The client in scripts, against the real server and against scripted servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;
#[path = "client/errors.rs"]
mod errors;
#[path = "client/nick.rs"]
mod nick;
#[path = "client/password.rs"]
mod password;
#[path = "client/quiet.rs"]
mod quiet;
#[path = "client/session.rs"]
mod session;
#[cfg(feature = "tls")]
#[path = "client/tls.rs"]
mod tls;

use common::{Client, Folder, Server, WELCOME, run_to_end, time_limit, wait_for_end};
use session::{
    ADVICE, CLIENT, LOST, Session, client, client_in_shell, failure, refused, run, scripted_server, success,
    traced_client,
};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Command, Stdio};
use std::thread;

/// The longest line that the client shows.
const MAX_LINE: usize = 16 * 1024 * 1024;

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
    let options = ["--send", "one", "-s", " two ", "-s", "deux é"];
    assert_eq!(run(server.address(), &options, b"not read"), success(format!("{WELCOME}\n")));
    for line in ["one", " two ", "deux é"] {
        other.expect_line(line);
    }
}

#[test]
fn a_host_and_a_port_may_be_two_arguments_as_for_nc() {
    let server = Server::start(&[]);
    let port = server.address().port().to_string();
    for arguments in
        [&["127.0.0.1", &port][..], &["-s", "hi", "localhost", &port], &["127.0.0.1", "-f", &port, "-n", "1"]]
    {
        let mut command = Command::new(CLIENT);
        command.args(arguments).stdin(Stdio::null());
        assert_eq!(run_to_end(command), success(format!("{WELCOME}\n")), "{arguments:?}");
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
fn the_client_connects_to_a_unix_socket_and_to_an_abstract_one() {
    let folder = Folder::new("client-unix");
    let name = format!("hubbub-test-{}-client", std::process::id());
    let file = UnixListener::bind(folder.path("room")).unwrap();
    let in_memory = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for (listener, address) in
        [(file, format!("unix:{}", folder.path("room").display())), (in_memory, format!("unix:@{name}"))]
    {
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"welcome\n").unwrap();
            let mut received = String::new();
            stream.read_to_string(&mut received).unwrap();
            received
        });
        assert_eq!(run(&address, &[], b"hi\n"), success("welcome\n"), "{address}");
        assert_eq!(server.join().unwrap(), "hi\n");
    }
}

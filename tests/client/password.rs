//! `--password-file`: the server asks for a password before anything else.

use crate::common::{Folder, time_limit};
use crate::session::{Outcome, Session, client, failure, run, scripted_server, success};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

const SECRET: &str = "open sesame";
const PROMPTS: [&str; 2] = ["* password:\n", "{\"type\":\"notice\",\"text\":\"password:\",\"at\":\"x\"}\n"];

/// A server for one client: sends `prompt`, reads a line, and then sends `rest` and reads until the end of the input if
/// the line is the password. The thread returns everything that it has read.
fn asking_server(prompt: &'static str, rest: &'static str) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(time_limit())).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut received = String::new();
        stream.write_all(prompt.as_bytes()).unwrap();
        _ = reader.read_line(&mut received);
        if received == format!("{SECRET}\n") {
            // Fails if the client has left before; the tests check what the client shows.
            _ = stream.write_all(rest.as_bytes());
            _ = reader.read_to_string(&mut received);
        } else {
            _ = stream.write_all(b"* wrong password\n");
        }
        received
    });
    (address, server)
}

/// Runs the client with a password file that contains `text`.
#[track_caller]
fn run_with(text: &str, address: impl ToString, options: &[&str], input: &str) -> Outcome {
    let folder = Folder::new(&format!("client-password-{:?}", thread::current().id()));
    std::fs::write(folder.path("secret"), text).unwrap();
    let path = folder.path("secret").display().to_string();
    let (status, output, error) =
        run(address, &[options, &["--password-file", &path]].concat(), input.as_bytes());
    (status, output, error.replace(&path, "FILE"))
}

#[test]
fn the_password_is_sent_before_anything_else_and_the_prompt_is_not_shown() {
    const REST: &str = "Welcome.\n* you are anon1 (1 here); /help lists the commands\n";
    for prompt in PROMPTS {
        for (options, input, sent) in [
            (&[][..], "one\ntwo\n", "one\ntwo\n"),
            (&["-s", "one"], "", "one\n"),
            (&["-s", "one", "-n", "2"], "", "one\n"),
            (&[], "", ""),
        ] {
            let (address, server) = asking_server(prompt, REST);
            assert_eq!(run_with(&format!("{SECRET}\nmore\n"), address, options, input), success(REST));
            assert_eq!(server.join().unwrap(), format!("{SECRET}\n{sent}"), "{options:?}");
        }
    }
}

#[test]
fn the_name_is_asked_for_after_the_password() {
    const REST: &str = "Welcome.\n* you are anon1 (1 here); /help lists the commands\n* you are bob now\n";
    let (address, server) = asking_server(PROMPTS[0], REST);
    assert_eq!(run_with(SECRET, address, &["--nick", "bob", "-s", "hi"], ""), success(REST));
    assert_eq!(server.join().unwrap(), format!("{SECRET}\n/nick bob\nhi\n"));
}

#[test]
fn a_server_that_does_not_ask_in_its_first_line_does_not_get_the_password() {
    let note = "hubbub-client: the server did not ask for a password, so none was sent\n";
    for text in ["Welcome.\n* password:\n", "<bob> password:\n", "password:\n", ""] {
        let (address, server) = scripted_server(text, true);
        let (status, output, error) = run_with(SECRET, address, &["-s", "hi"], "");
        assert_eq!((status, &*output, &*error), (Some(0), text, note));
        assert_eq!(server.join().unwrap(), b"hi\n", "{text:?}");
    }
}

#[test]
fn a_wrong_password_fails_and_the_client_does_not_connect_again() {
    let refused = "--password-file: the server refused the password";
    for options in [&["-s", "hi"][..], &["-f", "--reconnect"], &["-n", "1"], &["--nick", "bob"]] {
        let (address, server) = asking_server(PROMPTS[0], "");
        let expected = failure("* wrong password\n", refused);
        assert_eq!(run_with("guess", address, options, ""), expected, "{options:?}");
        assert_eq!(server.join().unwrap(), "guess\n");
    }
}

#[test]
fn without_a_password_file_the_first_line_of_a_script_is_the_password() {
    let (address, server) = asking_server(PROMPTS[0], "Welcome.\n");
    let input = format!("{SECRET}\nhi\n");
    assert_eq!(run(address, &[], input.as_bytes()), success("* password:\nWelcome.\n"));
    assert_eq!(server.join().unwrap(), input);
    let (address, server) = asking_server(PROMPTS[0], "Welcome.\n");
    let refused = "the server refused the password; --password-file FILE sends one";
    assert_eq!(run(address, &["-s", "hi"], b""), failure("* password:\n* wrong password\n", refused));
    assert_eq!(server.join().unwrap(), "hi\n");
    let (address, server) = asking_server(PROMPTS[0], "Welcome.\n");
    let missing = "the server asks for a password: give it with --password-file FILE";
    let (status, _, error) = run(address, &["--nick", "bob", "-s", "hi"], b"");
    assert_eq!((status, error), (Some(1), format!("hubbub-client: {missing}\n")));
    assert_eq!(server.join().unwrap(), "");
}

#[test]
fn a_file_without_a_password_is_reported_before_the_client_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for (text, why) in [
        ("\nsecret\n", "the first line is empty: it must be the password"),
        (&*"x".repeat(1025), "the first line is longer than 1024 bytes: it must be the password"),
    ] {
        let expected = failure("", &format!("--password-file \"FILE\": {why}"));
        assert_eq!(run_with(text, address, &[], ""), expected);
    }
    let missing = failure("", "--password-file \"/nowhere/secret\": No such file or directory");
    assert_eq!(run(address, &["--password-file", "/nowhere/secret"], b""), missing);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "the client has connected");
}

#[test]
fn each_connection_gets_the_password_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new("client-password-again");
    std::fs::write(folder.path("secret"), SECRET).unwrap();
    let path = folder.path("secret").display().to_string();
    let options = ["-f", "--reconnect", "--password-file", &path];
    let mut session = Session::start(client(listener.local_addr().unwrap(), &options));
    for number in 0..2 {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(PROMPTS[0].as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("{SECRET}\n"));
        stream.write_all(format!("welcome {number}\n").as_bytes()).unwrap();
        session.expect_line(&format!("welcome {number}"));
    }
}

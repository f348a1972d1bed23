//! The client on a terminal asks the user for the password that the server asks for.

use crate::host::*;
use crate::screen::Terminal;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;

const SECRET: &str = "open sesame";
const TERMS: [&str; 2] = ["xterm-256color", "dumb"];

/// A client whose server has asked for a password.
#[track_caller]
fn asked(term: &str, options: &[&str]) -> Host {
    let mut host = Host::start_with(options, |command| _ = command.env("TERM", term));
    host.send("* password:\n");
    host.terminal.expect_screen(&["Password:"]);
    host
}

#[test]
fn the_user_is_asked_for_the_password_and_it_is_not_shown() {
    for term in TERMS {
        for options in [&[][..], &["--quiet"]] {
            let mut host = asked(term, options);
            host.type_keys("open x\x7fsesame\n");
            host.expect_line(SECRET);
            host.send("* you are anon1 (1 here)\n<bob> good morning\n");
            host.terminal.expect_output("good morning");
            host.type_keys("hello\n");
            host.expect_line("hello");
            assert!(!host.terminal.output().contains("sesame"), "{}", host.terminal.output());
            host.type_keys("exit\n");
            host.expect_end();
            host.close(0);
        }
    }
}

#[test]
fn the_password_that_the_user_has_entered_is_sent_again_after_a_reconnect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let command = client(listener.local_addr().unwrap(), &["--reconnect"]);
    let mut terminal = Terminal::start(&command, COLUMNS);
    for is_first in [true, false] {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"* password:\n").unwrap();
        if is_first {
            terminal.expect_screen(&["Password:"]);
            terminal.type_keys(&format!("{SECRET}\n"));
        }
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("{SECRET}\n"));
        stream.write_all(b"Welcome.\n").unwrap();
        terminal.expect_output("Welcome.");
    }
}

#[test]
fn a_wrong_password_ends_the_client() {
    let mut host = asked(TERMS[0], &["--reconnect"]);
    host.type_keys("guess\n");
    host.expect_line("guess");
    host.send("* wrong password\n");
    let terminal = host.close(1);
    terminal.expect_output("* wrong password");
    terminal.expect_output("hubbub-client: the server refused the password; --password-file FILE sends one");
}

#[test]
fn ctrl_c_and_a_server_that_does_not_wait_end_the_client_and_the_terminal_is_restored() {
    for options in [&[][..], &["--quiet"]] {
        let mut host = asked(TERMS[0], options);
        host.type_keys(CTRL_C);
        assert_eq!(host.terminal.wait().signal(), Some(2), "{options:?}");
        assert!(host.terminal.is_restored());
        let host = asked(TERMS[0], options);
        let terminal = host.close(1);
        terminal.expect_output("hubbub-client: the server did not wait for the password");
        assert!(terminal.is_restored());
    }
}

//! The client as a job of a shell: it is stopped, and goes on in the foreground or in the background.

use crate::common::{eventually, signal, time_limit};
use crate::host::*;
use crate::screen::Terminal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

/// The shell puts the client into the background, and into the foreground again after [`Shell::use_shell`].
const BACKGROUND: &str = "bg; read again; echo \"read $again\"; read again; fg";

/// A shell on a terminal, with a client as its job, and the server's side of its connection.
struct Shell {
    terminal: Terminal,
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Shell {
    /// The same on a terminal that cannot move its cursor, where there is no prompt.
    #[track_caller]
    fn start_plain(script: &str) -> Self {
        Self::start_with("dumb", "", script)
    }

    #[track_caller]
    fn start(script: &str) -> Self {
        Self::start_with("xterm-256color", "> ", script)
    }

    /// The user has typed a part of a line. When the client stops, the shell sets its own modes and runs `script`.
    #[track_caller]
    fn start_with(term: &str, prompt: &str, script: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // With job control: without it, the kernel ignores the stop signal of a terminal.
        let mut shell = Command::new("sh");
        shell.args(["-mc", &format!("\"$0\" \"$1\"; stty sane; echo stopped; {script}"), CLIENT]);
        shell.arg(listener.local_addr().unwrap().to_string()).env("TERM", term);
        let mut terminal = Terminal::start(&shell, COLUMNS);
        let mut stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(time_limit())).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"Welcome.\n").unwrap();
        terminal.expect_last_rows(&[&["Welcome."], &[prompt.trim_end()][..prompt.len() / 2]].concat());
        terminal.type_keys("half a li");
        terminal.expect_screen(&["Welcome.", &format!("{prompt}half a li")]);
        Self { terminal, stream, lines }
    }

    /// Stops the client, with a key or with a signal.
    #[track_caller]
    fn stop(&mut self, key: Option<&str>) {
        match key {
            Some(key) => self.terminal.type_keys(key),
            None => signal(self.terminal.job(), "STOP"),
        }
        self.terminal.expect_output("stopped");
        eventually("the modes are those of the shell", || self.terminal.is_restored().then_some(()));
    }

    /// Stops the client. While it is in the background, the shell reads what is typed, in its own modes.
    #[track_caller]
    fn use_shell(&mut self, key: Option<&str>) {
        self.stop(key);
        self.stream.write_all(b"received meanwhile\n").unwrap();
        self.terminal.type_keys("for the shell\n");
        self.terminal.expect_output("read for the shell");
        assert!(self.terminal.is_restored());
        self.terminal.type_keys("again\n");
    }

    #[track_caller]
    fn expect_line(&mut self, line: &str) {
        let mut received = String::new();
        self.lines.read_line(&mut received).unwrap();
        assert_eq!(received, format!("{line}\n"));
    }

    /// The client edits the line, below what it has received meanwhile, and then leaves.
    #[track_caller]
    fn expect_editing(mut self) {
        self.terminal.expect_last_rows(&["received meanwhile", "> half a li"]);
        assert!(!self.terminal.is_restored());
        self.terminal.type_keys("nex");
        self.terminal.expect_last_rows(&["received meanwhile", "> half a linex"]);
        self.terminal.type_keys("\x7f\r");
        self.expect_line("half a line");
        // Before the next prompt the terminal has its own modes, in which the key would not reach the client.
        self.terminal.expect_last_rows(&["> half a line", ">"]);
        self.terminal.type_keys(CTRL_D);
        self.stream.read_to_end(&mut Vec::new()).unwrap();
        drop((self.stream, self.lines));
        assert_eq!(self.terminal.wait().code(), Some(0));
    }
}

#[test]
fn a_stopped_client_goes_on_with_its_line_in_the_foreground() {
    for key in [Some(CTRL_Z), None] {
        let mut shell = Shell::start("read again; fg");
        shell.stop(key);
        shell.stream.write_all(b"received meanwhile\n").unwrap();
        shell.terminal.type_keys("again\n");
        shell.expect_editing();
    }
}

#[test]
fn in_the_background_a_client_stays_connected_and_leaves_the_terminal_alone() {
    for key in [Some(CTRL_Z), None] {
        let mut shell = Shell::start(BACKGROUND);
        shell.use_shell(key);
        shell.expect_editing();
    }
}

#[test]
fn a_plain_terminal_is_left_and_taken_again_in_the_same_way() {
    for key in [Some(CTRL_Z), None] {
        let mut shell = Shell::start_plain(BACKGROUND);
        shell.use_shell(key);
        shell.terminal.expect_last_rows(&["half a li"]);
        shell.terminal.type_keys("ne\r");
        shell.expect_line("half a line");
        shell.terminal.expect_last_rows(&["half a line", "received meanwhile"]);
    }
}

#[test]
fn a_client_in_the_background_ends_when_the_connection_is_lost() {
    for key in [Some(CTRL_Z), None] {
        let mut shell = Shell::start("bg; wait; echo \"status $?\"");
        shell.stop(key);
        drop((shell.stream, shell.lines));
        assert_eq!(shell.terminal.wait().code(), Some(0));
        shell.terminal.expect_output(LOST);
    }
}

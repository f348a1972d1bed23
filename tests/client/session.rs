//! Runs the client with redirected files, and the servers that it connects to.

use crate::common::{Folder, Port, Server, run_to_end, time_limit, wait_for_end};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_hubbub-client");

/// The error after the server has closed the connection.
pub(crate) const LOST: &str = "hubbub-client: connection lost: the server closed it";

/// Exit status, standard output and standard error.
pub(crate) type Outcome = (Option<i32>, String, String);

pub(crate) fn client(address: impl ToString, options: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(options).arg(address.to_string()).stdin(Stdio::null());
    command
}

/// The client under strace, which writes to `trace` in `folder`.
pub(crate) fn traced_client(folder: &Folder, strace_options: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-o"]).arg(folder.path("trace")).args(strace_options);
    command.arg(CLIENT).args(arguments).stdin(Stdio::null());
    command
}

/// The client, started by a shell that can redirect its files or set limits. `line` has the client as `"$0"`.
pub(crate) fn client_in_shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line, CLIENT]).stdin(Stdio::null());
    command
}

/// Runs the client to its end with `input` as its standard input.
#[track_caller]
pub(crate) fn run(address: impl ToString, options: &[&str], input: &[u8]) -> Outcome {
    let folder = Folder::new(&format!("client-{:?}", thread::current().id()));
    let path = folder.path("input");
    std::fs::write(&path, input).unwrap();
    let mut command = client(address, options);
    command.stdin(File::open(&path).unwrap());
    run_to_end(command)
}

pub(crate) fn success(output: impl AsRef<str>) -> Outcome {
    (Some(0), output.as_ref().to_owned(), String::new())
}

pub(crate) fn failure(output: &str, error: &str) -> Outcome {
    (Some(1), output.to_owned(), format!("hubbub-client: {error}\n"))
}

pub(crate) fn refused(address: impl ToString) -> String {
    format!("cannot connect to \"{}\": Connection refused", address.to_string())
}

/// What the client adds to an error of connecting, unless it connects again.
pub(crate) const ADVICE: &str = "check the address and whether the server runs";

/// A running client with pipes at its standard files.
pub(crate) struct Session {
    pub(crate) child: Child,
    pub(crate) lines: Receiver<String>,
    pub(crate) stdin: Option<ChildStdin>,
}

impl Session {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        Self::start_with_stdin_of(command)
    }

    #[track_caller]
    pub(crate) fn start_with_stdin_of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { stdin: child.stdin.take(), child, lines }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect_line(&mut self, line: &str) {
        assert_eq!(self.lines.recv_timeout(time_limit()).as_deref(), Ok(line));
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Its standard error, line by line.
    pub(crate) fn errors(&mut self) -> std::io::Lines<BufReader<ChildStderr>> {
        BufReader::new(self.child.stderr.take().unwrap()).lines()
    }

    /// Waits for its end; the exit status and standard error.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
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
pub(crate) fn scripted_server(
    bytes: impl Into<Vec<u8>>,
    reads: bool,
) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
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
pub(crate) fn quiet_server(port: &Port) -> Server {
    let mut command = crate::common::program(&["-q", "-l", &port.address().to_string()]);
    command.stderr(Stdio::null());
    Server::spawn_without_log(command, port)
}

//! A running server, and what its log and `/proc` show.

use super::{Client, Port, eventually, program, signal, time_limit, wait_for_end};
use hubbub::wire::view::View;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// A server on a port of its own. Drop kills it.
pub struct Server {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
    address: SocketAddr,
}

impl Server {
    /// Starts the server on 127.0.0.1 with `arguments`.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(program(&[&["-l", "127.0.0.1:0"], arguments].concat()))
    }

    /// Starts the server on 127.0.0.1 with one listener per view, and returns their addresses by view.
    #[track_caller]
    pub fn start_in_views(arguments: &[&str]) -> (Self, [SocketAddr; 3]) {
        let places = View::ALL.map(|view| format!("{}:127.0.0.1:0", view.name()));
        let mut all = places.iter().flat_map(|place| ["-l", place]).collect::<Vec<_>>();
        all.extend(arguments);
        let mut server = Self::spawn(program(&all));
        let mut addresses = [server.address; 3];
        for view in [View::Named, View::Json] {
            let line = server.wait_for_log(&format!("({})", view.name()));
            addresses[view.index()] = address_in(&line);
        }
        (server, addresses)
    }

    /// Runs `command`, which becomes a server that logs to standard error.
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn_with_stdio(command)
    }

    /// Like [`spawn`](Self::spawn), but keeps the command's standard input and output.
    #[track_caller]
    pub fn spawn_with_stdio(mut command: Command) -> Self {
        raise_descriptor_limit();
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        // Closes the descriptors that the command passed to the child.
        drop(command);
        let log = lines_of(child.stderr.take().unwrap());
        let mut server = Self { child, log, seen: Vec::new(), address: ([127, 0, 0, 1], 0).into() };
        server.address = address_in(&server.wait_for_log("listening on "));
        if server.address.ip().is_unspecified() {
            server.address.set_ip([127, 0, 0, 1].into());
        }
        server
    }

    /// Runs `command`, which becomes a server that listens on `port` and logs to a place of its own.
    /// The log can be read after [`read_log_from`](Self::read_log_from).
    #[track_caller]
    pub fn spawn_without_log(mut command: Command, port: &Port) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let server = Self { child, log: channel().1, seen: Vec::new(), address: port.address() };
        let stream = eventually("the server listens", || TcpStream::connect(port.address()).ok());
        // The server may listen before it handles signals. A closed connection shows that its loop runs.
        let mut client = Client::from_stream(stream);
        client.end_input();
        client.read_to_end();
        server
    }

    /// Reads the log from `source` from now on.
    pub fn read_log_from(&mut self, source: impl Read + Send + 'static) {
        self.log = lines_of(source);
    }

    /// Returns the address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that contains `part`, and skips the lines before it.
    #[track_caller]
    pub fn wait_for_log(&mut self, part: &str) -> String {
        let deadline = Instant::now() + time_limit();
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(why) => panic!("no {part:?} in the log ({why}), but {:#?}", self.seen),
            }
        }
    }

    /// Returns all log lines until now, including those that were skipped, without waiting.
    pub fn log_so_far(&mut self) -> &[String] {
        self.seen.extend(self.log.try_iter());
        &self.seen
    }

    /// Asserts that no log line until now contains `part`.
    #[track_caller]
    pub fn assert_not_logged(&mut self, part: &str) {
        let log = self.log_so_far();
        assert!(!log.iter().any(|line| line.contains(part)), "{part:?} is in the log: {log:#?}");
    }

    /// Returns the log line with the counters, which SIGUSR1 requests.
    #[track_caller]
    pub fn counters(&mut self) -> String {
        self.signal("USR1");
        self.wait_for_log(" accepted")
    }

    /// Sends a signal by name, such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Stops the server process until [`resume`](Self::resume). It then handles all that arrived
    /// meanwhile in one turn.
    #[track_caller]
    pub fn pause(&self) {
        self.signal("STOP");
        eventually("the server process is stopped", || self.status("State").starts_with('T').then_some(()));
    }

    /// Continues the server process.
    #[track_caller]
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Waits until the server exits, and returns its status and the whole log.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = wait_for_end(&mut self.child);
        // The exit closes the log's writing end, so the reading thread ends and closes the channel.
        loop {
            match self.log.recv_timeout(time_limit()) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("standard error stays open after the exit"),
            }
        }
        (status, std::mem::take(&mut self.seen))
    }

    /// Returns a value in kB from `/proc/PID/status`, such as `VmRSS`.
    #[track_caller]
    pub fn status_kb(&self, name: &str) -> u64 {
        let status = self.status(name);
        status.trim_end_matches(" kB").parse().unwrap_or_else(|_| panic!("{name} is {status:?}"))
    }

    /// Returns a value from `/proc/PID/status`.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
    }

    /// Returns the user and system time until now in clock ticks of 10 ms.
    #[track_caller]
    pub fn cpu_ticks(&self) -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields = text.rsplit(") ").next().unwrap().split(' ').collect::<Vec<_>>();
        // Fields 14 and 15 of proc(5); the first here is field 3.
        (fields[11].parse().unwrap(), fields[12].parse().unwrap())
    }

    /// Returns the highest number of an open file descriptor.
    #[track_caller]
    pub fn highest_descriptor(&self) -> usize {
        let numbers = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max().unwrap()
    }

    /// Returns the number of open file descriptors.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Waits until the server has `count` open file descriptors.
    #[track_caller]
    pub fn wait_for_descriptors(&self, count: usize) {
        eventually(&format!("the server has {count} descriptors"), || {
            (self.descriptors() == count).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Returns the socket address in a log line.
#[track_caller]
pub fn address_in(line: &str) -> SocketAddr {
    line.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// Reads lines as they arrive, on a thread that ends with `source`.
fn lines_of(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The test process holds all clients, so it needs as many descriptors as the server.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

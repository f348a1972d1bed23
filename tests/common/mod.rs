//! What every test of the running server needs: the server, its log, and clients that wait for what
//! they expect with a deadline.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]
#![allow(unreachable_pub, reason = "a module of several test binaries, each of which is its own crate")]

pub mod random;
pub mod table;
pub mod twin;

use hubbub::wire::view::View;
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything that must happen may take. Generous: it is only ever waited for in full when a
/// test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What the server says to a newcomer by default.
pub const WELCOME: &str = "Welcome to the anonymous chat room.";

/// A running server on a port of its own, killed when dropped.
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

    /// Starts the server on 127.0.0.1 with a listener in each view; where these listen.
    #[track_caller]
    pub fn start_in_views(arguments: &[&str]) -> (Self, [SocketAddr; 3]) {
        let places = View::ALL.map(|view| format!("{}:127.0.0.1:0", view.name()));
        let mut all = places.iter().flat_map(|place| ["-l", place]).collect::<Vec<_>>();
        all.extend(arguments);
        let mut server = Self::spawn(program(&all));
        let mut addresses = [server.address; 3];
        for view in [View::Named, View::Json] {
            let line = server.wait_for_log(&format!("({})", view.name()));
            addresses[view.index()] = line.split(' ').find_map(|word| word.parse().ok()).unwrap();
        }
        (server, addresses)
    }

    /// Runs `command`, which ends up as a server that logs to standard error.
    #[track_caller]
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::spawn_with_its_files(command)
    }

    /// The same, where the command has files of its own but for standard error.
    #[track_caller]
    pub fn spawn_with_its_files(mut command: Command) -> Self {
        raise_descriptor_limit();
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        // Else what it gave away stays open here.
        drop(command);
        let log = lines_of(child.stderr.take().unwrap());
        let mut server = Self { child, log, seen: Vec::new(), address: ([127, 0, 0, 1], 0).into() };
        let listening = server.wait_for_log("listening on ");
        server.address = listening.split(' ').find_map(|word| word.parse().ok()).unwrap();
        if server.address.ip().is_unspecified() {
            server.address.set_ip([127, 0, 0, 1].into());
        }
        server
    }

    /// Runs `command`, which ends up as a server that listens at `port` and logs where the caller chose.
    /// Its log is not heard here until [`hear_log`](Self::hear_log).
    #[track_caller]
    pub fn spawn_unheard(mut command: Command, port: &Port) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let server = Self { child, log: channel().1, seen: Vec::new(), address: port.address() };
        let visitor = eventually("it listens", || TcpStream::connect(port.address()).ok());
        // It may listen before it heeds signals; who is seen off has met the running loop.
        let mut visitor = Client::over(visitor);
        visitor.ends();
        visitor.hears_all();
        server
    }

    /// From now on its log is what can be read from `place`.
    pub fn hear_log(&mut self, place: impl Read + Send + 'static) {
        self.log = lines_of(place);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line with `part` in it, among those that no earlier call has passed.
    #[track_caller]
    pub fn wait_for_log(&mut self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
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

    /// Everything logged until now, without waiting; what was waited for included.
    pub fn log_so_far(&mut self) -> &[String] {
        self.seen.extend(self.log.try_iter());
        &self.seen
    }

    /// Sends the signal of that name, such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Holds its process until [`resume`](Self::resume): what arrives meanwhile, it finds all at once.
    #[track_caller]
    pub fn pause(&self) {
        self.signal("STOP");
        eventually("the server is held", || self.status("State").starts_with('T').then_some(()));
    }

    /// Lets it go on.
    #[track_caller]
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Waits for its end; the status and the whole log.
    #[track_caller]
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = wait_for_end(&mut self.child);
        // The writing end is closed: the reader ends, and with it the channel.
        loop {
            match self.log.recv_timeout(DEADLINE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("standard error stays open after the end"),
            }
        }
        (status, std::mem::take(&mut self.seen))
    }

    /// A value in kB of `/proc/PID/status`, such as `VmRSS`.
    #[track_caller]
    pub fn status_kb(&self, name: &str) -> u64 {
        let status = self.status(name);
        status.trim_end_matches(" kB").parse().unwrap_or_else(|_| panic!("{name} is {status:?}"))
    }

    /// A value of `/proc/PID/status`.
    #[track_caller]
    pub fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
    }

    /// User and system time so far, in clock ticks of 10 ms.
    #[track_caller]
    pub fn cpu_ticks(&self) -> (u64, u64) {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let fields = text.rsplit(") ").next().unwrap().split(' ').collect::<Vec<_>>();
        // Fields 14 and 15 of proc(5), counted from the third.
        (fields[11].parse().unwrap(), fields[12].parse().unwrap())
    }

    /// The highest number of a descriptor that it has open.
    #[track_caller]
    pub fn highest_descriptor(&self) -> usize {
        let numbers = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max().unwrap()
    }

    /// How many descriptors it has open.
    #[track_caller]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The program with `arguments`, told nothing on standard input.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Starts the server under strace, with what strace is to do to it. Tracing is the grandchild, so that
/// the child is the server itself.
#[track_caller]
pub fn traced(folder: &Folder, options: &[&str], arguments: &[&str]) -> Server {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "this test needs strace: install it");
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-o"]).arg(folder.path("trace")).args(options);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).args(["-l", "127.0.0.1:0"]).args(arguments);
    Server::spawn(command)
}

/// `command` without a capability that root has and others have not, such as `dac_override`.
pub fn without_capability(name: &str, command: Command) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    // A part of util-linux.
    let mut without = Command::new("setpriv");
    without.arg(format!("--bounding-set=-{name}")).arg(format!("--inh-caps=-{name}"));
    without.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    without
}

/// Reads lines as they come, on a thread that ends with `place`.
fn lines_of(place: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(place).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// A port of 127.0.0.1 that is given to nobody else: bound and not listened at, so that only who
/// knows it and reuses addresses, as the server does, can listen there.
pub struct Port(socket2::Socket);

impl Port {
    #[track_caller]
    pub fn reserve() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// A line of the kernel's table of TCP connections over IPv4.
#[derive(Debug)]
pub struct TcpEntry {
    pub local_port: u16,
    pub peer_port: u16,
    /// As in the kernel's `tcp_states.h`: 1 is established, 6 is `TIME_WAIT`.
    pub state: u8,
    /// Bytes that the peer has not acknowledged.
    pub unsent: u32,
}

/// The kernel's table of TCP connections over IPv4.
#[track_caller]
pub fn tcp_table() -> Vec<TcpEntry> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let entry = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let port = |field: &str| u16::from_str_radix(field.split_once(':')?.1, 16).ok();
        Some(TcpEntry {
            local_port: port(fields.next()?)?,
            peer_port: port(fields.next()?)?,
            state: u8::from_str_radix(fields.next()?, 16).ok()?,
            unsent: u32::from_str_radix(fields.next()?.split_once(':')?.0, 16).ok()?,
        })
    };
    table.lines().filter_map(entry).collect()
}

/// This process plays the clients: it needs as many descriptors as the server.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Sends a signal by its name.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

/// Waits for the end of a process within the deadline, and ends it where it does not come.
#[track_caller]
pub fn wait_for_end(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            _ = child.kill();
            _ = child.wait();
            panic!("the process does not end");
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Asks again until `state` is there, within the deadline.
#[track_caller]
pub fn eventually<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(state) = state() {
            return state;
        }
        assert!(Instant::now() < deadline, "it never came that {what}");
        // A state of another process can only be polled; this is no wait for luck.
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Runs the program with `arguments` to its end: status, standard output, standard error.
#[track_caller]
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_to_its_end(program(arguments))
}

/// Runs `command` to its end: status, standard output, standard error.
#[track_caller]
pub fn run_to_its_end(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let status = wait_for_end(&mut child);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(output.stdout), text(output.stderr))
}

/// Starts a server, stops it with a signal as soon as it handles them, and returns all that it printed.
#[track_caller]
pub fn stop_at_once(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let handled = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        // SIGTERM is 15, counted from 1.
        (mask & (1 << 14) != 0).then_some(())
    };
    eventually("SIGTERM is handled", || {
        handled(&std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap())
    });
    signal(child.id(), "TERM");
    wait_for_end(&mut child);
    child.wait_with_output().unwrap()
}

/// A folder of this test's own, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hubbub-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client that speaks bytes and hears lines.
pub struct Client {
    stream: TcpStream,
    /// Read and not yet handed out.
    heard: Vec<u8>,
}

impl Client {
    /// Connects, and takes the welcome.
    #[track_caller]
    pub fn join(server: &Server) -> Self {
        let mut client = Self::connect(server.address());
        client.expects(WELCOME);
        client
    }

    /// Connects, and leaves what comes to be read.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
        Self::over(stream)
    }

    /// Joins with a receive buffer of about `bytes`: what it does not read soon stays with the server.
    #[track_caller]
    pub fn join_with_buffer(server: &Server, bytes: usize) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // Before connecting: it decides what the server may send without being asked again.
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.connect_timeout(&server.address().into(), DEADLINE).unwrap();
        let mut client = Self::over(socket.into());
        client.expects(WELCOME);
        client
    }

    /// A client over a connection that was made otherwise.
    #[track_caller]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, heard: Vec::new() }
    }

    /// Connects to a unix socket, and leaves what comes to be read.
    #[track_caller]
    pub fn connect_to_path(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        // Reading, writing and shutting down are the same calls for either kind of socket.
        Self { stream: OwnedFd::from(stream).into(), heard: Vec::new() }
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Its own address, by which the log names it.
    #[track_caller]
    pub fn address(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    /// Sends all of `bytes`.
    #[track_caller]
    pub fn says(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// The next line is `line`, its LF aside.
    #[track_caller]
    pub fn expects(&mut self, line: impl AsRef<[u8]>) {
        let heard = self.hears_line();
        let (heard, line) = (String::from_utf8_lossy(&heard), String::from_utf8_lossy(line.as_ref()));
        assert_eq!(heard, line);
    }

    /// The next line, without its LF.
    #[track_caller]
    pub fn hears_line(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.heard, rest);
                line.pop();
                return line;
            }
            match self.hears_more(deadline) {
                Some(0) => panic!("the server ended the connection after {}", shown(&self.heard)),
                Some(_) => {}
                None => panic!("no line came, only {}", shown(&self.heard)),
            }
        }
    }

    /// The next `count` bytes, whatever they are.
    #[track_caller]
    pub fn hears_bytes(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        while self.heard.len() < count {
            match self.hears_more(deadline) {
                Some(0) => panic!("the server ended the connection after {}", shown(&self.heard)),
                Some(_) => {}
                None => panic!("{count} bytes did not come, only {}", shown(&self.heard)),
            }
        }
        let rest = self.heard.split_off(count);
        std::mem::replace(&mut self.heard, rest)
    }

    /// Everything until the server ends the connection in order.
    #[track_caller]
    pub fn hears_all(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.hears_more(deadline) {
                Some(0) => return std::mem::take(&mut self.heard),
                Some(_) => {}
                None => panic!("the connection does not end after {}", shown(&self.heard)),
            }
        }
    }

    /// The server ends the connection in order, and says nothing more before.
    #[track_caller]
    pub fn expects_end(&mut self) {
        let rest = self.hears_all();
        assert!(rest.is_empty(), "before the end came {}", shown(&rest));
    }

    /// Reads once; `None` when the deadline has passed.
    #[track_caller]
    fn hears_more(&mut self, deadline: Instant) -> Option<usize> {
        let mut buffer = [0; 65536];
        let left = deadline.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.heard.extend_from_slice(&buffer[..bytes]);
                Some(bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            // This process was stopped and continued: the deadline decides.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.hears_more(deadline),
            Err(error) => panic!("{error} after {}", shown(&self.heard)),
        }
    }

    /// Ends its input; it still hears.
    #[track_caller]
    pub fn ends(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Breaks the connection with a reset.
    #[track_caller]
    pub fn resets(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The last of `bytes`.
fn shown(bytes: &[u8]) -> String {
    let rest = bytes.len().saturating_sub(500);
    let before = if rest > 0 { format!("{rest} bytes and ") } else { String::new() };
    format!("{before}{:?}", String::from_utf8_lossy(&bytes[rest..]))
}

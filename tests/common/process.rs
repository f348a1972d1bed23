//! Processes of a test: how to start them, signal them and wait for them; and their files and ports.

use super::{Client, Server, eventually, time_limit};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Returns the server's command with `arguments`, without standard input and output.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Starts the server under strace with strace's `options`; the trace goes to `trace` in `folder`.
#[track_caller]
pub fn traced(folder: &Folder, options: &[&str], arguments: &[&str]) -> Server {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "this test needs strace: install it");
    let mut command = Command::new("strace");
    // With -D strace is the grandchild and the child is the server, so that its process id is known.
    command.args(["-D", "-f", "-o"]).arg(folder.path("trace")).args(options);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).args(["-l", "127.0.0.1:0"]).args(arguments);
    Server::spawn(command)
}

/// Starts the server under strace, which makes a system call fail.
///
/// `calls` is the name of a call, or several with commas; `error` is the name of an errno, and `when`
/// counts the calls, as strace(1) describes.
#[track_caller]
pub fn with_failing_call(folder: &Folder, calls: &str, error: &str, when: &str) -> Server {
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error={error}:when={when}"));
    traced(folder, &["-e", &trace, "-e", &inject], &[])
}

/// Returns `command` without a capability that root has and other users lack, such as `dac_override`.
pub fn without_capability(name: &str, command: Command) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    // setpriv(1) is a part of util-linux.
    let mut without = Command::new("setpriv");
    without.arg(format!("--bounding-set=-{name}")).arg(format!("--inh-caps=-{name}"));
    without.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    without
}

/// A pseudo-terminal: the controlling side and the side of the programs.
#[track_caller]
pub fn terminal() -> (File, OwnedFd) {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (screen.into(), rustix::fs::open(&*name, flags, Mode::empty()).unwrap())
}

/// Returns `command` as a job in the background of a terminal on which `stty tostop` is set: it would be stopped if it
/// wrote there. Standard input and error are the terminal.
#[track_caller]
pub fn in_background(terminal: &OwnedFd, command: &Command) -> Command {
    let mut shell = Command::new("setsid");
    // A shell with job control. The job dies with the shell.
    let script = r#"stty tostop; set -m; setpriv --pdeathsig KILL "$@" & wait"#;
    shell.args(["--ctty", "sh", "-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.stdin(terminal.try_clone().unwrap()).stderr(terminal.try_clone().unwrap());
    shell
}

/// Sends a signal by name.
#[track_caller]
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

/// Waits until a process exits. Kills it and fails the test after the time limit.
#[track_caller]
pub fn wait_for_end(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + time_limit();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            _ = child.kill();
            _ = child.wait();
            panic!("the process does not exit");
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Runs the server with `arguments` until it exits, and returns status, standard output and standard error.
#[track_caller]
pub fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_to_end(program(arguments))
}

/// Runs `command` until it exits, and returns status, standard output and standard error.
#[track_caller]
pub fn run_to_end(mut command: Command) -> (Option<i32>, String, String) {
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

/// Starts a server, stops it as soon as it handles SIGTERM, and returns all that it printed.
#[track_caller]
pub fn stop_at_once(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let handled = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        // SIGTERM is 15, and bit 0 is signal 1.
        (mask & (1 << 14) != 0).then_some(())
    };
    eventually("the server handles SIGTERM", || {
        handled(&std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap())
    });
    signal(child.id(), "TERM");
    wait_for_end(&mut child);
    child.wait_with_output().unwrap()
}

/// A port of one address, bound and not listening. Only a socket with `SO_REUSEADDR`, such as the server's,
/// can listen on it, so that no other process takes the port.
pub struct Port(socket2::Socket);

impl Port {
    /// Reserves a port of 127.0.0.1.
    #[track_caller]
    pub fn reserve() -> Self {
        Self::reserve_on(Ipv4Addr::LOCALHOST.into())
    }

    /// Reserves a port of `host`; of `[::]` also for IPv4.
    #[track_caller]
    pub fn reserve_on(host: IpAddr) -> Self {
        let address = SocketAddr::new(host, 0);
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        Self(socket)
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap().as_socket().unwrap()
    }
}

/// An entry of the kernel's table of TCP connections over IPv4.
#[derive(Debug)]
pub struct TcpEntry {
    pub local_port: u16,
    pub peer_port: u16,
    /// A number of the kernel's `tcp_states.h`: 1 is established, 6 is `TIME_WAIT`.
    pub state: u8,
    /// Bytes that the peer has not acknowledged.
    pub unsent: u32,
    /// Bytes that have arrived and that the process has not read.
    pub unread: u32,
}

/// Returns the kernel's table of TCP connections over IPv4.
#[track_caller]
pub fn tcp_table() -> Vec<TcpEntry> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let entry = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let port = |field: &str| u16::from_str_radix(field.split_once(':')?.1, 16).ok();
        let (local_port, peer_port) = (port(fields.next()?)?, port(fields.next()?)?);
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let (unsent, unread) = fields.next()?.split_once(':')?;
        let bytes = |field: &str| u32::from_str_radix(field, 16).ok();
        Some(TcpEntry { local_port, peer_port, state, unsent: bytes(unsent)?, unread: bytes(unread)? })
    };
    table.lines().filter_map(entry).collect()
}

/// Asserts that the kernel holds little of a fast sender that the server does not read.
#[track_caller]
pub fn expect_little_held(server: &Server, sender: &mut Client, reader: &mut Client) {
    // While the server reads all of this, the kernel would let the receive buffer grow.
    let lines = format!("{}\n", "x".repeat(999)).repeat(1000);
    for _ in 0..20 {
        sender.send(&lines);
        assert!(reader.read_bytes(lines.len()) == lines.as_bytes());
    }
    server.pause();
    sender.send_until_full();
    let [client, here] =
        [sender.stream().local_addr(), sender.stream().peer_addr()].map(|end| end.unwrap().port());
    let table = tcp_table();
    let entry = table.iter().find(|entry| entry.local_port == here && entry.peer_port == client).unwrap();
    server.resume();
    assert!((1..=256 * 1024).contains(&entry.unread), "{entry:?}");
}

/// A temporary folder of one test. Drop removes it.
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

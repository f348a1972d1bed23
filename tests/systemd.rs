//! What systemd and its like hand over and are told: listening sockets, readiness, state, signs of life.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, DEADLINE, Folder, Server, WELCOME, program, run_to_its_end};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The server, given up to two sockets as systemd gives them, with what it says of them. A shell moves
/// them to where they belong and becomes the server, as which `LISTEN_PID` names it.
fn given(sockets: &[OwnedFd], environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let moves = ["", "exec 3<&0 </dev/null; ", "exec 3<&0 4<&1 </dev/null >/dev/null; "][sockets.len()];
    command.args(["-c", &format!("{moves}export LISTEN_PID=${{MEANT_FOR:-$$}}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).args(arguments).env("LISTEN_FDS", sockets.len().to_string());
    command.envs(environment.iter().copied());
    let place = |number: usize| {
        sockets.get(number).map_or(Stdio::null(), |socket| Stdio::from(socket.try_clone().unwrap()))
    };
    command.stdin(place(0)).stdout(place(1)).stderr(Stdio::piped());
    command
}

/// The same, as a running server.
#[track_caller]
fn start(sockets: &[OwnedFd], environment: &[(&str, &str)], arguments: &[&str]) -> Server {
    Server::spawn_with_its_files(given(sockets, environment, arguments))
}

#[track_caller]
fn listener() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

#[track_caller]
fn join(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.expects(WELCOME);
    client
}

/// Who is told how the server is.
struct Supervisor(UnixDatagram);

impl Supervisor {
    #[track_caller]
    fn at(address: &UnixAddress) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// The next message.
    #[track_caller]
    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let bytes = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    /// Waits for a message, among those that come.
    #[track_caller]
    fn expects(&self, message: &str) {
        let mut heard = Vec::new();
        let end = Instant::now() + DEADLINE;
        while heard.last().is_none_or(|last| last != message) {
            assert!(Instant::now() < end, "no {message:?} among {heard:?}");
            heard.push(self.hears());
        }
    }
}

#[test]
fn the_supervisor_is_told_when_the_room_is_open_who_is_in_it_and_that_it_closes() {
    let folder = Folder::new("systemd-notify");
    let path = folder.path("notify");
    let name = format!("hubbub-test-{}", std::process::id());
    let places = [
        (path.to_str().unwrap().to_owned(), UnixAddress::from_pathname(&path).unwrap()),
        (format!("@{name}"), UnixAddress::from_abstract_name(name).unwrap()),
    ];
    for (place, address) in places {
        let supervisor = Supervisor::at(&address);
        let mut command = program(&["-l", "127.0.0.1:0", "--report-every", "0"]);
        command.env("NOTIFY_SOCKET", &place);
        let server = Server::spawn(command);
        assert_eq!(supervisor.hears(), "READY=1");
        assert_eq!(supervisor.hears(), "STATUS=0 online, 0 lines (0 bytes) relayed");
        let mut client = Client::join(&server);
        supervisor.expects("STATUS=1 online, 0 lines (0 bytes) relayed");
        client.says("hi\n");
        supervisor.expects("STATUS=1 online, 1 line (3 bytes) relayed");
        client.ends();
        client.expects_end();
        supervisor.expects("STATUS=0 online, 1 line (3 bytes) relayed");
        server.signal("TERM");
        assert_eq!(supervisor.hears(), "STOPPING=1");
        assert_eq!(server.wait().0.code(), Some(0));
    }
}

#[test]
fn the_watchdog_is_given_a_sign_of_life_twice_in_its_time_and_only_where_it_is_meant() {
    let folder = Folder::new("systemd-watchdog");
    let path = folder.path("notify");
    let supervisor = Supervisor::at(&UnixAddress::from_pathname(&path).unwrap());
    let start = |environment: &[(&str, &str)]| {
        let mut command = program(&["-l", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &path).envs(environment.iter().copied());
        Server::spawn(command)
    };
    let server = start(&[("WATCHDOG_USEC", "100000")]);
    supervisor.expects("WATCHDOG=1");
    let since = Instant::now();
    for _ in 0..10 {
        supervisor.expects("WATCHDOG=1");
    }
    assert!(since.elapsed() >= Duration::from_millis(400), "10 signs of life in {:?}", since.elapsed());
    // Not while the loop stands still.
    server.pause();
    supervisor.0.set_nonblocking(true).unwrap();
    while supervisor.0.recv(&mut [0; 64]).is_ok() {}
    thread::park_timeout(Duration::from_millis(300));
    assert!(supervisor.0.recv(&mut [0; 64]).is_err(), "a sign of life of one who is held");
    supervisor.0.set_nonblocking(false).unwrap();
    server.resume();
    supervisor.expects("WATCHDOG=1");
    server.signal("TERM");
    supervisor.expects("STOPPING=1");
    server.wait();
    // It is another process that is watched.
    let server = start(&[("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
    assert_eq!([(); 2].map(|()| supervisor.hears())[0], "READY=1");
    let _client = Client::join(&server);
    assert!(supervisor.hears().starts_with("STATUS=1 online"));
}

#[test]
fn a_supervisor_who_comes_anew_is_told_again() {
    let folder = Folder::new("systemd-anew");
    let path = folder.path("notify");
    let address = UnixAddress::from_pathname(&path).unwrap();
    let first = Supervisor::at(&address);
    let mut command = program(&["-l", "127.0.0.1:0"]);
    // None is no time within which a sign of life could come.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "0");
    let server = Server::spawn(command);
    assert_eq!([(); 2].map(|()| first.hears())[0], "READY=1");
    // Nobody is there for a while, in which there is something to tell.
    drop(first);
    std::fs::remove_file(&path).unwrap();
    let mut clients = vec![Client::join(&server)];
    thread::park_timeout(Duration::from_millis(1500));
    let second = Supervisor::at(&address);
    clients.push(Client::join(&server));
    assert_eq!(second.hears(), "READY=1");
    assert!(second.hears().starts_with("STATUS=2 online"));
}

#[test]
fn a_supervisor_who_never_reads_or_is_not_there_holds_up_nobody() {
    let folder = Folder::new("systemd-deaf");
    let path = folder.path("notify");
    let _deaf = UnixDatagram::bind(&path).unwrap();
    let mut command = program(&["-l", "127.0.0.1:0"]);
    // A sign of life each millisecond soon fills what the system keeps.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1");
    let server = Server::spawn(command);
    let mut people = [Client::join(&server), Client::join(&server)];
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        people[0].says("still here\n");
        people[1].expects("still here");
    }
    drop(server);
    let mut command = program(&["-l", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", folder.path("absent"));
    let mut server = Server::spawn(command);
    Client::join(&server);
    let told = format!("cannot notify {}: No such file or directory", folder.path("absent").display());
    assert!(server.log_so_far().iter().any(|line| line.contains(&told)));
}

#[test]
fn the_sockets_that_are_handed_over_are_those_of_the_room_and_their_names_pick_the_views() {
    let [(one, first), (two, second)] = [listener(), listener()];
    let names = [("LISTEN_FDNAMES", "named:hubbub.socket")];
    let mut server = start(&[one, two], &names, &[]);
    server.wait_for_log(&format!("listening on {second} (plain)"));
    let mut named = join(first);
    assert!(named.hears_line().starts_with(b"* you are anon1 (1 here)"));
    let mut plain = join(second);
    plain.says("hi\n");
    named.expects("<anon2> hi");
    // Nothing else is listened at.
    let log = server.log_so_far();
    let listening = log.iter().filter_map(|line| line.split_once("listening on ")).map(|(_, place)| place);
    let expected = [format!("{first} (named)"), format!("{second} (plain)")];
    assert_eq!(listening.collect::<Vec<_>>(), expected);
}

#[test]
fn a_unix_socket_can_be_handed_over_and_stays_where_it_is() {
    let folder = Folder::new("systemd-unix");
    let path = folder.path("room");
    let sockets = [listener().0, UnixListener::bind(&path).unwrap().into()];
    let mut server = start(&sockets, &[("LISTEN_FDNAMES", "plain:json")], &["-l", "127.0.0.1:0"]);
    server.wait_for_log(&format!("listening on unix:{} (json)", path.display()));
    // What the command line asks for is there too.
    server.wait_for_log("listening on 127.0.0.1:");
    let mut client = Client::connect_to_path(&path);
    assert!(client.hears_line().starts_with(br#"{"type":"notice""#));
    server.signal("TERM");
    client.hears_all();
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(path.exists(), "it is not the server's to remove");
}

#[test]
fn what_cannot_be_listened_at_is_told_in_one_line() {
    let folder = Folder::new("systemd-wrong");
    let (tcp, address) = listener();
    let connected = || OwnedFd::from(TcpStream::connect(address).unwrap());
    let file = || OwnedFd::from(std::fs::File::create(folder.path("file")).unwrap());
    let datagram = || OwnedFd::from(UnixDatagram::unbound().unwrap());
    let tcp = || tcp.try_clone().unwrap();
    type Case<'a> = (OwnedFd, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 6] = [
        (
            connected(),
            &[("LISTEN_FDNAMES", "plain")],
            "cannot listen on descriptor 3, named 'plain': it does not listen",
        ),
        (file(), &[], "cannot listen on descriptor 3, named 'unknown': it is no stream socket"),
        (datagram(), &[], "cannot listen on descriptor 3, named 'unknown': it is no stream socket"),
        (
            tcp(),
            &[("LISTEN_FDNAMES", "loud")],
            "named 'loud': FileDescriptorName= has to be plain, named or json",
        ),
        (tcp(), &[("LISTEN_FDNAMES", "plain:named")], "cannot take over LISTEN_FDS: "),
        (tcp(), &[("LISTEN_FDS", "3000")], "cannot take over LISTEN_FDS: Bad file descriptor"),
    ];
    for (socket, environment, told) in cases {
        let (status, _, err) = run_to_its_end(given(&[socket], environment, &[]));
        assert_eq!(status, Some(1), "{err}");
        assert!(err.starts_with("hubbub: ") && err.contains(told) && err.lines().count() == 1, "{err}");
    }
}

#[test]
fn sockets_that_are_meant_for_another_process_are_left_alone() {
    let (socket, address) = listener();
    let mut server = start(&[socket], &[("MEANT_FOR", "1")], &["-l", "127.0.0.1:0"]);
    Client::join(&server);
    server.wait_for_log("joined");
    let log = server.log_so_far();
    assert!(!log.iter().any(|line| line.contains(&address.to_string())), "{log:#?}");
}

#[test]
fn while_it_is_restarted_whoever_connects_waits_and_is_let_in() {
    let (socket, address) = listener();
    let sockets = [socket];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let comers = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut came = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Refused, or reset before the welcome, would fail here.
                    let mut client = join(address);
                    client.says("hi\n");
                    client.ends();
                    client.hears_all();
                    came += 1;
                }
                came
            })
        });
        let mut joined = 0;
        for _ in 0..8 {
            let mut server = start(&sockets, &[], &["--report-every", "0"]);
            server.wait_for_log("joined");
            server.signal("TERM");
            let (status, log) = server.wait();
            assert_eq!(status.code(), Some(0), "{log:#?}");
            joined += log.iter().filter(|line| line.contains("joined")).count();
        }
        let _last = start(&sockets, &[], &[]);
        stop.store(true, Ordering::Relaxed);
        let came = comers.map(|comer| comer.join().unwrap()).iter().sum::<usize>();
        assert!(came >= 8 && joined >= 8, "{came} came, {joined} joined");
    });
}

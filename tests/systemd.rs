//! Socket activation and notification, as with systemd: sockets, readiness, status, watchdog.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::given_twice;
use common::{Client, Folder, Server, WELCOME, expect_little_held, program, run_to_end, skip, time_limit};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The server with up to two sockets and the environment of socket activation. A shell moves the sockets to file
/// descriptors 3 and 4, then becomes the server, so that `LISTEN_PID` names it.
fn activated(sockets: &[OwnedFd], environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let moves = ["", "exec 3<&0 </dev/null; ", "exec 3<&0 4<&1 </dev/null >/dev/null; "][sockets.len()];
    command.args(["-c", &format!("{moves}export LISTEN_PID=${{LISTEN_FOR:-$$}}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).args(arguments).env("LISTEN_FDS", sockets.len().to_string());
    command.envs(environment.iter().copied());
    let place = |number: usize| {
        sockets.get(number).map_or(Stdio::null(), |socket| Stdio::from(socket.try_clone().unwrap()))
    };
    command.stdin(place(0)).stdout(place(1)).stderr(Stdio::piped());
    command
}

/// Starts that server.
#[track_caller]
fn start(sockets: &[OwnedFd], environment: &[(&str, &str)], arguments: &[&str]) -> Server {
    Server::spawn_with_stdio(activated(sockets, environment, arguments))
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
    client.expect_line(WELCOME);
    client
}

/// Receives the notifications.
struct Supervisor(UnixDatagram);

impl Supervisor {
    #[track_caller]
    fn at(address: &UnixAddress) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(time_limit())).unwrap();
        Self(socket)
    }

    /// The next message.
    #[track_caller]
    fn receive(&self) -> String {
        let mut buffer = [0; 4096];
        let bytes = self.0.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..bytes].to_vec()).unwrap()
    }

    /// Waits for a message. Others may come before it.
    #[track_caller]
    fn wait_for(&self, message: &str) {
        let mut received = Vec::new();
        let end = Instant::now() + time_limit();
        while received.last().is_none_or(|last| last != message) {
            assert!(Instant::now() < end, "no {message:?} among {received:?}");
            received.push(self.receive());
        }
    }
}

#[test]
fn c7_the_kernel_holds_little_of_a_sender_on_an_inherited_socket_too() {
    let (listener, address) = listener();
    let server = start(&[listener], &[], &[]);
    let (mut sender, mut reader) = (join(address), join(address));
    expect_little_held(&server, &mut sender, &mut reader);
}

#[test]
fn the_supervisor_gets_readiness_the_number_of_clients_and_the_stop() {
    let folder = Folder::new("systemd-notify");
    let path = folder.path("notify");
    let name = format!("hubbub-test-{}", std::process::id());
    let addresses = [
        (path.to_str().unwrap().to_owned(), UnixAddress::from_pathname(&path).unwrap()),
        (format!("@{name}"), UnixAddress::from_abstract_name(name).unwrap()),
    ];
    for (text, address) in addresses {
        let supervisor = Supervisor::at(&address);
        let mut command = program(&["-l", "127.0.0.1:0", "--report-every", "0"]);
        command.env("NOTIFY_SOCKET", &text);
        let server = Server::spawn(command);
        assert_eq!(supervisor.receive(), "READY=1");
        assert_eq!(supervisor.receive(), "STATUS=0 online, 0 lines (0 bytes) relayed");
        let mut client = Client::join(&server);
        supervisor.wait_for("STATUS=1 online, 0 lines (0 bytes) relayed");
        client.send("hi\n");
        supervisor.wait_for("STATUS=1 online, 1 line (3 bytes) relayed");
        client.end_input();
        client.expect_end();
        supervisor.wait_for("STATUS=0 online, 1 line (3 bytes) relayed");
        server.signal("TERM");
        assert_eq!(supervisor.receive(), "STOPPING=1");
        assert_eq!(server.wait().0.code(), Some(0));
    }
}

#[test]
fn the_watchdog_gets_a_message_twice_per_timeout_only_if_it_watches_this_process() {
    let folder = Folder::new("systemd-watchdog");
    let path = folder.path("notify");
    let supervisor = Supervisor::at(&UnixAddress::from_pathname(&path).unwrap());
    let start = |environment: &[(&str, &str)]| {
        let mut command = program(&["-l", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", &path).envs(environment.iter().copied());
        Server::spawn(command)
    };
    let server = start(&[("WATCHDOG_USEC", "100000")]);
    supervisor.wait_for("WATCHDOG=1");
    let since = Instant::now();
    for _ in 0..10 {
        supervisor.wait_for("WATCHDOG=1");
    }
    assert!(since.elapsed() >= Duration::from_millis(400), "10 messages in {:?}", since.elapsed());
    // None comes while the loop is stopped.
    server.pause();
    supervisor.0.set_nonblocking(true).unwrap();
    while supervisor.0.recv(&mut [0; 64]).is_ok() {}
    thread::park_timeout(Duration::from_millis(300));
    assert!(supervisor.0.recv(&mut [0; 64]).is_err(), "a message from a stopped process");
    supervisor.0.set_nonblocking(false).unwrap();
    server.resume();
    supervisor.wait_for("WATCHDOG=1");
    server.signal("TERM");
    supervisor.wait_for("STOPPING=1");
    server.wait();
    // The watchdog watches another process.
    let server = start(&[("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
    assert_eq!([(); 2].map(|()| supervisor.receive())[0], "READY=1");
    let _client = Client::join(&server);
    assert!(supervisor.receive().starts_with("STATUS=1 online"));
}

#[test]
fn a_restarted_supervisor_gets_readiness_again() {
    let folder = Folder::new("systemd-restarted");
    let path = folder.path("notify");
    let address = UnixAddress::from_pathname(&path).unwrap();
    let first = Supervisor::at(&address);
    let mut command = program(&["-l", "127.0.0.1:0"]);
    // A watchdog timeout of 0 means no watchdog.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "0");
    let server = Server::spawn(command);
    assert_eq!([(); 2].map(|()| first.receive())[0], "READY=1");
    // There is no supervisor while the status changes.
    drop(first);
    std::fs::remove_file(&path).unwrap();
    let mut clients = vec![Client::join(&server)];
    thread::park_timeout(Duration::from_millis(1500));
    let second = Supervisor::at(&address);
    clients.push(Client::join(&server));
    assert_eq!(second.receive(), "READY=1");
    assert!(second.receive().starts_with("STATUS=2 online"));
}

#[test]
fn a_supervisor_that_never_reads_or_is_missing_does_not_disturb_the_chat() {
    let folder = Folder::new("systemd-unread");
    let path = folder.path("notify");
    let _unread = UnixDatagram::bind(&path).unwrap();
    let mut command = program(&["-l", "127.0.0.1:0"]);
    // A message per millisecond soon fills the receive buffer.
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1");
    let server = Server::spawn(command);
    let mut clients = [Client::join(&server), Client::join(&server)];
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        clients[0].send("still here\n");
        clients[1].expect_line("still here");
    }
    drop(server);
    let mut command = program(&["-l", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", folder.path("absent"));
    let mut server = Server::spawn(command);
    Client::join(&server);
    let warning = format!(
        "cannot notify the supervisor at \"{}\": No such file or directory",
        folder.path("absent").display()
    );
    assert!(server.log_so_far().iter().any(|line| line.contains(&warning)));
}

#[test]
fn inherited_sockets_replace_the_default_listeners_and_their_names_select_the_views() {
    let [(one, first), (two, second)] = [listener(), listener()];
    let names = [("LISTEN_FDNAMES", "named:hubbub.socket")];
    let mut server = start(&[one, two], &names, &[]);
    server.wait_for_log(&format!("listening on {second} (plain)"));
    let mut named = join(first);
    assert!(named.read_line().starts_with(b"* you are anon1 (1 here)"));
    let mut plain = join(second);
    plain.send("hi\n");
    named.expect_line("<anon2> hi");
    // There is no other listener.
    let log = server.log_so_far();
    let listening = log.iter().filter_map(|line| line.split_once("listening on ")).map(|(_, place)| place);
    let expected = [format!("{first} (named)"), format!("{second} (plain)")];
    assert_eq!(listening.collect::<Vec<_>>(), expected);
}

#[test]
fn an_inherited_unix_socket_works_and_its_file_stays() {
    let folder = Folder::new("systemd-unix");
    let path = folder.path("room");
    let sockets = [listener().0, UnixListener::bind(&path).unwrap().into()];
    let mut server = start(&sockets, &[("LISTEN_FDNAMES", "plain:json")], &["-l", "127.0.0.1:0"]);
    server.wait_for_log(&format!("listening on unix:{} (json)", path.display()));
    // The listener of the command line is there too.
    server.wait_for_log("listening on 127.0.0.1:");
    let mut client = Client::connect_to_path(&path);
    assert!(client.read_line().starts_with(br#"{"type":"notice""#));
    server.signal("TERM");
    client.read_to_end();
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(path.exists(), "the server did not make the file");
}

#[test]
fn the_name_of_an_inherited_abstract_socket_is_escaped_in_the_log() {
    let name = format!("hubbub-test-{}-", std::process::id());
    let address = UnixAddress::from_abstract_name([name.as_bytes(), b"\0\n\xFF"].concat()).unwrap();
    let sockets = [listener().0, UnixListener::bind_addr(&address).unwrap().into()];
    let mut server = start(&sockets, &[], &[]);
    server.wait_for_log(&format!("listening on unix:@{name}\\x00\\x0A\\xFF (plain)"));
}

#[test]
fn an_unusable_socket_is_an_error_of_one_line() {
    let folder = Folder::new("systemd-wrong");
    let (tcp, address) = listener();
    let connected = || OwnedFd::from(TcpStream::connect(address).unwrap());
    let file = || OwnedFd::from(std::fs::File::create(folder.path("file")).unwrap());
    let datagram = || OwnedFd::from(UnixDatagram::unbound().unwrap());
    let tcp = || tcp.try_clone().unwrap();
    type Case<'a> = (OwnedFd, &'a [(&'a str, &'a str)], &'a str);
    let admin = |mode| OwnedFd::from(admin_listener(&folder.path(&format!("admin-{mode:o}")), mode));
    let cases: [Case<'_>; 10] = [
        (
            connected(),
            &[("LISTEN_FDNAMES", "plain")],
            "cannot listen on file descriptor 3, named \"plain\": it is not a listening socket",
        ),
        (file(), &[], "cannot listen on file descriptor 3, named \"unknown\": it is not a stream socket"),
        (datagram(), &[], "cannot listen on file descriptor 3, named \"unknown\": it is not a stream socket"),
        (
            tcp(),
            &[("LISTEN_FDNAMES", "loud")],
            "named \"loud\": FileDescriptorName= must be plain, named, json or admin",
        ),
        (
            tcp(),
            &[("LISTEN_FDNAMES", "admin")],
            "named \"admin\": the admin view needs a unix socket with a path",
        ),
        (
            tcp(),
            &[("LISTEN_FDNAMES", "named+tls")],
            "a listener with TLS needs --tls-cert FILE and --tls-key FILE",
        ),
        (
            admin(0o666),
            &[("LISTEN_FDNAMES", "admin")],
            "admin-666\" are 0666: set SocketMode=0600 in the socket unit",
        ),
        (admin(0o640), &[("LISTEN_FDNAMES", "admin")], "are 0640: set SocketMode=0600 in the socket unit"),
        (tcp(), &[("LISTEN_FDNAMES", "plain:named")], "cannot take over the sockets of LISTEN_FDS: "),
        (tcp(), &[("LISTEN_FDS", "3000")], "cannot take over the sockets of LISTEN_FDS: Bad file descriptor"),
    ];
    for (socket, environment, expected) in cases {
        let (status, _, err) = run_to_end(activated(&[socket], environment, &[]));
        assert_eq!(status, Some(1), "{err}");
        assert!(err.starts_with("hubbub: ") && err.contains(expected) && err.lines().count() == 1, "{err}");
    }
}

/// A listening unix socket whose file has that mode.
#[track_caller]
fn admin_listener(path: &Path, mode: u32) -> UnixListener {
    let listener = UnixListener::bind(path).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    listener
}

#[test]
fn an_inherited_socket_with_the_name_admin_takes_commands_and_another_serves_the_room() {
    let folder = Folder::new("systemd-admin");
    let path = folder.path("admin");
    let (socket, address) = listener();
    let sockets = [socket, admin_listener(&path, 0o600).into()];
    let _server = start(&sockets, &[("LISTEN_FDNAMES", "plain:admin")], &[]);
    let _client = join(address);
    let mut operator = Client::connect_to_path(&path);
    operator.send("kick anon1\nwho\n");
    operator.expect_line("* error: nobody here is named \"anon1\": who lists the clients");
    operator.expect_line("* 1 client");
}

#[test]
fn variables_for_another_process_are_ignored_whatever_they_contain() {
    for environment in [
        &[("LISTEN_FOR", "1")][..],
        &[("LISTEN_FOR", "1"), ("LISTEN_FDNAMES", "loud")],
        &[("LISTEN_FOR", "1"), ("LISTEN_FDNAMES", "plain:named:json")],
        &[("LISTEN_FOR", "1"), ("LISTEN_FDS", "many"), ("LISTEN_FDNAMES", "")],
        &[("LISTEN_FOR", "me"), ("LISTEN_FDNAMES", "a:b")],
    ] {
        let (socket, address) = listener();
        let mut server = start(&[socket], environment, &["-l", "127.0.0.1:0"]);
        Client::join(&server);
        server.wait_for_log("joined");
        server.assert_not_logged(&address.to_string());
    }
}

/// `IPPROTO_MPTCP`. Linux has no `TCP_USER_TIMEOUT` for it.
const MPTCP: i32 = 262;

#[test]
fn an_inherited_socket_without_an_option_is_one_warning() {
    let socket = match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(MPTCP))) {
        Ok(socket) => socket,
        Err(error) => return skip(&format!("no Multipath TCP: {error}")),
    };
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut server = start(&[socket.into(), listener().0], &[], &[]);
    let mut clients = [join(address), join(address)];
    clients[0].send("hi\n");
    clients[1].expect_line("hi");
    let expected = format!("cannot set TCP_USER_TIMEOUT on {address}: Protocol not available");
    let log = server.log_so_far();
    let warnings = log.iter().filter(|line| line.contains("[WARN]")).collect::<Vec<_>>();
    assert!(matches!(warnings[..], [warning] if warning.contains(&expected)), "{log:#?}");
}

#[test]
fn an_address_that_an_inherited_socket_has_is_given_twice() {
    let (socket, address) = listener();
    let text = address.to_string();
    let (status, _, error) = run_to_end(activated(&[socket], &[], &["-q", "-l", &text]));
    assert_eq!((status, error), (Some(1), format!("hubbub: {}\n", given_twice(&text))));
}

#[test]
fn clients_that_connect_during_a_restart_wait_and_join() {
    let (socket, address) = listener();
    let sockets = [socket];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let joiners = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Fails if the connection is refused, or reset before the welcome.
                    let mut client = join(address);
                    client.send("hi\n");
                    client.end_input();
                    client.read_to_end();
                    count += 1;
                }
                count
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
        let came = joiners.map(|joiner| joiner.join().unwrap()).iter().sum::<usize>();
        assert!(came >= 8 && joined >= 8, "{came} came, {joined} joined");
    });
}

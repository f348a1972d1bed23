//! TLS listeners of a running server: what comes before the handshake, during it and after it.

use crate::common::texts::WELCOME;
use crate::common::tls::{Certificate, End, TlsClient};
use crate::common::{Client, Folder, Server, eventually, program};
use rustls::version::{TLS12, TLS13};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// A server with a listener without TLS and one with it for each view.
struct TlsServer {
    server: Server,
    plain: SocketAddr,
    /// By view: plain, named and json.
    tls: [SocketAddr; 3],
    folder: Folder,
}

impl TlsServer {
    fn start(test: &str, options: &[&str]) -> Self {
        Self::start_after(test, Command::new(env!("CARGO_BIN_EXE_hubbub")), options)
    }

    /// Starts it with `command`, to which options are added.
    fn start_after(test: &str, mut command: Command, options: &[&str]) -> Self {
        let folder = Folder::new(&format!("tls-server-{test}"));
        write_certificate(&folder);
        command.args(["-l", "127.0.0.1:0"]);
        for view in ["tls", "named+tls", "json+tls"] {
            command.args(["-l", &format!("{view}:127.0.0.1:0")]);
        }
        command.arg("--tls-cert").arg(folder.path("cert.pem")).arg("--tls-key").arg(folder.path("key.pem"));
        let mut server = Server::spawn({
            command.args(options);
            command
        });
        let plain = server.address();
        let tls = ["(plain+tls)", "(named+tls)", "(json+tls)"].map(|view| {
            let line = server.wait_for_log(view);
            let address = line.split("listening on ").nth(1).unwrap().split(' ').next().unwrap();
            address.parse().unwrap()
        });
        Self { server, plain, tls, folder }
    }
}

fn write_certificate(folder: &Folder) -> Certificate {
    let made = Certificate::new();
    fs::write(folder.path("cert.pem"), &made.cert).unwrap();
    fs::write(folder.path("key.pem"), &made.key).unwrap();
    fs::set_permissions(folder.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    made
}

/// A TLS client that waits for what it receives.
struct Talker(TlsClient<TcpStream>);

impl Talker {
    fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self(TlsClient::new(socket, &TLS13))
    }

    fn send(&mut self, text: &str) {
        self.0.send(text);
        self.0.step();
    }

    /// Waits until what was received contains `text`.
    fn expect(&mut self, text: &str) {
        eventually(text, || {
            self.0.step();
            String::from_utf8_lossy(&self.0.received).contains(text).then_some(())
        });
    }

    fn expect_end(&mut self) -> End {
        eventually("the end", || {
            self.0.step();
            self.0.end
        })
    }
}

#[test]
fn clients_with_tls_talk_in_every_view_with_clients_without_it() {
    let TlsServer { server: _server, plain, tls, folder: _folder } = TlsServer::start("views", &[]);
    let mut other = Client::connect(plain);
    other.expect_line(WELCOME);
    for (number, (address, greeting, message)) in [
        (tls[0], WELCOME, "hello 0\n"),
        (tls[1], "* you are anon", "<anon1> hello 1\n"),
        (tls[2], r#""type":"notice","text":"Welcome"#, r#""from":"anon1","text":"hello 2""#),
    ]
    .into_iter()
    .enumerate()
    {
        let mut talker = Talker::connect(address);
        talker.expect(greeting);
        talker.send("over TLS\n");
        other.expect_line("over TLS");
        other.send(format!("hello {number}\n"));
        talker.expect(message);
        talker.0.session.send_close_notify();
        assert_eq!(talker.expect_end(), End::Orderly);
    }
}

#[test]
fn a_stream_that_is_cut_without_close_notify_drops_its_unfinished_line() {
    let mut tls = TlsServer::start("cut", &[]);
    let mut other = Client::connect(tls.plain);
    other.expect_line(WELCOME);
    for orderly in [false, true] {
        let mut talker = Talker::connect(tls.tls[0]);
        talker.expect(WELCOME);
        talker.send("whole\nunfinished");
        other.expect_line("whole");
        if orderly {
            talker.0.session.send_close_notify();
            talker.0.step();
            other.expect_line("unfinished");
        } else {
            talker.0.socket.shutdown(Shutdown::Write).unwrap();
            tls.server.wait_for_log("connection lost");
        }
    }
}

#[test]
fn a_client_that_ends_its_input_without_close_notify_receives_its_answers() {
    let tls = TlsServer::start("half", &[]);
    let mut talker = Talker::connect(tls.tls[1]);
    talker.send("/who\nunfinished");
    while talker.0.session.is_handshaking() || talker.0.session.wants_write() {
        talker.0.step();
    }
    talker.0.socket.shutdown(Shutdown::Write).unwrap();
    assert_eq!(talker.expect_end(), End::Orderly);
    talker.expect("* 1 here: anon1\n");
}

#[test]
fn a_client_without_tls_is_told_that_the_port_needs_it() {
    let mut tls = TlsServer::start("none", &[]);
    for (bytes, answer) in [
        ("hello\n", "* this port needs TLS: connect with hubbub-client --tls or ncat --ssl\n"),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"),
        ("DELETE /x HTTP/1.1\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n"),
    ] {
        let mut client = Client::connect(tls.tls[0]);
        client.send(bytes);
        let received = String::from_utf8(client.read_to_end()).unwrap();
        assert!(received.starts_with(answer), "{bytes:?}: {received:?}");
        tls.server.wait_for_log("refused: the TLS handshake failed");
    }
}

#[test]
fn somebody_who_waits_for_a_prompt_without_tls_is_told_after_ten_seconds_that_the_port_needs_it() {
    let mut tls = TlsServer::start("silent", &[]);
    let mut silent = Client::connect(tls.tls[0]);
    silent.expect_line("* this port needs TLS: connect with hubbub-client --tls or ncat --ssl");
    silent.expect_end();
    drop(silent);
    tls.server.wait_for_log("refused: not admitted in time");
}

#[test]
fn an_address_that_is_not_allowed_receives_a_tls_alert() {
    let folder = Folder::new("tls-server-denied-list");
    fs::write(folder.path("list"), "deny 127.0.0.1\n").unwrap();
    let list = folder.path("list");
    let tls = TlsServer::start("denied", &["--access", list.to_str().unwrap()]);
    let mut talker = Talker::connect(tls.tls[1]);
    assert_eq!(talker.expect_end(), End::Failed);
    let mut raw = Client::connect(tls.tls[1]);
    // Level fatal, access_denied (RFC 8446, 6.2).
    assert_eq!(raw.read_to_end(), [21, 3, 3, 0, 2, 2, 49]);
}

#[test]
fn the_password_is_asked_for_inside_tls() {
    let folder = Folder::new("tls-server-password-file");
    fs::write(folder.path("password"), "secret\n").unwrap();
    let file = folder.path("password");
    let tls = TlsServer::start("password", &["--password-file", file.to_str().unwrap()]);
    let mut talker = Talker::connect(tls.tls[1]);
    talker.expect("* password:\n");
    talker.send("secret\n/nick alice\n");
    talker.expect("you are alice now");
    let mut wrong = Talker::connect(tls.tls[1]);
    wrong.send("guess\n");
    wrong.expect("* password:\n* wrong password\n");
    assert_eq!(wrong.expect_end(), End::Orderly);
    // The password and the end of input come with the last flight of the handshake.
    let mut quick = Talker::connect(tls.tls[0]);
    quick.send("secret\nhi");
    eventually("the end of the handshake", || {
        quick.0.step();
        (!quick.0.session.is_handshaking()).then_some(())
    });
    quick.0.session.send_close_notify();
    assert_eq!(quick.expect_end(), End::Orderly);
    talker.expect("hi\n");
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    let mut tls = TlsServer::start("proxy", &["--proxy-from", "127.0.0.1"]);
    let mut socket = TcpStream::connect(tls.tls[0]).unwrap();
    socket.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 40001 9443\r\n").unwrap();
    let mut talker = Talker::over(socket);
    talker.expect(WELCOME);
    tls.server.wait_for_log("192.0.2.7:40001 joined");
}

#[test]
fn three_hundred_half_open_handshakes_hold_no_place_in_the_room_and_end_after_ten_seconds() {
    let mut tls = TlsServer::start("half-open", &["--max-clients", "3"]);
    let mut half_open = Vec::new();
    for _ in 0..300 {
        let mut client = Client::connect(tls.tls[1]);
        // The beginning of a record of the handshake.
        client.send([22, 3, 1]);
        half_open.push(client);
    }
    let mut one = Client::connect(tls.plain);
    one.expect_line(WELCOME);
    let mut other = Talker::connect(tls.tls[1]);
    other.expect("(2 here");
    other.send("/who\n");
    one.send("still fast\n");
    other.expect("still fast");
    for client in &mut half_open {
        client.expect_end();
    }
    let counters = tls.server.counters();
    assert!(counters.contains("2 online") && counters.contains("300 entry timed out"), "{counters}");
}

#[test]
fn sighup_rereads_the_certificate_and_a_wrong_file_changes_nothing() {
    let mut tls = TlsServer::start("reread", &[]);
    let served = |address| {
        let mut talker = Talker::connect(address);
        talker.expect(WELCOME);
        let certificates = talker.0.session.peer_certificates().unwrap();
        certificates[0].to_vec()
    };
    let (first, mut member) = (served(tls.tls[0]), Talker::connect(tls.tls[0]));
    member.expect(WELCOME);
    fs::write(tls.folder.path("key.pem"), "no key\n").unwrap();
    tls.server.signal("HUP");
    tls.server.wait_for_log("; the old certificate stays");
    assert_eq!(served(tls.tls[0]), first);
    write_certificate(&tls.folder);
    tls.server.signal("HUP");
    tls.server.wait_for_log("certificate reread");
    assert_ne!(served(tls.tls[0]), first);
    let mut other = Client::connect(tls.plain);
    other.expect_line(WELCOME);
    member.send("still here\n");
    other.expect_line("still here");
}

#[test]
fn when_too_many_newcomers_wait_the_oldest_of_the_same_network_makes_room() {
    // An eighth of the limit of open files: 16 newcomers.
    let mut command = Command::new("prlimit");
    command.args(["--nofile=128:128", env!("CARGO_BIN_EXE_hubbub")]);
    let tls = TlsServer::start_after("many", command, &[]);
    let mut first = TcpStream::connect(tls.tls[0]).unwrap();
    first.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let later = (0..16).map(|_| TcpStream::connect(tls.tls[0]).unwrap()).collect::<Vec<_>>();
    // It had sent nothing, so it receives the alert of a TLS server that has no place for it.
    let mut received = Vec::new();
    first.read_to_end(&mut received).unwrap();
    assert_eq!(received.first(), Some(&21), "an alert");
    let mut newest = Talker::connect(tls.tls[0]);
    newest.expect(WELCOME);
    drop(later);
}

#[test]
fn tls_1_2_works_too() {
    let tls = TlsServer::start("old", &[]);
    let socket = TcpStream::connect(tls.tls[0]).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut talker = Talker(TlsClient::new(socket, &TLS12));
    talker.expect(WELCOME);
    talker.0.session.send_close_notify();
    assert_eq!(talker.expect_end(), End::Orderly);
}

#[test]
fn a_certificate_without_a_tls_listener_is_refused_at_the_start() {
    let folder = Folder::new("tls-server-unused");
    write_certificate(&folder);
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let files = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let (status, _, error) =
        crate::common::run_to_end(program(&[&["-l", "127.0.0.1:0"], &files[..]].concat()));
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("no listener has TLS"), "{error}");
}

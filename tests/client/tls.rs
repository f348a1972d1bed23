//! The client with `--tls`, in scripts.

use crate::common::tls_front::{Certificate, Kind, tls_front};
use crate::common::{Client, Folder, Server, WELCOME, run_to_end, time_limit};
use crate::session::{ADVICE, LOST, Session, client, failure, run, scripted_server, success};
use rustls::{ServerConnection, StreamOwned};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

const UNTRUSTED: &str = "no trusted authority has signed the server's certificate: give its certificate with \
                         --tls-ca FILE, or accept any with --tls-insecure";
const INSECURE: &str = "hubbub-client: --tls-insecure: the server may be another one than it seems\n";

type Connection = StreamOwned<ServerConnection, TcpStream>;

/// A TLS server for one client that runs `script`.
fn scripted<T: Send + 'static>(
    certificate: &Certificate,
    versions: &[&'static rustls::SupportedProtocolVersion],
    script: impl FnOnce(Connection) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let config = certificate.config(versions);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(time_limit())).unwrap();
        script(StreamOwned::new(ServerConnection::new(config).unwrap(), stream))
    });
    (address, server)
}

/// Sends a line, reads until the end of TLS, and ends TLS too. Returns what it has read and how that ended.
fn welcome_and_read(mut connection: Connection) -> (String, Result<usize, std::io::ErrorKind>) {
    let mut received = String::new();
    // Both fail if the client has left before; the tests check what the client shows.
    _ = connection.write_all(b"Welcome.\n");
    let end = connection.read_to_string(&mut received).map_err(|error| error.kind());
    connection.conn.send_close_notify();
    _ = connection.flush();
    (received, end)
}

fn certificate() -> Certificate {
    Certificate::new(Kind::SelfSigned, &["127.0.0.1"])
}

/// Writes `text` to a new file and returns its path.
#[track_caller]
fn file(folder: &Folder, text: &str) -> String {
    let path: PathBuf = folder.path("certificate.pem");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn lines_pass_both_ways_and_both_sides_end_tls_in_order() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (options, input) in [(&[][..], "one\ntwo"), (&["-s", "one", "-s", "two"], "")] {
            let (address, server) = scripted(&certificate(), &[version], welcome_and_read);
            let (status, output, error) =
                run(address, &[options, &["--tls-insecure"]].concat(), input.as_bytes());
            assert_eq!((status, &*output, &*error), (Some(0), "Welcome.\n", INSECURE));
            assert_eq!(server.join().unwrap(), ("one\ntwo\n".to_owned(), Ok("one\ntwo\n".len())));
        }
    }
}

#[test]
fn twenty_megabytes_pass_both_ways_through_tls_without_a_loss() {
    let folder = Folder::new("client-tls-big");
    let line = |number: usize| format!("line {number} of a paste that is twenty megabytes long\n");
    let text = (0..410_000).map(line).collect::<String>();
    assert!(text.len() > 20_000_000);
    std::fs::write(folder.path("big"), &text).unwrap();
    let server = Server::start(&[]);
    let address = tls_front(server.address(), &certificate());
    let mut reader = client(address, &["--tls-insecure", "-f", "-n", "410001"]);
    reader.stderr(Stdio::null());
    let mut session = Session::start(reader);
    session.expect_line(WELCOME);
    let mut sender = client(address, &["--tls-insecure"]);
    sender.stdin(File::open(folder.path("big")).unwrap());
    let sender = thread::spawn(move || run_to_end(sender));
    for (number, expected) in text.lines().enumerate() {
        let received = session.lines.recv_timeout(time_limit());
        assert!(received.as_deref() == Ok(expected), "line {number}: {received:?}");
    }
    let (status, output, _) = sender.join().unwrap();
    assert_eq!((status, output), (Some(0), format!("{WELCOME}\n")));
}

#[test]
fn each_line_passes_through_tls_at_once_in_both_directions() {
    let server = Server::start(&[]);
    let address = tls_front(server.address(), &certificate());
    let mut other = Client::join(&server);
    let mut session = Session::start(client(address, &["--tls-insecure"]));
    session.expect_line(WELCOME);
    for line in ["one", "two", ""] {
        other.send(format!("{line}\n"));
        session.expect_line(line);
        session.send(&format!("reply to {line}\n"));
        other.expect_line(format!("reply to {line}"));
    }
    session.close_input();
    assert_eq!(session.wait(), (Some(0), INSECURE.to_owned()));
}

#[test]
fn the_certificate_must_be_trusted_and_for_the_host_at_this_time() {
    let signed = Certificate::signed(&["localhost", "127.0.0.1"]);
    let by_openssl = made_by_openssl("localhost");
    let own = |kind, names: &[&str]| {
        let made = Certificate::new(kind, names);
        let trusted = made.chain.clone();
        (made, trusted)
    };
    let unnamed = "the server's certificate names no host (subjectAltName)";
    for ((made, trusted), host, why) in [
        (signed, "localhost", None),
        (by_openssl, "localhost", None),
        (own(Kind::Authority, &["localhost"]), "localhost", None),
        (own(Kind::SelfSigned, &["localhost"]), "localhost", None),
        (own(Kind::SelfSigned, &["127.0.0.1"]), "127.0.0.1", None),
        // Trusted itself, and for no certain host.
        (own(Kind::Authority, &[]), "localhost", None),
        (own(Kind::SelfSigned, &[]), "localhost", None),
        ((Certificate::signed(&[]).0, own(Kind::Authority, &[]).1), "localhost", Some(UNTRUSTED)),
        (Certificate::signed(&[]), "localhost", Some(unnamed)),
        ((own(Kind::Authority, &[]).0, own(Kind::Authority, &[]).1), "localhost", Some(UNTRUSTED)),
        (
            own(Kind::Authority, &["a.example", "10.0.0.1"]),
            "localhost",
            Some("the server's certificate is for a.example, 10.0.0.1, not for localhost: connect to"),
        ),
        (
            Certificate::signed(&["localhost"]),
            "127.0.0.1",
            Some("the server's certificate is for localhost, not for 127.0.0.1: connect to"),
        ),
        (own(Kind::Expired, &["localhost"]), "localhost", Some("the server's certificate expired ")),
        (
            own(Kind::NotYetValid, &["localhost"]),
            "localhost",
            Some("the server's certificate is valid only in "),
        ),
    ] {
        let folder = Folder::new("client-tls-trust");
        let path = file(&folder, &trusted);
        let (listening, server) = scripted(&made, rustls::ALL_VERSIONS, welcome_and_read);
        let address = format!("{host}:{}", listening.port());
        let outcome = run(&address, &["--tls-ca", &path, "-s", "hi"], b"");
        match why {
            None => assert_eq!(outcome, success("Welcome.\n"), "{host} {why:?}"),
            Some(why) => {
                let start = format!("hubbub-client: cannot connect to \"{address}\" with TLS: {why}");
                assert!(outcome.0 == Some(1) && outcome.2.starts_with(&start), "{start}: {outcome:?}");
                assert_eq!(outcome.2.lines().count(), 1);
            }
        }
        _ = server.join().unwrap();
    }
}

/// A certificate as users make it, and the file to trust.
#[track_caller]
fn made_by_openssl(host: &str) -> (Certificate, String) {
    let folder = Folder::new("client-tls-openssl");
    let (chain, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-subj", &format!("/CN={host}"), "-addext", &format!("subjectAltName=DNS:{host}")]);
    openssl.arg("-out").arg(&chain).arg("-keyout").arg(&key);
    let (status, _, error) = run_to_end(openssl);
    assert_eq!(status, Some(0), "this test needs openssl: {error}");
    let text = |path| std::fs::read_to_string(path).unwrap();
    let made = Certificate { chain: text(&chain), key: text(&key) };
    let trusted = made.chain.clone();
    (made, trusted)
}

#[test]
fn without_a_file_the_authorities_of_the_system_are_trusted() {
    let (made, authority) = Certificate::signed(&["localhost"]);
    let folder = Folder::new("client-tls-system");
    for (trusted, is_fine) in [(authority.clone(), true), (certificate().chain, false)] {
        let (listening, server) = scripted(&made, rustls::ALL_VERSIONS, welcome_and_read);
        let address = format!("localhost:{}", listening.port());
        let mut command = client(&address, &["--tls", "-s", "hi"]);
        command.env("SSL_CERT_FILE", file(&folder, &trusted)).env_remove("SSL_CERT_DIR");
        let expected = match is_fine {
            true => success("Welcome.\n"),
            false => failure("", &format!("cannot connect to \"{address}\" with TLS: {UNTRUSTED}")),
        };
        assert_eq!(run_to_end(command), expected);
        _ = server.join().unwrap();
    }
}

#[test]
fn a_file_without_certificates_is_reported_before_the_client_connects() {
    let folder = Folder::new("client-tls-file");
    for (text, why) in [
        ("no PEM", "there is no certificate in it: it must be a PEM file with BEGIN CERTIFICATE"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "not a PEM file: "),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no certificate in it can be used: ",
        ),
    ] {
        let path = file(&folder, text);
        let (status, _, error) = run("127.0.0.1:1", &["--tls-ca", &path], b"");
        let start = format!("hubbub-client: --tls-ca \"{path}\": {why}");
        assert!(status == Some(1) && error.starts_with(&start), "{start}: {error}");
    }
    let missing = failure("", "--tls-ca \"/nowhere/ca\": No such file or directory");
    assert_eq!(run("127.0.0.1:1", &["--tls-ca", "/nowhere/ca"], b""), missing);
}

#[test]
fn a_server_that_speaks_no_tls_or_refuses_is_reported() {
    let leave_out = "the server does not speak TLS on this port: leave out --tls";
    let closed = "the server closed the connection during the TLS handshake: if it does not speak TLS on this port, \
                  leave out --tls";
    for (bytes, reads, why) in [
        (&b"Welcome to the anonymous chat room.\n"[..], true, leave_out),
        (b"* this is a chat room\n", true, leave_out),
        (b"SSH-2.0-OpenSSH_9.2\r\n", true, leave_out),
        // An alert: its type, the version, its length, fatal, and access_denied or handshake_failure.
        (b"\x15\x03\x03\x00\x02\x02\x31", true, "the server does not allow your address"),
        (b"\x15\x03\x03\x00\x02\x02\x28", true, "the server ended TLS: HandshakeFailure"),
        (b"", false, closed),
    ] {
        let (address, _server) = match reads {
            true => scripted_server(bytes, true),
            false => closing_server(),
        };
        let expected = failure("", &format!("cannot connect to \"{address}\" with TLS: {why}"));
        assert_eq!(without_note(run(address, &["--tls-insecure", "-s", "hi"], b"")), expected);
    }
    let refused = crate::common::Port::reserve().address();
    let expected = failure("", &format!("cannot connect to \"{refused}\": Connection refused; {ADVICE}"));
    assert_eq!(without_note(run(refused, &["--tls-insecure", "-s", "hi"], b"")), expected);
}

/// A server that reads a little and closes.
fn closing_server() -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = vec![0; 64 * 1024];
        let count = stream.read(&mut received).unwrap();
        received.truncate(count);
        received
    });
    (address, server)
}

fn without_note((status, output, error): crate::session::Outcome) -> crate::session::Outcome {
    (status, output, error.replace(INSECURE, ""))
}

#[test]
fn without_tls_a_server_that_expects_it_is_reported() {
    let expects = "the server expects TLS on this port: add --tls";
    let server = Server::start(&[]);
    let address = tls_front(server.address(), &certificate());
    assert_eq!(run(address, &["-s", "hi"], b""), failure("", expects));
    // The code of the alert may be a line end.
    let (address, _server) = scripted_server(&b"\x15\x03\x03\x00\x02\x02\n"[..], true);
    assert_eq!(run(address, &["-s", "hi"], b""), failure("", expects));
}

#[test]
fn an_end_without_the_end_of_tls_is_a_lost_connection() {
    let cut = |mut connection: Connection| {
        connection.write_all(b"Welcome.\nunfinished").unwrap();
        let mut received = String::new();
        connection.read_to_string(&mut received).unwrap();
        received
    };
    let why = "connection lost: the server closed it without the end of TLS (close_notify)";
    for options in [&["-s", "hi"][..], &["-s", "hi", "-n", "1"]] {
        let (address, server) = scripted(&certificate(), rustls::ALL_VERSIONS, cut);
        let (status, output, error) =
            without_note(run(address, &[options, &["--tls-insecure"]].concat(), b""));
        let error = error.strip_prefix("hubbub-client: ").unwrap().trim_end();
        assert_eq!((status, &*output), (Some(1), "Welcome.\n"), "{options:?}");
        assert!(error.starts_with(why), "{error}");
        assert_eq!(server.join().unwrap(), "hi\n");
    }
    let end = |mut connection: Connection| {
        connection.write_all(b"Welcome.\n").unwrap();
        connection.conn.send_close_notify();
        connection.flush().unwrap();
        connection.read_to_string(&mut String::new())
    };
    let (address, server) = scripted(&certificate(), rustls::ALL_VERSIONS, end);
    let (status, output, error) = without_note(run(address, &["--tls-insecure", "-f"], b""));
    assert_eq!((status, &*output, &*error), (Some(1), "Welcome.\n", &*format!("{LOST}\n")));
    _ = server.join().unwrap();
}

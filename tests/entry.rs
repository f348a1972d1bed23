//! What a connection passes before it is in the room: access list, PROXY header, password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{HTTP_REFUSAL, WELCOME};
use common::{Client, Folder, Server, run};
use hubbub::net::proxy_header::MAX_LENGTH;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const PASSWORD: &str = "correct horse";
const PROMPT: &str = "* password:";
const WRONG: &str = "* wrong password";
const TOO_MANY: &str = "* too many wrong passwords from your network: try again later";
const NOT_ALLOWED: &str = "* not allowed: this server does not admit your address";

/// A file with these contents. The folder ends with the test.
fn file(test: &str, contents: &str) -> (Folder, PathBuf) {
    let folder = Folder::new(&format!("entry-{test}"));
    let path = folder.path("file");
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

fn with_password(test: &str, more: &[&str]) -> (Folder, Server, [SocketAddr; 3]) {
    let (folder, path) = file(test, &format!("{PASSWORD}\nnot this\n"));
    let (server, addresses) =
        Server::start_in_views(&[&["--password-file", path.to_str().unwrap()], more].concat());
    (folder, server, addresses)
}

/// Enters a room with a password.
fn enter(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.expect_line(PROMPT);
    client.send(format!("{PASSWORD}\n"));
    client.expect_line(WELCOME);
    client
}

#[test]
fn in_every_view_the_password_opens_the_room_and_what_follows_it_is_a_message() {
    let (_folder, server, [plain, named, json]) = with_password("views", &["--history", "9"]);
    let mut reader = enter(plain);
    for (address, prompt, greeting) in [
        (plain, PROMPT, WELCOME),
        (named, PROMPT, WELCOME),
        (json, r#"{"type":"notice","text":"password:","at":""#, r#"{"type":"notice","text":"Welcome"#),
    ] {
        for lines in ["correct horse\nhi\n", "correct horse\r\nhi\r\n", "correct horse\nhi"] {
            let mut client = Client::connect(address);
            client.send(lines);
            client.end_input();
            let received = String::from_utf8(client.read_to_end()).unwrap();
            let mut received = received.lines();
            assert!(received.next().unwrap().starts_with(prompt), "{address} {lines:?}");
            assert!(received.next().unwrap().starts_with(greeting), "{address} {lines:?}");
            reader.expect_line("hi");
        }
    }
    // Sent last, so nothing came between: the password was relayed to nobody.
    reader.end_input();
    assert_eq!(reader.read_to_end(), b"");
    drop(server);
}

#[test]
fn a_newcomer_is_not_in_the_room_and_a_wrong_password_never_lets_it_in() {
    let (_folder, mut server, [_, named, _]) = with_password("wrong", &["-vv"]);
    let mut member = enter(named);
    assert!(member.read_text().contains("you are anon1 (1 here)"));
    let mut newcomer = Client::connect(named);
    newcomer.expect_line(PROMPT);
    member.send("/who\n");
    let here = member.read_text();
    assert!(here.starts_with("* 1 ") && !here.contains("anon2"), "{here}");
    newcomer.send("Correct Horse\nsecret words\n");
    newcomer.expect_line(WRONG);
    newcomer.expect_end();
    member.send("/quit\n");
    assert_eq!(member.read_to_end(), b"", "nothing of the newcomer was told");
    server.wait_for_log("refused: wrong password");
    let log = server.log_so_far().join("\n");
    for secret in [PASSWORD, "Correct Horse", "secret words"] {
        assert!(!log.contains(secret), "{secret} is in the log: {log}");
    }
}

#[test]
fn after_five_wrong_passwords_a_network_is_refused_even_with_the_right_one() {
    let (_folder, server, [plain, ..]) = with_password("five", &[]);
    let mut failing = (0..5).map(|_| Client::connect(plain)).collect::<Vec<_>>();
    let mut late = Client::connect(plain);
    for client in failing.iter_mut().chain([&mut late]) {
        client.expect_line(PROMPT);
    }
    for client in &mut failing {
        client.send("guess\n");
    }
    for client in &mut failing {
        client.expect_line(WRONG);
        client.expect_end();
    }
    late.send(format!("{PASSWORD}\n"));
    late.expect_line(TOO_MANY);
    late.expect_end();
    let mut next = Client::connect(plain);
    next.expect_line(TOO_MANY);
    next.expect_end();
    drop(server);
}

#[test]
fn other_protocols_get_their_refusal_instead_of_a_prompt() {
    let (_folder, server, [plain, ..]) = with_password("http", &[]);
    let mut curl = Client::connect(plain);
    curl.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = String::from_utf8(curl.read_to_end()).unwrap();
    assert!(response.starts_with(HTTP_REFUSAL), "{response}");
    drop(server);
}

#[test]
fn telnet_commands_are_no_part_of_the_password() {
    let (_folder, server, [plain, ..]) = with_password("telnet", &[]);
    let mut client = Client::connect(plain);
    client.send(b"\xff\xfd\x03correct \xff\xf1horse\r\0");
    let expected = format!("{PROMPT}\n{WELCOME}\n");
    let mut received = client.read_bytes(expected.len() + 3);
    received.retain(u8::is_ascii);
    // The answer to DO: WONT, of which 3 is the option.
    received.retain(|&byte| byte != 3);
    assert_eq!(String::from_utf8(received).unwrap(), expected);
    drop(server);
}

#[test]
fn sighup_rereads_the_password_and_a_wrong_file_changes_nothing() {
    let (folder, mut server, [plain, ..]) = with_password("reread", &[]);
    let path = folder.path("file");
    let mut member = enter(plain);
    fs::write(&path, "\n").unwrap();
    server.signal("HUP");
    server.wait_for_log("; the old password stays");
    drop(enter(plain));
    fs::write(&path, "new words\n").unwrap();
    server.signal("HUP");
    server.wait_for_log("password reread");
    let mut client = Client::connect(plain);
    client.send("new words\nhi\n");
    member.expect_line("hi");
}

#[test]
fn a_password_file_that_cannot_be_used_is_refused_at_the_start() {
    for (contents, why) in [
        ("", "must be a password of 1 to 1024 bytes"),
        ("\nsecret\n", "must be a password of 1 to 1024 bytes"),
        ("NICK bob\n", "choose another password"),
        ("GET / HTTP/1.1\n", "choose another password"),
    ] {
        let (_folder, path) = file("unusable", contents);
        let (status, _, error) = run(&["-l", "127.0.0.1:0", "--password-file", path.to_str().unwrap()]);
        assert_eq!(status, Some(1), "{contents:?}: {error}");
        assert!(error.contains("--password-file") && error.contains(why), "{contents:?}: {error}");
        assert!(!error.contains("bob"), "a password is not shown: {error}");
    }
}

#[test]
fn the_log_warns_if_a_password_crosses_a_network_without_encryption() {
    let (_folder, path) = file("warning", "secret\n");
    let path = path.to_str().unwrap();
    for (listen, warns) in [(":0", true), ("127.0.0.1:0", false), ("[::1]:0", false)] {
        let mut server = Server::spawn(common::program(&["-l", listen, "--password-file", path]));
        let log = server.log_so_far().join("\n");
        assert_eq!(log.contains("clients send the password to "), warns, "{listen}: {log}");
    }
}

#[test]
fn the_log_warns_if_every_user_of_the_machine_can_read_the_password() {
    let (_folder, path) = file("readable", "secret\n");
    for (mode, warns) in [(0o604, true), (0o640, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let mut server = Server::start(&["--password-file", path.to_str().unwrap()]);
        let log = server.log_so_far().join("\n");
        assert_eq!(log.contains("every user of this machine can read it"), warns, "{mode:o}: {log}");
    }
}

#[test]
fn the_access_list_decides_at_the_door_and_is_reread_while_clients_stay() {
    let (folder, path) = file("access", "deny 127.0.0.0/8\n");
    let access = path.to_str().unwrap();
    let (mut server, [plain, _, json]) = Server::start_in_views(&["--access", access]);
    let mut client = Client::connect(plain);
    client.expect_line(NOT_ALLOWED);
    client.expect_end();
    let line = Client::connect(json).read_text();
    assert!(line.starts_with(r#"{"type":"error","text":"not allowed: "#), "{line}");
    server.wait_for_log("refused: not allowed by the access list");

    fs::write(&path, "allow 127.0.0.0/8 # this machine\n").unwrap();
    server.signal("HUP");
    server.wait_for_log("access list reread: 1 rule");
    let (mut one, mut other) = (Client::connect(plain), Client::connect(plain));
    one.expect_line(WELCOME);
    other.expect_line(WELCOME);

    fs::write(&path, "allow 192.0.2.0/24\n").unwrap();
    server.signal("HUP");
    server.wait_for_log("access list reread: 1 rule");
    one.send("still here\n");
    other.expect_line("still here");
    Client::connect(plain).expect_line(NOT_ALLOWED);

    fs::write(&path, "allow 127.0.0.0/8\nallow 10.0.0.1/8\n").unwrap();
    server.signal("HUP");
    let error = server.wait_for_log("the old rules stay");
    assert!(error.contains("line 2") && error.contains("write 10.0.0.0/8"), "{error}");
    Client::connect(plain).expect_line(NOT_ALLOWED);
    drop(folder);
}

#[test]
fn unix_sockets_are_exempt_from_the_access_list() {
    let (folder, path) = file("access-unix", "deny 0.0.0.0/0\ndeny ::/0\n");
    let socket = folder.path("room");
    let listen = format!("unix:{}", socket.display());
    let server = Server::start(&["-l", &listen, "--access", path.to_str().unwrap()]);
    Client::connect_to_path(&socket).expect_line(WELCOME);
    Client::connect(server.address()).expect_line(NOT_ALLOWED);
}

/// A header of version 2 for a TCP connection over IPv4 from 192.0.2.7:40000.
const BINARY_HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x9c\x40\x23\x82";
const LINE_HEADER: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 9090\r\n";

#[test]
fn the_address_that_a_proxy_tells_counts_for_log_limits_and_access() {
    let (_folder, path) = file("proxy", "deny 192.0.2.8\ndeny 127.0.0.1\n");
    let options = ["--proxy-from", "127.0.0.0/8", "--max-per-ip", "1", "--access", path.to_str().unwrap()];
    let mut server = Server::start(&options);
    let address = server.address();
    for header in [LINE_HEADER, BINARY_HEADER] {
        // Byte by byte, and with the first line in the same piece as the end of the header.
        let mut client = Client::connect(address);
        for byte in header {
            client.send([*byte]);
        }
        client.expect_line(WELCOME);
        server.wait_for_log("192.0.2.7:40000 joined");
        let mut second = Client::connect(address);
        second.send([header, b"hi\n"].concat());
        assert!(second.read_text().starts_with("* too many connections from your address (1)"));
        client.end_input();
        server.wait_for_log("192.0.2.7:40000 left");
    }
    let mut denied = Client::connect(address);
    denied.send(b"PROXY TCP4 192.0.2.8 192.0.2.1 40000 9090\r\n");
    denied.expect_line(NOT_ALLOWED);
    // A health check of the proxy is a connection of its own, and its own address is denied.
    let mut check = Client::connect(address);
    check.send(b"PROXY UNKNOWN\r\n");
    check.expect_line(NOT_ALLOWED);
}

#[test]
fn what_follows_a_proxy_header_is_the_clients_first_line() {
    let mut server = Server::start(&["--proxy-from", "127.0.0.1"]);
    let mut reader = Client::connect(server.address());
    reader.send(LINE_HEADER);
    reader.expect_line(WELCOME);
    let mut sender = Client::connect(server.address());
    sender.send([BINARY_HEADER, b"one\ntwo"].concat());
    sender.end_input();
    reader.expect_line("one");
    reader.expect_line("two");
    server.wait_for_log("left");
}

#[test]
fn a_proxy_without_a_valid_header_is_refused_and_a_header_from_elsewhere_too() {
    let mut server = Server::start(&["--proxy-from", "127.0.0.1"]);
    for bytes in [&b"hello\n"[..], b"PROXY TCP4 1.2.3.4\r\n", &[b'P'; MAX_LENGTH + 1]] {
        let mut client = Client::connect(server.address());
        client.send_without_blocking(bytes);
        let line = client.read_text();
        assert!(line.starts_with("* your address is that of a proxy, and "), "{line}");
        client.expect_end();
        server.wait_for_log("refused: no valid PROXY header");
    }
    let mut elsewhere = Server::start(&["--proxy-from", "192.0.2.1"]);
    let mut client = Client::connect(elsewhere.address());
    client.send(LINE_HEADER);
    client.expect_line(WELCOME);
    assert!(client.read_text().starts_with("* this is a chat room"));
    client.expect_end();
    elsewhere.wait_for_log("refused: spoke");
}

#[test]
fn wrong_values_of_the_options_are_refused_in_one_line() {
    for (options, why) in [
        (
            &["--proxy-from", "10.0.0.1/8"][..],
            "--proxy-from \"10.0.0.1/8\": the address has bits after the first 8",
        ),
        (&["--proxy-from", "proxy"], "--proxy-from \"proxy\": must be an address or a network"),
        (&["--tls-cert", "x"], "--tls-cert needs --tls-key"),
        (&["--tls-key", "x"], "--tls-key needs --tls-cert"),
        (&["-l", "named+tls:9443"], "TLS needs --tls-cert FILE and --tls-key FILE"),
        (&["-l", "named+ssl:9443"], "unknown view"),
    ] {
        let (status, _, error) = run(options);
        assert_eq!((status, error.lines().count()), (Some(2), 1), "{options:?}: {error}");
        assert!(error.contains(why), "{options:?}: {error}");
    }
    let (status, _, error) = run(&["--access", "/nowhere/list"]);
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("--access \"/nowhere/list\": "), "{error}");
}

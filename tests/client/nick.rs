//! `--nick`: the client asks for a name before it sends anything.

use crate::common::{Client, Port, Server, texts};
use crate::session::{LOST, Session, client, run, scripted_server};
use std::process::Stdio;

/// A room with a listener in each view and without notices of this test's clients in the plain one.
fn room() -> (Server, [std::net::SocketAddr; 3]) {
    Server::start_in_views(&["-w", "Welcome."])
}

/// A client of the named view that has read its greeting.
#[track_caller]
fn join(named: std::net::SocketAddr) -> Client {
    let mut client = Client::connect(named);
    client.expect_line("Welcome.");
    assert!(client.read_text().starts_with(texts::YOU_ARE));
    client
}

/// Reads messages until one that ends in `text`, and returns it. Notices are skipped.
#[track_caller]
fn message(reader: &mut Client) -> String {
    loop {
        let line = reader.read_text();
        if !line.starts_with("* ") {
            return line;
        }
    }
}

#[test]
fn the_lines_are_sent_under_the_name_or_if_it_is_taken_with_underscores() {
    let (_server, [_, named, json]) = room();
    let mut reader = join(named);
    for (address, options, input, name) in [
        (named, &["-s", "one"][..], "", "bob"),
        (json, &["-s", "one"], "", "bob"),
        (named, &[], "one\n", "bob"),
        // The welcome line reaches the count before the client has its name.
        (named, &["-s", "one", "-n", "1"], "", "bob"),
        (named, &["-s", "one", "--quiet"], "", "bob"),
    ] {
        let options = [options, &["--nick", name]].concat();
        let (status, output, error) = run(address, &options, input.as_bytes());
        assert_eq!((status, &error[..]), (Some(0), ""), "{options:?}: {output}");
        assert_eq!(message(&mut reader), "<bob> one", "{options:?}");
    }
    let mut bob = join(named);
    bob.send("/nick BOB\n");
    bob.expect_line(format!("* {}", texts::renamed("BOB")));
    for (address, name) in [(named, "<bob_> one"), (json, "<bob_> one")] {
        let (status, output, error) = run(address, &["--nick", "bob", "-s", "one"], b"");
        assert_eq!((status, &error[..]), (Some(0), ""), "{output}");
        assert_eq!(message(&mut reader), name);
    }
}

#[test]
fn a_script_whose_name_is_refused_sends_nothing_and_fails() {
    let (_server, [_, named, json]) = room();
    let mut reader = join(named);
    let longest = "b".repeat(24);
    let mut taken = join(named);
    taken.send(format!("/nick {longest}\n"));
    taken.expect_line(format!("* {}", texts::renamed(&longest)));
    for (name, why) in [("anon", texts::name_reserved("anon")), (&longest, texts::name_taken(&longest))] {
        for address in [named, json] {
            for options in [&["-s", "hi"][..], &["-n", "1"], &["-q", "-s", "hi"], &["-f", "-r"]] {
                let options = [options, &["--nick", name]].concat();
                let (status, _, error) = run(address, &options, b"hi\n");
                let expected = format!("hubbub-client: --nick \"{name}\": {why}\n");
                assert_eq!((status, error), (Some(1), expected), "{options:?}");
            }
        }
    }
    taken.send("end\n");
    assert_eq!(message(&mut reader), format!("<{longest}> end"));
}

#[test]
fn in_the_plain_view_the_name_is_not_said_to_everyone_and_the_script_fails() {
    let (_server, [plain, ..]) = room();
    let mut reader = Client::connect(plain);
    reader.expect_line("Welcome.");
    let mut other = Client::connect(plain);
    let (status, output, error) = run(plain, &["--nick", "bob", "-s", "hi"], b"");
    assert_eq!((status, &output[..], error.lines().count()), (Some(1), "Welcome.\n", 1));
    assert!(error.starts_with("hubbub-client: --nick \"bob\": the server gives no names"), "{error}");
    other.send("end\n");
    reader.expect_line("end");
}

#[test]
fn a_server_that_closes_before_it_has_told_a_name_is_a_lost_connection() {
    let (address, server) = scripted_server("* hold the line\n", false);
    let (status, _, error) = run(address, &["--nick", "bob", "-s", "hi"], b"");
    assert_eq!((status, error), (Some(1), format!("{LOST}\n")));
    assert_eq!(server.join().unwrap(), b"");
}

#[test]
fn after_a_reconnect_the_client_asks_for_its_name_again() {
    let port = Port::reserve();
    let start = || {
        let mut command = crate::common::program(&["-q", "-l", &format!("named:{}", port.address())]);
        command.args(["-w", "Welcome."]).stderr(Stdio::null());
        Server::spawn_without_log(command, &port)
    };
    let server = start();
    let mut session = Session::start(client(port.address(), &["--nick", "bob", "--reconnect"]));
    let mut reader = join(port.address());
    session.send("one\n");
    assert_eq!(message(&mut reader), "<bob> one");
    server.signal("TERM");
    server.wait();
    let _server = start();
    let mut reader = join(port.address());
    session.send("two\n");
    assert_eq!(message(&mut reader), "<bob> two");
}

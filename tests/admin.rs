//! The admin view of a running server: its socket, and what operators do with it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, eventually, program, run_to_end};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A server with all views, its admin socket, and its folder.
#[track_caller]
fn start(name: &str, options: &[&str]) -> (Server, PathBuf, Folder) {
    let folder = Folder::new(name);
    let path = folder.path("admin");
    let place = at(&path);
    let named = ["-l", "named:127.0.0.1:0", "-l", "json:127.0.0.1:0", "-l", &place];
    let mut server = Server::start(&[&named[..], options].concat());
    server.wait_for_log(&format!("listening on unix:{} (admin)", path.display()));
    (server, path, folder)
}

fn at(path: &Path) -> String {
    format!("admin:unix:{}", path.display())
}

/// Sends commands as `nc -N` does: with the end of input after them. Returns all answers.
#[track_caller]
fn ask(path: &Path, commands: &str) -> String {
    let mut operator = Client::connect_to_path(path);
    operator.send(commands);
    operator.end_input();
    String::from_utf8(operator.read_to_end()).unwrap()
}

#[test]
fn only_the_user_of_the_server_can_connect_whatever_the_mode_of_other_sockets() {
    for options in [&[][..], &["--unix-mode", "0666"]] {
        let (server, path, _folder) = start("admin-mode", options);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{options:?}");
        server.signal("TERM");
        server.wait();
        assert!(!path.exists());
    }
}

#[test]
fn an_address_without_permissions_is_refused() {
    for (place, why) in [
        ("admin:127.0.0.1:0", "the admin view needs a unix socket: write admin:unix:PATH"),
        ("admin:0", "the admin view needs a unix socket: write admin:unix:PATH"),
        ("admin:unix:@hubbub-admin", "an abstract socket has no permissions: write admin:unix:PATH"),
        ("admin+tls:unix:/tmp/x", "the admin view has no TLS: write admin:unix:PATH"),
        ("admin", "the address is missing: write admin:unix:PATH"),
    ] {
        let (status, _, error) = run_to_end(program(&["-l", place]));
        let expected = format!("hubbub: --listen \"{place}\": {why} (hubbub --help lists the options)\n");
        assert_eq!((status, error), (Some(2), expected));
    }
}

#[test]
fn all_commands_are_answered_in_their_order_before_the_connection_closes() {
    let (mut server, path, _folder) = start("admin-answers", &[]);
    let mut client = Client::join(&server);
    client.send("hi\n");
    server.wait_for_log("joined");
    let answers = eventually("the line is counted", || {
        let answers = ask(&path, "bans\r\n\nSAY hello\nwho\nkik x\nstats");
        answers.contains("\nrelayed_lines 1\n").then_some(answers)
    });
    let mut lines = answers.lines();
    let mut next = || lines.next().unwrap();
    assert_eq!([next(), next(), next()], ["* 0 bans", "* ok, 0 clients", "* 1 client"]);
    let fields = next().split(' ').collect::<Vec<_>>();
    assert_eq!(fields[..4], ["0", "anon1", "plain", &client.address()]);
    assert_eq!(fields[5..], ["1", "0"]);
    assert!(next().starts_with("* error: unknown command \"kik\": use who, kick, "));
    let count = next().strip_prefix("* ").unwrap().strip_suffix(" values").unwrap().parse::<usize>().unwrap();
    assert_eq!(lines.count(), count);
}

#[test]
fn each_command_is_logged_with_its_process_and_user_and_cannot_forge_a_line() {
    let (mut server, path, _folder) = start("admin-log", &[]);
    ask(&path, "say \x1B[1mhi\r[ERROR]\u{2028}x\nwho\nnonsense\n");
    let who = format!("admin pid {} uid {}", std::process::id(), rustix::process::getuid().as_raw());
    for command in ["say \\x1B[1mhi\\x0D[ERROR]\\u2028x", "who", "nonsense"] {
        assert!(server.wait_for_log("admin pid").ends_with(&format!("{who}: {command}")));
    }
}

#[test]
fn a_client_is_kicked_by_id_or_name_and_the_log_says_why() {
    let (mut server, path, _folder) = start("admin-kick", &[]);
    for (by_id, reason, told) in [(false, "", "removed by the operator"), (true, " spam", "spam")] {
        let mut client = Client::join(&server);
        let list = ask(&path, "who\n");
        let mut fields = list.lines().nth(1).unwrap().split(' ');
        let (id, name) = (fields.next().unwrap(), fields.next().unwrap());
        let whom = if by_id { id.to_owned() } else { name.to_uppercase() };
        assert_eq!(ask(&path, &format!("kick {whom}{reason}\n")), "* ok, 1 client disconnected\n");
        client.expect_line(format!("* disconnected: {told}"));
        client.expect_end();
        let why = "disconnected: removed by the operator, 0 online";
        server.wait_for_log(&format!("{} {why}", client.address()));
    }
    assert!(server.counters().contains("2 kicked"));
}

#[test]
fn a_muted_address_stays_muted_when_it_connects_again() {
    let (server, path, _folder) = start("admin-mute", &[]);
    let (mut reader, mut client) = (Client::join(&server), Client::join(&server));
    assert_eq!(ask(&path, "mute anon2\n"), "* ok, 127.0.0.1 is muted, 2 clients\n");
    for _ in 0..2 {
        client.send("hi\n");
        client.expect_line("* you are muted: nothing was sent");
        client.end_input();
        client.expect_end();
        client = Client::join(&server);
    }
    assert_eq!(
        ask(&path, "mutes\nunmute 127.0.0.1"),
        "* 1 mute\n127.0.0.1\n* ok, 127.0.0.1 is not muted now, 2 clients\n"
    );
    client.send("hi again\n");
    reader.expect_line("hi again");
}

#[test]
fn a_client_of_this_machine_cannot_be_banned() {
    let (server, path, _folder) = start("admin-ban", &[]);
    let _client = Client::join(&server);
    assert_eq!(
        ask(&path, "ban anon1\nban 203.0.113.0/24 90s\nbans"),
        "* error: 127.0.0.1 has addresses of this machine: use kick\n\
         * ok, 203.0.113.0/24 is banned for 90s, 0 clients disconnected\n* 1 ban\n203.0.113.0/24 90s\n"
    );
}

#[test]
fn operators_are_no_clients_and_a_full_room_keeps_none_out() {
    let (mut server, path, _folder) = start("admin-full", &["-m", "1", "--idle-timeout", "0.2"]);
    let mut operators = (0..16).map(|_| Client::connect_to_path(&path)).collect::<Vec<_>>();
    for operator in &mut operators {
        operator.send("who\n");
        operator.expect_line("* 0 clients");
    }
    let mut refused = Client::connect_to_path(&path);
    refused.expect_line("* error: too many admin connections, try again");
    refused.expect_end();
    let mut client = Client::join(&server);
    assert!(server.wait_for_log("joined").ends_with("joined, 1 online"));
    server.wait_for_log("nothing sent for too long");
    client.expect_line("* disconnected: nothing sent for 0.2 s");
    for operator in &mut operators {
        operator.send("mutes\n");
        operator.expect_line("* 0 mutes");
    }
    assert!(server.counters().contains("1 accepted connection,"));
}

#[test]
fn at_the_stop_all_connections_are_closed_also_those_that_read_nothing() {
    let (server, path, _folder) = start("admin-stop", &[]);
    let mut idle = Client::connect_to_path(&path);
    let mut stuck = Client::connect_to_path(&path);
    stuck.send("help\n".repeat(1000));
    idle.send("bans\n");
    idle.expect_line("* 0 bans");
    server.signal("TERM");
    idle.expect_end();
    assert_eq!(server.wait().0.code(), Some(0));
    drop(stuck);
}

#[test]
fn a_connection_that_breaks_ends_no_other() {
    let (server, path, _folder) = start("admin-broken", &[]);
    let mut client = Client::join(&server);
    for _ in 0..10 {
        let mut operator = Client::connect_to_path(&path);
        operator.send("help\nmetrics\n".repeat(100));
    }
    assert_eq!(ask(&path, "bans\n"), "* 0 bans\n");
    client.send("hi\n");
    assert!(ask(&path, "who").starts_with("* 1 client\n"));
}

//! How the client on a terminal ends: leaving, signals, lost connections, and connecting again.

use crate::common::{Client, Folder, Port, Server, WELCOME, eventually};
use crate::host::*;
use crate::screen::Terminal;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

#[test]
fn ctrl_c_clears_the_line_and_leaves_if_it_is_empty() {
    let Room { mut terminal, mut other, _server } = room(COLUMNS);
    terminal.type_keys(&format!("not this{LEFT}{LEFT}"));
    terminal.expect_screen_and_cursor(&["Welcome.", "> not this"], (1, 8));
    terminal.type_keys(CTRL_C);
    terminal.expect_screen_and_cursor(&["Welcome.", ">"], (1, 2));
    terminal.type_keys(&format!("this{ENTER}"));
    other.expect_line("this");
    terminal.expect_screen(&["Welcome.", "> this", ">"]);
    terminal.type_keys(CTRL_C);
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn ctrl_d_exit_and_quit_leave_with_and_without_a_slash_and_are_not_sent() {
    for (keys, sent) in [
        (CTRL_D, &[][..]),
        ("exit\r", &[]),
        ("quit\r", &[]),
        ("/quit\r", &[]),
        ("/exit\r", &[]),
        ("first\rexit\r", &["first"]),
        ("/quit now\r", &[]),
        // A paste, as terminals mark it.
        ("\x1B[200~one\n/quit\x1B[201~\r", &["one"]),
    ] {
        let mut host = Host::start(&[]);
        host.send("Welcome.\n");
        host.terminal.expect_screen(&["Welcome.", ">"]);
        host.type_keys(keys);
        sent.iter().for_each(|line| host.expect_line(line));
        host.expect_end();
        host.close(0);
    }
}

#[test]
fn exit_and_quit_among_other_text_are_sent() {
    let mut host = Host::start(&[]);
    host.type_keys("exit now\r//quit\r\x1B[200~if true\nexit\x1B[201~\r");
    ["exit now", "//quit", "if true", "exit"].iter().for_each(|line| host.expect_line(line));
}

#[test]
fn leaving_waits_until_a_slow_server_has_read_everything() {
    // It reads the first 50 lines at once, and the other 15 within 3 s.
    let server = Server::start(&["--rate", "5"]);
    let mut other = Client::join(&server);
    let mut terminal = Terminal::start(&client(server.address(), &[]), COLUMNS);
    terminal.expect_screen(&[WELCOME, ">"]);
    let lines = (0..65).map(|number| format!("line {number}")).collect::<Vec<_>>();
    terminal.type_keys(&format!("{}\rexit\r", lines.join("\r")));
    for (number, line) in lines.iter().enumerate() {
        other.expect_line(line);
        if number % 20 == 0 {
            // Received while the client leaves.
            other.send("go on\n");
        }
    }
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn ctrl_c_or_a_signal_ends_the_wait_for_a_server_that_does_not_close() {
    for signal in [None, Some("TERM")] {
        let mut host = Host::start(&[]);
        host.type_keys("hi\rexit\r");
        host.expect_line("hi");
        host.terminal.expect_output(
            "hubbub-client: waiting for the server to read the last lines; Ctrl-C leaves at once",
        );
        if let Some(name) = signal {
            host.terminal.signal(name);
            assert_eq!(host.terminal.wait().signal(), Some(15));
        } else {
            host.type_keys(CTRL_C);
            assert_eq!(host.terminal.wait().code(), Some(1));
            host.terminal
                .expect_output("hubbub-client: left without waiting; the last lines may not have arrived");
        }
    }
}

#[test]
fn a_reset_while_leaving_is_reported() {
    let mut host = Host::start(&[]);
    host.type_keys("hi\rexit\r");
    host.expect_line("hi");
    host.expect_end();
    socket2::SockRef::from(&host.stream).set_linger(Some(Duration::ZERO)).unwrap();
    let terminal = host.close(1);
    terminal.expect_output("connection lost: Connection reset by peer; the last lines may not have arrived");
}

#[test]
fn a_signal_ends_the_client_and_restores_the_terminal() {
    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let mut host = Host::with_half_a_line();
        assert!(!host.terminal.is_restored());
        host.terminal.signal(name);
        assert_eq!(host.terminal.wait().signal(), Some(number));
    }
}

#[test]
fn no_key_delays_a_signal_while_lines_arrive() {
    for keys in PREFIX_KEYS {
        for (name, number) in [("TERM", 15), ("HUP", 1)] {
            let mut host = Host::with_history();
            host.type_keys(keys);
            for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
                host.send(line);
            }
            host.terminal.signal(name);
            assert_eq!(host.terminal.wait().signal(), Some(number), "{keys:?}");
        }
    }
}

#[test]
fn a_lost_connection_is_reported_below_the_last_received_line() {
    // Several times: the last line and the end arrive together.
    for _ in 0..20 {
        let mut host = Host::with_half_a_line();
        host.send("* the room is full");
        host.close(1).expect_screen(&["* the room is full", "> half a li", LOST]);
    }
}

#[test]
fn no_key_hides_the_last_lines_and_the_lost_connection() {
    for keys in PREFIX_KEYS {
        let mut host = Host::with_history();
        host.type_keys("half");
        host.terminal.expect_screen(&["> sent", "> half"]);
        host.type_keys(keys);
        host.send("one\ntwo\n");
        host.send("* last words\n");
        let terminal = host.close(1);
        terminal.expect_last_rows(&[LOST]);
        expect_in_order(&terminal.output(), ["one", "two", "* last words", LOST].map(String::from));
    }
}

#[test]
fn the_last_line_is_shown_even_during_a_history_search() {
    let mut host = Host::with_history();
    host.type_keys(CTRL_R);
    host.terminal.expect_screen(&["> sent", SEARCH]);
    host.send("* the room closes\n");
    host.close(1).expect_last_rows(&["* the room closes", LOST]);
}

#[test]
fn a_refusal_at_once_is_shown() {
    for _ in 0..20 {
        let mut host = Host::start_with(&[], |_| ());
        host.send("* the room is full\n");
        host.close(1).expect_screen(&["* the room is full", ">", LOST]);
    }
}

#[test]
fn reconnect_reports_the_loss_and_keeps_the_typed_line() {
    let port = Port::reserve();
    let server = quiet_server(&port);
    let mut terminal = Terminal::start(&client(port.address(), &["--reconnect"]), 140);
    terminal.type_keys("half a li");
    terminal.expect_screen(&["Welcome.", "> half a li"]);
    server.signal("TERM");
    let pause = "connecting again in 1 s, or when you press Enter";
    let lost = format!("{LOST}; {pause}");
    terminal.expect_screen_and_cursor(&["Welcome.", &lost, "> half a li"], (2, 11));
    server.wait();
    // Without a connection, Enter keeps the line.
    terminal.type_keys(ENTER);
    let unsent = ["> half a li", "hubbub-client: not connected: the line was not sent"];
    let refused = format!("{}; {pause}", refused(&port));
    terminal.expect_screen(&[&["Welcome.", &lost], &unsent[..], &[&refused, "> half a li"]].concat());
    let _server = quiet_server(&port);
    terminal.expect_last_rows(&["hubbub-client: connected again", "Welcome.", "> half a li"]);
    let mut other = Client::connect(port.address());
    other.expect_line("Welcome.");
    terminal.type_keys("ne\r");
    other.expect_line("half a line");
}

#[test]
fn reconnect_tries_with_growing_pauses_until_there_is_a_server() {
    let port = Port::reserve();
    let mut terminal = Terminal::start(&client(port.address(), &["--reconnect"]), 140);
    let [first, second] = [1, 2].map(|seconds| pause_of(&port, seconds));
    terminal.expect_screen(&[&first, ">"]);
    terminal.expect_screen(&[&first, &second, ">"]);
    let _server = quiet_server(&port);
    terminal.expect_screen(&[&first, &second, "hubbub-client: connected", "Welcome.", ">"]);
    terminal.type_keys(CTRL_D);
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn enter_ends_the_pause_before_the_next_attempt_and_later_pauses_are_short_again() {
    for keys in [ENTER, "a line\r"] {
        let port = Port::reserve();
        let mut terminal = Terminal::start(&client(port.address(), &["--reconnect"]), 140);
        // The pause of 4 s is long enough to press Enter in it.
        let pauses = [1, 2, 4].map(|seconds| pause_of(&port, seconds));
        terminal.expect_last_rows(&[&pauses[0], &pauses[1], &pauses[2], ">"]);
        terminal.type_keys(keys);
        terminal.expect_rows("a pause of 1 s again", |rows| rows.iter().rev().nth(1) == Some(&pauses[0]));
    }
}

fn refused(port: &Port) -> String {
    format!("hubbub-client: cannot connect to \"{}\": Connection refused", port.address())
}

fn pause_of(port: &Port, seconds: u64) -> String {
    format!("{}; connecting again in {seconds} s, or when you press Enter", refused(port))
}

#[test]
fn a_signal_ends_the_client_while_it_connects_again() {
    let folder = Folder::new("terminal-backlog");
    let path = folder.path("room");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let address = format!("unix:{}", path.display());
    let mut terminal = Terminal::start(&client(address, &["--reconnect"]), COLUMNS);
    let (stream, _) = socket.accept().unwrap();
    // A connection that is not accepted fills the queue, so the next connect blocks.
    let _first = UnixStream::connect(&path).unwrap();
    terminal.expect_screen(&[">"]);
    let before = terminal.threads();
    drop(stream);
    eventually("the client connects again", || (terminal.threads() > before).then_some(()));
    terminal.signal("TERM");
    assert_eq!(terminal.wait().signal(), Some(15));
}

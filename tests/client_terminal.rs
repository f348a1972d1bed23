//! The client on a terminal: what a person types, and what is on the screen meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;
#[path = "client_terminal/screen.rs"]
mod screen;

use common::{Client, DEADLINE, Folder, Port, Server, WELCOME, eventually};
use screen::Terminal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

const COLUMNS: u16 = 60;
const ENTER: &str = "\r";
const CTRL_A: &str = "\x01";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_R: &str = "\x12";
const CTRL_V: &str = "\x16";
const CTRL_X: &str = "\x18";
const CTRL_Z: &str = "\x1a";
const ESC: &str = "\x1b";
const LEFT: &str = "\x1b[D";
const UP: &str = "\x1b[A";

fn client(address: impl ToString, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-client"));
    command.args(options).arg(address.to_string());
    command
}

/// A room with one who speaks and hears, and one who is on a terminal.
struct Room {
    server: Server,
    other: Client,
    terminal: Terminal,
}

#[track_caller]
fn room(columns: u16) -> Room {
    let server = Server::start(&["-w", "Welcome."]);
    let mut other = Client::connect(server.address());
    other.expects("Welcome.");
    let terminal = Terminal::start(&client(server.address(), &[]), columns);
    terminal.shows_with_cursor(&["Welcome.", ":"], (1, 1));
    Room { server, other, terminal }
}

/// A server of the tests' own with one client, who is on a terminal.
struct Host {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    terminal: Terminal,
}

impl Host {
    #[track_caller]
    fn start(options: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = client(listener.local_addr().unwrap(), options);
        change(&mut command);
        let terminal = Terminal::start(&command, COLUMNS);
        let stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        // What is typed before is echoed by the terminal, and is then the library's.
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            terminal.shows(&[":"]);
        }
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream, terminal }
    }

    /// One who has said something, without which there is nothing to search.
    #[track_caller]
    fn with_history() -> Self {
        let mut host = Self::start(&[], |_| ());
        host.terminal.types("said\r");
        host.expects("said");
        host.terminal.shows(&[":said", ":"]);
        host
    }

    #[track_caller]
    fn says(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expects(&mut self, line: &str) {
        let mut heard = String::new();
        self.lines.read_line(&mut heard).unwrap();
        assert_eq!(heard, format!("{line}\n"));
    }

    /// It said no more, and ended in order.
    #[track_caller]
    fn expects_end(&mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn what_is_typed_is_said_and_stays_on_the_screen() {
    let Room { mut other, mut terminal, server: _server } = room(COLUMNS);
    terminal.types("hello");
    terminal.types(ENTER);
    other.expects("hello");
    terminal.shows_with_cursor(&["Welcome.", ":hello", ":"], (2, 1));
    other.says("hello yourself\n");
    terminal.shows_with_cursor(&["Welcome.", ":hello", "hello yourself", ":"], (3, 1));
}

#[test]
fn a_line_half_typed_stays_whole_below_what_others_say() {
    let Room { mut other, mut terminal, server: _server } = room(COLUMNS);
    terminal.types(&format!("hello world{}", LEFT.repeat(5)));
    terminal.shows_with_cursor(&["Welcome.", ":hello world"], (1, 7));
    other.says("one\n");
    terminal.shows_with_cursor(&["Welcome.", "one", ":hello world"], (2, 7));
    other.says("two\nthree\n");
    terminal.shows_with_cursor(&["Welcome.", "one", "two", "three", ":hello world"], (4, 7));
    terminal.types("whole ");
    terminal.shows_with_cursor(&["Welcome.", "one", "two", "three", ":hello whole world"], (4, 13));
    terminal.types(ENTER);
    other.expects("hello whole world");
}

#[test]
fn no_row_is_left_empty_or_lost_at_the_bottom_of_the_screen() {
    let mut host = Host::start(&[], |_| ());
    let heard = (0..30).map(|number| format!("heard {number}")).collect::<Vec<_>>();
    let mut typed = ":".to_owned();
    for (number, line) in heard.iter().enumerate() {
        let first = (number + 1).saturating_sub(usize::from(screen::ROWS) - 1);
        let rows = heard[first..=number].iter().map(String::as_str).collect::<Vec<_>>();
        host.says(&format!("{line}\n"));
        host.terminal.shows(&[&rows[..], &[&typed]].concat());
        host.terminal.types("x");
        typed.push('x');
        host.terminal.shows(&[&rows[..], &[&typed]].concat());
    }
}

#[test]
fn wide_characters_keep_their_places_and_the_cursor_its_own() {
    let Room { mut other, mut terminal, server: _server } = room(COLUMNS);
    terminal.types(&format!("名前は漢字{}", LEFT.repeat(2)));
    terminal.shows_with_cursor(&["Welcome.", ":名前は漢字"], (1, 7));
    other.says("割り込み\n");
    terminal.shows_with_cursor(&["Welcome.", "割り込み", ":名前は漢字"], (2, 7));
    terminal.types("é");
    terminal.shows_with_cursor(&["Welcome.", "割り込み", ":名前はé漢字"], (2, 8));
    terminal.types(ENTER);
    other.expects("名前はé漢字");
}

#[test]
fn a_line_over_several_rows_is_drawn_anew_whole() {
    let Room { mut other, mut terminal, server: _server } = room(20);
    // The prompt and 19 columns, then 20, then 5; and a wide character that does not fit into its row.
    terminal.types("first row is full..second row, also full.rest");
    let rows = [":first row is full..", "second row, also ful", "l.rest"];
    terminal.shows_with_cursor(&[&["Welcome."], &rows[..]].concat(), (3, 6));
    other.says("interrupted by a line that is long itself\n");
    let said = ["Welcome.", "interrupted by a lin", "e that is long itsel", "f"];
    terminal.shows_with_cursor(&[&said[..], &rows].concat(), (6, 6));
    terminal.types(CTRL_A);
    terminal.shows_with_cursor(&[&said[..], &rows].concat(), (4, 1));
    other.says("again\n");
    terminal.shows_with_cursor(&[&said[..], &["again"], &rows].concat(), (5, 1));
    terminal.types(&format!("x{ENTER}"));
    other.expects("xfirst row is full..second row, also full.rest");
}

#[test]
fn a_line_that_just_fills_its_row_or_ends_in_a_wide_character_is_drawn_anew_whole() {
    for (typed, rows, column) in [
        ("123456789", &[":123456789", ""][..], 0),
        ("12345678名", &[":12345678", "名"], 2),
        ("1234567名", &[":1234567名", ""], 0),
    ] {
        let Room { mut other, mut terminal, server: _server } = room(10);
        terminal.types(typed);
        let rows = rows.iter().copied().filter(|row| !row.is_empty()).collect::<Vec<_>>();
        terminal.shows_with_cursor(&[&["Welcome."], &rows[..]].concat(), (2, column));
        other.says("one\n");
        terminal.shows_with_cursor(&[&["Welcome.", "one"], &rows[..]].concat(), (3, column));
        terminal.types(ENTER);
        other.expects(typed);
    }
}

#[test]
fn ctrl_c_clears_the_line_and_leaves_where_it_is_empty() {
    let Room { mut other, mut terminal, server: _server } = room(COLUMNS);
    terminal.types(&format!("not this{LEFT}{LEFT}"));
    terminal.shows_with_cursor(&["Welcome.", ":not this"], (1, 7));
    terminal.types(CTRL_C);
    terminal.shows_with_cursor(&["Welcome.", ":"], (1, 1));
    terminal.types(&format!("this{ENTER}"));
    other.expects("this");
    terminal.shows(&["Welcome.", ":this", ":"]);
    terminal.types(CTRL_C);
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn ctrl_d_and_exit_leave_and_say_nothing() {
    for keys in [CTRL_D, "exit\r", "first\rexit\r"] {
        let mut host = Host::start(&[], |_| ());
        host.says("Welcome.\n");
        host.terminal.shows(&["Welcome.", ":"]);
        host.terminal.types(keys);
        if keys.starts_with("first") {
            host.expects("first");
        }
        host.expects_end();
        drop(host.stream);
        drop(host.lines);
        assert_eq!(host.terminal.ends().code(), Some(0), "{keys:?}");
    }
}

#[test]
fn quit_is_said_before_it_leaves() {
    for (typed, said) in [
        ("/quit\r", &["/quit"][..]),
        ("/quit now\r", &["/quit now"]),
        // As it is pasted.
        ("\x1B[200~one\n/quit\x1B[201~\r", &["one", "/quit"]),
    ] {
        let mut host = Host::start(&[], |_| ());
        host.terminal.types(typed);
        said.iter().for_each(|line| host.expects(line));
        host.expects_end();
        drop(host.stream);
        drop(host.lines);
        assert_eq!(host.terminal.ends().code(), Some(0), "{typed:?}");
    }
}

#[test]
fn leaving_waits_until_a_server_that_takes_its_time_has_heard_all() {
    // The first 50 lines at once, and 15 in three seconds.
    let server = Server::start(&["--rate", "5"]);
    let mut other = Client::join(&server);
    let mut terminal = Terminal::start(&client(server.address(), &[]), COLUMNS);
    terminal.shows(&[WELCOME, ":"]);
    // Meanwhile others talk, which is not read any more.
    let lines = (0..65).map(|number| format!("line {number}")).collect::<Vec<_>>();
    terminal.types(&format!("{}\rexit\r", lines.join("\r")));
    for (number, line) in lines.iter().enumerate() {
        other.expects(line);
        if number % 20 == 0 {
            other.says("go on\n");
        }
    }
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn leaving_a_server_that_does_not_hear_can_be_hurried_and_is_told() {
    for hurry in [CTRL_C, "TERM"] {
        let mut host = Host::start(&[], |_| ());
        host.terminal.types("hi\rexit\r");
        host.expects("hi");
        // It does not end the connection.
        let waits = "hubbub-client: waiting until the server has heard what was said; Ctrl-C leaves at once";
        host.terminal.writes(waits);
        if hurry == CTRL_C {
            host.terminal.types(CTRL_C);
            assert_eq!(host.terminal.ends().code(), Some(1));
            host.terminal.writes("hubbub-client: left at once; what was said last may not have arrived");
        } else {
            host.terminal.signal(hurry);
            assert_eq!(host.terminal.ends().signal(), Some(15));
        }
    }
}

#[test]
fn leaving_when_the_connection_breaks_tells_what_may_be_lost() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("hi\rexit\r");
    host.expects("hi");
    host.expects_end();
    socket2::SockRef::from(&host.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(host.lines);
    drop(host.stream);
    assert_eq!(host.terminal.ends().code(), Some(1));
    host.terminal
        .writes("connection lost: Connection reset by peer; what was said last may not have arrived");
}

#[test]
fn a_program_that_is_stopped_goes_on_where_it_was() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A shell with jobs, or the system has nobody to whom a stopped program could be left.
    let mut shell = Command::new("sh");
    shell.args(["-mc", "\"$0\" \"$1\"; read again; fg", env!("CARGO_BIN_EXE_hubbub-client")]);
    shell.arg(listener.local_addr().unwrap().to_string());
    let mut terminal = Terminal::start(&shell, COLUMNS);
    let mut stream = listener.accept().unwrap().0;
    terminal.shows(&[":"]);
    terminal.types("half a li");
    terminal.shows(&[":half a li"]);
    terminal.types(CTRL_Z);
    eventually("the terminal is as it was found", || terminal.is_as_found().then_some(()));
    stream.write_all(b"heard meanwhile\n").unwrap();
    terminal.types("again\n");
    terminal.shows_at_the_end(&["heard meanwhile", ":half a li"]);
    terminal.types("ne\r");
    let mut heard = String::new();
    BufReader::new(&stream).read_line(&mut heard).unwrap();
    assert_eq!(heard, "half a line\n");
    terminal.types(CTRL_D);
    stream.read_to_end(&mut Vec::new()).unwrap();
    drop(stream);
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn an_interrupt_from_elsewhere_is_no_wish_to_leave() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("half a li");
    host.terminal.shows(&[":half a li"]);
    host.terminal.signal("INT");
    assert_eq!(host.terminal.ends().signal(), Some(2));
}

#[test]
fn exit_among_other_words_is_said() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("exit now\r");
    host.expects("exit now");
}

#[test]
fn a_lost_connection_is_said_after_the_last_words() {
    for _ in 0..20 {
        let mut host = Host::start(&[], |_| ());
        host.terminal.types("half a li");
        host.terminal.shows(&[":half a li"]);
        host.says("* the room is full");
        drop(host.stream);
        drop(host.lines);
        assert_eq!(host.terminal.ends().code(), Some(1));
        let said = "hubbub-client: connection lost: the server ended it";
        host.terminal.shows(&["* the room is full", ":half a li", said]);
    }
}

#[test]
fn the_last_words_are_shown_even_where_the_history_is_searched() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("one\r");
    host.expects("one");
    // Between two lines the keys are the terminal's own.
    host.terminal.shows(&[":one", ":"]);
    host.terminal.types(CTRL_R);
    host.terminal.shows(&[":one", "(reverse-i-search)`':"]);
    host.says("* the room closes\n");
    drop(host.stream);
    drop(host.lines);
    assert_eq!(host.terminal.ends().code(), Some(1));
    let said = "hubbub-client: connection lost: the server ended it";
    host.terminal.shows_at_the_end(&["* the room closes", said]);
}

#[test]
fn a_server_that_only_refuses_is_shown_to_do_so() {
    for _ in 0..20 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut terminal = Terminal::start(&client(listener.local_addr().unwrap(), &[]), COLUMNS);
        listener.accept().unwrap().0.write_all(b"* the room is full\n").unwrap();
        assert_eq!(terminal.ends().code(), Some(1));
        terminal.shows(&["* the room is full", ":", "hubbub-client: connection lost: the server ended it"]);
    }
}

#[test]
fn reconnecting_is_said_and_keeps_what_is_typed() {
    let port = Port::reserve();
    let start = || {
        let mut command = common::program(&["-q", "-w", "Welcome.", "-l", &port.address().to_string()]);
        command.stderr(Stdio::null());
        Server::spawn_unheard(command, &port)
    };
    let server = start();
    let mut terminal = Terminal::start(&client(port.address(), &["--reconnect"]), 80);
    terminal.types("half a li");
    terminal.shows(&["Welcome.", ":half a li"]);
    server.signal("TERM");
    let lost = "hubbub-client: connection lost: the server ended it; connecting again in 1 s";
    terminal.shows_with_cursor(&["Welcome.", lost, ":half a li"], (2, 10));
    // What is said now stays in the line.
    terminal.types(ENTER);
    let refused = [":half a li", "hubbub-client: not connected, so this was not said", ":half a li"];
    terminal.shows(&[&["Welcome.", lost], &refused[..]].concat());
    server.wait();
    let _server = start();
    let again = ["hubbub-client: connected again", "Welcome.", ":half a li"];
    terminal.shows_at_the_end(&again);
    let mut other = Client::connect(port.address());
    other.expects("Welcome.");
    terminal.types("ne\r");
    other.expects("half a line");
}

#[test]
fn pauses_grow_until_there_is_a_server_for_the_first_time() {
    let port = Port::reserve();
    let mut terminal = Terminal::start(&client(port.address(), &["--reconnect"]), 100);
    let cannot = format!("hubbub-client: cannot connect to {}: Connection refused", port.address());
    let (one, two) =
        (format!("{cannot}; connecting again in 1 s"), format!("{cannot}; connecting again in 2 s"));
    terminal.shows(&[&one, ":"]);
    terminal.shows(&[&one, &two, ":"]);
    let mut command = common::program(&["-q", "-w", "Welcome.", "-l", &port.address().to_string()]);
    command.stderr(Stdio::null());
    let _server = Server::spawn_unheard(command, &port);
    terminal.shows(&[&one, &two, "hubbub-client: connected", "Welcome.", ":"]);
    terminal.types(CTRL_D);
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn a_signal_takes_effect_while_connecting_again_takes_its_time() {
    let folder = Folder::new("terminal-backlog");
    let path = folder.path("room");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let address = format!("unix:{}", path.display());
    let mut terminal = Terminal::start(&client(address, &["--reconnect"]), COLUMNS);
    let (stream, _) = socket.accept().unwrap();
    // Nobody is accepted any more, and the queue is full.
    let _first = UnixStream::connect(&path).unwrap();
    terminal.shows(&[":"]);
    let before = terminal.threads();
    drop(stream);
    eventually("it connects again", || (terminal.threads() > before).then_some(()));
    terminal.signal("TERM");
    assert_eq!(terminal.ends().signal(), Some(15));
}

#[test]
fn colour_is_for_names_and_notices_on_a_terminal_that_wants_it() {
    let words = "* bob joined (2 here)\n<名前> hi <bob>\nplain\n";
    let mut host = Host::start(&[], |_| ());
    host.says(words);
    host.terminal.shows(&["* bob joined (2 here)", "<名前> hi <bob>", "plain", ":"]);
    let written = host.terminal.written();
    assert!(written.contains("\x1b[2m* bob joined (2 here)\x1b[0m"), "{written:?}");
    assert!(written.contains("m<名前>\x1b[0m hi <bob>") && !written.contains("m<bob>"), "{written:?}");
    let mut host = Host::start(&[], |command| _ = command.env("NO_COLOR", "1"));
    host.says(words);
    host.terminal.shows(&["* bob joined (2 here)", "<名前> hi <bob>", "plain", ":"]);
    let written = host.terminal.written();
    assert!(!written.contains("\x1b[2m") && !written.contains("\x1b[1;") && !written.contains("\x1b[0m"));
}

#[test]
fn what_the_server_sends_cannot_drive_the_terminal() {
    let mut host = Host::start(&["--raw"], |_| ());
    host.says("\x1b[2J\x1b]0;owned\x07 \u{9b}1m\rx\x08y\n");
    host.terminal.shows(&["\\x1B[2J\\x1B]0;owned\\x07 \\x9B1m\\x0Dx\\x08y", ":"]);
    host.stream.write_all(b"\xFF\xC0\x80\n").unwrap();
    host.terminal.writes("\\xFF\\xC0\\x80\n".trim_end());
    let written = host.terminal.written();
    assert!(!written.contains("\x1b[2J") && !written.contains('\x07') && !written.contains('\u{9b}'));
}

#[test]
fn a_line_without_end_is_not_shown_and_that_is_told() {
    let mut host = Host::start(&[], |_| ());
    host.says(&"x".repeat(17 * 1024 * 1024));
    host.says("\nnext\n");
    host.terminal.shows(&["hubbub-client: a line of more than 16 MiB is not shown", "next", ":"]);
}

#[test]
fn timestamps_stand_before_each_line_that_is_shown() {
    let mut host = Host::start(&["--timestamps"], |_| ());
    host.says("one\n");
    host.terminal.writes(" one");
    let written = host.terminal.written();
    let (before, _) = written.split_once(" one").unwrap();
    let time = &before[before.len() - 8..];
    let is_time =
        |(at, letter): (usize, char)| if at % 3 == 2 { letter == ':' } else { letter.is_ascii_digit() };
    assert!(time.chars().enumerate().all(is_time), "{time:?}");
}

#[test]
fn arrows_bring_back_what_was_said() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("one\rtwo\r");
    host.expects("one");
    host.expects("two");
    host.terminal.shows(&[":one", ":two", ":"]);
    host.terminal.types(&format!("{UP}{UP}"));
    host.terminal.shows_with_cursor(&[":one", ":two", ":one"], (2, 4));
    host.terminal.types("!\r");
    host.expects("one!");
}

#[test]
fn a_paste_is_said_line_by_line_whole() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.shows(&[":"]);
    // As terminals mark it: said when Enter is pressed.
    host.terminal.types("\x1b[200~one\ntwo\r\nthree\x1b[201~");
    host.terminal.shows(&[":one", "two", "three"]);
    host.terminal.types(ENTER);
    ["one", "two", "three"].iter().for_each(|line| host.expects(line));
    // As others do not.
    let lines = (0..500).map(|number| format!("line {number}")).collect::<Vec<_>>();
    host.terminal.types(&format!("{}\r", lines.join("\r")));
    lines.iter().for_each(|line| host.expects(line));
}

#[test]
fn a_paste_is_said_at_once_though_others_talk() {
    let mut host = Host::start(&[], |_| ());
    let lines = (0..2000).map(|number| format!("line {number} of a paste")).collect::<Vec<_>>();
    let mut talker = host.stream.try_clone().unwrap();
    let (talk, talked) = channel::<()>();
    let others = thread::spawn(move || {
        // A line each millisecond, for as long as the paste is said.
        let mut count = 0;
        while talked.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
            count += 1;
            talker.write_all(format!("heard {count}.\n").as_bytes()).unwrap();
        }
        count
    });
    let began = Instant::now();
    host.terminal.types(&format!("{}\r", lines.join("\r")));
    lines.iter().for_each(|line| host.expects(line));
    let took = began.elapsed();
    drop(talk);
    let count = others.join().unwrap();
    host.terminal.writes(&format!("heard {count}."));
    // It takes a fraction of that; each line held up for 10 ms would take ten times as long.
    assert!(took < Duration::from_secs(5), "{took:?}");
    expect_in_order(&host.terminal.written(), (1..=count).map(|number| format!("heard {number}.")));
}

#[test]
fn more_than_is_kept_waiting_is_shown_whole_after_a_search() {
    let mut host = Host::with_history();
    host.terminal.types(CTRL_R);
    host.terminal.shows(&[":said", "(reverse-i-search)`':"]);
    let lines = (0..30_000).map(|number| format!("heard {number} {}.", "x".repeat(40)));
    let lines = lines.collect::<Vec<_>>();
    let mut talker = host.stream.try_clone().unwrap();
    let text = format!("{}\n", lines.join("\n"));
    // All that the search lets wait, and more; the rest when it is over.
    talker.write_all(&text.as_bytes()[..512 * 1024]).unwrap();
    let others = thread::spawn(move || talker.write_all(&text.as_bytes()[512 * 1024..]).unwrap());
    host.terminal.types("\x07half");
    others.join().unwrap();
    host.terminal.shows_at_the_end(&[":half"]);
    host.terminal.writes(lines.last().unwrap());
    expect_in_order(&host.terminal.written(), lines);
    host.terminal.types("\r");
    host.expects("half");
}

/// None of `lines` is lost or late.
#[track_caller]
fn expect_in_order(written: &str, lines: impl IntoIterator<Item = String>) {
    let mut from = 0;
    for line in lines {
        let at = written[from..].find(&line);
        from += at.unwrap_or_else(|| panic!("{line} is lost or late")) + line.len();
    }
}

/// Keys after which the editing library may wait for one more.
const WAITING: [&str; 6] = [ESC, CTRL_R, CTRL_X, CTRL_V, "\x1d", "\x1b3"];

#[test]
fn no_key_keeps_the_last_words_and_the_end_from_being_shown() {
    for keys in WAITING {
        let mut host = Host::with_history();
        host.terminal.types("half");
        host.terminal.shows(&[":said", ":half"]);
        host.terminal.types(keys);
        host.says("one\ntwo\n");
        host.says("* last words\n");
        drop(host.stream);
        drop(host.lines);
        assert_eq!(host.terminal.ends().code(), Some(1), "{keys:?}");
        let said = "hubbub-client: connection lost: the server ended it";
        host.terminal.shows_at_the_end(&[said]);
        expect_in_order(&host.terminal.written(), ["one", "two", "* last words", said].map(String::from));
    }
}

#[test]
fn no_key_keeps_signals_from_taking_effect_while_others_talk() {
    for keys in WAITING {
        for (name, number) in [("TERM", 15), ("HUP", 1)] {
            let mut host = Host::with_history();
            host.terminal.types(keys);
            for line in ["one\n", "two\n", "three\n", "four\n", "five\n"] {
                host.says(line);
            }
            host.terminal.signal(name);
            assert_eq!(host.terminal.ends().signal(), Some(number), "{keys:?}");
        }
    }
}

#[test]
fn an_escape_alone_soon_lets_others_be_shown() {
    for keys in [ESC, CTRL_X, CTRL_V] {
        let mut host = Host::start(&[], |_| ());
        host.terminal.types("half");
        host.terminal.shows(&[":half"]);
        host.terminal.types(keys);
        host.says("one\n");
        host.terminal.shows_with_cursor(&["one", ":half"], (1, 5));
        host.says("two\n");
        host.terminal.shows_with_cursor(&["one", "two", ":half"], (2, 5));
    }
}

#[test]
fn lines_keep_their_order_while_others_are_said() {
    let mut host = Host::start(&[], |_| ());
    let shown = (0..8_000).map(|number| format!("heard {number}.")).collect::<Vec<_>>();
    let said = (0..200).map(|number| format!("said {number}.")).collect::<Vec<_>>();
    for (number, line) in shown.iter().enumerate() {
        // A segment each: as many are shown by themselves as can be.
        host.says(&format!("{line}\n"));
        if number % 40 == 0 {
            host.terminal.types(&format!("{}\r", said[number / 40]));
        }
    }
    said.iter().for_each(|line| host.expects(line));
    host.terminal.writes(shown.last().unwrap());
    let written = host.terminal.written();
    expect_in_order(&written, shown);
    // Nothing is shown behind what is typed, nor in the middle of it.
    let lines = written.split('\n').filter(|line| line.contains("heard"));
    for line in lines {
        let line = line.rsplit("\x1b[K").next().unwrap().trim_start_matches(UP);
        assert!(line.starts_with("heard"), "{line:?}");
    }
}

/// On a screen of 60 columns.
const NOT_UTF8: [&str; 2] =
    ["hubbub-client: a key that is not UTF-8 was dropped, with wha", "t came in one go behind it"];

#[test]
fn a_key_that_is_not_utf8_keeps_the_line_and_is_told() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("caf");
    host.terminal.shows(&[":caf"]);
    host.terminal.types_bytes(b"\xFF");
    host.terminal.shows(&[&[":caf"], &NOT_UTF8[..], &[":caf"]].concat());
    host.terminal.types("e\r");
    host.expects("cafe");
}

#[test]
fn a_key_that_is_not_utf8_leaves_the_cursor_where_it_was_moved_to() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types(&format!("abc{LEFT}{LEFT}"));
    host.terminal.shows_with_cursor(&[":abc"], (0, 2));
    host.terminal.types_bytes(b"\xFF");
    host.terminal.shows_with_cursor(&[&[":abc"], &NOT_UTF8[..], &[":abc"]].concat(), (3, 2));
    host.terminal.types("X\r");
    host.expects("aXbc");
}

#[test]
fn a_window_that_changes_is_drawn_anew_and_never_ends_it() {
    for keys in ["", CTRL_V, CTRL_R, CTRL_X, ESC, "\x1b3"] {
        let mut host = Host::with_history();
        host.terminal.types("twelve chars");
        host.terminal.shows(&[":said", ":twelve chars"]);
        host.terminal.types(keys);
        host.terminal.resizes(10);
        host.says("* others go on\n");
        host.terminal.types("\x07!\r");
        host.expects("twelve chars!");
    }
}

#[test]
fn a_signal_that_ends_it_leaves_the_terminal_as_it_was_found() {
    let mut host = Host::start(&[], |_| ());
    host.terminal.types("half a li");
    host.terminal.shows(&[":half a li"]);
    assert!(!host.terminal.is_as_found());
    host.terminal.signal("TERM");
    assert_eq!(host.terminal.ends().signal(), Some(15));
}

#[test]
fn a_terminal_without_editing_has_neither_prompt_nor_colour() {
    let mut host = Host::start(&[], |command| _ = command.env("TERM", "dumb"));
    host.says("<alice> hi\n");
    host.terminal.shows(&["<alice> hi"]);
    host.terminal.types("hello\n");
    host.expects("hello");
    host.terminal.types("exit\n");
    host.expects_end();
    drop(host.stream);
    drop(host.lines);
    assert_eq!(host.terminal.ends().code(), Some(0));
    assert!(!host.terminal.written().contains('\x1b'));
}

#[test]
fn options_for_scripts_ask_nobody_to_type_even_on_a_terminal() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&client(server.address(), &["-n", "1"]), COLUMNS);
    assert_eq!(terminal.ends().code(), Some(0));
    terminal.shows(&[WELCOME]);
}

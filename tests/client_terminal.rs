//! The client on a terminal: the keys that a user presses, and what is on the screen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;
#[path = "client_terminal/connecting.rs"]
mod connecting;
#[path = "client_terminal/host.rs"]
mod host;
#[path = "client_terminal/job_control.rs"]
mod job_control;
#[path = "client_terminal/leaving.rs"]
mod leaving;
#[path = "client_terminal/password.rs"]
mod password;
#[path = "client_terminal/plain.rs"]
mod plain;
#[path = "client_terminal/resizing.rs"]
mod resizing;
#[path = "client_terminal/screen.rs"]
mod screen;
#[cfg(feature = "tls")]
#[path = "client_terminal/tls.rs"]
mod tls;

use common::{Folder, Server, WELCOME};
use host::*;
use screen::{Terminal, Wrapping};
use std::io::Write;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_typed_line_is_sent_and_stays_on_the_screen() {
    let Room { mut terminal, mut other, _server } = room(COLUMNS);
    terminal.type_keys("hello");
    terminal.type_keys(ENTER);
    other.expect_line("hello");
    terminal.expect_screen_and_cursor(&["Welcome.", "> hello", ">"], (2, 2));
    other.send("hello yourself\n");
    terminal.expect_screen_and_cursor(&["Welcome.", "> hello", "hello yourself", ">"], (3, 2));
}

#[test]
fn a_half_typed_line_stays_below_the_received_lines() {
    let Room { mut terminal, mut other, _server } = room(COLUMNS);
    terminal.type_keys(&format!("hello world{}", LEFT.repeat(5)));
    terminal.expect_screen_and_cursor(&["Welcome.", "> hello world"], (1, 8));
    other.send("one\n");
    terminal.expect_screen_and_cursor(&["Welcome.", "one", "> hello world"], (2, 8));
    other.send("two\nthree\n");
    terminal.expect_screen_and_cursor(&["Welcome.", "one", "two", "three", "> hello world"], (4, 8));
    terminal.type_keys("whole ");
    terminal.expect_screen_and_cursor(&["Welcome.", "one", "two", "three", "> hello whole world"], (4, 14));
    terminal.type_keys(ENTER);
    other.expect_line("hello whole world");
}

#[test]
fn no_row_is_empty_or_missing_at_the_bottom_of_the_screen() {
    let mut host = Host::start(&[]);
    let received = (0..30).map(|number| format!("received {number}")).collect::<Vec<_>>();
    let mut typed = "> ".to_owned();
    for (number, line) in received.iter().enumerate() {
        let first = (number + 1).saturating_sub(usize::from(screen::ROWS) - 1);
        let rows = received[first..=number].iter().map(String::as_str).collect::<Vec<_>>();
        host.send(&format!("{line}\n"));
        host.terminal.expect_screen(&[&rows[..], &[typed.trim_end()]].concat());
        host.type_keys("x");
        typed.push('x');
        host.terminal.expect_screen(&[&rows[..], &[&typed]].concat());
    }
}

#[test]
fn the_cursor_is_right_between_wide_characters() {
    let Room { mut terminal, mut other, _server } = room(COLUMNS);
    terminal.type_keys(&format!("名前は漢字{}", LEFT.repeat(2)));
    terminal.expect_screen_and_cursor(&["Welcome.", "> 名前は漢字"], (1, 8));
    other.send("割り込み\n");
    terminal.expect_screen_and_cursor(&["Welcome.", "割り込み", "> 名前は漢字"], (2, 8));
    terminal.type_keys("é");
    terminal.expect_screen_and_cursor(&["Welcome.", "割り込み", "> 名前はé漢字"], (2, 9));
    terminal.type_keys(ENTER);
    other.expect_line("名前はé漢字");
}

#[test]
fn a_line_over_several_rows_is_redrawn_whole() {
    let Room { mut terminal, mut other, _server } = room(20);
    // The prompt and 18 columns, then 20, then 5; and a wide character that does not fit into its row.
    terminal.type_keys("first row is full.second row, also full.rest");
    let rows = ["> first row is full.", "second row, also ful", "l.rest"];
    terminal.expect_screen_and_cursor(&[&["Welcome."], &rows[..]].concat(), (3, 6));
    other.send("interrupted by a line that is long itself\n");
    let before = ["Welcome.", "interrupted by a lin", "e that is long itsel", "f"];
    terminal.expect_screen_and_cursor(&[&before[..], &rows].concat(), (6, 6));
    terminal.type_keys(CTRL_A);
    terminal.expect_screen_and_cursor(&[&before[..], &rows].concat(), (4, 2));
    other.send("again\n");
    terminal.expect_screen_and_cursor(&[&before[..], &["again"], &rows].concat(), (5, 2));
    terminal.type_keys(&format!("x{ENTER}"));
    other.expect_line("xfirst row is full.second row, also full.rest");
}

#[test]
fn a_line_that_exactly_fills_its_row_or_ends_in_a_wide_character_is_redrawn_whole() {
    for (typed, rows, column) in [
        ("12345678", &["> 12345678"][..], 0),
        ("1234567名", &["> 1234567", "名"], 2),
        ("123456名", &["> 123456名"], 0),
    ] {
        let Room { mut terminal, mut other, _server } = room(10);
        terminal.type_keys(typed);
        terminal.expect_screen_and_cursor(&[&["Welcome."], rows].concat(), (2, column));
        other.send("one\n");
        terminal.expect_screen_and_cursor(&[&["Welcome.", "one"], rows].concat(), (3, column));
        terminal.type_keys(ENTER);
        other.expect_line(typed);
    }
}

#[test]
fn without_an_address_a_user_connects_to_the_named_view() {
    let folder = Folder::new("terminal-default");
    for (options, term, port) in [
        (&[][..], "xterm-256color", 9091),
        (&["--timestamps"], "dumb", 9091),
        (&["-n", "1"], "xterm-256color", 9090),
    ] {
        // Each connect fails, whatever listens on this machine.
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "inject=connect:error=ECONNREFUSED", "-o"]).arg(folder.path("trace"));
        command.arg(CLIENT).args(options).env("TERM", term);
        let mut terminal = Terminal::start(&command, 140);
        assert_eq!(terminal.wait().code(), Some(1), "{options:?}");
        let error = format!("hubbub-client: cannot connect to \"127.0.0.1:{port}\": Connection refused");
        terminal.expect_screen(&[&format!("{error}; check the address and whether the server runs")]);
    }
}

#[test]
fn names_and_notices_have_colour_unless_no_color_is_set() {
    let rows = ["* bob joined (2 here)", "<名前> hi <bob>", "plain", ">"];
    for (no_color, has_colour) in [(None, true), (Some("1"), false)] {
        let mut host = Host::start_with(&[], |command| {
            no_color.map(|value| command.env("NO_COLOR", value));
        });
        host.send("* bob joined (2 here)\n<名前> hi <bob>\nplain\n");
        host.terminal.expect_screen(&rows);
        let written = host.terminal.output();
        if has_colour {
            assert!(written.contains("\x1b[2m* bob joined (2 here)\x1b[0m"), "{written:?}");
            assert!(
                written.contains("m<名前>\x1b[0m hi <bob>") && !written.contains("m<bob>"),
                "{written:?}"
            );
        } else {
            let is_coloured = ["\x1b[2m", "\x1b[1;", "\x1b[0m"].iter().any(|code| written.contains(code));
            assert!(!is_coloured, "{written:?}");
        }
    }
}

#[test]
fn control_characters_from_the_server_are_escaped_even_with_raw() {
    let mut host = Host::start(&["--raw"]);
    host.send("\x1b[2J\x1b]0;owned\x07 \u{9b}1m\rx\x08y\n");
    host.terminal.expect_screen(&["\\x1B[2J\\x1B]0;owned\\x07 \\x9B1m\\x0Dx\\x08y", ">"]);
    host.stream.write_all(b"\xFF\xC0\x80\n").unwrap();
    host.terminal.expect_output("\\xFF\\xC0\\x80");
    let written = host.terminal.output();
    assert!(!written.contains("\x1b[2J") && !written.contains('\x07') && !written.contains('\u{9b}'));
}

#[test]
fn a_line_that_is_too_long_is_reported() {
    let mut host = Host::start(&[]);
    host.send(&"x".repeat(17 * 1024 * 1024));
    host.send("\nnext\n");
    host.terminal.expect_screen(&["hubbub-client: a line longer than 16 MiB was not shown", "next", ">"]);
}

#[test]
fn timestamps_start_each_line_also_the_own_ones() {
    let mut host = Host::start(&["--timestamps"]);
    host.send("one\n");
    host.terminal.expect_output(" one");
    host.type_keys("two");
    host.terminal.expect_rows("no time before the line is entered", |rows| rows.ends_with(&["> two".into()]));
    host.type_keys(ENTER);
    host.expect_line("two");
    host.type_keys("three");
    host.terminal.expect_rows("a time before each line", |rows| {
        let without_time = rows.iter().filter_map(|row| row.split_at_checked("00:00:00 ".len()));
        let is_time = |time: &str| time.replace(|c: char| c.is_ascii_digit(), "0") == "00:00:00 ";
        let without_time = without_time.filter(|(time, _)| is_time(time)).map(|(_, text)| text);
        without_time.eq(["one", "> two"]) && rows[2..] == ["> three"]
    });
}

#[test]
fn an_entered_line_that_fills_its_rows_is_not_followed_by_an_empty_row() {
    let mut host = Host::start(&[]);
    host.send("Welcome.\n");
    host.terminal.expect_screen(&["Welcome.", ">"]);
    let columns = usize::from(COLUMNS);
    for (typed, rows) in [
        ("x".repeat(columns - 2), &[&format!("> {}", "x".repeat(columns - 2))[..]][..]),
        ("y".repeat(2 * columns - 2), &[&format!("> {}", "y".repeat(columns - 2)), &"y".repeat(columns)]),
        ("z".to_owned(), &["> z"]),
    ] {
        host.type_keys(&format!("{typed}{ENTER}"));
        host.expect_line(&typed);
        host.terminal.expect_last_rows(&[rows, &[">"]].concat());
    }
}

#[test]
fn the_arrow_keys_bring_back_sent_lines() {
    let mut host = Host::start(&[]);
    host.type_keys("one\rtwo\r");
    host.expect_line("one");
    host.expect_line("two");
    host.terminal.expect_screen(&["> one", "> two", ">"]);
    host.type_keys(&format!("{UP}{UP}"));
    host.terminal.expect_screen_and_cursor(&["> one", "> two", "> one"], (2, 5));
    host.type_keys("!\r");
    host.expect_line("one!");
}

#[test]
fn a_paste_is_sent_line_by_line() {
    let mut host = Host::start(&[]);
    // A paste that the terminal marks is sent with Enter.
    host.type_keys("\x1b[200~one\ntwo\r\nthree\x1b[201~");
    host.terminal.expect_screen(&["> one", "two", "three"]);
    host.type_keys(ENTER);
    ["one", "two", "three"].iter().for_each(|line| host.expect_line(line));
    // A paste that the terminal does not mark is like typed keys.
    let lines = (0..500).map(|number| format!("line {number}")).collect::<Vec<_>>();
    host.type_keys(&format!("{}\r", lines.join("\r")));
    lines.iter().for_each(|line| host.expect_line(line));
}

/// Types keys, and then TAB as a user does: after what was typed is shown.
#[track_caller]
fn type_and_press_tab(host: &mut Host, keys: &str, shown: &str) {
    host.type_keys(keys);
    host.terminal.expect_last_rows(&[shown]);
    // This line is drawn only when no key waits.
    let tick = format!("* no key waits after {shown}");
    host.send(&format!("{tick}\n"));
    host.terminal.expect_last_rows(&[&tick, shown]);
    host.type_keys(TAB);
}

#[test]
fn tab_completes_commands_and_the_names_that_were_seen() {
    let mut host = Host::start(&[]);
    host.send("* you are anon4 (4 here: anon1, anon4, bob, carol); /help lists the commands\n<dave> hi\n");
    type_and_press_tab(&mut host, "/ms", "> /ms");
    type_and_press_tab(&mut host, "D", "> /msg D");
    host.type_keys("psst\r");
    host.expect_line("/msg Dave psst");
    // As far as it is certain; then the possible names are shown.
    type_and_press_tab(&mut host, "hi a", "> hi a");
    type_and_press_tab(&mut host, "", "> hi anon");
    host.terminal.expect_last_rows(&["anon1  anon4", "> hi anon"]);
    host.type_keys("4!\r");
    host.expect_line("hi anon4!");
    host.send("* dave left\n");
    type_and_press_tab(&mut host, "d", "> d");
    host.type_keys("\r");
    host.expect_line("d\t");
}

#[test]
fn a_tab_stays_a_tab_in_a_paste_and_after_what_cannot_be_completed() {
    let mut host = Host::start(&[]);
    host.send("<bob> hi\n");
    host.terminal.expect_screen(&["<bob> hi", ">"]);
    host.type_keys("\x1b[200~b\tc\x1b[201~\r");
    host.expect_line("b\tc");
    // A paste that the terminal does not mark.
    host.type_keys("d\tb\tc\r");
    host.expect_line("d\tb\tc");
    type_and_press_tab(&mut host, "", ">");
    host.type_keys("x\r");
    host.expect_line("\tx");
    type_and_press_tab(&mut host, "y", "> y");
    host.type_keys("\r");
    host.expect_line("y\t");
}

#[test]
fn nothing_empty_is_said_not_even_as_a_part_of_a_paste() {
    let mut host = Host::start(&[]);
    // Enter alone, blanks alone, a line pasted with its line end, and a paste with empty lines.
    host.type_keys("\r  \r\x1b[200~one\r\n\x1b[201~\r\x1b[200~\n\ntwo\n\t\n\nthree\n\n\x1b[201~\rfour\r");
    ["one", "two", "three", "four"].iter().for_each(|line| host.expect_line(line));
    // Nor is an empty row shown below the line.
    host.terminal.expect_rows("the paste and the next line", |rows| {
        rows.windows(2).any(|pair| pair == ["three", "> four"])
    });
}

#[test]
fn a_paste_is_sent_at_once_while_lines_arrive() {
    let mut host = Host::start(&[]);
    let lines = (0..2000).map(|number| format!("line {number} of a paste")).collect::<Vec<_>>();
    let mut sender = host.stream.try_clone().unwrap();
    let (stop, is_stopped) = channel::<()>();
    let others = thread::spawn(move || {
        // A line each millisecond until the paste has arrived.
        let mut count = 0;
        while is_stopped.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
            count += 1;
            sender.write_all(format!("received {count}.\n").as_bytes()).unwrap();
        }
        count
    });
    let start = Instant::now();
    host.type_keys(&format!("{}\r", lines.join("\r")));
    lines.iter().for_each(|line| host.expect_line(line));
    let took = start.elapsed();
    drop(stop);
    let count = others.join().unwrap();
    host.terminal.expect_output(&format!("received {count}."));
    // It takes a fraction of this; a delay of 10 ms for each line would take 20 s.
    assert!(took < Duration::from_secs(5), "{took:?}");
    let received = (1..=count).map(|number| format!("received {number}."));
    expect_in_order(&host.terminal.output(), received);
}

#[test]
fn lines_beyond_the_buffer_are_shown_after_a_history_search() {
    let mut host = Host::with_history();
    host.type_keys(CTRL_R);
    host.terminal.expect_screen(&["> sent", SEARCH]);
    let lines = (0..30_000).map(|number| format!("received {number} {}.", "x".repeat(40)));
    let lines = lines.collect::<Vec<_>>();
    let mut sender = host.stream.try_clone().unwrap();
    let text = format!("{}\n", lines.join("\n"));
    // More than the client buffers during the search; the rest follows when the search is over.
    sender.write_all(&text.as_bytes()[..512 * 1024]).unwrap();
    let rest = thread::spawn(move || sender.write_all(&text.as_bytes()[512 * 1024..]).unwrap());
    host.type_keys(&format!("{CTRL_G}half"));
    rest.join().unwrap();
    host.terminal.expect_last_rows(&["> half"]);
    host.terminal.expect_output(lines.last().unwrap());
    expect_in_order(&host.terminal.output(), lines);
    host.type_keys("\r");
    host.expect_line("half");
}

#[test]
fn received_lines_are_shown_after_a_single_prefix_key() {
    for keys in [ESC, CTRL_X, CTRL_V] {
        let mut host = Host::start(&[]);
        host.type_keys("half");
        host.terminal.expect_screen(&["> half"]);
        host.type_keys(keys);
        host.send("one\n");
        host.terminal.expect_screen_and_cursor(&["one", "> half"], (1, 6));
        host.send("two\n");
        host.terminal.expect_screen_and_cursor(&["one", "two", "> half"], (2, 6));
    }
}

#[test]
fn received_lines_keep_their_order_while_lines_are_sent() {
    let mut host = Host::start(&[]);
    let received = (0..8_000).map(|number| format!("received {number}.")).collect::<Vec<_>>();
    let sent = (0..200).map(|number| format!("sent {number}.")).collect::<Vec<_>>();
    for (number, line) in received.iter().enumerate() {
        // One TCP segment per line, so that most are drawn alone.
        host.send(&format!("{line}\n"));
        if number % 40 == 0 {
            host.type_keys(&format!("{}\r", sent[number / 40]));
        }
    }
    sent.iter().for_each(|line| host.expect_line(line));
    host.terminal.expect_output(received.last().unwrap());
    let written = host.terminal.output();
    expect_in_order(&written, received);
    // No received line starts within or behind the edited line.
    for line in written.split('\n').filter(|line| line.contains("received")) {
        let line = line.rsplit(['K', 'J']).next().unwrap();
        assert!(line.starts_with("received"), "{line:?}");
    }
}

#[test]
fn a_key_that_is_not_utf8_is_reported_and_keeps_the_line_and_the_cursor() {
    // The note takes two rows of 60 columns.
    const NOTE: [&str; 2] =
        ["hubbub-client: dropped a key that is not UTF-8, and the keys", " right after it"];
    for (typed, line, column, next, sent) in
        [("caf", "> caf", 5, "e\r", "cafe"), ("abc\x1b[D\x1b[D", "> abc", 3, "X\r", "aXbc")]
    {
        let mut host = Host::start(&[]);
        host.type_keys(typed);
        host.terminal.expect_screen_and_cursor(&[line], (0, column));
        host.terminal.type_bytes(b"\xFF");
        host.terminal.expect_screen_and_cursor(&[&[line], &NOTE[..], &[line]].concat(), (3, column));
        host.type_keys(next);
        host.expect_line(sent);
    }
}

#[test]
fn a_resized_window_is_redrawn_and_never_ends_the_client() {
    for keys in ["", CTRL_V, CTRL_R, CTRL_X, ESC, "\x1b3"] {
        let mut host = Host::with_history();
        host.type_keys("twelve chars");
        host.terminal.expect_screen(&["> sent", "> twelve chars"]);
        host.type_keys(keys);
        host.terminal.resize(10, Wrapping::Cut);
        host.send("* others go on\n");
        host.type_keys(&format!("{CTRL_G}!\r"));
        host.expect_line("twelve chars!");
    }
}

#[test]
fn a_user_leaves_with_a_word_and_sends_nothing_empty_without_the_prompt_too() {
    for word in ["exit", "quit", "/exit", "/quit"] {
        let mut host = Host::start_with(&["--timeout", "600"], |_| ());
        host.type_keys(&format!("\n  \nhi\n{word}\n"));
        host.expect_line("hi");
        host.expect_end();
        host.close(0);
    }
}

#[test]
fn a_script_option_turns_the_prompt_off_even_on_a_terminal() {
    let server = Server::start(&[]);
    let mut terminal = Terminal::start(&client(server.address(), &["-n", "1"]), COLUMNS);
    assert_eq!(terminal.wait().code(), Some(0));
    terminal.expect_screen(&[WELCOME]);
}

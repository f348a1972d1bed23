//! The client on a terminal that cannot move its cursor (`TERM=dumb`): it shows lines one after the other.

use crate::host::*;
use std::os::unix::process::ExitStatusExt;

/// Without `TERM`, nothing is known about the terminal.
const TERMS: [Option<&str>; 3] = [Some("dumb"), Some(""), None];

/// The client has shown a line, so it reads keys.
#[track_caller]
fn start(term: Option<&str>, options: &[&str]) -> Host {
    let mut host = Host::start_with(options, |command| {
        _ = match term {
            Some(term) => command.env("TERM", term),
            None => command.env_remove("TERM"),
        };
    });
    host.send("<alice> hi\n");
    host.terminal.expect_screen(&["<alice> hi"]);
    host
}

#[test]
fn a_terminal_without_editing_has_neither_prompt_nor_colour_nor_escape_sequences() {
    for term in TERMS {
        for word in ["exit", "quit", "/exit", "/quit", "\x04", "\x03"] {
            let mut host = start(term, &[]);
            host.type_keys("hello\n");
            host.expect_line("hello");
            host.type_keys(&format!("{word}\n"));
            host.expect_end();
            assert!(!host.close(0).output().contains('\x1b'), "{term:?} {word:?}");
        }
    }
}

#[test]
fn received_lines_wait_while_a_line_is_typed() {
    let mut host = start(TERMS[0], &[]);
    host.type_keys("half a");
    host.terminal.expect_screen(&["<alice> hi", "half a"]);
    host.send("<alice> one\n<alice> two\n");
    // Whatever is shown, it is shown in order: had the lines been shown, they would be before these keys.
    host.type_keys(" line");
    host.terminal.expect_screen(&["<alice> hi", "half a line"]);
    host.type_keys(ENTER);
    host.expect_line("half a line");
    host.terminal.expect_screen(&["<alice> hi", "half a line", "<alice> one", "<alice> two"]);
    // An erased line does not hold lines back.
    host.type_keys("x\x7f");
    host.send("<alice> three\n");
    host.terminal.expect_last_rows(&["<alice> two", "<alice> three"]);
}

#[test]
fn keys_erase_what_was_typed_and_arrows_do_nothing() {
    let mut host = start(TERMS[0], &[]);
    for (keys, shown, sent) in [
        ("abc\x7f\x08d", "ad", "ad"),
        ("名前\x7fé", "名é", "名é"),
        ("one two\x17three", "one three", "one three"),
        ("wrong\x15right", "right", "right"),
        ("wrong\x03right", "right", "right"),
        (&format!("a{LEFT}{UP}\x1b[1;5Cb"), "ab", "ab"),
        ("a\tb", "a b", "a\tb"),
    ] {
        host.type_keys(keys);
        host.terminal.expect_last_rows(&[shown]);
        host.type_keys(ENTER);
        host.expect_line(sent);
    }
    host.type_keys("\r  \rlast\r");
    host.expect_line("last");
}

#[test]
fn lines_beyond_the_buffer_are_shown_above_the_typed_line() {
    let mut host = start(TERMS[0], &[]);
    host.type_keys("half");
    host.terminal.expect_last_rows(&["half"]);
    let lines = (0..30_000).map(|number| format!("received {number} {}.", "x".repeat(40)));
    let lines = lines.collect::<Vec<_>>();
    host.send(&format!("{}\n", lines.join("\n")));
    // The typed line begins again below the received ones.
    host.terminal
        .expect_rows("the typed line", |rows| rows.last().is_some_and(|row| row == "half") && rows.len() > 2);
    host.type_keys(ENTER);
    host.expect_line("half");
    host.terminal.expect_output(lines.last().unwrap());
    expect_in_order(&host.terminal.output(), lines);
}

#[test]
fn a_lost_connection_and_a_signal_restore_the_terminal() {
    let mut host = start(TERMS[0], &[]);
    host.type_keys("half");
    host.terminal.expect_last_rows(&["half"]);
    host.send("* last words\n");
    host.close(1).expect_screen(&["<alice> hi", "half", "* last words", LOST]);
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let mut host = start(TERMS[0], &[]);
        host.type_keys("half");
        host.terminal.expect_last_rows(&["half"]);
        host.terminal.signal(name);
        assert_eq!(host.terminal.wait().signal(), Some(number));
    }
}

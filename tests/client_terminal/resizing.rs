//! A window that changes its size while a line is typed: what others said stays on the screen.

use crate::host::*;
use crate::screen::Wrapping;

const SAID: [&str; 3] = ["<bob> one", "<bob> two", "<carol> three"];
/// A TAB becomes blanks on the screen.
const BLANKS: [char; 2] = [' ', '\t'];
/// Typed lines: narrow and wide characters, and one with a TAB.
const TYPED: [&str; 3] = [
    "the quick brown fox jumps over the lazy dog, and then over the other one, until it is tired of dogs",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所で",
    "a\tline with TABs\tand more than sixty columns\tof text, and a wide end: 猫猫猫猫猫猫",
];

#[test]
fn no_width_erases_what_others_said_and_the_typed_line_is_whole_below_it() {
    for wrapping in [Wrapping::Rewrap, Wrapping::Cut] {
        for typed in TYPED {
            // The cursor at the end, in the middle, and at the start of the line.
            for left in [0, 20, typed.chars().count()] {
                check(wrapping, typed, left, &[120, 40, 17, 61, 25, 200]);
            }
        }
    }
}

#[track_caller]
fn check(wrapping: Wrapping, typed: &str, left: usize, widths: &[u16]) {
    let mut host = Host::start(&[]);
    // High enough for all copies of the typed line.
    host.terminal.set_height(100);
    host.terminal.resize(40, wrapping);
    let mut said = SAID.map(str::to_owned).to_vec();
    host.send(&format!("{}\n", said.join("\n")));
    expect_said_and_typed(&host, &said, ">", "before a key");
    // As a paste, so that a TAB stays one. The last key shows where the cursor is.
    host.type_keys(&format!("\x1b[200~{typed}\x1b[201~{}!", LEFT.repeat(left)));
    let (before, after) = split_before_last(typed, left);
    let typed = format!("> {before}!{after}");
    expect_said_and_typed(&host, &said, &typed, "before the first change");
    for &columns in widths {
        host.terminal.resize(columns, wrapping);
        said.push(format!("<bob> at {columns}"));
        host.send(&format!("{}\n", said[said.len() - 1]));
        let context = format!("{wrapping:?}, {columns} columns, cursor {left} to the left");
        expect_said_and_typed(&host, &said, &typed, &context);
    }
}

/// All lines of the others are on the screen, in order, and the whole typed line is at its end.
#[track_caller]
fn expect_said_and_typed(host: &Host, said: &[String], typed: &str, context: &str) {
    let typed = typed.replace(BLANKS, "");
    host.terminal.expect_rows(context, |rows| {
        let shown = rows.iter().filter_map(|row| said.iter().find(|line| *line == row));
        rows.concat().replace(BLANKS, "").ends_with(&typed) && shown.eq(said)
    });
}

/// Splits a text before its last `count` characters.
fn split_before_last(text: &str, count: usize) -> (&str, &str) {
    let start = text.char_indices().rev().take(count).last().map_or(text.len(), |(at, _)| at);
    text.split_at(start)
}

#[test]
fn a_lower_window_erases_nothing_that_others_said() {
    for keys in ["!", ""] {
        let mut host = Host::start(&[]);
        let mut said = (0..7).map(|number| format!("<bob> {number}")).collect::<Vec<_>>();
        host.send(&format!("{}\n", said.join("\n")));
        let typed = "x".repeat(150);
        // With the cursor in the first of three rows, the rows below it may be dropped.
        host.type_keys(&format!("{typed}{CTRL_A}!"));
        expect_said_and_typed(&host, &said, &format!("> !{typed}"), "before");
        // Drawn for no key: when it is shown, no drawing is under way.
        said.push("<bob> 7".to_owned());
        host.send("<bob> 7\n");
        expect_said_and_typed(&host, &said, &format!("> !{typed}"), "before, without a key");
        host.terminal.set_height(9);
        host.type_keys(keys);
        said.push("<bob> more".to_owned());
        host.send("<bob> more\n");
        // The oldest lines have left at the top.
        let shown = &said[said.len() - 6..];
        expect_said_and_typed(&host, shown, &format!("> {keys}!{typed}"), keys);
    }
}

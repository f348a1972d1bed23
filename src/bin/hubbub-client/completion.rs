//! What TAB completes: commands, and the names that the server has shown.

use hubbub::chat::command::Command;
use hubbub::chat::name::is_name;
use hubbub::chat::text::YOU_ARE;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Commands before a name.
const BEFORE_NAME: [&str; 2] = ["/msg", "/w"];
/// The most names that are kept; beyond that, the oldest is dropped. A server may send any number of names.
const MAX_NAMES: usize = 1000;

/// The names that the server has shown, the one seen last at the end.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: Mutex<VecDeque<String>>,
}

/// What TAB does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Completion {
    /// Inserts this text at the cursor.
    Insert(String),
    /// Shows what the text could become.
    Show(Vec<String>),
    /// There is nothing to complete.
    Nothing,
}

impl Names {
    /// Learns the names of members from a received line of the named view.
    pub(crate) fn observe(&self, line: &[u8]) {
        let Ok(line) = std::str::from_utf8(line) else { return };
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some((name, _)) = line.strip_prefix('<').and_then(|line| line.split_once('>')) {
            self.add(name);
        }
        let Some(notice) = line.strip_prefix("* ") else { return };
        if let Some(list) = list_of_names(notice) {
            self.replace(list.split(", "));
        } else if notice.starts_with(YOU_ARE) {
            // The answer to /nick: the own name.
        } else if let Some((name, _)) =
            notice.strip_prefix("private from ").and_then(|rest| rest.split_once(": "))
        {
            self.add(name);
        } else if let Some((name, _)) = notice.split_once(" joined (") {
            self.add(name);
        } else if let Some(name) = notice.strip_suffix(" left") {
            self.lock().retain(|known| known != name);
        } else if let Some((old, new)) = notice.split_once(" is now ") {
            self.lock().retain(|known| known != old);
            self.add(new);
        }
    }

    /// Returns what TAB does in `line`, with the cursor at the byte offset `cursor`.
    pub(crate) fn complete(&self, line: &str, cursor: usize) -> Completion {
        let Some(before) = line.get(..cursor) else { return Completion::Nothing };
        let start = before.rfind([' ', '\t', '\n', '@']).map_or(0, |at| at + 1);
        let word = &before[start..];
        let words_before = before[..start].split_whitespace().collect::<Vec<_>>();
        let is_command = words_before.is_empty() && word.starts_with('/');
        let is_recipient = matches!(words_before[..], [command] if BEFORE_NAME.contains(&command));
        if word.is_empty() && !is_recipient {
            return Completion::Nothing;
        }
        let mut found = match is_command {
            true => Command::WORDS.iter().map(ToString::to_string).collect::<Vec<_>>(),
            false => self.lock().iter().cloned().collect(),
        };
        found.retain(|candidate| has_prefix(candidate, word));
        found.sort_unstable();
        let Some(first) = found.first() else { return Completion::Nothing };
        if let [only] = &found[..] {
            let mut added = only.chars().skip(word.chars().count()).collect::<String>();
            if !line[cursor..].starts_with(' ') {
                added.push(' ');
            }
            return Completion::Insert(added);
        }
        let common = found.iter().map(|candidate| common_chars(first, candidate)).min().unwrap_or_default();
        let added = first.chars().take(common).skip(word.chars().count()).collect::<String>();
        if added.is_empty() { Completion::Show(found) } else { Completion::Insert(added) }
    }

    fn add(&self, name: &str) {
        if is_name(name) {
            let mut names = self.lock();
            names.retain(|known| known != name);
            if names.len() == MAX_NAMES {
                names.pop_front();
            }
            names.push_back(name.to_owned());
        }
    }

    fn replace<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.lock().clear();
        names.for_each(|name| self.add(name));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the list in the greeting (`you are anon1 (2 here: anon1, bob); …`) or in the answer to `/who`
/// (`2 here: anon1, bob`).
fn list_of_names(notice: &str) -> Option<&str> {
    let (before, list) = notice.split_once(" here: ")?;
    let count = match before.strip_prefix(YOU_ARE) {
        Some(rest) => rest.split_once(" (")?.1,
        None => before,
    };
    let is_count = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    is_count.then(|| list.split(')').next().unwrap_or_default())
}

/// Returns whether `text` begins with `prefix`, without regard to case.
fn has_prefix(text: &str, prefix: &str) -> bool {
    common_chars(text, prefix) == prefix.chars().count()
}

/// Returns how many characters two texts have in common at their start, without regard to case.
fn common_chars(one: &str, other: &str) -> usize {
    let is_same = |(one, other): &(char, char)| one.to_lowercase().eq(other.to_lowercase());
    one.chars().zip(other.chars()).take_while(is_same).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hubbub::chat::event::Event;
    use hubbub::wire::view::View;

    fn names(lines: &[&str]) -> Names {
        let names = Names::default();
        lines.iter().for_each(|line| names.observe(line.as_bytes()));
        names
    }

    fn known(names: &Names) -> Vec<String> {
        names.lock().iter().cloned().collect()
    }

    #[test]
    fn names_come_from_notices_lists_and_messages_and_go_when_their_clients_leave() {
        for (line, expected) in [
            (
                "* you are anon4 (4 here: anon1, bob, carol); /help lists the commands",
                &["anon1", "bob", "carol"][..],
            ),
            ("* alice joined (5 here)", &["anon1", "bob", "alice"]),
            ("* 3 here: anon1, alice, 名前", &["anon1", "alice", "名前"]),
            ("* alice left", &["anon1", "bob"]),
            ("* bob left", &["anon1"]),
            ("* bob is now robert", &["anon1", "robert"]),
            ("<dave> hi", &["anon1", "bob", "dave"]),
            ("<dave> * waves", &["anon1", "bob", "dave"]),
            ("<anon1> hi\r", &["bob", "anon1"]),
            ("* private from erin: hi", &["anon1", "bob", "erin"]),
            ("* private from erin: 2 here: x, y", &["anon1", "bob", "erin"]),
            ("* you are robert now", &["anon1", "bob"]),
            ("<not a name> hi", &["anon1", "bob"]),
            ("<> hi", &["anon1", "bob"]),
            ("plain text", &["anon1", "bob"]),
        ] {
            let names = names(&["* 2 here: anon1, bob", line]);
            assert_eq!(known(&names), expected, "{line}");
        }
    }

    #[test]
    fn the_names_are_found_in_what_the_server_writes() {
        for (event, expected) in [
            (Event::Joined { name: "bob", here: 2 }, &["alice", "bob"][..]),
            (Event::Message { from: "bob", text: b"hi", is_action: false }, &["alice", "bob"]),
            (Event::Message { from: "bob", text: b"waves", is_action: true }, &["alice", "bob"]),
            (Event::Private { from: "bob", to: "me", text: b"hi", is_echo: false }, &["alice", "bob"]),
            (Event::Renamed { old: "alice", new: "bob" }, &["bob"]),
            (Event::Left { name: "alice" }, &[]),
        ] {
            let names = names(&["<alice> hi"]);
            names.observe(&View::Named.render(&event, "", false).unwrap());
            assert_eq!(known(&names), expected, "{event:?}");
        }
    }

    #[test]
    fn of_too_many_names_the_oldest_is_dropped() {
        let names = Names::default();
        for number in 0..=MAX_NAMES {
            names.observe(format!("<n{number}> hi").as_bytes());
        }
        let known = known(&names);
        assert_eq!((known.len(), known[0].as_str()), (MAX_NAMES, "n1"));
    }

    #[test]
    fn a_command_or_a_name_is_completed_as_far_as_it_is_certain() {
        let names = names(&["* 5 here: bob, Carol, caroline, dave, дед"]);
        let insert = |text: &str| Completion::Insert(text.to_owned());
        let show = |list: &[&str]| Completion::Show(list.iter().map(ToString::to_string).collect());
        for (line, expected) in [
            ("/h|", insert("elp ")),
            ("/NI|", insert("ck ")),
            ("/m|", show(&["/me", "/msg"])),
            ("/n|", show(&["/names", "/nick"])),
            ("/na|", insert("mes ")),
            ("/x|", Completion::Nothing),
            ("b|", insert("ob ")),
            ("hi b|", insert("ob ")),
            ("@b|", insert("ob ")),
            ("B|", insert("ob ")),
            ("ca|", insert("rol")),
            ("carol|", show(&["Carol", "caroline"])),
            ("Д|", insert("ед ")),
            ("dave|", insert(" ")),
            ("dave| hi", insert("")),
            ("/msg d|", insert("ave ")),
            ("/msg d| hi", insert("ave")),
            ("/msg |", show(&["Carol", "bob", "caroline", "dave", "дед"])),
            ("/msg bob |", Completion::Nothing),
            ("x|", Completion::Nothing),
            ("|", Completion::Nothing),
            ("hi |", Completion::Nothing),
            ("hi /h|", Completion::Nothing),
        ] {
            let cursor = line.find('|').unwrap();
            assert_eq!(names.complete(&line.replace('|', ""), cursor), expected, "{line}");
        }
    }
}

//! The commands of the views that have them.

use super::Model;
use crate::client::Expected;
use crate::common::twin::escape_one_by_one;
use crate::order::folded;
use crate::private::PrivateMessage;
use crate::received::{Public, Received, Text};
use hubbub::chat::command::Command;

/// Characters of the longest name.
const MAX_NAME: usize = 24;
/// Bytes up to which a list has every name, and the separator before the last of them.
const MAX_LIST: usize = 2048 + ", ".len();

impl Model {
    fn shown(&self, text: &[u8]) -> Text {
        Text(if self.config.rules.raw { text.to_vec() } else { escape_one_by_one(text).into_bytes() })
    }

    pub(super) fn broadcast(&mut self, number: usize, text: &[u8], is_action: bool) {
        let text = self.shown(text);
        let client = self.clients.get_mut(&number).unwrap();
        client.has_spoken = true;
        let from = client.name.clone();
        self.event(number, &Public::Message { from, text, is_action });
    }

    /// Handles a line in a view with commands.
    pub(super) fn handle_command(&mut self, number: usize, line: &[u8]) {
        if trimmed(line).is_empty() {
            return;
        }
        let skipped = line.len() - without(line, |byte| byte.is_ascii_control()).len();
        let Some(command) = line[skipped..].strip_prefix(b"/") else {
            return self.broadcast(number, line, false);
        };
        if command.starts_with(b"/") {
            return self.broadcast(number, if skipped == 0 { command } else { line }, false);
        }
        let (word, rest) = first_word(command);
        match &*word.to_ascii_lowercase() {
            b"me" if trimmed(rest).is_empty() => self.refuse(number, "/me needs a text"),
            b"me" => self.broadcast(number, rest, true),
            b"nick" => self.rename(number, &escape_one_by_one(trimmed(rest))),
            b"who" | b"names" => self.reply_who(number),
            b"msg" | b"w" => self.send_private(number, rest),
            b"help" | b"?" => Command::HELP.iter().for_each(|line| self.reply(number, (*line).to_owned())),
            b"quit" | b"exit" => self.close(number),
            unknown if looks_like_command(unknown) => {
                let word = shortened(&escape_one_by_one(word));
                let text = format!("unknown command /{word}: nothing was sent; /help lists the commands, ");
                self.refuse(number, text + &format!("//{word} sends it as text"));
            }
            _ => self.broadcast(number, line, false),
        }
    }

    fn refuse(&mut self, number: usize, has: impl Into<String>) {
        self.clients.get_mut(&number).unwrap().expect_refusal(has);
    }

    fn reply(&mut self, number: usize, text: String) {
        let client = self.clients.get_mut(&number).unwrap();
        client.expect(Expected::Exactly(Received::answer(client.view, text)));
    }

    /// Returns the names of the members, announced or not.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = self.present().map(|client| client.name.as_str()).collect::<Vec<_>>();
        names.sort_unstable_by_key(|name| folded(name));
        names
    }

    fn reply_who(&mut self, number: usize) {
        let names = self.names();
        let named = fitting(&names, names.len());
        let more = match names.len() - named {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = format!("{} here: {}{more}", names.len(), names[..named].join(", "));
        self.reply(number, text);
    }

    fn rename(&mut self, number: usize, name: &str) {
        let old = self.clients[&number].name.clone();
        let is_part = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
        let length = name.chars().count();
        if !(1..=MAX_NAME).contains(&length) || !name.chars().all(is_part) {
            return self.refuse(number, "invalid name");
        }
        if self.who_is(name).is_some_and(|other| other != number) {
            return self.refuse(number, "is taken");
        }
        let word = folded(name).replace(['_', '-', '.'], "");
        let is_number = word.strip_prefix("anon").unwrap_or(&word).chars().all(char::is_numeric);
        let is_word = ["you", "private", "server", "everyone", "here"].contains(&&*word);
        if (is_number && !word.is_empty() || is_word) && folded(&old) != folded(name) {
            return self.refuse(number, "is reserved");
        }
        if self.clients[&number].has_spoken && old != name {
            // The others have seen the old name, so the change is announced.
            self.is_announced(number);
        }
        let client = self.clients.get_mut(&number).unwrap();
        name.clone_into(&mut client.name);
        if client.is_announced && old != name {
            self.event(number, &Public::Renamed { old, new: name.to_owned() });
        }
        self.reply(number, format!("you are {name} now"));
    }

    fn who_is(&self, name: &str) -> Option<usize> {
        self.present().find(|client| folded(&client.name) == folded(name)).map(|client| client.number)
    }

    fn send_private(&mut self, number: usize, rest: &[u8]) {
        let (to, text) = first_word(without(rest, |_| false));
        if to.is_empty() || trimmed(text).is_empty() {
            return self.refuse(number, "/msg needs a name and a text");
        }
        let name = escape_one_by_one(to);
        let Some(reader) = self.who_is(&name) else {
            return self.refuse(number, format!("nobody here is named \"{}\"", shortened(&name)));
        };
        let text = self.shown(text);
        let speaker = self.clients.get_mut(&number).unwrap();
        speaker.has_spoken = true;
        let from = speaker.name.clone();
        let to = self.clients.get_mut(&reader).unwrap();
        let mut message = PrivateMessage::new(from, to.name.clone(), text, self.sequence);
        message.may_be_delivered = to.is_open();
        message.may_be_leaving = to.may_break() || !to.is_open();
        message.may_not_read = !to.accepts_all;
        if !to.view.has_names() {
            let name = to.name.clone();
            return self
                .refuse(number, format!("{name} did not get your message: they are in the plain view"));
        }
        to.private_messages.push_back(self.private_messages.len());
        let receipt = Expected::Receipt(self.private_messages.len());
        self.private_messages.push(message);
        self.clients.get_mut(&number).unwrap().expect(receipt);
    }
}

/// Returns how many names fit into a list of `here` members.
pub(super) fn fitting(names: &[&str], here: usize) -> usize {
    let list = |named: usize| format!("{here} here: {}", names[..named].join(", "));
    (0..=names.len()).rev().find(|&named| list(named).len() <= MAX_LIST).unwrap()
}

/// Whether the rest of a line that begins like this must not be sent to everyone.
pub(super) fn may_go_on_in_private(line: &[u8]) -> bool {
    let Some(command) = without(line, |byte| byte.is_ascii_control()).strip_prefix(b"/") else {
        return false;
    };
    let (word, rest) = first_word(command);
    match &*word.to_ascii_lowercase() {
        b"msg" | b"w" => true,
        b"me" | b"nick" => trimmed(rest).is_empty(),
        b"who" | b"names" | b"help" | b"?" | b"quit" | b"exit" => false,
        word => command == b"" || !word.starts_with(b"/") && looks_like_command(word),
    }
}

/// Whether a word that is no command looks like one: letters alone, or a command and a sign.
fn looks_like_command(word: &[u8]) -> bool {
    let text = String::from_utf8_lossy(word);
    let is_odd = |letter: char| letter.is_control() || letter == '\u{FFFD}';
    let are_letters = text.chars().all(|letter| letter.is_alphabetic() || is_odd(letter));
    let is_command_and_sign =
        ["nick", "who", "names", "msg", "w", "me", "help", "quit", "exit"].iter().any(|name| {
            let sign = text.strip_prefix(name).and_then(|rest| rest.chars().next());
            sign.is_some_and(|sign| !sign.is_alphabetic() && sign != '/')
        });
    are_letters && text.contains(char::is_alphabetic) || is_command_and_sign
}

/// Returns the length of the blank with which the text begins, or 0.
fn blank(text: &[u8]) -> usize {
    match text {
        [b' ' | b'\t' | b'\r', ..] => 1,
        text if text.starts_with("\u{85}".as_bytes()) => 2,
        text if ["\u{2028}", "\u{2029}"].iter().any(|blank| text.starts_with(blank.as_bytes())) => 3,
        _ => 0,
    }
}

/// Returns the text without blanks, and other bytes that are to be skipped, at its start.
fn without(mut text: &[u8], is_skipped: impl Fn(u8) -> bool) -> &[u8] {
    while let [first, ..] = text {
        match (blank(text), is_skipped(*first)) {
            (0, false) => break,
            (0, true) => text = &text[1..],
            (length, _) => text = &text[length..],
        }
    }
    text
}

fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = (0..line.len()).find(|&at| blank(&line[at..]) > 0);
    end.map_or((line, &[]), |end| (&line[..end], &line[end + blank(&line[end..])..]))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let text = without(text, |_| false);
    let end = (0..=text.len()).find(|&end| without(&text[end..], |_| false).is_empty());
    &text[..end.unwrap_or(text.len())]
}

/// Returns as much of an invalid name as a reply repeats.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

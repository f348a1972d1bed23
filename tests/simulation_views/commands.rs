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
        if line.starts_with(b"//") {
            return self.broadcast(number, &line[1..], false);
        }
        let (word, rest) = first_word(line);
        match word {
            b"/me" if trimmed(rest).is_empty() => self.refuse(number, "/me needs a text"),
            b"/me" => self.broadcast(number, rest, true),
            b"/nick" => self.rename(number, &escape_one_by_one(trimmed(rest))),
            b"/who" => self.reply_who(number),
            b"/msg" => self.send_private(number, rest),
            b"/help" => Command::HELP.iter().for_each(|line| self.reply(number, (*line).to_owned())),
            b"/quit" => self.close(number),
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
        let list = |named: usize| format!("{} here: {}", names.len(), names[..named].join(", "));
        let named = (1..=names.len()).rev().find(|&named| list(named).len() <= MAX_LIST).unwrap();
        let more = match names.len() - named {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = list(named) + &more;
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
        let number_of = folded(name).replace(['_', '-', '.'], "").strip_prefix("anon").map(str::to_owned);
        let is_given = number_of.is_some_and(|number| number.chars().all(char::is_numeric));
        if is_given && folded(&old) != folded(name) {
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
        let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
        let (to, text) = first_word(&rest[blanks..]);
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

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line.iter().position(|&byte| is_blank(byte));
    end.map_or((line, &[]), |end| (&line[..end], &line[end + 1..]))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|&byte| !is_blank(byte)) else { return &[] };
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |at| at + 1);
    &text[start..end]
}

/// Returns as much of an invalid name as a reply repeats.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}

//! The commands that change a name or send a private message.

use super::{Reply, Room, Sender};
use crate::broadcast::feed::Cursor;
use crate::chat::blank::is_all_blank;
use crate::chat::event::Event;
use crate::chat::private::PrivateMessage;
use crate::chat::text::{DID_NOT_GET, NOBODY_IS_NAMED, NOW, YOU_ARE};
use crate::wire::escape;
use crate::wire::view::View;

impl Room {
    /// Handles `/nick`; also returns the bytes that its notices took in the most expensive view.
    pub(super) fn rename(&mut self, sender: Sender, cursor: &mut Cursor, name: &[u8]) -> (Reply, usize) {
        let Some(members) = &mut self.members else { return (Reply::None, 0) };
        let shown = escape::escape(name);
        let name = String::from_utf8_lossy(&shown);
        let old = match members.rename(sender.id, &name) {
            Ok(old) => old,
            Err(error) => return (self.refuse(sender, &error.message(shortened(&name))), name.len()),
        };
        let name = members.name(sender.id).to_owned();
        let cost = if old == name { name.len() } else { self.announce_rename(sender, cursor, &old, &name) };
        (self.notice(sender.view, &format!("{YOU_ARE}{name}{NOW}")), cost)
    }

    /// Announces a new name if the others know the old one: the client's join was announced, or it sent a message.
    fn announce_rename(&mut self, sender: Sender, cursor: &mut Cursor, old: &str, new: &str) -> usize {
        let Some(members) = &mut self.members else { return 0 };
        let becomes_known = members.has_spoken(sender.id) && members.announce(sender.id).is_some();
        let is_known = members.is_announced(sender.id);
        let mut cost = new.len();
        if becomes_known {
            let here = self.here();
            cost += self.notify(Some((sender.view, cursor)), &Event::Joined { name: old, here });
        }
        if is_known {
            cost += self.notify(Some((sender.view, cursor)), &Event::Renamed { old, new });
        }
        cost
    }

    /// Handles `/msg`.
    pub(super) fn private_message(&mut self, sender: Sender, to: &[u8], text: &[u8]) -> Reply {
        let shown = escape::escape(to);
        let name = String::from_utf8_lossy(&shown);
        if name.is_empty() || is_all_blank(text) {
            return self.refuse(sender, "/msg needs a name and a text, for example /msg alice hi");
        }
        let Some(to) = self.members.as_ref().and_then(|members| members.find(&name)) else {
            let name = shortened(&name);
            return self.refuse(sender, &format!("{NOBODY_IS_NAMED}{name}\": /who lists who is here"));
        };
        let text = self.escaped(text).into_owned();
        if let Some(members) = &mut self.members {
            // The recipient sees the sender's name, so a later change of it is announced.
            members.speak(sender.id);
        }
        Reply::Private(PrivateMessage { from: sender.id, to, text })
    }

    /// Refuses what looks like a command and is none.
    pub(super) fn refuse_unknown(&self, sender: Sender, word: &[u8]) -> Reply {
        let shown = escape::escape(word);
        let shown = String::from_utf8_lossy(&shown);
        let word = shortened(&shown);
        let text = format!(
            "unknown command /{word}: nothing was sent; /help lists the commands, //{word} sends it as text"
        );
        self.refuse(sender, &text)
    }

    /// A private message for its recipient or, as an echo, for its sender; empty in the plain view.
    pub fn render_private(&self, message: &PrivateMessage, view: View, is_echo: bool) -> Vec<u8> {
        let (from, to) = (self.name(message.from), self.name(message.to));
        self.lines(view, &Event::Private { from, to, text: &message.text, is_echo })
    }

    /// The error for the sender of a private message that could not be delivered.
    pub fn reject_private(&self, message: &PrivateMessage, view: View, why: &str) -> Vec<u8> {
        self.error(view, &format!("{}{DID_NOT_GET}{why}", self.name(message.to)))
    }
}

/// The beginning of a wrong name, for an error.
fn shortened(name: &str) -> &str {
    const MAX_CHARS: usize = 40;
    name.char_indices().nth(MAX_CHARS).map_or(name, |(end, _)| &name[..end])
}

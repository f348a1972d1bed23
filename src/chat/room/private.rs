//! What one says to another alone.

use super::{Reply, Room, Sender, shortened};
use crate::chat::command::is_all_blank;
use crate::chat::event::Event;
use crate::util::id_slab::ClientId;
use crate::wire::escape;
use crate::wire::view::View;

/// Something that one said to another alone.
#[derive(Debug)]
pub struct PrivateMessage {
    /// Who said it.
    pub from: ClientId,
    /// To whom.
    pub to: ClientId,
    text: Vec<u8>,
}

impl Room {
    /// Takes something for one alone: to be handed on, for only the crowd knows whether it is taken.
    pub(super) fn post(&mut self, speaker: Sender, to: &[u8], text: &[u8]) -> Reply {
        let shown = escape::escape(to);
        let name = String::from_utf8_lossy(&shown);
        if name.is_empty() || is_all_blank(text) {
            return self.refuse(speaker, "/msg needs a name and what to say: /msg alice hi");
        }
        match self.members.as_ref().and_then(|members| members.find(&name)) {
            None => {
                let name = shortened(&name);
                self.refuse(speaker, &format!("nobody here is called {name}: /who tells who is here"))
            }
            Some(to) => {
                let text = self.safe(text).into_owned();
                if let Some(members) = &mut self.members {
                    // From now on somebody knows the name.
                    members.speak(speaker.key);
                }
                self.letter = Some(PrivateMessage { from: speaker.key, to, text });
                Reply::None
            }
        }
    }

    /// Whether something was said to one alone: nothing more is heard before it is handed on, so that all
    /// is told in the order in which it was said.
    pub const fn has_private(&self) -> bool {
        self.letter.is_some()
    }

    /// Takes what was said to one alone.
    pub const fn take_private(&mut self) -> Option<PrivateMessage> {
        self.letter.take()
    }

    /// What whoever hears a letter is told, or, as an echo, whoever said it; nothing in a view that has no
    /// such lines.
    pub fn render_private(&self, letter: &PrivateMessage, view: View, is_echo: bool) -> Vec<u8> {
        let (from, to) = (self.name(letter.from), self.name(letter.to));
        self.lines(view, &Event::Private { from, to, text: &letter.text, is_echo })
    }

    /// What whoever said a letter is told where it cannot be handed on.
    pub fn reject_private(&self, letter: &PrivateMessage, view: View, why: &str) -> Vec<u8> {
        self.error(view, &format!("{} {why}", self.name(letter.to)))
    }
}

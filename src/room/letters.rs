//! What one says to another alone.

use super::{Answer, Room, Speaker, shortened};
use crate::command::is_all_blank;
use crate::framing::text;
use crate::roster::Key;
use crate::view::{Told, View};

/// Something that one said to another alone.
#[derive(Debug)]
pub struct Letter {
    /// Who said it.
    pub from: Key,
    /// To whom.
    pub to: Key,
    text: Vec<u8>,
}

impl Room {
    /// Takes something for one alone: to be handed on, for only the crowd knows whether it is taken.
    pub(super) fn post(&mut self, speaker: Speaker, to: &[u8], text: &[u8]) -> Answer {
        let shown = text::safe(to);
        let name = String::from_utf8_lossy(&shown);
        if name.is_empty() || is_all_blank(text) {
            return self.refuse(speaker, "/msg needs a name and what to say: /msg alice hi");
        }
        match self.people.as_ref().and_then(|people| people.find(&name)) {
            None => {
                let name = shortened(&name);
                self.refuse(speaker, &format!("nobody here is called {name}: /who tells who is here"))
            }
            Some(to) => {
                let text = self.safe(text).into_owned();
                if let Some(people) = &mut self.people {
                    // From now on somebody knows the name.
                    people.speak(speaker.key);
                }
                self.letter = Some(Letter { from: speaker.key, to, text });
                Answer::None
            }
        }
    }

    /// Whether something was said to one alone: nothing more is heard before it is handed on, so that all
    /// is told in the order in which it was said.
    pub const fn has_letter(&self) -> bool {
        self.letter.is_some()
    }

    /// Takes what was said to one alone.
    pub const fn take_letter(&mut self) -> Option<Letter> {
        self.letter.take()
    }

    /// What whoever hears a letter is told, or, as an echo, whoever said it; nothing in a view that has no
    /// such lines.
    pub fn read_letter(&self, letter: &Letter, view: View, is_echo: bool) -> Vec<u8> {
        let (from, to) = (self.name(letter.from), self.name(letter.to));
        self.lines(view, &Told::Private { from, to, text: &letter.text, is_echo })
    }

    /// What whoever said a letter is told where it cannot be handed on.
    pub fn return_letter(&self, letter: &Letter, view: View, why: &str) -> Vec<u8> {
        self.error(view, &format!("{} {why}", self.name(letter.to)))
    }
}

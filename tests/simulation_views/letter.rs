//! What one said to another alone, and what may become of it.

use crate::heard::{Heard, Text};
use hubbub::wire::view::View;

/// Said to one alone.
pub(crate) struct PrivateMessage {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: Text,
    /// How much had happened before.
    pub(crate) issued: u64,
    /// It can be that it is told, that its reader is leaving, and that its reader does not read.
    pub(crate) may_be_told: bool,
    pub(crate) may_come_too_late: bool,
    pub(crate) may_find_no_room: bool,
    /// What whoever said it was told, if anything yet: whether it was handed on.
    handed_on: Option<bool>,
    /// Why it was not, if it was not.
    why: String,
    /// Whether it was heard, once that is known.
    after_read: Option<bool>,
}

impl PrivateMessage {
    pub(crate) const fn new(from: String, to: String, text: Text, issued: u64) -> Self {
        Self {
            from,
            to,
            text,
            issued,
            may_be_told: true,
            may_come_too_late: true,
            may_find_no_room: true,
            handed_on: None,
            why: String::new(),
            after_read: None,
        }
    }

    /// Whether it has to be told.
    pub(crate) const fn is_due(&self) -> bool {
        self.may_be_told && !self.may_come_too_late && !self.may_find_no_room
    }

    /// Whether it came back, for that reason.
    pub(crate) fn came_back(&self, why: &str) -> bool {
        self.why.contains(why)
    }

    fn is_handed_on(&mut self, handed_on: bool) {
        self.handed_on = Some(handed_on);
        self.check();
    }

    pub(crate) fn is_heard(&mut self, after_read: bool) {
        self.after_read = Some(after_read);
        self.check();
    }

    fn check(&self) {
        if let (Some(handed_on), Some(after_read)) = (self.handed_on, self.after_read) {
            let text = &self.text;
            assert_eq!(handed_on, after_read, "{} to {}: {text:?}, as told and as heard", self.from, self.to);
        }
    }

    /// Whether its sender may be told so of it.
    pub(crate) fn takes_receipt(&mut self, view: View, heard: &Heard) -> bool {
        match heard {
            Heard::Private { is_echo: true, .. } => {
                self.is_handed_on(true);
                self.may_be_told && *heard == Heard::private(view, &self.from, &self.to, &self.text, true)
            }
            Heard::Told { text, is_error } => {
                self.is_handed_on(false);
                let why = text.strip_prefix(&self.to).unwrap_or_default();
                why.clone_into(&mut self.why);
                let why = why.strip_prefix(" did not get your message: ").unwrap_or_default();
                let may_be = self.may_come_too_late && why == "they are leaving"
                    || self.may_find_no_room && why == "they do not read what the server sends";
                may_be && *is_error != Some(false)
            }
            _ => false,
        }
    }
}

//! A private message, and what may become of it.

use crate::received::{Received, Text};
use hubbub::wire::view::View;

/// A private message.
pub(crate) struct PrivateMessage {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: Text,
    /// How many events there were before it.
    pub(crate) sequence: u64,
    /// Possible results: it is delivered, its recipient leaves, or its recipient does not read.
    pub(crate) may_be_delivered: bool,
    pub(crate) may_be_leaving: bool,
    pub(crate) may_not_read: bool,
    /// Whether its sender received an echo, or else an error; `None` before either.
    reported: Option<bool>,
    /// The reason in the error.
    why: String,
    /// Whether its recipient received it, once that is certain.
    received: Option<bool>,
}

impl PrivateMessage {
    pub(crate) const fn new(from: String, to: String, text: Text, sequence: u64) -> Self {
        Self {
            from,
            to,
            text,
            sequence,
            may_be_delivered: true,
            may_be_leaving: true,
            may_not_read: true,
            reported: None,
            why: String::new(),
            received: None,
        }
    }

    /// Whether it must be delivered.
    pub(crate) const fn is_due(&self) -> bool {
        self.may_be_delivered && !self.may_be_leaving && !self.may_not_read
    }

    /// Whether it was rejected for that reason.
    pub(crate) fn was_rejected(&self, why: &str) -> bool {
        self.why.contains(why)
    }

    fn report(&mut self, reported: bool) {
        self.reported = Some(reported);
        self.check();
    }

    pub(crate) fn check_received(&mut self, received: bool) {
        self.received = Some(received);
        self.check();
    }

    fn check(&self) {
        if let (Some(reported), Some(received)) = (self.reported, self.received) {
            let text = &self.text;
            assert_eq!(
                reported, received,
                "{} to {}: {text:?}, as its sender and its recipient know",
                self.from, self.to
            );
        }
    }

    /// Whether its sender may receive that line about it.
    pub(crate) fn matches_receipt(&mut self, view: View, received: &Received) -> bool {
        match received {
            Received::Private { is_echo: true, .. } => {
                self.report(true);
                self.may_be_delivered
                    && *received == Received::private(view, &self.from, &self.to, &self.text, true)
            }
            Received::Reply { text, is_error } => {
                self.report(false);
                let why = text.strip_prefix(&self.to).unwrap_or_default();
                why.clone_into(&mut self.why);
                let why = why.strip_prefix(" did not get your message: ").unwrap_or_default();
                let may_be = self.may_be_leaving && why == "they are leaving"
                    || self.may_not_read && why == "they do not read what the server sends";
                may_be && *is_error != Some(false)
            }
            _ => false,
        }
    }
}

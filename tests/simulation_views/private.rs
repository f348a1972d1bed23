//! What one sent to another alone, and what may become of it.

use crate::received::{Received, Text};
use hubbub::wire::view::View;

/// Yielded to one alone.
pub(crate) struct PrivateMessage {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: Text,
    /// How much had happened before.
    pub(crate) sequence: u64,
    /// It can be that it is shown, that its reader is leaving, and that its reader does not read.
    pub(crate) may_be_delivered: bool,
    pub(crate) may_be_leaving: bool,
    pub(crate) may_not_read: bool,
    /// What whoever sent it was shown, if anything yet: whether it was handed on.
    reported: Option<bool>,
    /// Why it was not, if it was not.
    why: String,
    /// Whether it was received, once that is known.
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

    /// Whether it has to be shown.
    pub(crate) const fn is_due(&self) -> bool {
        self.may_be_delivered && !self.may_be_leaving && !self.may_not_read
    }

    /// Whether it came back, for that reason.
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
                "{} to {}: {text:?}, as shown and as received",
                self.from, self.to
            );
        }
    }

    /// Whether its sender may be shown so of it.
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

//! The plain view: text alone.

use crate::chat::event::Event;
use std::borrow::Cow;

/// The line of an event, or `None` if this view does not show it.
pub(super) fn render<'a>(event: &Event<'a>) -> Option<Cow<'a, [u8]>> {
    match *event {
        Event::Message { text, is_action: false, .. } => Some(Cow::Borrowed(text)),
        // As it was typed: the plain view has no name to put before it.
        Event::Message { text, is_action: true, .. } => Some(Cow::Owned([b"/me ", text].concat())),
        Event::Welcome { text, .. } => (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes())),
        Event::Notice(text) | Event::Error(text) => Some(Cow::Owned(format!("* {text}").into_bytes())),
        Event::Joined { .. }
        | Event::HistoryBegins { .. }
        | Event::HistoryEnds
        | Event::Missed { .. }
        | Event::Left { .. }
        | Event::Renamed { .. }
        | Event::Private { .. } => None,
    }
}

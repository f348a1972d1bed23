//! The named view: `<alice> text`, and notices that begin with `* `.

use crate::chat::event::Event;
use crate::chat::members::list;
use crate::chat::text::{PRIVATE_FROM, YOU_ARE};
use crate::util::plural::count;

/// The line of an event, or `None` for an empty welcome.
pub(super) fn render(event: &Event<'_>) -> Option<Vec<u8>> {
    let line = match *event {
        Event::Message { from, text, is_action } => {
            let before = if is_action { "> * " } else { "> " };
            return Some([b"<", from.as_bytes(), before.as_bytes(), text].concat());
        }
        Event::Private { from, to, text, is_echo } => {
            let (way, other) = if is_echo { ("private to ", to) } else { (PRIVATE_FROM, from) };
            return Some([format!("* {way}{other}: ").as_bytes(), text].concat());
        }
        Event::Welcome { text: "", .. } => return None,
        Event::Welcome { text, name, here, others, more } => {
            let list = list(here, others, more);
            format!("{text}\n* {YOU_ARE}{name} ({list}); /help lists the commands")
        }
        Event::HistoryBegins { lines } => format!("* the last {}:", count(lines as u64, "line")),
        Event::HistoryEnds => "* end of history".to_owned(),
        Event::Joined { name, here } => format!("* {name} joined ({here} here)"),
        Event::Left { name } => format!("* {name} left"),
        Event::Renamed { old, new } => format!("* {old} is now {new}"),
        Event::Missed { count, .. } => format!("* {}", super::missed(count)),
        Event::Notice(text) | Event::Error(text) => format!("* {text}"),
    };
    Some(line.into_bytes())
}

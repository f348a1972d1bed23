//! How each view renders an event, as one line of bytes.
//!
//! In the named view each line begins with `<` (a client wrote it) or with `* ` (the server wrote it).
//! Names have no brackets and no blanks, and text always follows a name, so neither can be forged.

mod json;
mod named;
mod plain;

use super::event::Event;
use crate::wire::escape;
pub use crate::wire::view::View;
use std::borrow::Cow;

impl View {
    /// The most bytes that one byte of a message becomes, escaped or `raw`.
    pub const fn expansion(self, raw: bool) -> usize {
        match (self, raw) {
            (Self::Plain | Self::Named, true) => 1,
            (Self::Plain | Self::Named, false) => escape::EXPANSION,
            // `\u00NN`, and `\\xNN`.
            (Self::Json, true) => 6,
            (Self::Json, false) => escape::EXPANSION + 1,
        }
    }

    /// The most bytes that a message takes besides its text, line end included. A name has at most 24
    /// characters of 4 bytes.
    pub const fn line_overhead(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Named => 128,
            // Two names in a private message.
            Self::Json => 320,
        }
    }

    /// The line that shows an event, without its line end, or `None` if the view does not show it.
    /// `at` is the time of day, for the json view.
    pub fn render<'a>(self, event: &Event<'a>, at: &str) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Plain => plain::render(event),
            Self::Named => named::render(event).map(Cow::Owned),
            Self::Json if matches!(event, Event::Welcome { text: "", .. }) => None,
            Self::Json => Some(Cow::Owned(json::render(event, at))),
        }
    }
}

/// The text that stands for `count` missed notices.
fn missed(count: u64) -> String {
    let people = if count == 1 { "1 person".to_owned() } else { format!("{count} people") };
    format!("{people} came, left or changed names; /who lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-02T03:04:05.678Z";

    fn shown(view: View, event: Event<'_>) -> String {
        view.render(&event, AT)
            .map_or("nothing".into(), |line| String::from_utf8(line.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn each_view_shows_each_event_in_its_own_form() {
        let message = Event::Message { from: "alice", text: b"hi", is_action: false };
        let action = Event::Message { from: "alice", text: b"waves", is_action: true };
        let private = |is_echo| Event::Private { from: "alice", to: "bob", text: b"psst", is_echo };
        let welcome = Event::Welcome { text: "Hello.", name: "anon7", here: 3 };
        let at = r#""at":"2026-01-02T03:04:05.678Z"}"#;
        for (event, plain, named, json) in [
            (message, "hi", "<alice> hi", r#"{"type":"message","from":"alice","text":"hi","#),
            (
                action,
                "/me waves",
                "<alice> * waves",
                r#"{"type":"message","from":"alice","text":"waves","action":true,"#,
            ),
            (
                Event::Joined { name: "alice", here: 3 },
                "nothing",
                "* alice joined (3 here)",
                r#"{"type":"join","from":"alice","here":3,"#,
            ),
            (Event::Left { name: "alice" }, "nothing", "* alice left", r#"{"type":"leave","from":"alice","#),
            (
                Event::Renamed { old: "anon7", new: "bob" },
                "nothing",
                "* anon7 is now bob",
                r#"{"type":"notice","text":"anon7 is now bob","from":"anon7","name":"bob","#,
            ),
            (
                private(false),
                "nothing",
                "* private from alice: psst",
                r#"{"type":"private","from":"alice","to":"bob","text":"psst","#,
            ),
            (
                private(true),
                "nothing",
                "* private to bob: psst",
                r#"{"type":"private","from":"alice","to":"bob","text":"psst","echo":true,"#,
            ),
            (
                welcome,
                "Hello.",
                "Hello.\n* you are anon7 (3 here); /help lists the commands",
                r#"{"type":"notice","text":"Hello.","name":"anon7","here":3,"#,
            ),
            (Event::Notice("well"), "* well", "* well", r#"{"type":"notice","text":"well","#),
            (Event::Error("no"), "* no", "* no", r#"{"type":"error","text":"no","#),
        ] {
            assert_eq!(shown(View::Plain, event), plain);
            assert_eq!(shown(View::Named, event), named);
            assert_eq!(shown(View::Json, event), format!("{json}{at}"));
        }
    }

    #[test]
    fn a_json_string_can_contain_any_text() {
        let text = b"say \"\\x1B\"\tnow\x01 \xC3\xA4 \xFF";
        let line = shown(View::Json, Event::Message { from: "a", text, is_action: false });
        assert!(line.contains(r#""text":"say \"\\x1B\"\tnow\u0001 ä �""#), "{line}");
    }

    #[test]
    fn no_message_takes_more_bytes_than_its_view_declares() {
        let name = "\u{10400}".repeat(24);
        for raw in [true, false] {
            for byte in 0..=255 {
                let message = vec![byte; 100];
                let text = if raw { Cow::Borrowed(&message[..]) } else { escape::escape(&message) };
                for view in View::ALL {
                    let event = Event::Message { from: &name, text: &text, is_action: true };
                    let line = view.render(&event, AT).expect("each view shows a message");
                    let sent = message.len() + "/me ".len();
                    let most = sent * view.expansion(raw) + view.line_overhead();
                    assert!(line.len() < most, "{view:?}, {byte}: {} bytes", line.len());
                }
            }
        }
    }
}

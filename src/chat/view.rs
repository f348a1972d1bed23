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
    /// `at` is the time of day, for the json view. In a `raw` room text is not escaped; the json view still escapes
    /// what JSON requires and what would end a line.
    pub fn render<'a>(self, event: &Event<'a>, at: &str, raw: bool) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Plain => plain::render(event),
            Self::Named if raw => named::render(event).map(Cow::Owned),
            Self::Named => Some(escape::escape_separators(Cow::Owned(named::render(event)?))),
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
        view.render(&event, AT, false)
            .map_or("nothing".into(), |line| String::from_utf8(line.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn each_view_shows_each_event_in_its_own_form() {
        let message = Event::Message { from: "alice", text: b"hi", is_action: false };
        let action = Event::Message { from: "alice", text: b"waves", is_action: true };
        let private = |is_echo| Event::Private { from: "alice", to: "bob", text: b"psst", is_echo };
        let welcome =
            Event::Welcome { text: "Hello.", name: "anon7", here: 3, others: "anon2, bob", more: 0 };
        let alone = Event::Welcome { text: "Hello.", name: "anon1", here: 1, others: "", more: 0 };
        let crowd = Event::Welcome { text: "Hello.", name: "anon9", here: 9, others: "anon2", more: 7 };
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
                "Hello.\n* you are anon7 (3 here: anon2, bob); /help lists the commands",
                r#"{"type":"notice","text":"Hello.","name":"anon7","here":3,"names":["anon2","bob"],"#,
            ),
            (
                alone,
                "Hello.",
                "Hello.\n* you are anon1 (1 here); /help lists the commands",
                r#"{"type":"notice","text":"Hello.","name":"anon1","here":1,"names":[],"#,
            ),
            (
                crowd,
                "Hello.",
                "Hello.\n* you are anon9 (9 here: anon2 and 7 more); /help lists the commands",
                r#"{"type":"notice","text":"Hello.","name":"anon9","here":9,"names":["anon2"],"#,
            ),
            (
                Event::HistoryBegins { lines: 20 },
                "nothing",
                "* the last 20 lines:",
                r#"{"type":"history","lines":20,"#,
            ),
            (
                Event::HistoryBegins { lines: 1 },
                "nothing",
                "* the last 1 line:",
                r#"{"type":"history","lines":1,"#,
            ),
            (Event::HistoryEnds, "nothing", "* end of history", r#"{"type":"history","end":true,"#),
            (Event::Notice("well"), "* well", "* well", r#"{"type":"notice","text":"well","#),
            (Event::Error("no"), "* no", "* no", r#"{"type":"error","text":"no","#),
        ] {
            assert_eq!(shown(View::Plain, event), plain);
            assert_eq!(shown(View::Named, event), named);
            assert_eq!(shown(View::Json, event), format!("{json}{at}"));
        }
    }

    #[test]
    fn no_character_at_which_readers_split_lines_is_left_in_named_and_json() {
        let text = "a\u{2028}<bob> b\u{2029}c";
        let name = "alice";
        let shown = |raw| {
            let event = Event::Message { from: name, text: text.as_bytes(), is_action: false };
            View::ALL.map(|view| {
                let line = view.render(&event, AT, raw).expect("a message").into_owned();
                String::from_utf8(line).expect("UTF-8")
            })
        };
        let [plain, named, json] = shown(false);
        assert_eq!((plain.as_str(), named.as_str()), (text, "<alice> a\\u2028<bob> b\\u2029c"));
        assert!(json.contains(r#""text":"a\u2028<bob> b\u2029c""#), "{json}");
        let [plain, named, raw_json] = shown(true);
        assert_eq!((plain, named, raw_json), (text.to_owned(), format!("<alice> {text}"), json));
        // In a raw room the json view also receives U+0085.
        let event = Event::Message { from: name, text: "a\u{85}é€b".as_bytes(), is_action: false };
        let json = View::Json.render(&event, AT, true).expect("a message");
        assert!(String::from_utf8_lossy(&json).contains(r#""a\u0085é€b""#));
        for event in [
            Event::Private { from: name, to: name, text: text.as_bytes(), is_echo: false },
            Event::Welcome { text, name, here: 1, others: "", more: 0 },
            Event::Error(text),
        ] {
            for view in [View::Named, View::Json] {
                let line = String::from_utf8(view.render(&event, AT, false).expect("a line").into_owned());
                let line = line.expect("UTF-8");
                assert!(line.contains("\\u2028") && !line.contains(['\u{2028}', '\u{2029}']), "{line}");
            }
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
            let separators = "\u{2028}\u{2029}\u{85}".repeat(20).into_bytes();
            for message in (0..=255).map(|byte| vec![byte; 100]).chain([separators]) {
                let text = if raw { Cow::Borrowed(&message[..]) } else { escape::escape(&message) };
                for view in View::ALL {
                    let event = Event::Message { from: &name, text: &text, is_action: true };
                    let line = view.render(&event, AT, raw).expect("each view shows a message");
                    let sent = message.len() + "/me ".len();
                    let most = sent * view.expansion(raw) + view.line_overhead();
                    assert!(line.len() < most, "{view:?}, {message:?}: {} bytes", line.len());
                }
            }
        }
    }
}

//! The json view: one object per line.

use crate::chat::event::Event;
use memchr::memchr2_iter;

/// The object of an event; `at` is the time of day.
pub(super) fn render(event: &Event<'_>, at: &str) -> Vec<u8> {
    let object = match *event {
        Event::Message { from, text, is_action } => {
            let object = Object::of("message").with("from", from.as_bytes()).with("text", text);
            if is_action { object.with_bare("action", "true") } else { object }
        }
        Event::Joined { name, here } => {
            Object::of("join").with("from", name.as_bytes()).with_bare("here", &here.to_string())
        }
        Event::Left { name } => Object::of("leave").with("from", name.as_bytes()),
        Event::Renamed { old, new } => Object::of("notice")
            .with("text", format!("{old} is now {new}").as_bytes())
            .with("from", old.as_bytes())
            .with("name", new.as_bytes()),
        Event::Private { from, to, text, is_echo } => {
            let object = Object::of("private").with("from", from.as_bytes()).with("to", to.as_bytes());
            let object = object.with("text", text);
            if is_echo { object.with_bare("echo", "true") } else { object }
        }
        Event::Welcome { text, name, here, others, .. } => Object::of("notice")
            .with("text", text.as_bytes())
            .with("name", name.as_bytes())
            .with_bare("here", &here.to_string())
            .with_bare("names", &names(others)),
        Event::HistoryBegins { lines } => Object::of("history").with_bare("lines", &lines.to_string()),
        Event::HistoryEnds => Object::of("history").with_bare("end", "true"),
        Event::Missed { count, here } => Object::of("notice")
            .with("text", super::missed(count).as_bytes())
            .with_bare("here", &here.to_string()),
        Event::Notice(text) => Object::of("notice").with("text", text.as_bytes()),
        Event::Error(text) => Object::of("error").with("text", text.as_bytes()),
    };
    object.with("at", at.as_bytes()).end()
}

/// An array of names, which have no character that needs an escape.
fn names(list: &str) -> String {
    let names = list.split_terminator(", ").map(|name| format!("\"{name}\""));
    format!("[{}]", names.collect::<Vec<_>>().join(","))
}

/// Builds a JSON object, member by member.
struct Object(Vec<u8>);

impl Object {
    fn of(kind: &str) -> Self {
        Self(format!("{{\"type\":\"{kind}\"").into_bytes())
    }

    /// Adds a string.
    fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.name(name);
        self.0.push(b'"');
        push_escaped(value, &mut self.0);
        self.0.push(b'"');
        self
    }

    /// Adds a number, a boolean or an array.
    fn with_bare(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(format!(",\"{name}\":").as_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// Appends text, escaped for a JSON string. Bytes that are not UTF-8, which only a raw room lets pass,
/// become U+FFFD.
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        push_valid(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// Appends UTF-8. Characters beyond ASCII at which some readers split lines are escaped; U+0085 occurs in raw rooms
/// only.
fn push_valid(text: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    // Most lines have neither of these first bytes.
    for at in memchr2_iter(0xC2, 0xE2, text) {
        let (code, len) = match text[at..] {
            [0xC2, 0x85, ..] => ("\\u0085", 2),
            [0xE2, 0x80, 0xA8, ..] => ("\\u2028", 3),
            [0xE2, 0x80, 0xA9, ..] => ("\\u2029", 3),
            _ => continue,
        };
        push_runs(&text[copied..at], out);
        out.extend_from_slice(code.as_bytes());
        copied = at + len;
    }
    push_runs(&text[copied..], out);
}

/// Appends text without these characters.
fn push_runs(text: &[u8], out: &mut Vec<u8>) {
    for run in text.chunk_by(|&one, &next| !is_to_escape(one) && !is_to_escape(next)) {
        match run {
            [byte @ (b'"' | b'\\')] => out.extend_from_slice(&[b'\\', *byte]),
            b"\t" => out.extend_from_slice(b"\\t"),
            [control @ ..b' '] => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            run => out.extend_from_slice(run),
        }
    }
}

/// Whether a JSON string needs an escape for this byte. Controls other than TAB occur in raw rooms only.
const fn is_to_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ')
}

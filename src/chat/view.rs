//! How a listener shows the room: what is told there, as one line.
//!
//! In the plain view a line is what somebody said, and nothing else. In the named view each line begins
//! with `<`, and is somebody's, or with `* `, and is the server's: names have no brackets and no blanks,
//! and what is said always stands behind a name, so that neither can be forged. In the json view each
//! line is an object.

use crate::wire::escape;
use std::borrow::Cow;

/// How a listener shows the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    /// A welcome line, then other people's lines and nothing else.
    Plain,
    /// For members: who says what, who comes and goes, and commands.
    Named,
    /// For programs: the same, one JSON object a line.
    Json,
}

/// What a line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Somebody said something to all.
    Message {
        /// Who; empty where nobody has a name.
        from: &'a str,
        /// What, made safe to show.
        text: &'a [u8],
        /// Whether it is what they do, said with `/me`.
        is_action: bool,
    },
    /// Somebody has come.
    Joined {
        /// Who.
        name: &'a str,
        /// How many are here.
        here: usize,
    },
    /// Somebody has gone.
    Left {
        /// Who.
        name: &'a str,
    },
    /// Somebody has another name.
    Renamed {
        /// The name until now.
        old: &'a str,
        /// The name from now on.
        new: &'a str,
    },
    /// Somebody said something to one alone; told to both.
    Private {
        /// Who said it.
        from: &'a str,
        /// Who hears it.
        to: &'a str,
        /// What, made safe to show.
        text: &'a [u8],
        /// Whether this goes to who said it.
        is_echo: bool,
    },
    /// What a newcomer is told first.
    Welcome {
        /// The line for all newcomers.
        text: &'a str,
        /// The newcomer's name.
        name: &'a str,
        /// How many are here, the newcomer included.
        here: usize,
    },
    /// An answer of the server's.
    Notice(&'a str),
    /// Something that the server does not do, and why.
    Error(&'a str),
}

impl View {
    /// All views, in the order of [`index`](Self::index).
    pub const ALL: [Self; 3] = [Self::Plain, Self::Named, Self::Json];

    /// The place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name on the command line and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Named => "named",
            Self::Json => "json",
        }
    }

    /// The view of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }

    /// Whether people have names there, hear who comes and goes, and can give commands.
    pub const fn has_names(self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Bytes at most that one byte of what was said becomes, made safe to show or `raw`.
    pub const fn expansion(self, raw: bool) -> usize {
        match (self, raw) {
            (Self::Plain | Self::Named, true) => 1,
            (Self::Plain | Self::Named, false) => escape::EXPANSION,
            // `\u00NN`, and `\\xNN`.
            (Self::Json, true) => 6,
            (Self::Json, false) => escape::EXPANSION + 1,
        }
    }

    /// Bytes at most that a message takes beside what was said, its line end included: a name has at most
    /// 24 characters of 4 bytes.
    pub const fn around(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Named => 128,
            // Two names where it is for one alone.
            Self::Json => 320,
        }
    }

    /// What is told there, without its line end; nothing where that view tells no such things. `at` is the
    /// time of day, for the json view.
    pub fn line<'a>(self, told: &Event<'a>, at: &str) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Plain => plain(told),
            Self::Named => named(told).map(Cow::Owned),
            Self::Json if matches!(told, Event::Welcome { text: "", .. }) => None,
            Self::Json => Some(Cow::Owned(json(told, at))),
        }
    }
}

fn plain<'a>(told: &Event<'a>) -> Option<Cow<'a, [u8]>> {
    match *told {
        Event::Message { text, is_action: false, .. } => Some(Cow::Borrowed(text)),
        // As it was typed: there is nobody to put before it.
        Event::Message { text, is_action: true, .. } => Some(Cow::Owned([b"/me ", text].concat())),
        Event::Welcome { text, .. } => (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes())),
        Event::Notice(text) | Event::Error(text) => Some(Cow::Owned(format!("* {text}").into_bytes())),
        Event::Joined { .. } | Event::Left { .. } | Event::Renamed { .. } | Event::Private { .. } => None,
    }
}

fn named(told: &Event<'_>) -> Option<Vec<u8>> {
    let line = match *told {
        Event::Message { from, text, is_action } => {
            let before = if is_action { "> * " } else { "> " };
            return Some([b"<", from.as_bytes(), before.as_bytes(), text].concat());
        }
        Event::Private { from, to, text, is_echo } => {
            let (way, other) = if is_echo { ("to", to) } else { ("from", from) };
            return Some([format!("* private {way} {other}: ").as_bytes(), text].concat());
        }
        Event::Welcome { text: "", .. } => return None,
        Event::Welcome { text, name, here } => {
            format!("{text}\n* you are {name} ({here} here); /help tells the commands")
        }
        Event::Joined { name, here } => format!("* {name} joined ({here} here)"),
        Event::Left { name } => format!("* {name} left"),
        Event::Renamed { old, new } => format!("* {old} is now {new}"),
        Event::Notice(text) | Event::Error(text) => format!("* {text}"),
    };
    Some(line.into_bytes())
}

fn json(told: &Event<'_>, at: &str) -> Vec<u8> {
    let object = match *told {
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
        Event::Welcome { text, name, here } => Object::of("notice")
            .with("text", text.as_bytes())
            .with("name", name.as_bytes())
            .with_bare("here", &here.to_string()),
        Event::Notice(text) => Object::of("notice").with("text", text.as_bytes()),
        Event::Error(text) => Object::of("error").with("text", text.as_bytes()),
    };
    object.with("at", at.as_bytes()).end()
}

/// A JSON object, member by member.
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

    /// Adds a number or a truth.
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

/// Appends text as it stands in a JSON string; what is not UTF-8, which only a raw room lets pass, becomes
/// U+FFFD.
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().as_bytes();
        for run in valid.chunk_by(|&one, &next| !is_to_escape(one) && !is_to_escape(next)) {
            match run {
                [byte @ (b'"' | b'\\')] => out.extend_from_slice(&[b'\\', *byte]),
                b"\t" => out.extend_from_slice(b"\\t"),
                [control @ ..b' '] => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
                run => out.extend_from_slice(run),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{FFFD}".as_bytes());
        }
    }
}

/// Whether a JSON string cannot hold the byte as it is; controls other than TAB only come in raw rooms.
const fn is_to_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "2026-01-02T03:04:05.678Z";

    fn shown(view: View, told: Event<'_>) -> String {
        view.line(&told, AT)
            .map_or("nothing".into(), |line| String::from_utf8(line.into_owned()).expect("UTF-8"))
    }

    #[test]
    fn each_view_tells_each_thing_in_its_own_form() {
        let message = Event::Message { from: "alice", text: b"hi", is_action: false };
        let action = Event::Message { from: "alice", text: b"waves", is_action: true };
        let private = |is_echo| Event::Private { from: "alice", to: "bob", text: b"psst", is_echo };
        let welcome = Event::Welcome { text: "Hello.", name: "anon7", here: 3 };
        let at = r#""at":"2026-01-02T03:04:05.678Z"}"#;
        for (told, plain, named, json) in [
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
                "Hello.\n* you are anon7 (3 here); /help tells the commands",
                r#"{"type":"notice","text":"Hello.","name":"anon7","here":3,"#,
            ),
            (Event::Notice("well"), "* well", "* well", r#"{"type":"notice","text":"well","#),
            (Event::Error("no"), "* no", "* no", r#"{"type":"error","text":"no","#),
        ] {
            assert_eq!(shown(View::Plain, told), plain);
            assert_eq!(shown(View::Named, told), named);
            assert_eq!(shown(View::Json, told), format!("{json}{at}"));
        }
    }

    #[test]
    fn a_json_string_holds_whatever_was_said() {
        let text = b"say \"\\x1B\"\tnow\x01 \xC3\xA4 \xFF";
        let line = shown(View::Json, Event::Message { from: "a", text, is_action: false });
        assert!(line.contains(r#""text":"say \"\\x1B\"\tnow\u0001 ä �""#), "{line}");
    }

    #[test]
    fn no_message_takes_more_than_its_view_says() {
        let name = "\u{10400}".repeat(24);
        for raw in [true, false] {
            for byte in 0..=255 {
                let said = vec![byte; 100];
                let text = if raw { Cow::Borrowed(&said[..]) } else { escape::escape(&said) };
                for view in View::ALL {
                    let told = Event::Message { from: &name, text: &text, is_action: true };
                    let line = view.line(&told, AT).expect("a message is told in each view");
                    let sent = said.len() + "/me ".len();
                    let most = sent * view.expansion(raw) + view.around();
                    assert!(line.len() < most, "{view:?}, {byte}: {} bytes", line.len());
                }
            }
        }
    }
}

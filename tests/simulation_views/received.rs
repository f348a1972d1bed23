//! Naive parsers, one for each view: what a line means, and whether it is a line of that view at all.

use hubbub::wire::other_protocol::OtherProtocol;
use hubbub::wire::view::View;
use serde_json::{Map, Value};
use std::fmt;

/// The time of day of the server.
const AT: &str = "2026-01-02T03:04:05.678Z";

/// The text of a message, as a view shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<u8>);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

/// What everyone receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Public {
    Message {
        from: String,
        text: Text,
        is_action: bool,
    },
    Joined {
        name: String,
        here: usize,
    },
    Left {
        name: String,
    },
    Renamed {
        old: String,
        new: String,
    },
    /// So many other notices found no space; the json view also shows how many members there are.
    Missed {
        count: usize,
        here: Option<usize>,
    },
}

/// The meaning of a line for the client that receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    /// The welcome line, the first that a new client receives.
    Welcome(String),
    /// The client's name and those of the others: a line of its own in the named view, a part of the welcome in the
    /// json view.
    Name {
        name: String,
        here: usize,
        others: Vec<String>,
    },
    /// So many earlier lines follow.
    HistoryBegins {
        lines: usize,
    },
    HistoryEnds,
    Public(Public),
    /// The named view leaves out the client's own name.
    Private {
        from: String,
        to: String,
        text: Text,
        is_echo: bool,
    },
    /// A reply or an error, if the view distinguishes them.
    Reply {
        text: String,
        is_error: Option<bool>,
    },
}

impl Public {
    /// Returns the event as a view shows it, if it does.
    pub(crate) fn shown_in(&self, view: View) -> Option<Self> {
        match (view, self) {
            (View::Plain, Self::Message { text, is_action, .. }) => {
                let before = if *is_action { &b"/me "[..] } else { b"" };
                Some(message("", [before, &text.0].concat(), false))
            }
            (View::Plain, _) => None,
            (View::Named, Self::Message { from, text, is_action }) => {
                let before = if *is_action { &b"* "[..] } else { b"" };
                Some(message(from, [before, &as_named(text).0].concat(), false))
            }
            (View::Json, Self::Message { from, text, is_action }) => {
                Some(message(from, as_json(text).0, *is_action))
            }
            (View::Named, Self::Missed { count, .. }) => Some(Self::Missed { count: *count, here: None }),
            (View::Named | View::Json, shown) => Some(shown.clone()),
        }
    }
}

impl Received {
    /// Returns a private message as a view shows it: only json has both names.
    pub(crate) fn private(view: View, from: &str, to: &str, text: &Text, is_echo: bool) -> Self {
        let (from, to, text) = match (view, is_echo) {
            (View::Json, _) => (from, to, as_json(text)),
            (_, true) => ("", to, as_named(text)),
            (_, false) => (from, "", as_named(text)),
        };
        Self::Private { from: from.to_owned(), to: to.to_owned(), text, is_echo }
    }

    /// Returns a reply as a view shows it.
    pub(crate) fn answer(view: View, text: String) -> Self {
        Self::Reply { text, is_error: (view == View::Json).then_some(false) }
    }
}

/// The named view shows the characters at which readers split lines. In raw rooms nobody sends them here.
fn as_named(text: &Text) -> Text {
    match std::str::from_utf8(&text.0) {
        Ok(text) => Text(text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").into_bytes()),
        Err(_) => text.clone(),
    }
}

/// The json view has text only.
fn as_json(text: &Text) -> Text {
    Text(String::from_utf8_lossy(&text.0).into_owned().into_bytes())
}

fn message(from: &str, text: Vec<u8>, is_action: bool) -> Public {
    Public::Message { from: from.to_owned(), text: Text(text), is_action }
}

/// Whether a line is of the head of an HTTP response. No client sends such a line.
pub(crate) fn is_http_head(line: &[u8]) -> bool {
    let head = hubbub::wire::http::bad_request(&OtherProtocol::Http.refusal());
    let mut head = head.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\r\n"));
    head.any(|of_head| of_head == line)
}

/// Parses a line without its line end, which may be the welcome.
pub(crate) fn read(view: View, line: &[u8], may_be_welcome: bool) -> Result<Received, String> {
    match view {
        View::Json if line == format!("* {}", OtherProtocol::Http.refusal()).as_bytes() => {
            Ok(Received::Reply { text: text(&line[b"* ".len()..])?, is_error: None })
        }
        View::Json => read_json(line),
        _ if may_be_welcome && line == super::WELCOME.as_bytes() => Ok(Received::Welcome(text(line)?)),
        View::Plain if is_from_server(line) => {
            Ok(Received::Reply { text: text(&line[b"* ".len()..])?, is_error: None })
        }
        View::Plain => Ok(Received::Public(message("", line.to_vec(), false))),
        View::Named => read_named(line),
    }
}

/// Whether a line of the plain view is from the server: all others are from clients.
fn is_from_server(line: &[u8]) -> bool {
    let beginnings =
        ["line too long: nothing", "disconnected: nothing", "the room is full", "too many conn", "this is a"];
    line.strip_prefix(b"* ")
        .is_some_and(|rest| beginnings.iter().any(|text| rest.starts_with(text.as_bytes())))
}

fn text(line: &[u8]) -> Result<String, String> {
    String::from_utf8(line.to_vec()).map_err(|_| "not UTF-8".to_owned())
}

fn read_named(line: &[u8]) -> Result<Received, String> {
    if let Some(rest) = line.strip_prefix(b"* ") {
        return read_notice(rest);
    }
    let rest = line.strip_prefix(b"<").ok_or("neither a notice nor a message")?;
    let (from, sent) = split_at(rest, b"> ").ok_or("a message without a name")?;
    Ok(Received::Public(message(&name(from)?, sent.to_vec(), false)))
}

fn split_at<'a>(line: &'a [u8], between: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.windows(between.len()).position(|bytes| bytes == between)?;
    Some((&line[..at], &line[at + between.len()..]))
}

fn name(name: &[u8]) -> Result<String, String> {
    let name = text(name)?;
    let misleads = |letter: char| letter.is_whitespace() || letter.is_control() || "<>*:".contains(letter);
    if name.is_empty() || name.contains(misleads) { Err(format!("{name:?} is not a name")) } else { Ok(name) }
}

fn read_notice(line: &[u8]) -> Result<Received, String> {
    for (before, is_echo) in [(&b"private from "[..], false), (b"private to ", true)] {
        let Some(rest) = line.strip_prefix(before) else { continue };
        let (other, sent) = split_at(rest, b": ").ok_or("a private message without a name")?;
        let (other, none) = (name(other)?, String::new());
        let (from, to) = if is_echo { (none, other) } else { (other, none) };
        return Ok(Received::Private { from, to, text: Text(sent.to_vec()), is_echo });
    }
    let line = text(line)?;
    if let Some(greeting) = line.strip_suffix("); /help lists the commands") {
        return read_name(greeting);
    }
    if let Some(count) = line.strip_prefix("the last ") {
        let number = count.strip_suffix(" lines:").or(count.strip_suffix(" line:").filter(|&one| one == "1"));
        let lines = number.and_then(|number| number.parse().ok()).ok_or("no number of lines")?;
        return Ok(Received::HistoryBegins { lines });
    }
    let words = line.split(' ').collect::<Vec<_>>();
    let one = |word: &str| name(word.as_bytes());
    Ok(match words[..] {
        [who, "left"] => Received::Public(Public::Left { name: one(who)? }),
        [old, "is", "now", new] => Received::Public(Public::Renamed { old: one(old)?, new: one(new)? }),
        [who, "joined", count, "here)"] => {
            Received::Public(Public::Joined { name: one(who)?, here: number(count)? })
        }
        ["end", "of", "history"] => Received::HistoryEnds,
        _ => match missed(&line) {
            Some(count) => Received::Public(Public::Missed { count, here: None }),
            None => Received::Reply { text: line, is_error: None },
        },
    })
}

/// Reads `you are anon4 (4 here: anon1, bob and 1 more`.
fn read_name(greeting: &str) -> Result<Received, String> {
    let (who, list) =
        greeting.strip_prefix("you are ").and_then(|rest| rest.split_once(' ')).ok_or("no name")?;
    let (count, list) = list.split_once(" here").ok_or("no number of members")?;
    let (here, list) = (number(count)?, list.strip_prefix(": ").unwrap_or(list));
    let (list, more) = match list.rsplit_once(" and ") {
        Some((list, more)) => (list, more.strip_suffix(" more").ok_or("no number of other members")?),
        None => (list, "0"),
    };
    let others =
        list.split_terminator(", ").map(|other| name(other.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    if more.parse() == Ok(here - 1 - others.len()) {
        Ok(Received::Name { name: name(who.as_bytes())?, here, others })
    } else {
        Err(format!("{} of {here} members and {more} more", others.len()))
    }
}

/// Returns how many notices found no space, if the line is such a notice.
fn missed(line: &str) -> Option<usize> {
    let people = line.strip_suffix(" came, left or changed names; /who lists them")?;
    let count = people.strip_suffix(" people").or(people.strip_suffix(" person").filter(|&one| one == "1"));
    count?.parse().ok()
}

/// Returns the number in `(3`.
fn number(count: &str) -> Result<usize, String> {
    let digits = count.strip_prefix('(').and_then(|digits| digits.parse().ok());
    digits.ok_or_else(|| format!("{count:?} is not a number"))
}

/// The members of an object, removed one by one, so that no unknown one is left.
struct Members(Map<String, Value>);

impl Members {
    fn text(&mut self, name: &str) -> Result<String, String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("no text {name:?}")),
        }
    }

    fn number(&mut self, name: &str) -> Result<usize, String> {
        let number = self.0.remove(name).and_then(|value| value.as_u64());
        number.map(|number| number as usize).ok_or_else(|| format!("no number {name:?}"))
    }

    /// Returns a boolean member, which is there only if it is true.
    fn is(&mut self, name: &str) -> Result<bool, String> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(Value::Bool(true)) => Ok(true),
            Some(_) => Err(format!("{name:?} is not true")),
        }
    }
}

fn read_json(line: &[u8]) -> Result<Received, String> {
    let Ok(Value::Object(members)) = serde_json::from_slice(line) else {
        return Err("not an object".to_owned());
    };
    let mut members = Members(members);
    if members.text("at")? != AT {
        return Err("another time of day".to_owned());
    }
    let received = read_members(&mut members)?;
    if members.0.is_empty() { Ok(received) } else { Err(format!("unknown members {:?}", members.0.keys())) }
}

fn read_members(members: &mut Members) -> Result<Received, String> {
    Ok(match members.text("type")?.as_str() {
        "message" => {
            let (from, text) = (members.text("from")?, members.text("text")?);
            Received::Public(message(&from, text.into_bytes(), members.is("action")?))
        }
        "join" => {
            Received::Public(Public::Joined { name: members.text("from")?, here: members.number("here")? })
        }
        "leave" => Received::Public(Public::Left { name: members.text("from")? }),
        "private" => Received::Private {
            from: members.text("from")?,
            to: members.text("to")?,
            text: Text(members.text("text")?.into_bytes()),
            is_echo: members.is("echo")?,
        },
        "error" => Received::Reply { text: members.text("text")?, is_error: Some(true) },
        "notice" => read_json_notice(members)?,
        "history" if members.is("end")? => Received::HistoryEnds,
        "history" => Received::HistoryBegins { lines: members.number("lines")? },
        kind => return Err(format!("unknown type {kind:?}")),
    })
}

fn read_json_notice(members: &mut Members) -> Result<Received, String> {
    let text = members.text("text")?;
    if let Some(count) = missed(&text) {
        return Ok(Received::Public(Public::Missed { count, here: Some(members.number("here")?) }));
    }
    if members.0.contains_key("here") {
        let others = match members.0.remove("names") {
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return Err("no array of names".to_owned()),
        };
        let name = Received::Name { name: members.text("name")?, here: members.number("here")?, others };
        return if text == super::WELCOME { Ok(name) } else { Err("not the welcome".to_owned()) };
    }
    if members.0.contains_key("from") {
        let (old, new) = (members.text("from")?, members.text("name")?);
        let is_text_right = text == format!("{old} is now {new}");
        let renamed = Received::Public(Public::Renamed { old, new });
        return if is_text_right { Ok(renamed) } else { Err("another text than its names".to_owned()) };
    }
    Ok(Received::Reply { text, is_error: Some(false) })
}

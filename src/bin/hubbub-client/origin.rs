//! Who a received line is from: another client or the server.

use crate::style::sender_name;
use hubbub::chat::text::{PRIVATE_FROM, YOU_ARE, is_command_error, is_error, is_refusal};
use memchr::memmem;
use std::time::{Duration, Instant};

/// A server greets a new client within this time, even over a slow link.
pub(crate) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// The greeting of a view with names is the first line, or the second after a welcome line. A client in the plain
/// view, which has no greeting, could send the same text later.
const GREETING_LINES: usize = 2;

/// Who a line is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Another client.
    Client,
    /// The server.
    Server,
    /// The server, and it is an error: what the client sent was refused, or the client is disconnected.
    Error,
}

/// The view of the connection, as far as the received lines show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    /// The plain view, or one with names whose greeting has not come.
    Plain,
    Named,
    Json,
}

/// Tells who the lines of one connection are from.
#[derive(Debug)]
pub(crate) struct Origins {
    view: View,
    lines: usize,
    since: Instant,
}

impl Origins {
    pub(crate) fn new() -> Self {
        Self { view: View::Plain, lines: 0, since: Instant::now() }
    }

    /// Returns whether the server has sent the client its name. It does so only in views with commands.
    pub(crate) fn has_name(&self) -> bool {
        self.view != View::Plain
    }

    /// Returns who the next line is from.
    pub(crate) fn next(&mut self, line: &[u8]) -> Origin {
        self.lines += 1;
        if self.view == View::Plain && self.lines <= GREETING_LINES {
            self.view = greeting_view(line);
        }
        match self.view {
            View::Plain => self.in_plain_view(line),
            View::Named => in_named_view(line),
            View::Json => in_json_view(line),
        }
    }

    fn in_plain_view(&self, line: &[u8]) -> Origin {
        match notice(line) {
            Some(text) if is_error(&text) => Origin::Error,
            // The server refuses a client before anything else.
            Some(text) if self.lines == 1 && is_refusal(&text) => Origin::Error,
            // The welcome line may have any text. It is the first line, and comes at once.
            _ if self.lines == 1 && self.since.elapsed() < GREETING_TIMEOUT => match sender_name(line) {
                Some(_) => Origin::Client,
                None => Origin::Server,
            },
            _ => Origin::Client,
        }
    }
}

fn in_named_view(line: &[u8]) -> Origin {
    match notice(line) {
        Some(text) if is_error(&text) || is_command_error(&text) => Origin::Error,
        Some(text) if text.starts_with(PRIVATE_FROM) => Origin::Client,
        None if line.starts_with(b"<") => Origin::Client,
        _ => Origin::Server,
    }
}

fn in_json_view(line: &[u8]) -> Origin {
    match json_type(line) {
        Some(b"message") => Origin::Client,
        Some(b"private") if memmem::find(line, br#","echo":true"#).is_none() => Origin::Client,
        Some(b"error") => Origin::Error,
        _ => Origin::Server,
    }
}

/// Returns the view that `line` shows as a greeting.
fn greeting_view(line: &[u8]) -> View {
    let is_notice = json_type(line) == Some(b"notice");
    match notice(line) {
        Some(text) if text.starts_with(YOU_ARE) => View::Named,
        None if is_notice && memmem::find(line, br#","name":""#).is_some() => View::Json,
        _ => View::Plain,
    }
}

/// Returns the text after `* `.
fn notice(line: &[u8]) -> Option<String> {
    line.strip_prefix(b"* ").map(|text| String::from_utf8_lossy(text).trim_end_matches('\r').to_owned())
}

/// Returns the type of an object of the json view.
fn json_type(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(br#"{"type":""#)?.split(|&byte| byte == b'"').next()
}

/// Returns what the server itself says in `line`, in any view.
pub(crate) fn server_text(line: &[u8]) -> Option<String> {
    if let Some(text) = notice(line) {
        return Some(text);
    }
    let starts = [br#"{"type":"notice","text":""#.as_slice(), br#"{"type":"error","text":""#];
    let text = starts.iter().find_map(|start| line.strip_prefix(*start))?;
    Some(unescaped(&String::from_utf8_lossy(text)))
}

/// Returns the string of a JSON text, up to its closing quote. The server's own texts escape only quotes.
fn unescaped(text: &str) -> String {
    let mut string = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next() {
            Some('\\') => string.extend(letters.next()),
            Some('"') | None => return string,
            Some(letter) => string.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Origin::{Client, Error, Server};
    use hubbub::chat::event::Event;

    /// Returns who the lines of `events` are from, if the server shows them in `view`. An event may have no line.
    fn origins(view: hubbub::wire::view::View, events: &[Event<'_>]) -> Vec<Vec<Origin>> {
        let mut origins = Origins::new();
        let mut of_event = |event| {
            let bytes = view.render(event, "2026-01-02T03:04:05.678Z", false);
            let bytes = bytes.map(std::borrow::Cow::into_owned);
            bytes
                .iter()
                .flat_map(|bytes| bytes.split(|byte| *byte == b'\n'))
                .map(|line| origins.next(line))
                .collect()
        };
        events.iter().map(&mut of_event).collect()
    }

    #[test]
    fn in_each_view_the_client_knows_what_the_server_says_and_what_others_say() {
        use hubbub::wire::view::View;
        let private = |is_echo| Event::Private { from: "bob", to: "anon1", text: b"psst", is_echo };
        let message = |text, is_action| Event::Message { from: "bob", text, is_action };
        let cases = [
            (Event::Welcome { text: "Welcome.", name: "anon1", here: 2, others: "bob", more: 0 }, Server),
            (Event::HistoryBegins { lines: 2 }, Server),
            (Event::HistoryEnds, Server),
            (message(b"hi", false), Client),
            (message(b"waves", true), Client),
            (message(b"* you are bob now", false), Client),
            (message(br#"{"type":"notice","text":"hi"}"#, false), Client),
            (Event::Joined { name: "bob", here: 2 }, Server),
            (Event::Left { name: "bob" }, Server),
            (Event::Renamed { old: "bob", new: "eve" }, Server),
            (private(false), Client),
            (private(true), Server),
            (Event::Missed { count: 2, here: 2 }, Server),
            (Event::Notice("2 here: anon1, bob"), Server),
            (Event::Error("line too long: nothing was sent; the limit is 9 bytes"), Error),
            (Event::Error("disconnected: nothing sent for 2 s"), Error),
        ];
        let events = cases.map(|(event, _)| event);
        for view in View::ALL {
            for ((event, expected), lines) in cases.iter().zip(origins(view, &events)) {
                if view == View::Plain && matches!(event, Event::Notice(_)) {
                    // Without commands there are no replies.
                    continue;
                }
                assert!(lines.iter().all(|origin| origin == expected), "{view:?}, {event:?}: {lines:?}");
            }
        }
    }

    #[test]
    fn without_a_welcome_line_the_first_line_is_still_a_message_if_it_comes_late_or_has_a_name() {
        let mut origins = Origins::new();
        assert_eq!(origins.next(b"<bob> hi"), Client);
        let Some(earlier) = Instant::now().checked_sub(GREETING_TIMEOUT) else { return };
        let mut origins = Origins { since: earlier, ..Origins::new() };
        assert_eq!(origins.next(b"hi"), Client);
    }

    #[test]
    fn a_greeting_counts_only_at_the_start_of_a_connection() {
        let mut origins = Origins::new();
        for _ in 0..GREETING_LINES {
            origins.next(b"hi");
        }
        assert_eq!((origins.next(b"* you are bob (2 here)"), origins.has_name()), (Client, false));
    }
}

//! Received bytes, cut into lines.

use crate::style::Style;
use hubbub::chat::text::{TRY_AGAIN, YOU_ARE};
use hubbub::util::buffer::Buffer;
use hubbub::wire::line_decoder::{Decoded, LineDecoder, LineRules};
use memchr::memmem;

/// Longest line that is shown: 500 times a server's default limit, with each byte escaped as `\xNN`.
/// A line takes about ten times this much memory at most.
const MAX_LINE: usize = 16 * 1024 * 1024;
/// The note for a longer line.
pub(crate) const TOO_LONG: &str = "a line longer than 16 MiB was not shown";
/// Raw: a line ends at LF alone and nothing in it is decoded, because only servers decode telnet.
const RULES: LineRules = LineRules { max_line: MAX_LINE, raw: true };

/// Cuts the bytes of one connection into lines and styles them.
#[derive(Debug)]
pub(crate) struct LineReceiver {
    decoder: LineDecoder,
    style: Style,
    /// How many more lines to show; `None` = no limit.
    remaining: Option<usize>,
    first_line: FirstLine,
    /// Whether the server has sent the client its name. It does so only in views with commands.
    has_name: bool,
    /// Lines longer than [`MAX_LINE`] that were not reported yet.
    too_long: usize,
}

/// What the first line of a connection was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstLine {
    Pending,
    /// A refusal of a hubbub server, and no line followed.
    Refusal,
    /// Any other line, or more than one.
    Other,
}

impl LineReceiver {
    /// Shows lines in `style`, and at most `remaining` of them.
    pub(crate) fn new(style: Style, remaining: Option<usize>) -> Self {
        Self {
            decoder: LineDecoder::of_server(),
            style,
            remaining,
            first_line: FirstLine::Pending,
            has_name: false,
            too_long: 0,
        }
    }

    /// Returns how many more lines to show; `None` = no limit.
    pub(crate) const fn remaining(&self) -> Option<usize> {
        self.remaining
    }

    /// Returns whether the server refused the client: then it has read nothing of what was sent.
    pub(crate) const fn was_refused(&self) -> bool {
        matches!(self.first_line, FirstLine::Refusal)
    }

    /// Returns whether the server has sent the client its name. Only then is `/quit` a command.
    pub(crate) const fn has_name(&self) -> bool {
        self.has_name
    }

    /// Returns how many lines were too long to show since the last call.
    pub(crate) const fn take_too_long(&mut self) -> usize {
        std::mem::replace(&mut self.too_long, 0)
    }

    /// Appends each line that `bytes` complete to `output`.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], output: &mut Vec<u8>) {
        let mut line = Buffer::default();
        while let Some(decoded) = self.decoder.next(&RULES, &mut bytes, &mut line) {
            self.first_line = self.first_line.after(&decoded);
            match decoded {
                Decoded::Line(line) => {
                    self.has_name |= tells_name(line);
                    show(line, self.style, &mut self.remaining, output);
                }
                Decoded::TooLong => self.too_long += 1,
                // Raw rules yield neither.
                Decoded::TelnetReply(_) | Decoded::OtherProtocol(_) => {}
            }
        }
    }

    /// Appends the unfinished last line at the end of the connection.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>) {
        let mut line = Buffer::default();
        if let Some(decoded) = self.decoder.finish(&RULES, &mut line) {
            self.first_line = self.first_line.after(&decoded);
            if let Decoded::Line(line) = decoded {
                show(line, self.style, &mut self.remaining, output);
            }
        }
    }
}

impl FirstLine {
    fn after(self, decoded: &Decoded<'_>) -> Self {
        match (self, decoded) {
            (Self::Pending, Decoded::Line(line)) if is_refusal(line) => Self::Refusal,
            _ => Self::Other,
        }
    }
}

/// Returns whether `line` is a refusal of a hubbub server, in any view. Its ending decides: other notices
/// may answer what the client sent.
fn is_refusal(line: &[u8]) -> bool {
    (line.starts_with(b"* ") && line.ends_with(TRY_AGAIN.as_bytes()))
        || (line.starts_with(br#"{"type":"error","#) && memmem::find(line, TRY_AGAIN.as_bytes()).is_some())
}

/// Returns whether `line` tells a new client its name, in any view that has names.
fn tells_name(line: &[u8]) -> bool {
    line.strip_prefix(b"* ").is_some_and(|notice| notice.starts_with(YOU_ARE.as_bytes()))
        || (line.starts_with(br#"{"type":"notice","#) && memmem::find(line, br#","name":""#).is_some())
}

fn show(line: &[u8], style: Style, remaining: &mut Option<usize>, output: &mut Vec<u8>) {
    match remaining {
        Some(0) => {}
        Some(left) => {
            *left -= 1;
            style.write(line, output);
        }
        None => style.write(line, output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hubbub::chat::event::Event;
    use hubbub::wire::view::View;

    const PLAIN: Style = Style { raw: false, timestamps: false, colour: false };

    #[test]
    fn lines_do_not_depend_on_how_the_bytes_are_cut() {
        for size in 1..9 {
            let mut receiver = LineReceiver::new(PLAIN, None);
            let mut output = Vec::new();
            for bytes in "one\n\ntwo é\r\nGET / HTTP/1.1\nrest".as_bytes().chunks(size) {
                receiver.receive(bytes, &mut output);
            }
            receiver.finish(&mut output);
            let output = String::from_utf8(output).unwrap();
            assert_eq!(output, "one\n\ntwo é\nGET / HTTP/1.1\nrest\n", "in pieces of {size}");
        }
    }

    #[test]
    fn no_more_lines_are_shown_than_remain() {
        let mut receiver = LineReceiver::new(PLAIN, Some(2));
        let mut output = Vec::new();
        receiver.receive(b"one\ntw", &mut output);
        assert_eq!(receiver.remaining(), Some(1));
        receiver.receive(b"o\nthree\nfour", &mut output);
        receiver.finish(&mut output);
        assert_eq!((&output[..], receiver.remaining()), (&b"one\ntwo\n"[..], Some(0)));
    }

    #[test]
    fn the_client_recognises_what_the_server_writes() {
        let refusal = format!("the room is full (3 clients){TRY_AGAIN}");
        for view in View::ALL {
            let receive = |event: Event<'_>| {
                let mut receiver = LineReceiver::new(PLAIN, None);
                let line = view.render(&event, "2026-01-02T03:04:05.678Z").unwrap().into_owned();
                receiver.receive(&[&line[..], b"\n"].concat(), &mut Vec::new());
                (receiver.was_refused(), receiver.has_name())
            };
            let has_names = view != View::Plain;
            assert_eq!(receive(Event::Error(&refusal)), (true, false), "{view:?}");
            assert_eq!(
                receive(Event::Welcome { text: "Hello.", name: "anon1", here: 1 }),
                (false, has_names),
                "{view:?}"
            );
            assert_eq!(receive(Event::Notice("you were away")), (false, false), "{view:?}");
        }
    }
}

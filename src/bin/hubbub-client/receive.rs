//! Received bytes, cut into lines and shown.

use crate::completion::Names;
use crate::nick::Nick;
use crate::origin::{Origin, Origins, server_text};
use crate::password::{Meaning, Password};
use crate::style::Style;
use hubbub::chat::text;
use hubbub::cli::secret::Secret;
use hubbub::util::buffer::Buffer;
use hubbub::wire::line_decoder::{Decoded, LineDecoder, LineRules};
use std::sync::Arc;

/// Longest line that is shown: 500 times a server's default limit, with each byte escaped as `\xNN`.
/// A line takes about ten times this much memory at most.
const MAX_LINE: usize = 16 * 1024 * 1024;
/// The note for a longer line.
pub(crate) const TOO_LONG: &str = "a line longer than 16 MiB was not shown";
/// Raw: a line ends at LF alone and nothing in it is decoded, because only servers decode telnet.
const RULES: LineRules = LineRules { max_line: MAX_LINE, raw: true };
/// How an alert of TLS begins: its type and the major version (RFC 8446, 5.1).
const TLS_ALERT: &[u8] = &[21, 3];
/// The error for a server that answers with such an alert.
pub(crate) const EXPECTS_TLS: &str = "the server expects TLS on this port: add --tls";

/// Cuts the bytes of one connection into lines and shows them.
#[derive(Debug)]
pub(crate) struct LineReceiver {
    decoder: LineDecoder,
    lines: Lines,
    first_line: FirstLine,
    /// Lines longer than [`MAX_LINE`] that were not reported yet.
    too_long: usize,
}

/// How lines are shown, and what they say.
#[derive(Debug)]
struct Lines {
    style: Style,
    /// Shows only what other clients said.
    quiet: bool,
    /// Learns the names in the lines, if there is a user who could type them.
    names: Option<Arc<Names>>,
    /// How many more lines to show; `None` = no limit.
    remaining: Option<usize>,
    origins: Origins,
    /// The request for a name, if the client is to have one.
    nick: Option<Nick>,
    password: Password,
    /// Whether there was an error of the server.
    has_errors: bool,
    /// Errors of the server that were neither shown nor reported.
    errors: Vec<String>,
}

/// What the first line of a connection was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstLine {
    Pending,
    /// A refusal of a hubbub server, and no line followed.
    Refusal,
    /// An alert of TLS.
    TlsAlert,
    /// Any other line, or more than one.
    Other,
}

impl LineReceiver {
    /// Shows lines in `style`, and at most `remaining` of them; asks for the name of `nick`, if there is one, and sends
    /// `password` if the server asks for it.
    pub(crate) fn new(
        style: Style,
        remaining: Option<usize>,
        nick: Option<Nick>,
        password: Option<Secret>,
    ) -> Self {
        let lines = Lines {
            style,
            quiet: false,
            names: None,
            remaining,
            origins: Origins::new(),
            nick,
            password: Password::new(password),
            has_errors: false,
            errors: Vec::new(),
        };
        Self { decoder: LineDecoder::of_server(), lines, first_line: FirstLine::Pending, too_long: 0 }
    }

    /// Shows only what other clients said, if `quiet` is set. Errors of the server are kept for
    /// [`take_errors`](Self::take_errors).
    pub(crate) const fn quiet(mut self, quiet: bool) -> Self {
        self.lines.quiet = quiet;
        self
    }

    /// Lets `names` learn the names in the received lines.
    pub(crate) fn with_names(mut self, names: Arc<Names>) -> Self {
        self.lines.names = Some(names);
        self
    }

    /// Returns how many more lines to show; `None` = no limit.
    pub(crate) const fn remaining(&self) -> Option<usize> {
        self.lines.remaining
    }

    /// Returns whether the server refused the client: then it has read nothing of what was sent.
    pub(crate) const fn was_refused(&self) -> bool {
        matches!(self.first_line, FirstLine::Refusal)
    }

    /// Returns whether the server has sent the client its name. Only then is `/quit` a command.
    pub(crate) fn has_name(&self) -> bool {
        self.lines.origins.has_name()
    }

    /// Returns the request for a name.
    pub(crate) const fn nick(&self) -> Option<&Nick> {
        self.lines.nick.as_ref()
    }

    /// Returns the request for a name, to send it and to check its time.
    pub(crate) const fn nick_mut(&mut self) -> Option<&mut Nick> {
        self.lines.nick.as_mut()
    }

    /// Returns whether the server has answered with an alert of TLS.
    pub(crate) const fn expects_tls(&self) -> bool {
        matches!(self.first_line, FirstLine::TlsAlert)
    }

    /// Returns the password on this connection.
    pub(crate) const fn password(&self) -> &Password {
        &self.lines.password
    }

    /// Returns the password on this connection, to send it and to check its time.
    pub(crate) const fn password_mut(&mut self) -> &mut Password {
        &mut self.lines.password
    }

    /// Returns whether the server has refused something that the client sent, or disconnects the client.
    pub(crate) const fn has_errors(&self) -> bool {
        self.lines.has_errors
    }

    /// Returns the errors of the server since the last call that were not shown.
    pub(crate) fn take_errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines.errors)
    }

    /// Returns how many lines were too long to show since the last call.
    pub(crate) const fn take_too_long(&mut self) -> usize {
        std::mem::replace(&mut self.too_long, 0)
    }

    /// Appends each line that `bytes` complete to `output`.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], output: &mut Vec<u8>) {
        let mut line = Buffer::default();
        while let Some(decoded) = self.decoder.next(&RULES, &mut bytes, &mut line) {
            match decoded {
                Decoded::Line(line) => self.first_line = self.lines.receive(line, self.first_line, output),
                Decoded::TooLong => (self.first_line, self.too_long) = (FirstLine::Other, self.too_long + 1),
                // Raw rules without a flush yield none of these.
                Decoded::Discarded | Decoded::TelnetReply(_) | Decoded::OtherProtocol(_) => {}
            }
        }
    }

    /// Appends the unfinished last line at the end of the connection.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>) {
        let mut line = Buffer::default();
        if let Some(Decoded::Line(line)) = self.decoder.finish(&RULES, &mut line) {
            self.first_line = self.lines.receive(line, self.first_line, output);
        }
    }
}

impl Lines {
    /// Shows a line; returns what the first line of the connection was after it.
    fn receive(&mut self, line: &[u8], first_line: FirstLine, output: &mut Vec<u8>) -> FirstLine {
        let first_line = first_line.after(line);
        if first_line == FirstLine::TlsAlert {
            return first_line;
        }
        match self.password.receive(line) {
            // What follows is read as if it came first.
            Meaning::Asks => {
                if self.password.is_missing() && !self.quiet {
                    self.show(line, output);
                }
                return FirstLine::Pending;
            }
            Meaning::Follows => {
                self.origins = Origins::new();
                self.nick.iter_mut().for_each(Nick::restart);
            }
            Meaning::None => {}
        }
        let origin = self.origins.next(line);
        let has_name = self.origins.has_name();
        if let Some(names) = &self.names {
            names.observe(line);
        }
        // What became of the request, the request itself tells.
        let is_reply = self.nick.as_mut().is_some_and(|nick| nick.receive(line, has_name));
        if origin == Origin::Error && !is_reply {
            self.has_errors = true;
            self.errors.extend(self.quiet.then(|| server_text(line)).flatten());
        }
        if !self.quiet || origin == Origin::Client {
            self.show(line, output);
        }
        first_line
    }

    fn show(&mut self, line: &[u8], output: &mut Vec<u8>) {
        match &mut self.remaining {
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        self.style.write(line, output);
    }
}

impl FirstLine {
    fn after(self, line: &[u8]) -> Self {
        match self {
            Self::Pending if is_refusal(line) => Self::Refusal,
            Self::Pending if line.starts_with(TLS_ALERT) => Self::TlsAlert,
            // The alert itself may contain a line end.
            Self::TlsAlert => self,
            _ => Self::Other,
        }
    }
}

/// Returns whether `line` is a refusal of a hubbub server, in any view. Other notices may answer what the client sent.
fn is_refusal(line: &[u8]) -> bool {
    server_text(line).is_some_and(|text| text::is_refusal(&text))
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
            let mut receiver = LineReceiver::new(PLAIN, None, None, None);
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
        let mut receiver = LineReceiver::new(PLAIN, Some(2), None, None);
        let mut output = Vec::new();
        receiver.receive(b"one\ntw", &mut output);
        assert_eq!(receiver.remaining(), Some(1));
        receiver.receive(b"o\nthree\nfour", &mut output);
        receiver.finish(&mut output);
        assert_eq!((&output[..], receiver.remaining()), (&b"one\ntwo\n"[..], Some(0)));
    }

    #[test]
    fn the_client_recognises_what_the_server_writes() {
        let refusal = format!("the room is full (3 clients){}", text::TRY_AGAIN);
        for view in View::ALL {
            let receive = |event: Event<'_>| {
                let mut receiver = LineReceiver::new(PLAIN, None, None, None);
                let line = view.render(&event, "2026-01-02T03:04:05.678Z", false).unwrap().into_owned();
                receiver.receive(&[&line[..], b"\n"].concat(), &mut Vec::new());
                (receiver.was_refused(), receiver.has_name())
            };
            let has_names = view != View::Plain;
            assert_eq!(receive(Event::Error(&refusal)), (true, false), "{view:?}");
            assert_eq!(
                receive(Event::Welcome { text: "Hello.", name: "anon1", here: 1, others: "", more: 0 }),
                (false, has_names),
                "{view:?}"
            );
            assert_eq!(receive(Event::Notice("you were away")), (false, false), "{view:?}");
        }
    }
}

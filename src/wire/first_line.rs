//! First lines of other protocols.
//!
//! A person may type any line. So each form is as narrow as its protocol allows: words are counted, and commands are
//! upper-case as clients send them. `PASS x` is IRC, and `PASS the salt` is chat.

use super::http::{self, METHODS};
use super::other_protocol::OtherProtocol;
use super::proxy;

/// What one word of a line must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Word {
    /// One of these words, which blanks separate.
    Is(&'static str),
    /// A word that begins with one of these.
    Begins(&'static str),
    /// Any word that is not empty.
    Any,
    /// Digits.
    Number,
    /// This byte, and then digits.
    Count(u8),
    /// `:`, and the beginning of a text that may contain blanks.
    Text,
    /// A word that may be a method of HTTP, known or not.
    Method,
    /// A word that has the form of an HTTP target.
    Target,
    /// The name of a protocol with `/`, and then a digit.
    Version(&'static str),
    /// An SSH identification string.
    SshVersion,
    /// Any other words, or none.
    Rest,
}

impl Word {
    fn matches(self, word: &[u8]) -> bool {
        match self {
            Self::Is(words) => one_of(words).any(|one| one == word),
            Self::Begins(beginnings) => one_of(beginnings).any(|beginning| word.starts_with(beginning)),
            Self::Any => !word.is_empty(),
            Self::Number => is_number(word),
            Self::Count(sign) => word.strip_prefix(&[sign]).is_some_and(is_number),
            Self::Text => word.starts_with(b":"),
            Self::Method => http::is_method(word),
            Self::Target => http::is_target(word),
            Self::Version(name) => word
                .strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)),
            Self::SshVersion => is_ssh_version(word),
            Self::Rest => true,
        }
    }

    /// Whether a word that begins with `part` may match.
    fn may_begin_with(self, part: &[u8]) -> bool {
        match self {
            Self::Is(words) => one_of(words).any(|word| word.starts_with(part)),
            Self::Version(name) => name.as_bytes().starts_with(part) || self.matches(part),
            Self::Number => part.is_empty() || is_number(part),
            Self::Count(sign) => part.is_empty() || part == [sign] || self.matches(part),
            Self::Text => part.is_empty() || self.matches(part),
            Self::SshVersion => b"SSH-".starts_with(part) || may_begin_ssh_version(part),
            Self::Begins(_) | Self::Any | Self::Method | Self::Target | Self::Rest => true,
        }
    }
}

fn one_of(words: &'static str) -> impl Iterator<Item = &'static [u8]> {
    words.as_bytes().split(|&byte| byte == b' ')
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// `SSH-DIGITS.DIGITS-…` (RFC 4253, section 4.2).
fn is_ssh_version(word: &[u8]) -> bool {
    let Some(version) = word.strip_prefix(b"SSH-") else { return false };
    let Some(dash) = version.iter().position(|&byte| byte == b'-') else { return false };
    let mut numbers = version[..dash].split(|&byte| byte == b'.');
    numbers.next().is_some_and(is_number) && numbers.next().is_some_and(is_number) && numbers.next().is_none()
}

fn may_begin_ssh_version(part: &[u8]) -> bool {
    let is_numeric = |rest: &[u8]| rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_ssh_version(part) || part.strip_prefix(b"SSH-").is_some_and(is_numeric)
}

/// The form of a line: its words, separated by single blanks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form(pub(super) &'static [Word]);

impl Form {
    /// Whether a whole line has this form.
    pub(super) fn matches(self, line: &[u8]) -> bool {
        let mut words = line.split(|&byte| byte == b' ');
        for expected in self.0 {
            match (expected, words.next()) {
                (Word::Rest, _) => return true,
                (expected, Some(word)) if expected.matches(word) => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether a line that begins with `part` may have this form.
    pub(super) fn may_begin_with(self, part: &[u8]) -> bool {
        let mut expected = self.0.iter();
        let mut words = part.split(|&byte| byte == b' ').peekable();
        while let Some(word) = words.next() {
            match expected.next() {
                Some(Word::Rest) => return true,
                Some(expected) if words.peek().is_none() => return expected.may_begin_with(word),
                Some(expected) if expected.matches(word) => {}
                _ => return false,
            }
        }
        true
    }
}

/// `NICK name`: the opening of an IRC client only if another of its commands follows.
pub(super) const IRC_NICK: Form = Form(&[Word::Is("NICK"), Word::Any]);
/// `USER name host server :Real Name` (RFC 1459): the same.
pub(super) const IRC_USER: Form =
    Form(&[Word::Is("USER"), Word::Any, Word::Any, Word::Any, Word::Text, Word::Rest]);
const IRC_PASS: Form = Form(&[Word::Is("PASS"), Word::Any]);
const IRC_CAP: Form = Form(&[Word::Is("CAP"), Word::Is("LS REQ"), Word::Rest]);
/// `USER name 0 * :Real Name` (RFC 2812).
const IRC_USER_MODE: Form =
    Form(&[Word::Is("USER"), Word::Any, Word::Number, Word::Is("*"), Word::Any, Word::Rest]);
const IRC_WEBIRC: Form = Form(&[Word::Is("WEBIRC"), Word::Any, Word::Any, Word::Any, Word::Any, Word::Rest]);
/// What may follow [`IRC_NICK`] in the opening of an IRC client.
pub(super) const IRC_AFTER_NICK: [Form; 4] = [IRC_USER, IRC_USER_MODE, IRC_PASS, IRC_CAP];
/// What may follow [`IRC_USER`].
pub(super) const IRC_AFTER_USER: [Form; 3] = [IRC_NICK, IRC_PASS, IRC_CAP];

/// First lines of other protocols.
static FORMS: [(OtherProtocol, Form); 11] = [
    // A request line (RFC 9112, section 3).
    (OtherProtocol::Http, Form(&[Word::Is(METHODS), Word::Any, Word::Version("HTTP/")])),
    (OtherProtocol::Rtsp, Form(&[Word::Is(METHODS), Word::Target, Word::Version("RTSP/")])),
    (OtherProtocol::Sip, Form(&[Word::Is(METHODS), Word::Target, Word::Version("SIP/")])),
    (OtherProtocol::Ssh, Form(&[Word::SshVersion, Word::Rest])),
    (OtherProtocol::Proxy, proxy::HEADERS[0]),
    (OtherProtocol::Proxy, proxy::HEADERS[1]),
    (OtherProtocol::Irc, IRC_PASS),
    (OtherProtocol::Irc, IRC_CAP),
    (OtherProtocol::Irc, IRC_USER_MODE),
    (OtherProtocol::Irc, IRC_WEBIRC),
    // LHLO is that of LMTP (RFC 2033).
    (OtherProtocol::Smtp, Form(&[Word::Is("EHLO HELO LHLO"), Word::Any])),
];

/// A request line with a method that is not known. `I like HTTP/2` is chat.
static UNKNOWN_REQUEST: Form = Form(&[Word::Method, Word::Target, Word::Version("HTTP/")]);

/// How request lines begin that are too long to be stored.
static LONG_REQUESTS: [(OtherProtocol, Form); 3] = [
    (OtherProtocol::Http, Form(&[Word::Is(METHODS), Word::Begins("/ http: https:"), Word::Rest])),
    (OtherProtocol::Rtsp, Form(&[Word::Is(METHODS), Word::Begins("rtsp: rtsps:"), Word::Rest])),
    (OtherProtocol::Sip, Form(&[Word::Is(METHODS), Word::Begins("sip: sips:"), Word::Rest])),
];

/// Bytes of a line that [`recognize_long`] looks at: enough for the longest method and the start of its target.
pub const LONG_BYTES: usize = 64;

/// The protocol of a whole first line, without its line end. A `raw` room refuses HTTP only.
pub fn recognize(line: &[u8], raw: bool) -> Option<OtherProtocol> {
    let line = if raw { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
    if UNKNOWN_REQUEST.matches(line) {
        return Some(OtherProtocol::Http);
    }
    find(&FORMS, raw, |form| form.matches(line))
}

/// The protocol of a first line of which only the beginning is known, at most `LONG_BYTES`.
pub fn recognize_long(beginning: &[u8], raw: bool) -> Option<OtherProtocol> {
    let long = find(&LONG_REQUESTS, raw, |form| form.matches(beginning));
    long.or_else(|| recognize(beginning, raw))
}

/// Whether a first line that begins with `part` may be that of another protocol.
pub fn may_begin(part: &[u8], raw: bool) -> bool {
    find(&FORMS, raw, |form| form.may_begin_with(part)).is_some()
}

fn find(forms: &[(OtherProtocol, Form)], raw: bool, is_it: impl Fn(Form) -> bool) -> Option<OtherProtocol> {
    let mut forms = forms.iter().filter(|(protocol, _)| !raw || *protocol == OtherProtocol::Http);
    forms.find(|(_, form)| is_it(*form)).map(|&(protocol, _)| protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use OtherProtocol::{Http, Irc, Proxy, Rtsp, Sip, Smtp, Ssh};

    #[test]
    fn first_lines_of_other_protocols_are_recognized() {
        for (protocol, lines) in [
            (Http, &["GET / HTTP/1.1", "POST /x?y HTTP/1.0", "PRI * HTTP/2.0", "M-SEARCH * HTTP/1.1"][..]),
            (Http, &["GET out HTTP/1.1", "FETCH /x HTTP/1.1", "CONNECT example.org:443 HTTP/1.1"]),
            (Rtsp, &["OPTIONS rtsp://10.0.0.1/cam RTSP/1.0", "DESCRIBE * RTSP/1.0", "OPTIONS / RTSP/1.0"]),
            (Sip, &["INVITE sip:bob@example.org SIP/2.0", "OPTIONS sip:nm SIP/2.0"]),
            (Ssh, &["SSH-2.0-OpenSSH_9.2p1 Debian-2", "SSH-1.99-x"]),
            (
                Proxy,
                &["PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090", "PROXY TCP6 ::1 ::1 1 2", "PROXY UNKNOWN"],
            ),
            (Proxy, &["PROXY UNKNOWN ffff::1 ffff::2 1 2"]),
            (Irc, &["PASS x", "CAP LS", "CAP LS 302", "CAP REQ :sasl server-time", "USER bob 0 * :Bob B."]),
            (Irc, &["USER bob 8 * bob", "WEBIRC secret gateway host.example.org 192.0.2.1"]),
            (Smtp, &["EHLO x", "HELO mail.example.org", "EHLO [192.0.2.1]", "LHLO x"]),
        ] {
            for line in lines {
                assert_eq!(recognize(line.as_bytes(), false), Some(protocol), "{line}");
                let raw = (protocol == Http).then_some(Http);
                assert_eq!(recognize(line.as_bytes(), true), raw, "{line}, raw");
            }
        }
    }

    #[test]
    fn what_a_person_types_is_chat() {
        for line in [
            "",
            "GET out",
            "GET",
            "get / HTTP/1.1",
            "GET / HTTP/",
            "GET  HTTP/1.1",
            "GET / HTTP/1.1 x",
            "I like HTTP/2",
            "A HTTP/1",
            "HTTP/1.1 is old",
            "OPTIONS are RTSP/1.0",
            "INVITE bob SIP/2.0",
            "SSH-keys are lost",
            "SSH-2.0",
            "SSH-2-x",
            "SSH-2.0.1-x",
            "ssh-2.0-x",
            "PASS",
            "PASS ",
            "PASS the salt please",
            "pass x",
            "Pass x",
            "PASSWORD x",
            "CAP",
            "CAP LSD",
            "CAP it",
            "NICK bob",
            "USER",
            "USER bob",
            "USER interface is great :)",
            "USER bob 0 * ",
            "USER ID 5 is wrong",
            "WEBIRC is down",
            "EHLO",
            "EHLO there, all",
            "HELO ",
            "ehlo x",
            "Helo x",
            "HELLO x",
            "PROXY",
            "PROXY settings are wrong",
            "PROXY TCP4",
            "PROXY TCP4 and TCP6 work now ok",
            "proxy UNKNOWN",
            "INFO all good",
            "UPDATE: it works",
            "MESSAGE for you",
            "SEARCH it",
        ] {
            assert_eq!(recognize(line.as_bytes(), false), None, "{line}");
        }
    }

    #[test]
    fn a_long_first_line_is_recognized_by_its_beginning() {
        for (line, protocol) in [
            ("GET /aaaaaaaaaaaaaaaa", Some(Http)),
            ("POST http://example.org/aaa", Some(Http)),
            ("SETUP rtsp://example.org/aaa", Some(Rtsp)),
            ("INVITE sip:aaaaaaaaa", Some(Sip)),
            ("SSH-2.0-OpenSSH_9.2", Some(Ssh)),
            ("CAP REQ :aaaaa bbbbb ccc", Some(Irc)),
            ("GET out of here, all of you who", None),
            ("TODO /aaaaaaaaaaaaaaaa", None),
            ("get /aaaaaaaaaa", None),
            ("SSH-keys are long", None),
            ("aaaaaaaaaaaaaa", None),
            ("", None),
        ] {
            assert_eq!(recognize_long(line.as_bytes(), false), protocol, "{line}");
        }
    }

    #[test]
    fn each_beginning_of_a_first_line_may_be_one_and_other_text_is_not() {
        for line in [
            "GET / HTTP/1.1",
            "INVITE sip:bob@example.org SIP/2.0",
            "SSH-2.0-x y",
            "PROXY TCP4 a b 1 2",
            "PROXY UNKNOWN x",
            "PASS x",
            "CAP LS 302",
            "USER bob 0 * :Bob B.",
            "WEBIRC a b c d",
            "EHLO x",
        ] {
            for end in 1..=line.len() {
                assert!(may_begin(&line.as_bytes()[..end], false), "{}", &line[..end]);
            }
            assert_eq!(may_begin(line.as_bytes(), true), line.starts_with("GET"), "{line}, raw");
        }
        for text in
            ["h", "Hello", "HELLO", "GETTING", "GET out of", "PASS the salt", "SSH-k", "EHLO x y", "X"]
        {
            assert!(!may_begin(text.as_bytes(), false), "{text}");
        }
    }
}

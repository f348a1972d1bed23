//! Escaping of bytes that could control a reader's terminal.
//!
//! Valid UTF-8 and TAB pass unchanged. C0 controls, DEL, C1 controls and every byte that is not part of valid
//! UTF-8 become `\xNN`, with two upper-case hexadecimal digits. U+2028 and U+2029 control no terminal, but some readers
//! take them for line ends: a view that shows who wrote a line has to escape them too.

use memchr::memchr_iter;
use std::borrow::Cow;

/// The most bytes that one byte of input becomes: `\xNN`.
pub const EXPANSION: usize = 4;

/// Escapes `line`. Returns it borrowed if nothing needs to change. The result is never shorter.
pub fn escape(line: &[u8]) -> Cow<'_, [u8]> {
    if is_printable_ascii(line) || is_safe_utf8(line) {
        return Cow::Borrowed(line);
    }
    let mut escaped = Vec::with_capacity(line.len() + EXPANSION * 4);
    for chunk in line.utf8_chunks() {
        escape_valid(chunk.valid(), &mut escaped);
        for &byte in chunk.invalid() {
            escape_byte(byte, &mut escaped);
        }
    }
    Cow::Owned(escaped)
}

/// The common case. No early exit inside a block, so that the compiler uses vector instructions.
fn is_printable_ascii(line: &[u8]) -> bool {
    line.chunks(64).all(|block| {
        block.iter().fold(true, |all, &byte| all & ((0x20..0x7F).contains(&byte) | (byte == b'\t')))
    })
}

fn is_safe_utf8(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| !text.chars().any(is_control))
}

/// C0 controls except TAB, DEL, and C1 controls (U+0080 to U+009F).
fn is_control(character: char) -> bool {
    character.is_control() && character != '\t'
}

/// Escapes valid UTF-8. Copies runs of unchanged characters at once.
fn escape_valid(text: &str, escaped: &mut Vec<u8>) {
    let mut copied = 0;
    for (at, character) in text.char_indices().filter(|&(_, c)| is_control(c)) {
        escaped.extend_from_slice(&text.as_bytes()[copied..at]);
        // Controls end at U+009F, so the code point fits a byte.
        escape_byte(character as u8, escaped);
        copied = at + character.len_utf8();
    }
    escaped.extend_from_slice(&text.as_bytes()[copied..]);
}

fn escape_byte(byte: u8, escaped: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xF));
    escaped.extend_from_slice(&[b'\\', b'x', DIGITS[high], DIGITS[low]]);
}

/// Shows U+2028 and U+2029, at which some readers split a line, as `\u2028` and `\u2029`.
pub fn escape_separators(line: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    // Most lines have no such first byte, and the search for it uses vector instructions.
    let mut found = memchr_iter(0xE2, &line).filter(|&at| separator_at(&line, at).is_some()).peekable();
    if found.peek().is_none() {
        return line;
    }
    let (mut escaped, mut copied) = (Vec::with_capacity(line.len() + 32), 0);
    for at in found {
        escaped.extend_from_slice(&line[copied..at]);
        escaped.extend_from_slice(separator_at(&line, at).unwrap_or_default());
        copied = at + '\u{2028}'.len_utf8();
    }
    escaped.extend_from_slice(&line[copied..]);
    Cow::Owned(escaped)
}

/// How the separator at that place is shown, if there is one.
fn separator_at(line: &[u8], at: usize) -> Option<&'static [u8]> {
    match line[at..] {
        [0xE2, 0x80, 0xA8, ..] => Some(b"\\u2028"),
        [0xE2, 0x80, 0xA9, ..] => Some(b"\\u2029"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shows(line: &[u8], expected: &str) {
        assert_eq!(String::from_utf8_lossy(&escape(line)), expected);
    }

    #[test]
    fn text_passes_without_a_copy() {
        for text in ["", "plain words", "tab\there", "żółw 漢字 🙂 \u{feff} \u{202e}שלום e\u{301}"]
        {
            assert!(matches!(escape(text.as_bytes()), Cow::Borrowed(same) if same == text.as_bytes()));
        }
    }

    #[test]
    fn every_control_is_shown_as_one_escape() {
        for code in (0..0x20u8).chain([0x7F]).filter(|&code| code != b'\t') {
            shows(&[b'a', code, b'b'], &format!("a\\x{code:02X}b"));
        }
        for code in 0x80..=0x9Fu32 {
            let control = char::from_u32(code).into_iter().collect::<String>();
            shows(format!("é{control}b").as_bytes(), &format!("é\\x{code:02X}b"));
        }
    }

    #[test]
    fn each_byte_that_is_not_utf8_is_shown_and_the_rest_is_intact() {
        shows(b"a\xC0\x80b", "a\\xC0\\x80b");
        shows(b"a\xFFb", "a\\xFFb");
        shows(b"\x80", "\\x80");
        shows(b"\xED\xA0\x80", "\\xED\\xA0\\x80");
        shows(b"\xF0\x9F\x99", "\\xF0\\x9F\\x99");
        shows(b"\xE2\x82\xACok\xE2\x82", "€ok\\xE2\\x82");
    }

    #[test]
    fn line_separators_are_shown_and_all_other_text_is_intact() {
        let shown = |line: &str| {
            let line = escape_separators(Cow::Borrowed(line.as_bytes())).into_owned();
            String::from_utf8(line).expect("UTF-8")
        };
        for (line, expected) in [
            ("a\u{2028}b", "a\\u2028b"),
            ("\u{2029}", "\\u2029"),
            ("\u{2028}\u{2028}\u{2029}x\u{2029}", "\\u2028\\u2028\\u2029x\\u2029"),
            ("\u{2027}\u{202A}€…’ \u{2028}", "\u{2027}\u{202A}€…’ \\u2028"),
        ] {
            assert_eq!(shown(line), expected);
        }
        for text in ["", "plain", "€ \u{2027} \u{202A} 漢字"] {
            let same = escape_separators(Cow::Borrowed(text.as_bytes()));
            assert!(matches!(same, Cow::Borrowed(same) if same == text.as_bytes()), "{text}");
        }
        // Bytes that are cut off are no separator.
        assert_eq!(*escape_separators(Cow::Borrowed(&b"a\xE2\x80"[..])), b"a\xE2\x80"[..]);
    }

    #[test]
    fn a_line_of_controls_grows_fourfold_and_no_more() {
        assert_eq!(escape(&[0x1B; 8192]).len(), EXPANSION * 8192);
    }
}

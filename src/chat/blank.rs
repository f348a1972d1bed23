//! Characters of a line, and which of them separate words.
//!
//! A line is bytes, and not always UTF-8: each run of other bytes counts as one U+FFFD.

/// The characters of a line.
#[derive(Debug, Clone)]
pub struct Chars<'a>(&'a [u8]);

impl<'a> Chars<'a> {
    /// The characters of `text`.
    pub const fn of(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// What follows the character that `next` returned last.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl Iterator for Chars<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let (&first, rest) = self.0.split_first()?;
        if first.is_ascii() {
            self.0 = rest;
            return Some(first.into());
        }
        // A character has at most 4 bytes.
        let chunk = self.0[..self.0.len().min(4)].utf8_chunks().next()?;
        let character = chunk.valid().chars().next();
        let len = character.map_or(chunk.invalid().len(), char::len_utf8);
        self.0 = &self.0[len..];
        Some(character.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// Whether a character separates words: white space of any script, and characters that show nothing. A text that
/// was copied from a page may begin with them.
pub const fn is_blank(character: char) -> bool {
    character.is_whitespace() || is_invisible(character)
}

/// Soft hyphen, zero-width characters, marks of direction, and the byte order mark.
const fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
    )
}

/// Whether the text has blanks only.
pub fn is_all_blank(text: &[u8]) -> bool {
    Chars::of(text).all(is_blank)
}

/// The text without the characters at its start for which `is_skipped` is true.
pub fn skip_while(text: &[u8], is_skipped: impl Fn(char) -> bool) -> &[u8] {
    let mut chars = Chars::of(text);
    loop {
        let rest = chars.rest();
        if !chars.next().is_some_and(&is_skipped) {
            return rest;
        }
    }
}

/// The text without blanks at both ends.
pub fn trimmed(text: &[u8]) -> &[u8] {
    let text = skip_while(text, is_blank);
    let (mut chars, mut end) = (Chars::of(text), 0);
    while let Some(character) = chars.next() {
        if !is_blank(character) {
            end = text.len() - chars.rest().len();
        }
    }
    &text[..end]
}

/// The first word, and what follows the blank after it.
pub fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut chars, mut end) = (Chars::of(text), 0);
    while let Some(character) = chars.next() {
        if is_blank(character) {
            return (&text[..end], chars.rest());
        }
        end = text.len() - chars.rest().len();
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_characters_of_its_utf8_and_one_for_each_other_run_of_bytes() {
        for (line, characters) in [
            (&b""[..], ""),
            ("aé漢🙂".as_bytes(), "aé漢🙂"),
            (b"a\xFFb", "a\u{FFFD}b"),
            (b"\xF0\x9F\x99", "\u{FFFD}"),
            (b"\xE2\x82\xACok\xE2", "€ok\u{FFFD}"),
        ] {
            assert_eq!(Chars::of(line).collect::<String>(), characters, "{line:?}");
        }
    }

    #[test]
    fn words_end_at_blanks_of_any_script_and_texts_are_trimmed_of_them() {
        for blank in [" ", "\t", "\r", "\u{A0}", "\u{3000}", "\u{2028}", "\u{200B}", "\u{FEFF}"] {
            let text = format!("{blank}one{blank}{blank}two é{blank}");
            let inner = trimmed(text.as_bytes());
            assert_eq!(inner, format!("one{blank}{blank}two é").as_bytes(), "{blank:?}");
            assert_eq!(split_word(inner), (&b"one"[..], format!("{blank}two é").as_bytes()));
            assert!(is_all_blank(blank.as_bytes()) && trimmed(blank.as_bytes()).is_empty());
        }
        assert_eq!(split_word(b"one"), (&b"one"[..], &b""[..]));
        assert!(!is_all_blank(b"\xA0") && !is_all_blank(b"\x1B"));
    }
}

//! What a name is: which characters it may have, and when two names are the same.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// The most characters of a name.
pub const MAX_CHARS: usize = 24;
/// The server names new clients `anon1`, `anon2` and so on.
pub const ANONYMOUS: &str = "anon";
/// Names that could be taken for a word of the server.
const RESERVED: [&str; 5] = ["you", "private", "server", "everyone", "here"];
/// Characters of a name besides letters and digits.
const PUNCTUATION: [char; 3] = ['_', '-', '.'];

/// The normal form of a name (NFKC, Unicode Standard Annex 15): the same for all encodings that look alike.
/// `None` if the text is too long for a name in any form, and so not worth the work.
pub fn normalize(name: &str) -> Option<String> {
    // A letter may be written as itself and marks, and one character may stand for up to 18.
    let is_too_long = name.chars().nth(4 * MAX_CHARS).is_some();
    (!is_too_long).then(|| name.nfkc().take(MAX_CHARS + 1).collect())
}

/// Whether the text can be a name: at most 24 visible letters and digits of any script, and `_ - .`.
pub fn is_name(name: &str) -> bool {
    let mut after_letter = false;
    let mut fits = |letter: char| {
        // In some scripts vowels are marks beside a letter. Marks on or inside a letter could mislead.
        let fits = if is_combining_mark(letter) {
            after_letter && letter.is_alphanumeric() && canonical_combining_class(letter) == 0
        } else {
            letter.is_alphanumeric() && !is_blank(letter) || PUNCTUATION.contains(&letter)
        };
        after_letter = fits && letter.is_alphanumeric();
        fits
    };
    !name.is_empty() && name.chars().count() <= MAX_CHARS && name.chars().all(&mut fits)
}

/// Letters that show nothing: Hangul fillers, and blanks among hieroglyphs.
const fn is_blank(letter: char) -> bool {
    matches!(letter, '\u{115F}' | '\u{1160}' | '\u{13441}' | '\u{13442}')
}

/// Whether a [case-folded](fold_case) name would mislead: it looks like one that the server gives, or it makes a
/// notice ambiguous, such as `* you left` or `* 3 left`. Punctuation does not count.
pub fn is_reserved(name: &str) -> bool {
    let word = name.replace(PUNCTUATION, "");
    let is_number = |text: &str| text.chars().all(char::is_numeric);
    RESERVED.contains(&word.as_str())
        || word.strip_prefix(ANONYMOUS).is_some_and(is_number)
        || !word.is_empty() && is_number(&word)
}

/// The case-insensitive key of a normalized name.
pub fn fold_case(name: &str) -> String {
    // Most names are ASCII, and each private message looks one up.
    if name.is_ascii() { name.to_ascii_lowercase() } else { fold_unicode_case(name) }
}

/// Lower, upper, lower: some letters have several lower-case or upper-case forms.
fn fold_unicode_case(name: &str) -> String {
    name.to_lowercase().to_uppercase().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_fold_case_give_the_same_for_ascii() {
        let ascii = (0..128).map(char::from_u32).map(Option::unwrap_or_default).collect::<String>();
        assert_eq!(fold_case(&ascii), fold_unicode_case(&ascii));
    }
}

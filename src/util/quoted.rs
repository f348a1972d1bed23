//! Quotes around what an error repeats.

/// The most characters that an error repeats: enough to recognise the text.
const MAX_QUOTED: usize = 100;

/// The text in quotes, for an error. Of a long text only the beginning.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_after_a_hundred_characters() {
        for (text, shown) in [
            ("", "\"\"".to_owned()),
            ("10.0.0.0/8", "\"10.0.0.0/8\"".to_owned()),
            (&"é".repeat(100), format!("\"{}\"", "é".repeat(100))),
            (&"é".repeat(101), format!("\"{}…\"", "é".repeat(100))),
        ] {
            assert_eq!(quoted(text), shown);
        }
    }
}

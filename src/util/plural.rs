//! Numbers with their nouns.

/// A number and its noun, in the plural unless the number is 1.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

//! Counts in words.

/// A number with its noun: `1 line`, `2 lines`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn one_is_singular_and_all_other_numbers_are_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "line")), ["0 lines", "1 line", "2 lines"]);
    }
}

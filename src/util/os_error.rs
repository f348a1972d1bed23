//! Text of the system's errors.

use std::io;

/// What the standard library writes before the error of the resolver.
const LOOKUP: &str = "failed to lookup address information: ";

/// The system's text for `error`, without what Rust adds to it.
pub fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix(LOOKUP).unwrap_or(&text);
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_and_the_words_before_an_error_of_the_resolver_are_left_out() {
        let error = std::io::Error::from(rustix::io::Errno::ADDRINUSE);
        assert_eq!(super::text(&error), "Address already in use");
        assert_eq!(super::text(&std::io::Error::other("no such name")), "no such name");
        let lookup = std::io::Error::other(format!("{}Name or service not known", super::LOOKUP));
        assert_eq!(super::text(&lookup), "Name or service not known");
    }
}

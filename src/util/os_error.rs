//! Text of the system's errors.

use std::io;

/// The system's text for `error`, without the number that Rust adds.
pub fn text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_is_left_out() {
        let error = std::io::Error::from(rustix::io::Errno::ADDRINUSE);
        assert_eq!(super::text(&error), "Address already in use");
        assert_eq!(super::text(&std::io::Error::other("no such name")), "no such name");
    }
}

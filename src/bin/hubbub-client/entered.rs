//! What the user has entered: lines to send, and whether to leave.

use crate::send::is_quit;
use hubbub::chat::blank::is_all_blank;

/// A text that the user has typed or pasted, up to Enter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entered<'a> {
    /// The lines to send. Blank ones are left out: in the plain view they would be messages to everyone.
    pub(crate) lines: Vec<&'a str>,
    pub(crate) leaves: bool,
}

impl<'a> Entered<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        if matches!(text.trim(), "exit" | "quit") {
            return Self { lines: Vec::new(), leaves: true };
        }
        let mut lines = text.lines().collect::<Vec<_>>();
        let quit = lines.iter().position(|line| is_quit(line.as_bytes()));
        // The server would read nothing after this command, and in the plain view it would be a message.
        lines.truncate(quit.unwrap_or(lines.len()));
        lines.retain(|line| !is_all_blank(line.as_bytes()));
        Self { lines, leaves: quit.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_commands_leave_only_where_they_stand_alone() {
        for (text, lines, leaves) in [
            ("exit", &[][..], true),
            (" quit ", &[], true),
            ("quit\n", &[], true),
            ("/quit", &[], true),
            ("/exit", &[], true),
            (" /QUIT now", &[], true),
            ("one\n/exit\ntwo", &["one"], true),
            ("exit now", &["exit now"], false),
            ("Exit", &["Exit"], false),
            ("one\nexit", &["one", "exit"], false),
            ("//quit", &["//quit"], false),
            ("/quits", &["/quits"], false),
            ("one\n\n \ttwo \n\n", &["one", " \ttwo "], false),
            ("", &[], false),
            (" \t", &[], false),
        ] {
            let expected = Entered { lines: lines.to_vec(), leaves };
            assert_eq!(Entered::parse(text), expected, "{text:?}");
        }
    }
}

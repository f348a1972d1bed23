//! Views of a hubbub listener that cannot be measured: how their first lines look.

use hubbub::chat::text::YOU_ARE;
use hubbub::wire::view::View;

/// Returns the view that shows a line like this one; none for the plain view, or if the server is not hubbub.
///
/// `position` counts the client's lines from 0; `is_ours` says whether a text is a line of this run.
pub(crate) fn view(line: &[u8], position: usize, is_ours: impl Fn(&[u8]) -> bool) -> Option<View> {
    // The welcome line may come before the greeting.
    if position <= 1 && is_named_greeting(line) || text_of_named(line).is_some_and(is_ours) {
        return Some(View::Named);
    }
    (position == 0 && line.starts_with(br#"{"type":""#)).then_some(View::Json)
}

/// Whether the line gives a name and, in brackets, the members.
fn is_named_greeting(line: &[u8]) -> bool {
    let after = line.strip_prefix(b"* ").and_then(|line| line.strip_prefix(YOU_ARE.as_bytes()));
    after.is_some_and(|after| {
        let name = after.iter().take_while(|&&byte| byte != b' ').count();
        after[name..].starts_with(b" (")
    })
}

/// Returns the text after the sender's name: `<name> text`.
fn text_of_named(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(b"<")?;
    let name = line.iter().position(|&byte| byte == b' ')?;
    line[..name].ends_with(b">").then(|| &line[name + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_known_by_its_first_lines_or_our_own_and_what_people_say_is_not_taken_for_it() {
        let (named, json) =
            ("* you are anon1 (1 here); /help lists the commands", r#"{"type":"notice","text":""#);
        for (line, position, expected) in [
            (named, 0, Some(View::Named)),
            (named, 1, Some(View::Named)),
            (named, 2, None),
            (json, 0, Some(View::Json)),
            (json, 1, None),
            ("Welcome to the anonymous chat room.", 0, None),
            ("* you are", 0, None),
            ("* you are late", 0, None),
            ("* the room is full", 0, None),
            ("", 0, None),
            ("<anon1> ours", 9, Some(View::Named)),
            ("<anon1> hi", 0, None),
            ("<ours", 0, None),
        ] {
            let found = view(line.as_bytes(), position, |text| text == b"ours");
            assert_eq!(found, expected, "{line} at {position}");
        }
    }
}

//! Lines that arrive in pieces, with pauses in which `--flush-after` passes.

use crate::common::scripted::*;
use crate::common::texts::*;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::ClientLimits;
use hubbub::wire::view::View;
use std::time::Duration;

const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// A server with all views, a client of the named view that sends, and one of the plain view that reads.
fn room() -> (ScriptedServer, ScriptedClient, ScriptedClient) {
    let limits = ClientLimits { flush_after: Some(FLUSH_AFTER), ..limits() };
    let config = RoomConfig { views: View::ALL.into(), ..config(FEED) };
    let mut server = ScriptedServer::new(config, limits);
    let [sender, reader] = [View::Named, View::Plain].map(|view| server.join_in_view(view));
    server.run_until_idle();
    (server, sender, reader)
}

/// Sends pieces with a pause after each; returns what the sender receives.
fn send_in_pieces(server: &mut ScriptedServer, sender: &ScriptedClient, pieces: &[&str]) -> Vec<String> {
    let before = sender.received().len();
    for piece in pieces {
        server.send(sender, piece);
        server.advance(FLUSH_AFTER);
    }
    String::from_utf8(sender.received()[before..].to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_rest_of_a_line_that_may_be_private_is_not_sent_to_everyone() {
    let (mut server, sender, reader) = room();
    let _bob = server.join_in_view(View::Json);
    let too_long = format!("/msg bob {}", "x".repeat(FEED));
    for (beginning, reply) in [
        ("/msg anon3 psst", "private to anon3: psst"),
        ("/msg an", MSG_NEEDS_TEXT),
        ("/m", &unknown_command("m")),
        ("/mgs anon3", &unknown_command("mgs")),
        (" /Me", ME_NEEDS_TEXT),
        (&too_long, &line_too_long(FEED / 16)),
    ] {
        let replies = send_in_pieces(&mut server, &sender, &[beginning, "a secret", " in more", " pieces\n"]);
        let refused = format!("* {REST_NOT_SENT}");
        let expected = [format!("* {reply}"), refused.clone(), refused.clone(), refused];
        assert_eq!(replies, expected, "{beginning:.20}");
    }
    // A single `/` is a message, and may also be the beginning of a command.
    let replies = send_in_pieces(&mut server, &sender, &["/", "msg anon3 secret\nopen", "\n"]);
    assert_eq!(replies, [format!("* {REST_NOT_SENT}")]);
    reader.expect_received("/\nopen\n");
}

#[test]
fn a_client_without_line_ends_can_use_commands_and_send_messages() {
    let (mut server, sender, reader) = room();
    let pieces =
        ["/nick nina", "/who", "hi", "/me waves", "all", "//x", "/etc/passwd", "/msg anon2 x", "\n", "bye"];
    let replies = send_in_pieces(&mut server, &sender, &pieces);
    let expected = [renamed("nina"), "2 here: anon2, nina".to_owned(), in_plain_view("anon2")];
    assert_eq!(replies, expected.map(|reply| format!("* {reply}")));
    reader.expect_received("hi\n/me waves\nall\n/x\n/etc/passwd\nbye\n");
}

#[test]
fn in_the_plain_view_a_pause_ends_a_line_that_was_refused_as_too_long() {
    let (mut server, reader, sender) = room();
    server.send(&sender, vec![b'x'; FEED]);
    server.advance(FLUSH_AFTER);
    server.send(&sender, "/msg bob no line end");
    server.advance(FLUSH_AFTER);
    reader.expect_received("<anon2> /msg bob no line end\n");
}

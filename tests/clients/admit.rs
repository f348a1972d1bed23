//! Which connections are admitted, and what the others receive.

use crate::common::scripted::*;
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::refusal::Refusal;
use hubbub::net::peer::Peer;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::view::View;

#[test]
fn c6_the_limit_per_address_refuses_one_connection_more_and_frees_the_place_of_a_client_that_leaves() {
    let mut server = ScriptedServer::new(config(FEED), ClientLimits { per_network: Some(2), ..limits() });
    let from = |address: &str| address.parse().unwrap();
    let first = [server.join_from(from("10.0.0.1")), server.join_from(from("::ffff:10.0.0.1"))];
    let third = server.join_from(from("10.0.0.1"));
    let other = server.join_from(from("10.0.0.2"));
    let same_network = ["2001:db8::1", "2001:db8::2"].map(|address| server.join_from(from(address)));
    let third_of_network = server.join_from(from("2001:db8::ffff"));
    server.run_until_idle();
    for refused in [&third, &third_of_network] {
        refused.expect_received("* too many connections from your address (2): try again later\n");
        assert!(refused.script().is_shut_down);
        server.end(refused);
        assert!(refused.is_removed());
    }
    server.send(&first[0], "hello\n");
    for reader in [&first[1], &other, &same_network[0], &same_network[1]] {
        reader.expect_received("hello\n");
    }
    server.end(&first[1]);
    let next = server.join_from(from("10.0.0.1"));
    server.run_until_idle();
    server.send(&first[0], "welcome\n");
    next.expect_received("welcome\n");
    assert_eq!(server.closed(CloseReason::PerAddressLimit), 2);
}

#[test]
fn a_connection_without_a_file_descriptor_receives_the_reason_in_the_form_of_its_view() {
    let mut server = ScriptedServer::with_views(FEED, &View::ALL);
    let text = "the server has no free file descriptor: try again later";
    let object = format!(r#"{{"type":"error","text":"{text}","at":"2026-01-02T03:04:05.678Z"}}"#);
    for (view, line) in
        [(View::Plain, format!("* {text}")), (View::Named, format!("* {text}")), (View::Json, object)]
    {
        let socket = ScriptedSocket::default();
        let client =
            ScriptedClient { id: ClientId::from_number(ClientId::FIRST_FREE), socket: socket.clone() };
        server.clients.refuse_at_once(
            socket,
            view,
            Peer::Unix { pid: 1, uid: 1 },
            &Refusal::no_descriptor(),
            server.now,
        );
        client.expect_received(line + "\n");
        assert!(client.is_removed());
    }
}

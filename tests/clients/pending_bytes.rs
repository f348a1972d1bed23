//! A transport that encrypts: bytes that count as written and are still in it, and input that causes no event.

use crate::common::scripted::*;
use crate::lines;
use hubbub::clients::ClientLimits;
use hubbub::clients::close_reason::CloseReason;
use std::io::ErrorKind;

/// Bytes of one record in these tests.
const RECORD: usize = 100;

/// Returns a server, a client that sends, and a reader whose socket takes nothing but has room for one record.
fn with_record() -> (ScriptedServer, ScriptedClient, ScriptedClient) {
    let (mut server, [sender]) = ScriptedServer::with_clients(FEED);
    let reader = server.join_scripted(SocketScript { record: Some(RECORD), ..SocketScript::default() });
    server.run_until_idle();
    reader.accepts([], Accept::WouldBlock);
    (server, sender, reader)
}

#[test]
fn bytes_that_only_the_transport_has_are_written_when_the_socket_is_writable() {
    let (mut server, sender, reader) = with_record();
    server.send(&sender, "hello\n");
    reader.expect_received("");
    let connection = server.clients.connection(reader.id).unwrap();
    let feed = server.clients.room().feed(hubbub::wire::view::View::Plain);
    assert_eq!(feed.behind(connection.cursor()), 0, "the line is in the transport");
    let writes = reader.script().writes;
    server.advance(SECOND);
    server.send(&sender, "more\n");
    assert_eq!(reader.script().writes, writes, "no write until the socket is writable");
    server.accept_bytes(&reader, 3);
    reader.expect_received("hel");
    server.accept_bytes(&reader, 2);
    reader.expect_received("hello");
    server.accept_all(&reader);
    reader.expect_received("hello\nmore\n");
}

#[test]
fn a_reader_gets_all_lines_in_order_wherever_its_records_are_cut() {
    let sent = lines(1000);
    for record in [1, 7, 20, 100, 1000] {
        for taken in [1, 19, 20, 333] {
            let (mut server, sender, reader) = with_record();
            reader.script_mut().record = Some(record);
            server.send(&sender, &sent);
            while reader.received().len() < sent.len() {
                let before = reader.received().len();
                server.accept_bytes(&reader, taken);
                assert!(reader.received().len() > before, "{record} {taken}");
            }
            assert!(reader.received() == sent);
            let script = reader.script();
            assert!(script.kept.is_empty());
        }
    }
}

#[test]
fn a_record_shorter_than_what_is_pending_does_not_mean_that_the_socket_is_full() {
    let (mut server, sender, reader) = with_record();
    reader.accepts([], Accept::All);
    let sent = lines(50 * RECORD);
    server.send(&sender, &sent);
    assert!(reader.received() == sent, "without any event");
    assert_eq!(reader.script().writes, 50);
}

#[test]
fn text_for_a_client_alone_stands_between_lines_also_if_a_record_ends_within_a_line() {
    let (mut server, sender, reader) = with_record();
    reader.script_mut().record = Some(8);
    server.send(&sender, "a long line\nanother\n");
    server.send(&reader, b"\xFF\xFD\x01");
    server.accept_all(&reader);
    reader.expect_received(b"a long line\n\xFF\xFC\x01another\n");
}

#[test]
fn output_ends_only_after_the_last_byte_has_left_the_transport() {
    let (mut server, sender, reader) = with_record();
    server.send(&sender, "last\n");
    server.end(&reader);
    assert!(!reader.script().is_shut_down && !reader.is_removed());
    server.accept_bytes(&reader, 4);
    assert!(!reader.script().is_shut_down);
    server.accept_all(&reader);
    reader.expect_received("last\n");
    assert!(reader.script().is_shut_down && reader.is_removed());
    assert_eq!(server.closed(CloseReason::ClosedByPeer), 1);
}

#[test]
fn an_end_of_output_for_which_the_socket_has_no_space_is_tried_again_when_it_is_writable() {
    let (mut server, _, reader) = with_record();
    reader.script_mut().refused_ends = 1;
    server.shut_down();
    server.run_until_idle();
    assert!(!reader.script().is_shut_down);
    server.report_writable(&reader);
    server.run_until_idle();
    assert!(reader.script().is_shut_down);
    server.end(&reader);
    assert!(reader.is_removed());
}

#[test]
fn a_client_that_does_not_take_the_last_bytes_is_closed_after_the_close_timeout() {
    let (mut server, sender, reader) = with_record();
    server.send(&sender, "last\n");
    server.end(&reader);
    server.advance(STALL_TIMEOUT - MILLISECOND);
    assert!(!reader.is_removed());
    server.advance(MILLISECOND);
    assert!(reader.is_removed());
    assert_eq!(server.closed(CloseReason::CloseTimeout), 1);
}

#[test]
fn a_failed_write_of_pending_bytes_loses_the_connection() {
    let (mut server, sender, reader) = with_record();
    server.send(&sender, "hello\n");
    reader.accepts([], Accept::Fail(ErrorKind::ConnectionReset));
    server.report_writable(&reader);
    server.run_until_idle();
    assert!(reader.is_removed());
    assert_eq!(server.lost(), 1);
}

#[test]
fn bytes_of_the_transport_are_written_while_the_greeting_is_held() {
    let limits = ClientLimits { greet_after: SECOND, ..limits() };
    let config = hubbub::chat::room::RoomConfig { welcome: "welcome".to_owned(), ..config(FEED) };
    let mut server = ScriptedServer::new(config, limits);
    let kept = b"end of the handshake\n".to_vec();
    let client = server.join_scripted(SocketScript { record: Some(RECORD), kept, ..SocketScript::default() });
    server.run_until_idle();
    client.expect_received("end of the handshake\n");
    server.advance(SECOND);
    client.expect_received("end of the handshake\nwelcome\n");
}

#[test]
fn input_that_causes_no_event_is_read_from_the_start_and_until_none_is_left() {
    let (mut server, [other]) = ScriptedServer::with_clients(FEED);
    let early = SocketScript { may_have_input: true, ..SocketScript::default() };
    let client = server.join_scripted(early);
    client.queue_input("early\n");
    client.queue_error(ErrorKind::WouldBlock);
    client.queue_input("later\n");
    for _ in 0..4 {
        assert!(server.clients.has_work());
        server.turn();
    }
    other.expect_received("early\nlater\n");
    client.script_mut().may_have_input = false;
    server.run_until_idle();
    client.queue_input("last\n");
    server.turn();
    other.expect_received("early\nlater\n");
    server.report_readable(&client);
    server.run_until_idle();
    other.expect_received("early\nlater\nlast\n");
}

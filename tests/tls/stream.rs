//! The stream alone, over a pair of sockets.

use crate::common::tls::{End, TlsClient, VERSIONS, server_config};
use hubbub::net::stream::{Handshake, Stream};
use hubbub::net::tls::{TlsConfig, TlsStream};
use hubbub::net::transport::{PlainStream, Transport};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::unix::net::UnixStream;

/// More steps than any test needs.
const MAX_STEPS: usize = 1_000_000;

/// Returns two connected sockets that do not block.
fn sockets() -> (UnixStream, UnixStream) {
    let (server, client) = UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    (server, client)
}

/// Returns both ends before the handshake.
fn ends(
    config: &TlsConfig,
    version: &'static SupportedProtocolVersion,
) -> (TlsStream, TlsClient<UnixStream>) {
    let (server, client) = sockets();
    (TlsStream::accept(PlainStream::new(server), config).unwrap(), TlsClient::new(client, version))
}

/// Takes steps of both ends until the server has done the handshake.
#[track_caller]
fn shake_hands(server: &mut TlsStream, client: &mut TlsClient<UnixStream>) {
    for _ in 0..MAX_STEPS {
        client.step();
        if server.handshake().unwrap() == Handshake::Done {
            return;
        }
    }
    panic!("the handshake does not end");
}

/// Returns both ends after the handshake.
#[track_caller]
fn connected(test: &str, version: &'static SupportedProtocolVersion) -> (TlsStream, TlsClient<UnixStream>) {
    let (mut server, mut client) = ends(&server_config(test), version);
    shake_hands(&mut server, &mut client);
    while client.session.is_handshaking() || server.has_pending_output() {
        server.flush().unwrap();
        client.step();
    }
    (server, client)
}

/// Reads until the stream has no input, or until its end; `size` is that of each read.
fn read_all(stream: &mut impl Transport, size: usize) -> (Vec<u8>, io::Result<()>) {
    let mut text = Vec::new();
    let mut buffer = vec![0; size];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (text, Ok(())),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && stream.may_have_input() => {}
            Err(error) => return (text, Err(error)),
        }
    }
}

/// Returns text of that many bytes in which each place is different.
fn text(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|number: usize| format!("{number:09}\n").into_bytes()).take(bytes).collect()
}

#[test]
fn text_arrives_whole_whatever_the_pieces_in_which_the_handshake_and_the_records_come() {
    let config = server_config("pieces");
    for version in VERSIONS {
        for piece in [1, 2, 7, 100, 5000, usize::MAX] {
            let (mut server, mut client) = ends(&config, version);
            client.piece = piece;
            shake_hands(&mut server, &mut client);
            let (there, back) = (text(3000), text(50_000));
            client.send(&there);
            let (mut received, mut sent) = (Vec::new(), 0);
            for _ in 0..MAX_STEPS {
                client.step();
                received.append(&mut read_all(&mut server, 300).0);
                if sent < back.len() {
                    sent += server.write_vectored(&[IoSlice::new(&back[sent..])]).unwrap_or(0);
                } else {
                    _ = server.flush();
                }
                if client.received.len() == back.len() && received.len() == there.len() {
                    break;
                }
            }
            assert!(received == there && client.received == back, "{piece}");
        }
    }
}

#[test]
fn the_handshake_waits_for_a_client_that_sends_nothing() {
    let (mut server, mut client) = ends(&server_config("silent"), &TLS13);
    assert_eq!(server.handshake().unwrap(), Handshake::Waiting);
    client.piece = 10;
    client.step();
    assert_eq!(server.handshake().unwrap(), Handshake::Waiting);
}

#[test]
fn a_handshake_that_fails_has_a_reason_in_a_few_words_and_the_peer_gets_an_alert() {
    let config = server_config("failures");
    let many = [[22, 3, 1, 0, 4, 1, 0, 0xFF, 0xF0].as_slice(), &[22, 3, 1, 0, 1, 0].repeat(2000)].concat();
    let cases: [(&[u8], ErrorKind, &str); 6] = [
        (b"", ErrorKind::UnexpectedEof, "the peer left during the TLS handshake"),
        (&[22, 3, 1], ErrorKind::UnexpectedEof, "the peer left during the TLS handshake"),
        (b"hello, is anybody here?\n", ErrorKind::InvalidData, "the peer's bytes are not TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", ErrorKind::InvalidData, "the peer's bytes are not TLS"),
        (&[21, 3, 3, 0, 2, 2, 40], ErrorKind::ConnectionAborted, "the peer ended TLS: HandshakeFailure"),
        (&many, ErrorKind::InvalidData, "more than 8192 bytes before the end of the handshake"),
    ];
    for (input, kind, why) in cases {
        let (socket, mut peer) = sockets();
        let mut server = TlsStream::accept(PlainStream::new(socket), &config).unwrap();
        peer.write_all(input).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        let error = (0..MAX_STEPS).find_map(|_| server.handshake().err()).unwrap();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, why));
        drop(server);
        let mut answer = Vec::new();
        _ = peer.read_to_end(&mut answer);
        // A fatal alert.
        let has_alert = answer.first() == Some(&21);
        assert_eq!(has_alert, why.ends_with("are not TLS"), "{why}: {answer:?}");
    }
}

#[test]
fn a_write_takes_many_slices_and_at_most_one_record() {
    for version in VERSIONS {
        let (mut server, mut client) = connected("slices", version);
        for (sizes, taken) in [
            (vec![1, 2, 3, 0, 4], 10),
            (vec![100; 32], 3200),
            (vec![16 * 1024], 16 * 1024),
            (vec![16 * 1024, 1], 16 * 1024),
            (vec![1_000_000, 5], 16 * 1024),
            (vec![10_000, 10_000, 10_000], 16 * 1024),
        ] {
            let sent = text(sizes.iter().sum());
            let mut rest = &sent[..];
            let slices = sizes.iter().map(|&size| {
                let (slice, after) = rest.split_at(size);
                rest = after;
                IoSlice::new(slice)
            });
            let slices = slices.collect::<Vec<_>>();
            client.received.clear();
            assert_eq!(server.write_vectored(&slices).unwrap(), taken);
            while client.step() {}
            assert!(client.received == sent[..taken]);
        }
    }
}

#[test]
fn a_peer_that_does_not_read_gets_one_more_record_and_then_the_rest() {
    for version in VERSIONS {
        let (mut server, mut client) = connected("full", version);
        let sent = text(1 << 20);
        client.reads = false;
        let (mut taken, mut last) = (0, 0);
        let error = loop {
            match server.write_vectored(&[IoSlice::new(&sent[taken..])]) {
                Ok(count) => {
                    taken += count;
                    last = count;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(server.has_pending_output() && taken < sent.len());
        assert!(last <= 8 * 1024, "a small record: {last}");
        assert_eq!(server.flush().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!server.shutdown_write(), "the end waits for the record");
        client.reads = true;
        for _ in 0..MAX_STEPS {
            client.step();
            if server.shutdown_write() {
                break;
            }
        }
        while client.step() {}
        assert!(!server.has_pending_output() && client.received == sent[..taken]);
        assert_eq!(client.end, Some(End::Orderly));
    }
}

#[test]
fn the_end_of_input_is_orderly_only_with_close_notify() {
    for version in VERSIONS {
        for is_orderly in [true, false] {
            let (mut server, mut client) = connected("end", version);
            client.send("unfinished");
            if is_orderly {
                client.session.send_close_notify();
            }
            while client.step() {}
            client.socket.shutdown(std::net::Shutdown::Write).unwrap();
            let (text, end) = read_all(&mut server, 4096);
            assert_eq!(text, b"unfinished");
            assert_eq!(end.map_err(|error| error.kind()).is_ok(), is_orderly);
            if is_orderly {
                assert_eq!(server.write_vectored(&[IoSlice::new(b"still here")]).unwrap(), 10);
                assert!(server.shutdown_write());
                while client.step() {}
                assert_eq!(
                    (client.received.as_slice(), client.end),
                    (&b"still here"[..], Some(End::Orderly))
                );
            } else {
                let mut buffer = [0; 10];
                assert_eq!(server.read(&mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
            }
        }
    }
}

#[test]
fn text_before_a_bad_record_arrives_and_then_the_stream_fails() {
    for version in VERSIONS {
        let (mut server, mut client) = connected("bad", version);
        client.send("good\n");
        while client.step() {}
        client.socket.write_all(&[23, 3, 3, 0, 20]).unwrap();
        client.socket.write_all(&[7; 20]).unwrap();
        let (text, end) = read_all(&mut server, 3);
        assert_eq!(text, b"good\n");
        let error = end.unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::InvalidData, "a TLS record cannot be decrypted")
        );
        while client.step() {}
        assert_eq!(client.end, Some(End::Failed), "the client got an alert");
    }
}

#[test]
fn new_keys_of_the_peer_cost_no_text_and_are_answered() {
    let (mut server, mut client) = connected("keys", &TLS13);
    for number in 0..20 {
        client.session.refresh_traffic_keys().unwrap();
        client.send(format!("{number}\n"));
        while client.step() {}
        assert_eq!(read_all(&mut server, 100).0, format!("{number}\n").into_bytes());
        server.write_vectored(&[IoSlice::new(b"yes\n")]).unwrap();
        while client.step() {}
    }
    assert_eq!(client.received, b"yes\n".repeat(20));
}

#[test]
fn one_call_reads_the_socket_a_few_times_and_says_that_there_may_be_more() {
    // With this kind of socket each read returns what one write sent.
    let (server, client) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap();
    let config = server_config("few");
    let mut server = TlsStream::accept(PlainStream::new(server), &config).unwrap();
    let mut client = TlsClient::new(UnixStream::from(client), &TLS13);
    client.piece = 10;
    while client.session.wants_write() {
        client.step();
    }
    assert_eq!(server.handshake().unwrap(), Handshake::Again);
    client.piece = usize::MAX;
    shake_hands(&mut server, &mut client);
    client.piece = 10;
    client.send("text that does not fit into five pieces of ten bytes each");
    while client.session.wants_write() {
        client.step();
    }
    let mut buffer = [0; 100];
    assert!(server.may_have_input());
    assert_eq!(server.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(server.may_have_input(), "the socket has more");
    assert_eq!(read_all(&mut server, 100).0, b"text that does not fit into five pieces of ten bytes each");
    assert!(!server.may_have_input());
}

#[test]
fn a_plain_stream_passes_bytes_as_they_are() {
    let (server, mut client) = sockets();
    let mut stream = Stream::from(PlainStream::new(server));
    client.write_all(b"in").unwrap();
    assert_eq!(read_all(&mut stream, 10).0, b"in");
    assert_eq!(stream.write_vectored(&[IoSlice::new(b"o"), IoSlice::new(b"ut")]).unwrap(), 3);
    assert!(!stream.has_pending_output() && !stream.may_have_input() && stream.flush().is_ok());
    assert!(stream.shutdown_write());
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"out");
}

//! Clients of the room over TLS, with real sockets and the events of a real poll.

use crate::common::tls::{End, TlsClient, VERSIONS, server_config};
use crate::common::{eventually, scripted};
use hubbub::chat::room::Room;
use hubbub::clients::Clients;
use hubbub::clients::close_reason::CloseReason;
use hubbub::net::peer::Peer;
use hubbub::net::stream::{Handshake, Stream};
use hubbub::net::tls::{TlsConfig, TlsStream};
use hubbub::net::transport::PlainStream;
use hubbub::util::clock::Moment;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::view::View;
use mio::{Events, Interest, Poll, Token};
use rustls::SupportedProtocolVersion;
use rustls::version::TLS13;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Bytes of the feed.
const FEED: usize = 1 << 20;

/// The table of clients with its poll.
struct Table {
    clients: Clients<Stream>,
    poll: Poll,
    listener: TcpListener,
    config: TlsConfig,
}

impl Table {
    fn new(test: &str) -> Self {
        let room = Room::new(scripted::config(FEED)).unwrap();
        Self {
            clients: Clients::new(room, scripted::limits()),
            poll: Poll::new().unwrap(),
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            config: server_config(test),
        }
    }

    /// Returns both ends of a connection, which do not block.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let server = self.listener.accept().unwrap().0;
        for end in [&server, &client] {
            end.set_nonblocking(true).unwrap();
            end.set_nodelay(true).unwrap();
            // Otherwise the system would hold more than the feed.
            let socket = SockRef::from(end);
            socket.set_send_buffer_size(64 * 1024).unwrap();
            socket.set_recv_buffer_size(64 * 1024).unwrap();
        }
        (server, client)
    }

    fn admit(&mut self, stream: Stream) -> ClientId {
        let peer = Peer::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let registry = self.poll.registry();
        let register = |stream: &mut Stream, id: ClientId| {
            registry.register(stream, Token(id.number()), Interest::READABLE | Interest::WRITABLE)
        };
        self.clients.admit(stream, View::Plain, peer, Moment::default(), register).unwrap()
    }

    fn join_plain(&mut self) -> TcpStream {
        let (server, client) = self.connect();
        self.admit(PlainStream::new(server).into());
        client
    }

    /// Admits a TLS client after its handshake, in whose last part it sends `first`.
    fn join(
        &mut self,
        version: &'static SupportedProtocolVersion,
        first: &str,
    ) -> (TlsClient<TcpStream>, ClientId) {
        let (server, client) = self.connect();
        let mut stream = TlsStream::accept(PlainStream::new(server), &self.config).unwrap();
        let mut client = TlsClient::new(client, version);
        client.send(first);
        eventually("the handshake", || {
            client.step();
            (stream.handshake().unwrap() == Handshake::Done).then_some(())
        });
        let id = self.admit(stream.into());
        self.run("the rest of the handshake", &mut [&mut client], |_, clients| {
            !clients[0].session.is_handshaking()
        });
        (client, id)
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        let now = Moment::default();
        self.poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        for event in &events {
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            let writable = event.is_writable() || event.is_write_closed() || event.is_error();
            self.clients.mark_ready(ClientId::from_number(event.token().0), readable, writable, now);
        }
        self.clients.run_timers(now);
        self.clients.read(now);
        self.clients.write(now);
        self.clients.sweep(now);
    }

    /// Runs turns, and steps of `clients`, until `is_done`.
    #[track_caller]
    fn run(
        &mut self,
        what: &str,
        clients: &mut [&mut TlsClient<TcpStream>],
        mut is_done: impl FnMut(&mut Self, &mut [&mut TlsClient<TcpStream>]) -> bool,
    ) {
        eventually(what, || {
            self.turn();
            for client in clients.iter_mut() {
                client.step();
            }
            is_done(self, clients).then_some(())
        });
    }

    fn lost(&self) -> u64 {
        self.clients.stats.closed[CloseReason::ConnectionLost(ErrorKind::Other).index()]
    }
}

/// Returns numbered lines of 20 bytes, `bytes` in all.
fn lines(bytes: usize) -> Vec<u8> {
    (0..bytes / 20).flat_map(|number| format!("line number {number:7}\n").into_bytes()).collect()
}

/// Adds to `received` what has arrived.
fn take_arrived(client: &mut TcpStream, received: &mut Vec<u8>) {
    // It ends with WouldBlock, and keeps what came before.
    _ = client.read_to_end(received);
}

#[test]
fn a_line_passes_between_tls_and_plain_in_both_directions() {
    for version in VERSIONS {
        let mut table = Table::new("both");
        let mut plain = table.join_plain();
        let (mut client, _) = table.join(version, "");
        let mut received = Vec::new();
        client.send("from tls\n");
        plain.write_all(b"from plain\n").unwrap();
        table.run("both lines", &mut [&mut client], |_, clients| {
            take_arrived(&mut plain, &mut received);
            clients[0].received == b"from plain\n" && received == b"from tls\n"
        });
    }
}

#[test]
fn a_line_sent_with_the_end_of_the_handshake_is_relayed() {
    for version in VERSIONS {
        let mut table = Table::new("first");
        let mut plain = table.join_plain();
        let (mut client, _) = table.join(version, "at once\n");
        let mut received = Vec::new();
        table.run("the line", &mut [&mut client], |_, _| {
            take_arrived(&mut plain, &mut received);
            received == b"at once\n"
        });
    }
}

#[test]
fn a_reader_that_stops_in_the_middle_of_a_paste_and_goes_on_gets_all_of_it() {
    for version in VERSIONS {
        let mut table = Table::new("stops");
        let (mut sender, _) = table.join(version, "");
        let (mut reader, _) = table.join(version, "");
        let (mut stopped, id) = table.join(version, "");
        let sent = lines(3 * FEED);
        sender.send(&sent);
        stopped.reads = false;
        // The feed is full: the sender waits for the reader.
        table.run("the sender waits", &mut [&mut sender, &mut reader, &mut stopped], |table, clients| {
            let is_blocked = !table.clients.has_work() && clients[1].received.len() >= FEED / 2;
            is_blocked && clients[0].session.wants_write()
        });
        assert!(reader.received.len() < sent.len());
        stopped.reads = true;
        table.run("the whole paste", &mut [&mut sender, &mut reader, &mut stopped], |_, clients| {
            clients[1].received.len() == sent.len() && clients[2].received.len() == sent.len()
        });
        assert!(reader.received == sent && stopped.received == sent);
        assert!(table.clients.connection(id).is_some() && sender.received.is_empty());
    }
}

#[test]
fn a_reader_far_behind_is_written_a_record_in_each_turn_without_further_events() {
    let mut table = Table::new("behind");
    let mut plain = table.join_plain();
    let (mut reader, _) = table.join(&TLS13, "");
    table.turn();
    let sent = lines(50_000);
    plain.write_all(&sent).unwrap();
    let mut turns = 0;
    table.run("all lines", &mut [&mut reader], |_, clients| {
        turns += usize::from(!clients[0].received.is_empty());
        clients[0].received.len() == sent.len()
    });
    assert!(reader.received == sent);
    assert!(turns < 50, "{turns}");
}

#[test]
fn the_end_with_close_notify_is_a_goodbye_and_an_end_without_it_drops_the_unfinished_line() {
    for version in VERSIONS {
        for is_orderly in [true, false] {
            let mut table = Table::new("goodbye");
            let (mut client, _) = table.join(version, "");
            let mut plain = table.join_plain();
            let mut received = Vec::new();
            client.send("whole\nunfinished");
            if is_orderly {
                client.session.send_close_notify();
            }
            while client.session.wants_write() {
                client.step();
            }
            client.socket.shutdown(Shutdown::Write).unwrap();
            table.run("the leave", &mut [&mut client], |table, _| table.clients.online() == 1);
            table.run("the lines", &mut [], |_, _| {
                take_arrived(&mut plain, &mut received);
                received.starts_with(b"whole\n")
            });
            let expected: &[u8] = if is_orderly { b"whole\nunfinished\n" } else { b"whole\n" };
            assert_eq!(received, expected);
            assert_eq!(table.lost(), u64::from(!is_orderly));
            table.run("the end", &mut [&mut client], |_, clients| clients[0].end.is_some());
            assert_eq!(client.end, Some(End::Orderly));
        }
    }
}

#[test]
fn a_client_that_sends_a_bad_record_is_lost_after_its_whole_lines_are_relayed() {
    for version in VERSIONS {
        let mut table = Table::new("bad-record");
        let (mut client, _) = table.join(version, "");
        let mut plain = table.join_plain();
        let mut received = Vec::new();
        client.send("good\nunfinished");
        while client.session.wants_write() {
            client.step();
        }
        client.socket.write_all(&[23, 3, 3, 0, 20]).unwrap();
        client.socket.write_all(&[7; 20]).unwrap();
        table.run("the loss", &mut [&mut client], |table, _| table.clients.online() == 1);
        table.run("the line", &mut [], |_, _| {
            take_arrived(&mut plain, &mut received);
            !received.is_empty()
        });
        assert_eq!((received.as_slice(), table.lost()), (&b"good\n"[..], 1));
    }
}

#[test]
fn a_server_that_stops_sends_a_slow_reader_the_rest_and_then_close_notify() {
    for version in VERSIONS {
        let mut table = Table::new("stop");
        let mut plain = table.join_plain();
        let (mut reader, _) = table.join(version, "");
        reader.reads = false;
        let sent = lines(FEED * 3 / 4);
        let mut rest = &sent[..];
        table.run("the paste", &mut [&mut reader], |table, _| {
            if let Ok(count) = plain.write(rest) {
                rest = &rest[count..];
            }
            rest.is_empty() && table.clients.room().stats().lines as usize == sent.len() / 20
        });
        table.clients.shut_down(Moment::default());
        table.run("its output is pending", &mut [&mut reader], |table, _| !table.clients.has_work());
        assert_eq!(table.clients.online(), 2);
        reader.reads = true;
        table.run("the end", &mut [&mut reader], |_, clients| clients[0].end.is_some());
        assert!(reader.received == sent && reader.end == Some(End::Orderly));
        drop((reader, plain));
        table.run("all are removed", &mut [], |table, _| table.clients.is_empty());
        assert_eq!(table.lost(), 0);
    }
}

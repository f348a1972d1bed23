//! The commands of an operator, with scripted sockets and a clock that the test sets.

use crate::common::scripted::*;
use crate::{block, lines};
use hubbub::admin::{Admin, Operated};
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::RoomConfig;
use hubbub::clients::close_reason::CloseReason;
use hubbub::net::bans::Bans;
use hubbub::net::cidr::Cidr;
use hubbub::net::peer::Peer;
use hubbub::wire::view::View;
use std::net::IpAddr;
use std::time::Duration;

const UNIX: Peer = Peer::Unix { pid: 7, uid: 1000 };

/// A server, and an operator who is connected to it.
struct Operator {
    server: ScriptedServer,
    admin: Admin<ScriptedSocket>,
    bans: Bans,
    proxies: Vec<Cidr>,
    socket: ScriptedClient,
    seen: usize,
}

impl Operator {
    fn of(server: ScriptedServer) -> Self {
        let mut admin = Admin::new();
        let socket = operator(&mut admin);
        Self { server, admin, bans: Bans::default(), proxies: Vec::new(), socket, seen: 0 }
    }

    /// A server of these views, whose feed has the usual size.
    fn in_views(views: &[View]) -> Self {
        Self::of(ScriptedServer::with_views(FEED, views))
    }

    /// Takes as many turns as there is work for.
    #[track_caller]
    fn run(&mut self) {
        for _ in 0..MAX_TURNS {
            let mut operated = Operated {
                clients: &mut self.server.clients,
                bans: &mut self.bans,
                proxies: &self.proxies,
                pending: 0,
            };
            self.admin.run(&mut operated, self.server.now);
            self.server.turn();
            if !self.admin.has_work() && !self.server.clients.has_work() {
                return;
            }
        }
        panic!("after {MAX_TURNS} turns there is still work");
    }

    /// Sends a command, and returns the answer without its last line end.
    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.socket.queue_input(format!("{command}\n"));
        self.admin.mark_ready(0, true, false);
        self.run();
        self.new_output()
    }

    #[track_caller]
    fn new_output(&mut self) -> String {
        let received = self.socket.received().split_off(self.seen);
        self.seen += received.len();
        let text = String::from_utf8(received).unwrap();
        text.strip_suffix('\n').expect("whole lines").to_owned()
    }

    #[track_caller]
    fn join_from(&mut self, address: &str) -> ScriptedClient {
        let address = address.parse::<IpAddr>().unwrap();
        let client = self.server.join_from(address);
        self.server.run_until_idle();
        client
    }

    fn is_banned(&self, address: &str) -> bool {
        self.bans.contains(address.parse().unwrap(), self.server.now)
    }
}

/// Connects an operator in the next free slot.
fn operator(admin: &mut Admin<ScriptedSocket>) -> ScriptedClient {
    let client = ScriptedClient::traced(0, &std::rc::Rc::default());
    admin.accept(client.socket.clone(), UNIX, |_, _| Ok(()));
    client
}

#[test]
fn who_lists_each_client_on_one_line_in_the_order_of_their_joins() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named, View::Json]);
    assert_eq!(operator.ask("who"), "* 0 clients");
    let first = operator.join_from("203.0.113.7");
    operator.server.advance(5 * SECOND);
    let alice = operator.server.join_in_view(View::Named);
    let local = operator.server.join_as_peer(View::Json, UNIX);
    operator.server.send(&alice, "/nick alice\nhi\n");
    operator.server.end(&first);
    operator.server.advance(3 * SECOND);
    let third = operator.join_from("2001:db8::7");
    third.accepts([], Accept::WouldBlock);
    operator.server.send(&alice, "12345678\n");
    let ids = [&alice, &local, &third].map(|client| client.id.number());
    assert_eq!(
        operator.ask("who"),
        format!(
            "* 3 clients\n{} alice named 127.0.0.1:1 3 3 0\n{} anon3 json pid=7,uid=1000 3 0 0\n\
             {} anon4 plain [2001:db8::7]:1 0 0 9",
            ids[0], ids[1], ids[2]
        )
    );
}

#[test]
fn in_a_room_without_names_clients_are_found_by_their_ids() {
    let mut operator = Operator::in_views(&[View::Plain]);
    let (one, other) = (operator.join_from("203.0.113.7"), operator.join_from("203.0.113.7"));
    let id = other.id.number();
    assert!(operator.ask("who").ends_with(&format!("\n{id} - plain 203.0.113.7:1 0 0 0")));
    assert_eq!(operator.ask("kick anon1"), "* error: nobody here is named \"anon1\": who lists the clients");
    assert_eq!(operator.ask(&format!("kick {id}")), "* ok, 1 client disconnected");
    other.expect_received("* disconnected: removed by the operator\n");
    one.expect_received("");
    let error = format!("* error: no client has the id {id}: who lists the clients");
    assert_eq!(operator.ask(&format!("kick {id}")), error);
}

#[test]
fn a_kicked_client_is_told_the_reason_in_its_view_and_the_others_that_it_left() {
    for (view, told) in [
        (View::Plain, "* disconnected: spam \\x1B[1m\n"),
        (View::Named, "* disconnected: spam \\x1B[1m\n"),
        (
            View::Json,
            "{\"type\":\"error\",\"text\":\"disconnected: spam \\\\x1B[1m\",\"at\":\"2026-01-02T03:04:05.678Z\"}\n",
        ),
    ] {
        let mut operator = Operator::in_views(&View::ALL);
        let (kicked, other) = (operator.server.join_in_view(view), operator.server.join_in_view(View::Named));
        operator.server.advance(3 * SECOND);
        let before = other.received().len();
        assert_eq!(operator.ask("kick ANON1 spam \x1B[1m"), "* ok, 1 client disconnected");
        assert!(String::from_utf8(kicked.received()).unwrap().ends_with(told), "{view:?}");
        assert!(kicked.script().is_shut_down, "its connection is closed in order");
        assert_eq!(&other.received()[before..], b"* anon1 left\n");
        operator.server.end(&kicked);
        assert!(kicked.is_removed());
        assert_eq!(operator.server.closed(CloseReason::Kicked), 1);
    }
}

#[test]
fn a_client_that_waits_for_others_is_removed_at_once_and_none_of_its_input_is_relayed() {
    let (server, [stuck, bulk]) = ScriptedServer::with_clients(FEED);
    let mut operator = Operator::of(server);
    block(&mut operator.server, &stuck, &bulk);
    assert_eq!(operator.ask(&format!("kick {}", bulk.id.number())), "* ok, 1 client disconnected");
    assert_eq!((bulk.unread(), operator.server.clients.unparsed()), (0, 0), "the rest is dropped");
    assert!(operator.ask("stats").contains("\nblocked_clients 0\n"), "it claims no space");
    bulk.expect_received("* disconnected: removed by the operator\n");
    let relayed = operator.server.clients.room().stats().lines;
    operator.server.accept_all(&stuck);
    assert_eq!(stuck.lines() as u64, relayed);
    operator.server.end(&bulk);
    assert!(bulk.is_removed());
}

#[test]
fn a_client_that_has_reached_its_rate_limit_is_removed_at_once() {
    let config = RoomConfig { rate: RateLimit::new(1), ..config(FEED) };
    let mut operator = Operator::of(ScriptedServer::new(config, limits()));
    let (flooder, reader) = (operator.join_from("203.0.113.7"), operator.join_from("203.0.113.8"));
    operator.server.send(&flooder, lines(2000));
    let before = reader.lines();
    assert!(before < 100 && operator.server.pending_input(&flooder) > 0, "{before}");
    operator.ask(&format!("kick {} slowly", flooder.id.number()));
    operator.server.end(&flooder);
    assert!(flooder.is_removed());
    flooder.expect_received("* disconnected: slowly\n");
    assert_eq!(reader.lines(), before);
}

#[test]
fn a_ban_removes_all_clients_of_its_range_and_ends_by_itself() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named]);
    let inside = ["203.0.113.7", "::ffff:203.0.113.200"].map(|address| operator.join_from(address));
    let outside = ["203.0.112.7", "2001:db8::1"].map(|address| operator.join_from(address));
    let local = operator.server.join_as_peer(View::Plain, UNIX);
    assert_eq!(
        operator.ask("ban 203.0.113.0/24 30m"),
        "* ok, 203.0.113.0/24 is banned for 30m, 2 clients disconnected"
    );
    for client in &inside {
        client.expect_received("* disconnected: banned by the operator\n");
        operator.server.end(client);
    }
    outside.iter().chain([&local]).for_each(|client| client.expect_received(""));
    assert_eq!(operator.server.closed(CloseReason::Banned), 2);
    operator.server.advance(Duration::from_secs(90));
    assert_eq!(operator.ask("bans"), "* 1 ban\n203.0.113.0/24 29m");
    assert!(operator.is_banned("203.0.113.1") && !operator.is_banned("203.0.112.7"));
    operator.server.advance(Duration::from_secs(1710));
    assert_eq!(operator.ask("bans"), "* 0 bans");
    assert!(!operator.is_banned("203.0.113.1"));
}

#[test]
fn a_ban_by_name_is_one_of_its_address_and_unban_ends_the_same_range() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named]);
    let alone = operator.join_from("203.0.113.7");
    let _same_network = ["2001:db8:0:7::1", "2001:db8:0:7::2"].map(|address| operator.join_from(address));
    for (ban, answer) in [
        ("ban anon1", "* ok, 203.0.113.7 is banned for 60m, 1 client disconnected"),
        ("BAN Anon2 7d", "* ok, 2001:db8:0:7::/64 is banned for 7d, 2 clients disconnected"),
        ("ban 203.0.113.7:4000 90s", "* ok, 203.0.113.7 is banned for 90s, 0 clients disconnected"),
        ("ban 203.0.113.0/24", "* ok, 203.0.113.0/24 is banned for 60m, 0 clients disconnected"),
        ("bans", "* 3 bans\n203.0.113.0/24 60m\n203.0.113.7 90s\n2001:db8:0:7::/64 7d"),
        ("unban 2001:db8:0:7::ffff", "* ok, 2001:db8:0:7::/64 is not banned now"),
        ("unban 203.0.113.7", "* ok, 203.0.113.7 is not banned now"),
        ("unban 203.0.113.7", "* error: 203.0.113.7 is not banned: bans lists the bans"),
        ("bans", "* 1 ban\n203.0.113.0/24 60m"),
    ] {
        assert_eq!(operator.ask(ban), answer, "{ban}");
    }
    alone.expect_received("* disconnected: banned by the operator\n");
    assert!(operator.is_banned("203.0.113.7"), "by the wider ban");
    assert!(!operator.is_banned("2001:db8:0:7::1"));
}

#[test]
fn a_ban_that_would_keep_out_this_machine_or_all_clients_of_a_proxy_is_refused() {
    let mut operator = Operator::in_views(&[View::Plain]);
    operator.proxies = vec![Cidr::parse("192.0.2.0/28").unwrap()];
    let local = operator.server.join_as_peer(View::Plain, UNIX);
    let near = operator.join_from("127.0.0.9");
    let id = |client: &ScriptedClient| client.id.number().to_string();
    for (range, error) in [
        ("127.0.0.1", "127.0.0.1 has addresses of this machine: use kick"),
        (&id(&near), "127.0.0.9 has addresses of this machine: use kick"),
        ("::1", "::/64 has addresses of this machine: use kick"),
        ("0.0.0.0/0", "0.0.0.0/0 has addresses of this machine: use kick"),
        ("::ffff:127.0.0.1", "127.0.0.1 has addresses of this machine: use kick"),
        ("192.0.2.7", "192.0.2.7 has addresses of the proxies in 192.0.2.0/28: ban what they tell"),
        ("192.0.0.0/16", "192.0.0.0/16 has addresses of the proxies in 192.0.2.0/28: ban what they tell"),
        (&id(&local), "a client of a unix socket has no address: use kick"),
        ("bob", "nobody here is named \"bob\": who lists the clients"),
    ] {
        assert_eq!(operator.ask(&format!("ban {range}")), format!("* error: {error}"));
    }
    assert_eq!(operator.ask("bans"), "* 0 bans");
    [local, near].iter().for_each(|client| client.expect_received(""));
    assert!(operator.ask("ban 192.0.2.16").starts_with("* ok"));
}

#[test]
fn there_are_at_most_4096_bans_and_mutes() {
    let mut operator = Operator::in_views(&[View::Plain]);
    for word in ["ban", "mute"] {
        for number in 0..4096 {
            let answer = operator.ask(&format!("{word} 10.0.{}.{}", number / 256, number % 256));
            assert!(answer.starts_with("* ok, 10.0."), "{answer}");
        }
        let full = "* error: there are 4096 already, the most: end one first";
        assert_eq!(operator.ask(&format!("{word} 11.0.0.0")), full);
        assert!(operator.ask(&format!("{word} 10.0.0.1")).starts_with("* ok"), "one that exists");
        assert!(operator.ask(&format!("un{word} 10.0.0.1")).starts_with("* ok"));
        assert!(operator.ask(&format!("{word} 11.0.0.0")).starts_with("* ok"));
        assert!(operator.ask(&format!("{word}s")).starts_with(&format!("* 4096 {word}s\n")));
    }
}

const MUTED: &str = "* you are muted: nothing was sent\n";

#[test]
fn nothing_that_a_muted_client_sends_reaches_others_and_its_other_commands_work() {
    let mut operator = Operator::in_views(&View::ALL);
    let muted = operator.server.join_in_view(View::Named);
    let reader = operator.join_from("2001:db8::1");
    let bob = operator.server.join_as_peer(View::Named, UNIX);
    operator.server.advance(3 * SECOND);
    operator.server.send(&bob, "/nick bob\n");
    let before = [&muted, &bob].map(|client| client.received().len());
    assert_eq!(operator.ask("mute anon1"), "* ok, 127.0.0.1 is muted, 1 client");
    for line in ["hi", "/me waves", "/msg bob hi", "/nick eve", "//x"] {
        let before = muted.received().len();
        operator.server.send(&muted, format!("{line}\n"));
        assert_eq!(&muted.received()[before..], MUTED.as_bytes(), "{line}");
    }
    for (line, answer) in [
        ("/who", "* 3 here: anon1, anon2, bob\n"),
        ("", ""),
        (
            "/mgs",
            "* unknown command /mgs: nothing was sent; /help lists the commands, //mgs sends it as text\n",
        ),
    ] {
        let before = muted.received().len();
        operator.server.send(&muted, format!("{line}\n"));
        assert_eq!(String::from_utf8_lossy(&muted.received()[before..]), answer, "{line}");
    }
    assert_eq!(bob.received().len(), before[1]);
    assert_eq!(operator.ask("unmute 127.0.0.1"), "* ok, 127.0.0.1 is not muted now, 1 client");
    operator.server.send(&muted, "hi again\n");
    reader.expect_received("hi again\n");
    operator.ask("mute anon1");
    operator.server.send(&muted, "/quit\n");
    assert!(muted.script().is_shut_down);
}

#[test]
fn a_mute_holds_in_each_view_for_clients_that_connect_later() {
    let mut operator = Operator::in_views(&View::ALL);
    let reader = operator.join_from("203.0.113.8");
    let old = operator.join_from("203.0.113.7");
    assert_eq!(operator.ask("mute anon2"), "* ok, 203.0.113.7 is muted, 1 client");
    operator.server.end(&old);
    let new = operator.join_from("203.0.113.7");
    operator.server.send(&new, "hi\n");
    new.expect_received(MUTED);
    assert_eq!(operator.ask("mute 2001:db8::/32"), "* ok, 2001:db8::/32 is muted, 0 clients");
    let json_peer = Peer::from(std::net::SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 1)));
    let json = operator.server.join_as_peer(View::Json, json_peer);
    operator.server.send(&json, "hi\n");
    json.expect_received(
        r#"{"type":"error","text":"you are muted: nothing was sent","at":"2026-01-02T03:04:05.678Z"}
"#,
    );
    assert_eq!(operator.ask("mutes"), "* 2 mutes\n203.0.113.7\n2001:db8::/32");
    assert_eq!(
        operator.ask("unmute 2001:db8::1"),
        "* error: 2001:db8::/64 is not muted: mutes lists the mutes"
    );
    assert_eq!(operator.ask("unmute anon3"), "* ok, 203.0.113.7 is not muted now, 1 client");
    operator.server.send(&new, "hi again\n");
    reader.expect_received("hi again\n");
}

#[test]
fn a_client_of_a_unix_socket_is_muted_alone() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named]);
    let (one, other) =
        (operator.server.join_as_peer(View::Plain, UNIX), operator.server.join_as_peer(View::Plain, UNIX));
    let id = one.id.number();
    assert_eq!(operator.ask("mute anon1"), format!("* ok, {id} is muted, 1 client"));
    operator.server.send(&one, "hi\n");
    one.expect_received(MUTED);
    other.expect_received("");
    operator.server.send(&other, "hi\n");
    one.expect_received(format!("{MUTED}hi\n"));
    assert_eq!(operator.ask("mutes"), format!("* 1 mute\n{id}"));
    assert!(operator.ask("stats").contains("\nmutes 1\n"));
    assert_eq!(operator.ask("unmute anon1"), format!("* ok, {id} is not muted now, 1 client"));
    assert_eq!(operator.ask("unmute anon1"), format!("* error: {id} is not muted: mutes lists the mutes"));
    operator.server.send(&one, "hi too\n");
    other.expect_received("hi too\n");
    operator.ask(&format!("mute {id}"));
    operator.server.end(&one);
    assert_eq!(operator.ask("mutes"), "* 0 mutes");
}

#[test]
fn what_the_operator_says_reaches_all_clients_with_names_as_a_notice() {
    let mut operator = Operator::in_views(&View::ALL);
    let [plain, named, json] = View::ALL.map(|view| operator.server.join_in_view(view));
    assert_eq!(operator.ask("say down at 5\u{2028}<bob> \x07"), "* ok, 2 clients");
    plain.expect_received("");
    named.expect_received("* down at 5\\u2028<bob> \\x07\n");
    json.expect_received(
        r#"{"type":"notice","text":"down at 5\\u2028<bob> \\x07","at":"2026-01-02T03:04:05.678Z"}
"#,
    );
}

#[test]
fn a_text_that_finds_no_space_or_is_too_long_is_refused() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named]);
    let stuck = operator.server.join_in_view(View::Named);
    stuck.accepts([], Accept::WouldBlock);
    let limit = operator.server.clients.room().rules().max_line;
    let text = "x".repeat(limit.min(4000));
    while operator.ask(&format!("say {text}")) == "* ok, 1 client" {}
    assert_eq!(
        operator.ask(&format!("say {text}")),
        "* error: slow readers have filled the feed: try again later"
    );
    operator.server.accept_all(&stuck);
    assert_eq!(operator.ask(&format!("say {text}")), "* ok, 1 client");
    let mut operator = Operator::of(ScriptedServer::with_views(4096, &[View::Named]));
    let long = "x".repeat(257);
    assert_eq!(operator.ask(&format!("say {long}")), "* error: the text is too long: at most 256 bytes");
}

#[test]
fn commands_that_arrive_in_pieces_or_at_once_are_answered_in_their_order() {
    let mut operator = Operator::in_views(&[View::Plain]);
    operator.socket.queue_input("bans\r\n\n  \nmutes\nwh");
    operator.admin.mark_ready(0, true, false);
    operator.run();
    assert_eq!(operator.new_output(), "* 0 bans\n* 0 mutes");
    operator.socket.queue_input("o\nunban 10.0.0.7");
    operator.socket.queue_end();
    operator.admin.mark_ready(0, true, false);
    operator.run();
    assert_eq!(
        operator.new_output(),
        "* 0 clients\n* error: 10.0.0.7 is not banned: bans lists the bans",
        "an unfinished line at the end of the input is a command"
    );
    assert!(operator.socket.script().is_shut_down && operator.socket.is_removed());
}

#[test]
fn a_line_that_is_too_long_is_refused_whole_and_the_next_is_read() {
    for length in [4097, 8192, 100_000] {
        let mut operator = Operator::in_views(&[View::Named]);
        let long = format!("say {}\nbans\n", "x".repeat(length - 4));
        for piece in long.as_bytes().chunks(1000) {
            operator.socket.queue_input(piece);
        }
        operator.admin.mark_ready(0, true, false);
        operator.run();
        assert_eq!(
            operator.new_output(),
            "* error: line too long: at most 4096 bytes\n* 0 bans",
            "{length} bytes"
        );
    }
    let mut operator = Operator::in_views(&[View::Named]);
    let longest = "say ".to_owned() + &"x".repeat(4092);
    assert_eq!(operator.ask(&longest), "* error: the text is too long: at most 4000 bytes");
}

#[test]
fn the_next_command_waits_until_the_answer_is_read_and_a_reader_that_reads_nothing_is_closed() {
    let mut operator = Operator::in_views(&[View::Plain, View::Named]);
    let client = operator.join_from("203.0.113.7");
    operator.socket.accepts([Accept::Bytes(5)], Accept::WouldBlock);
    operator.socket.queue_input("help\nkick anon1\n");
    operator.admin.mark_ready(0, true, false);
    operator.run();
    client.expect_received("");
    let deadline = operator.admin.next_deadline().unwrap();
    assert_eq!(deadline.since(operator.server.now), 30 * SECOND);
    operator.socket.accepts([], Accept::All);
    operator.admin.mark_ready(0, false, true);
    operator.run();
    client.expect_received("* disconnected: removed by the operator\n");
    assert!(operator.new_output().ends_with("* ok, 1 client disconnected"));
    assert_eq!(operator.admin.next_deadline(), None);
    operator.socket.accepts([], Accept::WouldBlock);
    operator.socket.queue_input("help\n");
    operator.admin.mark_ready(0, true, false);
    operator.run();
    operator.server.advance(29 * SECOND);
    operator.run();
    assert!(!operator.socket.is_removed());
    operator.server.advance(SECOND);
    operator.run();
    assert!(operator.socket.is_removed());
}

#[test]
fn a_list_of_many_clients_is_written_as_the_operator_reads_it() {
    let mut operator = Operator::in_views(&[View::Plain]);
    let clients = (0..900).map(|_| operator.server.join()).collect::<Vec<_>>();
    operator.server.run_until_idle();
    operator.socket.accepts([], Accept::Bytes(777));
    let answer = operator.ask("who");
    let numbers = answer.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned());
    let expected = clients.iter().map(|client| client.id.number().to_string());
    assert_eq!(
        (answer.lines().next(), numbers.collect::<Vec<_>>()),
        (Some("* 900 clients"), expected.collect())
    );
}

#[test]
fn the_17th_connection_is_refused_with_a_reason_until_another_is_closed() {
    let mut operators = Operator::in_views(&[View::Plain]);
    let others = (1..16).map(|_| operator(&mut operators.admin)).collect::<Vec<_>>();
    let refused = operator(&mut operators.admin);
    refused.expect_received("* error: too many admin connections, try again\n");
    assert!(!others.iter().any(ScriptedClient::is_removed), "16 are open");
    assert!(refused.script().is_shut_down && refused.is_removed());
    others[6].queue_end();
    operators.admin.mark_ready(7, true, false);
    operators.run();
    let next = operator(&mut operators.admin);
    next.queue_input("bans\n");
    operators.admin.mark_ready(7, true, false);
    operators.run();
    next.expect_received("* 0 bans\n");
    operators.admin.close();
    assert!(others.iter().chain([&next, &operators.socket]).all(ScriptedClient::is_removed));
}

#[test]
fn the_figures_are_the_same_as_lines_and_as_prometheus_text() {
    let mut operator = Operator::in_views(&View::ALL);
    let (one, reader) = (operator.join_from("203.0.113.7"), operator.server.join_in_view(View::Json));
    operator.server.send(&one, "hi\n");
    operator.server.end(&one);
    reader.accepts([], Accept::WouldBlock);
    operator.ask("ban 203.0.113.7");
    let stats = operator.ask("stats");
    let (first, values) = stats.split_once('\n').unwrap();
    let values = values.lines().map(|line| line.split_once(' ').unwrap()).collect::<Vec<_>>();
    assert_eq!(first, format!("* {} values", values.len()));
    let metrics = operator.ask("metrics");
    assert!(metrics.ends_with("\n# EOF"));
    let mut samples = Vec::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.strip_prefix("hubbub_").unwrap();
        let (name, label) = name.split_once('{').unwrap_or((name, ""));
        let label = label.trim_end_matches("\"}").split_once("=\"");
        assert!(label.is_none_or(|(label, _)| ["view", "reason"].contains(&label)), "{line}");
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert!(metrics.contains(&format!("# TYPE hubbub_{name} {kind}\n")), "{line}");
        let name = name.trim_end_matches("_total");
        samples.push((label.map_or(name.to_owned(), |(_, of)| format!("{name}_{of}")), value));
    }
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>();
    assert_eq!(samples, values);
    for expected in [
        ("clients_plain", "0"),
        ("clients_json", "1"),
        ("accepted_connections", "2"),
        ("closed_connections_left", "1"),
        ("relayed_lines", "1"),
        ("relayed_bytes", "3"),
        ("received_bytes", "3"),
        ("bans", "1"),
    ] {
        assert!(
            values.iter().any(|(name, value)| (name.as_str(), *value) == expected),
            "{expected:?}: {stats}"
        );
    }
}

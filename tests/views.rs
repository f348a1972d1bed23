//! One room in three views: how an event appears in each, and how commands work.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::*;
use common::{Client, Server, eventually};
use hubbub::wire::view::View;
use serde_json::Value;
use std::net::SocketAddr;

/// A server with one listener per view.
struct Room {
    server: Server,
    addresses: [SocketAddr; 3],
}

impl Room {
    #[track_caller]
    fn open(options: &[&str]) -> Self {
        let (server, addresses) = Server::start_in_views(options);
        Self { server, addresses }
    }

    /// Connects, and reads nothing.
    #[track_caller]
    fn connect(&self, view: View) -> Client {
        Client::connect(self.addresses[view.index()])
    }

    /// Joins, and reads the greeting. Returns the client and its name, empty in the plain view.
    #[track_caller]
    fn join(&self, view: View) -> (Client, String) {
        let mut client = self.connect(view);
        let name = match view {
            View::Plain => {
                client.expect_line(WELCOME);
                String::new()
            }
            View::Named => {
                client.expect_line(WELCOME);
                let greeting = client.read_text();
                let name = greeting.strip_prefix(YOU_ARE).and_then(|rest| rest.split(' ').next());
                name.unwrap_or_else(|| panic!("{greeting}")).to_owned()
            }
            View::Json => {
                let greeting = read_object(&mut client);
                assert_eq!((&greeting["type"], &greeting["text"]), (&"notice".into(), &WELCOME.into()));
                greeting["name"].as_str().unwrap().to_owned()
            }
        };
        (client, name)
    }

    /// Joins one client per view: anon1, nora and json.
    #[track_caller]
    fn three(&self) -> [Client; 3] {
        let [(plain, _), (mut named, _), (mut json, _)] = View::ALL.map(|view| self.join(view));
        named.send("/nick nora\n");
        named.expect_line(format!("* {}", renamed("nora")));
        json.send("/nick json\n");
        assert_eq!(read_object(&mut json)["text"], renamed("json"));
        [plain, named, json]
    }

    /// Connects until `is_in` accepts a client's first line, which it does once another client has left.
    #[track_caller]
    fn join_when_free(&self, view: View, is_in: impl Fn(&str) -> bool) -> Client {
        eventually("the room has a free place", || {
            let mut client = self.connect(view);
            is_in(&client.read_text()).then_some(client)
        })
    }
}

/// Parses a line of the json view, and checks its time of day.
#[track_caller]
fn object(line: &str) -> Value {
    let value = serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not an object: {line}"));
    let at = value["at"].as_str().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(at.len() == 24 && at.ends_with('Z') && at.contains('T'), "{at}");
    assert!(value["type"].is_string(), "{value}");
    value
}

#[track_caller]
fn read_object(client: &mut Client) -> Value {
    object(&client.read_text())
}

/// Returns the next line that is no notice of a join, a leave or a new name, because joins come late.
#[track_caller]
fn next_message(client: &mut Client) -> String {
    let is_notice = |line: &String| {
        let is_json = ["join", "leave", "notice"].map(|kind| line.starts_with(&object_of(kind)));
        line.starts_with("* ") && !line.starts_with("* private ") || is_json.contains(&true)
    };
    std::iter::repeat_with(|| client.read_text()).find(|line| !is_notice(line)).unwrap()
}

/// Returns the next line that is no notice of a join.
#[track_caller]
fn next_but_joins(client: &mut Client) -> String {
    let is_join = |line: &String| line.contains(" joined (") || line.starts_with(&object_of("join"));
    std::iter::repeat_with(|| client.read_text()).find(|line| !is_join(line)).unwrap()
}

/// How an object of this type begins.
fn object_of(kind: &str) -> String {
    format!(r#"{{"type":"{kind}""#)
}

/// Returns the next line without the form of its view, and whether it is an error. In the named view
/// the answer is unknown.
#[track_caller]
fn next_reply(client: &mut Client, view: View) -> (String, Option<bool>) {
    let line = next_but_joins(client);
    if view == View::Json {
        let value = object(&line);
        assert!(value["type"] == "error" || value["type"] == "notice", "{line}");
        return (value["text"].as_str().unwrap().to_owned(), Some(value["type"] == "error"));
    }
    (line.strip_prefix("* ").unwrap_or_else(|| panic!("{line}")).to_owned(), None)
}

/// How a message begins in a view.
fn message_in(view: View, from: &str, text: &str) -> String {
    match view {
        View::Plain => text.to_owned(),
        View::Named => format!("<{from}> {text}"),
        View::Json => format!(r#"{},"from":"{from}","text":"{text}","at":"#, object_of("message")),
    }
}

#[test]
fn a_message_appears_in_each_view_in_its_form_and_not_at_its_sender() {
    let room = Room::open(&[]);
    let mut receivers = room.three();
    let mut senders = View::ALL.map(|view| room.join(view).0);
    let names = ["anon4", "vera", "bot"];
    senders[1].send("/nick vera\n");
    senders[2].send("/nick bot\n");
    for from in View::ALL {
        for text in ["hi", "<nora> hi", "* nora left", "/etc/passwd", "ünï 名前"] {
            senders[from.index()].send(format!("{text}\r\n"));
            for to in View::ALL {
                let receiver = &mut receivers[to.index()];
                let line = if to == View::Plain { receiver.read_text() } else { next_message(receiver) };
                let expected = message_in(to, names[from.index()], text);
                let is_equal = if to == View::Json { line.starts_with(&expected) } else { line == expected };
                assert!(is_equal, "{from:?} to {to:?}: {line}, not {expected}");
            }
        }
    }
    // The senders received each other's lines, and none its own.
    for (from, sender) in senders.iter_mut().enumerate() {
        sender.end_input();
        let received = String::from_utf8(sender.read_to_end()).unwrap();
        let own = match from {
            0 => received.lines().filter(|line| *line == "hi").count().saturating_sub(2),
            _ => {
                received.lines().filter(|line| line.contains(names[from]) && line.contains("passwd")).count()
            }
        };
        assert_eq!(own, 0, "{received}");
    }
}

#[test]
fn in_the_plain_view_each_line_is_a_message_and_none_is_a_command() {
    let room = Room::open(&[]);
    let [mut plain, mut named, _json] = room.three();
    for line in ["/who", "/nick eve", "/quit", "//x", ""] {
        plain.send(format!("{line}\n"));
        assert_eq!(next_message(&mut named), format!("<anon1> {line}"));
    }
    // In the views with commands a blank line is ignored.
    named.send("\n \t\r\n//x\n/me waves\n");
    plain.expect_line("/x");
    plain.expect_line("/me waves");
}

#[test]
fn each_command_and_refused_line_is_answered_in_the_form_of_its_view() {
    let room = Room::open(&["--max-line", "300"]);
    let [_plain, mut named, mut json] = room.three();
    let long = "x".repeat(301);
    let rows = |other: &'static str| {
        [
            ("/help", HELP.to_owned(), false),
            ("/who", "3 here: anon1, json, nora".to_owned(), false),
            ("/nick", invalid_name(""), true),
            ("/nick a b", invalid_name("a b"), true),
            ("/nick anon7", name_reserved("anon7"), true),
            ("/nick YOU", name_reserved("YOU"), true),
            ("/nick server", name_reserved("server"), true),
            ("/nick 3", name_reserved("3"), true),
            (if other == "JSON" { "/nick JSON" } else { "/nick Nora" }, name_taken(other), true),
            ("/msg", MSG_NEEDS_TEXT.to_owned(), true),
            ("/msg nora ", MSG_NEEDS_TEXT.to_owned(), true),
            ("/msg nobody hi", nobody_named("nobody"), true),
            ("/msg anon1 hi", in_plain_view("anon1"), true),
            ("/me", ME_NEEDS_TEXT.to_owned(), true),
            ("/me   ", ME_NEEDS_TEXT.to_owned(), true),
            (&long, line_too_long(300), true),
        ]
    };
    for (client, view, other) in [(&mut named, View::Named, "JSON"), (&mut json, View::Json, "Nora")] {
        // One by one, and all in one segment.
        for batch in rows(other).chunks(1).chain([&rows(other)[..]]) {
            client.send(batch.iter().map(|(sent, ..)| format!("{sent}\n")).collect::<String>());
            for (sent, reply, is_error) in batch {
                let received = next_reply(client, view);
                assert!(received.0.starts_with(reply), "{sent}: {received:?}, not {reply:?}");
                assert_eq!(received.1.unwrap_or(*is_error), *is_error, "{sent}");
                if *sent == "/help" {
                    (1..HELP_LINES).for_each(|_| drop(next_reply(client, view)));
                }
            }
        }
    }
}

#[test]
fn what_looks_like_a_command_and_is_none_reaches_neither_the_room_nor_the_history() {
    let mut room = Room::open(&["--history", "50", "-v"]);
    let [mut plain, mut named, mut json] = room.three();
    let words = ["mgs", "foo", "Msgs", "сообщение", "msg:bob", "w,"];
    for (view, sender) in [(View::Named, &mut named), (View::Json, &mut json)] {
        for word in words {
            for before in ["", " ", "\t\u{A0}", "\u{8}"] {
                sender.send(format!("{before}/{word} bob secret\n"));
                let (text, is_error) = next_reply(sender, view);
                assert_eq!(text, unknown_command(word));
                assert_ne!(is_error, Some(false), "{text}");
            }
        }
        // The last line of an input may lack its end.
        let (mut short, _) = room.join(view);
        short.send("/mgs bob secret");
        short.end_input();
        let received = String::from_utf8(short.read_to_end()).unwrap();
        assert!(received.lines().last().unwrap().contains(&unknown_command("mgs")), "{received}");
    }
    for line in ["/etc/passwd", "/ x", "  // comment"] {
        named.send(format!("{line}\n"));
        assert_eq!(object(&next_message(&mut json))["text"], line);
        plain.expect_line(line);
    }
    named.send("//mgs bob open\n");
    plain.expect_line("/mgs bob open");
    let mut late = room.join(View::Plain).0;
    late.expect_line("/etc/passwd");
    room.server.assert_not_logged("secret");
}

#[test]
fn each_command_works_in_any_case_after_blanks_and_under_its_other_names() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    for line in [
        "/MSG json psst",
        " /msg json psst",
        "/w json psst",
        "\u{3000}／Ｗ　json　psst",
        "/msg\u{A0}json\u{A0}psst",
    ] {
        named.send(format!("{line}\n"));
        assert_eq!(next_reply(&mut named, View::Named).0, "private to json: psst");
        assert_eq!(object(&next_message(&mut json))["text"], "psst");
    }
    for (line, reply) in [
        ("/NAMES", "3 here: anon1, json, nora"),
        (" /Who", "3 here: anon1, json, nora"),
        ("/NICK nora2", "you are nora2 now"),
        ("/Me", ME_NEEDS_TEXT),
        ("/?", HELP),
    ] {
        named.send(format!("{line}\n"));
        assert_eq!(next_reply(&mut named, View::Named).0, reply);
    }
    (1..HELP_LINES).for_each(|_| drop(next_reply(&mut named, View::Named)));
    named.send("\u{FEFF} /mE waves\n");
    assert_eq!(object(&next_message(&mut json))["action"], true);
    named.send(" /EXIT\n");
    named.expect_end();
}

#[test]
fn a_private_message_reaches_its_receiver_alone() {
    let room = Room::open(&[]);
    let [mut plain, mut named, mut json] = room.three();
    named.send("/msg JSON psst \"you\"\n");
    named.expect_line("* private to json: psst \"you\"");
    let received = object(&next_message(&mut json));
    let expected = ["private", "nora", "json", "psst \"you\""].map(Value::from);
    assert_eq!(["type", "from", "to", "text"].map(|field| received[field].clone()), expected);
    json.send("/msg nora \x1B[2Jhi\n");
    assert_eq!(read_object(&mut json)["text"], "\\x1B[2Jhi");
    named.expect_line("* private from json: \\x1B[2Jhi");
    json.send("/msg json myself\n");
    assert_eq!([(); 2].map(|()| read_object(&mut json)["text"].clone()), ["myself", "myself"]);
    plain.send("for all\n");
    assert_eq!(next_message(&mut named), "<anon1> for all");
}

#[test]
fn a_client_that_stays_is_announced_and_a_short_visit_is_not() {
    let room = Room::open(&[]);
    let (mut named, name) = room.join(View::Named);
    let (mut json, _) = room.join(View::Json);
    // A client that leaves soon is not announced; the others see only its message.
    let mut visitor = room.connect(View::Plain);
    visitor.send("just passing\n");
    visitor.end_input();
    visitor.read_to_end();
    named.expect_line("<anon3> just passing");
    assert_eq!(read_object(&mut json)["from"], "anon3");
    let (staying, _) = room.join(View::Plain);
    // Each client receives the joins of the others in their order, and not its own.
    named.expect_line("* anon2 joined (3 here)");
    named.expect_line("* anon4 joined (3 here)");
    let joined = [(); 2].map(|()| read_object(&mut json));
    assert_eq!(joined.each_ref().map(|line| &line["type"]), ["join"; 2]);
    assert_eq!(joined.each_ref().map(|line| &line["from"]), [name.as_str(), "anon4"]);
    assert_eq!(joined[1]["here"], 3);
    drop(staying);
    named.expect_line("* anon4 left");
    let left = read_object(&mut json);
    assert_eq!((&left["type"], &left["from"]), (&"leave".into(), &"anon4".into()));
    named.send("/nick nora\n/quit\n");
    named.expect_line(format!("* {}", renamed("nora")));
    named.expect_end();
    assert_eq!(read_object(&mut json)["text"], "anon1 is now nora");
    assert_eq!(read_object(&mut json)["type"], "leave");
}

#[test]
fn a_command_right_before_the_end_of_input_is_answered() {
    let room = Room::open(&[]);
    for _ in 0..20 {
        let mut client = room.connect(View::Named);
        client.send("/who");
        client.end_input();
        let received = String::from_utf8(client.read_to_end()).unwrap();
        assert!(received.lines().last().is_some_and(|line| line.starts_with("* 1 here: anon")), "{received}");
    }
}

#[test]
fn a_json_listener_sends_nothing_but_objects() {
    let room = Room::open(&["-m", "2", "--max-line", "100"]);
    let (mut one, _) = room.join(View::Json);
    one.send([&[b'x'; 101][..], b"\n"].concat());
    let error = read_object(&mut one);
    assert_eq!(error["type"], "error");
    assert!(error["text"].as_str().unwrap().starts_with(LINE_TOO_LONG), "{error}");
    let mut refused = room.connect(View::Json);
    read_object(&mut refused);
    refused.send("SSH-2.0-x\r\n");
    assert_eq!(read_object(&mut refused)["type"], "error");
    refused.expect_end();
    drop(refused);
    let mut two = room.join_when_free(View::Json, |line| object(line)["type"] == "notice");
    let mut third = room.connect(View::Json);
    assert_eq!(read_object(&mut third)["text"], room_full(2));
    third.expect_end();
    one.send("\x1B \"\\\t\u{85}ä\n");
    let received = object(&next_message(&mut two));
    assert_eq!(received["text"], "\\x1B \"\\\t\\x85ä");
}

#[test]
fn new_clients_receive_the_last_lines_with_the_time_at_which_they_were_sent() {
    let room = Room::open(&["--history", "2"]);
    let (mut sender, _) = room.join(View::Plain);
    let (mut early, _) = room.join(View::Json);
    sender.send("one\ntwo\nthree\n");
    let received = [(); 3].map(|()| next_message(&mut early));
    let mut late = View::ALL.map(|view| room.join(view).0);
    // Marks around them tell them from new lines; the plain view has none.
    assert_eq!([(); 2].map(|()| late[0].read_text()), ["two", "three"]);
    let named = ["* the last 2 lines:", "<anon1> two", "<anon1> three", "* end of history"];
    assert_eq!([(); 4].map(|()| late[1].read_text()), named);
    let begins = read_object(&mut late[2]);
    assert_eq!((&begins["type"], &begins["lines"]), (&"history".into(), &2.into()));
    assert_eq!([(); 2].map(|()| late[2].read_text()), received[1..]);
    let ends = read_object(&mut late[2]);
    assert_eq!((&ends["type"], &ends["end"]), (&"history".into(), &true.into()));
    sender.send("four\n");
    for client in &mut late {
        assert!(next_message(client).contains("four"));
    }
}

#[test]
fn a_new_client_without_history_receives_no_marks_and_one_line_is_counted_as_one() {
    let room = Room::open(&["--history", "20"]);
    let mut first = View::ALL.map(|view| room.join(view).0);
    first[0].send("one\n");
    first[1].expect_line("<anon1> one");
    assert_eq!(read_object(&mut first[2])["text"], "one");
    let (mut named, mut json) = (room.join(View::Named).0, room.join(View::Json).0);
    assert_eq!(
        [(); 3].map(|()| named.read_text()),
        [format!("* {}", history_begins(1)), "<anon1> one".to_owned(), format!("* {HISTORY_ENDS}"),]
    );
    assert_eq!(read_object(&mut json)["lines"], 1);
}

#[test]
fn a_new_client_is_told_who_is_here() {
    let room = Room::open(&[]);
    let [_plain, mut named, _json] = room.three();
    let mut late = room.connect(View::Named);
    late.expect_line(WELCOME);
    late.expect_line("* you are anon4 (4 here: anon1, json, nora); /help lists the commands");
    let greeting = read_object(&mut room.connect(View::Json));
    assert_eq!(greeting["names"], serde_json::json!(["anon1", "anon4", "json", "nora"]));
    assert_eq!((&greeting["name"], &greeting["here"]), (&"anon5".into(), &5.into()));
    // With the longest names, the list is cut.
    let crowd = (0..30).map(|number| {
        let (mut client, _) = room.join(View::Named);
        client.send(format!("/nick {number:\u{10428}<24}\n"));
        client.read_line();
        client
    });
    let _crowd = crowd.collect::<Vec<_>>();
    let mut late = room.connect(View::Named);
    late.expect_line(WELCOME);
    let greeting = late.read_text();
    assert!((1900..2200).contains(&greeting.len()), "{greeting}");
    let (list, more) = greeting.rsplit_once(" and ").unwrap();
    let here = list.split_once(" here: ").unwrap().0.rsplit_once('(').unwrap().1.parse::<usize>().unwrap();
    let more = more.split(' ').next().unwrap().parse::<usize>().unwrap();
    assert_eq!(list.split(", ").count() + more + 1, here, "{greeting}");
    named.send("/who\n");
    assert!(next_reply(&mut named, View::Named).0.starts_with(&format!("{here} here: ")));
}

#[test]
fn no_character_at_which_some_readers_split_lines_forges_a_line() {
    let mut room = Room::open(&["-w", "Hi.\u{2028}* you are root", "-v", "--history", "9"]);
    let mut plain = room.connect(View::Plain);
    plain.expect_line("Hi.\u{2028}* you are root");
    let (mut named, mut json) = (room.connect(View::Named), room.connect(View::Json));
    named.expect_line("Hi.\\u2028* you are root");
    assert_eq!(read_object(&mut json)["text"], "Hi.\u{2028}* you are root");
    let forged = "hi\u{2028}<root> bye\u{2029}{}";
    plain.send(format!("{forged}\n"));
    assert_eq!(next_message(&mut named), "<anon1> hi\\u2028<root> bye\\u2029{}");
    let line = next_message(&mut json);
    assert!(line.contains(r"hi\u2028<root> bye\u2029{}") && !line.contains('\u{2028}'), "{line}");
    assert_eq!(object(&line)["text"], forged);
    json.send(format!("{forged}\n/msg anon2 {forged}\n/nick \u{2028}x\u{2029}y\n"));
    plain.expect_line(forged);
    assert_eq!(next_message(&mut named), "<anon3> hi\\u2028<root> bye\\u2029{}");
    assert_eq!(next_message(&mut named), "* private from anon3: hi\\u2028<root> bye\\u2029{}");
    named.send("/nick x\u{2029}y\n");
    let reply = next_reply(&mut named, View::Named).0;
    assert_eq!(reply, invalid_name(r"x\u2029y"));
    let log = room.server.wait_for_log("hi\\u2028");
    assert!(log.ends_with(r"hi\u2028<root> bye\u2029{}"), "{log}");
    room.server.assert_not_logged("\u{2028}");
}

#[test]
fn hundreds_of_commands_in_one_segment_are_all_answered() {
    let room = Room::open(&[]);
    for view in [View::Named, View::Json] {
        let (mut client, _) = room.join(view);
        client.send("/help\n".repeat(300) + "/who\n");
        client.end_input();
        let received = String::from_utf8(client.read_to_end()).unwrap();
        let replies = received.lines().filter(|line| line.contains(HELP)).count();
        assert_eq!(
            (replies, received.lines().last().map(|line| line.contains(" here: "))),
            (300, Some(true))
        );
    }
}

#[test]
fn a_thousand_private_messages_to_a_client_that_reads_arrive_and_each_is_echoed() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    let reader = std::thread::spawn(move || {
        for number in 0..1000 {
            let received = object(&next_message(&mut json));
            let expected = (&format!("line {number}").into(), &Value::Null);
            assert_eq!((&received["text"], &received["echo"]), expected);
        }
    });
    named.send((0..1000).map(|number| format!("/msg json line {number}\n")).collect::<String>());
    for number in 0..1000 {
        assert_eq!(next_but_joins(&mut named), format!("* private to json: line {number}"));
    }
    reader.join().unwrap();
}

#[test]
fn private_and_public_messages_keep_their_order_and_the_name_at_the_time() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    let (mut sender, _) = room.join(View::Named);
    sender.send("/nick alice\none\n/msg nora two\n/nick zed\n/msg nora three\n/msg anon1 x\n/who\nfour\n");
    for reply in [
        renamed("alice"),
        "private to nora: two".to_owned(),
        renamed("zed"),
        "private to nora: three".to_owned(),
        in_plain_view("anon1"),
        "4 here".to_owned(),
    ] {
        let line = next_but_joins(&mut sender);
        assert!(line.starts_with(&format!("* {reply}")), "{line}, not {reply}");
    }
    for line in [
        "<alice> one",
        "* private from alice: two",
        "* alice is now zed",
        "* private from zed: three",
        "<zed> four",
    ] {
        assert_eq!(next_but_joins(&mut named), line);
    }
    let messages = [next_message(&mut json), next_message(&mut json)];
    assert!(messages[0].contains("alice") && messages[1].contains("zed"), "{messages:?}");
}

#[test]
fn an_unfinished_private_message_is_sent_after_the_flush_time() {
    let room = Room::open(&["--flush-after", "30"]);
    let [_plain, mut named, mut json] = room.three();
    named.send("/msg json psst");
    named.expect_line("* private to json: psst");
    assert_eq!(object(&next_message(&mut json))["text"], "psst");
    json.send("hi all");
    assert_eq!(next_message(&mut named), "<json> hi all");
}

#[test]
fn a_new_name_an_action_and_a_leave_appear_in_each_view_that_has_them() {
    let room = Room::open(&[]);
    let [mut plain, mut named, mut json] = room.three();
    for (name, view) in [("ann", View::Named), ("bot", View::Json)] {
        let (mut actor, given) = room.join(view);
        // The join must come first: it is announced late.
        eventually("the named view announces the join", || {
            named.read_text().starts_with(&format!("* {given} joined")).then_some(())
        });
        eventually("the json view announces the join", || {
            (read_object(&mut json)["from"] == given.as_str()).then_some(())
        });
        actor.send(format!("/nick {name}\n/me waves\n/msg nora psst\n/msg json psst\n/quit\nnot sent\n"));
        actor.read_to_end();
        let mut next = || {
            let line = named.read_text();
            if line.starts_with("* anon1 joined") { named.read_text() } else { line }
        };
        // A private message may arrive before public lines that were sent before it.
        let mut received = [(); 4].map(|()| next());
        received.sort_unstable();
        let mut expected = [
            format!("* {given} is now {name}"),
            format!("<{name}> * waves"),
            format!("* private from {name}: psst"),
            format!("* {name} left"),
        ];
        expected.sort_unstable();
        assert_eq!(received, expected);
        let objects = [(); 4].map(|()| read_object(&mut json));
        let mut kinds = objects.each_ref().map(|line| line["type"].as_str().unwrap());
        kinds.sort_unstable();
        assert_eq!(kinds, ["leave", "message", "notice", "private"]);
        assert!(objects.iter().all(|line| line["from"] == name || line["name"] == name), "{objects:?}");
        // The plain view shows the message alone.
        plain.expect_line("/me waves");
    }
    let (mut last, _) = room.join(View::Plain);
    last.send("bye\n");
    plain.expect_line("bye");
}

#[test]
fn each_refusal_has_the_form_of_its_view() {
    let room = Room::open(&["--max-per-ip", "2", "--idle-timeout", "0.5", "--report-every", "0"]);
    for view in [View::Named, View::Json] {
        let refusal = |client: &mut Client| {
            let (text, is_error) = next_reply(client, view);
            assert_ne!(is_error, Some(false), "{text}");
            text
        };
        let two = [room.join(view).0, room.join(view).0];
        let mut third = room.connect(view);
        assert_eq!(refusal(&mut third), too_many_from_address(2));
        third.expect_end();
        for mut client in two {
            assert!(refusal(&mut client).starts_with(&idle_for("0.5")));
            client.expect_end();
        }
        for opening in [&b"SSH-2.0-x\r\n"[..], b"PASS x\r\n", b"\x16\x03\x01\x00\x05hello"] {
            let mut client = room.join_when_free(view, |line| line.contains(WELCOME));
            if view == View::Named {
                client.read_line();
            }
            client.send(opening);
            assert!(refusal(&mut client).starts_with(OTHER_PROTOCOL));
            client.expect_end();
        }
    }
}

#[test]
fn the_log_never_contains_a_private_message() {
    let (mut server, addresses) = Server::start_in_views(&["-vv"]);
    let mut client = Client::connect(addresses[View::Named.index()]);
    client.send("/msg nobody secret\n//msg nobody open\n/msg secret\n/who\n");
    client.end_input();
    client.read_to_end();
    server.wait_for_log("left, 0 online");
    let log = server.log_so_far();
    assert!(log.iter().any(|line| line.contains(PRIVATE_IN_LOG)), "{log:#?}");
    assert!(log.iter().any(|line| line.ends_with("//msg nobody open")), "{log:#?}");
    server.assert_not_logged("secret");
}

#[test]
fn after_quit_the_name_is_free_even_while_the_connection_is_open() {
    let room = Room::open(&[]);
    let [_plain, mut named, _json] = room.three();
    let (mut client, given) = room.join(View::Named);
    eventually("the join is announced", || named.read_text().contains(&given).then_some(()));
    client.send("/nick carol\n/quit\n");
    named.expect_line(format!("* {given} is now carol"));
    named.send("/nick carol\n/who\n");
    // The connection of the first carol is still open.
    named.expect_line("* carol left");
    named.expect_line(format!("* {}", renamed("carol")));
    named.expect_line("* 3 here: anon1, carol, json");
    drop(client);
}

#[test]
fn a_room_for_two_is_a_one_to_one_chat_and_refuses_a_third_client_in_each_view() {
    let room = Room::open(&["-m", "2"]);
    let ((mut one, _), (mut two, _)) = (room.join(View::Plain), room.join(View::Plain));
    one.send("hello\n");
    two.expect_line("hello");
    two.send("hello yourself\n");
    one.expect_line("hello yourself");
    for view in View::ALL {
        let mut third = room.connect(view);
        assert_eq!(next_reply(&mut third, view).0, room_full(2));
        third.expect_end();
    }
    drop(two);
    let mut next = room.join_when_free(View::Plain, |line| line == WELCOME);
    one.send("hello again\n");
    next.expect_line("hello again");
}

#[test]
fn a_private_message_goes_from_each_view_with_names_to_each_view_with_names() {
    let room = Room::open(&[]);
    for from in [View::Named, View::Json] {
        for to in View::ALL {
            let ((mut sender, _), (mut other, _)) = (room.join(from), room.join(to));
            sender.send("/nick sender\n");
            sender.read_line();
            if to.has_names() {
                other.send("/nick other\n");
                other.read_line();
                sender.send("/msg Other psst\n");
                let echo = next_but_joins(&mut sender);
                let received = next_but_joins(&mut other);
                let lines = ["* private to other: psst", "* private from sender: psst"];
                let object = r#"{"type":"private","from":"sender","to":"other","text":"psst","#;
                let is_form = |view, line: &str, form| match view {
                    View::Json => line.starts_with(object),
                    _ => line == form,
                };
                assert!(is_form(from, &echo, lines[0]), "{echo}");
                assert!(is_form(to, &received, lines[1]), "{received}");
                let is_echo = [&echo, &received].map(|line| line.contains(r#""echo":true"#));
                assert_eq!(is_echo, [from == View::Json, false]);
            }
            sender.send("/quit\n");
            sender.read_to_end();
        }
    }
}

#[test]
fn a_client_that_sent_a_private_message_is_not_renamed_unseen() {
    let room = Room::open(&[]);
    let [_plain, mut named, _json] = room.three();
    let (mut sender, given) = room.join(View::Named);
    sender.send("/msg nora psst\n/nick zed\n");
    assert_eq!(next_but_joins(&mut named), format!("* private from {given}: psst"));
    assert_eq!(next_but_joins(&mut named), format!("* {given} is now zed"));
}

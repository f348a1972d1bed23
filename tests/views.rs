//! One room in three views: who says something in one, and what is seen in each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Server, WELCOME, eventually};
use hubbub::wire::view::View;
use serde_json::Value;
use std::net::SocketAddr;

/// A server with a listener in each view.
struct Room {
    _server: Server,
    addresses: [SocketAddr; 3],
}

impl Room {
    #[track_caller]
    fn open(options: &[&str]) -> Self {
        let (server, addresses) = Server::start_in_views(options);
        Self { _server: server, addresses }
    }

    /// Connects, and leaves what comes to be read.
    #[track_caller]
    fn connect(&self, view: View) -> Client {
        Client::connect(self.addresses[view.index()])
    }

    /// One who has joined and read the welcome; its name where it is told.
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
                let told = text(&client.read_line());
                let name = told.strip_prefix("* you are ").and_then(|rest| rest.split(' ').next());
                name.unwrap_or_else(|| panic!("{told}")).to_owned()
            }
            View::Json => {
                let told = object(&client.read_line());
                assert_eq!((&told["type"], &told["text"]), (&"notice".into(), &WELCOME.into()));
                told["name"].as_str().unwrap().to_owned()
            }
        };
        (client, name)
    }

    /// One of each view, who have names that they chose.
    #[track_caller]
    fn three(&self) -> [Client; 3] {
        let [(plain, _), (mut named, _), (mut json, _)] = View::ALL.map(|view| self.join(view));
        named.send("/nick nora\n");
        named.expect_line("* you are nora now");
        json.send("/nick json\n");
        assert_eq!(object(&json.read_line())["text"], "you are json now");
        [plain, named, json]
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8(line.to_vec()).unwrap()
}

/// A line of the json view, which has a time of day.
#[track_caller]
fn object(line: &[u8]) -> Value {
    let value = serde_json::from_slice::<Value>(line).unwrap_or_else(|_| panic!("no object: {}", text(line)));
    let at = value["at"].as_str().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(at.len() == 24 && at.ends_with('Z') && at.contains('T'), "{at}");
    assert!(value["type"].is_string(), "{value}");
    value
}

/// Whether a line tells who came, went or changed their name.
fn is_about_people(line: &[u8]) -> bool {
    let line = text(line);
    let is_notice = line.starts_with("* ") && !line.starts_with("* private ");
    is_notice
        || ["join", "leave", "notice"].iter().any(|kind| line.starts_with(&format!("{{\"type\":\"{kind}\"")))
}

/// The next line that is not about comings and goings, which come when their time has come.
#[track_caller]
fn talk(client: &mut Client) -> String {
    loop {
        let line = client.read_line();
        if !is_about_people(&line) {
            return text(&line);
        }
    }
}

/// The next line that does not tell who came.
#[track_caller]
fn next_but_joins(client: &mut Client) -> String {
    let lines = std::iter::repeat_with(|| text(&client.read_line()));
    let is_coming = |line: &String| line.contains(" joined (") || line.starts_with(r#"{"type":"join""#);
    lines.into_iter().find(|line| !is_coming(line)).unwrap()
}

/// What a message looks like in a view.
fn shown(view: View, from: &str, said: &str) -> String {
    match view {
        View::Plain => said.to_owned(),
        View::Named => format!("<{from}> {said}"),
        View::Json => format!(r#"{{"type":"message","from":"{from}","text":"{said}","at":"#),
    }
}

#[test]
fn what_is_said_in_one_view_is_seen_in_each_in_its_own_form_and_not_by_who_said_it() {
    let room = Room::open(&[]);
    let mut listeners = room.three();
    let mut speakers = View::ALL.map(|view| room.join(view).0);
    let names = ["anon4", "vera", "bot"];
    speakers[1].send("/nick vera\n");
    speakers[2].send("/nick bot\n");
    for from in View::ALL {
        for said in ["hi", "<nora> hi", "* nora left", "/etc/passwd", "ünï 名前"] {
            speakers[from.index()].send(format!("{said}\r\n"));
            for to in View::ALL {
                let listener = &mut listeners[to.index()];
                let line = if to == View::Plain { text(&listener.read_line()) } else { talk(listener) };
                let expected = shown(to, names[from.index()], said);
                let is_it = if to == View::Json { line.starts_with(&expected) } else { line == expected };
                assert!(is_it, "{from:?} to {to:?}: {line}, not {expected}");
            }
        }
    }
    // The speakers heard each other, and none heard itself.
    for (from, speaker) in speakers.iter_mut().enumerate() {
        speaker.end_input();
        let heard = text(&speaker.read_to_end());
        let own = match from {
            0 => heard.lines().filter(|line| *line == "hi").count().saturating_sub(2),
            _ => heard.lines().filter(|line| line.contains(names[from]) && line.contains("passwd")).count(),
        };
        assert_eq!(own, 0, "{heard}");
    }
}

#[test]
fn in_the_plain_view_everything_is_a_message_and_nothing_is_a_command() {
    let room = Room::open(&[]);
    let [mut plain, mut named, _json] = room.three();
    for line in ["/who", "/nick eve", "/quit", "//x", ""] {
        plain.send(format!("{line}\n"));
        assert_eq!(talk(&mut named), format!("<anon1> {line}"));
    }
    // Where there are commands, a blank line is nothing.
    named.send("\n \t\r\n//x\n/me waves\n");
    plain.expect_line("/x");
    plain.expect_line("/me waves");
}

#[test]
fn the_commands_are_answered_in_the_view_in_which_they_were_given() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    named.send("/who\n/help\n/nick\n/nick Json\n/nick anon7\n/msg\n/msg nobody hi\n/msg anon1 hi\n/me\n");
    for answer in [
        "* 3 here: anon1, json, nora",
        "* 6 commands: /nick NAME",
        "* a name is of letters, digits",
        "* Json is somebody else's name",
        "* names like anon7 are given to newcomers",
        "* /msg needs a name and what to say",
        "* nobody here is called nobody",
        "* anon1 sees plain lines alone",
        "* /me needs what you do",
    ] {
        let line = text(&named.read_line());
        assert!(line.starts_with(answer), "{line}, not {answer}");
    }
    json.send("/who\n/nick a b\n");
    let (who, nick) = (object(&json.read_line()), object(&json.read_line()));
    assert_eq!((&who["type"], &who["text"]), (&"notice".into(), &"3 here: anon1, json, nora".into()));
    assert_eq!(nick["type"], "error");
}

#[test]
fn what_is_said_to_one_alone_is_heard_by_that_one_alone() {
    let room = Room::open(&[]);
    let [mut plain, mut named, mut json] = room.three();
    named.send("/msg JSON psst \"you\"\n");
    named.expect_line("* private to json: psst \"you\"");
    let heard = object(talk(&mut json).as_bytes());
    let expected = ["private", "nora", "json", "psst \"you\""].map(Value::from);
    assert_eq!(["type", "from", "to", "text"].map(|field| heard[field].clone()), expected);
    json.send("/msg nora \x1B[2Jhi\n");
    assert_eq!(object(&json.read_line())["text"], "\\x1B[2Jhi");
    named.expect_line("* private from json: \\x1B[2Jhi");
    json.send("/msg json myself\n");
    assert_eq!([(); 2].map(|()| object(&json.read_line())["text"].clone()), ["myself", "myself"]);
    plain.send("all of you\n");
    assert_eq!(talk(&mut named), "<anon1> all of you");
}

#[test]
fn who_stays_is_announced_and_missed_and_who_only_drops_by_is_neither() {
    let room = Room::open(&[]);
    let (mut named, name) = room.join(View::Named);
    let (mut json, _) = room.join(View::Json);
    // Somebody drops by, and says something: that is one line.
    let mut comer = room.connect(View::Plain);
    comer.send("just passing\n");
    comer.end_input();
    comer.read_to_end();
    named.expect_line("<anon3> just passing");
    assert_eq!(object(&json.read_line())["from"], "anon3");
    let (stayer, _) = room.join(View::Plain);
    // Each is told of the others, in the order in which they came, and not of itself.
    named.expect_line("* anon2 joined (3 here)");
    named.expect_line("* anon4 joined (3 here)");
    let joined = [(); 2].map(|()| object(&json.read_line()));
    assert_eq!(joined.each_ref().map(|line| &line["type"]), ["join"; 2]);
    assert_eq!(joined.each_ref().map(|line| &line["from"]), [name.as_str(), "anon4"]);
    assert_eq!(joined[1]["here"], 3);
    drop(stayer);
    named.expect_line("* anon4 left");
    let left = object(&json.read_line());
    assert_eq!((&left["type"], &left["from"]), (&"leave".into(), &"anon4".into()));
    named.send("/nick nora\n/quit\n");
    named.expect_line("* you are nora now");
    named.expect_end();
    assert_eq!(object(&json.read_line())["text"], "anon1 is now nora");
    assert_eq!(object(&json.read_line())["type"], "leave");
}

#[test]
fn who_asks_and_leaves_at_once_is_answered() {
    let room = Room::open(&[]);
    for _ in 0..20 {
        let mut asker = room.connect(View::Named);
        asker.send("/who");
        asker.end_input();
        let heard = text(&asker.read_to_end());
        assert!(heard.lines().last().is_some_and(|line| line.starts_with("* 1 here: anon")), "{heard}");
    }
}

#[test]
fn a_json_listener_says_nothing_that_is_no_object() {
    let room = Room::open(&["-m", "2", "--max-line", "100"]);
    let (mut one, _) = room.join(View::Json);
    one.send([&[b'x'; 101][..], b"\n"].concat());
    let told = object(&one.read_line());
    assert_eq!(told["type"], "error");
    assert!(told["text"].as_str().unwrap().starts_with("that line was too long"), "{told}");
    let mut stranger = room.connect(View::Json);
    object(&stranger.read_line());
    stranger.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(object(&stranger.read_line())["type"], "error");
    stranger.expect_end();
    drop(stranger);
    let mut two = eventually("the stranger has gone", || {
        let mut client = room.connect(View::Json);
        (object(&client.read_line())["type"] == "notice").then_some(client)
    });
    let mut third = room.connect(View::Json);
    let told = object(&third.read_line());
    assert_eq!(told["text"], "the room is full, with 2 in it: try again later");
    third.expect_end();
    one.send("\x1B \"\\\t\u{85}ä\n");
    let heard = object(talk(&mut two).as_bytes());
    assert_eq!(heard["text"], "\\x1B \"\\\t\\x85ä");
}

#[test]
fn newcomers_hear_what_was_said_last_with_the_time_at_which_it_was_said() {
    let room = Room::open(&["--history", "2"]);
    let (mut speaker, _) = room.join(View::Plain);
    let (mut early, _) = room.join(View::Json);
    speaker.send("one\ntwo\nthree\n");
    let heard = [(); 3].map(|()| talk(&mut early));
    let mut late = View::ALL.map(|view| room.join(view).0);
    assert_eq!([(); 2].map(|()| talk(&mut late[0])), ["two", "three"]);
    assert_eq!([(); 2].map(|()| talk(&mut late[1])), ["<anon1> two", "<anon1> three"]);
    assert_eq!([(); 2].map(|()| talk(&mut late[2])), heard[1..]);
    speaker.send("four\n");
    for client in &mut late {
        assert!(talk(client).contains("four"));
    }
}

#[test]
fn whatever_is_asked_at_once_is_answered_to_the_end() {
    let room = Room::open(&[]);
    for view in [View::Named, View::Json] {
        let (mut asker, _) = room.join(view);
        asker.send("/help\n".repeat(300) + "/who\n");
        asker.end_input();
        let heard = text(&asker.read_to_end());
        let answers = heard.lines().filter(|line| line.contains("6 commands: ")).count();
        assert_eq!((answers, heard.lines().last().map(|line| line.contains(" here: "))), (300, Some(true)));
    }
}

#[test]
fn a_thousand_lines_for_one_who_reads_them_all_arrive_and_each_is_confirmed() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    let reader = std::thread::spawn(move || {
        for number in 0..1000 {
            let heard = object(talk(&mut json).as_bytes());
            assert_eq!((&heard["text"], &heard["echo"]), (&format!("line {number}").into(), &Value::Null));
        }
    });
    named.send((0..1000).map(|number| format!("/msg json line {number}\n")).collect::<String>());
    for number in 0..1000 {
        assert_eq!(next_but_joins(&mut named), format!("* private to json: line {number}"));
    }
    reader.join().unwrap();
}

#[test]
fn what_is_said_to_one_and_to_all_is_heard_in_its_order_and_under_the_name_of_then() {
    let room = Room::open(&[]);
    let [_plain, mut named, mut json] = room.three();
    let (mut actor, _) = room.join(View::Named);
    actor.send("/nick alice\none\n/msg nora two\n/nick zed\n/msg nora three\n/msg anon1 x\n/help\nfour\n");
    for answer in
        ["you are alice", "private to nora: two", "you are zed", "private to nora: three", "anon1 sees", "6"]
    {
        let line = next_but_joins(&mut actor);
        assert!(line.starts_with(&format!("* {answer}")), "{line}, not {answer}");
    }
    let told = [
        "<alice> one",
        "* private from alice: two",
        "* alice is now zed",
        "* private from zed: three",
        "<zed> four",
    ];
    for line in told {
        assert_eq!(next_but_joins(&mut named), line);
    }
    let messages = [talk(&mut json), talk(&mut json)];
    assert!(messages[0].contains("alice") && messages[1].contains("zed"), "{messages:?}");
}

#[test]
fn an_unfinished_line_for_one_alone_is_handed_on_after_silence() {
    let room = Room::open(&["--flush-after", "30"]);
    let [_plain, mut named, mut json] = room.three();
    named.send("/msg json psst");
    named.expect_line("* private to json: psst");
    assert_eq!(object(talk(&mut json).as_bytes())["text"], "psst");
    json.send("hi all");
    assert_eq!(talk(&mut named), "<json> hi all");
}

#[test]
fn what_is_done_in_one_view_is_told_in_each_that_tells_such_things() {
    let room = Room::open(&[]);
    let [mut plain, mut named, mut json] = room.three();
    for (from, view) in [("ann", View::Named), ("bot", View::Json)] {
        let (mut actor, given) = room.join(view);
        // Once the others know of them.
        eventually("its coming is told", || {
            text(&named.read_line()).starts_with(&format!("* {given} joined")).then_some(())
        });
        eventually("its coming is told", || {
            (object(&json.read_line())["from"] == given.as_str()).then_some(())
        });
        actor.send(format!("/nick {from}\n/me waves\n/msg nora psst\n/msg json psst\n/quit\nunheard\n"));
        actor.read_to_end();
        let about = |line: String| (!line.starts_with("* anon1 joined")).then_some(line);
        let mut next = || about(text(&named.read_line())).unwrap_or_else(|| text(&named.read_line()));
        // What is for one alone may come before what all are told, and does not change its order.
        let mut heard = [(); 4].map(|()| next());
        heard.sort_unstable();
        let mut expected = [
            format!("* {given} is now {from}"),
            format!("<{from}> * waves"),
            format!("* private from {from}: psst"),
            format!("* {from} left"),
        ];
        expected.sort_unstable();
        assert_eq!(heard, expected);
        let objects = [(); 4].map(|()| object(&json.read_line()));
        let mut kinds = objects.each_ref().map(|line| line["type"].as_str().unwrap());
        kinds.sort_unstable();
        assert_eq!(kinds, ["leave", "message", "notice", "private"]);
        assert!(objects.iter().all(|line| line["from"] == from || line["name"] == from), "{objects:?}");
        // In the plain view there is only what was said.
        plain.expect_line("/me waves");
    }
    let (mut last, _) = room.join(View::Plain);
    last.send("bye\n");
    plain.expect_line("bye");
}

#[test]
fn each_refusal_is_an_object_in_the_json_view_and_a_notice_in_the_named_one() {
    let room = Room::open(&["--max-per-ip", "2", "--idle-timeout", "0.5", "--report-every", "0"]);
    for view in [View::Named, View::Json] {
        let told = |client: &mut Client| match view {
            View::Json => {
                let line = object(&client.read_line());
                assert_eq!(line["type"], "error", "{line}");
                line["text"].as_str().unwrap().to_owned()
            }
            _ => text(&client.read_line()).strip_prefix("* ").unwrap().to_owned(),
        };
        let two = [room.join(view).0, room.join(view).0];
        let mut third = room.connect(view);
        assert!(told(&mut third).starts_with("too many from your address, with 2 here"));
        third.expect_end();
        for mut client in two {
            assert!(told(&mut client).starts_with("you said nothing for 0.5 s"));
            client.expect_end();
        }
        for stranger in [&b"SSH-2.0-x\r\n"[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x00\x05hello"] {
            let (mut client, _) = eventually("there is a place again", || {
                let mut client = room.connect(view);
                let is_in = text(&client.read_line()).contains(WELCOME);
                is_in.then_some((client, ()))
            });
            if view == View::Named {
                client.read_line();
            }
            client.send(stranger);
            assert!(told(&mut client).contains("this is a chat room"));
            client.expect_end();
        }
    }
}

#[test]
fn what_is_said_to_one_alone_is_in_no_log() {
    let (mut server, addresses) = Server::start_in_views(&["-vv"]);
    let mut client = Client::connect(addresses[View::Named.index()]);
    client.send("/msg nobody secret\n//msg nobody open\n/msg secret\n/who\n");
    client.end_input();
    client.read_to_end();
    server.wait_for_log("left, 0 online");
    let log = server.log_so_far();
    assert!(log.iter().any(|line| line.contains("something for one alone")), "{log:#?}");
    assert!(log.iter().any(|line| line.ends_with("//msg nobody open")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("secret")), "{log:#?}");
}

#[test]
fn who_takes_leave_has_left_however_long_the_connection_stays() {
    let room = Room::open(&[]);
    let [_plain, mut named, _json] = room.three();
    let (mut actor, given) = room.join(View::Named);
    eventually("its coming is told", || text(&named.read_line()).contains(&given).then_some(()));
    actor.send("/nick carol\n/quit\n");
    named.expect_line(format!("* {given} is now carol"));
    named.send("/nick carol\n/who\n");
    // Its connection is still open.
    named.expect_line("* carol left");
    named.expect_line("* you are carol now");
    named.expect_line("* 3 here: anon1, carol, json");
    drop(actor);
}

#[test]
fn a_room_for_two_is_a_one_to_one_chat_and_a_third_is_told_so_in_each_view() {
    let room = Room::open(&["-m", "2"]);
    let ((mut one, _), (mut two, _)) = (room.join(View::Plain), room.join(View::Plain));
    one.send("hello\n");
    two.expect_line("hello");
    two.send("hello yourself\n");
    one.expect_line("hello yourself");
    for view in View::ALL {
        let mut third = room.connect(view);
        let told = text(&third.read_line());
        assert!(told.contains("the room is full, with 2 in it: try again later"), "{told}");
        assert_eq!(told.starts_with('{'), view == View::Json);
        third.expect_end();
    }
    drop(two);
    let mut next = eventually("there is a place again", || {
        let mut client = room.connect(View::Plain);
        (client.read_line() == WELCOME.as_bytes()).then_some(client)
    });
    one.send("who are you?\n");
    next.expect_line("who are you?");
}

#[test]
fn each_answer_and_refusal_is_a_notice_or_an_error_of_its_view() {
    let room = Room::open(&["--max-line", "300"]);
    let [_plain, mut named, mut json] = room.three();
    let long = "x".repeat(301);
    for (asked, answer, kind) in [
        ("/help", "6 commands: /nick NAME", "notice"),
        ("/who", "3 here: anon1, json, nora", "notice"),
        ("/nick a b", "a name is of letters, digits", "error"),
        ("/nick anon7", "names like anon7 are given to newcomers", "error"),
        ("/msg", "/msg needs a name and what to say", "error"),
        ("/msg nora ", "/msg needs a name and what to say", "error"),
        ("/msg nobody hi", "nobody here is called nobody", "error"),
        ("/msg anon1 hi", "anon1 sees plain lines alone", "error"),
        ("/me", "/me needs what you do", "error"),
        ("/me   ", "/me needs what you do", "error"),
        (&long, "that line was too long and nobody saw it: 300 bytes", "error"),
    ] {
        named.send(format!("{asked}\n"));
        let line = next_but_joins(&mut named);
        assert!(line.starts_with(&format!("* {answer}")), "{asked}: {line}");
        json.send(format!("{asked}\n"));
        let told = object(next_but_joins(&mut json).as_bytes());
        assert_eq!(told["type"], kind, "{asked}: {told}");
        assert!(told["text"].as_str().unwrap().starts_with(answer), "{asked}: {told}");
    }
    for (taker, name) in [(&mut named, "JSON"), (&mut json, "Nora")] {
        taker.send(format!("/nick {name}\n"));
        let told = text(&taker.read_line());
        assert!(told.contains(&format!("{name} is somebody else's name: choose another")), "{told}");
    }
}

#[test]
fn what_is_said_to_one_alone_goes_from_each_view_with_names_to_each() {
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
                let heard = next_but_joins(&mut other);
                let forms = ["* private to other: psst", "* private from sender: psst"];
                let object = r#"{"type":"private","from":"sender","to":"other","text":"psst","#;
                let is_form = |view, line: &str, form| match view {
                    View::Json => line.starts_with(object),
                    _ => line == form,
                };
                assert!(is_form(from, &echo, forms[0]) && is_form(to, &heard, forms[1]), "{echo} {heard}");
                assert_eq!(
                    (echo.contains(r#""echo":true"#), heard.contains("echo")),
                    (from == View::Json, false)
                );
            }
            sender.send("/quit\n");
            sender.read_to_end();
        }
    }
}

#[test]
fn who_was_heard_by_one_alone_takes_no_new_name_unseen() {
    let room = Room::open(&[]);
    let [_plain, mut named, _json] = room.three();
    let (mut newcomer, given) = room.join(View::Named);
    newcomer.send("/msg nora psst\n/nick zed\n");
    assert_eq!(next_but_joins(&mut named), format!("* private from {given}: psst"));
    assert_eq!(next_but_joins(&mut named), format!("* {given} is now zed"));
}

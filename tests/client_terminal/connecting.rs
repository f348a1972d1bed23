//! What the client on a terminal says and does until it is in the room.

use crate::common::{Client, Server, texts, time_limit};
use crate::host::{COLUMNS, Host, client};
use crate::screen::Terminal;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A listener with the shortest queue, of one connection.
#[track_caller]
fn listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    socket.into()
}

/// Fills the queue of `listener`, so that it does not answer, for as long as the sockets are open.
#[track_caller]
fn fill(listener: &TcpListener) -> [Socket; 3] {
    let address = listener.local_addr().unwrap().into();
    [(); 3].map(|()| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // In progress.
        _ = socket.connect(&address);
        socket
    })
}

fn connecting(listener: &TcpListener) -> String {
    format!("hubbub-client: connecting to \"{}\"", listener.local_addr().unwrap())
}

#[test]
fn a_user_is_told_what_the_client_is_connecting_to_if_it_takes_long() {
    for options in [&[][..], &["-n", "1"], &["--reconnect"]] {
        let listener = listener();
        let _queue = fill(&listener);
        let terminal = Terminal::start(&client(listener.local_addr().unwrap(), options), COLUMNS);
        terminal.expect_screen(&[&connecting(&listener)]);
    }
}

#[test]
fn a_user_is_told_what_the_client_is_connecting_to_again() {
    let listener = listener();
    let terminal = Terminal::start(&client(listener.local_addr().unwrap(), &["--reconnect"]), COLUMNS);
    let stream = listener.accept().unwrap();
    let _queue = fill(&listener);
    drop(stream);
    terminal.expect_output(&connecting(&listener));
}

#[test]
fn a_typed_line_is_sent_under_the_name() {
    let (_server, [plain, named, _]) = Server::start_in_views(&[]);
    let mut reader = Client::connect(plain);
    reader.expect_line(texts::WELCOME);
    let mut named_reader = Client::connect(named);
    let mut terminal = Terminal::start(&client(named, &["--nick", "bob"]), COLUMNS);
    terminal.expect_output(&texts::renamed("bob"));
    terminal.type_keys("hi\r");
    reader.expect_line("hi");
    while named_reader.read_text() != "<bob> hi" {}
}

#[test]
fn in_the_plain_view_the_name_is_not_said_to_everyone_and_the_user_is_told() {
    let mut host = Host::start(&["--nick", "bob"]);
    host.send("Welcome.\n");
    host.type_keys("typed ahead\r");
    host.terminal.expect_output("hubbub-client: --nick \"bob\": the server gives no names");
    host.expect_line("typed ahead");
}

#[test]
fn a_name_that_the_server_refuses_is_not_asked_for_again_after_a_reconnect() {
    let listener = listener();
    let options = ["--nick", "you", "--reconnect"];
    let mut terminal = Terminal::start(&client(listener.local_addr().unwrap(), &options), COLUMNS);
    let greet = || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(time_limit())).unwrap();
        writeln!(stream, "Welcome.\n{}anon1 (1 here)", texts::YOU_ARE).unwrap();
        stream
    };
    let next_line = |stream: &TcpStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    };
    let mut stream = greet();
    assert_eq!(next_line(&stream), "/nick you\n");
    writeln!(stream, "* {}", texts::name_reserved("you")).unwrap();
    terminal.expect_output("is reserved");
    terminal.type_keys("one\r");
    assert_eq!(next_line(&stream), "one\n");
    drop(stream);
    let stream = greet();
    terminal.expect_output("connected again");
    terminal.type_keys("two\r");
    assert_eq!(next_line(&stream), "two\n");
}

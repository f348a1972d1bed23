//! A scripted server and a real one, each with one client on a terminal; the keys that a user presses.

use crate::common::{self, Client, Port, Server, time_limit};
use crate::screen::Terminal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_hubbub-client");
/// The error after the server has closed the connection.
pub(crate) const LOST: &str = "hubbub-client: connection lost: the server closed it";
pub(crate) const COLUMNS: u16 = 60;
pub(crate) const ENTER: &str = "\r";
pub(crate) const CTRL_A: &str = "\x01";
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";
pub(crate) const CTRL_G: &str = "\x07";
pub(crate) const CTRL_R: &str = "\x12";
pub(crate) const CTRL_V: &str = "\x16";
pub(crate) const CTRL_X: &str = "\x18";
pub(crate) const CTRL_Z: &str = "\x1a";
pub(crate) const ESC: &str = "\x1b";
pub(crate) const LEFT: &str = "\x1b[D";
pub(crate) const TAB: &str = "\t";
pub(crate) const UP: &str = "\x1b[A";
/// Keys after which the editing library may wait for another key.
pub(crate) const PREFIX_KEYS: [&str; 6] = [ESC, CTRL_R, CTRL_X, CTRL_V, "\x1d", "\x1b3"];
/// The prompt of a history search without a text.
pub(crate) const SEARCH: &str = "(reverse-i-search)`':";

pub(crate) fn client(address: impl ToString, options: &[&str]) -> Command {
    let mut command = Command::new(CLIENT);
    command.args(options).arg(address.to_string());
    command
}

/// A server at `port` that logs nothing and welcomes with "Welcome.".
pub(crate) fn quiet_server(port: &Port) -> Server {
    let mut command = common::program(&["-q", "-w", "Welcome.", "-l", &port.address().to_string()]);
    command.stderr(Stdio::null());
    Server::spawn_without_log(command, port)
}

/// A real server with two clients, of which one is on a terminal.
pub(crate) struct Room {
    pub(crate) terminal: Terminal,
    pub(crate) other: Client,
    pub(crate) _server: Server,
}

#[track_caller]
pub(crate) fn room(columns: u16) -> Room {
    let server = Server::start(&["-w", "Welcome."]);
    let mut other = Client::connect(server.address());
    other.expect_line("Welcome.");
    let terminal = Terminal::start(&client(server.address(), &[]), columns);
    terminal.expect_screen_and_cursor(&["Welcome.", ">"], (1, 2));
    Room { terminal, other, _server: server }
}

/// A scripted server with one client, which is on a terminal.
pub(crate) struct Host {
    pub(crate) stream: TcpStream,
    pub(crate) lines: BufReader<TcpStream>,
    pub(crate) terminal: Terminal,
}

impl Host {
    #[track_caller]
    pub(crate) fn start(options: &[&str]) -> Self {
        let host = Self::start_with(options, |_| ());
        // Keys that are pressed before the prompt are echoed by the terminal, not by the editing library.
        host.terminal.expect_screen(&[">"]);
        host
    }

    /// Changes the command before it runs, and does not wait for a prompt.
    #[track_caller]
    pub(crate) fn start_with(options: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = client(listener.local_addr().unwrap(), options);
        change(&mut command);
        let terminal = Terminal::start(&command, COLUMNS);
        let stream = listener.accept().unwrap().0;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(time_limit())).unwrap();
        Self { lines: BufReader::new(stream.try_clone().unwrap()), stream, terminal }
    }

    /// The user has sent a line, so that there is a history to search.
    #[track_caller]
    pub(crate) fn with_history() -> Self {
        let mut host = Self::start(&[]);
        host.type_keys("sent\r");
        host.expect_line("sent");
        host.terminal.expect_screen(&["> sent", ">"]);
        host
    }

    /// The user has typed a part of a line.
    #[track_caller]
    pub(crate) fn with_half_a_line() -> Self {
        let mut host = Self::start(&[]);
        host.type_keys("half a li");
        host.terminal.expect_screen(&["> half a li"]);
        host
    }

    #[track_caller]
    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.terminal.type_keys(keys);
    }

    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect_line(&mut self, line: &str) {
        let mut received = String::new();
        self.lines.read_line(&mut received).unwrap();
        assert_eq!(received, format!("{line}\n"));
    }

    /// The client sends no more, and shuts down its sending side.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    /// Closes the connection; the client ends with that exit status.
    #[track_caller]
    pub(crate) fn close(self, status: i32) -> Terminal {
        let Self { stream, lines, mut terminal } = self;
        drop((stream, lines));
        assert_eq!(terminal.wait().code(), Some(status));
        terminal
    }
}

/// `lines` are in `written`, in this order.
#[track_caller]
pub(crate) fn expect_in_order(written: &str, lines: impl IntoIterator<Item = String>) {
    let mut from = 0;
    for line in lines {
        let at = written[from..].find(&line);
        from += at.unwrap_or_else(|| panic!("{line} is missing or out of order")) + line.len();
    }
}

//! The client on a terminal over TLS.

use crate::common::tls_front::{Certificate, Kind, tls_front};
use crate::common::{Client, Server};
use crate::host::*;
use crate::screen::Terminal;

#[test]
fn a_user_talks_over_tls_in_one_room_with_others() {
    let server = Server::start(&["-w", "Welcome."]);
    let mut other = Client::connect(server.address());
    other.expect_line("Welcome.");
    let address = tls_front(server.address(), &Certificate::new(Kind::SelfSigned, &["127.0.0.1"]));
    let mut terminal = Terminal::start(&client(address, &["--tls-insecure"]), 100);
    terminal.expect_last_rows(&["Welcome.", ">"]);
    terminal.type_keys(&format!("hello{ENTER}"));
    other.expect_line("hello");
    // More than one record of TLS.
    other.send(format!("{}\n", "x".repeat(50)).repeat(1000));
    other.send("hello yourself\n");
    terminal.expect_last_rows(&["hello yourself", ">"]);
    terminal.type_keys(&format!("exit{ENTER}"));
    assert_eq!(terminal.wait().code(), Some(0));
}

#[test]
fn an_error_of_tls_ends_the_client_before_the_prompt() {
    let server = Server::start(&[]);
    let address = tls_front(server.address(), &Certificate::new(Kind::SelfSigned, &["127.0.0.1"]));
    let mut command = client(address, &["--tls"]);
    command.env("SSL_CERT_FILE", "/nowhere/authorities").env_remove("SSL_CERT_DIR");
    let mut terminal = Terminal::start(&command, 200);
    assert_eq!(terminal.wait().code(), Some(1));
    terminal.expect_output("hubbub-client: cannot read the authorities that this system trusts: ");
}

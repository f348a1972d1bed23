//! The room as a whole: one order for all, nothing lost, nothing returned to its author.

mod common;

use common::{Client, Server};

#[test]
fn a_line_goes_to_everyone_else_and_not_back() {
    let server = Server::start(&[]);
    let (mut alice, mut bob, mut carol) =
        (Client::join(&server), Client::join(&server), Client::join(&server));
    alice.says("hello\n");
    bob.expects("hello");
    carol.expects("hello");
    bob.says("hi alice\r\n");
    alice.expects("hi alice");
    carol.expects("hi alice");
    alice.ends();
    alice.expects_end();
}

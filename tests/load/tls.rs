//! The load tool over TLS.

use crate::common::Server;
use crate::common::tls_front::{Certificate, Kind, tls_front, tls_front_after};
use crate::{Fault, Protocol, TestServer, expect_error, expect_fine, greet_and_then};
use std::net::SocketAddr;

/// A server and the port at which it speaks TLS.
#[track_caller]
fn room(options: &[&str]) -> (Server, SocketAddr) {
    let server = Server::start(options);
    let address = tls_front(server.address(), &Certificate::new(Kind::Expired, &["other.example"]));
    (server, address)
}

#[test]
fn every_line_arrives_over_tls_whatever_the_certificate() {
    let (_server, address) = room(&[]);
    expect_fine(address, "--tls -c 20 -s 4 -n 2000 --verify", 19 * 2000);
    expect_fine(address, "--tls -c 3 -s 1 -n 400 -b 8000 --window 5 --verify", 2 * 400);
    expect_fine(address, "--tls -c 5 -s 1 -n 50 --rate 200", 4 * 50);
    let (_server, silent) = room(&["-w", ""]);
    expect_fine(silent, "--tls -c 20 -s 4 -n 200 --verify", 19 * 200);
}

#[test]
fn stuck_slow_and_churn_connections_use_tls_too() {
    let (_server, address) = room(&[]);
    let options = "--tls -c 4 -s 1 -n 100 --rate 100 --stuck 2 --slow 1000 --churn 20";
    let result = expect_fine(address, options, 3 * 100);
    assert_eq!((&result["stuck_cut"], &result["churn_refused"]), (&0.into(), &0.into()), "{result}");
    assert!(result["churn_accepted"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn a_server_without_tls_and_one_of_another_machine_are_errors() {
    let server = Server::start(&[]);
    let address = server.address();
    let why = "the server does not speak TLS on this port: leave out --tls";
    let error = expect_error(address, "--tls -c 2", 1);
    assert_eq!(error.trim_end(), format!("cannot connect to \"{address}\": {why}"));
    for options in ["--tls", "--tls --i-own-this-host"] {
        let error = expect_error("192.0.2.1:9", options, 2);
        assert!(error.contains("\"192.0.2.1:9\" is not a loopback address"), "{error}");
    }
    let error = expect_error("unix:/room", "--tls", 2);
    assert!(error.contains("--tls cannot be used with \"unix:/room\""), "{error}");
}

/// Starts a test server that speaks the protocol of NATS; returns its address, and that at which it speaks TLS after
/// `first`.
#[track_caller]
fn nats(first: &'static str) -> (String, SocketAddr) {
    let plain = TestServer::start_on_port(Protocol::Nats, Fault::None);
    let certificate = Certificate::new(Kind::SelfSigned, &["localhost"]);
    let front = tls_front_after(first, plain.parse().unwrap(), &certificate);
    (plain, front)
}

#[test]
fn tls_of_nats_begins_after_the_first_line_of_the_server() {
    let (_, address) = nats("INFO {\"server_id\":\"x\",\"tls_required\":true}\r\n");
    expect_fine(address, "--tls --protocol nats -c 20 -s 4 -n 500 --verify", 19 * 500);
    let options = "--tls --protocol nats -c 4 -s 1 -n 100 --rate 100 --stuck 2 --slow 1000 --churn 20";
    let result = expect_fine(address, options, 3 * 100);
    assert_eq!((&result["stuck_cut"], &result["churn_refused"]), (&0.into(), &0.into()), "{result}");
    assert!(result["churn_accepted"].as_u64().unwrap() > 0, "{result}");
}

#[test]
fn a_nats_server_without_tls_or_a_first_line_is_an_error() {
    let (plain, _) = nats("");
    let long = "INFO ".repeat(2000).leak();
    for (address, why) in [
        (plain, "the server does not speak TLS on this port: leave out --tls"),
        (greet_and_then("", drop), "the server closed the connection before its first line"),
        (
            greet_and_then(long, std::mem::forget),
            "the server's first line has more than 8192 bytes: it is no NATS server",
        ),
        (
            greet_and_then("INFO {\"tls_required\":true}\r\n* no\n", std::mem::forget),
            "the server does not speak TLS on this port: leave out --tls",
        ),
    ] {
        let error = expect_error(&address, "--tls --protocol nats -c 2", 1);
        assert_eq!(error.trim_end(), format!("cannot connect to \"{address}\": {why}"));
    }
}

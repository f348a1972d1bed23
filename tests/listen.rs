//! Addresses to listen on: several that share a port, those that are taken, and what the log says about them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{IN_USE, given_twice, includes, is_included};
use common::{Client, Folder, Namespaces, Port, Server, has_ipv6, program, run, traced};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

const ALL_IPV4: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// The arguments with which the server listens on `addresses` of `port`. `P` stands for the port.
fn listen_on(addresses: &[&str], port: u16) -> Vec<String> {
    addresses.iter().flat_map(|address| ["-l".to_owned(), address.replace('P', &port.to_string())]).collect()
}

/// The server cannot listen on these addresses. Returns the reason.
#[track_caller]
fn refusal(addresses: &[&str], port: u16) -> String {
    let arguments = listen_on(addresses, port);
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let (status, _, error) = run(&[&["-q"], &arguments[..]].concat());
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{arguments:?}: {error}");
    error.trim_end().to_owned()
}

#[test]
fn all_interfaces_of_ipv4_and_all_of_ipv6_can_share_a_port_in_either_order() {
    if !has_ipv6() {
        return;
    }
    for addresses in [["0.0.0.0:P", "named:[::]:P"], ["named:[::]:P", "0.0.0.0:P"]] {
        let reserved = Port::reserve_on(Ipv6Addr::UNSPECIFIED.into());
        let port = reserved.address().port();
        let arguments = listen_on(&addresses, port);
        let mut command = program(&[]);
        command.args(&arguments);
        let mut server = Server::spawn(command);
        server.wait_for_log(if addresses[1].starts_with('0') {
            "listening on 0.0.0.0"
        } else {
            "listening on [::]"
        });
        let mut plain = Client::connect((Ipv4Addr::LOCALHOST, port).into());
        let mut named = Client::connect((Ipv6Addr::LOCALHOST, port).into());
        plain.expect_line(common::WELCOME);
        named.expect_line(common::WELCOME);
        assert!(named.read_line().starts_with(b"* you are "), "{addresses:?}: IPv6 has the named view");
        named.send("hi\n");
        plain.expect_line("hi");
    }
}

#[test]
fn of_two_addresses_that_overlap_the_error_says_which_one_includes_the_other() {
    if !has_ipv6() {
        return;
    }
    for (addresses, expected) in [
        ([":P", "127.0.0.1:P"], is_included("127.0.0.1:P", "[::]:P")),
        (["127.0.0.1:P", ":P"], includes("[::]:P", "127.0.0.1:P")),
        (["0.0.0.0:P", "127.0.0.1:P"], is_included("127.0.0.1:P", "0.0.0.0:P")),
        (["named:[::1]:P", "[::]:P"], includes("[::]:P", "[::1]:P")),
        (["[::]:P", "named:[::1]:P"], is_included("[::1]:P", "[::]:P")),
        ([":P", "0.0.0.0:P"], is_included("0.0.0.0:P", "[::]:P")),
        (["0.0.0.0:P", ":P"], includes("[::]:P", "0.0.0.0:P")),
        (["127.0.0.1:P", "named:127.0.0.1:P"], given_twice("127.0.0.1:P")),
        (["localhost:P", "127.0.0.1:P"], given_twice("127.0.0.1:P")),
        ([":P", "json:[::]:P"], given_twice("[::]:P")),
    ] {
        let reserved = Port::reserve_on(Ipv6Addr::UNSPECIFIED.into());
        let port = reserved.address().port();
        let expected = expected.replace(":P", &format!(":{port}"));
        assert_eq!(refusal(&addresses, port), format!("hubbub: {expected}"), "{addresses:?}");
    }
}

#[test]
fn d7_the_error_names_the_address_that_another_process_has_taken() {
    if !has_ipv6() {
        return;
    }
    for (taken, addresses, blamed) in [
        ((ALL_IPV4, 0).into(), ["P"], "0.0.0.0:P"),
        ((ALL_IPV4, 0).into(), ["[::]:P"], "0.0.0.0:P"),
        (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), [":P"], "0.0.0.0:P"),
        ((Ipv6Addr::UNSPECIFIED, 0).into(), ["P"], "[::]:P"),
        ((Ipv6Addr::UNSPECIFIED, 0).into(), ["127.0.0.1:P"], "127.0.0.1:P"),
        ((Ipv6Addr::LOCALHOST, 0).into(), [":P"], "[::]:P"),
    ] {
        let listener = TcpListener::bind(taken).unwrap();
        let port = listener.local_addr().unwrap().port();
        let blamed = blamed.replace('P', &port.to_string());
        let expected = format!("hubbub: cannot listen on {blamed}: {IN_USE}");
        assert_eq!(refusal(&addresses, port), expected, "{taken} is taken");
    }
}

/// The files and sockets of the system's resolver.
const RESOLVER: [&str; 6] = ["nsswitch.conf", "resolv.conf", "/etc/hosts", "nscd", "resolve1", "htons(53)"];

#[test]
fn it_listens_on_all_interfaces_an_ip_address_and_localhost_without_asking_a_resolver() {
    if !has_ipv6() {
        return;
    }
    let folder = Folder::new("no-resolver");
    for address in [":0", "0.0.0.0:0", "localhost:0", "[::1]:0", "127.0.0.1:0"] {
        let calls = ["-e", "trace=openat,connect,sendto"];
        let mut server = traced(&folder, &calls, &["-l", address]);
        server.signal("TERM");
        server.wait_for_log("stopped");
        let trace = std::fs::read_to_string(folder.path("trace")).unwrap();
        let found = RESOLVER.iter().filter(|part| trace.contains(**part)).collect::<Vec<_>>();
        assert!(found.is_empty(), "{address}: the trace has {found:?}: {trace}");
        server.assert_not_logged("looking up");
    }
}

#[test]
fn before_it_asks_for_a_host_name_it_says_so() {
    // A host name with an empty label needs no name server.
    let (status, _, error) = run(&["-l", "no..host:0"]);
    assert_eq!(status, Some(1), "{error}");
    let lines = error.lines().collect::<Vec<_>>();
    assert!(lines[0].ends_with("looking up the host \"no..host\""), "{error}");
    let start = "hubbub: cannot listen on no..host:0: the host \"no..host\" is not found: ";
    assert!(lines[1].starts_with(start), "{error}");
}

/// Runs the server in a network of its own, which `setup` prepares. `None` if this machine cannot.
#[track_caller]
fn in_network(setup: &str, address: &str) -> Option<Server> {
    let mut command = Namespaces::try_new(&["--net", "--pid", "--fork", "--kill-child"])?.unshare();
    let script = format!("ip link set lo up && {setup} exec \"$0\" -l {address}");
    command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_hubbub")]);
    Some(Server::spawn(command))
}

#[test]
fn on_all_interfaces_the_log_shows_addresses_that_others_can_reach_and_never_a_loopback_one() {
    // `lan` has a cable, `off` has none. The kernel needs a moment to find that out.
    let setup = "ip link add lan type veth peer name far && ip link add off type veth peer name nothing && \
                 ip addr add 198.51.100.7/24 dev lan && ip addr add 2001:db8::7/64 dev lan nodad && \
                 ip addr add 203.0.113.7/24 dev off && ip addr add 127.5.5.5/8 dev lan && \
                 ip link set far up && ip link set lan up && ip link set off up && \
                 until ip link show lan | grep -q 'state UP' && ip link show off | grep -q NO-CARRIER; \
                 do sleep 0.01; done && ";
    for (address, expected) in [
        (":7000", "other machines can use 198.51.100.7:7000 (lan), [2001:db8::7]:7000 (lan)"),
        ("[::]:7000", "other machines can use 198.51.100.7:7000 (lan), [2001:db8::7]:7000 (lan)"),
        ("0.0.0.0:7000", "other machines can use 198.51.100.7:7000 (lan)"),
    ] {
        let Some(mut server) = in_network(setup, address) else { return };
        let line = server.wait_for_log("other machines");
        assert!(line.ends_with(expected), "{address}: {line}");
        server.assert_not_logged("127.");
    }
}

#[test]
fn on_one_address_the_log_shows_no_other() {
    let mut server = Server::start(&[]);
    server.signal("TERM");
    server.wait_for_log("stopped");
    server.assert_not_logged("other machines");
}

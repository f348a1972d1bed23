//! Peers that vanish: the server and a client on two hosts, whose link goes down.
//!
//! The hosts are network namespaces.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Namespaces, Server, WELCOME};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

const NEAR: &str = "10.77.0.1";
const FAR: &str = "10.77.0.2";

/// The server on the near host, linked to the far host.
struct Hosts {
    server: Server,
    namespaces: Namespaces,
}

impl Hosts {
    /// Starts the server with `options`. If this machine cannot have such hosts, the calling test is skipped.
    #[track_caller]
    fn start(options: &str) -> Option<Self> {
        let namespaces = Namespaces::try_new(&["--net", "--mount"])?;
        let script = format!(
            "mount -t tmpfs none /run && ip netns add far && \
             ip link add near type veth peer name far netns far && \
             ip addr add {NEAR}/24 dev near && ip link set near up && ip link set lo up && \
             ip -n far addr add {FAR}/24 dev far && ip -n far link set far up && \
             exec \"$0\" -l {NEAR}:0 {options}"
        );
        let mut command = namespaces.unshare();
        command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_hubbub")]);
        Some(Self { server: Server::spawn(command), namespaces })
    }

    /// Joins a client on the far or on the near host.
    #[track_caller]
    fn join(&self, is_far: bool) -> SocatClient {
        let mut command = self.namespaces.enter(self.server.pid());
        if is_far {
            command.args(["ip", "netns", "exec", "far"]);
        }
        command.args(["socat", "-", &format!("TCP:{}", self.server.address())]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut client = SocatClient { process, output };
        client.expect_line(WELCOME);
        client
    }

    /// Takes the link between the hosts down.
    #[track_caller]
    fn take_link_down(&self) {
        let mut command = self.namespaces.enter(self.server.pid());
        command.args(["ip", "-n", "far", "link", "set", "far", "down"]);
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    /// Waits until the server loses the far client, and asserts that it keeps `others` clients.
    #[track_caller]
    fn expect_far_client_lost(&mut self, others: usize) {
        let lost = self.server.wait_for_log("connection lost");
        assert!(lost.contains(&format!(" {FAR}:")), "{lost}");
        assert!(lost.ends_with(&format!(", {others} online")), "{lost}");
    }
}

/// A client in another process, which can run on the far host.
struct SocatClient {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl SocatClient {
    #[track_caller]
    fn expect_line(&mut self, line: &str) {
        let mut received = String::new();
        self.output.by_ref().take(1000).read_line(&mut received).unwrap();
        assert_eq!(received.trim_end(), line);
    }

    #[track_caller]
    fn send(&mut self, line: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{line}").unwrap();
    }
}

impl Drop for SocatClient {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn b15_keepalive_disconnects_a_silent_peer_whose_host_is_gone() {
    let Some(mut hosts) = Hosts::start("--dead-after 7") else { return };
    let (_far, mut one, mut two) = (hosts.join(true), hosts.join(false), hosts.join(false));
    hosts.take_link_down();
    hosts.expect_far_client_lost(2);
    one.send("still here");
    two.expect_line("still here");
}

#[test]
fn b16_a_peer_with_pending_output_whose_host_is_gone_is_disconnected_sooner() {
    // Keepalive starts only after 20 s, the default time limit of a test.
    let Some(mut hosts) = Hosts::start("--dead-after 35") else { return };
    let (mut far, mut one, mut two) = (hosts.join(true), hosts.join(false), hosts.join(false));
    one.send("before");
    far.expect_line("before");
    two.expect_line("before");
    hosts.take_link_down();
    one.send("after");
    two.expect_line("after");
    hosts.expect_far_client_lost(2);
    one.send("and on");
    two.expect_line("and on");
}

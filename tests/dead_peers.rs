//! Peers that vanish without a word: the server and its clients on two hosts, and the link between them cut.
//!
//! The hosts are network namespaces, which root may make, and others in a user namespace of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Server, WELCOME, eventually};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

const NEAR: &str = "10.77.0.1";
const FAR: &str = "10.77.0.2";

/// A server on a host of its own, and another host at the other end of a link.
struct Hosts {
    server: Server,
}

impl Hosts {
    #[track_caller]
    fn start(options: &str) -> Self {
        let script = format!(
            "mount -t tmpfs none /run && ip netns add far && \
             ip link add near type veth peer name far netns far && \
             ip addr add {NEAR}/24 dev near && ip link set near up && ip link set lo up && \
             ip -n far addr add {FAR}/24 dev far && ip -n far link set far up && \
             exec \"$0\" -l {NEAR}:0 {options}"
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount"]).args(owner(&["--user", "--map-root-user"]));
        command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_hubbub")]);
        Self { server: Server::spawn(command) }
    }

    /// A command on the server's host.
    fn near(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.server.pid())).args(["--net", "--mount"]);
        command.args(owner(&["--user", "--preserve-credentials"]));
        command
    }

    /// Someone on the server's host, or on the other, in the room.
    #[track_caller]
    fn join(&self, is_far: bool) -> Guest {
        let mut command = self.near();
        if is_far {
            command.args(["ip", "netns", "exec", "far"]);
        }
        command.args(["socat", "-", &format!("TCP:{}", self.server.address())]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let heard = BufReader::new(process.stdout.take().unwrap());
        let mut guest = Guest { process, heard };
        guest.expects(WELCOME);
        guest
    }

    /// From now on nothing passes between the hosts.
    #[track_caller]
    fn cut_link(&self) {
        let mut command = self.near();
        command.args(["ip", "-n", "far", "link", "set", "far", "down"]);
        assert!(command.status().unwrap().success(), "{command:?}");
    }

    /// The one who was far is found to be gone, and no other.
    #[track_caller]
    fn loses_who_is_far(&mut self, others: usize) {
        let lost = self.server.wait_for_log("connection lost");
        assert!(lost.contains(&format!(" {FAR}:")), "{lost}");
        assert!(lost.ends_with(&format!(", {others} online")), "{lost}");
    }
}

/// The options that make a namespace one's own where one is not root.
fn owner<'a>(options: &'a [&'a str]) -> &'a [&'a str] {
    if rustix::process::geteuid().is_root() { &[] } else { options }
}

struct Guest {
    process: Child,
    heard: BufReader<std::process::ChildStdout>,
}

impl Guest {
    #[track_caller]
    fn expects(&mut self, line: &str) {
        let mut heard = String::new();
        self.heard.by_ref().take(1000).read_line(&mut heard).unwrap();
        assert_eq!(heard.trim_end(), line);
    }

    #[track_caller]
    fn says(&mut self, line: &str) {
        writeln!(self.process.stdin.as_ref().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn b15_a_silent_peer_whose_host_is_gone_is_found_out_by_keepalive() {
    let mut hosts = Hosts::start("--dead-after 7");
    let (_far, mut one, mut two) = (hosts.join(true), hosts.join(false), hosts.join(false));
    hosts.cut_link();
    hosts.loses_who_is_far(2);
    one.says("still here");
    two.expects("still here");
}

#[test]
fn b16_a_peer_that_is_owed_something_and_whose_host_is_gone_is_found_out_sooner() {
    // Keepalive would only begin after 20 s.
    let mut hosts = Hosts::start("--dead-after 35");
    let (mut far, mut one, mut two) = (hosts.join(true), hosts.join(false), hosts.join(false));
    one.says("before");
    far.expects("before");
    two.expects("before");
    hosts.cut_link();
    one.says("after");
    two.expects("after");
    hosts.loses_who_is_far(2);
    eventually("the others still talk", || {
        one.says("and on");
        two.expects("and on");
        Some(())
    });
}

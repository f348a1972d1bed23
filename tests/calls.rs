//! The number of system calls per message, counted with strace.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, eventually, has_descriptors, traced};
use std::collections::BTreeMap;

/// A server whose system calls are written to a file.
struct Traced {
    server: Server,
    folder: Folder,
}

impl Traced {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        Self { server: traced(&folder, &[], &["--report-every", "0"]), folder }
    }

    /// Counts the calls, by name, that the server makes for `exchange` until it waits for events again.
    fn count(&self, exchange: impl FnOnce()) -> BTreeMap<String, usize> {
        let before = self.calls_until_idle().len();
        exchange();
        let mut counts = BTreeMap::new();
        for call in &self.calls_until_idle()[before..] {
            *counts.entry(call.clone()).or_default() += 1;
        }
        counts
    }

    /// Waits until the server waits for events, and returns the names of all calls before.
    fn calls_until_idle(&self) -> Vec<String> {
        let name = |line: &str| {
            // strace -f writes the process id first.
            let call = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            call.split('(').next().unwrap().to_owned()
        };
        eventually("the server waits for events", || {
            let text = std::fs::read_to_string(self.folder.path("trace")).unwrap();
            // strace writes the beginning of the call in which the server waits, without a line end.
            let waits = text.rsplit('\n').next().is_some_and(|last| name(last) == "epoll_wait");
            let calls = text.lines().map(name).collect::<Vec<_>>();
            waits.then(|| calls[..calls.len() - 1].to_vec())
        })
    }
}

fn writes(counts: &BTreeMap<String, usize>) -> usize {
    ["write", "writev", "sendto", "sendmsg"].iter().filter_map(|name| counts.get(*name)).sum()
}

#[test]
fn c12_one_line_to_a_hundred_readers_takes_a_hundred_writes_and_five_other_calls() {
    let traced = Traced::start("one-line");
    let mut sender = Client::join(&traced.server);
    let mut readers = Client::join_many(&traced.server, 100);
    let counts = traced.count(|| {
        sender.send("hello\n");
        readers.iter_mut().for_each(|reader| reader.expect_line("hello"));
    });
    assert_eq!(writes(&counts), 100, "{counts:?}");
    assert!(counts.values().sum::<usize>() <= 105, "{counts:?}");
}

#[test]
fn c12_a_thousand_lines_in_one_segment_take_one_or_two_writes_per_reader() {
    let traced = Traced::start("burst");
    let mut sender = Client::join(&traced.server);
    let mut readers = Client::join_many(&traced.server, 20);
    let burst = (0..1000).map(|number| format!("line {number}\n")).collect::<String>();
    let counts = traced.count(|| {
        sender.send(&burst);
        for reader in &mut readers {
            assert_eq!(reader.read_bytes(burst.len()), burst.as_bytes());
        }
    });
    assert!((20..=40).contains(&writes(&counts)), "{counts:?}");
}

#[test]
fn an_idle_server_with_a_thousand_clients_sleeps_without_a_timeout() {
    if !has_descriptors(2000) {
        return;
    }
    let server = Server::start(&["--report-every", "0.05"]);
    let mut clients = Client::join_many(&server, 1000);
    clients[0].send("one last line\n");
    for client in &mut clients[1..] {
        client.expect_line("one last line");
    }
    // The number of the current call and its arguments: the fourth of epoll_wait is the timeout.
    eventually("the server sleeps without a timeout", || {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", server.pid())).unwrap();
        let words = call.split_whitespace().collect::<Vec<_>>();
        let timeout = words.get(4).and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        timeout.filter(|&timeout| timeout as u32 == u32::MAX)
    });
}

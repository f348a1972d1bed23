//! The system calls that a message costs, counted under strace.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, eventually};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// A server whose system calls are written to a file.
struct Traced {
    server: Server,
    file: PathBuf,
    _folder: Folder,
}

impl Traced {
    fn start(name: &str) -> Self {
        let folder = Folder::new(name);
        let file = folder.path("calls");
        let mut command = Command::new("strace");
        // With -D the child is the server itself, and is what the end of the test ends.
        command.arg("-D").arg("-o").arg(&file).arg(env!("CARGO_BIN_EXE_hubbub"));
        command.args(["-l", "127.0.0.1:0", "--report-every", "0"]);
        Self { server: Server::spawn(command), file, _folder: folder }
    }

    /// Calls made from now until `talk` is over and the server waits again, by name.
    fn count(&self, talk: impl FnOnce()) -> BTreeMap<String, usize> {
        let before = self.waits();
        talk();
        let mut counts = BTreeMap::new();
        for line in &self.waits()[before.len()..] {
            *counts.entry(line.split('(').next().unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// All finished calls so far, once the server sleeps and has nothing left to do.
    fn waits(&self) -> Vec<String> {
        eventually("the server waits without a deadline", || {
            let text = std::fs::read_to_string(&self.file).unwrap();
            // The call in which it sleeps is written up to its first argument.
            let sleeps = text.rsplit('\n').next().is_some_and(|last| last.starts_with("epoll_wait("));
            let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
            sleeps.then(|| lines[..lines.len() - 1].to_vec())
        })
    }
}

fn writes(counts: &BTreeMap<String, usize>) -> usize {
    ["write", "writev", "sendto", "sendmsg"].iter().filter_map(|name| counts.get(*name)).sum()
}

#[test]
fn c12_one_line_to_a_hundred_readers_is_a_hundred_writes_and_a_handful_of_other_calls() {
    let traced = Traced::start("one-line");
    let mut speaker = Client::join(&traced.server);
    let mut readers = (0..100).map(|_| Client::join(&traced.server)).collect::<Vec<_>>();
    let counts = traced.count(|| {
        speaker.send("hello\n");
        readers.iter_mut().for_each(|reader| reader.expect_line("hello"));
    });
    assert_eq!(writes(&counts), 100, "{counts:?}");
    assert!(counts.values().sum::<usize>() <= 105, "{counts:?}");
}

#[test]
fn c12_a_thousand_lines_in_one_segment_are_one_or_two_writes_a_reader() {
    let traced = Traced::start("burst");
    let mut speaker = Client::join(&traced.server);
    let mut readers = (0..20).map(|_| Client::join(&traced.server)).collect::<Vec<_>>();
    let burst = (0..1000).map(|number| format!("line {number}\n")).collect::<String>();
    let counts = traced.count(|| {
        speaker.send(&burst);
        for reader in &mut readers {
            assert_eq!(reader.read_bytes(burst.len()), burst.as_bytes());
        }
    });
    assert!((20..=40).contains(&writes(&counts)), "{counts:?}");
}

#[test]
fn a_server_on_which_nothing_happens_sleeps_without_a_deadline_however_many_are_connected() {
    let server = Server::start(&["--report-every", "0.05"]);
    let mut clients = (0..1000).map(|_| Client::join(&server)).collect::<Vec<_>>();
    clients[0].send("one last word\n");
    for client in &mut clients[1..] {
        client.expect_line("one last word");
    }
    // The number of the call that it is in, and its arguments: the fourth of epoll_wait is the timeout.
    eventually("it sleeps for ever", || {
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", server.pid())).unwrap();
        let words = call.split_whitespace().collect::<Vec<_>>();
        let timeout = words.get(4).and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        timeout.filter(|&timeout| timeout as u32 == u32::MAX)
    });
}

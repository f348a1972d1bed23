//! Runs that end early: after a time, or by a signal.

use super::{
    FAULTY_LINE, Fault, Protocol, Server, TestServer, common, expect_fine, greet_and_then, line_number, run,
    run_json,
};
use common::{Client, signal, wait_for_end};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// Starts the load tool.
#[track_caller]
fn start(address: impl ToString, options: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub-load"));
    command.args(options.split_whitespace()).arg(address.to_string()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the load tool ends by a signal. Returns the signal, standard output and standard error.
#[track_caller]
fn end_of(mut load: Child) -> (Option<i32>, String, String) {
    let status = wait_for_end(&mut load);
    let output = load.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.signal(), text(output.stdout), text(output.stderr))
}

#[test]
fn ctrl_c_and_sigterm_print_the_results_so_far_and_the_program_ends_by_the_signal() {
    let server = Server::start(&[]);
    let mut reader = Client::join(&server);
    for (name, number, options) in [
        ("INT", 2, "--verify -c 3 -s 2 -n 1000000 --rate 500"),
        ("TERM", 15, "-c 3 -s 2 -n 1000000 --rate 500"),
        ("INT", 2, "--verify -c 3 -s 2 -n 1000000 --window 2"),
        ("INT", 2, "--verify -c 3 -s 2 --rate 500 --duration 1000"),
    ] {
        let load = start(server.address(), &format!("{options} --others --json"));
        let [_, _] = [(); 2].map(|()| reader.read_line());
        signal(load.id(), name);
        let (ended_by, json, errors) = end_of(load);
        assert_eq!((ended_by, &errors[..]), (Some(number), ""), "{options}: {json}");
        let result: Value = serde_json::from_str(&json).unwrap();
        let sent = result["sent"].as_u64().unwrap();
        assert!((2..1_000_000).contains(&sent), "{result}");
        assert_eq!(
            (&result["lost"], &result["interrupted"], &result["fine"]),
            (&0.into(), &true.into(), &false.into()),
            "{options}: {result}"
        );
        let in_flight = result["in_flight"].as_u64().unwrap();
        assert_eq!(result["deliveries"], 2 * sent - in_flight, "{options}: {result}");
        // The lines of this run must not be taken for those of the next.
        reader = Client::join(&server);
    }
}

#[test]
fn lines_in_flight_at_an_interrupt_are_not_lost_but_a_line_that_others_overtook_is() {
    for (options, lost) in [("--verify", 1), ("", 0)] {
        let address = TestServer::start_on_port(Protocol::Lines, Fault::Lose);
        // These two have sent a line with a number, so that the victim is a client of the load.
        let mut watchers = [(); 2].map(|()| Client::connect(address.parse().unwrap()));
        for watcher in &mut watchers {
            watcher.read_line();
        }
        for (from, to) in [(0, 1), (1, 0)] {
            watchers[from].send("0000000000000000\n");
            watchers[to].expect_line("0000000000000000");
        }
        // One of two readers lacks line 20, and so the window stops the senders.
        let options = format!("{options} -c 3 -s 1 -n 1000000 --window 5 --timeout 1000 --others --json");
        let load = start(&address, &options);
        while line_number(&watchers[0].read_line()) != Some(FAULTY_LINE + 4) {}
        signal(load.id(), "INT");
        let (_, json, _) = end_of(load);
        let result: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&result["lost"], &result["in_flight"]), (&lost.into(), &(1 - lost).into()), "{result}");
    }
}

#[test]
fn an_interrupted_run_says_so_in_its_table() {
    let server = Server::start(&[]);
    let mut reader = Client::join(&server);
    let load = start(server.address(), "-c 2 -s 1 -n 1000000 --rate 500");
    reader.read_line();
    signal(load.id(), "INT");
    let (_, table, _) = end_of(load);
    assert!(table.contains(" of 1,000,000 lines, then interrupted\n"), "{table}");
}

#[test]
fn ctrl_c_while_the_clients_connect_says_how_many_have_joined() {
    let (accepted, when_accepted) = channel();
    let accepted = Mutex::new((accepted, Vec::new()));
    let address = greet_and_then("", move |socket| {
        let mut accepted = accepted.lock().unwrap();
        accepted.1.push(socket);
        accepted.0.send(()).unwrap();
    });
    let load = start(&address, "-c 3 --timeout 1000");
    when_accepted.recv().unwrap();
    signal(load.id(), "INT");
    let why = "interrupted when 0 of 3 clients received lines";
    let error = format!("hubbub-load: cannot connect to \"{address}\": {why}\n");
    assert_eq!(end_of(load), (Some(2), String::new(), error));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let server = Server::start(&[]);
    let mut reader = Client::join(&server);
    let load = start(server.address(), "-c 2 -s 1 -n 1000000 --json");
    reader.read_line();
    // The lines on their way would be awaited.
    server.pause();
    signal(load.id(), "INT");
    signal(load.id(), "TERM");
    let (ended_by, output, errors) = end_of(load);
    assert!(matches!(ended_by, Some(2 | 15)), "{ended_by:?}");
    assert_eq!((&output[..], &errors[..]), ("", ""));
}

#[test]
fn with_a_duration_it_sends_until_the_time_is_over_or_all_lines_are_sent() {
    let server = Server::start(&[]);
    for options in ["", " -s 3", " --rate 1000", " --window 5"] {
        let options = format!("--verify -c 3 --duration 0.1{options}");
        let (status, result) = run_json(server.address(), &options);
        let sent = result["sent"].as_u64().unwrap();
        let readers = result["clients"].as_u64().unwrap() - 1;
        assert_eq!((status, &result["lost"]), (Some(0), &0.into()), "{options}: {result}");
        assert_eq!(result["deliveries"], readers * sent, "{options}: {result}");
        assert_eq!((&result["lines"], &result["duration_seconds"]), (&sent.into(), &0.1.into()), "{result}");
        assert!(sent > 0, "{options}: {result}");
    }
    // All lines are sent long before the time is over.
    expect_fine(server.address(), "-c 2 -s 1 -n 5 --duration 1000", 5);
    let (_, table, _) = run(server.address(), "-c 2 -s 1 --rate 100 --duration 0.1");
    assert!(
        table.starts_with("load            2 clients, 1 sender, lines of 64 bytes for 0.1 s\n"),
        "{table}"
    );
    assert!(table.contains("\nsent            "), "{table}");
}

#[test]
fn with_a_duration_lines_that_the_server_never_read_are_a_failure() {
    for clients in [1, 2] {
        let address = greet_and_then("Welcome.\n", std::mem::forget);
        let options = format!("-c {clients} -s 1 --duration 0.3 --timeout 0.3");
        let (status, table, _) = run(address, &options);
        assert_eq!(status, Some(1), "{table}");
        assert!(table.contains(" lines: the server read no more\n"), "{table}");
    }
}

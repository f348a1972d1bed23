//! `--quiet`, and what the client does with errors of the server.

use crate::common::{Client, Server, texts};
use crate::session::{Outcome, client, run, scripted_server, success};
use std::net::SocketAddr;

const REFUSED: &str = "hubbub-client: the server refused what was sent; its message says why\n";

#[test]
fn a_quiet_client_that_sends_a_line_writes_nothing() {
    // A welcome line may look like a notice.
    for welcome in [texts::WELCOME, "* Welcome."] {
        let (_server, [plain, named, json]) = Server::start_in_views(&["-w", welcome]);
        let mut reader = Client::connect(plain);
        reader.expect_line(welcome);
        for address in [plain, named, json] {
            assert_eq!(run(address, &["--quiet", "--send", "hi"], b""), success(""), "{address}");
            reader.expect_line("hi");
            assert_eq!(run(address, &["-q"], b"hi\n"), success(""), "{address}");
            reader.expect_line("hi");
        }
    }
}

#[test]
fn a_quiet_client_writes_and_counts_only_what_others_say() {
    let text =
        "Welcome.\n* you are anon1 (2 here)\n<bob> hi\n* bob left\n* private from bob: psst\n<eve> no\n";
    let said = "<bob> hi\n* private from bob: psst\n";
    for (options, expected) in
        [(&["-q", "-n", "2"][..], success(said)), (&["-q"], success(format!("{said}<eve> no\n")))]
    {
        let (address, _) = scripted_server(text, true);
        assert_eq!(run(address, options, b""), expected, "{options:?}");
    }
}

/// Sends a line that the server refuses: the client fails, and `error` is said once.
#[track_caller]
fn check_refused(address: SocketAddr, line: &str, error: &str) {
    let case = format!("{address} {line:.20}");
    let (status, output, errors): Outcome = run(address, &["--send", line], b"");
    assert_eq!((status, &errors[..]), (Some(1), REFUSED), "{case}: {output}");
    assert!(output.contains(&error.replace('"', "")) || output.contains(error), "{case}: {output}");
    let (status, output, errors): Outcome = run(address, &["--quiet", "--send", line], b"");
    let (said, refused) = errors.split_at(errors.len().saturating_sub(REFUSED.len()));
    assert_eq!((status, &output[..], refused), (Some(1), "", REFUSED), "{case}: {errors}");
    assert!(said.starts_with("hubbub-client: ") && said.contains(error), "{case}: {errors}");
    assert_eq!(said.lines().count(), 1, "{case}: {errors}");
}

#[test]
fn a_line_that_the_server_refuses_is_an_error_also_for_a_quiet_client() {
    let (_server, [plain, named, json]) = Server::start_in_views(&["--max-line", "100"]);
    let long = "x".repeat(101);
    for address in [plain, named, json] {
        check_refused(address, &long, &texts::line_too_long(100));
        check_refused(address, "SSH-2.0-x", texts::OTHER_PROTOCOL);
    }
    for address in [named, json] {
        for (line, error) in [
            ("/nick a:b", "invalid name"),
            ("/nick anon", "is reserved"),
            ("/msg nobody hi", "nobody here is named"),
            ("/msg", texts::MSG_NEEDS_TEXT),
            ("/me", texts::ME_NEEDS_TEXT),
        ] {
            check_refused(address, line, error);
        }
    }
}

#[test]
fn an_error_fails_a_script_only_if_the_script_has_sent_something() {
    let text = "Welcome.\n* line too long: nothing was sent\nhi\n";
    let (address, _) = scripted_server(text, true);
    assert_eq!(run(address, &["-n", "3"], b""), success(text));
    let (address, _) = scripted_server(text, true);
    assert_eq!(run(address, &["-s", "hi"], b""), (Some(1), text.to_owned(), REFUSED.to_owned()));
}

#[test]
fn a_quiet_client_says_why_it_was_refused() {
    let server = Server::start(&["-m", "1"]);
    let _only = Client::join(&server);
    let (status, output, error) = crate::common::run_to_end(client(server.address(), &["-q", "-s", "hi"]));
    let why = format!("hubbub-client: {}\n", texts::room_full(1));
    let refused = "hubbub-client: the server refused the connection; its message says why\n";
    assert_eq!((status, &output[..], error), (Some(1), "", format!("{why}{refused}")));
}

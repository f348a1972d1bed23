//! What a start meets: ports, addresses, wrong command lines, closed descriptors; and that no deadline
//! knows the wall clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{
    Client, Folder, Port, Server, eventually, program, run, run_to_its_end, tcp_table, without_capability,
};
use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

/// It does not run, says `told` in one line and nothing else, and ends with 1.
#[track_caller]
fn cannot_run(command: Command, told: &str) {
    let shown = format!("{command:?}");
    let (status, output, error) = run_to_its_end(command);
    assert_eq!(
        (status, output.as_str(), error.as_str()),
        (Some(1), "", &*format!("hubbub: {told}\n")),
        "{shown}"
    );
}

#[test]
fn d7_a_port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cannot_run(program(&["-l", &address]), &format!("cannot listen on {address}: Address already in use"));
    let port = taken.local_addr().unwrap().port();
    let anywhere = format!("0.0.0.0:{port}");
    cannot_run(program(&["-l", &anywhere]), &format!("cannot listen on {anywhere}: Address already in use"));
}

#[test]
fn d8_an_address_of_another_machine_is_told() {
    // Kept for documentation: nobody has it.
    let why = "cannot listen on 192.0.2.1:0: Cannot assign requested address";
    cannot_run(program(&["-l", "192.0.2.1:0"]), why);
}

#[test]
fn d8_a_bad_host_and_an_ipv6_address_that_is_not_here_are_told_in_the_same_style() {
    // A name with an empty part, which no resolver is asked for. What is wrong with either depends on
    // the C library, and on whether the machine uses IPv6.
    for place in ["no..host:0", "[2001:db8::1]:0"] {
        let (status, output, error) = run(&["-l", place]);
        assert_eq!((status, output.as_str(), error.lines().count()), (Some(1), "", 1), "{error}");
        assert!(error.starts_with(&format!("hubbub: cannot listen on {place}: ")), "{error}");
        assert!(!error.contains("os error") && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn d8_a_privileged_port_is_told() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    assert!(
        first.trim() != "0",
        "set net.ipv4.ip_unprivileged_port_start to 1024: here no port is privileged"
    );
    let command = without_capability("net_bind_service", program(&["-l", "127.0.0.1:1"]));
    cannot_run(command, "cannot listen on 127.0.0.1:1: Permission denied");
}

#[test]
fn d8_it_listens_on_an_ipv6_address_and_names_it() {
    let mut server = Server::spawn(program(&["-l", "[::1]:0"]));
    assert_eq!(server.address().ip(), Ipv6Addr::LOCALHOST);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.wait_for_log(&format!("{} joined", alice.stream().local_addr().unwrap()));
    alice.says("hello\n");
    bob.expects("hello");
}

#[test]
fn d9_a_wrong_command_line_is_told_in_one_line_with_the_way_to_help() {
    for arguments in [
        &["--loud"][..],
        &["-x"],
        &["extra"],
        &["--", "extra"],
        &["--listen"],
        &["-l", ""],
        &["-l", "nonsense"],
        &["-l", "127.0.0.1:65536"],
        &["-l", "127.0.0.1:-1"],
        &["-l", "::1"],
        &["-l", "loud:127.0.0.1:0"],
        &["--max-clients", "0"],
        &["--max-clients", "-1"],
        &["--max-clients", "99999999999999999999"],
        &["--max-line", "0"],
        &["--max-line", "1.5"],
        &["--max-line", "8193", "--feed", "64k"],
        &["--feed", "0"],
        &["--feed", "99999999999M"],
        &["--feed", ""],
        &["--stall-timeout", "0"],
        &["--stall-timeout", "NaN"],
        &["--stall-timeout", "inf"],
        &["--stall-timeout", "1e300"],
        &["--report-every", "-5"],
        &["--flush-after", "soon"],
        &["--max-clients"],
        &["--raw=yes"],
        &["-q", "-v"],
        &["--feed", "1M", "--feed", "2M"],
    ] {
        is_refused(arguments);
    }
}

#[test]
fn d9_a_wrong_argument_with_controls_in_it_is_still_told_in_one_plain_line() {
    for arguments in [
        &["--welcome", "two\nlines"][..],
        &["two\nlines"],
        &["--max-clients", "\u{1b}[2J"],
        &["--two\rlines"],
    ] {
        is_refused(arguments);
    }
}

#[track_caller]
fn is_refused(arguments: &[&str]) {
    let (status, output, error) = run(arguments);
    assert_eq!((status, output.as_str()), (Some(2), ""), "{arguments:?}: {error}");
    let told = error.strip_suffix('\n').unwrap_or_else(|| panic!("{arguments:?}: {error}"));
    assert!(told.starts_with("hubbub: ") && told.contains("hubbub --help"), "{arguments:?}: {told}");
    assert!(!told.contains(char::is_control), "{arguments:?}: {told:?}");
}

#[test]
fn d9_an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = program(&[]);
    command.arg(std::ffi::OsStr::from_bytes(b"--feed=\xff"));
    let (status, output, error) = run_to_its_end(command);
    assert_eq!((status, output.as_str(), error.lines().count()), (Some(2), "", 1), "{error}");
}

#[test]
fn d9_help_and_version_are_told_and_end_well() {
    for (flag, part) in
        [("--help", "--stall-timeout"), ("-h", "--log-file"), ("-V", "hubbub "), ("--version", "hubbub ")]
    {
        let (status, output, error) = run(&[flag]);
        assert_eq!((status, error.as_str()), (Some(0), ""), "{flag}");
        assert!(output.contains(part) && output.ends_with('\n'), "{flag}: {output}");
    }
}

#[test]
fn d9_help_and_version_end_well_even_into_a_closed_pipe_or_a_full_disk() {
    for flag in ["--help", "--version"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for place in [Stdio::from(writer), Stdio::from(full)] {
            let mut child = program(&[flag]).stdout(place).stderr(Stdio::piped()).spawn().unwrap();
            let status = common::wait_for_end(&mut child);
            let error = child.wait_with_output().unwrap().stderr;
            assert_eq!((status.code(), error), (Some(0), Vec::new()), "{flag}");
        }
    }
}

#[test]
fn d10_all_interfaces_are_both_families_and_an_ipv4_peer_is_shown_as_one() {
    for place in ["[::]:0", ":0", "0"] {
        let mut server = Server::spawn(program(&["-l", place]));
        let port = server.address().port();
        let mut old = Client::join(&server);
        let shown = old.stream().local_addr().unwrap();
        server.wait_for_log(&format!(" {shown} joined"));
        let mut new = Client::connect((Ipv6Addr::LOCALHOST, port).into());
        new.expects(common::WELCOME);
        server.wait_for_log(&format!(" {} joined", new.stream().local_addr().unwrap()));
        old.says("hello\n");
        new.expects("hello");
        old.ends();
        server.wait_for_log(&format!(" {shown} left"));
    }
}

#[test]
fn d11_it_starts_again_on_its_port_while_old_connections_linger_there() {
    let mut server = Server::start(&[]);
    let address = server.address();
    let mut clients = (0..5).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.signal("TERM");
    server.wait_for_log("stopping");
    clients.iter_mut().for_each(Client::expects_end);
    drop(clients);
    assert_eq!(server.wait().0.code(), Some(0));
    let lingering = |entry: &common::TcpEntry| entry.local_port == address.port() && entry.state == 6;
    assert!(tcp_table().iter().any(lingering), "nothing is in the way of a new start");
    let server = Server::spawn(program(&["-l", &address.to_string()]));
    assert_eq!(server.address(), address);
    Client::join(&server);
}

/// The system's wall clock can be set by anyone at any time and cannot be set for one test alone. So
/// this looks at the source: whoever never asks the wall clock cannot be misled by it. `Instant` is
/// the monotonic clock, and the log's stamps, which are the wall clock's, come from the logger.
#[test]
fn d18_no_source_file_asks_the_wall_clock() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut asks_instant = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The server's; the client shows people the time of day.
                folders.extend((!path.ends_with("bin")).then_some(path));
                continue;
            }
            let mut source = fs::read_to_string(&path).unwrap();
            // The time of day is told to bots by one function, which returns text.
            if path.ends_with("src/clock.rs") {
                let start = source.find("pub fn time_of_day() -> String {").unwrap();
                let end = start + source[start..].find("\n}\n").unwrap();
                source.replace_range(start..end, "");
                source = source.replace("use time::OffsetDateTime;", "");
            }
            for clock in ["SystemTime", "UNIX_EPOCH", "DateTime", "ClockId", "CLOCK_REALTIME"] {
                assert!(!source.contains(clock), "{} asks {clock}", path.display());
            }
            asks_instant += usize::from(source.contains("Instant::now()"));
        }
    }
    assert!(asks_instant > 0, "the source was not found");
}

#[test]
fn d19_it_serves_when_started_without_the_standard_descriptors() {
    let folder = Folder::new("d19");
    let log = folder.path("log");
    let port = Port::reserve();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh", env!("CARGO_BIN_EXE_hubbub"), "-l"])
        .arg(port.address().to_string())
        .arg("--log-file")
        .arg(&log);
    let server = Server::spawn_unheard(command, &port);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.says("hello\n");
    bob.expects("hello");
    for descriptor in 0..3 {
        let place = fs::read_link(format!("/proc/{}/fd/{descriptor}", server.pid())).unwrap();
        assert_eq!(place, Path::new("/dev/null"), "descriptor {descriptor}");
    }
    let joined = format!("{} joined", bob.stream().local_addr().unwrap());
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined).then_some(()));
}

#[test]
fn d19_it_serves_without_the_standard_descriptors_and_without_a_log_file() {
    let port = Port::reserve();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh", env!("CARGO_BIN_EXE_hubbub"), "-v", "-l"])
        .arg(port.address().to_string());
    let server = Server::spawn_unheard(command, &port);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.says("hello\n");
    bob.expects("hello");
}

#[test]
fn d20_it_serves_without_an_environment_and_without_a_place_to_write() {
    // A read-only root, as a container or a unit may have, in a namespace of its own.
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "mount -o remount,ro,bind / && cd / && exec \"$0\" -l 127.0.0.1:0";
    command.env_clear().args(["sh", "-c", script, env!("CARGO_BIN_EXE_hubbub")]);
    let server = Server::spawn(command);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    one.says("hello\n");
    two.expects("hello");
}

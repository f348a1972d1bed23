//! Starting the server: addresses, wrong command lines, closed file descriptors; and that no deadline uses the
//! wall clock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{
    Client, Folder, Namespaces, Port, Server, eventually, has_ipv6, program, run, run_to_end, skip,
    tcp_table, without_capability,
};
use std::fs;
use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

/// The program writes `error` as one line and nothing else, and ends with status 1.
#[track_caller]
fn cannot_run(command: Command, expected: &str) {
    let shown = format!("{command:?}");
    let (status, output, error) = run_to_end(command);
    assert_eq!(
        (status, output.as_str(), error.as_str()),
        (Some(1), "", &*format!("hubbub: {expected}\n")),
        "{shown}"
    );
}

#[test]
fn d7_the_error_of_a_port_in_use_names_the_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cannot_run(program(&["-l", &address]), &format!("cannot listen on {address}: Address already in use"));
    let port = taken.local_addr().unwrap().port();
    let anywhere = format!("0.0.0.0:{port}");
    cannot_run(program(&["-l", &anywhere]), &format!("cannot listen on {anywhere}: Address already in use"));
}

/// Runs a shell script in a network of its own, in which the default ports are free. The processes of the script end
/// with the command. If this machine cannot have such a network, the calling test is skipped.
#[track_caller]
fn in_own_network(script: &str) -> Option<Command> {
    let mut command = Namespaces::try_new(&["--net", "--pid", "--fork", "--kill-child"])?.unshare();
    let script = format!("ip link set lo up && {script}");
    command.args(["sh", "-c", &script, env!("CARGO_BIN_EXE_hubbub")]);
    Some(command)
}

#[test]
fn by_default_it_listens_on_a_port_in_plain_and_on_the_next_in_named() {
    let Some(command) = in_own_network("exec \"$0\"") else { return };
    let mut server = Server::spawn(command);
    server.wait_for_log("listening on 127.0.0.1:9091 (named)");
    let log = server.log_so_far();
    let listening =
        log.iter().filter_map(|line| line.split_once("listening on ")).map(|(_, address)| address);
    assert_eq!(listening.collect::<Vec<_>>(), ["127.0.0.1:9090 (plain)", "127.0.0.1:9091 (named)"]);
}

#[test]
fn the_admin_view_alone_keeps_the_default_listeners() {
    let folder = Folder::new("start-admin");
    let Some(mut command) = in_own_network("exec \"$0\" -l \"admin:unix:$SOCKET\"") else { return };
    command.env("SOCKET", folder.path("admin"));
    let mut server = Server::spawn(command);
    server.wait_for_log("/admin (admin)");
    for listener in ["127.0.0.1:9090 (plain)", "127.0.0.1:9091 (named)"] {
        assert!(server.log_so_far().iter().any(|line| line.ends_with(listener)), "{listener}");
    }
}

#[test]
fn d7_the_error_names_which_of_the_default_ports_is_in_use() {
    let folder = Folder::new("d7-default");
    for port in [9090, 9091] {
        // The second server starts when the first one has logged that it listens.
        let script = format!(
            r#"{{ "$0" -l 127.0.0.1:{port} >/dev/null 2>"$LOG" & }}
            until [ -s "$LOG" ]; do sleep 0.01; done
            "$0" -q; status=$?
            kill $!; exit $status"#
        );
        let Some(mut command) = in_own_network(&script) else { return };
        command.env("LOG", folder.path(&port.to_string()));
        cannot_run(command, &format!("cannot listen on 127.0.0.1:{port}: Address already in use"));
    }
}

#[test]
fn d8_an_address_of_another_machine_is_an_error() {
    // Reserved for documentation (RFC 5737): no machine has it.
    let why = "cannot listen on 192.0.2.1:0: Cannot assign requested address";
    cannot_run(program(&["-l", "192.0.2.1:0"]), why);
}

#[test]
fn d8_a_bad_host_and_a_missing_ipv6_address_are_errors_of_the_same_form() {
    // A host name with an empty label needs no resolver. The reason depends on the C library, and on whether the
    // machine uses IPv6.
    for address in ["no..host:0", "[2001:db8::1]:0"] {
        // At other levels, a line in the log says that the host is looked up.
        let (status, output, error) = run(&["-q", "-l", address]);
        assert_eq!((status, output.as_str(), error.lines().count()), (Some(1), "", 1), "{error}");
        assert!(error.starts_with(&format!("hubbub: cannot listen on {address}: ")), "{error}");
        assert!(!error.contains("os error") && !error.contains("panicked"), "{error}");
    }
}

#[test]
fn d8_a_privileged_port_is_an_error() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim() == "0" {
        // Docker sets it so in its containers.
        return skip("no port is privileged: net.ipv4.ip_unprivileged_port_start is 0");
    }
    let command = without_capability("net_bind_service", program(&["-l", "127.0.0.1:1"]));
    cannot_run(command, "cannot listen on 127.0.0.1:1: Permission denied");
}

#[test]
fn d8_it_listens_on_an_ipv6_address_and_logs_it() {
    if !has_ipv6() {
        return;
    }
    let mut server = Server::spawn(program(&["-l", "[::1]:0"]));
    assert_eq!(server.address().ip(), Ipv6Addr::LOCALHOST);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    server.wait_for_log(&format!("{} joined", alice.address()));
    alice.send("hello\n");
    bob.expect_line("hello");
}

#[test]
fn a_test_that_a_machine_cannot_run_is_skipped_by_name() {
    const TEST: &str = "d8_it_listens_on_an_ipv6_address_and_logs_it";
    let folder = Folder::new("skip");
    let list = folder.path("list");
    let skipped = format!("skipped: {TEST}: no IPv6: cannot listen on [::1]: ");
    // In a new network the loopback interface is down.
    let Some(namespaces) = Namespaces::try_new(&["--net"]) else { return };
    let mut command = namespaces.unshare();
    command.arg(std::env::current_exe().unwrap()).args(["--exact", TEST]);
    command.env("HUBBUB_SKIPPED", &list);
    let (status, output, error) = run_to_end(command);
    assert_eq!((status, error.starts_with(&skipped)), (Some(0), true), "{output}{error}");
    let list = fs::read_to_string(list).unwrap();
    assert!(list.starts_with(&skipped) && list.lines().count() == 1, "{list}");
}

#[test]
fn d9_the_error_of_a_wrong_command_line_is_one_line_and_names_the_help() {
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
        &["--feed", "2G"],
        &["--dead-after", "10.5"],
        &["9090"],
        &["localhost", "9090"],
        &["-l", "*:9090"],
        &["-l", "plain:9090,named:9091"],
        &["-l", "unix:@"],
    ] {
        is_refused(arguments);
    }
}

#[test]
fn d9_the_error_of_an_argument_with_controls_is_one_line_without_controls() {
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
    let line = error.strip_suffix('\n').unwrap_or_else(|| panic!("{arguments:?}: {error}"));
    assert!(line.starts_with("hubbub: "), "{arguments:?}: {line}");
    assert!(line.ends_with(" (hubbub --help lists the options)"), "{arguments:?}: {line}");
    assert!(!line.contains(char::is_control), "{arguments:?}: {line:?}");
}

#[test]
fn d9_an_argument_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut command = program(&[]);
    command.arg(std::ffi::OsStr::from_bytes(b"--feed=\xff"));
    let (status, output, error) = run_to_end(command);
    assert_eq!((status, output.as_str(), error.lines().count()), (Some(2), "", 1), "{error}");
}

#[test]
fn d9_help_and_version_are_printed_with_status_0() {
    for (flag, part) in
        [("--help", "--stall-timeout"), ("-h", "--log-file"), ("-V", "hubbub "), ("--version", "hubbub ")]
    {
        let (status, output, error) = run(&[flag]);
        assert_eq!((status, error.as_str()), (Some(0), ""), "{flag}");
        assert!(output.contains(part) && output.ends_with('\n'), "{flag}: {output}");
    }
}

#[test]
fn d9_help_and_version_end_with_status_0_also_into_a_closed_pipe_or_a_full_disk() {
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
fn the_largest_feed_works() {
    let server = Server::start(&["--feed", "1G"]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.send("hello\n");
    bob.expect_line("hello");
}

#[test]
fn d10_all_interfaces_means_both_families_and_an_ipv4_peer_is_logged_as_ipv4() {
    if !has_ipv6() {
        return;
    }
    for address in ["[::]:0", ":0", "0"] {
        let mut server = Server::spawn(program(&["-l", address]));
        let port = server.address().port();
        let mut old = Client::join(&server);
        let shown = old.address();
        server.wait_for_log(&format!(" {shown} joined"));
        let mut new = Client::connect((Ipv6Addr::LOCALHOST, port).into());
        new.expect_line(common::WELCOME);
        server.wait_for_log(&format!(" {} joined", new.address()));
        old.send("hello\n");
        new.expect_line("hello");
        old.end_input();
        server.wait_for_log(&format!(" {shown} left"));
    }
}

#[test]
fn d11_it_starts_again_on_a_port_with_connections_in_time_wait() {
    let mut server = Server::start(&[]);
    let address = server.address();
    let mut clients = (0..5).map(|_| Client::join(&server)).collect::<Vec<_>>();
    server.signal("TERM");
    server.wait_for_log("stopping");
    clients.iter_mut().for_each(Client::expect_end);
    drop(clients);
    assert_eq!(server.wait().0.code(), Some(0));
    let lingering = |entry: &common::TcpEntry| entry.local_port == address.port() && entry.state == 6;
    assert!(tcp_table().iter().any(lingering), "no connection is in TIME_WAIT");
    let server = Server::spawn(program(&["-l", &address.to_string()]));
    assert_eq!(server.address(), address);
    Client::join(&server);
}

/// The wall clock cannot be set for one test alone, so this test reads the source. `Instant` is the monotonic clock.
#[test]
fn d18_no_source_file_reads_the_wall_clock() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut uses_instant = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The server alone; the client shows the time of day.
                folders.extend((!path.ends_with("bin")).then_some(path));
                continue;
            }
            let mut source = fs::read_to_string(&path).unwrap();
            // One function returns the time of day, as text for the log and the json view.
            if path.ends_with("src/util/clock.rs") {
                let start = source.find("pub fn time_of_day() -> String {").unwrap();
                let end = start + source[start..].find("\n}\n").unwrap();
                source.replace_range(start..end, "");
                source = source.replace("use time::{Month, OffsetDateTime};", "");
            }
            for clock in ["SystemTime", "UNIX_EPOCH", "DateTime", "ClockId", "CLOCK_REALTIME"] {
                assert!(!source.contains(clock), "{} reads {clock}", path.display());
            }
            uses_instant += usize::from(source.contains("Instant::now()"));
        }
    }
    assert!(uses_instant > 0, "the source was not found");
}

#[test]
fn d19_it_serves_when_started_without_the_standard_file_descriptors() {
    let folder = Folder::new("d19");
    let log = folder.path("log");
    let port = Port::reserve();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh", env!("CARGO_BIN_EXE_hubbub"), "-l"])
        .arg(port.address().to_string())
        .arg("--log-file")
        .arg(&log);
    let server = Server::spawn_without_log(command, &port);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.send("hello\n");
    bob.expect_line("hello");
    for descriptor in 0..3 {
        let place = fs::read_link(format!("/proc/{}/fd/{descriptor}", server.pid())).unwrap();
        assert_eq!(place, Path::new("/dev/null"), "descriptor {descriptor}");
    }
    let joined = format!("{} joined", bob.address());
    eventually("it is logged", || fs::read_to_string(&log).unwrap().contains(&joined).then_some(()));
}

#[test]
fn d19_it_serves_without_the_standard_file_descriptors_and_without_a_log_file() {
    let port = Port::reserve();
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec "$@" <&- >&- 2>&-"#, "sh", env!("CARGO_BIN_EXE_hubbub"), "-v", "-l"])
        .arg(port.address().to_string());
    let server = Server::spawn_without_log(command, &port);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.send("hello\n");
    bob.expect_line("hello");
}

#[test]
fn d20_it_serves_without_an_environment_and_on_a_read_only_file_system() {
    // In its own namespace, a read-only root, as in a container or a systemd unit.
    let Some(namespaces) = Namespaces::try_new(&["--mount"]) else { return };
    let mut command = namespaces.unshare();
    let script = "mount -o remount,ro,bind / && cd / && exec \"$0\" -l 127.0.0.1:0";
    command.env_clear().args(["sh", "-c", script, env!("CARGO_BIN_EXE_hubbub")]);
    let server = Server::spawn(command);
    let (mut one, mut two) = (Client::join(&server), Client::join(&server));
    one.send("hello\n");
    two.expect_line("hello");
}

//! The log: its form, and a log that is full, gone or stuck. The chat goes on, and lost lines are counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{
    Client, Folder, Port, Server, eventually, in_background, program, run, terminal, without_capability,
};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::convert::identity;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// Messages that fill every buffer of a log that is not read: 200 kB of log lines.
const MESSAGES: usize = 400;

/// Stands before the number of lost lines.
const LOST: &str = "log lines lost: ";

/// The program on `port`; logs each message.
fn verbose(port: &Port, arguments: &[&str]) -> Command {
    program(&[&["-v", "--report-every", "0", "-l", &port.address().to_string()], arguments].concat())
}

/// The program on `port`; logs each message to `file`.
fn logging_to(file: &Path, port: &Port) -> Command {
    verbose(port, &["--log-file", file.to_str().unwrap()])
}

fn dev_full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Two clients exchange `MESSAGES` lines. Returns them, still connected.
#[track_caller]
fn the_chat_goes_on(server: &Server) -> [Client; 2] {
    let (mut alice, mut bob) = (Client::join(server), Client::join(server));
    let text = "x".repeat(400);
    for number in 0..MESSAGES / 2 {
        alice.send(format!("{number} {text}\n"));
        bob.expect_line(format!("{number} {text}"));
        bob.send(format!("{number} {text}\n"));
        alice.expect_line(format!("{number} {text}"));
    }
    [alice, bob]
}

/// Counts the messages among `lines`, each of which must be one complete event with a time and a level.
#[track_caller]
fn messages(lines: &[String]) -> usize {
    for line in lines {
        let (time, event) = line.split_at_checked(25).unwrap_or_default();
        assert!(is_time(time), "no time in {line:?}");
        assert!(has_level(event), "no level in {line:?}");
        assert!(!event.contains("Z ["), "two events in {line:?}");
    }
    lines.iter().filter(|line| line.trim_end().ends_with("xxx")).count()
}

/// Whether `text` is a time with milliseconds and a space.
fn is_time(text: &str) -> bool {
    let form = text.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    form.eq(*b"0000-00-00T00:00:00.000Z ")
}

fn has_level(event: &str) -> bool {
    let level = event.split(' ').next().unwrap_or_default();
    ["[INFO]", "[WARN]", "[ERROR]", "[DEBUG]"].contains(&level)
}

/// The number of lost lines in `line`.
#[track_caller]
fn lost(line: &str) -> usize {
    let number = line.split_once(LOST).unwrap().1;
    number.parse().unwrap_or_else(|_| panic!("no number in {line}"))
}

#[test]
fn d12_a_log_file_that_cannot_be_opened_is_an_error() {
    let folder = Folder::new("d12");
    let missing = folder.path("missing/log");
    for (path, why) in [(folder.path("."), "Is a directory"), (missing, "No such file or directory")] {
        let path = path.to_str().unwrap();
        let (status, output, error) = run(&["-l", "127.0.0.1:0", "--log-file", path]);
        assert_eq!((status, output.as_str()), (Some(1), ""), "{path}");
        assert_eq!(error, format!("hubbub: cannot open the log file \"{path}\": {why}\n"));
    }
}

#[test]
fn d13_a_log_that_cannot_be_written_does_not_disturb_the_chat() {
    let as_file = |port: &Port| logging_to(Path::new("/dev/full"), port);
    let as_error = |port: &Port| {
        let mut command = verbose(port, &[]);
        command.stderr(dev_full());
        command
    };
    for start in [as_file as fn(&Port) -> Command, as_error] {
        let port = Port::reserve();
        let server = Server::spawn_without_log(start(&port), &port);
        the_chat_goes_on(&server);
        server.signal("TERM");
        assert_eq!(server.wait().0.code(), Some(0));
    }
}

#[test]
fn d13_log_lines_that_a_full_disk_lost_are_counted_and_reported_later() {
    let folder = Folder::new("d13");
    let (log, disk) = (folder.path("log"), folder.path("disk"));
    symlink("/dev/full", &log).unwrap();
    let port = Port::reserve();
    let server = Server::spawn_without_log(logging_to(&log, &port), &port);
    the_chat_goes_on(&server);
    fs::remove_file(&log).unwrap();
    symlink(&disk, &log).unwrap();
    server.signal("HUP");
    let text = eventually("the loss is reported", || {
        let text = fs::read_to_string(&disk).ok()?;
        text.contains("log reopened\n").then_some(text)
    });
    let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(lines[0].contains(LOST), "{lines:#?}");
    assert!(lost(&lines[0]) >= MESSAGES, "{lines:#?}");
    assert_eq!(messages(&lines), 0, "{lines:#?}");
    the_chat_goes_on(&server);
    eventually("it is logged", || (messages_in(&disk) == MESSAGES).then_some(()));
}

fn messages_in(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    let whole = text.lines().take(text.matches('\n').count()).map(str::to_owned).collect::<Vec<_>>();
    messages(&whole)
}

/// The most bytes that a server writes to a file with [`with_size_limit`].
const SIZE_LIMIT: u64 = 4096;

/// The command of a server that logs to `log`, which cannot be larger than [`SIZE_LIMIT`].
fn with_size_limit(log: &Path, port: &Port, arguments: &[&str]) -> Command {
    let server = logging_to(log, port);
    let mut command = Command::new("sh");
    // Blocks of 512 bytes, by POSIX. The hard limit stays.
    command.args(["-c", r#"ulimit -S -f 8; exec "$@""#, "sh"]);
    command.arg(server.get_program()).args(server.get_args()).args(arguments);
    command
}

/// A server, and two clients that stay, whose log file has reached its limit in the middle of a line.
#[track_caller]
fn with_a_torn_line(log: &Path) -> (Server, [Client; 2]) {
    let port = Port::reserve();
    let server = Server::spawn_without_log(with_size_limit(log, &port, &[]), &port);
    let clients = the_chat_goes_on(&server);
    let text = fs::read(log).unwrap();
    assert!(text.len() as u64 == SIZE_LIMIT && !text.ends_with(b"\n"), "{} bytes", text.len());
    (server, clients)
}

/// The lines of a log file, if it reports lost lines.
fn lines_with_loss(log: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(log).ok()?;
    text.contains(LOST).then(|| text.lines().map(str::to_owned).collect())
}

#[test]
fn d13_a_log_file_at_its_size_limit_does_not_disturb_the_chat() {
    let folder = Folder::new("d13-limit");
    let log = folder.path("log");
    let (_server, _clients) = with_a_torn_line(&log);
    // As with copytruncate of logrotate: afterwards there is space again.
    OpenOptions::new().write(true).truncate(true).open(&log).unwrap();
    let lines = eventually("the loss is reported", || lines_with_loss(&log));
    assert_eq!(messages(&lines), 0, "the torn line is lost: {lines:#?}");
}

#[test]
fn d13_a_server_starts_whose_log_file_is_at_its_size_limit() {
    let folder = Folder::new("d13-full");
    let log = folder.path("log");
    fs::write(&log, vec![b'\n'; SIZE_LIMIT as usize]).unwrap();
    let port = Port::reserve();
    // The warning about this number is logged before the server listens.
    let mut command = with_size_limit(&log, &port, &["--max-clients", "60000"]);
    command.env("NOTIFY_SOCKET", folder.path("missing"));
    the_chat_goes_on(&Server::spawn_without_log(command, &port));
}

#[test]
fn d13_a_hangup_in_the_middle_of_a_line_keeps_the_rest_for_the_same_file() {
    let folder = Folder::new("d13-same");
    let log = folder.path("log");
    let (server, _clients) = with_a_torn_line(&log);
    server.signal("HUP");
    // prlimit(1) is a part of util-linux.
    let mut raise = Command::new("prlimit");
    raise.args(["--fsize=unlimited:", "--pid", &server.pid().to_string()]);
    assert!(raise.status().unwrap().success(), "{raise:?}");
    let lines = eventually("the loss is reported", || lines_with_loss(&log));
    let logged = messages(&lines);
    let lost = lines.iter().filter(|line| line.contains(LOST)).map(|line| lost(line)).sum::<usize>();
    // Where the hangup came while nothing could be written, its own line is lost too.
    assert!([MESSAGES, MESSAGES + 1].contains(&(logged + lost)), "{logged} logged, {lost} lost");
}

#[test]
fn d13_a_hangup_in_the_middle_of_a_line_counts_it_as_lost_if_the_file_is_new() {
    let folder = Folder::new("d13-new");
    let (log, old) = (folder.path("log"), folder.path("log.1"));
    let (server, _clients) = with_a_torn_line(&log);
    fs::rename(&log, &old).unwrap();
    server.signal("HUP");
    let lines = eventually("the loss is reported", || lines_with_loss(&log));
    assert_eq!(messages(&lines), 0, "{lines:#?}");
    assert_eq!(messages_in(&old) + lost(&lines[0]), MESSAGES, "{lines:#?}");
}

#[test]
fn d14_closed_standard_output_and_error_do_not_disturb_the_chat() {
    let port = Port::reserve();
    let mut command = verbose(&port, &[]);
    for set in [Command::stdout::<Stdio>, Command::stderr::<Stdio>] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        set(&mut command, writer.into());
    }
    let server = Server::spawn_without_log(command, &port);
    the_chat_goes_on(&server);
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn d14_a_log_pipe_that_is_closed_after_a_line_does_not_disturb_the_chat() {
    let port = Port::reserve();
    let mut command = verbose(&port, &[]);
    let (reader, writer) = std::io::pipe().unwrap();
    command.stderr(writer);
    let server = Server::spawn_without_log(command, &port);
    let mut first = String::new();
    BufReader::new(reader).read_line(&mut first).unwrap();
    assert!(first.contains("listening on"), "{first}");
    the_chat_goes_on(&server);
}

/// Clients talk while the log that `command` writes to `stderr` is not read. Then it is read from `reader`, and
/// must report how many lines are missing.
#[track_caller]
fn the_chat_goes_on_past_a_stuck_log(
    stderr: OwnedFd,
    reader: impl Read + Send + 'static,
    command: impl FnOnce(Command) -> Command,
) {
    let port = Port::reserve();
    let mut command = command(verbose(&port, &[]));
    command.stderr(stderr);
    let mut server = Server::spawn_without_log(command, &port);
    // Other processes may write there too, and expect it to block. It may be non-blocking for one write.
    eventually("standard error is blocking", || (!is_nonblocking(&server)).then_some(()));
    let _connected = the_chat_goes_on(&server);
    server.read_log_from(reader);
    // There may be several reports: a short line can find space where a long one did not.
    let (logged, lost) = eventually("each message is logged or reported as lost", || {
        let log = server.log_so_far();
        let lost = log.iter().filter(|line| line.contains(LOST)).map(|line| lost(line)).sum::<usize>();
        (messages(log) + lost >= MESSAGES).then_some((messages(log), lost))
    });
    assert_eq!(logged + lost, MESSAGES, "{logged} logged, {lost} lost");
    assert!(logged > 0 && lost > 1, "the log was never stuck");
    the_chat_goes_on(&server);
}

/// Whether standard error is non-blocking, for all processes that share it.
fn is_nonblocking(server: &Server) -> bool {
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/2", server.pid())).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
    flags & OFlags::NONBLOCK.bits() != 0
}

#[test]
fn d15_a_log_pipe_that_is_not_read_does_not_disturb_the_chat() {
    let (reader, writer) = std::io::pipe().unwrap();
    the_chat_goes_on_past_a_stuck_log(writer.into(), reader, identity);
}

#[test]
fn d15_a_log_socket_that_is_not_read_does_not_disturb_the_chat() {
    let (reader, writer) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&writer).set_send_buffer_size(16 * 1024).unwrap();
    the_chat_goes_on_past_a_stuck_log(writer.into(), reader, identity);
}

/// The server with standard error on a socket, as systemd starts it, and `JOURNAL_STREAM` with that socket's
/// inode plus `offset`. Returns what can be read of the log.
fn logging_to_journal(port: &Port, offset: u64) -> (Server, UnixStream) {
    let (reader, writer) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&writer).set_send_buffer_size(16 * 1024).unwrap();
    let stat = rustix::fs::fstat(&writer).unwrap();
    let mut command = verbose(port, &[]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.st_dev, stat.st_ino + offset));
    command.stderr(OwnedFd::from(writer));
    (Server::spawn_without_log(command, port), reader)
}

#[test]
fn under_the_journal_log_lines_have_no_time_of_their_own_also_the_report_of_lost_lines() {
    let port = Port::reserve();
    let (mut server, reader) = logging_to_journal(&port, 0);
    let _connected = the_chat_goes_on(&server);
    server.read_log_from(reader);
    let report = server.wait_for_log(LOST);
    assert_eq!(report, format!("[WARN] {LOST}{}", lost(&report)));
    for line in server.log_so_far() {
        assert!(has_level(line), "{line:?}");
    }
}

#[test]
fn log_lines_have_a_time_if_journal_stream_names_another_file_than_standard_error() {
    let port = Port::reserve();
    let (mut server, reader) = logging_to_journal(&port, 1);
    let _connected = the_chat_goes_on(&server);
    server.read_log_from(reader);
    let report = server.wait_for_log(LOST);
    assert!(report[25..].starts_with("[WARN] "), "{report}");
    messages(server.log_so_far());
}

#[test]
fn d15_a_stopped_terminal_does_not_disturb_the_chat() {
    let (reader, terminal) = terminal();
    the_chat_goes_on_past_a_stuck_log(terminal, reader, identity);
}

/// As after `su` or `sudo -u`: one user opened the log, and the server of another cannot reopen it.
#[track_caller]
fn the_chat_goes_on_past_a_stuck_log_of_another(stderr: OwnedFd, reader: impl Read + Send + 'static) {
    rustix::fs::fchmod(&stderr, Mode::empty()).unwrap();
    let without_access = |command| without_capability("dac_override", command);
    the_chat_goes_on_past_a_stuck_log(stderr, reader, without_access);
}

#[test]
fn d15_a_log_pipe_of_another_user_does_not_disturb_the_chat() {
    let (reader, writer) = std::io::pipe().unwrap();
    the_chat_goes_on_past_a_stuck_log_of_another(writer.into(), reader);
}

#[test]
fn d15_a_stopped_terminal_of_another_user_does_not_disturb_the_chat() {
    let (reader, terminal) = terminal();
    the_chat_goes_on_past_a_stuck_log_of_another(terminal, reader);
}

#[test]
fn d15_a_terminal_that_stops_background_jobs_does_not_stop_the_server() {
    let (screen, terminal) = terminal();
    let port = Port::reserve();
    let mut command = in_background(&terminal, &verbose(&port, &[]));
    command.stdout(Stdio::null());
    let mut server = Server::spawn_without_log(command, &port);
    let _clients = the_chat_goes_on(&server);
    server.read_log_from(screen);
    let mut settings = tcgetattr(&terminal).unwrap();
    settings.local_modes.remove(LocalModes::TOSTOP);
    tcsetattr(&terminal, OptionalActions::Now, &settings).unwrap();
    assert!(lost(&server.wait_for_log(LOST)) >= MESSAGES);
}

#[test]
fn d15_a_named_pipe_as_log_file_that_is_not_read_does_not_disturb_the_chat() {
    let folder = Folder::new("d15");
    let log = folder.path("log");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &log, kind, Mode::RWXU, 0).unwrap();
    // Opening one side alone blocks; the log file needs its reader first.
    let both = OpenOptions::new().read(true).write(true).open(&log).unwrap();
    let reader = File::open(&log).unwrap();
    let port = Port::reserve();
    let mut server = Server::spawn_without_log(logging_to(&log, &port), &port);
    drop(both);
    the_chat_goes_on(&server);
    server.read_log_from(reader);
    assert!(lost(&server.wait_for_log(LOST)) > 0);
}

#[test]
fn d16_a_message_cannot_forge_a_log_line_or_drive_a_terminal() {
    for arguments in [&["-v"][..], &["-v", "--raw"], &["-v", "-v"], &["-v", "-v", "--raw"]] {
        let mut server = Server::start(arguments);
        let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
        let author = alice.address();
        alice.send(b"one\x1b[2J\r2026-01-01T00:00:00Z [ERROR] forged\ntwo\x9b\x00\xc2\x9b\nend\n");
        let shown = server.wait_for_log("one");
        assert!(
            shown.ends_with(&format!("{author}: one\\x1B[2J\\x0D2026-01-01T00:00:00Z [ERROR] forged")),
            "{arguments:?}: {shown}"
        );
        let shown = server.wait_for_log("two");
        assert!(shown.ends_with(&format!("{author}: two\\x9B\\x00\\x9B")), "{arguments:?}: {shown}");
        server.wait_for_log(&format!("{author}: end"));
        while bob.read_line() != b"end" {}
        for line in server.log_so_far() {
            assert!(line.starts_with("20") && !line.contains(char::is_control), "{arguments:?}: {line:?}");
        }
    }
}

#[test]
fn d16_by_default_the_log_has_no_text_of_messages() {
    let mut server = Server::start(&[]);
    let (mut alice, mut bob) = (Client::join(&server), Client::join(&server));
    alice.send("a secret\n");
    bob.expect_line("a secret");
    let mut other = Client::join(&server);
    other.send("GET /secret HTTP/1.1\r\nHost: secret\r\n\r\n");
    server.wait_for_log("spoke HTTP");
    server.signal("USR1");
    server.wait_for_log("3 accepted");
    assert!(!server.log_so_far().iter().any(|line| line.contains("secret")), "{:#?}", server.log_so_far());
}

#[test]
fn d17_a_new_start_appends_to_the_log_file() {
    let folder = Folder::new("d17");
    let log = folder.path("log");
    // The disk was full when the server before was killed.
    fs::write(&log, "from before").unwrap();
    let port = Port::reserve();
    for start in 1..=3 {
        let server = Server::spawn_without_log(logging_to(&log, &port), &port);
        Client::join(&server);
        server.signal("TERM");
        assert_eq!(server.wait().0.code(), Some(0));
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.starts_with("from before\n"), "{text}");
        for event in ["listening on", "stopped: "] {
            assert_eq!(text.matches(event).count(), start, "{event} in {text}");
        }
    }
}

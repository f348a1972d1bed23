//! Listeners on unix sockets: their files, and chat over them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::texts::{IN_USE, NOT_A_SOCKET, given_twice};
use common::{Client, Folder, Server, WELCOME, eventually, program, run, run_to_end, without_capability};
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server with a TCP listener and one at `path`.
#[track_caller]
fn start(path: &Path, options: &[&str]) -> Server {
    let mut server = Server::start(&[&["-l", &at(path)], options].concat());
    server.wait_for_log(&format!("listening on {} (plain)", at(path)));
    server
}

fn at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

#[track_caller]
fn join(path: &Path) -> Client {
    let mut client = Client::connect_to_path(path);
    client.expect_line(WELCOME);
    client
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_client_of_a_unix_socket_is_in_the_same_room_and_logged_by_process_and_user() {
    let folder = Folder::new("unix-room");
    let path = folder.path("room");
    let mut server = start(&path, &[]);
    let mut remote = Client::join(&server);
    let mut local = join(&path);
    let uid = rustix::process::getuid().as_raw();
    server.wait_for_log(&format!("pid {} uid {uid} joined, 2 online", std::process::id()));
    remote.send("hi\n");
    local.expect_line("hi");
    local.send("hi you\r\nunfinished");
    remote.expect_line("hi you");
    local.end_input();
    remote.expect_line("unfinished");
    local.expect_end();
    server.wait_for_log(&format!("pid {} uid {uid} left", std::process::id()));
}

#[test]
fn each_view_works_on_unix_sockets() {
    let folder = Folder::new("unix-views");
    let paths = ["named", "json"].map(|view| (view, folder.path(view)));
    let places = paths.each_ref().map(|(view, path)| format!("{view}:{}", at(path)));
    let mut server = Server::start(&["-l", &places[0], "-l", &places[1]]);
    server.wait_for_log("(json)");
    let mut remote = Client::join(&server);
    let mut named = join(&paths[0].1);
    assert!(named.read_line().starts_with(b"* you are anon2"));
    let mut json = Client::connect_to_path(&paths[1].1);
    json.read_line();
    remote.send("hi\n");
    named.expect_line("<anon1> hi");
    assert!(json.read_line().starts_with(br#"{"type":"message","from":"anon1","text":"hi""#));
}

#[test]
fn the_file_has_the_mode_of_the_option_and_is_removed_at_the_stop() {
    let folder = Folder::new("unix-mode");
    let path = folder.path("room");
    for (options, expected) in
        [(&[][..], 0o660), (&["--unix-mode", "0600"], 0o600), (&["--unix-mode=607"], 0o607)]
    {
        let server = start(&path, options);
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(mode(&path), expected, "{options:?}");
        let mut client = join(&path);
        server.signal("TERM");
        client.expect_end();
        assert_eq!(server.wait().0.code(), Some(0));
        assert!(!path.exists(), "{options:?}");
    }
    // Also after a forced stop.
    let server = start(&path, &[]);
    let client = join(&path);
    server.pause();
    for _ in 0..2 {
        server.signal("TERM");
    }
    server.signal("INT");
    server.resume();
    drop(client);
    server.wait();
    assert!(!path.exists());
}

#[test]
fn the_file_of_a_killed_server_is_replaced() {
    let folder = Folder::new("unix-stale");
    let path = folder.path("room");
    let server = start(&path, &[]);
    server.signal("KILL");
    server.wait();
    assert!(path.exists(), "a killed server cannot remove its file");
    let _server = start(&path, &[]);
    join(&path);
}

#[test]
fn the_socket_of_a_running_process_is_never_replaced() {
    let folder = Folder::new("unix-live");
    let path = folder.path("room");
    let mut server = start(&path, &["-v"]);
    let expected = format!("hubbub: cannot listen on {}: Address already in use\n", at(&path));
    for address in [at(&path), format!("json:{}", at(&path))] {
        let (status, out, err) = run(&["-q", "-l", &address]);
        assert_eq!((status, out.as_str(), err.as_str()), (Some(1), "", expected.as_str()));
    }
    join(&path);
    server.wait_for_log("joined, 1 online");
    let asked = server.log_so_far().iter().filter(|line| line.contains("joined")).count();
    assert_eq!(asked, 1, "the check is not a connection");
    // Nor that of another program, nor a path that is given twice.
    let other = folder.path("other");
    let _listener = UnixListener::bind(&other).unwrap();
    assert_eq!(run(&["-l", &at(&other)]).0, Some(1));
    assert!(other.exists());
    let twice = at(&folder.path("twice"));
    let (status, _, err) = run(&["-q", "-l", &twice, "-l", &twice]);
    assert_eq!((status, err), (Some(1), format!("hubbub: {}\n", given_twice(&twice))));
    assert!(!folder.path("twice").exists(), "its own file is removed");
}

#[test]
fn a_file_that_is_not_a_socket_is_never_replaced() {
    let folder = Folder::new("unix-other");
    fs::write(folder.path("file"), "precious").unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    symlink(folder.path("nowhere"), folder.path("link")).unwrap();
    for name in ["file", "folder", "link"] {
        let place = at(&folder.path(name));
        let (status, _, err) = run(&["-l", &place]);
        assert_eq!((status, err), (Some(1), format!("hubbub: cannot listen on {place}: {NOT_A_SOCKET}\n")));
    }
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"precious");
    assert!(folder.path("folder").is_dir());
    assert!(fs::symlink_metadata(folder.path("link")).unwrap().is_symlink());
}

#[test]
fn the_error_of_an_unusable_path_gives_the_reason() {
    let folder = Folder::new("unix-wrong");
    let absent = folder.path("absent").join("room");
    let long = folder.path(&"x".repeat(108));
    let too_long = "the path is too long for a unix socket: at most 107 bytes";
    for (path, why) in [(absent, "No such file or directory"), (long, too_long)] {
        let (status, _, err) = run(&["-l", &at(&path)]);
        assert_eq!(status, Some(1), "{err}");
        assert!(err.starts_with(&format!("hubbub: cannot listen on {}: ", at(&path))), "{err}");
        assert!(err.contains(why) && err.lines().count() == 1, "{err}");
    }
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let place = at(&closed.join("room"));
    let refused = run_to_end(without_capability("dac_override", program(&["-l", &place])));
    assert_eq!(refused.0, Some(1));
    assert_eq!(refused.2, format!("hubbub: cannot listen on {place}: Permission denied\n"));
}

/// The server with strace's `options`, without the right of root to use any file. The trace goes to `trace` in
/// `folder`.
fn traced_without_rights(folder: &Folder, options: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-o"]).arg(folder.path("trace")).args(options);
    command.arg(env!("CARGO_BIN_EXE_hubbub")).arg("-q").args(arguments);
    let mut command = without_capability("dac_override", command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Puts a symbolic link to `target` in the place of the file at `path`, as a user who may write to the folder could.
fn replace_by_link(folder: &Folder, path: &Path, target: &Path) {
    symlink(target, folder.path("new")).unwrap();
    fs::rename(folder.path("new"), path).unwrap();
}

/// Lets the server run to the call that strace answers with SIGSTOP, puts a link to another file in the place of
/// the socket, and lets the server go on. Returns its error. That file must keep its mode.
#[track_caller]
fn error_after_swap(folder: &Folder, call: &str, mode_of_room: &str) -> String {
    let (path, target) = (folder.path("room"), folder.path("target"));
    fs::write(&target, "precious").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o400)).unwrap();
    let inject = format!("inject={call}:signal=STOP:when=1");
    let options = ["-e", &format!("trace={call},listen"), "-e", &inject];
    let arguments = ["--unix-mode", mode_of_room, "-l", &at(&path)];
    let mut server = Started(traced_without_rights(folder, &options, &arguments).spawn().unwrap());
    eventually("the server is stopped", || {
        fs::read_to_string(folder.path("trace")).ok()?.contains("stopped by SIGSTOP").then_some(())
    });
    replace_by_link(folder, &path, &target);
    common::signal(server.0.id(), "CONT");
    let status = eventually("it ends, or it listens", || {
        let listens = || fs::read_to_string(folder.path("trace")).unwrap().contains("listen(");
        let ended = server.0.try_wait().unwrap();
        (ended.is_some() || listens()).then_some(ended)
    });
    assert_eq!(mode(&target), 0o400, "{call}: the mode of another file was set");
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{call}");
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "{call}: a file of others is removed");
    std::io::read_to_string(server.0.stderr.take().unwrap()).unwrap()
}

#[test]
fn a_link_in_the_place_of_the_new_socket_does_not_get_its_mode() {
    let folder = Folder::new("unix-swap-new");
    let error = error_after_swap(&folder, "bind", "0666");
    assert!(error.contains("another file took its place while the server started"), "{error}");
}

#[test]
fn a_link_in_the_place_of_a_stale_socket_does_not_get_its_mode() {
    let folder = Folder::new("unix-swap-stale");
    drop(UnixListener::bind(folder.path("room")).unwrap());
    fs::set_permissions(folder.path("room"), fs::Permissions::from_mode(0o060)).unwrap();
    let error = error_after_swap(&folder, "connect", "0666");
    assert!(error.ends_with(&format!(": {IN_USE}\n")), "{error}");
}

#[test]
fn the_mode_is_never_set_through_the_path_of_the_socket() {
    let folder = Folder::new("unix-chmod");
    let path = folder.path("room");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o060)).unwrap();
    let options = ["-e", "trace=chmod,fchmodat,?fchmodat2,bind"];
    let arguments = ["--unix-mode", "0606", "-l", &at(&path)];
    let server = Started(traced_without_rights(&folder, &options, &arguments).spawn().unwrap());
    eventually("it listens", || UnixStream::connect(&path).ok());
    assert_eq!(mode(&path), 0o606);
    drop(server);
    let trace = fs::read_to_string(folder.path("trace")).unwrap();
    assert!(trace.contains("bind("), "{trace}");
    let by_path = |line: &&str| !line.starts_with("bind(") && line.contains(&*path.display().to_string());
    assert_eq!(trace.lines().find(by_path), None);
}

#[test]
fn the_mode_does_not_depend_on_the_umask_and_the_umask_stays() {
    let folder = Folder::new("unix-umask");
    let path = folder.path("room");
    for mask in ["000", "077", "777"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {mask}; exec \"$0\" -l 127.0.0.1:0 -l {}", at(&path))]);
        command.arg(env!("CARGO_BIN_EXE_hubbub"));
        let mut server = Server::spawn(command);
        server.wait_for_log(&at(&path));
        assert_eq!(mode(&path), 0o660, "umask {mask}");
        assert_eq!(server.status("Umask"), format!("0{mask}"));
        server.signal("TERM");
        server.wait();
    }
}

/// A name in the abstract namespace, different in each test.
fn abstract_name(test: &str) -> String {
    format!("hubbub-test-{}-{test}", std::process::id())
}

#[track_caller]
fn join_abstract(name: &[u8]) -> Client {
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
    let mut client = Client::from_unix_stream(stream);
    client.expect_line(WELCOME);
    client
}

#[test]
fn an_abstract_socket_has_no_file() {
    let folder = Folder::new("unix-abstract");
    let name = abstract_name("room");
    let place = format!("unix:@{name}");
    let mut command = program(&["-l", "127.0.0.1:0", "-l", &place]);
    command.current_dir(folder.path(""));
    let mut server = Server::spawn(command);
    server.wait_for_log(&format!("listening on {place} (plain)"));
    let (mut remote, mut local) = (Client::join(&server), join_abstract(name.as_bytes()));
    local.send("hi\n");
    remote.expect_line("hi");
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 0);
    let error = format!("hubbub: cannot listen on {place}: {IN_USE}\n");
    assert_eq!(run(&["-q", "-l", &place]), (Some(1), String::new(), error));
    let twice = format!("unix:@{}", abstract_name("twice"));
    let error = format!("hubbub: {}\n", given_twice(&twice));
    assert_eq!(run(&["-q", "-l", &twice, "-l", &twice]), (Some(1), String::new(), error));
    server.assert_not_logged("[WARN]");
    server.signal("KILL");
    server.wait();
    // The name is free at once.
    let mut server = Server::start(&["-l", &format!("json:{place}")]);
    server.wait_for_log(&format!("listening on {place} (json)"));
}

#[test]
fn a_file_whose_name_begins_with_an_at_sign_has_a_path_before_it() {
    let folder = Folder::new("unix-at");
    let mut command = program(&["-l", "127.0.0.1:0", "-l", "unix:./@room"]);
    command.current_dir(folder.path(""));
    let mut server = Server::spawn(command);
    server.wait_for_log("listening on unix:./@room (plain)");
    join(&folder.path("@room"));
}

#[test]
fn the_mode_of_an_abstract_socket_is_a_warning() {
    let place = format!("unix:@{}", abstract_name("mode"));
    let mut server = Server::start(&["-l", &place, "--unix-mode", "0600"]);
    let warning = format!("--unix-mode does not apply to {place}: an abstract socket has no permissions");
    let log = server.log_so_far();
    assert!(log.iter().any(|line| line.contains("[WARN]") && line.contains(&warning)), "{log:#?}");
}

#[test]
fn a_name_that_is_too_long_for_a_socket_is_an_error() {
    let longest = "x".repeat(107 - abstract_name("").len()) + &abstract_name("");
    let mut server = Server::start(&["-l", &format!("unix:@{longest}")]);
    server.wait_for_log(&format!("listening on unix:@{longest} "));
    let (status, _, error) = run(&["-q", "-l", &format!("unix:@{longest}x")]);
    assert_eq!(status, Some(1), "{error}");
    assert!(error.ends_with(": the name is too long for a unix socket: at most 107 bytes\n"), "{error}");
}

/// Killed at the end of the test, also if the test fails.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn of_several_servers_that_find_a_stale_file_one_listens() {
    let folder = Folder::new("unix-race");
    let path = folder.path("room");
    drop(UnixListener::bind(&path).unwrap());
    // Removing takes so long that all servers have found the file by then.
    let start = |number: usize| {
        let mut command = Command::new("strace");
        command.args(["-D", "-e", "inject=unlink,unlinkat:delay_enter=200000", "-o"]);
        command.arg(folder.path(&format!("trace{number}"))).arg(env!("CARGO_BIN_EXE_hubbub"));
        command.args(["-l", &at(&path)]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Started(command.spawn().unwrap())
    };
    let mut servers = [0, 1, 2].map(start);
    eventually("all but one have ended", || {
        let runs = |server: &mut Started| server.0.try_wait().unwrap().is_none();
        (servers.iter_mut().map(runs).filter(|&runs| runs).count() == 1).then_some(())
    });
    eventually("that one listens", || UnixStream::connect(&path).ok());
}

#[test]
fn another_file_at_the_same_path_is_not_removed() {
    let folder = Folder::new("unix-moved");
    let path = folder.path("room");
    let server = start(&path, &[]);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(path.exists());
}

#[test]
fn slow_readers_get_a_whole_paste_over_unix_sockets() {
    let folder = Folder::new("unix-paste");
    let path = folder.path("room");
    let server = start(&path, &["--stall-timeout", "60"]);
    let mut readers = [join(&path), join(&path), Client::join(&server)];
    let mut pasted = String::new();
    for number in 0..200_000 {
        pasted += &format!("line {number} of a paste\n");
    }
    let mut sender = join(&path);
    let paste = pasted.clone();
    let sends = std::thread::spawn(move || {
        sender.send(paste);
        sender.end_input();
        sender.expect_end();
    });
    // One after the other: while one reads, the sender waits for the others.
    for part in pasted.as_bytes().chunks(300_000) {
        for reader in &mut readers {
            assert!(reader.read_bytes(part.len()) == part);
        }
    }
    sends.join().unwrap();
}

#[test]
fn a_reader_that_is_stuck_is_disconnected_and_a_client_over_the_limit_refused() {
    let folder = Folder::new("unix-stuck");
    let path = folder.path("room");
    let mut server =
        start(&path, &["--stall-timeout", "0.2", "--feed", "64k", "-m", "3", "--max-per-ip", "1"]);
    let mut stuck = join(&path);
    let mut reader = join(&path);
    let mut talker = join(&path);
    let mut fourth = Client::connect_to_path(&path);
    fourth.expect_line("* the room is full (3 clients): try again later");
    fourth.expect_end();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let reads = std::thread::spawn(move || reader.read_bytes(2048 * 1024).len());
    talker.send(line.repeat(2048));
    assert_eq!(reads.join().unwrap(), 2048 * 1024);
    server.wait_for_log("disconnected: read too slowly while others waited");
    // It got the lines until then, and no more.
    let received = stuck.read_to_end();
    assert!(received.ends_with(b"\n") || received.len() < 2048 * 1024, "{}", received.len());
}

#[test]
fn a_stale_file_without_owner_access_is_replaced_and_one_in_use_keeps_its_mode() {
    let folder = Folder::new("unix-closed");
    let path = folder.path("room");
    let server = start(&path, &["--unix-mode", "0060"]);
    let again = || without_capability("dac_override", program(&["-q", "-l", &at(&path)]));
    let expected = format!("hubbub: cannot listen on {}: Address already in use\n", at(&path));
    assert_eq!(run_to_end(again()), (Some(1), String::new(), expected));
    assert_eq!(mode(&path), 0o060);
    server.signal("KILL");
    server.wait();
    let mut second = Started(again().stderr(Stdio::null()).spawn().unwrap());
    eventually("it listens", || UnixStream::connect(&path).ok());
    assert!(second.0.try_wait().unwrap().is_none());
}

#[test]
fn a_stale_file_in_a_directory_that_cannot_be_locked_is_an_error() {
    let folder = Folder::new("unix-unlocked");
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    let path = closed.join("room");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o300)).unwrap();
    let command = program(&["-q", "-l", &at(&path)]);
    let (status, _, err) = run_to_end(without_capability("dac_override,-dac_read_search", command));
    let why =
        "a stale socket file is there, and its directory cannot be locked to replace it: remove the file";
    assert_eq!((status, err), (Some(1), format!("hubbub: cannot listen on {}: {why}\n", at(&path))));
    assert!(path.exists());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn c7_the_kernel_holds_at_most_the_send_buffer_of_a_sender_that_is_not_read() {
    let folder = Folder::new("unix-held");
    let path = folder.path("room");
    let server = start(&path, &[]);
    let sender = Client::connect_to_path(&path);
    server.pause();
    let size = fs::read_to_string("/proc/sys/net/core/wmem_default").unwrap();
    let sent = sender.send_until_full();
    // The last piece that the kernel takes, of up to 32 KiB, may exceed the size.
    assert!(sent <= size.trim().parse::<usize>().unwrap() + 32 * 1024, "{sent} bytes");
}

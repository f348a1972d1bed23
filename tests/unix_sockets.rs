//! Rooms at unix sockets: files that come and go with the room, and talk as over any other socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::{Client, Folder, Server, WELCOME, eventually, program, run, run_to_its_end, without_capability};
use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server at a port and at `path`.
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
    client.expects(WELCOME);
    client
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn who_comes_by_a_unix_socket_is_in_the_same_room_and_logged_by_process_and_user() {
    let folder = Folder::new("unix-room");
    let path = folder.path("room");
    let mut server = start(&path, &[]);
    let mut remote = Client::join(&server);
    let mut local = join(&path);
    let uid = rustix::process::getuid().as_raw();
    server.wait_for_log(&format!("pid {} uid {uid} joined, 2 online", std::process::id()));
    remote.says("hi\n");
    local.expects("hi");
    local.says("hi you\r\nunfinished");
    remote.expects("hi you");
    local.ends();
    remote.expects("unfinished");
    local.expects_end();
    server.wait_for_log(&format!("pid {} uid {uid} left", std::process::id()));
}

#[test]
fn each_view_has_unix_sockets_too() {
    let folder = Folder::new("unix-views");
    let paths = ["named", "json"].map(|view| (view, folder.path(view)));
    let places = paths.each_ref().map(|(view, path)| format!("{view}:{}", at(path)));
    let mut server = Server::start(&["-l", &places[0], "-l", &places[1]]);
    server.wait_for_log("(json)");
    let mut remote = Client::join(&server);
    let mut named = join(&paths[0].1);
    assert!(named.hears_line().starts_with(b"* you are anon2"));
    let mut json = Client::connect_to_path(&paths[1].1);
    json.hears_line();
    remote.says("hi\n");
    named.expects("<anon1> hi");
    assert!(json.hears_line().starts_with(br#"{"type":"message","from":"anon1","text":"hi""#));
}

#[test]
fn the_file_may_be_used_by_whom_the_mode_says_and_is_gone_when_the_room_is() {
    let folder = Folder::new("unix-mode");
    let path = folder.path("room");
    for (options, expected) in
        [(&[][..], 0o660), (&["--unix-mode", "0600"], 0o600), (&["--unix-mode=7"], 0o007)]
    {
        let server = start(&path, options);
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
        assert_eq!(mode(&path), expected, "{options:?}");
        let mut client = join(&path);
        server.signal("TERM");
        client.expects_end();
        assert_eq!(server.wait().0.code(), Some(0));
        assert!(!path.exists(), "{options:?}");
    }
    // Also when it is in a hurry.
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
fn a_file_that_a_killed_server_left_is_replaced() {
    let folder = Folder::new("unix-stale");
    let path = folder.path("room");
    let server = start(&path, &[]);
    server.signal("KILL");
    server.wait();
    assert!(path.exists(), "nobody removed it");
    let _server = start(&path, &[]);
    join(&path);
}

#[test]
fn a_socket_at_which_somebody_listens_is_never_taken_from_them() {
    let folder = Folder::new("unix-live");
    let path = folder.path("room");
    let mut server = start(&path, &["-v"]);
    let told = format!("hubbub: cannot listen on {}: Address already in use\n", at(&path));
    for place in [at(&path), format!("json:{}", at(&path))] {
        let (status, out, err) = run(&["-q", "-l", &place]);
        assert_eq!((status, out.as_str(), err.as_str()), (Some(1), "", told.as_str()));
    }
    join(&path);
    server.wait_for_log("joined, 1 online");
    let asked = server.log_so_far().iter().filter(|line| line.contains("joined")).count();
    assert_eq!(asked, 1, "who asks whether it lives is not noticed");
    // Nor from another program, nor where the same place is given twice.
    let other = folder.path("other");
    let _listener = UnixListener::bind(&other).unwrap();
    assert_eq!(run(&["-l", &at(&other)]).0, Some(1));
    assert!(other.exists());
    let twice = at(&folder.path("twice"));
    let (status, _, err) = run(&["-q", "-l", &twice, "-l", &twice]);
    assert_eq!(
        (status, err),
        (Some(1), format!("hubbub: cannot listen on {twice}: Address already in use\n"))
    );
    assert!(!folder.path("twice").exists(), "what it made itself it removes");
}

#[test]
fn what_is_no_socket_is_never_replaced() {
    let folder = Folder::new("unix-other");
    fs::write(folder.path("file"), "precious").unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    symlink(folder.path("nowhere"), folder.path("link")).unwrap();
    for name in ["file", "folder", "link"] {
        let place = at(&folder.path(name));
        let (status, _, err) = run(&["-l", &place]);
        assert_eq!(
            (status, err),
            (Some(1), format!("hubbub: cannot listen on {place}: Address already in use\n"))
        );
    }
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"precious");
    assert!(folder.path("folder").is_dir());
    assert!(fs::symlink_metadata(folder.path("link")).unwrap().is_symlink());
}

#[test]
fn a_place_at_which_no_socket_can_be_is_told_with_the_reason() {
    let folder = Folder::new("unix-wrong");
    let absent = folder.path("absent").join("room");
    let long = folder.path(&"x".repeat(108));
    for (path, why) in [(absent, "No such file or directory"), (long, "the path is too long")] {
        let (status, _, err) = run(&["-l", &at(&path)]);
        assert_eq!(status, Some(1), "{err}");
        assert!(err.starts_with(&format!("hubbub: cannot listen on {}: ", at(&path))), "{err}");
        assert!(err.contains(why) && err.lines().count() == 1, "{err}");
    }
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let place = at(&closed.join("room"));
    let refused = run_to_its_end(without_capability("dac_override", program(&["-l", &place])));
    assert_eq!(refused.0, Some(1));
    assert_eq!(refused.2, format!("hubbub: cannot listen on {place}: Permission denied\n"));
}

/// Ended with the test, however that ends.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn of_several_that_find_a_stale_file_at_once_one_gets_it() {
    let folder = Folder::new("unix-race");
    let path = folder.path("room");
    drop(UnixListener::bind(&path).unwrap());
    // Each takes so long to remove it that all have found it by then.
    let start = |number: usize| {
        let mut command = Command::new("strace");
        command.args(["-D", "-e", "inject=unlink,unlinkat:delay_enter=200000", "-o"]);
        command.arg(folder.path(&format!("trace{number}"))).arg(env!("CARGO_BIN_EXE_hubbub"));
        command.args(["-l", &at(&path)]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Started(command.spawn().unwrap())
    };
    let mut servers = [0, 1, 2].map(start);
    eventually("all but one have given up", || {
        let lives = |server: &mut Started| server.0.try_wait().unwrap().is_none();
        (servers.iter_mut().map(lives).filter(|&lives| lives).count() == 1).then_some(())
    });
    eventually("the one listens", || std::os::unix::net::UnixStream::connect(&path).ok());
}

#[test]
fn a_file_that_somebody_put_in_its_place_stays() {
    let folder = Folder::new("unix-moved");
    let path = folder.path("room");
    let server = start(&path, &[]);
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().0.code(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_paste_over_unix_sockets_arrives_whole_at_readers_however_slow() {
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
        sender.says(paste);
        sender.ends();
        sender.expects_end();
    });
    // One after the other: while one reads, the room waits for the others.
    for part in pasted.as_bytes().chunks(300_000) {
        for reader in &mut readers {
            assert!(reader.hears_bytes(part.len()) == part);
        }
    }
    sends.join().unwrap();
}

#[test]
fn who_never_reads_is_cut_and_who_is_too_many_is_told_so() {
    let folder = Folder::new("unix-stuck");
    let path = folder.path("room");
    let mut server =
        start(&path, &["--stall-timeout", "0.2", "--feed", "64k", "-m", "3", "--max-per-ip", "1"]);
    let mut stuck = join(&path);
    let mut reader = join(&path);
    let mut talker = join(&path);
    let mut fourth = Client::connect_to_path(&path);
    fourth.expects("* the room is full, with 3 in it: try again later");
    fourth.expects_end();
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let reads = std::thread::spawn(move || reader.hears_bytes(2048 * 1024).len());
    talker.says(line.repeat(2048));
    assert_eq!(reads.join().unwrap(), 2048 * 1024);
    server.wait_for_log("cut: read too slowly while others waited");
    // It was given what it was owed until then, and no more.
    let heard = stuck.hears_all();
    assert!(heard.ends_with(b"\n") || heard.len() < 2048 * 1024, "{}", heard.len());
}

#[test]
fn a_stale_file_whose_mode_keeps_its_owner_out_is_replaced_and_a_live_one_keeps_its_mode() {
    let folder = Folder::new("unix-closed");
    let path = folder.path("room");
    let server = start(&path, &["--unix-mode", "0060"]);
    let again = || without_capability("dac_override", program(&["-q", "-l", &at(&path)]));
    let told = format!("hubbub: cannot listen on {}: Address already in use\n", at(&path));
    assert_eq!(run_to_its_end(again()), (Some(1), String::new(), told));
    assert_eq!(mode(&path), 0o060);
    server.signal("KILL");
    server.wait();
    let mut anew = Started(again().stderr(Stdio::null()).spawn().unwrap());
    eventually("it listens", || std::os::unix::net::UnixStream::connect(&path).ok());
    assert!(anew.0.try_wait().unwrap().is_none());
}

#[test]
fn without_a_lock_of_its_folder_a_stale_file_is_not_replaced_and_that_is_told() {
    let folder = Folder::new("unix-unlocked");
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    let path = closed.join("room");
    drop(UnixListener::bind(&path).unwrap());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o300)).unwrap();
    let command = program(&["-q", "-l", &at(&path)]);
    let (status, _, err) = run_to_its_end(without_capability("dac_override,-dac_read_search", command));
    let told = "a stale socket is there, and its folder cannot be locked to replace it: remove it";
    assert_eq!((status, err), (Some(1), format!("hubbub: cannot listen on {}: {told}\n", at(&path))));
    assert!(path.exists());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
}

//! Files that the operator names, read from disk: never waited for, never larger than allowed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::Folder;
use hubbub::net::access_list::{AccessList, MAX_BYTES};
use hubbub::net::password::Password;
use hubbub::util::small_file::{self, is_readable_by_others};
use rustix::fs::{CWD, FileType, Mode};
use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

#[test]
fn a_file_is_read_whole_up_to_the_limit_and_refused_above_it() {
    let folder = Folder::new("small-file");
    let path = folder.path("file");
    for (length, is_read) in [(0, true), (1, true), (100, true), (101, false), (100_000, false)] {
        fs::write(&path, vec![b'x'; length]).unwrap();
        let expected = match is_read {
            true => Ok(vec![b'x'; length]),
            false => Err("the file must have at most 100 bytes".to_owned()),
        };
        assert_eq!(small_file::read(&path, 100), expected, "{length} bytes");
    }
    let link = folder.path("link");
    std::os::unix::fs::symlink("file", &link).unwrap();
    fs::write(&path, "x").unwrap();
    assert_eq!(small_file::read(&link, 100), Ok(b"x".to_vec()));
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = Folder::new("no-file");
    let (pipe, socket) = (folder.path("pipe"), folder.path("socket"));
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    let not_regular = "must be a regular file, because it is read again on SIGHUP";
    for (path, error) in [
        (folder.path("missing"), "No such file or directory"),
        (folder.path(""), not_regular),
        (pipe, not_regular),
        (socket, not_regular),
        ("/dev/zero".into(), not_regular),
        ("".into(), "No such file or directory"),
        ("a\0b".into(), "file name contained an unexpected NUL byte"),
    ] {
        assert_eq!(small_file::read(&path, 100), Err(error.to_owned()), "{}", path.display());
    }
}

#[test]
fn a_file_of_which_the_size_is_unknown_is_read_up_to_the_limit() {
    let maps = Path::new("/proc/self/maps");
    assert_eq!(fs::metadata(maps).unwrap().len(), 0);
    assert!(small_file::read(maps, 1_000_000).unwrap().len() > 100);
    assert_eq!(small_file::read(maps, 100), Err("the file must have at most 100 bytes".to_owned()));
}

#[test]
fn a_file_is_readable_by_others_if_its_mode_says_so() {
    let folder = Folder::new("mode");
    let path = folder.path("file");
    fs::write(&path, "x").unwrap();
    for (mode, is_readable) in [(0o400, false), (0o600, false), (0o640, false), (0o644, true), (0o604, true)]
    {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert_eq!(is_readable_by_others(&path), is_readable, "{mode:o}");
    }
    assert!(!is_readable_by_others(&folder.path("missing")));
}

#[test]
fn an_access_list_is_read_from_its_file_and_an_error_names_the_line() {
    let folder = Folder::new("access-list");
    let path = folder.path("access");
    fs::write(&path, "# the office\r\ndeny 10.0.0.7\r\nallow 10.0.0.0/8\r\n").unwrap();
    let list = AccessList::read(&path).unwrap();
    let allowed = [[10, 0, 0, 1], [10, 0, 0, 7], [192, 0, 2, 1]]
        .map(|address| list.allows(IpAddr::V4(Ipv4Addr::from(address))));
    assert_eq!((list.len(), allowed), (2, [true, false, false]));

    for (contents, error) in [
        ("deny ::1\nallow all".to_owned(), "line 2: \"allow all\": must be an address or a network"),
        ("#".repeat(MAX_BYTES + 1), "the file must have at most 1000000 bytes"),
    ] {
        fs::write(&path, contents).unwrap();
        let refusal = AccessList::read(&path).unwrap_err();
        assert!(refusal.starts_with(error), "{refusal}");
    }
    assert_eq!(AccessList::read(&folder.path("missing")).unwrap_err(), "No such file or directory");
}

#[test]
fn a_password_is_read_from_its_file_and_an_error_does_not_show_it() {
    let folder = Folder::new("password");
    let path = folder.path("password");
    fs::write(&path, "sesame\r\n# and a remark\n").unwrap();
    let password = Password::read(&path).unwrap();
    assert_eq!([&b"sesame"[..], b"sesame\r"].map(|given| password.matches(given)), [true, false]);

    for (contents, error) in [
        (b"ses\0ame".to_vec(), "the first line must be UTF-8 text"),
        (vec![b'x'; 64 * 1024 + 1], "the file must have at most 65536 bytes"),
    ] {
        fs::write(&path, contents).unwrap();
        let refusal = Password::read(&path).unwrap_err();
        assert!(refusal.starts_with(error), "{refusal}");
    }
    assert_eq!(Password::read(&folder.path("missing")).unwrap_err(), "No such file or directory");
}

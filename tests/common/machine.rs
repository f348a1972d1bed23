//! What a machine may lack. A test that needs it is skipped by name, never silently.

use rustix::process::{Resource, getrlimit};
use std::fs::OpenOptions;
use std::io::{Write, stderr};
use std::net::{Ipv6Addr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;

/// Reports that the calling test is skipped. The test then returns.
///
/// `scripts/test` counts the lines of the file that `HUBBUB_SKIPPED` names.
#[track_caller]
pub fn skip(why: &str) {
    let thread = thread::current();
    let line = format!("skipped: {}: {why}\n", thread.name().unwrap_or("a test"));
    if let Some(path) = std::env::var_os("HUBBUB_SKIPPED") {
        let mut list = OpenOptions::new().append(true).create(true).open(path).unwrap();
        list.write_all(line.as_bytes()).unwrap();
    }
    // cargo test hides what a passing test prints with println! and eprintln!, but not this.
    stderr().write_all(line.as_bytes()).unwrap();
}

/// Whether this machine has IPv6. If not, the calling test is skipped.
#[track_caller]
#[must_use]
pub fn has_ipv6() -> bool {
    let found = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    if let Err(error) = &found {
        skip(&format!("no IPv6: cannot listen on [::1]: {error}"));
    }
    found.is_ok()
}

/// Whether a process may have `count` file descriptors. If not, the calling test is skipped.
#[track_caller]
#[must_use]
pub fn has_descriptors(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if limit < count {
        skip(&format!(
            "it needs {count} file descriptors, but the limit is {limit}: raise it with ulimit -Hn"
        ));
    }
    limit >= count
}

/// How this user may create namespaces: directly, or in a user namespace of their own.
pub struct Namespaces {
    options: Vec<&'static str>,
    needs_user: bool,
}

impl Namespaces {
    /// Returns the way to create namespaces with these options of unshare(1). If there is none, the calling test is
    /// skipped.
    #[track_caller]
    pub fn try_new(options: &[&'static str]) -> Option<Self> {
        let mut namespaces = Self { options: options.to_vec(), needs_user: false };
        let mut errors = String::new();
        for needs_user in [false, true] {
            namespaces.needs_user = needs_user;
            let output = namespaces.unshare().arg("true").stdin(Stdio::null()).output().unwrap();
            if output.status.success() {
                return Some(namespaces);
            }
            errors = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        }
        skip(&format!("this user cannot create namespaces: {errors}"));
        None
    }

    /// Returns unshare(1), to which a command is added that runs as root of new namespaces.
    pub fn unshare(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(&self.options).args(self.of_user(&["--user", "--map-root-user"]));
        command
    }

    /// Returns nsenter(1), to which a command is added that runs in the namespaces of a process.
    pub fn enter(&self, pid: u32) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={pid}")).args(&self.options);
        command.args(self.of_user(&["--user", "--preserve-credentials"]));
        command
    }

    fn of_user<'a>(&self, options: &'a [&'a str]) -> &'a [&'a str] {
        if self.needs_user { options } else { &[] }
    }
}

//! Signals that were blocked when the process started.
//!
//! A blocked signal never arrives, so SIGTERM could not stop the server. Rust has no safe function that unblocks a
//! signal. env(1) of GNU can: the process becomes env, which becomes the server again.

use super::process_status::SignalStatus;
use crate::util::os_error;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

const ENV: &str = "/usr/bin/env";
/// A variable that the second start has, so that there is no third.
const STARTED_AGAIN: &str = "HUBBUB_STARTED_AGAIN";

/// Unblocks the signals that the server handles. If any is blocked, `main` starts again from its beginning. So this
/// must come before everything else, and returns only if nothing is blocked or nothing can be done.
///
/// # Errors
/// One line for the log: which signals stay blocked, and why.
pub fn unblock() -> Result<(), String> {
    let blocked = SignalStatus::of_this_process().blocked_names();
    if blocked.is_empty() {
        return Ok(());
    }
    let option = format!("--default-signal={}", blocked.join(","));
    start_again(&option).map_err(|why| {
        let blocked = blocked.join(", SIG");
        format!("SIG{blocked}: blocked by the process that started this one, and cannot be unblocked: {why}")
    })
}

/// Becomes `env OPTION`, which becomes this program with the same arguments.
fn start_again(option: &str) -> Result<(), String> {
    // Another env would end with an error instead.
    let is_able = std::fs::read(ENV).is_ok_and(|file| has_option(&file));
    if !is_able || std::env::var_os(STARTED_AGAIN).is_some() {
        return Err(format!("this needs {ENV} of GNU coreutils 8.31 or later"));
    }
    let program = std::env::current_exe().map_err(|error| os_error::text(&error))?;
    if !program.exists() {
        // Env would end with an error instead.
        return Err(format!("\"{}\" is not there any more", program.display()));
    }
    if program.as_os_str().as_bytes().contains(&b'=') {
        return Err(format!("env cannot run \"{}\", because of the = in it", program.display()));
    }
    let mut env = Command::new(ENV);
    env.arg(option).arg(format!("{STARTED_AGAIN}=1")).arg(program).args(std::env::args_os().skip(1));
    Err(os_error::text(&env.exec()))
}

/// Whether the program of env(1) knows the option.
fn has_option(file: &[u8]) -> bool {
    const OPTION: &[u8] = b"default-signal";
    file.windows(OPTION.len()).any(|part| part == OPTION)
}

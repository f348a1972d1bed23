//! Reading a file that the operator names, such as a list or a password, without waiting and without limitless memory.

use super::os_error;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The contents of a regular file of at most `max` bytes.
///
/// Pipes and devices are refused: the server could wait for one without end, and it reads its files again on SIGHUP,
/// when a pipe is empty.
///
/// # Errors
/// Why the file cannot be read, without its path.
pub fn read(path: &Path, max: usize) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| os_error::text(&error))?;
    if !metadata.is_file() {
        return Err("must be a regular file, because it is read again on SIGHUP".to_owned());
    }
    let contents = read_at_most(path, max.saturating_add(1)).map_err(|error| os_error::text(&error))?;
    if contents.len() > max {
        return Err(format!("the file must have at most {max} bytes"));
    }
    Ok(contents)
}

/// Not even a file that has become a pipe or a device since it was looked at keeps the server waiting.
fn read_at_most(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut contents = Vec::new();
    file.take(u64::try_from(max).unwrap_or(u64::MAX)).read_to_end(&mut contents)?;
    Ok(contents)
}

/// Whether users that are neither the owner nor in the file's group may read it. False if that is unknown.
pub fn is_readable_by_others(path: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0)
}

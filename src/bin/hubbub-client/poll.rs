//! Waits until a file descriptor is ready.

use hubbub::util::os_error;
use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Waits until one of `descriptors` is ready; returns false if `deadline` comes first.
///
/// # Errors
/// poll(2) fails.
pub(crate) fn wait(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<bool, String> {
    loop {
        let left = deadline.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match poll(descriptors, left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            // For example after the process was stopped and continued.
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(format!("cannot wait for events: {}", os_error::text(&io::Error::from(error))));
            }
        }
    }
}

/// Returns whether a read or a write that failed with `error` is to be tried again later.
pub(crate) fn is_retryable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn timespec(duration: Duration) -> Timespec {
    // Cannot overflow: the longest timeout is a year.
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

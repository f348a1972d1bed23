//! Waiting until a descriptor can be read or written.

use hubbub::util::os_error;
use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Waits for any of `descriptors`, until `deadline` at most; false where that came first.
///
/// # Errors
/// The system cannot.
pub(crate) fn wait(descriptors: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<bool, String> {
    loop {
        let left = deadline.map(|end| timespec(end.saturating_duration_since(Instant::now())));
        match poll(descriptors, left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            // A stopped process went on.
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(format!("cannot wait for events: {}", os_error::text(&io::Error::from(error))));
            }
        }
    }
}

/// Whether a read or a write that failed so is only to be tried again.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn timespec(duration: Duration) -> Timespec {
    // At most a year.
    Timespec { tv_sec: duration.as_secs().cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

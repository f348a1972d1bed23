//! Leaving in order: what was said arrives.

use crate::ready;
use crate::speech::Speech;
use hubbub::socket::Stream;
use rustix::event::{PollFd, PollFlags};
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

/// How long the server may take to hear the last lines and to end the connection.
const LONGEST: Duration = Duration::from_secs(2);

/// Says what is still to be said, ends the connection, and waits until the server has seen that.
///
/// Closing at once would reset the connection where something was not read, and what was said just
/// before would be lost. What still comes is not shown.
pub(crate) fn leave(mut stream: Stream, mut speech: Speech) {
    let deadline = Instant::now() + LONGEST;
    let mut has_ended = false;
    let mut buffer = [0; 64 * 1024];
    loop {
        if speech.send(&mut stream).is_err() {
            return;
        }
        if !has_ended && speech.owed() == 0 {
            stream.shutdown_write();
            has_ended = true;
        }
        let wanted = if has_ended { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        if !matches!(ready::wait(&mut [PollFd::new(&stream, wanted)], Some(deadline)), Ok(true)) {
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) => return,
            // Others may talk without end.
            Ok(_) if Instant::now() >= deadline => return,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return,
        }
    }
}

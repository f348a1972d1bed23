//! Closes the connection in order: pending lines arrive, or the user learns that they may be lost.

use crate::poll::{self, is_retryable};
use crate::send::SendBuffer;
use crate::signals::Signals;
use hubbub::net::client_stream::ClientStream;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the server may take to read the last lines and to close. It may limit each client to a few lines
/// per second (`--rate`).
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);
/// The same if nothing was sent within [`LEAVE_TIMEOUT`]: then nothing can be lost.
const IDLE_LEAVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Added to each reason for which the last lines may be lost.
pub(crate) const MAY_BE_LOST: &str = "the last lines may not have arrived";

/// What ends the wait early: a signal or Ctrl-C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AbortWatch<'a> {
    /// Becomes readable when a signal has arrived.
    pub(crate) wake: &'a UnixStream,
    pub(crate) signals: &'a Signals,
}

/// How the wait ended.
#[derive(Debug)]
enum Outcome {
    /// The server read everything and closed the connection.
    Closed,
    Lost(String),
    TimedOut,
    Aborted,
}

/// Sends what is pending, shuts down the sending side, and waits until the server closes the connection.
///
/// A plain close could reset the connection while received bytes are unread, and the last lines would be
/// lost. What arrives meanwhile is dropped. Waits until `deadline` at most, if there is one.
///
/// # Errors
/// One line that says why the last lines may not have arrived.
pub(crate) fn leave(
    stream: ClientStream,
    mut buffer: SendBuffer,
    deadline: Option<Instant>,
    abort: Option<AbortWatch<'_>>,
) -> Result<(), String> {
    let may_lose_lines = buffer.was_used_within(LEAVE_TIMEOUT);
    let end = Instant::now() + if may_lose_lines { LEAVE_TIMEOUT } else { IDLE_LEAVE_TIMEOUT };
    let end = deadline.map_or(end, |deadline| deadline.min(end));
    let why = match wait_for_close(stream, &mut buffer, end, abort) {
        Outcome::Closed => return Ok(()),
        _ if !may_lose_lines => return Ok(()),
        Outcome::Lost(why) => format!("connection lost: {why}"),
        Outcome::TimedOut => "the server did not close the connection in time".to_owned(),
        Outcome::Aborted => "left without waiting".to_owned(),
    };
    Err(format!("{why}; {MAY_BE_LOST}"))
}

fn wait_for_close(
    mut stream: ClientStream,
    buffer: &mut SendBuffer,
    end: Instant,
    abort: Option<AbortWatch<'_>>,
) -> Outcome {
    let mut is_shut_down = false;
    let mut received = [0; 64 * 1024];
    loop {
        if let Err(error) = buffer.send(&mut stream) {
            return Outcome::Lost(os_error::text(&error));
        }
        if !is_shut_down && buffer.pending() == 0 {
            stream.shutdown_write();
            is_shut_down = true;
        }
        let has_unsent = !is_shut_down || stream.has_unsent();
        let interest = if has_unsent { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut descriptors = vec![PollFd::new(&stream, interest)];
        descriptors.extend(abort.map(|abort| PollFd::new(abort.wake, PollFlags::IN)));
        match poll::wait(&mut descriptors, Some(if stream.has_unread() { Instant::now() } else { end })) {
            // The clock is checked too: other clients may send without a pause.
            Ok(is_ready) if (is_ready || stream.has_unread()) && Instant::now() < end => {}
            Ok(_) => return Outcome::TimedOut,
            Err(why) => return Outcome::Lost(why),
        }
        if abort.is_some_and(AbortWatch::is_aborted) {
            return Outcome::Aborted;
        }
        match stream.read(&mut received) {
            Ok(0) if is_shut_down => {
                return match check_end(&stream) {
                    Ok(()) => Outcome::Closed,
                    Err(error) => Outcome::Lost(os_error::text(&error)),
                };
            }
            Ok(0) => return Outcome::Lost("the server closed it".to_owned()),
            Ok(_) => {}
            Err(error) if is_retryable(&error) => {}
            Err(error) => return Outcome::Lost(os_error::text(&error)),
        }
    }
}

/// Checks the end of the server's output after the last lines were sent. A server that closes before it has read them
/// resets the connection, but read(2) then reports only the end that came before.
///
/// # Errors
/// The reset, if it has arrived. Over a network it may come too late to be seen.
pub(crate) fn check_end(stream: &ClientStream) -> io::Result<()> {
    Ok(rustix::net::sockopt::socket_error(stream)??)
}

impl AbortWatch<'_> {
    fn is_aborted(self) -> bool {
        let mut wake = self.wake;
        while matches!(wake.read(&mut [0; 64]), Ok(1..)) {}
        self.signals.has_fatal() || self.signals.is_interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hubbub::net::transport::PlainStream;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_server_that_closes_without_reading_the_last_lines_loses_them() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        drop(listener.accept().expect("a client"));
        // Waits for the close: only then does the reset come after the end of the input.
        client.peek(&mut [0]).expect("the end of the input");
        client.set_nonblocking(true).expect("a socket");
        let mut buffer = SendBuffer::default();
        buffer.push(b"hi\n");
        let error = leave(ClientStream::Plain(PlainStream::new(client)), buffer, None, None)
            .expect_err("a lost line");
        assert!(error.ends_with(MAY_BE_LOST), "{error}");
    }
}

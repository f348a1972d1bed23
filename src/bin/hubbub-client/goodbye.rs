//! Leaving in order: what was said arrives, or it is told that it may not.

use crate::ready::{self, is_passing};
use crate::signals::Signals;
use crate::speech::Speech;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long the server may take to hear what was said last and to end the connection: it may let each say
/// only some lines a second.
const LONGEST: Duration = Duration::from_secs(30);
/// The same, where nothing was said for so long that it must have been heard.
const SHORTEST: Duration = Duration::from_secs(1);

/// Who may want to leave at once after all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hurry<'a> {
    pub(crate) wake: &'a UnixStream,
    pub(crate) signals: &'a Signals,
}

/// How the waiting ended.
#[derive(Debug)]
enum Outcome {
    /// The server heard all, and ended the connection.
    Heard,
    Broken(String),
    Late,
    Hurried,
}

/// Says what is still to be said, ends the connection, and waits until the server has seen that, until
/// `deadline` at most where there is one.
///
/// Closing at once would reset the connection where something was not read, and what was said just
/// before would be lost. What still comes is not shown.
///
/// # Errors
/// One line that says why not all may have been heard.
pub(crate) fn leave(
    stream: PlainStream,
    mut speech: Speech,
    deadline: Option<Instant>,
    hurry: Option<Hurry<'_>>,
) -> Result<(), String> {
    let is_owed = speech.was_said_within(LONGEST);
    let end = Instant::now() + if is_owed { LONGEST } else { SHORTEST };
    let end = deadline.map_or(end, |deadline| deadline.min(end));
    let why = match wait(stream, &mut speech, end, hurry) {
        Outcome::Heard => return Ok(()),
        _ if !is_owed => return Ok(()),
        Outcome::Broken(why) => format!("connection lost: {why}"),
        Outcome::Late => "the server does not end the connection".to_owned(),
        Outcome::Hurried => "left at once".to_owned(),
    };
    Err(format!("{why}; what was said last may not have arrived"))
}

fn wait(mut stream: PlainStream, speech: &mut Speech, end: Instant, hurry: Option<Hurry<'_>>) -> Outcome {
    let mut has_ended = false;
    let mut buffer = [0; 64 * 1024];
    loop {
        if let Err(error) = speech.send(&mut stream) {
            return Outcome::Broken(os_error::text(&error));
        }
        if !has_ended && speech.owed() == 0 {
            stream.shutdown_write();
            has_ended = true;
        }
        let wanted = if has_ended { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let mut descriptors = vec![PollFd::new(&stream, wanted)];
        descriptors.extend(hurry.map(|hurry| PollFd::new(hurry.wake, PollFlags::IN)));
        match ready::wait(&mut descriptors, Some(end)) {
            // Others may talk without end.
            Ok(true) if Instant::now() < end => {}
            Ok(_) => return Outcome::Late,
            Err(why) => return Outcome::Broken(why),
        }
        if hurry.is_some_and(Hurry::is_wanted) {
            return Outcome::Hurried;
        }
        match stream.read(&mut buffer) {
            Ok(0) if has_ended => return Outcome::Heard,
            Ok(0) => return Outcome::Broken("the server ended it".to_owned()),
            Ok(_) => {}
            Err(error) if is_passing(&error) => {}
            Err(error) => return Outcome::Broken(os_error::text(&error)),
        }
    }
}

impl Hurry<'_> {
    fn is_wanted(self) -> bool {
        let mut wake = self.wake;
        while matches!(wake.read(&mut [0; 64]), Ok(1..)) {}
        self.signals.came() || self.signals.was_interrupted()
    }
}

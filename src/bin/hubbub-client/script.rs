//! Talk without a person: standard input is said, what is heard goes to standard output.
//!
//! One loop waits for the server, standard input and standard output together, so that whichever is slow
//! holds up only what depends on it.

use crate::connect::Place;
use crate::goodbye;
use crate::hearing::{Hearing, TOO_LONG};
use crate::look::Look;
use crate::options::Options;
use crate::output::Output;
use crate::pause::Pause;
use crate::ready::{self, is_passing};
use crate::speech::Speech;
use hubbub::socket::Stream;
use hubbub::{arguments, os_error};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use std::io::{self, IsTerminal, Read, Stdin};
use std::time::Instant;

/// Bytes read at once.
const READ: usize = 64 * 1024;
/// While so many bytes wait to be said or shown, no more are read.
const ENOUGH: usize = 256 * 1024;

/// How it ended, if not as asked.
#[derive(Debug)]
enum Failure {
    /// There is no connection, or no more.
    Lost(String),
    /// Nothing that connecting again would help.
    Other(String),
}

/// Standard input, while it is read.
#[derive(Debug)]
struct Input {
    stdin: Stdin,
    /// Whoever types gets a line out of the terminal at a time.
    is_typed: bool,
    /// Whether the last byte read was no line end.
    is_mid_line: bool,
}

/// One run, whichever connections it takes.
#[derive(Debug)]
struct Script<'a> {
    options: &'a Options,
    look: Look,
    deadline: Option<Instant>,
    input: Option<Input>,
    speech: Speech,
    output: Output,
    wanted: Option<usize>,
}

/// Talks as `options` ask, to the end.
///
/// # Errors
/// One line that says why it did not end as asked.
pub(crate) fn run(options: &Options, look: Look) -> Result<(), String> {
    let mut script = Script::new(options, look);
    let mut pause = Pause::new();
    loop {
        let mut since = None;
        match script.connect_and_talk(&mut since) {
            Ok(()) => return Ok(()),
            Err(Failure::Lost(why)) if options.reconnect && !script.is_late() => {
                let pause = pause.next(since.map(|since: Instant| since.elapsed()).unwrap_or_default());
                let again = format!("{why}; connecting again in {} s", pause.as_secs());
                arguments::complain("hubbub-client", &again);
                if script.rest_until(Instant::now() + pause)? {
                    return Ok(());
                }
            }
            Err(Failure::Lost(why) | Failure::Other(why)) => return Err(why),
        }
    }
}

impl<'a> Script<'a> {
    fn new(options: &'a Options, look: Look) -> Self {
        let mut speech = Speech::default();
        for line in &options.send {
            speech.say(line.as_bytes());
            speech.say(b"\n");
        }
        Self {
            options,
            look,
            deadline: options.timeout.map(|timeout| Instant::now() + timeout),
            input: options.reads().then(Input::new),
            speech,
            output: Output::new(),
            wanted: options.count,
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Waits; true where nobody reads standard output any more.
    fn rest_until(&self, end: Instant) -> Result<bool, String> {
        let end = self.deadline.map_or(end, |deadline| deadline.min(end));
        ready::wait(&mut [PollFd::new(self.output.descriptor(), PollFlags::empty())], Some(end))
    }

    fn connect_and_talk(&mut self, since: &mut Option<Instant>) -> Result<(), Failure> {
        if self.is_late() {
            return Err(self.too_late());
        }
        let place = Place { address: self.options.address.clone(), is_fed: self.options.reads() };
        let stream = match place.connect(self.deadline) {
            Ok(stream) => stream,
            Err(_) if self.is_late() => return Err(self.too_late()),
            Err(why) => return Err(Failure::Lost(why)),
        };
        *since = Some(Instant::now());
        let talk = Talk {
            stream,
            hearing: Hearing::new(self.look, self.wanted),
            has_ended: false,
            is_deaf: false,
            end: None,
            script: self,
        };
        talk.run()
    }

    fn too_late(&self) -> Failure {
        let seconds = self.options.timeout.unwrap_or_default().as_secs_f64();
        Failure::Other(format!("timed out after {seconds} s"))
    }
}

impl Input {
    fn new() -> Self {
        let stdin = io::stdin();
        Self { is_typed: stdin.is_terminal(), stdin, is_mid_line: false }
    }

    /// Reads once; whether there may be more.
    fn read(&mut self, speech: &mut Speech) -> Result<bool, String> {
        let mut buffer = [0; READ];
        let bytes = match rustix::io::read(&self.stdin, &mut buffer) {
            Ok(bytes) => &buffer[..bytes],
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Err(error) => {
                let why = os_error::text(&io::Error::from(error));
                return Err(format!("cannot read standard input: {why}"));
            }
        };
        let is_farewell = self.is_typed && !self.is_mid_line && matches!(bytes, b"exit\n" | b"/quit\n");
        if !(is_farewell && bytes == b"exit\n") {
            speech.say(bytes);
        }
        if let Some(last) = bytes.last() {
            self.is_mid_line = *last != b'\n';
            return Ok(!is_farewell);
        }
        if self.is_mid_line {
            speech.say(b"\n");
        }
        Ok(false)
    }
}

/// One connection of it.
#[derive(Debug)]
struct Talk<'a, 'b> {
    script: &'a mut Script<'b>,
    stream: Stream,
    hearing: Hearing,
    /// We have said that we say no more.
    has_ended: bool,
    /// The server takes nothing more; what it said before is still to be read.
    is_deaf: bool,
    /// How the server's side ended.
    end: Option<Result<(), io::Error>>,
}

impl Talk<'_, '_> {
    fn run(mut self) -> Result<(), Failure> {
        loop {
            self.end_if_all_is_said();
            if !self.script.output.is_owed() {
                if self.hearing.wanted() == Some(0) {
                    // Of one who was turned away nothing was heard.
                    if self.hearing.was_turned_away() {
                        return self.ended(Ok(()));
                    }
                    break;
                }
                if let Some(end) = self.end.take() {
                    return self.ended(end);
                }
            }
            if !self.turn()? {
                break;
            }
        }
        let script = self.script;
        let left = goodbye::leave(self.stream, std::mem::take(&mut script.speech), script.deadline, None);
        left.map_err(|why| if script.is_late() { script.too_late() } else { Failure::Other(why) })
    }

    fn end_if_all_is_said(&mut self) {
        let stays = self.script.options.follow || self.script.options.count.is_some();
        let is_silent = self.script.input.is_none() && self.script.speech.owed() == 0;
        if is_silent && !stays && !self.has_ended {
            self.stream.shutdown_write();
            self.has_ended = true;
        }
    }

    /// The server ended the connection, and all that it said is shown.
    fn ended(&mut self, end: io::Result<()>) -> Result<(), Failure> {
        self.script.wanted = self.hearing.wanted();
        self.script.speech.begin_line_again();
        match end {
            _ if self.hearing.was_turned_away() => {
                Err(Failure::Lost("connection lost: the server took nobody in".to_owned()))
            }
            Ok(()) if self.has_ended && self.script.wanted.is_none() => Ok(()),
            Ok(()) => Err(Failure::Lost("connection lost: the server ended it".to_owned())),
            Err(error) => Err(Failure::Lost(format!("connection lost: {}", os_error::text(&error)))),
        }
    }

    /// Waits for what can be done, and does each once; false where nobody reads standard output any more.
    fn turn(&mut self) -> Result<bool, Failure> {
        let script = &mut *self.script;
        let hears = self.end.is_none() && script.output.owed() < ENOUGH && self.hearing.wanted() != Some(0);
        let speaks = !self.is_deaf && self.end.is_none() && script.speech.owed() > 0;
        let reads = !self.is_deaf && self.end.is_none() && script.speech.owed() < ENOUGH;
        let mut server = PollFlags::empty();
        server.set(PollFlags::IN, hears);
        server.set(PollFlags::OUT, speaks);
        let shows = if script.output.is_owed() { PollFlags::OUT } else { PollFlags::empty() };
        let mut descriptors = vec![PollFd::new(script.output.descriptor(), shows)];
        // What nothing is wanted of would still report its end, again and again.
        if hears || speaks {
            descriptors.push(PollFd::new(&self.stream, server));
        }
        if let Some(input) = script.input.as_ref().filter(|_| reads) {
            descriptors.push(PollFd::new(&input.stdin, PollFlags::IN));
        }
        let in_time = ready::wait(&mut descriptors, script.deadline).map_err(Failure::Other)?;
        let is_ready = |index: usize| !descriptors[index].revents().is_empty();
        let can_show = is_ready(0);
        let server_stirs = (hears || speaks) && is_ready(1);
        let input_stirs = script.input.is_some() && reads && is_ready(1 + usize::from(hears || speaks));
        if !in_time || script.is_late() {
            return Err(script.too_late());
        }
        if input_stirs && let Some(input) = &mut script.input {
            let may_be_more = input.read(&mut script.speech).map_err(Failure::Other)?;
            script.input = script.input.take().filter(|_| may_be_more);
        }
        if server_stirs && speaks && script.speech.send(&mut self.stream).is_err() {
            self.is_deaf = true;
        }
        if server_stirs && hears {
            self.hear();
        }
        if can_show { self.script.output.write().map_err(Failure::Other) } else { Ok(true) }
    }

    fn hear(&mut self) {
        let mut buffer = [0; READ];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.hearing.finish(self.script.output.buffer());
                self.end = Some(Ok(()));
            }
            Ok(bytes) => self.hearing.hear(&buffer[..bytes], self.script.output.buffer()),
            Err(error) if is_passing(&error) => {}
            Err(error) => self.end = Some(Err(error)),
        }
        for _ in 0..self.hearing.too_long() {
            arguments::complain("hubbub-client", TOO_LONG);
        }
    }
}

//! Talk without a person: standard input is said, what is heard goes to standard output.
//!
//! One loop waits for the server, standard input and standard output together, so that whichever is slow
//! holds up only what depends on it.

use crate::connect::Place;
use crate::goodbye;
use crate::hearing::{Hearing, TOO_LONG};
use crate::input::Input;
use crate::look::Look;
use crate::options::Options;
use crate::output::Output;
use crate::pause::Pause;
use crate::ready::{self, is_passing};
use crate::speech::Speech;
use hubbub::cli::args;
use hubbub::net::transport::PlainStream;
use hubbub::util::os_error;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, Read};
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
                args::complain("hubbub-client", &again);
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

/// One connection of it.
#[derive(Debug)]
struct Talk<'a, 'b> {
    script: &'a mut Script<'b>,
    stream: PlainStream,
    hearing: Hearing,
    /// We have said that we say no more.
    has_ended: bool,
    /// The server takes nothing more; what it said before is still to be read.
    is_deaf: bool,
    /// How the server's side ended.
    end: Option<Result<(), io::Error>>,
}

/// What may be done now.
#[derive(Debug, Clone, Copy)]
struct Wants {
    hears: bool,
    speaks: bool,
    reads: bool,
}

/// What can be done now, or has ended.
#[derive(Debug, Clone, Copy)]
struct Stirs {
    output: bool,
    server: bool,
    input: bool,
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
        let has_quit = self.hearing.has_name() && self.script.speech.has_quit();
        let was_let_go = self.has_ended || has_quit;
        self.script.speech.begin_line_again();
        match end {
            _ if self.hearing.was_turned_away() => {
                Err(Failure::Lost("connection lost: the server took nobody in".to_owned()))
            }
            Ok(()) if was_let_go && self.script.wanted.is_none() => Ok(()),
            Ok(()) => Err(Failure::Lost("connection lost: the server ended it".to_owned())),
            Err(error) => Err(Failure::Lost(format!("connection lost: {}", os_error::text(&error)))),
        }
    }

    /// Waits for what can be done, and does each once; false where nobody reads standard output any more.
    fn turn(&mut self) -> Result<bool, Failure> {
        let wants = self.wants();
        let stirs = self.wait(wants)?;
        if stirs.input {
            self.read()?;
        }
        if stirs.server && wants.speaks && self.script.speech.send(&mut self.stream).is_err() {
            self.is_deaf = true;
        }
        if stirs.server && wants.hears {
            self.hear();
        }
        if stirs.output { self.script.output.write().map_err(Failure::Other) } else { Ok(true) }
    }

    fn wants(&self) -> Wants {
        let script = &self.script;
        let takes = !self.is_deaf && self.end.is_none();
        let has_room = script.output.owed() < ENOUGH && self.hearing.wanted() != Some(0);
        Wants {
            hears: self.end.is_none() && has_room,
            speaks: takes && script.speech.owed() > 0,
            reads: takes && script.speech.owed() < ENOUGH,
        }
    }

    /// Waits until something of that can be done; what stirs.
    fn wait(&self, wants: Wants) -> Result<Stirs, Failure> {
        let script = &self.script;
        let mut talk = PollFlags::empty();
        talk.set(PollFlags::IN, wants.hears);
        talk.set(PollFlags::OUT, wants.speaks);
        let shows = if script.output.is_owed() { PollFlags::OUT } else { PollFlags::empty() };
        // What nothing is wanted of would still report its end, again and again: standard output, whose end
        // is always of interest, stands in for it.
        let output = |wanted| PollFd::new(script.output.descriptor(), wanted);
        let server = if talk.is_empty() { output(talk) } else { PollFd::new(&self.stream, talk) };
        let input = match &script.input {
            Some(input) if wants.reads => PollFd::new(input.descriptor(), PollFlags::IN),
            _ => output(PollFlags::empty()),
        };
        let mut descriptors = [output(shows), server, input];
        let in_time = ready::wait(&mut descriptors, script.deadline).map_err(Failure::Other)?;
        if !in_time || script.is_late() {
            return Err(script.too_late());
        }
        let [output, server, input] = descriptors.map(|descriptor| !descriptor.revents().is_empty());
        Ok(Stirs {
            output,
            server: server && !talk.is_empty(),
            input: input && wants.reads && script.input.is_some(),
        })
    }

    fn read(&mut self) -> Result<(), Failure> {
        let Script { input, speech, .. } = &mut *self.script;
        if let Some(open) = input
            && !open.read(speech).map_err(Failure::Other)?
        {
            *input = None;
        }
        Ok(())
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
            args::complain("hubbub-client", TOO_LONG);
        }
    }
}

//! Who hears what, and who may speak how much while others are slow.

mod letters;
mod space;

pub use letters::Letter;

use crate::command::{Command, is_all_blank};
use crate::counters::count;
use crate::feed::{Cursor, Feed, Full};
use crate::framing::{Rules, text};
use crate::hall::Hall;
use crate::pace::Rate;
use crate::people::People;
use crate::roster::Key;
use crate::view::{Told, View};
use std::fmt;
use std::io;
use std::time::Duration;

/// What a room is made with.
#[derive(Debug, Clone)]
pub struct Manners {
    /// What holds for every sender.
    pub rules: Rules,
    /// The views that have a listener; at least one.
    pub views: Vec<View>,
    /// Bytes of each view's feed.
    pub feed: usize,
    /// Lines of each view that newcomers hear of what was said before.
    pub history: usize,
    /// Said to each newcomer; empty for nothing.
    pub welcome: String,
    /// How long the room waits for a slow reader.
    pub stall_timeout: Duration,
    /// How fast one sender may say lines, if there is a limit.
    pub rate: Option<Rate>,
    /// Tells the time of day, as the json view shows it.
    pub time_of_day: fn() -> String,
}

/// Everyone's lines in one order, and the patience with those who lag.
#[derive(Debug)]
pub struct Room {
    halls: Vec<Hall>,
    /// Which of the halls is each view's.
    hall_of: [usize; View::ALL.len()],
    manners: Manners,
    /// Who is here, if any view has names.
    people: Option<People>,
    letter: Option<Letter>,
    /// How often something was told to all.
    told: u64,
    relayed: Relayed,
}

/// One who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    /// Who.
    pub key: Key,
    /// How the room is shown to them.
    pub view: View,
}

/// What the room has for one who spoke, beside telling the others.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    None,
    /// Lines for them alone.
    Lines(Vec<u8>),
    /// They asked to leave.
    Quit,
}

/// What went into the feeds since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// Messages.
    pub lines: u64,
    /// Their bytes as shown, line ends included.
    pub bytes: u64,
    /// Lines refused as too long.
    pub too_long: u64,
}

impl fmt::Display for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) relayed", count(self.lines, "line"), count(self.bytes, "byte"))?;
        if self.too_long > 0 {
            write!(f, ", {} too long", self.too_long)?;
        }
        Ok(())
    }
}

impl Room {
    /// At most so much of the feed can be one line, so that a line always finds room, even made of
    /// controls, beside a reader who is half a feed behind and whom nobody may cut for that.
    pub const LINES_PER_FEED: usize = 16;

    /// An empty room.
    ///
    /// # Errors
    /// The system has not as much memory as the feeds may take.
    pub fn new(manners: Manners) -> io::Result<Self> {
        let mut halls = Vec::new();
        let mut hall_of = [0; View::ALL.len()];
        for view in View::ALL.into_iter().filter(|view| manners.views.contains(view)) {
            hall_of[view.index()] = halls.len();
            halls.push(Hall::new(view, manners.feed, manners.history > 0, manners.rules.raw)?);
        }
        let has_names = manners.views.iter().any(|view| view.has_names());
        Ok(Self {
            halls,
            hall_of,
            manners,
            people: has_names.then(People::default),
            letter: None,
            told: 0,
            relayed: Relayed::default(),
        })
    }

    /// What holds for every sender.
    pub const fn rules(&self) -> &Rules {
        &self.manners.rules
    }

    /// How fast one sender may say lines, if there is a limit.
    pub const fn rate(&self) -> Option<Rate> {
        self.manners.rate
    }

    /// The lines as a view shows them, for its readers.
    pub fn feed(&self, view: View) -> &Feed {
        self.halls[self.hall_of[view.index()]].feed()
    }

    /// What went into the feeds so far.
    pub const fn relayed(&self) -> Relayed {
        self.relayed
    }

    /// How often anything was told to all: when it changes, there is something to write.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// Whether people have names here, and hear who comes and goes.
    pub const fn has_names(&self) -> bool {
        self.people.is_some()
    }

    /// Takes in a newcomer; returns its place and what it is told: whole lines, or nothing.
    pub fn join(&mut self, speaker: Speaker) -> (Cursor, Vec<u8>) {
        if let Some(people) = &mut self.people {
            people.join(speaker.key);
        }
        let told =
            Told::Welcome { text: &self.manners.welcome, name: self.name(speaker.key), here: self.here() };
        let lines = self.lines(speaker.view, &told);
        (self.halls[self.hall_of[speaker.view.index()]].join(self.manners.history), lines)
    }

    /// Tells the others that someone has come, unless they know.
    pub fn announce(&mut self, speaker: Speaker, cursor: &mut Cursor) {
        if let Some(name) = self.people.as_mut().and_then(|people| people.announce(speaker.key)) {
            self.notify(Some((speaker.view, cursor)), &Told::Joined { name: &name, here: self.here() });
        }
    }

    /// Someone has gone or said goodbye; tells the others, if they knew.
    pub fn leave(&mut self, key: Key) {
        if let Some(name) = self.people.as_mut().and_then(|people| people.leave(key)) {
            self.notify(None, &Told::Left { name: &name });
        }
    }

    /// Why the server does not do something, as a view shows it.
    pub fn error(&self, view: View, told: &str) -> Vec<u8> {
        self.lines(view, &Told::Error(told))
    }

    /// Does what a line asks for: mostly, tells everyone else.
    ///
    /// # Errors
    /// [`Full`] where more was read than [`may_read`](Self::may_read) allowed; not all are told.
    pub fn hear(&mut self, speaker: Speaker, cursor: &mut Cursor, line: &[u8]) -> Result<Answer, Full> {
        if !speaker.view.has_names() {
            return self.say(speaker, cursor, line, false);
        }
        match Command::read(line) {
            Command::Say(text) => self.say(speaker, cursor, text, false),
            Command::Act(text) if is_all_blank(text) => {
                Ok(self.refuse(speaker, "/me needs what you do: /me waves"))
            }
            Command::Act(text) => self.say(speaker, cursor, text, true),
            Command::Nick(name) => Ok(self.rename(speaker, cursor, name)),
            Command::Message { to, text } => Ok(self.post(speaker, to, text)),
            Command::Who => {
                let list = self.people.as_mut().map(|people| people.list().to_owned()).unwrap_or_default();
                Ok(Answer::Lines(self.lines(speaker.view, &Told::Notice(&list))))
            }
            Command::Help => Ok(Answer::Lines(self.lines(speaker.view, &Told::Notice(Command::HELP)))),
            Command::Quit => Ok(Answer::Quit),
            Command::Nothing => Ok(Answer::None),
        }
    }

    fn say(
        &mut self,
        speaker: Speaker,
        cursor: &mut Cursor,
        line: &[u8],
        is_action: bool,
    ) -> Result<Answer, Full> {
        let shown = self.safe(line);
        let bytes = shown.len() as u64 + 1;
        if let Some(people) = &mut self.people {
            let name = people.speak(speaker.key).to_owned();
            self.tell(Some((speaker.view, cursor)), &Told::Message { from: &name, text: &shown, is_action })?;
        } else {
            // The plain view alone, where a message is what was said.
            self.halls[0].append(cursor, &shown)?;
            self.told += 1;
        }
        self.relayed.lines += 1;
        self.relayed.bytes += bytes;
        Ok(Answer::None)
    }

    /// Tells everyone but the author.
    fn tell(&mut self, mut author: Option<(View, &mut Cursor)>, told: &Told<'_>) -> Result<(), Full> {
        let at = self.time_of_day();
        let mut result = Ok(());
        for hall in &mut self.halls {
            match hall.tell(in_view(&mut author, hall.view()), told, &at) {
                Ok(is_told) => self.told += u64::from(is_told),
                Err(full) => result = Err(full),
            }
        }
        result
    }

    /// Tells everyone but whom it is about of a change among the people.
    fn notify(&mut self, mut whom: Option<(View, &mut Cursor)>, told: &Told<'_>) {
        let at = self.time_of_day();
        for hall in &mut self.halls {
            self.told += u64::from(hall.notify(in_view(&mut whom, hall.view()), told, &at));
        }
    }

    /// The time of day, where a view shows it.
    fn time_of_day(&self) -> String {
        let has_times = self.halls.iter().any(|hall| hall.view() == View::Json);
        if has_times { (self.manners.time_of_day)() } else { String::new() }
    }

    fn rename(&mut self, speaker: Speaker, cursor: &mut Cursor, name: &[u8]) -> Answer {
        let Some(people) = &mut self.people else { return Answer::None };
        let shown = text::safe(name);
        let name = String::from_utf8_lossy(&shown);
        let old = match people.rename(speaker.key, &name) {
            Ok(old) => old,
            Err(unfit) => return self.refuse(speaker, &unfit.told(shortened(&name))),
        };
        let name = people.name(speaker.key).to_owned();
        if old != name {
            self.tell_new_name(speaker, cursor, &old, &name);
        }
        Answer::Lines(self.lines(speaker.view, &Told::Notice(&format!("you are {name} now"))))
    }

    /// Tells the others of a new name, where they know the old one: of whom they were told, or who spoke.
    fn tell_new_name(&mut self, speaker: Speaker, cursor: &mut Cursor, old: &str, new: &str) {
        let Some(people) = &mut self.people else { return };
        let becomes_known = people.has_spoken(speaker.key) && people.announce(speaker.key).is_some();
        let is_known = people.is_announced(speaker.key);
        if becomes_known {
            let here = self.here();
            self.notify(Some((speaker.view, cursor)), &Told::Joined { name: old, here });
        }
        if is_known {
            self.notify(Some((speaker.view, cursor)), &Told::Renamed { old, new });
        }
    }

    fn refuse(&self, speaker: Speaker, told: &str) -> Answer {
        Answer::Lines(self.error(speaker.view, told))
    }

    /// How many are here, where people have names.
    fn here(&self) -> usize {
        self.people.as_ref().map_or(0, People::count)
    }

    fn name(&self, key: Key) -> &str {
        self.people.as_ref().map_or("", |people| people.name(key))
    }

    fn safe<'a>(&self, line: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        if self.manners.rules.raw { line.into() } else { text::safe(line) }
    }

    /// What is told in a view, with its line end, or nothing.
    fn lines(&self, view: View, told: &Told<'_>) -> Vec<u8> {
        let at = if view == View::Json { (self.manners.time_of_day)() } else { String::new() };
        view.line(told, &at).map_or_else(Vec::new, |line| [&line, &b"\n"[..]].concat())
    }

    /// Counts a line that was too long to be told, and returns what its sender is told.
    pub fn refuse_line(&mut self) -> String {
        self.relayed.too_long += 1;
        let most = count(self.manners.rules.max_line as u64, "byte");
        format!("that line was too long and nobody saw it: {most} is the most")
    }
}

/// The place of one whom something is from or about, where they read in that view.
fn in_view<'a>(one: &'a mut Option<(View, &mut Cursor)>, view: View) -> Option<&'a mut Cursor> {
    one.as_mut().filter(|(of, _)| *of == view).map(|(_, cursor)| &mut **cursor)
}

/// The beginning of what cannot be a name, for an answer.
fn shortened(name: &str) -> &str {
    const MOST: usize = 40;
    name.char_indices().nth(MOST).map_or(name, |(end, _)| &name[..end])
}

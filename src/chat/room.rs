//! Who hears what, and who may speak how much while others are slow.

mod private;
mod space;

pub use private::PrivateMessage;

use crate::broadcast::channel::Channel;
use crate::broadcast::feed::{Cursor, Feed, FeedFull};
use crate::broadcast::pace::RateLimit;
use crate::chat::command::{Command, is_all_blank};
use crate::chat::event::Event;
use crate::chat::members::Members;
use crate::clients::stats::count;
use crate::util::id_slab::ClientId;
use crate::wire::escape;
use crate::wire::line_decoder::LineRules;
use crate::wire::view::View;
use std::fmt;
use std::io;
use std::time::Duration;

/// What a room is made with.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// What holds for every sender.
    pub rules: LineRules,
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
    pub rate: Option<RateLimit>,
    /// Tells the time of day, as the json view shows it.
    pub time_of_day: fn() -> String,
}

/// Everyone's lines in one order, and the patience with those who lag.
#[derive(Debug)]
pub struct Room {
    channels: Vec<Channel>,
    /// Which of the channels is each view's.
    channel_of: [usize; View::ALL.len()],
    config: RoomConfig,
    /// Who is here, if any view has names.
    members: Option<Members>,
    letter: Option<PrivateMessage>,
    /// How often something was told to all.
    told: u64,
    relayed: RelayStats,
}

/// One who speaks.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// Who.
    pub key: ClientId,
    /// How the room is shown to them.
    pub view: View,
}

/// What the room has for one who spoke, beside telling the others.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    None,
    /// Lines for them alone.
    Lines(Vec<u8>),
    /// They asked to leave.
    Quit,
}

/// What went into the feeds since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RelayStats {
    /// Messages.
    pub lines: u64,
    /// Their bytes as shown, line ends included.
    pub bytes: u64,
    /// Lines refused as too long.
    pub too_long: u64,
}

impl fmt::Display for RelayStats {
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
    pub fn new(config: RoomConfig) -> io::Result<Self> {
        let mut channels = Vec::new();
        let mut channel_of = [0; View::ALL.len()];
        for view in View::ALL.into_iter().filter(|view| config.views.contains(view)) {
            channel_of[view.index()] = channels.len();
            channels.push(Channel::new(view, config.feed, config.history > 0, config.rules.raw)?);
        }
        let has_names = config.views.iter().any(|view| view.has_names());
        Ok(Self {
            channels,
            channel_of,
            config,
            members: has_names.then(Members::default),
            letter: None,
            told: 0,
            relayed: RelayStats::default(),
        })
    }

    /// What holds for every sender.
    pub const fn rules(&self) -> &LineRules {
        &self.config.rules
    }

    /// How fast one sender may say lines, if there is a limit.
    pub const fn rate(&self) -> Option<RateLimit> {
        self.config.rate
    }

    /// The lines as a view shows them, for its readers.
    pub fn feed(&self, view: View) -> &Feed {
        self.channels[self.channel_of[view.index()]].feed()
    }

    /// What went into the feeds so far.
    pub const fn relayed(&self) -> RelayStats {
        self.relayed
    }

    /// How often anything was told to all: when it changes, there is something to write.
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// Whether people have names here, and hear who comes and goes.
    pub const fn has_names(&self) -> bool {
        self.members.is_some()
    }

    /// Takes in a newcomer; returns its place and what it is told: whole lines, or nothing.
    pub fn join(&mut self, speaker: Sender) -> (Cursor, Vec<u8>) {
        if let Some(members) = &mut self.members {
            members.join(speaker.key);
        }
        let told =
            Event::Welcome { text: &self.config.welcome, name: self.name(speaker.key), here: self.here() };
        let lines = self.lines(speaker.view, &told);
        (self.channels[self.channel_of[speaker.view.index()]].join(self.config.history), lines)
    }

    /// Tells the others that someone has come, unless they know.
    pub fn announce(&mut self, speaker: Sender, cursor: &mut Cursor) {
        if let Some(name) = self.members.as_mut().and_then(|members| members.announce(speaker.key)) {
            self.notify(Some((speaker.view, cursor)), &Event::Joined { name: &name, here: self.here() });
        }
    }

    /// Someone has gone or said close_reason; tells the others, if they knew.
    pub fn leave(&mut self, key: ClientId) {
        if let Some(name) = self.members.as_mut().and_then(|members| members.leave(key)) {
            self.notify(None, &Event::Left { name: &name });
        }
    }

    /// Why the server does not do something, as a view shows it.
    pub fn error(&self, view: View, told: &str) -> Vec<u8> {
        self.lines(view, &Event::Error(told))
    }

    /// Does what a line asks for: mostly, tells everyone else.
    ///
    /// # Errors
    /// [`FeedFull`] where more was read than [`may_read`](Self::may_read) allowed; not all are told.
    pub fn hear(&mut self, speaker: Sender, cursor: &mut Cursor, line: &[u8]) -> Result<Reply, FeedFull> {
        if !speaker.view.has_names() {
            return self.say(speaker, cursor, line, false);
        }
        match Command::read(line) {
            Command::Say(text) => self.say(speaker, cursor, text, false),
            Command::Action(text) if is_all_blank(text) => {
                Ok(self.refuse(speaker, "/me needs what you do: /me waves"))
            }
            Command::Action(text) => self.say(speaker, cursor, text, true),
            Command::Nick(name) => Ok(self.rename(speaker, cursor, name)),
            Command::Private { to, text } => Ok(self.post(speaker, to, text)),
            Command::Who => {
                let list = self.members.as_mut().map(|members| members.list().to_owned()).unwrap_or_default();
                Ok(Reply::Lines(self.lines(speaker.view, &Event::Notice(&list))))
            }
            Command::Help => Ok(Reply::Lines(self.lines(speaker.view, &Event::Notice(Command::HELP)))),
            Command::Quit => Ok(Reply::Quit),
            Command::Blank => Ok(Reply::None),
        }
    }

    fn say(
        &mut self,
        speaker: Sender,
        cursor: &mut Cursor,
        line: &[u8],
        is_action: bool,
    ) -> Result<Reply, FeedFull> {
        let shown = self.safe(line);
        let bytes = shown.len() as u64 + 1;
        if let Some(members) = &mut self.members {
            let name = members.speak(speaker.key).to_owned();
            self.tell(
                Some((speaker.view, cursor)),
                &Event::Message { from: &name, text: &shown, is_action },
            )?;
        } else {
            // The plain view alone, where a message is what was said.
            self.channels[0].append(cursor, &shown)?;
            self.told += 1;
        }
        self.relayed.lines += 1;
        self.relayed.bytes += bytes;
        Ok(Reply::None)
    }

    /// Tells everyone but the author.
    fn tell(&mut self, mut author: Option<(View, &mut Cursor)>, told: &Event<'_>) -> Result<(), FeedFull> {
        let at = self.time_of_day();
        let mut result = Ok(());
        for hall in &mut self.channels {
            match hall.tell(in_view(&mut author, hall.view()), told, &at) {
                Ok(can_write) => self.told += u64::from(can_write),
                Err(full) => result = Err(full),
            }
        }
        result
    }

    /// Tells everyone but whom it is about of a change among the members.
    fn notify(&mut self, mut whom: Option<(View, &mut Cursor)>, told: &Event<'_>) {
        let at = self.time_of_day();
        for hall in &mut self.channels {
            self.told += u64::from(hall.notify(in_view(&mut whom, hall.view()), told, &at));
        }
    }

    /// The time of day, where a view shows it.
    fn time_of_day(&self) -> String {
        let has_times = self.channels.iter().any(|hall| hall.view() == View::Json);
        if has_times { (self.config.time_of_day)() } else { String::new() }
    }

    fn rename(&mut self, speaker: Sender, cursor: &mut Cursor, name: &[u8]) -> Reply {
        let Some(members) = &mut self.members else { return Reply::None };
        let shown = escape::escape(name);
        let name = String::from_utf8_lossy(&shown);
        let old = match members.rename(speaker.key, &name) {
            Ok(old) => old,
            Err(unfit) => return self.refuse(speaker, &unfit.told(shortened(&name))),
        };
        let name = members.name(speaker.key).to_owned();
        if old != name {
            self.tell_new_name(speaker, cursor, &old, &name);
        }
        Reply::Lines(self.lines(speaker.view, &Event::Notice(&format!("you are {name} now"))))
    }

    /// Tells the others of a new name, where they know the old one: of whom they were told, or who spoke.
    fn tell_new_name(&mut self, speaker: Sender, cursor: &mut Cursor, old: &str, new: &str) {
        let Some(members) = &mut self.members else { return };
        let becomes_known = members.has_spoken(speaker.key) && members.announce(speaker.key).is_some();
        let is_known = members.is_announced(speaker.key);
        if becomes_known {
            let here = self.here();
            self.notify(Some((speaker.view, cursor)), &Event::Joined { name: old, here });
        }
        if is_known {
            self.notify(Some((speaker.view, cursor)), &Event::Renamed { old, new });
        }
    }

    fn refuse(&self, speaker: Sender, told: &str) -> Reply {
        Reply::Lines(self.error(speaker.view, told))
    }

    /// How many are here, where people have names.
    fn here(&self) -> usize {
        self.members.as_ref().map_or(0, Members::count)
    }

    fn name(&self, key: ClientId) -> &str {
        self.members.as_ref().map_or("", |members| members.name(key))
    }

    fn safe<'a>(&self, line: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        if self.config.rules.raw { line.into() } else { escape::escape(line) }
    }

    /// What is told in a view, with its line end, or nothing.
    fn lines(&self, view: View, told: &Event<'_>) -> Vec<u8> {
        let at = if view == View::Json { (self.config.time_of_day)() } else { String::new() };
        view.render(told, &at).map_or_else(Vec::new, |line| [&line, &b"\n"[..]].concat())
    }

    /// Counts a line that was too long to be told, and returns what its sender is told.
    pub fn count_too_long(&mut self) -> String {
        self.relayed.too_long += 1;
        let most = count(self.config.rules.max_line as u64, "byte");
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

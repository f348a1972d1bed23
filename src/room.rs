//! Who hears what, and who may speak how much while others are slow.

use crate::clock::Moment;
use crate::counters::count;
use crate::feed::{Cursor, Feed, Full, Mark};
use crate::framing::{Rules, text};
use crate::pace::{Pace, Rate};
use std::fmt;
use std::io;
use std::time::Duration;

/// How a listener shows the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A welcome line, then other people's lines and nothing else.
    Plain,
}

impl View {
    /// The name on the command line and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
        }
    }

    /// The view of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        (name == Self::Plain.name()).then_some(Self::Plain)
    }
}

/// What a room is made with.
#[derive(Debug, Clone)]
pub struct Manners {
    /// What holds for every sender.
    pub rules: Rules,
    /// Bytes of the feed.
    pub feed: usize,
    /// Said to each newcomer; empty for nothing.
    pub welcome: String,
    /// How long the room waits for a slow reader.
    pub stall_timeout: Duration,
    /// How fast one sender may say lines, if there is a limit.
    pub rate: Option<Rate>,
}

/// Everyone's lines in one order, and the patience with those who lag.
#[derive(Debug)]
pub struct Room {
    feed: Feed,
    manners: Manners,
    wait: Option<Wait>,
    relayed: Relayed,
}

/// What went into the feed since the start.
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

/// Senders wait because somebody reads slowly: until the slowest has reached the mark.
#[derive(Debug)]
struct Wait {
    mark: Mark,
    /// Waited before `since`.
    waited: Duration,
    /// Waiting goes on since then; `None` while nobody has anything to say.
    since: Option<Moment>,
}

impl Room {
    /// At most so much of the feed can be one line, so that a line always finds room, even made of
    /// controls, beside a reader who is half a feed behind and whom nobody may cut for that.
    pub const LINES_PER_FEED: usize = 16;
    /// This part of the feed is kept for people while a flood waits.
    const KEPT_FOR_PEOPLE: usize = 8;
    /// Who said less than this lately is a person, in bytes and in bytes a second: a typed line, however
    /// long. As many as 60 of them fit into what 1 MiB keeps for people.
    const QUIET: usize = 2048;
    /// At least so many of them fit into what a smaller feed keeps.
    const FEWEST_PEOPLE: usize = 8;
    /// While a flood waits, one person's read takes at most such a share of what is left for people, so
    /// that many who turn out to be floods do not use it up; but not less than a typed line.
    const SHARES: usize = 8;
    /// Bytes of a typed line, generously.
    const TYPED: usize = 512;
    /// A flood is not read for less than this part of the feed, 16 KiB of 1 MiB: it waits until there
    /// is room for a read that is worth its call.
    const LEAST_READ: usize = 64;

    /// An empty room.
    ///
    /// # Errors
    /// The system has not as much memory as the feed may take.
    pub fn new(manners: Manners) -> io::Result<Self> {
        Ok(Self { feed: Feed::new(manners.feed)?, manners, wait: None, relayed: Relayed::default() })
    }

    /// What holds for every sender.
    pub const fn rules(&self) -> &Rules {
        &self.manners.rules
    }

    /// How fast one sender may say lines, if there is a limit.
    pub const fn rate(&self) -> Option<Rate> {
        self.manners.rate
    }

    /// The lines, for their readers.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// What went into the feed so far.
    pub const fn relayed(&self) -> Relayed {
        self.relayed
    }

    /// What a newcomer is told: whole lines, or nothing.
    pub fn welcome(&self) -> Vec<u8> {
        match self.manners.welcome.as_str() {
            "" => Vec::new(),
            welcome => format!("{welcome}\n").into_bytes(),
        }
    }

    /// What the server itself says, as this view shows it.
    pub fn notice(&self, told: &str) -> Vec<u8> {
        format!("* {told}\n").into_bytes()
    }

    /// Tells everyone but `author` a line.
    ///
    /// # Errors
    /// [`Full`] where more was read than [`may_read`](Self::may_read) allowed; nobody is told.
    pub fn say(&mut self, author: &mut Cursor, line: &[u8]) -> Result<(), Full> {
        let shown = if self.manners.rules.raw { line.into() } else { text::safe(line) };
        self.feed.append(author, &shown)?;
        self.relayed.lines += 1;
        self.relayed.bytes += shown.len() as u64 + 1;
        Ok(())
    }

    /// Counts a line that was too long to be told, and returns what its sender is told.
    pub fn refuse_line(&mut self) -> String {
        self.relayed.too_long += 1;
        let most = count(self.manners.rules.max_line as u64, "byte");
        format!("that line was too long and nobody saw it: {most} is the most")
    }

    /// How many bytes may be read from a sender who has `held` bytes of an unfinished line, so that
    /// all of it, made safe to show, is sure to find room; 0 where the sender has to wait.
    pub fn may_read(&self, pace: &Pace, held: usize, now: Moment) -> usize {
        let room = self.feed.room();
        let flood = self.readable_in_a_flood(held);
        if flood > 0 {
            return flood;
        }
        let quiet = self.quiet();
        // Whoever comes anew each time may use half of what is kept, and no more.
        let for_others = if pace.is_new(now) { self.feed.size() / Self::KEPT_FOR_PEOPLE / 2 } else { 0 };
        let left = self.readable(room.saturating_sub(for_others), held);
        if pace.is_one_line(held, quiet, now) {
            // The rest of a line that a person began, and its line end.
            left.min((self.manners.rules.max_line + 2).saturating_sub(held))
        } else if pace.is_quiet(quiet, now) {
            (left / Self::SHARES).max(left.min(Self::TYPED)).min(quiet)
        } else {
            0
        }
    }

    /// Whether senders who wait for room may try again.
    pub fn has_room_for_a_flood(&self) -> bool {
        self.readable_in_a_flood(0) > 0
    }

    /// Bytes that may be read from a sender however much it says.
    fn readable_in_a_flood(&self, held: usize) -> usize {
        let kept = self.feed.size() / Self::KEPT_FOR_PEOPLE;
        let bytes = self.readable(self.feed.room().saturating_sub(kept), held);
        if bytes >= (self.feed.size() / Self::LEAST_READ).max(1) { bytes } else { 0 }
    }

    /// Whether an unfinished line of `held` bytes finds room.
    pub fn has_room_for(&self, held: usize) -> bool {
        self.feed.room() > held.saturating_mul(self.expansion())
    }

    /// Bytes a second that a person does not exceed.
    pub fn quiet(&self) -> usize {
        Self::QUIET.min(self.feed.size() / Self::KEPT_FOR_PEOPLE / Self::FEWEST_PEOPLE).max(1)
    }

    fn readable(&self, room: usize, held: usize) -> usize {
        // What is read may end the held line, become escapes, and lack its last line end.
        (room.saturating_sub(1) / self.expansion()).saturating_sub(held)
    }

    const fn expansion(&self) -> usize {
        if self.manners.rules.raw { 1 } else { text::EXPANSION }
    }

    /// Gives the memory that a burst took back to the system.
    pub fn give_back(&mut self) {
        self.feed.give_back();
    }

    /// Forgets what none of `readers` lacks: give it every reader that is behind.
    pub fn release<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) {
        self.feed.release(readers);
    }

    /// Notes whether senders have to wait for readers; returns when the room's patience ends.
    pub fn wait(&mut self, senders_wait: bool, now: Moment) -> Option<Moment> {
        self.wait.take_if(|wait| self.feed.has_reached(wait.mark));
        if senders_wait {
            let mark = self.feed.half_a_feed_on();
            let wait = self.wait.get_or_insert(Wait { mark, waited: Duration::ZERO, since: None });
            let since = *wait.since.get_or_insert(now);
            return Some(since.after(self.manners.stall_timeout.saturating_sub(wait.waited)));
        }
        if let Some(wait) = &mut self.wait
            && let Some(since) = wait.since.take()
        {
            wait.waited += now.since(since);
        }
        None
    }

    /// The place that readers had to reach, once the room has waited for it long enough.
    pub fn patience_ended(&mut self, now: Moment) -> Option<Mark> {
        let timeout = self.manners.stall_timeout;
        self.wait
            .take_if(|wait| wait.since.is_some_and(|since| wait.waited + now.since(since) >= timeout))
            .map(|wait| wait.mark)
    }
}

//! One view's feed, how much still finds room in it, and the patience with its slow readers.

use crate::broadcast::feed::{Cursor, Feed, FeedFull, Offset};
use crate::chat::event::Event;
use crate::util::clock::Moment;
use crate::wire::view::View;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Everything that those hear who listen in one view.
#[derive(Debug)]
pub struct Channel {
    view: View,
    raw: bool,
    feed: Feed,
    wait: Option<Wait>,
    /// Notices that found no room, in their order: told once there is some.
    missed: VecDeque<Vec<u8>>,
    /// How many more there were than are kept, and when the last was.
    uncounted: Option<(u64, String)>,
}

/// Notices that are kept while there is no room for them: as many as come and go while a stuck reader is
/// waited for, unless they do it for nothing else. Those beyond are counted, and told as one.
const MOST_MISSED: usize = 4096;

/// Senders wait because somebody reads slowly: until the slowest has reached the mark.
#[derive(Debug)]
struct Wait {
    mark: Offset,
    /// Waited before `since`.
    waited: Duration,
    /// Waiting goes on since then; `None` while nobody has anything to say.
    since: Option<Moment>,
}

/// How much can be said so that all of it is sure to find room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub bytes: usize,
    /// Lines.
    pub lines: usize,
}

impl Space {
    /// No end of it.
    pub const ENDLESS: Self = Self { bytes: usize::MAX, lines: usize::MAX };
    /// None.
    pub const NONE: Self = Self { bytes: 0, lines: 0 };

    /// What fits into both.
    pub fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), lines: self.lines.min(other.lines) }
    }

    /// Whether a line can end in it.
    pub const fn is_some(self) -> bool {
        self.bytes > 0 && self.lines > 0
    }
}

impl Channel {
    /// An empty one with a feed of `size` bytes, which newcomers may join some lines back or not.
    ///
    /// # Errors
    /// The system has not as much memory as the feed may take.
    pub fn new(view: View, size: usize, has_history: bool, raw: bool) -> io::Result<Self> {
        let feed = if has_history { Feed::with_history(size)? } else { Feed::new(size)? };
        Ok(Self { view, raw, feed, wait: None, missed: VecDeque::new(), uncounted: None })
    }

    /// How it shows the room.
    pub const fn view(&self) -> View {
        self.view
    }

    /// The place of a reader who is owed the last `lines` lines.
    pub fn join(&mut self, lines: usize) -> Cursor {
        self.feed.join_with_history(lines)
    }

    /// The lines, for their readers.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Tells everyone here but the `author`, if it is here; whether this view tells such things at all.
    ///
    /// # Errors
    /// [`FeedFull`] where the feed has no room for it; nobody is told.
    pub fn tell(
        &mut self,
        author: Option<&mut Cursor>,
        told: &Event<'_>,
        at: &str,
    ) -> Result<bool, FeedFull> {
        match self.view.render(told, at) {
            Some(line) => self.feed.append(author, &line).map(|()| true),
            None => Ok(false),
        }
    }

    /// Tells everyone here but the author of a change that matters to those who keep a list, now or once there
    /// is room for it; whether it was told.
    pub fn notify(&mut self, author: Option<&mut Cursor>, told: &Event<'_>, at: &str) -> bool {
        let Some(line) = self.view.render(told, at) else { return false };
        if self.missed.is_empty() && self.feed.append(author, &line).is_ok() {
            return true;
        }
        if self.missed.len() < MOST_MISSED {
            self.missed.push_back(line.into_owned());
        } else {
            let count = self.uncounted.take().map_or(0, |(count, _)| count);
            self.uncounted = Some((count + 1, at.to_owned()));
        }
        false
    }

    /// Tells the notices that found no room, as far as they do now; how many. Whom one is about may be told
    /// of it too.
    fn tell_missed(&mut self) -> usize {
        let mut told = 0;
        loop {
            while let Some(line) = self.missed.front()
                && self.feed.append(None, line).is_ok()
            {
                self.missed.pop_front();
                told += 1;
            }
            if !self.missed.is_empty() {
                return told;
            }
            let Some((count, at)) = self.uncounted.take() else { return told };
            let text = format!("{count} more came, left or changed their name: /who tells who is here");
            self.missed.extend(self.view.render(&Event::Notice(&text), &at).map(Cow::into_owned));
        }
    }

    /// Adds a line as it is, for everyone here but the author.
    ///
    /// # Errors
    /// [`FeedFull`] where the feed has no room for it; nobody is told.
    pub fn append(&mut self, author: &mut Cursor, line: &[u8]) -> Result<(), FeedFull> {
        self.feed.append(Some(author), line)
    }

    /// How much can be read from a sender who has `held` bytes of an unfinished line, where `kept` bytes of
    /// the feed are for others.
    pub fn space(&self, kept: usize, held: usize) -> Space {
        let room = self.feed.room().saturating_sub(kept);
        // What is read may end the held line, be made safe to show, and lack its last line end.
        let readable =
            |room: usize| (room.saturating_sub(1) / self.view.expansion(self.raw)).saturating_sub(held);
        match self.view.line_overhead() {
            // A line end becomes one, and so is counted among the bytes.
            1 => Space { bytes: readable(room), lines: usize::MAX },
            // One half for what is said, and the other for what stands around it.
            around => Space { bytes: readable(room / 2), lines: room / 2 / around },
        }
    }

    /// Whether any reader here lacks anything.
    pub fn is_behind(&self) -> bool {
        self.feed.room() < self.feed.size()
    }

    /// Whether an unfinished line of `held` bytes finds room.
    pub fn has_room_for(&self, held: usize) -> bool {
        let most = held.saturating_mul(self.view.expansion(self.raw)) + self.view.line_overhead();
        self.feed.room() > most
    }

    /// From now on it is known who lacks anything of what was said until now.
    pub const fn mark_all_written(&mut self) {
        self.feed.mark_all_written();
    }

    /// Forgets what none of `readers` lacks: give it every reader here that was behind when all were served.
    ///
    /// Returns how many notices that had found no room were told.
    pub fn release<'a>(&mut self, readers: impl Iterator<Item = &'a Cursor>) -> usize {
        self.feed.release(readers);
        self.tell_missed()
    }

    /// Gives the memory that a burst took back to the system, but for the last `history` lines.
    pub fn trim_memory(&mut self, history: usize) {
        self.feed.trim_memory(history);
    }

    /// Notes whether senders have to wait for readers here, or notices do; returns when the patience of
    /// `timeout` ends.
    pub fn wait(&mut self, senders_wait: bool, timeout: Duration, now: Moment) -> Option<Moment> {
        self.wait.take_if(|wait| self.feed.tail_reached(wait.mark));
        if senders_wait || !self.missed.is_empty() {
            let mark = self.feed.stall_mark();
            let wait = self.wait.get_or_insert(Wait { mark, waited: Duration::ZERO, since: None });
            let since = *wait.since.get_or_insert(now);
            return Some(since.after(timeout.saturating_sub(wait.waited)));
        }
        if let Some(wait) = &mut self.wait
            && let Some(since) = wait.since.take()
        {
            wait.waited += now.since(since);
        }
        None
    }

    /// The place that readers here had to reach, once they were waited for as long as `timeout`.
    pub fn take_expired_stall(&mut self, timeout: Duration, now: Moment) -> Option<Offset> {
        self.wait
            .take_if(|wait| wait.since.is_some_and(|since| wait.waited + now.since(since) >= timeout))
            .map(|wait| wait.mark)
    }
}

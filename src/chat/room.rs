//! The room: its members, and what each line that a client sends does.

mod commands;
mod feeds;
mod operator;

use super::blank::is_all_blank;
use super::command::Command;
use super::event::Event;
use super::members::Members;
use super::private::PrivateMessage;
use super::text::NOTHING_WAS_SENT;
use crate::broadcast::admission::{Admission, LineCost};
use crate::broadcast::channel::Channel;
use crate::broadcast::feed::{Cursor, FeedFull};
use crate::broadcast::rate_limit::RateLimit;
use crate::util::id_slab::ClientId;
use crate::util::plural::count;
use crate::util::trim::TrimMemory;
use crate::wire::escape;
use crate::wire::line_decoder::LineRules;
use crate::wire::view::View;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

/// The configuration of a room.
#[derive(Debug, Clone)]
pub struct RoomConfig {
    /// How lines are decoded.
    pub rules: LineRules,
    /// The views that have a listener; at least one.
    pub views: Vec<View>,
    /// Bytes of each view's feed.
    pub feed: usize,
    /// Lines of history that a new client receives.
    pub history: usize,
    /// The line sent to each new client; empty = none.
    pub welcome: String,
    /// How long senders wait for a slow reader.
    pub stall_timeout: Duration,
    /// How many lines per second one client may send; `None` = no limit.
    pub rate: Option<RateLimit>,
    /// Returns the time of day, as the json view shows it.
    pub time_of_day: fn() -> String,
}

/// The members, and one channel for each view.
#[derive(Debug)]
pub struct Room {
    channels: Vec<Channel>,
    /// The view of each channel.
    views: Vec<View>,
    config: RoomConfig,
    admission: Admission,
    /// `None` = no view has names.
    members: Option<Members>,
    stats: RelayStats,
}

/// A client that sends, and its view.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// The client.
    pub id: ClientId,
    /// Its view.
    pub view: View,
}

/// What a new client receives: whole lines, or nothing.
#[derive(Debug)]
pub struct Greeting {
    /// Its cursor, at the beginning of the history.
    pub cursor: Cursor,
    /// What comes before the history.
    pub before: Vec<u8>,
    /// What comes after the history.
    pub after: Vec<u8>,
}

/// What the room answers to a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing: the line went to all other clients, or was blank.
    None,
    /// Lines for the sender alone.
    Lines(Vec<u8>),
    /// A message for one client, to be delivered at once.
    Private(PrivateMessage),
    /// The sender asked to leave.
    Quit,
}

/// Totals since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct RelayStats {
    /// Messages that went to everyone.
    pub lines: u64,
    /// Their bytes, escaped, line ends included.
    pub bytes: u64,
    /// Lines refused as too long.
    pub too_long: u64,
}

impl fmt::Display for RelayStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) relayed", count(self.lines, "line"), count(self.bytes, "byte"))?;
        if self.too_long > 0 {
            write!(f, ", {} refused as too long", count(self.too_long, "line"))?;
        }
        Ok(())
    }
}

impl Room {
    /// The feed is at least this many times as long as the longest line. Escapes make at most 6 bytes of one byte. So
    /// any line fits into half a feed, and the stall timer disconnects readers that are further behind than that.
    pub const LINES_PER_FEED: usize = 16;

    /// An empty room.
    ///
    /// # Errors
    /// The system does not have the memory for the feeds.
    pub fn new(config: RoomConfig) -> io::Result<Self> {
        let views = View::ALL.into_iter().filter(|view| config.views.contains(view)).collect::<Vec<_>>();
        let cost_of = |view: &View| LineCost {
            factor: view.expansion(config.rules.raw),
            overhead: view.line_overhead(),
        };
        let new_channel = |view| Channel::new(config.feed, config.history > 0, cost_of(view));
        let channels = views.iter().map(new_channel).collect::<io::Result<Vec<_>>>()?;
        let cost = views.iter().map(cost_of).fold(LineCost { factor: 1, overhead: 1 }, LineCost::max);
        let has_names = views.iter().any(|view| view.has_names());
        Ok(Self {
            channels,
            views,
            admission: Admission::new(config.feed, cost, config.rules.max_line, config.rate),
            config,
            members: has_names.then(Members::default),
            stats: RelayStats::default(),
        })
    }

    /// How lines are decoded.
    pub const fn rules(&self) -> &LineRules {
        &self.config.rules
    }

    /// The rules that decide which senders are read.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Totals since the start.
    pub const fn stats(&self) -> RelayStats {
        self.stats
    }

    /// Whether any view has names, and so shows joins and leaves.
    pub const fn has_names(&self) -> bool {
        self.members.is_some()
    }

    /// Adds a client.
    pub fn join(&mut self, client: Sender) -> Greeting {
        let mut names = (String::new(), 0);
        if let Some(members) = &mut self.members {
            if client.view.has_names() && !self.config.welcome.is_empty() {
                let (others, more) = members.names(members.count() + 1);
                names = (others.to_owned(), more);
            }
            members.join(client.id);
        }
        let (others, more) = (names.0.as_str(), names.1);
        let (name, here) = (self.name(client.id), self.here());
        let welcome = Event::Welcome { text: &self.config.welcome, name, here, others, more };
        let mut before = self.lines(client.view, &welcome);
        let history = self.config.history;
        let (cursor, lines) = self.channel_mut(client.view).join(history);
        let mut after = Vec::new();
        if lines > 0 {
            before.extend(self.lines(client.view, &Event::HistoryBegins { lines }));
            after = self.lines(client.view, &Event::HistoryEnds);
        }
        Greeting { cursor, before, after }
    }

    /// Announces the client's join to the others, unless that was done before.
    pub fn announce(&mut self, client: Sender, cursor: &mut Cursor) {
        if let Some(name) = self.members.as_mut().and_then(|members| members.announce(client.id)) {
            let here = self.here();
            self.notify(Some((client.view, cursor)), &Event::Joined { name: &name, here });
        }
    }

    /// Removes a client, and announces that to the others if its join was announced.
    pub fn leave(&mut self, id: ClientId) {
        if let Some(name) = self.members.as_mut().and_then(|members| members.leave(id)) {
            self.notify(None, &Event::Left { name: &name });
        }
    }

    /// Notes that a client that had joined was removed: its view has one reader less.
    pub fn remove_reader(&mut self, view: View) {
        self.channel_mut(view).leave();
    }

    /// An error line for a client in this view.
    pub fn error(&self, view: View, text: &str) -> Vec<u8> {
        self.lines(view, &Event::Error(text))
    }

    /// A line that asks a connection for something before it is in the room.
    pub fn prompt(&self, view: View, text: &str) -> Vec<u8> {
        let event = if view.has_names() { Event::Notice(text) } else { Event::Error(text) };
        self.lines(view, &event)
    }

    /// The last line for a client in this view when the server stops; nothing in a view without notices.
    pub fn stop_notice(&self, view: View) -> Vec<u8> {
        if view.has_names() { self.lines(view, &Event::Notice("the server is stopping")) } else { Vec::new() }
    }

    /// Does what a line asks for: a message goes to all other clients. Also returns the bytes that the line took
    /// in the most expensive view.
    ///
    /// # Errors
    /// [`FeedFull`] if more was read than [`read_permit`](Self::read_permit) allowed. A view without space for the
    /// message does not show it.
    pub fn handle_line(
        &mut self,
        sender: Sender,
        cursor: &mut Cursor,
        line: &[u8],
    ) -> Result<(Reply, usize), FeedFull> {
        if !sender.view.has_names() {
            return self.send_to_all(sender, cursor, line, false);
        }
        let reply = match Command::parse(line) {
            Command::Say(text) => return self.send_to_all(sender, cursor, text, false),
            Command::Action(text) if is_all_blank(text) => {
                self.refuse(sender, "/me needs a text, for example /me waves")
            }
            Command::Action(text) => return self.send_to_all(sender, cursor, text, true),
            Command::Nick(name) => return Ok(self.rename(sender, cursor, name)),
            Command::Private { to, text } => self.private_message(sender, to, text),
            Command::Who => {
                let list = self.members.as_mut().map(Members::list).unwrap_or_default();
                self.notice(sender.view, &list)
            }
            Command::Help => Reply::Lines(
                Command::HELP.iter().flat_map(|line| self.lines(sender.view, &Event::Notice(line))).collect(),
            ),
            Command::Quit => Reply::Quit,
            Command::Unknown(word) => self.refuse_unknown(sender, word),
            Command::Blank => Reply::None,
        };
        Ok((reply, line.len()))
    }

    fn send_to_all(
        &mut self,
        sender: Sender,
        cursor: &mut Cursor,
        line: &[u8],
        is_action: bool,
    ) -> Result<(Reply, usize), FeedFull> {
        let text = self.escaped(line);
        let is_named = self.used_channels().any(|(_, view)| view.has_names());
        let cost = if let Some(members) = self.members.as_mut().filter(|_| is_named) {
            let from = members.speak(sender.id).to_owned();
            let event = Event::Message { from: &from, text: &text, is_action };
            self.broadcast(Some((sender.view, cursor)), &event)?
        } else {
            // If all readers use the plain view, a message is only its text.
            self.channel_mut(sender.view).append(Some(cursor), &text)?;
            text.len() + 1
        };
        self.stats.lines += 1;
        self.stats.bytes += text.len() as u64 + 1;
        Ok((Reply::None, cost))
    }

    /// Sends an event to all clients except its author; returns the bytes that it took in the most expensive view.
    fn broadcast(
        &mut self,
        mut author: Option<(View, &mut Cursor)>,
        event: &Event<'_>,
    ) -> Result<usize, FeedFull> {
        let (at, raw) = (self.time_of_day(), self.config.rules.raw);
        let mut result = Ok(0);
        for (channel, view) in self.used_channels() {
            let Some(line) = view.render(event, &at, raw) else { continue };
            match channel.append(cursor_in(&mut author, view), &line) {
                Ok(()) => result = result.map(|cost: usize| cost.max(line.len() + 1)),
                Err(full) => result = Err(full),
            }
        }
        result
    }

    /// Sends a notice about a member to all other clients; a channel without space counts it instead, see
    /// [`Channel::notify`]. Returns the bytes that the notice takes in the most expensive view.
    fn notify(&mut self, mut about: Option<(View, &mut Cursor)>, event: &Event<'_>) -> usize {
        let (at, here, time_of_day) = (self.time_of_day(), self.here(), self.config.time_of_day);
        let mut cost = 0;
        for (channel, view) in self.used_channels() {
            let Some(line) = view.render(event, &at, false) else { continue };
            let summary = |count| missed_notices(view, count, here, time_of_day);
            channel.notify(cursor_in(&mut about, view), &line, summary);
            cost = cost.max(line.len() + 1);
        }
        cost
    }

    /// Counts a line that was too long, and returns the error for its sender.
    pub fn refuse_too_long(&mut self, view: View, wants_error: bool) -> Option<Vec<u8>> {
        self.stats.too_long += 1;
        let limit = count(self.config.rules.max_line as u64, "byte");
        wants_error
            .then(|| self.error(view, &format!("line too long: {NOTHING_WAS_SENT}; the limit is {limit}")))
    }

    fn refuse(&self, sender: Sender, why: &str) -> Reply {
        Reply::Lines(self.error(sender.view, why))
    }

    fn notice(&self, view: View, text: &str) -> Reply {
        Reply::Lines(self.lines(view, &Event::Notice(text)))
    }

    /// How many clients are in the room; 0 if no view has names.
    fn here(&self) -> usize {
        self.members.as_ref().map_or(0, Members::count)
    }

    fn name(&self, id: ClientId) -> &str {
        self.members.as_ref().map_or("", |members| members.name(id))
    }

    fn escaped<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        if self.config.rules.raw { line.into() } else { escape::escape(line) }
    }

    /// The time of day, if a view shows it.
    fn time_of_day(&mut self) -> String {
        if self.used_channels().any(|(_, view)| view == View::Json) {
            (self.config.time_of_day)()
        } else {
            String::new()
        }
    }

    /// An event for one client, with its line end; empty if the view does not show it.
    fn lines(&self, view: View, event: &Event<'_>) -> Vec<u8> {
        let at = if view == View::Json { (self.config.time_of_day)() } else { String::new() };
        view.render(event, &at, self.config.rules.raw)
            .map_or_else(Vec::new, |line| [&line, &b"\n"[..]].concat())
    }

    /// The channels that have readers, or history for new readers, and the view of each.
    fn used_channels(&mut self) -> impl Iterator<Item = (&mut Channel, View)> {
        let channels = self.channels.iter_mut().zip(self.views.iter().copied());
        channels.filter(|(channel, _)| channel.is_used())
    }

    fn index(&self, view: View) -> usize {
        self.views.iter().position(|&of| of == view).unwrap_or(0)
    }

    fn channel_mut(&mut self, view: View) -> &mut Channel {
        let index = self.index(view);
        &mut self.channels[index]
    }
}

impl TrimMemory for Room {
    fn has_slack(&self) -> bool {
        self.channels.iter().any(|channel| channel.feed().has_slack())
            || self.members.as_ref().is_some_and(TrimMemory::has_slack)
    }

    fn trim(&mut self) {
        self.channels.iter_mut().for_each(|channel| channel.trim(self.config.history));
        if let Some(members) = &mut self.members {
            members.trim();
        }
    }
}

/// The cursor of the client that an event is from or about, if the client is in that view.
fn cursor_in<'a>(client: &'a mut Option<(View, &mut Cursor)>, view: View) -> Option<&'a mut Cursor> {
    client.as_mut().filter(|(of, _)| *of == view).map(|(_, cursor)| &mut **cursor)
}

fn missed_notices(view: View, count: u64, here: usize, time_of_day: fn() -> String) -> Vec<u8> {
    view.render(&Event::Missed { count, here }, &time_of_day(), false).map_or_else(Vec::new, Cow::into_owned)
}

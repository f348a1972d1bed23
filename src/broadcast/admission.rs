//! Which clients may be read, and how much of their input, so that each line certainly has space in every feed.
//!
//! A line stays in the feed until the slowest reader has received it. So if a reader is slow, the feed fills up.
//! Then the server stops reading some clients, and TCP holds back what they send. [`Admission::permit`] decides
//! this for one client, from two figures:
//!
//! - the *space*: bytes that can be appended to the fullest feed. The last eighth of the feed is the *reserve*.
//! - the *credit* of the client: lines cost credit, and time brings it back ([`SendCredit`]). A client with credit
//!   is *interactive*: it has sent little lately. A client without credit is a *bulk sender*.
//!
//! All clients are read while there is much space besides the reserve. If there is not, only interactive clients
//! are read, one line at a time, and they may use the reserve.
//!
//! A client that is not read for this reason is *blocked*. The oldest blocked client *claims* the space that its
//! line needs: other bulk senders are read only when there is that much. Otherwise their short lines could use up
//! the space again and again, and a long line would wait for ever. While a client is blocked, its credit is
//! *paused*: the client earns nothing, unless it is silent for a second before it sends more.
//!
//! All figures have one unit: the bytes that a line takes in the most expensive view.
//!
//! # Example
//!
//! A feed of 1024 KiB has a reserve of 128 KiB. One reader has stopped. Two clients send: the first a large file,
//! the second what its user types.
//!
//! | space | besides the reserve | the first client | the second client |
//! |---|---|---|---|
//! | 1024 KiB | 896 KiB | is read: up to 256 KiB, 1/4 of the feed | the same |
//! | 240 KiB | 112 KiB | is read: up to 112 KiB | the same |
//! | 180 KiB | 52 KiB | is blocked: less than 64 KiB, 1/16 of the feed | one line of up to 90 KiB, 1/2 of the space |
//! | 50 KiB | none | is blocked | one line of up to 25 KiB, if its credit is high |
//!
//! When the reader goes on and 192 KiB are free, the first client is read again. If the reader does not go on, the
//! stall timer disconnects it.

use super::channel::Channel;
use super::feed::Feed;
use super::rate_limit::{RateLimit, RateUsage};
use super::send_credit::{CreditRules, SendCredit};
use crate::util::clock::Moment;
use std::time::Duration;

/// The most that a line of `n` bytes takes: `n * factor + overhead` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineCost {
    /// Bytes that one byte of text becomes, at least 1.
    pub factor: usize,
    /// Bytes besides the text, line end included.
    pub overhead: usize,
}

impl LineCost {
    /// What a line of `len` bytes takes at most.
    pub const fn of(self, len: usize) -> usize {
        len.saturating_mul(self.factor).saturating_add(self.overhead)
    }

    /// The longest line that certainly fits into `space` bytes; `None` if not even an empty line fits.
    pub const fn longest(self, space: usize) -> Option<usize> {
        match space.checked_sub(self.overhead) {
            Some(space) => Some(space / self.factor),
            None => None,
        }
    }

    /// The larger factor and the larger overhead of the two.
    pub fn max(self, other: Self) -> Self {
        Self { factor: self.factor.max(other.factor), overhead: self.overhead.max(other.overhead) }
    }
}

/// How much of one client's input may be handled now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBudget {
    /// Bytes that its lines may take in each feed.
    pub space: usize,
    /// How many lines, at least 1.
    pub lines: usize,
}

impl ReadBudget {
    /// No limit: for input that is dropped.
    pub const UNLIMITED: Self = Self { space: usize::MAX, lines: usize::MAX };
}

/// The state of a client with input, on which its read permit depends.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// Bytes of its unfinished line.
    pub held: usize,
    /// The space that the oldest blocked client claims, if that is another client.
    pub claimed: usize,
    /// Whether it was blocked until now, so that its credit is paused.
    pub is_paused: bool,
}

/// Whether a client may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPermit {
    /// Now, within the budget.
    Now(ReadBudget),
    /// Only after output that is pending for it was written.
    AfterWrite,
    /// Only after slow readers have read, so that the feeds have space.
    AfterSpace,
    /// At that moment: it has reached its rate limit.
    At(Moment),
}

impl ReadPermit {
    /// Whether a client may be read now, and a line that takes `space` bytes is within its budget.
    pub fn has_space_for(self, space: usize) -> bool {
        matches!(self, Self::Now(budget) if budget.space >= space)
    }
}

/// What one client has sent lately: bytes for its credit, lines for the rate limit.
#[derive(Debug, Clone, Copy)]
pub struct SendRate {
    credit: SendCredit,
    usage: RateUsage,
}

impl SendRate {
    /// How far the client is ahead of the rate limit.
    pub const fn usage(&self) -> RateUsage {
        self.usage
    }

    /// Sets how far the client is ahead of the rate limit.
    pub const fn set_usage(&mut self, usage: RateUsage) {
        self.usage = usage;
    }

    /// The time since the client sent something, at most 49 days.
    pub fn idle_time(&self, now: Moment) -> Duration {
        self.credit.idle_time(now)
    }
}

/// The rules of admission of one room.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Bytes of each feed.
    feed: usize,
    /// What a line takes at most in the most expensive view.
    cost: LineCost,
    /// The longest line, in bytes as sent.
    max_line: usize,
    rate: Option<RateLimit>,
    credit: CreditRules,
}

impl Admission {
    /// 1/8 of each feed is reserved for interactive clients: 128 KiB of 1 MiB.
    const RESERVE: usize = 8;
    /// Bulk senders are read only if 1/16 of the feed is free for them, 64 KiB of 1 MiB: a smaller read would not
    /// be worth its system call.
    const MIN_BULK: usize = 16;
    /// The lines of one read take at most 1/4 of the feed, so that at least four senders share its space.
    const MAX_SHARE: usize = 4;
    /// When only interactive clients are read, one line takes at most 1/2 of the space, so that long lines cannot
    /// use up the reserve.
    const LINE_SHARE: usize = 2;

    /// The rules for feeds of `feed` bytes.
    pub fn new(feed: usize, cost: LineCost, max_line: usize, rate: Option<RateLimit>) -> Self {
        Self { feed, cost, max_line, rate, credit: CreditRules::new(feed / Self::RESERVE) }
    }

    /// The rate limit; `None` = no limit.
    pub const fn rate_limit(&self) -> Option<RateLimit> {
        self.rate
    }

    /// The send rate of a client that connects now. With a rate limit it has no lines yet: see
    /// [`SendRate::set_usage`].
    pub fn new_client(&self, now: Moment) -> SendRate {
        SendRate { credit: SendCredit::new(self.credit, now), usage: RateUsage::new(now) }
    }

    /// What a line takes at most in the most expensive view.
    pub const fn cost(&self) -> LineCost {
        self.cost
    }

    /// Whether the client has sent little lately.
    pub fn is_interactive(&self, sender: &SendRate, now: Moment) -> bool {
        sender.credit.is_interactive(self.credit, now)
    }

    /// Counts what a client sent: its lines, and its bytes as sent or as rendered, whichever are more.
    pub fn record_sent(&self, sender: &mut SendRate, lines: usize, bytes: usize, now: Moment) {
        sender.credit.spend(bytes, self.credit, now);
        if let Some(limit) = self.rate {
            sender.usage.count_lines(limit, lines, now);
        }
    }

    /// Notes that a client is blocked: its credit is paused.
    pub fn pause(&self, sender: &mut SendRate, now: Moment) {
        sender.credit.pause(self.credit, now);
    }

    /// Notes that a blocked client sent more.
    pub fn note_input(&self, sender: &mut SendRate, now: Moment) {
        sender.credit.note_input(self.credit, now);
    }

    /// Whether a blocked client has credit.
    pub const fn has_credit_in_pause(sender: &SendRate) -> bool {
        sender.credit.paused_balance() > 0
    }

    /// Notes that a client that was blocked is read at `now`.
    pub const fn resume(sender: &mut SendRate, now: Moment) {
        sender.credit.resume(now);
    }

    /// How many lines the client may send now by the rate limit.
    pub fn lines_left(&self, sender: &SendRate, now: Moment) -> usize {
        self.rate.map_or(usize::MAX, |limit| sender.usage.lines_left(limit, now))
    }

    /// Whether a client may be read.
    pub fn permit(
        &self,
        channels: &[Channel],
        sender: &SendRate,
        request: ReadRequest,
        now: Moment,
    ) -> ReadPermit {
        let lines = self.lines_left(sender, now);
        if let Some(limit) = self.rate.filter(|_| lines == 0) {
            return ReadPermit::At(sender.usage.next_line_at(limit, now));
        }
        let budget = self.bulk_budget(channels, request.held, request.claimed).or_else(|| {
            let credit = &sender.credit;
            let balance =
                if request.is_paused { credit.paused_balance() } else { credit.balance(self.credit, now) };
            self.interactive_budget(channels, balance, request.held)
        });
        match budget {
            Some(budget) => ReadPermit::Now(ReadBudget { lines: budget.lines.min(lines), ..budget }),
            None => ReadPermit::AfterSpace,
        }
    }

    /// Whether bulk senders may be read again, if the oldest blocked client claims `claimed` bytes of space.
    pub fn has_bulk_space(&self, channels: &[Channel], claimed: usize) -> bool {
        self.bulk_budget(channels, 0, claimed).is_some()
    }

    fn bulk_budget(&self, channels: &[Channel], held: usize, claimed: usize) -> Option<ReadBudget> {
        let space = self.bulk_space(smallest_space(channels));
        let longest = self.cost.of(self.max_line);
        // If no reader is more than half a feed behind, the stall timer disconnects none. Then one line of any
        // length is allowed: otherwise a sender could wait for ever.
        let is_half_free = channels.iter().all(|channel| channel.feed().is_half_free());
        if space >= self.min_bulk().max(claimed).max(self.cost.of(held + 1)) {
            let space = space.min((self.feed / Self::MAX_SHARE).max(longest));
            let least = if is_half_free { longest } else { 0 };
            return Some(ReadBudget { space: space.max(least), lines: usize::MAX });
        }
        is_half_free.then_some(ReadBudget { space: longest, lines: 1 })
    }

    /// One line, if the client has credit. The last half of the reserve is for clients with high credit. So it
    /// cannot be used up by new clients, or by clients that always spend what they earn.
    fn interactive_budget(&self, channels: &[Channel], balance: i32, held: usize) -> Option<ReadBudget> {
        let left = smallest_space(channels);
        let needed = if left < self.reserve() / 2 { self.credit.high() } else { 1 };
        let space = left / Self::LINE_SHARE;
        let is_allowed = balance >= needed && space >= self.cost.of(held + 1);
        is_allowed.then_some(ReadBudget { space, lines: 1 })
    }

    /// Runs the stall timer of each channel for which senders wait, and pauses the others; returns the next
    /// deadline.
    pub fn update_stall_timers(
        &self,
        channels: &mut [Channel],
        senders_wait: bool,
        timeout: Duration,
        now: Moment,
    ) -> Option<Moment> {
        let is_cause = |channel: &Channel| self.bulk_space(channel.feed().space()) < self.min_bulk();
        // If every channel has the space that bulk senders need at least, the senders wait for the larger space of a
        // long line. Then any channel may be the cause.
        let any_cause = senders_wait && channels.iter().any(is_cause);
        let deadlines = channels.iter_mut().map(|channel| {
            let is_waited_for = senders_wait && channel.is_behind() && (is_cause(channel) || !any_cause);
            channel.update_stall_timer(is_waited_for, timeout, now)
        });
        deadlines.flatten().min()
    }

    const fn reserve(&self) -> usize {
        self.feed / Self::RESERVE
    }

    const fn min_bulk(&self) -> usize {
        self.feed / Self::MIN_BULK
    }

    const fn bulk_space(&self, space: usize) -> usize {
        space.saturating_sub(self.reserve())
    }
}

/// Bytes that can be appended to every feed.
pub fn smallest_space(channels: &[Channel]) -> usize {
    channels.iter().map(Channel::feed).map(Feed::space).min().unwrap_or(0)
}

//! The order of all events in one view, as its observer receives it, and the members that it knows from that.

use crate::received::Public;
use hubbub::wire::view::View;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// An event that everyone receives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) shown: Public,
    /// The client that it is from or about.
    pub(crate) about: usize,
    /// How many events there were before it.
    pub(crate) sequence: u64,
    /// It found no space: it is counted and not shown.
    pub(crate) is_missed: bool,
}

pub(crate) struct Order {
    pub(crate) view: View,
    pub(crate) observer: usize,
    /// As this view shows it.
    pub(crate) events: Vec<Event>,
    /// Messages and notices that the observer has still to receive.
    messages: VecDeque<Event>,
    notices: VecDeque<Event>,
    known: Presence,
}

/// The members, as far as the events show them.
#[derive(Default)]
struct Presence {
    here: BTreeMap<usize, String>,
    left: BTreeSet<usize>,
}

/// Returns the same text for all forms of one name.
pub(crate) fn folded(name: &str) -> String {
    name.to_lowercase()
}

impl Order {
    pub(crate) fn new(view: View, observer: usize) -> Self {
        Self {
            view,
            observer,
            events: Vec::new(),
            messages: VecDeque::new(),
            notices: VecDeque::new(),
            known: Presence::default(),
        }
    }

    /// An event happened. The observer receives it if its view shows such events.
    pub(crate) fn expect(&mut self, event: Event) {
        match event.shown {
            Public::Message { .. } => self.messages.push_back(event),
            _ if self.view.has_names() => self.notices.push_back(event),
            _ => {}
        }
        self.skip_own();
    }

    /// The observer received the next message, the next notice, or the number of notices that found no space.
    pub(crate) fn observe(&mut self, shown: &Public, presence: &[(u64, usize)]) {
        let view = self.view;
        let event = match shown {
            Public::Missed { count, here } => {
                self.observe_missed(*count, shown);
                return self.check_here(*here, presence);
            }
            Public::Message { .. } => self.messages.pop_front(),
            _ => self.notices.pop_front_if(|notice| !notice.is_missed),
        };
        let Some(event) = event else { panic!("{view:?} shows an event that did not happen: {shown:?}") };
        assert_eq!(event.shown.shown_in(view).as_ref(), Some(shown), "{view:?} shows another event");
        let next_message = self.messages.front().map_or(u64::MAX, |message| message.sequence);
        assert!(event.sequence < next_message, "{view:?} shows {shown:?} before an earlier message");
        // Earlier notices that were not shown are only counted from now on.
        for notice in self.notices.iter_mut().take_while(|notice| notice.sequence < event.sequence) {
            notice.is_missed = true;
        }
        let is_up_to_date = self.notices.front().is_none_or(|notice| !notice.is_missed);
        if is_up_to_date || !matches!(shown, Public::Message { .. }) {
            self.known.note(&event);
        }
        self.events.push(Event { shown: shown.clone(), ..event });
        self.skip_own();
    }

    fn observe_missed(&mut self, count: usize, shown: &Public) {
        let view = self.view;
        assert!(count > 0 && self.notices.len() >= count, "{view:?} counts too many: {shown:?}");
        let missed = self.notices.drain(..count).collect::<Vec<_>>();
        missed.iter().for_each(|event| self.known.note(event));
        let sequence = missed.last().map_or(0, |event| event.sequence);
        self.events.push(Event { shown: shown.clone(), about: 0, sequence, is_missed: false });
        let next = self.notices.front();
        assert!(next.is_none_or(|next| !next.is_missed), "{view:?} counts {count} and leaves out {next:?}");
        self.skip_own();
    }

    /// The number of members was right at some time since the last of the counted notices.
    fn check_here(&self, here: Option<usize>, presence: &[(u64, usize)]) {
        let sequence = self.events.last().map_or(0, |event| event.sequence);
        let since = presence.partition_point(|&(at, _)| at < sequence).saturating_sub(1);
        let is_it = |here| presence[since..].iter().any(|&(_, known)| known == here);
        assert_eq!(here.is_some(), self.view == View::Json);
        assert!(here.is_none_or(is_it), "{here:?} members, and not {:?}", &presence[since..]);
    }

    /// The observer does not receive events about itself, but they have their place.
    fn skip_own(&mut self) {
        let observer = self.observer;
        for queue in [&mut self.messages, &mut self.notices] {
            while let Some(event) = queue.pop_front_if(|event| event.about == observer && !event.is_missed) {
                self.known.note(&event);
                let shown =
                    event.shown.shown_in(self.view).expect("only events that the view shows are pending");
                self.events.push(Event { shown, ..event });
            }
        }
    }

    /// Every client was written to: the observer has every message, and notices that are left found no space.
    pub(crate) fn mark_all_written(&mut self) {
        let (view, next) = (self.view, self.messages.front());
        assert!(next.is_none(), "{view:?} does not show {next:?}");
        self.notices.iter_mut().for_each(|notice| notice.is_missed = true);
    }

    /// Whether no notice is pending.
    pub(crate) fn has_no_pending_notices(&self) -> bool {
        self.notices.is_empty()
    }

    /// Returns the next pending notice.
    pub(crate) fn next_notice(&self) -> Option<&Event> {
        self.notices.front()
    }

    /// Returns the names of the members.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = self.known.here.values().map(String::as_str).collect::<Vec<_>>();
        names.sort_unstable_by_key(|name| folded(name));
        names
    }
}

impl Presence {
    fn note(&mut self, event: &Event) {
        let about = event.about;
        match &event.shown {
            Public::Message { from, .. } => self.speaks(about, from),
            Public::Joined { name, .. } => {
                self.check_is_free(about, name);
                assert!(!self.left.contains(&about), "{about} had left, and joined as {name}");
                let before = self.here.insert(about, name.clone());
                assert_eq!(before, None, "{about} joined twice");
            }
            Public::Left { name } => {
                let before = self.here.remove(&about);
                assert_eq!(before.as_ref(), Some(name), "{about} left");
                self.left.insert(about);
            }
            Public::Missed { .. } => {}
            Public::Renamed { old, new } => {
                self.check_is_free(about, new);
                let before = self.here.insert(about, new.clone());
                assert_eq!(before.as_ref(), Some(old), "{about} is now {new}");
            }
        }
    }

    fn check_is_free(&self, about: usize, name: &str) {
        let is_taken = |(&other, taken): (&usize, &String)| other != about && folded(taken) == folded(name);
        assert!(!self.here.iter().any(is_taken), "{about} has {name}, the name of another client");
    }

    /// A client that is not announced may send messages under its name.
    fn speaks(&self, about: usize, from: &str) {
        match self.here.get(&about) {
            Some(name) => assert_eq!(name, from, "{about} sends under a name that was not announced"),
            None => {
                assert!(!self.left.contains(&about), "{about} had left, and sends as {from}");
                self.check_is_free(about, from);
            }
        }
    }
}

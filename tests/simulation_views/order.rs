//! The one order of what everyone is told, as one who always takes all and is there from the start sees it
//! in a view; and what it knows from that of those who are here.

use crate::heard::Public;
use hubbub::wire::view::View;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that everyone is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) told: Public,
    /// Whom it is from or about.
    pub(crate) whose: usize,
    /// How many things had happened before it.
    pub(crate) issued: u64,
    /// It found no space: nobody sees it, and all see how many there were.
    pub(crate) is_missed: bool,
}

pub(crate) struct Order {
    pub(crate) view: View,
    pub(crate) observer: usize,
    /// As this view shows it.
    pub(crate) events: Vec<Event>,
    /// Messages and notices that are still to be seen, each in their order.
    messages: VecDeque<Event>,
    notices: VecDeque<Event>,
    slots: IdSlab,
}

/// Who is here, as far as it was told.
#[derive(Default)]
struct IdSlab {
    here: BTreeMap<usize, String>,
    gone: BTreeSet<usize>,
}

/// The same for all names that are one.
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
            slots: IdSlab::default(),
        }
    }

    /// It happened, and is to be seen where this view shows such things.
    pub(crate) fn expect(&mut self, event: Event) {
        match event.told {
            Public::Message { .. } => self.messages.push_back(event),
            _ if self.view.has_names() => self.notices.push_back(event),
            _ => {}
        }
        self.skip_own();
    }

    /// The observer is told: the next message, the next notice, or how many notices found no space.
    pub(crate) fn sees(&mut self, told: &Public, presence: &[(u64, usize)]) {
        let view = self.view;
        let event = match told {
            Public::Missed { count, here } => {
                self.sees_missed(*count, told);
                return self.check_here(*here, presence);
            }
            Public::Message { .. } => self.messages.pop_front(),
            _ => self.notices.pop_front_if(|notice| !notice.is_missed),
        };
        let Some(event) = event else { panic!("{view:?} tells of nothing that was done: {told:?}") };
        assert_eq!(event.told.shown_in(view).as_ref(), Some(told), "{view:?} tells another thing");
        let next_message = self.messages.front().map_or(u64::MAX, |message| message.issued);
        assert!(event.issued < next_message, "{view:?} tells {told:?} before a message that was earlier");
        // What came before it and was not seen is not told any more.
        for notice in self.notices.iter_mut().take_while(|notice| notice.issued < event.issued) {
            notice.is_missed = true;
        }
        let is_up_to_date = self.notices.front().is_none_or(|notice| !notice.is_missed);
        if is_up_to_date || !matches!(told, Public::Message { .. }) {
            self.slots.note(&event);
        }
        self.events.push(Event { told: told.clone(), ..event });
        self.skip_own();
    }

    fn sees_missed(&mut self, count: usize, told: &Public) {
        let view = self.view;
        assert!(count > 0 && self.notices.len() >= count, "{view:?} tells of more than was done: {told:?}");
        let missed = self.notices.drain(..count).collect::<Vec<_>>();
        missed.iter().for_each(|event| self.slots.note(event));
        let issued = missed.last().map_or(0, |event| event.issued);
        self.events.push(Event { told: told.clone(), whose: 0, issued, is_missed: false });
        let next = self.notices.front();
        assert!(next.is_none_or(|next| !next.is_missed), "{view:?} counts {count}, and also missed {next:?}");
        self.skip_own();
    }

    /// As many are here as were at some time since the last of those that were just counted.
    fn check_here(&self, here: Option<usize>, presence: &[(u64, usize)]) {
        let issued = self.events.last().map_or(0, |event| event.issued);
        let since = presence.partition_point(|&(at, _)| at < issued).saturating_sub(1);
        let is_it = |here| presence[since..].iter().any(|&(_, known)| known == here);
        assert_eq!(here.is_some(), self.view == View::Json);
        assert!(here.is_none_or(is_it), "{here:?} are here, and {:?}", &presence[since..]);
    }

    /// What the observer is not told of itself has its place all the same.
    fn skip_own(&mut self) {
        let observer = self.observer;
        for queue in [&mut self.messages, &mut self.notices] {
            while let Some(event) = queue.pop_front_if(|event| event.whose == observer && !event.is_missed) {
                self.slots.note(&event);
                let told = event.told.shown_in(self.view).expect("what waits is shown here");
                self.events.push(Event { told, ..event });
            }
        }
    }

    /// Everyone was written to: all that was said was seen, and the other notices found no space.
    pub(crate) fn mark_all_written(&mut self) {
        let (view, next) = (self.view, self.messages.front());
        assert!(next.is_none(), "{view:?} does not tell of {next:?}");
        self.notices.iter_mut().for_each(|notice| notice.is_missed = true);
    }

    /// Whether all that people did was seen.
    pub(crate) fn has_all_notices(&self) -> bool {
        self.notices.is_empty()
    }

    /// The next notice that is still to be seen.
    pub(crate) fn next_untold(&self) -> Option<&Event> {
        self.notices.front()
    }

    /// The names of those who are here.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names = self.slots.here.values().map(String::as_str).collect::<Vec<_>>();
        names.sort_unstable_by_key(|name| folded(name));
        names
    }
}

impl IdSlab {
    fn note(&mut self, event: &Event) {
        let whose = event.whose;
        match &event.told {
            Public::Message { from, .. } => self.speaks(whose, from),
            Public::Joined { name, .. } => {
                self.check_free(whose, name);
                assert!(!self.gone.contains(&whose), "{whose} had left, and joined as {name}");
                let before = self.here.insert(whose, name.clone());
                assert_eq!(before, None, "{whose} joined twice");
            }
            Public::Left { name } => {
                let before = self.here.remove(&whose);
                assert_eq!(before.as_ref(), Some(name), "{whose} left");
                self.gone.insert(whose);
            }
            Public::Missed { .. } => {}
            Public::Renamed { old, new } => {
                self.check_free(whose, new);
                let before = self.here.insert(whose, new.clone());
                assert_eq!(before.as_ref(), Some(old), "{whose} is now {new}");
            }
        }
    }

    fn check_free(&self, whose: usize, name: &str) {
        let is_taken = |(&other, taken): (&usize, &String)| other != whose && folded(taken) == folded(name);
        assert!(!self.here.iter().any(is_taken), "{whose} has {name}, which is another's name");
    }

    /// Whoever was not announced may speak under its name all the same.
    fn speaks(&self, whose: usize, from: &str) {
        match self.here.get(&whose) {
            Some(name) => assert_eq!(name, from, "{whose} speaks under a name that nobody was told"),
            None => {
                assert!(!self.gone.contains(&whose), "{whose} had left, and speaks as {from}");
                self.check_free(whose, from);
            }
        }
    }
}

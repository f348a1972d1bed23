//! What the operator's commands need of the room.

use super::Room;
use crate::broadcast::feed::FeedFull;
use crate::chat::event::Event;
use crate::util::id_slab::ClientId;
use crate::wire::view::View;

impl Room {
    /// The name of a client; empty if no view has names.
    pub fn name_of(&self, id: ClientId) -> &str {
        self.name(id)
    }

    /// The client of that name, in any case.
    pub fn find(&self, name: &str) -> Option<ClientId> {
        self.members.as_ref().and_then(|members| members.find(name))
    }

    /// The views that have a listener.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Sends a notice of the operator, escaped already, to all clients in views with names.
    ///
    /// # Errors
    /// [`FeedFull`] if one of these views has no space for it now; nothing was sent.
    pub fn say(&mut self, text: &str) -> Result<(), FeedFull> {
        let at = self.time_of_day();
        let mut lines = Vec::new();
        for (index, view) in self.views.iter().enumerate().filter(|(_, view)| view.has_names()) {
            let channel = &self.channels[index];
            if channel.is_used()
                && let Some(line) = view.render(&Event::Notice(text), &at, false)
            {
                if line.len() + 1 > channel.feed().space() {
                    return Err(FeedFull);
                }
                lines.push((index, line.into_owned()));
            }
        }
        lines.into_iter().try_for_each(|(index, line)| self.channels[index].append(None, &line))
    }
}

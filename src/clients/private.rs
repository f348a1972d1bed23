//! What one says to another alone.

use super::Clients;
use crate::chat::room::PrivateMessage;
use crate::net::transport::Transport;

impl<S: Transport> Clients<S> {
    /// Hands on what was said to one alone, and tells who said it.
    pub(super) fn deliver_private(&mut self) {
        let Some(letter) = self.room.take_private() else { return };
        let handed = self.hand_on(&letter);
        let Some(from) = self.slots.get_mut(letter.from) else { return };
        let told = match handed {
            Ok(()) => self.room.render_private(&letter, from.view(), true),
            Err(why) => self.room.reject_private(&letter, from.view(), why),
        };
        // It is heard no further than there is room for this.
        from.tell(&told);
        self.due.push(letter.from);
    }

    fn hand_on(&mut self, letter: &PrivateMessage) -> Result<(), &'static str> {
        let Some(to) = self.slots.get_mut(letter.to) else { return Err("is leaving") };
        if !to.view().has_names() {
            return Err("sees plain lines alone, and hears nothing private");
        }
        if to.writable && (to.is_behind(&self.room) || to.is_outbox_full()) {
            // Whoever takes what there is, is told each thing in its place, and has room for more.
            self.stats.written += to.write(&self.room) as u64;
            self.due.push(letter.to);
        }
        if to.is_outbox_full() {
            return Err("does not read what is there, and was not told");
        }
        if !to.is_open() {
            return Err("is leaving");
        }
        // For whoever does not, at least what was said to all before comes before.
        to.queue_text_after_feed(&self.room.render_private(letter, to.view(), false), &self.room);
        self.due.push(letter.to);
        Ok(())
    }
}

//! What one says to another alone.

use super::Crowd;
use crate::socket::Socket;

impl<S: Socket> Crowd<S> {
    /// Hands on what was said to one alone.
    pub(super) fn deliver_letters(&mut self) {
        for letter in self.room.take_letters() {
            if let Some(to) = self.roster.get_mut(letter.to)
                && to.is_outbox_full()
                && to.writable
            {
                // It may read well, and have had no time for it.
                self.counters.written += to.write(&self.room) as u64;
            }
            let taken = match self.roster.get_mut(letter.to) {
                Some(to) if !to.view().has_names() => {
                    Err("sees plain lines alone, and hears nothing private")
                }
                Some(to) if to.is_outbox_full() => Err("does not read what is there, and was not told"),
                Some(to) if to.is_open() => {
                    to.tell(&self.room.read_letter(&letter, to.view(), false));
                    self.due.push(letter.to);
                    Ok(())
                }
                _ => Err("is leaving"),
            };
            let Some(from) = self.roster.get_mut(letter.from) else { continue };
            let told = match taken {
                Ok(()) => self.room.read_letter(&letter, from.view(), true),
                Err(why) => self.room.return_letter(&letter, from.view(), why),
            };
            // It is heard no further than there is room for this.
            from.tell(&told);
            self.due.push(letter.from);
        }
    }
}

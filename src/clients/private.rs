//! Delivers a private message to its recipient, and an echo or an error to its sender.

use super::Clients;
use crate::chat::private::PrivateMessage;
use crate::net::transport::Transport;

impl<S: Transport> Clients<S> {
    /// Delivers a private message, and sends its sender the result.
    pub(super) fn deliver_private(&mut self, message: &PrivateMessage) {
        let delivered = self.deliver_to_recipient(message);
        let Some(sender) = self.slots.get_mut(message.from) else { return };
        let reply = match delivered {
            Ok(()) => self.room.render_private(message, sender.view(), true),
            Err(why) => self.room.reject_private(message, sender.view(), why),
        };
        // The sender is not read while its outbox is full, so there is space for this.
        sender.queue_text(&reply);
        self.due.push(message.from);
    }

    fn deliver_to_recipient(&mut self, message: &PrivateMessage) -> Result<(), &'static str> {
        let Some(recipient) = self.slots.get_mut(message.to) else { return Err("they are leaving") };
        if !recipient.view().has_names() {
            return Err("they are in the plain view, which has no private messages");
        }
        let feed = self.room.feed(recipient.view());
        if recipient.writable && (recipient.is_behind(feed) || recipient.is_outbox_full()) {
            // If the recipient reads, this empties its outbox, and the message keeps its place in the order.
            self.stats.written += recipient.write(feed) as u64;
            self.due.push(message.to);
        }
        if recipient.is_outbox_full() {
            return Err("they do not read what the server sends");
        }
        if !recipient.is_open() {
            return Err("they are leaving");
        }
        // If it does not read, the message still comes after the lines that are in the feed now.
        recipient.queue_text_after_feed(&self.room.render_private(message, recipient.view(), false), feed);
        self.due.push(message.to);
        Ok(())
    }
}

//! A message from one client to another alone.

use crate::util::id_slab::ClientId;

/// A private message, to be delivered by the table of clients: only it knows whether the recipient reads.
#[derive(Debug, PartialEq, Eq)]
pub struct PrivateMessage {
    /// The sender.
    pub from: ClientId,
    /// The recipient.
    pub to: ClientId,
    /// The text, escaped.
    pub text: Vec<u8>,
}

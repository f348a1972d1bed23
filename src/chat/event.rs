//! What happened in the room, before it is rendered for a view.

/// One event of the room. Text is escaped already, unless the room is raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message to everyone.
    Message {
        /// The sender's name; empty in a room without names.
        from: &'a str,
        /// The text.
        text: &'a [u8],
        /// Whether it was sent with `/me`.
        is_action: bool,
    },
    /// A client has joined.
    Joined {
        /// Its name.
        name: &'a str,
        /// How many clients are in the room now.
        here: usize,
    },
    /// A client has left.
    Left {
        /// Its name.
        name: &'a str,
    },
    /// A client has changed its name.
    Renamed {
        /// The old name.
        old: &'a str,
        /// The new name.
        new: &'a str,
    },
    /// A private message, shown to its recipient and, as an echo, to its sender.
    Private {
        /// The sender's name.
        from: &'a str,
        /// The recipient's name.
        to: &'a str,
        /// The text.
        text: &'a [u8],
        /// Whether this copy goes to the sender.
        is_echo: bool,
    },
    /// The greeting of a new client.
    Welcome {
        /// The welcome line; empty for none.
        text: &'a str,
        /// The client's name.
        name: &'a str,
        /// How many clients are in the room, this one included.
        here: usize,
        /// The names of the others, separated by `, `.
        others: &'a str,
        /// How many others are not named.
        more: usize,
    },
    /// The next lines are earlier lines.
    HistoryBegins {
        /// How many, at least 1.
        lines: usize,
    },
    /// From here on lines are new.
    HistoryEnds,
    /// Notices about members for which the feed had no space.
    Missed {
        /// How many.
        count: u64,
        /// How many clients are in the room now.
        here: usize,
    },
    /// A reply of the server.
    Notice(&'a str),
    /// A refusal or an error, with its reason.
    Error(&'a str),
}

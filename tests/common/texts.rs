//! Texts of the server that several tests assert.

/// The welcome line by default.
pub const WELCOME: &str = "Welcome to the anonymous chat room.";

/// Greeting of the named view, up to the name.
pub const YOU_ARE: &str = "* you are ";
/// Reply to `/nick NAME`, without the `* ` of the named view.
pub fn renamed(name: &str) -> String {
    format!("you are {name} now")
}

/// Replies to commands and refusals of lines, without the `* ` of the named view.
pub const HELP: &str = "6 commands: /nick NAME";
/// Lines of the reply to `/help`, of which `HELP` begins the first.
pub const HELP_LINES: usize = 1;
pub const ME_NEEDS_TEXT: &str = "/me needs what you do";
pub const MSG_NEEDS_TEXT: &str = "/msg needs a name and what to say";
pub const LINE_TOO_LONG: &str = "that line was too long and nobody saw it";

pub fn line_too_long(limit: usize) -> String {
    format!("{LINE_TOO_LONG}: {limit} bytes is the most")
}
pub fn invalid_name(_name: &str) -> String {
    "a name is of letters, digits".to_owned()
}
pub fn name_taken(name: &str) -> String {
    format!("{name} is somebody else's name: choose another")
}
pub fn name_reserved(name: &str) -> String {
    format!("names like {name} are given to newcomers")
}
pub fn nobody_named(name: &str) -> String {
    format!("nobody here is called {name}")
}
pub fn in_plain_view(name: &str) -> String {
    format!("{name} sees plain lines alone")
}

/// Refusals and disconnections, without the `* ` of the named view.
pub const NO_DESCRIPTOR: &str = "the server is full, for it can open no more connections: try again later";
pub const OTHER_PROTOCOL: &str = "this is a chat room";

pub fn room_full(clients: usize) -> String {
    format!("the room is full, with {clients} in it: try again later")
}
pub fn too_many_from_address(clients: usize) -> String {
    format!("too many from your address, with {clients} here: try again later")
}
pub fn idle_for(seconds: &str) -> String {
    format!("you said nothing for {seconds} s")
}

/// Close reasons in the log.
pub const DISCONNECTED: &str = " cut: ";
pub const READ_TOO_SLOWLY: &str = "cut: read too slowly";
pub const DID_NOT_READ_THE_REST: &str = "did not take the rest in time";
pub const CANNOT_REGISTER: &str = "refused: its socket cannot be watched";

/// Parts of the log line with the counters.
pub const CLIENT_OF_ANOTHER_PROTOCOL: &str = "of another protocol";
pub const CONNECTION_LOST: &str = "broken";
pub const REGISTER_FAILED: &str = "unwatched";
pub const LEFT: &str = "left";
pub const SERVER_STOPPING: &str = "stopping";

/// The end of a log line about the descriptor limit, and the error when it is too low.
pub fn limit_allows(allowed: usize, wanted: usize) -> String {
    format!("the limit of open files allows {allowed} clients, not {wanted}")
}
pub const LIMIT_TOO_LOW: &str =
    "hubbub: the limit of 20 open files leaves room for 7 clients: raise it with ulimit -n\n";
pub const NO_MEMORY_FOR_FEED: &str =
    "hubbub: cannot have a feed of 1073741824 bytes: Cannot allocate memory\n";

/// The text that the log shows instead of a private message.
pub const PRIVATE_IN_LOG: &str = "something for one alone";

/// `1 line`, `2 lines`.
pub fn lines(number: u64) -> String {
    if number == 1 { "1 line".to_owned() } else { format!("{number} lines") }
}

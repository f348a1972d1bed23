//! Texts of the server that several tests assert.

use hubbub::util::plural::count;

/// The welcome line by default.
pub const WELCOME: &str = "Welcome to the anonymous chat room.";

/// Greeting of the named view, up to the name.
pub const YOU_ARE: &str = "* you are ";
/// Reply to `/nick NAME`, without the `* ` of the named view.
pub fn renamed(name: &str) -> String {
    format!("you are {name} now")
}

/// Marks around the replayed lines, without the `* ` of the named view.
pub fn history_begins(number: u64) -> String {
    format!("the last {}:", lines(number))
}
pub const HISTORY_ENDS: &str = "end of history";

/// Replies to commands and refusals of lines, without the `* ` of the named view.
pub const HELP: &str = "6 commands; to send a line that begins with /, write // instead:";
/// Lines of the reply to `/help`, of which `HELP` begins the first.
pub const HELP_LINES: usize = 7;
pub fn unknown_command(word: &str) -> String {
    format!("unknown command /{word}: nothing was sent; /help lists the commands, //{word} sends it as text")
}
pub const REST_NOT_SENT: &str =
    "the rest of a line that may be private was not sent; only a line end ends such a line";
pub const ME_NEEDS_TEXT: &str = "/me needs a text, for example /me waves";
pub const MSG_NEEDS_TEXT: &str = "/msg needs a name and a text, for example /msg alice hi";
pub const LINE_TOO_LONG: &str = "line too long: nothing was sent";

pub fn line_too_long(limit: usize) -> String {
    format!("{LINE_TOO_LONG}; the limit is {limit} bytes")
}
pub fn invalid_name(name: &str) -> String {
    format!(
        "invalid name \"{name}\": use letters, digits, _ - and . (at most 24 characters), for example /nick alice"
    )
}
pub fn name_taken(name: &str) -> String {
    format!("the name \"{name}\" is taken: choose another")
}
pub fn name_reserved(name: &str) -> String {
    format!("the name \"{name}\" is reserved: choose another")
}
pub fn nobody_named(name: &str) -> String {
    format!("nobody here is named \"{name}\": /who lists who is here")
}
pub fn in_plain_view(name: &str) -> String {
    format!("{name} did not get your message: they are in the plain view, which has no private messages")
}

/// Refusals and disconnections, without the `* ` of the named view.
pub const NO_DESCRIPTOR: &str = "the server has no free file descriptor: try again later";
pub const OTHER_PROTOCOL: &str = "this is a chat room";

/// The response to an HTTP request.
pub const HTTP_REFUSAL: &str = "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 67\r\nConnection: close\r\n\r\n\
    * this is a chat room, not a web server: connect with nc or telnet\n";
/// The last line of the views with names, without the `* ` of the named view.
pub const STOPPING: &str = "the server is stopping";

pub fn room_full(clients: usize) -> String {
    format!("the room is full ({clients} clients): try again later")
}
pub fn too_many_from_address(clients: usize) -> String {
    format!("too many connections from your address ({clients}): try again later")
}
pub fn idle_for(seconds: &str) -> String {
    format!("disconnected: nothing sent for {seconds} s")
}

/// Close reasons in the log.
pub const DISCONNECTED: &str = " disconnected: ";
pub const READ_TOO_SLOWLY: &str = "disconnected: read too slowly while others waited";
pub const DID_NOT_READ_THE_REST: &str = "did not read the rest in time";
pub const CANNOT_REGISTER: &str = "refused: cannot register its socket";

/// Parts of the log line with the counters.
pub const CLIENT_OF_ANOTHER_PROTOCOL: &str = "other protocol";
pub const CONNECTION_LOST: &str = "lost";
pub const REGISTER_FAILED: &str = "not registered";
pub const LEFT: &str = "left";
pub const SERVER_STOPPING: &str = "stopped";

/// The end of a log line about the descriptor limit, and the error when it is too low.
pub fn limit_allows(allowed: usize, wanted: usize) -> String {
    format!(
        "--max-clients \"{wanted}\": the limit of open files allows only {allowed} clients: \
         raise it with ulimit -n"
    )
}
pub const LIMIT_TOO_LOW: &str =
    "hubbub: the limit of 20 open files allows 7 clients: raise it with ulimit -n\n";
pub const NO_MEMORY_FOR_FEED: &str =
    "hubbub: --feed \"1073741824\": cannot allocate the feed: Cannot allocate memory\n";

/// Why the server cannot listen.
pub const IN_USE: &str = "Address already in use";
pub const NOT_A_SOCKET: &str = "it exists and is not a socket";
pub fn given_twice(address: &str) -> String {
    format!("cannot listen on {address}: the same address is given twice")
}
pub fn is_included(address: &str, other: &str) -> String {
    format!("cannot listen on {address}: {other} includes it: give only one of them")
}
pub fn includes(address: &str, other: &str) -> String {
    format!("cannot listen on {address}: it includes {other}: give only one of them")
}

/// The text that the log shows instead of a private message.
pub const PRIVATE_IN_LOG: &str = "a private message";

/// `1 line`, `2 lines`.
pub fn lines(number: u64) -> String {
    count(number, "line")
}

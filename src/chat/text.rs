//! Words of the server that the client recognises. Both sides use these constants, so that a new wording
//! cannot break the client.

/// The end of each refusal for lack of a resource: the client may connect again later.
pub const TRY_AGAIN: &str = ": try again later";

/// The start of the refusal of a client that may not come in.
pub const NOT_ALLOWED: &str = "not allowed: ";
/// The start of the refusal of a client that does not use TLS.
pub const NEEDS_TLS: &str = "this port needs TLS: ";
/// The start of the refusal of a proxy that sends no valid PROXY header.
pub const IS_PROXY: &str = "your address is that of a proxy, and ";
/// The notice that asks for the password of the room, before anything else is sent.
pub const PASSWORD: &str = "password:";
/// The notice or error for a wrong password; the server then closes the connection.
pub const WRONG_PASSWORD: &str = "wrong password";

/// The start of the notice that tells a client its own name, after `* `.
pub const YOU_ARE: &str = "you are ";
/// The end of the same notice, if it answers `/nick NAME`.
pub const NOW: &str = " now";
/// The start of a private message, after `* `.
pub const PRIVATE_FROM: &str = "private from ";

/// The end of the error for a name that another client has, after the name.
pub const IS_TAKEN: &str = "\" is taken: choose another";
/// The end of the error for a name that no client may have, after the name.
pub const IS_RESERVED: &str = "\" is reserved: choose another";
/// The start of the error for a text that cannot be a name, before the text.
pub const INVALID_NAME: &str = "invalid name \"";

/// In each error for a line that reaches nobody.
pub const NOTHING_WAS_SENT: &str = "nothing was sent";
/// The error for a line of a client that an operator has muted.
pub const YOU_ARE_MUTED: &str = "you are muted: nothing was sent";
/// In the error for a command without its values.
pub const NEEDS_A: &str = " needs a ";
/// The start of the error for a private message to a name that nobody has, before the name.
pub const NOBODY_IS_NAMED: &str = "nobody here is named \"";
/// In the error for a private message that could not be delivered.
pub const DID_NOT_GET: &str = " did not get your message: ";
/// The start of the last line to a client that the server disconnects.
pub const DISCONNECTED: &str = "disconnected: ";
/// The start of the refusal of another protocol.
pub const CHAT_ROOM: &str = "this is a chat room";

/// Whether the first thing that the server says refuses the client.
pub fn is_refusal(text: &str) -> bool {
    text.ends_with(TRY_AGAIN)
        || [NOT_ALLOWED, NEEDS_TLS, IS_PROXY].iter().any(|start| text.starts_with(start))
}

/// Whether what the server says in any view is an error for a client in the room: a line was refused, or the
/// client is disconnected.
pub fn is_error(text: &str) -> bool {
    text.contains(NOTHING_WAS_SENT) || [DISCONNECTED, CHAT_ROOM].iter().any(|start| text.starts_with(start))
}

/// Whether what the server says is the error for a command.
pub fn is_command_error(text: &str) -> bool {
    [INVALID_NAME, NOBODY_IS_NAMED].iter().any(|start| text.starts_with(start))
        || [IS_TAKEN, IS_RESERVED].iter().any(|end| text.ends_with(end))
        || text.contains(DID_NOT_GET)
        || (text.starts_with('/') && text.contains(NEEDS_A))
}

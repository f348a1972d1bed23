//! Words of the server that the client recognises. Both sides use these constants, so that a new wording
//! cannot break the client.

/// The end of each refusal: of the line that a client gets instead of a place in the room.
pub const TRY_AGAIN: &str = ": try again later";

/// The start of the notice that tells a client its own name, after `* `.
pub const YOU_ARE: &str = "you are ";

//! Words of the server that the client recognises. Both sides use these constants, so that a new wording
//! cannot break the client.

/// The end of each refusal for lack of a resource: the client may connect again later.
pub const TRY_AGAIN: &str = ": try again later";

/// The start of the notice that tells a client its own name, after `* `.
pub const YOU_ARE: &str = "you are ";

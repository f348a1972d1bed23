//! Why a connection is refused, and what it is told.

use super::close_reason::CloseReason;
use crate::chat::text::TRY_AGAIN;
use crate::wire::http;
use crate::wire::other_protocol::OtherProtocol;

/// A reason for the log, and an answer for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: CloseReason,
    /// What the client receives before the close.
    pub answer: Answer,
}

/// What a refused client receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An error line in the client's view, from this text without `* `.
    Error(String),
    /// These bytes: the client does not speak the language of its view yet.
    Bytes(Vec<u8>),
}

impl Refusal {
    /// A refusal with an error line in the client's view.
    pub fn new(reason: CloseReason, text: impl Into<String>) -> Self {
        Self { reason, answer: Answer::Error(text.into()) }
    }

    /// The refusal of a client that may come again later: `text` says what the server lacks.
    pub fn for_now(reason: CloseReason, text: &str) -> Self {
        Self::new(reason, format!("{text}{TRY_AGAIN}"))
    }

    /// The refusal of a connection that took the spare file descriptor.
    pub fn no_descriptor() -> Self {
        Self::for_now(CloseReason::NoDescriptor, "the server has no free file descriptor")
    }

    /// The refusal of another protocol. An HTTP client receives a response.
    pub fn of_protocol(protocol: OtherProtocol) -> Self {
        let reason = CloseReason::OtherProtocol(protocol);
        match protocol {
            OtherProtocol::Http => {
                Self { reason, answer: Answer::Bytes(http::bad_request(&protocol.refusal())) }
            }
            _ => Self::new(reason, protocol.refusal()),
        }
    }
}

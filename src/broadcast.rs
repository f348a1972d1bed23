//! One order of lines for all readers, and the admission of senders.
//!
//! Pure: bytes come in rendered, time comes in as an argument; no socket, no clock, no log.

pub mod admission;
pub mod channel;
pub mod feed;
pub mod rate_limit;
pub mod send_credit;
pub mod stall_timer;

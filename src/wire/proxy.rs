//! The PROXY protocol of HAProxy: how its headers begin. A load balancer sends one before the client's own bytes.

use super::first_line::{Form, Word};

/// The first bytes of a header of version 2. They contain line ends.
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Headers of version 1: lines such as `PROXY TCP4 192.0.2.1 192.0.2.2 40000 9090`.
pub(super) const HEADERS: [Form; 2] = [
    Form(&[Word::Is("PROXY"), Word::Is("TCP4 TCP6"), Word::Any, Word::Any, Word::Number, Word::Number]),
    Form(&[Word::Is("PROXY"), Word::Is("UNKNOWN"), Word::Rest]),
];

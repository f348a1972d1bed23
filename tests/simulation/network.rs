//! What the network does with what is said.

use crate::common::random::Random;
use std::io::ErrorKind;

/// `said` in pieces, as the network may deliver it.
pub(crate) fn pieces(random: &mut Random, mut said: &[u8]) -> Vec<Vec<u8>> {
    let most = random.pick(&[1, 3, 40, 70_000]);
    let mut pieces = Vec::new();
    while !said.is_empty() {
        // A long speech byte by byte is a matter of the framing alone, and takes long.
        let least = said.len().div_ceil(40);
        let (piece, rest) = said.split_at(random.within(1..=most).max(least).min(said.len()));
        pieces.push(piece.to_vec());
        said = rest;
    }
    pieces
}

/// How a socket may break.
pub(crate) fn failure(random: &mut Random) -> ErrorKind {
    random.pick(&[
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
        ErrorKind::TimedOut,
        ErrorKind::HostUnreachable,
        ErrorKind::Other,
    ])
}

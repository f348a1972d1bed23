//! How the network delivers input, and how connections fail.

use crate::common::random::Random;
use std::io::ErrorKind;

/// Returns `sent` in split, as the network may deliver it.
pub(crate) fn split(random: &mut Random, mut sent: &[u8]) -> Vec<Vec<u8>> {
    let most = random.pick(&[1, 3, 40, 70_000]);
    let mut split = Vec::new();
    while !sent.is_empty() {
        // Long input byte by byte tests the line decoder alone, and accepts long.
        let least = sent.len().div_ceil(40);
        let (piece, rest) = sent.split_at(random.within(1..=most).max(least).min(sent.len()));
        split.push(piece.to_vec());
        sent = rest;
    }
    split
}

/// Returns an error of a lost connection.
pub(crate) fn failure(random: &mut Random) -> ErrorKind {
    random.pick(&[
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
        ErrorKind::TimedOut,
        ErrorKind::HostUnreachable,
        ErrorKind::Other,
    ])
}

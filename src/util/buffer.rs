//! Bytes held for a while: an unfinished line, or text that a client has not taken.
//!
//! Few are in malloc's memory, as any vector. Many are in memory of their own, which goes back to the
//! system with them: of a burst of long pieces malloc would keep nearly all, wherever a small one that is
//! in use stands above them.

use memmap2::MmapMut;
use std::ops::Deref;

/// More bytes than that have memory of their own, of which a part of a page is left unused.
const FEW: usize = 1024;
/// By so much a few grow at least, so that what is typed byte by byte is not moved for each.
const GROWTH: usize = 64;

/// A vector of bytes.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Few(Vec<u8>),
    /// So many bytes at the start of the memory.
    Many(MmapMut, usize),
}

impl Default for Buffer {
    fn default() -> Self {
        Self(Memory::Few(Vec::new()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Few(bytes) => bytes,
            Memory::Many(memory, count) => &memory[..*count],
        }
    }
}

impl Buffer {
    /// Adds `bytes` at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        match &mut self.0 {
            Memory::Few(few) => few.extend_from_slice(bytes),
            Memory::Many(memory, count) => {
                memory[*count..*count + bytes.len()].copy_from_slice(bytes);
                *count += bytes.len();
            }
        }
    }

    /// Removes and returns the last byte, if it is `byte`.
    pub fn pop_if(&mut self, byte: u8) -> Option<u8> {
        self.last().copied().filter(|&last| last == byte)?;
        match &mut self.0 {
            Memory::Few(few) => few.pop(),
            Memory::Many(_, count) => {
                *count -= 1;
                Some(byte)
            }
        }
    }

    /// Removes the first `gone` bytes.
    pub fn drop_first(&mut self, gone: usize) {
        match &mut self.0 {
            Memory::Few(few) => drop(few.drain(..gone)),
            Memory::Many(memory, count) => {
                memory.copy_within(gone..*count, 0);
                *count -= gone;
            }
        }
    }

    fn make_room(&mut self, more: usize) {
        let least = self.len() + more;
        let room = match &self.0 {
            Memory::Few(few) => few.capacity(),
            Memory::Many(memory, _) => memory.len(),
        };
        if least <= room {
            return;
        }
        // Doubled, for memory that is not written to costs nothing.
        if least > FEW
            && let Ok(mut memory) = MmapMut::map_anon(least.max(2 * self.len()))
        {
            let count = self.len();
            memory[..count].copy_from_slice(self);
            self.0 = Memory::Many(memory, count);
            return;
        }
        if let Memory::Many(..) = self.0 {
            self.0 = Memory::Few(self.to_vec());
        }
        if let Memory::Few(few) = &mut self.0 {
            // Not doubled: half lines of many senders cost what they hold.
            few.reserve_exact(more.max(GROWTH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_as_they_were_given_however_many() {
        for piece in [1, 7, 63, 64, 65, 1000, 1024, 1025, 5000] {
            let (mut held, mut twin) = (Buffer::default(), Vec::new());
            for number in 0..(10_000 / piece).max(3) {
                let bytes = vec![number as u8; piece];
                held.extend_from_slice(&bytes);
                twin.extend_from_slice(&bytes);
                assert_eq!(*held, twin[..]);
                if number % 3 == 0 {
                    held.drop_first(piece / 2);
                    twin.drain(..piece / 2);
                }
                let last = twin.last().copied().filter(|last| last % 2 == 0);
                assert_eq!(held.pop_if(last.unwrap_or(1)), twin.pop_if(|byte| *byte == last.unwrap_or(1)));
                assert_eq!(*held, twin[..]);
            }
        }
        assert_eq!(Buffer::default().pop_if(0), None);
    }

    #[test]
    fn a_few_bytes_take_little_more_than_they_are() {
        let mut held = Buffer::default();
        for _ in 0..FEW {
            held.extend_from_slice(b"x");
        }
        assert!(matches!(&held.0, Memory::Few(few) if few.capacity() < FEW + GROWTH));
    }
}

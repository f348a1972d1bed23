//! A byte buffer for unfinished lines and unsent text.
//!
//! Up to 1 KiB lives on the heap. Larger buffers get their own mapping (mmap), so that freeing them returns the
//! memory to the system: malloc would keep it while any smaller block above is in use.

use memmap2::MmapMut;
use std::ops::Deref;

/// The largest buffer on the heap, in bytes. A mapping wastes up to a page of 4 KiB.
const HEAP_MAX: usize = 1024;
/// A buffer on the heap grows by at least this many bytes: otherwise input of single bytes would reallocate for each.
const GROWTH: usize = 64;

/// A growable byte buffer.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Heap(Vec<u8>),
    /// A mapping, and the number of bytes used at its start.
    Mapped(MmapMut, usize),
}

impl Default for Buffer {
    fn default() -> Self {
        Self(Memory::Heap(Vec::new()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Heap(bytes) => bytes,
            Memory::Mapped(memory, count) => &memory[..*count],
        }
    }
}

impl Buffer {
    /// Adds `bytes` at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        match &mut self.0 {
            Memory::Heap(heap) => heap.extend_from_slice(bytes),
            Memory::Mapped(memory, count) => {
                memory[*count..*count + bytes.len()].copy_from_slice(bytes);
                *count += bytes.len();
            }
        }
    }

    /// Removes and returns the last byte, if it is `byte`.
    pub fn pop_if(&mut self, byte: u8) -> Option<u8> {
        self.last().copied().filter(|&last| last == byte)?;
        match &mut self.0 {
            Memory::Heap(bytes) => bytes.pop(),
            Memory::Mapped(_, count) => {
                *count -= 1;
                Some(byte)
            }
        }
    }

    /// Removes the first `count` bytes.
    pub fn drop_first(&mut self, count: usize) {
        match &mut self.0 {
            Memory::Heap(bytes) => drop(bytes.drain(..count)),
            Memory::Mapped(memory, len) => {
                memory.copy_within(count..*len, 0);
                *len -= count;
            }
        }
    }

    fn reserve(&mut self, more: usize) {
        let least = self.len() + more;
        let capacity = match &self.0 {
            Memory::Heap(bytes) => bytes.capacity(),
            Memory::Mapped(memory, _) => memory.len(),
        };
        if least <= capacity {
            return;
        }
        // Twice the size: pages that are not written to cost nothing.
        if least > HEAP_MAX
            && let Ok(mut memory) = MmapMut::map_anon(least.max(2 * self.len()))
        {
            let count = self.len();
            memory[..count].copy_from_slice(self);
            self.0 = Memory::Mapped(memory, count);
            return;
        }
        if let Memory::Mapped(..) = self.0 {
            self.0 = Memory::Heap(self.to_vec());
        }
        if let Memory::Heap(bytes) = &mut self.0 {
            // Not twice the size: many senders may have an unfinished line.
            bytes.reserve_exact(more.max(GROWTH));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_has_the_bytes_that_were_added() {
        for piece in [1, 7, 63, 64, 65, 1000, 1024, 1025, 5000] {
            let (mut buffer, mut twin) = (Buffer::default(), Vec::new());
            for number in 0..(10_000 / piece).max(3) {
                let bytes = vec![number as u8; piece];
                buffer.extend_from_slice(&bytes);
                twin.extend_from_slice(&bytes);
                assert_eq!(*buffer, twin[..]);
                if number % 3 == 0 {
                    buffer.drop_first(piece / 2);
                    twin.drain(..piece / 2);
                }
                let last = twin.last().copied().filter(|last| last % 2 == 0);
                assert_eq!(buffer.pop_if(last.unwrap_or(1)), twin.pop_if(|byte| *byte == last.unwrap_or(1)));
                assert_eq!(*buffer, twin[..]);
            }
        }
        assert_eq!(Buffer::default().pop_if(0), None);
    }

    #[test]
    fn a_small_buffer_takes_little_more_memory_than_its_bytes() {
        let mut buffer = Buffer::default();
        for _ in 0..HEAP_MAX {
            buffer.extend_from_slice(b"x");
        }
        assert!(matches!(&buffer.0, Memory::Heap(bytes) if bytes.capacity() < HEAP_MAX + GROWTH));
    }
}

//! What one vectored write takes.

use std::io::IoSlice;

/// IoSlices of one vectored write. A reader lacks one or two; who speaks between the lines of others
/// lacks one more for each time it spoke. What does not fit goes with the next write.
const SLICES: usize = 32;

/// What is owed to one reader, in order, as slices of memory that others own.
#[derive(Debug)]
pub struct IoSlices<'a> {
    slices: [IoSlice<'a>; SLICES],
    count: usize,
    bytes: usize,
}

impl Default for IoSlices<'_> {
    fn default() -> Self {
        Self { slices: [IoSlice::new(&[]); SLICES], count: 0, bytes: 0 }
    }
}

impl<'a> IoSlices<'a> {
    /// The slices, none of them empty.
    pub fn as_slices(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.count]
    }

    /// Bytes in all slices.
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is owed.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds `slice` at the end; whether there was a place for it.
    pub fn push(&mut self, slice: &'a [u8]) -> bool {
        if slice.is_empty() {
            return true;
        }
        let Some(place) = self.slices.get_mut(self.count) else { return false };
        *place = IoSlice::new(slice);
        self.count += 1;
        self.bytes += slice.len();
        true
    }
}

//! The slices of one vectored write.

use std::io::IoSlice;

/// The most slices of one write. A reader needs one or two, and one more for each range of its own lines. What
/// does not fit follows with the next write.
const MAX_SLICES: usize = 32;

/// What is pending for one reader, in order.
#[derive(Debug)]
pub struct IoSlices<'a> {
    slices: [IoSlice<'a>; MAX_SLICES],
    count: usize,
    bytes: usize,
}

impl Default for IoSlices<'_> {
    fn default() -> Self {
        Self { slices: [IoSlice::new(&[]); MAX_SLICES], count: 0, bytes: 0 }
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

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds `slice` at the end; returns whether it fitted.
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

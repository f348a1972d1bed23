//! One number for each line, in memory that grows with the lines that were sent.

/// Lines of a chunk. Memory is taken by the chunk, so that growing never copies.
const CHUNK: usize = 1 << 16;

/// A number for each line; 0 until it is set.
#[derive(Debug)]
pub(crate) struct PerLine<T> {
    chunks: Vec<Box<[T]>>,
}

impl<T: Copy + Default> PerLine<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn get(&self, line: u32) -> T {
        let line = line as usize;
        self.chunks.get(line / CHUNK).map_or_else(T::default, |chunk| chunk[line % CHUNK])
    }

    pub(crate) fn set(&mut self, line: u32, number: T) {
        let line = line as usize;
        while self.chunks.len() <= line / CHUNK {
            self.chunks.push(vec![T::default(); CHUNK].into_boxed_slice());
        }
        self.chunks[line / CHUNK][line % CHUNK] = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_own_number_which_is_0_until_it_is_set() {
        let mut numbers = PerLine::new();
        let lines = [0, 1, 65_535, 65_536, 200_000];
        for (index, line) in lines.into_iter().enumerate() {
            assert_eq!(numbers.get(line), 0);
            numbers.set(line, index as u32 + 1);
        }
        assert_eq!(lines.map(|line| numbers.get(line)), [1, 2, 3, 4, 5]);
        assert_eq!([2, 131_071, 1_000_000].map(|line| numbers.get(line)), [0; 3]);
    }
}

//! The feed against a naive model, in which each reader has a copy of its pending bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]

use hubbub::broadcast::feed::{Cursor, Feed, FeedFull, IoSlices};
use proptest::prelude::*;

/// Bytes of the feed.
const FEED: usize = 300;

/// A feed and its model.
struct Twin {
    feed: Feed,
    readers: Vec<Reader>,
}

struct Reader {
    cursor: Cursor,
    /// The bytes that it has yet to receive.
    pending: Vec<u8>,
    has_ended: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    /// A reader sends a line of that length.
    Send(usize, usize),
    /// The socket of a reader takes at most that many bytes.
    Write(usize, usize),
    /// A reader receives no line that is sent from now on.
    StopAtHead(usize),
    /// A reader receives the rest of a line that is partly written, and no more.
    StopAtLineEnd(usize),
    Leave(usize),
}

impl Twin {
    fn new(readers: usize) -> Self {
        let mut twin = Self { feed: Feed::new(FEED).unwrap(), readers: Vec::new() };
        (0..readers).for_each(|_| twin.join());
        twin
    }

    fn join(&mut self) {
        self.readers.push(Reader { cursor: self.feed.join(), pending: Vec::new(), has_ended: false });
    }

    /// Appends a line and returns whether the feed had space for it, which the model must confirm.
    fn send(&mut self, author: usize, line: &[u8]) -> bool {
        if self.readers[author].has_ended {
            return true;
        }
        let space = self.feed.space();
        let result = self.feed.append(Some(&mut self.readers[author].cursor), line);
        assert_eq!(result, if line.len() < space { Ok(()) } else { Err(FeedFull) });
        if result.is_ok() {
            for (index, reader) in self.readers.iter_mut().enumerate() {
                if index != author && !reader.has_ended {
                    reader.pending.extend_from_slice(line);
                    reader.pending.push(b'\n');
                }
            }
        }
        result.is_ok()
    }

    /// The socket of a reader takes at most `most` bytes of what the feed offers.
    fn write(&mut self, index: usize, most: usize) {
        let reader = &mut self.readers[index];
        let mut slices = IoSlices::default();
        self.feed.pending(&reader.cursor, &mut slices);
        let offered = bytes(&slices);
        assert_eq!(offered.len(), slices.len());
        assert!(slices.as_slices().iter().all(|slice| !slice.is_empty()));
        // All pending bytes, unless they are in too many slices for one write.
        assert!(reader.pending.starts_with(&offered));
        assert!(offered.len() == reader.pending.len() || slices.as_slices().len() > 16);
        let written = most.min(offered.len());
        reader.pending.drain(..written);
        self.feed.advance(&mut reader.cursor, written);
        assert_eq!(self.feed.is_behind(&mut reader.cursor), !reader.pending.is_empty());
        if written > 0 {
            assert_eq!(reader.cursor.is_mid_line(), offered[written - 1] != b'\n');
        }
        self.check_rest_of_line(index);
    }

    fn check_rest_of_line(&self, index: usize) {
        let reader = &self.readers[index];
        let mut rest = IoSlices::default();
        self.feed.rest_of_line(&reader.cursor, &mut rest);
        let end = reader.pending.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let expected = if reader.cursor.is_mid_line() { &reader.pending[..end] } else { &[] };
        assert_eq!(bytes(&rest), expected);
    }

    /// Frees the space that no reader needs, as the server does after each turn.
    fn release(&mut self) {
        let feed = &self.feed;
        let mut behind = Vec::new();
        for reader in &mut self.readers {
            if feed.is_behind(&mut reader.cursor) {
                behind.push(&reader.cursor);
            }
        }
        let slowest = behind.iter().map(|cursor| self.feed.behind(cursor)).max().unwrap_or(0);
        release(&mut self.feed, behind);
        assert_eq!(self.feed.space(), FEED - slowest);
    }

    fn step(&mut self, step: &Step) {
        let count = self.readers.len();
        match *step {
            Step::Join if count < 8 => self.join(),
            Step::Join => {}
            Step::Send(author, length) => {
                let line = (0..length).map(|at| b'a' + ((at + author) % 26) as u8).collect::<Vec<_>>();
                self.send(author % count, &line);
            }
            Step::Write(reader, most) => self.write(reader % count, most),
            Step::StopAtHead(reader) => {
                let reader = &mut self.readers[reader % count];
                self.feed.stop_at_head(&mut reader.cursor);
                reader.has_ended = true;
            }
            Step::StopAtLineEnd(reader) => {
                let reader = &mut self.readers[reader % count];
                self.feed.stop_at_line_end(&mut reader.cursor);
                let end = reader.pending.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                reader.pending.truncate(if reader.cursor.is_mid_line() { end } else { 0 });
                reader.has_ended = true;
            }
            Step::Leave(reader) => {
                if count > 1 {
                    self.readers.remove(reader % count);
                }
            }
        }
        self.release();
    }
}

/// Frees space after all readers were written to, and only `behind` still have pending bytes.
fn release<'a>(feed: &mut Feed, behind: impl IntoIterator<Item = &'a Cursor>) {
    feed.mark_all_written();
    feed.reclaim(behind.into_iter());
}

fn bytes(slices: &IoSlices<'_>) -> Vec<u8> {
    slices.as_slices().iter().flat_map(|slice| slice.to_vec()).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Join),
        8 => (0..8_usize, 0..60_usize).prop_map(|(author, length)| Step::Send(author, length)),
        8 => (0..8_usize, prop_oneof![0..4_usize, 0..80_usize, Just(1000)])
            .prop_map(|(reader, most)| Step::Write(reader, most)),
        1 => (0..8_usize).prop_map(Step::StopAtHead),
        1 => (0..8_usize).prop_map(Step::StopAtLineEnd),
        1 => (0..8_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn every_reader_receives_the_bytes_that_the_model_has_for_it(steps in steps(), readers in 1..6_usize) {
        let mut twin = Twin::new(readers);
        for step in &steps {
            twin.step(step);
        }
        for index in 0..twin.readers.len() {
            while !twin.readers[index].pending.is_empty() {
                twin.write(index, 7);
            }
        }
    }
}

proptest! {
    // Few cases, because each tries every byte boundary.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn after_a_write_that_ends_at_any_byte_the_next_write_continues_there(
        lines in prop::collection::vec((0..3_usize, 0..40_usize), 1..12),
        start in 0..FEED,
    ) {
        // The lines begin at a place in the ring where they may wrap.
        for cut in 0..=lines.iter().map(|(_, length)| length + 1).sum::<usize>() {
            let mut twin = Twin::new(3);
            for _ in 0..start {
                twin.send(1, b"");
                twin.write(0, 1);
                twin.write(2, 1);
                twin.release();
            }
            for (author, length) in &lines {
                if !twin.send(*author, &vec![b'x'; *length]) {
                    break;
                }
            }
            twin.write(0, cut);
            twin.write(0, usize::MAX);
            prop_assert!(twin.readers[0].pending.is_empty());
        }
    }
}

#[test]
fn the_feed_is_full_until_its_slowest_reader_has_received_the_oldest_line() {
    let mut twin = Twin::new(3);
    while twin.send(0, b"nine byte") {}
    assert_eq!(twin.feed.space(), 0);
    twin.write(1, usize::MAX);
    twin.release();
    assert_eq!(twin.feed.space(), 0, "reader 2 has received nothing");
    twin.write(2, 15);
    twin.release();
    assert_eq!(twin.feed.space(), 15);
    assert!(twin.send(1, b"more"));
    twin.write(2, usize::MAX);
    twin.write(0, usize::MAX);
    twin.release();
    assert_eq!(twin.feed.space(), FEED);
}

#[test]
fn a_sender_that_does_not_read_reaches_a_limit_of_skip_ranges() {
    let mut feed = Feed::new(1 << 20).unwrap();
    let (mut reading, mut stuck) = (feed.join(), feed.join());
    let mut lines = 0;
    while stuck.has_skip_capacity() {
        feed.append(Some(&mut reading), b"").expect("space");
        feed.append(Some(&mut stuck), b"").expect("space");
        feed.advance(&mut reading, 1);
        assert!(reading.has_skip_capacity());
        lines += 1;
        assert!(lines < 1 << 16, "the number of skip ranges has no limit");
    }
    feed.advance(&mut stuck, 1);
    assert!(stuck.has_skip_capacity(), "the cursor has passed one line of the other and its own next line");
}

#[test]
fn only_a_reader_more_than_half_a_feed_behind_is_stalled() {
    let mut feed = Feed::new(1000).unwrap();
    let mut author = feed.join();
    let stuck = feed.join();
    feed.append(Some(&mut author), &[b'x'; 399]).expect("space");
    let near = feed.join();
    feed.append(Some(&mut author), &[b'x'; 499]).expect("space");
    release(&mut feed, [&stuck, &near]);
    let mark = feed.stall_mark();
    assert!(!feed.tail_reached(mark));
    assert!(feed.is_stalled(&stuck, mark));
    assert!(!feed.is_stalled(&near, mark), "the reader is exactly half a feed behind");
    release(&mut feed, [&near]);
    assert!(!feed.tail_reached(mark), "the tail has moved by 400 of 500 bytes");
    release(&mut feed, []);
    assert!(feed.tail_reached(mark));
}

#[test]
fn a_join_with_history_gives_the_last_lines_up_to_half_a_feed() {
    for seed in 0..50 {
        let mut feed = Feed::with_history(FEED).unwrap();
        let mut sent = Vec::<Vec<u8>>::new();
        for number in 0..200 {
            let length = (number * 7 + seed * 13) % 23;
            let line = format!("{number:.>length$}").into_bytes();
            feed.append(None, &line).expect("no reader is behind");
            release(&mut feed, []);
            sent.push([line, b"\n".to_vec()].concat());
            for lines in [0, 1, 2, 5, 100] {
                let cursor = feed.join_with_history(lines);
                let mut slices = IoSlices::default();
                feed.pending(&cursor, &mut slices);
                let mut expected = sent[sent.len().saturating_sub(lines)..].to_vec();
                while expected.concat().len() > FEED / 2 {
                    expected.remove(0);
                }
                assert_eq!(bytes(&slices), expected.concat(), "{lines} of {number} lines");
                assert!(!cursor.is_mid_line());
                release(&mut feed, []);
            }
        }
    }
}

#[test]
fn a_join_with_history_keeps_its_lines_and_takes_no_space_from_others() {
    let mut feed = Feed::with_history(FEED).unwrap();
    for number in 0..100 {
        feed.append(None, format!("line {number}").as_bytes()).expect("no reader is behind");
        release(&mut feed, []);
    }
    let mut back = feed.join_with_history(5);
    let pending = |feed: &Feed, cursor: &Cursor| {
        let mut slices = IoSlices::default();
        feed.pending(cursor, &mut slices);
        bytes(&slices)
    };
    let history = (95..100).map(|number| format!("line {number}\n")).collect::<String>();
    assert_eq!(pending(&feed, &back), history.as_bytes());
    let mut more = Vec::new();
    while feed.append(None, b"more").is_ok() {
        more.extend_from_slice(b"more\n");
    }
    let all = [history.as_bytes(), &more].concat();
    assert_eq!(pending(&feed, &back), all, "no pending line was overwritten");
    // With a full feed a new reader receives half of it, and the free space does not change.
    let space = feed.space();
    let late = feed.join_with_history(1000);
    let replayed = pending(&feed, &late);
    assert!(all.ends_with(&replayed) && replayed.len() <= FEED / 2, "{} bytes", replayed.len());
    assert!(replayed.len() + "line 95\n".len() > FEED / 2, "{} bytes", replayed.len());
    assert_eq!(feed.space(), space);
    feed.advance(&mut back, all.len());
    assert!(!feed.is_behind(&mut back));
}

#[test]
fn a_stuck_reader_with_history_costs_the_others_no_byte_wherever_the_ring_begins() {
    // For each distance of the head from the start of the ring.
    for lines in 3..200 {
        let mut feed = Feed::with_history(FEED).unwrap();
        let send = |feed: &mut Feed, number: usize| feed.append(None, format!("line {number}").as_bytes());
        for number in 0..lines {
            send(&mut feed, number).expect("no reader is behind");
            release(&mut feed, []);
        }
        let mut number = lines;
        let stuck = feed.join_with_history(3);
        let mut reader = feed.join();
        let first = number;
        for _ in 0..10 {
            release(&mut feed, [&stuck, &reader]);
            send(&mut feed, number).expect("space for some lines");
            number += 1;
        }
        let sent = |from: usize| (from..number).map(|number| format!("line {number}\n")).collect::<String>();
        for (cursor, from) in [(&stuck, first - 3), (&reader, first)] {
            let mut slices = IoSlices::default();
            feed.pending(cursor, &mut slices);
            assert_eq!(String::from_utf8_lossy(&bytes(&slices)), sent(from), "after {lines} lines");
        }
        feed.advance(&mut reader, sent(first).len());
        release(&mut feed, [&stuck, &reader]);
        release(&mut feed, [&reader]);
        assert_eq!(feed.space(), FEED, "after the stuck reader has left");
    }
}

#[test]
fn lines_appended_after_all_readers_were_written_to_are_kept() {
    let mut feed = Feed::new(FEED).unwrap();
    let mut reader = feed.join();
    feed.append(None, b"one").expect("space");
    // No reader was written to since, so the list of readers that are behind does not cover this line.
    feed.reclaim(std::iter::empty());
    assert_eq!(feed.space(), FEED - 4);
    feed.append(None, b"two").expect("space");
    let mut slices = IoSlices::default();
    feed.pending(&reader, &mut slices);
    assert_eq!(bytes(&slices), b"one\ntwo\n");
    feed.advance(&mut reader, 8);
    release(&mut feed, []);
    assert_eq!(feed.space(), FEED);
}

#[test]
fn memory_returns_after_a_burst_except_for_the_history() {
    const BIG: usize = 1 << 20;
    for lines in [0, 1, 5, 100, 100_000] {
        let mut feed = Feed::with_history(BIG).unwrap();
        let mut sent = Vec::new();
        let mut send = |feed: &mut Feed, count: usize| {
            for _ in 0..count {
                let line = format!("line {}", sent.len());
                feed.append(None, line.as_bytes()).expect("no reader is behind");
                release(feed, []);
                sent.push(line + "\n");
            }
            sent[sent.len().saturating_sub(lines)..].concat()
        };
        let replay = |feed: &mut Feed| {
            let cursor = feed.join_with_history(lines);
            let mut slices = IoSlices::default();
            feed.pending(&cursor, &mut slices);
            let replayed = String::from_utf8(bytes(&slices)).unwrap();
            release(feed, []);
            replayed
        };
        for count in [100_000, 3, 30_000, 1] {
            let expected = send(&mut feed, count);
            feed.trim(lines);
            assert!(!feed.has_slack(), "{lines} lines");
            let replayed = replay(&mut feed);
            assert!(expected.ends_with(&replayed), "{lines} lines");
            let is_all = replayed.len() == expected.len();
            let is_enough = is_all || lines == 100_000 && replayed.len() > BIG / 2 - 20;
            assert!(is_enough, "{} bytes of {lines} lines", replayed.len());
        }
    }
}

#[test]
fn after_memory_returned_a_new_reader_gets_the_same_history_even_if_a_reader_was_stuck_before() {
    for lines in 100..400 {
        let mut feed = Feed::with_history(20 * FEED).unwrap();
        let stuck = feed.join();
        let mut all = String::new();
        for number in 0..lines {
            let line = format!("line {number} {}", "x".repeat(number % 90));
            if feed.append(None, line.as_bytes()).is_err() {
                break;
            }
            all += &(line + "\n");
            feed.mark_all_written();
            feed.reclaim([&stuck].into_iter());
        }
        let replay = |feed: &mut Feed| {
            let cursor = feed.join_with_history(100_000);
            let mut slices = IoSlices::default();
            feed.pending(&cursor, &mut slices);
            String::from_utf8(bytes(&slices)).unwrap()
        };
        let before = replay(&mut feed);
        // The stuck reader leaves, and with it the reason to keep more.
        release(&mut feed, []);
        feed.trim(100_000);
        let after = replay(&mut feed);
        for replayed in [&before, &after] {
            assert!(all.ends_with(replayed) && replayed.len() <= 10 * FEED, "after {lines} lines");
        }
        assert_eq!(before, after, "after {lines} lines");
    }
}

#[test]
fn memory_of_long_lines_returns_after_short_lines_have_replaced_them() {
    let mut feed = Feed::with_history(1 << 20).unwrap();
    for (length, lines) in [(8000, 200), (10, 8000)] {
        for _ in 0..lines {
            feed.append(None, &vec![b'x'; length]).expect("no reader is behind");
            release(&mut feed, []);
        }
        feed.trim(50);
    }
    assert!(feed.resident() < 64 * 1024, "{} bytes for 50 lines of 10 bytes", feed.resident());
}

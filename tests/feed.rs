//! The feed against a naive model: a list of lines, and for each reader a copy of what it is owed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "that is how a test fails")]

use hubbub::broadcast::feed::{Cursor, Feed, FeedFull, IoSlices};
use proptest::prelude::*;

const FEED: usize = 300;

/// A feed and its model.
struct Twin {
    feed: Feed,
    readers: Vec<Reader>,
}

struct Reader {
    cursor: Cursor,
    /// All that it is owed and was not given.
    owed: Vec<u8>,
    ended: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Join,
    /// A reader, and how long its line is.
    Say(usize, usize),
    /// A reader, and how many bytes its socket takes.
    Take(usize, usize),
    /// A reader is owed no more than until now.
    EndHere(usize),
    /// A reader is owed no more than the line that it stands in.
    EndAtLine(usize),
    Leave(usize),
}

impl Twin {
    fn new(readers: usize) -> Self {
        let mut twin = Self { feed: Feed::new(FEED).unwrap(), readers: Vec::new() };
        (0..readers).for_each(|_| twin.join());
        twin
    }

    fn join(&mut self) {
        self.readers.push(Reader { cursor: self.feed.join(), owed: Vec::new(), ended: false });
    }

    /// Says a line, if there is room as the model counts it; whether there was.
    fn say(&mut self, author: usize, line: &[u8]) -> bool {
        let author_left = self.readers[author].ended;
        if author_left {
            return true;
        }
        let room = self.feed.room();
        let said = self.feed.append(Some(&mut self.readers[author].cursor), line);
        assert_eq!(said, if line.len() < room { Ok(()) } else { Err(FeedFull) });
        if said.is_ok() {
            for (index, reader) in self.readers.iter_mut().enumerate() {
                if index != author && !reader.ended {
                    reader.owed.extend_from_slice(line);
                    reader.owed.push(b'\n');
                }
            }
        }
        said.is_ok()
    }

    /// A reader's socket takes up to `most` bytes of what the feed offers.
    fn take(&mut self, index: usize, most: usize) {
        let reader = &mut self.readers[index];
        let mut slices = IoSlices::default();
        self.feed.owed(&reader.cursor, &mut slices);
        let offered = bytes(&slices);
        assert_eq!(offered.len(), slices.len());
        assert!(slices.as_slices().iter().all(|slice| !slice.is_empty()));
        // All of it, unless there were too many pieces for one write.
        assert!(reader.owed.starts_with(&offered));
        assert!(offered.len() == reader.owed.len() || slices.as_slices().len() > 16);
        let taken = most.min(offered.len());
        reader.owed.drain(..taken);
        self.feed.advance(&mut reader.cursor, taken);
        assert_eq!(self.feed.is_behind(&mut reader.cursor), !reader.owed.is_empty());
        if taken > 0 {
            assert_eq!(reader.cursor.is_mid_line(), offered[taken - 1] != b'\n');
        }
        self.check_rest_of_line(index);
    }

    fn check_rest_of_line(&self, index: usize) {
        let reader = &self.readers[index];
        let mut rest = IoSlices::default();
        self.feed.rest_of_line(&reader.cursor, &mut rest);
        let end = reader.owed.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let expected = if reader.cursor.is_mid_line() { &reader.owed[..end] } else { &[] };
        assert_eq!(bytes(&rest), expected);
    }

    fn release(&mut self) {
        let feed = &self.feed;
        let mut behind = Vec::new();
        for reader in &mut self.readers {
            if feed.is_behind(&mut reader.cursor) {
                behind.push(&reader.cursor);
            }
        }
        let slowest = behind.iter().map(|cursor| self.feed.behind(cursor)).max().unwrap_or(0);
        forget(&mut self.feed, behind);
        assert_eq!(self.feed.room(), FEED - slowest);
    }

    fn step(&mut self, step: &Step) {
        let count = self.readers.len();
        match *step {
            Step::Join if count < 8 => self.join(),
            Step::Join => {}
            Step::Say(author, length) => {
                let line = (0..length).map(|at| b'a' + ((at + author) % 26) as u8).collect::<Vec<_>>();
                self.say(author % count, &line);
            }
            Step::Take(reader, most) => self.take(reader % count, most),
            Step::EndHere(reader) => {
                let reader = &mut self.readers[reader % count];
                self.feed.stop_at_head(&mut reader.cursor);
                reader.ended = true;
            }
            Step::EndAtLine(reader) => {
                let reader = &mut self.readers[reader % count];
                self.feed.stop_at_line_end(&mut reader.cursor);
                let end = reader.owed.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                reader.owed.truncate(if reader.cursor.is_mid_line() { end } else { 0 });
                reader.ended = true;
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

/// All were served, and of them those are behind.
fn forget<'a>(feed: &mut Feed, behind: impl IntoIterator<Item = &'a Cursor>) {
    feed.mark_all_written();
    feed.release(behind.into_iter());
}

fn bytes(slices: &IoSlices<'_>) -> Vec<u8> {
    slices.as_slices().iter().flat_map(|slice| slice.to_vec()).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => Just(Step::Join),
        8 => (0..8_usize, 0..60_usize).prop_map(|(author, length)| Step::Say(author, length)),
        8 => (0..8_usize, prop_oneof![0..4_usize, 0..80_usize, Just(1000)])
            .prop_map(|(reader, most)| Step::Take(reader, most)),
        1 => (0..8_usize).prop_map(Step::EndHere),
        1 => (0..8_usize).prop_map(Step::EndAtLine),
        1 => (0..8_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #[test]
    fn every_reader_is_given_what_the_model_owes_it(steps in steps(), readers in 1..6_usize) {
        let mut twin = Twin::new(readers);
        for step in &steps {
            twin.step(step);
        }
        for index in 0..twin.readers.len() {
            while !twin.readers[index].owed.is_empty() {
                twin.take(index, 7);
            }
        }
    }

}

proptest! {
    // Each case tries every byte boundary.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_write_that_ends_at_any_byte_goes_on_with_the_next(
        lines in prop::collection::vec((0..3_usize, 0..40_usize), 1..12),
        start in 0..FEED,
    ) {
        // Everything that is offered is first brought to a place in the ring that may make it wrap.
        for cut in 0..=lines.iter().map(|(_, length)| length + 1).sum::<usize>() {
            let mut twin = Twin::new(3);
            for _ in 0..start {
                twin.say(1, b"");
                twin.take(0, 1);
                twin.take(2, 1);
                twin.release();
            }
            for (author, length) in &lines {
                if !twin.say(*author, &vec![b'x'; *length]) {
                    break;
                }
            }
            twin.take(0, cut);
            twin.take(0, usize::MAX);
            prop_assert!(twin.readers[0].owed.is_empty());
        }
    }
}

#[test]
fn the_feed_is_full_when_its_slowest_reader_has_not_taken_the_oldest_line() {
    let mut twin = Twin::new(3);
    while twin.say(0, b"nine byte") {}
    assert_eq!(twin.feed.room(), 0);
    twin.take(1, usize::MAX);
    twin.release();
    assert_eq!(twin.feed.room(), 0, "2 has taken nothing");
    twin.take(2, 15);
    twin.release();
    assert_eq!(twin.feed.room(), 15);
    assert!(twin.say(1, b"more"));
    twin.take(2, usize::MAX);
    twin.take(0, usize::MAX);
    twin.release();
    assert_eq!(twin.feed.room(), FEED);
}

#[test]
fn who_speaks_without_reading_comes_to_an_end_before_the_memory_of_it_does() {
    let mut feed = Feed::new(1 << 20).unwrap();
    let (mut reads, mut does_not) = (feed.join(), feed.join());
    let mut said = 0;
    while does_not.has_skip_capacity() {
        feed.append(Some(&mut reads), b"").expect("room");
        feed.append(Some(&mut does_not), b"").expect("room");
        feed.advance(&mut reads, 1);
        assert!(reads.has_skip_capacity());
        said += 1;
        assert!(said < 1 << 16, "what is remembered of its own lines is not bounded");
    }
    feed.advance(&mut does_not, 1);
    assert!(does_not.has_skip_capacity(), "it read one line and passed its own");
}

#[test]
fn readers_who_lag_are_told_from_those_who_are_near() {
    let mut feed = Feed::new(1000).unwrap();
    let mut author = feed.join();
    let stuck = feed.join();
    feed.append(Some(&mut author), &[b'x'; 399]).expect("room");
    let near = feed.join();
    feed.append(Some(&mut author), &[b'x'; 499]).expect("room");
    forget(&mut feed, [&stuck, &near]);
    let mark = feed.stall_mark();
    assert!(!feed.tail_reached(mark));
    assert!(feed.is_stalled(&stuck, mark));
    assert!(!feed.is_stalled(&near, mark), "it is half a feed behind and not more");
    forget(&mut feed, [&near]);
    assert!(!feed.tail_reached(mark), "400 of the 500 that were asked for");
    forget(&mut feed, []);
    assert!(feed.tail_reached(mark));
}

#[test]
fn who_joins_some_lines_back_is_owed_those_lines_and_no_more_than_half_a_feed_of_them() {
    for seed in 0..50 {
        let mut feed = Feed::with_history(FEED).unwrap();
        let mut said = Vec::<Vec<u8>>::new();
        for number in 0..200 {
            let length = (number * 7 + seed * 13) % 23;
            let line = format!("{number:.>length$}").into_bytes();
            feed.append(None, &line).expect("nobody lacks anything");
            forget(&mut feed, []);
            said.push([line, b"\n".to_vec()].concat());
            for lines in [0, 1, 2, 5, 100] {
                let cursor = feed.join_with_history(lines);
                let mut slices = IoSlices::default();
                feed.owed(&cursor, &mut slices);
                let mut expected = said[said.len().saturating_sub(lines)..].to_vec();
                while expected.concat().len() > FEED / 2 {
                    expected.remove(0);
                }
                assert_eq!(bytes(&slices), expected.concat(), "{lines} of {number} lines");
                assert!(!cursor.is_mid_line());
                forget(&mut feed, []);
            }
        }
    }
}

#[test]
fn who_joins_back_keeps_what_it_is_owed_and_yields_where_others_need_the_feed() {
    let mut feed = Feed::with_history(FEED).unwrap();
    for number in 0..100 {
        feed.append(None, format!("line {number}").as_bytes()).expect("nobody lacks anything");
        forget(&mut feed, []);
    }
    let mut back = feed.join_with_history(5);
    let owed = |feed: &Feed, cursor: &Cursor| {
        let mut slices = IoSlices::default();
        feed.owed(cursor, &mut slices);
        bytes(&slices)
    };
    let history = (95..100).map(|number| format!("line {number}\n")).collect::<String>();
    assert_eq!(owed(&feed, &back), history.as_bytes());
    let mut more = Vec::new();
    while feed.append(None, b"more").is_ok() {
        more.extend_from_slice(b"more\n");
    }
    let all = [history.as_bytes(), &more].concat();
    assert_eq!(owed(&feed, &back), all, "nothing was written over");
    // The feed is full: a newcomer is owed half of it, and whoever is_stalled already is not made worse.
    let room = feed.room();
    let late = feed.join_with_history(1000);
    let told = owed(&feed, &late);
    assert!(all.ends_with(&told) && told.len() <= FEED / 2, "{} bytes", told.len());
    assert!(told.len() + "line 95\n".len() > FEED / 2, "{} bytes", told.len());
    assert_eq!(feed.room(), room);
    feed.advance(&mut back, all.len());
    assert!(!feed.is_behind(&mut back));
}

#[test]
fn who_joined_back_and_does_not_read_costs_no_one_a_byte_however_often_the_ring_turned() {
    // However near the ring's start the head stands.
    for lines in 3..200 {
        let mut feed = Feed::with_history(FEED).unwrap();
        let say = |feed: &mut Feed, number: usize| feed.append(None, format!("line {number}").as_bytes());
        for number in 0..lines {
            say(&mut feed, number).expect("nobody lacks anything");
            forget(&mut feed, []);
        }
        let mut number = lines;
        let stuck = feed.join_with_history(3);
        let mut reader = feed.join();
        let first = number;
        for _ in 0..10 {
            forget(&mut feed, [&stuck, &reader]);
            say(&mut feed, number).expect("there is room for some");
            number += 1;
        }
        let said = |from: usize| (from..number).map(|number| format!("line {number}\n")).collect::<String>();
        for (cursor, from) in [(&stuck, first - 3), (&reader, first)] {
            let mut slices = IoSlices::default();
            feed.owed(cursor, &mut slices);
            assert_eq!(String::from_utf8_lossy(&bytes(&slices)), said(from), "after {lines} lines");
        }
        feed.advance(&mut reader, said(first).len());
        forget(&mut feed, [&stuck, &reader]);
        forget(&mut feed, [&reader]);
        assert_eq!(feed.room(), FEED, "once the stuck one is gone");
    }
}

#[test]
fn what_was_said_since_all_were_served_is_not_forgotten() {
    let mut feed = Feed::new(FEED).unwrap();
    let mut reader = feed.join();
    feed.append(None, b"one").expect("room");
    // Nobody was given anything yet, so nobody is known to be behind.
    feed.release(std::iter::empty());
    assert_eq!(feed.room(), FEED - 4);
    feed.append(None, b"two").expect("room");
    let mut slices = IoSlices::default();
    feed.owed(&reader, &mut slices);
    assert_eq!(bytes(&slices), b"one\ntwo\n");
    feed.advance(&mut reader, 8);
    forget(&mut feed, []);
    assert_eq!(feed.room(), FEED);
}

#[test]
fn what_a_burst_took_is_given_back_but_for_the_history() {
    const BIG: usize = 1 << 20;
    for lines in [0, 1, 5, 100, 100_000] {
        let mut feed = Feed::with_history(BIG).unwrap();
        let mut said = Vec::new();
        let mut say = |feed: &mut Feed, count: usize| {
            for _ in 0..count {
                let line = format!("line {}", said.len());
                feed.append(None, line.as_bytes()).expect("nobody lacks anything");
                forget(feed, []);
                said.push(line + "\n");
            }
            said[said.len().saturating_sub(lines)..].concat()
        };
        let owed = |feed: &mut Feed| {
            let cursor = feed.join_with_history(lines);
            let mut slices = IoSlices::default();
            feed.owed(&cursor, &mut slices);
            let owed = String::from_utf8(bytes(&slices)).unwrap();
            forget(feed, []);
            owed
        };
        for count in [100_000, 3, 30_000, 1] {
            let expected = say(&mut feed, count);
            feed.trim_memory(lines);
            assert!(!feed.has_slack(), "{lines} lines");
            let owed = owed(&mut feed);
            assert!(expected.ends_with(&owed), "{lines} lines");
            let is_all = owed.len() == expected.len();
            assert!(
                is_all || lines == 100_000 && owed.len() > BIG / 2 - 20,
                "{} of {lines} lines",
                owed.len()
            );
        }
    }
}

#[test]
fn who_joins_after_memory_was_given_back_is_owed_what_was_kept_whoever_lagged_before() {
    for said in 100..400 {
        let mut feed = Feed::with_history(20 * FEED).unwrap();
        let stuck = feed.join();
        let mut all = String::new();
        for number in 0..said {
            let line = format!("line {number} {}", "x".repeat(number % 90));
            if feed.append(None, line.as_bytes()).is_err() {
                break;
            }
            all += &(line + "\n");
            feed.mark_all_written();
            feed.release([&stuck].into_iter());
        }
        let owed = |feed: &mut Feed| {
            let cursor = feed.join_with_history(100_000);
            let mut slices = IoSlices::default();
            feed.owed(&cursor, &mut slices);
            String::from_utf8(bytes(&slices)).unwrap()
        };
        let before = owed(&mut feed);
        // The stuck one goes, and with it the reason to keep more.
        forget(&mut feed, []);
        feed.trim_memory(100_000);
        let after = owed(&mut feed);
        for owed in [&before, &after] {
            assert!(all.ends_with(owed) && owed.len() <= 10 * FEED, "after {said} lines");
        }
        assert_eq!(before, after, "after {said} lines");
    }
}

#[test]
fn what_long_lines_took_is_given_back_once_short_ones_have_taken_their_place() {
    let mut feed = Feed::with_history(1 << 20).unwrap();
    for (length, lines) in [(8000, 200), (10, 8000)] {
        for _ in 0..lines {
            feed.append(None, &vec![b'x'; length]).expect("nobody lacks anything");
            forget(&mut feed, []);
        }
        feed.trim_memory(50);
    }
    assert!(feed.resident() < 64 * 1024, "{} bytes are kept for 50 lines of 10", feed.resident());
}

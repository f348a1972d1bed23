//! The crowd's turn with scripted sockets and a clock set by hand: who is read, written to, cut, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "that is how a test fails")]

mod common;

use common::table::*;
use hubbub::broadcast::rate_limit::RateLimit;
use hubbub::chat::room::{Room, RoomConfig};
use hubbub::clients::close_reason::CloseReason;
use hubbub::clients::ClientLimits;
use hubbub::net::fd_limit::ConnectionBudget;
use hubbub::net::peer::Peer;
use hubbub::util::id_slab::ClientId;
use hubbub::wire::line_decoder::LineRules;
use hubbub::wire::view::View;
use std::io::ErrorKind;
use std::time::Duration;

/// Numbered lines, `bytes` in all, each of 20.
fn lines(bytes: usize) -> Vec<u8> {
    (0..bytes / 20).flat_map(|number| format!("line number {number:7}\n").into_bytes()).collect()
}

#[test]
fn e1_a_report_for_someone_gone_does_not_reach_who_took_the_place() {
    let (mut table, [old, other]) = Table::of(FEED);
    old.will_end();
    table.is_readable(&old);
    table.settle();
    assert!(old.is_gone());
    let new = table.join();
    table.settle();
    assert!(!table.clients.mark_ready(old.key, true, true, table.now), "nobody has that key any more");
    assert!(!table.clients.has_work());
    assert_eq!(new.script().reads, 0);
    table.says(&other, "hello\n");
    new.has_heard("hello\n");
}

#[test]
fn e2_a_report_for_a_key_that_nobody_ever_had_is_no_more_than_that() {
    let (mut table, [one]) = Table::of(FEED);
    for number in [one.key.number() + 1, 4711, ClientId::FIRST_FREE, usize::MAX] {
        let stale = table.clients.stats.stale;
        assert!(!table.clients.mark_ready(ClientId::from_number(number), true, true, table.now));
        assert_eq!(table.clients.stats.stale, stale + 1, "it is counted");
        table.clients.mark_reset(ClientId::from_number(number));
    }
    table.settle();
    assert_eq!(table.clients.online(), 1);
}

#[test]
fn e3_who_ends_while_a_line_is_written_to_all_is_removed_after_the_others_have_it() {
    let (mut table, [speaker, before, ends, after]) = Table::of(FEED);
    ends.takes([], Take::Fail(ErrorKind::Interrupted));
    speaker.will_read("hello\n");
    table.is_readable(&speaker);
    table.clients.read(table.now);
    table.write();
    assert_eq!(table.clients.online(), 4, "nobody is removed by the writing itself");
    before.has_heard("hello\n");
    after.has_heard("hello\n");
    table.clients.sweep(table.now);
    assert!(ends.is_gone());
    assert_eq!(table.clients.online(), 3);
    table.settle();
    table.says(&speaker, "again\n");
    after.has_heard("hello\nagain\n");
}

#[test]
fn e4_a_failed_write_to_any_one_costs_the_others_nothing_and_its_last_words_are_relayed() {
    for broken in 1..5 {
        let (mut table, clients) = Table::of::<5>(FEED);
        clients[broken].takes([], Take::Fail(ErrorKind::ConnectionReset));
        clients[broken].will_read("last ");
        clients[broken].will_read("words\nunfinished");
        clients[broken].will_fail(ErrorKind::ConnectionReset);
        table.says(&clients[0], "hello\n");
        clients[0].has_heard("last words\n");
        for (number, client) in clients.iter().enumerate().skip(1).filter(|&(number, _)| number != broken) {
            client.has_heard("hello\nlast words\n");
            assert!(!client.is_gone(), "{number} stays");
        }
        assert!(clients[broken].is_gone());
        assert_eq!(clients[broken].script().writes, 1, "a failed write is not tried again");
        assert_eq!((table.broken(), table.clients.stats.torn, table.clients.online()), (1, 1, 4));
    }
}

#[test]
fn e4_a_failed_write_ends_the_connection_though_its_peer_says_nothing_more() {
    let (mut table, [speaker, broken, other]) = Table::of(FEED);
    broken.takes([], Take::Fail(ErrorKind::ConnectionReset));
    table.says(&speaker, "hello\n");
    other.has_heard("hello\n");
    table.passes(STALL_TIMEOUT);
    assert!(broken.is_gone(), "who cannot be told anything does not stay as a ghost");
    assert_eq!((table.broken(), table.clients.online()), (1, 2));
}

#[test]
fn e5_the_line_of_a_sender_that_is_cut_while_it_is_written_reaches_everyone() {
    for cut in [ErrorKind::BrokenPipe, ErrorKind::Interrupted] {
        let (mut table, [other, sender, listener]) = Table::of(FEED);
        // Both speak in one turn, so that the sender is written to in its own broadcast.
        sender.takes([], Take::Fail(cut));
        sender.will_read("of the sender\n");
        other.will_read("of the other\n");
        table.is_readable(&sender);
        table.is_readable(&other);
        table.turn();
        other.has_heard("of the sender\n");
        listener.has_heard("of the sender\nof the other\n");
        sender.will_end();
        table.settle();
        assert!(sender.is_gone());
        sender.has_heard("");
        table.says(&other, "more\n");
        listener.has_heard("of the sender\nof the other\nmore\n");
        other.has_heard("of the sender\n");
    }
}

#[test]
fn e5_a_line_and_a_reset_in_one_turn_are_a_line_and_a_goodbye() {
    let (mut table, [sender, listener]) = Table::of(FEED);
    sender.will_read("close_reason\n");
    sender.will_fail(ErrorKind::ConnectionReset);
    table.is_readable(&sender);
    table.settle();
    listener.has_heard("close_reason\n");
    assert!(sender.is_gone());
}

#[test]
fn e6_many_who_end_in_one_turn_in_every_way_are_all_gone_soon_and_cost_nobody_else() {
    let mut table = Table::new(FEED, "");
    let clients = (0..200).map(|_| table.join()).collect::<Vec<_>>();
    table.settle();
    let mut last_words = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        match number % 5 {
            0 => continue,
            1 => client.will_end(),
            2 => client.will_fail(ErrorKind::ConnectionReset),
            3 => {
                client.takes([], Take::Fail(ErrorKind::BrokenPipe));
                client.will_end();
            }
            _ => client.edit().read_always_fails = Some(ErrorKind::Interrupted),
        }
        if number % 5 == 1 {
            client.edit().input.push_front(Ok(format!("{number} leaves\n").into_bytes()));
            last_words.extend_from_slice(format!("{number} leaves\n").as_bytes());
        }
        table.is_readable(client);
    }
    let mut turns = 0;
    while table.clients.has_work() {
        table.turn();
        turns += 1;
        assert!(turns < 10, "ending is a matter of a few turns");
    }
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(client.is_gone(), number % 5 != 0, "{number}");
        if number % 5 == 0 {
            client.has_heard(&last_words);
        }
    }
    assert_eq!(table.clients.online(), 40);
    assert_eq!(table.clients.stats.closed.iter().sum::<u64>(), 160, "each is counted once");
}

#[test]
fn e7_writes_cut_at_any_two_bytes_lose_and_double_nothing_and_mix_no_lines() {
    let told = "welcome\nfirst\nsecond\nthird\nfourth\n";
    let answer = b"\xFF\xFC\x01";
    for first in 1..=told.len() {
        for second in 1..=told.len() {
            let mut table = Table::new(4096, "welcome");
            let (reader, speaker) = (table.join(), table.join());
            reader.takes([Take::Bytes(first)], Take::NotNow);
            table.says(&speaker, "first\nsecond\n");
            table.says(&reader, b"mine\n\xFF\xFD\x01");
            table.says(&speaker, "third\n");
            table.says(&reader, "mine too\n");
            table.says(&speaker, "fourth\n");
            table.gives(&reader, second);
            table.gives_all(&reader);
            speaker.has_heard("welcome\nmine\nmine too\n");
            let mut heard = reader.heard();
            let at = heard.windows(3).position(|bytes| bytes == answer).unwrap();
            assert!(at == 0 || heard[at - 1] == b'\n', "cut at {first} and {second}: an answer in a line");
            heard.drain(at..at + 3);
            assert_eq!(String::from_utf8_lossy(&heard), told, "cut at {first} and {second}");
        }
    }
}

#[test]
fn e7_writes_of_any_length_bring_the_exact_stream_around_the_ring() {
    let said =
        (0..150).flat_map(|n| format!("{n} {}\n", "x".repeat(n % 25)).into_bytes()).collect::<Vec<_>>();
    for length in 1..=100 {
        let (mut table, [reader, speaker]) = Table::of(512);
        reader.takes([], Take::NotNow);
        table.says(&speaker, &said);
        assert!(speaker.unread() > 512, "the ring is passed more than once");
        let mut own = Vec::new();
        for step in 0..said.len() {
            if reader.heard().len() == said.len() {
                break;
            }
            if step % 7 == 0 && own.len() < 300 {
                own.extend_from_slice(format!("own {step}\n").as_bytes());
                reader.will_read(format!("own {step}\n"));
                table.is_readable(&reader);
            }
            table.gives(&reader, length);
        }
        reader.has_heard(&said);
        speaker.has_heard(&own);
    }
}

#[test]
fn e8_a_reader_that_took_a_part_is_written_to_again_when_it_is_writable_and_not_before() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::Bytes(3)], Take::NotNow);
    table.says(&speaker, "hello\n");
    reader.has_heard("hel");
    let writes = reader.script().writes;
    table.says(&speaker, "again\n");
    assert_eq!(reader.script().writes, writes, "it would block: nothing is tried until it is reported");
    table.gives_all(&reader);
    reader.has_heard("hello\nagain\n");
}

#[test]
fn e8_a_short_write_goes_on_without_a_report() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::Bytes(3), Take::Bytes(2)], Take::All);
    table.says(&speaker, "hello, all of you\n");
    reader.has_heard("hello, all of you\n");
    assert_eq!(reader.script().writes, 3);
}

#[test]
fn e8_who_was_writable_when_nothing_was_owed_is_written_to_at_once_later() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([Take::NotNow], Take::All);
    table.says(&speaker, "one\n");
    table.is_writable(&reader);
    table.settle();
    table.is_writable(&reader);
    table.settle();
    table.says(&speaker, "two\n");
    table.says(&speaker, "three\n");
    reader.has_heard("one\ntwo\nthree\n");
}

#[test]
fn e9_writable_with_nothing_owed_writes_nothing_and_is_no_work_afterwards() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    table.says(&speaker, "hello\n");
    assert_eq!((reader.script().writes, speaker.script().writes), (1, 0));
    for _ in 0..10 {
        table.is_writable(&reader);
        table.is_writable(&speaker);
        table.turn();
        assert!(!table.clients.has_work());
    }
    assert_eq!((reader.script().writes, speaker.script().writes), (1, 0));
}

#[test]
fn e10_a_sender_held_for_want_of_room_is_read_again_without_a_report() {
    let (mut table, [reader, flooder, other]) = Table::of(FEED);
    let flood = lines(5 * FEED);
    reader.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    let (reads, unread) = (flooder.script().reads, flooder.unread());
    assert!(unread > 3 * FEED, "it waits with {unread} bytes unread");
    table.is_readable(&flooder);
    table.turn();
    assert!(!table.clients.has_work(), "waiting is no work");
    assert_eq!(flooder.script().reads, reads);
    table.gives_all(&reader);
    assert_eq!(flooder.unread(), 0);
    reader.has_heard(&flood);
    other.has_heard(&flood);
}

#[test]
fn e10_a_sender_held_for_a_reader_that_ends_is_read_again_without_a_report() {
    let (mut table, [reader, flooder, other]) = Table::of(FEED);
    let flood = lines(5 * FEED);
    reader.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    assert!(flooder.unread() > 0);
    reader.will_fail(ErrorKind::ConnectionReset);
    table.is_readable(&reader);
    table.settle();
    assert!(reader.is_gone());
    assert_eq!(flooder.unread(), 0);
    other.has_heard(&flood);
}

#[test]
fn e10_a_sender_that_does_not_take_its_answers_is_read_again_once_it_takes_them() {
    let (mut table, [asker, other]) = Table::of(FEED);
    // Each is answered: telnet's DO TIMING-MARK.
    let questions = b"\xFF\xFD\x06".repeat(100_000);
    asker.takes([], Take::NotNow);
    table.says(&asker, &questions);
    assert!(asker.unread() > 0, "its answers are not kept without end");
    table.is_readable(&asker);
    table.turn();
    assert!(!table.clients.has_work(), "waiting is no work");
    table.gives_all(&asker);
    assert_eq!((asker.unread(), asker.heard().len()), (0, questions.len()));
    table.says(&asker, "hello\n");
    other.has_heard("hello\n");
}

#[test]
fn e11_the_end_behind_a_short_read_is_found_with_one_report() {
    for (said, heard) in [("hi\nbye", "hi\nbye\n"), ("bye", "bye\n"), ("bye\n", "bye\n")] {
        let (mut table, [sender, listener]) = Table::of(FEED);
        sender.will_read(said);
        sender.will_end();
        table.is_readable(&sender);
        table.settle();
        listener.has_heard(heard);
        assert!(sender.script().is_shut && sender.is_gone());
        assert_eq!(table.ended(CloseReason::ClosedByPeer), 1);
    }
}

#[test]
fn e12_a_hint_of_an_error_alone_closes_nothing_and_the_read_that_fails_does() {
    let (mut table, [client, other]) = Table::of(FEED);
    // An error or a hang-up is reported as readable and writable.
    assert!(table.clients.mark_ready(client.key, true, true, table.now));
    table.settle();
    assert!(!client.is_gone());
    table.says(&other, "still there?\n");
    client.has_heard("still there?\n");
    table.says(&client, "yes\n");
    other.has_heard("yes\n");
    client.will_fail(ErrorKind::ConnectionReset);
    assert!(table.clients.mark_ready(client.key, true, true, table.now));
    table.settle();
    assert!(client.is_gone());
    assert_eq!((table.broken(), table.clients.online()), (1, 1));
}

#[test]
fn e13_work_left_over_is_not_slept_upon_and_a_room_at_rest_has_none() {
    let (mut table, [sender, listener]) = Table::of(FEED);
    assert!(!table.clients.has_work());
    assert_eq!(table.clients.next_deadline(), None, "nothing wakes a room at rest");
    sender.will_read("hello\n");
    table.is_readable(&sender);
    assert!(table.clients.has_work(), "there is someone to read");
    listener.takes([Take::Bytes(1), Take::Bytes(1)], Take::All);
    table.turn();
    // Finds that there is nothing more to read.
    table.turn();
    assert!(table.clients.has_work(), "there is someone to write to");
    table.settle();
    listener.has_heard("hello\n");
    assert_eq!(table.clients.next_deadline(), None);
}

#[test]
fn e14_a_socket_that_is_interrupted_for_ever_is_ended_and_the_others_live() {
    for in_read in [true, false] {
        let (mut table, [runaway, speaker, listener]) = Table::of(FEED);
        match in_read {
            true => runaway.edit().read_always_fails = Some(ErrorKind::Interrupted),
            false => runaway.takes([], Take::Fail(ErrorKind::Interrupted)),
        }
        table.is_readable(&runaway);
        table.says(&speaker, "hello\n");
        listener.has_heard("hello\n");
        assert!(runaway.is_gone());
        let tries = if in_read { runaway.script().reads } else { runaway.script().writes };
        assert!((2..=10_001).contains(&tries), "{tries} tries");
        assert_eq!(table.ended(CloseReason::NoProgress), 1);
        table.says(&listener, "we are fine\n");
        speaker.has_heard("we are fine\n");
    }
}

#[test]
fn e14_a_call_that_is_interrupted_a_few_times_is_made_again() {
    let (mut table, [speaker, listener]) = Table::of(FEED);
    for _ in 0..50 {
        speaker.will_fail(ErrorKind::Interrupted);
    }
    listener.takes([Take::Fail(ErrorKind::Interrupted); 50], Take::All);
    table.says(&speaker, "hello\n");
    listener.has_heard("hello\n");
}

#[test]
fn e14_a_socket_that_takes_nothing_without_saying_why_does_not_keep_the_loop_busy() {
    let (mut table, [speaker, runaway, listener]) = Table::of(FEED);
    runaway.takes([], Take::Bytes(0));
    table.says(&speaker, "hello\n");
    listener.has_heard("hello\n");
}

#[test]
fn e18_nobody_or_only_the_sender_is_no_error_and_no_echo() {
    let mut table = Table::new(FEED, "welcome");
    table.turn();
    assert!(table.clients.is_empty() && !table.clients.has_work());
    let alone = table.join();
    table.settle();
    table.says(&alone, "anybody here?\n");
    table.says(&alone, lines(20 * FEED));
    alone.has_heard("welcome\n");
    assert_eq!((alone.script().writes, alone.unread()), (1, 0));
    let late = table.join();
    table.says(&alone, "at last\n");
    late.has_heard("welcome\nat last\n");
    alone.has_heard("welcome\n");
}

#[test]
fn b9_a_stuck_reader_is_cut_only_after_the_room_has_waited_for_it() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    let flood = lines(4 * FEED);
    table.says(&flooder, &flood[..FEED / 4]);
    table.passes(Duration::from_secs(3600));
    assert!(!stuck.is_gone(), "nobody waits for it, so it may take its time");
    table.says(&flooder, &flood[FEED / 4..]);
    let relayed = healthy.heard().len();
    assert!(flooder.unread() > 0, "the flooder waits");
    table.passes(STALL_TIMEOUT - A_MILLISECOND);
    assert!(!stuck.is_gone());
    assert_eq!(table.clients.next_deadline(), Some(table.now.after(A_MILLISECOND)), "which wakes the loop");
    assert_eq!(healthy.heard().len(), relayed, "the room waits for it");
    table.passes(A_MILLISECOND);
    assert!(stuck.is_gone());
    assert_eq!(table.stalled(), 1);
    healthy.has_heard(&flood);
    assert_eq!(table.clients.next_deadline(), None);
}

#[test]
fn b9_stuck_readers_who_speak_in_turn_do_not_hold_the_room() {
    let (mut table, [one, two, person, healthy]) = Table::of(4096);
    one.takes([], Take::NotNow);
    two.takes([], Take::NotNow);
    for _ in 0..200 {
        table.says(&one, "1\n");
        table.says(&two, "2\n");
    }
    table.says(&person, "hello\n");
    for _ in 0..4 {
        table.passes(STALL_TIMEOUT);
    }
    let heard = String::from_utf8(healthy.heard()).unwrap();
    assert!(heard.contains("hello\n"), "after 4 stall timeouts a line does not get through");
}

#[test]
fn b10_a_reader_that_takes_less_than_half_a_feed_a_timeout_is_cut() {
    let (mut table, [trickle, flooder, healthy]) = Table::of(FEED);
    let flood = lines(4 * FEED);
    trickle.takes([], Take::NotNow);
    table.says(&flooder, &flood);
    for _ in 0..10 {
        assert!(!trickle.is_gone());
        table.gives(&trickle, FEED / 20 - 20);
        table.passes(STALL_TIMEOUT / 10);
    }
    assert!(trickle.is_gone());
    assert_eq!(table.stalled(), 1);
    healthy.has_heard(&flood);
    assert!(flood.starts_with(&trickle.heard()));
}

#[test]
fn b11_a_reader_that_takes_half_a_feed_a_timeout_is_never_cut_and_gets_everything() {
    let flood = lines(20 * FEED);
    // In many pieces, and all of it at the last moment.
    for pieces in [10, 1] {
        let (mut table, [slow, flooder, healthy]) = Table::of(FEED);
        slow.takes([], Take::NotNow);
        table.says(&flooder, &flood);
        let mut waited = 0;
        while slow.heard().len() < flood.len() {
            waited += usize::from(flooder.unread() > 0);
            table.now = table.now.after(STALL_TIMEOUT / pieces);
            table.gives(&slow, FEED / 2 / pieces as usize);
            assert!(!slow.is_gone(), "cut after {} bytes", slow.heard().len());
            assert!(table.clients.next_deadline().is_none_or(|at| at > table.now));
        }
        assert!(waited > 10 * pieces as usize, "the flooder waited only {waited} times");
        slow.has_heard(&flood);
        healthy.has_heard(&flood);
    }
}

#[test]
fn b12_who_caught_up_between_two_bursts_is_waited_for_anew() {
    let (mut table, [reader, flooder, healthy]) = Table::of(FEED);
    let burst = lines(2 * FEED);
    for _ in 0..3 {
        reader.takes([], Take::NotNow);
        table.says(&flooder, &burst);
        assert!(flooder.unread() > 0, "the flooder waits");
        table.passes(STALL_TIMEOUT - A_MILLISECOND);
        assert!(!reader.is_gone());
        table.gives_all(&reader);
        assert_eq!(flooder.unread(), 0);
    }
    reader.has_heard(burst.repeat(3));
    reader.takes([], Take::NotNow);
    table.says(&flooder, &burst);
    table.passes(STALL_TIMEOUT);
    assert!(reader.is_gone());
    healthy.has_heard(burst.repeat(4));
}

#[test]
fn c10_a_client_that_sent_much_is_read_from_the_reserve_again_after_a_silence() {
    for (silence, is_read) in [(Duration::ZERO, false), (Duration::from_millis(2500), true)] {
        let (mut table, [stuck, flooder, person, healthy]) = Table::of(FEED);
        table.says(&person, lines(FEED / 4));
        stuck.takes([], Take::NotNow);
        table.says(&flooder, lines(4 * FEED));
        let unread = flooder.unread();
        assert!(unread > 0, "the flooder waits");
        table.passes(silence);
        let heard = healthy.heard().len();
        table.says(&person, "and again\n");
        assert_eq!(healthy.heard().len() > heard, is_read, "after {silence:?}");
        assert_eq!(flooder.unread(), unread, "a client that waits earns no credit");
    }
}

#[test]
fn c10_people_are_heard_from_the_kept_part_of_the_feed_while_a_flooder_waits() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    let members = (0..20).map(|_| table.join()).collect::<Vec<_>>();
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    let unread = flooder.unread();
    assert!(unread > 0, "the flooder waits");
    for (number, person) in members.iter().enumerate() {
        table.says(person, format!("person {number}\n"));
        assert!(healthy.heard().ends_with(format!("person {number}\n").as_bytes()));
    }
    assert_eq!(flooder.unread(), unread, "and still waits");
    table.gives_all(&stuck);
    assert_eq!(stuck.heard(), healthy.heard());
}

#[test]
fn d1_a_sender_that_was_held_when_the_server_stops_is_drained_before_its_close() {
    let (mut table, [stuck, flooder]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits");
    flooder.will_end();
    table.shut_down();
    table.settle();
    assert!(flooder.script().is_shut);
    assert_eq!(flooder.unread(), 0, "a close with unread input destroys what is on its way");
    assert!(flooder.is_gone(), "its end was read: there is nothing left to wait for");
}

#[test]
fn b5_who_ended_its_input_and_does_not_read_is_given_up_after_the_stall_timeout() {
    let (mut table, [speaker, reader]) = Table::of(FEED);
    reader.takes([], Take::NotNow);
    table.says(&speaker, lines(1000));
    reader.will_end();
    table.is_readable(&reader);
    table.settle();
    table.passes(STALL_TIMEOUT - A_MILLISECOND);
    assert_eq!(table.clients.online(), 2, "it has its time");
    table.passes(A_MILLISECOND);
    assert_eq!((table.clients.online(), table.ended(CloseReason::CloseTimeout)), (1, 1));
}

#[test]
fn b18_a_refused_client_is_read_to_its_end_before_it_is_closed() {
    let (mut table, [stranger]) = Table::of(FEED);
    stranger.will_read("GET / HTTP/1.1\n");
    for _ in 0..50 {
        stranger.will_read(lines(1000));
    }
    table.is_readable(&stranger);
    table.settle();
    assert!(stranger.heard().starts_with(b"* this is a chat room, not a web server"));
    assert!(stranger.script().is_shut, "it is told that nothing more comes");
    assert_eq!((table.clients.online(), stranger.unread()), (1, 0), "what it sends is read, and it stays");
    stranger.will_end();
    table.is_readable(&stranger);
    table.settle();
    assert!(table.clients.is_empty());
}

#[test]
fn b21_a_client_that_ignores_our_end_is_closed_after_two_seconds() {
    let (mut table, [stranger]) = Table::of(FEED);
    table.says(&stranger, "GET / HTTP/1.1\n");
    table.passes(Duration::from_secs(2) - A_MILLISECOND);
    assert_eq!(table.clients.online(), 1);
    table.passes(A_MILLISECOND);
    assert!(table.clients.is_empty());
}

#[test]
fn b9_a_stuck_reader_who_is_refused_no_longer_holds_the_room() {
    let (mut table, [stuck, flooder, healthy]) = Table::of(FEED);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits");
    table.says(&stuck, "GET / HTTP/1.1\n");
    assert_eq!(flooder.unread(), 0, "and goes on as soon as nothing more is owed to the reader");
    assert_eq!(healthy.heard(), lines(4 * FEED));
}

#[test]
fn c10_a_person_s_line_passes_while_a_flood_waits_also_in_more_than_one_read() {
    for feed in [16 * 1024, 64 * 1024, 1024 * 1024] {
        for length in [100, feed / 128, feed / 64] {
            let (mut table, [stuck, flooder, person, healthy]) = Table::of(feed);
            table.passes(STALL_TIMEOUT);
            stuck.takes([], Take::NotNow);
            table.says(&flooder, lines(4 * feed));
            let unread = flooder.unread();
            assert!(unread > 0, "the flooder waits");
            let line = [vec![b'-'; length], vec![b'\n']].concat();
            table.says(&person, &line);
            assert!(healthy.heard().ends_with(&line), "{length} bytes, {feed} of feed");
            assert_eq!(flooder.unread(), unread);
        }
    }
}

#[test]
fn c10_newcomers_who_flood_leave_half_of_what_is_kept_for_people() {
    let (mut table, [stuck, flooder, person, healthy]) = Table::of(FEED);
    table.passes(STALL_TIMEOUT);
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    for _ in 0..300 {
        let newcomer = table.join();
        table.says(&newcomer, lines(2000));
    }
    table.says(&person, "a person's line of an ordinary length, typed while many who came just now flood\n");
    assert!(healthy.heard().ends_with(b"typed while many who came just now flood\n"));
}

#[test]
fn a_line_of_which_the_rest_has_arrived_is_not_taken_for_unfinished() {
    let flush_after = Duration::from_millis(50);
    let mut table = Table::with(config(FEED), ClientLimits { flush_after: Some(flush_after), ..limits() });
    let [stuck, flooder, healthy] = std::array::from_fn(|_| table.join());
    table.settle();
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "the flooder waits, in the middle of a line");
    table.passes(2 * flush_after);
    table.gives_all(&stuck);
    assert_eq!(healthy.heard(), lines(4 * FEED));
}

#[test]
fn silence_ends_a_refused_line_where_unfinished_lines_are_messages() {
    let flush_after = Duration::from_millis(50);
    let mut table = Table::with(config(FEED), ClientLimits { flush_after: Some(flush_after), ..limits() });
    let [speaker, listener] = std::array::from_fn(|_| table.join());
    table.says(&speaker, vec![b'x'; FEED]);
    table.passes(flush_after);
    table.says(&speaker, "no line end");
    table.passes(flush_after);
    listener.has_heard("no line end\n");
}

#[test]
fn c10_floods_that_wait_for_a_slow_reader_take_turns() {
    let (mut table, flooders) = Table::of::<10>(FEED);
    let slow = table.join();
    table.settle();
    slow.takes([], Take::NotNow);
    let speech = lines(8 * FEED);
    for flooder in &flooders {
        table.says(flooder, &speech);
    }
    for _ in 0..100 {
        table.gives(&slow, FEED / 4);
    }
    let said = flooders.iter().map(|flooder| speech.len() - flooder.unread()).collect::<Vec<_>>();
    let (least, most) = (*said.iter().min().unwrap(), *said.iter().max().unwrap());
    assert!(most <= 2 * least, "{said:?}");
}

const A_SECOND: Duration = Duration::from_secs(1);

/// A room in which each may say so many lines a second.
fn with_rate<const N: usize>(lines: usize) -> (Table, [Client; N]) {
    let mut table = Table::with(RoomConfig { rate: RateLimit::new(lines), ..config(FEED) }, limits());
    let clients = std::array::from_fn(|_| table.join());
    table.settle();
    (table, clients)
}

fn line_count(client: &Client) -> usize {
    client.heard().iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn c9_a_flooder_is_read_at_its_rate_and_loses_nothing() {
    let (mut table, [flooder, listener]) = with_rate(10);
    let flood = lines(20 * 250);
    flooder.will_end();
    flooder.edit().input.push_front(Ok(flood.clone()));
    table.is_readable(&flooder);
    table.settle();
    assert_eq!(line_count(&listener), 100, "ten seconds' worth at once");
    assert_eq!(table.waiting(&flooder), flood.len() - 100 * 20, "the rest waits");
    for second in 1..=15 {
        for _ in 0..100 {
            table.passes(Duration::from_millis(10));
        }
        let said = line_count(&listener);
        assert!(said.abs_diff(100 + 10 * second) <= 1, "{said} lines after {second} s");
    }
    table.passes(A_SECOND);
    listener.has_heard(&flood);
    assert!(flooder.is_gone(), "its end is found too");
    assert_eq!(table.ended(CloseReason::ClosedByPeer), 1);
}

#[test]
fn c9_what_waits_for_its_rate_is_no_work_and_what_arrives_meanwhile_wakes_nobody() {
    let (mut table, [flooder, listener]) = with_rate(1);
    table.says(&flooder, lines(20 * 11));
    assert_eq!(line_count(&listener), 10);
    let reads = |client: &Client| client.script().reads;
    let before = reads(&flooder);
    for _ in 0..5 {
        table.is_readable(&flooder);
        assert!(!table.clients.has_work());
    }
    assert_eq!(reads(&flooder), before);
    table.passes(2 * A_SECOND);
    assert_eq!(line_count(&listener), 11);
}

#[test]
fn c9_the_others_are_not_held_by_one_who_waits_for_its_rate() {
    let (mut table, [flooder, listener, person]) = with_rate(2);
    table.says(&flooder, lines(20 * 100));
    table.says(&person, "hello\n");
    assert!(listener.heard().ends_with(b"hello\n"));
}

#[test]
fn c9_whatever_ends_a_line_counts_and_so_does_a_line_that_is_too_long() {
    let (mut table, [terminal, other]) = with_rate(1);
    table.says(&terminal, b"x\r\0".repeat(12));
    assert_eq!(line_count(&other), 10);
    let (mut table, [person, listener]) = with_rate(1);
    let too_long = [&[b'x'; FEED][..], b"\n"].concat();
    table.says(&person, [&too_long[..], b"a\r\0b\r\nc\n", &too_long, b"d\ne\nf\ng\nh\ni\n"].concat());
    listener.has_heard("a\nb\nc\nd\ne\nf\ng\nh\n");
    table.passes(2 * A_SECOND);
    listener.has_heard("a\nb\nc\nd\ne\nf\ng\nh\ni\n");
}

#[test]
fn c9_who_waits_for_its_rate_is_drained_when_the_server_stops() {
    let (mut table, [flooder, listener]) = with_rate(1);
    table.says(&flooder, lines(20 * 100));
    flooder.will_end();
    table.shut_down();
    table.settle();
    assert_eq!(flooder.unread(), 0);
    assert_eq!(line_count(&listener), 10, "what was not read is not heard");
    assert!(flooder.script().is_shut && listener.script().is_shut);
}

#[test]
fn c9_who_broke_off_while_over_its_rate_keeps_no_place_to_be_heard_for_hours() {
    for is_reported in [true, false] {
        let (mut table, [flooder, listener, speaker]) = with_rate(1);
        table.says(&flooder, lines(20 * 12));
        if is_reported {
            table.clients.mark_reset(flooder.key);
        }
        flooder.takes([], Take::Fail(ErrorKind::BrokenPipe));
        table.says(&speaker, "are you there?\n");
        assert_eq!(line_count(&listener), 11);
        assert!(flooder.is_gone());
        assert_eq!(table.broken(), 1);
    }
}

#[test]
fn a13_with_a_rate_too_an_unfinished_line_before_a_reset_is_dropped() {
    for lines_before in [0, 5, 12] {
        let (mut table, [breaker, listener]) = with_rate(1);
        breaker.will_read([&lines(20 * lines_before)[..], b"torn"].concat());
        breaker.will_fail(ErrorKind::ConnectionReset);
        table.is_readable(&breaker);
        table.settle();
        for _ in 0..5 {
            table.passes(A_SECOND);
        }
        listener.has_heard(lines(20 * lines_before));
        assert!(breaker.is_gone());
        assert_eq!((table.broken(), table.clients.stats.torn), (1, 1), "{lines_before}");
    }
}

/// A room that does not keep who is silent for a minute.
fn with_idle_timeout<const N: usize>() -> (Table, [Client; N]) {
    let limits = ClientLimits { idle_timeout: Some(60 * A_SECOND), ..limits() };
    let mut table = Table::with(RoomConfig { stall_timeout: 120 * A_SECOND, ..config(FEED) }, limits);
    let clients = std::array::from_fn(|_| table.join());
    table.settle();
    (table, clients)
}

#[test]
fn who_says_nothing_for_the_idle_timeout_is_told_so_and_leaves_in_order() {
    let (mut table, [talker, silent, typist]) = with_idle_timeout();
    for _ in 0..59 {
        table.passes(A_SECOND);
        table.says(&talker, "still here\n");
        // Half a line is not silence.
        table.says(&typist, "x");
    }
    assert!(!silent.script().is_shut);
    table.passes(A_SECOND);
    assert!(
        silent
            .heard()
            .ends_with(b"still here\n* disconnected: nothing sent for 60 s\n")
    );
    assert!(silent.script().is_shut && !talker.script().is_shut && !typist.script().is_shut);
    silent.will_end();
    table.is_readable(&silent);
    table.settle();
    assert!(silent.is_gone());
    assert_eq!(table.ended(CloseReason::IdleTimeout), 1);
    for _ in 0..58 {
        table.passes(A_SECOND);
    }
    assert!(!talker.script().is_shut, "the time counts from what was said last");
    table.passes(A_SECOND);
    assert!(talker.script().is_shut && typist.script().is_shut);
}

#[test]
fn who_has_said_what_was_not_yet_read_is_not_silent() {
    let (mut table, [flooder, stuck]) = with_idle_timeout();
    stuck.takes([], Take::NotNow);
    table.says(&flooder, lines(4 * FEED));
    assert!(flooder.unread() > 0, "it waits for the stuck reader");
    table.now = table.now.after(61 * A_SECOND);
    table.clients.run_timers(table.now);
    table.write();
    assert!(flooder.heard().is_empty() && !flooder.script().is_shut);
    assert!(table.clients.next_deadline().is_some(), "it is asked again later");
}

#[test]
fn c6_one_address_has_no_more_than_its_places_and_another_has_its_own() {
    let limits = ClientLimits { per_network: Some(2), ..limits() };
    let mut table = Table::with(config(FEED), limits);
    let from = |address: &str| address.parse().unwrap();
    let here = [table.join_from(from("10.0.0.1")), table.join_from(from("::ffff:10.0.0.1"))];
    let third = table.join_from(from("10.0.0.1"));
    let other = table.join_from(from("10.0.0.2"));
    let same_net = ["2001:db8::1", "2001:db8::2"].map(|address| table.join_from(from(address)));
    let too_many = table.join_from(from("2001:db8::ffff"));
    table.settle();
    for refused in [&third, &too_many] {
        refused.has_heard("* too many connections from your address (2): try again later\n");
        assert!(refused.script().is_shut);
        refused.will_end();
        table.is_readable(refused);
        table.settle();
        assert!(refused.is_gone());
    }
    table.says(&here[0], "hello\n");
    for hears in [&here[1], &other, &same_net[0], &same_net[1]] {
        hears.has_heard("hello\n");
    }
    here[1].will_end();
    table.is_readable(&here[1]);
    table.settle();
    let next = table.join_from(from("10.0.0.1"));
    table.settle();
    table.says(&here[0], "welcome\n");
    next.has_heard("welcome\n");
    assert_eq!(table.ended(CloseReason::PerAddressLimit), 2);
}

#[test]
fn c11_one_who_always_has_more_to_say_is_read_once_a_turn_and_loses_nothing() {
    let (mut table, [flooder, person, listener]) = Table::of(1 << 20);
    let flood = lines(2 << 20);
    flooder.will_read(&flood);
    table.is_readable(&flooder);
    for turn in 0..10 {
        person.will_read(format!("turn {turn}\n"));
        table.is_readable(&person);
        let reads = flooder.script().reads;
        table.turn();
        assert_eq!(flooder.script().reads, reads + 1);
        assert!(String::from_utf8(listener.heard()).unwrap().contains(&format!("turn {turn}\n")), "{turn}");
    }
    assert!(table.clients.has_work(), "what is left is read without another report");
    table.settle();
    assert!(person.heard() == flood);
}

#[test]
fn c17_a_fast_paste_waits_for_a_slow_reader_who_is_never_cut() {
    const PASTE: usize = 24_000_000;
    let (mut table, [paster, slow, fast]) = Table::of(1 << 20);
    let paste = lines(PASTE);
    slow.takes([], Take::NotNow);
    paste.chunks(64_000).for_each(|chunk| paster.will_read(chunk));
    table.is_readable(&paster);
    // 3 MB a second.
    let step = Duration::from_millis(10);
    for steps in 1.. {
        table.gives(&slow, 30_000);
        if slow.heard().len() >= PASTE {
            assert!(steps <= 801, "{steps} steps: the paster waits for no more than the reader");
            break;
        }
        assert!(steps < 1000, "{} bytes came", slow.heard().len());
        table.passes(step);
    }
    assert!(slow.heard() == paste && fast.heard() == paste);
    assert_eq!(table.stalled(), 0);
}

#[test]
fn e6_notices_for_which_there_is_no_room_are_told_in_their_order_once_there_is() {
    let views = vec![View::Plain, View::Named];
    let mut table = Table::with(RoomConfig { views, ..config(4096) }, limits());
    let (named, healthy, flooder) =
        (table.join_view(View::Named), table.join_view(View::Named), table.join());
    let goers = (0..200).map(|_| table.join()).collect::<Vec<_>>();
    table.settle();
    for _ in 0..3 {
        table.passes(A_SECOND);
    }
    named.takes([], Take::NotNow);
    table.says(&flooder, lines(20 * 500));
    assert!(flooder.unread() > 0, "it waits for the one who does not read");
    for goer in &goers {
        goer.will_end();
        table.is_readable(goer);
    }
    table.settle();
    table.gives_all(&named);
    for reader in [&named, &healthy] {
        let heard = String::from_utf8(reader.heard()).unwrap();
        let left = heard.lines().filter(|line| line.ends_with(" left")).collect::<Vec<_>>();
        assert_eq!(left.len(), 200);
        assert!(
            left.iter().enumerate().all(|(index, line)| *line == format!("* anon{} left", index + 4)),
            "{left:?}"
        );
    }
}

#[test]
fn who_leaves_while_others_talk_is_missed_and_no_line_is_torn_by_it() {
    for history in [0, 5] {
        let views = vec![View::Plain, View::Named];
        let mut table = Table::with(RoomConfig { views, history, ..config(FEED) }, limits());
        let (named, talker) = (table.join_view(View::Named), table.join());
        let goers = (0..9).map(|_| table.join()).collect::<Vec<_>>();
        table.settle();
        (0..3).for_each(|_| table.passes(A_SECOND));
        let before = named.heard().len();
        let mut expected = String::new();
        for (index, goer) in goers.iter().enumerate() {
            goer.will_end();
            goer.will_end();
            table.clients.mark_ready(goer.key, true, true, table.now);
            table.turn();
            // Before anyone is told of it.
            talker.will_read(format!("line {index}\n"));
            table.clients.mark_ready(talker.key, true, false, table.now);
            table.turn();
            expected += &format!("* anon{} left\n<anon2> line {index}\n", index + 3);
        }
        table.settle();
        assert_eq!(String::from_utf8_lossy(&named.heard()[before..]), expected, "history {history}");
    }
}

#[test]
fn a_stuck_reader_keeps_comings_and_goings_from_nobody_for_longer_than_the_room_waits() {
    let views = vec![View::Plain, View::Json];
    let limits = ClientLimits { connections: ConnectionBudget { clients: 6000, refusals: 32 }, ..limits() };
    let mut table = Table::with(RoomConfig { views, ..config(4096) }, limits);
    let (reader, stuck) = (table.join_view(View::Json), table.join_view(View::Json));
    // They are known.
    (0..3).for_each(|_| table.passes(A_SECOND));
    stuck.takes([], Take::NotNow);
    let _comers = (0..5000).map(|_| table.join()).collect::<Vec<_>>();
    table.settle();
    for _ in 0..8 {
        table.passes(A_SECOND);
    }
    assert_eq!((table.stalled(), stuck.is_gone()), (1, true));
    let heard = String::from_utf8(reader.heard()).unwrap();
    let joined = heard.lines().filter(|line| line.starts_with(r#"{"type":"join""#)).count();
    let more = heard.lines().last().unwrap();
    // The stuck one came and went too.
    let outbox_len = 5002 - joined;
    assert!(
        joined > 0 && more.contains(&format!(r#""text":"{outbox_len} people came, left or"#)),
        "{joined}, {more}"
    );
}

#[test]
fn the_longest_line_waits_for_a_stuck_reader_of_any_view_no_longer_than_the_room_does() {
    for (view, raw) in [(View::Named, false), (View::Json, false), (View::Named, true), (View::Json, true)] {
        for feed in [4096, 128 * 1024] {
            let rules = LineRules { max_line: feed / Room::LINES_PER_FEED, raw };
            let views = vec![View::Plain, view];
            let mut table = Table::with(RoomConfig { views, rules, ..config(feed) }, limits());
            let (stuck, reader) = (table.join_view(view), table.join());
            table.settle();
            stuck.takes([], Take::NotNow);
            let line = [vec![1; rules.max_line], b"\n".to_vec()].concat();
            for said in 1..40 {
                let talker = table.join();
                table.says(&talker, &line);
                if talker.unread() > 0 {
                    table.passes(STALL_TIMEOUT);
                    table.passes(A_MILLISECOND);
                }
                let heard = reader.heard().iter().filter(|&&byte| byte == b'\n').count();
                assert_eq!(heard, said, "{view:?}, raw: {raw}, a feed of {feed}");
            }
            assert_eq!(table.stalled(), 1);
        }
    }
}

#[test]
fn for_whom_no_descriptor_is_left_is_told_so_in_the_form_of_the_view() {
    let mut table = Table::with(RoomConfig { views: View::ALL.to_vec(), ..config(FEED) }, limits());
    let told = "the server has no free file descriptor: try again later";
    let object = format!(r#"{{"type":"error","text":"{told}","at":"2026-01-02T03:04:05.678Z"}}"#);
    for (view, line) in
        [(View::Plain, format!("* {told}")), (View::Named, format!("* {told}")), (View::Json, object)]
    {
        let socket = FakeSocket::default();
        let client = Client { key: ClientId::from_number(ClientId::FIRST_FREE), socket: socket.clone() };
        let peer = Peer::Unix { pid: 1, uid: 1 };
        table.clients.refuse_without_fd(socket, view, peer, table.now);
        client.has_heard(line + "\n");
        assert!(client.is_gone());
    }
}

#[test]
fn what_is_for_one_alone_comes_after_what_was_said_to_all_before_however_slow_the_reader() {
    for step in [1, 7, 1000] {
        let mut table = Table::with(RoomConfig { views: vec![View::Named], ..config(FEED) }, limits());
        let [reader, talker] = [(); 2].map(|()| table.join_view(View::Named));
        table.settle();
        reader.takes([], Take::NotNow);
        table.says(&talker, "one\n/msg anon1 two\nthree\n/nick bob\n/msg anon1 four\nfive\n");
        table.says(&reader, "/msg anon1 to myself\nsix\n");
        table.says(&talker, "seven\n/msg anon1 eight\n");
        let publics = "<anon2> one\n<anon2> three\n* anon2 joined (2 here)\n* anon2 is now bob\n<bob> five\n<bob> seven\n";
        let privates = "* private from anon2: two\n* private from bob: four\n* private from anon1: to myself\n\
            * private to anon1: to myself\n* private from bob: eight\n";
        while reader.heard().len() < publics.len() + privates.len() {
            table.gives(&reader, step);
        }
        let heard = String::from_utf8(reader.heard()).unwrap();
        let told = |is_private| {
            let lines = heard.split_inclusive('\n');
            lines.filter(|line| line.starts_with("* private") == is_private).collect::<String>()
        };
        assert_eq!((told(false).as_str(), told(true).as_str()), (publics, privates));
        let place = |line| heard.find(line).unwrap();
        for (public, private) in [("one", "two"), ("is now bob", "bob: four"), ("seven", "eight")] {
            assert!(place(public) < place(private), "{heard}");
        }
    }
}

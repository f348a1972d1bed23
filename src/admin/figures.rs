//! The figures of the server, for `stats` and for Prometheus.
//!
//! Names and units follow the rules of Prometheus: the name of a total ends in `_total`, and each name has its unit.

use super::Operated;
use crate::clients::close_reason::CloseReason;
use crate::net::transport::Transport;
use crate::util::clock::Moment;
use crate::wire::view::View;
use std::fmt::Write;

/// The start of each name for Prometheus.
const PREFIX: &str = "hubbub_";

/// One figure, or one for each value of a label.
pub(super) struct Figure {
    name: &'static str,
    /// Whether it counts from the start of the server, and so never falls.
    is_total: bool,
    help: &'static str,
    values: Values,
}

enum Values {
    One(u64),
    /// For each view that has a listener.
    ByView(Vec<(View, u64)>),
    /// By [`CloseReason::index`].
    ByReason([u64; CloseReason::COUNT]),
}

/// The figures now.
pub(super) fn of<S: Transport>(server: &Operated<'_, S>, now: Moment) -> Vec<Figure> {
    let clients = &*server.clients;
    let (room, stats, gauges) = (clients.room(), &clients.stats, clients.gauges(now));
    let relayed = room.stats();
    let by_view = |value: &dyn Fn(View) -> usize| {
        Values::ByView(room.views().iter().map(|&view| (view, value(view) as u64)).collect())
    };
    let feed = |view| room.feed(view).size() - room.feed(view).space();
    let gauge = |name, help, values| Figure { name, is_total: false, help, values };
    let total = |name, help, value| Figure { name, is_total: true, help, values: Values::One(value) };
    vec![
        gauge("uptime_seconds", "Time since the start.", Values::One(now.seconds().into())),
        gauge("clients", "Clients in the room.", by_view(&|view| gauges.online[view.index()])),
        gauge("pending_connections", "Connections that are not admitted yet.", one(server.pending)),
        gauge("blocked_clients", "Clients whose lines wait for space in the feeds.", one(gauges.blocked)),
        gauge("feed_bytes", "Bytes in the feed that a reader may still need.", by_view(&feed)),
        gauge("unparsed_bytes", "Bytes of input that wait for space.", one(clients.unparsed())),
        gauge("bans", "Ranges of addresses that are banned.", one(server.bans.count(now))),
        gauge("mutes", "Ranges of addresses and local clients that are muted.", one(gauges.muted)),
        total("accepted_connections", "Connections accepted, refused ones included.", stats.accepted),
        Figure {
            name: "closed_connections",
            is_total: true,
            help: "Connections closed, by reason.",
            values: Values::ByReason(stats.closed),
        },
        total("failed_accepts", "Failures to accept for lack of a resource.", stats.accept_failures),
        total("relayed_lines", "Messages that went to everyone.", relayed.lines),
        total("relayed_bytes", "Bytes of these messages.", relayed.bytes),
        total("too_long_lines", "Lines refused as too long.", relayed.too_long),
        total("dropped_lines", "Unfinished lines dropped when their connection closed.", stats.torn),
        total("received_bytes", "Bytes read from clients.", stats.read),
        total("sent_bytes", "Bytes written to clients.", stats.written),
        total("stale_events", "Events for clients that had left.", stats.stale),
    ]
}

const fn one(value: usize) -> Values {
    Values::One(value as u64)
}

/// A line for each value: its name and label value, a blank, and the value.
pub(super) fn stats(figures: &[Figure]) -> Vec<String> {
    let mut lines = Vec::new();
    for figure in figures {
        figure.for_each(|label, value| {
            let (separator, of) = label.map_or(("", String::new()), |(_, of)| ("_", of));
            lines.push(format!("{}{separator}{of} {value}", figure.name));
        });
    }
    lines
}

/// The text format of Prometheus, version 0.0.4. The comment `# EOF` is its last line.
pub(super) fn metrics(figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures {
        let (suffix, kind) = if figure.is_total { ("_total", "counter") } else { ("", "gauge") };
        let name = format!("{PREFIX}{}{suffix}", figure.name);
        // Writing to a string cannot fail.
        _ = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n", figure.help);
        figure.for_each(|label, value| {
            _ = match label {
                Some((label, of)) => writeln!(text, "{name}{{{label}=\"{of}\"}} {value}"),
                None => writeln!(text, "{name} {value}"),
            };
        });
    }
    text + "# EOF\n"
}

impl Figure {
    /// Calls `show` with each label, its value, and the figure.
    fn for_each(&self, mut show: impl FnMut(Option<(&str, String)>, u64)) {
        match &self.values {
            Values::One(value) => show(None, *value),
            Values::ByView(values) => {
                values.iter().for_each(|(view, value)| show(Some(("view", view.name().to_owned())), *value));
            }
            Values::ByReason(values) => {
                for (reason, value) in CloseReason::labels().zip(values) {
                    show(Some(("reason", reason.replace(' ', "_"))), *value);
                }
            }
        }
    }
}

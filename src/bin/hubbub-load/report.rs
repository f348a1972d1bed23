//! The result of a run, as a table for people and as JSON for scripts.

use crate::options::Options;
use crate::process::Usage;
use crate::recorder::Faults;
use crate::side_load::Outcomes;
use hdrhistogram::Histogram;
use indicatif::HumanCount;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// The quantiles of the latency that are reported.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A label and its value.
type Row = (&'static str, String);

/// What the server's process used in each phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceUse {
    /// While the clients connected.
    pub(crate) connecting: Usage,
    /// Growth of the resident memory while the clients connected, in KiB.
    pub(crate) grown: u64,
    /// While no client sent anything.
    pub(crate) idle: Usage,
    /// While the lines were sent and received.
    pub(crate) sending: Usage,
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    /// Connections made before the first line: clients, stuck readers and the slow reader.
    pub(crate) connections: usize,
    pub(crate) connecting: Duration,
    pub(crate) sending: Duration,
    /// Lines sent: fewer than requested if the server stopped reading, or if sending ended early.
    pub(crate) sent: u32,
    /// Whether sending has ended and the server has read every line.
    pub(crate) has_sent_all: bool,
    /// Whether a signal ended the run.
    pub(crate) is_interrupted: bool,
    pub(crate) deliveries: u64,
    /// Deliveries that were still possible when the run was interrupted.
    pub(crate) in_flight: u64,
    /// Deliveries that there had to be.
    pub(crate) expected: u64,
    pub(crate) latency: &'a Histogram<u64>,
    pub(crate) evenness: Option<f64>,
    pub(crate) faults: Faults,
    /// Lost deliveries to or from clients that were disconnected.
    pub(crate) lost_by_disconnected: u64,
    pub(crate) disconnected: usize,
    pub(crate) foreign: u64,
    pub(crate) outcomes: Outcomes,
    pub(crate) resource_use: Option<ResourceUse>,
    /// The first error or notice of the server.
    pub(crate) server_message: Option<String>,
}

impl Report<'_> {
    /// Whether every line was sent, and every client received every line unchanged.
    pub(crate) fn is_fine(&self) -> bool {
        self.faults == Faults::default()
            && self.disconnected == 0
            && self.has_sent_all
            && !self.is_interrupted
    }

    /// Whether fewer lines had to be sent than `--lines` says.
    const fn ends_early(&self) -> bool {
        self.options.duration.is_some() || self.is_interrupted
    }

    fn deliveries_per_second(&self) -> f64 {
        self.deliveries as f64 / self.sending.as_secs_f64().max(1e-9)
    }

    /// Returns the result as one JSON object. Names end in their unit: `_seconds`, `_ns`, `_us`, `_kib`.
    pub(crate) fn json(&self) -> Value {
        let options = self.options;
        let mut result = json!({
            "protocol": options.protocol.name(),
            "clients": options.clients,
            "senders": options.senders,
            "lines": if options.duration.is_some() { self.sent } else { options.lines },
            "duration_seconds": options.duration.map(|duration| duration.as_secs_f64()),
            "bytes": options.bytes,
            "rate": options.rate,
            "window": options.window,
            "churn": options.churn,
            "slow": options.slow,
            "idle_seconds": options.idle.as_secs_f64(),
            "sent": self.sent,
            "expected": self.expected,
            "connect_seconds": self.connecting.as_secs_f64(),
            "seconds": self.sending.as_secs_f64(),
            "deliveries": self.deliveries,
            "deliveries_a_second": self.deliveries_per_second(),
            "latency_us": self.latency_us(),
            "evenness": self.evenness,
            "verified": options.verify,
            "fine": self.is_fine(),
            "interrupted": self.is_interrupted,
            "in_flight": self.in_flight,
            "lost": self.faults.lost,
            "out_of_order": self.faults.out_of_order,
            "doubled": self.faults.duplicated,
            "altered": self.faults.corrupted,
            "returned": self.faults.returned,
            "unexpected": self.faults.unexpected,
            "cut": self.disconnected,
            "lost_by_cut": self.lost_by_disconnected,
            "foreign": self.foreign,
            "server_message": self.server_message,
            "stuck": options.stuck,
            "stuck_cut": self.outcomes.stuck_disconnected,
            "slow_read": self.outcomes.slow_read,
            "slow_cut": self.outcomes.slow_disconnected,
            "churn_accepted": self.outcomes.accepted,
            "churn_refused": self.outcomes.refused,
        });
        if let Some(used) = &self.resource_use {
            result["server"] = self.server_json(used);
        }
        result
    }

    fn server_json(&self, used: &ResourceUse) -> Value {
        let connections = self.connections as u64;
        json!({
            "cpu_ns_a_delivery": nanos_each(used.sending.cpu, self.deliveries),
            "cpu_seconds": used.sending.cpu.as_secs_f64(),
            "user_seconds": used.sending.user.as_secs_f64(),
            "system_seconds": used.sending.system.as_secs_f64(),
            "resident_kib": used.sending.resident,
            "peak_kib": used.sending.peak,
            "cpu_us_a_connection": nanos_each(used.connecting.cpu, connections).map(|nanos| nanos / 1e3),
            "bytes_a_connection": used.grown as f64 * 1024.0 / connections.max(1) as f64,
            "idle_resident_kib": used.idle.resident,
            "idle_cpu_seconds": used.idle.cpu.as_secs_f64(),
        })
    }

    fn latency_us(&self) -> Value {
        let is_known = !self.latency.is_empty();
        let micros = |nanos: u64| is_known.then(|| nanos as f64 / 1000.0).into();
        let quantile =
            |(name, part): (&str, f64)| (name.to_owned(), micros(self.latency.value_at_quantile(part)));
        let mut all = QUANTILES.into_iter().map(quantile).collect::<Map<_, _>>();
        all.insert("max".to_owned(), micros(self.latency.max()));
        Value::Object(all)
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = self.delivery_rows();
        if let Some(used) = &self.resource_use {
            rows.extend(self.resource_rows(used));
        }
        rows.extend(self.fault_rows());
        rows.extend(self.side_load_rows());
        rows
    }

    fn delivery_rows(&self) -> Vec<Row> {
        let options = self.options;
        let added = match options.added {
            0 => "",
            _ => " (one added, because --verify needs a client that sends nothing)",
        };
        let lines = match options.duration {
            Some(duration) => format!(
                "lines of {} bytes for {} s",
                HumanCount(options.bytes as u64),
                duration.as_secs_f64()
            ),
            None => format!(
                "{} of {} bytes",
                count(options.lines.into(), "line", "lines"),
                HumanCount(options.bytes as u64)
            ),
        };
        let load = format!(
            "{}{added}, {}, {lines}",
            count(options.clients as u64, "client", "clients"),
            count(options.senders as u64, "sender", "senders"),
        );
        let connections = count(self.connections as u64, "connection", "connections");
        let (connecting, sending) = (self.connecting.as_secs_f64(), self.sending.as_secs_f64());
        let (deliveries, per_second) =
            (HumanCount(self.deliveries), HumanCount(self.deliveries_per_second().round() as u64));
        let mut rows = vec![
            ("load", load),
            ("connected", format!("{connections} in {connecting:.3} s")),
            ("deliveries", format!("{deliveries} in {sending:.3} s, {per_second} per second")),
        ];
        if !self.latency.is_empty() {
            let part = |(name, part)| format!("{name} {}", time(self.latency.value_at_quantile(part)));
            let parts = QUANTILES.into_iter().map(part).chain([format!("max {}", time(self.latency.max()))]);
            rows.push(("latency", parts.collect::<Vec<_>>().join(", ")));
        }
        if let (Some(evenness), 0) = (self.evenness, options.rate + options.window) {
            let percent = 100.0 * evenness;
            rows.push((
                "evenness",
                format!("slowest sender at {percent:.0} % when the first sender was complete"),
            ));
        }
        rows
    }

    fn resource_rows(&self, used: &ResourceUse) -> Vec<Row> {
        let connections = self.connections.max(1) as u64;
        let micros = used.connecting.cpu.as_secs_f64() * 1e6 / connections as f64;
        let bytes = HumanCount(used.grown * 1024 / connections);
        let mut rows =
            vec![("per connection", format!("{micros:.1} µs server CPU, {bytes} bytes server memory"))];
        if !self.options.idle.is_zero() {
            let (millis, seconds) = (used.idle.cpu.as_millis(), self.options.idle.as_secs_f64());
            let memory = HumanCount(used.idle.resident);
            rows.push(("idle", format!("{millis} ms server CPU in {seconds} s, {memory} KiB server memory")));
        }
        let cpu = match nanos_each(used.sending.cpu, self.deliveries) {
            Some(nanos) => format!("{nanos:.1} ns per delivery"),
            None => format!("{} ms in total", used.sending.cpu.as_millis()),
        };
        let user = 100.0 * used.sending.user_share();
        rows.push(("server CPU", format!("{cpu}, {user:.0} % in user mode")));
        let (resident, peak) = (HumanCount(used.sending.resident), HumanCount(used.sending.peak));
        rows.push(("server memory", format!("{resident} KiB at the end, {peak} KiB peak")));
        rows
    }

    fn fault_rows(&self) -> Vec<Row> {
        let Faults { lost, out_of_order, duplicated, corrupted, returned, unexpected } = self.faults;
        let deliveries = |number| count(number, "delivery", "deliveries");
        let verified = self.options.verify;
        let mut rows = Vec::new();
        rows.extend(self.sent_row());
        if self.in_flight > 0 {
            rows.push(("in flight", format!("{}: not awaited", deliveries(self.in_flight))));
        }
        rows.push(("lost", deliveries(lost)));
        let not_checked = || "not checked: add --verify".to_owned();
        rows.push(("out of order", if verified { deliveries(out_of_order) } else { not_checked() }));
        if verified || corrupted > 0 {
            rows.push(("corrupted", deliveries(corrupted)));
        }
        rows.push(("duplicated", deliveries(duplicated)));
        for (label, number) in [("returned", returned), ("unexpected", unexpected)] {
            if number > 0 {
                rows.push((label, count(number, "line", "lines")));
            }
        }
        let clients = count(self.disconnected as u64, "client", "clients");
        rows.push((
            "disconnected",
            match self.lost_by_disconnected {
                0 => clients,
                lost => {
                    format!("{clients}; {} of the lost deliveries were to or from them", HumanCount(lost))
                }
            },
        ));
        rows.extend(self.server_message.as_ref().map(|text| ("server message", text.clone())));
        rows
    }

    /// Says how many lines were sent, if that was not known before or went wrong.
    fn sent_row(&self) -> Option<Row> {
        let sent = if self.options.duration.is_some() {
            count(self.sent.into(), "line", "lines")
        } else {
            format!(
                "{} of {}",
                HumanCount(self.sent.into()),
                count(self.options.lines.into(), "line", "lines")
            )
        };
        let why = match (self.is_interrupted, self.has_sent_all) {
            (true, _) => ", then interrupted",
            (false, false) => ": the server read no more",
            (false, true) => "",
        };
        (self.ends_early() || !self.has_sent_all).then(|| ("sent", format!("{sent}{why}")))
    }

    fn side_load_rows(&self) -> Vec<Row> {
        let Outcomes { stuck_disconnected, slow_read, slow_disconnected, accepted, refused } = self.outcomes;
        let mut rows = Vec::new();
        if self.options.stuck > 0 {
            let connections = count(self.options.stuck as u64, "connection", "connections");
            rows.push((
                "stuck",
                format!("{connections}, {} disconnected", HumanCount(stuck_disconnected as u64)),
            ));
        }
        if let Some(bytes) = slow_read {
            let end = if slow_disconnected { "disconnected" } else { "not disconnected" };
            rows.push(("slow", format!("{} bytes read, {end}", HumanCount(bytes))));
        }
        if self.options.churn > 0 {
            rows.push((
                "churn",
                format!("{} accepted, {} refused", HumanCount(accepted), HumanCount(refused)),
            ));
        }
        rows
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().iter().try_for_each(|(label, value)| writeln!(f, "{label:<14}  {value}"))
    }
}

/// Returns the nanoseconds for each of `count`; none if `count` is 0.
fn nanos_each(span: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| span.as_nanos() as f64 / count as f64)
}

/// A number with its noun: `1 line`, `1,234 lines`.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { many })
}

/// Formats a time in s, ms or µs.
fn time(nanos: u64) -> String {
    let nanos = nanos as f64;
    match nanos {
        _ if nanos >= 1e9 => format!("{:.2} s", nanos / 1e9),
        _ if nanos >= 1e6 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.0} µs", nanos / 1e3),
    }
}

//! What a run came to: as a table for people, and as JSON for scripts.

use crate::extras::Fates;
use crate::ledger::Faults;
use crate::options::Options;
use crate::usage::Usage;
use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use std::fmt;
use std::time::Duration;

/// The quantiles of the latency that are told.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What the server's process used, phase by phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    /// While everyone connected.
    pub(crate) connecting: Usage,
    /// KiB that everyone who connected made resident.
    pub(crate) grown: u64,
    /// While everyone was silent.
    pub(crate) idle: Usage,
    /// While the lines were said and heard.
    pub(crate) talking: Usage,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    /// All connections made at the start.
    pub(crate) connections: usize,
    pub(crate) connecting: Duration,
    pub(crate) talking: Duration,
    /// Lines said, which are fewer than asked for where a server does not read.
    pub(crate) said: u32,
    pub(crate) deliveries: u64,
    /// Deliveries that there had to be.
    pub(crate) expected: u64,
    pub(crate) latency: &'a Histogram<u64>,
    pub(crate) evenness: Option<f64>,
    pub(crate) faults: Faults,
    pub(crate) cut: usize,
    pub(crate) foreign: u64,
    pub(crate) fates: Fates,
    pub(crate) spent: Option<Spent>,
    /// What the server said first itself, or that something was wrong.
    pub(crate) server_said: Option<String>,
}

impl Report<'_> {
    /// Whether everyone heard everything as it was said.
    pub(crate) fn is_fine(&self) -> bool {
        self.faults == Faults::default() && self.cut == 0 && self.said == self.options.lines
    }

    fn a_second(&self) -> f64 {
        self.deliveries as f64 / self.talking.as_secs_f64().max(1e-9)
    }

    /// Nanoseconds for each of `count`, if there are any.
    fn each(span: Duration, count: u64) -> Option<f64> {
        (count > 0).then(|| span.as_nanos() as f64 / count as f64)
    }

    /// The result as one JSON object: times in seconds, nanoseconds (`_ns`), microseconds (`_us`),
    /// memory in KiB or bytes.
    pub(crate) fn json(&self) -> Value {
        let options = self.options;
        let mut result = json!({
            "protocol": options.protocol.name(),
            "clients": options.clients,
            "senders": options.senders,
            "lines": options.lines,
            "bytes": options.bytes,
            "rate": options.rate,
            "window": options.window,
            "churn": options.churn,
            "slow": options.slow,
            "idle_seconds": options.idle.as_secs_f64(),
            "said": self.said,
            "expected": self.expected,
            "connect_seconds": self.connecting.as_secs_f64(),
            "seconds": self.talking.as_secs_f64(),
            "deliveries": self.deliveries,
            "deliveries_a_second": self.a_second(),
            "latency_us": self.latency_us(),
            "evenness": self.evenness,
            "verified": options.verify,
            "fine": self.is_fine(),
            "lost": self.faults.lost,
            "out_of_order": self.faults.out_of_order,
            "doubled": self.faults.doubled,
            "altered": self.faults.altered,
            "returned": self.faults.returned,
            "strange": self.faults.strange,
            "cut": self.cut,
            "foreign": self.foreign,
            "server_said": self.server_said,
            "stuck": options.stuck,
            "stuck_cut": self.fates.stuck_cut,
            "slow_read": self.fates.slow_read,
            "slow_cut": self.fates.slow_cut,
            "came": self.fates.came,
            "turned_away": self.fates.turned_away,
        });
        if let Some(spent) = &self.spent {
            result["server"] = json!({
                "cpu_ns_a_delivery": Self::each(spent.talking.cpu, self.deliveries),
                "cpu_seconds": spent.talking.cpu.as_secs_f64(),
                "user_seconds": spent.talking.user.as_secs_f64(),
                "system_seconds": spent.talking.system.as_secs_f64(),
                "resident_kib": spent.talking.resident,
                "peak_kib": spent.talking.peak,
                "cpu_us_a_connection": Self::each(spent.connecting.cpu, self.connections as u64).map(|nanos| nanos / 1000.0),
                "bytes_a_connection": spent.grown as f64 * 1024.0 / self.connections.max(1) as f64,
                "idle_resident_kib": spent.idle.resident,
                "idle_cpu_seconds": spent.idle.cpu.as_secs_f64(),
            });
        }
        result
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

    fn rows(&self) -> Vec<(&'static str, String)> {
        let options = self.options;
        let Options { clients, senders, lines, bytes, .. } = options;
        let mut rows = vec![
            ("load", format!("{clients} clients, {senders} of which say {lines} lines of {bytes} bytes")),
            ("connected", format!("{} in {:.3} s", self.connections, self.connecting.as_secs_f64())),
            (
                "deliveries",
                format!(
                    "{} in {:.3} s, {:.0} a second",
                    self.deliveries,
                    self.talking.as_secs_f64(),
                    self.a_second()
                ),
            ),
        ];
        if !self.latency.is_empty() {
            let part = |(name, part)| format!("{name} {}", shown(self.latency.value_at_quantile(part)));
            let parts = QUANTILES.into_iter().map(part).chain([format!("max {}", shown(self.latency.max()))]);
            rows.push(("latency", parts.collect::<Vec<_>>().join(", ")));
        }
        if let (Some(evenness), 0) = (self.evenness, options.rate + options.window) {
            let slowest = 100.0 * evenness;
            rows.push((
                "evenness",
                format!("the slowest sender was at {slowest:.0} % when the first was done"),
            ));
        }
        if let Some(spent) = &self.spent {
            self.add_spent(spent, &mut rows);
        }
        let Faults { lost, out_of_order, doubled, altered, returned, strange } = self.faults;
        if self.said < *lines {
            rows.push(("said", format!("{} of {lines} lines, for the server took no more", self.said)));
        }
        rows.push(("lost", lost.to_string()));
        if options.verify {
            rows.push(("out of order", out_of_order.to_string()));
        } else {
            rows.push(("out of order", "not checked: that needs --verify".to_owned()));
        }
        if options.verify || altered > 0 {
            rows.push(("altered", altered.to_string()));
        }
        rows.push(("doubled", doubled.to_string()));
        for (name, count) in [("returned", returned), ("strange", strange)] {
            if count > 0 {
                rows.push((name, count.to_string()));
            }
        }
        rows.push(("cut", self.cut.to_string()));
        if let Some(said) = &self.server_said {
            rows.push(("server said", said.clone()));
        }
        if options.stuck > 0 {
            rows.push(("stuck", format!("{}, {} of them cut", options.stuck, self.fates.stuck_cut)));
        }
        if let Some(read) = self.fates.slow_read {
            let end = if self.fates.slow_cut { "and was cut" } else { "and stayed" };
            rows.push(("slow", format!("read {read} bytes {end}")));
        }
        if options.churn > 0 {
            let Fates { came, turned_away, .. } = self.fates;
            rows.push(("churn", format!("{came} came and went, {turned_away} could not come")));
        }
        rows
    }

    fn add_spent(&self, spent: &Spent, rows: &mut Vec<(&'static str, String)>) {
        let Spent { connecting, grown, idle, talking } = spent;
        let connection = connecting.cpu.as_secs_f64() * 1e6 / self.connections.max(1) as f64;
        let bytes = grown * 1024 / self.connections.max(1) as u64;
        rows.push(("a connection", format!("{connection:.1} µs of server CPU, {bytes} bytes resident")));
        if !self.options.idle.is_zero() {
            let (cpu, span) = (idle.cpu.as_millis(), self.options.idle.as_secs_f64());
            rows.push((
                "idle",
                format!("{cpu} ms of server CPU in {span} s, {} KiB resident", idle.resident),
            ));
        }
        let user = 100.0 * talking.user_share();
        let amount = match Self::each(talking.cpu, self.deliveries) {
            Some(delivery) => format!("{delivery:.1} ns a delivery"),
            None => format!("{} ms in all", talking.cpu.as_millis()),
        };
        rows.push(("server CPU", format!("{amount}, {user:.0} % of it user time")));
        rows.push(("resident", format!("{} KiB, {} KiB at most", talking.resident, talking.peak)));
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().iter().try_for_each(|(name, value)| writeln!(f, "{name:<13} {value}"))
    }
}

/// A time in the unit that suits it.
fn shown(nanos: u64) -> String {
    let nanos = nanos as f64;
    match nanos {
        _ if nanos >= 1e9 => format!("{:.2} s", nanos / 1e9),
        _ if nanos >= 1e6 => format!("{:.2} ms", nanos / 1e6),
        _ => format!("{:.0} µs", nanos / 1e3),
    }
}

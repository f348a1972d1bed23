//! The run: everyone connects, is silent, talks; and what that came to.

use crate::ledger::{Cast, Ledger};
use crate::options::Options;
use crate::report::{Report, Spent};
use crate::schedule::Schedule;
use crate::swarm::Swarm;
use crate::talk::TICK;
use crate::target::Target;
use crate::usage::{Process, Usage};
use hubbub::net::fd_limit;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Descriptors beside those of the connections.
const OWN_DESCRIPTORS: usize = 16;
/// How often a progress bar is drawn.
const DRAWS_A_SECOND: u8 = 10;
/// After the last line came, so long is waited for one too many.
const AFTER: Duration = Duration::from_millis(50);
/// Who never read, and gets nothing for so long once it reads, was not cut.
const QUIET: Duration = Duration::from_millis(300);

/// Runs the load that `options` ask for, and has `print` show what it came to; whether all is fine.
///
/// # Errors
/// What to tell where there can be no result.
pub(crate) fn run(
    options: &Options,
    target: Target,
    print: impl FnOnce(&Report<'_>) -> Result<(), String>,
) -> Result<bool, String> {
    let Options { clients, senders, lines, bytes, verify, others, protocol, .. } = *options;
    let connections = clients + options.stuck + usize::from(options.slow.is_some());
    let needed = connections + OWN_DESCRIPTORS + if options.churn > 0 { 1000 } else { 0 };
    let limit = fd_limit::raise_limit();
    if needed > limit {
        return Err(format!(
            "{connections} connections need {needed} open files, and the limit is {limit}: raise it with ulimit -n"
        ));
    }
    let process = options.pid.map(Process::new);
    let usage = || process.as_ref().map(Process::usage).transpose();
    let ledger = Ledger::new(
        Cast { readers: clients, senders, lines, bytes, verify, others, protocol },
        run_number(),
    )?;
    let schedule = Schedule { lines, rate: options.rate, window: options.window };
    let nuisances = (options.stuck, options.slow, options.churn);

    let at_first = usage()?;
    let cannot = |why| format!("cannot connect to {}: {why}", options.address);
    let mut swarm = Swarm::new(target, protocol, ledger, (senders, schedule), bytes, nuisances, clients)
        .map_err(cannot)?;
    gather(&mut swarm, options).map_err(cannot)?;
    let connecting = swarm.now();
    let when_joined = usage()?;
    let until = swarm.now() + options.idle;
    while swarm.now() < until {
        swarm.turn(until.saturating_sub(swarm.now()))?;
    }
    // A server that is gone from here on is told by what was lost.
    let when_idle = usage().unwrap_or_default();
    let talking = talk(&mut swarm, options)?;
    let at_last = usage().unwrap_or_default();
    wait_for_more(&mut swarm, options.timeout)?;

    let faults = swarm.ledger.faults();
    let report = Report {
        options,
        connections,
        connecting,
        talking,
        said: swarm.said(),
        deliveries: swarm.ledger.deliveries(),
        expected: swarm.ledger.expected(),
        latency: swarm.ledger.latency(),
        evenness: swarm.ledger.evenness(),
        faults,
        cut: swarm.cut(),
        foreign: swarm.ledger.foreign(),
        fates: swarm.extras().fates(),
        server_said: swarm.refusal(),
        spent: spent(&[at_first, when_joined, when_idle, at_last]),
    };
    print(&report)?;
    Ok(report.is_fine())
}

/// Everyone connects, and is known to hear the others.
fn gather(swarm: &mut Swarm, options: &Options) -> Result<(), String> {
    let bar = bar("joined", options.clients as u64);
    let mut news = (0, swarm.now());
    let mut asked = news.1;
    // Whoever is alone has nobody to be heard by.
    while swarm.joined() < options.clients && options.clients > 1 || !swarm.has_all(options.clients) {
        swarm.connect(options.clients)?;
        swarm.turn(TICK / 10)?;
        if swarm.cut() > 0 {
            let why = swarm.refusal().map_or(String::new(), |said| format!(", saying '{said}'"));
            return Err(format!("the server ended the connection{why}"));
        }
        let now = swarm.now();
        if swarm.joined() > news.0 {
            news = (swarm.joined(), now);
            bar.set_position(news.0 as u64);
        }
        if swarm.joined() < options.clients && swarm.ask(news.1.max(asked)) {
            asked = swarm.now();
        }
        if now.saturating_sub(news.1) > options.timeout {
            let (joined, clients) = (news.0, options.clients);
            let said = swarm.refusal().map_or(String::new(), |said| format!(" and the server says '{said}'"));
            return Err(format!("only {joined} of {clients} clients hear what is said{said}"));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Everyone says and hears everything; how long that took until the last delivery.
fn talk(swarm: &mut Swarm, options: &Options) -> Result<Duration, String> {
    let bar = bar("delivered", swarm.ledger.expected());
    let started = swarm.now();
    let nobody_hears = swarm.ledger.expected() == 0;
    let mut last = (0, started);
    // Between two lines there may be nothing to deliver.
    let pause = Duration::from_secs(1).checked_div(options.rate).unwrap_or_default();
    let patience = options.timeout + pause;
    swarm.start();
    while !(swarm.ledger.is_complete() && swarm.said() == options.lines) {
        swarm.turn(TICK)?;
        let now = swarm.now();
        // Who is alone gets nothing delivered.
        let done = if nobody_hears { u64::from(swarm.said()) } else { swarm.ledger.deliveries() };
        if done != last.0 {
            last = (done, now);
            bar.set_position(done);
        }
        if now.saturating_sub(last.1) > patience || !swarm.is_anyone_there() {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(last.1.saturating_sub(started))
}

/// Lines that come twice may come after the last; and those who never read tell whether they were cut.
fn wait_for_more(swarm: &mut Swarm, timeout: Duration) -> Result<(), String> {
    let until = swarm.now() + AFTER;
    while swarm.now() < until {
        swarm.turn(until.saturating_sub(swarm.now()))?;
    }
    // What only comes because they read now would never have come.
    swarm.ledger.close();
    let mut quiet_since = swarm.now();
    // Others in the room may never be quiet.
    let until = quiet_since + timeout;
    while swarm.has_nuisances() && swarm.now() < until && swarm.now().saturating_sub(quiet_since) < QUIET {
        if swarm.drain_extras() {
            quiet_since = swarm.now();
        }
        swarm.turn(TICK / 10)?;
    }
    Ok(())
}

fn spent(usages: &[Option<Usage>; 4]) -> Option<Spent> {
    let [Some(at_first), Some(joined), Some(idle), Some(last)] = usages else { return None };
    Some(Spent {
        connecting: joined.since(at_first),
        grown: joined.resident.saturating_sub(at_first.resident),
        idle: idle.since(joined),
        talking: last.since(idle),
    })
}

/// Drawn where standard error is a terminal, and nowhere else.
fn bar(what: &'static str, length: u64) -> ProgressBar {
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND);
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {human_pos}/{human_len} {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(what)
}

/// A number that tells this run's lines from those of others in the same room.
fn run_number() -> u16 {
    // Seeded anew for each process: the one source of randomness that the standard library has.
    RandomState::new().build_hasher().finish() as u16
}

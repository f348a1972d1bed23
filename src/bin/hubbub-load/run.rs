//! One run: connect all clients, stay idle, send and receive, report.

use crate::clients::Clients;
use crate::interrupt::Interrupt;
use crate::options::Options;
use crate::process::{self, Process, Usage};
use crate::progress::Progress;
use crate::recorder::{Recorder, Workload};
use crate::report::{Report, ResourceUse};
use crate::schedule::Schedule;
use crate::sender::TICK;
use crate::side_load::{MAX_CHURN_OPEN, SideOptions};
use crate::target::Target;
use hubbub::cli::address::PLAIN_PORT;
use hubbub::cli::args;
use hubbub::cli::secret::Secret;
use hubbub::net::fd_limit;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::Duration;

/// File descriptors of the program itself, in addition to its connections.
const OWN_DESCRIPTORS: usize = 16;
/// After the last line, duplicates are awaited for this time.
const DUPLICATE_WAIT: Duration = Duration::from_millis(50);
/// At the end, the stuck readers are read until nothing comes for this time. A disconnect shows by then.
const DRAIN_QUIET: Duration = Duration::from_millis(300);

/// After an interrupt, lines that were sent are awaited for this time.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);

/// Runs the load and passes the result to `print`; returns whether all is fine.
///
/// # Errors
/// The reason why there is no result.
pub(crate) fn run(
    options: &Options,
    target: Target,
    interrupt: &Interrupt,
    print: impl FnOnce(&Report<'_>) -> Result<(), String>,
) -> Result<bool, String> {
    let connections = options.clients + options.stuck + usize::from(options.slow.is_some());
    check_fd_limit(connections, options.churn)?;
    check_memory(options)?;
    let processes = options.pids.iter().copied().map(Process::new).collect::<Vec<_>>();
    let usage = || process::sum(&processes);

    let at_start = usage()?;
    let mut clients = connect_all(options, target, interrupt)?;
    let connecting = clients.now();
    let when_connected = usage()?;
    stay_idle(&mut clients, options.idle, interrupt)?;
    // From here on, lost lines show it if the server has ended.
    let when_idle = usage().unwrap_or_default();
    let sending = send_and_receive(&mut clients, options, interrupt)?;
    let at_end = usage().unwrap_or_default();
    let longest = if interrupt.is_caught() { INTERRUPTED_WAIT } else { options.timeout };
    wait_for_more(&mut clients, longest)?;
    // A single client waits for no line, so its greeting may come as late as this.
    check_view(&clients, options)?;
    if interrupt.is_caught() {
        clients.recorder.give_up();
    }
    let faults = clients.recorder.faults();
    let recorder = &clients.recorder;
    let report = Report {
        options,
        connections,
        connecting,
        sending,
        sent: clients.sent(),
        has_sent_all: clients.have_sent_all(),
        is_interrupted: interrupt.is_caught(),
        deliveries: recorder.deliveries(),
        in_flight: recorder.in_flight(),
        expected: recorder.expected(),
        latency: recorder.latency(),
        evenness: recorder.evenness(),
        faults,
        lost_by_disconnected: recorder.lost_by_gone(),
        disconnected: clients.disconnected(),
        foreign: recorder.foreign(),
        outcomes: clients.side_load.outcomes(),
        server_message: clients.server_message(),
        resource_use: resource_use(&[at_start, when_connected, when_idle, at_end]),
    };
    print(&report)?;
    Ok(report.is_fine())
}

/// Raises the limit of file descriptors, and checks that it suffices.
fn check_fd_limit(connections: usize, churn: u32) -> Result<(), String> {
    let needed = connections + OWN_DESCRIPTORS + if churn > 0 { MAX_CHURN_OPEN } else { 0 };
    let limit = fd_limit::raise_limit();
    if needed > limit {
        return Err(format!(
            "{connections} connections need {needed} file descriptors, but the limit is {limit}: \
             raise it with ulimit -n"
        ));
    }
    Ok(())
}

/// Checks that there is memory for the send times of a number of lines that was chosen.
fn check_memory(options: &Options) -> Result<(), String> {
    let lines = if options.duration.is_some() { 0 } else { options.lines };
    // Without this, the program would abort in the middle of the run.
    Vec::<u64>::new().try_reserve_exact(lines as usize).map_err(|_| {
        format!("not enough memory to record the send times of {lines} lines: choose fewer with --lines")
    })
}

/// Connects all clients, and waits until each is known to receive lines.
fn connect_all(options: &Options, target: Target, interrupt: &Interrupt) -> Result<Clients, String> {
    let Options { senders, lines, bytes, verify, others, protocol, .. } = *options;
    let workload = Workload { readers: options.clients, senders, lines, bytes, verify, others, protocol };
    let recorder = Recorder::new(workload, run_number())?;
    let schedule = Schedule { lines, rate: options.rate, window: options.window };
    let side_options = SideOptions { stuck: options.stuck, slow: options.slow, churn: options.churn };
    let password = options.password_file.as_ref().map(|path| {
        Secret::read(Path::new(path)).map_err(|why| args::wrong_value("password-file", path, &why))
    });
    let password = password.transpose()?;
    let cannot_connect = |why| format!("cannot connect to \"{}\": {why}", options.address);
    let mut clients =
        Clients::new(target, recorder, schedule, side_options, password).map_err(cannot_connect)?;
    wait_until_joined(&mut clients, options, interrupt)
        .map_err(|why| if clients.wrong_view().is_some() { why } else { cannot_connect(why) })?;
    Ok(clients)
}

/// Returns an error if the listener is in another view, where every line would count as lost.
fn check_view(clients: &Clients, options: &Options) -> Result<(), String> {
    let Some(view) = clients.wrong_view() else { return Ok(()) };
    Err(format!(
        "\"{}\" is a listener in the {} view: hubbub-load needs one in the plain view, by default port {PLAIN_PORT}",
        options.address,
        view.name()
    ))
}

fn wait_until_joined(clients: &mut Clients, options: &Options, interrupt: &Interrupt) -> Result<(), String> {
    let count = options.clients;
    let bar = Progress::count("joined", count as u64);
    let (mut joined, mut joined_at) = (0, clients.now());
    let mut probed_at = joined_at;
    // A single client only has to be connected: no other client could send it a line.
    while clients.joined() < count && count > 1 || !clients.are_connected(count) {
        clients.connect(count)?;
        clients.turn(TICK / 10)?;
        check_view(clients, options)?;
        if interrupt.is_caught() {
            return Err(format!("interrupted when {joined} of {count} clients received lines"));
        }
        if let Some(why) = clients.tls_failure() {
            return Err(why.to_owned());
        }
        if clients.disconnected() > 0 {
            return Err(with_message(clients, "the server closed the connection", " and sent"));
        }
        let now = clients.now();
        if clients.joined() > joined {
            (joined, joined_at) = (clients.joined(), now);
            bar.show(joined as u64, now);
        }
        if clients.joined() < count && clients.probe(joined_at.max(probed_at)) {
            probed_at = clients.now();
        }
        if now.saturating_sub(joined_at) > options.timeout {
            let why = format!("only {joined} of {count} clients receive lines");
            return Err(with_message(clients, &why, "; the server sent"));
        }
    }
    bar.end();
    Ok(())
}

/// Appends the server's message to an error, if there is one.
fn with_message(clients: &Clients, why: &str, before: &str) -> String {
    let message = clients.server_message().map(|message| format!("{before} \"{message}\""));
    format!("{why}{}", message.unwrap_or_default())
}

/// Sends all lines, or until the time is over or the run is interrupted, and waits for the deliveries. Returns the
/// time until the last delivery.
fn send_and_receive(
    clients: &mut Clients,
    options: &Options,
    interrupt: &Interrupt,
) -> Result<Duration, String> {
    let bar = match options.duration {
        Some(duration) => Progress::time(duration),
        None => Progress::count("delivered", clients.recorder.expected()),
    };
    let started = clients.now();
    let until = options.duration.map_or(Duration::MAX, |duration| started + duration);
    let (mut done, mut done_at, mut active_at) = (0, started, started);
    // At a low rate nothing is delivered between two lines.
    let pause = Duration::from_secs(1).checked_div(options.rate).unwrap_or_default();
    let (mut is_stopped, mut interrupted_at) = (false, None);
    clients.start_sending();
    while !(clients.recorder.is_complete() && clients.have_sent_all()) {
        let now = clients.now();
        if interrupt.is_caught() && now > *interrupted_at.get_or_insert(now) + INTERRUPTED_WAIT {
            break;
        }
        if !is_stopped && (interrupt.is_caught() || now >= until) {
            clients.stop_sending();
            (is_stopped, active_at) = (true, now);
        }
        clients.turn(if is_stopped { TICK } else { until.saturating_sub(now).min(TICK) })?;
        check_view(clients, options)?;
        let now = clients.now();
        // A single client receives nothing: then the lines sent show that the run goes on.
        let is_alone = clients.recorder.expected() == 0;
        let progress = if is_alone { u64::from(clients.sent()) } else { clients.recorder.deliveries() };
        if progress != done {
            (done, done_at, active_at) = (progress, now, now);
        }
        bar.show(done, now.saturating_sub(started));
        if now.saturating_sub(active_at) > options.timeout + pause || clients.are_all_disconnected() {
            break;
        }
    }
    bar.end();
    Ok(done_at.saturating_sub(started))
}

/// Sends nothing, so that the idle server can be measured.
fn stay_idle(clients: &mut Clients, time: Duration, interrupt: &Interrupt) -> Result<(), String> {
    let until = clients.now() + time;
    while clients.now() < until && !interrupt.is_caught() {
        clients.turn(until.saturating_sub(clients.now()))?;
    }
    Ok(())
}

/// Waits for duplicates of the last lines. Then reads what the stuck readers have not read, until nothing more
/// comes.
fn wait_for_more(clients: &mut Clients, timeout: Duration) -> Result<(), String> {
    let until = clients.now() + DUPLICATE_WAIT;
    while clients.now() < until {
        clients.turn(until.saturating_sub(clients.now()))?;
    }
    // Now the stuck readers read. A line that arrives only for this reason must not count as delivered.
    clients.recorder.stop();
    let mut quiet_since = clients.now();
    // Lines from outside this run may never end.
    let until = quiet_since + timeout;
    while clients.side_load.has_readers()
        && clients.now() < until
        && clients.now().saturating_sub(quiet_since) < DRAIN_QUIET
    {
        if clients.drain_side_load() {
            quiet_since = clients.now();
        }
        clients.turn(TICK / 10)?;
    }
    Ok(())
}

fn resource_use(usages: &[Option<Usage>; 4]) -> Option<ResourceUse> {
    let [Some(at_start), Some(connected), Some(idle), Some(at_end)] = usages else { return None };
    Some(ResourceUse {
        connecting: connected.since(at_start),
        grown: connected.resident.saturating_sub(at_start.resident),
        idle: idle.since(connected),
        sending: at_end.since(idle),
    })
}

/// Returns a random number that distinguishes this run's lines from those of another run on the same server.
fn run_number() -> u16 {
    // The standard library's only source of randomness: the keys are new in each process.
    RandomState::new().build_hasher().finish() as u16
}

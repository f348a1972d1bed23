//! The command line.

use crate::line::LineTemplate;
use crate::protocol::Protocol;
use getopts::{Matches, Options as Parser};
use hubbub::cli::address::{Address, PLAIN_PORT};
use hubbub::cli::args::{self, A_MILLISECOND, A_YEAR, parse_count, parse_seconds, value};
use std::ffi::OsString;
use std::time::Duration;

const CLIENTS: usize = 100;
const SENDERS: usize = 10;
const LINES: usize = 10_000;
const BYTES: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(10);
/// A line has 16 bits for its sender's number; the last number marks a probe.
const MAX_CLIENTS: usize = u16::MAX as usize - 1;
const MAX_LINES: usize = 1_000_000_000;
const MAX_BYTES: usize = 1024 * 1024;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// Run a load.
    Run(Box<Options>),
    /// Print this text and exit.
    Print(String),
}

/// The load and its target.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) address: Address,
    pub(crate) clients: usize,
    /// Clients that `--verify` adds to those of `--clients`; they are counted there.
    pub(crate) added: usize,
    pub(crate) senders: usize,
    /// The most lines to send.
    pub(crate) lines: u32,
    /// How long to send, if that is limited.
    pub(crate) duration: Option<Duration>,
    pub(crate) bytes: usize,
    /// Lines per second; 0 = as fast as possible.
    pub(crate) rate: u32,
    /// The most lines that not every client has received yet; 0 = no limit.
    pub(crate) window: u32,
    pub(crate) stuck: usize,
    /// Bytes per second of the slow reader, if there is one.
    pub(crate) slow: Option<usize>,
    /// Connections per second; 0 = off.
    pub(crate) churn: u32,
    pub(crate) idle: Duration,
    pub(crate) timeout: Duration,
    pub(crate) verify: bool,
    pub(crate) others: bool,
    pub(crate) protocol: Protocol,
    /// The processes of the server.
    pub(crate) pids: Vec<u32>,
    pub(crate) json: bool,
    pub(crate) allow_remote: bool,
    pub(crate) tls: bool,
    pub(crate) password_file: Option<String>,
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let matches = args::parse_options(&parser(), arguments)?;
    if matches.opt_present("help") {
        return Ok(Invocation::Print(help()));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Print(format!("hubbub-load {}\n", env!("CARGO_PKG_VERSION"))));
    }
    options(&matches).map(Box::new).map(Invocation::Run)
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.optopt("c", "clients", "", "N");
    parser.optopt("s", "senders", "", "N");
    parser.optopt("n", "lines", "", "N");
    parser.optopt("b", "bytes", "", "N");
    for name in ["rate", "window", "stuck", "slow", "churn", "idle", "timeout", "protocol", "duration"] {
        parser.optopt("", name, "", "VALUE");
    }
    for name in ["verify", "others", "json", "i-own-this-host", "tls"] {
        parser.optflag("", name, "");
    }
    parser.optopt("", "password-file", "", "FILE");
    parser.optmulti("", "pid", "", "PID");
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn help() -> String {
    let (address, timeout) = (Address::default(), TIMEOUT.as_secs());
    format!(
        "\
Measures a chat server under load and checks that every client receives every
line of the other clients.

Usage: hubbub-load [OPTIONS] [ADDR | HOST PORT]

ADDR is HOST:PORT, HOST, PORT, [IPV6]:PORT or unix:PATH. The default is
{address}. With hubbub, it must be a listener in the plain view.

Options (default values in brackets):
  -c, --clients N       connections that receive every line [{CLIENTS}]
  -s, --senders N       clients that also send [{SENDERS}, or all if there are fewer]
  -n, --lines N         lines to send in total [{LINES}]
      --duration SECS   send for SECS seconds; without --lines, as many lines as
                        possible or as --rate says
  -b, --bytes N         bytes of each line, including the line end [{BYTES}]
      --rate N          lines per second in total, 0 = as fast as possible; with
                        a rate, latency counts from the time when the line
                        should have been sent [0]
      --window N        send at most N lines more than the slowest client has
                        received, 0 = no limit [0]
      --stuck N         add N connections that never read [0]
      --slow BYTES      add one connection that reads BYTES bytes per second
      --churn N         open and close N more connections per second [0]
      --idle SECS       before the first line, send nothing for SECS seconds and
                        measure the idle server [0]
      --timeout SECS    give up after SECS seconds without a delivery [{timeout}]
      --verify          check that each client receives every line of the others
                        once and unchanged, and all clients in the same order.
                        If all clients are senders, add one that is not. Without
                        --verify lines are only counted: a duplicate can hide a
                        loss
      --others          with --verify: allow lines from outside this run;
                        without --others they count as errors
      --protocol NAME   lines (as hubbub), nats or redis [lines]
      --tls             encrypt the connections, and accept any certificate;
                        ADDR must be on this machine; with nats, TLS begins
                        after the first line of the server
      --password-file FILE
                        if the server asks for a password, send the first line
                        of FILE; not with --stuck, --slow or --churn
      --pid PID         also measure CPU time and memory of this server process;
                        may be repeated: the figures are then sums
      --json            print the result as one line of JSON
      --i-own-this-host allow an ADDR that is not on this machine
  -h, --help            print this help
  -V, --version         print the version

Exit status: 0 = every line arrived, 1 = something was lost or wrong,
2 = wrong command line. Ctrl-C stops sending and prints the results so far; the
program then ends by that signal. A second Ctrl-C ends it at once.

Try it: start hubbub, then run 'hubbub-load --verify' in another terminal.
"
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    let address = Address::from_arguments(&matches.free, PLAIN_PORT)?.unwrap_or_default();
    let count = |name, least, most| value(matches, name, |text| parse_count(text, least, most));
    let number = |name| Ok::<_, String>(count(name, 0, MAX_LINES)?.unwrap_or(0) as u32);
    let seconds = |name, least| value(matches, name, |text| parse_seconds(text, least..=A_YEAR));
    let verify = matches.opt_present("verify");
    let mut clients = count("clients", 1, MAX_CLIENTS)?.unwrap_or(CLIENTS);
    let senders = count("senders", 1, MAX_CLIENTS)?.unwrap_or(SENDERS.min(clients));
    if senders > clients {
        return Err(format!(
            "--senders \"{senders}\": there are only {clients} clients: add --clients {senders}"
        ));
    }
    // The order check needs a client that sends nothing: only that one receives every line.
    let added = usize::from(verify && senders == clients);
    clients += added;
    let duration = seconds("duration", A_MILLISECOND)?;
    let lines = count("lines", 0, MAX_LINES)?;
    let password_file = matches.opt_str("password-file");
    let has_side_load = ["stuck", "slow", "churn"].iter().any(|name| matches.opt_present(name));
    if password_file.is_some() && has_side_load {
        return Err("--password-file cannot be used with --stuck, --slow or --churn".to_owned());
    }
    Ok(Options {
        address,
        clients,
        added,
        senders,
        lines: lines.unwrap_or(if duration.is_some() { MAX_LINES } else { LINES }) as u32,
        duration,
        bytes: count("bytes", LineTemplate::MIN_BYTES, MAX_BYTES)?.unwrap_or(BYTES),
        rate: number("rate")?,
        window: number("window")?,
        stuck: count("stuck", 0, MAX_CLIENTS)?.unwrap_or(0),
        slow: count("slow", 1, MAX_LINES)?,
        churn: number("churn")?,
        idle: seconds("idle", Duration::ZERO)?.unwrap_or(Duration::ZERO),
        timeout: seconds("timeout", A_MILLISECOND)?.unwrap_or(TIMEOUT),
        verify,
        others: matches.opt_present("others"),
        protocol: value(matches, "protocol", parse_protocol)?.unwrap_or(Protocol::Lines),
        pids: matches.opt_strs("pid").iter().map(|pid| parse_pid(pid)).collect::<Result<_, _>>()?,
        json: matches.opt_present("json"),
        allow_remote: matches.opt_present("i-own-this-host"),
        tls: matches.opt_present("tls"),
        password_file,
    })
}

fn parse_pid(text: &str) -> Result<u32, String> {
    let pid = parse_count(text, 1, u32::MAX as usize);
    pid.map(|pid| pid as u32).map_err(|why| args::wrong_value("pid", text, &why))
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == text);
    found.ok_or_else(|| "must be lines, nats or redis".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_help_is_longer_than_80_columns() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

//! The command line.

use crate::line::Text;
use crate::protocol::Protocol;
use getopts::{Matches, Options as Parser};
use hubbub::cli::address::Address;
use hubbub::cli::args::{self, A_MILLISECOND, A_YEAR, parse_count, parse_seconds, value};
use std::ffi::OsString;
use std::time::Duration;

const CLIENTS: usize = 100;
const SENDERS: usize = 10;
const LINES: usize = 10_000;
const BYTES: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(10);
/// As many as fit the 16 bits that a line has for its sender, the last of which means nobody.
const MOST_CLIENTS: usize = u16::MAX as usize - 1;
const MOST_LINES: usize = 1_000_000_000;
const LONGEST_LINE: usize = 1024 * 1024;

/// What the command line asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To run a load.
    Run(Box<Options>),
    /// To print this and leave.
    Print(String),
}

/// Which load, and where.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) address: Address,
    pub(crate) clients: usize,
    pub(crate) senders: usize,
    pub(crate) lines: u32,
    pub(crate) bytes: usize,
    pub(crate) rate: u32,
    pub(crate) window: u32,
    pub(crate) stuck: usize,
    /// Bytes a second of the slow reader, if there is one.
    pub(crate) slow: Option<usize>,
    pub(crate) churn: u32,
    pub(crate) idle: Duration,
    pub(crate) timeout: Duration,
    pub(crate) verify: bool,
    pub(crate) others: bool,
    pub(crate) protocol: Protocol,
    pub(crate) pid: Option<u32>,
    pub(crate) json: bool,
    pub(crate) anywhere: bool,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let matches = parser().parse(args::texts(arguments)?).map_err(|fail| fail.to_string())?;
    if matches.opt_present("help") {
        return Ok(Asked::Print(help()));
    }
    if matches.opt_present("version") {
        return Ok(Asked::Print(format!("hubbub-load {}\n", env!("CARGO_PKG_VERSION"))));
    }
    options(&matches).map(Box::new).map(Asked::Run)
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.optopt("c", "clients", "", "N");
    parser.optopt("s", "senders", "", "N");
    parser.optopt("n", "lines", "", "N");
    parser.optopt("b", "bytes", "", "N");
    for name in ["rate", "window", "stuck", "slow", "churn", "idle", "timeout", "protocol", "pid"] {
        parser.optopt("", name, "", "VALUE");
    }
    for name in ["verify", "others", "json", "i-own-this-host"] {
        parser.optflag("", name, "");
    }
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn help() -> String {
    let timeout = TIMEOUT.as_secs();
    format!(
        "\
Measures a chat server under load, and checks that everyone hears everything.

Usage: hubbub-load [OPTIONS] [ADDR]

ADDR is HOST:PORT, HOST, PORT, [IPV6]:PORT or unix:PATH          [{}]

Options:
  -c, --clients N       connections that hear everything         [{CLIENTS}]
  -s, --senders N       so many of them also speak               [{SENDERS}, or all where there are fewer]
  -n, --lines N         lines said in all                        [{LINES}]
  -b, --bytes N         bytes of a line, its end included        [{BYTES}]
      --rate N          lines a second in all, 0 is as fast as they go; latency then counts from when
                        a line was due                           [0]
      --window N        lines that not all have heard, 0 is no bound [0]
      --stuck N         so many more connections that never read [0]
      --slow BYTES      one more connection, that reads so many bytes a second
      --churn N         connections a second that are made and ended at once [0]
      --idle SECS       first stay silent for so long, and see what that costs [0]
      --timeout SECS    give up after so long without a delivery [{timeout}]
      --verify          check that each reader hears each line of each other sender once, unaltered and
                        in order, and all in one order; at least one client then only listens.
                        Without it lines are counted, and one too many makes up for one that was lost
      --others          with --verify: others may talk in the room; else a line of nobody here is wrong
      --protocol NAME   lines, nats or redis                     [lines]
      --pid PID         the server's process: tells its CPU time and memory
      --json            print the result as one line of JSON
      --i-own-this-host allow addresses that are not loopback ones
  -h, --help            print this and leave
  -V, --version         print the version and leave

Exit status: 0 when all was heard, 1 when anything was lost or wrong, 2 for a wrong command line.

Try it: run hubbub, then 'hubbub-load --verify' in another terminal.
",
        Address::default()
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    if let Some(extra) = matches.free.get(1) {
        return Err(format!("unexpected argument '{extra}'"));
    }
    let address = match matches.free.first() {
        Some(text) => Address::parse(text).map_err(|why| format!("{text}: {why}"))?,
        None => Address::default(),
    };
    let count = |name, least, most| value(matches, name, |text| parse_count(text, least, most));
    let number = |name| Ok::<_, String>(count(name, 0, MOST_LINES)?.unwrap_or(0) as u32);
    let seconds = |name, least| value(matches, name, |text| parse_seconds(text, least..=A_YEAR));
    let verify = matches.opt_present("verify");
    let mut clients = count("clients", 1, MOST_CLIENTS)?.unwrap_or(CLIENTS);
    let senders = count("senders", 1, MOST_CLIENTS)?.unwrap_or(SENDERS.min(clients));
    if senders > clients {
        return Err(format!(
            "--senders {senders} is more than the {clients} clients: it needs --clients {senders}"
        ));
    }
    if verify && senders == clients {
        // What the others hear is compared with what a client hears that says nothing.
        clients += 1;
    }
    Ok(Options {
        address,
        clients,
        senders,
        lines: count("lines", 0, MOST_LINES)?.unwrap_or(LINES) as u32,
        bytes: count("bytes", Text::SHORTEST, LONGEST_LINE)?.unwrap_or(BYTES),
        rate: number("rate")?,
        window: number("window")?,
        stuck: count("stuck", 0, MOST_CLIENTS)?.unwrap_or(0),
        slow: count("slow", 1, MOST_LINES)?,
        churn: number("churn")?,
        idle: seconds("idle", Duration::ZERO)?.unwrap_or(Duration::ZERO),
        timeout: seconds("timeout", A_MILLISECOND)?.unwrap_or(TIMEOUT),
        verify,
        others: matches.opt_present("others"),
        protocol: value(matches, "protocol", parse_protocol)?.unwrap_or(Protocol::Lines),
        pid: count("pid", 1, u32::MAX as usize)?.and_then(|pid| u32::try_from(pid).ok()),
        json: matches.opt_present("json"),
        anywhere: matches.opt_present("i-own-this-host"),
    })
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == text);
    found.ok_or_else(|| "must be lines, nats or redis".to_owned())
}

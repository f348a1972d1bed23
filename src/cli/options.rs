//! The command line of the server.

use super::address::{NAMED_PORT, PLAIN_PORT};
use super::args::{
    self, A_MILLISECOND, A_YEAR, Invocation, parse_count, parse_count_of, parse_seconds, parse_size, value,
    wrong_value,
};
use super::listen;
use crate::broadcast::rate_limit::RateLimit;
use crate::chat::room::Room;
use crate::net::cidr::Cidr;
use crate::net::entry_config::{EntryConfig, TlsFiles};
use crate::net::listen_spec::{ListenAddr, ListenSpec, ListenerConfig, PeerTimeout};
use crate::net::service::Service;
use crate::wire::view::View;
use getopts::{Matches, Options as Parser, ParsingStyle};
use log::LevelFilter;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Where the server listens by default: scripts use the first port, people the second.
const DEFAULT_LISTENERS: [(View, u16); 2] = [(View::Plain, PLAIN_PORT), (View::Named, NAMED_PORT)];
const DEFAULT_HOST: &str = "127.0.0.1";
const WELCOME: &str = "Welcome to the anonymous chat room.";
/// Each new client has a copy of the welcome until it is written, so its length has a limit.
const MAX_WELCOME: usize = 4096;
const MAX_LINE: usize = 8192;
/// Holds a burst while its readers are served. With 1,000 saturated clients a delivery cost 8.0 ns of CPU time
/// with 64 KiB, 5.5 with 256 KiB, 4.9 with 1 MiB and 4.8 with 4 MiB (medians of three runs in turn).
const FEED: usize = 1024 * 1024;
/// A smaller feed holds too few lines; a larger one does not fit the address space of a 32-bit machine.
const FEEDS: RangeInclusive<usize> = 4 * 1024..=1024 * 1024 * 1024;
/// Idle time is counted in milliseconds in 32 bits, which wrap after 49 days.
const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// An hour, in milliseconds.
const MAX_FLUSH_AFTER: usize = 3_600_000;

/// The options of the server.
#[derive(Debug)]
pub struct Options {
    /// Where to listen; empty if `--listen` was not given.
    pub listen: Vec<ListenSpec>,
    /// The line sent to each new client; empty = none.
    pub welcome: String,
    /// Earlier lines that each new client gets.
    pub history: usize,
    /// The limit on clients; `None` = as many as the limit of open files allows.
    pub max_clients: Option<usize>,
    /// The limit on clients of one network; `None` = no limit.
    pub max_per_ip: Option<usize>,
    /// The longest line accepted, in bytes.
    pub max_line: usize,
    /// The size of each view's feed, in bytes.
    pub feed: usize,
    /// How long blocked senders wait before stalled readers are disconnected.
    pub stall_timeout: Duration,
    /// The limit on the lines per second of one client; `None` = no limit.
    pub rate: Option<RateLimit>,
    /// The time after which a client that sends nothing is disconnected; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// Options that apply to every listener.
    pub listener: ListenerConfig,
    /// The time after which an unfinished line is sent; `None` = never.
    pub flush_after: Option<Duration>,
    /// Whether bytes are relayed unchanged.
    pub raw: bool,
    /// Which connections are admitted, and after which steps.
    pub entry: EntryConfig,
    /// The interval of the report in the log; `None` = no report.
    pub report_every: Option<Duration>,
    /// The log file; `None` = standard error.
    pub log_file: Option<PathBuf>,
    /// The level of the log.
    pub level: LevelFilter,
}

/// The listeners of a server that was started without `--listen`.
pub fn default_listeners() -> Vec<ListenSpec> {
    let spec = |(view, port)| {
        let address = ListenAddr::Tcp { host: Some(DEFAULT_HOST.to_owned()), port };
        ListenSpec { service: Service::Room { view, tls: false }, address }
    };
    DEFAULT_LISTENERS.map(spec).into()
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation<Box<Options>>, String> {
    let matches = args::parse_options(&parser(), arguments).map_err(listen::with_hint)?;
    if matches.opt_present("help") {
        return Ok(Invocation::Print(help()));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Print(format!("hubbub {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if !matches.free.is_empty() {
        return Err(listen::unexpected(&matches.free, &matches.opt_strs("listen")));
    }
    options(&matches).map(Box::new).map(Invocation::Run)
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.parsing_style(ParsingStyle::FloatingFrees);
    parser.optmulti("l", "listen", "", "[VIEW:]ADDR");
    parser.optopt("", "unix-mode", "", "MODE");
    parser.optopt("w", "welcome", "", "TEXT");
    parser.optopt("", "history", "", "LINES");
    parser.optopt("m", "max-clients", "", "N");
    parser.optopt("", "max-per-ip", "", "N");
    parser.optopt("", "max-line", "", "BYTES");
    parser.optopt("", "feed", "", "BYTES");
    parser.optopt("", "stall-timeout", "", "SECS");
    parser.optopt("", "rate", "", "LINES");
    parser.optopt("", "idle-timeout", "", "SECS");
    parser.optopt("", "dead-after", "", "SECS");
    parser.optopt("", "flush-after", "", "MS");
    parser.optflag("", "raw", "");
    parser.optopt("", "access", "", "FILE");
    parser.optmulti("", "proxy-from", "", "CIDR");
    parser.optopt("", "password-file", "", "FILE");
    parser.optopt("", "tls-cert", "", "FILE");
    parser.optopt("", "tls-key", "", "FILE");
    parser.optopt("", "report-every", "", "SECS");
    parser.optopt("", "log-file", "", "FILE");
    parser.optflagmulti("v", "verbose", "");
    parser.optflag("q", "quiet", "");
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn help() -> String {
    let dead_after = PeerTimeout::default().seconds();
    format!(
        "\
An anonymous chat room: each line that a client sends goes to all other clients.

Usage: hubbub [OPTIONS]

Options:
  -l, --listen [VIEW:]ADDR  listen on ADDR; may be repeated; by default
                            [plain:127.0.0.1:9090 and named:127.0.0.1:9091]
                            ADDR: PORT or :PORT (all interfaces), HOST:PORT,
                            [IPV6]:PORT, unix:PATH, unix:@NAME
                            VIEW: plain (if not given), named, json; encrypted
                            plain+tls (or tls), named+tls, json+tls; admin:
                            commands of an operator, unix:PATH only
      --unix-mode MODE      permissions of unix sockets                   [0660]
  -w, --welcome TEXT        line sent to each new client; '' = none
                            [{WELCOME}]
      --history LINES       send the last LINES lines to each new client     [0]
  -m, --max-clients N       at most N clients (2 = one-to-one chat)
                            [from ulimit -n]
      --max-per-ip N        at most N clients from one address; 0 = off      [0]
      --max-line BYTES      longest line accepted; at most a sixteenth of
                            the feed                                      [{MAX_LINE}]
      --feed BYTES          size of each view's feed; accepts k, M, G       [1M]
      --rate LINES          lines per second from one client; 0 = off        [0]
      --stall-timeout SECS  disconnect readers that hold up the room for
                            SECS                                             [5]
      --idle-timeout SECS   disconnect clients that send nothing for SECS;
                            0 = off                                          [0]
      --dead-after SECS     disconnect vanished peers within SECS          [{dead_after}]
      --flush-after MS      send an unfinished line after MS milliseconds
                            without input; 0 = off                           [0]
      --raw                 relay bytes unchanged: no telnet, no escaping
      --access FILE         allow and deny networks: lines 'allow CIDR' and
                            'deny CIDR'; SIGHUP rereads FILE
      --proxy-from CIDR     peers in CIDR send a PROXY header first; may be
                            repeated
      --password-file FILE  new clients must first send the first line of
                            FILE; SIGHUP rereads FILE
      --tls-cert FILE       certificate chain for +tls listeners, in PEM
      --tls-key FILE        key of the certificate; SIGHUP rereads both
      --report-every SECS   log the number of clients and of relayed lines
                            every SECS, if they changed; 0 = off             [5]
      --log-file FILE       append the log to FILE instead of standard error;
                            SIGHUP reopens it
  -v, --verbose             log each message too (-vv: every event)
  -q, --quiet               log only warnings and errors
  -h, --help                print this help and exit
  -V, --version             print the version and exit

To try it, start hubbub, and run 'nc 127.0.0.1 9091' in two other terminals.
"
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    let mut specs = Vec::new();
    for text in matches.opt_strs("listen") {
        specs.push(listen::parse(&text).map_err(|why| wrong_value("listen", &text, &why))?);
    }
    let feed = value(matches, "feed", |text| parse_size(text, FEEDS))?.unwrap_or(FEED);
    let longest = feed / Room::LINES_PER_FEED;
    let longest_ever = FEEDS.end() / Room::LINES_PER_FEED;
    let max_line = value(matches, "max-line", |text| parse_count_of(" of bytes", text, 1, longest_ever))?;
    if let Some(max_line) = max_line.filter(|&max_line| max_line > longest) {
        let needed = max_line.saturating_mul(Room::LINES_PER_FEED);
        let why =
            format!("must be at most a sixteenth of the feed, {longest} bytes; or give --feed {needed}");
        return Err(wrong_value("max-line", &max_line.to_string(), &why));
    }
    let stall_timeout = value(matches, "stall-timeout", |text| parse_seconds(text, A_MILLISECOND..=A_YEAR))?;
    let idle_timeout =
        value(matches, "idle-timeout", |text| parse_seconds(text, Duration::ZERO..=MAX_IDLE_TIMEOUT))?;
    let dead_after = value(matches, "dead-after", parse_dead_after)?;
    let unix_mode = value(matches, "unix-mode", parse_mode)?;
    let max_per_ip = value(matches, "max-per-ip", |text| parse_count(text, 0, usize::MAX))?;
    let rate = value(matches, "rate", |text| parse_count(text, 0, RateLimit::MAX))?;
    let report_every = value(matches, "report-every", |text| parse_seconds(text, Duration::ZERO..=A_YEAR))?;
    let flush_after =
        value(matches, "flush-after", |text| parse_count_of(" of milliseconds", text, 0, MAX_FLUSH_AFTER))?;
    if matches.opt_present("quiet") && matches.opt_present("verbose") {
        return Err("--quiet and --verbose exclude each other: give only one of them".to_owned());
    }
    Ok(Options {
        welcome: value(matches, "welcome", parse_welcome)?.unwrap_or_else(|| WELCOME.to_owned()),
        history: value(matches, "history", |text| parse_count(text, 0, usize::MAX))?.unwrap_or(0),
        max_clients: value(matches, "max-clients", |text| parse_count(text, 1, usize::MAX))?,
        max_per_ip: max_per_ip.filter(|&most| most > 0),
        max_line: max_line.unwrap_or(MAX_LINE.min(longest)),
        feed,
        stall_timeout: stall_timeout.unwrap_or(Duration::from_secs(5)),
        rate: rate.and_then(RateLimit::new),
        idle_timeout: idle_timeout.filter(|timeout| !timeout.is_zero()),
        listener: ListenerConfig { peer_timeout: dead_after.unwrap_or_default(), unix_mode },
        flush_after: flush_after
            .filter(|&millis| millis > 0)
            .map(|millis| Duration::from_millis(millis as u64)),
        raw: matches.opt_present("raw"),
        entry: entry_config(matches, &specs)?,
        report_every: Some(report_every.unwrap_or(Duration::from_secs(5))).filter(|every| !every.is_zero()),
        log_file: matches.opt_str("log-file").map(PathBuf::from),
        level: match (matches.opt_present("quiet"), matches.opt_count("verbose")) {
            (true, _) => LevelFilter::Warn,
            (false, 0) => LevelFilter::Info,
            (false, 1) => LevelFilter::Debug,
            (false, _) => LevelFilter::Trace,
        },
        listen: specs,
    })
}

fn entry_config(matches: &Matches, listen: &[ListenSpec]) -> Result<EntryConfig, String> {
    let file = |name| matches.opt_str(name).map(PathBuf::from);
    let mut proxies = Vec::new();
    for text in matches.opt_strs("proxy-from") {
        proxies.push(Cidr::parse(&text).map_err(|why| wrong_value("proxy-from", &text, &why))?);
    }
    let tls = match (file("tls-cert"), file("tls-key")) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            return Err("--tls-cert needs --tls-key FILE, the key of the certificate".to_owned());
        }
        (None, Some(_)) => {
            return Err("--tls-key needs --tls-cert FILE, the certificate of the key".to_owned());
        }
    };
    if tls.is_none()
        && let Some(spec) = listen.iter().find(|spec| spec.service.has_tls())
    {
        let text = format!("{}:{}", spec.service, spec.address);
        return Err(wrong_value("listen", &text, "TLS needs --tls-cert FILE and --tls-key FILE"));
    }
    Ok(EntryConfig { access: file("access"), proxies, password: file("password-file"), tls })
}

fn parse_welcome(text: &str) -> Result<String, String> {
    if text.contains(['\n', '\r']) {
        return Err("must be one line".to_owned());
    }
    if text.len() > MAX_WELCOME {
        return Err(format!("must be at most {MAX_WELCOME} bytes long, and has {}", text.len()));
    }
    Ok(text.to_owned())
}

/// Whole seconds, the unit of keepalive.
fn parse_dead_after(text: &str) -> Result<PeerTimeout, String> {
    let (least, most) = (PeerTimeout::LEAST.as_secs() as usize, PeerTimeout::MOST.as_secs() as usize);
    let seconds = parse_count_of(" of seconds", text, least, most)?;
    PeerTimeout::new(Duration::from_secs(seconds as u64)).ok_or_else(|| "must be longer".to_owned())
}

/// Permissions in octal digits, as in chmod(1).
fn parse_mode(text: &str) -> Result<u32, String> {
    let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.filter(|&mode| mode <= 0o777)
        .ok_or_else(|| "must be octal permissions from 0000 to 0777, for example 0660".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        match parse(arguments.iter().map(OsString::from)) {
            Err(why) => why,
            Ok(invocation) => panic!("{arguments:?} was taken as {invocation:?}"),
        }
    }

    fn taken(arguments: &[&str]) -> Options {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Invocation::Run(options)) => *options,
            other => panic!("{arguments:?} came to {other:?}"),
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(taken(&[]).listener.unix_mode, None);
        assert_eq!(taken(&["--unix-mode", "777"]).listener.unix_mode, Some(0o777));
        for mode in ["", "8", "1777", "00660", "rw", "-1", "+60", "0x1"] {
            assert!(refusal(&["--unix-mode", mode]).contains("octal"), "{mode}");
        }
    }

    #[test]
    fn without_options_the_defaults_are_those_of_the_specification() {
        let options = taken(&[]);
        assert_eq!(options.listen, []);
        assert_eq!((options.max_line, options.feed), (8192, 1 << 20));
        assert_eq!(options.stall_timeout, Duration::from_secs(5));
        assert_eq!(options.report_every, Some(Duration::from_secs(5)));
        assert_eq!((options.flush_after, options.raw, options.max_clients), (None, false, None));
        assert_eq!(options.level, LevelFilter::Info);
    }

    #[test]
    fn sizes_have_units_and_a_small_feed_makes_lines_shorter() {
        assert_eq!(taken(&["--feed", "2M"]).feed, 2 << 20);
        assert_eq!(taken(&["--feed", "1G"]).feed, 1 << 30);
        assert_eq!(taken(&["--feed", "300000"]).feed, 300_000);
        let small = taken(&["--feed", "64k"]);
        assert_eq!((small.feed, small.max_line), (65536, 4096));
        assert!(refusal(&["--feed", "64k", "--max-line", "8192"]).contains("--feed 131072"));
    }

    #[test]
    fn d9_the_error_of_a_wrong_value_names_the_option_the_value_and_what_it_must_be() {
        for arguments in [
            ["--max-clients", "0"],
            ["--max-clients", "-1"],
            ["--max-clients", "99999999999999999999"],
            ["--max-line", "0"],
            ["--max-line", "many"],
            ["--max-line", "+5"],
            ["--feed", "+1M"],
            ["--feed", "1"],
            ["--feed", "4G"],
            ["--feed", "99999999999M"],
            ["--feed", "k"],
            ["--stall-timeout", "0"],
            ["--stall-timeout", "NaN"],
            ["--stall-timeout", "inf"],
            ["--stall-timeout", "1e3"],
            ["--stall-timeout", "99999999999999"],
            ["--report-every", "soon"],
            ["--flush-after", "1.5"],
            ["--dead-after", "6"],
            ["--dead-after", "86400"],
            ["--dead-after", "10.5"],
            ["--welcome", "two\nlines"],
        ] {
            let error = refusal(&arguments);
            let expected = format!("{} \"{}\": must be", arguments[0], arguments[1]);
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn d9_an_error_names_what_it_is_about() {
        for (arguments, error) in [
            (&["--loud"][..], "unknown option \"--loud\""),
            (&["-x"], "unknown option \"-x\""),
            (&["--feed"], "--feed needs a value"),
            (&["--raw=yes"], "--raw takes no value"),
            (&["--raw", "--raw"], "--raw may be given only once"),
            (&["extra"], "unexpected argument \"extra\": hubbub takes options only"),
            (&["9090"], "unexpected argument \"9090\": to listen there, write -l 9090"),
            (
                &["localhost", "9090"],
                "unexpected arguments \"localhost\" \"9090\": to listen there, write -l localhost:9090",
            ),
            (&["-p", "9090"], "unknown option \"-p\": write -l PORT or -l HOST:PORT to listen there"),
            (&["-q", "-v"], "--quiet and --verbose exclude each other: give only one of them"),
            (&["-l", "9090x"], "--listen \"9090x\": the port must be a number from 0 to 65535"),
            (
                &["-l", "loud:1.2.3.4:5"],
                "--listen \"loud:1.2.3.4:5\": unknown view \"loud\": use plain, named, json or admin, or for example named+tls",
            ),
        ] {
            assert_eq!(refusal(arguments), error, "{arguments:?}");
        }
    }

    #[test]
    fn an_error_repeats_only_the_beginning_of_a_long_value() {
        let long = "x".repeat(5000);
        let short = format!("\"{}…\"", "x".repeat(100));
        for (arguments, error) in [
            (
                &["--welcome", &long][..],
                format!("--welcome {short}: must be at most 4096 bytes long, and has 5000"),
            ),
            (&["--rate", &long], format!("--rate {short}: must be a whole number from 0 to 100000")),
            (&[&long], format!("unexpected argument {short}: hubbub takes options only")),
        ] {
            assert_eq!(refusal(arguments), error);
        }
        assert!(refusal(&[&format!("--{long}")]).len() < 200);
    }

    #[test]
    fn by_default_it_listens_on_one_port_in_plain_and_on_the_next_in_named() {
        let shown = |spec: &ListenSpec| format!("{}:{}", spec.service, spec.address);
        let all = default_listeners().iter().map(shown).collect::<Vec<_>>();
        assert_eq!(all, ["plain:127.0.0.1:9090", "named:127.0.0.1:9091"]);
        assert!(help().contains(&format!("[{}]", all.join(" and "))), "the help has the same");
    }

    #[test]
    fn no_line_of_the_help_is_longer_than_80_columns() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

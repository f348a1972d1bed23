//! The command line.

use crate::broadcast::rate_limit::RateLimit;
use crate::chat::room::Room;
use crate::cli::address::host_and_port;
use crate::cli::args::{self, A_MILLISECOND, A_YEAR, parse_count, parse_seconds, parse_size, value};
use crate::net::bind::{ListenAddr, ListenSpec, ListenerConfig, PeerTimeout};
use crate::wire::view::View;
use getopts::{Matches, Options as Parser, ParsingStyle};
use log::LevelFilter;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

const WELCOME: &str = "Welcome to the anonymous chat room.";
/// The longest welcome: it is kept for each newcomer until it is written.
const LONGEST_WELCOME: usize = 4096;
const MAX_LINE: usize = 8192;
/// For the user and the group that the server runs as.
const UNIX_MODE: u32 = 0o660;
/// Room for a burst while its readers are served. With 1,000 saturated clients a delivery cost 8.0 ns of CPU
/// time with 64 KiB, 5.5 with 256 KiB, 4.9 with 1 MiB and 4.8 with 4 MiB (medians of three runs in turn).
const FEED: usize = 1024 * 1024;
/// Less is not worth a ring; more would not fit a 32-bit machine.
const FEEDS: RangeInclusive<usize> = 4 * 1024..=1024 * 1024 * 1024;

/// The longest silence that can be told from a shorter one: its milliseconds are counted in 32 bits.
const MAX_IDLE_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the command line asked for.
#[derive(Debug)]
pub enum Invocation {
    /// To serve.
    Run(Box<Options>),
    /// To print this and leave.
    Print(String),
}

/// How to serve.
#[derive(Debug)]
pub struct Options {
    /// LocalAddr, if it was said.
    pub listen: Vec<ListenSpec>,
    /// The line sent to each newcomer; empty for none.
    pub welcome: String,
    /// Lines of what was said before that newcomers hear.
    pub history: usize,
    /// The most connections, if it was given.
    pub max_clients: Option<usize>,
    /// The most connections from one network, if there is a limit.
    pub max_per_ip: Option<usize>,
    /// The longest line accepted, in bytes.
    pub max_line: usize,
    /// Bytes of the feed.
    pub feed: usize,
    /// How long the room waits for a slow reader.
    pub stall_timeout: Duration,
    /// How fast one sender may say lines, if there is a limit.
    pub rate: Option<RateLimit>,
    /// Silence after which one has to leave, if there is a limit.
    pub idle_timeout: Option<Duration>,
    /// How to listen there.
    pub settings: ListenerConfig,
    /// Silence after which an unfinished line is a message.
    pub flush_after: Option<Duration>,
    /// Relay bytes as they come.
    pub raw: bool,
    /// How often to log who is online.
    pub report_every: Option<Duration>,
    /// LocalAddr to log, if not to standard error.
    pub log_file: Option<PathBuf>,
    /// How much to log.
    pub level: LevelFilter,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, String> {
    let matches = parser().parse(args::texts(arguments)?).map_err(|fail| fail.to_string())?;
    if matches.opt_present("help") {
        return Ok(Invocation::Print(help()));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Print(format!("hubbub {}\n", env!("CARGO_PKG_VERSION"))));
    }
    if let Some(extra) = matches.free.first() {
        return Err(format!("unexpected argument '{extra}'"));
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
An anonymous chat room on one TCP port: each line that someone sends goes to everyone else.

Usage: hubbub [OPTIONS]

Options:
  -l, --listen [VIEW:]ADDR  listen here; may be repeated           [plain:127.0.0.1:9090]
                            ADDR: PORT or :PORT (all interfaces, IPv4 and IPv6), HOST:PORT,
                            [IPV6]:PORT, unix:PATH. VIEW: plain, named or json
      --unix-mode MODE      who may connect to unix sockets, as file permissions    [0660]
  -w, --welcome TEXT        line sent to each newcomer; '' for none [{WELCOME}]
      --history LINES       replay the last LINES lines to each newcomer            [0]
  -m, --max-clients N       at most N connections (2 is a one-to-one chat)          [what the descriptor limit allows]
      --max-per-ip N        at most N connections from one address, 0 is no limit   [0]
      --max-line BYTES      longest line accepted, at most a sixteenth of the feed  [{MAX_LINE}]
      --feed BYTES          size of the feed; takes k and M                         [1M]
      --rate LINES          lines a second one connection may send, 0 is no limit   [0]
      --stall-timeout SECS  how long the room waits for a slow reader               [5]
      --idle-timeout SECS   disconnect who has sent nothing for so long, 0 is never [0]
      --dead-after SECS     disconnect a peer that vanished, at most SECS after that [{dead_after}]
      --flush-after MS      take an unfinished line as a message after MS ms, 0 is never [0]
      --raw                 relay bytes as they come: no telnet, no escaping
      --report-every SECS   log who is online and what was relayed, 0 is never      [5]
      --log-file FILE       append the log to FILE instead of standard error; SIGHUP reopens it
  -v, --verbose             log each message too (twice: every event)
  -q, --quiet               log only warnings and errors
  -h, --help                print this and leave
  -V, --version             print the version and leave

Try it: run hubbub, then 'nc 127.0.0.1 9090' in two other terminals.
"
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    let mut listen = Vec::new();
    for place in matches.opt_strs("listen") {
        listen.push(parse_listen(&place).map_err(|why| format!("--listen {place}: {why}"))?);
    }
    let feed = value(matches, "feed", |text| parse_size(text, FEEDS))?.unwrap_or(FEED);
    let longest = feed / Room::LINES_PER_FEED;
    let longest_ever = FEEDS.end() / Room::LINES_PER_FEED;
    let max_line = value(matches, "max-line", |text| parse_count(text, 1, longest_ever))?;
    if let Some(max_line) = max_line.filter(|&max_line| max_line > longest) {
        return Err(format!(
            "--max-line {max_line} is more than a sixteenth of the feed: it needs --feed {}",
            max_line.saturating_mul(Room::LINES_PER_FEED)
        ));
    }
    let stall_timeout = value(matches, "stall-timeout", |text| parse_seconds(text, A_MILLISECOND..=A_YEAR))?;
    let idle_timeout =
        value(matches, "idle-timeout", |text| parse_seconds(text, Duration::ZERO..=MAX_IDLE_TIMEOUT))?;
    let dead_after =
        value(matches, "dead-after", |text| parse_seconds(text, PeerTimeout::LEAST..=PeerTimeout::MOST))?;
    let unix_mode = value(matches, "unix-mode", parse_mode)?;
    let max_per_ip = value(matches, "max-per-ip", |text| parse_count(text, 0, usize::MAX))?;
    let rate = value(matches, "rate", |text| parse_count(text, 0, RateLimit::MAX))?;
    let report_every = value(matches, "report-every", |text| parse_seconds(text, Duration::ZERO..=A_YEAR))?;
    let flush_after = value(matches, "flush-after", |text| parse_count(text, 0, 3_600_000))?;
    if matches.opt_present("quiet") && matches.opt_present("verbose") {
        return Err("--quiet and --verbose exclude each other".to_owned());
    }
    Ok(Options {
        listen,
        welcome: value(matches, "welcome", parse_welcome)?.unwrap_or_else(|| WELCOME.to_owned()),
        history: value(matches, "history", |text| parse_count(text, 0, usize::MAX))?.unwrap_or(0),
        max_clients: value(matches, "max-clients", |text| parse_count(text, 1, usize::MAX))?,
        max_per_ip: max_per_ip.filter(|&most| most > 0),
        max_line: max_line.unwrap_or(MAX_LINE.min(longest)),
        feed,
        stall_timeout: stall_timeout.unwrap_or(Duration::from_secs(5)),
        rate: rate.and_then(RateLimit::new),
        idle_timeout: idle_timeout.filter(|timeout| !timeout.is_zero()),
        settings: ListenerConfig {
            dead_after: dead_after.and_then(PeerTimeout::new).unwrap_or_default(),
            unix_mode: unix_mode.unwrap_or(UNIX_MODE),
        },
        flush_after: flush_after
            .filter(|&millis| millis > 0)
            .map(|millis| Duration::from_millis(millis as u64)),
        raw: matches.opt_present("raw"),
        report_every: Some(report_every.unwrap_or(Duration::from_secs(5))).filter(|every| !every.is_zero()),
        log_file: matches.opt_str("log-file").map(PathBuf::from),
        level: match (matches.opt_present("quiet"), matches.opt_count("verbose")) {
            (true, _) => LevelFilter::Warn,
            (false, 0) => LevelFilter::Info,
            (false, 1) => LevelFilter::Debug,
            (false, _) => LevelFilter::Trace,
        },
    })
}

fn parse_welcome(text: &str) -> Result<String, String> {
    if text.contains(['\n', '\r']) {
        return Err("must be one line".to_owned());
    }
    if text.len() > LONGEST_WELCOME {
        return Err(format!("must be at most {LONGEST_WELCOME} bytes long"));
    }
    Ok(text.to_owned())
}

/// LocalAddr to listen if nothing else was said.
pub fn default_listen() -> ListenSpec {
    let place = ListenAddr::Tcp { host: Some("127.0.0.1".to_owned()), port: 9090 };
    ListenSpec { view: View::Plain, place }
}

/// Permissions in octal digits, as chmod(1) takes them.
fn parse_mode(text: &str) -> Result<u32, String> {
    let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.filter(|&mode| mode <= 0o777)
        .ok_or_else(|| "must be octal permissions from 0000 to 0777, such as 0660".to_owned())
}

/// `[VIEW:]ADDR`, where ADDR is `PORT`, `:PORT`, `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.
fn parse_listen(text: &str) -> Result<ListenSpec, String> {
    let (view, address) = split_view(text)?;
    let place = match address.strip_prefix("unix:") {
        Some("") => return Err("needs a path".to_owned()),
        Some(path) if path.contains(char::is_control) => {
            return Err("must be a path without control characters".to_owned());
        }
        Some(path) => ListenAddr::Unix(path.into()),
        None => {
            let (host, port) = host_and_port(address)?;
            ListenAddr::Tcp { host, port }
        }
    };
    Ok(ListenSpec { view, place })
}

fn split_view(text: &str) -> Result<(View, &str), String> {
    let Some((first, rest)) = text.split_once(':') else { return Ok((View::Plain, text)) };
    if let Some(view) = View::by_name(first) {
        return Ok((view, rest));
    }
    if first == "unix" {
        return Ok((View::Plain, text));
    }
    let is_word = first.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word && rest.contains(':') && !text.contains("::") {
        return Err(format!("'{first}' is an unknown view: there are plain, named and json"));
    }
    Ok((View::Plain, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<(Option<String>, u16), String> {
        parse_listen(text).map(|listen| match listen.place {
            ListenAddr::Tcp { host, port } => (host, port),
            ListenAddr::Unix(path) => panic!("{text} was taken as the path {}", path.display()),
        })
    }

    fn refusal(arguments: &[&str]) -> String {
        match parse(arguments.iter().map(OsString::from)) {
            Err(why) => why,
            Ok(asked) => panic!("{arguments:?} was taken as {asked:?}"),
        }
    }

    fn taken(arguments: &[&str]) -> Options {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Invocation::Run(options)) => *options,
            other => panic!("{arguments:?} came to {other:?}"),
        }
    }

    #[test]
    fn an_address_is_a_port_a_host_and_a_port_or_an_ipv6_address_and_a_port() {
        assert_eq!(listen("9090"), Ok((None, 9090)));
        assert_eq!(listen(":0"), Ok((None, 0)));
        assert_eq!(listen("localhost:1"), Ok((Some("localhost".into()), 1)));
        assert_eq!(listen("[::1]:7"), Ok((Some("::1".into()), 7)));
        for view in ["plain:9090", "plain::9090", "named:9090", "json::9090"] {
            assert_eq!(listen(view), Ok((None, 9090)), "{view}");
        }
        assert_eq!(listen("plain:127.0.0.1:7"), Ok((Some("127.0.0.1".into()), 7)));
        assert_eq!(listen("plain:[::]:7"), Ok((Some("::".into()), 7)));
    }

    #[test]
    fn a_wrong_address_is_told_what_is_wrong_with_it() {
        for (text, why) in [
            ("", "port"),
            ("nonsense", "port"),
            ("65536", "port"),
            ("host:", "port"),
            ("host:+1", "port"),
            ("::1", "brackets"),
            ("fe80::1:9090", "brackets"),
            ("[::1:9090", "bracket"),
            ("named:", "port"),
            ("json:127.0.0.1", "port"),
            ("loud:127.0.0.1:9090", "unknown view"),
            ("unix:", "path"),
            ("unix:a\nb", "control characters"),
            ("named:unix:", "path"),
            ("loud:unix:/tmp/x", "unknown view"),
            ("loud2:127.0.0.1:9090", "unknown view"),
        ] {
            let told = listen(text).expect_err(text);
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn a_unix_socket_is_any_path_in_any_view() {
        for (text, view, path) in [
            ("unix:/run/room", View::Plain, "/run/room"),
            ("unix:json:x", View::Plain, "json:x"),
            ("plain:unix:room", View::Plain, "room"),
            ("named:unix:/a:b/c d", View::Named, "/a:b/c d"),
            ("json:unix:unix:", View::Json, "unix:"),
        ] {
            let place = ListenAddr::Unix(path.into());
            assert_eq!(parse_listen(text), Ok(ListenSpec { view, place }), "{text}");
        }
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(taken(&[]).settings.unix_mode, 0o660);
        assert_eq!(taken(&["--unix-mode", "777"]).settings.unix_mode, 0o777);
        for mode in ["", "8", "1777", "00660", "rw", "-1", "+60", "0x1"] {
            assert!(refusal(&["--unix-mode", mode]).contains("octal"), "{mode}");
        }
    }

    #[test]
    fn without_options_the_room_is_the_contracts() {
        let options = taken(&[]);
        assert_eq!(options.listen, []);
        assert_eq!(default_listen().place.to_string(), "127.0.0.1:9090");
        assert_eq!((options.max_line, options.feed), (8192, 1 << 20));
        assert_eq!(options.stall_timeout, Duration::from_secs(5));
        assert_eq!(options.report_every, Some(Duration::from_secs(5)));
        assert_eq!((options.flush_after, options.raw, options.max_clients), (None, false, None));
        assert_eq!(options.level, LevelFilter::Info);
    }

    #[test]
    fn sizes_take_k_and_m_and_a_small_feed_makes_lines_shorter() {
        assert_eq!(taken(&["--feed", "2M"]).feed, 2 << 20);
        assert_eq!(taken(&["--feed", "300000"]).feed, 300_000);
        let small = taken(&["--feed", "64k"]);
        assert_eq!((small.feed, small.max_line), (65536, 4096));
        assert!(refusal(&["--feed", "64k", "--max-line", "8192"]).contains("--feed 131072"));
    }

    #[test]
    fn d9_a_wrong_value_is_told_with_its_option_and_what_it_may_be() {
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
            ["--welcome", "two\nlines"],
        ] {
            let told = refusal(&arguments);
            assert!(told.starts_with(&format!("{} {}: must be", arguments[0], arguments[1])), "{told}");
        }
    }

    #[test]
    fn d9_what_is_no_option_is_told() {
        for (arguments, part) in [
            (&["--loud"][..], "loud"),
            (&["--feed"], "feed"),
            (&["extra"], "extra"),
            (&["-q", "-v"], "exclude"),
            (&["--raw", "--raw"], "raw"),
        ] {
            assert!(refusal(arguments).contains(part), "{arguments:?}");
        }
    }
}

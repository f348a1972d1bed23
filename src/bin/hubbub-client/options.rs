//! The command line.

use getopts::{Matches, Options as Parser};
use hubbub::chat::blank::is_all_blank;
use hubbub::chat::name::{MAX_CHARS, is_name, normalize};
use hubbub::cli::address::{Address, NAMED_PORT, PLAIN_PORT};
use hubbub::cli::args::{A_YEAR, Invocation, parse_count, parse_options, parse_seconds, value, wrong_value};
use hubbub::net::tls_client::Trust;
use std::ffi::OsString;
use std::time::Duration;

/// The default of `--timeout` with `--send`: a server that stays silent must not hold a script for ever.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of the client.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) address: Option<Address>,
    /// Lines to send instead of standard input.
    pub(crate) send: Vec<String>,
    pub(crate) follow: bool,
    pub(crate) count: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) quiet: bool,
    /// The name to ask the server for.
    pub(crate) nick: Option<String>,
    pub(crate) timestamps: bool,
    pub(crate) reconnect: bool,
    pub(crate) raw: bool,
    /// Which certificates to accept, if the connection is to be encrypted.
    pub(crate) trust: Option<Trust>,
    pub(crate) password_file: Option<String>,
}

impl Options {
    /// Returns whether a script sends its standard input.
    pub(crate) const fn sends_input(&self) -> bool {
        self.send.is_empty() && !self.follow
    }

    /// Returns whether there is an option that only scripts need. It turns the prompt off.
    pub(crate) const fn has_script_option(&self) -> bool {
        self.follow || self.quiet || self.count.is_some() || self.timeout.is_some() || !self.send.is_empty()
    }

    /// Returns the given address or the default: the named view for users and for a client with a name, the plain
    /// view for other scripts.
    pub(crate) fn address_or_default(&self, is_interactive: bool) -> Address {
        self.address.clone().unwrap_or_else(|| match is_interactive || self.nick.is_some() {
            true => Address::default_named(),
            false => Address::default(),
        })
    }
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// One line that says what is wrong.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation<Options>, String> {
    let matches = parse_options(&parser(), arguments)?;
    if matches.opt_present("help") {
        return Ok(Invocation::Print(help()));
    }
    if matches.opt_present("version") {
        return Ok(Invocation::Print(format!("hubbub-client {}\n", env!("CARGO_PKG_VERSION"))));
    }
    options(&matches).map(Invocation::Run)
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.optmulti("s", "send", "", "TEXT");
    parser.optflag("f", "follow", "");
    parser.optopt("n", "count", "", "N");
    parser.optopt("", "timeout", "", "SECS");
    parser.optflag("q", "quiet", "");
    parser.optopt("", "nick", "", "NAME");
    parser.optflag("t", "timestamps", "");
    parser.optflag("r", "reconnect", "");
    parser.optflag("", "raw", "");
    parser.optflag("", "tls", "");
    parser.optopt("", "tls-ca", "", "FILE");
    parser.optflag("", "tls-insecure", "");
    parser.optopt("", "password-file", "", "FILE");
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn help() -> String {
    format!(
        "\
Takes part in a hubbub chat room. On a terminal, Enter sends the line that you
type, and received lines appear above it.

Usage: hubbub-client [OPTIONS] [ADDR | HOST PORT]

ADDR is HOST:PORT, HOST, PORT, [IPV6]:PORT or unix:PATH. Without a port, the
port is {plain_port}, or {named_port} with --nick. The default ADDR is
  {named}  on a terminal or with --nick: the named view
  {plain}  in a pipe or with a script option: the plain view

Options:
      --nick NAME       ask the server for this name after each connect, before
                        anything is sent. If the name is taken, _ is appended.
                        A script fails if it does not get a name
      --password-file FILE
                        if the server asks for a password first, send the first
                        line of FILE. On a terminal, the client asks for it
      --tls             encrypt the connection. The certificate of the server
                        must be for the HOST of ADDR, and an authority that the
                        system trusts must have signed it
      --tls-ca FILE     --tls, but trust only the certificates in the PEM file
                        FILE, and those that they have signed
      --tls-insecure    --tls, but accept any certificate
  -t, --timestamps      start each line with the local time of day
  -r, --reconnect       connect again when connecting fails or the connection
                        is lost: after 1 s, then after pauses that double up
                        to 30 s; Enter ends a pause. Unsent input is kept. With
                        --send, --count or --timeout it also needs --follow
  -h, --help            print this help and exit
  -V, --version         print the version and exit

Script options:
  -s, --send TEXT       send TEXT as one line instead of standard input; may be
                        repeated. TEXT must not be blank
  -f, --follow          do not read standard input; run until the server closes
                        the connection
  -n, --count N         exit with status 0 after N received lines; the welcome
                        line counts, unless --quiet is given
      --timeout SECS    exit with status 1 if not done after SECS; SECS may have
                        a fraction; 0 = off, the default with --follow
                        [{send_timeout} with --send, 0 otherwise]
  -q, --quiet           write only what others say: no welcome line, notices or
                        replies. Errors go to standard error
      --raw             write received bytes unchanged. Without --raw, control
                        characters become \\xNN. If standard output is a
                        terminal, --raw has no effect

The first five script options turn the prompt off, and so does a pipe. Without
the prompt, standard input is sent line by line, and received lines go to
standard output.
At the end of the input, or after the lines of --send, the client writes what
the server still sends and exits. With --follow or --count it stays.

On a terminal, the lines exit, quit, /exit and /quit and the key Ctrl-D leave.
These lines are not sent, and neither is an empty one. Ctrl-C clears the line,
or leaves if it is empty. TAB completes commands and names. If NO_COLOR is set,
there are no colours. Before it exits, the client waits up to 30 s for the
server to read the last lines; Ctrl-C ends this wait.

Exit status:
  0  done as asked
  1  no connection, connection lost or refused, --timeout over, standard input
     or output failed, it is not certain that the last lines arrived, or the
     server refused a line or the name of --nick
  2  wrong command line

Try it: run hubbub, then hubbub-client in two other terminals.
",
        named = Address::default_named(),
        plain = Address::default(),
        named_port = NAMED_PORT,
        plain_port = PLAIN_PORT,
        send_timeout = SEND_TIMEOUT.as_secs(),
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    let nick = value(matches, "nick", parse_name)?;
    let default_port = if nick.is_some() { NAMED_PORT } else { PLAIN_PORT };
    let send = matches.opt_strs("send");
    for text in &send {
        check_line(text).map_err(|why| wrong_value("send", text, why))?;
    }
    let follow = matches.opt_present("follow");
    let timeout = value(matches, "timeout", |text| parse_seconds(text, Duration::ZERO..=A_YEAR))?;
    let default_timeout = if send.is_empty() || follow { Duration::ZERO } else { SEND_TIMEOUT };
    let options = Options {
        address: Address::from_arguments(&matches.free, default_port)?,
        send,
        follow,
        count: value(matches, "count", |text| parse_count(text, 1, usize::MAX))?,
        timeout: Some(timeout.unwrap_or(default_timeout)).filter(|timeout| !timeout.is_zero()),
        quiet: matches.opt_present("quiet"),
        nick,
        timestamps: matches.opt_present("timestamps"),
        reconnect: matches.opt_present("reconnect"),
        raw: matches.opt_present("raw"),
        trust: trust(matches)?,
        password_file: matches.opt_str("password-file"),
    };
    let ends = !options.send.is_empty() || options.count.is_some() || options.timeout.is_some();
    if options.reconnect && ends && !options.follow {
        return Err("--reconnect with --send, --count or --timeout also needs --follow".to_owned());
    }
    if let (Some(_), Some(address @ Address::Unix(_))) = (&options.trust, &options.address) {
        return Err(format!("--tls cannot be used with \"{address}\": a unix socket needs no encryption"));
    }
    Ok(options)
}

/// Reads the options of TLS. Each of them turns it on.
fn trust(matches: &Matches) -> Result<Option<Trust>, String> {
    match (matches.opt_str("tls-ca"), matches.opt_present("tls-insecure")) {
        (Some(_), true) => Err("--tls-ca and --tls-insecure exclude each other".to_owned()),
        (Some(path), false) => Ok(Some(Trust::File(path.into()))),
        (None, true) => Ok(Some(Trust::Any)),
        (None, false) => Ok(matches.opt_present("tls").then_some(Trust::System)),
    }
}

/// Checks a line to send.
fn check_line(text: &str) -> Result<(), &'static str> {
    if is_all_blank(text.as_bytes()) {
        return Err("there is nothing to send");
    }
    if text.contains(['\n', '\r']) {
        return Err("must be one line; repeat --send for more lines");
    }
    Ok(())
}

/// Reads a name as the server does. The server may still refuse it, because it is taken or reserved.
fn parse_name(text: &str) -> Result<String, String> {
    normalize(text).filter(|name| is_name(name)).ok_or_else(|| {
        format!(
            "must be letters, digits, _ - and . (at most {MAX_CHARS} characters), for example --nick alice"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Invocation::Run(options)) => Ok(options),
            Ok(invocation) => panic!("{arguments:?} gives {invocation:?}"),
            Err(why) => Err(why),
        }
    }

    #[test]
    fn the_default_address_is_the_named_view_for_users_and_the_plain_view_for_scripts() {
        let options = parsed(&[]).unwrap();
        assert!(!options.has_script_option() && !options.reconnect && !options.raw);
        assert_eq!(options.address_or_default(true).to_string(), "127.0.0.1:9091");
        assert_eq!(options.address_or_default(false).to_string(), "127.0.0.1:9090");
        let given = parsed(&["localhost:7"]).unwrap();
        for is_interactive in [true, false] {
            assert_eq!(given.address_or_default(is_interactive).to_string(), "localhost:7");
        }
    }

    #[test]
    fn with_a_name_the_default_is_the_named_view() {
        for (arguments, shown) in [
            (&[][..], "127.0.0.1:9091"),
            (&["localhost"], "localhost:9091"),
            (&["localhost:9090"], "localhost:9090"),
            (&["localhost", "9090"], "localhost:9090"),
        ] {
            let options = parsed(&[&["--nick", "bob"], arguments].concat()).unwrap();
            assert_eq!(options.address_or_default(false).to_string(), shown, "{arguments:?}");
        }
    }

    #[test]
    fn only_send_has_a_default_timeout_and_not_if_the_client_stays() {
        let seconds = |number: f64| Some(Duration::from_secs_f64(number));
        for (arguments, timeout) in [
            (&["-s", "hi"][..], Some(SEND_TIMEOUT)),
            (&["-s", "hi", "-n", "2"], Some(SEND_TIMEOUT)),
            (&["-s", "hi", "--timeout", "0.5"], seconds(0.5)),
            (&["-s", "hi", "--timeout", "0"], None),
            (&["-s", "hi", "-f"], None),
            (&["-s", "hi", "-f", "-r"], None),
            (&["-n", "1"], None),
            (&[], None),
        ] {
            assert_eq!(parsed(arguments).unwrap().timeout, timeout, "{arguments:?}");
        }
    }

    #[test]
    fn an_option_for_scripts_is_recognised() {
        for arguments in [&["-f"][..], &["-n", "1"], &["--timeout", "1"], &["-s", "hi"], &["-q"]] {
            assert!(parsed(arguments).unwrap().has_script_option(), "{arguments:?}");
        }
        for arguments in [&["-t"][..], &["-r"], &["--raw"], &["--nick", "bob"]] {
            assert!(!parsed(arguments).unwrap().has_script_option(), "{arguments:?}");
        }
        assert_eq!(parsed(&["-s", "one", "-s", " two "]).unwrap().send, ["one", " two "]);
    }

    #[test]
    fn an_error_names_the_option_and_its_value() {
        for (arguments, parts) in [
            (&["--count", "0"][..], &["--count \"0\": must be"][..]),
            (&["--timeout", "-1"], &["--timeout \"-1\": must be"]),
            (&["--timeout", "NaN"], &["--timeout \"NaN\": must be"]),
            (&["--send", "two\nlines"], &["--send \"two\nlines\": must be one line"]),
            (&["--send", ""], &["--send \"\": there is nothing to send"]),
            (&["--send", "hi", "--send", " \t"], &["--send \" \t\": there is nothing to send"]),
            // Characters that show nothing.
            (&["--send", "\u{200b}\u{feff}"], &["there is nothing to send"]),
            (&["--nick", ""], &["--nick \"\": must be letters", "for example --nick alice"]),
            (&["--nick", "a b"], &["--nick \"a b\": must be letters"]),
            (&["--nick", "alice-of-a-very-long-line"], &["at most 24 characters"]),
            (&["--reconnect", "--send", "hi"], &["--reconnect", "--send", "--follow"]),
            (&["--tls", "unix:/room"], &["--tls", "\"unix:/room\"", "unix socket"]),
            (&["--tls-insecure", "--tls-ca", "x"], &["--tls-ca and --tls-insecure"]),
            (&["--loud"], &["unknown option \"--loud\""]),
            (&["host:"], &["ADDR \"host:\": ", "port"]),
            (&[""], &["ADDR \"\": must not be empty"]),
            (&["one", "two"], &["unexpected argument \"two\""]),
        ] {
            let error = parsed(arguments).expect_err(parts[0]);
            let is_named = parts.iter().all(|part| error.contains(part));
            assert!(is_named, "{arguments:?}: {error}");
        }
    }

    #[test]
    fn help_fits_into_80_columns() {
        for line in help().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

//! The command line.

use getopts::{Matches, Options as Parser};
use hubbub::cli::address::Address;
use hubbub::cli::args::{self, A_MILLISECOND, A_YEAR, parse_count, parse_seconds, value};
use std::ffi::OsString;
use std::time::Duration;

/// What the command line asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// To be in the room.
    Talk(Options),
    /// To print this and leave.
    Print(String),
}

/// Which room, and how to be in it.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) address: Address,
    /// Lines to say instead of what is on standard input.
    pub(crate) send: Vec<String>,
    pub(crate) follow: bool,
    pub(crate) count: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) timestamps: bool,
    pub(crate) reconnect: bool,
    pub(crate) raw: bool,
}

impl Options {
    /// Whether a script says what is on standard input.
    pub(crate) const fn reads(&self) -> bool {
        self.send.is_empty() && !self.follow
    }

    /// Whether an option was given that only a script needs: then nobody is asked to type.
    pub(crate) const fn is_for_scripts(&self) -> bool {
        self.follow || self.count.is_some() || self.timeout.is_some() || !self.send.is_empty()
    }
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
        return Ok(Asked::Print(format!("hubbub-client {}\n", env!("CARGO_PKG_VERSION"))));
    }
    options(&matches).map(Asked::Talk)
}

fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.optmulti("s", "send", "", "TEXT");
    parser.optflag("f", "follow", "");
    parser.optopt("n", "count", "", "N");
    parser.optopt("", "timeout", "", "SECS");
    parser.optflag("t", "timestamps", "");
    parser.optflag("r", "reconnect", "");
    parser.optflag("", "raw", "");
    parser.optflag("h", "help", "");
    parser.optflag("V", "version", "");
    parser
}

fn help() -> String {
    format!(
        "\
Talks in a chat room: what you type is said when you press Enter, what others say is shown above it.

Usage: hubbub-client [OPTIONS] [ADDR]

ADDR is HOST:PORT, HOST, PORT, [IPV6]:PORT or unix:PATH [{}]

Options:
  -t, --timestamps      put the local time of day before each line
  -r, --reconnect       when the connection is lost or cannot be made, connect again after 1 s, then after pauses
                        that grow to 30 s; what is being typed, or is on standard input, is kept. With --send,
                        --count or --timeout only beside --follow
  -h, --help            print this and leave
  -V, --version         print the version and leave

For scripts; with one of these, or where standard input or output is no terminal, there is no prompt:
  -s, --send TEXT       say one line instead of what is on standard input; may be repeated
  -f, --follow          do not read standard input, and stay until the server ends the connection
  -n, --count N         leave with status 0 after N lines; each one received counts, the welcome too
      --timeout SECS    leave with status 1 when so much time is over first
      --raw             pass on lines as they come; else, and on a terminal always, what could drive a
                        terminal is shown as \\xNN

At the end of its input, and after the lines of --send, it prints what the server still owes (the welcome,
answers, what others said meanwhile) and leaves; with --follow or --count it stays. 'exit' or '/quit' alone,
or Ctrl-D, leaves a terminal; Ctrl-C clears the line, and leaves where that is empty. NO_COLOR is honoured.

Leaving waits for up to 30 s until the server has heard what was said; on a terminal Ctrl-C then leaves at once.

Exit status: 0 when it left as asked; 1 when the connection was lost or never made, the server took nobody in,
--timeout was over, what was said last may not have arrived, or standard input or output failed; 2 for a wrong
command line.

Try it: run hubbub, then hubbub-client in two other terminals.
",
        Address::default()
    )
}

fn options(matches: &Matches) -> Result<Options, String> {
    if let Some(extra) = matches.free.get(1) {
        return Err(format!("unexpected argument '{extra}'"));
    }
    let address = match matches.free.first() {
        Some(text) => Address::parse(text).map_err(|why| format!("ADDR '{text}': {why}"))?,
        None => Address::default(),
    };
    let send = matches.opt_strs("send");
    if send.iter().any(|text| text.contains(['\n', '\r'])) {
        return Err("--send: must be one line".to_owned());
    }
    let options = Options {
        address,
        send,
        follow: matches.opt_present("follow"),
        count: value(matches, "count", |text| parse_count(text, 1, usize::MAX))?,
        timeout: value(matches, "timeout", |text| parse_seconds(text, A_MILLISECOND..=A_YEAR))?,
        timestamps: matches.opt_present("timestamps"),
        reconnect: matches.opt_present("reconnect"),
        raw: matches.opt_present("raw"),
    };
    if options.reconnect && options.is_for_scripts() && !options.follow {
        return Err("--reconnect goes with --send, --count and --timeout only beside --follow".to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        match parse(arguments.iter().map(OsString::from)) {
            Ok(Asked::Talk(options)) => Ok(options),
            Ok(asked) => panic!("{arguments:?} was taken as {asked:?}"),
            Err(why) => Err(why),
        }
    }

    #[test]
    fn without_options_it_is_a_talk_at_the_default_address() {
        let options = parsed(&[]).unwrap();
        assert_eq!(options.address, Address::default());
        assert!(!options.is_for_scripts() && !options.reconnect && !options.raw);
    }

    #[test]
    fn an_option_for_scripts_makes_it_one() {
        for arguments in [&["-f"][..], &["-n", "1"], &["--timeout", "1"], &["-s", "hi"]] {
            assert!(parsed(arguments).unwrap().is_for_scripts(), "{arguments:?}");
        }
        assert_eq!(parsed(&["-s", "one", "-s", ""]).unwrap().send, ["one", ""]);
    }

    #[test]
    fn a_wrong_value_is_told_with_its_option() {
        for (arguments, part) in [
            (&["--count", "0"][..], "--count 0: must be"),
            (&["--timeout", "0"], "--timeout 0: must be"),
            (&["--timeout", "NaN"], "--timeout NaN: must be"),
            (&["--send", "two\nlines"], "--send: must be one line"),
            (&["--reconnect", "--send", "hi"], "--follow"),
            (&["--loud"], "loud"),
            (&["host:"], "ADDR 'host:': must end in a port"),
            (&[""], "ADDR '': must not be empty"),
            (&["one", "two"], "unexpected argument 'two'"),
        ] {
            let told = parsed(arguments).expect_err(part);
            assert!(told.contains(part), "{arguments:?}: {told}");
        }
    }
}

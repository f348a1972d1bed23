//! What the command lines of all programs share: running a program, values of options, errors.

use crate::util::quoted::quoted;
use crate::util::seconds::{self, Seconds};
use crate::wire::escape;
use getopts::{Fail, Matches, Options};
use std::ffi::OsString;
use std::io::Write;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

/// The shortest time that is not zero.
pub const A_MILLISECOND: Duration = Duration::from_millis(1);
/// The longest time.
pub const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation<T> {
    /// Run the program with these options.
    Run(T),
    /// Print this text, such as the help, and exit.
    Print(String),
}

/// An error that ends a program: one line and the exit status.
#[derive(Debug)]
pub struct Failure {
    why: String,
    status: u8,
}

impl Failure {
    const CANNOT_RUN: u8 = 1;
    const WRONG_COMMAND_LINE: u8 = 2;

    /// A wrong command line: exit status 2.
    pub const fn wrong_command_line(why: String) -> Self {
        Self { why, status: Self::WRONG_COMMAND_LINE }
    }
}

impl From<String> for Failure {
    /// The program cannot run: exit status 1.
    fn from(why: String) -> Self {
        Self { why, status: Self::CANNOT_RUN }
    }
}

/// The `main` of a program: parses the command line, then prints what it asks for, or calls `serve`.
///
/// Errors go to standard error, after the program's `name`. If `parse` fails, the line also says how to get help.
pub fn run<T>(
    name: &str,
    parse: impl FnOnce(Vec<OsString>) -> Result<Invocation<T>, String>,
    serve: impl FnOnce(T) -> Result<ExitCode, Failure>,
) -> ExitCode {
    let result = match parse(std::env::args_os().skip(1).collect()) {
        Ok(Invocation::Run(options)) => serve(options),
        Ok(Invocation::Print(text)) => {
            // A closed pipe is no error: the reader does not want the rest. Nor is a full disk.
            _ = std::io::stdout().write_all(text.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => Err(Failure::wrong_command_line(format!("{why} ({name} --help lists the options)"))),
    };
    result.unwrap_or_else(|failure| {
        print_error(name, &failure.why);
        ExitCode::from(failure.status)
    })
}

/// Reads the options of a command line.
///
/// # Errors
/// One line that names the option or argument.
pub fn parse_options(
    options: &Options,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Matches, String> {
    options.parse(texts(arguments)?).map_err(|fail| match fail {
        Fail::UnrecognizedOption(name) => format!("unknown option {}", quoted(&with_dashes(&name))),
        Fail::ArgumentMissing(name) => format!("{} needs a value", with_dashes(&name)),
        Fail::UnexpectedArgument(name) => format!("{} takes no value", with_dashes(&name)),
        Fail::OptionDuplicated(name) => format!("{} may be given only once", with_dashes(&name)),
        Fail::OptionMissing(name) => format!("{} is required", with_dashes(&name)),
    })
}

fn with_dashes(name: &str) -> String {
    format!("{}{name}", if name.chars().count() == 1 { "-" } else { "--" })
}

/// The arguments as text.
///
/// # Errors
/// One line that names the first argument that is not UTF-8.
pub fn texts(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, String> {
    let text = |argument: OsString| {
        argument.into_string().map_err(|wrong| format!("argument {wrong:?} is not UTF-8"))
    };
    arguments.into_iter().map(text).collect()
}

/// The value of an option; `None` if it was not given.
///
/// # Errors
/// One line that names the option and its value, and says what the value must be.
pub fn value<T>(
    matches: &Matches,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(text) = matches.opt_str(name) else { return Ok(None) };
    parse(&text).map(Some).map_err(|why| wrong_value(name, &text, &why))
}

/// One line about a wrong value: `--name "text": why`.
pub fn wrong_value(name: &str, text: &str, why: &str) -> String {
    format!("--{name} {}: {why}", quoted(text))
}

/// A number in decimal digits. The standard parser would also accept a sign.
pub fn parse_digits(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A whole number from `least` to `most`.
///
/// # Errors
/// What the value must be.
pub fn parse_count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    parse_count_of("", text, least, most)
}

/// A whole number of a unit, such as `" of bytes"`, from `least` to `most`.
///
/// # Errors
/// What the value must be.
pub fn parse_count_of(unit: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let is_too_large = text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    match parse_digits(text).ok_or(()) {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        _ if most == usize::MAX && !is_too_large => {
            Err(format!("must be a whole number{unit}, {least} or more"))
        }
        _ => Err(format!("must be a whole number{unit} from {least} to {most}")),
    }
}

/// Seconds in `range`, with or without a fraction. Zero or at least a millisecond.
///
/// # Errors
/// What the value must be.
pub fn parse_seconds(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let (least, most) = (Seconds(*range.start()), Seconds(*range.end()));
    let wrong = || match range.contains(&Duration::ZERO) {
        true => format!("must be 0 or a number of seconds from 0.001 to {most}"),
        false => format!("must be a number of seconds from {least} to {most}"),
    };
    let duration = seconds::parse(text).ok_or_else(wrong)?;
    let is_too_short = !duration.is_zero() && duration < A_MILLISECOND;
    if range.contains(&duration) && !is_too_short { Ok(duration) } else { Err(wrong()) }
}

/// A number of bytes in `range`, from whole KiB to whole GiB. `k`, `M` and `G` are powers of 1024.
///
/// # Errors
/// What the value must be.
pub fn parse_size(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1024),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1024 * 1024),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1024 * 1024 * 1024),
        _ => (text, 1),
    };
    let size = parse_digits(digits).and_then(|number| number.checked_mul(unit));
    size.filter(|size| range.contains(size)).ok_or_else(|| {
        let (least, most) = (range.start() >> 10, range.end() >> 30);
        format!("must be a number of bytes from {least}k to {most}G; k, M and G are units")
    })
}

/// Writes an error of `program` to standard error, as one line whatever `why` quotes.
pub fn print_error(program: &str, why: &str) {
    let why = escape::escape(why.as_bytes());
    _ = writeln!(std::io::stderr(), "{program}: {}", String::from_utf8_lossy(&why));
}

//! What the command lines of all programs share: the values that options take, and complaints.

use crate::wire::escape;
use getopts::Matches;
use std::ffi::OsString;
use std::io::Write;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The shortest time above zero that can be asked for.
pub const A_MILLISECOND: Duration = Duration::from_millis(1);
/// The longest time that can be asked for.
pub const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The arguments as text.
///
/// # Errors
/// One line that names the argument that is none.
pub fn texts(arguments: impl IntoIterator<Item = OsString>) -> Result<Vec<String>, String> {
    let text = |argument: OsString| {
        argument.into_string().map_err(|wrong| format!("argument {wrong:?} is not UTF-8"))
    };
    arguments.into_iter().map(text).collect()
}

/// The value of an option, where it was given.
///
/// # Errors
/// One line that names the option, its value, and what it may be.
pub fn value<T>(
    matches: &Matches,
    name: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let Some(text) = matches.opt_str(name) else { return Ok(None) };
    parse(&text).map(Some).map_err(|why| format!("--{name} {text}: {why}"))
}

/// A number in digits alone: the standard parser also takes a sign.
pub fn parse_digits(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A whole number from `least` to `most`.
///
/// # Errors
/// What it may be.
pub fn parse_count(text: &str, least: usize, most: usize) -> Result<usize, String> {
    match parse_digits(text).ok_or(()) {
        Ok(count) if (least..=most).contains(&count) => Ok(count),
        _ if most == usize::MAX => Err(format!("must be a whole number, {least} or more")),
        _ => Err(format!("must be a whole number from {least} to {most}")),
    }
}

/// Seconds, with a fraction or without, in `range`; what is less than a millisecond is none.
///
/// # Errors
/// What it may be.
pub fn parse_seconds(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let (least, most) = (range.start().as_secs_f64(), range.end().as_secs_f64());
    let wrong = || format!("must be a number of seconds from {least} to {most}");
    // What the standard parser takes beside digits (exponents, signs, "inf") nobody means.
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let seconds = text.parse::<f64>().map_err(|_| wrong())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    let is_none = !duration.is_zero() && duration < A_MILLISECOND;
    if range.contains(&duration) && !is_none { Ok(duration) } else { Err(wrong()) }
}

/// A number of bytes in `range`, whose ends are whole KiB and MiB; `k` and `M` may follow it.
///
/// # Errors
/// What it may be.
pub fn parse_size(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1024),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    let size = parse_digits(digits).and_then(|number| number.checked_mul(unit));
    size.filter(|size| range.contains(size)).ok_or_else(|| {
        let (least, most) = (range.start() / 1024, range.end() / (1024 * 1024));
        format!("must be a number of bytes from {least}k to {most}M; k and M may follow it")
    })
}

/// Says on standard error why `program` does not go on, in one line whatever `why` quotes.
pub fn complain(program: &str, why: &str) {
    let why = escape::escape(why.as_bytes());
    _ = writeln!(std::io::stderr(), "{program}: {}", String::from_utf8_lossy(&why));
}

//! Durations in decimal seconds, such as `2.5`. Exact, and without the large code for floating-point numbers.

use std::fmt;
use std::time::Duration;

/// Decimal places of a second down to the nanosecond.
const DECIMALS: usize = 9;

/// Shows a duration in seconds, with as many decimals as it has.
#[derive(Debug, Clone, Copy)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:0DECIMALS$}", self.0.subsec_nanos());
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        write!(f, "{}{point}{decimals}", self.0.as_secs())
    }
}

/// Parses digits with at most one point. Places after the nanosecond are cut off.
pub fn parse(text: &str) -> Option<Duration> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || whole.len() + decimals.len() == 0 {
        return None;
    }
    let seconds = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = decimals.bytes().chain(std::iter::repeat(b'0')).take(DECIMALS);
    Some(Duration::new(seconds, nanos.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_digits_with_at_most_one_point_and_are_shown_in_the_shortest_form() {
        for (text, nanos, shown) in [
            ("0", 0, "0"),
            ("5", 5_000_000_000, "5"),
            ("2.50", 2_500_000_000, "2.5"),
            (".5", 500_000_000, "0.5"),
            ("5.", 5_000_000_000, "5"),
            ("007.001", 7_001_000_000, "7.001"),
            ("0.0000000019", 1, "0.000000001"),
        ] {
            let duration = parse(text).expect(text);
            assert_eq!(
                (duration.as_nanos(), Seconds(duration).to_string().as_str()),
                (nanos, shown),
                "{text}"
            );
        }
        for text in ["", ".", "1.2.3", "-1", "+1", "1e3", "inf", "NaN", " 1", "1s", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

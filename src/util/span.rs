//! Spans of time with one unit, such as `30m` or `7d`.

use std::time::Duration;

/// The units, the longest first, and their seconds.
const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

/// Reads a whole number and its unit: `90s`, `30m`, `2h` or `7d`. `None` for any other text.
pub fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    let (_, seconds) = UNITS.into_iter().find(|&(name, _)| name == unit)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| digits.parse::<u64>().ok()).flatten()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Shows a span in the longest unit of which it has at least two, rounded up: `90s`, `30m`, `2h`, `7d`.
pub fn show(span: Duration) -> String {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    let (unit, size) =
        UNITS.into_iter().find(|&(_, size)| size == 1 || seconds >= 2 * size).unwrap_or(UNITS[3]);
    format!("{}{unit}", seconds.div_ceil(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800), ("0s", 0), ("007s", 7)]
        {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        let wrong =
            ["", "s", "90", "-1s", "+1s", "1.5h", "1 h", "1H", "1w", "1hm", "1µ", "99999999999999999999s"];
        for text in [&wrong[..], &["9999999999999999d"]].concat() {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_span_is_shown_in_a_unit_that_suits_it_and_never_as_shorter() {
        for (millis, shown) in [
            (0, "0s"),
            (1, "1s"),
            (119_000, "119s"),
            (120_000, "2m"),
            (3_599_001, "60m"),
            (3_600_000, "60m"),
            (7_200_000, "2h"),
            (7_201_000, "3h"),
            (7 * 24 * 3_600_000, "7d"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), shown);
        }
    }
}

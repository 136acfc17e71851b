//! Durations and sizes as Compose writes them.

use std::time::Duration;

use crate::project::SignedDuration;

/// Units of a duration, in nanoseconds.
const UNITS: [(&str, i64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Reads a time to wait, as [`signed_duration`] reads it.
///
/// # Errors
///
/// Says what is wrong: what [`signed_duration`] says, or that it is negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanos = u64::try_from(signed_duration(text)?.0).map_err(|_| "it is negative".to_owned())?;
    Ok(Duration::from_nanos(nanos))
}

/// Reads `1m30s`, `-1.5h`, `2w`, `500ms`; `0` needs no unit.
///
/// # Errors
///
/// Says what is wrong: no unit, an unknown unit, or a time that does not fit into 64 bits of nanoseconds.
pub(crate) fn signed_duration(text: &str) -> Result<SignedDuration, String> {
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(SignedDuration(0));
    }
    if rest.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| no_unit(rest))?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let size = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
        let size = size.ok_or_else(|| format!("`{unit}` is no unit of time"))?;
        let nanos = nanoseconds(number, size).ok_or_else(|| format!("`{number}{unit}` cannot be read"))?;
        total = total.checked_add(nanos).ok_or_else(|| "it is too long".to_owned())?;
        rest = after;
    }
    Ok(SignedDuration(if text.starts_with('-') { -total } else { total }))
}

fn no_unit(number: &str) -> String {
    format!("`{number}` has no unit; write `{number}s` for seconds")
}

/// `number` units; nothing where it is no number or does not fit.
fn nanoseconds(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits that do not fit any more say nothing; the rest is rounded as Compose rounds it.
    let (mut digits, mut scale) = (0_i64, 1_f64);
    for digit in fraction.bytes().map(|byte| i64::from(byte - b'0')) {
        let Some(more) = digits.checked_mul(10).and_then(|digits| digits.checked_add(digit)) else { break };
        (digits, scale) = (more, scale * 10.0);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "below one unit, which is below 2^53 ns"
    )]
    let rest = (digits as f64 * (unit as f64 / scale)) as i64;
    whole.checked_mul(unit)?.checked_add(rest)
}

/// Reads `512m`, `1.5GiB`, `64 kb`, `1024`: units count in 1024s, in any case.
///
/// # Errors
///
/// Says what is wrong: no number, or an unknown unit.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    let end = text
        .rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
        .ok_or_else(|| "there is no number in it".to_owned())?;
    let (number, suffix) = text.split_at(end + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let value: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    if value.is_infinite() {
        return Err("it is too large".to_owned());
    }
    if value < 0.0 {
        return Err("it is negative".to_owned());
    }
    let bad = || format!("`{suffix}` is no unit; there are b, k, m, g, t and p");
    let suffix_lower = suffix.to_lowercase();
    let mut letters = suffix_lower.chars();
    let unit = letters.next();
    let rest = letters.as_str();
    let power = match unit {
        None => 0,
        Some('b') if rest.is_empty() => 0,
        Some(letter) => {
            let power = "kmgtp".find(letter).ok_or_else(bad)? + 1;
            if !["", "b", "ib"].contains(&rest) {
                return Err(bad());
            }
            power
        }
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "at most 5, and sizes saturate"
    )]
    let size = (value * 1024_f64.powi(power as i32)) as i64;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("0", Ok(0)),
            ("1m30s", Ok(90_000_000_000)),
            ("1.5s", Ok(1_500_000_000)),
            (".5s", Ok(500_000_000)),
            ("1d2h", Ok(93_600_000_000_000)),
            ("2w", Ok(1_209_600_000_000_000)),
            ("3us", Ok(3_000)),
            ("3µs", Ok(3_000)),
            ("10", Err("`10` has no unit; write `10s` for seconds")),
            ("10 s", Err("` s` is no unit of time")),
            ("", Err("it is empty")),
            ("5y", Err("`y` is no unit of time")),
            ("-1s", Err("it is negative")),
        ];
        for (text, expected) in cases {
            let read = duration(text).map(|d| d.as_nanos());
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn signed_durations_are_read_as_go_reads_them() {
        let cases = [
            ("-1.5h", Some(-5_400_000_000_000)),
            ("-0", Some(0)),
            ("+5s", Some(5_000_000_000)),
            ("-.5s", Some(-500_000_000)),
            ("0.29s", Some(290_000_000)),
            ("0.3333333333333333333h", Some(1_200_000_000_000)),
            ("0.100000000000000000000h", Some(360_000_000_000)),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("-9223372036854775807ns", Some(-i64::MAX)),
            ("9223372036854775808ns", None),
            ("-9223372036854775808ns", None),
            ("9223372036854775.807us", Some(i64::MAX)),
            ("3000000h", None),
            ("2562047h47m17s", None),
            ("--1s", None),
            ("-", None),
            (".s", None),
            ("1..5s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(signed_duration(text).ok(), expected.map(SignedDuration), "{text}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("1024", 1024),
            ("1k", 1024),
            ("1KB", 1024),
            ("1.5 GiB", 1_610_612_736),
            ("64b", 64),
            ("2t", 2_199_023_255_552),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "1x", "1kk", "1bb", "-1", "1e400"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}

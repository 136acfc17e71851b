//! RFC 3339, as far as the engine writes it.

/// Nanoseconds since the epoch of `2026-11-22T01:02:03.5Z` or with an offset; `None` where the text is no such time.
pub(super) fn nanos(text: &str) -> Option<i64> {
    let (date, rest) = text.trim().split_once(['T', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || fraction.chars().any(|c| !c.is_ascii_digit())
    {
        return None;
    }
    let fraction: i64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    let seconds =
        ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset_seconds(offset)?;
    seconds.checked_mul(1_000_000_000)?.checked_add(fraction)
}

/// Seconds east of Greenwich of `Z` or `+01:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?) * 60)
}

/// Days since the epoch, in the Gregorian calendar. Years begin in March here, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000_000_000)),
            ("2024-02-29T12:30:45.5Z", Some(1_709_209_845_500_000_000)),
            ("2024-02-29T13:30:45.123456789+01:00", Some(1_709_209_845_123_456_789)),
            ("2024-02-29T07:30:45-05:00", Some(1_709_209_845_000_000_000)),
            ("0001-01-01T00:00:00Z", None),
            ("yesterday", None),
            ("2024-13-01T00:00:00Z", None),
        ] {
            assert_eq!(nanos(text), wanted, "{text}");
        }
    }
}

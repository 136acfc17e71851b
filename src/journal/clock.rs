//! Wall time as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC, to the millisecond: `2026-11-22T01:50:00.123Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let t = Civil::of(time);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year, t.month, t.day, t.hour, t.minute, t.second, t.millis
    )
}

/// A run's ID: sorts by time, and differs between processes: `20261122T015000.123-4711`.
pub fn run_id(time: SystemTime, process: u32) -> String {
    let t = Civil::of(time);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}-{process}",
        t.year, t.month, t.day, t.hour, t.minute, t.second, t.millis
    )
}

/// The time that RFC 3339 text in UTC says, as engines write it: `2026-11-22T01:50:00.123456789Z`.
pub fn from_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    // Engines write the year 1 where there is no time.
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year.min(10_000)).map(year_days).sum();
    let months: u64 = (1..month).map(|m| month_days(year, m)).sum();
    let nanos = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds = (years + months + day - 1) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::new(seconds, nanos))
}

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millis: u32,
}

impl Civil {
    /// A moment before 1970 counts as 1970.
    fn of(time: SystemTime) -> Self {
        let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let mut days = seconds / 86_400;
        let mut year = 1970;
        while days >= year_days(year) {
            days -= year_days(year);
            year += 1;
        }
        let mut month = 1;
        while days >= month_days(year, month) {
            days -= month_days(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: days + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millis: since.subsec_millis(),
        }
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_and_sort_as_text() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
            assert_eq!(from_rfc3339(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        let half = from_rfc3339("1970-01-01T00:00:01.5Z").unwrap();
        assert_eq!(half.duration_since(UNIX_EPOCH).unwrap(), Duration::from_millis(1500));
        for none in ["0001-01-01T00:00:00Z", "", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00Z"] {
            assert_eq!(from_rfc3339(none), None, "{none}");
        }
        let id = |millis| run_id(UNIX_EPOCH + Duration::from_millis(millis), 42);
        assert_eq!(id(1_700_000_000_123), "20231114T221320.123-42");
        assert!(id(1_700_000_000_123) < id(1_700_000_000_200));
    }
}

//! Durations, sizes and counts as people read them.

use std::time::Duration;

/// `0.3s`, `12.3s`, `2m05s`, `1h02m`.
pub fn human_duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..60 => format!("{seconds}.{}s", tenths % 10),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `512 B`, `1.5 kB`, `12.3 MB`: decimal, as Docker counts images.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1 service`, `2 services`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_short() {
        for (millis, text) in [
            (0, "0.0s"),
            (340, "0.3s"),
            (59_940, "59.9s"),
            (59_990, "1m00s"),
            (125_000, "2m05s"),
            (3_720_000, "1h02m"),
        ] {
            assert_eq!(human_duration(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12.3 MB"), (1_000_000_000, "1.0 GB")]
        {
            assert_eq!(human_bytes(bytes), text);
        }
        assert_eq!(count(1, "service"), "1 service");
        assert_eq!(count(0, "service"), "0 services");
    }
}

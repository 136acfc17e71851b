//! Durations in Go's text form, which is what Compose prints and hashes.

use std::{fmt::Write as _, time::Duration};

use serde::Serializer;

/// Go's text of a duration: `1m30s`, `26h0m0s`, `1.5s`, `500ms`, `0s`.
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, size) = match nanos {
            1..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{}{unit}", decimal(nanos, size));
    }
    let seconds = nanos / 1_000_000_000;
    let mut text = String::new();
    if seconds >= 3600 {
        write!(text, "{}h", seconds / 3600).expect("writing to a String cannot fail");
    }
    if seconds >= 60 {
        write!(text, "{}m", seconds / 60 % 60).expect("writing to a String cannot fail");
    }
    text + &decimal(nanos % 60_000_000_000, 1_000_000_000) + "s"
}

/// `value / size` as a decimal without trailing zeros.
fn decimal(value: u128, size: u128) -> String {
    let (whole, rest) = (value / size, value % size);
    if rest == 0 {
        return whole.to_string();
    }
    let width = size.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0width$}").trim_end_matches('0'))
}

/// For `#[serde(serialize_with)]` on an optional duration.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(crate) fn serialize_optional<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(d) => serializer.serialize_str(&go_duration(*d)),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (500_000_000, "500ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (60_000_000_000, "1m0s"),
            (93_600_000_000_000, "26h0m0s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}

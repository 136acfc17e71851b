//! What a plain scalar is: the rules of the YAML library of Docker Compose, which lie between YAML 1.1 and 1.2.

use std::sync::LazyLock;

use regex::Regex;

use crate::compose::tree::Value;

/// A number as YAML writes it, underscores removed.
#[expect(clippy::unwrap_used, reason = "the pattern is a constant, compiled by the tests")]
static FLOAT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").unwrap());

/// Year, month, day; then time, fraction and zone where there are any.
#[expect(clippy::unwrap_used, reason = "the pattern is a constant, compiled by the tests")]
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"^(\d{4})-(\d{1,2})-(\d{1,2})",
        r"(?:([Tt]| )(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d+))?(Z| ?[+-]\d{2}:\d{2})?)?$"
    ))
    .unwrap()
});

/// What a plain, untagged scalar is.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Value::String(text.to_owned());
    }
    time(text).or_else(|| number(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// What a scalar with one of YAML's own tags (`!!int`) is, or what is wrong with it; text where the tag says no more.
pub(super) fn resolve_tagged(tag: &str, text: &str) -> Result<Value, String> {
    let value = match tag {
        "binary" => return binary(text),
        "int" | "float" | "bool" | "null" | "timestamp" => resolve(text),
        _ => return Ok(Value::String(text.to_owned())),
    };
    let fitting = match (tag, value) {
        ("int", value @ (Value::Int(_) | Value::UInt(_)))
        | ("float", value @ Value::Float(_))
        | ("bool", value @ Value::Bool(_))
        | ("null", value @ Value::Null)
        | ("timestamp", value @ Value::Time(_)) => Some(value),
        #[expect(clippy::cast_precision_loss, reason = "a float is what the tag asks for")]
        ("float", Value::Int(value)) => Some(Value::Float(value as f64)),
        _ => None,
    };
    fitting.ok_or_else(|| format!("`{text}` is not what its tag `!!{tag}` says"))
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    let integer = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => whole(negative, &digits[2..], 16),
        [b'0', b'b' | b'B', ..] => whole(negative, &digits[2..], 2),
        [b'0', b'o' | b'O', ..] => whole(negative, &digits[2..], 8),
        [b'0', _, ..] => whole(negative, &digits[1..], 8),
        _ => whole(negative, digits, 10),
    };
    if integer.is_some() {
        return integer;
    }
    // Floats out of range stay text, as they do in Go.
    let float = FLOAT.is_match(&plain).then(|| plain.parse::<f64>().ok()).flatten()?;
    float.is_finite().then_some(Value::Float(float))
}

fn whole(negative: bool, digits: &str, radix: u32) -> Option<Value> {
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    if negative {
        return i64::from_str_radix(&format!("-{digits}"), radix).ok().map(Value::Int);
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    Some(i64::try_from(value).map_or(Value::UInt(value), Value::Int))
}

/// A date, or a date with a time, as RFC 3339.
fn time(text: &str) -> Option<Value> {
    let parts = TIME.captures(text)?;
    let part = |index: usize| parts.get(index).map_or("0", |found| found.as_str()).parse::<u32>().ok();
    let (year, month, day) = (part(1)?, part(2)?, part(3)?);
    let (hour, minute, second) = (part(5)?, part(6)?, part(7)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = parts.get(8).map_or("", |found| found.as_str()).trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let zone = parts.get(9).map_or("Z", |found| found.as_str().trim());
    Some(Value::Time(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{dot}{fraction}{zone}"
    )))
}

/// Base 64 with blanks and line breaks between.
fn binary(text: &str) -> Result<Value, String> {
    let wrong = || "a `!!binary` value is not base 64 text".to_owned();
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for symbol in text.bytes().filter(|symbol| !symbol.is_ascii_whitespace() && *symbol != b'=') {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(wrong()),
        };
        bits = (bits << 6 | u32::from(value)) & 0xFFFF;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xFF) as u8);
        }
    }
    String::from_utf8(bytes).map(Value::String).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    #[test]
    fn words_and_numbers_resolve_as_compose_does() {
        let cases = [
            ("yes", text("yes")),
            ("tRUE", text("tRUE")),
            ("True", Value::Bool(true)),
            ("0o17", Value::Int(15)),
            ("017", Value::Int(15)),
            ("-017", Value::Int(-15)),
            ("08", Value::Float(8.0)),
            ("0x1F", Value::Int(31)),
            ("0XFF", Value::Int(255)),
            ("-0x1F", Value::Int(-31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("+42", Value::Int(42)),
            ("0", Value::Int(0)),
            ("18446744073709551615", Value::UInt(u64::MAX)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
            ("1_000.5", Value::Float(1000.5)),
            ("1e400", text("1e400")),
            ("0x1p4", text("0x1p4")),
            ("22:22", text("22:22")),
            ("-", text("-")),
            ("1.2.3", text("1.2.3")),
        ];
        for (written, value) in cases {
            assert_eq!(resolve(written), value, "{written}");
        }
    }

    #[test]
    fn dates_become_times() {
        let cases = [
            ("2001-01-23", Some("2001-01-23T00:00:00Z")),
            ("2001-1-2 3:04:05.500 +02:00", Some("2001-01-02T03:04:05.5+02:00")),
            ("2001-02-29", None),
            ("2001-13-01", None),
            ("2001-01-23x", None),
        ];
        for (written, time) in cases {
            let expected = time.map_or_else(|| text(written), |time| Value::Time(time.to_owned()));
            assert_eq!(resolve(written), expected, "{written}");
        }
    }

    #[test]
    fn a_tag_must_fit_its_value() {
        assert_eq!(resolve_tagged("int", "123"), Ok(Value::Int(123)));
        assert_eq!(resolve_tagged("float", "3"), Ok(Value::Float(3.0)));
        assert_eq!(resolve_tagged("str", "3"), Ok(text("3")));
        assert_eq!(resolve_tagged("binary", "aGVs bG8="), Ok(text("hello")));
        assert!(resolve_tagged("int", "x").is_err());
        assert!(resolve_tagged("binary", "*").is_err());
    }
}

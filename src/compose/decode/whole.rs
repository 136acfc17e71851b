//! Whole numbers as Go converts them: without a look at whether they fit.

use crate::compose::tree::Value;

/// A kind of whole number.
pub(crate) trait Whole: Sized {
    /// The number that a value is; nothing where Compose refuses it.
    fn of(value: &Value) -> Option<Self>;
}

impl Whole for i64 {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(*number),
            Value::UInt(number) => Some(number.cast_signed()),
            Value::Float(number) => Some(cut(*number)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Whole for u64 {
    fn of(value: &Value) -> Option<Self> {
        const HALF: f64 = 9_223_372_036_854_775_808.0;
        match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::UInt(number) => Some(*number),
            Value::Float(number) if *number < 0.0 => None,
            Value::Float(number) if *number < HALF => Some(cut(*number).cast_unsigned()),
            Value::Float(number) => Some(cut(*number - HALF).cast_unsigned() ^ (1 << 63)),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl Whole for u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is asked for")]
    fn of(value: &Value) -> Option<Self> {
        u64::of(value).map(|number| number as Self)
    }
}

impl Whole for u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is asked for")]
    fn of(value: &Value) -> Option<Self> {
        u64::of(value).map(|number| number as Self)
    }
}

/// What stands before the point; the least number there is where it does not fit, as on the machines Compose runs on.
#[expect(clippy::cast_possible_truncation, reason = "the fraction is to go")]
fn cut(number: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_converted_as_go_converts_them() {
        let cases = [
            (Value::Int(-1), Some(-1), None, None),
            (Value::Int(4_294_967_376), Some(4_294_967_376), Some(4_294_967_376), Some(80)),
            (Value::UInt(u64::MAX), Some(-1), Some(u64::MAX), Some(u32::MAX)),
            (Value::Float(80.9), Some(80), Some(80), Some(80)),
            (Value::Float(-0.5), Some(0), None, None),
            (Value::Float(1e30), Some(i64::MIN), Some(0), Some(0)),
            (Value::Float(1e19), Some(i64::MIN), Some(10_000_000_000_000_000_000), Some(2_313_682_944)),
            (Value::String("12".to_owned()), Some(12), Some(12), Some(12)),
            (Value::String("x".to_owned()), None, None, None),
            (Value::Bool(true), None, None, None),
        ];
        for (value, signed, unsigned, short) in cases {
            assert_eq!(
                (i64::of(&value), u64::of(&value), u32::of(&value)),
                (signed, unsigned, short),
                "{value:?}"
            );
        }
    }
}

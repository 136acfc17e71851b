//! The order in which Compose writes the keys of maps in YAML.

use std::cmp::Ordering;

use serde_json::Value;

/// Attributes whose keys are the user's own.
const MAPS: [&str; 18] = [
    "additional_contexts",
    "annotations",
    "args",
    "aux_addresses",
    "configs",
    "depends_on",
    "driver_opts",
    "environment",
    "labels",
    "models",
    "networks",
    "options",
    "secrets",
    "services",
    "storage_opt",
    "sysctls",
    "ulimits",
    "volumes",
];

/// Sorts the keys that users chose; attributes stay in the order of the specification.
pub(super) fn sort_maps(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_maps),
        Value::Object(fields) => {
            for (key, value) in fields {
                if key.starts_with("x-") {
                    sort_all(value);
                } else {
                    sort_maps(value);
                    if MAPS.contains(&key.as_str()) {
                        sort_keys(value);
                    }
                }
            }
        }
        _ => {}
    }
}

/// Sorts the keys of every mapping in a value.
pub fn sort_all(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(sort_all),
        Value::Object(fields) => {
            fields.values_mut().for_each(sort_all);
            sort_keys(value);
        }
        _ => {}
    }
}

fn sort_keys(value: &mut Value) {
    if let Value::Object(fields) = value {
        let mut entries: Vec<_> = std::mem::take(fields).into_iter().collect();
        entries.sort_by(|(a, _), (b, _)| compare(a, b));
        fields.extend(entries);
    }
}

/// Numbers in names count as numbers, and letters come behind everything else.
fn compare(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (one, other) = (a[at], b[at]);
    match (one.is_alphabetic(), other.is_alphabetic()) {
        (true, true) => return one.cmp(&other),
        (false, false) => {}
        (letter, _) => {
            // Behind digits it is the other way round: `a1b` before `a10`.
            let behind_digit = at > 0 && a[at - 1].is_numeric();
            return if letter == behind_digit { Ordering::Less } else { Ordering::Greater };
        }
    }
    // A zero only means nothing where no other digit stands before it.
    let in_number = (one == '0' || other == '0')
        && a[..at].iter().rev().take_while(|c| c.is_numeric()).any(|digit| *digit != '0');
    let (first, first_length) = number(&a[at..], in_number);
    let (second, second_length) = number(&b[at..], in_number);
    first.cmp(&second).then(first_length.cmp(&second_length)).then(one.cmp(&other))
}

/// The number that some characters begin with, and its length.
fn number(characters: &[char], in_number: bool) -> (u128, usize) {
    let digits: Vec<u32> = characters.iter().map_while(|c| c.to_digit(10)).collect();
    let start = u128::from(in_number);
    let value =
        digits.iter().fold(start, |value, digit| value.saturating_mul(10).saturating_add(u128::from(*digit)));
    (value, digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_go_yaml_sorts_them() {
        let sorted = ["_b", "1", "2", "10", "A_B", "AB", "a-b", "a_b", "a1b", "a2", "a10", "ab"];
        let mut names = ["ab", "a_b", "a10", "10", "AB", "a2", "_b", "a1b", "2", "A_B", "1", "a-b"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, sorted);
    }
}

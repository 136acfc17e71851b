//! The one tree that every stage of loading works on: YAML values with the place of each.
//!
//! Anchors, aliases and merge keys are already resolved in it, so a node is owned and can be changed freely.

use std::fmt;

use indexmap::IndexMap;

use crate::diagnostic::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it was written. A value made by a later stage keeps the place of what it was made from.
    pub span: Span,
    /// `!reset` and `!override`, until they have been applied.
    pub tag: Option<MergeTag>,
}

/// A tag that changes how a node is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeTag {
    /// `!reset`: what was merged so far is removed.
    Reset,
    /// `!override`: this value replaces what was merged so far.
    Override,
}

/// What a node is, as Docker Compose resolves YAML scalars.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Empty, `~`, `null`.
    Null,
    /// `true` or `false` (not `yes` or `on`).
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A whole number beyond `i64`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// A date or a date with a time, as RFC 3339; most places refuse it.
    Time(String),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in file order.
    Mapping(Mapping),
}

/// A mapping whose keys are text, in file order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mapping(pub IndexMap<String, Entry>);

/// A key's place and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key was written.
    pub key: Span,
    /// What stands behind it.
    pub value: Node,
}

/// Where a node stands in the tree: `services.web.ports.[0]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct TreePath(Vec<String>);

impl Node {
    /// A node without a tag.
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, span, tag: None }
    }

    /// Nothing, at a place.
    pub fn null(span: Span) -> Self {
        Self::new(Value::Null, span)
    }

    /// Text, at a place.
    pub fn string(text: impl Into<String>, span: Span) -> Self {
        Self::new(Value::String(text.into()), span)
    }

    /// A list, at a place.
    pub fn sequence(items: Vec<Self>, span: Span) -> Self {
        Self::new(Value::Sequence(items), span)
    }

    /// A mapping, at a place.
    pub fn mapping(mapping: Mapping, span: Span) -> Self {
        Self::new(Value::Mapping(mapping), span)
    }

    /// A true or false, at a place.
    pub fn bool(value: bool, span: Span) -> Self {
        Self::new(Value::Bool(value), span)
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text, where it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The true or false, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The mapping, where it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The mapping, where it is one, to be changed.
    pub fn as_mapping_mut(&mut self) -> Option<&mut Mapping> {
        match &mut self.value {
            Value::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// The items, where it is a list.
    pub fn as_sequence(&self) -> Option<&[Self]> {
        match &self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The items, where it is a list, to be changed.
    pub fn as_sequence_mut(&mut self) -> Option<&mut Vec<Self>> {
        match &mut self.value {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The value behind a key, where this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_mapping()?.get(key)
    }

    /// The value behind a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_mapping_mut()?.get_mut(key)
    }

    /// The value behind keys in mappings in mappings: `["services", "web", "image"]`.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The value behind keys in mappings in mappings, to be changed.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, key| node.get_mut(key))
    }

    /// The key-value pairs, where it is a mapping; nothing otherwise.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.as_mapping().into_iter().flat_map(Mapping::iter)
    }

    /// The key-value pairs, to be changed.
    pub fn entries_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.as_mapping_mut().into_iter().flat_map(Mapping::iter_mut)
    }

    /// The items, where it is a list; nothing otherwise.
    pub fn items(&self) -> impl Iterator<Item = &Self> {
        self.as_sequence().into_iter().flatten()
    }

    /// What it is, as messages say it: `a mapping`.
    pub fn kind(&self) -> &'static str {
        self.value.kind()
    }

    /// Whether it says the same as another, wherever they stand and in whatever order their keys are.
    pub fn same_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Sequence(left), Value::Sequence(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same_as(right))
            }
            (Value::Mapping(left), Value::Mapping(right)) => {
                let same =
                    |key: &str, entry: &Entry| right.get(key).is_some_and(|value| entry.value.same_as(value));
                left.len() == right.len() && left.iter().all(|(key, entry)| same(key, entry))
            }
            (left, right) => left == right,
        }
    }
}

impl Value {
    /// What it is, as messages say it: `a mapping`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::UInt(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Time(_) => "a date",
            Self::String(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }

    /// A scalar as Compose writes it where it wants text (`environment`, labels): `1.50` is `1.5`, `1e21` is
    /// `1e+21`. Nothing for `null`, lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Int(value) => Some(value.to_string()),
            Self::UInt(value) => Some(value.to_string()),
            Self::Float(value) => Some(go_float(*value)),
            Self::String(text) => Some(text.clone()),
            Self::Time(text) => Some(go_time(text)),
            Self::Null | Self::Sequence(_) | Self::Mapping(_) => None,
        }
    }

    /// The text that Go's `%v` gives any value: `map[a:1 b:[x <nil>]]`.
    pub fn go_text(&self) -> String {
        match self {
            Self::Null => "<nil>".to_owned(),
            Self::Sequence(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.go_text()).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Mapping(mapping) => {
                let mut entries: Vec<(&str, String)> =
                    mapping.iter().map(|(key, entry)| (key, entry.value.value.go_text())).collect();
                entries.sort_unstable();
                let entries: Vec<String> =
                    entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
                format!("map[{}]", entries.join(" "))
            }
            scalar => scalar.scalar_text().unwrap_or_default(),
        }
    }
}

/// An RFC 3339 time as Go writes one: `2001-01-23 00:00:00 +0000 UTC`.
fn go_time(text: &str) -> String {
    let Some((date, rest)) = text.split_once('T') else { return text.to_owned() };
    match rest.find(['Z', '+', '-']) {
        Some(zone) if rest[zone..].len() > 1 => {
            let offset = rest[zone..].replace(':', "");
            format!("{date} {} {offset} {offset}", &rest[..zone])
        }
        Some(zone) => format!("{date} {} +0000 UTC", &rest[..zone]),
        None => text.to_owned(),
    }
}

/// A float in Go's `%v`: shortest digits, an exponent below -4 and from 6 on.
pub(super) fn go_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

impl Mapping {
    /// The value behind a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key).map(|entry| &entry.value)
    }

    /// The value behind a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Where a key was written, and its value.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    /// Whether the key is there, with whatever value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Puts a value behind a key: in the place of the old one, at the end where there was none.
    pub fn insert(&mut self, key: impl Into<String>, place: Span, value: Node) -> Option<Node> {
        self.0.insert(key.into(), Entry { key: place, value }).map(|entry| entry.value)
    }

    /// Puts a value behind a key that is not there yet; the key is said to stand where the value does.
    pub fn insert_default(&mut self, key: &str, value: Node) {
        if !self.contains_key(key) {
            let place = value.span;
            self.insert(key, place, value);
        }
    }

    /// Takes a key out; the order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.shift_remove(key).map(|entry| entry.value)
    }

    /// Keys and entries, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Keys and entries, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Entry)> {
        self.0.iter_mut().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Keys in file order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the entries that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Entry) -> bool) {
        self.0.retain(|key, entry| keep(key, entry));
    }
}

impl TreePath {
    /// The top of the file.
    pub fn root() -> Self {
        Self::default()
    }

    /// One key further down.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(key.to_owned());
        Self(parts)
    }

    /// One list item further down.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.key(&format!("[{index}]"))
    }

    /// Whether it has the pattern's keys, where `*` stands for any one key or list index:
    /// `services.*.ports.*.target`.
    pub fn matches(&self, pattern: &str) -> bool {
        let mut wanted = pattern.split('.');
        let parts = self.0.iter().all(|part| wanted.next().is_some_and(|want| want == "*" || want == part));
        parts && wanted.next().is_none()
    }

    /// Its parts, from the top.
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The last part; empty at the top.
    pub fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl fmt::Display for TreePath {
    /// As messages write it: `services.web.ports[0]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            if position > 0 && !part.starts_with('[') {
                f.write_str(".")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_does() {
        let cases = [
            (1.5, "1.5"),
            (1000.0, "1000"),
            (1e21, "1e+21"),
            (1_234_567.5, "1.2345675e+06"),
            (100_000.0, "100000"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (f64::INFINITY, "+Inf"),
            (0.0, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(Value::Float(value).scalar_text().as_deref(), Some(text));
        }
    }

    #[test]
    fn times_are_written_as_go_does() {
        let text = |time: &str| Value::Time(time.to_owned()).scalar_text().unwrap();
        assert_eq!(text("2001-01-23T00:00:00Z"), "2001-01-23 00:00:00 +0000 UTC");
        assert_eq!(text("2001-01-02T03:04:05.5+02:00"), "2001-01-02 03:04:05.5 +0200 +0200");
    }

    #[test]
    fn a_pattern_matches_paths_of_its_length() {
        let path = TreePath::root().key("services").key("web").key("ports").index(0);
        assert!(path.matches("services.*.ports.*"));
        assert!(!path.matches("services.*.ports"));
        assert!(!path.matches("services.*.ports.*.target"));
        assert_eq!(path.to_string(), "services.web.ports[0]");
    }
}

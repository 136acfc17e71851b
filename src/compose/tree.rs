//! The one tree that every stage of loading works on: YAML values with the place of each.
//!
//! Anchors, aliases and merge keys are already resolved in it, so a node is owned and can be changed freely.

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

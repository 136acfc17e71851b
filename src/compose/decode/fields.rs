//! A mapping that is being decoded: attributes by name, with what is wrong about them collected aside.

use std::cell::RefCell;

use super::{extensions, whole::Whole};
use crate::{
    compose::{
        casts::{self, Parsed},
        tree::{Entry, Mapping, Node, Value},
        units, words,
    },
    diagnostic::Diagnostic,
    project::{self, Bytes, Extensions, Float, MappingWithNull, SignedDuration},
};

/// What is wrong with a tree, collected while it is decoded.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Diagnostic>>);

impl Problems {
    /// Adds one.
    pub(crate) fn push(&self, diagnostic: Diagnostic) {
        self.0.borrow_mut().push(diagnostic);
    }

    /// All of them, in the order found.
    pub(crate) fn into_inner(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}

/// A mapping that is being decoded.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    mapping: &'a Mapping,
    /// Where it stands, as messages say it: `services.web.ports[0]`.
    pub(crate) path: String,
    pub(crate) problems: &'a Problems,
}

impl<'a> Fields<'a> {
    /// The mapping that a node is; nothing where it is something else.
    pub(crate) fn of(node: &'a Node, path: impl Into<String>, problems: &'a Problems) -> Option<Self> {
        Some(Self { mapping: node.as_mapping()?, path: path.into(), problems })
    }

    /// The value behind a key, where it is not null.
    pub(crate) fn node(&self, key: &str) -> Option<&'a Node> {
        self.mapping.get(key).filter(|node| !node.is_null())
    }

    /// Text. Empty text is no text; whole numbers are written out.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        let node = self.node(key)?;
        self.plain_text(node, key).filter(|text| !text.is_empty())
    }

    fn plain_text(&self, node: &Node, key: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            _ => {
                self.wrong(key, node, "a string");
                None
            }
        }
    }

    /// A switch; absent is off.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.boolean(key).unwrap_or(false)
    }

    /// A switch that can also be left alone.
    pub(crate) fn boolean(&self, key: &str) -> Option<bool> {
        let node = self.node(key)?;
        let parsed = match &node.value {
            Value::Bool(value) => Some(Parsed::Plain(*value)),
            Value::String(text) => casts::boolean(text),
            _ => None,
        };
        if let Some(Parsed::Old(_)) = parsed {
            let text = node.as_str().unwrap_or_default();
            self.problems.push(casts::old_boolean(&self.inner(key), text).at(node.span, ""));
        }
        if parsed.is_none() {
            self.wrong(key, node, "`true` or `false`");
        }
        parsed.map(Parsed::value)
    }

    /// A whole number, zero included; what is too large for it loses its upper bits, as in Compose.
    pub(crate) fn number<T: Whole>(&self, key: &str) -> Option<T> {
        let node = self.node(key)?;
        let value = T::of(&node.value);
        if value.is_none() {
            self.wrong(key, node, "a whole number that fits");
        }
        value
    }

    /// How many there are to be of something.
    pub(crate) fn count(&self, key: &str) -> Option<u32> {
        let count = self.number::<i64>(key)?;
        let fitting = u32::try_from(count).ok();
        if let (None, Some(node)) = (fitting, self.node(key)) {
            self.wrong(key, node, "a whole number that fits");
        }
        fitting
    }

    /// A whole number that is not written as text; zero included.
    pub(crate) fn exact<T: Whole>(&self, key: &str) -> Option<T> {
        let node = self.node(key)?;
        if node.as_str().is_some() {
            self.wrong(key, node, "a whole number");
            return None;
        }
        self.number(key)
    }

    /// A whole number that is not written as text and has no point either; zero included.
    pub(crate) fn integer(&self, key: &str) -> Option<i64> {
        let node = self.node(key)?;
        let Value::Int(number) = node.value else {
            self.wrong(key, node, "a whole number");
            return None;
        };
        Some(number)
    }

    /// A whole number; zero says the same as absent.
    pub(crate) fn nonzero<T: Whole + Default + PartialEq>(&self, key: &str) -> Option<T> {
        self.number(key).filter(|number| *number != T::default())
    }

    /// A number; zero says the same as absent.
    pub(crate) fn float(&self, key: &str) -> Option<Float> {
        let node = self.node(key)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "Compose keeps 32 bits"
        )]
        let value = match &node.value {
            Value::Int(number) => Some(*number as f32),
            Value::Float(number) => Some(*number as f32),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let value = value.filter(|value: &f32| value.is_finite());
        if value.is_none() {
            self.wrong(key, node, "a number");
        }
        value.filter(|value| *value != 0.0).map(Float)
    }

    /// A size; zero says the same as absent.
    pub(crate) fn bytes(&self, key: &str) -> Option<Bytes> {
        let node = self.node(key)?;
        match &node.value {
            Value::Int(number) => Some(Bytes(*number)),
            Value::String(text) => match units::bytes(text) {
                Ok(size) => Some(Bytes(size)),
                Err(reason) => {
                    self.unreadable(key, node, "size", &reason);
                    None
                }
            },
            _ => {
                let message =
                    format!("{} is not counted: a size is a whole number or a text", self.inner(key));
                self.problems.push(
                    Diagnostic::warning("ignored-value", message)
                        .at(node.span, "Compose passes over this")
                        .help("write it with a unit, such as `512m`"),
                );
                None
            }
        }
        .filter(|size| size.0 != 0)
    }

    /// A duration, zero and negative ones included.
    pub(crate) fn duration(&self, key: &str) -> Option<SignedDuration> {
        let node = self.node(key)?;
        let text = node.value.scalar_text()?;
        match units::signed_duration(&text) {
            Ok(duration) => Some(duration),
            Err(reason) => {
                self.unreadable(key, node, "duration", &reason);
                None
            }
        }
    }

    /// A list of texts; numbers are written out, and one text alone is a list of one.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match &node.value {
            Value::Sequence(items) => items.iter().filter_map(|item| self.plain_text(item, key)).collect(),
            Value::String(text) => vec![text.clone()],
            _ => {
                self.wrong(key, node, "a list");
                Vec::new()
            }
        }
    }

    /// A list of texts where any scalar is written out.
    pub(crate) fn scalars(&self, key: &str) -> Vec<String> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match &node.value {
            Value::Sequence(items) => items.iter().filter_map(|item| item.value.scalar_text()).collect(),
            value => value.scalar_text().into_iter().collect(),
        }
    }

    /// A command: a list as it is, a text split into words.
    pub(crate) fn command(&self, key: &str) -> Option<Vec<String>> {
        let node = self.node(key)?;
        match &node.value {
            Value::String(text) => words::split(text)
                .map_err(|words::Unbalanced| {
                    let message = format!("{} cannot be split into words", self.inner(key));
                    self.problems.push(
                        Diagnostic::error("bad-command", message)
                            .at(node.span, "a quote, a bracket or a backslash has no other half")
                            .help("write the command as a list: `[\"program\", \"argument\"]`"),
                    );
                })
                .ok(),
            _ => Some(self.texts(key)),
        }
    }

    /// Texts by name, sorted; a name without a value has empty text.
    pub(crate) fn mapping(&self, key: &str) -> project::Mapping {
        self.pairs(key).into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
    }

    /// Texts by name, sorted, where only texts and whole numbers are accepted.
    pub(crate) fn plain_mapping(&self, key: &str) -> project::Mapping {
        for (name, entry) in self.named(key) {
            if !matches!(entry.value.value, Value::String(_) | Value::Int(_) | Value::Null) {
                self.wrong(&format!("{key}.{name}"), &entry.value, "a string");
            }
        }
        self.mapping(key)
    }

    /// Texts by name, sorted, where nothing but texts is accepted.
    pub(crate) fn texts_by_name(&self, key: &str) -> project::Mapping {
        for (name, entry) in self.named(key) {
            if entry.value.as_str().is_none() {
                self.wrong(&format!("{key}.{name}"), &entry.value, "a string");
            }
        }
        self.mapping(key)
    }

    /// Texts by name, sorted; a name may have no value.
    pub(crate) fn variables(&self, key: &str) -> MappingWithNull {
        let blank_at_end = |name: &str| name.ends_with(char::is_whitespace);
        for item in self.node(key).into_iter().flat_map(Node::items) {
            let name = item.as_str().map(|text| text.split('=').next().unwrap_or_default());
            if let Some(name) = name.filter(|name| blank_at_end(name)) {
                self.problems.push(
                    Diagnostic::error(
                        "bad-name",
                        format!("variable `{}` has a blank behind its name", name.trim_end()),
                    )
                    .at(item.span, "remove the blank before `=`"),
                );
            }
        }
        self.pairs(key)
    }

    fn pairs(&self, key: &str) -> MappingWithNull {
        let Some(node) = self.node(key) else { return MappingWithNull::new() };
        let mut pairs = MappingWithNull::new();
        match &node.value {
            Value::Mapping(entries) => {
                let (aside, plain): (Vec<_>, Vec<_>) =
                    entries.iter().partition(|(name, _)| name.starts_with("x-"));
                let text = |entry: &Entry| entry.value.value.scalar_text();
                pairs.extend(plain.iter().map(|(name, entry)| ((*name).to_owned(), text(entry))));
                pairs.extend(set_aside(&aside));
            }
            Value::Sequence(items) => {
                for text in items.iter().filter_map(|item| item.value.scalar_text()) {
                    match text.split_once('=') {
                        Some((name, value)) => pairs.insert(name.to_owned(), Some(value.to_owned())),
                        None => pairs.insert(text, None),
                    };
                }
            }
            _ => self.wrong(key, node, "a mapping or a list"),
        }
        pairs.sort_unstable_keys();
        pairs
    }

    /// The mapping behind a key.
    pub(crate) fn object(&self, key: &str) -> Option<Self> {
        let node = self.node(key)?;
        let fields = Self::of(node, self.inner(key), self.problems);
        if fields.is_none() {
            self.wrong(key, node, "a mapping");
        }
        fields
    }

    /// Each mapping of the list behind a key, decoded.
    pub(crate) fn objects<T>(&self, key: &str, decode: impl Fn(&Fields<'a>) -> T) -> Vec<T> {
        let mut decoded = Vec::new();
        for (index, item) in self.node(key).into_iter().flat_map(Node::items).enumerate() {
            match Self::of(item, format!("{}[{index}]", self.inner(key)), self.problems) {
                Some(fields) => decoded.push(decode(&fields)),
                None => self.wrong(key, item, "a list of mappings"),
            }
        }
        decoded
    }

    /// The nodes behind the names of the mapping behind a key, sorted by name.
    pub(crate) fn named(&self, key: &str) -> Vec<(&'a str, &'a Entry)> {
        let mut entries: Vec<_> = self.node(key).into_iter().flat_map(Node::entries).collect();
        entries.sort_unstable_by_key(|(name, _)| *name);
        entries
    }

    /// Keys starting with `x-`.
    pub(crate) fn extensions(&self) -> Extensions {
        let mut extensions: Extensions = self
            .mapping
            .iter()
            .filter(|(key, _)| key.starts_with("x-"))
            .map(|(key, entry)| (key.to_owned(), extensions::to_json(&entry.value)))
            .collect();
        extensions.sort_unstable_keys();
        extensions
    }

    /// The path of an attribute in here.
    pub(crate) fn inner(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong(&self, key: &str, node: &Node, wanted: &str) {
        self.problems.push(
            Diagnostic::error("wrong-type", format!("{} must be {wanted}", self.inner(key)))
                .at(node.span, format!("this is {}", node.kind())),
        );
    }

    fn unreadable(&self, key: &str, node: &Node, what: &str, reason: &str) {
        self.problems.push(
            Diagnostic::error("bad-value", format!("{} is no {what}: {reason}", self.inner(key)))
                .at(node.span, ""),
        );
    }
}

/// What Compose makes of names starting with `x-` among names of the user's choice: it takes them for extensions,
/// sets them aside under a name of its own, and prints that as any other value.
fn set_aside(entries: &[(&str, &Entry)]) -> Option<(String, Option<String>)> {
    let mut texts: Vec<String> = entries
        .iter()
        .map(|(name, entry)| {
            format!("{name}:{}", entry.value.value.scalar_text().unwrap_or_else(|| "<nil>".to_owned()))
        })
        .collect();
    texts.sort();
    (!texts.is_empty()).then(|| ("#extensions".to_owned(), Some(format!("map[{}]", texts.join(" ")))))
}

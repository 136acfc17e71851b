//! What a value of the language may be, and the check of a file's values against it.

use crate::{
    compose::{
        casts,
        tree::{Node, Value},
        units,
    },
    diagnostic::{Diagnostic, did_you_mean},
};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `true` or `false`.
    Bool,
    /// Any text; a number is written out.
    Text,
    /// `1m30s`.
    Duration,
    /// `20GiB`.
    Size,
    /// `all`, `any`, a number, or a percentage.
    Share,
    /// A number above 0, and at most 1.
    Fraction,
    /// A whole number in a range.
    Whole(i64, i64),
    /// One of a few words.
    Word(&'static [&'static str]),
    /// Anything.
    Any,
    /// A list.
    List(&'static Shape),
    /// A mapping with names of the user's own.
    Map(&'static Shape),
    /// A mapping with these keys.
    Object(&'static [Key]),
    /// The first of these that fits the kind of value.
    OneOf(&'static [Shape]),
}

/// A key of the language.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// As it is written.
    pub(super) name: &'static str,
    /// What stands behind it.
    pub(super) shape: Shape,
    /// For the schema, in one line.
    pub(super) doc: &'static str,
    /// Read and checked, and not acted on by this version: the user is told.
    pub(super) is_later: bool,
}

impl Key {
    pub(super) const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, doc, is_later: false }
    }

    pub(super) const fn later(mut self) -> Self {
        self.is_later = true;
        self
    }
}

/// Checks a value and everything in it; what passes can be read without further checks.
pub(super) fn check(node: &Node, shape: &Shape, path: &str, found: &mut Vec<Diagnostic>) {
    let wrong = |found: &mut Vec<Diagnostic>, why: String| {
        let message = format!("{path} must be {}", wanted(shape));
        found.push(Diagnostic::error("wrong-value", message).at(node.span, why));
    };
    match shape {
        Shape::OneOf(shapes) => match shapes.iter().find(|shape| fits(node, shape)) {
            Some(shape) => check(node, shape, path, found),
            None => wrong(found, format!("this is {}", node.kind())),
        },
        _ if !fits(node, shape) => wrong(found, format!("this is {}", node.kind())),
        Shape::List(item) => {
            for (index, node) in node.items().enumerate() {
                check(node, item, &format!("{path}[{index}]"), found);
            }
        }
        Shape::Map(value) => {
            for (key, entry) in node.entries() {
                check(&entry.value, value, &format!("{path}.{key}"), found);
            }
        }
        Shape::Object(keys) => check_object(node, keys, path, found),
        Shape::Bool => {
            if boolean(node).is_none() {
                wrong(found, String::new());
            }
        }
        Shape::Whole(least, most) => {
            if whole(node).is_none_or(|n| n < *least || n > *most) {
                wrong(found, String::new());
            }
        }
        Shape::Word(words) => {
            let text = node.value.scalar_text().unwrap_or_default();
            if !words.contains(&text.as_str()) {
                let mut problem =
                    Diagnostic::error("wrong-value", format!("{path} must be {}", wanted(shape)))
                        .at(node.span, "");
                if let Some(near) = did_you_mean(&text, words.iter().copied()) {
                    problem = problem.help(format!("did you mean `{near}`?"));
                }
                found.push(problem);
            }
        }
        Shape::Duration => {
            if let Err(why) = units::duration(&text(node)) {
                wrong(found, why);
            }
        }
        Shape::Size => {
            if let Err(why) = units::bytes(&text(node)) {
                wrong(found, why);
            }
        }
        Shape::Share => {
            if let Err(why) = share(&text(node)) {
                wrong(found, why);
            }
        }
        Shape::Fraction => {
            if fraction(node).is_none() {
                wrong(found, String::new());
            }
        }
        Shape::Text | Shape::Any => {}
    }
}

fn check_object(node: &Node, keys: &[Key], path: &str, found: &mut Vec<Diagnostic>) {
    for (name, entry) in node.entries() {
        let Some(key) = keys.iter().find(|key| key.name == name) else {
            let problem = Diagnostic::error("unknown-attribute", format!("{path} has no attribute `{name}`"))
                .at(entry.key, "");
            let help = if let Some(near) = did_you_mean(name, keys.iter().map(|key| key.name)) {
                format!("did you mean `{near}`?")
            } else {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                format!("it has {}", names.join(", "))
            };
            found.push(problem.help(help));
            continue;
        };
        if entry.value.is_null() {
            continue;
        }
        check(&entry.value, &key.shape, &format!("{path}.{name}"), found);
        if key.is_later {
            found.push(
                Diagnostic::warning("not-acted-on", format!("{path}.{name} is not acted on yet"))
                    .at(entry.key, "this version only checks how it is written"),
            );
        }
    }
}

/// Whether the kind of value is right, whatever it says.
fn fits(node: &Node, shape: &Shape) -> bool {
    let is_scalar = !matches!(node.value, Value::Null | Value::Sequence(_) | Value::Mapping(_));
    match shape {
        Shape::Any => true,
        Shape::Bool => boolean(node).is_some(),
        Shape::Whole(..) => whole(node).is_some(),
        Shape::Text | Shape::Duration | Shape::Size | Shape::Share | Shape::Fraction | Shape::Word(_) => {
            is_scalar
        }
        Shape::List(_) => node.as_sequence().is_some(),
        Shape::Map(_) | Shape::Object(_) => node.as_mapping().is_some(),
        Shape::OneOf(shapes) => shapes.iter().any(|shape| fits(node, shape)),
    }
}

/// What is wanted, as messages say it.
fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Text => "text".to_owned(),
        Shape::Duration => "a duration such as `1m30s`".to_owned(),
        Shape::Size => "a size such as `20GiB`".to_owned(),
        Shape::Share => "`all`, `any`, a number such as `2`, or a percentage such as `80%`".to_owned(),
        Shape::Fraction => "a number above 0 and at most 1, such as `0.75`".to_owned(),
        Shape::Whole(least, most) if *most == i64::from(u32::MAX) => {
            format!("a whole number from {least} on")
        }
        Shape::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Shape::Word(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("one of {}", words.join(", "))
        }
        Shape::Any => "anything".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Map(_) | Shape::Object(_) => "a mapping".to_owned(),
        Shape::OneOf(shapes) => {
            let shapes: Vec<String> = shapes.iter().map(wanted).collect();
            shapes.join(" or ")
        }
    }
}

/// A scalar as text.
pub(super) fn text(node: &Node) -> String {
    node.value.scalar_text().unwrap_or_default()
}

/// A boolean, also one that came out of a variable.
pub(super) fn boolean(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => casts::boolean(text).map(casts::Parsed::value),
        _ => None,
    }
}

/// A whole number, also one that came out of a variable.
pub(super) fn whole(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Int(number) => Some(*number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A number above 0 and at most 1.
pub(super) fn fraction(node: &Node) -> Option<f64> {
    text(node).parse().ok().filter(|part| *part > 0.0 && *part <= 1.0)
}

/// Reads `all`, `any`, `2`, `75%`.
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn share(text: &str) -> Result<crate::project::Require, String> {
    use crate::project::Require;
    match text {
        "all" => return Ok(Require::All),
        "any" => return Ok(Require::Any),
        _ => {}
    }
    match text.strip_suffix('%') {
        Some(percent) => match percent.trim().parse::<u8>() {
            Ok(percent @ 1..=100) => Ok(Require::Percent(percent)),
            Ok(_) | Err(_) => Err("a percentage goes from 1% to 100%".to_owned()),
        },
        None => match text.parse::<u32>() {
            Ok(0) => Err("at least 1".to_owned()),
            Ok(count) => Ok(Require::Count(count)),
            Err(_) => Err(String::new()),
        },
    }
}

//! A tree held against the table.

use super::{
    file::FILE,
    shape::{List, Object, Others, Shape, Texts},
};
use crate::{
    compose::tree::{Node, TreePath, Value},
    diagnostic::{Diagnostic, did_you_mean},
};

/// Every place where the tree has not the shape of a Compose file.
pub(crate) fn validate(tree: &Node) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    check(tree, &FILE, &TreePath::root(), &mut problems);
    problems
}

fn check(node: &Node, shape: &Shape, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    let fits = match &node.value {
        _ if shape.is_anything() => true,
        Value::Null => shape.takes_null(),
        Value::Bool(_) => shape.takes_boolean(),
        Value::Int(_) | Value::UInt(_) => {
            range(node, shape, path, problems);
            shape.takes_integer()
        }
        Value::Float(number) => {
            range(node, shape, path, problems);
            shape.takes_number() || (shape.takes_integer() && number.fract() == 0.0)
        }
        Value::String(text) if shape.takes_text() => {
            check_text(node, text, shape, path, problems);
            true
        }
        Value::Time(_) | Value::String(_) => false,
        Value::Sequence(items) => match shape.list {
            Some(list) => {
                check_items(items, list, path, problems);
                true
            }
            None => false,
        },
        Value::Mapping(_) => match shape.mapping {
            Some(object) => {
                check_mapping(node, object, path, problems);
                true
            }
            None => false,
        },
    };
    if !fits {
        let error = Diagnostic::error("wrong-type", format!("{} must be {}", shown(path), shape.wanted()))
            .at(node.span, format!("this is {}", node.kind()));
        let could_be_text = !node.is_null() && node.value.scalar_text().is_some() && shape.takes_text();
        problems.push(if could_be_text { error.help("put it between quotes") } else { error });
    }
}

fn shown(path: &TreePath) -> String {
    if path.parts().is_empty() { "the file".to_owned() } else { path.to_string() }
}

fn range(node: &Node, shape: &Shape, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    let Some((least, most)) = shape.range else { return };
    #[expect(clippy::cast_precision_loss, reason = "the bounds are small, or no bounds")]
    let fits = match node.value {
        Value::Int(number) => (least..=most).contains(&number),
        Value::UInt(_) => most == i64::MAX,
        Value::Float(number) => number >= least as f64 && (number <= most as f64 || most == i64::MAX),
        _ => true,
    };
    if fits {
        return;
    }
    let wanted =
        if most == i64::MAX { format!("at least {least}") } else { format!("from {least} to {most}") };
    problems.push(
        Diagnostic::error("out-of-range", format!("{path} must be {wanted}"))
            .at(node.span, format!("this is {}", node.value.scalar_text().unwrap_or_default())),
    );
}

fn check_text(node: &Node, text: &str, shape: &Shape, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    match shape.texts {
        Texts::Any => {}
        Texts::OneOf(texts) if texts.contains(&text) => {}
        Texts::OneOf(texts) => {
            let listed: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
            let diagnostic = Diagnostic::error(
                "unknown-value",
                format!("{path} must be {}", listed.join(" or ").as_str()),
            )
            .at(node.span, "");
            problems.push(suggest(diagnostic, text, texts.iter().copied()));
        }
        Texts::Checked(accepts, wanted) => {
            if !accepts(text) {
                problems.push(
                    Diagnostic::error("unknown-value", format!("{path} cannot be `{text}`"))
                        .at(node.span, format!("expected {wanted}")),
                );
            }
        }
    }
}

fn check_items(items: &[Node], list: &List, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    for (index, item) in items.iter().enumerate() {
        check(item, list.item, &path.index(index), problems);
    }
    if !list.unique {
        return;
    }
    for (index, item) in items.iter().enumerate() {
        if let Some(earlier) = items[..index].iter().find(|earlier| same(earlier, item)) {
            problems.push(
                Diagnostic::error("repeated-item", format!("{path} has the same item twice"))
                    .at(item.span, "this one")
                    .at(earlier.span, "is here already")
                    .help("remove one of the two"),
            );
        }
    }
}

/// Whether two values are equal, wherever they stand.
fn same(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Sequence(a), Value::Sequence(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Mapping(a), Value::Mapping(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, entry)| b.get(key).is_some_and(|other| same(&entry.value, other)))
        }
        (a, b) => a == b,
    }
}

fn check_mapping(node: &Node, object: &Object, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    for (key, entry) in node.entries() {
        let inner = path.key(key);
        if let Some((_, shape)) = object.fields.iter().find(|(name, _)| *name == key) {
            check(&entry.value, shape, &inner, problems);
        } else if let Some((_, shape)) = object.named.filter(|(accepts, _)| accepts(key)) {
            check(&entry.value, shape, &inner, problems);
        } else if object.extensions && key.starts_with("x-") {
            check(&entry.value, &super::shape::ANYTHING, &inner, problems);
        } else if object.others == Others::Refused {
            problems.push(unknown(key, entry.key, object, path));
        }
    }
    for name in object.required {
        if node.get(name).is_none() {
            problems.push(
                Diagnostic::error("missing-attribute", format!("{path} has no `{name}`"))
                    .at(node.span, format!("`{name}` is required here")),
            );
        }
    }
}

fn unknown(key: &str, span: crate::diagnostic::Span, object: &Object, path: &TreePath) -> Diagnostic {
    if object.named.is_some() {
        return Diagnostic::error("bad-name", format!("`{key}` is no name for an entry of {}", shown(path)))
            .at(span, "letters, digits, `.`, `_` and `-` make a name");
    }
    let message = if path.parts().is_empty() {
        format!("unknown attribute `{key}`")
    } else {
        format!("unknown attribute `{key}` in {path}")
    };
    let diagnostic = Diagnostic::error("unknown-attribute", message).at(span, "");
    suggest(diagnostic, key, object.fields.iter().map(|(name, _)| *name))
}

fn suggest(diagnostic: Diagnostic, written: &str, known: impl Iterator<Item = &'static str>) -> Diagnostic {
    match did_you_mean(written, known) {
        Some(name) => diagnostic.help(format!("did you mean `{name}`?")),
        None => diagnostic,
    }
}

//! The variables that a tree asks for, with what stands in for them.

use std::{collections::BTreeMap, sync::LazyLock};

use regex::Regex;

use super::{
    interpolate::closing,
    limits,
    tree::{Node, Value},
};

/// `$$`, `$NAME`, `${NAME…}` up to the last brace of the line, or a `${` that is none of them.
#[expect(clippy::unwrap_used, reason = "the pattern is a constant, compiled by the tests")]
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    let name = "[_a-zA-Z][_a-zA-Z0-9]*";
    Regex::new(&format!(
        r"\$(?:(?P<escaped>\$)|(?P<named>{name})|\{{(?:(?P<braced>{name}(?::?[-+?].*)?)\}})?)"
    ))
    .unwrap()
});

/// What a file says about a variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variable {
    /// Its value where it is not set.
    pub default: String,
    /// What takes the place of its value where it is set.
    pub alternate: String,
    /// Whether it must be set.
    pub required: bool,
}

/// Every variable of a tree that is not interpolated; of one that is asked for several times, what the last place
/// says. What looks like a variable and is none stands under the empty name, as in Compose.
pub fn variables(tree: &Node) -> BTreeMap<String, Variable> {
    let mut found = BTreeMap::new();
    collect(tree, &mut found);
    found
}

fn collect(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.value {
        Value::String(text) => of_text(text, 0, found),
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Mapping(entries) => entries.iter().for_each(|(_, entry)| collect(&entry.value, found)),
        _ => {}
    }
}

/// The line's last brace may close a later expression: what stands behind the first one is looked at before it, as
/// in Compose. A stack of its own, so that a long line does not fill the program's.
fn of_text(text: &str, depth: usize, found: &mut BTreeMap<String, Variable>) {
    // What is nested deeper is refused by everything that looks at values.
    if depth > limits::EXPRESSION_DEPTH {
        return;
    }
    let mut outer: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    loop {
        let Some(parts) = VARIABLE.captures(rest) else {
            let Some((expression, behind)) = outer.pop() else { return };
            of_expression(expression, depth, found);
            rest = behind;
            continue;
        };
        let (start, end) = parts.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()));
        let (whole, behind) = (&rest[start..end], &rest[end..]);
        rest = behind;
        if parts.name("escaped").is_some() {
            continue;
        }
        let Some(braced) = whole.strip_prefix("${") else {
            let name = parts.name("named").map_or("", |name| name.as_str());
            found.insert(name.to_owned(), Variable::default());
            continue;
        };
        if let Some(closed) = closing(braced) {
            outer.push((&braced[..closed], behind));
            rest = &braced[closed + 1..];
        } else {
            of_expression(parts.name("braced").map_or("", |braced| braced.as_str()), depth, found);
        }
    }
}

/// `NAME`, or a name with an operator and its word.
fn of_expression(expression: &str, depth: usize, found: &mut BTreeMap<String, Variable>) {
    let end = expression.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let (name, rest) = expression.split_at(end.unwrap_or(expression.len()));
    let operation = rest.strip_prefix(':').unwrap_or(rest);
    let word = operation.get(1..).unwrap_or_default();
    let variable = match operation.chars().next() {
        Some('-') => Variable { default: word.to_owned(), ..Variable::default() },
        Some('+') => Variable { alternate: word.to_owned(), ..Variable::default() },
        Some('?') => Variable { required: true, ..Variable::default() },
        _ => Variable::default(),
    };
    let inner = format!("{}{}", variable.default, variable.alternate);
    found.insert(name.to_owned(), variable);
    of_text(&inner, depth + 1, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compose::yaml, diagnostic::SourceMap};

    fn shown(text: &str) -> String {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", text);
        let tree = yaml::documents(file, &sources).unwrap().remove(0);
        let show = |(name, variable): (&String, &Variable)| {
            let required = if variable.required { "!" } else { "" };
            format!("{name}{required}[{}|{}]", variable.default, variable.alternate)
        };
        variables(&tree).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_variable_is_found_with_what_stands_in_for_it() {
        let cases = [
            ("a: ${A} $B $$C", "A[|] B[|]"),
            ("a: ${A:-x} ${B-y} ${C:+z} ${D+w}", "A[x|] B[y|] C[|z] D[|w]"),
            ("a: ${A:?m} ${B?m$C}", "A![|] B![|]"),
            ("a: ${A:-x:${B-1}}", "A[x:${B-1}|] B[1|]"),
            ("a: [{b: '${A:+${B}}'}]", "A[|${B}] B[|]"),
            ("a: ${1}", "[|]"),
            ("a: 1", ""),
            ("a: '${B:-1} $B ${B:-2}'", "B[1|]"),
            ("a: '${E:-1} ${F:-2} ${E:-3} $E'", "E[|] F[2|]"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn long_lines_and_deep_words_fill_no_stack() {
        assert_eq!(shown(&format!("a: '{}'", "${A:-x}".repeat(1000))), "A[x|]");
        assert!(shown(&format!("a: '{}{}'", "${A:-".repeat(1000), "}".repeat(1000))).starts_with("A["));
    }
}

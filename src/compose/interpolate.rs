//! `${…}` in values: every operator of the Compose specification, replaced before values get their types.
//!
//! Keys are never replaced. An operator's word is itself replaced, whether it is used or not.

use super::{
    limits,
    source::Environment,
    tree::{Node, TreePath, Value},
};
use crate::diagnostic::{Diagnostic, SourceMap, Span, did_you_mean};

/// Replaces in every text of a tree; returns what is wrong, and a warning for each variable that is not set.
pub fn interpolate(node: &mut Node, environment: &Environment, sources: &SourceMap) -> Vec<Diagnostic> {
    let mut tree = Tree { environment, sources, diagnostics: Vec::new(), replaced: 0 };
    tree.node(node, &TreePath::root());
    tree.diagnostics
}

/// Why a text could not be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// `${` that is no variable.
    Invalid,
    /// The result would be longer than [`limits::VALUE_BYTES`].
    TooLong,
    /// A variable that `:?` or `?` demands.
    Required {
        /// Its name.
        name: String,
        /// What the file says about it; may be empty.
        reason: String,
    },
}

/// Replaces `$NAME` and `${NAME…}` in a text. Names that were looked up without a default and not found are added
/// to `unset`.
pub(super) fn substitute(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, TemplateError> {
    replace(text, lookup, unset, 0)
}

fn replace(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
    depth: usize,
) -> Result<String, TemplateError> {
    if depth > limits::EXPRESSION_DEPTH {
        return Err(TemplateError::Invalid);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some(braced) = after.strip_prefix('{') {
            let expression = Expression::parse(braced).ok_or(TemplateError::Invalid)?;
            out.push_str(&expression.value(lookup, unset, depth)?);
            rest = &braced[expression.length..];
        } else {
            let name = name(after);
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&plain(name, lookup, unset));
            }
            rest = &after[name.len()..];
        }
        if out.len() > limits::VALUE_BYTES.max(text.len()) {
            return Err(TemplateError::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `NAME}` or `NAME:-word}`, without the `${` before it.
struct Expression<'a> {
    name: &'a str,
    operation: Option<(char, bool, &'a str)>,
    length: usize,
}

impl<'a> Expression<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let name = name(text);
        let after = &text[name.len()..];
        if name.is_empty() {
            return None;
        }
        if after.starts_with('}') {
            return Some(Self { name, operation: None, length: name.len() + 1 });
        }
        let colon = after.starts_with(':');
        let operator =
            after[usize::from(colon)..].chars().next().filter(|found| matches!(found, '-' | '+' | '?'))?;
        let word_start = name.len() + usize::from(colon) + 1;
        // Without a matching brace the last one of the line closes; none at all is a mistake.
        let line = text.split('\n').next().unwrap_or(text);
        let last = line.rfind('}').filter(|last| *last >= word_start)?;
        let end = closing(&line[..=last]).unwrap_or(last);
        Some(Self { name, operation: Some((operator, colon, &text[word_start..end])), length: end + 1 })
    }

    fn value(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
        unset: &mut Vec<String>,
        depth: usize,
    ) -> Result<String, TemplateError> {
        let Some((operator, colon, word)) = self.operation else {
            return Ok(plain(self.name, lookup, unset));
        };
        let word = replace(word, lookup, unset, depth + 1)?;
        let value = lookup(self.name);
        let counts = value.as_ref().is_some_and(|value| !colon || !value.is_empty());
        match (operator, counts) {
            ('-', false) | ('+', true) => Ok(word),
            ('?', false) => Err(TemplateError::Required { name: self.name.to_owned(), reason: word }),
            _ => Ok(value.unwrap_or_default()),
        }
    }
}

/// Where the brace that was opened before `text` closes, counting the ones within.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    let mut after_brace = false;
    // The character after an opening brace is not looked at, as in Docker Compose: `{}` opens one.
    for (index, letter) in text.char_indices() {
        match letter {
            _ if after_brace => after_brace = false,
            '}' => {
                open -= 1;
                if open == 0 {
                    return Some(index);
                }
            }
            '{' => {
                open += 1;
                after_brace = true;
            }
            _ => {}
        }
    }
    None
}

fn plain(name: &str, lookup: &dyn Fn(&str) -> Option<String>, unset: &mut Vec<String>) -> String {
    lookup(name).unwrap_or_else(|| {
        unset.push(name.to_owned());
        String::new()
    })
}

/// The variable's name that a text begins with; empty where it begins with none.
fn name(text: &str) -> &str {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return "";
    }
    let end =
        text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

struct Tree<'a> {
    environment: &'a Environment,
    sources: &'a SourceMap,
    diagnostics: Vec<Diagnostic>,
    /// Bytes of the texts that were replaced.
    replaced: usize,
}

impl Tree<'_> {
    fn node(&mut self, node: &mut Node, path: &TreePath) {
        match &mut node.value {
            Value::String(text) if text.contains('$') => self.text(text, node.span, path),
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &path.index(index));
                }
            }
            Value::Mapping(mapping) => {
                for (key, entry) in mapping.iter_mut() {
                    self.node(&mut entry.value, &path.key(key));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &mut String, at: Span, path: &TreePath) {
        let mut unset = Vec::new();
        let lookup = |name: &str| self.environment.get(name).map(str::to_owned);
        let replaced = if self.replaced > limits::REPLACED_BYTES {
            Err(TemplateError::TooLong)
        } else {
            substitute(text, &lookup, &mut unset)
        };
        for name in unset {
            let warned = format!("the variable `{name}` is not set; it becomes an empty text");
            if self.diagnostics.iter().any(|known| known.message == warned) {
                continue;
            }
            let known = self.environment.0.keys().map(String::as_str);
            let help = did_you_mean(&name, known).map_or_else(
                || format!("give it a default: `${{{name}:-…}}`"),
                |near| format!("did you mean `{near}`?"),
            );
            let warning = Diagnostic::warning("unset-variable", warned);
            self.diagnostics.push(warning.at(self.variable(&name, at), "").help(help));
        }
        match replaced {
            Ok(replaced) => {
                self.replaced += replaced.len();
                *text = replaced;
            }
            Err(TemplateError::TooLong) => self.diagnostics.push(
                Diagnostic::error(
                    "text-too-long",
                    format!("variables make `{path}` or this whole file too long"),
                )
                .at(at, format!("at most {} MiB a text", limits::VALUE_BYTES >> 20))
                .help("look for variables whose values are made of each other"),
            ),
            Err(TemplateError::Invalid) => self.diagnostics.push(
                Diagnostic::error(
                    "interpolation-syntax",
                    format!("`{path}` has a `${{` that is no variable"),
                )
                .at(at, "")
                .help("write `$$` where a dollar sign is meant"),
            ),
            Err(TemplateError::Required { name, reason }) => {
                let colon = if reason.is_empty() { "" } else { ": " };
                self.diagnostics.push(
                    Diagnostic::error(
                        "required-variable",
                        format!("the variable `{name}` must be set{colon}{reason}"),
                    )
                    .at(self.variable(&name, at), "")
                    .help(format!("set it in the environment or in the `.env` file: {name}=…")),
                );
            }
        }
    }

    /// The place of a variable within the text it stands in; the whole text where it cannot be told.
    fn variable(&self, name: &str, at: Span) -> Span {
        let text = self.sources.text(at.file).get(at.start as usize..at.end as usize).unwrap_or("");
        let found = [format!("${{{name}"), format!("${name}")].into_iter().find_map(|written| {
            let start = text.find(&written)?;
            Some((start, written.len()))
        });
        let Some((start, length)) = found else { return at };
        let byte = |offset: usize| at.start + u32::try_from(offset).unwrap_or(0);
        Span { file: at.file, start: byte(start), end: byte(start + length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, TemplateError> {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        substitute(text, &lookup, &mut Vec::new())
    }

    #[test]
    fn every_operator_with_set_empty_and_unset() {
        let cases = [
            ("$%", ["value", "", ""]),
            ("${%}", ["value", "", ""]),
            ("${%:-w}", ["value", "w", "w"]),
            ("${%-w}", ["value", "", "w"]),
            ("${%:+w}", ["w", "", ""]),
            ("${%+w}", ["w", "w", ""]),
            ("${%:?w}", ["value", "!w", "!w"]),
            ("${%?w}", ["value", "", "!w"]),
        ];
        for (form, expected) in cases {
            for (name, expected) in ["SET", "EMPTY", "UNSET"].into_iter().zip(expected) {
                let shown = match run(&form.replace('%', name)) {
                    Ok(text) => text,
                    Err(TemplateError::Required { reason, .. }) => format!("!{reason}"),
                    Err(TemplateError::Invalid | TemplateError::TooLong) => "invalid".to_owned(),
                };
                assert_eq!(shown, expected, "{form} {name}");
            }
        }
    }

    #[test]
    fn words_nest_and_the_first_operator_wins() {
        let cases = [
            ("${U:-${V:-x}-y}", "x-y"),
            ("${U:-a?b}", "a?b"),
            ("${U-b:-c}", "b:-c"),
            ("${U:-$$}", "$"),
            ("${U:-x} ${SET}", "x value"),
            ("${U:-{}}", "{}"),
            ("a $$SET ${SET}b", "a $SET valueb"),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_dollars_stay() {
        for text in ["$", "a$", "$1", "$-", "$ x", "$é"] {
            assert_eq!(run(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn broken_expressions_are_refused() {
        for text in ["${}", "${a b}", "${A:x}", "${A", "${A:-x", "${1}", "${U:-a\nb}"] {
            assert_eq!(run(text), Err(TemplateError::Invalid), "{text}");
        }
        assert_eq!(run(&"${A:-".repeat(100_000)), Err(TemplateError::Invalid));
        assert_eq!(run(&format!("{}{}", "${A:-".repeat(200), "}".repeat(200))), Err(TemplateError::Invalid));
    }
}

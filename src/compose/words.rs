//! A command line as one text, split into words as Compose splits it.
//!
//! It is neither a shell nor POSIX: `$(…)` and backquotes hold words together and stay as they are, and everything from an unquoted `;`, `&`, `|`, `<` or `>` on is dropped.

/// Why a text cannot be split: a quote, a bracket or an escape is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unbalanced;

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each kind of quote opens and closes on its own")]
struct State {
    double: bool,
    single: bool,
    back: bool,
    dollar: bool,
}

impl State {
    fn is_quoted(&self) -> bool {
        self.double || self.single || self.back || self.dollar
    }
}

/// The words of a command line.
pub(crate) fn split(text: &str) -> Result<Vec<String>, Unbalanced> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut state = State::default();
    let mut escaped = false;
    for character in text.chars() {
        if escaped {
            escaped = false;
            word.get_or_insert_default().push(character);
            continue;
        }
        match character {
            '\\' if !state.single => {
                escaped = true;
                continue;
            }
            ' ' | '\t' | '\r' | '\n' if !state.is_quoted() => {
                words.extend(word.take());
                continue;
            }
            '"' if !state.single && !state.dollar => {
                state.double = !state.double;
                word.get_or_insert_default();
                continue;
            }
            '\'' if !state.double && !state.dollar => {
                state.single = !state.single;
                word.get_or_insert_default();
                continue;
            }
            '`' if !state.single && !state.double && !state.dollar => state.back = !state.back,
            ')' if !state.single && !state.double && !state.back => state.dollar = !state.dollar,
            '(' if !state.single && !state.double && !state.back => {
                let behind_dollar = word.as_deref().is_some_and(|word| word.ends_with('$'));
                if state.dollar || !behind_dollar {
                    return Err(Unbalanced);
                }
                state.dollar = true;
            }
            ';' | '&' | '|' | '<' | '>' if !state.is_quoted() => {
                // `2>` names a file descriptor, which is dropped with what follows.
                if character == '>'
                    && word.as_deref().is_some_and(|w| w.starts_with(|c: char| c.is_ascii_digit()))
                {
                    word = None;
                }
                break;
            }
            _ => {}
        }
        word.get_or_insert_default().push(character);
    }
    if escaped || state.is_quoted() {
        return Err(Unbalanced);
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_split_as_compose_splits_them() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("sleep  600", &["sleep", "600"]),
            (r#"sh -c "echo 'a b'""#, &["sh", "-c", "echo 'a b'"]),
            (r#"a '' "" b"#, &["a", "", "", "b"]),
            (r"a\ b c\nd", &["a b", "cnd"]),
            ("a && b", &["a"]),
            ("a 2>x", &["a"]),
            ("echo $(date +%s) x", &["echo", "$(date +%s)", "x"]),
            (r"'a\b'", &[r"a\b"]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).expect(text), words, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for text in ["a 'b", "a \"b", "a (b)", r"a\", "a `b"] {
            assert_eq!(split(text), Err(Unbalanced), "{text}");
        }
    }
}

//! What must not stand in a record: the values of secrets, hidden wherever they turn up in text.

use regex::Regex;
use serde_json::Value;

/// Stands where a secret was.
pub(super) const MASK: &str = "***";
/// A shorter value turns up everywhere by chance: to hide it would hide everything else.
const SHORTEST: usize = 4;
/// A line of a longer secret, a key in a certificate say, is hidden by itself where it is at least this long.
const SHORTEST_LINE: usize = 8;
/// More than all secrets of a project come to.
const MOST: usize = 10_000;

/// Hides values. The default hides none.
#[derive(Debug, Clone, Default)]
pub struct Mask(Option<Regex>);

impl Mask {
    /// Hides these values, and their lines.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hidden: Vec<&str> = Vec::new();
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() >= SHORTEST {
                hidden.push(secret);
                hidden.extend(secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE));
            }
        }
        // The longest first: no end of a secret is left beside what hides its beginning.
        hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
        hidden.dedup();
        hidden.truncate(MOST);
        if hidden.is_empty() {
            return Self(None);
        }
        let any: Vec<String> = hidden.into_iter().map(regex::escape).collect();
        let regex = regex::RegexBuilder::new(&any.join("|")).size_limit(1 << 28).build();
        Self(Some(regex.unwrap_or_else(|_| everything())))
    }

    /// The text with what must not stand in it replaced.
    pub fn text(&self, text: &mut String) {
        if let Some(regex) = &self.0
            && regex.is_match(text)
        {
            *text = regex.replace_all(text, MASK).into_owned();
        }
    }

    /// The same for every text in a value that is no key, and no name of anything.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(entries) => {
                let named = entries.iter_mut().filter(|(key, _)| *key != "name");
                named.for_each(|(_, value)| self.value(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Secrets that no expression can be made of: then nothing is shown.
fn everything() -> Regex {
    Regex::new("(?s).+").expect("this expression is one")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn masked(mask: &Mask, text: &str) -> String {
        let mut text = text.to_owned();
        mask.text(&mut text);
        text
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand_the_longest_first() {
        let mask = Mask::new(["hunter2", "hunter2-and-more\n", "a+b(c", "abc", ""]);
        for (text, shown) in [
            ("login hunter2!", "login ***!"),
            ("hunter2-and-more", "***"),
            ("xhunter2hunter2", "x******"),
            ("a+b(c", "***"),
            ("abc stays: it is too short", "abc stays: it is too short"),
        ] {
            assert_eq!(masked(&mask, text), shown);
        }
        assert_eq!(masked(&Mask::default(), "hunter2"), "hunter2");
        assert_eq!(masked(&Mask::new([" \n"]), "hunter2"), "hunter2");
    }

    #[test]
    fn the_lines_of_a_key_are_hidden_one_by_one() {
        let mask = Mask::new(["-----BEGIN-----\nMIIEvQIBADANBg\nAB\n-----END-----\n"]);
        assert_eq!(masked(&mask, "read MIIEvQIBADANBg, then AB"), "read ***, then AB");
    }

    #[test]
    fn values_are_hidden_at_any_depth_and_names_are_kept() {
        let mut value = json!({"name": "postgres", "checks": [{"detail": "user postgres", "n": 1}]});
        Mask::new(["postgres"]).value(&mut value);
        assert_eq!(value, json!({"name": "postgres", "checks": [{"detail": "user ***", "n": 1}]}));
    }
}

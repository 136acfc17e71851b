//! Files of `NAME=value` lines: `.env`, `--env-file`, `env_file`, `label_file`.

use indexmap::IndexMap;

use super::{
    interpolate::{TemplateError, substitute},
    limits,
};

/// What is wrong in such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DotenvError {
    /// Byte offset of the statement that is wrong.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a file into `variables`, over what is there. A value's `${…}` is looked up with `lookup`, then in
/// `variables`; a name without a value takes the one of `lookup`. Returns the names that were not set.
pub fn parse(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    variables: &mut IndexMap<String, String>,
) -> Result<Vec<String>, DotenvError> {
    let mut unset = Vec::new();
    let mut length = 0;
    let mut rest = text.trim_start_matches('\u{FEFF}');
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(unset);
        }
        if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        let offset = text.len() - rest.len();
        let wrong = |message: String| DotenvError { offset, message };
        let key = Key::parse(rest).map_err(wrong)?;
        if key.inherited {
            if let Some(value) = lookup(key.name) {
                variables.insert(key.name.to_owned(), value);
            }
            rest = key.rest;
            continue;
        }
        let known = |name: &str| lookup(name).or_else(|| variables.get(name).cloned());
        let (value, after) = value(key.rest, &known, &mut unset).map_err(wrong)?;
        length += value.len();
        if length > limits::REPLACED_BYTES.max(text.len()) {
            return Err(wrong("variables of variables make this file too long".to_owned()));
        }
        variables.insert(key.name.to_owned(), value);
        rest = after;
    }
}

/// Reads a file of plain lines (`format: raw`): no quotes, no `${…}`; a name without `=` takes the value of
/// `lookup`.
pub fn parse_raw(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    variables: &mut IndexMap<String, String>,
) -> Result<(), DotenvError> {
    for line in text.trim_start_matches('\u{FEFF}').lines() {
        let statement = line.trim_start();
        if statement.is_empty() || statement.starts_with('#') {
            continue;
        }
        let (name, value) = match statement.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (statement, lookup(statement)),
        };
        let fault = if name.is_empty() {
            "a line has no name before `=`"
        } else if name.contains([' ', '\t']) {
            "a variable's name cannot contain a blank"
        } else {
            variables.extend(value.map(|value| (name.to_owned(), value)));
            continue;
        };
        let offset = statement.as_ptr().addr() - text.as_ptr().addr();
        return Err(DotenvError { offset, message: format!("{fault}: `{statement}`") });
    }
    Ok(())
}

struct Key<'a> {
    name: &'a str,
    /// A line of its own: the value comes from elsewhere.
    inherited: bool,
    rest: &'a str,
}

impl<'a> Key<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let text = match text.strip_prefix("export") {
            Some(after) if after.starts_with(char::is_whitespace) => after.trim_start_matches(is_blank),
            _ => text,
        };
        let end = text.find(|letter: char| !is_blank(letter) && !is_key_letter(letter));
        let line = text.lines().next().unwrap_or("").trim_end();
        let found = end.and_then(|end| text[end..].chars().next());
        let (name, inherited, rest) = match (end, found) {
            (Some(end), Some('=' | ':')) => (&text[..end], false, &text[end + 1..]),
            (Some(end), Some('\n')) => (&text[..end], true, &text[end + 1..]),
            (_, Some(other)) => return Err(format!("{other:?} cannot stand in a variable's name: `{line}`")),
            _ => (text, true, ""),
        };
        let name = name.trim_end();
        if name.contains(' ') {
            return Err(format!("a variable's name cannot contain a blank: `{line}`"));
        }
        Ok(Self { name, inherited, rest: rest.trim_start_matches(is_blank) })
    }
}

fn is_key_letter(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '[' | ']')
}

/// White space within a line.
fn is_blank(letter: char) -> bool {
    matches!(letter, '\t' | '\u{B}' | '\u{C}' | '\r' | ' ' | '\u{85}' | '\u{A0}')
}

/// A value and what stands behind it.
fn value<'a>(
    text: &'a str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<(String, &'a str), String> {
    let mut expand = |text: &str| substitute(text, lookup, unset).map_err(|error| explain(&error, text));
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        let written = line.split(" #").next().unwrap_or(line).trim_end();
        return Ok((expand(written)?, after));
    };
    let mut written = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((index, letter)) = letters.next() {
        if letter == quote {
            let after = &text[index + 1..];
            return Ok((if quote == '"' { expand(&unescape(&written))? } else { written }, after));
        }
        if letter != '\\' {
            written.push(letter);
            continue;
        }
        match letters.next() {
            Some((_, escaped)) if escaped == quote => written.push(quote),
            Some((_, escaped)) => written.extend(['\\', escaped]),
            None => {}
        }
    }
    Err(format!("the quotation mark is not closed: `{}`", text.lines().next().unwrap_or("").trim_end()))
}

fn explain(error: &TemplateError, text: &str) -> String {
    match error {
        TemplateError::Invalid => {
            format!("a `${{` is no variable, write `$$` where a dollar sign is meant: `{text}`")
        }
        TemplateError::TooLong => "variables of variables make this value too long".to_owned(),
        TemplateError::Required { name, reason } if reason.is_empty() => {
            format!("the variable `{name}` must be set")
        }
        TemplateError::Required { name, reason } => format!("the variable `{name}` must be set: {reason}"),
    }
}

/// The escapes of double quotes; `\$` becomes `$$`, which a later replacement turns into one dollar.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let after = &rest[slash + 1..];
        let Some(letter) = after.chars().next() else {
            out.push('\\');
            return out;
        };
        rest = &after[letter.len_utf8()..];
        match letter {
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{C}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\u{B}'),
            '\\' => out.push('\\'),
            '"' => out.push('"'),
            '$' => out.push_str("$$"),
            '0' => {
                let digits = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
                match u8::from_str_radix(&rest[..digits], 8) {
                    Ok(code) if digits == 3 => out.push(char::from(code)),
                    _ => {
                        out.push('\\');
                        out.push_str(&rest[..digits]);
                    }
                }
                rest = &rest[digits..];
            }
            other => out.extend(['\\', other]),
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, DotenvError> {
        let mut variables = IndexMap::new();
        let lookup = |name: &str| (name == "OUT").then(|| "outside".to_owned());
        parse(text, &lookup, &mut variables)?;
        Ok(variables.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn statements_are_read_as_compose_reads_them() {
        let cases = [
            ("A=1\nB: 2\nexport C = 3", r#"A="1" B="2" C="3""#),
            ("# c\n\n A=x # y\nB=a#b\r\n", r#"A="x" B="a#b""#),
            ("A=\nB=2", r#"A="" B="2""#),
            ("OUT\nNOT\n", r#"OUT="outside""#),
            ("A=\"x\ny\" \nB='a\\'b $A'", r#"A="x\ny" B="a'b $A""#),
            ("A='a'b\n", r#"A="a""#),
            (r#"A="\t\$X \0101 \q""#, r#"A="\t$X A \\q""#),
            ("A=1\nB=$A-${OUT}-${C:-3}", r#"A="1" B="1-outside-3""#),
            ("A=$$X", r#"A="$X""#),
            ("1A.b-[c]=x", r#"1A.b-[c]="x""#),
            ("\u{FEFF}A=1", r#"A="1""#),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn mistakes_are_located() {
        let cases = [("A=1\nB C=2", 4), ("A=\"x", 0), ("A=1\n\n%=2", 5), ("A=${", 0), ("A=${B:?no}", 0)];
        for (text, offset) in cases {
            assert_eq!(read(text).map_err(|error| error.offset), Err(offset), "{text:?}");
        }
    }

    #[test]
    fn names_that_are_not_set_are_told() {
        let mut variables = IndexMap::new();
        assert_eq!(parse("A=$B ${C:-x}", &|_| None, &mut variables), Ok(vec!["B".to_owned()]));
    }

    #[test]
    fn raw_lines_stay_as_they_are() {
        let mut variables = IndexMap::new();
        let lookup = |name: &str| (name == "OUT").then(|| "o".to_owned());
        parse_raw("A='$x' # y\n# c\nOUT\nNOT\n", &lookup, &mut variables).unwrap();
        assert_eq!(variables.get("A").map(String::as_str), Some("'$x' # y"));
        assert_eq!(variables.get("OUT").map(String::as_str), Some("o"));
        assert_eq!(variables.len(), 2);
        for (text, offset) in [("A=1\n  B C\n", 6), ("A =1", 0), ("=1", 0)] {
            let error = parse_raw(text, &lookup, &mut variables).unwrap_err();
            assert_eq!(error.offset, offset, "{text:?}");
        }
    }
}

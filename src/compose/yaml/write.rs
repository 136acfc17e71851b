//! YAML text of a model, laid out and quoted as Docker Compose writes it.
//!
//! Blocks throughout, lists indented below their keys, lines of any length. A text is written bare where it reads as
//! the same text again, as a literal block where it has several lines, and between quotes otherwise.

use serde_json::Value as Json;

use super::scalar;
use crate::compose::tree::{Value, go_float};

/// The text of a value, ending with a line break.
pub fn write(value: &Json) -> String {
    let mut text = String::new();
    block(value, 0, Place::Line, &mut text);
    text
}

/// What stands before a value on its line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing: the value begins the line.
    Line,
    /// A key and its colon.
    Key,
    /// The dash of a list.
    Dash,
}

fn block(value: &Json, indent: usize, place: Place, text: &mut String) {
    match value {
        Json::Object(fields) if !fields.is_empty() => {
            if place == Place::Key {
                text.push('\n');
            }
            for (position, (key, value)) in fields.iter().enumerate() {
                // Behind a dash the first key stands on the dash's own line.
                if place != Place::Dash || position > 0 {
                    text.push_str(&" ".repeat(indent));
                }
                if is_simple_key(key) {
                    text.push_str(&one_line(key));
                    text.push(':');
                    block(value, indent + 2, Place::Key, text);
                } else {
                    text.push_str("? ");
                    text.push_str(&string(key, indent + 2));
                    text.push('\n');
                    text.push_str(&" ".repeat(indent));
                    text.push_str(": ");
                    block(value, indent + 2, Place::Dash, text);
                }
            }
        }
        Json::Array(items) if !items.is_empty() => {
            if place == Place::Key {
                text.push('\n');
            }
            for (position, item) in items.iter().enumerate() {
                if place != Place::Dash || position > 0 {
                    text.push_str(&" ".repeat(indent));
                }
                text.push_str("- ");
                block(item, indent + 2, Place::Dash, text);
            }
        }
        _ => {
            if place == Place::Key {
                text.push(' ');
            }
            text.push_str(&leaf(value, indent));
            text.push('\n');
        }
    }
}

fn leaf(value: &Json, indent: usize) -> String {
    match value {
        Json::Object(_) => "{}".to_owned(),
        Json::Array(_) => "[]".to_owned(),
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => go_float(number),
            None => number.to_string(),
        },
        Json::String(text) => string(text, indent),
    }
}

/// Whether a key may stand before its colon; a longer one stands on lines of its own, behind a question mark.
fn is_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.contains('\n')
}

/// A text, in several lines where it has several.
fn string(text: &str, indent: usize) -> String {
    if text.contains('\n') && Layout::of(text).literal { literal(text, indent) } else { one_line(text) }
}

/// A text on one line: bare, or between quotes.
fn one_line(text: &str) -> String {
    let layout = Layout::of(text);
    if text.contains('\n') || !reads_as_text(text) {
        quoted(text)
    } else if layout.bare {
        text.to_owned()
    } else if layout.single {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        quoted(text)
    }
}

/// Whether the bare text is read as a text, by this program and by older ones.
fn reads_as_text(text: &str) -> bool {
    const OLD_BOOLEANS: [&str; 16] =
        ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off", "OFF"];
    matches!(scalar::resolve(text), Value::String(_))
        && text != "<<"
        && !OLD_BOOLEANS.contains(&text)
        && !is_sexagesimal(text)
}

/// `1:30`: a number to the base of sixty for older programs.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let starts = first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let sixty = |text: &str| match text.len() {
        1 => digits(text),
        2 => digits(text) && text.as_bytes()[0] < b'6',
        _ => false,
    };
    let Some((last, middle)) = rest.split_last() else { return false };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    starts
        && middle.iter().all(|part| sixty(part))
        && sixty(last)
        && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// How a text can be laid out.
struct Layout {
    bare: bool,
    single: bool,
    literal: bool,
}

impl Layout {
    fn of(text: &str) -> Self {
        let special = text.chars().any(|c| c != '\t' && c != '\n' && !is_printable(c));
        let blank_then_break = text.contains(" \n");
        let break_then_blank = text.contains("\n ");
        let hard = blank_then_break || special || text.contains('\t');
        let edges = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let single = !(hard || break_then_blank);
        Self {
            bare: single && !edges && !text.contains('\n') && !has_indicator(text),
            single,
            literal: !(blank_then_break || special || text.ends_with(' ')),
        }
    }
}

/// Whether a bare text would be read as something of YAML's own.
fn has_indicator(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let blank_behind = characters.peek().is_none_or(|next| next.is_whitespace());
        let indicator = match (character, before) {
            (
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`',
                None,
            ) => true,
            ('?' | '-', None) | (':', _) => blank_behind,
            ('#', Some(before)) => char::is_whitespace(before),
            _ => false,
        };
        if indicator {
            return true;
        }
        before = Some(character);
    }
    false
}

fn is_printable(character: char) -> bool {
    matches!(
        character,
        '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..
    ) && !matches!(character, '\u{2028}' | '\u{2029}')
}

/// A block of lines behind `|`.
fn literal(text: &str, indent: usize) -> String {
    let mut block = String::from("|");
    if text.starts_with([' ', '\n']) {
        block.push('2');
    }
    let body = text.strip_suffix('\n');
    match body {
        None => block.push('-'),
        Some(body) if body.is_empty() || body.ends_with('\n') => block.push('+'),
        Some(_) => {}
    }
    for line in body.unwrap_or(text).split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&" ".repeat(indent));
            block.push_str(line);
        }
    }
    block
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push_str("\\0"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            '\u{1b}' => quoted.push_str("\\e"),
            '\u{85}' => quoted.push_str("\\N"),
            '\u{2028}' => quoted.push_str("\\L"),
            '\u{2029}' => quoted.push_str("\\P"),
            _ if is_printable(character) => quoted.push(character),
            _ if u32::from(character) <= 0xff => {
                quoted.extend(format!("\\x{:02X}", u32::from(character)).chars());
            }
            _ => quoted.extend(format!("\\u{:04X}", u32::from(character)).chars()),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_laid_out_as_compose_does() {
        let model = json!({
            "services": {"web": {
                "image": "nginx",
                "ports": [{"target": 80, "published": "8080"}],
                "command": ["sh", "-c", "a\nb: c\n"],
                "environment": {"A": "yes", "B": "1", "C": null, "D": "", "E": "a b", "F": "x # y", "G": "12:30"},
                "networks": {"default": null},
                "deploy": {},
                "list": [],
                "matrix": [["a"], ["b"]],
            }},
        });
        insta::assert_snapshot!(write(&model), @r#"
        services:
          web:
            image: nginx
            ports:
              - target: 80
                published: "8080"
            command:
              - sh
              - -c
              - |
                a
                b: c
            environment:
              A: "yes"
              B: "1"
              C: null
              D: ""
              E: a b
              F: 'x # y'
              G: "12:30"
            networks:
              default: null
            deploy: {}
            list: []
            matrix:
              - - a
              - - b
        "#);
    }

    #[test]
    fn numbers_with_a_fraction_are_those_of_go() {
        let numbers = json!([1e6, 123_456.0, 1000.0, 0.0001, 0.00001, 1_234_567.5, -0.0, 5_000_000]);
        assert_eq!(
            write(&numbers),
            "- 1e+06\n- 123456\n- 1000\n- 0.0001\n- 1e-05\n- 1.2345675e+06\n- -0\n- 5000000\n"
        );
    }

    #[test]
    fn a_key_of_several_lines_or_of_many_letters_stands_on_its_own() {
        let long = "k".repeat(129);
        let model = json!({"labels": {"a\nb": "", &long: {"c": 1}, "k": [2]}});
        assert_eq!(
            write(&model),
            format!("labels:\n  ? |-\n    a\n    b\n  : \"\"\n  ? {long}\n  : c: 1\n  k:\n    - 2\n")
        );
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let texts = [
            "plain",
            " blank",
            "blank ",
            "a: b",
            "a:b",
            "#c",
            "a #c",
            "- a",
            "-a",
            "a\n",
            "a\n\n",
            "\na",
            "a\nb",
            " a\nb",
            "a \nb",
            "a\n b",
            "tab\there",
            "\"",
            "'",
            "\\",
            "null",
            "~",
            "true",
            "0x10",
            "1e3",
            "2020-01-01",
            "<<",
            "---",
            "é",
            "\u{7f}",
            "\u{2028}",
            "a\r\nb",
            "{a}",
            "[a]",
            "%a",
            "@a",
            "!a",
            "&a",
            "*a",
            "?",
            "? a",
            "|",
            ">",
            "\u{1f600}",
            "on",
            "1:30",
            "=",
            "",
        ];
        for text in texts {
            let value = json!({"key": [text, {text: text}]});
            let written = write(&value);
            let read: Json = serde_yaml::from_str(&written).expect(&written);
            assert_eq!(read, value, "{written}");
        }
    }
}

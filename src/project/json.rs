//! JSON text as Go writes it, which is what Compose prints and hashes.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// JSON on one line, as Go's encoder writes it.
///
/// # Panics
///
/// Never for values whose keys are text.
pub fn go_json(value: &impl Serialize) -> String {
    text(value, CompactFormatter)
}

/// JSON indented by two blanks, as Go's encoder writes it: without a line break at the end.
///
/// # Panics
///
/// Never for values whose keys are text.
pub fn go_json_indented(value: &impl Serialize) -> String {
    text(value, PrettyFormatter::new())
}

fn text(value: &impl Serialize, layout: impl Formatter) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Go(layout));
    value.serialize(&mut serializer).expect("the keys are text and memory takes any text");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Go's numbers and escapes in any layout: `<`, `>`, `&` and two line separators are escaped too, and a number
/// without a fraction has no point.
struct Go<F>(F);

impl<F: Formatter> Formatter for Go<F> {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, number: f64) -> io::Result<()> {
        let size = number.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{number:e}");
            let signed = if text.contains("e-") { text } else { text.replace('e', "e+") };
            return writer.write_all(signed.as_bytes());
        }
        write!(writer, "{number}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(position) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, after) = rest.split_at(position);
            writer.write_all(before.as_bytes())?;
            let mut characters = after.chars();
            if let Some(character) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus | CharEscape::Solidus => writer.write_all(b"\\\\"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_escapes_are_those_of_go() {
        let value = json!({
            "numbers": [1000.0, 1e20, 1e21, 0.5, 1e-6, 1e-7, -0.0, 4_294_967_300.0, 7],
            "text": "<a> & \"b\"\n\u{2028}\u{1}é",
        });
        assert_eq!(
            go_json(&value),
            concat!(
                r#"{"numbers":[1000,100000000000000000000,1e+21,0.5,0.000001,1e-7,-0,4294967300,7],"#,
                r#""text":"\u003ca\u003e \u0026 \"b\"\n\u2028\u0001é"}"#
            )
        );
        assert_eq!(
            go_json_indented(&json!({"a": [], "b": [1]})),
            "{\n  \"a\": [],\n  \"b\": [\n    1\n  ]\n}"
        );
    }
}

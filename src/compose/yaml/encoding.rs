//! Bytes of a file to text: UTF-8, or UTF-16 that says so.

/// A file's text without its byte order mark, or the offset of the first byte that is no text together with what
/// could be read.
pub fn decode(bytes: &[u8]) -> Result<String, (usize, String)> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: &[u8]) -> Result<String, (usize, String)> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err((error.valid_up_to(), String::from_utf8_lossy(bytes).into_owned())),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, (usize, String)> {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::new();
    let mut broken = None;
    for decoded in char::decode_utf16(units) {
        if decoded.is_err() {
            broken.get_or_insert(text.len());
        }
        text.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if bytes.len() % 2 == 1 {
        broken.get_or_insert(text.len());
    }
    broken.map_or_else(|| Ok(text.clone()), |offset| Err((offset, text.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_marks_choose_the_encoding() {
        assert_eq!(decode(b"a: 1").as_deref(), Ok("a: 1"));
        assert_eq!(decode(b"\xEF\xBB\xBFa").as_deref(), Ok("a"));
        assert_eq!(decode(b"\xFF\xFEa\0\xE9\0").as_deref(), Ok("aé"));
        assert_eq!(decode(b"\xFE\xFF\0a").as_deref(), Ok("a"));
    }

    #[test]
    fn broken_text_is_located() {
        assert_eq!(decode(b"ab\xFFc"), Err((2, "ab\u{FFFD}c".to_owned())));
        assert_eq!(decode(b"\xFF\xFEa\0\x00\xD8"), Err((1, "a\u{FFFD}".to_owned())));
        assert_eq!(decode(b"\xFF\xFEa").map_err(|(offset, _)| offset), Err(0));
    }
}

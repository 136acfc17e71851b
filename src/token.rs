//! Texts that somebody must know to be let in.
//!
//! *Owns* what such a text looks like, where a request says it, and how two are compared. *Must not know* what they let
//! in to.

use std::hint::black_box;

use sha2::{Digest as _, Sha256};

/// A shorter text can be guessed.
pub const SHORTEST: usize = 16;

/// A text that must be known to be let in. Only its digest is kept.
#[derive(Debug, Clone, Copy)]
pub struct Token([u8; 32]);

impl Token {
    /// This text.
    pub fn new(text: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(text).into())
    }
}

/// How long a comparison takes says nothing of where two differ.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(other.0).fold(0, |differences, (a, b)| differences | (a ^ b));
        black_box(differences) == 0
    }
}

impl Eq for Token {}

/// The text of a file or variable that holds one. `None`: it holds none, which is a line of at least [`SHORTEST`]
/// characters, printable and without spaces.
pub fn written(text: &str) -> Option<&str> {
    let text = text.trim();
    (text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

/// The text in the value of `Authorization: Bearer TEXT`, white space around it left out.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, text) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| text.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_long_word() {
        assert_eq!(written("  0123456789abcdef\n"), Some("0123456789abcdef"));
        for none in
            ["", "\n", "0123456789abcde", "0123456789 abcdef", "0123456789\nabcdef", "0123456789abcdé"]
        {
            assert_eq!(written(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_request_says_it_behind_its_scheme() {
        for (value, text) in [
            ("Bearer s3cret", Some("s3cret")),
            ("bearer  s3cret ", Some("s3cret")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic s3cret", None),
            ("s3cret", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), text.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn tokens_are_the_same_where_their_texts_are() {
        assert_eq!(Token::new("s3cret"), Token::new("s3cret"));
        for other in ["s3cre", "s3crett", "S3cret", ""] {
            assert_ne!(Token::new("s3cret"), Token::new(other), "{other}");
        }
    }
}

//! The model that a request wants, from its body. Pure.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// What a body in the style of OpenAI's API says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Wanted {
    /// The model; `None`: the body names none.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// The answer is to come as a stream of events.
    #[serde(default)]
    pub(super) stream: Option<bool>,
}

impl Wanted {
    /// What a body says; nothing where it is no JSON object.
    pub(super) fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// The body with another name for the model; all else as it was, but for white space.
pub(super) fn renamed(body: &Bytes, model: &str) -> Bytes {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else { return body.clone() };
    fields.insert("model".to_owned(), Value::String(model.to_owned()));
    serde_json::to_vec(&fields).map_or_else(|_| body.clone(), Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_read_and_renamed() {
        let body = Bytes::from(r#"{"messages": [{"role": "user"}], "model": "gpt", "stream": true}"#);
        assert_eq!(Wanted::of(&body), Wanted { model: Some("gpt".to_owned()), stream: Some(true) });
        let renamed = renamed(&body, "qwen");
        assert_eq!(renamed, r#"{"messages":[{"role":"user"}],"model":"qwen","stream":true}"#);
    }

    #[test]
    fn what_is_no_such_body_names_no_model() {
        for body in ["", "[]", "{", r#"{"model": 3}"#, "\"model\""] {
            assert_eq!(Wanted::of(body.as_bytes()), Wanted::default(), "{body}");
            assert_eq!(
                renamed(&Bytes::from(body), "x").len(),
                if body.starts_with("{\"") { 13 } else { body.len() }
            );
        }
    }
}

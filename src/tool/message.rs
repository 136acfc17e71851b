//! What a provider prints: JSON values, one after the other, as they come. They carry secrets: no error quotes them.

use serde::Deserialize;
use serde_json::error::Category;

/// A provider that says more than this in one message is not talking to us.
const LONGEST: usize = 1 << 20;

/// One message of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// How far it is.
    Info(String),
    /// It cannot do it.
    Error(String),
    /// For whoever looks for a fault in it.
    Debug(String),
    /// A variable for the services that depend on the provided one.
    SetEnv(String, String),
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    message: String,
}

/// Takes the whole messages off the front of `buffer`.
///
/// # Errors
///
/// What stands there is no message.
pub(super) fn take(buffer: &mut Vec<u8>) -> Result<Vec<Message>, String> {
    let mut messages = Vec::new();
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<Written>();
    let mut taken = 0;
    let fault = loop {
        match values.next() {
            Some(Ok(written)) => messages.push(message(written)?),
            Some(Err(error)) if !error.is_eof() => break Some(error),
            Some(Err(_)) | None => break None,
        }
        taken = values.byte_offset();
    };
    if let Some(error) = fault {
        let why = match error.classify() {
            Category::Data => "it is no object with texts for `type` and `message`",
            _ => "it is no JSON",
        };
        return Err(format!("{}, which is no message of a provider: {why}", outline(&buffer[taken..])));
    }
    buffer.drain(..taken);
    if buffer.len() > LONGEST {
        return Err("a message without an end".to_owned());
    }
    Ok(messages)
}

/// What can be told of words that are no message.
pub(super) fn outline(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let line = text.trim().lines().next().unwrap_or_default();
    let after = line.split_once("\"type\"").map(|(_, rest)| rest.trim_start_matches([' ', ':', '"']));
    let known = ["info", "error", "debug", "setenv"];
    match after.and_then(|after| known.into_iter().find(|word| after.starts_with(word))) {
        Some(word) => format!("{} bytes of type `{word}`", line.len()),
        None => format!("{} bytes", line.len()),
    }
}

fn message(written: Written) -> Result<Message, String> {
    let Written { r#type, message } = written;
    match r#type.as_str() {
        "info" => Ok(Message::Info(message)),
        "error" => Ok(Message::Error(message)),
        "debug" => Ok(Message::Debug(message)),
        "setenv" => match message.split_once('=') {
            Some((key, value)) => Ok(Message::SetEnv(key.to_owned(), value.to_owned())),
            None => Err(format!("`setenv` of {} bytes, which are not KEY=VALUE", message.len())),
        },
        other if other.len() < 20 && other.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Err(format!("a message of type `{other}`; known are info, error, debug and setenv"))
        }
        _ => Err("a message of a type that is not info, error, debug or setenv".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_as_they_come_in_pieces_or_several_at_once() {
        let mut buffer = Vec::new();
        let mut taken = Vec::new();
        for piece in [
            r#"{"type":"info","mess"#,
            r#"age":"a"}{"type":"setenv","message":"K=V=W","more":1}"#,
            "\n{\n \"type\": \"debug\"}\n",
            r#"{"type":"error","message":"no"}"#,
            "\n",
        ] {
            buffer.extend_from_slice(piece.as_bytes());
            taken.extend(take(&mut buffer).unwrap());
        }
        let expected = [
            Message::Info("a".into()),
            Message::SetEnv("K".into(), "V=W".into()),
            Message::Debug(String::new()),
            Message::Error("no".into()),
        ];
        assert_eq!(taken, expected);
        assert!(buffer.iter().all(u8::is_ascii_whitespace));
    }

    #[test]
    fn what_is_no_message_is_outlined_and_never_quoted() {
        for (text, words) in [
            ("SECRET\nworld", "6 bytes, which is no message of a provider: it is no JSON"),
            (r#""K=SECRET""#, "10 bytes, which is no message of a provider: it is no object"),
            (r#"{"type":"setenv","message":["K=SECRET"]}"#, "40 bytes of type `setenv`"),
            (
                r#"{"type":"setenv","message":"K=SECRET}
"#,
                "37 bytes of type `setenv`",
            ),
            (r#"{"type":"SECRET or not","message":""}"#, "a type that is not"),
            (r#"{"type":"rawsetenv","message":"A=1"}"#, "`rawsetenv`"),
            (r#"{"message":"A=1"}"#, "type ``"),
            (r#"{"type":"setenv","message":"SECRET"}"#, "`setenv` of 6 bytes, which are not KEY=VALUE"),
            ("[1]", "3 bytes"),
        ] {
            let error = take(&mut text.as_bytes().to_vec()).unwrap_err();
            assert!(error.contains(words) && !error.contains("SECRET"), "{error}");
        }
        assert!(take(&mut vec![b' '; LONGEST + 1]).is_err());
    }
}

//! What a provider prints: JSON values, one after the other, as they come.

use serde::Deserialize;

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
        let rest = String::from_utf8_lossy(&buffer[taken..]);
        let line = rest.trim_start().lines().next().unwrap_or_default();
        let start: String = line.chars().take(80).collect();
        return Err(format!("`{start}` is no message of a provider: {error}"));
    }
    buffer.drain(..taken);
    if buffer.len() > LONGEST {
        return Err("a message without an end".to_owned());
    }
    Ok(messages)
}

fn message(written: Written) -> Result<Message, String> {
    let Written { r#type, message } = written;
    match r#type.as_str() {
        "info" => Ok(Message::Info(message)),
        "error" => Ok(Message::Error(message)),
        "debug" => Ok(Message::Debug(message)),
        "setenv" => match message.split_once('=') {
            Some((key, value)) => Ok(Message::SetEnv(key.to_owned(), value.to_owned())),
            None => Err(format!("`setenv` of `{message}`, which is not KEY=VALUE")),
        },
        other => Err(format!("a message of type `{other}`; known are info, error, debug and setenv")),
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
    fn what_is_no_message_is_quoted() {
        for (text, words) in [
            ("hello\nworld", "`hello`"),
            (r#"{"type":"rawsetenv","message":"A=1"}"#, "`rawsetenv`"),
            (r#"{"message":"A=1"}"#, "type ``"),
            (r#"{"type":"setenv","message":"A"}"#, "KEY=VALUE"),
            ("[1]", "`[1]`"),
        ] {
            let error = take(&mut text.as_bytes().to_vec()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(take(&mut vec![b' '; LONGEST + 1]).is_err());
    }
}

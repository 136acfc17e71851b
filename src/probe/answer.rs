//! What an answer says: whether it is as expected, and failures in a few words.

use std::{error::Error, io};

use serde_json::Value;

use crate::project::HttpProbe;

/// Longest piece of foreign text that is kept.
const LONGEST: usize = 200;

/// An HTTP answer, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    /// `200 OK`.
    pub(super) status_line: String,
    pub(super) body: Vec<u8>,
}

impl HttpAnswer {
    /// What is not as the probe expects it; `None` where everything is.
    pub(super) fn fault(&self, probe: &HttpProbe) -> Option<String> {
        if !accepts(probe, self.status) {
            let expected = expected(probe).map(|expected| format!(", not {expected}")).unwrap_or_default();
            return Some(format!("{}{expected}", self.status_line));
        }
        if let Some(text) = &probe.body_contains
            && !String::from_utf8_lossy(&self.body).contains(text.as_str())
        {
            return Some(format!("{}, but its body does not contain `{text}`", self.status_line));
        }
        if probe.json.is_empty() {
            return None;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&self.body) else {
            return Some(format!("{}, but its body is not JSON", self.status_line));
        };
        probe.json.iter().find_map(|(path, expected)| match find(&body, path) {
            Some(found) if same(found, expected) => None,
            Some(found) => {
                let (found, expected) = (short(&found.to_string()), short(&expected.to_string()));
                Some(format!("{}, but {path} is {found}, not {expected}", self.status_line))
            }
            None => Some(format!("{}, but its body has no {path}", self.status_line)),
        })
    }

    /// The standard health report, if this is one.
    pub(super) fn report(&self) -> Option<Value> {
        let report: Value = serde_json::from_slice(&self.body).ok()?;
        let status = report.get("status")?.as_str()?;
        matches!(status, "healthy" | "degraded" | "unhealthy").then_some(report)
    }
}

/// Whether the probe takes this status for a pass.
pub(super) fn accepts(probe: &HttpProbe, status: u16) -> bool {
    if probe.status.is_empty() {
        return (200..300).contains(&status);
    }
    probe.status.iter().any(|(from, to)| (*from..=*to).contains(&status))
}

/// What the probe takes for a pass, where it says so: `204, 300-399`.
fn expected(probe: &HttpProbe) -> Option<String> {
    let range = |(from, to): &(u16, u16)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    let ranges: Vec<String> = probe.status.iter().map(range).collect();
    (!ranges.is_empty()).then(|| ranges.join(", "))
}

/// The value at a JSON pointer (`/checks/db`) or a dotted path (`checks.db`, `$.items[0].name`).
fn find<'a>(body: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() || path.starts_with('/') {
        return body.pointer(path);
    }
    let path = path.trim_start_matches('$').replace('[', ".").replace(']', "");
    path.split('.').filter(|part| !part.is_empty()).try_fold(body, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Object(entries) => entries.get(part),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// Equal, with numbers compared by value: `1` is `1.0`.
fn same(found: &Value, expected: &Value) -> bool {
    found == expected
        || matches!((found.as_f64(), expected.as_f64()), (Some(a), Some(b)) if (a - b).abs() < f64::EPSILON)
}

/// An I/O failure without operating system numbers.
pub(super) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted".to_owned(),
        _ => short(&error.to_string()),
    }
}

/// The innermost cause of a failure, in words.
pub(super) fn root_words(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    loop {
        if let Some(io) = root.downcast_ref::<io::Error>()
            && (io.get_ref().is_none() || io.source().is_none())
        {
            return io_words(io);
        }
        match root.source() {
            Some(source) => root = source,
            None => return short(&root.to_string()),
        }
    }
}

/// Text cut to a readable length.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> HttpProbe {
        HttpProbe {
            scheme: "http".to_owned(),
            host: None,
            port: 80,
            path: "/".to_owned(),
            method: "GET".to_owned(),
            headers: vec![],
            body: None,
            status: vec![],
            body_contains: None,
            json: vec![],
            command: None,
        }
    }

    fn answer(status: u16, body: &str) -> HttpAnswer {
        HttpAnswer { status, status_line: status.to_string(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn the_status_must_be_2xx_or_as_given() {
        for (status, ranges, passes) in [
            (204, vec![], true),
            (301, vec![], false),
            (503, vec![], false),
            (401, vec![(200, 299), (401, 401)], true),
            (200, vec![(204, 204)], false),
        ] {
            let fault = answer(status, "").fault(&HttpProbe { status: ranges, ..probe() });
            assert_eq!(fault.is_none(), passes, "{status}: {fault:?}");
        }
        let wanted = HttpProbe { status: vec![(204, 204), (300, 399)], ..probe() };
        assert_eq!(answer(200, "").fault(&wanted).as_deref(), Some("200, not 204, 300-399"));
        assert_eq!(answer(503, "").fault(&probe()).as_deref(), Some("503"));
    }

    #[test]
    fn the_body_must_contain_the_text() {
        let wanted = HttpProbe { body_contains: Some("pong".to_owned()), ..probe() };
        assert_eq!(answer(200, "ping pong").fault(&wanted), None);
        assert_eq!(
            answer(200, "ping").fault(&wanted).as_deref(),
            Some("200, but its body does not contain `pong`")
        );
    }

    #[test]
    fn json_values_are_found_by_pointer_and_by_path() {
        let body = r#"{"status":"ok","checks":{"db":true},"list":[{"n":1.0}],"a.b":2}"#;
        for (path, expected, fault) in [
            ("/checks/db", serde_json::json!(true), None),
            ("status", serde_json::json!("ok"), None),
            ("$.checks.db", serde_json::json!(true), None),
            ("list[0].n", serde_json::json!(1), None),
            ("/a.b", serde_json::json!(2), None),
            ("status", serde_json::json!("up"), Some("200, but status is \"ok\", not \"up\"")),
            ("checks.cache", serde_json::json!(true), Some("200, but its body has no checks.cache")),
        ] {
            let wanted = HttpProbe { json: vec![(path.to_owned(), expected)], ..probe() };
            assert_eq!(answer(200, body).fault(&wanted).as_deref(), fault, "{path}");
        }
    }

    #[test]
    fn only_the_standard_report_counts_as_one() {
        assert!(answer(200, r#"{"status":"degraded","checks":{}}"#).report().is_some());
        for other in [r#"{"status":"ok"}"#, r#"{"status":1}"#, "[]", "healthy", ""] {
            assert_eq!(answer(200, other).report(), None, "{other}");
        }
    }
}

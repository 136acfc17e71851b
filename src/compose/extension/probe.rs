//! What one check does: every spelling of it, lowered to a [`ProbeSpec`].

use std::time::Duration;

use super::{
    check::Found,
    http::{Scope, Url, host_and_port},
    shape::{text, whole},
};
use crate::{
    compose::{
        decode::to_json,
        tree::{Node, Value},
    },
    diagnostic::{Diagnostic, Span},
    project::{ContainerCondition, HttpProbe, ProbeSpec, TestCommand},
};

/// A check's probe, the name it gets where the file gives none, and its own time limit.
pub(super) struct Lowered {
    pub(super) probe: ProbeSpec,
    pub(super) name: String,
    pub(super) timeout: Option<Duration>,
}

/// The keys that say what a check does, each with its type.
const KINDS: [(&str, &str); 10] = [
    ("http", "http"),
    ("endpoint", "http"),
    ("tcp", "tcp"),
    ("grpc", "grpc"),
    ("exec", "exec"),
    ("test", "exec"),
    ("command", "exec"),
    ("log", "log"),
    ("pattern", "log"),
    ("container", "container"),
];

/// Reads what the check of this mapping does.
pub(super) fn lower(node: &Node, scope: &Scope<'_>, found: &mut Found) -> Option<Lowered> {
    let given: Vec<(&str, &str, Span)> = KINDS
        .iter()
        .filter_map(|(key, kind)| {
            let entry = node.as_mapping()?.entry(key).filter(|entry| !entry.value.is_null())?;
            Some((*key, *kind, entry.key))
        })
        .collect();
    if let [(first, _, at), (second, _, other), ..] = given[..] {
        found.problems.push(
            Diagnostic::error("two-checks", format!("one check cannot have both `{first}` and `{second}`"))
                .at(other, "")
                .at(at, "the other one")
                .help("write a list of `checks`"),
        );
        return None;
    }
    let declared = node.get("type").map(text);
    let key = given.first().map(|(key, ..)| *key);
    let kind = given.first().map(|(_, kind, _)| *kind);
    if let (Some(declared), Some((key, kind, at))) = (&declared, given.first())
        && declared != kind
        && !matches!(declared.as_str(), "composite" | "staged" | "service")
    {
        found.problems.push(
            Diagnostic::error("two-checks", format!("`{key}` does not belong to a check of type {declared}"))
                .at(*at, "")
                .help("the keys show the type: leave `type` out, or remove this key"),
        );
        return None;
    }
    let other = node.get("service").map(|named| (text(named), named.span));
    let kind = kind.or(declared.as_deref().filter(|kind| *kind != "service" || other.is_some()));
    match (kind, key, other) {
        (None | Some("service"), _, Some((name, span))) => Some(service(node, name, span, scope, found)),
        (Some("http"), key, other) => http(node, key, other.map(|(name, _)| name), scope, found),
        (Some("tcp"), _, other) => tcp(node, other.map(|(name, _)| name), scope, found),
        (Some("grpc"), _, other) => grpc(node, other.map(|(name, _)| name), scope, found),
        (Some("exec"), Some(key), _) => exec(node.get(key)?, key, found),
        (Some("log"), Some(key), _) => log(node.get(key)?, found),
        (Some("container"), key, _) => Some(container(key.and_then(|key| node.get(key)))),
        (kind, ..) => {
            let what = kind.map_or_else(String::new, |kind| format!(" of type {kind}"));
            found.problems.push(
                Diagnostic::error("missing-check", format!("this check{what} does not say what to check"))
                    .at(node.span, "")
                    .help("give it one of http, tcp, grpc, exec, test, log, container, service"),
            );
            None
        }
    }
}

fn service(node: &Node, name: String, span: Span, scope: &Scope<'_>, found: &mut Found) -> Lowered {
    let stage = node.get("stage").map(|stage| (text(stage), stage.span));
    found.refer(scope.own, &name, span, stage.clone());
    let stage = stage.map(|(stage, _)| stage);
    let title = stage.as_ref().map_or_else(|| name.clone(), |stage| format!("{name} {stage}"));
    Lowered { probe: ProbeSpec::Service { name, stage }, name: title, timeout: None }
}

fn http(
    node: &Node,
    key: Option<&str>,
    other: Option<String>,
    scope: &Scope<'_>,
    found: &mut Found,
) -> Option<Lowered> {
    let value = key.and_then(|key| node.get(key));
    let details = value.filter(|value| value.as_mapping().is_some());
    let address = match details {
        Some(details) => details.get("url"),
        None => value,
    };
    let span = address.or(value).unwrap_or(node).span;
    let url = match Url::read(&address.map_or_else(|| "/".to_owned(), text)) {
        Ok(url) => url,
        Err(why) => {
            found
                .problems
                .push(Diagnostic::error("bad-url", "this is no URL of an HTTP check").at(span, why));
            return None;
        }
    };
    let host = scope.host(url.host).or(other);
    let given = details.and_then(|details| details.get("port")).or_else(|| node.get("port"));
    let port = match url.port.or_else(|| given.and_then(port_of)) {
        Some(port) => port,
        None => default_port(host.as_deref(), span, scope, found)?,
    };
    let list = |key: &str| details.and_then(|d| d.get(key)).into_iter().flat_map(Node::entries);
    let field = |key: &str| details.and_then(|d| d.get(key)).map(text);
    let status = match details.and_then(|d| d.get("status")) {
        Some(status) => statuses(status, found)?,
        None => vec![(200, 299)],
    };
    let title = format!("http {}", url.path);
    let probe = HttpProbe {
        scheme: url.scheme,
        host,
        port,
        path: url.path,
        method: field("method").unwrap_or_else(|| "GET".to_owned()).to_uppercase(),
        headers: list("headers").map(|(name, entry)| (name.to_owned(), text(&entry.value))).collect(),
        body: field("body"),
        status,
        body_contains: field("body_contains"),
        json: list("json").map(|(path, entry)| (path.to_owned(), to_json(&entry.value))).collect(),
        command: None,
    };
    Some(Lowered { probe: ProbeSpec::Http(probe), name: title, timeout: None })
}

fn tcp(node: &Node, other: Option<String>, scope: &Scope<'_>, found: &mut Found) -> Option<Lowered> {
    let value = node.get("tcp").or_else(|| node.get("port"));
    let (host, port) = match value.map(|value| (host_and_port(&text(value)), value.span)) {
        Some((Ok((host, port)), _)) => (scope.host(host).or(other), port),
        Some((Err(why), span)) => {
            found.problems.push(Diagnostic::error("bad-port", "this is no port to connect to").at(span, why));
            return None;
        }
        None => {
            let port = default_port(other.as_deref(), node.span, scope, found)?;
            (other, port)
        }
    };
    let title = host.as_ref().map_or_else(|| format!("tcp {port}"), |host| format!("tcp {host}:{port}"));
    Some(Lowered { probe: ProbeSpec::Tcp { host, port }, name: title, timeout: None })
}

fn grpc(node: &Node, other: Option<String>, scope: &Scope<'_>, found: &mut Found) -> Option<Lowered> {
    let value = node.get("grpc");
    let details = value.filter(|value| value.as_mapping().is_some());
    let given = match details {
        Some(details) => details.get("port"),
        None => value,
    };
    let port = match given.or_else(|| node.get("port")).and_then(port_of) {
        Some(port) => port,
        None => default_port(other.as_deref(), value.unwrap_or(node).span, scope, found)?,
    };
    let service = details.and_then(|details| details.get("service")).map(text).unwrap_or_default();
    let mut title =
        other.as_ref().map_or_else(|| format!("grpc {port}"), |host| format!("grpc {host}:{port}"));
    if !service.is_empty() {
        title = format!("{title} {service}");
    }
    Some(Lowered { probe: ProbeSpec::Grpc { host: other, port, service }, name: title, timeout: None })
}

/// The port where the check gives none: that of the service which is asked.
fn default_port(host: Option<&str>, span: Span, scope: &Scope<'_>, found: &mut Found) -> Option<u16> {
    scope
        .only_port(host.unwrap_or(scope.own))
        .map_err(|why| {
            found.problems.push(
                Diagnostic::error("missing-port", "this check needs a port")
                    .at(span, why)
                    .help("write `:PORT/path`, or give the check a `port`"),
            );
        })
        .ok()
}

fn exec(value: &Node, key: &str, found: &mut Found) -> Option<Lowered> {
    let mut words: Vec<String> = value.items().map(text).collect();
    let is_list = value.as_sequence().is_some();
    let has_kind = words.first().is_some_and(|word| matches!(word.as_str(), "CMD" | "CMD-SHELL"));
    if is_list && key == "test" && !has_kind {
        found.problems.push(
            Diagnostic::error("wrong-value", "a test that is a list begins with CMD or CMD-SHELL")
                .at(value.span, "")
                .help("write it as text, or use `exec`"),
        );
        return None;
    }
    if !is_list {
        words = vec!["CMD-SHELL".to_owned(), text(value)];
    } else if !has_kind {
        words.insert(0, "CMD".to_owned());
    }
    // Only a `test` is read for what it means: who writes `exec` wants the command.
    let command = match (key, words.as_slice()) {
        ("test", _) => TestCommand::of(&words),
        (_, [kind, script]) if kind == "CMD-SHELL" => {
            let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            Some(TestCommand { probe: ProbeSpec::Exec { command }, timeout: None })
        }
        (_, [_, command @ ..]) if !command.is_empty() => {
            Some(TestCommand { probe: ProbeSpec::Exec { command: command.to_vec() }, timeout: None })
        }
        _ => None,
    };
    let Some(TestCommand { probe, timeout }) = command else {
        found.problems.push(
            Diagnostic::error("missing-check", "there is no command here")
                .at(value.span, "")
                .help("name a program with its arguments, such as `[\"pg_isready\", \"-q\"]`"),
        );
        return None;
    };
    let name = match &probe {
        ProbeSpec::Http(probe) => format!("http {}", probe.path),
        _ => "exec".to_owned(),
    };
    Some(Lowered { probe, name, timeout })
}

fn log(value: &Node, found: &mut Found) -> Option<Lowered> {
    let pattern = pattern(value, found)?;
    Some(Lowered { probe: ProbeSpec::Log { pattern }, name: "log".to_owned(), timeout: None })
}

/// A regular expression.
pub(super) fn pattern(value: &Node, found: &mut Found) -> Option<String> {
    let pattern = text(value);
    if let Err(error) = regex::Regex::new(&pattern) {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let problem = Diagnostic::error("bad-pattern", "this is no regular expression").at(value.span, why);
        found.problems.push(problem);
        return None;
    }
    Some(pattern)
}

fn container(value: Option<&Node>) -> Lowered {
    let (condition, word) = match value.map(text).as_deref() {
        Some("healthy") => (ContainerCondition::Healthy, "healthy"),
        Some("exited") => (ContainerCondition::Exited, "exited"),
        Some(_) | None => (ContainerCondition::Running, "running"),
    };
    Lowered { probe: ProbeSpec::Container(condition), name: format!("container {word}"), timeout: None }
}

fn port_of(node: &Node) -> Option<u16> {
    u16::try_from(whole(node)?).ok()
}

/// Reads `200`, `2xx`, `200-399`, or a list of these.
fn statuses(node: &Node, found: &mut Found) -> Option<Vec<(u16, u16)>> {
    let items: Vec<&Node> = match &node.value {
        Value::Sequence(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut ranges = Vec::new();
    for item in items {
        let written = text(item);
        let range = match (written.strip_suffix("xx"), written.split_once('-')) {
            (Some(class), _) => {
                class.parse::<u16>().ok().filter(|n| (1..6).contains(n)).map(|n| (n * 100, n * 100 + 99))
            }
            (None, Some((from, to))) => from.trim().parse().ok().zip(to.trim().parse().ok()),
            (None, None) => written.parse().ok().map(|code: u16| (code, code)),
        };
        match range {
            Some((from, to)) if (100..=to).contains(&from) && to < 1000 => ranges.push((from, to)),
            Some(_) | None => {
                found.problems.push(
                    Diagnostic::error("wrong-value", "this is no HTTP status")
                        .at(item.span, "")
                        .help("write `200`, `2xx`, `200-399`, or a list of these"),
                );
                return None;
            }
        }
    }
    Some(ranges)
}

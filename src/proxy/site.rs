//! Which service a request is for. Pure.

use std::{borrow::Cow, sync::Arc};

use indexmap::IndexMap;

use super::Tenants;
use crate::{
    ondemand::ServiceId,
    project::{ColdMode, Protocol, WakeOn},
};

/// An address that is listened on, and the services behind it.
#[derive(Debug, Clone, Default)]
pub struct Site {
    /// The services, in the order of the file.
    pub entries: Vec<Arc<Entry>>,
    /// Requests say in their bodies which model they want.
    pub by_model: bool,
    /// Further names of models, and what each stands for.
    pub alias: IndexMap<String, String>,
    /// Who may ask. `None`: everybody.
    pub tenants: Option<Arc<Tenants>>,
}

/// A way to a service.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which.
    pub service: ServiceId,
    /// Its name in the file.
    pub name: String,
    /// The port that it listens on, in its container.
    pub port: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Only requests to this host, without a port.
    pub host: Option<String>,
    /// Only requests to this path and those below it.
    pub path: Option<String>,
    /// Names of the models that it serves.
    pub models: Vec<String>,
    /// What a client gets while it is not ready.
    pub cold: ColdMode,
    /// What loads it where raw TCP is spoken.
    pub wake_on: WakeOn,
    /// Paths that are never passed on, with what is below them.
    pub closed: Vec<String>,
    /// It gets the key of whoever asks, where there are tenants.
    pub pass_key: bool,
}

impl Site {
    /// The service of a site that speaks raw TCP.
    pub fn raw(&self) -> Option<Arc<Entry>> {
        self.entries.iter().find(|entry| entry.protocol == Protocol::Tcp).cloned()
    }

    /// The entry for a host and a path: one that names the host before one that does not, then the longest path, then the
    /// first in the file.
    pub fn at(&self, host: &str, path: &str) -> Option<&Arc<Entry>> {
        let (host, path) = (without_port(host), canonical(path));
        let fits = |entry: &&Arc<Entry>| {
            entry.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host))
                && entry.path.as_ref().is_none_or(|wanted| is_below(&path, wanted))
        };
        let rank = |entry: &Entry| (entry.host.is_some(), entry.path.as_ref().map_or(0, String::len));
        // Of several that rank the same `max_by_key` gives the last.
        self.entries.iter().rev().filter(fits).max_by_key(|entry| rank(entry))
    }

    /// The entry that serves a model, and the name that it knows the model by.
    pub fn model<'a>(&'a self, name: &'a str) -> Option<(&'a Arc<Entry>, &'a str)> {
        let known = self.alias.get(name).map_or(name, String::as_str);
        let serves = |entry: &&Arc<Entry>| entry.models.iter().any(|model| model == known);
        self.entries.iter().find(serves).map(|entry| (entry, known))
    }
}

impl Entry {
    /// Whether a path is for the service's administrators only.
    pub fn is_closed(&self, path: &str) -> bool {
        let path = canonical(path);
        self.closed.iter().any(|closed| is_below(&path, closed))
    }
}

/// Whether a path is another, or lies below it: `/v1/x` and `/v1` lie below `/v1`, `/v10` does not.
fn is_below(path: &str, above: &str) -> bool {
    let above = above.trim_end_matches('/');
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as servers read it: percent-encoding undone, without empty parts and dots. What is passed on stays as it is.
fn canonical(path: &str) -> Cow<'_, str> {
    if is_canonical(path) { Cow::Borrowed(path) } else { Cow::Owned(cleaned(path)) }
}

/// Nearly every path is: it is looked at, and not taken apart.
fn is_canonical(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|path| {
            !path.contains(['%', '\\']) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
        })
}

fn cleaned(path: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().replace('\\', "/");
    let mut parts = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address is written in brackets.
        Some((name, port)) if !port.contains(']') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proxy) fn entry(number: u32, host: Option<&str>, path: Option<&str>) -> Entry {
        Entry {
            service: ServiceId(number),
            name: format!("s{number}"),
            port: 80,
            protocol: Protocol::Http,
            host: host.map(str::to_owned),
            path: path.map(str::to_owned),
            models: Vec::new(),
            cold: ColdMode::Hold,
            wake_on: WakeOn::Data,
            closed: Vec::new(),
            pass_key: false,
        }
    }

    #[test]
    fn the_entry_that_says_most_is_taken() {
        let entries = [
            entry(0, None, None),
            entry(1, None, Some("/v1")),
            entry(2, None, Some("/v1/chat/")),
            entry(3, Some("a.test"), None),
            entry(4, None, None),
        ]
        .map(Arc::new)
        .to_vec();
        let site = Site { entries, ..Site::default() };
        let at = |host, path| site.at(host, path).map(|entry| entry.service.0);
        for (host, path, service) in [
            ("b.test", "/", 0),
            ("b.test", "/v10", 0),
            ("b.test:8080", "/v1", 1),
            ("b.test", "/v1/models", 1),
            ("b.test", "/v1/chat", 2),
            ("b.test", "/v1/chat/completions", 2),
            ("A.Test:80", "/v1/chat", 3),
            ("[::1]:80", "/", 0),
        ] {
            assert_eq!(at(host, path), Some(service), "{host} {path}");
        }
        let only = Site { entries: vec![Arc::new(entry(1, None, Some("/v1")))], ..Site::default() };
        assert!(only.at("x", "/").is_none());
    }

    #[test]
    fn a_model_is_found_by_its_names() {
        let mut qwen = entry(7, None, None);
        qwen.models = vec!["qwen".to_owned()];
        let alias = [("gpt".to_owned(), "qwen".to_owned())].into_iter().collect();
        let site = Site { entries: vec![Arc::new(qwen)], by_model: true, alias, tenants: None };
        assert_eq!(site.model("gpt").map(|(entry, name)| (entry.service.0, name)), Some((7, "qwen")));
        assert_eq!(site.model("qwen").map(|(_, name)| name), Some("qwen"));
        assert!(site.model("llama").is_none());
    }

    #[test]
    fn paths_for_administrators_are_closed_with_what_is_below() {
        let mut vllm = entry(0, None, None);
        vllm.closed = vec!["/sleep".to_owned()];
        assert!(vllm.is_closed("/sleep") && vllm.is_closed("/sleep/x"));
        for disguised in ["/%73leep", "//sleep", "/v1/../sleep", "/./sleep/", "/v1/%2e%2e/sleep", "\\sleep"] {
            assert!(vllm.is_closed(disguised), "{disguised}");
        }
        assert!(!vllm.is_closed("/sleeping") && !vllm.is_closed("/"));
    }
}

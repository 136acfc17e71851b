//! Fingerprints: what containers were made from, as digests, kept so that a change can be named.
//!
//! A config hash tells that a definition changed; a fingerprint tells what in it. The names of attributes stand in
//! it in clear, every value as a digest that only who has the project's salt can compare. It also has digests of the
//! contents of secrets and configs, which are no part of the hash.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::hash::hashed;
use crate::project::{FileObject, Project, Service};

/// What one container was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// What its config hash is about, with a digest for every value.
    model: Value,
    /// Digests of the contents of its secrets and configs, by [`content_name`].
    contents: BTreeMap<String, String>,
}

/// What is known of what a project's containers were made from, and the contents that new ones would get.
///
/// Without a salt nothing is known and nothing can be noted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprints {
    salt: String,
    of: BTreeMap<String, Fingerprint>,
    contents: BTreeMap<String, String>,
}

/// How a secret or config is called where its content is meant: `secret password`.
fn content_name(kind: &str, key: &str) -> String {
    format!("{kind} {key}")
}

/// What the files or the environment give as content of a secret or config; `None` for one that is a file.
fn inline_content(object: &FileObject) -> Option<&str> {
    object.captured.as_ref().map(|value| value.expose().as_str()).or(object.content.as_deref())
}

/// Every secret and config that a service uses: its kind, key and definition.
fn objects<'a>(
    project: &'a Project,
    service: &'a Service,
) -> impl Iterator<Item = (&'static str, &'a str, &'a FileObject)> {
    let secrets = service.secrets.iter().map(|r| ("secret", r, &project.secrets));
    let configs = service.configs.iter().map(|r| ("config", r, &project.configs));
    secrets.chain(configs).filter_map(|(kind, reference, defined)| {
        let key = reference.source.as_deref()?;
        Some((kind, key, defined.get(key)?))
    })
}

impl Fingerprints {
    /// Nothing known yet; `salt` is the project's own, and nobody else's.
    pub fn new(salt: impl Into<String>) -> Self {
        Self { salt: salt.into(), ..Self::default() }
    }

    /// Notes what a container was made from.
    pub fn insert(&mut self, container: impl Into<String>, fingerprint: Fingerprint) {
        self.of.insert(container.into(), fingerprint);
    }

    /// Takes in what the project's secrets and configs contain now; `read` reads those that are files.
    pub fn take_contents(&mut self, project: &Project, read: impl Fn(&str) -> Option<Vec<u8>>) {
        self.contents.clear();
        let used = project.services.values().flat_map(|s| objects(project, s));
        // Each is read once, however many use it.
        let used: BTreeMap<String, &FileObject> =
            used.map(|(kind, key, object)| (content_name(kind, key), object)).collect();
        for (name, object) in used {
            let content = match (&object.file, inline_content(object)) {
                (Some(file), _) => read(file),
                (None, Some(content)) => Some(content.as_bytes().to_vec()),
                (None, None) => None,
            };
            if let Some(content) = content {
                let digest = self.digest(&content);
                self.contents.insert(name, digest);
            }
        }
    }

    /// What a container of a service would be made from, its references resolved.
    pub fn fingerprint(&self, project: &Project, service: &Service) -> Option<Fingerprint> {
        if self.salt.is_empty() {
            return None;
        }
        let mut model = serde_json::to_value(hashed(service)).ok()?;
        self.hide(&mut model);
        let names = objects(project, service).map(|(kind, key, _)| content_name(kind, key));
        let contents = names.filter_map(|name| Some((name.clone(), self.contents.get(&name)?.clone())));
        Some(Fingerprint { model, contents: contents.collect() })
    }

    /// Names what is different in a container from what a new one would be made from: `environment.LOG_LEVEL`,
    /// `ports[1].published`. `None` where it is not known what the container was made from.
    pub fn changes(&self, container: &str, project: &Project, service: &Service) -> Option<Vec<String>> {
        let (old, new) = (self.of.get(container)?, self.fingerprint(project, service)?);
        let mut changes = Vec::new();
        differences(&old.model, &new.model, "", &mut changes);
        Some(changes)
    }

    /// Secrets and configs whose content is another one than the container has; none where that is not known.
    pub fn content_changes(&self, container: &str, project: &Project, service: &Service) -> Vec<String> {
        let Some(old) = self.of.get(container) else { return Vec::new() };
        let changed = |name: &String| match (old.contents.get(name), self.contents.get(name)) {
            (Some(old), Some(new)) => old != new,
            (None, _) | (_, None) => false,
        };
        let names = objects(project, service).map(|(kind, key, _)| content_name(kind, key));
        names.filter(changed).map(|name| format!("{name}: content")).collect()
    }

    /// Replaces every value by its digest. A list of plain values is one value: no item of it has a name.
    fn hide(&self, value: &mut Value) {
        match value {
            Value::Object(entries) => {
                for entry in entries.values_mut() {
                    self.hide(entry);
                }
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    self.hide(item);
                }
            }
            _ => *value = Value::String(self.digest(value.to_string().as_bytes())),
        }
    }

    /// 128 bits are enough to tell values apart.
    fn digest(&self, value: &[u8]) -> String {
        let mut digest = Sha256::new();
        digest.update(self.salt.as_bytes());
        digest.update([0]);
        digest.update(value);
        let mut text = format!("{:x}", digest.finalize());
        text.truncate(32);
        text
    }
}

/// Paths at which two models differ. Where a whole entry came or went, its own path alone.
fn differences(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let at = |key: &String| if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            for (key, value) in new {
                match old.get(key) {
                    Some(before) => differences(before, value, &at(key), found),
                    None => found.extend(entered(value, &at(key))),
                }
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                found.extend(entered(value, &at(key)));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                let at = format!("{path}[{index}]");
                match (old.get(index), new.get(index)) {
                    (Some(before), Some(value)) => differences(before, value, &at, found),
                    _ => found.push(at),
                }
            }
        }
        (old, new) if old != new => found.push(path.to_owned()),
        _ => {}
    }
}

/// Variables and labels are known by their names even where the whole mapping came or went.
fn entered(value: &Value, path: &str) -> Vec<String> {
    match value {
        Value::Object(entries) if ["environment", "labels"].contains(&path) => {
            entries.keys().map(|key| format!("{path}.{key}")).collect()
        }
        _ => vec![path.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::project::{FileReference, Port, Sensitive};

    fn service(environment: &[(&str, &str)]) -> Service {
        let pair = |(k, v): &(&str, &str)| ((*k).to_owned(), Some((*v).to_owned()));
        let port = |published: &str| Port {
            target: Some(80),
            published: Some(published.to_owned()),
            ..Port::default()
        };
        Service {
            image: Some("web:1".to_owned()),
            command: Some(vec!["serve".to_owned(), "--fast".to_owned()]),
            environment: environment.iter().map(pair).collect(),
            ports: vec![port("8080"), port("8081")],
            secrets: vec![FileReference { source: Some("key".to_owned()), ..FileReference::default() }],
            ..Service::default()
        }
    }

    fn project(content: &str) -> Project {
        let captured = Some(Sensitive::new(content.to_owned()));
        let secret = FileObject { captured, ..FileObject::default() };
        Project { secrets: IndexMap::from([("key".to_owned(), secret)]), ..Project::default() }
    }

    /// The changes from one service to another, and the text of what was kept of the first.
    fn changes(old: &Service, new: &Service) -> (Vec<String>, String) {
        let mut fingerprints = Fingerprints::new("salt");
        let project = project("hush");
        let fingerprint = fingerprints.fingerprint(&project, old).unwrap();
        let text = serde_json::to_string(&fingerprint).unwrap();
        fingerprints.insert("c1", fingerprint);
        (fingerprints.changes("c1", &project, new).unwrap(), text)
    }

    #[test]
    fn what_changed_is_named_by_its_path() {
        let old = service(&[("LEVEL", "debug"), ("OLD", "1")]);
        let mut new = service(&[("LEVEL", "info"), ("NEW", "1")]);
        new.image = Some("web:2".to_owned());
        new.command = Some(vec!["serve".to_owned()]);
        new.ports[1].published = Some("9".to_owned());
        new.user = Some("me".to_owned());
        let (mut named, text) = changes(&old, &new);
        named.sort();
        assert_eq!(
            named,
            [
                "command",
                "environment.LEVEL",
                "environment.NEW",
                "environment.OLD",
                "image",
                "ports[1].published",
                "user"
            ]
        );
        assert!(text.contains("LEVEL") && !text.contains("debug") && !text.contains("8081"), "{text}");
        assert_eq!(changes(&old, &old).0, Vec::<String>::new());
    }

    #[test]
    fn an_entry_that_comes_or_goes_is_named_once() {
        let mut old = service(&[]);
        let new = service(&[("LEVEL", "info")]);
        old.ports.pop();
        assert_eq!(changes(&old, &new).0, ["environment.LEVEL", "ports[1]"]);
        assert_eq!(changes(&new, &old).0, ["ports[1]", "environment.LEVEL"]);
    }

    #[test]
    fn how_often_and_how_built_is_no_change() {
        let old = service(&[]);
        let new = Service { scale: Some(3), pull_policy: Some("always".to_owned()), ..service(&[]) };
        assert_eq!(changes(&old, &new).0, Vec::<String>::new());
    }

    #[test]
    fn changed_content_is_seen_where_the_old_one_is_known() {
        let service = Service {
            secrets: vec![FileReference { source: Some("key".to_owned()), ..FileReference::default() }],
            ..Service::default()
        };
        let mut fingerprints = Fingerprints::new("salt");
        let (before, after) = (project("old"), project("new"));
        fingerprints.take_contents(&before, |_| None);
        // Only what services use is looked at.
        assert_eq!(fingerprints.fingerprint(&before, &service).unwrap().contents.len(), 0);
        let of = |content: &str| {
            let mut project = project(content);
            project.services.insert("web".to_owned(), service.clone());
            project
        };
        let (before, after) = (of("old"), Project { name: after.name, ..of("new") });
        fingerprints.take_contents(&before, |_| None);
        let fingerprint = fingerprints.fingerprint(&before, &service).unwrap();
        fingerprints.insert("c1", fingerprint);
        assert_eq!(fingerprints.content_changes("c1", &before, &service), Vec::<String>::new());
        fingerprints.take_contents(&after, |_| None);
        assert_eq!(fingerprints.content_changes("c1", &after, &service), ["secret key: content"]);
        assert_eq!(fingerprints.content_changes("c2", &after, &service), Vec::<String>::new());
    }

    #[test]
    fn a_file_is_read_and_one_that_cannot_be_read_is_no_change() {
        let mut project = project("");
        let file = FileObject { file: Some("/f".to_owned()), ..FileObject::default() };
        project.secrets = IndexMap::from([("key".to_owned(), file)]);
        project.services.insert("web".to_owned(), service(&[]));
        let service = &project.services["web"];
        let mut fingerprints = Fingerprints::new("salt");
        fingerprints.take_contents(&project, |path| (path == "/f").then(|| b"old".to_vec()));
        let fingerprint = fingerprints.fingerprint(&project, service).unwrap();
        fingerprints.insert("c1", fingerprint);
        fingerprints.take_contents(&project, |_| None);
        assert_eq!(fingerprints.content_changes("c1", &project, service), Vec::<String>::new());
        fingerprints.take_contents(&project, |_| Some(b"new".to_vec()));
        assert_eq!(fingerprints.content_changes("c1", &project, service), ["secret key: content"]);
    }

    #[test]
    fn without_a_salt_nothing_is_known() {
        assert_eq!(Fingerprints::default().fingerprint(&project("x"), &service(&[])), None);
    }
}

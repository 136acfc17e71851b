//! The smaller nouns of a service.

use indexmap::IndexMap;

use super::fields::Fields;
use crate::{
    compose::tree::Value,
    diagnostic::Diagnostic,
    project::{
        Condition, CredentialSpec, Dependency, DeviceMapping, EnvFile, FileMode, FileReference, Healthcheck,
        Hook, Logging, ModelReference, Provider, Ulimit,
    },
};

pub(super) fn dependency(fields: &Fields<'_>) -> Dependency {
    Dependency {
        condition: match fields.text("condition").as_deref() {
            Some("service_healthy") => Condition::ServiceHealthy,
            Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
            _ => Condition::ServiceStarted,
        },
        restart: fields.is_on("restart"),
        required: fields.is_on("required"),
        extensions: fields.extensions(),
    }
}

pub(super) fn healthcheck(fields: &Fields<'_>) -> Healthcheck {
    let test = match fields.node("test") {
        Some(node) if node.as_str().is_some() => {
            Some(vec!["CMD-SHELL".to_owned(), node.as_str().unwrap_or_default().to_owned()])
        }
        Some(_) => Some(fields.texts("test")).filter(|test| !test.is_empty()),
        None => None,
    };
    Healthcheck {
        test,
        timeout: fields.duration("timeout"),
        interval: fields.duration("interval"),
        retries: fields.number("retries"),
        start_period: fields.duration("start_period"),
        start_interval: fields.duration("start_interval"),
        disable: fields.is_on("disable"),
        extensions: fields.extensions(),
    }
}

pub(super) fn file_reference(fields: &Fields<'_>) -> FileReference {
    FileReference {
        source: fields.text("source"),
        target: fields.text("target"),
        uid: fields.text("uid"),
        gid: fields.text("gid"),
        mode: file_mode(fields),
        extensions: fields.extensions(),
    }
}

/// A number as it is, a text read as octal digits.
fn file_mode(fields: &Fields<'_>) -> Option<FileMode> {
    let node = fields.node("mode")?;
    let mode = match &node.value {
        Value::Int(mode) => Some(*mode),
        Value::String(text) => i64::from_str_radix(text, 8).ok(),
        _ => None,
    };
    if mode.is_none() {
        fields.problems.push(
            Diagnostic::error("bad-value", format!("{} is no file mode", fields.inner("mode")))
                .at(node.span, "expected octal digits, such as `0440`"),
        );
    }
    mode.map(FileMode)
}

pub(super) fn env_file(fields: &Fields<'_>) -> EnvFile {
    EnvFile {
        path: fields.text("path").unwrap_or_default(),
        required: fields.is_on("required"),
        format: fields.text("format"),
    }
}

pub(super) fn ulimits(fields: &Fields<'_>) -> IndexMap<String, Ulimit> {
    let mut limits = IndexMap::new();
    for (name, entry) in fields.named("ulimits") {
        let path = fields.inner(&format!("ulimits.{name}"));
        let limit = if let Some(range) = Fields::of(&entry.value, path, fields.problems) {
            Ulimit::Range {
                soft: range.integer("soft").unwrap_or_default(),
                hard: range.integer("hard").unwrap_or_default(),
            }
        } else {
            let Some(all) = fields.object("ulimits") else { continue };
            Ulimit::Single(all.integer(name).unwrap_or_default())
        };
        limits.insert(name.to_owned(), limit);
    }
    limits
}

pub(super) fn logging(fields: &Fields<'_>) -> Logging {
    Logging {
        driver: fields.text("driver"),
        options: fields.mapping("options"),
        extensions: fields.extensions(),
    }
}

pub(super) fn credential_spec(fields: &Fields<'_>) -> CredentialSpec {
    CredentialSpec {
        config: fields.text("config"),
        file: fields.text("file"),
        registry: fields.text("registry"),
        extensions: fields.extensions(),
    }
}

pub(super) fn provider(fields: &Fields<'_>) -> Provider {
    let options = fields.object("options").map(|options| {
        fields
            .named("options")
            .into_iter()
            .map(|(name, _)| (name.to_owned(), options.scalars(name)))
            .collect()
    });
    Provider {
        r#type: fields.text("type").unwrap_or_default(),
        options: options.unwrap_or_default(),
        extensions: fields.extensions(),
    }
}

pub(super) fn models(fields: &Fields<'_>) -> IndexMap<String, Option<ModelReference>> {
    fields
        .named("models")
        .into_iter()
        .map(|(name, entry)| {
            let reference = Fields::of(&entry.value, fields.inner("models"), fields.problems);
            let reference = reference.map(|fields| ModelReference {
                endpoint_var: fields.text("endpoint_var"),
                model_var: fields.text("model_var"),
                extensions: fields.extensions(),
            });
            (name.to_owned(), reference)
        })
        .collect()
}

pub(super) fn hook(fields: &Fields<'_>) -> Hook {
    Hook {
        command: fields.command("command"),
        user: fields.text("user"),
        privileged: fields.is_on("privileged"),
        working_dir: fields.text("working_dir"),
        environment: fields.variables("environment"),
        extensions: fields.extensions(),
    }
}

pub(super) fn device(fields: &Fields<'_>) -> DeviceMapping {
    DeviceMapping {
        source: fields.text("source"),
        target: fields.text("target"),
        permissions: fields.text("permissions"),
        extensions: fields.extensions(),
    }
}

/// Sorted `host=address` texts, one for each address.
pub(super) fn extra_hosts(fields: &Fields<'_>, key: &str) -> Vec<String> {
    let Some(node) = fields.node(key) else { return Vec::new() };
    let mut hosts: Vec<(String, String, crate::diagnostic::Span)> = Vec::new();
    for (name, entry) in node.entries() {
        match &entry.value.value {
            Value::Sequence(items) => hosts.extend(
                items.iter().filter_map(|item| Some((name.to_owned(), item.value.scalar_text()?, item.span))),
            ),
            value => hosts.push((name.to_owned(), value.scalar_text().unwrap_or_default(), entry.key)),
        }
    }
    for item in node.items() {
        let Some(text) = item.value.scalar_text() else { continue };
        match text.split_once('=').or_else(|| text.split_once(':')) {
            Some((name, addresses)) => hosts
                .extend(addresses.split(',').map(|address| (name.to_owned(), address.to_owned(), item.span))),
            None => fields.problems.push(
                Diagnostic::error("bad-value", format!("extra host `{text}` has no address"))
                    .at(item.span, "expected `host=address`"),
            ),
        }
    }
    let mut texts = Vec::with_capacity(hosts.len());
    for (name, address, span) in hosts {
        if name.is_empty() || name.contains([':', '=']) {
            fields.problems.push(
                Diagnostic::error("bad-name", format!("`{name}` is no name of a host"))
                    .at(span, "expected `host=address`"),
            );
        }
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        texts.push(format!("{name}={}", bare.filter(|bare| !bare.is_empty()).unwrap_or(&address)));
    }
    texts.sort();
    texts
}

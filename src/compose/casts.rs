//! Text turned into numbers and booleans where Compose does so right after variables were replaced.

use crate::{
    compose::tree::{Node, Value},
    diagnostic::Diagnostic,
};

/// What a text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    Integer,
    Float,
    Boolean,
}

/// Where text is turned, and into what.
const CASTS: [(&str, Cast); 40] = [
    ("services.*.cpu_count", Cast::Integer),
    ("services.*.cpu_percent", Cast::Float),
    ("services.*.cpu_period", Cast::Integer),
    ("services.*.cpu_quota", Cast::Integer),
    ("services.*.cpu_rt_period", Cast::Integer),
    ("services.*.cpu_rt_runtime", Cast::Integer),
    ("services.*.cpu_shares", Cast::Integer),
    ("services.*.cpus", Cast::Float),
    ("services.*.init", Cast::Boolean),
    ("services.*.deploy.replicas", Cast::Integer),
    ("services.*.deploy.update_config.parallelism", Cast::Integer),
    ("services.*.deploy.update_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.rollback_config.parallelism", Cast::Integer),
    ("services.*.deploy.rollback_config.max_failure_ratio", Cast::Float),
    ("services.*.deploy.restart_policy.max_attempts", Cast::Integer),
    ("services.*.deploy.placement.max_replicas_per_node", Cast::Integer),
    ("services.*.healthcheck.retries", Cast::Integer),
    ("services.*.healthcheck.disable", Cast::Boolean),
    ("services.*.oom_kill_disable", Cast::Boolean),
    ("services.*.oom_score_adj", Cast::Integer),
    ("services.*.pids_limit", Cast::Integer),
    ("services.*.ports.*.target", Cast::Integer),
    ("services.*.privileged", Cast::Boolean),
    ("services.*.read_only", Cast::Boolean),
    ("services.*.scale", Cast::Integer),
    ("services.*.stdin_open", Cast::Boolean),
    ("services.*.tty", Cast::Boolean),
    ("services.*.ulimits.*", Cast::Integer),
    ("services.*.ulimits.*.hard", Cast::Integer),
    ("services.*.ulimits.*.soft", Cast::Integer),
    ("services.*.volumes.*.read_only", Cast::Boolean),
    ("services.*.volumes.*.volume.nocopy", Cast::Boolean),
    ("networks.*.external", Cast::Boolean),
    ("networks.*.internal", Cast::Boolean),
    ("networks.*.attachable", Cast::Boolean),
    ("networks.*.enable_ipv4", Cast::Boolean),
    ("networks.*.enable_ipv6", Cast::Boolean),
    ("volumes.*.external", Cast::Boolean),
    ("secrets.*.external", Cast::Boolean),
    ("configs.*.external", Cast::Boolean),
];

/// Turns the texts that stand where a number or a boolean is wanted.
pub(crate) fn cast(tree: &mut Node, problems: &mut Vec<Diagnostic>) {
    for (pattern, cast) in CASTS {
        let parts: Vec<&str> = pattern.split('.').collect();
        visit(tree, &parts, &mut String::new(), &mut |node, path| cast_one(node, path, cast, problems));
    }
}

/// Calls `change` on every node that the pattern reaches; `*` is any key or any item.
fn visit(node: &mut Node, pattern: &[&str], path: &mut String, change: &mut impl FnMut(&mut Node, &str)) {
    let Some((first, rest)) = pattern.split_first() else { return change(node, path) };
    let length = path.len();
    let mut step = |node: &mut Node, key: &str, path: &mut String| {
        if !path.is_empty() && !key.starts_with('[') {
            path.push('.');
        }
        path.push_str(key);
        visit(node, rest, path, change);
        path.truncate(length);
    };
    match &mut node.value {
        Value::Mapping(mapping) if *first == "*" => {
            for (key, entry) in mapping.iter_mut() {
                step(&mut entry.value, key, path);
            }
        }
        Value::Mapping(mapping) => {
            if let Some(value) = mapping.get_mut(first) {
                step(value, first, path);
            }
        }
        Value::Sequence(items) if *first == "*" => {
            for (index, item) in items.iter_mut().enumerate() {
                step(item, &format!("[{index}]"), path);
            }
        }
        _ => {}
    }
}

fn cast_one(node: &mut Node, path: &str, cast: Cast, problems: &mut Vec<Diagnostic>) {
    let Some(text) = node.as_str() else { return };
    let value = match cast {
        Cast::Integer => text.parse().ok().map(Value::Int),
        Cast::Float => text.parse().ok().map(Value::Float),
        Cast::Boolean => boolean(text).map(|parsed| {
            if let Parsed::Old(_) = parsed {
                problems.push(old_boolean(path, text).at(node.span, ""));
            }
            Value::Bool(parsed.value())
        }),
    };
    let wanted = match cast {
        Cast::Integer => "a whole number",
        Cast::Float => "a number",
        Cast::Boolean => "`true` or `false`",
    };
    match value {
        Some(value) => node.value = value,
        None => problems.push(
            Diagnostic::error("wrong-type", format!("{path} is not {wanted}"))
                .at(node.span, format!("this is `{text}`")),
        ),
    }
}

/// A boolean and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// As YAML 1.2 writes it.
    Plain(bool),
    /// As only older YAML wrote it.
    Old(bool),
}

impl Parsed {
    /// The boolean.
    pub(crate) fn value(self) -> bool {
        match self {
            Self::Plain(value) | Self::Old(value) => value,
        }
    }
}

/// The boolean that a text means.
pub(crate) fn boolean(text: &str) -> Option<Parsed> {
    match text.to_lowercase().as_str() {
        "true" => Some(Parsed::Plain(true)),
        "false" => Some(Parsed::Plain(false)),
        "y" | "yes" | "on" => Some(Parsed::Old(true)),
        "n" | "no" | "off" => Some(Parsed::Old(false)),
        _ => None,
    }
}

/// What is said about a boolean that only older YAML knows.
pub(crate) fn old_boolean(path: &str, text: &str) -> Diagnostic {
    Diagnostic::warning("old-boolean", format!("{path}: `{text}` is no boolean in YAML 1.2"))
        .help("write `true` or `false`")
}

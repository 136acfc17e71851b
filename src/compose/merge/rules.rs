//! The rule of each attribute: mappings merge key by key, lists are joined, scalars replaced, and a few do
//! otherwise.

use crate::{
    compose::tree::{Mapping, Node, TreePath, Value},
    diagnostic::{Diagnostic, Span},
};

/// Merges a later file into what came before.
pub(in crate::compose) fn merge(base: Node, over: Node) -> Result<Node, Diagnostic> {
    node(base, over, &TreePath::root())
}

/// Merges a service into a copy of the one it extends.
pub(in crate::compose) fn merge_service(base: Node, over: Node, name: &str) -> Result<Node, Diagnostic> {
    node(base, over, &TreePath::root().key("services").key(name))
}

/// What is done where both sides have a value.
#[derive(Clone, Copy)]
enum Rule {
    /// The later value, even where it is nothing.
    Replace,
    /// Both as lists of `key=value`, joined.
    Join,
    /// Both as lists of `key=value`, joined without what is there already.
    JoinNew,
    /// Text is a mapping with this one key.
    WrapText(&'static str),
    /// A list is a mapping of its items.
    WrapList(fn(Span) -> Node),
    /// Mappings of the same driver.
    SameDriver,
    /// Address pools, by subnet.
    Pools,
}

const RULES: &[(&str, Rule)] = &[
    ("networks.*.ipam.config", Rule::Pools),
    ("networks.*.labels", Rule::Join),
    ("volumes.*.labels", Rule::Join),
    ("services.*.annotations", Rule::Join),
    ("services.*.build", Rule::WrapText("context")),
    ("services.*.build.args", Rule::Join),
    ("services.*.build.additional_contexts", Rule::Join),
    ("services.*.build.extra_hosts", Rule::JoinNew),
    ("services.*.build.labels", Rule::Join),
    ("services.*.command", Rule::Replace),
    ("services.*.depends_on", Rule::WrapList(started)),
    ("services.*.deploy.labels", Rule::Join),
    ("services.*.dns", Rule::Join),
    ("services.*.dns_opt", Rule::Join),
    ("services.*.dns_search", Rule::Join),
    ("services.*.entrypoint", Rule::Replace),
    ("services.*.env_file", Rule::Join),
    ("services.*.environment", Rule::Join),
    ("services.*.extra_hosts", Rule::JoinNew),
    ("services.*.healthcheck.test", Rule::Replace),
    ("services.*.label_file", Rule::Join),
    ("services.*.labels", Rule::Join),
    ("services.*.logging", Rule::SameDriver),
    ("services.*.models", Rule::WrapList(Node::null)),
    ("services.*.networks", Rule::WrapList(Node::null)),
    ("services.*.sysctls", Rule::Join),
    ("services.*.tmpfs", Rule::Join),
    ("services.*.ulimits.*", Rule::Replace),
];

fn node(base: Node, over: Node, path: &TreePath) -> Result<Node, Diagnostic> {
    if let Some((_, rule)) = RULES.iter().find(|(pattern, _)| path.matches(pattern)) {
        return special(*rule, base, over, path);
    }
    if over.is_null() {
        return Ok(base);
    }
    let span = over.span;
    match (base.value, over.value) {
        (Value::Mapping(earlier), Value::Mapping(later)) => {
            Ok(Node::mapping(mappings(earlier, later, path)?, span))
        }
        (Value::Sequence(mut earlier), Value::Sequence(later)) => {
            earlier.extend(later);
            Ok(Node::sequence(earlier, span))
        }
        (earlier @ (Value::Mapping(_) | Value::Sequence(_)), later) => {
            let message = format!("`{path}` is {} here, but {} before", later.kind(), earlier.kind());
            Err(Diagnostic::error("merge-kind", message).at(span, "").at(base.span, "it is merged into this"))
        }
        (_, later) => Ok(Node::new(later, span)),
    }
}

fn mappings(mut base: Mapping, over: Mapping, path: &TreePath) -> Result<Mapping, Diagnostic> {
    for (key, entry) in over.0 {
        // Taken out in place, so that the key keeps its position.
        let merged = match base.0.get_mut(&key) {
            None => entry,
            Some(earlier) => {
                let taken = std::mem::replace(&mut earlier.value, Node::null(entry.key));
                let value = node(taken, entry.value, &path.key(&key))?;
                crate::compose::tree::Entry { key: entry.key, value }
            }
        };
        base.0.insert(key, merged);
    }
    Ok(base)
}

fn special(rule: Rule, base: Node, over: Node, path: &TreePath) -> Result<Node, Diagnostic> {
    let span = if over.is_null() { base.span } else { over.span };
    let joined = match rule {
        Rule::Replace => return Ok(over),
        Rule::Join => [as_list(base), as_list(over)].concat(),
        Rule::JoinNew => {
            let mut items = as_list(base);
            let known = items.len();
            for item in as_list(over) {
                if !items[..known].iter().any(|earlier| earlier.value == item.value) {
                    items.push(item);
                }
            }
            items
        }
        Rule::Pools => return pools(base, over, path),
        Rule::WrapText(key) => {
            let over = or_nothing(over, |value| matches!(value, Value::Mapping(_) | Value::String(_)));
            let merged =
                mappings(text_in_mapping(base, key, path)?, text_in_mapping(over, key, path)?, path)?;
            return Ok(Node::mapping(merged, span));
        }
        Rule::WrapList(value) => {
            let over = or_nothing(over, |value| matches!(value, Value::Mapping(_) | Value::Sequence(_)));
            let merged =
                mappings(list_in_mapping(base, value, path)?, list_in_mapping(over, value, path)?, path)?;
            return Ok(Node::mapping(merged, span));
        }
        Rule::SameDriver => {
            let driver = |node: &Node| node.get("driver").map(|driver| driver.value.clone());
            let (earlier, later) = (driver(&base), driver(&over));
            if later.is_some() && earlier.is_some() && later != earlier {
                return Ok(over);
            }
            let merged = mappings(plain_mapping(base, path)?, plain_mapping(over, path)?, path)?;
            return Ok(Node::mapping(merged, span));
        }
    };
    Ok(Node::sequence(joined, span))
}

/// A mapping as a sorted list of `key=value`, one text as a list of it.
fn as_list(node: Node) -> Vec<Node> {
    let span = node.span;
    match node.value {
        Value::Sequence(items) => items,
        Value::String(_) => vec![Node { value: node.value, span, tag: None }],
        Value::Mapping(mapping) => {
            let mut items = Vec::new();
            for (key, entry) in mapping.0 {
                match entry.value.value {
                    Value::Null => items.push((key, entry.key)),
                    Value::Sequence(values) => items.extend(values.into_iter().map(|value| {
                        let text = value.value.go_text();
                        (format!("{key}={text}"), value.span)
                    })),
                    other => {
                        items.push((format!("{key}={}", other.go_text()), entry.value.span));
                    }
                }
            }
            items.sort_by(|(left, _), (right, _)| left.cmp(right));
            items.into_iter().map(|(text, span)| Node::string(text, span)).collect()
        }
        _ => Vec::new(),
    }
}

/// Nothing where the value is of another kind: Compose passes over it.
fn or_nothing(node: Node, fits: fn(&Value) -> bool) -> Node {
    if fits(&node.value) { node } else { Node::null(node.span) }
}

fn plain_mapping(node: Node, path: &TreePath) -> Result<Mapping, Diagnostic> {
    match node.value {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::default()),
        other => Err(unmergeable(&other, node.span, path)),
    }
}

fn text_in_mapping(node: Node, key: &str, path: &TreePath) -> Result<Mapping, Diagnostic> {
    if !matches!(node.value, Value::String(_)) {
        return plain_mapping(node, path);
    }
    let mut mapping = Mapping::default();
    mapping.insert(key, node.span, node);
    Ok(mapping)
}

fn list_in_mapping(node: Node, value: fn(Span) -> Node, path: &TreePath) -> Result<Mapping, Diagnostic> {
    let Value::Sequence(items) = node.value else { return plain_mapping(node, path) };
    let mut mapping = Mapping::default();
    for item in items {
        let Value::String(key) = item.value else { return Err(unmergeable(&item.value, item.span, path)) };
        mapping.insert(key, item.span, value(item.span));
    }
    Ok(mapping)
}

/// What a name in a list under `depends_on` stands for.
fn started(at: Span) -> Node {
    let mut mapping = Mapping::default();
    mapping.insert("condition", at, Node::string("service_started", at));
    mapping.insert("required", at, Node::bool(true, at));
    Node::mapping(mapping, at)
}

/// Address pools. The outcome with several pools is that of Docker Compose: a pool of a further subnet takes the
/// place of the ones before it.
fn pools(base: Node, over: Node, path: &TreePath) -> Result<Node, Diagnostic> {
    let span = over.span;
    let (Value::Sequence(earlier), Value::Sequence(later)) = (base.value, over.value) else {
        return Err(
            Diagnostic::error("merge-kind", format!("`{path}` must be a list in every file")).at(span, "")
        );
    };
    let subnet = |pool: &Mapping| pool.get("subnet").map(|subnet| subnet.value.clone());
    let mut merged: Vec<Mapping> = Vec::new();
    for original in earlier {
        let original = plain_mapping(original, path)?;
        for pool in &later {
            let pool = plain_mapping(pool.clone(), path)?;
            let known = merged.iter().any(|other| subnet(other) == subnet(&pool));
            if subnet(&pool) != subnet(&original) && !known {
                merged.push(pool);
                continue;
            }
            let joined = mappings(original.clone(), pool, path)?;
            match merged.iter_mut().find(|other| subnet(other) == subnet(&joined)) {
                Some(other) => *other = joined,
                None => merged.push(joined),
            }
        }
    }
    Ok(Node::sequence(merged.into_iter().map(|pool| Node::mapping(pool, span)).collect(), span))
}

fn unmergeable(value: &Value, at: Span, path: &TreePath) -> Diagnostic {
    Diagnostic::error("merge-kind", format!("`{path}` cannot be merged: this is {}", value.kind())).at(at, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compose::{merge::Resets, yaml},
        diagnostic::SourceMap,
    };

    fn tree(text: &str) -> Node {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", text);
        yaml::documents(file, &sources).unwrap().remove(0)
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Mapping(mapping) => {
                let parts: Vec<_> =
                    mapping.iter().map(|(key, entry)| format!("{key}: {}", show(&entry.value))).collect();
                format!("{{{}}}", parts.join(", "))
            }
            other => other.scalar_text().unwrap_or_else(|| "null".to_owned()),
        }
    }

    /// What two texts for one service become.
    fn service(base: &str, over: &str) -> String {
        let mut base = tree(&format!("services: {{web: {base}}}"));
        let mut over = tree(&format!("services: {{web: {over}}}"));
        Resets::take(&mut over).apply(&mut base);
        match merge(base, over) {
            Ok(merged) => show(merged.at(&["services", "web"]).unwrap()),
            Err(problem) => problem.message,
        }
    }

    #[test]
    fn each_attribute_follows_its_rule() {
        let cases = [
            ("{a: 1, b: {x: 1}}", "{b: {y: 2}, a: 3}", "{a: 3, b: {x: 1, y: 2}}"),
            ("{a: 1}", "{a: }", "{a: 1}"),
            ("{a: [1]}", "{a: [2]}", "{a: [1, 2]}"),
            ("{command: [a]}", "{command: }", "{command: null}"),
            ("{environment: {B: 1, A: }}", "{environment: [B=2]}", "{environment: [A, B=1, B=2]}"),
            ("{dns: 8.8.8.8}", "{dns: [1.1.1.1]}", "{dns: [8.8.8.8, 1.1.1.1]}"),
            ("{extra_hosts: [a=1]}", "{extra_hosts: {a: 2, b: 3}}", "{extra_hosts: [a=1, a=2, b=3]}"),
            ("{extra_hosts: [a=1]}", "{extra_hosts: [a=1]}", "{extra_hosts: [a=1]}"),
            ("{build: .}", "{build: {target: x}}", "{build: {context: ., target: x}}"),
            (
                "{depends_on: [a]}",
                "{depends_on: {a: {restart: true}}}",
                "{depends_on: {a: {condition: service_started, required: true, restart: true}}}",
            ),
            ("{networks: [a]}", "{networks: {b: {x: 1}}}", "{networks: {a: null, b: {x: 1}}}"),
            ("{networks: [a]}", "{networks: b}", "{networks: {a: null}}"),
            ("{build: {target: x}}", "{build: 1}", "{build: {target: x}}"),
            (
                "{environment: [A]}",
                "{environment: {B: {d: [1, x], c: }}}",
                "{environment: [A, B=map[c:<nil> d:[1 x]]]}",
            ),
            ("{logging: {driver: a, o: 1}}", "{logging: {driver: b}}", "{logging: {driver: b}}"),
            ("{logging: {driver: a}}", "{logging: {options: 1}}", "{logging: {driver: a, options: 1}}"),
            ("{ulimits: {n: {soft: 1}}}", "{ulimits: {n: {hard: 2}}}", "{ulimits: {n: {hard: 2}}}"),
        ];
        for (base, over, expected) in cases {
            assert_eq!(service(base, over), expected, "{base} {over}");
        }
    }

    #[test]
    fn tags_take_back_what_was_merged() {
        let cases = [
            ("{a: [1], b: 1}", "{a: !override [2]}", "{b: 1, a: [2]}"),
            ("{a: [1], b: 1}", "{a: !reset null}", "{b: 1}"),
            ("{a: {x: 1, y: 2}}", "{a: {x: !reset null, z: 3}}", "{a: {y: 2, z: 3}}"),
            ("{a: [1]}", "{a: [!reset 1, 2]}", "{a: [1, 2]}"),
            ("{a: 1}", "!override {b: 2}", "{b: 2}"),
        ];
        for (base, over, expected) in cases {
            assert_eq!(service(base, over), expected, "{base} {over}");
        }
    }

    #[test]
    fn different_kinds_do_not_merge() {
        assert_eq!(service("{a: [1]}", "{a: 2}"), "`services.web.a` is an integer here, but a list before");
        assert_eq!(
            service("{build: 1}", "{build: .}"),
            "`services.web.build` cannot be merged: this is an integer"
        );
    }

    #[test]
    fn pools_are_matched_by_subnet() {
        let base = tree("networks: {n: {ipam: {config: [{subnet: a, gateway: 1}]}}}");
        let over = tree("networks: {n: {ipam: {config: [{subnet: a, ip_range: 2}, {subnet: b}]}}}");
        let merged = merge(base, over).unwrap();
        assert_eq!(
            show(&merged),
            "{networks: {n: {ipam: {config: [{subnet: a, gateway: 1, ip_range: 2}, {subnet: b}]}}}}"
        );
    }
}

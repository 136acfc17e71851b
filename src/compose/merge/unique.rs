//! Lists whose items have a key: of two items with one key the later takes the place of the earlier.

use indexmap::IndexMap;

use crate::{
    compose::{
        canonical,
        tree::{Node, TreePath, Value},
    },
    diagnostic::Diagnostic,
};

/// What an item's key is.
#[derive(Clone, Copy)]
enum Key {
    /// Text before `=`.
    Name,
    /// `target`, or the second part of `a:b`.
    Volume,
    /// `target`, or the second part of `a:b`; else all of it.
    Device,
    /// `target`, or the name under this folder.
    Mount(&'static str),
    /// Text.
    Expose,
    /// Address, published port, port and protocol.
    Port,
    /// `path`.
    EnvFile,
}

const KEYED: &[(&str, Key)] = &[
    ("networks.*.labels", Key::Name),
    ("networks.*.ipam.options", Key::Name),
    ("services.*.annotations", Key::Name),
    ("services.*.build.args", Key::Name),
    ("services.*.build.additional_contexts", Key::Name),
    ("services.*.build.platform", Key::Name),
    ("services.*.build.tags", Key::Name),
    ("services.*.build.labels", Key::Name),
    ("services.*.cap_add", Key::Name),
    ("services.*.cap_drop", Key::Name),
    ("services.*.configs", Key::Mount("")),
    ("services.*.deploy.labels", Key::Name),
    ("services.*.devices", Key::Device),
    ("services.*.dns", Key::Name),
    ("services.*.dns_opt", Key::Name),
    ("services.*.dns_search", Key::Name),
    ("services.*.environment", Key::Name),
    ("services.*.env_file", Key::EnvFile),
    ("services.*.expose", Key::Expose),
    ("services.*.labels", Key::Name),
    ("services.*.links", Key::Name),
    ("services.*.networks.*.aliases", Key::Name),
    ("services.*.networks.*.link_local_ips", Key::Name),
    ("services.*.ports", Key::Port),
    ("services.*.profiles", Key::Name),
    ("services.*.secrets", Key::Mount("/run/secrets")),
    ("services.*.sysctls", Key::Name),
    ("services.*.tmpfs", Key::Name),
    ("services.*.volumes", Key::Volume),
];

/// Drops earlier items of the lists that have keys; an item without its key is an error.
pub(in crate::compose) fn drop_duplicates(tree: &mut Node, problems: &mut Vec<Diagnostic>) {
    walk(tree, &TreePath::root(), problems);
}

fn walk(node: &mut Node, path: &TreePath, problems: &mut Vec<Diagnostic>) {
    match &mut node.value {
        Value::Mapping(mapping) => {
            for (key, entry) in mapping.iter_mut() {
                walk(&mut entry.value, &path.key(key), problems);
            }
        }
        Value::Sequence(items) => {
            let Some((_, kind)) = KEYED.iter().find(|(pattern, _)| path.matches(pattern)) else { return };
            let mut kept: IndexMap<String, Node> = IndexMap::new();
            for (index, item) in std::mem::take(items).into_iter().enumerate() {
                match key(*kind, &item) {
                    Ok(key) => {
                        kept.insert(key, item);
                    }
                    Err(wanted) => {
                        let message = format!("`{}` {wanted}", path.index(index));
                        problems.push(Diagnostic::error("list-item", message).at(item.span, ""));
                    }
                }
            }
            *items = kept.into_values().collect();
        }
        _ => {}
    }
}

/// An item's key, or what it lacks.
fn key(kind: Key, item: &Node) -> Result<String, String> {
    let text = item.as_str();
    let field = |name: &str| item.get(name).and_then(|value| value.value.scalar_text());
    let is_mapping = item.as_mapping().is_some();
    match kind {
        Key::Name => match text {
            Some(text) => Ok(text.split('=').next().unwrap_or(text).to_owned()),
            None => Err(format!("must be a string, not {}", item.kind())),
        },
        Key::Volume | Key::Device if is_mapping => {
            item.get("target").and_then(Node::as_str).map(str::to_owned).ok_or("has no `target`".to_owned())
        }
        Key::Volume => Ok(text.and_then(canonical::volume_target).unwrap_or_default()),
        Key::Device => {
            Ok(text.map(|text| text.split(':').nth(1).unwrap_or(text)).unwrap_or_default().to_owned())
        }
        Key::Mount(folder) => match text {
            Some(text) => Ok(format!("{folder}/{text}")),
            None if is_mapping => Ok(field("target")
                .unwrap_or_else(|| format!("{folder}/{}", field("source").unwrap_or_default()))),
            None => Err(format!("must be a name or a mapping, not {}", item.kind())),
        },
        Key::Expose => match &item.value {
            Value::String(_) | Value::Int(_) => Ok(item.value.scalar_text().unwrap_or_default()),
            other => Err(format!("must be a port, not {}", other.kind())),
        },
        Key::Port if is_mapping => {
            let target = field("target").ok_or("has no `target` port")?;
            let or = |name: &str, default: &str| field(name).unwrap_or_else(|| default.to_owned());
            // Compose holds a published port that is a number and one that is a text for different.
            let published = match item.get("published").map(|node| &node.value) {
                Some(Value::Int(number)) => format!("int={number}"),
                _ => or("published", ""),
            };
            let host = or("host_ip", "0.0.0.0");
            Ok(format!("{host}:{published}:{target}/{}", or("protocol", "tcp")))
        }
        Key::Port => Ok(match &item.value {
            Value::String(_) | Value::Int(_) => item.value.scalar_text().unwrap_or_default(),
            _ => String::new(),
        }),
        Key::EnvFile if is_mapping => field("path").ok_or("has no `path`".to_owned()),
        Key::EnvFile => Ok(text.unwrap_or_default().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compose::yaml, diagnostic::SourceMap};

    #[track_caller]
    fn left(attribute: &str, list: &str) -> Result<Vec<String>, String> {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", format!("services: {{web: {{{attribute}: {list}}}}}"));
        let mut tree = yaml::documents(file, &sources).unwrap().remove(0);
        let mut problems = Vec::new();
        drop_duplicates(&mut tree, &mut problems);
        if let Some(problem) = problems.pop() {
            return Err(problem.message);
        }
        let items = tree.at(&["services", "web", attribute]).unwrap();
        let shown = |item: &Node| {
            item.value
                .scalar_text()
                .unwrap_or_else(|| item.entries().map(|(key, _)| key).collect::<Vec<_>>().join("+"))
        };
        Ok(items.items().map(shown).collect())
    }

    #[test]
    fn the_later_item_takes_the_place_of_the_earlier() {
        let cases = [
            ("environment", "[A=1, B=2, A=3]", "A=3 B=2"),
            ("volumes", "[./a:/x, v:/y, /b:/x:ro]", "/b:/x:ro v:/y"),
            ("volumes", "[c:\\\\a:/x, './b:/x']", "./b:/x"),
            ("volumes", "['v:/x', 'w:/x']", "v:/x w:/x"),
            ("devices", "[/dev/a:/dev/x, /dev/b:/dev/x]", "/dev/b:/dev/x"),
            ("ports", "[80, '80', '81:80']", "80 81:80"),
            ("ports", "[{target: 1}, {target: 1, protocol: tcp}]", "target+protocol"),
            ("secrets", "[a, {source: a}, {source: b, target: /run/secrets/a}]", "source+target"),
            ("expose", "[80, '80']", "80"),
            ("security_opt", "[a, a]", "a a"),
        ];
        for (attribute, list, expected) in cases {
            assert_eq!(left(attribute, list).map(|items| items.join(" ")).as_deref(), Ok(expected), "{list}");
        }
    }

    #[test]
    fn an_item_without_its_key_is_an_error() {
        assert_eq!(
            left("volumes", "[{type: bind}]"),
            Err("`services.web.volumes[0]` has no `target`".to_owned())
        );
        assert_eq!(
            left("dns", "[8]"),
            Err("`services.web.dns[0]` must be a string, not an integer".to_owned())
        );
    }
}

//! What the engine says of everything that a project is made of, without what no two runs have in common.

use std::{collections::BTreeMap, io::Read};

use serde_json::{Value, json};

use crate::support::stack::Stack;

/// Inspects, by what they are of.
pub(super) type Seen = BTreeMap<String, Value>;

/// Keys whose values are set aside, and why.
const ASIDE: &[(&str, &str)] = &[
    ("Id", "chosen by the engine; where one object names another one, its name is compared"),
    ("Created", "a time"),
    ("CreatedAt", "a time"),
    ("LastTagTime", "a time"),
    ("State", "times, the process, how far it has come"),
    ("SandboxID", "chosen by the engine"),
    ("SandboxKey", "chosen by the engine"),
    ("EndpointID", "chosen by the engine"),
    ("ExecIDs", "a health check that is under way"),
    ("IPPrefixLen", "of the pool that the engine chose; a pool of the file stands in its network"),
    ("GraphDriver", "folders of layers, named by the engine"),
    ("com.docker.compose.version", "the label says which program made it"),
];

/// Lists whose order means nothing: their sources are maps, or the engine's answer has them in any order.
const UNORDERED: &[&str] =
    &["Env", "Binds", "Mounts", "Links", "Aliases", "DNSNames", "Ulimits", "ExtraHosts", "RepoTags"];

/// Addresses that the files give begin like this; all others are chosen by the engine.
const GIVEN: [&str; 3] = ["10.77.", "fd77:", "02:77:00:"];

/// Inspects every container, network, volume and built image of the project, and lists what lies in the containers'
/// own layers.
pub(super) fn seen(stack: &Stack) -> Seen {
    let containers = stack.containers();
    let networks = inspected(stack, "network");
    let mut names: Vec<(String, String)> = Vec::new();
    for container in &containers {
        names.push((container.id.clone(), format!("<{}>", container.name)));
        names.push((container.id[..12].to_owned(), format!("<{}>", container.name)));
    }
    for network in &networks {
        names.push((text(network, "/Id"), format!("<{}>", text(network, "/Name"))));
    }
    for volume in containers.iter().flat_map(|c| c.raw["Mounts"].as_array().unwrap()) {
        let name = text(volume, "/Name");
        if name.len() == 64 {
            names.push((name, "<a volume without a name>".to_owned()));
        }
    }
    let images = images(stack, &containers.iter().map(|c| text(&c.raw, "/Image")).collect::<Vec<_>>());
    for image in &images {
        names.push((text(image, "/Id"), "<the image that was built>".to_owned()));
    }
    let mut seen = Seen::new();
    for container in &containers {
        seen.insert(format!("files of {}", container.name), files(stack, &container.id));
    }
    let volumes = inspected(stack, "volume");
    let containers = containers.into_iter().map(|c| ("container", c.raw));
    let networks = networks.into_iter().map(|n| ("network", n));
    let volumes = volumes.into_iter().filter(|v| text(v, "/Name").len() != 64).map(|v| ("volume", v));
    let images = images.into_iter().map(|i| ("image", i));
    for (kind, raw) in containers.chain(networks).chain(volumes).chain(images) {
        let name = if kind == "image" { raw["RepoTags"].to_string() } else { text(&raw, "/Name") };
        let mut raw = raw;
        if refers_to_containers(&raw, &names) {
            // Compose hashes the other container's ID.
            raw["Config"]["Labels"].as_object_mut().unwrap().remove("com.docker.compose.config-hash");
        }
        let text = names.iter().fold(raw.to_string(), |text, (id, name)| text.replace(id, name));
        let mut value: Value = serde_json::from_str(&text).unwrap();
        // What was asked for stands in `PortBindings`; here is what the engine gave.
        let ports = value.pointer_mut("/NetworkSettings/Ports").and_then(Value::as_object_mut);
        for binding in
            ports.into_iter().flat_map(|p| p.values_mut()).filter_map(Value::as_array_mut).flatten()
        {
            binding["HostPort"] = json!("<chosen by the engine>");
        }
        for mount in value["Mounts"].as_array_mut().into_iter().flatten().filter(|m| m["Type"] == "image") {
            mount["Source"] = json!("<a folder of the engine>");
        }
        normalise(&mut value);
        seen.insert(format!("{kind} {name}"), value);
    }
    seen
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// All networks or volumes of the project.
fn inspected(stack: &Stack, kind: &str) -> Vec<Value> {
    let label = format!("label=com.docker.compose.project={}", stack.name);
    let ids = stack.docker(&[kind, "ls", "-q", "--filter", &label]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&stack.docker(&[&[kind, "inspect"], ids.as_slice()].concat())).unwrap()
}

/// The images among these that were built for the project.
fn images(stack: &Stack, ids: &[String]) -> Vec<Value> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let all: Vec<Value> =
        serde_json::from_str(&stack.docker(&[&["image", "inspect"], ids.as_slice()].concat())).unwrap();
    let built = |image: &Value| image["RepoTags"].to_string().contains(&stack.name);
    let mut images: Vec<Value> = all.into_iter().filter(built).collect();
    images.sort_by_key(|image| text(image, "/Id"));
    images.dedup();
    images
}

/// Whether the container's definition names another one of the project by its ID.
fn refers_to_containers(raw: &Value, names: &[(String, String)]) -> bool {
    let host = &raw["HostConfig"];
    let places = ["NetworkMode", "IpcMode", "PidMode", "VolumesFrom"].map(|place| host[place].to_string());
    names.iter().any(|(id, _)| places.iter().any(|place| place.contains(id)))
}

/// What a container's file system has: mode, owner, and what is in it.
fn files(stack: &Stack, container: &str) -> Value {
    let exported = stack.hermetic("docker").args(["export", container]).output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(exported.stdout.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        let size = header.size().unwrap();
        let mut content = String::new();
        if size < 1000 {
            entry.read_to_string(&mut content).unwrap();
        }
        let path = entry.path().unwrap().display().to_string();
        files.insert(path, format!("{mode:o} {uid}:{gid} {size} {content}"));
    }
    json!(files)
}

/// Sets aside what no two runs have in common.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !ASIDE.iter().any(|(aside, _)| aside == key));
            for (key, inner) in map.iter_mut() {
                normalise(inner);
                if let (true, Value::Array(items)) = (UNORDERED.contains(&key.as_str()), &mut *inner) {
                    items.sort_by_key(Value::to_string);
                }
                if let Value::String(text) = inner {
                    let changed = settled(key, text);
                    *text = changed;
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A text without what the engine chooses, or with its parts in order.
fn settled(key: &str, text: &str) -> String {
    let address = key.ends_with("IPAddress")
        || [
            "Gateway",
            "IPv6Gateway",
            "GlobalIPv6Address",
            "MacAddress",
            "Subnet",
            "IPv4Address",
            "IPv6Address",
        ]
        .contains(&key);
    if address && !text.is_empty() && !GIVEN.iter().any(|given| text.starts_with(given)) {
        return "<chosen by the engine>".to_owned();
    }
    if key == "com.docker.compose.depends_on" {
        let mut entries: Vec<&str> = text.split(',').collect();
        entries.sort_unstable();
        return entries.join(",");
    }
    text.to_owned()
}

/// Where two looks differ: the place, one value, the other one.
pub(super) fn differences(one: &Seen, other: &Seen) -> Vec<String> {
    let mut told = Vec::new();
    differ("", &json!(one), &json!(other), &mut told);
    told
}

fn differ(place: &str, one: &Value, other: &Value, told: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                differ(&format!("{place}/{key}"), value, other.get(key).unwrap_or(&Value::Null), told);
            }
            for (key, value) in other.iter().filter(|(key, _)| !one.contains_key(*key)) {
                differ(&format!("{place}/{key}"), &Value::Null, value, told);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differ(&format!("{place}/{index}"), one, other, told);
            }
        }
        (one, other) if one != other => told.push(format!("{place}\n    {one}\n    {other}")),
        _ => {}
    }
}

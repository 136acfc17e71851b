//! `ports`: `[[host_ip:]published:]target[/protocol]`, each part perhaps a range.

use std::net::IpAddr;

use super::Unreadable;
use crate::{
    compose::{
        limits,
        tree::{Mapping, Node, Value},
    },
    diagnostic::{Diagnostic, Span},
};

/// A published port as the short syntax says it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShortPort {
    host_ip: String,
    published: String,
    target: u16,
    protocol: String,
}

/// Puts a mapping for each container port in the place of every short form.
pub(super) fn ports(node: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    let Some(items) = node.as_sequence_mut() else { return };
    let mut long = Vec::with_capacity(items.len());
    for item in std::mem::take(items) {
        let text = match &item.value {
            Value::String(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Float(_) => {
                problems.push(
                    Diagnostic::error("port-syntax", "a port is a whole number")
                        .at(item.span, "this is not one"),
                );
                continue;
            }
            _ => {
                long.push(item);
                continue;
            }
        };
        match parse(&text) {
            Ok(ports) if long.len() + ports.len() > limits::PORTS => {
                let message = format!("more than {} ports of one service", limits::PORTS);
                problems.push(Diagnostic::error("too-many-ports", message).at(item.span, "with these"));
                break;
            }
            Ok(ports) => long.extend(ports.into_iter().map(|port| to_node(port, item.span))),
            Err(_) if unreadable == Unreadable::Keep => long.push(item),
            Err(reason) => problems.push(
                Diagnostic::error("port-syntax", format!("port `{text}` cannot be read: {reason}"))
                    .at(item.span, "expected `[[host_ip:]published:]target[/protocol]`"),
            ),
        }
    }
    *items = long;
}

fn to_node(port: ShortPort, span: Span) -> Node {
    let mut mapping = Mapping::default();
    mapping.insert("mode", span, Node::string("ingress", span));
    if !port.host_ip.is_empty() {
        mapping.insert("host_ip", span, Node::string(port.host_ip, span));
    }
    mapping.insert("target", span, Node::new(Value::Int(i64::from(port.target)), span));
    if !port.published.is_empty() {
        mapping.insert("published", span, Node::string(port.published, span));
    }
    mapping.insert("protocol", span, Node::string(port.protocol, span));
    Node::mapping(mapping, span)
}

/// One entry per container port, in the order in which Compose prints them: by the text of the port.
fn parse(text: &str) -> Result<Vec<ShortPort>, String> {
    let (host, container) = text.rsplit_once(':').unwrap_or(("", text));
    let (host_ip, published) = host.rsplit_once(':').unwrap_or(("", host));
    let (container, protocol) = container.split_once('/').unwrap_or((container, "tcp"));
    if container.is_empty() {
        return Err("no container port is given".to_owned());
    }
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("`{protocol}` is no protocol; there are tcp, udp and sctp"));
    }
    let bare = host_ip.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bare.is_none() && host_ip.contains(':') {
        return Err(format!("write the address in brackets: `[{host_ip}]`"));
    }
    let host_ip = bare.unwrap_or(host_ip);
    if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
        return Err(format!("`{host_ip}` is no IP address"));
    }
    let (first, last) = range(container)?;
    let on_host = if published.is_empty() { None } else { Some(range(published)?) };
    if let Some((from, to)) = on_host
        && first != last
        && to - from != last - first
    {
        return Err(format!("the ranges {published} and {container} are not equally long"));
    }
    let mut ports: Vec<ShortPort> = (first..=last)
        .map(|target| ShortPort {
            host_ip: host_ip.to_owned(),
            published: match on_host {
                None => String::new(),
                Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
                Some((from, _)) => (from + (target - first)).to_string(),
            },
            target,
            protocol: protocol.clone(),
        })
        .collect();
    ports.sort_by_cached_key(|port| format!("{}/{}", port.target, port.protocol));
    Ok(ports)
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |part: &str| {
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse::<u16>().ok() } else { None }
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(_), Some(_)) => Err(format!("the range {text} goes backwards")),
        _ => Err(format!("`{text}` is no port; ports are whole numbers up to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        match parse(text) {
            Ok(ports) => ports
                .iter()
                .map(|p| format!("{}|{}|{}|{}", p.host_ip, p.published, p.target, p.protocol))
                .collect(),
            Err(reason) => vec![format!("error: {reason}")],
        }
    }

    #[test]
    fn short_ports_are_read_as_compose_reads_them() {
        let cases: [(&str, &[&str]); 12] = [
            ("3000", &["||3000|tcp"]),
            ("3001-3002", &["||3001|tcp", "||3002|tcp"]),
            ("8000:80/UDP", &["|8000|80|udp"]),
            ("9-10:9-10", &["|10|10|tcp", "|9|9|tcp"]),
            ("127.0.0.1:5000-5010:5000", &["127.0.0.1|5000-5010|5000|tcp"]),
            ("127.0.0.1::7777", &["127.0.0.1||7777|tcp"]),
            ("[::1]:6001:6001", &["::1|6001|6001|tcp"]),
            ("::1:6001:6001", &["error: write the address in brackets: `[::1]`"]),
            ("80/", &["||80|tcp"]),
            ("8000-8001:80-82", &["error: the ranges 8000-8001 and 80-82 are not equally long"]),
            ("99999:80", &["error: `99999` is no port; ports are whole numbers up to 65535"]),
            ("80:", &["error: no container port is given"]),
        ];
        for (text, expected) in cases {
            assert_eq!(texts(text), expected, "{text}");
        }
    }
}

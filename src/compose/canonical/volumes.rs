//! `volumes` of a service: `[source:]target[:options]`.

use super::Unreadable;
use crate::{
    compose::{
        paths,
        tree::{Mapping, Node},
    },
    diagnostic::{Diagnostic, Span},
};

/// Options that a bind mount takes.
const PROPAGATIONS: [&str; 6] = ["rprivate", "private", "rshared", "shared", "rslave", "slave"];

/// What the short syntax says.
#[derive(Debug, Default, PartialEq, Eq)]
struct ShortVolume {
    source: String,
    target: String,
    read_only: bool,
    nocopy: bool,
    propagation: Option<String>,
    selinux: Option<String>,
    /// Texts of one or two characters are targets and nothing else.
    bare: bool,
}

pub(super) fn volumes(node: &mut Node, unreadable: Unreadable, problems: &mut Vec<Diagnostic>) {
    super::service::each_item(node, |item| {
        let Some(text) = item.as_str() else { return };
        match parse(text) {
            Ok(volume) => *item = to_node(&volume, item.span),
            Err(_) if unreadable == Unreadable::Keep => {}
            Err(reason) => problems.push(
                Diagnostic::error("volume-syntax", format!("volume `{text}` cannot be read: {reason}"))
                    .at(item.span, "expected `[source:]target[:options]`"),
            ),
        }
    });
}

/// Where the short form says that it is mounted, if it can be read.
pub(crate) fn volume_target(text: &str) -> Option<String> {
    parse(text).ok().map(|volume| volume.target)
}

fn parse(text: &str) -> Result<ShortVolume, String> {
    let mut volume = ShortVolume::default();
    match text.len() {
        0 => return Err("it is empty".to_owned()),
        1 | 2 => return Ok(ShortVolume { target: text.to_owned(), bare: true, ..volume }),
        _ => {}
    }
    let sections = sections(text);
    let last = sections.len() - 1;
    for (index, section) in sections.into_iter().enumerate() {
        if section.is_empty() {
            return Err("there is nothing between two colons".to_owned());
        } else if volume.source.is_empty() && volume.target.is_empty() {
            if index == last {
                volume.target = section;
            } else {
                volume.source = section;
            }
        } else if volume.target.is_empty() {
            volume.target = section;
        } else if index == last {
            options(&section, &mut volume);
        } else {
            return Err("it has too many colons".to_owned());
        }
    }
    Ok(volume)
}

/// Split at colons, but not inside `${…}` nor behind the letter of a Windows drive.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    let mut variables = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let section = sections.last_mut().expect("starts with one and never shrinks");
        match character {
            '$' if characters.peek() == Some(&'{') => variables += 1,
            '}' if variables > 0 => variables -= 1,
            ':' if variables == 0 && !is_drive(section) => {
                sections.push(String::new());
                continue;
            }
            _ => {}
        }
        section.push(character);
    }
    sections
}

/// Whether a colon behind this text belongs to a Windows drive.
fn is_drive(before: &str) -> bool {
    let mut characters = before.chars();
    characters.next().is_some_and(char::is_alphabetic) && characters.next().is_none()
}

/// Unknown options are passed over, as Compose does.
fn options(section: &str, volume: &mut ShortVolume) {
    for option in section.split(',') {
        match option {
            "ro" => volume.read_only = true,
            "rw" => volume.read_only = false,
            "nocopy" => volume.nocopy = true,
            "z" | "Z" => volume.selinux = Some(option.to_owned()),
            _ if PROPAGATIONS.contains(&option) => volume.propagation = Some(option.to_owned()),
            _ => {}
        }
    }
}

fn is_path(source: &str) -> bool {
    let drive = source.split_once(':').is_some_and(|(letter, _)| is_drive(letter));
    source.starts_with(['.', '/', '~']) || source.starts_with(r"\\") || drive
}

fn to_node(volume: &ShortVolume, span: Span) -> Node {
    let text = |value: &str| Node::string(value, span);
    let bind = is_path(&volume.source);
    let mut mapping = Mapping::default();
    mapping.insert("type", span, text(if bind { "bind" } else { "volume" }));
    if !volume.source.is_empty() {
        mapping.insert("source", span, text(&volume.source));
    }
    mapping.insert("target", span, text(&paths::clean(&volume.target)));
    if volume.read_only {
        mapping.insert("read_only", span, Node::bool(true, span));
    }
    let mut bind_options = Mapping::default();
    if let Some(selinux) = &volume.selinux {
        bind_options.insert("selinux", span, text(selinux));
    }
    if let Some(propagation) = &volume.propagation {
        bind_options.insert("propagation", span, text(propagation));
    }
    if bind {
        // Only the short form creates a missing folder on the host.
        bind_options.insert("create_host_path", span, Node::bool(true, span));
    }
    if !bind_options.is_empty() {
        mapping.insert("bind", span, Node::mapping(bind_options, span));
    }
    if volume.nocopy || (!bind && !volume.bare) {
        let mut options = Mapping::default();
        if volume.nocopy {
            options.insert("nocopy", span, Node::bool(true, span));
        }
        mapping.insert("volume", span, Node::mapping(options, span));
    }
    Node::mapping(mapping, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_volumes_are_read_as_compose_reads_them() {
        let cases = [
            ("/data", "", "/data"),
            ("named:/data", "named", "/data"),
            ("./here:/data:ro,z", "./here", "/data"),
            (r"C:\here:/data", r"C:\here", "/data"),
            (r"C:\here:D:\there", r"C:\here", r"D:\there"),
            ("a:/a", "", "a:/a"),
            ("${A:-b:c}:/data", "${A:-b:c}", "/data"),
            ("ab", "", "ab"),
        ];
        for (text, source, target) in cases {
            let volume = parse(text).expect(text);
            assert_eq!((volume.source.as_str(), volume.target.as_str()), (source, target), "{text}");
        }
    }

    #[test]
    fn options_are_kept() {
        let volume = parse("./a:/b:ro,rshared,Z,nocopy,whatever").expect("readable");
        assert_eq!(
            (volume.read_only, volume.propagation.as_deref(), volume.selinux.as_deref(), volume.nocopy),
            (true, Some("rshared"), Some("Z"), true)
        );
    }

    #[test]
    fn broken_short_volumes_are_refused() {
        for text in ["", ":/data", "/a:", "/a::/b", "/a:/b:ro:z"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

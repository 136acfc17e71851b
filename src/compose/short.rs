//! The short syntax of ports and mounts, for values that come from the command line.

use std::path::Path;

use super::{
    Environment, Files,
    canonical::{Unreadable, canonicalise},
    decode,
    paths::Base,
    tree::{Mapping, Node},
};
use crate::{
    diagnostic::{Diagnostic, SourceMap, Span},
    project::{Port, ServiceMount},
};

/// What cannot be read, and the texts that it is about.
pub type Unread = (Vec<Diagnostic>, SourceMap);

/// Reads ports and mounts as a service of a file writes them; relative paths are relative to `directory`.
///
/// # Errors
///
/// What cannot be read, and the texts that it is about.
pub fn ports_and_mounts(
    (ports, mounts): (&[String], &[String]),
    directory: &Path,
    environment: &Environment,
    files: &dyn Files,
) -> Result<(Vec<Port>, Vec<ServiceMount>), Unread> {
    let mut sources = SourceMap::default();
    let mut span = |name: &str, text: &str| Span {
        file: sources.add(name, text),
        start: 0,
        end: u32::try_from(text.len()).unwrap_or(u32::MAX),
    };
    let whole = span("the command line", "");
    let mut list = |flag: &str, texts: &[String]| {
        let items = texts.iter().map(|text| Node::string(text, span(flag, text)));
        Node::sequence(items.collect(), whole)
    };
    let mut service = Mapping::default();
    service.insert("ports", whole, list("--publish", ports));
    service.insert("volumes", whole, list("--volume", mounts));
    let inside = |key: &str, node: Node| {
        let mut outer = Mapping::default();
        outer.insert(key, whole, node);
        Node::mapping(outer, whole)
    };
    let mut tree = inside("services", inside("run", Node::mapping(service, whole)));
    let mut problems = Vec::new();
    canonicalise(&mut tree, Unreadable::Refuse, &mut problems);
    let directory = directory.to_string_lossy();
    Base { directory: &directory, home: environment.get("HOME"), files }.resolve(&mut tree, &mut problems);
    let (mut project, complaints) = decode::project(&tree, "run", environment);
    problems.extend(complaints);
    let service = project.services.shift_remove("run").unwrap_or_default();
    if problems.is_empty() { Ok((service.ports, service.volumes)) } else { Err((problems, sources)) }
}

//! Relative paths made absolute, as far as Compose knows that they are paths.

use crate::{
    compose::{
        Files,
        tree::{Mapping, Node},
    },
    diagnostic::Diagnostic,
};

/// What relative paths are relative to.
pub(crate) struct Base<'a> {
    /// The project directory; of an extended file its folder, which may itself be relative.
    pub(crate) directory: &'a str,
    /// What `~` stands for.
    pub(crate) home: Option<&'a str>,
    /// Looked at only for symbolic links in watched paths.
    pub(crate) files: &'a dyn Files,
}

impl Base<'_> {
    /// Makes every path in the tree absolute.
    pub(crate) fn resolve(&self, tree: &mut Node, problems: &mut Vec<Diagnostic>) {
        if let Some(services) = tree.get_mut("services") {
            for (_, entry) in services.entries_mut() {
                self.service(&mut entry.value, problems);
            }
        }
        for kind in ["configs", "secrets"] {
            if let Some(definitions) = tree.get_mut(kind) {
                for (_, entry) in definitions.entries_mut() {
                    self.change(entry.value.get_mut("file"), Self::either_platform);
                }
            }
        }
        if let Some(volumes) = tree.get_mut("volumes") {
            for (_, entry) in volumes.entries_mut() {
                if let Some(volume) = entry.value.as_mapping_mut() {
                    self.volume(volume);
                }
            }
        }
    }

    /// A path of this machine: absolute ones stay as they are.
    pub(crate) fn local(&self, path: &str) -> String {
        local(self.directory, self.home, path)
    }

    fn service(&self, service: &mut Node, problems: &mut Vec<Diagnostic>) {
        if let Some(build) = service.get_mut("build") {
            self.change(build.get_mut("context"), Self::context);
            if let Some(contexts) = build.get_mut("additional_contexts") {
                contexts
                    .entries_mut()
                    .for_each(|(_, entry)| self.change(Some(&mut entry.value), Self::context));
            }
            if let Some(keys) = build.get_mut("ssh") {
                keys.entries_mut()
                    .for_each(|(_, entry)| self.change(Some(&mut entry.value), Self::either_platform));
            }
        }
        for (list, key) in [("env_file", Some("path")), ("label_file", None)] {
            let Some(items) = service.get_mut(list).and_then(Node::as_sequence_mut) else { continue };
            for item in items {
                self.change(key.map_or(Some(&mut *item), |_| None), Self::local);
                if let Some(key) = key {
                    self.change(item.get_mut(key), Self::local);
                }
            }
        }
        if let Some(watches) = service.at_mut(&["develop", "watch"]).and_then(Node::as_sequence_mut) {
            for watch in watches {
                self.change(watch.get_mut("path"), |base, path| base.without_links(&base.local(path)));
            }
        }
        if let Some(volumes) = service.get_mut("volumes").and_then(Node::as_sequence_mut) {
            for volume in volumes {
                self.mount(volume, problems);
            }
        }
    }

    fn mount(&self, node: &mut Node, problems: &mut Vec<Diagnostic>) {
        let span = node.span;
        let Some(mount) = node.as_mapping_mut() else { return };
        if mount.get("type").and_then(Node::as_str) != Some("bind") {
            return;
        }
        match mount.get_mut("source") {
            Some(source) => self.change(Some(source), Self::either_platform),
            None => problems.push(
                Diagnostic::error("missing-attribute", "a bind mount has no source")
                    .at(span, "here")
                    .help("add `source`, the path on the host"),
            ),
        }
    }

    /// The local driver's `o: bind` makes `device` a path of the host.
    fn volume(&self, volume: &mut Mapping) {
        if volume.get("driver").and_then(Node::as_str) != Some("local") {
            return;
        }
        let Some(options) = volume.get_mut("driver_opts") else { return };
        if options.get("o").and_then(Node::as_str) == Some("bind") {
            self.change(options.get_mut("device"), Self::either_platform);
        }
    }

    fn change(&self, node: Option<&mut Node>, change: impl Fn(&Self, &str) -> String) {
        if let Some(node) = node
            && let Some(path) = node.as_str()
        {
            *node = Node::string(change(self, path), node.span);
        }
    }

    /// A build context: a path unless it names a builder's source, another service or something remote.
    fn context(&self, context: &str) -> String {
        const REMOTE: [&str; 6] = ["https://", "http://", "git://", "ssh://", "github.com/", "git@"];
        let elsewhere = context.contains("://")
            || context.starts_with("service:")
            || REMOTE.iter().any(|prefix| context.starts_with(prefix));
        if elsewhere { context.to_owned() } else { self.local(context) }
    }

    /// A path that may be one of Windows, for a client there and an engine here or the other way round.
    fn either_platform(&self, path: &str) -> String {
        let path = self.expand_home(path);
        if path.starts_with('/') || is_windows_absolute(&path) { path } else { join(self.directory, &path) }
    }

    fn expand_home(&self, path: &str) -> String {
        expand_home(self.home, path)
    }

    /// The part of the path that exists, with its symbolic links resolved.
    fn without_links(&self, path: &str) -> String {
        let full = std::path::Path::new(path);
        for ancestor in full.ancestors() {
            if let Ok(real) = self.files.canonicalize(ancestor)
                && let Ok(rest) = full.strip_prefix(ancestor)
            {
                return join(&real.to_string_lossy(), &rest.to_string_lossy());
            }
        }
        path.to_owned()
    }
}

/// A path of this machine, relative to `directory`: absolute ones stay as they are.
pub(crate) fn local(directory: &str, home: Option<&str>, path: &str) -> String {
    let path = expand_home(home, path);
    if path.is_empty() || path.starts_with('/') { path } else { join(directory, &path) }
}

fn expand_home(home: Option<&str>, path: &str) -> String {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) => join(home, rest),
        _ => path.to_owned(),
    }
}

/// Two paths put together and cleaned.
pub(crate) fn join(base: &str, path: &str) -> String {
    match (base, path) {
        ("", "") => String::new(),
        ("", only) | (only, "") => clean(only),
        _ => clean(&format!("{base}/{path}")),
    }
}

/// A path without `.`, `..` behind a name, doubled and trailing slashes; `.` where nothing is left.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `C:\…`, `C:/…`, `\\host\share…`.
fn is_windows_absolute(path: &str) -> bool {
    let bytes = path.as_bytes();
    let separator = |index: usize| bytes.get(index).is_some_and(|byte| matches!(byte, b'/' | b'\\'));
    (bytes.get(1) == Some(&b':') && separator(2)) || (separator(0) && separator(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("a//b/./c/..", "a/b"),
            ("/../a", "/a"),
            ("../../a", "../../a"),
            ("a/..", "."),
            ("/data/", "/data"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn windows_paths_are_known() {
        for (path, absolute) in
            [(r"C:\x", true), ("c:/x", true), (r"\\host\share", true), ("C:", false), (r".\x", false)]
        {
            assert_eq!(is_windows_absolute(path), absolute, "{path}");
        }
    }
}

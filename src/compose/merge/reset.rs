//! `!reset` and `!override`: what a file takes back from the files before it.

use crate::compose::tree::{MergeTag, Node, TreePath, Value};

/// The places that a file resets or overrides: what was merged so far is removed there.
#[derive(Debug, Default)]
pub(in crate::compose) struct Resets(Vec<TreePath>);

impl Resets {
    /// Takes the tags out of a file's tree, and with `!reset` the value.
    pub(in crate::compose) fn take(tree: &mut Node) -> Self {
        let mut resets = Self::default();
        resets.collect(tree, &TreePath::root());
        resets
    }

    fn collect(&mut self, node: &mut Node, path: &TreePath) {
        match &mut node.value {
            Value::Mapping(mapping) => {
                mapping.retain(|key, entry| self.keep(&mut entry.value, path.key(key)));
            }
            Value::Sequence(items) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    index += 1;
                    self.keep(item, path.index(index - 1))
                });
            }
            _ => {}
        }
    }

    fn keep(&mut self, node: &mut Node, path: TreePath) -> bool {
        match node.tag.take() {
            None => self.collect(node, &path),
            Some(tag) => {
                self.0.push(path);
                return tag == MergeTag::Override;
            }
        }
        true
    }

    /// Whether the file has neither tag.
    pub(in crate::compose) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes from a tree what the file takes back. Items of lists stay.
    pub(in crate::compose) fn apply(&self, tree: &mut Node) {
        if !self.is_empty() {
            self.remove(tree, &mut Vec::new());
        }
    }

    /// Removes from a service what the file takes back from the service of this name.
    pub(in crate::compose) fn apply_to_service(&self, name: &str, service: &mut Node) {
        if !self.is_empty() {
            self.remove(service, &mut vec!["services".to_owned(), name.to_owned()]);
        }
    }

    fn remove(&self, node: &mut Node, path: &mut Vec<String>) {
        let Value::Mapping(mapping) = &mut node.value else { return };
        mapping.retain(|key, entry| {
            path.push(key.to_owned());
            let reset = self.0.iter().any(|reset| reset.parts() == path.as_slice());
            if !reset {
                self.remove(&mut entry.value, path);
            }
            path.pop();
            !reset
        });
    }
}

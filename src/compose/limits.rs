//! How much a project may grow while it is loaded: far beyond what anyone writes, far below what fills memory.
//!
//! A small file can ask for a large one (aliases of aliases, variables of variables, files that include each other
//! twice). Each way to grow has its bound here, and a message that names it.

/// Bytes of one file.
pub const FILE_BYTES: u64 = 64 << 20;
/// Nodes that aliases of one file may add to it.
pub(super) const COPIED_NODES: usize = 200_000;
/// Lists and mappings inside each other; most steps walk them recursively.
pub(super) const YAML_DEPTH: usize = 200;
/// `${…}` in the word of a `${…}`.
pub(super) const EXPRESSION_DEPTH: usize = 100;
/// Bytes of a text once its variables are replaced.
pub(super) const VALUE_BYTES: usize = 4 << 20;
/// Bytes of all texts of one file that have variables, once these are replaced.
pub(super) const REPLACED_BYTES: usize = 64 << 20;
/// Services that build on each other, one after the other.
pub(super) const EXTENDS_DEPTH: usize = 100;
/// Files that include each other, one after the other.
pub(super) const INCLUDE_DEPTH: usize = 100;
/// Files that a project includes in all; one that is included twice counts twice.
pub(super) const INCLUDED_FILES: usize = 5_000;
/// Container ports of one service.
pub(super) const PORTS: usize = 200_000;

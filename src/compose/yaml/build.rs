//! Parser events to owned trees.
//!
//! An anchored node is kept with its size and depth, so that the cost of an alias is known before it is copied:
//! a file that multiplies itself is refused instead of filling memory.

use std::{collections::HashMap, rc::Rc};

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use indexmap::{IndexMap, map::Entry as Slot};

use super::scalar;
use crate::{
    compose::limits::{COPIED_NODES, YAML_DEPTH},
    compose::tree::{Entry, Mapping, MergeTag, Node, Value},
    diagnostic::{Diagnostic, FileId, SourceMap, Span},
};

/// What `!!` stands for.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// The documents of a file, in order; none where it has nothing but comments.
pub fn documents(file: FileId, sources: &SourceMap) -> Result<Vec<Node>, Diagnostic> {
    let text = sources.text(file);
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: YAML_DEPTH,
        block_nesting_limit: YAML_DEPTH
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(file, text);
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => {
                let place = builder.place(&span);
                builder.event(event, place)?;
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
                return Err(Diagnostic::error("yaml-syntax", format!("invalid YAML: {}", error.info()))
                    .at(builder.span(at, at), "")
                    .help(syntax_help(text, at)));
            }
        }
    }
    Ok(builder.documents)
}

/// What to look for around a place that the parser did not understand.
fn syntax_help(text: &str, at: usize) -> &'static str {
    let line_start = text[..text.floor_char_boundary(at)].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    if line.starts_with('\t') || line.trim_start_matches(' ').starts_with('\t') {
        "YAML is indented with spaces, not with tabs"
    } else {
        "check the indentation, quotes and brackets here and in the lines above"
    }
}

/// A node with what copying it would cost.
struct Built {
    node: Node,
    size: usize,
    depth: usize,
}

/// A list or mapping that has not ended.
struct Open {
    start: Span,
    anchor: usize,
    tag: Option<MergeTag>,
    size: usize,
    depth: usize,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Map { keys: IndexMap<String, Entry>, merges: Vec<(Span, Node)>, key: Option<Key> },
}

/// A mapping's key while its value is awaited.
struct Key {
    text: String,
    span: Span,
    is_merge: bool,
}

struct Builder<'a> {
    file: FileId,
    text: &'a str,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Built>>,
    names: HashMap<String, usize>,
    copied: usize,
}

impl<'a> Builder<'a> {
    fn new(file: FileId, text: &'a str) -> Self {
        Self {
            file,
            text,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            names: HashMap::new(),
            copied: 0,
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let byte = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span { file: self.file, start: byte(start), end: byte(end.max(start)) }
    }

    fn place(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        // Block scalars and collections end at the next token: the blanks before it are not theirs.
        let written = self.text.get(range.clone()).map_or(0, |text| text.trim_end().len());
        self.span(range.start, range.start + written)
    }

    fn event(&mut self, event: Event<'_>, at: Span) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 1) => {
                let found = format!("YAML version {}.{} is not supported", version.major, version.minor);
                return Err(Diagnostic::error("yaml-version", found)
                    .at(at, "")
                    .help("remove the `%YAML` line"));
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, (anchor, tag.as_deref()), at)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(Parts::List(Vec::new()), anchor, tag.as_deref(), at)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let parts = Parts::Map { keys: IndexMap::new(), merges: Vec::new(), key: None };
                self.begin(parts, anchor, tag.as_deref(), at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at)?,
            Event::Anchor(id, name) => {
                self.names.insert(name.into_owned(), id);
            }
            Event::Alias(id) => self.alias(Some(id), at)?,
            Event::UnresolvedAlias(name) => self.alias(self.names.get(&*name).copied(), at)?,
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        (anchor, tag): (usize, Option<&Tag>),
        at: Span,
    ) -> Result<(), Diagnostic> {
        let plain = style == ScalarStyle::Plain;
        let is_merge = text == "<<" && plain && tag.is_none_or(|tag| tag.original() == "!!merge");
        if !is_merge && self.wants_key() {
            if anchor != 0 {
                let node = Node::string(text, at);
                self.anchors.insert(anchor, Rc::new(Built { node, size: 1, depth: 0 }));
            }
            return self.key(text, plain && tag.is_none(), at);
        }
        if is_merge && self.wants_key() {
            self.set_key(Key { text: text.to_owned(), span: at, is_merge: true });
            return Ok(());
        }
        let merge_tag = tag.and_then(merge_tag);
        let value = match tag {
            Some(tag) if tag.suffix_in_namespace(YAML_TAGS).is_some() => {
                let name = tag.suffix_in_namespace(YAML_TAGS).unwrap_or_default();
                scalar::resolve_tagged(&name, text)
                    .map_err(|message| Diagnostic::error("yaml-tag", message).at(at, ""))?
            }
            Some(tag) if !is_bare(tag) => Value::String(text.to_owned()),
            _ if plain => scalar::resolve(text),
            _ => Value::String(text.to_owned()),
        };
        let node = Node { value, span: at, tag: merge_tag };
        self.finish(Built { node, size: 1, depth: 0 }, anchor)
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { parts: Parts::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, text: &str, plain: bool, at: Span) -> Result<(), Diagnostic> {
        let value = if plain { scalar::resolve(text) } else { Value::String(text.to_owned()) };
        let Value::String(text) = value else {
            return Err(Diagnostic::error(
                "non-string-key",
                format!("the key `{text}` is {}, not a string", value.kind()),
            )
            .at(at, "")
            .help(format!("put it in quotes: \"{text}\"")));
        };
        self.set_key(Key { text, span: at, is_merge: false });
        Ok(())
    }

    fn set_key(&mut self, next: Key) {
        if let Some(Open { parts: Parts::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(next);
        }
    }

    fn begin(&mut self, parts: Parts, anchor: usize, tag: Option<&Tag>, at: Span) -> Result<(), Diagnostic> {
        if self.wants_key() {
            return Err(complex_key(at));
        }
        if self.open.len() >= YAML_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open { start: at, anchor, tag: tag.and_then(merge_tag), size: 1, depth: 0, parts });
        Ok(())
    }

    fn end(&mut self, at: Span) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let start = open.start.start as usize;
        let written = self.text.get(start..at.end as usize).map_or(0, |text| text.trim_end().len());
        let span = self.span(start, start + written);
        let value = match open.parts {
            Parts::List(items) => Value::Sequence(items),
            Parts::Map { mut keys, merges, .. } => {
                for (key, source) in merges {
                    merge(&mut keys, key, source)?;
                }
                Value::Mapping(Mapping(keys))
            }
        };
        let node = Node { value, span, tag: open.tag };
        self.finish(Built { node, size: open.size, depth: open.depth + 1 }, open.anchor)
    }

    fn alias(&mut self, id: Option<usize>, at: Span) -> Result<(), Diagnostic> {
        let name = self.text.get(at.start as usize + 1..at.end as usize).unwrap_or_default().to_owned();
        if let Some(open) = id.and_then(|id| self.open.iter().find(|open| open.anchor == id)) {
            return Err(Diagnostic::error(
                "yaml-anchor-cycle",
                format!("the anchor `{name}` contains itself"),
            )
            .at(at, "used inside what it stands for")
            .at(self.span(open.start.start as usize, open.start.start as usize), "which begins here"));
        }
        let Some(built) = id.and_then(|id| self.anchors.get(&id)).cloned() else {
            let known = self.names.keys().map(String::as_str);
            let help = crate::diagnostic::did_you_mean(&name, known)
                .map(|known| format!("did you mean `*{known}`?"));
            let error =
                Diagnostic::error("unknown-anchor", format!("no anchor `&{name}` stands before this"))
                    .at(at, "");
            return Err(Diagnostic { help, ..error });
        };
        self.copied += built.size;
        if self.copied > COPIED_NODES {
            return Err(Diagnostic::error("yaml-too-large", "aliases make this file too large")
                .at(at, format!("more than {COPIED_NODES} values with what `*{name}` stands for")));
        }
        if self.open.len() + built.depth > YAML_DEPTH {
            return Err(too_deep(at));
        }
        if self.wants_key() {
            return match &built.node.value {
                Value::String(text) => {
                    self.set_key(Key { text: text.clone(), span: at, is_merge: false });
                    Ok(())
                }
                _ => Err(complex_key(at)),
            };
        }
        self.finish(Built { node: built.node.clone(), size: built.size, depth: built.depth }, 0)
    }

    /// Puts a finished node where it belongs: into the open list or mapping, or out as a document.
    fn finish(&mut self, built: Built, anchor: usize) -> Result<(), Diagnostic> {
        let Built { node, size, depth } = built;
        if anchor != 0 {
            let mut kept = node.clone();
            drop_resets(&mut kept);
            self.anchors.insert(anchor, Rc::new(Built { node: kept, size, depth }));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        open.size += size;
        open.depth = open.depth.max(depth);
        match &mut open.parts {
            Parts::List(items) => items.push(node),
            Parts::Map { keys, merges, key } => {
                let Some(Key { text, span, is_merge }) = key.take() else { return Ok(()) };
                if is_merge {
                    if let Some((first, _)) = merges.first() {
                        return Err(duplicate("<<", span, *first));
                    }
                    merges.push((span, node));
                    return Ok(());
                }
                match keys.entry(text) {
                    Slot::Occupied(slot) => return Err(duplicate(slot.key(), span, slot.get().key)),
                    Slot::Vacant(slot) => {
                        slot.insert(Entry { key: span, value: node });
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is reset within an anchored value is reset where the anchor stands, not where aliases repeat it.
fn drop_resets(node: &mut Node) {
    let kept = |node: &mut Node| {
        drop_resets(node);
        node.tag != Some(MergeTag::Reset)
    };
    match &mut node.value {
        Value::Sequence(items) => items.retain_mut(kept),
        Value::Mapping(mapping) => mapping.retain(|_, entry| kept(&mut entry.value)),
        _ => {}
    }
}

/// Adds what `<<` brings: keys of the mapping itself, and of earlier items of a list, win.
fn merge(keys: &mut IndexMap<String, Entry>, key: Span, source: Node) -> Result<(), Diagnostic> {
    let wrong = |found: &Node| {
        Diagnostic::error(
            "yaml-merge",
            format!("`<<` wants a mapping or a list of mappings, not {}", found.kind()),
        )
        .at(key, "")
        .help("point it at an anchored mapping: `<<: *defaults`")
    };
    let items = match source.value {
        Value::Sequence(items) => items,
        _ => vec![source],
    };
    for item in items {
        let Value::Mapping(mapping) = item.value else { return Err(wrong(&item)) };
        for (name, entry) in mapping.0 {
            keys.entry(name).or_insert(entry);
        }
    }
    Ok(())
}

/// `!` alone says no more than no tag.
fn is_bare(tag: &Tag) -> bool {
    tag.original().as_str() == "!"
}

fn merge_tag(tag: &Tag) -> Option<MergeTag> {
    match tag.original().as_str() {
        "!reset" => Some(MergeTag::Reset),
        "!override" => Some(MergeTag::Override),
        _ => None,
    }
}

fn duplicate(name: &str, second: Span, first: Span) -> Diagnostic {
    Diagnostic::error("duplicate-key", format!("the key `{name}` stands twice in one mapping"))
        .at(second, "again here")
        .at(first, "first here")
        .help("keep one of them")
}

fn complex_key(at: Span) -> Diagnostic {
    Diagnostic::error("non-string-key", "a key must be a string, not a list or a mapping")
        .at(at, "")
        .help("a template such as {{ … }} or a value that begins with `{` or `[` needs quotes")
}

fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::error("yaml-too-deep", format!("lists and mappings are nested more than {YAML_DEPTH} deep"))
        .at(at, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Node>, Diagnostic> {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", text);
        documents(file, &sources)
    }

    /// A tree as one line of text, to compare with.
    fn show(node: &Node) -> String {
        let tag = match node.tag {
            Some(MergeTag::Reset) => "!reset ",
            Some(MergeTag::Override) => "!override ",
            None => "",
        };
        let value = match &node.value {
            Value::Sequence(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Mapping(mapping) => {
                let parts: Vec<_> =
                    mapping.iter().map(|(key, entry)| format!("{key}: {}", show(&entry.value))).collect();
                format!("{{{}}}", parts.join(", "))
            }
            Value::String(text) => format!("{text:?}"),
            other => other.scalar_text().unwrap_or_else(|| "null".to_owned()),
        };
        tag.to_owned() + &value
    }

    #[track_caller]
    fn becomes(text: &str, expected: &str) {
        let shown: Vec<_> = parse(text).unwrap().iter().map(show).collect();
        assert_eq!(shown.join(" --- "), expected);
    }

    #[track_caller]
    fn refused(text: &str, code: &str) {
        assert_eq!(parse(text).unwrap_err().code, code);
    }

    #[test]
    fn merge_keys_give_way_to_own_keys_and_earlier_items() {
        becomes("a: &a {x: 1, y: 1}\nb: {<<: *a, x: 2}", "{a: {x: 1, y: 1}, b: {x: 2, y: 1}}");
        becomes("a: {<<: [{x: 1}, {x: 2, z: 3}]}", "{a: {x: 1, z: 3}}");
        becomes("a: &a {x: 1}\nb: {!!merge <<: *a}", "{a: {x: 1}, b: {x: 1}}");
        becomes("a: {\"<<\": 1}", "{a: {<<: 1}}");
        refused("a: {<<: 1}", "yaml-merge");
        refused("a: &a {}\nb: {<<: *a, <<: *a}", "duplicate-key");
    }

    #[test]
    fn anchors_outlive_their_document_and_can_be_redefined() {
        becomes("a: &x 1\n---\nb: *x", "{a: 1} --- {b: 1}");
        becomes("a: &x 1\nb: &x 2\nc: *x", "{a: 1, b: 2, c: 2}");
        becomes("&x a: 1\nb: *x", "{a: 1, b: \"a\"}");
        refused("a: *x", "unknown-anchor");
    }

    #[test]
    fn custom_tags_make_text() {
        becomes(
            "a: !reset 12\nb: !override [1]\nc: ! 12\nd: !x 12",
            "{a: !reset \"12\", b: !override [1], c: 12, d: \"12\"}",
        );
        refused("a: !!int x", "yaml-tag");
    }

    #[test]
    fn keys_are_unique_strings() {
        refused("a: 1\na: 2", "duplicate-key");
        refused("1: a", "non-string-key");
        refused("[a]: b", "non-string-key");
        becomes("\"1\": a", "{1: \"a\"}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{aliases}]\n");
        }
        refused(&text, "yaml-too-large");
        refused("a: &a {b: {<<: *a}}", "yaml-anchor-cycle");
        refused(&format!("a: {}", "[".repeat(20_000)), "yaml-syntax");
    }

    #[test]
    fn comments_alone_are_no_document() {
        becomes("# nothing\n", "");
        becomes("a: 1\n---\n", "{a: 1} --- null");
    }

    #[test]
    fn line_ends_of_windows_and_a_version_line_are_read() {
        becomes("a: 1\r\nb: x\r\n", "{a: 1, b: \"x\"}");
        becomes("%YAML 1.1\n---\na: 1", "{a: 1}");
        refused("%YAML 1.2\n---\na: 1", "yaml-version");
    }
}

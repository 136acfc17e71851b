//! Diagnostics as text, with the source lines they point at.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Severity, SourceMap, Span};

/// A diagnostic as a user reads it: what is wrong, file, line and column, the line itself, what to do. Ends with a
/// line break; `colour` allows terminal control codes.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group =
        level.primary_title(&diagnostic.message).id(diagnostic.code).elements(snippets(diagnostic, sources));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group]) + "\n"
}

/// Several diagnostics, a blank line between them.
pub fn render_all<'a>(
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    sources: &SourceMap,
    colour: bool,
) -> String {
    let rendered: Vec<String> =
        diagnostics.into_iter().map(|diagnostic| render(diagnostic, sources, colour)).collect();
    rendered.join("\n")
}

/// One snippet for each file, the file to edit first.
fn snippets<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a SourceMap,
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut files = Vec::new();
    for label in &diagnostic.labels {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    let annotation = |(index, label): (usize, &'a Label)| {
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let annotation = kind.span(first_line(label.span, sources));
        if label.text.is_empty() { annotation } else { annotation.label(&label.text) }
    };
    files
        .into_iter()
        .map(|file| {
            let labels = diagnostic.labels.iter().enumerate().filter(|(_, label)| label.span.file == file);
            Snippet::source(sources.text(file)).path(sources.name(file)).annotations(labels.map(annotation))
        })
        .collect()
}

/// The part of a span on its first line, within the file and between characters.
fn first_line(span: Span, sources: &SourceMap) -> Range<usize> {
    let text = sources.text(span.file);
    let start = text.floor_char_boundary((span.start as usize).min(text.len()));
    let end = text.ceil_char_boundary((span.end as usize).clamp(start, text.len()));
    let line = text[start..end].lines().next().map_or(0, str::len);
    start..start + line
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn place(sources: &SourceMap, file: super::super::FileId, text: &str) -> Span {
        let start = u32::try_from(sources.text(file).find(text).unwrap()).unwrap();
        Span { file, start, end: start + u32::try_from(text.len()).unwrap() }
    }

    #[test]
    fn both_sides_of_a_conflict_are_shown() {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", "services:\n  web:\n    image: é\n    imgae: b\n");
        let diagnostic = Diagnostic::error("unknown-attribute", "`imgae` is no attribute of a service")
            .at(place(&sources, file, "imgae"), "")
            .at(place(&sources, file, "image"), "set here")
            .help("did you mean `image`?");
        assert_snapshot!(render(&diagnostic, &sources, false), @r#"
        error[unknown-attribute]: `imgae` is no attribute of a service
         --> compose.yaml:4:5
          |
        3 |     image: é
          |     ----- set here
        4 |     imgae: b
          |     ^^^^^
          |
          = help: did you mean `image`?
        "#);
    }

    #[test]
    fn a_fault_without_a_place_is_one_line() {
        let diagnostic = Diagnostic::warning("several-files", "two files").help("choose with `-f`");
        assert_snapshot!(render(&diagnostic, &SourceMap::default(), false), @r#"
        warning[several-files]: two files
         |
         = help: choose with `-f`
        "#);
    }

    #[test]
    fn spans_are_cut_to_their_first_line_and_to_the_file() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.yaml", "a:\n  b: 1\n  c: 2\n");
        let other = sources.add("b.yaml", "x");
        let diagnostic = Diagnostic::error("code", "message")
            .at(Span { file, start: 5, end: 16 }, "this")
            .at(Span { file: other, start: 90, end: 99 }, "that");
        assert_snapshot!(render(&diagnostic, &sources, false), @r#"
        error[code]: message
         --> a.yaml:2:3
          |
        2 |   b: 1
          |   ^^^^ this
          |
         ::: b.yaml:1:2
          |
        1 | x
          |  - that
        "#);
    }
}

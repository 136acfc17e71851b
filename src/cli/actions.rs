//! GitHub Actions: whether this is a step of it, and what is put beside files there.

use std::path::Path;

use super::{Invocation, random::random};
use crate::{
    diagnostic::{Diagnostic, Severity, SourceMap, Span},
    project::Project,
    report::{ActionsReport, Annotation, FileLine, Level, ProgressMode, Token},
};

impl Invocation {
    /// Whether this is a step of GitHub Actions.
    pub(super) fn on_github(&self) -> bool {
        self.env("GITHUB_ACTIONS") == Some("true")
    }

    /// The token that keeps others from giving commands, where the display is one that gives any.
    pub(super) fn actions_token(&self) -> Option<Token> {
        if !self.on_github() || self.display().progress != ProgressMode::Plain {
            return None;
        }
        // Without a random number nobody can be kept from it: then no commands are given.
        random().ok().map(Token::new)
    }

    /// A file as the repository names it.
    fn in_repository(&self, file: &str) -> String {
        let path = self.cwd.join(file);
        let root = self.env("GITHUB_WORKSPACE").map(Path::new);
        root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(&path).display().to_string()
    }

    fn place(&self, span: Span, sources: &SourceMap) -> FileLine {
        FileLine { file: self.in_repository(sources.name(span.file)), line: sources.line_column(span).0 }
    }

    /// What is to be put beside files; nothing elsewhere.
    pub(super) fn annotations(&self, found: &[Diagnostic], sources: &SourceMap) -> Vec<Annotation> {
        let found = found.iter().filter(|_| self.on_github());
        let one = |diagnostic: &Diagnostic| Annotation {
            level: match diagnostic.severity {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
            },
            title: diagnostic.code.to_owned(),
            place: diagnostic.labels.first().map(|label| self.place(label.span, sources)),
            message: diagnostic.sentence(),
        };
        found.map(one).collect()
    }

    /// The display of a run there.
    pub(super) fn actions_report(&self, token: Token, project: &Project) -> ActionsReport {
        let place = |name: &String| {
            let span = project.places.get(&format!("services.{name}"))?;
            Some((name.clone(), self.place(*span, &project.sources)))
        };
        ActionsReport::new(token, project.services.keys().filter_map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_at_its_line_of_the_repository() {
        let mut sources = SourceMap::default();
        let file = sources.add("compose.yaml", "services:\n  web:\n    imgae: b\n");
        let diagnostic = Diagnostic::error("unknown-attribute", "`imgae` is no attribute of a service")
            .at(Span { file, start: 20, end: 25 }, "")
            .help("did you mean `image`?");
        let mut invocation = Invocation { cwd: "/builds/repo/deploy".into(), ..Invocation::default() };
        assert!(invocation.annotations(std::slice::from_ref(&diagnostic), &sources).is_empty());
        for (name, value) in [("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", "/builds/repo")] {
            invocation.env.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(
            invocation.annotations(&[diagnostic], &sources)[0].to_string(),
            "::error file=deploy/compose.yaml,line=3,title=unknown-attribute::`imgae` is no attribute of a service: \
             did you mean `image`?\n"
        );
        assert!(invocation.actions_token().is_some());
        invocation.display.progress = Some(crate::cli::args::Progress::Quiet);
        assert_eq!(invocation.actions_token(), None);
    }
}

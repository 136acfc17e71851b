//! The project of a command line, or everything that is wrong with its files.

use std::io::Write as _;

use super::{CliError, Invocation, LocalFiles, entry::annotate};
use crate::{
    compose::{self, LoadOptions},
    diagnostic::{Diagnostic, SourceMap, render_all},
    project::Project,
};

impl Invocation {
    /// Loads the project. Warnings are printed to standard error.
    ///
    /// # Errors
    ///
    /// The files are wrong; the error shows every fault with its place.
    pub fn load(&self, options: &LoadOptions) -> Result<Project, CliError> {
        let _phase = tracing::trace_span!("phase", name = "load").entered();
        let loaded = compose::load(&LocalFiles, &self.environment(), options);
        self.said(loaded.project, &loaded.diagnostics, &loaded.sources)
    }

    /// Loads the files into a tree, without decoding them. Warnings are printed to standard error.
    ///
    /// # Errors
    ///
    /// The files are wrong; the error shows every fault with its place.
    pub fn load_tree(&self, options: &LoadOptions) -> Result<compose::tree::Node, CliError> {
        let loaded = compose::load_tree(&LocalFiles, &self.environment(), options);
        self.said(loaded.tree, &loaded.diagnostics, &loaded.sources)
    }

    /// What loading gave, with what there is to say about it said.
    ///
    /// # Errors
    ///
    /// The files are wrong; the error shows every fault with its place.
    pub(super) fn said<T>(
        &self,
        value: Option<T>,
        said: &[Diagnostic],
        sources: &SourceMap,
    ) -> Result<T, CliError> {
        let colour = self.terminals.stderr && self.env("NO_COLOR").is_none();
        let text = render_all(said, sources, colour);
        let annotations = self.annotations(said, sources);
        let Some(value) = value else { return Err(CliError::files(text).annotated(annotations)) };
        // Nobody is left to tell when standard error is closed.
        drop(anstream::stderr().write_all(text.as_bytes()));
        annotate(&annotations);
        Ok(value)
    }
}

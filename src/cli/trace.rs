//! `--trace`: the file, and what is written to it beside a run's events: phases of the command and requests to the engine.
//!
//! Those come as `tracing` spans: `phase` with a `name`, `request` with what is asked for, and around requests `step` and
//! `probe` with what they are about.

use std::{
    fmt,
    fs::File,
    io::{self, LineWriter},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::Instant;
use tracing::{
    Id, Metadata, Subscriber,
    field::{Field, Visit},
    span::Attributes,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::CliError;
use crate::{
    event::{Event, Sink},
    report::{Group, Slice, Trace},
};

/// A trace that is being written, line by line: what is killed leaves whole ones.
#[derive(Clone)]
pub(super) struct Tracer {
    began: Instant,
    trace: Arc<Mutex<Trace<LineWriter<File>>>>,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

impl Tracer {
    /// A trace that begins now.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let trace = File::create(path).and_then(|file| Trace::new(LineWriter::new(file)));
        let failed = |e| CliError::failed(format!("failed to write `{}`", path.display())).caused_by(&e);
        let trace = trace.map_err(failed)?;
        Ok(Self { began: Instant::now(), trace: Arc::new(Mutex::new(trace)) })
    }

    fn write(&self) -> MutexGuard<'_, Trace<LineWriter<File>>> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the file, as far as a disk takes it.
    pub(super) fn finish(&self) {
        if let Err(error) = self.write().finish() {
            tracing::warn!("the trace is not whole: {error}");
        }
    }

    /// Whether spans of this kind are part of a trace.
    pub(super) fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && ["phase", "step", "probe", "request"].contains(&metadata.name())
    }
}

impl Sink for Tracer {
    fn emit(&mut self, event: &Event) -> io::Result<()> {
        let offset = self.began.elapsed().saturating_sub(event.at.since_start());
        self.write().event(event, offset)
    }
}

/// What is known of a span.
struct Known {
    since: Duration,
    name: String,
}

impl Visit for Known {
    fn record_debug(&mut self, _: &Field, value: &dyn fmt::Debug) {
        self.name = format!("{value:?}");
    }

    fn record_str(&mut self, _: &Field, value: &str) {
        value.clone_into(&mut self.name);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Tracer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut known = Known { since: self.began.elapsed(), name: String::new() };
        attributes.record(&mut known);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(known);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let group = match span.name() {
            "phase" => Group::Command,
            "request" => Group::Requests,
            // Events tell of them.
            _ => return,
        };
        let of = span.parent().and_then(|parent| Some(parent.extensions().get::<Known>()?.name.clone()));
        let args = of.map_or(json!({}), |of| json!({"for": of}));
        let Some(Known { since, name }) = span.extensions_mut().remove::<Known>() else { return };
        let slice = Slice { group, name, span: (since, self.began.elapsed()), args };
        // A disk that is full ends no command.
        drop(self.write().slice(&slice));
    }
}

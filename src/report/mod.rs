//! What a run looks like: events in, text out.
//!
//! *Owns* the picture of a run ([`RunView`]), its displays (live, plain, JSON, quiet), the final words, runs of
//! the past, the critical chain of a run ([`Chain`]) and what earlier ones say of the next ([`Expected`]), a run as a
//! chart ([`Chart`]), what CI reads (JUnit, GitHub Actions), container logs with their prefixes, the one thread that
//! writes them ([`Reporter`]), the file that shows where the time went ([`Trace`]), and with the feature `otel` what
//! OpenTelemetry is told of a run. *Must not know* the engine or the
//! executor, nor what is a terminal: it writes to a `Write` that it is given.

mod actions;
mod chain;
mod decide;
mod expected;
mod json;
mod junit;
mod logs;
mod moments;
#[cfg(feature = "otel")]
mod otlp;
mod past;
mod plain;
mod quiet;
mod reporter;
mod results;
mod story;
mod summary;
mod text;
mod timeline;
mod trace;
mod tty;
mod view;

pub use actions::{ActionsReport, Annotation, FileLine, Level, Token, step_summary};
pub use chain::{After, Chain, Link, released};
pub use decide::{AnsiMode, Display, DisplayFacts, ProgressMode};
pub use expected::{Expected, Figures, Place, Planned};
pub use json::{JsonLines, JsonReport};
pub use junit::junit;
pub use logs::{LogPrinter, LogRecord, LogStyle};
pub use moments::{Moments, Part, Span, StageSpan, spans};
#[cfg(feature = "otel")]
pub use otlp::{Resource, otlp_json, pairs_of, parent_of};
pub use past::{Changes, Outcome, PastProbe, PastRun, PastStep, Timing};
pub use plain::PlainReport;
pub use quiet::QuietReport;
pub use reporter::{Report, Reporter, Streams};
pub use results::{Case, CaseVerdict, CheckResult, Results};
pub use story::{StoryOptions, past_json, story, story_json};
pub use summary::{SummaryOptions, summary};
pub use text::{human_bytes, human_duration};
pub use timeline::{
    Advice, Bar, Chart, Comparison, Difference, Row, WaveRows, chart_json, page, svg_file, terminal,
};
pub use trace::{Group, Slice, Trace};
pub use tty::{StyledLine, TtyReport, frame};
pub use view::*;

//! What GitHub Actions reads from a log: workflow commands that fold lines and put annotations on files.
//!
//! The runner takes a line for a command wherever it comes from, and an older form of them in the middle of a line
//! too. So nothing that containers say is written while commands are obeyed: they are stopped under a token that
//! nobody can guess, and obeyed again only around our own.

use std::{collections::BTreeMap, fmt, io};

use super::{CaseVerdict, PlainReport, Report, Results, RunView, Streams, human_duration};
use crate::event::{Event, EventKind, Failure, RunFinished, Verdict};

/// How loud an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warning,
}

/// Where something was written: a file as the repository names it, and a line from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// The file.
    pub file: String,
    /// The line.
    pub line: usize,
}

/// A remark that is shown beside the run, and at its line where it is about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// How loud.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// Where to look.
    pub place: Option<FileLine>,
    /// In full.
    pub message: String,
}

impl fmt::Display for Annotation {
    /// As a workflow command, with its line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "::{level} ")?;
        if let Some(FileLine { file, line }) = &self.place {
            write!(f, "file={},line={line},", property(file))?;
        }
        writeln!(f, "title={}::{}", property(&self.title), data(&self.message))
    }
}

/// What follows `::` in a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// What commands are stopped and obeyed again with. Whoever knows it can give commands.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// From random letters and digits.
    pub fn new(random: impl Into<String>) -> Self {
        Self(random.into())
    }

    /// From this line on no command is obeyed.
    fn stop(&self) -> String {
        format!("::stop-commands::{}\n", self.0)
    }

    /// From this line on commands are obeyed.
    fn resume(&self) -> String {
        format!("::{}::\n", self.0)
    }

    /// Text that cannot give commands, whatever is in it.
    pub fn around(&self, text: &str) -> String {
        format!("{}{text}{}", self.stop(), self.resume())
    }
}

/// A line per change, folded by waves, with annotations for what failed and what is degraded.
///
/// Both streams have to be the same: the runner reads two of them in any order.
#[derive(Debug)]
pub struct ActionsReport {
    plain: PlainReport,
    token: Token,
    /// Where services are written.
    places: BTreeMap<String, FileLine>,
    stopped: bool,
    /// The wave whose lines are being folded.
    fold: Option<String>,
}

impl ActionsReport {
    /// `places`: where services are written.
    pub fn new(token: Token, places: BTreeMap<String, FileLine>) -> Self {
        Self { plain: PlainReport::default(), token, places, stopped: false, fold: None }
    }

    /// Stops commands before the first line that is not ours.
    fn guard(&mut self, streams: &mut Streams) -> io::Result<()> {
        if self.stopped {
            return Ok(());
        }
        self.stopped = true;
        streams.out.write_all(self.token.stop().as_bytes())
    }

    /// Gives commands.
    fn command(&mut self, streams: &mut Streams, commands: &str) -> io::Result<()> {
        if self.stopped {
            write!(streams.out, "{}{commands}{}", self.token.resume(), self.token.stop())?;
        } else {
            streams.out.write_all(commands.as_bytes())?;
        }
        streams.out.flush()
    }

    fn unfold(&mut self, streams: &mut Streams) -> io::Result<()> {
        match self.fold.take() {
            Some(_) => self.command(streams, "::endgroup::\n"),
            None => Ok(()),
        }
    }

    fn ended(&mut self, streams: &mut Streams, view: &RunView, finished: &RunFinished) -> io::Result<()> {
        for failure in finished.failures.iter().filter(|failure| !failure.log.is_empty()) {
            let title = format!("::group::last log lines of {}\n", data(&failure.service));
            self.command(streams, &title)?;
            for line in &failure.log {
                writeln!(streams.out, "  | {}", anstream::adapter::strip_str(line))?;
            }
            self.command(streams, "::endgroup::\n")?;
        }
        let mut annotations: String = match finished.verdict {
            Verdict::Succeeded | Verdict::Cancelled => String::new(),
            Verdict::Failed => finished.failures.iter().map(|f| self.failed(f).to_string()).collect(),
        };
        for service in &finished.degraded {
            let cause = view.replicas.iter().find(|r| r.replica.service == *service);
            let cause = cause.map(|r| r.cause.clone()).filter(|cause| !cause.is_empty());
            annotations += &Annotation {
                level: Level::Warning,
                title: format!("{service} is degraded"),
                place: self.places.get(service).cloned(),
                message: cause.unwrap_or_else(|| "it is not as it should be, and not critical".to_owned()),
            }
            .to_string();
        }
        if annotations.is_empty() { Ok(()) } else { self.command(streams, &annotations) }
    }

    fn failed(&self, failure: &Failure) -> Annotation {
        let mut message = failure.reason.clone();
        if !failure.dependents.is_empty() {
            let names: Vec<&str> = failure.dependents.iter().map(|d| d.service.as_str()).collect();
            message = format!("{message}\nnot started because of it: {}", names.join(", "));
        }
        let title = match failure.service.as_str() {
            "" => "the run failed".to_owned(),
            service => format!("{service} failed"),
        };
        let place = self.places.get(&failure.service).cloned();
        Annotation { level: Level::Error, title, place, message }
    }
}

impl Report for ActionsReport {
    fn event(&mut self, streams: &mut Streams, view: &RunView, event: &Event) -> io::Result<()> {
        self.guard(streams)?;
        match &event.kind {
            EventKind::WaveOpened { wave } => {
                self.unfold(streams)?;
                self.command(streams, &format!("::group::wave {}\n", data(wave)))?;
                self.fold = Some(wave.clone());
            }
            EventKind::Ready { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::Unwinding { .. }
            | EventKind::RunFinished(_) => self.unfold(streams)?,
            // How it went is seen without unfolding.
            EventKind::WaveReady { wave } | EventKind::WaveFailed { wave, .. }
                if self.fold.as_ref() == Some(wave) =>
            {
                self.unfold(streams)?;
            }
            _ => {}
        }
        self.plain.event(streams, view, event)?;
        match &event.kind {
            EventKind::Warning { message } => {
                let (level, title) = (Level::Warning, "docker orch".to_owned());
                let annotation = Annotation { level, title, place: None, message: message.clone() };
                self.command(streams, &annotation.to_string())
            }
            EventKind::RunFinished(finished) => self.ended(streams, view, finished),
            _ => Ok(()),
        }
    }

    fn logs(&mut self, streams: &mut Streams, _: &RunView, lines: &str) -> io::Result<()> {
        self.guard(streams)?;
        streams.out.write_all(lines.as_bytes())?;
        streams.out.flush()
    }

    fn finish(&mut self, streams: &mut Streams) -> io::Result<()> {
        self.unfold(streams)?;
        if std::mem::replace(&mut self.stopped, false) {
            streams.out.write_all(self.token.resume().as_bytes())?;
        }
        streams.out.flush()
    }
}

/// A table of services with time and outcome, in Markdown.
pub fn step_summary(results: &Results) -> String {
    let view = &results.past.view;
    let command = cell(&view.command);
    let mut text = format!("### docker orch {command}: {}\n\n", cell(&results.outcome()));
    if let Some(error) = &results.error {
        // Indented: nothing in it is Markdown.
        text.extend(error.lines().map(|line| format!("    {}\n", anstream::adapter::strip_str(line))));
        text.push('\n');
    }
    if results.cases.is_empty() {
        return text;
    }
    let waves = results.cases.iter().any(|case| case.wave.is_some());
    let column = |text: &str| if waves { format!(" {text} |") } else { String::new() };
    line(&mut text, &format!("| service |{} outcome | time | why |", column("wave")));
    line(&mut text, &format!("|---|{}---|--:|---|", column("---")));
    for case in &results.cases {
        let mark = match case.verdict {
            CaseVerdict::Passed => "✅",
            CaseVerdict::Failed => "❌",
            CaseVerdict::Degraded => "⚠️",
            CaseVerdict::Skipped | CaseVerdict::Interrupted => "⏭️",
        };
        let wave = column(&cell(case.wave.as_deref().unwrap_or_default()));
        let took = case.took.map(human_duration).unwrap_or_default();
        let (name, word, why) = (cell(&case.name), case.verdict.word(), cell(&case.reason));
        line(&mut text, &format!("| {name} |{wave} {mark} {word} | {took} | {why} |"));
    }
    text.push('\n');
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Text that is nothing but text in a table of Markdown.
fn cell(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    let mut escaped = String::new();
    for c in plain.chars() {
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{Dependent, ServiceState},
        report::{
            reporter::tests::Shared,
            results::tests::{finished, of},
            view::tests::{events, service, started},
        },
    };

    fn shown(kinds: Vec<EventKind>, logs: &str) -> String {
        let out = Shared::default();
        let mut streams = Streams { out: Box::new(out.clone()), err: Box::new(out.clone()) };
        let place = FileLine { file: "deploy/compose.yaml".into(), line: 12 };
        let mut report = ActionsReport::new(Token::new("t0ken"), [("db".to_owned(), place)].into());
        let mut view = RunView::default();
        for event in events((0u64..).step_by(500).zip(kinds).collect()) {
            view.apply(&event);
            report.event(&mut streams, &view, &event).unwrap();
        }
        report.logs(&mut streams, &view, logs).unwrap();
        report.finish(&mut streams).unwrap();
        out.text()
    }

    fn failure() -> Failure {
        Failure {
            service: "db".into(),
            reason: "exited with code 1: 100% full,\nsee ::error::x".into(),
            dependents: vec![Dependent { service: "web".into(), because: "db".into() }],
            log: vec!["::error::from a container".into()],
            ..Failure::default()
        }
    }

    #[test]
    fn waves_are_folded_and_what_failed_is_annotated_at_its_line() {
        let wave = || "data, first".to_owned();
        let text = shown(
            vec![
                started(),
                EventKind::WaveOpened { wave: wave() },
                service("db", ServiceState::Starting, ""),
                EventKind::WaveFailed { wave: wave(), reason: "db failed".into() },
                EventKind::Warning { message: "`x` is ignored".into() },
                finished(Verdict::Failed, vec![failure()]),
            ],
            "##[add-mask]everything\n",
        );
        assert_snapshot!(text, @"
        ::stop-commands::t0ken
           0.0s  shop   up
        ::t0ken::
        ::group::wave data, first
        ::stop-commands::t0ken
           0.5s  wave data, first  open
           1.0s  db-1   starting
        ::t0ken::
        ::endgroup::
        ::stop-commands::t0ken
           1.5s  wave data, first  failed: db failed
           2.0s  warning  `x` is ignored
        ::t0ken::
        ::warning title=docker orch::`x` is ignored
        ::stop-commands::t0ken
        ::t0ken::
        ::group::last log lines of db
        ::stop-commands::t0ken
          | ::error::from a container
        ::t0ken::
        ::endgroup::
        ::stop-commands::t0ken
        ::t0ken::
        ::error file=deploy/compose.yaml,line=12,title=db failed::exited with code 1: 100%25 full,%0Asee ::error::x%0Anot started because of it: web
        ::stop-commands::t0ken
        ##[add-mask]everything
        ::t0ken::
        ");
    }

    #[test]
    fn whatever_is_not_ours_is_written_while_commands_are_stopped() {
        let hostile = "::error::one\n  ::set-output name=a::b\ndb-1 | ##[group]two\n";
        let text = shown(vec![started(), finished(Verdict::Failed, vec![failure()])], hostile);
        let mut obeyed = true;
        for line in text.lines() {
            match line {
                "::stop-commands::t0ken" => obeyed = false,
                "::t0ken::" => obeyed = true,
                line if hostile.contains(line) || line.contains("from a container") => {
                    assert!(!obeyed, "{line}\n{text}");
                }
                line if line.starts_with("::") => assert!(obeyed, "{line}\n{text}"),
                _ => {}
            }
        }
        assert!(obeyed, "{text}");
        assert_eq!(Token::new("t").around("##[x]\n"), "::stop-commands::t\n##[x]\n::t::\n");
    }

    #[test]
    fn the_table_of_a_step_holds_text_and_nothing_else() {
        let mut results = of(vec![
            started(),
            service("web", ServiceState::Blocked, "waits for db"),
            finished(Verdict::Failed, vec![Failure { reason: "a|b <script> *x*\nnext".into(), ..failure() }]),
        ]);
        assert_snapshot!(step_summary(&results), @r"
        ### docker orch up: failed, rolled back

        | service | outcome | time | why |
        |---|---|--:|---|
        | db | ❌ failed |  | a\|b &lt;script> \*x\* next |
        | web | ⏭️ skipped |  | not started: db was not ready |
        ");
        results.cases.clear();
        results.error = Some("error: no engine".into());
        assert!(step_summary(&results).ends_with("\n\n    error: no engine\n\n"));
    }
}

//! `logs`: what containers write, with their names.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    time::SystemTime,
};

use futures::{
    StreamExt as _,
    stream::{BoxStream, SelectAll},
};

use super::{
    CliError, Exit, Invocation,
    args::{LogsArgs, parse_duration},
    scope::{Subject, is_of},
};
use crate::{
    engine::{Engine, EngineAction, EngineError, EngineEvent, LogLine, LogOptions},
    executor::{SignalSources, Signals},
    journal::rfc3339,
    plan::Container,
    report::{LogPrinter, LogRecord, LogStyle},
};

/// Shows logs.
///
/// # Errors
///
/// The files are wrong, a service is unknown, a time is none, or the engine refuses.
pub(super) async fn run(invocation: &Invocation, args: &LogsArgs) -> Result<Exit, CliError> {
    let options = options(args)?;
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    // Before the list, so that no start between the two is missed.
    let events = if args.follow {
        let events = engine.events(&subject.name).await;
        Some(events.map_err(|e| CliError::engine("failed to follow what happens", &e))?)
    } else {
        None
    };
    let observed = subject.observe(&*engine).await?;
    subject.check_services(&args.services, &observed.containers)?;
    let style = LogStyle {
        colour: invocation.display().out_colour && !args.no_color,
        prefix: !args.no_log_prefix,
        timestamps: args.timestamps,
    };
    let mut following = Following {
        engine: &*engine,
        subject: &subject,
        args,
        options,
        printer: LogPrinter::new(style),
        sources: SelectAll::new(),
        open: BTreeSet::new(),
    };
    let wanted: Vec<_> = observed.containers.iter().filter(|c| following.wants(c)).collect();
    for container in wanted {
        following.printer.expect(subject.short_name(&container.name));
        following.open(container, None);
    }
    if let Some(events) = events {
        following.sources.push(events.map(Item::Event).boxed());
    }
    let ended = tokio::select! {
        biased;
        _ = signals.next() => None,
        result = following.print() => Some(result),
    };
    match ended {
        None => Ok(Exit::Interrupted),
        Some(result) => result.map(|()| Exit::Fine),
    }
}

/// One thing that arrives.
enum Item {
    Line { container: String, name: String, service: String, line: Result<LogLine, EngineError> },
    End { container: String },
    Event(Result<EngineEvent, EngineError>),
}

struct Following<'a> {
    engine: &'a dyn Engine,
    subject: &'a Subject,
    args: &'a LogsArgs,
    options: LogOptions,
    printer: LogPrinter,
    sources: SelectAll<BoxStream<'static, Item>>,
    /// Containers whose log is being read.
    open: BTreeSet<String>,
}

impl Following<'_> {
    fn wants(&self, container: &Container) -> bool {
        let named = !self.args.services.is_empty();
        let attached = container
            .service()
            .and_then(|s| self.subject.project.as_ref()?.services.get(s))
            .is_none_or(|service| service.attach != Some(false));
        is_of(container, &self.args.services)
            && !container.is_oneoff()
            && (named || attached)
            && self.args.index.is_none_or(|index| container.number() == index)
    }

    /// Reads a container's log; `since`: only what is newer.
    fn open(&mut self, container: &Container, since: Option<String>) {
        let mut options = self.options.clone();
        if since.is_some() {
            (options.since, options.tail) = (since, None);
        }
        let (id, service) = (container.id.clone(), container.service().unwrap_or_default().to_owned());
        let name = self.subject.short_name(&container.name).to_owned();
        let end = id.clone();
        let lines = self.engine.logs(&container.id, &options).map(move |line| Item::Line {
            container: id.clone(),
            name: name.clone(),
            service: service.clone(),
            line,
        });
        self.open.insert(container.id.clone());
        let ending = futures::stream::once(async move { Item::End { container: end } });
        self.sources.push(lines.chain(ending).boxed());
    }

    /// Prints until every log has ended, and with `-f` for as long as the project has containers.
    async fn print(&mut self) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        while let Some(item) = self.sources.next().await {
            match item {
                Item::Line { name, service, line: Ok(line), .. } => {
                    let record = LogRecord { name, service, timestamp: line.timestamp, text: line.text };
                    let text = self.printer.format(&record);
                    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                        written => written.map_err(|e| {
                            CliError::failed("failed to write to standard output").caused_by(&e)
                        })?,
                    }
                }
                Item::Line { container, name, line: Err(error), .. } => {
                    self.open.remove(&container);
                    tracing::warn!("the log of {name} cannot be read: {error}");
                }
                Item::End { container } => {
                    self.open.remove(&container);
                    if self.open.is_empty() && self.is_over().await? {
                        return Ok(());
                    }
                }
                Item::Event(Ok(event)) => self.happened(&event).await?,
                Item::Event(Err(error)) => return Err(CliError::engine("lost the engine's events", &error)),
            }
        }
        Ok(())
    }

    /// A container that starts, for the first time or again, is followed from then on.
    async fn happened(&mut self, event: &EngineEvent) -> Result<(), CliError> {
        if event.action != EngineAction::Started || self.open.contains(&event.container) {
            return Ok(());
        }
        let observed = self.subject.observe(self.engine).await?;
        if let Some(container) = observed.containers.iter().find(|c| c.id == event.container)
            && self.wants(container)
        {
            let seconds = event.at_nanos / 1_000_000_000;
            self.open(container, Some(format!("{seconds}.{:09}", event.at_nanos % 1_000_000_000)));
        }
        Ok(())
    }

    /// Nothing runs, so nothing will be written any more.
    async fn is_over(&self) -> Result<bool, CliError> {
        use crate::plan::ContainerState::{Paused, Restarting, Running};
        let observed = self.subject.observe(self.engine).await?;
        Ok(!observed
            .containers
            .iter()
            .any(|c| self.wants(c) && matches!(c.state, Running | Paused | Restarting)))
    }
}

fn options(args: &LogsArgs) -> Result<LogOptions, CliError> {
    let tail = match args.tail.as_str() {
        "all" => None,
        number => Some(number.parse().map_err(|_| {
            CliError::usage(format!("`--tail {number}`: expected a number of lines, or `all`"))
        })?),
    };
    let time = |text: &Option<String>| text.as_deref().map(|text| moment(text, SystemTime::now()));
    Ok(LogOptions {
        follow: args.follow,
        tail,
        since: time(&args.since),
        until: time(&args.until),
        timestamps: args.timestamps,
    })
}

/// A time as the engine takes it: `42m` is so long ago, everything else is passed on.
fn moment(text: &str, now: SystemTime) -> String {
    let is_number = text.parse::<f64>().is_ok();
    match parse_duration(text) {
        Ok(ago) if !is_number => rfc3339(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)),
        _ => text.to_owned(),
    }
}

impl Invocation {
    /// Where requests to end come from.
    pub fn signal_sources(&self) -> SignalSources {
        SignalSources {
            socket: self.env("DOCKER_CLI_PLUGIN_SOCKET").map(str::to_owned),
            watch_parent: self.env("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND").is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_duration_is_so_long_ago_and_a_time_is_itself() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(moment("20m", now), "2023-11-14T21:53:20.000Z");
        assert_eq!(moment("1700000000", now), "1700000000");
        assert_eq!(moment("2026-01-02T13:23:37Z", now), "2026-01-02T13:23:37Z");
    }

    #[test]
    fn tail_is_a_number_or_all() {
        let of = |tail: &str| options(&LogsArgs { tail: tail.into(), ..LogsArgs::default() }).map(|o| o.tail);
        assert_eq!(of("all"), Ok(None));
        assert_eq!(of("5"), Ok(Some(5)));
        assert_eq!(of("five").unwrap_err().exit(), Exit::Usage);
    }
}

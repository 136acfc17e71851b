//! `timeline`: a run as a chart, with its critical chain, and beside another run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    CliError, Exit, Invocation,
    args::{ChartFormat, TimelineArgs},
    console,
    entry::{note, print},
    history::{find, kept, past},
};
use crate::{
    journal::KeptRun,
    report::{Chart, Comparison, chart_json, page, svg_file, terminal},
};

/// Columns where the output is no terminal.
const COLUMNS: usize = 100;

/// Shows a run as a chart.
///
/// # Errors
///
/// The files are wrong, the record cannot be read, there is no such run, it started nothing, or the file cannot be written.
pub(super) fn run(invocation: &Invocation, args: &TimelineArgs) -> Result<Exit, CliError> {
    let project = invocation.subject()?.name;
    let runs = kept(invocation, &project)?;
    let (place, chart) = match &args.run {
        Some(wanted) => {
            let run = find(invocation, &project, &runs, wanted)?;
            let chart = chart(run);
            if chart.is_empty() {
                let command = if chart.command.is_empty() { "it" } else { &chart.command };
                return Err(CliError::failed(format!(
                    "run {} has no timeline: {command} started nothing",
                    run.id
                ))
                .hint(format!(
                    "`{} history show {}` tells what it did",
                    invocation.again(),
                    run.id
                )));
            }
            (runs.iter().position(|other| other.id == run.id).unwrap_or(0), chart)
        }
        None => first(&runs, 0, |_| true).ok_or_else(|| {
            CliError::failed(format!("no run of {project} that started something is recorded"))
                .hint(format!("`{} up` makes the first", invocation.again()))
        })?,
    };
    let comparison = match args.compare.as_deref() {
        None => None,
        Some("") => {
            let (_, then) = first(&runs, place + 1, |then| then.ready.is_some()).ok_or_else(|| {
                CliError::failed(format!(
                    "no run before {} was ready, so there is none to compare with",
                    chart.run
                ))
                .hint(format!("`{} history` lists all; name one: `--compare RUN`", invocation.again()))
            })?;
            Some(Comparison::of(&chart, &then))
        }
        Some(wanted) => {
            let then = self::chart(find(invocation, &project, &runs, wanted)?);
            Some(Comparison::of(&chart, &then))
        }
    };
    write(invocation, args, &chart, comparison.as_ref())
}

fn chart(run: &KeptRun) -> Chart {
    Chart::of(&past(run), &run.id)
}

/// The newest run from a place on that started something.
fn first(runs: &[KeptRun], from: usize, wanted: impl Fn(&Chart) -> bool) -> Option<(usize, Chart)> {
    let charts = runs.iter().enumerate().skip(from).map(|(place, run)| (place, chart(run)));
    charts.into_iter().find(|(_, chart)| !chart.is_empty() && wanted(chart))
}

fn write(
    invocation: &Invocation,
    args: &TimelineArgs,
    chart: &Chart,
    comparison: Option<&Comparison>,
) -> Result<Exit, CliError> {
    let file = args.output.as_deref().filter(|file| *file != Path::new("-"));
    let format = args.format.or_else(|| file.and_then(by_ending)).unwrap_or_default();
    let text = match format {
        ChartFormat::Table => {
            let colours = file.is_none() && invocation.display().out_colour;
            let columns = match file {
                None if invocation.terminals.stdout => console::size().map(|size| usize::from(size.columns)),
                _ => None,
            };
            let lines = terminal(chart, comparison, columns.unwrap_or(COLUMNS), colours);
            let line = |line: &crate::report::StyledLine| if colours { line.ansi() } else { line.plain() };
            lines.iter().map(|one| line(one).trim_end().to_owned() + "\n").collect()
        }
        ChartFormat::Svg => svg_file(chart, comparison),
        ChartFormat::Html => page(chart, comparison),
        ChartFormat::Json => format!("{:#}\n", chart_json(chart, comparison)),
    };
    let Some(file) = file else { return Ok(print(&text)) };
    let path = invocation.cwd.join(file);
    fs::write(&path, text)
        .map_err(|e| CliError::failed(format!("failed to write `{}`", file.display())).caused_by(&e))?;
    note(&format!("the timeline of run {} is in {}", chart.run, file.display()));
    Ok(Exit::Fine)
}

/// What a file's name says of its format.
fn by_ending(file: &Path) -> Option<ChartFormat> {
    match PathBuf::from(file).extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "svg" => Some(ChartFormat::Svg),
        "html" | "htm" => Some(ChartFormat::Html),
        "json" => Some(ChartFormat::Json),
        _ => None,
    }
}

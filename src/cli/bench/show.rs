//! A comparison as a table, and for programs.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::figures::{Figures, Measured, Step};
use crate::cli::{args::Way, table::table};

/// All that is shown.
pub(super) struct Comparison<'a> {
    /// The project, by the name that its files give it.
    pub(super) project: &'a str,
    /// The version of the engine.
    pub(super) engine: &'a str,
    /// How often each way was asked for.
    pub(super) runs: u32,
    pub(super) measured: &'a [Measured],
    /// What has to be known to read the figures.
    pub(super) notes: &'a [String],
}

impl Comparison<'_> {
    fn figures(&self, way: Way, step: Step) -> Option<Figures> {
        self.measured.iter().find(|measured| measured.way == way)?.figures(step)
    }

    /// How many times faster than another way this one is at a step.
    fn faster(&self, own: Way, step: Step, other: Way) -> Option<f64> {
        self.figures(own, step)?.faster_than(&self.figures(other, step)?)
    }

    /// For people: a row for each step of each way.
    pub(super) fn text(&self) -> String {
        let is_there = |way: Way| self.measured.iter().any(|measured| measured.way == way);
        let others = [(Way::Sequential, "AGAINST SEQUENTIAL"), (Way::Compose, "AGAINST COMPOSE")];
        let others = others.iter().filter(|(way, _)| is_there(*way) && self.measured.len() > 1);
        let others: Vec<&(Way, &str)> = others.collect();
        let mut headings = vec!["STEP", "WAY", "MEDIAN", "MIN", "MAX", "CPU"];
        headings.extend(others.iter().map(|(_, heading)| heading));
        headings.push("RUNS");
        let mut rows = Vec::new();
        for step in Step::ALL {
            for measured in self.measured {
                let Some(figures) = measured.figures(step) else {
                    // One row is enough for a way without any figures.
                    if step == Step::Up {
                        let mut row = vec![step.word().to_owned(), measured.way.word().to_owned()];
                        row.resize(headings.len() - 1, "-".to_owned());
                        row.push(runs(measured, step));
                        rows.push(row);
                    }
                    continue;
                };
                let times = [figures.median, figures.min, figures.max].map(seconds);
                let mut row = vec![step.word().to_owned(), measured.way.word().to_owned()];
                row.extend(times);
                row.push(figures.cpu.map_or_else(|| "-".to_owned(), seconds));
                let against = |other: Way| match self.faster(measured.way, step, other) {
                    _ if other == measured.way => "-".to_owned(),
                    Some(ratio) => words(ratio),
                    None => "-".to_owned(),
                };
                row.extend(others.iter().map(|(other, _)| against(*other)));
                row.push(runs(measured, step));
                rows.push(row);
            }
        }
        let mut text = table(&headings, &rows);
        for (index, note) in self.notes.iter().enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            writeln!(text, "{gap}{note}").expect("writing to a String cannot fail");
        }
        text
    }

    /// For programs: every single time, too.
    pub(super) fn json(&self) -> Value {
        let way = |measured: &Measured| {
            let steps: Vec<Value> = Step::ALL
                .into_iter()
                .filter_map(|step| Some(self.step_json(measured, step, measured.figures(step)?)))
                .collect();
            json!({
                "way": measured.way.word(),
                "runs": measured.laps.len(),
                "failed": measured.failed,
                "steps": steps,
            })
        };
        json!({
            "project": self.project,
            "engine_version": self.engine,
            "runs": self.runs,
            "ways": self.measured.iter().map(way).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    fn step_json(&self, measured: &Measured, step: Step, figures: Figures) -> Value {
        let faster = |other: Way| self.faster(measured.way, step, other).map(|ratio| round(ratio, 100.0));
        json!({
            "step": step.word(),
            "median_seconds": millis(figures.median),
            "min_seconds": millis(figures.min),
            "max_seconds": millis(figures.max),
            "cpu_seconds": figures.cpu.map(millis),
            "times_faster_than_sequential": faster(Way::Sequential),
            "times_faster_than_compose": faster(Way::Compose),
            "seconds": measured.times(step).into_iter().map(millis).collect::<Vec<_>>(),
        })
    }
}

/// How many of its runs count, and in the first row of a way why there are no more.
fn runs(measured: &Measured, step: Step) -> String {
    match (measured.failed.as_ref().filter(|_| step == Step::Up), measured.laps.len()) {
        (None, runs) => runs.to_string(),
        (Some(why), 0) => format!("failed: {why}"),
        (Some(why), runs) => format!("{runs}, then failed: {why}"),
    }
}

/// `0.34s`, `12.50s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.2}s", time.as_secs_f64())
}

/// `2.1x faster`, `1.3x slower`, `the same`.
fn words(ratio: f64) -> String {
    match ratio {
        _ if ratio >= 1.05 => format!("{ratio:.1}x faster"),
        _ if ratio <= 1.0 / 1.05 => format!("{:.1}x slower", 1.0 / ratio),
        _ => "the same".to_owned(),
    }
}

fn millis(time: Duration) -> f64 {
    round(time.as_secs_f64(), 1000.0)
}

fn round(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::measured, *};

    fn comparison<'a>(measured: &'a [Measured], notes: &'a [String]) -> Comparison<'a> {
        Comparison { project: "shop", engine: "28.5.2", runs: 3, measured, notes }
    }

    #[test]
    fn each_step_of_each_way_has_a_row() {
        let measured = [
            measured(Way::Sequential, &[6000, 6200, 6100]),
            measured(Way::Orch, &[2000, 2100, 1900]),
            measured(Way::Compose, &[5000, 4000, 6000]),
        ];
        let notes = ["compose: ready means something else".to_owned(), "and one more".to_owned()];
        insta::assert_snapshot!(comparison(&measured, &notes).text(), @r"
        STEP      WAY          MEDIAN    MIN       MAX       CPU       AGAINST SEQUENTIAL   AGAINST COMPOSE   RUNS
        up        sequential   6.10s     6.00s     6.20s     0.12s     -                    1.2x slower       3
        up        orch         2.00s     1.90s     2.10s     0.04s     3.0x faster          2.5x faster       3
        up        compose      5.00s     4.00s     6.00s     0.10s     1.2x faster          -                 3
        no-op     sequential   0.61s     0.60s     0.62s     0.01s     -                    1.2x slower       3
        no-op     orch         0.20s     0.19s     0.21s     0.00s     3.0x faster          2.5x faster       3
        no-op     compose      0.50s     0.40s     0.60s     0.01s     1.2x faster          -                 3
        down      sequential   0.61s     0.60s     0.62s     0.01s     -                    1.2x slower       3
        down      orch         0.20s     0.19s     0.21s     0.00s     3.0x faster          2.5x faster       3
        down      compose      0.50s     0.40s     0.60s     0.01s     1.2x faster          -                 3

        compose: ready means something else
        and one more
        ");
    }

    #[test]
    fn a_way_that_fails_says_why_and_the_others_are_compared() {
        let mut never = measured(Way::Compose, &[]);
        never.failed = Some("container web exited (3)".to_owned());
        let mut once = measured(Way::Orch, &[2000]);
        once.failed = Some("web: exited with code 3".to_owned());
        let measured = [measured(Way::Sequential, &[2000, 2000, 2000]), once, never];
        insta::assert_snapshot!(comparison(&measured, &[]).text(), @r"
        STEP      WAY          MEDIAN    MIN       MAX       CPU       AGAINST SEQUENTIAL   AGAINST COMPOSE   RUNS
        up        sequential   2.00s     2.00s     2.00s     0.04s     -                    -                 3
        up        orch         2.00s     2.00s     2.00s     0.04s     the same             -                 1, then failed: web: exited with code 3
        up        compose      -         -         -         -         -                    -                 failed: container web exited (3)
        no-op     sequential   0.20s     0.20s     0.20s     0.00s     -                    -                 3
        no-op     orch         0.20s     0.20s     0.20s     0.00s     the same             -                 1
        down      sequential   0.20s     0.20s     0.20s     0.00s     -                    -                 3
        down      orch         0.20s     0.20s     0.20s     0.00s     the same             -                 1
        ");
    }

    #[test]
    fn one_way_alone_is_compared_with_nothing() {
        insta::assert_snapshot!(comparison(&[measured(Way::Compose, &[2000])], &[]).text(), @r"
        STEP      WAY       MEDIAN    MIN       MAX       CPU       RUNS
        up        compose   2.00s     2.00s     2.00s     0.04s     1
        no-op     compose   0.20s     0.20s     0.20s     0.00s     1
        down      compose   0.20s     0.20s     0.20s     0.00s     1
        ");
    }

    #[test]
    fn programs_get_every_time() {
        let measured = [measured(Way::Sequential, &[6000, 6100]), measured(Way::Orch, &[2000, 2100])];
        let json = comparison(&measured, &[]).json();
        let up = &json["ways"][1]["steps"][0];
        assert_eq!((&json["project"], &json["ways"][1]["way"]), (&json!("shop"), &json!("orch")));
        assert_eq!((&up["median_seconds"], &up["seconds"]), (&json!(2.05), &json!([2.0, 2.1])));
        assert_eq!(up["times_faster_than_sequential"], json!(2.95));
        assert_eq!(up["times_faster_than_compose"], Value::Null);
    }
}

//! Prometheus' text format.

use std::fmt::Write as _;

/// What a scrape is told about the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kinds of metrics that are used here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// One metric: its name, what it is, and what it measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
}

/// Labels of a sample, in order.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The text in the making.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// Writes a metric with all its samples; nothing where it has none.
    pub(super) fn family(&mut self, family: Family, samples: impl FnOnce(&mut Samples<'_>)) {
        let Family { name, kind, help } = family;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let before = self.0.len();
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        let head = self.0.len();
        samples(&mut Samples { text: self, name });
        if self.0.len() == head {
            self.0.truncate(before);
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String cannot fail");
    }
}

/// The samples of one metric.
pub(super) struct Samples<'a> {
    text: &'a mut Text,
    name: &'static str,
}

impl Samples<'_> {
    /// One sample.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    /// The samples of a histogram: for each upper bound how many values are not above it, in order; their sum; their number.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], sum: f64, count: u64) {
        for (bound, upto) in buckets {
            self.line("_bucket", labels, Some(&bound.to_string()), whole(*upto));
        }
        self.line("_bucket", labels, Some("+Inf"), whole(count));
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, whole(count));
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: f64) {
        let pairs = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let name = self.name;
        self.text.push(format_args!("{name}{suffix}{{{}}} {value}\n", pairs.join(",")));
    }
}

/// A number of things; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format knows only floating point numbers")]
pub(super) fn whole(count: u64) -> f64 {
    count as f64
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped_and_a_metric_without_samples_is_left_out() {
        let family = |kind| Family { name: "x_seconds", kind, help: "How long." };
        let mut text = Text::default();
        text.family(family(Kind::Gauge), |_| {});
        assert_eq!(text.0, "");
        text.family(family(Kind::Gauge), |s| s.sample(&[("a", "b\\c\"d\ne")], 1.5));
        text.family(family(Kind::Histogram), |s| {
            s.histogram(&[("a", "b")], &[(0.005, 1), (1.0, 2)], 12.25, 3);
        });
        insta::assert_snapshot!(text.0, @r#"
        # HELP x_seconds How long.
        # TYPE x_seconds gauge
        x_seconds{a="b\\c\"d\ne"} 1.5
        # HELP x_seconds How long.
        # TYPE x_seconds histogram
        x_seconds_bucket{a="b",le="0.005"} 1
        x_seconds_bucket{a="b",le="1"} 2
        x_seconds_bucket{a="b",le="+Inf"} 3
        x_seconds_sum{a="b"} 12.25
        x_seconds_count{a="b"} 3
        "#);
    }
}

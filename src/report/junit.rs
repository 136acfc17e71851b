//! A run as a JUnit report, which CI servers read: a suite a project, a case a container.
//!
//! The form is what Jenkins and Surefire have published schemas of. Written by hand: it is a page, where a library for
//! it brings seven others.

use std::{fmt::Write as _, time::Duration};

use super::{Case, CaseVerdict, Results, results::failure_of};

/// The report. What XML cannot hold of logs, control characters, is left out or replaced.
pub fn junit(results: &Results) -> String {
    let view = &results.past.view;
    let project = if view.project.is_empty() { "docker orch" } else { &view.project };
    let tests = results.cases.len() + usize::from(results.error.is_some());
    let errors = results.count(CaseVerdict::Interrupted) + usize::from(results.error.is_some());
    let skipped = results.count(CaseVerdict::Skipped) + results.count(CaseVerdict::Degraded);
    let failures = results.count(CaseVerdict::Failed);
    let counts = format!(r#"tests="{tests}" failures="{failures}" errors="{errors}""#);
    let time = seconds(view.at.since_start());
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    line(&mut text, &format!(r#"<testsuites name="docker orch" {counts} time="{time}">"#));
    let name = attribute(project);
    // As the schemas have it: without a time zone, in UTC.
    let timestamp = results.past.time.split(['.', 'Z']).next().unwrap_or_default();
    let timestamp = if timestamp.is_empty() {
        String::new()
    } else {
        format!(r#" timestamp="{}""#, attribute(timestamp))
    };
    line(
        &mut text,
        &format!(r#"  <testsuite name="{name}" {counts} skipped="{skipped}" time="{time}"{timestamp}>"#),
    );
    properties(&mut text, results);
    for case in &results.cases {
        one(&mut text, results, project, case);
    }
    if let Some(error) = &results.error {
        let command = attribute(&view.command);
        line(&mut text, &format!(r#"    <testcase classname="{name}" name="{command}" time="0.000">"#));
        let message = attribute(error.lines().next().unwrap_or_default());
        line(
            &mut text,
            &format!(r#"      <error type="run" message="{message}">{}</error>"#, content(error)),
        );
        line(&mut text, "    </testcase>");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn properties(text: &mut String, results: &Results) {
    let view = &results.past.view;
    let code = results.exit_code.map(|code| code.to_string());
    let all = [
        ("command", view.command.clone()),
        ("run", view.run.clone()),
        ("engine", results.past.engine.clone()),
        ("outcome", results.outcome()),
        ("exit_code", code.unwrap_or_default()),
    ];
    line(text, "    <properties>");
    for (name, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
        line(text, &format!(r#"      <property name="{name}" value="{}"/>"#, attribute(value)));
    }
    line(text, "    </properties>");
}

fn one(text: &mut String, results: &Results, project: &str, case: &Case) {
    let class = case.wave.as_ref().map_or_else(|| project.to_owned(), |wave| format!("{project}.{wave}"));
    let time = seconds(case.took.unwrap_or_default());
    let (class, name) = (attribute(&class), attribute(&case.name));
    line(text, &format!(r#"    <testcase classname="{class}" name="{name}" time="{time}">"#));
    let message = attribute(&case.reason);
    match case.verdict {
        CaseVerdict::Passed => {}
        CaseVerdict::Failed => {
            let failure = failure_of(results, case);
            let kind = match failure {
                Some(failure) if failure.timed_out => "timed out",
                _ if case.exit_code.is_some() => "exited",
                _ => "failed",
            };
            let mut told = case.reason.clone();
            for dependent in failure.iter().flat_map(|failure| &failure.dependents) {
                write!(told, "\nnot started because of it: {}", dependent.service)
                    .expect("writing to a String cannot fail");
            }
            line(
                text,
                &format!(r#"      <failure type="{kind}" message="{message}">{}</failure>"#, content(&told)),
            );
        }
        CaseVerdict::Degraded => {
            let message = attribute(&format!("degraded: {}", case.reason));
            line(text, &format!(r#"      <skipped message="{message}"/>"#));
        }
        CaseVerdict::Skipped => line(text, &format!(r#"      <skipped message="{message}"/>"#)),
        CaseVerdict::Interrupted => {
            line(text, &format!(r#"      <error type="interrupted" message="{message}"/>"#));
        }
    }
    let mut said: Vec<String> = case.checks.iter().map(|check| format!("check {}", check.words())).collect();
    said.extend(case.log.iter().cloned());
    if !said.is_empty() {
        line(text, &format!("      <system-out>{}</system-out>", content(&said.join("\n"))));
    }
    line(text, "    </testcase>");
}

/// To the millisecond, as the schemas have it.
fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text between tags.
fn content(text: &str) -> String {
    escaped(text, |c| match c {
        '\r' => Some("&#13;"),
        _ => None,
    })
}

/// Text between double quotes.
fn attribute(text: &str) -> String {
    escaped(text, |c| match c {
        '"' => Some("&quot;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        '\t' => Some("&#9;"),
        _ => None,
    })
}

fn escaped(text: &str, also: impl Fn(char) -> Option<&'static str>) -> String {
    // Colours are no part of what was said.
    let plain = anstream::adapter::strip_str(text).to_string();
    let mut escaped = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => match also(c) {
                Some(entity) => escaped.push_str(entity),
                None if is_allowed(c) => escaped.push(c),
                None => escaped.push(char::REPLACEMENT_CHARACTER),
            },
        }
    }
    escaped
}

/// Whether XML 1.0 can hold a character at all.
fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        event::{Dependent, Failure, ServiceState, Verdict},
        report::{
            results::tests::{finished, of},
            view::tests::{probed, service, started},
        },
    };

    #[test]
    fn a_failed_run_is_a_suite_with_a_case_for_each_service() {
        let failure = Failure {
            service: "db".into(),
            reason: "exited with code 1: \"<no space> & more\"".into(),
            exit_code: Some(1),
            dependents: vec![Dependent { service: "web".into(), because: "db".into() }],
            log: vec!["\u{1b}[31mfatal\u{1b}[0m: bell \u{7}, nul \u{0}, ]]> end".into()],
            ..Failure::default()
        };
        let mut results = of(vec![
            started(),
            service("db", ServiceState::Starting, ""),
            probed("db", "connection refused"),
            service("db", ServiceState::Failed, "exited with code 1"),
            finished(Verdict::Failed, vec![failure]),
        ]);
        results.exit_code = Some(1);
        assert_snapshot!(junit(&results), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="docker orch" tests="2" failures="1" errors="0" time="2.000">
          <testsuite name="shop" tests="2" failures="1" errors="0" skipped="1" time="2.000" timestamp="2026-11-22T01:50:00">
            <properties>
              <property name="command" value="up"/>
              <property name="run" value="20261122T015000-1"/>
              <property name="outcome" value="failed, rolled back"/>
              <property name="exit_code" value="1"/>
            </properties>
            <testcase classname="shop" name="db" time="1.000">
              <failure type="exited" message="exited with code 1: &quot;&lt;no space&gt; &amp; more&quot;">exited with code 1: "&lt;no space&gt; &amp; more"
        not started because of it: web</failure>
              <system-out>check ready/http :80/: failed: connection refused
        fatal: bell , nul , ]]&gt; end</system-out>
            </testcase>
            <testcase classname="shop" name="web" time="0.000">
              <skipped message="not started: db was not ready"/>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn what_ended_before_any_service_is_an_error_of_its_own() {
        let mut results = of(vec![]);
        results.past.view.command = "up".into();
        results.error = Some("error[bad]: `x` is no key\n --> compose.yaml:1:1".into());
        assert_snapshot!(junit(&results), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="docker orch" tests="1" failures="0" errors="1" time="0.000">
          <testsuite name="docker orch" tests="1" failures="0" errors="1" skipped="0" time="0.000">
            <properties>
              <property name="command" value="up"/>
              <property name="outcome" value="failed"/>
            </properties>
            <testcase classname="docker orch" name="up" time="0.000">
              <error type="run" message="error[bad]: `x` is no key">error[bad]: `x` is no key
         --&gt; compose.yaml:1:1</error>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn a_run_without_an_end_says_so() {
        let text = junit(&of(vec![started(), service("db", ServiceState::Ready, "")]));
        assert!(text.contains(r#"tests="2" failures="0" errors="1""#), "{text}");
        assert!(text.contains(r#"<property name="outcome" value="interrupted"/>"#), "{text}");
        let error = r#"<error type="interrupted" message="interrupted: nothing was done for it yet"/>"#;
        assert!(text.contains(error), "{text}");
    }

    #[test]
    fn only_characters_that_xml_can_hold_are_written() {
        for c in ['\u{0}', '\u{8}', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
            assert_eq!(content(&format!("a{c}b")).chars().filter(|&c| !is_allowed(c)).count(), 0, "{c:?}");
        }
        assert_eq!(attribute("a\tb\nc\"<é\u{10ffff}"), "a&#9;b&#10;c&quot;&lt;é\u{10ffff}");
    }
}

//! What could come next on the command line, for shells: the protocol of `__complete` that the Docker CLI passes on.
//!
//! One candidate a line, `value<TAB>description`; the last line is a number that says what may follow.

use std::{collections::BTreeSet, ffi::OsString, fmt::Write as _};

use clap::{Arg, Command, CommandFactory as _, builder::PossibleValue};

use super::{Invocation, LocalFiles, args::Root, history};
use crate::{
    compose,
    journal::{KeptRun, short_ids},
    project::Project,
};

/// Runs that are offered.
const SHOWN_RUNS: usize = 20;

/// The answer for the words so far; the last one is unfinished. Asks no engine.
pub(super) fn answer(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (unfinished, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let mut root = Root::command();
    root.build();
    let place = Place::find(&root, before);
    if place.foreign {
        // A command for a container: what it takes is not known here.
        return Answer::files().text("");
    }
    if let Some(arg) = place.waiting {
        return Answer::value_of(arg, before).text(unfinished);
    }
    if let Some((flag, value)) = unfinished.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
        // The shell puts the flag before what it is answered.
        let arg = place.command.get_arguments().find(|arg| arg.get_long() == Some(flag));
        return arg.map_or_else(Answer::default, |arg| Answer::value_of(arg, before)).text(value);
    }
    if unfinished.starts_with('-') {
        return Answer::of(flags(place.command)).text(unfinished);
    }
    // `history` can be followed by a command, or by nothing.
    let mut answer =
        if place.command.has_subcommands() { Answer::of(commands(place.command)) } else { Answer::default() };
    for positional in place.command.get_positionals() {
        let Answer { candidates, next } = Answer::value_of(positional, before);
        let done = |value: &str| before.iter().any(|word| word == value);
        answer.candidates.extend(candidates.into_iter().filter(|(value, _)| !done(value)));
        answer.next = answer.next.max(next);
    }
    answer.text(unfinished)
}

/// What follows a candidate, or stands in for one: the numbers of the protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// A space.
    #[default]
    Word,
    /// The rest of the word: no space.
    Rest,
    /// Where there is no candidate, names of folders.
    Folder,
    /// Where there is no candidate, names of files.
    File,
}

/// Candidates with what is to be said of them.
#[derive(Debug, Clone, Default)]
struct Answer {
    candidates: Vec<(String, String)>,
    next: Next,
}

impl Answer {
    fn of(candidates: Vec<(String, String)>) -> Self {
        Self { candidates, next: Next::Word }
    }

    fn files() -> Self {
        Self { candidates: Vec::new(), next: Next::File }
    }

    /// What the value of a flag, or a positional argument, can be.
    fn value_of(arg: &Arg, before: &[String]) -> Self {
        let bare = |names: Vec<String>| names.into_iter().map(|name| (name, String::new())).collect();
        let known = arg.get_possible_values();
        if !known.is_empty() {
            let one = |value: &PossibleValue| (value.get_name().to_owned(), about(value.get_help()));
            return Self::of(known.iter().map(one).collect());
        }
        if arg.is_trailing_var_arg_set() {
            return Self::of(bare(services(before)));
        }
        let named = arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        match named {
            "SERVICE" | "SERVICES" => Self::of(bare(services(before))),
            "SERVICE=N" => {
                let begun = services(before).into_iter().map(|name| format!("{name}=")).collect();
                Self { candidates: bare(begun), next: Next::Rest }
            }
            "RUN" => Self::of(recorded(before)),
            "FILE" => Self::files(),
            "DIR" => Self { candidates: Vec::new(), next: Next::Folder },
            _ if arg.get_long() == Some("profile") => Self::of(bare(profiles(before))),
            _ => Self::default(),
        }
    }

    /// As the protocol has it: a candidate a line, of those that begin so.
    fn text(&self, begin: &str) -> String {
        let mut text = String::new();
        for (value, about) in self.candidates.iter().filter(|(value, _)| value.starts_with(begin)) {
            let tab = if about.is_empty() { "" } else { "\t" };
            writeln!(text, "{value}{tab}{about}").expect("writing to a String cannot fail");
        }
        let last = match self.next {
            Next::Word => ":4",
            Next::Rest => ":6",
            Next::Folder => ":16",
            Next::File => ":0",
        };
        text + last
    }
}

/// Where the unfinished word stands.
struct Place<'a> {
    command: &'a Command,
    /// The flag whose value it is.
    waiting: Option<&'a Arg>,
    /// It is a word of somebody else's command line: `run SERVICE …`.
    foreign: bool,
}

impl<'a> Place<'a> {
    fn find(root: &'a Command, before: &[String]) -> Self {
        let mut place = Self { command: root, waiting: None, foreign: false };
        for word in before {
            if place.foreign || place.waiting.take().is_some() {
                continue;
            }
            if word.starts_with('-') {
                place.waiting = flag_of(place.command, word).filter(|arg| arg.get_action().takes_values());
            } else if let Some(sub) = place.command.find_subcommand(word) {
                place.command = sub;
            } else {
                place.foreign = place.command.get_positionals().any(Arg::is_trailing_var_arg_set);
            }
        }
        place
    }
}

/// The flag that a word is, when its value is the next word.
fn flag_of<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut flags = command.get_arguments();
    if let Some(long) = word.strip_prefix("--") {
        return flags.find(|arg| arg.get_long() == Some(long));
    }
    // The last of several letters can take a value: `-dp shop`.
    let letter = word.chars().last()?;
    flags.find(|arg| arg.get_short() == Some(letter))
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn commands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    shown.map(|sub| (sub.get_name().to_owned(), about(sub.get_about()))).collect()
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help())))).collect()
}

/// What the words so far say of the project; `None` where they make no sense.
fn invocation(before: &[String]) -> Option<Invocation> {
    use clap::FromArgMatches as _;
    let words = std::iter::once("docker-orch".to_owned()).chain(before.iter().cloned());
    let matches = Root::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    Invocation::read(&Root::from_arg_matches(&matches).ok()?, None).ok()
}

/// The project of the files that the words so far name. Silent: a shell shows whatever is said.
fn project(before: &[String]) -> Option<Project> {
    let invocation = invocation(before)?;
    compose::load(&LocalFiles, &invocation.environment(), &invocation.load_options(&[])).project
}

/// The services of the project. Files that are wrong have none.
fn services(before: &[String]) -> Vec<String> {
    project(before).map(|project| project.services.keys().cloned().collect()).unwrap_or_default()
}

/// The profiles of the project.
fn profiles(before: &[String]) -> Vec<String> {
    let Some(project) = project(before) else { return Vec::new() };
    let all = project.services.values().chain(project.disabled_services.values());
    all.flat_map(|service| service.profiles.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The runs of the project that are kept, the newest first, each with what it was.
fn recorded(before: &[String]) -> Vec<(String, String)> {
    let Some(invocation) = invocation(before) else { return Vec::new() };
    let project =
        project(before).map(|project| project.name).or_else(|| invocation.project.project_name.clone());
    let Some(project) = project else { return Vec::new() };
    let Ok(runs) = history::kept(&invocation, &project) else { return Vec::new() };
    let shorts = short_ids(&runs);
    let one = |(run, short): (&KeptRun, &str)| {
        let past = history::past(run);
        (short.to_owned(), format!("{} {}", past.view.command, past.outcome.words()).trim().to_owned())
    };
    runs.iter().zip(shorts).take(SHOWN_RUNS).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(words: &str) -> Vec<String> {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        answer(&words).lines().map(str::to_owned).collect()
    }

    #[test]
    fn commands_flags_and_values_are_offered_where_they_may_stand() {
        for (words, candidates) in [
            ("pl", &["plan\tShow what `up` would do, and why", ":4"][..]),
            ("-p shop he", &["health\tRun every health check once and show what it finds", "help", ":4"]),
            ("health --ti", &["--timeout\tLet all checks together take at most this long", ":4"]),
            ("wait --for c", &["completed\tThe container has exited", ":4"]),
            ("wait --for=c", &["completed\tThe container has exited", ":4"]),
            ("-f ", &[":0"]),
            ("--project-directory ", &[":16"]),
            ("up --junit ", &[":0"]),
            ("up --artifacts=", &[":16"]),
            ("bench ", &[":0"]),
            ("bench --only c", &["compose\tdocker compose up --wait", ":4"]),
            ("version x", &[":4"]),
            ("no-such-command --x", &[":4"]),
        ] {
            let got = complete(words);
            let got: Vec<&str> =
                got.iter().map(|line| if line.starts_with("help\t") { "help" } else { line }).collect();
            assert_eq!(got, candidates, "{words}");
        }
    }

    #[test]
    fn services_are_those_of_the_file_and_each_once() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/compose-examples/five-wave/compose.yaml");
        assert_eq!(complete(&format!("-f {file} up nlu ml")), [":4"]);
        assert_eq!(complete(&format!("-f {file} up n")), ["nlu", ":4"]);
        assert_eq!(complete(&format!("-f {file} up nlu n")), [":4"]);
        assert_eq!(complete(&format!("-f {file} up --exit-code-from n")), ["nlu", ":4"]);
        assert_eq!(complete(&format!("-f {file} up --attach=n")), ["nlu", ":4"]);
        assert_eq!(complete(&format!("-f {file} up --scale n")), ["nlu=", ":6"]);
        assert_eq!(complete("-f /nowhere/compose.yaml up n"), [":4"]);
        assert_eq!(complete(&format!("-f {file} run --rm -e A=1 n")), ["nlu", ":4"]);
        assert_eq!(complete(&format!("-f {file} run nlu n")), [":0"]);
        assert_eq!(complete(&format!("-f {file} run nlu --n")), [":0"]);
    }
}

//! What could come next on the command line, for shells: the protocol of `__complete` that the Docker CLI passes on.
//!
//! One candidate a line, `value<TAB>description`; the last line, `:4`, says that file names are no candidates, and
//! `:0` that they are.

use std::{ffi::OsString, fmt::Write as _};

use clap::{Arg, Command, CommandFactory as _};

use super::{Invocation, LocalFiles, args::Root};
use crate::compose;

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
    let mut candidates: Vec<(String, String)> = Vec::new();
    let mut files = false;
    if place.foreign {
        // A command for a container: what it takes is not known here.
        files = true;
    } else if let Some(arg) = place.waiting {
        candidates.extend(values(arg));
        files = candidates.is_empty() && takes_path(arg);
    } else if let Some((flag, value)) = unfinished.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
        let arg = place.command.get_arguments().find(|arg| arg.get_long() == Some(flag));
        let known = arg.map(values).unwrap_or_default();
        candidates.extend(known.into_iter().map(|(word, about)| (format!("--{flag}={word}"), about)));
        files = candidates.is_empty() && arg.is_some_and(takes_path) && !value.is_empty();
    } else if unfinished.starts_with('-') {
        candidates.extend(flags(place.command));
    } else if place.command.has_subcommands() {
        candidates.extend(commands(place.command));
    } else if place.command.get_positionals().any(takes_services) {
        let done = |name: &String| before.contains(name);
        candidates.extend(
            services(before).into_iter().filter(|name| !done(name)).map(|name| (name, String::new())),
        );
    } else {
        files = place.command.get_positionals().any(takes_path);
    }
    let mut text = String::new();
    for (value, about) in candidates.iter().filter(|(value, _)| value.starts_with(unfinished)) {
        let tab = if about.is_empty() { "" } else { "\t" };
        writeln!(text, "{value}{tab}{about}").expect("writing to a String cannot fail");
    }
    text + if files { ":0" } else { ":4" }
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

fn values(arg: &Arg) -> Vec<(String, String)> {
    let known = arg.get_possible_values();
    known.iter().map(|value| (value.get_name().to_owned(), about(value.get_help()))).collect()
}

/// Whether a positional argument is names of services, or begins with one.
fn takes_services(arg: &Arg) -> bool {
    arg.get_id() == "services" || arg.is_trailing_var_arg_set()
}

fn takes_path(arg: &Arg) -> bool {
    arg.get_value_names()
        .is_some_and(|names| names.iter().any(|name| matches!(name.as_str(), "FILE" | "DIR")))
}

/// The services of the files that the words so far name. Files that are wrong have none.
fn services(before: &[String]) -> Vec<String> {
    use clap::FromArgMatches as _;
    let words = std::iter::once("docker-orch".to_owned()).chain(before.iter().cloned());
    let root = Root::command().ignore_errors(true).try_get_matches_from(words);
    let Ok(root) = root.and_then(|matches| Root::from_arg_matches(&matches)) else { return Vec::new() };
    let Ok(invocation) = Invocation::read(&root, None) else { return Vec::new() };
    // Silent: a shell shows whatever is said.
    let loaded = compose::load(&LocalFiles, &invocation.environment(), &invocation.load_options(&[]));
    loaded.project.map(|project| project.services.keys().cloned().collect()).unwrap_or_default()
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
            ("wait --for=c", &["--for=completed\tThe container has exited", ":4"]),
            ("-f ", &[":0"]),
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
        assert_eq!(complete("-f /nowhere/compose.yaml up n"), [":4"]);
        assert_eq!(complete(&format!("-f {file} run --rm -e A=1 n")), ["nlu", ":4"]);
        assert_eq!(complete(&format!("-f {file} run nlu n")), [":0"]);
        assert_eq!(complete(&format!("-f {file} run nlu --n")), [":0"]);
    }
}

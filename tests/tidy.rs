//! The shape of the source tree, held by tests: who may use whom, what is banned where, how long files are.
//!
//! A rule that has to give way is changed here, in the commit that needs it, with its reason.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Each folder of `src` and the folders that it may use. Arrows point down only; `cli` alone sees everything.
const LAYERS: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("time", &[]),
    ("accept", &[]),
    ("token", &[]),
    ("project", &["diagnostic", "time"]),
    ("compose", &["project", "diagnostic", "time"]),
    ("plan", &["project", "diagnostic", "time"]),
    ("health", &["project", "time"]),
    ("event", &["project", "plan", "health", "time"]),
    ("scheduler", &["project", "plan", "health", "event", "time"]),
    ("ondemand", &["project", "time"]),
    ("engine", &["project", "plan", "time"]),
    // the engine's answers are snapshot nouns of plan
    ("probe", &["project", "plan", "health", "engine", "time"]),
    ("proxy", &["accept", "token", "project", "ondemand"]),
    ("tool", &["project", "plan"]),
    // its answers are snapshot nouns of plan, too
    ("machine", &["plan"]),
    // it measures what ondemand counts with
    ("gpu", &["project", "plan", "ondemand"]),
    (
        "executor",
        &["project", "plan", "health", "event", "scheduler", "engine", "probe", "tool", "machine", "time"],
    ),
    (
        "run",
        &[
            "diagnostic",
            "project",
            "plan",
            "health",
            "event",
            "scheduler",
            "engine",
            "probe",
            "machine",
            "executor",
            "time",
        ],
    ),
    ("journal", &["event", "scheduler", "plan", "time"]),
    ("report", &["project", "plan", "health", "event", "time"]),
    ("metrics", &["project", "event", "time"]),
    (
        "supervisor",
        &[
            "diagnostic",
            "project",
            "plan",
            "event",
            "ondemand",
            "gpu",
            "engine",
            "probe",
            "machine",
            "executor",
            "run",
            "proxy",
            "time",
        ],
    ),
    // it reads from the record, and logs from the engine
    (
        "serve",
        &["accept", "token", "project", "plan", "event", "engine", "journal", "report", "metrics", "time"],
    ),
];

/// Folders without async code, files, environment, clocks.
const PURE: [&str; 10] =
    ["diagnostic", "time", "token", "project", "compose", "plan", "health", "event", "scheduler", "ondemand"];

/// What may be named only below the given paths of `src`.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("bollard", &["engine/docker"]),
    ("clap", &["cli"]),
    (
        "tokio",
        &[
            "accept",
            "engine",
            "executor",
            "run",
            "probe",
            "machine",
            "gpu",
            "tool",
            "journal",
            "serve",
            "proxy",
            "supervisor",
            "cli",
        ],
    ),
    ("axum", &["serve"]),
    // netns opens /proc/PID/ns/net: there is no other way into a container's network
    // tool looks for programs
    // machine reads /proc
    // gpu/fake reads a file that stands in for a driver, gpu/smi runs a program
    ("std::fs", &["cli", "journal", "engine/docker", "machine", "gpu/fake.rs", "probe/netns.rs", "tool"]),
    ("std::env", &["cli", "journal", "engine/docker", "main.rs"]),
    ("std::process", &["cli", "journal", "engine/docker", "gpu/smi.rs", "tool", "main.rs"]),
];

const MAX_LINES: usize = 700;

#[test]
fn folders_use_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for file in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == file.folder) else {
            let known = ["cli", "lib", "main"].contains(&file.folder.as_str());
            assert!(known, "{}: this folder has no place in LAYERS", file.path);
            continue;
        };
        for used in uses_of("crate::", &file.code) {
            let is_folder = used == "cli" || LAYERS.iter().any(|(name, _)| *name == used);
            if is_folder && used != file.folder && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{}: {} may not use {used}", file.path, file.folder));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn crates_and_modules_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for file in sources() {
        let below_src = file.path.trim_start_matches("src/");
        for (name, places) in ONLY_IN {
            let allowed = places.iter().any(|place| below_src.starts_with(place));
            if !allowed && names(&file.code, name) {
                wrong.push(format!("{}: {name} belongs only in {}", file.path, places.join(", ")));
            }
        }
        if PURE.contains(&file.folder.as_str()) {
            for clock in ["Instant", "SystemTime"] {
                if words(&file.code).any(|word| word == clock) {
                    wrong.push(format!("{}: {clock} in a folder that never reads a clock", file.path));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_mod_file_says_what_it_owns() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|f| f.path.ends_with("/mod.rs")) {
        let text = read(&file.path);
        let opening: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let opening = opening.join(" ").replace("//! ", "").replace(['*', '_'], "").to_lowercase();
        for phrase in ["owns", "must not know"] {
            if !opening.contains(phrase) {
                wrong.push(format!("{}: its opening comment does not say what it {phrase}", file.path));
            }
        }
        let free =
            file.code.lines().find(|l| ["fn ", "pub fn ", "async fn "].iter().any(|f| l.starts_with(f)));
        if let Some(function) = free {
            wrong.push(format!("{}: logic belongs into a file of its own: {function}", file.path));
        }
    }
    assert_none(&wrong);
}

#[test]
fn files_are_read_in_one_go() {
    let long: Vec<_> = tree()
        .into_iter()
        .filter(|path| is_rust(path))
        .filter_map(|path| {
            let lines = read(&path).lines().count();
            (lines > MAX_LINES).then(|| format!("{path}: {lines} lines, at most {MAX_LINES}"))
        })
        .collect();
    assert_none(&long);
}

#[test]
fn every_example_is_used_by_a_test() {
    let tests: String =
        tree().into_iter().filter(|path| path.starts_with("tests/") && is_rust(path)).map(read).collect();
    let mut names = BTreeSet::new();
    for path in tree() {
        if let Some((name, "compose.yaml")) =
            path.strip_prefix("compose-examples/").and_then(|path| path.split_once('/'))
        {
            names.insert(name.to_owned());
        }
    }
    assert!(!names.is_empty(), "no examples found");
    let unused: Vec<_> = names
        .into_iter()
        .filter(|name| !tests.contains(&format!("\"{name}\"")))
        .map(|n| format!("{n}: in no test"))
        .collect();
    assert_none(&unused);
}

#[test]
fn every_example_says_what_it_shows() {
    let silent: Vec<_> = tree()
        .into_iter()
        .filter(|path| path.starts_with("compose-examples/") && path.ends_with("compose.yaml"))
        .filter(|path| !read(path).starts_with("# Shows: "))
        .collect();
    assert_none(&silent);
}

#[test]
fn every_file_of_the_integration_tests_is_run() {
    let main = root().join("tests/it/main.rs");
    let Ok(main) = fs::read_to_string(main) else { return };
    let declared: BTreeSet<_> = main.lines().filter_map(|line| line.trim().strip_prefix("mod ")).collect();
    let forgotten: Vec<_> = tree()
        .into_iter()
        .filter_map(|path| path.strip_prefix("tests/it/").map(str::to_owned))
        .filter_map(|path| match path.split_once('/') {
            None => path.strip_suffix(".rs").map(str::to_owned),
            Some((folder, "mod.rs")) => Some(folder.to_owned()),
            Some(_) => None,
        })
        .filter(|name| name != "main" && !declared.contains(format!("{name};").as_str()))
        .collect();
    assert_none(&forgotten);
}

#[test]
fn nothing_depends_on_one_machine() {
    let paths = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    let index = "registry+https://github.com/rust-lang/crates.io-index";
    let mut wrong = Vec::new();
    for path in tree() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            if path == "Cargo.lock" && line.starts_with("source = ") && !line.contains(index) {
                wrong.push(format!("{place}: a crate from elsewhere: {line}"));
            }
            let named = |machine: &String| {
                line.match_indices(machine.as_str()).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-/}".contains(c))
                })
            };
            if path.starts_with("src") || path.starts_with("tests") || !path.contains('/') {
                wrong.extend(paths.iter().filter(|p| named(p)).map(|p| format!("{place}: the path {p}…")));
            }
        }
    }
    assert_none(&wrong);
}

/// A file of `src`, without comments and without its tests.
struct Source {
    path: String,
    folder: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let files: Vec<_> = tree()
        .into_iter()
        .filter(|path| path.starts_with("src/") && is_rust(path))
        .filter(|path| !path.ends_with("tests.rs") && !path.contains("/tests/"))
        .map(|path| {
            let below = path.trim_start_matches("src/");
            let folder = below.split('/').next().unwrap_or(below).trim_end_matches(".rs").to_owned();
            let code = without_tests(&read(&path));
            Source { path, folder, code }
        })
        .collect();
    assert!(files.len() > 10, "the sources were not found");
    files
}

/// The code up to an inline test module, which stands last in a file; comment lines are left out.
fn without_tests(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let inline_tests = line.trim() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if inline_tests {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// The first names after `prefix`: of `crate::a::b` it is `a`, of `crate::{a, b::{c, d}}` they are `a` and `b`.
fn uses_of(prefix: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if !rest.starts_with('{') {
            found.extend(
                words(rest)
                    .next()
                    .filter(|_| rest.starts_with(|c: char| c.is_alphabetic()))
                    .map(str::to_owned),
            );
            continue;
        }
        let (mut depth, mut item) = (0, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 1 && c != '{' && c != ',' {
                item.push(c);
            }
            if (depth == 1 && c == ',') || depth == 0 {
                found.extend(words(&item).next().map(str::to_owned));
                item.clear();
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Whether the code names a crate, or a module as `std::fs` or in `std::{fs, …}`.
fn names(code: &str, name: &str) -> bool {
    match name.split_once("::") {
        Some((krate, module)) => uses_of(&format!("{krate}::"), code).contains(module),
        None => code.contains(&format!("{name}::")) && words(code).any(|word| word == name),
    }
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file that belongs to the project, as a path from its root.
fn tree() -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            let name = path.to_string_lossy().into_owned();
            if entry.file_type().expect("a type").is_dir() {
                if !["target", ".git", "compose-examples/service/build"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if name != ".git" {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).expect("a text file")
}

fn is_rust(path: impl AsRef<Path>) -> bool {
    path.as_ref().extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn names_after_a_prefix_are_found() {
    let code =
        "use crate::{plan::{Plan, Step}, time::Elapsed,\n health};\nlet x = crate::event::Event; mycrate::no";
    let expected: BTreeSet<_> = ["event", "health", "no", "plan", "time"].map(str::to_owned).into();
    assert_eq!(uses_of("crate::", code), expected);
    assert!(names("use std::{io, fs};", "std::fs"));
    assert!(!names("use std::{io, fmt};\nlet fs = 1;", "std::fs"));
}

//! How the Docker CLI talks to its plugins.
//!
//! The CLI asks every plugin for its metadata before each command that lists plugins, so the answer is a constant.
//! What was typed before the plugin's name is handed over before the plugin's name, and the name itself stays in.

use std::ffi::{OsStr, OsString};

/// The plugin's name: what is typed after `docker`.
const NAME: &str = "orch";

/// The sub-command the CLI asks for metadata with.
const METADATA: &str = "docker-cli-plugin-metadata";

/// What the program was called for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// The Docker CLI asks what this plugin is.
    Metadata,
    /// A shell asks what could come next: the words so far, the last one unfinished.
    Complete(Vec<OsString>),
    /// Somebody typed a command: its words, without the program's and the plugin's name.
    Command(Vec<OsString>),
}

impl Call {
    /// Reads the words that the program was started with; the first is its own name.
    pub(super) fn from_argv(argv: Vec<OsString>) -> Self {
        let mut words: Vec<OsString> = argv.into_iter().skip(1).collect();
        match words.first().and_then(|w| w.to_str()) {
            Some(METADATA) => return Self::Metadata,
            Some("__complete" | "__completeNoDesc") => {
                words.remove(0);
                return Self::Complete(without_name(words));
            }
            // `docker help orch up` comes as `help orch up`.
            Some("help") if words.get(1).is_some_and(|w| w == NAME) => {
                words.remove(1);
                return Self::Command(words);
            }
            _ => {}
        }
        Self::Command(without_name(words))
    }
}

/// Drops the plugin's name behind Docker's global flags.
fn without_name(mut words: Vec<OsString>) -> Vec<OsString> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == NAME {
            words.remove(at);
            break;
        }
        match global_flag(word) {
            Some(values) => at += 1 + values,
            None => break,
        }
    }
    words
}

/// How many words follow one of Docker's global flags as its value; `None` for anything else.
fn global_flag(word: &OsStr) -> Option<usize> {
    const WITH_VALUE: [&str; 7] =
        ["--config", "--context", "--host", "--log-level", "--tlscacert", "--tlscert", "--tlskey"];
    const SWITCHES: [&str; 3] = ["--debug", "--tls", "--tlsverify"];
    let word = word.to_str()?;
    if let Some((name, _)) = word.split_once('=') {
        return (WITH_VALUE.contains(&name) || SWITCHES.contains(&name)).then_some(0);
    }
    if WITH_VALUE.contains(&word) || ["-c", "-H", "-l"].contains(&word) {
        return Some(1);
    }
    if SWITCHES.contains(&word) || word == "-D" {
        return Some(0);
    }
    // The value right behind the letter: `-cdefault`.
    (!word.starts_with("--") && ["-c", "-H", "-l"].iter().any(|flag| word.starts_with(flag))).then_some(0)
}

/// The plugin's description, as the Docker CLI asks for it.
pub(super) fn metadata() -> String {
    serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "docker-orch",
        "Version": concat!("v", env!("CARGO_PKG_VERSION")),
        "ShortDescription": "Start Compose projects by readiness, and undo what fails",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Call {
        Call::from_argv(words.split(' ').map(OsString::from).collect())
    }

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect()
    }

    #[test]
    fn the_plugins_name_goes_and_everything_else_stays() {
        for (argv, rest) in [
            ("docker-orch up -d", "up -d"),
            ("docker-orch orch up -d", "up -d"),
            ("docker-orch orch", ""),
            ("docker-orch orch --help", "--help"),
            ("docker-orch help orch", "help"),
            ("docker-orch help orch up", "help up"),
            ("docker-orch help up", "help up"),
            ("docker-orch --context x orch up", "--context x up"),
            ("docker-orch --context=x -D orch -f a.yaml up", "--context=x -D -f a.yaml up"),
            ("docker-orch -cx --tlsverify -H unix:///s orch up", "-cx --tlsverify -H unix:///s up"),
            // `orch` is a name like any other once a command has been given.
            ("docker-orch --context orch up orch", "--context orch up orch"),
            ("docker-orch orch up orch", "up orch"),
            ("docker-orch -p orch up", "-p orch up"),
        ] {
            assert_eq!(call(argv), Call::Command(words(rest)), "{argv}");
        }
    }

    #[test]
    fn metadata_and_completion_are_told_apart() {
        assert_eq!(call("docker-orch docker-cli-plugin-metadata"), Call::Metadata);
        assert_eq!(call("docker-orch __complete orch up --f"), Call::Complete(words("up --f")));
    }

    #[test]
    fn metadata_names_a_vendor_and_the_schema() {
        let metadata: serde_json::Value = serde_json::from_str(&metadata()).unwrap();
        assert_eq!(metadata["SchemaVersion"], "0.1.0");
        assert!(!metadata["Vendor"].as_str().unwrap().is_empty());
    }
}

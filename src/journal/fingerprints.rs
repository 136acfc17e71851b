//! What a project's containers were made from, from one run to the next.
//!
//! One line of JSON for each container, below one with the salt. A line is added when a container is made; lines of
//! containers that are gone are dropped by writing the file anew. A torn line counts as missing.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::folder::{make_private_dir, open_private_file, project_dir};
use crate::plan::{Fingerprint, Fingerprints};

/// The file of a project's fingerprints.
#[derive(Debug)]
pub struct FingerprintFile {
    path: PathBuf,
    /// The engine that is talked to: another one's containers are not gone because this one does not have them.
    engine: String,
    salt: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    engine: String,
    container: String,
    fingerprint: Fingerprint,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Salt { salt: String },
    Entry(Entry),
}

impl FingerprintFile {
    /// Reads a project's file. Nothing is written before the first container is made.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the machine gives no random numbers for a salt.
    pub fn open(state: &Path, project: &str, engine: &str) -> io::Result<Self> {
        let path = project_dir(state, project)?.join("fingerprints.jsonl");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let (salt, entries) = read(&text);
        let salt = salt.map_or_else(random, Ok)?;
        Ok(Self { path, engine: engine.to_owned(), salt, entries })
    }

    /// Takes up what other commands wrote since. Whether it says anything to this one: digests with another salt do not.
    fn look_again(&mut self) -> bool {
        let Ok(bytes) = fs::read(&self.path) else { return true };
        let (salt, entries) = read(&String::from_utf8_lossy(&bytes));
        let is_known = salt.as_ref().is_none_or(|salt| *salt == self.salt);
        if is_known {
            self.entries = entries;
        }
        is_known
    }

    /// What is known.
    pub fn fingerprints(&self) -> Fingerprints {
        let mut fingerprints = Fingerprints::new(self.salt.clone());
        for entry in &self.entries {
            fingerprints.insert(entry.container.clone(), entry.fingerprint.clone());
        }
        fingerprints
    }

    /// Adds a container.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn note(&mut self, container: &str, fingerprint: &Fingerprint) -> io::Result<()> {
        let entry = Entry {
            engine: self.engine.clone(),
            container: container.to_owned(),
            fingerprint: fingerprint.clone(),
        };
        if !self.look_again() {
            return Ok(());
        }
        self.entries.push(entry.clone());
        if !self.path.is_file() {
            return self.write();
        }
        let mut line = serde_json::to_vec(&Line::Entry(entry))?;
        line.push(b'\n');
        // One write per line: whoever reads sees whole lines, or one torn line at the end.
        open_private_file(&self.path)?.write_all(&line)
    }

    /// Drops what the engine does not have any more.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn keep_only(&mut self, containers: &BTreeSet<String>) -> io::Result<()> {
        if !self.look_again() {
            return Ok(());
        }
        let before = self.entries.len();
        self.entries.retain(|e| e.engine != self.engine || containers.contains(&e.container));
        if self.entries.len() == before { Ok(()) } else { self.write() }
    }

    /// Writes the whole file beside the old one, which it then replaces.
    fn write(&self) -> io::Result<()> {
        let mut text = serde_json::to_string(&Line::Salt { salt: self.salt.clone() })?;
        text.push('\n');
        for entry in &self.entries {
            text.push_str(&serde_json::to_string(entry)?);
            text.push('\n');
        }
        if let Some(folder) = self.path.parent() {
            make_private_dir(folder)?;
        }
        let fresh = self.path.with_extension(format!("{}.new", std::process::id()));
        // What a killed process left under this name is not to be added to.
        fs::remove_file(&fresh)
            .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        open_private_file(&fresh)?.write_all(text.as_bytes())?;
        fs::rename(&fresh, &self.path)
    }
}

/// The salt, and what containers were made from; digests without their salt say nothing.
fn read(text: &str) -> (Option<String>, Vec<Entry>) {
    let mut salt = None;
    let mut entries = Vec::new();
    for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match line {
            Line::Salt { salt: read } => salt = Some(read),
            Line::Entry(entry) if salt.is_some() => entries.push(entry),
            Line::Entry(_) => {}
        }
    }
    (salt, entries)
}

/// 256 random bits as text.
fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Project, Service};

    fn fingerprint(file: &FingerprintFile, image: &str) -> Fingerprint {
        let service = Service { image: Some(image.to_owned()), ..Service::default() };
        file.fingerprints().fingerprint(&Project::default(), &service).unwrap()
    }

    #[test]
    fn what_is_noted_is_read_again_and_is_the_users_alone() {
        let state = tempfile::tempdir().unwrap();
        let open = |engine| FingerprintFile::open(state.path(), "shop", engine).unwrap();
        let mut file = open("a");
        assert!(!state.path().join("shop").exists(), "nothing is written by looking");
        let (one, two) = (fingerprint(&file, "web:1"), fingerprint(&file, "web:2"));
        file.note("c1", &one).unwrap();
        file.note("c2", &two).unwrap();
        open("b").note("c3", &one).unwrap();
        assert_eq!(open("a").entries.len(), 3);
        assert_eq!(fingerprint(&open("a"), "web:1"), one, "the salt stays");
        let path = state.path().join("shop/fingerprints.jsonl");
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains("web:1"));
        // What another engine has is not gone because this one does not have it.
        open("a").keep_only(&["c2".to_owned()].into()).unwrap();
        let left: Vec<String> = open("a").entries.into_iter().map(|e| e.container).collect();
        assert_eq!(left, ["c2", "c3"]);
    }

    #[test]
    fn a_torn_line_and_a_missing_salt_are_no_fault() {
        let state = tempfile::tempdir().unwrap();
        let open = || FingerprintFile::open(state.path(), "shop", "a").unwrap();
        let mut file = open();
        let one = fingerprint(&file, "web:1");
        file.note("c1", &one).unwrap();
        let path = state.path().join("shop/fingerprints.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{{\"engine\":\"a\",\"conta")).unwrap();
        assert_eq!(open().entries.len(), 1);
        fs::write(&path, text.lines().nth(1).unwrap()).unwrap();
        assert_eq!(open().entries, []);
        assert!(FingerprintFile::open(state.path(), "../x", "a").is_err());
    }
}

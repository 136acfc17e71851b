//! What each successful `up` made of the project: what a `rollback` goes back to.
//!
//! A file of the run's folder that only its user can read, because it holds the values of variables. It is no part of
//! any bundle, and goes when `down` removes the project.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{KeptRun, folder::open_private_file, runs};

/// Its name in the run's folder.
const FILE: &str = "applied.json";
/// The version of its format; one of another version is not read.
const FORMAT: u32 = 1;

/// A project as it was started, and what its containers ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// Of the file's format.
    pub format: u32,
    /// The address of the engine.
    pub engine: String,
    /// The project's folder.
    pub working_dir: PathBuf,
    /// The files that it came from.
    pub config_files: Vec<PathBuf>,
    /// Env files that were named on the command line.
    pub environment_files: Vec<PathBuf>,
    /// Container names are those of Compose 1.
    pub compatibility: bool,
    /// The model, as `config` prints it.
    pub model: Value,
    /// IDs of the images that ran, by service.
    pub images: BTreeMap<String, String>,
}

impl Applied {
    /// A project whose model is this, on the engine at an address; the rest is empty.
    pub fn new(engine: impl Into<String>, model: Value) -> Self {
        Self {
            format: FORMAT,
            engine: engine.into(),
            working_dir: PathBuf::new(),
            config_files: Vec::new(),
            environment_files: Vec::new(),
            compatibility: false,
            model,
            images: BTreeMap::new(),
        }
    }

    /// Whether both stand for the same containers, wherever the files lie.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.model, &self.images) == (&other.model, &other.images)
    }

    /// Names of its services.
    pub fn services(&self) -> impl Iterator<Item = &String> {
        self.model.get("services").and_then(Value::as_object).into_iter().flat_map(Map::keys)
    }

    /// What stands after only some services were started: those as here, the rest as before.
    #[must_use]
    pub fn over(mut self, before: &Self) -> Self {
        let mut model = before.model.clone();
        for (key, value) in self.model.as_object().into_iter().flatten() {
            match (model.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
                // Definitions by name; `x-orch` is one whole.
                (Some(old), Some(new)) if !key.starts_with("x-") => {
                    old.extend(new.iter().map(|(name, definition)| (name.clone(), definition.clone())));
                    old.sort_keys();
                }
                _ => model[key] = value.clone(),
            }
        }
        self.model = model;
        let mut images = before.images.clone();
        images.append(&mut self.images);
        self.images = images;
        self
    }

    /// Keeps it in a run's folder.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        // Whoever reads sees all of it or nothing.
        let fresh = folder.join("applied.new");
        remove(&fresh)?;
        open_private_file(&fresh)?.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(fresh, folder.join(FILE))
    }

    /// That of a run; `None` where it left none that can be read.
    pub fn of(run: &KeptRun) -> Option<Self> {
        let read: Self = serde_json::from_slice(&fs::read(run.folder.join(FILE)).ok()?).ok()?;
        (read.format == FORMAT).then_some(read)
    }

    /// Forgets that of a run: it does not stand any more.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub fn forget(folder: &Path) -> io::Result<()> {
        remove(&folder.join(FILE))
    }

    /// Forgets all of a project on an engine, because it is gone.
    ///
    /// # Errors
    ///
    /// Something cannot be read or removed.
    pub fn forget_all(state: &Path, project: &str, engine: &str) -> io::Result<()> {
        for run in runs(state, project)? {
            if Self::of(&run).is_some_and(|applied| applied.engine == engine) {
                Self::forget(&run.folder)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What stood on an engine, the newest first, each once in a row; with the last run that left it so.
pub fn applied(runs: &[KeptRun], engine: &str) -> Vec<(KeptRun, Applied)> {
    let mut all: Vec<(KeptRun, Applied)> = Vec::new();
    for run in runs {
        let Some(applied) = Applied::of(run).filter(|applied| applied.engine == engine) else { continue };
        if !all.last().is_some_and(|(_, newer)| newer.is_same(&applied)) {
            all.push((run.clone(), applied));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::RunFolder;

    fn state_of(version: u32) -> Applied {
        Applied::new("e", json!({"name": "shop", "services": {"web": {"environment": {"V": version}}}}))
    }

    #[test]
    fn states_are_read_the_newest_first_and_once_in_a_row() {
        let state = tempfile::tempdir().unwrap();
        let run =
            |n: u32| RunFolder::create(state.path(), "shop", &format!("2026010{n}T000000.000-1")).unwrap();
        for (n, version) in [(1, 1), (2, 2), (3, 2), (5, 1)] {
            state_of(version).write(run(n).path()).unwrap();
        }
        let elsewhere = Applied { engine: "other".to_owned(), ..state_of(9) };
        elsewhere.write(run(6).path()).unwrap();
        fs::write(run(4).path().join(FILE), "{\"form").unwrap();
        let later = Applied { format: 2, ..state_of(7) };
        later.write(run(7).path()).unwrap();
        let all = || applied(&runs(state.path(), "shop").unwrap(), "e");
        let days: Vec<String> = all().into_iter().map(|(run, _)| run.id[7..8].to_owned()).collect();
        assert_eq!(days, ["5", "3", "1"]);
        let path = run(5).path().join(FILE);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        Applied::forget_all(state.path(), "shop", "e").unwrap();
        assert_eq!(all(), []);
        assert_eq!(applied(&runs(state.path(), "shop").unwrap(), "other").len(), 1);
    }

    #[test]
    fn some_services_started_leave_the_others_as_they_were() {
        let mut before = Applied::new(
            "e",
            json!({"name": "shop", "services": {"web": {"image": "w:1"}, "db": {"image": "d:1"}},
                   "networks": {"default": {}}, "x-orch": {"on_failure": "stop", "startup": {}}}),
        );
        before.images = [("web".to_owned(), "1".to_owned()), ("db".to_owned(), "2".to_owned())].into();
        let mut new = Applied::new(
            "e",
            json!({"name": "shop", "services": {"web": {"image": "w:2"}},
                   "volumes": {"data": {}}, "x-orch": {"on_failure": "keep"}}),
        );
        new.images = [("web".to_owned(), "3".to_owned())].into();
        let both = new.over(&before);
        assert_eq!(
            both.model,
            json!({"name": "shop", "services": {"db": {"image": "d:1"}, "web": {"image": "w:2"}},
                   "networks": {"default": {}}, "x-orch": {"on_failure": "keep"}, "volumes": {"data": {}}})
        );
        assert_eq!(
            both.images,
            [("db".to_owned(), "2".to_owned()), ("web".to_owned(), "3".to_owned())].into()
        );
        assert_eq!(both.services().collect::<Vec<_>>(), ["db", "web"]);
    }
}

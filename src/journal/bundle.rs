//! What is saved of a container before it is removed.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use serde_json::Value;

use super::{
    RunFolder,
    folder::{make_private_dir, open_private_file},
};

/// Stands where a secret was.
const MASK: &str = "***";

/// Saves containers into a run's folder.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
}

/// What there is to save of one container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SavedContainer {
    /// Its name.
    pub name: String,
    /// What `inspect` gives, as the engine sent it.
    pub inspect: Value,
    /// Its log, line by line.
    pub log: Vec<String>,
    /// Its last health results; null where it has none.
    pub health: Value,
}

impl Bundle {
    /// Saves into this run's folder.
    pub fn new(folder: &RunFolder) -> Self {
        Self { folder: folder.path().join("containers") }
    }

    /// Saves one container; secrets in its inspect output are masked. Answers with the folder.
    ///
    /// # Errors
    ///
    /// Something cannot be written; what could be written stays.
    pub fn save(&self, container: &SavedContainer) -> io::Result<PathBuf> {
        let folder = self.folder.join(container.name.replace(['/', '\\'], "_").trim_start_matches('.'));
        make_private_dir(&folder)?;
        let mut log = io::BufWriter::new(open_private_file(&folder.join("log.txt"))?);
        for line in &container.log {
            writeln!(log, "{line}")?;
        }
        log.flush()?;
        if !container.health.is_null() {
            write_json(&folder.join("health.json"), &container.health)?;
        }
        let mut inspect = container.inspect.clone();
        mask(&mut inspect);
        write_json(&folder.join("inspect.json"), &inspect)?;
        Ok(folder)
    }
}

fn write_json(path: &std::path::Path, value: &Value) -> io::Result<()> {
    let mut file = open_private_file(path)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")
}

/// Hides the values of environment variables; their names stay, because a missing variable is a frequent fault.
fn mask(inspect: &mut Value) {
    let Some(environment) = inspect.pointer_mut("/Config/Env").and_then(Value::as_array_mut) else { return };
    for variable in environment {
        let name = variable.as_str().unwrap_or_default();
        let name = name.split_once('=').map_or(name, |(name, _)| name);
        *variable = Value::String(format!("{name}={MASK}"));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn logs_health_and_inspect_are_saved_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        let saved = Bundle::new(&folder)
            .save(&SavedContainer {
                name: "shop-db-1".into(),
                inspect: json!({
                    "Id": "c0ffee",
                    "Config": {"Env": ["PASSWORD=hunter2=x", "EMPTY="], "Image": "db"},
                }),
                log: vec!["starting".into(), "cannot open /data".into()],
                health: json!([{"check": "tcp 5432", "detail": "connection refused"}]),
            })
            .unwrap();
        assert_eq!(saved, folder.path().join("containers/shop-db-1"));
        assert_eq!(fs::read_to_string(saved.join("log.txt")).unwrap(), "starting\ncannot open /data\n");
        let inspect = fs::read_to_string(saved.join("inspect.json")).unwrap();
        assert!(!inspect.contains("hunter2"), "{inspect}");
        let inspect: Value = serde_json::from_str(&inspect).unwrap();
        assert_eq!(inspect["Config"]["Env"], json!(["PASSWORD=***", "EMPTY=***"]));
        assert_eq!(inspect["Id"], "c0ffee");
        assert!(saved.join("health.json").is_file());
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        let saved = Bundle::new(&folder)
            .save(&SavedContainer { name: "../../x".into(), ..SavedContainer::default() })
            .unwrap();
        assert!(saved.starts_with(folder.path()), "{}", saved.display());
        assert_eq!(saved.components().filter(|c| c.as_os_str() == "..").count(), 0);
    }
}

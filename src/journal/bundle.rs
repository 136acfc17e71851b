//! What is saved of a container before it is removed.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    Mask, RunFolder,
    folder::{make_private_dir, open_private_file},
    mask::MASK,
};

/// What of an inspect output holds free text, or was written by the user.
const TEXTS: [&str; 8] = [
    "/Args",
    "/Path",
    "/Config/Cmd",
    "/Config/Entrypoint",
    "/Config/Healthcheck/Test",
    "/Config/Labels",
    "/State/Health/Log",
    "/State/Error",
];

/// Saves what is known of a failed run into its folder, without secrets.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
    mask: Mask,
    readers: Readers,
}

/// Who may read what is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Its user alone.
    Owner,
    /// As the user's other files.
    Umask,
}

impl Readers {
    fn make_dir(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Owner => make_private_dir(path),
            Self::Umask => std::fs::create_dir_all(path),
        }
    }

    fn open(self, path: &Path) -> io::Result<File> {
        match self {
            Self::Owner => open_private_file(path),
            Self::Umask => File::options().create(true).append(true).open(path),
        }
    }

    /// Writes a file that replaces one of an earlier time.
    fn write_json(self, path: &Path, value: &Value) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        self.open(path)?.write_all(&text)
    }
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
    /// Saves into this run's folder; what the mask hides is hidden.
    pub fn new(folder: &RunFolder, mask: Mask) -> Self {
        Self { folder: folder.path().to_owned(), mask, readers: Readers::Owner }
    }

    /// Saves into a folder that the user named.
    pub fn in_folder(folder: &Path, mask: Mask) -> Self {
        Self { folder: folder.to_owned(), mask, readers: Readers::Umask }
    }

    /// Where it saves.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Saves something that is known of the run as a whole: `plan.json`, `timings.json`. The last one given stays.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn save_json(&self, file: &str, value: &Value) -> io::Result<()> {
        let mut value = value.clone();
        self.mask.value(&mut value);
        self.readers.write_json(&self.folder.join(file), &value)
    }

    /// Saves one container. Answers with the folder.
    ///
    /// # Errors
    ///
    /// Something cannot be written; what could be written stays.
    pub fn save(&self, container: &SavedContainer) -> io::Result<PathBuf> {
        let folder = container_folder(&self.folder, &container.name);
        self.readers.make_dir(&folder)?;
        let mut log = io::BufWriter::new(self.readers.open(&folder.join("log.txt"))?);
        for line in &container.log {
            let mut line = line.clone();
            self.mask.text(&mut line);
            writeln!(log, "{line}")?;
        }
        log.flush()?;
        if !container.health.is_null() {
            let mut health = container.health.clone();
            self.mask.value(&mut health);
            self.readers.write_json(&folder.join("health.json"), &health)?;
        }
        let mut inspect = container.inspect.clone();
        hide_environment(&mut inspect);
        for at in TEXTS {
            if let Some(value) = inspect.pointer_mut(at) {
                self.mask.value(value);
            }
        }
        self.readers.write_json(&folder.join("inspect.json"), &inspect)?;
        Ok(folder)
    }
}

/// Where all of one container is saved: never outside the folder of all.
pub fn container_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join("containers").join(name.replace(['/', '\\'], "_").trim_start_matches('.'))
}

/// Hides the values of environment variables; their names stay, because a missing variable is a frequent fault.
fn hide_environment(inspect: &mut Value) {
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
        let saved = Bundle::new(&folder, Mask::new(["hunter2"]))
            .save(&SavedContainer {
                name: "shop-db-1".into(),
                inspect: json!({
                    "Id": "c0ffee",
                    "Args": ["--password", "hunter2"],
                    "Config": {
                        "Env": ["PASSWORD=hunter2=x", "EMPTY="],
                        "Image": "db",
                        "Cmd": ["--password=hunter2"],
                        "Labels": {"url": "x://u:hunter2@h"},
                        "Healthcheck": {"Test": ["CMD-SHELL", "login hunter2"]},
                    },
                    "State": {"Health": {"Log": [{"Output": "no hunter2"}]}, "Error": "hunter2"},
                }),
                log: vec!["starting".into(), "cannot open /data with hunter2".into()],
                health: json!([{"check": "tcp 5432", "detail": "hunter2 refused"}]),
            })
            .unwrap();
        assert_eq!(saved, folder.path().join("containers/shop-db-1"));
        assert_eq!(
            fs::read_to_string(saved.join("log.txt")).unwrap(),
            "starting\ncannot open /data with ***\n"
        );
        let inspect = fs::read_to_string(saved.join("inspect.json")).unwrap();
        assert!(!inspect.contains("hunter2"), "{inspect}");
        let inspect: Value = serde_json::from_str(&inspect).unwrap();
        assert_eq!(inspect["Config"]["Env"], json!(["PASSWORD=***", "EMPTY=***"]));
        assert_eq!(inspect["Id"], "c0ffee");
        let health = fs::read_to_string(saved.join("health.json")).unwrap();
        assert!(health.contains("*** refused"), "{health}");
        let bundle = Bundle::new(&folder, Mask::new(["hunter2"]));
        for text in ["hunter2", "hunter2 again"] {
            bundle.save_json("plan.json", &json!({"warnings": [text]})).unwrap();
        }
        let plan = fs::read_to_string(folder.path().join("plan.json")).unwrap();
        assert!(plan.contains("*** again") && !plan.contains("hunter2"), "{plan}");
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(dir.path(), "shop", "r1").unwrap();
        let saved = Bundle::new(&folder, Mask::default())
            .save(&SavedContainer { name: "../../x".into(), ..SavedContainer::default() })
            .unwrap();
        assert!(saved.starts_with(folder.path()), "{}", saved.display());
        assert_eq!(saved.components().filter(|c| c.as_os_str() == "..").count(), 0);
    }
}

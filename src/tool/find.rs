//! Where tools are: the plugin folders of the Docker CLI, then `PATH`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::ToolError;
use crate::project::Project;

/// Folders for everybody, where the Docker CLI looks for plugins last.
const SYSTEM_FOLDERS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// The tools of this machine.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// Folders of plugins of the Docker CLI, the first one first.
    plugins: Vec<PathBuf>,
    /// Folders of programs, the first one first.
    path: Vec<PathBuf>,
    /// What every tool's environment has above the project's.
    pub(super) environment: BTreeMap<String, String>,
}

/// The part of the CLI's `config.json` that matters here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CliConfig {
    #[serde(rename = "cliPluginsExtraDirs")]
    extra: Vec<PathBuf>,
}

/// What a plugin says of itself.
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "Version", default)]
    version: String,
}

impl Tools {
    /// Those of the Docker CLI with this configuration folder, and those on `path`, which is written as in `PATH`.
    pub fn new(config_dir: &Path, path: &str, environment: BTreeMap<String, String>) -> Self {
        // Whoever connects to the engine has complained already about a file that cannot be read.
        let config = fs::read(config_dir.join("config.json")).unwrap_or_default();
        let mut plugins = serde_json::from_slice::<CliConfig>(&config).unwrap_or_default().extra;
        plugins.push(config_dir.join("cli-plugins"));
        plugins.extend(SYSTEM_FOLDERS.map(PathBuf::from));
        // What is found must not depend on the folder one happens to be in.
        let path = path.split(':').map(PathBuf::from).filter(|folder| folder.is_absolute()).collect();
        Self { plugins, path, environment }
    }

    /// The program behind a provider's type: a plugin of the Docker CLI, else a program.
    pub(super) fn provider(&self, name: &str) -> Result<PathBuf, ToolError> {
        let program = || self.path.iter().map(|folder| folder.join(name)).find(|p| is_program(p));
        self.find_plugin(name).or_else(program).ok_or_else(|| {
            let folders = self.plugin_folders();
            ToolError::before(format!(
                "its provider `{name}` is not installed: no Docker CLI plugin `docker-{name}` in {folders}, and no program `{name}` on PATH"
            ))
        })
    }

    /// A plugin of the Docker CLI.
    pub(super) fn plugin(&self, name: &str, purpose: &str) -> Result<PathBuf, ToolError> {
        self.find_plugin(name).ok_or_else(|| {
            let folders = self.plugin_folders();
            ToolError::before(format!(
                "{purpose} need the Docker CLI plugin `docker-{name}`: not in {folders}"
            ))
        })
    }

    /// What a plugin of the Docker CLI says its version is; `None` where there is no such plugin.
    ///
    /// # Errors
    ///
    /// It cannot be run, or does not answer as a plugin does.
    pub async fn plugin_version(&self, name: &str) -> Result<Option<String>, ToolError> {
        let Some(path) = self.find_plugin(name) else { return Ok(None) };
        let said =
            self.output(&path, &["docker-cli-plugin-metadata".to_owned()], &Project::default()).await?;
        let said: Metadata = serde_json::from_slice(&said).map_err(|error| {
            ToolError::after(format!("{} does not say what it is: {error}", path.display()))
        })?;
        Ok(Some(said.version))
    }

    /// Where a plugin of the Docker CLI is. As the CLI does it: any file counts; whether it can be run shows when it is.
    pub fn find_plugin(&self, name: &str) -> Option<PathBuf> {
        let plugin = format!("docker-{name}");
        self.plugins.iter().map(|folder| folder.join(&plugin)).find(|path| path.is_file())
    }

    fn plugin_folders(&self) -> String {
        let folders: Vec<String> = self.plugins.iter().map(|folder| folder.display().to_string()).collect();
        folders.join(", ")
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn plugins_come_before_programs_and_extra_folders_first() {
        let folder = tempfile::tempdir().unwrap();
        let (config, extra, bin) =
            (folder.path().join("config"), folder.path().join("extra"), folder.path().join("bin"));
        let json = serde_json::json!({ "cliPluginsExtraDirs": [extra] });
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.json"), json.to_string()).unwrap();
        let tools = Tools::new(&config, &format!("bin::{}", bin.display()), BTreeMap::new());
        let error = tools.provider("db").unwrap_err();
        for words in ["`docker-db`", &extra.display().to_string(), "`db` on PATH"] {
            assert!(error.message.contains(words), "{error:?}");
        }
        for (path, mode, found) in [
            (bin.join("db"), 0o644, None),
            (bin.join("db"), 0o755, Some(bin.join("db"))),
            (config.join("cli-plugins/docker-db"), 0o755, Some(config.join("cli-plugins/docker-db"))),
            (extra.join("docker-db"), 0o755, Some(extra.join("docker-db"))),
        ] {
            file(&path, mode);
            assert_eq!(tools.provider("db").ok(), found);
        }
        assert!(tools.plugin("model", "models").unwrap_err().message.contains("`docker-model`"));
    }
}

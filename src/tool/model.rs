//! Models, which Docker's model plugin gets and serves.

use std::path::Path;

use serde::Deserialize;

use super::{Tell, ToolError, Tools};
use crate::{
    plan::{MODEL, MODEL_URL},
    project::{Mapping, Model, Project},
};

/// A model that the plugin has.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Listed {
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Status {
    endpoint: String,
}

impl Tools {
    /// Gets a model where it is not there, and configures it. What services that use it are to know.
    ///
    /// # Errors
    ///
    /// The plugin is not there, or fails.
    pub async fn set_up_model(
        &self,
        project: &Project,
        model: &Model,
        tell: &Tell,
    ) -> Result<Mapping, ToolError> {
        let path = self.plugin("model", "models")?;
        let name = model.model.clone().unwrap_or_default();
        if !self.is_there(&path, project, &name).await {
            self.pull(&path, project, &name, tell).await?;
        }
        self.output(&path, &configuration(&name, model), project).await?;
        let answer = self.output(&path, &words(&["status", "--json"]), project).await?;
        let status: Status = serde_json::from_slice(&answer).map_err(|e| {
            ToolError::after(format!("`docker model status --json` said nothing of its endpoint: {e}"))
        })?;
        Ok(Mapping::from([(MODEL.to_owned(), name), (MODEL_URL.to_owned(), status.endpoint)]))
    }

    /// A plugin that cannot list what it has may still be able to get it.
    async fn is_there(&self, path: &Path, project: &Project, name: &str) -> bool {
        let answer = self.output(path, &words(&["ls", "--json"]), project).await;
        let listed = answer
            .map_err(|e| e.message)
            .and_then(|answer| serde_json::from_slice::<Vec<Listed>>(&answer).map_err(|e| e.to_string()));
        match listed {
            Ok(listed) => listed.iter().any(|model| model.tags.iter().any(|tag| tag == name)),
            Err(error) => {
                tracing::debug!("models cannot be listed: {error}");
                false
            }
        }
    }

    async fn pull(&self, path: &Path, project: &Project, name: &str, tell: &Tell) -> Result<(), ToolError> {
        tell(format!("pulling {name}"));
        let mut program = self.run(path, &words(&["pull", name]), project)?;
        let mut printed = Vec::new();
        while program.read(&mut printed).await? {
            // Lines, some of which are drawn over the one before.
            while let Some(end) = printed.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                let line: Vec<u8> = printed.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if !line.is_empty() {
                    tell(line);
                }
            }
        }
        program.end(&format!("docker model pull {name}")).await
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `configure [--context-size N] MODEL [-- FLAG…]`
fn configuration(name: &str, model: &Model) -> Vec<String> {
    let mut arguments = words(&["configure"]);
    if let Some(size) = model.context_size.filter(|size| *size > 0) {
        arguments.extend(["--context-size".to_owned(), size.to_string()]);
    }
    arguments.push(name.to_owned());
    if !model.runtime_flags.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(model.runtime_flags.iter().cloned());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_configured_with_what_the_file_says() {
        let model =
            Model { context_size: Some(4096), runtime_flags: words(&["--x", "1"]), ..Model::default() };
        assert_eq!(configuration("ai/m", &model).join(" "), "configure --context-size 4096 ai/m -- --x 1");
        let model = Model { context_size: Some(0), ..Model::default() };
        assert_eq!(configuration("ai/m", &model).join(" "), "configure ai/m");
    }
}

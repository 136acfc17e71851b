//! Providers: tools that bring a service up and down by means of their own.

use std::{path::Path, time::Duration};

use serde::Deserialize;
use tokio::time::timeout;

use super::{
    Tell, ToolError, Tools,
    message::{self, Message},
    program::Program,
};
use crate::{
    plan::ProviderVerb,
    project::{Mapping, Project, Provider},
};

/// What a provider that has said that it failed may still take to clean up.
const LAST_WISH: Duration = Duration::from_secs(10);

/// What a provider says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    description: String,
    up: CommandMetadata,
    down: CommandMetadata,
    stop: Option<CommandMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommandMetadata {
    parameters: Option<Vec<Parameter>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parameter {
    name: String,
    required: bool,
}

impl Tools {
    /// Has the provider of a service do something with it. What it says for the services that depend on this one.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be run, says that it failed, says nothing that can be understood, or exits with a
    /// code other than 0.
    pub async fn provide(
        &self,
        project: &Project,
        service: &str,
        provider: &Provider,
        verb: ProviderVerb,
        tell: &Tell,
    ) -> Result<Mapping, ToolError> {
        let path = self.provider(&provider.r#type)?;
        let metadata = self.metadata(&path, project).await;
        let Some(arguments) = arguments(&project.name, service, provider, verb, &metadata)? else {
            return Ok(Mapping::new());
        };
        let mut program = self.run(&path, &arguments, project)?;
        let mut said = Said { service, tell, variables: Mapping::new(), failure: None };
        said.listen(&mut program).await?;
        let call = format!("{} compose … {} {service}", program.name(), verb.word());
        match said.failure {
            Some(failure) => {
                // Its own words say more than how it ends.
                timeout(LAST_WISH, program.end(&call)).await.ok();
                Err(ToolError::after(failure))
            }
            None => program.end(&call).await.map(|()| said.variables),
        }
    }

    /// What a provider says of itself; nothing where it does not know the question.
    async fn metadata(&self, path: &Path, project: &Project) -> Metadata {
        let answer = self.output(path, &["compose".to_owned(), "metadata".to_owned()], project).await;
        let metadata = answer
            .map_err(|e| e.message)
            .and_then(|answer| serde_json::from_slice(&answer).map_err(|e| e.to_string()));
        metadata.unwrap_or_else(|error| {
            tracing::debug!("{} says nothing of itself: {error}", path.display());
            Metadata::default()
        })
    }
}

/// What a provider is called with; `None`: it does not know the verb, and need not.
fn arguments(
    project: &str,
    service: &str,
    provider: &Provider,
    verb: ProviderVerb,
    metadata: &Metadata,
) -> Result<Option<Vec<String>>, ToolError> {
    let command = match verb {
        ProviderVerb::Up => &metadata.up,
        ProviderVerb::Down => &metadata.down,
        ProviderVerb::Stop => match &metadata.stop {
            Some(stop) => stop,
            None => return Ok(None),
        },
    };
    // Without any word about its parameters it gets all that the file says.
    let silent = metadata.description.is_empty()
        && metadata.up.parameters.is_none()
        && metadata.down.parameters.is_none();
    let parameters = command.parameters.as_deref().unwrap_or_default();
    let missing = parameters.iter().find(|p| p.required && !provider.options.contains_key(&p.name));
    if let (false, Some(missing)) = (silent, missing) {
        return Err(ToolError::before(format!(
            "its provider `{}` needs the option `{}`: give it in `provider.options`",
            provider.r#type, missing.name
        )));
    }
    let mut arguments =
        vec!["compose".to_owned(), format!("--project-name={project}"), verb.word().to_owned()];
    for (name, values) in &provider.options {
        if silent || parameters.iter().any(|p| p.name == *name) {
            arguments.extend(values.iter().map(|value| format!("--{name}={value}")));
        }
    }
    arguments.push(service.to_owned());
    Ok(Some(arguments))
}

/// What a provider has said so far.
struct Said<'a> {
    service: &'a str,
    tell: &'a Tell,
    variables: Mapping,
    /// The first error that it told of.
    failure: Option<String>,
}

impl Said<'_> {
    /// Listens until it says no more; after an error only for a while.
    async fn listen(&mut self, program: &mut Program) -> Result<(), ToolError> {
        let mut buffer = Vec::new();
        loop {
            let reading = program.read(&mut buffer);
            let more = match &self.failure {
                None => reading.await?,
                Some(_) => match timeout(LAST_WISH, reading).await {
                    Ok(more) => more?,
                    Err(_) => return Ok(()),
                },
            };
            let wrong = |words| ToolError::after(format!("its provider said {words}"));
            for message in message::take(&mut buffer).map_err(wrong)? {
                self.take(message);
            }
            if !more {
                let rest = buffer.trim_ascii();
                return match rest {
                    [] => Ok(()),
                    rest => Err(wrong(format!("{}, which is half a message", message::outline(rest)))),
                };
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Info(text) => (self.tell)(text),
            Message::Error(text) => {
                self.failure.get_or_insert(text);
            }
            Message::Debug(text) => tracing::debug!("{}: {text}", self.service),
            Message::SetEnv(name, value) => {
                self.variables.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;

    fn called(verb: ProviderVerb, metadata: &str) -> Result<Option<String>, String> {
        let values = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect();
        let provider = Provider {
            r#type: "cloud".to_owned(),
            options: IndexMap::from([
                ("size".to_owned(), values(&["1", "2"])),
                ("extra".to_owned(), values(&["x"])),
            ]),
            ..Provider::default()
        };
        let metadata = serde_json::from_str(metadata).unwrap();
        let arguments = arguments("p", "db", &provider, verb, &metadata);
        arguments.map(|a| a.map(|a| a.join(" "))).map_err(|e| e.message)
    }

    #[test]
    fn a_silent_provider_gets_every_option() {
        let all = "compose --project-name=p up --size=1 --size=2 --extra=x db";
        assert_eq!(called(ProviderVerb::Up, "{}"), Ok(Some(all.to_owned())));
        assert_eq!(called(ProviderVerb::Stop, "{}"), Ok(None));
    }

    #[test]
    fn a_provider_gets_only_what_it_knows() {
        let metadata = r#"{"description": "d", "up": {"parameters": [{"name": "size", "required": true}]},
            "stop": {}}"#;
        let up = "compose --project-name=p up --size=1 --size=2 db";
        assert_eq!(called(ProviderVerb::Up, metadata), Ok(Some(up.to_owned())));
        assert_eq!(
            called(ProviderVerb::Down, metadata),
            Ok(Some("compose --project-name=p down db".to_owned()))
        );
        assert_eq!(
            called(ProviderVerb::Stop, metadata),
            Ok(Some("compose --project-name=p stop db".to_owned()))
        );
    }

    #[test]
    fn an_option_that_it_needs_is_named() {
        let metadata = r#"{"down": {"parameters": [{"name": "region", "required": true}]}}"#;
        assert!(called(ProviderVerb::Down, metadata).unwrap_err().contains("`region`"));
        assert_eq!(called(ProviderVerb::Up, metadata), Ok(Some("compose --project-name=p up db".to_owned())));
    }
}

//! `use_api_socket`: the engine's socket and the registries' credentials in a container. The engine knows nothing of
//! it: as in Compose it is a bind, a variable and an inline config, and as such part of the config hash.

use serde::Serialize as _;
use serde_json::{json, ser::PrettyFormatter};

use super::{context::ConnectOptions, credentials::Source};
use crate::{
    engine::{EngineError, EngineErrorKind},
    project::{FileObject, FileReference, Project, Sensitive, ServiceMount},
};

/// On both sides, as Compose 2.40 has it: the engine's own place of it, whatever way we came by. Compose 5 takes the
/// place that the Docker context names.
const SOCKET: &str = "/var/run/docker.sock";
/// No name that a file can give.
const CONFIG: &str = "#apisocket";
const FOLDER: &str = "/run/secrets/docker";

/// Hands the socket and the user's credentials into every service of the project that asks for it. Before the
/// project is planned: the hash has it.
///
/// # Errors
/// The credentials cannot be read.
pub async fn hand_in_api_socket(project: &mut Project, options: &ConnectOptions) -> Result<(), EngineError> {
    if !project.services.values().any(|service| service.use_api_socket) {
        return Ok(());
    }
    let content = configuration(options).await?;
    let config = FileObject { captured: Some(Sensitive::new(content)), ..FileObject::default() };
    project.configs.insert(CONFIG.to_owned(), config);
    for service in project.services.values_mut().filter(|service| service.use_api_socket) {
        // Where the file mounts it itself, a second mount there would be refused.
        if !service.volumes.iter().any(|volume| volume.target.as_deref() == Some(SOCKET)) {
            service.volumes.push(ServiceMount {
                r#type: "bind".to_owned(),
                source: Some(SOCKET.to_owned()),
                target: Some(SOCKET.to_owned()),
                ..ServiceMount::default()
            });
        }
        service.environment.entry("DOCKER_CONFIG".to_owned()).or_insert_with(|| Some(FOLDER.to_owned()));
        service.configs.push(FileReference {
            source: Some(CONFIG.to_owned()),
            target: Some(format!("{FOLDER}/config.json")),
            ..FileReference::default()
        });
    }
    Ok(())
}

/// A configuration of the Docker CLI with nothing but the credentials, laid out as the CLI does.
async fn configuration(options: &ConnectOptions) -> Result<String, EngineError> {
    let cannot = |e: &dyn std::fmt::Display| {
        EngineError::new(
            EngineErrorKind::Denied,
            format!("cannot write the credentials for use_api_socket: {e}"),
        )
    };
    let auths = json!({ "auths": Source::of(options).all().await? });
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    auths
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))
        .map_err(|e| cannot(&e))?;
    String::from_utf8(text).map_err(|e| cannot(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::service_hash,
        project::{Service, ServiceNetwork},
    };

    #[tokio::test]
    async fn only_who_asks_gets_the_socket_and_it_is_hashed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = r#"{"auths":{"r:5000":{"auth":"bWU6cGFzcw=="}}}"#;
        std::fs::write(dir.path().join("config.json"), config).expect("a file");
        let service = |name: &str, asks: bool| Service {
            name: name.to_owned(),
            image: Some("docker-orch-example".to_owned()),
            use_api_socket: asks,
            networks: [("default".to_owned(), None::<ServiceNetwork>)].into(),
            ..Service::default()
        };
        let mut project = Project::default();
        for (name, asks) in [("with", true), ("without", false)] {
            project.services.insert(name.to_owned(), service(name, asks));
        }
        let without = project.services["without"].clone();
        let options = ConnectOptions { config_dir: dir.path().to_owned(), ..ConnectOptions::default() };
        hand_in_api_socket(&mut project, &options).await.expect("handed in");
        assert_eq!(project.services["without"], without);
        // The hash that Docker Compose 2.40.3 gave a container of this service.
        assert_eq!(
            service_hash(&project.services["with"]),
            "ad01f9b665a4e0b1fc031b23ab2dafcaeffeba80a1cf89aa7a8b8e46f36bf2c7"
        );
        let content = project.configs[CONFIG].captured.as_ref().expect("content").expose();
        assert_eq!(
            content,
            "{\n\t\"auths\": {\n\t\t\"r:5000\": {\n\t\t\t\"auth\": \"bWU6cGFzcw==\"\n\t\t}\n\t}\n}"
        );
    }
}

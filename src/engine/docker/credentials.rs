//! Credentials for registries, from the Docker CLI's configuration and its helpers.

use std::{fs::File, io::ErrorKind, path::Path, time::Duration};

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Problem, DockerCredential, get_credential_from_reader};

use crate::engine::{EngineError, EngineErrorKind};

/// What Docker Hub's credentials are filed under.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a credential helper may take; it may ask the user.
const HELPER_LIMIT: Duration = Duration::from_mins(1);

/// The credentials for an image's registry; `None` where none are kept.
pub(super) async fn of_image(
    config_dir: &Path,
    reference: &str,
) -> Result<Option<DockerCredentials>, EngineError> {
    let registry = registry(reference);
    let path = config_dir.join("config.json");
    let server = registry.clone();
    let lookup = tokio::task::spawn_blocking(move || match File::open(&path) {
        Ok(file) => get_credential_from_reader(file, &server),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Problem::NoCredentialConfigured),
        Err(_) => Err(Problem::ConfigReadError),
    });
    let denied = |what: String| {
        EngineError::new(
            EngineErrorKind::Denied,
            format!("cannot get the credentials for {registry}: {what}"),
        )
    };
    let answer = tokio::time::timeout(HELPER_LIMIT, lookup)
        .await
        .map_err(|_| {
            denied(format!("the credential helper gave no answer within {} s", HELPER_LIMIT.as_secs()))
        })?
        .map_err(|e| denied(e.to_string()))?;
    match answer {
        Ok(credential) => Ok(Some(for_bollard(credential, registry))),
        Err(Problem::NoCredentialConfigured) => Ok(None),
        // A helper that does not know the registry says so by failing.
        Err(Problem::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => Ok(None),
        Err(e) => Err(denied(e.to_string())),
    }
}

fn for_bollard(credential: DockerCredential, registry: String) -> DockerCredentials {
    let base = DockerCredentials { serveraddress: Some(registry), ..DockerCredentials::default() };
    match credential {
        DockerCredential::IdentityToken(token) => DockerCredentials { identitytoken: Some(token), ..base },
        DockerCredential::UsernamePassword(username, password) => {
            DockerCredentials { username: Some(username), password: Some(password), ..base }
        }
    }
}

/// The registry of a reference, as credentials are filed.
fn registry(reference: &str) -> String {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            if host == "docker.io" || host == "index.docker.io" { HUB.to_owned() } else { host.to_owned() }
        }
        _ => HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_registry() {
        for (reference, wanted) in [
            ("alpine", HUB),
            ("library/alpine:3", HUB),
            ("docker.io/library/alpine", HUB),
            ("r.example.com/a/b:1", "r.example.com"),
            ("r:5000/a", "r:5000"),
            ("localhost/a", "localhost"),
        ] {
            assert_eq!(registry(reference), wanted, "{reference}");
        }
    }

    #[tokio::test]
    async fn kept_credentials_are_found_and_absent_ones_are_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(of_image(dir.path(), "r:5000/a").await, Ok(None));
        let config = r#"{"auths":{"r:5000":{"auth":"bWU6cGFzcw=="}}}"#;
        std::fs::write(dir.path().join("config.json"), config).expect("a file");
        let found = of_image(dir.path(), "r:5000/a").await.expect("readable").expect("credentials");
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("pass")));
        assert_eq!(of_image(dir.path(), "alpine").await, Ok(None));
    }
}

//! Credentials for registries, from the Docker CLI's configuration and its helpers.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use bollard::auth::DockerCredentials;
use docker_credential::{CredentialRetrievalError as Problem, DockerCredential, get_credential_from_reader};
use serde::{Deserialize, Serialize};

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

/// What the CLI's configuration keeps of credentials.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    auths: BTreeMap<String, Auth>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

/// One registry's credentials; as the CLI writes them, name and password stand in `auth`.
#[expect(clippy::struct_field_names, reason = "the keys of the CLI's configuration")]
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Auth {
    #[serde(skip_serializing)]
    username: String,
    #[serde(skip_serializing)]
    password: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    auth: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    identitytoken: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    registrytoken: String,
}

impl Auth {
    /// With name and password in `auth`.
    fn encoded(mut self) -> Self {
        if self.auth.is_empty() && !(self.username.is_empty() && self.password.is_empty()) {
            self.auth = BASE64_STANDARD.encode(format!("{}:{}", self.username, self.password));
        }
        self
    }
}

/// The answer of a helper about one registry.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Helped {
    username: String,
    secret: String,
}

/// Every kept credential by its registry: the store's, or else the file's, under those of helpers for one registry.
///
/// # Errors
/// The configuration cannot be read; the store does not answer.
pub(super) fn all(config_dir: &Path) -> Result<BTreeMap<String, Auth>, EngineError> {
    let path = config_dir.join("config.json");
    let kept: Kept = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|e| denied(format!("{} is not a valid Docker configuration: {e}", path.display())))?,
        Err(e) if e.kind() == ErrorKind::NotFound => Kept::default(),
        Err(e) => return Err(denied(format!("cannot read {}: {e}", path.display()))),
    };
    let mut all = if kept.creds_store.is_empty() {
        kept.auths.into_iter().map(|(registry, auth)| (registry, auth.encoded())).collect()
    } else {
        let listed = ask_helper(&kept.creds_store, "list", "")?;
        let registries: BTreeMap<String, String> = parsed(&kept.creds_store, &listed.unwrap_or_default())?;
        let mut all = BTreeMap::new();
        for registry in registries.into_keys() {
            let auth = from_helper(&kept.creds_store, &registry)?;
            all.insert(registry, auth);
        }
        all
    };
    for (registry, helper) in kept.cred_helpers {
        match from_helper(&helper, &registry) {
            Ok(auth) => drop(all.insert(registry, auth)),
            // As Compose: the others may be enough.
            Err(error) => tracing::warn!("no credentials for {registry}: {error}"),
        }
    }
    Ok(all)
}

fn from_helper(helper: &str, registry: &str) -> Result<Auth, EngineError> {
    let Some(answer) = ask_helper(helper, "get", registry)? else { return Ok(Auth::default()) };
    let Helped { username, secret } = parsed(helper, &answer)?;
    if username == "<token>" {
        return Ok(Auth { identitytoken: secret, ..Auth::default() });
    }
    Ok(Auth { username, password: secret, ..Auth::default() }.encoded())
}

/// What a credential helper prints; `None`: it knows nothing of what it was asked for.
fn ask_helper(helper: &str, verb: &str, input: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let program = format!("docker-credential-{helper}");
    let cannot = |e: std::io::Error| denied(format!("cannot run `{program} {verb}`: {e}"));
    let mut command = Command::new(&program);
    let command = command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input closes it; its answer tells the rest.
        let _closed: Result<(), std::io::Error> = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(cannot)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("credentials not found") {
        return Ok(None);
    }
    Err(denied(format!("`{program} {verb}` failed ({}): {}", output.status, said.trim())))
}

fn parsed<'a, T: Deserialize<'a>>(helper: &str, answer: &'a [u8]) -> Result<T, EngineError> {
    serde_json::from_slice(answer)
        .map_err(|_| denied(format!("`docker-credential-{helper}` gave an answer that is none")))
}

fn denied(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Denied, message)
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

    /// All credentials as JSON.
    fn all_of(config_dir: &Path) -> String {
        serde_json::to_string(&all(config_dir).map_err(|e| e.message).expect("credentials")).expect("JSON")
    }

    #[test]
    fn all_credentials_of_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert_eq!(all_of(dir.path()), "{}");
        let config = r#"{"auths":{"t":{"auth":"PHRva2VuPjo=","identitytoken":"abc"},"e":{},"p":{"username":"me","password":"pass"}}}"#;
        fs::write(dir.path().join("config.json"), config).expect("a file");
        assert_eq!(
            all_of(dir.path()),
            r#"{"e":{},"p":{"auth":"bWU6cGFzcw=="},"t":{"auth":"PHRva2VuPjo=","identitytoken":"abc"}}"#
        );
        fs::write(dir.path().join("config.json"), "no JSON").expect("a file");
        assert!(
            all(dir.path()).err().expect("refused").message.contains("is not a valid Docker configuration")
        );
    }

    #[test]
    fn a_store_that_cannot_be_asked_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let absent = r#"{"credsStore":"no-such-store"}"#;
        fs::write(dir.path().join("config.json"), absent).expect("a file");
        let error = all(dir.path()).err().expect("refused");
        assert!(error.message.starts_with("cannot run `docker-credential-no-such-store list`"), "{error}");
        // Of one registry, it is no reason to go without the others.
        let one = r#"{"auths":{"a":{"auth":"YTpi"}},"credHelpers":{"b":"no-such-store"}}"#;
        fs::write(dir.path().join("config.json"), one).expect("a file");
        assert_eq!(all_of(dir.path()), r#"{"a":{"auth":"YTpi"}}"#);
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

//! Credentials for registries, from the Docker CLI's configuration, its helpers and `DOCKER_AUTH_CONFIG`. No error
//! quotes what may be one.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use bollard::auth::DockerCredentials;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::context::ConnectOptions;
use crate::{
    engine::{EngineError, EngineErrorKind},
    project::registry_of,
};

/// What Docker Hub's credentials are filed under.
const HUB: &str = "https://index.docker.io/v1/";
/// How long a credential helper may take; it may ask the user.
const HELPER_LIMIT: Duration = Duration::from_mins(1);
/// How much of a helper's words is quoted.
const QUOTED: usize = 200;

/// Where credentials are looked for.
#[derive(Clone, Default)]
pub(super) struct Source {
    config_dir: PathBuf,
    /// `DOCKER_AUTH_CONFIG`, which comes before all else.
    variable: Option<String>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("config_dir", &self.config_dir).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn of(options: &ConnectOptions) -> Self {
        Self {
            config_dir: options.config_dir.clone(),
            variable: options.variable("DOCKER_AUTH_CONFIG").map(str::to_owned),
        }
    }

    /// The credentials for an image's registry; `None` where none are kept.
    pub(super) async fn of_image(&self, reference: &str) -> Result<Option<DockerCredentials>, EngineError> {
        let registry = registry(reference).to_owned();
        let cannot = |what: &str| denied(format!("cannot get the credentials for {registry}: {what}"));
        let (source, server) = (self.clone(), registry.clone());
        let found = tokio::task::spawn_blocking(move || source.one(&server)).await;
        let found = found.map_err(|e| cannot(&e.to_string()))?.map_err(|e| cannot(&e.message))?;
        found.for_bollard(registry.clone()).map_err(cannot)
    }

    /// Every kept credential by its registry: the store's, or else the file's, under those of helpers for one
    /// registry and those of the variable.
    ///
    /// # Errors
    /// The configuration cannot be read; the store does not answer.
    pub(super) async fn all(&self) -> Result<BTreeMap<String, Auth>, EngineError> {
        let source = self.clone();
        let all = tokio::task::spawn_blocking(move || source.all_now()).await;
        all.map_err(|e| denied(format!("cannot get the credentials: {e}")))?
    }

    fn kept(&self) -> Result<Kept, EngineError> {
        let path = self.config_dir.join("config.json");
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| {
                denied(format!(
                    "{} is not a valid Docker configuration (line {}, column {})",
                    path.display(),
                    e.line(),
                    e.column()
                ))
            }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(e) => Err(denied(format!("cannot read {}: {e}", path.display()))),
        }
    }

    /// What the variable has. As with the CLI, one that cannot be read is told of and left out.
    fn given(&self) -> BTreeMap<String, Auth> {
        let Some(text) = &self.variable else { return BTreeMap::new() };
        match serde_json::from_str::<Given>(text) {
            Ok(given) if given.auths.values().all(|auth| auth.password().is_ok_and(|p| p.is_some())) => {
                given.auths
            }
            _ => {
                tracing::warn!(
                    "DOCKER_AUTH_CONFIG is left out: expected {{\"auths\": {{REGISTRY: {{\"auth\": \
                     base64 of NAME:PASSWORD}}}}}}"
                );
                BTreeMap::new()
            }
        }
    }

    /// The credentials of one registry; empty where there are none.
    fn one(&self, registry: &str) -> Result<Auth, EngineError> {
        if let Some(auth) = self.given().remove(registry) {
            return Ok(auth);
        }
        let mut kept = self.kept()?;
        let store = Some(&kept.creds_store).filter(|store| !store.is_empty());
        if let Some(helper) = kept.cred_helpers.get(registry).or(store) {
            return from_helper(helper, registry);
        }
        if let Some(auth) = kept.auths.remove(registry) {
            return Ok(auth);
        }
        // Older logins are filed under a whole address.
        let other = kept.auths.into_iter().find(|(key, _)| host(key) == host(registry));
        Ok(other.map(|(_, auth)| auth).unwrap_or_default())
    }

    fn all_now(&self) -> Result<BTreeMap<String, Auth>, EngineError> {
        let kept = self.kept()?;
        let mut all = if kept.creds_store.is_empty() {
            kept.auths.into_iter().map(|(registry, auth)| (registry, auth.encoded())).collect()
        } else {
            let listed = ask_helper(&kept.creds_store, "list", "")?;
            let registries: BTreeMap<String, String> =
                parsed(&kept.creds_store, &listed.unwrap_or_default())?;
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
        all.extend(self.given());
        Ok(all)
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

/// What `DOCKER_AUTH_CONFIG` has.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    auths: BTreeMap<String, Auth>,
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

    /// Name and password; `None` where there are none. An empty `auth` is none.
    fn password(&self) -> Result<Option<(String, String)>, &'static str> {
        if self.auth.is_empty() {
            let none = self.username.is_empty() && self.password.is_empty();
            return Ok((!none).then(|| (self.username.clone(), self.password.clone())));
        }
        let text = BASE64_STANDARD.decode(&self.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let parts =
            text.as_deref().and_then(|text| text.split_once(':')).filter(|(name, _)| !name.is_empty());
        let (name, password) = parts.ok_or("the `auth` that is kept is not the base64 of NAME:PASSWORD")?;
        Ok(Some((name.to_owned(), password.trim_matches('\0').to_owned())))
    }

    fn for_bollard(self, registry: String) -> Result<Option<DockerCredentials>, &'static str> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let (username, password) = self.password()?.unzip();
        let (identitytoken, registrytoken) = (some(self.identitytoken), some(self.registrytoken));
        if username.is_none() && identitytoken.is_none() && registrytoken.is_none() {
            return Ok(None);
        }
        // A token takes the place of a password.
        let named = identitytoken.is_none();
        Ok(Some(DockerCredentials {
            username: username.filter(|_| named),
            password: password.filter(|_| named),
            identitytoken,
            registrytoken,
            serveraddress: Some(registry),
            ..DockerCredentials::default()
        }))
    }
}

/// The answer of a helper about one registry.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Helped {
    username: String,
    secret: String,
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
    ask(Path::new(&format!("docker-credential-{helper}")), verb, input, HELPER_LIMIT)
}

fn ask(program: &Path, verb: &str, input: &str, limit: Duration) -> Result<Option<Vec<u8>>, EngineError> {
    let call = format!("`{} {verb}`", program.display());
    let cannot = |e: std::io::Error| denied(format!("cannot run {call}: {e}"));
    let mut command = Command::new(program);
    let command = command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    let process = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    let input = input.to_owned();
    thread::spawn(move || {
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read its input closes it; its answer tells the rest.
            let _closed: Result<(), std::io::Error> = stdin.write_all(input.as_bytes());
        }
        // Nobody waits any more for one that is late.
        sender.send(child.wait_with_output()).ok();
    });
    let Ok(output) = receiver.recv_timeout(limit) else {
        kill_process(process, Signal::KILL).ok();
        return Err(denied(format!("{call} gave no answer within {} s", limit.as_secs_f32())));
    };
    let output = output.map_err(cannot)?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    if String::from_utf8_lossy(&output.stdout).contains("credentials not found") {
        return Ok(None);
    }
    // Its output may be half an answer.
    let said = String::from_utf8_lossy(&output.stderr);
    let line: String = said.trim().lines().next().unwrap_or("it says nothing").chars().take(QUOTED).collect();
    Err(denied(format!("{call} failed ({}): {line}", output.status)))
}

fn parsed<'a, T: Deserialize<'a>>(helper: &str, answer: &'a [u8]) -> Result<T, EngineError> {
    serde_json::from_slice(answer)
        .map_err(|_| denied(format!("`docker-credential-{helper}` gave an answer that is none")))
}

fn denied(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Denied, message)
}

/// The registry of a reference, as credentials are filed.
fn registry(reference: &str) -> &str {
    match registry_of(reference).0 {
        "docker.io" => HUB,
        host => host,
    }
}

/// The host of a registry that is filed under a whole address.
fn host(registry: &str) -> &str {
    let address = registry.split_once("://").map_or(registry, |(_, address)| address);
    address.split('/').next().unwrap_or_default()
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
            ("BUILDHOST/app", "BUILDHOST"),
            ("index.docker.io/a", HUB),
        ] {
            assert_eq!(registry(reference), wanted, "{reference}");
        }
    }

    fn source(config_dir: &Path) -> Source {
        Source { config_dir: config_dir.to_owned(), variable: None }
    }

    /// All credentials as JSON.
    fn all_of(config_dir: &Path) -> String {
        let all = source(config_dir).all_now().map_err(|e| e.message).expect("credentials");
        serde_json::to_string(&all).expect("JSON")
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
        assert!(source(dir.path()).all_now().err().expect("refused").message.contains("(line 1, column 2)"));
    }

    #[test]
    fn a_store_that_cannot_be_asked_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let absent = r#"{"credsStore":"no-such-store"}"#;
        fs::write(dir.path().join("config.json"), absent).expect("a file");
        let error = source(dir.path()).all_now().err().expect("refused");
        assert!(error.message.starts_with("cannot run `docker-credential-no-such-store list`"), "{error}");
        // Of one registry, it is no reason to go without the others.
        let one = r#"{"auths":{"a":{"auth":"YTpi"}},"credHelpers":{"b":"no-such-store"}}"#;
        fs::write(dir.path().join("config.json"), one).expect("a file");
        assert_eq!(all_of(dir.path()), r#"{"a":{"auth":"YTpi"}}"#);
    }

    #[tokio::test]
    async fn kept_credentials_are_found_and_absent_ones_are_none() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let source = source(dir.path());
        assert_eq!(source.of_image("r:5000/a").await, Ok(None));
        let config = r#"{"auths":{"r:5000":{"auth":"bWU6cGFzcw=="},"https://old.io/v2/":{"username":"me","password":"pass"},
            "empty.io":{"auth":""},"token.io":{"auth":"bWU6","identitytoken":"abc"},"wrong.io":{"auth":"SECRET"}}}"#;
        fs::write(dir.path().join("config.json"), config).expect("a file");
        for image in ["r:5000/a", "old.io/a"] {
            let found = source.of_image(image).await.expect("readable").expect("credentials");
            assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("pass")));
        }
        let token = source.of_image("token.io/a").await.expect("readable").expect("credentials");
        assert_eq!((token.username, token.identitytoken.as_deref()), (None, Some("abc")));
        for image in ["alpine", "empty.io/a"] {
            assert_eq!(source.of_image(image).await, Ok(None), "{image}");
        }
        let wrong = source.of_image("wrong.io/a").await.expect_err("refused").message;
        assert!(wrong.contains("for wrong.io: the `auth`") && !wrong.contains("SECRET"), "{wrong}");
    }

    #[test]
    fn the_variable_comes_first() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::write(dir.path().join("config.json"), r#"{"auths":{"a":{"auth":"YTpi"},"b":{"auth":"YTpi"}}}"#)
            .expect("a file");
        let with = |variable: &str| Source { variable: Some(variable.to_owned()), ..source(dir.path()) };
        let given = with(r#"{"auths":{"b":{"auth":"bWU6cGFzcw=="}}}"#);
        assert_eq!(given.one("b").expect("readable").auth, "bWU6cGFzcw==");
        assert_eq!(given.one("a").expect("readable").auth, "YTpi");
        let all = given.all_now().map_err(|e| e.message).expect("credentials");
        assert_eq!(all["b"].auth, "bWU6cGFzcw==");
        for wrong in
            ["no JSON", r#"{"auths":{"b":{}}}"#, r#"{"auths":{"b":{"auth":"?"}}}"#, r#"{"credsStore":"x"}"#]
        {
            assert_eq!(with(wrong).one("b").expect("readable").auth, "YTpi", "{wrong}");
        }
    }

    #[test]
    fn a_helper_that_fails_is_quoted_without_its_answer_and_one_that_hangs_is_ended() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let program = dir.path().join("helper");
        let script = "#!/bin/sh\nread -r server\ncase $server in\nslow) exec sleep 600;;\nnone) echo 'credentials not found in it'; exit 1;;\nesac\n\
                      echo '{\"Secret\":\"SECRET\"'\necho 'it is locked' >&2\necho more >&2\nexit 1\n";
        fs::write(&program, script).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
        let asked =
            |server: &str, limit| ask(&program, "get", &format!("{server}\n"), limit).map_err(|e| e.message);
        let failed = asked("r", HELPER_LIMIT).expect_err("it fails");
        assert!(failed.ends_with("failed (exit status: 1): it is locked"), "{failed}");
        assert_eq!(asked("none", HELPER_LIMIT), Ok(None));
        let late = asked("slow", Duration::from_millis(200)).expect_err("it hangs");
        assert!(late.ends_with("gave no answer within 0.2 s"), "{late}");
    }
}

//! Builds, done by the Docker CLI's own builder as a child process: it knows contexts, `.dockerignore`, caches and
//! secrets best.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    process::{ChildStdin, Command},
};

use super::context::{ConnectOptions, Target};
use crate::{
    engine::{BuildRequest, EngineError, EngineErrorKind, EngineProgress, ProgressFn},
    project::{Build, FileReference, Project, Service, SshKey, Ulimit},
};

/// How many of the last lines a failure quotes.
const QUOTED: usize = 20;

/// How the Docker CLI is called.
#[derive(Debug)]
pub(super) struct Cli {
    program: String,
    /// Global flags that choose our engine.
    flags: Vec<String>,
    /// `DOCKER_BUILDKIT=0` was asked for.
    classic: bool,
}

impl Cli {
    pub(super) fn new(options: &ConnectOptions, target: &Target) -> Self {
        let classic = matches!(
            options.variable("DOCKER_BUILDKIT"),
            Some("0" | "false" | "f" | "F" | "FALSE" | "False")
        );
        Self {
            program: options
                .variable("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND")
                .unwrap_or("docker")
                .to_owned(),
            flags: target.cli_flags(&options.config_dir),
            classic,
        }
    }

    /// A child that talks to our engine only: the flags stand alone.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.flags).kill_on_drop(true);
        for name in ["DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"] {
            command.env_remove(name);
        }
        command
    }

    /// Whether the CLI has the buildx plugin.
    async fn has_buildx(&self) -> bool {
        let mut command = self.command();
        command.args(["buildx", "version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }
}

/// Builds one image and loads it into the engine.
pub(super) async fn build(
    cli: &Cli,
    request: &BuildRequest<'_>,
    progress: ProgressFn,
) -> Result<(), EngineError> {
    let buildx = !cli.classic && cli.has_buildx().await;
    let arguments = if buildx { buildx_arguments(request)? } else { classic_arguments(request)? };
    let mut command = cli.command();
    command
        .args(&arguments)
        .current_dir(&request.project.working_dir)
        .envs(secret_variables(request))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !buildx {
        command.env("DOCKER_BUILDKIT", "0");
    }
    let cannot = |e: std::io::Error| failed(format!("cannot run `{}` to build: {e}", cli.program));
    let mut child = command.spawn().map_err(cannot)?;
    let inline = request.build.dockerfile_inline.as_deref().unwrap_or_default();
    let stdin = child.stdin.take();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ((), out, err) =
        tokio::join!(feed(stdin, inline), read_lines(out, &progress), read_lines(err, &progress));
    let status = child.wait().await.map_err(cannot)?;
    if status.success() {
        return Ok(());
    }
    let lines = if err.is_empty() { out } else { err };
    Err(failed(format!("the build of `{}` failed ({status}): {}", request.service, lines.join("\n"))))
}

/// Hands the Dockerfile in. A builder that ends early closes the pipe; its own words then say why.
async fn feed(stdin: Option<ChildStdin>, text: &str) {
    if let Some(mut stdin) = stdin {
        let _closed: Result<(), std::io::Error> = stdin.write_all(text.as_bytes()).await;
    }
}

/// Reports every line; gives the last ones back.
async fn read_lines(stream: Option<impl AsyncRead + Unpin>, progress: &ProgressFn) -> Vec<String> {
    let mut last = std::collections::VecDeque::new();
    let Some(stream) = stream else { return Vec::new() };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        progress(EngineProgress { text: text.clone(), current: None, total: None });
        last.push_back(text);
        if last.len() > QUOTED {
            last.pop_front();
        }
    }
    last.into()
}

/// Flag and value pairs, in order.
#[derive(Debug, Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, holds: bool, name: &str) {
        if holds {
            self.0.push(name.to_owned());
        }
    }

    fn value(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }

    fn values<T: Into<String>>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        for value in values {
            self.value(name, value);
        }
    }
}

/// What both builders understand.
fn common_arguments(request: &BuildRequest<'_>, arguments: &mut Arguments) {
    let build = request.build;
    arguments.value("--tag", &request.image);
    arguments.values("--tag", &build.tags);
    arguments.values("--build-arg", build_args(request.project, build));
    arguments.values("--target", &build.target);
    arguments.values("--network", &build.network);
    arguments.values("--add-host", build.extra_hosts.iter().map(|h| h.replacen('=', ":", 1)));
    arguments.values("--label", build.labels.iter().map(|(k, v)| format!("{k}={v}")));
    arguments.values("--cache-from", &build.cache_from);
    arguments.values("--shm-size", build.shm_size.map(|b| b.0.to_string()));
    arguments.values(
        "--ulimit",
        build.ulimits.iter().map(|(name, limit)| match limit {
            Ulimit::Single(n) => format!("{name}={n}"),
            Ulimit::Range { soft, hard } => format!("{name}={soft}:{hard}"),
        }),
    );
    arguments.flag(build.no_cache || request.no_cache, "--no-cache");
    arguments.flag(build.pull || request.pull, "--pull");
    let platform = request.platform.clone().or_else(|| match build.platforms.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    });
    arguments.values("--platform", platform);
}

/// Where the Dockerfile and the context are.
fn source_arguments(request: &BuildRequest<'_>, arguments: &mut Arguments) {
    let build = request.build;
    let context = build.context.as_deref().unwrap_or(".");
    if build.dockerfile_inline.is_some() {
        arguments.value("--file", "-");
    } else if let Some(dockerfile) = &build.dockerfile {
        let remote = context.contains("://") || context.starts_with("git@");
        let file = if remote {
            dockerfile.clone()
        } else {
            Path::new(context).join(dockerfile).display().to_string()
        };
        arguments.value("--file", file);
    }
    arguments.0.push(context.to_owned());
}

/// Values are named by the file, else by the project's environment; without either the argument is left out.
fn build_args(project: &Project, build: &Build) -> Vec<String> {
    let value = |key: &str, value: &Option<String>| {
        value.clone().or_else(|| project.environment.get(key).cloned()).map(|v| format!("{key}={v}"))
    };
    build.args.iter().filter_map(|(k, v)| value(k, v)).collect()
}

fn buildx_arguments(request: &BuildRequest<'_>) -> Result<Vec<String>, EngineError> {
    let (project, build) = (request.project, request.build);
    let mut arguments = Arguments::default();
    arguments.0.extend(["buildx", "build", "--progress=plain", "--load"].map(str::to_owned));
    common_arguments(request, &mut arguments);
    for (name, value) in [
        ("project", project.name.as_str()),
        ("service", request.service),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        arguments.value("--label", format!("com.docker.compose.{name}={value}"));
    }
    arguments.values("--cache-to", &build.cache_to);
    for SshKey { id, path } in &build.ssh {
        let path = path.as_ref().map(|path| format!("={path}")).unwrap_or_default();
        arguments.value("--ssh", format!("{id}{path}"));
    }
    for secret in &build.secrets {
        arguments.value("--secret", secret_argument(project, secret, request.service)?);
    }
    for (name, source) in &build.additional_contexts {
        let source = match source.strip_prefix("service:") {
            Some(service) => {
                let image = project.services.get(service).map(|s: &Service| project.image_name(s));
                format!("docker-image://{}", image.unwrap_or_else(|| service.to_owned()))
            }
            None => source.clone(),
        };
        arguments.value("--build-context", format!("{name}={source}"));
    }
    arguments.values("--allow", &build.entitlements);
    if build.privileged {
        arguments.value("--allow", "security.insecure");
    }
    for (name, setting) in [("--provenance", &build.provenance), ("--sbom", &build.sbom)] {
        arguments.0.extend(setting.as_ref().map(|s| format!("{name}={s}")));
    }
    source_arguments(request, &mut arguments);
    Ok(arguments.0)
}

/// The builder of engines without buildx; what it cannot do is refused, what it ignores is ignored by Compose too.
fn classic_arguments(request: &BuildRequest<'_>) -> Result<Vec<String>, EngineError> {
    let build = request.build;
    for (holds, attribute) in [
        (!build.additional_contexts.is_empty(), "additional_contexts"),
        (!build.ssh.is_empty(), "ssh"),
        (!build.secrets.is_empty(), "secrets"),
        (build.privileged, "privileged"),
        (!build.entitlements.is_empty(), "entitlements"),
        (request.platform.is_none() && build.platforms.len() > 1, "several platforms"),
    ] {
        if holds {
            return Err(EngineError::new(
                EngineErrorKind::Invalid,
                format!(
                    "service `{}`: build.{attribute} needs BuildKit: install the buildx plugin",
                    request.service
                ),
            ));
        }
    }
    let mut arguments = Arguments(vec!["build".to_owned()]);
    common_arguments(request, &mut arguments);
    arguments.value("--label", "com.docker.compose.image.builder=classic");
    arguments.values("--isolation", &build.isolation);
    source_arguments(request, &mut arguments);
    Ok(arguments.0)
}

/// `id=…,src=…` or `id=…,env=…`.
fn secret_argument(project: &Project, secret: &FileReference, service: &str) -> Result<String, EngineError> {
    let source = secret.source.as_deref().unwrap_or_default();
    let id = secret.target.as_deref().filter(|t| !t.is_empty()).unwrap_or(source);
    let object = project.secrets.get(source);
    match object.map(|o| (o.file.as_ref(), o.environment.as_ref())) {
        Some((Some(file), _)) => Ok(format!("id={id},src={file}")),
        Some((None, Some(_))) => Ok(format!("id={id},env={}", secret_variable(source))),
        _ => Err(EngineError::new(
            EngineErrorKind::Invalid,
            format!("service `{service}`: build secret `{source}` has neither a file nor a variable"),
        )),
    }
}

/// The child's own variables for secrets, so that no value stands on a command line.
fn secret_variables(request: &BuildRequest<'_>) -> Vec<(String, String)> {
    let value = |secret: &FileReference| {
        let source = secret.source.as_deref()?;
        let captured = request.project.secrets.get(source)?.captured.as_ref()?;
        Some((secret_variable(source), captured.expose().clone()))
    };
    request.build.secrets.iter().filter_map(value).collect()
}

fn secret_variable(source: &str) -> String {
    let name: String = source
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("DOCKER_ORCH_BUILD_SECRET_{name}")
}

fn failed(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Failed, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::project::{Bytes, FileObject, Sensitive};

    fn project() -> Project {
        let mut project =
            Project { name: "p".to_owned(), working_dir: std::env::temp_dir(), ..Project::default() };
        project.environment.insert("TOKEN".to_owned(), "t".to_owned());
        project.services.insert("base".to_owned(), Service { name: "base".to_owned(), ..Service::default() });
        project.secrets.insert(
            "npm-rc".to_owned(),
            FileObject {
                environment: Some("NPM".to_owned()),
                captured: Some(Sensitive::new("hush".to_owned())),
                ..FileObject::default()
            },
        );
        project
    }

    fn request<'a>(project: &'a Project, build: &'a Build) -> BuildRequest<'a> {
        BuildRequest {
            project,
            service: "web",
            build,
            image: "p-web".to_owned(),
            platform: None,
            no_cache: false,
            pull: true,
        }
    }

    #[test]
    fn every_attribute_reaches_buildx() {
        let text = |s: &str| Some(s.to_owned());
        let build = Build {
            context: text("/src/web"),
            dockerfile: text("Dockerfile.dev"),
            args: [("A".to_owned(), text("1")), ("TOKEN".to_owned(), None), ("NONE".to_owned(), None)].into(),
            target: text("dev"),
            labels: [("l".to_owned(), "v".to_owned())].into(),
            cache_from: vec!["type=local,src=c".to_owned()],
            cache_to: vec!["type=local,dest=c".to_owned()],
            extra_hosts: vec!["h=10.0.0.1".to_owned()],
            additional_contexts: [("b".to_owned(), "service:base".to_owned())].into(),
            ssh: vec![SshKey { id: "default".to_owned(), path: Some("/k".to_owned()) }],
            secrets: vec![FileReference { source: text("npm-rc"), ..FileReference::default() }],
            shm_size: Some(Bytes(1024)),
            ulimits: [("nofile".to_owned(), Ulimit::Range { soft: 1, hard: 2 })].into(),
            platforms: vec!["linux/amd64".to_owned()],
            privileged: true,
            provenance: text("false"),
            tags: vec!["r/web:1".to_owned()],
            ..Build::default()
        };
        let project = project();
        let request = request(&project, &build);
        let arguments = buildx_arguments(&request).expect("arguments").join(" ");
        let arguments = arguments.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        assert_eq!(
            arguments,
            "buildx build --progress=plain --load --tag p-web --tag r/web:1 --build-arg A=1 --build-arg TOKEN=t \
             --target dev --add-host h:10.0.0.1 --label l=v --cache-from type=local,src=c --shm-size 1024 \
             --ulimit nofile=1:2 --pull --platform linux/amd64 --label com.docker.compose.project=p \
             --label com.docker.compose.service=web --label com.docker.compose.version=VERSION \
             --cache-to type=local,dest=c --ssh default=/k --secret id=npm-rc,env=DOCKER_ORCH_BUILD_SECRET_NPM_RC \
             --build-context b=docker-image://p-base --allow security.insecure --provenance=false \
             --file /src/web/Dockerfile.dev /src/web"
        );
        assert_eq!(
            secret_variables(&request),
            [("DOCKER_ORCH_BUILD_SECRET_NPM_RC".to_owned(), "hush".to_owned())]
        );
    }

    #[test]
    fn the_classic_builder_refuses_what_it_cannot_do() {
        let project = project();
        let ssh = vec![SshKey { id: "default".to_owned(), path: None }];
        let build = Build { ssh, ..Build::default() };
        let error = classic_arguments(&request(&project, &build)).expect_err("refused");
        assert_eq!(error.kind, EngineErrorKind::Invalid);
        assert_eq!(error.message, "service `web`: build.ssh needs BuildKit: install the buildx plugin");
        let build = Build {
            context: Some("/c".to_owned()),
            dockerfile_inline: Some("FROM scratch".to_owned()),
            ..Build::default()
        };
        assert_eq!(
            classic_arguments(&request(&project, &build)).expect("arguments").join(" "),
            "build --tag p-web --pull --label com.docker.compose.image.builder=classic --file - /c"
        );
    }

    #[tokio::test]
    async fn a_failed_build_quotes_its_last_lines() {
        let cli = Cli { program: "false".to_owned(), flags: Vec::new(), classic: true };
        let (project, build) = (project(), Build::default());
        let error = build_with(&cli, &project, &build).await.expect_err("fails");
        assert!(error.message.starts_with("the build of `web` failed (exit status: 1)"), "{}", error.message);
        let cli = Cli { program: "/no/such/docker".to_owned(), ..cli };
        let error = build_with(&cli, &project, &build).await.expect_err("fails");
        assert!(error.message.starts_with("cannot run `/no/such/docker` to build"), "{}", error.message);
    }

    async fn build_with(cli: &Cli, project: &Project, build: &Build) -> Result<(), EngineError> {
        super::build(cli, &request(project, build), Arc::new(|_| {})).await
    }
}

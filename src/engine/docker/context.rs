//! Which engine is meant: the Docker CLI's own rules of contexts, hosts and TLS files.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::engine::{EngineError, EngineErrorKind};

/// Where the engine listens when nothing says otherwise.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// How the user chose an engine: the Docker CLI's global flags, its configuration folder and its variables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectOptions {
    /// `--context`.
    pub context: Option<String>,
    /// `-H`.
    pub host: Option<String>,
    /// `--tls`.
    pub tls: bool,
    /// `--tlsverify`.
    pub tls_verify: bool,
    /// `--tlscacert`.
    pub tls_ca_cert: Option<PathBuf>,
    /// `--tlscert`.
    pub tls_cert: Option<PathBuf>,
    /// `--tlskey`.
    pub tls_key: Option<PathBuf>,
    /// `--config`, else `DOCKER_CONFIG`, else `~/.docker`.
    pub config_dir: PathBuf,
    /// The environment; read here: `DOCKER_HOST`, `DOCKER_CONTEXT`, `DOCKER_TLS`, `DOCKER_TLS_VERIFY`,
    /// `DOCKER_CERT_PATH`, `DOCKER_API_VERSION`, `DOCKER_AUTH_CONFIG`, `DOCKER_BUILDKIT`, `DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND`.
    pub environment: BTreeMap<String, String>,
    /// How long a call may take that the engine answers at once unless it is in trouble; `None`: as we think right.
    pub limit: Option<Duration>,
}

impl ConnectOptions {
    /// A variable's value; empty counts as unset, as in the Docker CLI.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

/// A TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Who the engine has to be certified by; `None`: whoever answers is taken for it.
    pub(super) ca: Option<PathBuf>,
    /// The certificate that is shown to the engine, and its key.
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// The engine that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Name of the Docker context; `default` where host flags or variables decide.
    pub(super) context: String,
    /// `unix://…`, `tcp://…` or `ssh://…`.
    pub(super) host: String,
    pub(super) tls: Option<Tls>,
}

impl Target {
    /// The global flags that make a `docker` child process talk to the same engine.
    pub(super) fn cli_flags(&self, config_dir: &Path) -> Vec<String> {
        let mut flags = vec!["--config".to_owned(), config_dir.display().to_string()];
        if self.context != "default" {
            flags.extend(["--context".to_owned(), self.context.clone()]);
            return flags;
        }
        flags.extend(["--host".to_owned(), self.host.clone()]);
        if let Some(tls) = &self.tls {
            flags.push(if tls.ca.is_some() { "--tlsverify" } else { "--tls" }.to_owned());
            for (flag, file) in [("--tlscacert", &tls.ca), ("--tlscert", &tls.cert), ("--tlskey", &tls.key)] {
                flags.extend(file.iter().flat_map(|file| [flag.to_owned(), file.display().to_string()]));
            }
        }
        flags
    }
}

/// The parts of the CLI's `config.json` that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CliConfig {
    current_context: String,
    detach_keys: String,
    proxies: BTreeMap<String, ProxyConfig>,
}

/// Proxy settings that the CLI hands to containers.
#[expect(clippy::struct_field_names, reason = "the keys of the CLI's configuration")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProxyConfig {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
    all_proxy: String,
}

impl ConnectOptions {
    /// The keys that end an attachment to a terminal, where the CLI's configuration says some.
    ///
    /// # Errors
    ///
    /// The configuration cannot be read.
    pub fn detach_keys(&self) -> Result<Option<String>, EngineError> {
        let keys = CliConfig::load(&self.config_dir)?.detach_keys;
        Ok((!keys.is_empty()).then_some(keys))
    }
}

impl CliConfig {
    /// Reads `config.json`; an absent file is an empty one.
    pub(super) fn load(config_dir: &Path) -> Result<Self, EngineError> {
        let path = config_dir.join("config.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(invalid(format!("cannot read {}: {e}", path.display()))),
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(&text)
            .map_err(|e| invalid(format!("{} is not a valid Docker configuration: {e}", path.display())))
    }

    /// The proxy variables for containers of this engine, in upper and lower case, as the Docker CLI sets them.
    pub(super) fn proxy_environment(&self, host: &str) -> Vec<(String, String)> {
        let Some(proxy) = self.proxies.get(host).or_else(|| self.proxies.get("default")) else {
            return Vec::new();
        };
        [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| {
            [(name.to_owned(), value.clone()), (name.to_ascii_lowercase(), value.clone())]
        })
        .collect()
    }
}

/// A context's `meta.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

/// Decides which engine is meant: `--context`, `-H`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the CLI configuration's current
/// context, the default socket.
pub(super) fn resolve(options: &ConnectOptions, config: &CliConfig) -> Result<Target, EngineError> {
    if let (Some(context), Some(host)) = (&options.context, &options.host) {
        return Err(invalid(format!(
            "both `--context {context}` and `--host {host}` are given: give one of them"
        )));
    }
    let name = if let Some(context) = &options.context {
        context.as_str()
    } else if options.host.is_some() || options.variable("DOCKER_HOST").is_some() {
        "default"
    } else if let Some(context) = options.variable("DOCKER_CONTEXT") {
        context
    } else {
        &config.current_context
    };
    if name.is_empty() || name == "default" {
        default_context(options)
    } else {
        stored_context(options, name)
    }
}

/// The context made of flags and variables.
fn default_context(options: &ConnectOptions) -> Result<Target, EngineError> {
    let verify = options.tls_verify || options.variable("DOCKER_TLS_VERIFY").is_some();
    let wanted = verify || options.tls || options.variable("DOCKER_TLS").is_some();
    let host = options.host.as_deref().or_else(|| options.variable("DOCKER_HOST")).unwrap_or(DEFAULT_HOST);
    let host = parse_host(host, wanted)?;
    let encrypted = wanted && host.starts_with("tcp://");
    let dir = options.variable("DOCKER_CERT_PATH").map_or_else(|| options.config_dir.clone(), PathBuf::from);
    let own = |given: &Option<PathBuf>, name: &str| given.clone().or_else(|| existing(dir.join(name)));
    let tls = encrypted.then(|| Tls {
        ca: verify.then(|| options.tls_ca_cert.clone().unwrap_or_else(|| dir.join("ca.pem"))),
        cert: own(&options.tls_cert, "cert.pem"),
        key: own(&options.tls_key, "key.pem"),
    });
    Ok(Target { context: "default".to_owned(), host, tls })
}

/// A context from the CLI's store.
fn stored_context(options: &ConnectOptions, name: &str) -> Result<Target, EngineError> {
    let digest = format!("{:x}", Sha256::digest(name.as_bytes()));
    let store = options.config_dir.join("contexts");
    let path = store.join("meta").join(&digest).join("meta.json");
    let text = fs::read_to_string(&path).map_err(|e| {
        invalid(format!(
            "there is no Docker context `{name}` in {} ({e}); `docker context ls` lists them",
            options.config_dir.display()
        ))
    })?;
    let meta: ContextMeta = serde_json::from_str(&text)
        .map_err(|e| invalid(format!("{} of Docker context `{name}` is damaged: {e}", path.display())))?;
    let endpoint = meta
        .endpoints
        .get("docker")
        .filter(|e| !e.host.is_empty())
        .ok_or_else(|| invalid(format!("Docker context `{name}` names no Docker endpoint")))?;
    let dir = store.join("tls").join(&digest).join("docker");
    let skip = endpoint.skip_tls_verify;
    let encrypted = skip || dir.join("ca.pem").is_file() || dir.join("cert.pem").is_file();
    let host = parse_host(&endpoint.host, encrypted)?;
    if encrypted && !skip && !dir.join("ca.pem").is_file() {
        return Err(invalid(format!(
            "Docker context `{name}` has a certificate of its own and none to know the engine by: add it with \
             `docker context update {name} --docker host={host},ca=CA.pem,cert=CERT.pem,key=KEY.pem` (or, to take \
             whoever answers, `skip-tls-verify=true`)"
        )));
    }
    let tls = (encrypted && host.starts_with("tcp://")).then(|| Tls {
        ca: (!skip).then(|| dir.join("ca.pem")),
        cert: existing(dir.join("cert.pem")),
        key: existing(dir.join("key.pem")),
    });
    Ok(Target { context: name.to_owned(), host, tls })
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// Brings a host to `scheme://address`, with the port that Docker assumes.
fn parse_host(text: &str, tls: bool) -> Result<String, EngineError> {
    let text = text.trim();
    let (scheme, address) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "unix" if address.is_empty() => Ok(DEFAULT_HOST.to_owned()),
        "unix" | "ssh" if !address.is_empty() => Ok(format!("{scheme}://{address}")),
        "https" => Err(invalid(format!(
            "`{text}` is no Docker host: for TLS write `tcp://{address}` with `--tlsverify` (or DOCKER_TLS_VERIFY=1)"
        ))),
        "tcp" | "http" => {
            let address = address.trim_end_matches('/');
            if address.starts_with('/') {
                return Err(invalid(format!(
                    "`{text}` is no Docker host: for a socket write `unix://{text}`"
                )));
            }
            let default_port = if tls { 2376 } else { 2375 };
            let after_bracket = address.rsplit_once(']').map_or(address, |(_, rest)| rest);
            Ok(match (address.is_empty(), after_bracket.contains(':')) {
                (true, _) => format!("tcp://localhost:{default_port}"),
                (false, true) => format!("tcp://{address}"),
                (false, false) => format!("tcp://{address}:{default_port}"),
            })
        }
        "npipe" => Err(invalid(format!("`{text}`: named pipes exist on Windows only"))),
        _ => Err(invalid(format!("`{text}` is no Docker host: expected unix://, tcp:// or ssh://"))),
    }
}

fn invalid(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> ConnectOptions {
        ConnectOptions {
            config_dir: PathBuf::from("/cfg"),
            environment: variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..ConnectOptions::default()
        }
    }

    fn config(json: &str) -> CliConfig {
        serde_json::from_str(json).expect("valid JSON")
    }

    /// A store with one context `far` on `ssh://far`, and one `tls` with TLS files.
    fn store() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, meta) in [
            ("far", r#"{"Name":"far","Endpoints":{"docker":{"Host":"ssh://me@far","SkipTLSVerify":false}}}"#),
            ("tls", r#"{"Name":"tls","Endpoints":{"docker":{"Host":"tcp://box:2376"}}}"#),
            (
                "loose",
                r#"{"Name":"loose","Endpoints":{"docker":{"Host":"tcp://box:2376","SkipTLSVerify":true}}}"#,
            ),
            ("empty", r#"{"Name":"empty","Endpoints":{}}"#),
            ("unsure", r#"{"Name":"unsure","Endpoints":{"docker":{"Host":"tcp://box:2376"}}}"#),
        ] {
            let digest = format!("{:x}", Sha256::digest(name.as_bytes()));
            let meta_dir = dir.path().join("contexts/meta").join(&digest);
            fs::create_dir_all(&meta_dir).expect("a folder");
            fs::write(meta_dir.join("meta.json"), meta).expect("a file");
            if let Some((_, file)) =
                [("tls", "ca.pem"), ("unsure", "cert.pem")].iter().find(|(n, _)| *n == name)
            {
                let tls_dir = dir.path().join("contexts/tls").join(&digest).join("docker");
                fs::create_dir_all(&tls_dir).expect("a folder");
                fs::write(tls_dir.join(file), "").expect("a file");
            }
        }
        dir
    }

    #[test]
    fn the_first_of_flag_variable_and_configuration_decides() {
        let dir = store();
        let current = config(r#"{"currentContext":"far"}"#);
        let none = config("{}");
        let host = |context: Option<&str>, host: Option<&str>, vars: &[(&str, &str)], config: &CliConfig| {
            let mut o = options(vars);
            o.config_dir = dir.path().to_owned();
            o.context = context.map(str::to_owned);
            o.host = host.map(str::to_owned);
            resolve(&o, config).expect("a target").host
        };
        let all = [("DOCKER_HOST", "tcp://env:1"), ("DOCKER_CONTEXT", "tls")];
        assert_eq!(host(Some("far"), None, &all, &none), "ssh://me@far");
        assert_eq!(host(None, Some("tcp://flag:1"), &all, &current), "tcp://flag:1");
        assert_eq!(host(None, None, &all, &current), "tcp://env:1");
        assert_eq!(host(None, None, &all[1..], &current), "tcp://box:2376");
        assert_eq!(host(None, None, &[], &current), "ssh://me@far");
        assert_eq!(host(None, None, &[("DOCKER_HOST", "")], &none), DEFAULT_HOST);
    }

    #[test]
    fn a_context_brings_its_tls_files_and_flags() {
        let dir = store();
        let mut o = options(&[]);
        o.config_dir = dir.path().to_owned();
        o.context = Some("tls".to_owned());
        let target = resolve(&o, &CliConfig::default()).expect("a target");
        assert!(
            target
                .tls
                .as_ref()
                .and_then(|tls| tls.ca.as_ref())
                .is_some_and(|ca| ca.ends_with("docker/ca.pem"))
        );
        assert_eq!(target.cli_flags(Path::new("/c")), ["--config", "/c", "--context", "tls"]);
    }

    #[test]
    fn wrong_choices_say_what_to_do() {
        let dir = store();
        let message = |context: &str| {
            let mut o = options(&[]);
            o.config_dir = dir.path().to_owned();
            o.context = Some(context.to_owned());
            resolve(&o, &CliConfig::default())
                .expect_err("no target")
                .message
                .replace(&dir.path().display().to_string(), "DIR")
        };
        assert!(message("nope").starts_with("there is no Docker context `nope` in DIR"));
        assert_eq!(message("empty"), "Docker context `empty` names no Docker endpoint");
        assert!(
            message("unsure")
                .contains("`docker context update unsure --docker host=tcp://box:2376,ca=CA.pem")
        );
        let mut both = options(&[]);
        both.context = Some("a".to_owned());
        both.host = Some("b".to_owned());
        assert!(resolve(&both, &CliConfig::default()).is_err());
    }

    #[test]
    fn tls_variables_choose_files_and_port() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().display().to_string();
        let flags = |variables: &[(&str, &str)]| {
            let mut o = options(
                &[&[("DOCKER_HOST", "tcp://box"), ("DOCKER_CERT_PATH", path.as_str())], variables].concat(),
            );
            o.tls = variables.is_empty();
            let target = resolve(&o, &CliConfig::default()).expect("a target");
            assert_eq!(target.host, "tcp://box:2376");
            target.cli_flags(Path::new("/c")).join(" ").replace(&path, "/certs")
        };
        let verify = [("DOCKER_TLS_VERIFY", "1")];
        // A client's own certificate is a matter of the server's.
        assert_eq!(flags(&verify), "--config /c --host tcp://box:2376 --tlsverify --tlscacert /certs/ca.pem");
        for file in ["cert.pem", "key.pem"] {
            fs::write(dir.path().join(file), "").expect("a file");
        }
        assert_eq!(
            flags(&verify),
            "--config /c --host tcp://box:2376 --tlsverify --tlscacert /certs/ca.pem --tlscert /certs/cert.pem \
             --tlskey /certs/key.pem"
        );
        let anybody =
            "--config /c --host tcp://box:2376 --tls --tlscert /certs/cert.pem --tlskey /certs/key.pem";
        assert_eq!(flags(&[("DOCKER_TLS", "1")]), anybody);
        assert_eq!(flags(&[]), anybody);
    }

    #[test]
    fn a_context_may_take_whoever_answers() {
        let dir = store();
        let mut o = options(&[("DOCKER_CONTEXT", "loose")]);
        o.config_dir = dir.path().to_owned();
        let target = resolve(&o, &CliConfig::default()).expect("a target");
        assert_eq!((target.host.as_str(), target.tls), ("tcp://box:2376", Some(Tls::default())));
    }

    #[test]
    fn hosts_are_completed() {
        for (text, wanted) in [
            ("unix://", Some("unix:///var/run/docker.sock")),
            ("unix:///x.sock", Some("unix:///x.sock")),
            ("box", Some("tcp://box:2375")),
            ("tcp://[::1]", Some("tcp://[::1]:2375")),
            ("tcp://[::1]:99/", Some("tcp://[::1]:99")),
            ("ssh://me@box", Some("ssh://me@box")),
            ("ssh://", None),
            ("npipe:////./pipe/docker_engine", None),
            ("/var/run/docker.sock", None),
            ("ftp://x", None),
            ("https://box", None),
        ] {
            assert_eq!(parse_host(text, false).ok().as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn proxies_are_given_in_both_cases() {
        let c = config(r#"{"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"x"},"tcp://a":{}}}"#);
        let names: Vec<String> =
            c.proxy_environment("unix:///s").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(names, ["HTTP_PROXY=http://p:1", "http_proxy=http://p:1", "NO_PROXY=x", "no_proxy=x"]);
        assert!(c.proxy_environment("tcp://a").is_empty());
    }
}

//! Connections: the transport, the API version and the one TLS provider.

use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Request, Uri, uri::PathAndQuery};
use http_body_util::BodyExt;
use serde_json::Value;

mod ssh;
mod tls;
mod transport;

use super::{
    context::{CliConfig, ConnectOptions, Target, resolve},
    error::{classify, within},
};
use crate::engine::{EngineError, EngineErrorKind, EngineInfo};

/// The newest API that this adapter is tested with.
const NEWEST_API: (u32, u32) = (1, 51);
/// The oldest API that it speaks (Docker Engine 20.10).
const OLDEST_API: (u32, u32) = (1, 41);
/// How long the first answer may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// bollard's own limit, in seconds: out of the way, because every call here has a limit of ours.
const BOLLARD_LIMIT: u64 = 7 * 24 * 3600;

/// A connection and what is known of the engine behind it.
pub(super) struct Connection {
    pub(super) docker: Docker,
    pub(super) info: EngineInfo,
    pub(super) target: Target,
    pub(super) proxies: Vec<(String, String)>,
}

/// Finds the engine that is meant and agrees with it on an API version.
pub(super) async fn connect(options: &ConnectOptions) -> Result<Connection, EngineError> {
    let config = CliConfig::load(&options.config_dir)?;
    let target = resolve(options, &config)?;
    let docker = open(&target).map_err(|e| say_where(e, &target.host))?;
    let limit = options.limit.map_or(CONNECT_LIMIT, |limit| limit.min(CONNECT_LIMIT));
    let version = within(limit, "version", docker.version()).await;
    let version = version.map_err(|e| say_where(e, &target.host))?;
    let server_api = version.api_version.as_deref().and_then(parse_version).ok_or_else(|| {
        invalid(format!("{} does not answer as a Docker engine: it names no API version", target.host))
    })?;
    let minimum = version.min_api_version.as_deref().and_then(parse_version);
    let api = agree(server_api, minimum, options.variable("DOCKER_API_VERSION"))?;
    let proxies = config.proxy_environment(&target.host);
    Ok(Connection {
        docker: with_version(docker, api),
        info: EngineInfo {
            api_version: format!("{}.{}", api.0, api.1),
            server_version: version.version.unwrap_or_default(),
            os: version.os.unwrap_or_default(),
            arch: version.arch.unwrap_or_default(),
            host: target.host.clone(),
            local: target.host.starts_with("unix://"),
        },
        target,
        proxies,
    })
}

/// Adds where the engine was looked for, and what to look at.
fn say_where(error: EngineError, host: &str) -> EngineError {
    if error.kind != EngineErrorKind::Unreachable {
        return error;
    }
    let message = if error.message.contains("ermission denied") {
        format!("{}; may this user talk to {host}?", error.message)
    } else {
        format!("{}; is it running at {host}?", error.message)
    };
    EngineError::new(error.kind, message)
}

/// Opens the transport; sends nothing.
fn open(target: &Target) -> Result<Docker, EngineError> {
    // The second of two callers finds it installed, which is just as well.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (host, version) = (target.host.as_str(), API_DEFAULT_VERSION);
    match (&target.tls, host.split_once("://")) {
        (Some(tls), Some((_, address))) => tls::connect(address, tls, BOLLARD_LIMIT),
        (None, Some(("unix", _))) => {
            Docker::connect_with_unix(host, BOLLARD_LIMIT, version).map_err(classify)
        }
        (None, Some(("ssh", _))) => ssh::connect(host, BOLLARD_LIMIT),
        _ => Docker::connect_with_http(host, BOLLARD_LIMIT, version).map_err(classify),
    }
}

/// The API version that both sides speak; `wanted` is `DOCKER_API_VERSION`, taken at its word.
fn agree(
    server: (u32, u32),
    minimum: Option<(u32, u32)>,
    wanted: Option<&str>,
) -> Result<(u32, u32), EngineError> {
    let say = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let api = match wanted {
        Some(text) => parse_version(text).ok_or_else(|| {
            invalid(format!("DOCKER_API_VERSION=`{text}` is no API version such as `1.44`"))
        })?,
        None => server.min(NEWEST_API),
    };
    if api < OLDEST_API {
        return Err(invalid(format!(
            "API {} is too old: Docker Engine 20.10 (API {}) or newer is needed",
            say(api),
            say(OLDEST_API)
        )));
    }
    if api > server {
        return Err(invalid(format!(
            "DOCKER_API_VERSION={} is newer than the engine's API {}",
            say(api),
            say(server)
        )));
    }
    if let Some(minimum) = minimum.filter(|m| api < *m) {
        return Err(invalid(format!(
            "the engine speaks API {} and newer, this version of docker orch up to {}",
            say(minimum),
            say(api)
        )));
    }
    Ok(api)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim_start_matches('v').split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// bollard 0.21.1 sends requests without a version, so that the engine answers in its newest shape; this puts the
/// agreed one in front of every path.
fn with_version(docker: Docker, (major, minor): (u32, u32)) -> Docker {
    let prefix = format!("/v{major}.{minor}");
    let old = (major, minor) < (1, 44);
    docker.with_request_modifier(move |request| {
        let creates = old && request.uri().path().ends_with("/containers/create");
        versioned(if creates { with_mac_address(request) } else { request }, &prefix)
    })
}

/// Puts the version in front of the path, and registry credentials in the alphabet that the engine decodes.
fn versioned<B>(mut request: Request<B>, prefix: &str) -> Request<B> {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    if !path.starts_with("/v1.") {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{prefix}{path}").parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    if let Some(value) = request.headers_mut().get_mut("x-registry-auth") {
        let text = String::from_utf8_lossy(value.as_bytes()).replace('+', "-").replace('/', "_");
        if let Ok(mut safe) = HeaderValue::from_str(&text) {
            safe.set_sensitive(true);
            *value = safe;
        }
    }
    request
}

/// Before API 1.44 a container's MAC address stands at the top of the create body, which bollard's type lacks.
fn with_mac_address(request: BollardRequest) -> BollardRequest {
    let (parts, body) = request.into_parts();
    // A body that is there in full is read without waiting.
    let content = body.collect().now_or_never().and_then(Result::ok).map(http_body_util::Collected::to_bytes);
    let content = content.unwrap_or_default();
    let changed = serde_json::from_slice::<Value>(&content).ok().and_then(|mut body| {
        let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object()?;
        let address = endpoints.values().find_map(|e| e["MacAddress"].as_str())?.to_owned();
        body["MacAddress"] = Value::String(address);
        serde_json::to_vec(&body).ok()
    });
    BollardRequest::from_parts(parts, bollard::body_full(changed.map_or(content, Bytes::from)))
}

fn invalid(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixListener,
    };

    use super::*;

    #[test]
    fn versions_are_agreed_upon() {
        let word = |r: Result<(u32, u32), EngineError>| r.map_err(|e| e.message);
        assert_eq!(word(agree((1, 41), None, None)), Ok((1, 41)));
        assert_eq!(word(agree((1, 99), Some((1, 24)), None)), Ok(NEWEST_API));
        assert_eq!(word(agree((1, 51), None, Some("1.43"))), Ok((1, 43)));
        assert_eq!(
            word(agree((1, 40), None, None)),
            Err("API 1.40 is too old: Docker Engine 20.10 (API 1.41) or newer is needed".to_owned())
        );
        assert_eq!(
            word(agree((1, 44), None, Some("1.51"))),
            Err("DOCKER_API_VERSION=1.51 is newer than the engine's API 1.44".to_owned())
        );
        assert!(agree((1, 51), None, Some("new")).is_err());
        assert!(agree((1, 90), Some((1, 60)), None).is_err());
    }

    #[test]
    fn a_version_that_is_there_stays() {
        let get = |path: &str| {
            let request = Request::builder().uri(path).body(()).expect("a request");
            versioned(request, "/v1.41").uri().to_string()
        };
        assert_eq!(get("http://h/containers/json?all=true"), "http://h/v1.41/containers/json?all=true");
        assert_eq!(get("http://h/v1.44/_ping"), "http://h/v1.44/_ping");
        assert_eq!(get("http://h/volumes"), "http://h/v1.41/volumes");
    }

    #[test]
    fn credentials_are_sent_in_the_alphabet_for_urls() {
        let request =
            Request::builder().uri("/x").header("X-Registry-Auth", "a+b/c=").body(()).expect("a request");
        assert_eq!(versioned(request, "/v1.41").headers()["x-registry-auth"], "a-b_c=");
    }

    #[test]
    fn an_old_engine_gets_the_mac_address_where_it_looks_for_it() {
        let sent = |body: &'static str| {
            let body = bollard::body_full(Bytes::from_static(body.as_bytes()));
            let request = Request::builder().uri("/containers/create").body(body).expect("a request");
            let body = with_mac_address(request).into_body().collect().now_or_never();
            body.expect("no waiting").expect("a body").to_bytes()
        };
        assert_eq!(
            sent(r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02::1"}}}}"#),
            r#"{"NetworkingConfig":{"EndpointsConfig":{"n":{"MacAddress":"02::1"}}},"MacAddress":"02::1"}"#
        );
        assert_eq!(sent(r#"{"Image":"a"}"#), r#"{"Image":"a"}"#);
    }

    /// Answers every request on `socket` as an engine would, and hands on the request lines.
    fn fake_engine(socket: &Path) -> tokio::sync::mpsc::UnboundedReceiver<String> {
        let listener = UnixListener::bind(socket).expect("a socket");
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let line = head.lines().next().unwrap_or_default().to_owned();
                let body = if line.contains("/version") {
                    r#"{"ApiVersion":"1.43","MinAPIVersion":"1.24","Version":"24.0.1","Os":"linux"}"#
                } else {
                    "[]"
                };
                sender.send(line).expect("the test listens");
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
            }
        });
        receiver
    }

    #[tokio::test]
    async fn every_request_carries_the_agreed_version() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = dir.path().join("engine.sock");
        let mut lines = fake_engine(&socket);
        let options = ConnectOptions {
            host: Some(format!("unix://{}", socket.display())),
            config_dir: dir.path().to_owned(),
            ..ConnectOptions::default()
        };
        let connection = connect(&options).await.expect("a connection");
        connection.docker.list_containers(None).await.expect("an answer");
        assert_eq!(lines.recv().await.as_deref(), Some("GET /version HTTP/1.1"));
        assert_eq!(lines.recv().await.as_deref(), Some("GET /v1.43/containers/json HTTP/1.1"));
        assert_eq!(connection.info.api_version, "1.43");
        assert_eq!(connection.info.server_version, "24.0.1");
        assert!(connection.info.local);
    }

    #[tokio::test]
    async fn an_absent_engine_is_unreachable() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let no_socket = format!("unix://{}/none.sock", dir.path().display());
        for (host, why) in
            [(no_socket.as_str(), "there is no socket"), ("tcp://127.0.0.1:1", "Connection refused")]
        {
            let options = ConnectOptions {
                host: Some(host.to_owned()),
                config_dir: dir.path().to_owned(),
                ..ConnectOptions::default()
            };
            let error = connect(&options).await.err().expect("no engine");
            assert_eq!(error.kind, EngineErrorKind::Unreachable);
            let told =
                error.message.contains(why) && error.message.ends_with(&format!("is it running at {host}?"));
            assert!(told, "{error}");
        }
    }
}

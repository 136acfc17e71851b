//! Whether an HTTP request gets the answer that is expected.

use std::{net::Ipv4Addr, net::Ipv6Addr, net::SocketAddr, time::Duration};

use reqwest::{Client, Method, header};
use tokio::net::TcpStream;

use super::{
    Target,
    answer::{HttpAnswer, accepts, io_words, root_words},
    netns,
    prober::{Answer, Attempt, reach},
    route::Route,
};
use crate::{engine::EngineInfo, project::HttpProbe};

/// No more of a body is read than this.
const BODY_LIMIT: usize = 256 * 1024;
/// How long a container's address may take to accept before another way is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);

/// Sends the requests. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Http {
    /// For containers: another way is tried when an address does not accept soon.
    near: Result<Client, String>,
    /// For names outside: only the probe's own timeout counts.
    far: Result<Client, String>,
}

impl Http {
    pub(super) fn new() -> Self {
        // Two clients of one TLS library in one process must agree on its provider; the first to come sets it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let build = |patience: Option<Duration>| {
            let client = Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(0)
                .http1_only()
                // A probe asks whether the service answers, not who it is: containers have self-signed certificates.
                .tls_danger_accept_invalid_certs(true)
                .tls_danger_accept_invalid_hostnames(true);
            let client = match patience {
                Some(patience) => client.connect_timeout(patience),
                None => client,
            };
            client.build().map_err(|error| root_words(&error))
        };
        Self { near: build(Some(ADDRESS_PATIENCE)), far: build(None) }
    }

    /// Tries every way in turn until one reaches the service.
    pub(super) async fn ask(
        &self,
        probe: &HttpProbe,
        target: &Target,
        engine: &EngineInfo,
        limit: Duration,
    ) -> Attempt {
        let routes = reach(probe.host.as_deref(), probe.port, target, engine);
        let mut last = Attempt::Closed(routes.why_none);
        for route in routes.open.into_iter().chain(routes.published) {
            let client = match &route {
                Route::Address(_) | Route::Inside { .. } => &self.near,
                Route::Name(..) => &self.far,
            };
            let client = match client {
                Ok(client) => client,
                Err(why) => return Attempt::Answered(Answer::new(false, why.clone())),
            };
            let attempt = go(client, probe, &route, limit).await;
            match (&attempt, &route) {
                // Inside, localhost is where the service must be.
                (Attempt::Answered(_) | Attempt::Unclear(_), _)
                | (Attempt::Refused(_), Route::Inside { .. }) => {
                    return attempt;
                }
                // The address's own words say more than that the namespace could not be entered.
                (Attempt::Closed(_), _) if matches!(last, Attempt::Refused(_)) => {}
                (Attempt::Closed(_), _) | (Attempt::Refused(_), Route::Address(_) | Route::Name(..)) => {
                    last = attempt;
                }
            }
        }
        last
    }
}

async fn go(client: &Client, probe: &HttpProbe, route: &Route, limit: Duration) -> Attempt {
    match route {
        Route::Address(address) => send(client, probe, &address.to_string()).await,
        Route::Name(host, port) if host.contains(':') => {
            send(client, probe, &format!("[{host}]:{port}")).await
        }
        Route::Name(host, port) => send(client, probe, &format!("{host}:{port}")).await,
        Route::Inside { pid, container, port } => {
            let (client, probe, port) = (client.clone(), probe.clone(), *port);
            let job = async move {
                let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                // While a service starts nothing listens: that is found out for far less than a request costs. A server
                // with TLS would have something to say about a connection without a greeting.
                if probe.scheme == "http"
                    && let Some(why) = nothing_listens(port).await
                {
                    return Attempt::Refused(why);
                }
                match send(&client, &probe, &v4.to_string()).await {
                    Attempt::Refused(why) => {
                        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
                        match send(&client, &probe, &v6.to_string()).await {
                            Attempt::Refused(_) => Attempt::Refused(why),
                            other => other,
                        }
                    }
                    other => other,
                }
            };
            match netns::inside(*pid, container, limit, job).await {
                Ok(Some(attempt)) => attempt,
                Ok(None) => Attempt::Answered(Answer::new(false, "no answer in time")),
                Err(error) => Attempt::Closed(io_words(&error)),
            }
        }
    }
}

/// Why neither loopback address accepts; `None`: one does.
async fn nothing_listens(port: u16) -> Option<String> {
    let v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.err()?;
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.err()?;
    Some(io_words(&v4))
}

/// One request to one address.
async fn send(client: &Client, probe: &HttpProbe, authority: &str) -> Attempt {
    let failed = |error: &reqwest::Error| Answer::new(false, root_words(error));
    let method = match Method::from_bytes(probe.method.as_bytes()) {
        Ok(method) => method,
        Err(error) => return Attempt::Answered(Answer::new(false, error.to_string())),
    };
    let mut request = client.request(method, format!("{}://{authority}{}", probe.scheme, probe.path));
    if !probe.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        // Servers that check the name expect the one that the file writes, not an address of ours.
        let host = probe.host.as_deref().unwrap_or("localhost");
        request = request.header(header::HOST, format!("{host}:{}", probe.port));
    }
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &probe.body {
        request = request.body(body.clone());
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Attempt::Refused(root_words(&error)),
        Err(error) => return Attempt::Answered(failed(&error)),
    };
    let status = response.status();
    if status.is_redirection() && probe.command.is_some() && !accepts(probe, status.as_u16()) {
        return Attempt::Unclear(format!("{status} to somewhere else"));
    }
    let mut answer =
        HttpAnswer { status: status.as_u16(), status_line: status.to_string(), body: Vec::new() };
    if wants_body(probe, &response) {
        while answer.body.len() < BODY_LIMIT {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Attempt::Answered(failed(&error)),
            }
            // A body without end (a stream of events) is read only as far as needed.
            if probe.body_contains.is_some() && probe.json.is_empty() && answer.fault(probe).is_none() {
                break;
            }
        }
    }
    let fault = answer.fault(probe);
    Attempt::Answered(Answer {
        passed: fault.is_none(),
        detail: fault.unwrap_or_else(|| answer.status_line.clone()),
        report: answer.report(),
    })
}

/// A body is read where it is asked for, or may be a health report.
fn wants_body(probe: &HttpProbe, response: &reqwest::Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    probe.body_contains.is_some() || !probe.json.is_empty() || kind.is_some_and(|kind| kind.contains("json"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::mpsc,
    };

    use super::*;
    use crate::plan::ContainerDetail;

    fn probe(port: u16) -> HttpProbe {
        HttpProbe {
            scheme: "http".to_owned(),
            host: None,
            port,
            path: "/health?deep=1".to_owned(),
            method: "GET".to_owned(),
            headers: vec![],
            body: None,
            status: vec![],
            body_contains: None,
            json: vec![],
            command: None,
        }
    }

    fn on_host() -> Target {
        let detail = ContainerDetail { network_mode: "host".to_owned(), ..ContainerDetail::default() };
        Target { detail: Arc::new(detail), ..Target::default() }
    }

    /// Serves one canned answer per connection; hands on what was asked, and "closed" when the client has gone.
    async fn server(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                heard.send(String::from_utf8_lossy(&request[..read]).into_owned()).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                if stream.read(&mut request).await.unwrap_or(0) == 0 {
                    heard.send("closed".to_owned()).unwrap();
                }
            }
        });
        (port, receiver)
    }

    async fn ask(probe: &HttpProbe) -> Attempt {
        let engine = EngineInfo { local: true, ..EngineInfo::default() };
        Http::new().ask(probe, &on_host(), &engine, Duration::from_secs(5)).await
    }

    fn answered(attempt: Attempt) -> Answer {
        match attempt {
            Attempt::Answered(answer) => answer,
            Attempt::Refused(_) | Attempt::Closed(_) | Attempt::Unclear(_) => panic!("{attempt:?}"),
        }
    }

    #[tokio::test]
    async fn the_request_is_the_one_that_the_file_writes_and_leaves_no_connection() {
        let (port, mut heard) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let asked = HttpProbe {
            method: "POST".to_owned(),
            headers: vec![("X-Key".to_owned(), "1".to_owned())],
            body: Some("{}".to_owned()),
            ..probe(port)
        };
        assert_eq!(answered(ask(&asked).await), Answer::new(true, "200 OK"));
        let request = heard.recv().await.unwrap().to_lowercase();
        assert!(request.starts_with("post /health?deep=1 http/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: localhost:{port}\r\n")), "{request}");
        assert!(request.contains("x-key: 1\r\n") && request.ends_with("{}"), "{request}");
        assert_eq!(heard.recv().await.as_deref(), Some("closed"), "although the server would keep it");
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (port, _heard) =
            server("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(answered(ask(&probe(port)).await), Answer::new(false, "302 Found"));
        let command = Some(vec!["wget".to_owned()]);
        let recognised = HttpProbe { command, ..probe(port) };
        assert!(matches!(ask(&recognised).await, Attempt::Unclear(_)), "the command would follow it");
    }

    #[tokio::test]
    async fn a_health_report_is_kept_also_when_the_status_is_bad() {
        let (port, _heard) = server(concat!(
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n",
            r#"{"status":"unhealthy"}"#
        ))
        .await;
        let answer = answered(ask(&probe(port)).await);
        assert_eq!((answer.passed, answer.detail.as_str()), (false, "503 Service Unavailable"));
        assert_eq!(answer.report.unwrap()["status"], "unhealthy");
    }

    #[tokio::test]
    async fn an_endless_body_is_read_as_far_as_needed() {
        let (port, _heard) =
            server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ready\n\n").await;
        assert!(answered(ask(&probe(port)).await).passed);
        let wanted = HttpProbe { body_contains: Some("ready".to_owned()), ..probe(port) };
        assert!(answered(ask(&wanted).await).passed);
    }

    #[tokio::test]
    async fn a_closed_port_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(ask(&probe(port)).await, Attempt::Refused("connection refused".to_owned()));
    }
}

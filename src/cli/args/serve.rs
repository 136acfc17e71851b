//! What is seen from outside: `--dashboard`, `--metrics`, and `serve`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;

use super::LateProjectFlags;

/// What is served while a command goes on.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Dashboard and metrics")]
pub struct SeenFlags {
    /// Show what goes on as a page at this address, `[HOST:]PORT`; without a host only to this machine
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub dashboard: Option<SocketAddr>,
    /// Serve metrics for Prometheus at this address, below `/metrics`
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub metrics: Option<SocketAddr>,
    /// Read the token that lets others in from this file; else one is made and printed [env: `DOCKER_ORCH_TOKEN`]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stays until Ctrl+C, which leaves the project as it is. While the project runs its checks go on: what becomes unhealthy is
started again as `start` says. What other commands do to the project is shown as it happens, and they are not held up.

On this machine everybody may read. Beyond it, and to restart a service, the token is needed: it is part of the address
that is printed.

Examples:
  docker orch serve                          The page, the HTTP API and metrics, at 127.0.0.1:8642
  docker orch serve --metrics 0.0.0.0:9100   Metrics for a Prometheus elsewhere, too
  curl -s localhost:8642/api/v1/project      The project as JSON; /openapi.json says what else there is")]
pub struct ServeArgs {
    /// Show what goes on as a page at this address, `[HOST:]PORT`; without a host only to this machine
    #[arg(long, value_name = "ADDR", value_parser = parse_listen, default_value = "127.0.0.1:8642")]
    pub dashboard: SocketAddr,
    /// Serve metrics at this address, too: below `/metrics`, as at the page's
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    pub metrics: Option<SocketAddr>,
    /// Read the token that lets others in from this file; else one is made and printed [env: `DOCKER_ORCH_TOKEN`]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Which project.
    #[command(flatten)]
    pub late: LateProjectFlags,
}

impl ServeArgs {
    /// What is served.
    pub fn seen(&self) -> SeenFlags {
        let (dashboard, metrics) = (Some(self.dashboard), self.metrics);
        SeenFlags { dashboard, metrics, token_file: self.token_file.clone() }
    }
}

/// `[HOST:]PORT`.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let expected =
        "expected PORT, HOST:PORT with an IP address or `localhost`, or 0.0.0.0:PORT for everybody";
    let port = port.parse::<u16>().map_err(|_| expected.to_owned())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "" | "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        other => other.parse().map_err(|_| expected.to_owned())?,
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_host_is_this_machines_alone() {
        for (text, address) in [
            ("9100", "127.0.0.1:9100"),
            (":9100", "127.0.0.1:9100"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:9100", "0.0.0.0:9100"),
            ("[::]:9100", "[::]:9100"),
            ("[::1]:9100", "[::1]:9100"),
        ] {
            assert_eq!(parse_listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        for wrong in ["", "host:9100", "9100:", "70000", "*:9100", "http://localhost:9100"] {
            assert!(parse_listen(wrong).is_err(), "{wrong}");
        }
    }
}

//! `--dashboard` and `--metrics`: what is seen of a command from outside, and the token that lets others see it.

use std::{fs, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use super::{CliError, Invocation, args::SeenFlags, entry::note, mask::mask, random::random};
use crate::{
    engine::Engine,
    journal::state_dir,
    project::Project,
    serve::{Access, Feed, Restart, Routes, Site, dashboard, figures, listen},
    token::{self, Token},
};

/// The variable that gives the token.
const VARIABLE: &str = "DOCKER_ORCH_TOKEN";

/// What is served while this lives.
pub(super) struct Serving {
    /// Where what is shown comes in.
    pub(super) feed: Feed,
    _listeners: JoinSet<()>,
}

/// What others see.
pub(super) struct Seen<'a> {
    pub(super) project: &'a Project,
    pub(super) engine: &'a Arc<dyn Engine>,
    /// Where requests to restart a service go; `None`: this command restarts none.
    pub(super) restarts: Option<mpsc::Sender<Restart>>,
}

impl Serving {
    /// Listens where the flags say, and prints where that is; `None`: they say nothing.
    ///
    /// # Errors
    ///
    /// An address cannot be had, or the token is none.
    pub(super) async fn begin(
        invocation: &Invocation,
        flags: &SeenFlags,
        seen: Seen<'_>,
    ) -> Result<Option<Self>, CliError> {
        if flags.dashboard.is_none() && flags.metrics.is_none() {
            return Ok(None);
        }
        let feed = Feed::of(&seen.project.name);
        let mut site =
            Site::new(&seen.project.name, feed.clone(), Arc::clone(seen.engine), mask(seen.project));
        if let Some(state) = state_dir(|name| invocation.env(name)) {
            site = site.with_past(&state);
        }
        if let Some(restarts) = seen.restarts {
            site = site.with_restarts(restarts);
        }
        let site = Arc::new(site);
        let given = given(invocation, flags)?;
        let token = given.clone().map_or_else(made, Ok)?;
        let mut listeners = JoinSet::new();
        let both = [(flags.dashboard, dashboard as Routes, "/"), (flags.metrics, figures, "/metrics")];
        for (wanted, routes, path) in both {
            let Some(wanted) = wanted else { continue };
            let listener = bound(wanted).await?;
            let address = listener.local_addr().unwrap_or(wanted);
            let access = Access { token: Some(Token::new(&token)), loopback: address.ip().is_loopback() };
            let shown = given.is_none().then_some(token.as_str());
            note(&said(path, address, shown));
            listeners.spawn(listen(listener, routes(Arc::clone(&site), access)));
        }
        Ok(Some(Self { feed, _listeners: listeners }))
    }
}

async fn bound(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::failed(format!("failed to listen on {address}"))
            .caused_by(&error)
            .hint("port 0 takes any port that is free")
    })
}

/// Where something is found. A token that was made is shown, as nobody knows it; one that was given is not.
fn said(path: &str, address: SocketAddr, made: Option<&str>) -> String {
    match (path, made) {
        ("/", Some(token)) => format!("dashboard: http://{address}/#token={token}"),
        ("/", None) => format!("dashboard: http://{address}/"),
        (path, Some(token)) if !address.ip().is_loopback() => {
            format!("metrics: http://{address}{path} with `Authorization: Bearer {token}`")
        }
        (path, _) => format!("metrics: http://{address}{path}"),
    }
}

/// The token of `--token-file`, else of the environment.
fn given(invocation: &Invocation, flags: &SeenFlags) -> Result<Option<String>, CliError> {
    let (token, from) = match (&flags.token_file, invocation.env(VARIABLE)) {
        (Some(path), _) => {
            let failed = |e| CliError::failed(format!("failed to read `{}`", path.display())).caused_by(&e);
            (fs::read_to_string(path).map_err(failed)?, format!("`{}`", path.display()))
        }
        (None, Some(token)) => (token.to_owned(), VARIABLE.to_owned()),
        (None, None) => return Ok(None),
    };
    if let Some(token) = token::written(&token) {
        return Ok(Some(token.to_owned()));
    }
    let error = CliError::usage(format!("the token of {from} is none"));
    Err(error.hint(format!(
        "a token is a line of at least {} characters, printable and without spaces: `openssl rand -hex 16`",
        token::SHORTEST
    )))
}

/// A token that nobody can guess.
fn made() -> Result<String, CliError> {
    let mut token = random()?;
    // Half of it is enough, and shorter to hand on.
    token.truncate(32);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_from_the_file_then_from_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "from-the-file-0123456789\n").unwrap();
        let mut invocation = Invocation::default();
        let none = SeenFlags::default();
        assert_eq!(given(&invocation, &none), Ok(None));
        invocation.env.insert(VARIABLE.into(), "from-the-environment".into());
        assert_eq!(given(&invocation, &none), Ok(Some("from-the-environment".into())));
        let named = SeenFlags { token_file: Some(file.clone()), ..SeenFlags::default() };
        assert_eq!(given(&invocation, &named), Ok(Some("from-the-file-0123456789".into())));
        for short in ["short", "sixteen letters and", ""] {
            fs::write(&file, short).unwrap();
            assert!(given(&invocation, &named).unwrap_err().message.contains("is none"), "{short}");
        }
    }

    #[test]
    fn a_token_that_was_made_is_told_where_it_is_needed() {
        let (loopback, any) = ("127.0.0.1:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
        assert_eq!(said("/", loopback, Some("t")), "dashboard: http://127.0.0.1:80/#token=t");
        assert_eq!(said("/", any, None), "dashboard: http://0.0.0.0:80/");
        assert_eq!(said("/metrics", loopback, Some("t")), "metrics: http://127.0.0.1:80/metrics");
        assert_eq!(
            said("/metrics", any, Some("t")),
            "metrics: http://0.0.0.0:80/metrics with `Authorization: Bearer t`"
        );
        assert_eq!(made().unwrap().len(), 32);
        assert_ne!(made(), made());
    }
}

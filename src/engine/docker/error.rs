//! What bollard reports, in the kinds that callers tell apart, with the engine's own words.

use std::time::Duration;

use bollard::errors::Error;
use tracing::Instrument as _;

use crate::engine::{EngineError, EngineErrorKind as Kind};

/// Waits for a call at most `limit`. The engine may do what was asked all the same.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, call).instrument(tracing::trace_span!("request", what)).await {
        Ok(result) => result.map_err(classify),
        Err(_) => Err(EngineError::new(
            Kind::TimedOut,
            format!("the engine gave no answer to `{what}` within {} s", limit.as_secs()),
        )),
    }
}

/// Sorts a failure by what it means for the caller.
#[expect(clippy::needless_pass_by_value, reason = "stands in `map_err`")]
pub(super) fn classify(error: Error) -> EngineError {
    match &error {
        Error::DockerResponseServerError { status_code, message } => {
            EngineError::new(by_status(*status_code, message), message.trim())
        }
        Error::DockerStreamError { error: message } => EngineError::new(by_words(message), message.trim()),
        Error::RequestTimeoutError => EngineError::new(Kind::TimedOut, "the engine gave no answer in time"),
        Error::SocketNotFoundError(path) => EngineError::new(
            Kind::Unreachable,
            format!("cannot reach the Docker engine: there is no socket {path}"),
        ),
        Error::HyperLegacyError { err } if err.is_connect() => {
            EngineError::new(Kind::Unreachable, format!("cannot reach the Docker engine: {}", causes(err)))
        }
        _ if never_connected(&error) => EngineError::new(
            Kind::Unreachable,
            format!("cannot reach the Docker engine: {}", innermost(&error)),
        ),
        Error::HyperLegacyError { .. } | Error::HyperResponseError { .. } | Error::IOError { .. } => {
            EngineError::new(
                Kind::Ambiguous,
                format!("the connection to the engine broke: {}", chain(&error)),
            )
        }
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::StrParseError { .. } => {
            EngineError::new(Kind::Failed, format!("the engine's answer cannot be read: {}", chain(&error)))
        }
        Error::URLParseError { .. }
        | Error::InvalidURIError { .. }
        | Error::UnsupportedURISchemeError { .. } => EngineError::new(Kind::Invalid, chain(&error)),
        _ => EngineError::new(Kind::Failed, chain(&error)),
    }
}

/// The kind of an HTTP status; the engine reports some refusals as plain 500.
fn by_status(status: u16, message: &str) -> Kind {
    match status {
        400 | 406 | 422 => Kind::Invalid,
        401 => Kind::Denied,
        // Also the engine's word for a network that is in use.
        403 => match by_words(message) {
            Kind::Denied => Kind::Denied,
            _ => Kind::Conflict,
        },
        404 => match by_words(message) {
            Kind::Denied => Kind::Denied,
            _ => Kind::NotFound,
        },
        409 => Kind::Conflict,
        408 | 504 => Kind::TimedOut,
        _ => by_words(message),
    }
}

/// The kind of a failure that only its words tell.
fn by_words(message: &str) -> Kind {
    let text = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    if has(&["access denied", "unauthorized", "authentication required", "no basic auth credentials"]) {
        Kind::Denied
    } else if has(&["manifest unknown", "not found: manifest", "no such image", "no such container"]) {
        Kind::NotFound
    } else {
        Kind::Failed
    }
}

/// Whether no connection came about, on a way of our own.
fn never_connected(error: &Error) -> bool {
    let says_so = |io: &std::io::Error| io.kind() == std::io::ErrorKind::NotConnected;
    if let Error::IOError { err } = error {
        return says_so(err);
    }
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(says_so)
}

/// The last of the causes.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// What lies under an error of the HTTP client, whose own words say nothing to a user.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), chain)
}

/// An error and its causes, each said once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> EngineError {
        classify(Error::DockerResponseServerError { status_code, message: message.to_owned() })
    }

    #[test]
    fn statuses_and_words_have_their_kind() {
        for (status, message, kind) in [
            (400, "invalid mount config", Kind::Invalid),
            (401, "x", Kind::Denied),
            (403, "error while removing network: network n has active endpoints", Kind::Conflict),
            (403, "requested access to the resource is denied: access denied", Kind::Denied),
            (404, "No such container: a", Kind::NotFound),
            (404, "pull access denied for a, repository does not exist", Kind::Denied),
            (409, "name is already in use", Kind::Conflict),
            (500, "Get https://r: unauthorized: authentication required", Kind::Denied),
            (500, "manifest unknown: manifest unknown", Kind::NotFound),
            (500, "driver failed programming external connectivity", Kind::Failed),
            (504, "", Kind::TimedOut),
        ] {
            assert_eq!(server(status, message).kind, kind, "{status} {message}");
        }
        assert_eq!(server(500, "the engine's words\n").message, "the engine's words");
    }

    #[test]
    fn broken_connections_are_ambiguous_and_missing_sockets_are_not() {
        let broken = classify(Error::IOError { err: std::io::Error::other("reset") });
        assert_eq!((broken.kind, broken.kind.is_ambiguous()), (Kind::Ambiguous, true));
        let missing = classify(Error::SocketNotFoundError("/x.sock".to_owned()));
        assert_eq!(missing.kind, Kind::Unreachable);
        assert!(missing.message.contains("/x.sock"), "{}", missing.message);
        assert_eq!(classify(Error::RequestTimeoutError).kind, Kind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_times_out() {
        let call = std::future::pending::<Result<(), Error>>();
        let error = within(Duration::from_secs(3), "ping", call).await.expect_err("no answer");
        assert_eq!(error.kind, Kind::TimedOut);
        assert_eq!(error.message, "the engine gave no answer to `ping` within 3 s");
    }
}

//! Answers of our own: why a request is not passed on.

use std::time::Duration;

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    body::{AnyBody, whole},
    tenant::Denied,
};
use crate::ondemand::Refusal;

/// Why a request is not passed on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Problem {
    /// Whoever asks is not let in.
    Denied(Denied),
    /// Whoever loads services says no.
    Refused {
        /// The service.
        service: String,
        /// Why.
        refusal: Refusal,
    },
    /// Nothing is served under this host and path.
    NoRoute,
    /// No service has this model; empty: the request names none.
    NoModel(String),
    /// The path is for administrators only.
    Closed,
    /// The client takes this for a way to other hosts.
    NoWayThrough,
    /// The body is longer than is read to find a model in it.
    TooLong,
    /// The body broke off.
    Unreadable(String),
    /// The client does not send the rest of the body.
    Silent,
    /// The service that is ready gave no answer.
    BadGateway {
        /// The service.
        service: String,
        /// What went wrong.
        message: String,
    },
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Denied(Denied::NoKey | Denied::UnknownKey) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denied::TooMany(_)) | Self::Refused { refusal: Refusal::QueueFull { .. }, .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Refused { refusal: Refusal::TooLate { .. }, .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Refused { refusal: Refusal::NeverFits { .. }, .. } => StatusCode::INSUFFICIENT_STORAGE,
            Self::Refused { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute | Self::NoModel(_) => StatusCode::NOT_FOUND,
            Self::Closed => StatusCode::FORBIDDEN,
            Self::NoWayThrough => StatusCode::NOT_IMPLEMENTED,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Silent => StatusCode::REQUEST_TIMEOUT,
            Self::BadGateway { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    /// One word for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::Denied(Denied::NoKey) => "missing_api_key",
            Self::Denied(Denied::UnknownKey) => "invalid_api_key",
            Self::Denied(Denied::TooMany(_)) => "rate_limit_exceeded",
            Self::Refused { refusal, .. } => match refusal {
                Refusal::Unknown => "unknown_service",
                Refusal::NotLoaded | Refusal::Unloaded => "not_loaded",
                Refusal::Loading { .. } => "loading",
                Refusal::QueueFull { .. } => "queue_full",
                Refusal::TooLate { .. } => "not_ready_in_time",
                Refusal::Failed { .. } => "load_failed",
                Refusal::NeverFits { .. } => "insufficient_vram",
            },
            Self::NoRoute => "no_route",
            Self::NoModel(_) => "model_not_found",
            Self::Closed => "closed_path",
            Self::NoWayThrough => "no_way_through",
            Self::TooLong => "body_too_long",
            Self::Unreadable(_) => "unreadable_body",
            Self::Silent => "request_timeout",
            Self::BadGateway { .. } => "no_answer",
        }
    }

    /// In words.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Denied(Denied::NoKey) => {
                "this needs a key: send `Authorization: Bearer KEY`, or `x-api-key: KEY`".to_owned()
            }
            Self::Denied(Denied::UnknownKey) => "nobody has this key".to_owned(),
            Self::Denied(Denied::TooMany(most)) => {
                format!(
                    "{most} of your requests are in flight, as many as may be: ask again when one is over"
                )
            }
            Self::Refused { service, refusal } => format!("{service}: {refusal}"),
            Self::NoRoute => "nothing is served under this host and path".to_owned(),
            Self::NoModel(name) if name.is_empty() => {
                "the request names no model: send JSON with a field `model`".to_owned()
            }
            Self::NoModel(name) => {
                format!("no service has the model `{name}`: `/v1/models` lists those there are")
            }
            Self::Closed => "this path is for the service's administrators and is not passed on".to_owned(),
            Self::NoWayThrough => {
                "`CONNECT` asks for a way to another host, and none leads through here".to_owned()
            }
            Self::TooLong => {
                format!(
                    "the body is longer than the {} MiB in which a model is looked for",
                    super::limits::BODY_SIZE >> 20
                )
            }
            Self::Silent => {
                format!("nothing has come of the rest of the body for {} s", super::limits::STALL.as_secs())
            }
            Self::Unreadable(why) => format!("the body broke off: {why}"),
            Self::BadGateway { service, message } => {
                format!("{service} is ready and gave no answer: {message}")
            }
        }
    }

    /// In the form that OpenAI's clients read: <https://platform.openai.com/docs/guides/error-codes>.
    pub(super) fn openai(&self) -> Value {
        let kind = if self.status().is_client_error() { "invalid_request_error" } else { "server_error" };
        json!({"error": {"message": self.message(), "type": kind, "param": null, "code": self.code()}})
    }

    /// When to come again. A place may be free at any moment, and nobody knows when.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(Denied::TooMany(_)) => Some(Duration::from_secs(1)),
            Self::Refused { refusal, .. } => refusal.retry_after(),
            _ => None,
        }
    }

    /// The whole answer to a request for a path: what lies below `/v1` is OpenAI's, all else gets the form of RFC 9457.
    pub(super) fn answer(&self, path: &str) -> Response<AnyBody> {
        let (kind, body) = if path == "/v1" || path.starts_with("/v1/") {
            ("application/json", self.openai())
        } else {
            let title = self.status().canonical_reason().unwrap_or_default();
            let body = json!({
                "type": "about:blank",
                "title": title,
                "status": self.status().as_u16(),
                "detail": self.message(),
                "code": self.code(),
            });
            ("application/problem+json", body)
        };
        let mut answer = Response::new(whole(format!("{body}\n")));
        *answer.status_mut() = self.status();
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Self::Denied(denied) = self
            && let Some(challenge) = denied.challenge()
        {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(after) = self.retry_after() {
            // Whole seconds, and never "at once".
            let seconds = after.as_secs_f64().ceil().max(1.0);
            if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
                answer.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        answer
    }
}

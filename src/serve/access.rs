//! Who may read, and who may do something.
//!
//! On a loopback address everybody on the machine may read, so what keeps others out is that their pages cannot: a page of
//! another site that has its own name lead here is told apart by the name in its requests. Everything else needs the token.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, StatusCode, header};

use crate::token::{Token, bearer};

/// Who is let in at one address.
#[derive(Debug, Clone)]
pub struct Access {
    /// `None`: nobody can do anything; only what needs no token is served.
    pub token: Option<Token>,
    /// Only this machine can reach the address: reading needs no token.
    pub loopback: bool,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It has no token, or another.
    Token,
    /// It was sent to another name than this machine's.
    Host,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Host => StatusCode::FORBIDDEN,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Token => {
                "this needs the token that was printed when this began: `Authorization: Bearer TOKEN`"
            }
            Self::Host => {
                "this is served to `localhost` and `127.0.0.1` alone; under another name it needs the token: `Authorization: \
                 Bearer TOKEN`"
            }
        }
    }
}

impl Access {
    /// Whether a request is let in.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub(super) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        if let (Some(token), Some(given)) = (&self.token, given)
            && *token == Token::new(given)
        {
            return Ok(());
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if given.is_some() || !reads || !self.loopback {
            return Err(Refusal::Token);
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if host.is_some_and(is_loopback_name) { Ok(()) } else { Err(Refusal::Host) }
    }
}

/// Whether a host with or without its port means this machine by a name that nobody else can give.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, method: &Method, pairs: &[(header::HeaderName, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(name, value.parse().unwrap());
        }
        access.check(method, &headers)
    }

    #[test]
    fn on_loopback_this_machine_reads_and_the_token_does_the_rest() {
        let access = Access { token: Some(Token::new("s3cret")), loopback: true };
        let host = |host| (header::HOST, host);
        for ours in ["localhost", "LOCALHOST:80", "127.0.0.1:8642", "127.9.9.9", "[::1]:8642", "[::1]"] {
            assert_eq!(check(&access, &Method::GET, &[host(ours)]), Ok(()), "{ours}");
        }
        for theirs in
            ["evil.example:8642", "localhost.evil.example", "10.0.0.1", "", "[::2]", "127.0.0.1.evil"]
        {
            assert_eq!(check(&access, &Method::GET, &[host(theirs)]), Err(Refusal::Host), "{theirs}");
        }
        assert_eq!(check(&access, &Method::GET, &[]), Err(Refusal::Host));
        assert_eq!(check(&access, &Method::POST, &[host("localhost")]), Err(Refusal::Token));
        let with = |token| [host("localhost"), (header::AUTHORIZATION, token)];
        assert_eq!(check(&access, &Method::POST, &with("Bearer s3cret")), Ok(()));
        assert_eq!(check(&access, &Method::POST, &with("bearer  s3cret ")), Ok(()));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Basic s3cret", "s3cret", "Bearer "] {
            assert_eq!(check(&access, &Method::POST, &with(wrong)), Err(Refusal::Token), "{wrong}");
        }
    }

    #[test]
    fn elsewhere_nothing_is_read_without_the_token() {
        let access = Access { token: Some(Token::new("s3cret")), loopback: false };
        let host = (header::HOST, "localhost");
        assert_eq!(check(&access, &Method::GET, std::slice::from_ref(&host)), Err(Refusal::Token));
        let given = (header::AUTHORIZATION, "Bearer s3cret");
        assert_eq!(check(&access, &Method::GET, &[host, given]), Ok(()));
    }

    #[test]
    fn without_any_token_none_is_right() {
        let access = Access { token: None, loopback: true };
        let pairs = [(header::HOST, "localhost"), (header::AUTHORIZATION, "Bearer ")];
        assert_eq!(check(&access, &Method::POST, &pairs), Err(Refusal::Token));
        assert_eq!(check(&access, &Method::GET, &pairs[..1]), Ok(()));
    }
}

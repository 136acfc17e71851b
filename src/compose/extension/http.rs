//! Where an HTTP or TCP check goes: the short forms and what they leave out.

use indexmap::IndexMap;

use crate::project::Service;

/// The services of the project, and the one that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The service whose `x-orch` this is.
    pub(super) own: &'a str,
    /// Every service, of any profile.
    pub(super) services: &'a IndexMap<String, Service>,
}

/// The parts of a URL in any of its forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) path: String,
}

impl Url {
    /// Reads `/path`, `:port/path`, `host:port/path`, `8080`, or a whole URL.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        if !matches!(scheme, "" | "http" | "https") {
            return Err(format!("`{scheme}` is no scheme of an HTTP check; there are http and https"));
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let only_port =
            scheme.is_empty() && !authority.is_empty() && authority.chars().all(|c| c.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':') {
            _ if only_port => ("", Some(authority)),
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        let port = port.map(read_port).transpose()?;
        if scheme.is_empty() && !host.is_empty() && port.is_none() {
            return Err(format!("`{text}` is neither a path (`/{text}`) nor a URL (`http://{text}`)"));
        }
        if !scheme.is_empty() && host.is_empty() {
            return Err("there is no host in it".to_owned());
        }
        let path = path.split('#').next().unwrap_or_default();
        Ok(Self {
            scheme: if scheme.is_empty() { "http".to_owned() } else { scheme.to_owned() },
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: match (port, scheme) {
                (None, "http") => Some(80),
                (None, "https") => Some(443),
                (port, _) => port,
            },
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        })
    }
}

/// Reads `5432`, `:5432` or `host:5432`.
///
/// # Errors
///
/// Says what is wrong.
pub(super) fn host_and_port(text: &str) -> Result<(Option<String>, u16), String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    Ok(((!host.is_empty()).then(|| host.to_owned()), read_port(port)?))
}

fn read_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(format!("`{text}` is no port; a port goes from 1 to 65535")),
    }
}

impl Scope<'_> {
    /// The host of a check: nothing for the service itself, a service's key for any of its names, else as written.
    pub(super) fn host(&self, host: Option<String>) -> Option<String> {
        let host = host?;
        let key = if self.services.contains_key(&host) {
            host
        } else {
            let mut named = self.services.values().filter(|service| is_named(service, &host));
            match (named.next(), named.next()) {
                (Some(service), None) => service.name.clone(),
                _ => host,
            }
        };
        (key != self.own).then_some(key)
    }

    /// The only TCP port that a service publishes or exposes.
    ///
    /// # Errors
    ///
    /// Says that there is none, or which there are.
    pub(super) fn only_port(&self, service: &str) -> Result<u16, String> {
        let mut ports: Vec<u16> = Vec::new();
        if let Some(service) = self.services.get(service) {
            let published = (service.ports.iter())
                .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "tcp"))
                .filter_map(|port| u16::try_from(port.target?).ok());
            let exposed = service.expose.iter().filter_map(|text| match text.split_once('/') {
                Some((port, "tcp")) => port.parse().ok(),
                Some(_) => None,
                None => text.parse().ok(),
            });
            ports.extend(published.chain(exposed));
        }
        ports.sort_unstable();
        ports.dedup();
        match ports.as_slice() {
            [port] => Ok(*port),
            [] => Err(format!("service {service} publishes and exposes no port")),
            many => {
                let many: Vec<String> = many.iter().map(u16::to_string).collect();
                Err(format!("service {service} has ports {}", many.join(", ")))
            }
        }
    }
}

/// Whether the containers of a service answer to a name beside its key.
fn is_named(service: &Service, name: &str) -> bool {
    service.container_name.as_deref() == Some(name)
        || service.hostname.as_deref() == Some(name)
        || service
            .networks
            .values()
            .flatten()
            .any(|network| network.aliases.iter().any(|alias| alias == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_url_is_read() {
        let cases = [
            ("/health", "http - - /health"),
            (":8220/health", "http - 8220 /health"),
            ("8080", "http - 8080 /"),
            (":8080", "http - 8080 /"),
            ("redis:6379/x?y=1", "http redis 6379 /x?y=1"),
            ("http://host:1/p", "http host 1 /p"),
            ("https://host", "https host 443 /"),
            ("http://host?q", "http host 80 /?q"),
            ("http://[::1]:8080/", "http [::1] 8080 /"),
        ];
        for (text, expected) in cases {
            let url = Url::read(text).unwrap();
            let (host, port) = (url.host.as_deref().unwrap_or("-"), url.port);
            let port = port.map_or("-".to_owned(), |port| port.to_string());
            assert_eq!(format!("{} {host} {port} {}", url.scheme, url.path), expected, "{text}");
        }
        for text in ["health", "ftp://x/", ":0/", ":99999", "http:///x"] {
            assert!(Url::read(text).is_err(), "{text}");
        }
    }
}

//! What an image is called: registry, path, tag and digest.

use std::{fmt, sync::LazyLock};

use regex::Regex;

/// Where an image is that says nothing about it.
const HUB: &str = "docker.io";

/// Registry with its port, path, tag, digest.
#[expect(clippy::unwrap_used, reason = "the pattern is a constant, compiled by the tests")]
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    let part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    Regex::new(&format!(
        r"^(?P<name>(?:{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/(?P<path>{part}(?:/{part})*))(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>sha256:[a-f0-9]{{64}}|sha384:[a-f0-9]{{96}}|sha512:[a-f0-9]{{128}}))?$"
    ))
    .unwrap()
});

/// An image's full name. Shows as `docker.io/library/nginx:latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    name: String,
    tag: Option<String>,
    /// The digest of its manifest, where the name has one.
    pub digest: Option<String>,
}

impl ImageName {
    /// Reads a name as users write it: without a registry it is one of Docker Hub, without a tag the latest. A tag
    /// beside a digest says nothing and is left out.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(format!("`{text}` is an ID, not a name"));
        }
        let full = with_registry(text);
        let parts = REFERENCE.captures(&full).ok_or_else(|| {
            let path = full.split_once('/').map_or("", |(_, rest)| rest);
            let path = path.split([':', '@']).next().unwrap_or_default();
            if path.chars().any(char::is_uppercase) {
                format!("`{text}` is no name of an image: `{path}` must be in lower case")
            } else {
                format!("`{text}` is no name of an image")
            }
        })?;
        let part = |name: &str| parts.name(name).map(|found| found.as_str().to_owned());
        if part("path").is_some_and(|path| path.len() > 255) {
            return Err(format!("`{text}` is no name of an image: it is too long"));
        }
        let digest = part("digest");
        let tag = match digest {
            Some(_) => None,
            None => part("tag").or_else(|| Some("latest".to_owned())),
        };
        Ok(Self { name: part("name").unwrap_or_default(), tag, digest })
    }
}

/// The registry of an image, and its name there: what stands before the first `/` where only a host can stand there.
pub fn registry_of(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (if first == "index.docker.io" { HUB } else { first }, rest)
        }
        _ => (HUB, text),
    }
}

/// The registry before a name that has none.
fn with_registry(text: &str) -> String {
    let (registry, rest) = registry_of(text);
    let library = if registry == HUB && !rest.contains('/') { "library/" } else { "" };
    format!("{registry}/{library}{rest}")
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_out() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("r:5000/a__b/c-d:x.Y", "r:5000/a__b/c-d:x.Y"),
            ("[::1]:80/a", "[::1]:80/a:latest"),
            ("Host/a", "Host/a:latest"),
        ];
        for (text, full) in cases {
            assert_eq!(ImageName::parse(text).map(|name| name.to_string()).as_deref(), Ok(full));
        }
        let both = ImageName::parse(&format!("nginx:1@{digest}")).unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/nginx@{digest}"));
        assert_eq!(both.digest, Some(digest));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(256);
        for text in ["", "x y", "a/B", "Nginx", "a:", "a@sha256:00", "-a", "a//b", &"0".repeat(64), &long] {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }
}

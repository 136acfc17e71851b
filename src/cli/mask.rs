//! Which values of a project are secret.

use std::fs;

use crate::{
    journal::Mask,
    project::{KeySource, Project},
};

/// What the name of a variable has where its value is secret, as far as names tell.
const TELLING: [&str; 12] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "_PASS",
    "_PWD",
];
/// A larger file is no secret that anybody prints.
const LARGEST: u64 = 1 << 16;

/// Hides the contents of the project's secrets, the keys of its tenants, the values of variables, build arguments and labels whose names say that
/// they are secret, and passwords in addresses.
pub(super) fn mask(project: &Project) -> Mask {
    let mut secrets: Vec<String> = Vec::new();
    for secret in project.secrets.values() {
        secrets.extend(secret.captured.as_ref().map(|value| value.expose().clone()));
        secrets.extend(secret.content.clone());
        secrets.extend(secret.file.as_deref().and_then(content));
    }
    for key in project.orch.tenants.values().filter_map(|tenant| tenant.key.as_ref()) {
        secrets.extend(match key {
            KeySource::File(path) => content(path),
            KeySource::Environment(name) => project.environment.get(name).cloned(),
        });
    }
    for service in project.services.values().chain(project.disabled_services.values()) {
        let build = service.build.iter().flat_map(|build| &build.args);
        let environment = service.environment.iter().chain(build);
        let environment = environment.filter_map(|(name, value)| Some((name, value.as_ref()?)));
        for (name, value) in environment.chain(&service.labels) {
            if is_telling(name) {
                secrets.push(value.clone());
            }
            secrets.extend(password_in(value).map(str::to_owned));
        }
    }
    Mask::new(secrets.iter().map(String::as_str))
}

fn is_telling(name: &str) -> bool {
    let name = name.to_uppercase().replace(['-', '.'], "_");
    // That a file has it is no secret.
    !name.ends_with("_FILE") && TELLING.iter().any(|word| name.contains(word))
}

/// `PASSWORD` of `scheme://user:PASSWORD@host`.
fn password_in(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// What a file contains; a pipe would be emptied, or waited for without end.
fn content(path: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let bytes = (found.is_file() && found.len() <= LARGEST).then(|| fs::read(path).ok()).flatten()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{FileObject, Service, Tenant};

    #[test]
    fn names_tell() {
        for name in ["POSTGRES_PASSWORD", "github-token", "AWS_SECRET_ACCESS_KEY", "DB_PASS", "Api.Key"] {
            assert!(is_telling(name), "{name}");
        }
        for name in ["LOG_LEVEL", "PASSWORD_FILE", "KEYBOARD", "COMPASS", "PWD"] {
            assert!(!is_telling(name), "{name}");
        }
    }

    #[test]
    fn passwords_stand_in_addresses() {
        for (value, password) in [
            ("postgres://shop:hunter2@db:5432/shop?x=a@b", Some("hunter2")),
            ("redis://:hunter2@cache", Some("hunter2")),
            ("https://user@host/a:b", None),
            ("http://host:80/", None),
            ("plain", None),
        ] {
            assert_eq!(password_in(value), password, "{value}");
        }
    }

    #[test]
    fn secrets_of_every_kind_are_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "from-a-file\n").unwrap();
        let mut project = Project::default();
        let secret = FileObject { file: Some(file.display().to_string()), ..FileObject::default() };
        project.secrets.insert("key".to_owned(), secret);
        let key = KeySource::Environment("KEY".to_owned());
        project.environment.insert("KEY".to_owned(), "from-a-tenant".to_owned());
        let tenant = Tenant { key: Some(key), ..Tenant::default() };
        project.orch.tenants.insert("acme".to_owned(), tenant);
        let mut service = Service::default();
        for (name, value) in
            [("DB_PASSWORD", "from-a-name"), ("URL", "x://u:from-a-url@h"), ("A", "plain-one")]
        {
            service.environment.insert(name.to_owned(), Some(value.to_owned()));
        }
        project.services.insert("web".to_owned(), service);
        let mask = mask(&project);
        let mut text = "from-a-file from-a-tenant from-a-name from-a-url plain-one".to_owned();
        mask.text(&mut text);
        assert_eq!(text, "*** *** *** *** plain-one");
    }
}

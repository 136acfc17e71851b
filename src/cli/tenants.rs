//! The keys of those whom services are served to, and what there is to say where nobody needs one.

use std::{fs, io, os::unix::fs::PermissionsExt as _, sync::Arc};

use super::{CliError, Invocation, entry::note};
use crate::{
    diagnostic::{Diagnostic, Severity},
    project::{DEFAULT_TENANT, KeySource, Project},
    proxy,
    supervisor::Door,
    token::{self, Token},
};

/// What makes a key.
const MAKE: &str = "openssl rand -hex 32";
/// A larger file is no key.
const LARGEST: u64 = 1 << 16;

/// Has the doors ask for the keys of the project's tenants, and says whom they let in. `None`: it names none.
///
/// # Errors
///
/// A key cannot be read, or is none, or is another's too; the error shows every one with its place.
pub(super) fn guard(
    invocation: &Invocation,
    project: &Project,
    doors: &mut [Door],
) -> Result<Option<Arc<proxy::Tenants>>, CliError> {
    if project.orch.tenants.is_empty() {
        for words in open(doors) {
            note(&words);
        }
        return Ok(None);
    }
    let (tenants, found) = read(project);
    let is_sound = found.iter().all(|found| found.severity != Severity::Error);
    let tenants = invocation.said(is_sound.then_some(tenants), &found, &project.sources)?;
    note(&asked(project));
    let tenants = Arc::new(proxy::Tenants::new(tenants));
    for door in doors {
        door.site.tenants = Some(Arc::clone(&tenants));
    }
    Ok(Some(tenants))
}

/// Whose keys are asked for.
fn asked(project: &Project) -> String {
    let names: Vec<&str> = project.orch.tenants.keys().map(String::as_str).collect();
    let known: Vec<&str> = names.iter().copied().filter(|name| *name != DEFAULT_TENANT).collect();
    match (known.is_empty(), known.len() < names.len()) {
        (false, false) => format!("asks for the keys of {}", known.join(", ")),
        (false, true) => {
            format!("asks for the keys of {}; whoever has none is {DEFAULT_TENANT}", known.join(", "))
        }
        (true, _) => format!("asks for no key: everybody is {DEFAULT_TENANT}"),
    }
}

/// What is to be said of addresses that other machines can reach, where nobody needs a key.
fn open(doors: &[Door]) -> Vec<String> {
    let others = doors.iter().filter(|door| !door.listen.ip().is_loopback());
    let words = |door: &Door| {
        format!(
            "warning: other machines can reach {}, and nobody needs a key there: name `tenants` in the file's `x-orch`, or \
             listen on 127.0.0.1:{} alone",
            door.listen,
            door.listen.port()
        )
    };
    others.map(words).collect()
}

/// The project's tenants, and what is wrong or doubtful with their keys.
pub(super) fn read(project: &Project) -> (Vec<proxy::Tenant>, Vec<Diagnostic>) {
    let (mut tenants, mut found): (Vec<proxy::Tenant>, Vec<Diagnostic>) = (Vec::new(), Vec::new());
    let point = |problem: Diagnostic, name: &str, words: &str| {
        let place = format!("x-orch.tenants.{name}");
        project.point(problem, &[format!("{place}.key_file"), format!("{place}.key_env"), place], words)
    };
    for (name, tenant) in &project.orch.tenants {
        let inflight = project.orch.request_limits(tenant).inflight;
        let mut known = proxy::Tenant { name: name.clone(), inflight, key: None };
        match tenant.key.as_ref().map(|source| key(name, source, project)) {
            Some(Ok(key)) => known.key = Some(key),
            Some(Err(problem)) => {
                found.push(point(problem, name, ""));
                continue;
            }
            None => {}
        }
        found.extend(
            tenant.key.as_ref().and_then(|source| everybodys(name, source)).map(|p| point(p, name, "")),
        );
        if let Some(other) = tenants.iter().find(|other| other.key == known.key) {
            let message = format!("`{name}` has the same key as `{}`", other.name);
            let problem = Diagnostic::error("same-key", message).help(format!("`{MAKE}` makes another"));
            found.push(point(point(problem, name, ""), &other.name, "the other one"));
        }
        tenants.push(known);
    }
    (tenants, found)
}

fn key(name: &str, source: &KeySource, project: &Project) -> Result<Token, Diagnostic> {
    let make = format!("`{MAKE}` makes one");
    let (text, write) = match source {
        KeySource::File(path) => (content(path), format!("`(umask 077; {MAKE} > {path})` makes one")),
        KeySource::Environment(variable) => {
            let value = project.environment.get(variable).cloned();
            (value.ok_or_else(|| format!("the variable {variable} is not set")), make.clone())
        }
    };
    let text = text.map_err(|why| {
        let problem = Diagnostic::error("no-such-key", format!("there is no key for tenant `{name}`: {why}"));
        let is_there = matches!(source, KeySource::File(path) if fs::exists(path).unwrap_or(true));
        problem.help(if is_there {
            "name a file that has it, and nothing else".to_owned()
        } else {
            write.clone()
        })
    })?;
    if text.trim().is_empty() {
        return Err(
            Diagnostic::error("empty-key", format!("the key of tenant `{name}` is empty")).help(write)
        );
    }
    token::written(&text).map(Token::new).ok_or_else(|| {
        let problem = Diagnostic::error("wrong-key", format!("the key of tenant `{name}` is none"));
        problem.help(format!(
            "a key is a line of at least {} characters, printable and without spaces: {make}",
            token::SHORTEST
        ))
    })
}

/// What a file contains; else why that is not known.
fn content(path: &str) -> Result<String, String> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{path} does not exist"),
        io::ErrorKind::PermissionDenied => format!("this user may not read {path}"),
        _ => format!("{path}: {error}"),
    };
    let about = fs::metadata(path).map_err(failed)?;
    // A pipe would be emptied, or waited for without end.
    if !about.is_file() || about.len() > LARGEST {
        return Err(format!("{path} is no file with a key in it"));
    }
    let bytes = fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| format!("{path} is no text"))
}

/// A warning where everybody on this machine can read a key.
fn everybodys(name: &str, source: &KeySource) -> Option<Diagnostic> {
    const OTHERS_READ: u32 = 0o004;
    let KeySource::File(path) = source else { return None };
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS_READ != 0).then(|| {
        let message = format!("everybody on this machine can read the key of tenant `{name}`");
        Diagnostic::warning("readable-key", message)
            .help(format!("`chmod 600 {path}` leaves it to you alone"))
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        cli::LocalFiles,
        compose::{self, Environment, LoadOptions},
        diagnostic::render_all,
        project::Tenant,
    };

    const HEAD: &str = "services: {}\nx-orch:\n  tenants:\n";

    /// The tenants of a file in this folder, and everything that is said of their keys.
    fn told(folder: &std::path::Path, tenants: &str) -> (Vec<proxy::Tenant>, String) {
        fs::write(folder.join("compose.yaml"), format!("{HEAD}{tenants}")).unwrap();
        let options = LoadOptions { current_dir: folder.to_owned(), ..LoadOptions::default() };
        let environment = Environment([("LAB_KEY".to_owned(), "key-of-the-lab-01".to_owned())].into());
        let loaded = compose::load(&LocalFiles, &environment, &options);
        assert_eq!(render_all(&loaded.diagnostics, &loaded.sources, false), "");
        let project = loaded.project.unwrap();
        let (tenants, found) = read(&project);
        let said = render_all(&found, &project.sources, false);
        (tenants, said.replace(&folder.display().to_string(), "FOLDER"))
    }

    fn write(folder: &std::path::Path, name: &str, text: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_come_from_files_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "acme.key", "key-of-acme-0001\n", 0o600);
        let (tenants, said) = told(
            folder.path(),
            "    acme: {key_file: ./acme.key}\n    lab: {key_env: LAB_KEY}\n    default: {}\n",
        );
        assert_eq!(said, "");
        let keys: Vec<_> = tenants.iter().map(|tenant| (tenant.name.as_str(), tenant.key)).collect();
        let known = |text| Some(Token::new(text));
        assert_eq!(
            keys,
            [("acme", known("key-of-acme-0001")), ("lab", known("key-of-the-lab-01")), ("default", None)]
        );
    }

    #[test]
    fn what_is_wrong_with_a_key_is_shown_where_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "empty.key", " \n", 0o600);
        write(folder.path(), "short.key", "hunter2\n", 0o640);
        write(folder.path(), "one.key", "key-of-somebody-1", 0o600);
        write(folder.path(), "two.key", "key-of-somebody-1\n", 0o644);
        let (_, said) = told(
            folder.path(),
            "    gone: {key_file: ./gone.key}
    unset: {key_env: NO_SUCH_VARIABLE}
    empty: {key_file: ./empty.key}
    short: {key_file: ./short.key}
    folder: {key_file: .}
    one: {key_file: ./one.key}
    two: {key_file: ./two.key}
",
        );
        assert_snapshot!(said, @r###"
error[no-such-key]: there is no key for tenant `gone`: FOLDER/gone.key does not exist
 --> compose.yaml:4:12
  |
4 |     gone: {key_file: ./gone.key}
  |            ^^^^^^^^
  |
  = help: `(umask 077; openssl rand -hex 32 > FOLDER/gone.key)` makes one

error[no-such-key]: there is no key for tenant `unset`: the variable NO_SUCH_VARIABLE is not set
 --> compose.yaml:5:13
  |
5 |     unset: {key_env: NO_SUCH_VARIABLE}
  |             ^^^^^^^
  |
  = help: `openssl rand -hex 32` makes one

error[empty-key]: the key of tenant `empty` is empty
 --> compose.yaml:6:13
  |
6 |     empty: {key_file: ./empty.key}
  |             ^^^^^^^^
  |
  = help: `(umask 077; openssl rand -hex 32 > FOLDER/empty.key)` makes one

error[wrong-key]: the key of tenant `short` is none
 --> compose.yaml:7:13
  |
7 |     short: {key_file: ./short.key}
  |             ^^^^^^^^
  |
  = help: a key is a line of at least 16 characters, printable and without spaces: `openssl rand -hex 32` makes one

error[no-such-key]: there is no key for tenant `folder`: FOLDER is no file with a key in it
 --> compose.yaml:8:14
  |
8 |     folder: {key_file: .}
  |              ^^^^^^^^
  |
  = help: name a file that has it, and nothing else

warning[readable-key]: everybody on this machine can read the key of tenant `two`
  --> compose.yaml:10:11
   |
10 |     two: {key_file: ./two.key}
   |           ^^^^^^^^
   |
   = help: `chmod 600 FOLDER/two.key` leaves it to you alone

error[same-key]: `two` has the same key as `one`
  --> compose.yaml:10:11
   |
 9 |     one: {key_file: ./one.key}
   |           -------- the other one
10 |     two: {key_file: ./two.key}
   |           ^^^^^^^^
   |
   = help: `openssl rand -hex 32` makes another
"###);
    }

    #[test]
    fn who_is_let_in_is_said() {
        let said = |names: &[&str]| {
            let mut project = Project::default();
            project.orch.tenants = names.iter().map(|name| ((*name).to_owned(), Tenant::default())).collect();
            asked(&project)
        };
        assert_eq!(said(&["acme", "lab"]), "asks for the keys of acme, lab");
        assert_eq!(said(&["default", "lab"]), "asks for the keys of lab; whoever has none is default");
        assert_eq!(said(&["default"]), "asks for no key: everybody is default");
    }

    #[test]
    fn an_address_that_others_reach_is_told_where_nobody_needs_a_key() {
        let door = |listen: &str| Door { listen: listen.parse().unwrap(), site: proxy::Site::default() };
        let said = open(&["127.0.0.1:80", "[::1]:81", "0.0.0.0:82", "192.168.1.4:83"].map(door));
        assert_eq!(said.len(), 2);
        assert!(
            said[0].contains("reach 0.0.0.0:82,") && said[0].ends_with("on 127.0.0.1:82 alone"),
            "{}",
            said[0]
        );
    }
}

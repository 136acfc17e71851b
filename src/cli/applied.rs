//! What stands once an `up` has succeeded: noted for a `rollback`, and read back as a project.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{CliError, Invocation, LocalFiles};
use crate::{
    compose::{self, Files, LoadOptions},
    executor::Witness,
    journal::{Applied, applied, runs, state_dir},
    project::Project,
};

/// A project as it was loaded, before flags and the engine's socket come into it.
pub(super) fn of_project(project: &Project, engine: &str) -> Applied {
    let mut written = project.clone();
    // Their labels are among the others by now.
    written.services.values_mut().for_each(|service| service.label_file.clear());
    Applied {
        working_dir: project.working_dir.clone(),
        config_files: project.config_files.clone(),
        environment_files: project.environment_files.clone(),
        compatibility: project.compatibility,
        ..Applied::new(engine, written.to_yaml())
    }
}

/// Which part of the project an `up` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Some services, with what they depend on.
    Some,
    /// Some services without what they depend on: alone they are no project.
    Alone,
}

/// Notes in the run's folder what stands.
pub(super) struct Note {
    state: PathBuf,
    project: String,
    folder: PathBuf,
    applied: Applied,
    part: Part,
}

impl Note {
    /// For a run of a project that keeps its record in `folder`; `None`: there is no place for records.
    pub(super) fn new(
        invocation: &Invocation,
        project: &str,
        folder: &Path,
        applied: Applied,
        part: Part,
    ) -> Option<Self> {
        let state = state_dir(|name| invocation.env(name))?;
        Some(Self { state, project: project.to_owned(), folder: folder.to_owned(), applied, part })
    }

    fn write(&self, images: &BTreeMap<String, String>) -> io::Result<()> {
        let mut stands = Applied { images: images.clone(), ..self.applied.clone() };
        if self.part != Part::Whole {
            let before = applied(&runs(&self.state, &self.project)?, &stands.engine);
            match before.first() {
                Some((_, before)) => stands = stands.over(before),
                None if self.part == Part::Alone => return Ok(()),
                None => {}
            }
        }
        stands.write(&self.folder)
    }
}

impl Witness for Note {
    fn stands(&mut self, images: &BTreeMap<String, String>) {
        if let Err(error) = self.write(images) {
            tracing::warn!("`rollback` will not know of this run: {error}");
        }
    }
}

/// The project again that was noted.
///
/// # Errors
///
/// It cannot be loaded any more; the error shows why.
pub(super) fn load(invocation: &Invocation, project: &str, noted: &Applied) -> Result<Project, CliError> {
    let file = noted.working_dir.join("the state that is gone back to");
    // What is written in it is meant as it stands.
    let text = noted.model.to_string().replace('$', "$$");
    let files = Noted { file: file.clone(), text };
    let options = LoadOptions {
        files: vec![file.to_string_lossy().into_owned()],
        project_directory: Some(noted.working_dir.clone()),
        project_name: Some(project.to_owned()),
        env_files: noted.environment_files.clone(),
        profiles: vec!["*".to_owned()],
        compatibility: noted.compatibility,
        ..invocation.load_options(&[])
    };
    let loaded = compose::load(&files, &invocation.environment(), &options);
    let mut project = invocation.said(loaded.project, &loaded.diagnostics, &loaded.sources)?;
    project.config_files.clone_from(&noted.config_files);
    // There is no file that a fault could be shown in.
    project.places.clear();
    project.sources = std::sync::Arc::default();
    Ok(project)
}

/// The real file system, and in it one file that is not there.
struct Noted {
    file: PathBuf,
    text: String,
}

impl Files for Noted {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == self.file { Ok(self.text.clone().into_bytes()) } else { LocalFiles.read(path) }
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        LocalFiles.read_stdin()
    }

    fn exists(&self, path: &Path) -> bool {
        path == self.file || LocalFiles.exists(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        LocalFiles.is_dir(path)
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        if path == self.file { Ok(path.to_owned()) } else { LocalFiles.canonicalize(path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{network_hash, service_hash, volume_hash};

    /// Much of what makes a hash, and what a second interpolation would change.
    const YAML: &str = r#"
name: shop
services:
  web:
    build: {context: ., args: {A: "1"}}
    image: web:1
    command: ["sh", "-c", "echo $$HOME \"quoted\" é"]
    environment: {URL: "x://$${NOT}@h", EMPTY: , TAG: "${TAG:-none}", N: 1.50, "YES": "yes"}
    env_file: [{path: web.env, required: false}]
    ports: ["127.0.0.1:8080:80/udp", "9000-9001"]
    volumes: ["data:/data:ro", "./here:/there", "/anonymous", {type: tmpfs, target: /t, tmpfs: {size: 1m}}]
    networks: {back: {aliases: [w], ipv4_address: 10.9.0.2}, default: }
    healthcheck: {test: "curl -f http://localhost/$$X", interval: 90s, retries: 3}
    deploy: {replicas: 2, resources: {limits: {cpus: "0.5", memory: 64M}}}
    labels: {a.b: "c$$d"}
    stop_grace_period: 1m30s
    ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}
    secrets: [key, {source: key, target: /k, mode: 0440}]
    configs: [inline]
    depends_on: {db: {condition: service_started, restart: true}}
    extra_hosts: ["h:1.2.3.4"]
    sysctls: {net.core.somaxconn: 1024}
    x-orch: {critical: false, health_check: {tcp: 80}, start: {retries: 2}}
  db:
    image: db
    profiles: [data]
    scale: 1
    network_mode: none
x-orch: {on_failure: stop, waves: [{name: one, services: [db]}]}
networks:
  back: {driver: bridge, ipam: {config: [{subnet: 10.9.0.0/24}]}, labels: {l: "1"}}
volumes:
  data: {driver_opts: {o: bind}}
secrets:
  key: {file: ./key}
configs:
  inline: {content: "a $$ sign"}
"#;

    #[test]
    fn what_is_noted_is_read_back_as_the_same_project() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("compose.yaml", YAML), ("key", "k"), ("web.env", "FROM_FILE=$$x\n")] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let mut invocation = Invocation { cwd: folder.path().to_owned(), ..Invocation::default() };
        invocation.env.insert("TAG".to_owned(), "v1".to_owned());
        invocation.project.profiles = vec!["data".to_owned()];
        let project = invocation.load(&invocation.load_options(&[])).unwrap();
        let noted = of_project(&project, "e");
        // What is noted holds, whatever files and variables say by now.
        for file in ["compose.yaml", "web.env"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        invocation.env.insert("TAG".to_owned(), "v2".to_owned());
        invocation.env.insert("COMPOSE_PROFILES".to_owned(), "other".to_owned());
        invocation.project.profiles = Vec::new();
        let noted: Applied = serde_json::from_str(&serde_json::to_string(&noted).unwrap()).unwrap();
        let again = load(&invocation, "shop", &noted).unwrap();
        assert_eq!(again.to_yaml(), project.to_yaml());
        for (name, service) in &project.services {
            assert_eq!(service_hash(&again.services[name]), service_hash(service), "{name}");
            assert_eq!(again.services[name].orch, service.orch, "{name}");
        }
        assert_eq!(again.orch, project.orch);
        assert_eq!(network_hash(&again.networks["back"]), network_hash(&project.networks["back"]));
        assert_eq!(volume_hash(&again.volumes["data"]), volume_hash(&project.volumes["data"]));
        assert_eq!(again.config_files, project.config_files);
        assert_eq!((&again.name, &again.working_dir), (&project.name, &project.working_dir));
        assert!(of_project(&again, "e").is_same(&noted));
    }
}

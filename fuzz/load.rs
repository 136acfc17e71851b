//! Arbitrary Compose files through everything that works without an engine.

#![no_main]

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use docker_orch::{
    compose::{self, Environment, Files, LoadOptions, Skip, yaml},
    diagnostic::render_all,
    plan::{self, Observed, UpOptions},
    project::Project,
};

/// What the parts of an input are called.
const NAMES: [&str; 5] = ["compose.yaml", "compose.override.yaml", "base.yaml", ".env", "variables.env"];

/// The files of one folder, and nothing else.
struct Folder(HashMap<PathBuf, Vec<u8>>);

impl Folder {
    fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Self {
        Self(files.into_iter().map(|(name, bytes)| (Path::new("/project").join(name), bytes)).collect())
    }

    fn load(&self, skip: Skip) -> (Option<Project>, String) {
        let options = LoadOptions { current_dir: PathBuf::from("/project"), skip, ..LoadOptions::default() };
        let variables = Environment::from_iter([("HOME", "/home/user"), ("SET", "set"), ("EMPTY", "")]);
        let loaded = compose::load(self, &variables, &options);
        let said = render_all(&loaded.diagnostics, &loaded.sources, false);
        assert!(loaded.project.is_some() || said.contains("error["), "refused without a word: {said}");
        if loaded.project.is_none() {
            drop(compose::load_tree(self, &variables, &options));
        }
        (loaded.project, said)
    }
}

impl Files for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path == Path::new("/") || path == Path::new("/project")
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

/// The canonical text, as `config` prints it.
fn canonical(project: &Project) -> String {
    yaml::write(&project.to_yaml()).replace('$', "$$")
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == 0xFF).map(<[u8]>::to_vec);
    let folder = Folder::new(NAMES.into_iter().filter_map(|name| Some((name, parts.next()?))));
    let (project, _) = folder.load(Skip::default());
    for skip in [
        Skip { interpolation: true, ..Skip::default() },
        Skip { normalisation: true, path_resolution: true, ..Skip::default() },
        Skip { consistency: true, env_resolution: true, pruning: true, ..Skip::default() },
    ] {
        drop(folder.load(skip));
    }
    let Some(project) = project else { return };
    for service in project.services.values() {
        assert_eq!(plan::service_hash(service).len(), 64);
    }
    drop(project.to_json().to_string());
    let text = canonical(&project);
    let (again, said) = Folder::new([("compose.yaml", text.clone().into_bytes())]).load(Skip::default());
    // Compose's canonical text is not always a Compose file again (`mem_limit: -1`), nor always the same one (an empty
    // `dockerfile`): it is read for what reading might do.
    assert!(again.is_some() || said.contains("error["), "refused without a word: {text}");
    let few = |project: &Project| project.services.values().map(|service| u64::from(service.replicas())).sum::<u64>() < 1000;
    if few(&project) {
        match plan::up(&project, &Observed::default(), &UpOptions { offline: true, ..UpOptions::default() }) {
            Ok(plan) => drop(plan::plan_text(&plan)),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
});

//! The examples and the README: every file in them is read without a complaint, and what they claim holds.

use std::{collections::BTreeMap, path::Path};

use docker_orch::{
    cli::LocalFiles,
    compose::{Environment, LoadOptions, load},
    diagnostic::render_all,
    project::Project,
};

const EXAMPLES: [&str; 5] = ["quickstart", "five-wave", "two-phase", "ci", "gpu-serving"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The project in a Compose file, and what is wrong with it, as a user would see it.
fn read(file: &Path) -> (Option<Project>, String) {
    let options = LoadOptions {
        current_dir: root().to_owned(),
        files: vec![file.display().to_string()],
        ..LoadOptions::default()
    };
    let loaded = load(&LocalFiles, &Environment::default(), &options);
    // The examples show the whole language, also what this version reads and does not act on yet.
    let complaints = loaded.diagnostics.iter().filter(|problem| problem.code != "not-acted-on");
    let complaints = render_all(complaints, &loaded.sources, false);
    (loaded.project, complaints)
}

fn example(name: &str) -> Project {
    let (project, complaints) = read(&root().join("compose-examples").join(name).join("compose.yaml"));
    assert_eq!(complaints, "", "{name}");
    project.expect("no complaint, so a project")
}

#[test]
fn every_example_is_read_without_a_complaint() {
    for name in EXAMPLES {
        assert_eq!(example(name).name, name);
    }
}

/// The stages of a service's health check.
fn stages(project: &Project, service: &str) -> Vec<String> {
    let check = project.services[service].orch.health_check.as_ref().expect("a health check");
    check.stages.iter().map(|stage| stage.name.clone()).collect()
}

#[test]
fn the_examples_show_what_they_say() {
    let five_wave = example("five-wave");
    let waves: Vec<(&str, usize)> =
        five_wave.orch.waves.iter().map(|wave| (wave.name.as_str(), wave.services().count())).collect();
    let expected = [("infrastructure", 4), ("engine", 6), ("requests", 6), ("memory", 5), ("supporting", 7)];
    assert_eq!(waves, expected);
    let staged = ["process_started", "port_listening", "models_loaded", "ready"];
    assert_eq!(stages(&five_wave, "manager"), staged);
    let composite = five_wave.services["twin"].orch.health_check.as_ref().unwrap();
    assert_eq!((composite.stages.len(), composite.stages[0].checks.len()), (1, 4));

    let two_phase = example("two-phase");
    let phases: Vec<_> =
        two_phase.orch.waves.iter().map(|w| (w.parallel.len(), w.sequential.len())).collect();
    assert_eq!(phases, [(2, 4), (10, 5)]);

    let gpu = example("gpu-serving");
    assert_eq!(stages(&gpu, "chat"), staged);
    assert!(gpu.services["chat"].orch.vram.is_some());
}

#[test]
fn every_snippet_of_the_readme_is_a_compose_file() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let snippets: Vec<&str> =
        readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(snippets.len() >= 4, "the snippets were not found");
    let folder = tempfile::tempdir().unwrap();
    for snippet in snippets {
        let file = folder.path().join("compose.yaml");
        std::fs::write(&file, snippet).unwrap();
        assert_eq!(read(&file).1, "", "{snippet}");
    }
}

#[test]
fn the_readme_lists_every_example() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for name in EXAMPLES {
        assert!(readme.contains(&format!("`compose-examples/{name}`")), "{name}");
    }
}

/// How long a service of the five-wave example takes, and what it waits for.
struct Timed {
    takes: f64,
    after: Vec<String>,
}

fn seconds(text: &str) -> f64 {
    match text.strip_suffix("ms") {
        Some(ms) => ms.parse::<f64>().expect("as written") / 1000.0,
        None => text.strip_suffix('s').expect("as written").parse().expect("as written"),
    }
}

fn five_wave() -> (serde_yaml::Value, BTreeMap<String, Timed>) {
    let text =
        std::fs::read_to_string(root().join("compose-examples/five-wave/compose.yaml")).expect("as written");
    let file: serde_yaml::Value = serde_yaml::from_str(&text).expect("as written");
    let mut services = BTreeMap::new();
    for (name, service) in file["services"].as_mapping().expect("as written") {
        let words: Vec<&str> = service["command"].as_str().expect("as written").split_whitespace().collect();
        let takes = words
            .windows(2)
            .filter(|pair| ["--ready-after", "--stage"].contains(&pair[0]))
            .map(|pair| seconds(pair[1].rsplit('=').next().expect("as written")))
            .fold(0.0, f64::max);
        let after = service["depends_on"].as_mapping().map_or_else(Vec::new, |dependencies| {
            dependencies.keys().map(|key| key.as_str().expect("as written").to_owned()).collect()
        });
        services.insert(name.as_str().expect("as written").to_owned(), Timed { takes, after });
    }
    (file, services)
}

/// When a service can be ready, where its wave opens at `opens`.
fn ready_at(name: &str, services: &BTreeMap<String, Timed>, opened: &BTreeMap<String, f64>) -> f64 {
    let service = &services[name];
    let gates = service.after.iter().map(|before| ready_at(before, services, opened));
    gates.fold(opened.get(name).copied().unwrap_or(0.0), f64::max) + service.takes
}

#[test]
fn the_five_waves_take_as_long_as_the_file_says() {
    let (file, services) = five_wave();
    let mut opened = BTreeMap::new();
    let mut opens = 0.0;
    for wave in file["x-orch"]["waves"].as_sequence().unwrap() {
        let names: Vec<&str> =
            wave["services"].as_sequence().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        opened.extend(names.iter().map(|name| ((*name).to_owned(), opens)));
        opens = names.iter().map(|name| ready_at(name, &services, &opened)).fold(opens, f64::max);
    }
    let sum: f64 = services.values().map(|service| service.takes).sum();
    assert_eq!(services.len(), 30);
    assert!((43.5..45.5).contains(&sum), "one after the other they take {sum} s");
    assert!((10.0..12.0).contains(&opens), "the longest chain takes {opens} s");
}

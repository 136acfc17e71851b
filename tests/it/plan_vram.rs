//! `plan --vram`: what is foretold of services that share GPUs, which a file makes up. Asks no engine.

use std::{fs, path::Path, process::Command};

use docker_orch::{
    plan::{Observed, UpOptions, draft},
    project::Project,
    supervisor::loadable,
};
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{
    lab,
    stack::{Ran, Running},
};

const MODELS: &str = "
name: models
x-orch:
  gpu: {reserve: 1GiB}
services:
  chat:
    image: x
    scale: 0
    x-orch: {load: on_demand, vram: 16GiB, health_check: {http: ':80/'}, routes: [{port: 80}]}
  speech:
    image: x
    scale: 0
    x-orch: {load: on_demand, resources: {vram: 10GiB}}
  embed:
    image: x
    x-orch: {vram: 2GiB}
  second:
    image: x
    scale: 0
    gpus: [{device_ids: ['1']}]
    x-orch: {load: manual, vram: 6GiB, keep: always}
  wide:
    image: x
    scale: 0
    gpus: all
    x-orch: {load: on_demand, vram: {per_gpu: 7GiB}}
  plain: {image: x}
";

/// On two GPUs, of 24 GiB and of 12; somebody has 12 GiB of the first.
fn plan(yaml: &str, words: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yaml"), yaml).unwrap();
    let gpu = |uuid: &str, total: u64, free: u64| serde_json::json!({"uuid": uuid, "name": "L", "total": total << 30, "free": free << 30});
    let gpus = serde_json::json!([gpu("GPU-a", 24, 12), gpu("GPU-b", 12, 12)]);
    fs::write(folder.path().join("gpus.json"), gpus.to_string()).unwrap();
    planned_in(folder.path(), "fake:gpus.json", words)
}

fn planned_in(folder: &Path, gpus: &str, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docker-orch"));
    command.env_clear().env("DOCKER_ORCH_GPUS", gpus).env("DOCKER_HOST", "unix:///nowhere");
    command.current_dir(folder).args(["plan", "--vram"]).args(words);
    Running::spawn(command).end()
}

#[test]
fn it_tells_what_fits_where_and_beside_whom() {
    assert_snapshot!(plan(MODELS, &[]).code(0).out, @"
    GPU       NAME      MEMORY    FOR SERVICES   FREE NOW   UUID
    0         L         24 GiB    23 GiB         12 GiB     GPU-a
    1         L         12 GiB    11 GiB         12 GiB     GPU-b

    SERVICE   LOAD        NEEDS       GPU
    chat      on_demand   16 GiB      0
    embed     up          2 GiB       1
    second    manual      6 GiB       1
    speech    on_demand   10 GiB      0
    wide      on_demand   2 × 7 GiB   0, 1

    side by side, and embed
      chat, second
      second, speech
      chat, wide

    one or the other
      chat and speech push each other out
      wide waits for second: it needs 7 GiB on each of 2 GPUs, and GPU-b lacks 4 GiB; embed is always kept, second is always kept; second pushes wide out

    now, beside what runs
      chat would wait: it needs 16 GiB on a GPU, and GPU-a lacks 5 GiB
    ");
    let one = plan(MODELS, &["speech"]).code(0).out;
    assert!(one.contains("speech    on_demand   10 GiB    1") && !one.contains("chat"), "{one}");
}

#[test]
fn programs_get_an_object() {
    let told: Value = serde_json::from_str(&plan(MODELS, &["--format", "json"]).code(0).out).unwrap();
    assert_eq!(told["gpus"][0]["budget"], 23_u64 << 30);
    assert_snapshot!(told["services"][0], @r#"{"name":"chat","service":"chat","load":"on_demand","fate":"loaded","reason":null,"gpus":[{"uuid":"GPU-a","bytes":17179869184}],"now":"it needs 16 GiB on a GPU, and GPU-a lacks 5 GiB"}"#);
    assert_snapshot!(told["side_by_side"], @r#"[["chat","second"],["second","speech"],["chat","wide"]]"#);
    assert_snapshot!(told["rivals"][0], @r#"{"loaded":"chat","asked":"speech","fate":"makes_way","reason":null}"#);
    plan(MODELS, &["--format", "dot"]).code(2).says(&["`plan --vram` is printed as a table or as JSON"]);
}

#[test]
fn what_can_never_be_loaded_is_a_fault() {
    let large = MODELS.replace("vram: 16GiB", "vram: 40GiB");
    let ran = plan(&large, &[]).code(2);
    assert!(ran.out.contains("chat      on_demand   40 GiB"), "{}", ran.out);
    assert_snapshot!(ran.err, @"
    error[never-fits]: `chat` can never be loaded: it needs 40 GiB on a GPU, and no more than 23 GiB may ever be taken
     --> compose.yaml:6:3
      |
    6 |   chat:
      |   ^^^^
    ");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yaml"), MODELS).unwrap();
    let none = planned_in(folder.path(), "none", &["speech"]).code(2);
    none.says(&["No GPU found.", "`speech` can never be loaded: it needs a GPU, and there is none"]);
    planned_in(folder.path(), "fake:gpus.json", &[]).code(2).says(&["cannot read GPUs from gpus.json"]);
    fs::write(folder.path().join("compose.yaml"), "services: {a: {image: x}}").unwrap();
    planned_in(folder.path(), "none", &[]).code(0).says(&["no service is loaded on demand, or says"]);
}

#[test]
fn what_up_starts_has_to_fit_together() {
    let yaml = "services: {a: {image: x, scale: 3, x-orch: {vram: 10GiB}}}";
    let out = plan(yaml, &[]).code(0).out;
    assert!(out.contains("a 3       up        10 GiB    0"), "{out}");
    let ran = plan(&yaml.replace("scale: 3", "scale: 4"), &[]).code(2);
    assert!(ran.out.contains("a 4       up        10 GiB    no room"), "{}", ran.out);
    ran.says(&["error[no-room]: `a 4` has no room beside what `up` starts: it needs 10 GiB on a GPU, and GPU-a lacks"]);
}

#[test]
fn up_says_what_it_does_not_look_for() {
    let yaml = "services:
  a: {image: a, x-orch: {vram: 10GiB}}
  b: {image: b, scale: 0, x-orch: {vram: 10GiB, load: on_demand}}
  c: {image: c, scale: 0, x-orch: {resources: {vram: 10GiB}, load: preload}}
  d: {image: d, scale: 0, x-orch: {vram: 10GiB}}
";
    let project = lab::project(yaml);
    let warnings = |project: &Project| {
        draft(project, &Observed::default(), &UpOptions::default()).unwrap().plan.warnings.join("\n")
    };
    let said = warnings(&project);
    assert!(
        said.starts_with("a, c: the GPU memory that `vram` names is not looked for before the start"),
        "{said}"
    );
    let loaded = loadable(&project, "b");
    assert!(warnings(&loaded).starts_with("a, c: "), "{}", warnings(&loaded));
}

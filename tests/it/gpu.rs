//! The GPUs of a machine, by programs and files that stand in for a driver.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::stack::{Ran, Running};

/// Calls `docker orch gpu` with this folder as the only place for programs.
fn gpu(folder: &Path, look_in: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_docker-orch"));
    command.env_clear().env("PATH", folder).env("DOCKER_ORCH_GPUS", look_in);
    command.current_dir(folder).arg("gpu").args(words);
    command
}

/// What `nvidia-smi` is to do, in a shell's words; `$1` is what is asked for.
fn smi(folder: &Path, does: &str) -> Ran {
    let path = folder.join("nvidia-smi");
    fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Running::spawn(gpu(folder, "nvidia-smi", &["--format", "json"])).end()
}

#[test]
fn what_nvidia_smi_lists_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let lists = "case $1 in
        --query-gpu=*) echo '0, GPU-aa, 570.86.15, 143771, 143000, NVIDIA H200';;
        --query-compute-apps=*) echo 'GPU-aa, 4711, 516';;
    esac";
    let ran = smi(folder.path(), lists).code(0);
    let mut line: Value = serde_json::from_str(&ran.out).unwrap();
    line.as_object_mut().unwrap().remove("time").expect("a time");
    let mib = 1_048_576_u64;
    let expected = json!({
        "uuid": "GPU-aa", "index": 0, "name": "NVIDIA H200", "driver": "570.86.15", "source": "nvidia-smi",
        "memory": {"total": 143_771 * mib, "used": 771 * mib, "free": 143_000 * mib},
        "processes": [{"pid": 4711, "memory": 516 * mib}],
    });
    assert_eq!(line, expected);
    let ran = smi(folder.path(), "echo 'NVIDIA-SMI has failed'; exit 9").code(2);
    ran.says(&["DOCKER_ORCH_GPUS: nvidia-smi: it ended with 9: NVIDIA-SMI has failed"]);
    smi(folder.path(), "exit 0").code(0).says(&["No GPU found.", "nvidia-smi: lists none"]);
}

#[test]
fn a_watch_prints_what_has_changed_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    // Whoever reads at any moment reads one of the two.
    let write = |free: u64| {
        let next = folder.path().join("next.json");
        fs::write(&next, json!([{"uuid": "GPU-a", "total": 3_u64 << 30, "free": free}]).to_string()).unwrap();
        fs::rename(next, folder.path().join("gpus.json")).unwrap();
    };
    write(3 << 30);
    let mut watch = Running::spawn(gpu(folder.path(), "fake:gpus.json", &["--watch"]));
    watch.until("0 bytes   3 GiB     ?           GPU-a");
    write(1 << 30);
    watch.until("2 GiB     1 GiB     ?           GPU-a");
    watch.signal("INT");
    let ran = watch.end().code(130);
    assert_eq!(ran.out.matches("GPU-a").count(), 2, "{}", ran.out);
}

#[test]
fn where_there_is_no_gpu_it_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Running::spawn(gpu(folder.path(), "none", &[])).end().code(0);
    assert_eq!(ran.out, "");
    ran.says(&["No GPU found.", "docker orch doctor", "fake:PATH"]);
    let ran = Running::spawn(gpu(folder.path(), "nvidia-smi", &[])).end().code(2);
    ran.says(&["DOCKER_ORCH_GPUS: nvidia-smi: not on the search path"]);
    Running::spawn(gpu(folder.path(), "cuda", &[])).end().code(2).says(&["`cuda` is no place to look"]);
}

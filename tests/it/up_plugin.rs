//! The program as a plugin of the Docker CLI, and alone.

use std::{os::unix::fs::PermissionsExt as _, process::Command};

use crate::support::stack::{Ran, Running, Stack};

const YAML: &str = "
services:
  web: {image: docker-orch-example, command: --exit-after 200ms --exit-code 5}
";

/// A Docker configuration whose only plugin is this program, beside what the real one says of engines.
fn docker(stack: &Stack) -> Command {
    let plugin = stack.folder().join("docker/cli-plugins/docker-orch");
    stack.write("docker/config.json", "{}");
    if !plugin.exists() {
        std::fs::create_dir_all(plugin.parent().unwrap()).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_docker-orch"), &plugin).unwrap();
        std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut docker = stack.hermetic("docker");
    docker.env("DOCKER_CONFIG", stack.folder().join("docker")).arg("orch");
    docker
}

fn end(command: &mut Command, words: &str) -> Ran {
    command.args(words.split_whitespace());
    Running::spawn(std::mem::replace(command, Command::new("true"))).end()
}

#[test]
fn docker_finds_the_plugin_and_knows_it() {
    let stack = Stack::new("plugin", YAML);
    let ran = end(&mut docker(&stack), "version").code(0);
    assert!(ran.out.contains(env!("CARGO_PKG_VERSION")), "{}", ran.out);
    let mut metadata = stack.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
    let metadata = end(&mut metadata, "docker-cli-plugin-metadata").code(0).out;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["SchemaVersion"], "0.1.0");
    let mut help = stack.hermetic("docker");
    help.env("DOCKER_CONFIG", stack.folder().join("docker"));
    assert!(end(&mut help, "--help").out.contains("orch*"), "the CLI does not list it");
}

#[test]
fn the_exit_code_passes_through_the_docker_cli() {
    let stack = Stack::new("plugincode", YAML);
    let ran = end(docker(&stack).args(["-p", &stack.name]), "up --exit-code-from web").code(5);
    assert!(ran.out.contains("exiting with 5"), "{}", ran.out);
    end(docker(&stack).args(["-p", &stack.name]), "up nosuch").code(2);
    end(docker(&stack).args(["-p", &stack.name]), "down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn the_plugin_and_the_program_alone_do_the_same() {
    let stack = Stack::new("pluginboth", &YAML.replace("--exit-after 200ms --exit-code 5", "--tcp 1"));
    end(docker(&stack).args(["-p", &stack.name, "-f", "compose.yaml"]), "up -d").code(0);
    let before = stack.running();
    stack.run("up -d").code(0);
    assert_eq!(stack.running(), before);
    let hint = end(docker(&stack).args(["-p", &stack.name]), "up -d --scale web=x");
    assert!(hint.code(2).err.contains("web=x"));
    end(docker(&stack).args(["-p", &stack.name]), "down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn an_interrupt_of_the_docker_cli_reaches_the_plugin() {
    let checked = "--tcp 1, x-orch: {health_check: {tcp: 1}}";
    let stack = Stack::new("pluginint", &YAML.replace("--exit-after 200ms --exit-code 5", checked));
    let mut command = docker(&stack);
    command.args(["-p", &stack.name, "up"]);
    let mut up = Running::spawn(command);
    up.until(&format!("{}  ready", stack.name));
    up.signal("INT");
    up.end().code(130);
    assert!(stack.running().is_empty());
    assert_eq!(stack.container("web").exit_code, 0, "it was killed");
}

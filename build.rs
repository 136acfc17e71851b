//! Builds the activator: a program of one file that runs in a container without anything else.

use std::{env, fs, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=activator/main.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to")).join("activator");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        // Containers run on Linux; elsewhere the engine is on another machine in any case.
        fs::write(&out, []).expect("cargo's folder can be written to");
        return;
    }
    let rustc = env::var_os("RUSTC").expect("cargo says which compiler");
    let built = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "activator", "--target"])
        .arg(env::var_os("TARGET").expect("cargo says for which machine"))
        // Small, and without a library of the system that its image does not have.
        .args(["-C", "target-feature=+crt-static", "-C", "relocation-model=static", "-C", "opt-level=s"])
        .args(["-C", "panic=abort", "-C", "strip=symbols", "-o"])
        .arg(&out)
        .arg("activator/main.rs")
        .output();
    let why = match built {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned(),
        Err(error) => error.to_string(),
    };
    // All else works without it, and says so where it is missed.
    println!(
        "cargo::warning=services cannot be woken by their names in a network: no static program can be built: {why}"
    );
    fs::write(&out, []).expect("cargo's folder can be written to");
}

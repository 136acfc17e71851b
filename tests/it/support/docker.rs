//! The real engine of the tests: its connection, the image that services run, and the end of what is left.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, OnceLock},
};

use docker_orch::engine::{
    Engine,
    docker::{ConnectOptions, DockerEngine},
};

/// The engine that the Docker CLI talks to, with the image of the example service on it.
pub(crate) async fn engine() -> Arc<dyn Engine> {
    let environment = std::env::vars().collect();
    let home = std::env::var("HOME").unwrap_or_default();
    let config_dir =
        std::env::var("DOCKER_CONFIG").map_or_else(|_| PathBuf::from(home).join(".docker"), PathBuf::from);
    let options = ConnectOptions { environment, config_dir, ..ConnectOptions::default() };
    let engine = DockerEngine::connect(&options).await.expect("a Docker engine, which these tests need");
    build_image();
    Arc::new(engine)
}

/// Whether the Docker CLI here has the Compose plugin; a test that goes without it says so.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
pub(crate) fn has_compose() -> bool {
    let answers = Command::new("docker").args(["compose", "version"]).output();
    let has = answers.is_ok_and(|answer| answer.status.success());
    if !has {
        eprintln!("skipped: the Docker CLI here has no `docker compose`");
    }
    has
}

/// Builds the image, once; tests in other processes wait, and find it done.
pub(crate) fn build_image() {
    static IMAGE: OnceLock<()> = OnceLock::new();
    IMAGE.get_or_init(build);
}

fn build() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("compose-examples/service");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("image.lock");
    let lock = std::fs::File::create(path).expect("a lock file");
    lock.lock().expect("the lock");
    let built = Command::new(folder.join("build.sh")).arg("--image").status().expect("build.sh");
    assert!(built.success(), "the example image cannot be built");
}

/// Whether there is the image of llama.cpp's server; a test that goes without it says so. Built once, from Debian's
/// packages: that takes a network.
#[expect(clippy::print_stderr, reason = "a test that was skipped says so")]
pub(crate) fn has_llama() -> bool {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/images/llama.sh");
    let built = Command::new(script).output().expect("llama.sh");
    let said = String::from_utf8_lossy(&built.stderr).into_owned();
    match built.status.code() {
        Some(0) => true,
        Some(77) => {
            eprintln!("skipped: {said}");
            false
        }
        _ => panic!("the image of llama.cpp's server cannot be built: {said}"),
    }
}

/// Everything of one project: removed at the end of its test, however that ends.
pub(crate) struct Leftovers(String);

impl Leftovers {
    pub(crate) fn of(project: &str) -> Self {
        Self(project.to_owned())
    }

    /// IDs or names that a listing of the Docker CLI gives for the project.
    fn list(&self, listing: &[&str]) -> Vec<String> {
        let label = format!("label=com.docker.compose.project={}", self.0);
        let output = Command::new("docker").args(listing).args(["-q", "--filter", &label]).output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        // Without labels: a volume that the engine made by itself.
        let unlabelled = vec![format!("{}_data", self.0)];
        for (listing, removal) in [
            (self.list(&["ps", "-a"]), ["rm", "-f", "-v"].as_slice()),
            (self.list(&["network", "ls"]), &["network", "rm"]),
            (self.list(&["volume", "ls"]), &["volume", "rm"]),
            (unlabelled, &["volume", "rm"]),
        ] {
            if !listing.is_empty() {
                // What is gone already is fine.
                Command::new("docker").args(removal).args(listing).output().ok();
            }
        }
    }
}

//! A Docker daemon of a test's own, that can be killed and started again.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::docker::build_image;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The daemon, with everything of it in one folder; gone when it goes out of scope.
pub(crate) struct Daemon {
    folder: tempfile::TempDir,
    options: Vec<String>,
    process: Option<Child>,
}

impl Daemon {
    /// Starts one, with the image that services run. An error: why there can be none here, in words.
    pub(crate) fn start(options: &[&str]) -> Result<Self, String> {
        build_image();
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        let mut daemon = Self { folder, options, process: None };
        daemon.run()?;
        daemon.load_image()?;
        Ok(daemon)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of `DOCKER_HOST` that leads to it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    fn run(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(self.path("log"));
        let log: File = log.map_err(|e| e.to_string())?;
        let errors = log.try_clone().map_err(|e| e.to_string())?;
        let mut command = Command::new("dockerd");
        command.args(["-H", &self.host(), "--config-file", "/dev/null"]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(self.path(name));
        }
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"]);
        // Away from the networks that other daemons of the machine make.
        command.args(["--default-address-pool", "base=10.231.0.0/16,size=28"]).args(&self.options);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let mut child = child.map_err(|e| format!("no dockerd can be run: {e}"))?;
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            if child.try_wait().is_ok_and(|ended| ended.is_some()) || Instant::now() > deadline {
                child.kill().ok();
                child.wait().ok();
                let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                return Err(format!("a second dockerd does not come up: {last}"));
            }
            std::thread::yield_now();
        }
        self.process = Some(child);
        Ok(())
    }

    fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn answers(&self) -> bool {
        self.path("docker.sock").exists()
            && self.docker().arg("version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    fn load_image(&self) -> Result<(), String> {
        let mut save = Command::new("docker");
        save.args(["save", "docker-orch-example"]).stdout(Stdio::piped());
        let mut save = save.spawn().map_err(|e| e.to_string())?;
        let mut load = self.docker();
        load.arg("load").stdin(save.stdout.take().expect("piped")).stdout(Stdio::null());
        let loaded = load.status().is_ok_and(|s| s.success());
        let saved = save.wait().is_ok_and(|s| s.success());
        if saved && loaded { Ok(()) } else { Err("its dockerd takes no image".to_owned()) }
    }

    /// Kills it at once, as a crash does. What it runs goes on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is our child");
            process.wait().expect("it is our child");
        }
    }

    /// Starts it again on what it left.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        self.run().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.process.is_none() {
            // Only a daemon ends its containers.
            self.run().ok();
        }
        for (list, remove) in [
            (["ps", "-a", "-q"].as_slice(), ["rm", "-f"].as_slice()),
            (&["network", "ls", "-q", "--filter", "type=custom"], &["network", "rm"]),
        ] {
            let output = self.docker().args(list).output();
            let ids = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
            if !ids.is_empty() {
                self.docker().args(remove).args(ids.lines()).stdout(Stdio::null()).status().ok();
            }
        }
        if let Some(mut process) = self.process.take() {
            // Asked to end, it ends its containerd too.
            Command::new("kill").arg(process.id().to_string()).status().ok();
            process.wait().ok();
        }
        // What it mounted keeps the folder from being removed.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let folder = self.folder.path().display().to_string();
        for place in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
            if place.starts_with(&folder) {
                Command::new("umount").arg("-l").arg(place).status().ok();
            }
        }
    }
}

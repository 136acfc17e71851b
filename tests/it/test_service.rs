//! The service that examples and tests are made of does what its flags say.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

fn program() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("compose-examples/service");
    let built = Command::new(folder.join("build.sh")).status().expect("the script runs");
    assert!(built.success());
    folder.join("build/rootfs/bin/service")
}

fn run(args: &[&str]) -> Output {
    Command::new(program()).args(args).output().expect("the service runs")
}

/// A running service, ended with the test.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let mut child = Command::new(program())
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service runs");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines, port }
    }

    /// Reads its output up to the line that begins with `word`.
    fn until(&mut self, word: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line.starts_with(word));
        assert!(found, "it ended without saying {word}");
    }

    /// The exit code of a probe, and what it printed.
    fn probe(&self, method: &str, path: &str) -> (Option<i32>, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = run(&["probe", "--show", "-X", method, &url]);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn stages_pass_at_their_times() {
    let mut service = Running::start(&["--stage", "port=0s", "--stage", "models=never"]);
    service.until("ready");
    assert_eq!(service.probe("GET", "/health/port").0, Some(0));
    assert_eq!(service.probe("GET", "/health/models").0, Some(22));
    assert_eq!(service.probe("GET", "/health/nosuch").0, Some(22));
    assert_eq!(service.probe("GET", "/ready").0, Some(0));
}

#[test]
fn it_is_unhealthy_until_it_is_ready() {
    let mut service = Running::start(&["--ready-after", "never"]);
    service.until("listening");
    let (code, report) = service.probe("GET", "/health");
    assert_eq!(code, Some(22));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["status"], "unhealthy");
}

#[test]
fn it_degrades_fails_and_recovers_when_told() {
    let mut service = Running::start(&["--name", "twin"]);
    service.until("ready");
    for (order, code, status) in
        [("degrade", 0, "degraded"), ("fail", 22, "unhealthy"), ("recover", 0, "healthy")]
    {
        assert_eq!(service.probe("POST", &format!("/control/{order}")).0, Some(0));
        let (answered, report) = service.probe("GET", "/health");
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((answered, report["status"].as_str()), (Some(code), Some(status)), "{order}");
        assert_eq!(report["service"]["name"], "twin");
    }
}

#[test]
fn its_report_tells_of_errors() {
    for (at, rate) in [("0s", 0.5), ("1h", 0.0)] {
        let mut service = Running::start(&["--errors-after", at]);
        service.until("ready");
        let (code, report) = service.probe("GET", "/health");
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!((code, report["metrics"]["error_rate"].as_f64()), (Some(0), Some(rate)));
    }
}

#[test]
fn it_stops_when_told_and_says_so() {
    let mut service = Running::start(&["--term-code", "5"]);
    service.until("ready");
    let told = Command::new("sh").args(["-c", &format!("kill {}", service.child.id())]).status().unwrap();
    assert!(told.success());
    service.until("stopping on signal 15");
    assert_eq!(service.child.wait().unwrap().code(), Some(5));
}

#[test]
fn it_exits_as_told() {
    assert_eq!(run(&["--oneshot", "--exit-code", "3"]).status.code(), Some(3));
    assert_eq!(run(&["--exit-after", "10ms", "--exit-code", "7"]).status.code(), Some(7));
    assert_eq!(run(&["--requires", "127.0.0.1:1"]).status.code(), Some(1));
    assert_eq!(run(&["--nosuch"]).status.code(), Some(2));
}

#[test]
fn it_fails_its_first_starts() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("starts").display().to_string();
    let codes: Vec<_> =
        (0..3).map(|_| run(&["--oneshot", "--fail-starts", "2", "--state", &state]).status.code()).collect();
    assert_eq!(codes, [Some(1), Some(1), Some(0)]);
}

#[test]
fn its_shell_understands_health_commands() {
    for (command, code) in [
        ("true && exit 4", 4),
        ("false || exit 1", 1),
        ("false && exit 3; true", 0),
        ("curl -fsS http://127.0.0.1:1/ > /dev/null || exit 9", 9),
        ("exec echo a > /dev/null 2>&1 && exit 6", 6),
    ] {
        assert_eq!(run(&["sh", "-c", command]).status.code(), Some(code), "{command}");
    }
    let line = "echo 'a  b' \"$WHO\" 2> /dev/null";
    let output = Command::new(program()).args(["sh", "-c", line]).env("WHO", "me").output();
    assert_eq!(output.unwrap().stdout, b"a  b me\n");
}

//! A project of its own on the real engine: the program on it, what the engine says of it, and its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::docker::{Leftovers, build_image};

/// How long anything here may take before its test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Three services, one behind the other, of which the last is ready only after a while (`1s`, `never`).
pub(crate) fn chain_of_three(ready_after: &str) -> String {
    CHAIN.replace("READY", ready_after)
}

const CHAIN: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    volumes: [data:/data]
    x-orch: {health_check: {tcp: 5432}}
  api:
    image: docker-orch-example
    command: --port 80
    environment: {VERSION: '1'}
    depends_on: {db: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
  web:
    image: docker-orch-example
    command: --port 80 --ready-after READY
    environment: {VERSION: '1'}
    depends_on: {api: {condition: service_healthy}}
    x-orch: {health_check: {http: ':80/health'}}
volumes:
  data: {}
";

/// A Compose project in a folder of its own; removed from the engine when it goes out of scope.
pub(crate) struct Stack {
    pub(crate) name: String,
    folder: tempfile::TempDir,
    file: PathBuf,
    _leftovers: Leftovers,
}

/// A container as the engine tells it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) running: bool,
    pub(crate) exit_code: i64,
    /// In UTC, to the nanosecond, so that texts compare as times do; also `finished`.
    pub(crate) started: String,
    pub(crate) finished: String,
    pub(crate) raw: Value,
}

impl Stack {
    /// A project with this Compose file, whose name begins as the test is called.
    pub(crate) fn new(test: &str, yaml: &str) -> Self {
        let stack = Self::empty(test);
        stack.write("compose.yaml", yaml);
        stack
    }

    /// A project with the Compose file of an example.
    pub(crate) fn of_example(test: &str, example: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose-examples").join(example);
        Self { file: file.join("compose.yaml"), ..Self::empty(test) }
    }

    fn empty(test: &str) -> Self {
        build_image();
        let name = format!("orch-{test}-{}", std::process::id());
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("compose.yaml");
        Self { _leftovers: Leftovers::of(&name), name, folder, file }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into its folder.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A command with nothing in its environment that could change what it does.
    pub(crate) fn hermetic(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.folder.path().join("state"));
        for name in ["PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// The program, to be called on this project.
    pub(crate) fn orch(&self, words: &str) -> Command {
        let mut command = self.hermetic(env!("CARGO_BIN_EXE_docker-orch"));
        command.args(["-p", &self.name, "-f"]).arg(&self.file).args(words.split_whitespace());
        command
    }

    /// Calls the program on this project, to its end.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) -> Ran {
        Running::spawn(self.orch(words)).end()
    }

    /// Calls the program and goes on while it runs.
    pub(crate) fn spawn(&self, words: &str) -> Running {
        Running::spawn(self.orch(words))
    }

    /// What the Docker CLI prints.
    #[track_caller]
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let output = self.hermetic("docker").args(words).output().expect("the Docker CLI");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    fn ids(&self, listing: &[&str]) -> Vec<String> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let mut words = listing.to_vec();
        words.extend(["--filter", &label]);
        self.docker(&words).lines().map(str::to_owned).collect()
    }

    /// All its containers, in the order of their names.
    #[track_caller]
    pub(crate) fn containers(&self) -> Vec<Seen> {
        let ids = self.ids(&["ps", "-aq", "--no-trunc"]);
        if ids.is_empty() {
            return Vec::new();
        }
        // A container that goes away in between is no error: it is left out.
        let output = self.hermetic("docker").arg("inspect").args(&ids).output().expect("the Docker CLI");
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut seen: Vec<Seen> = all.into_iter().map(Seen::of).collect();
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        seen
    }

    /// The single container of a service.
    #[track_caller]
    pub(crate) fn container(&self, service: &str) -> Seen {
        let is_of = |c: &Seen| c.service == service && !c.name.ends_with("-activator");
        let mut of: Vec<Seen> = self.containers().into_iter().filter(is_of).collect();
        assert_eq!(of.len(), 1, "containers of {service}");
        of.remove(0)
    }

    /// The container whose name ends so.
    #[track_caller]
    pub(crate) fn container_named(&self, end: &str) -> Seen {
        let found = self.containers().into_iter().find(|c| c.name.ends_with(end));
        found.unwrap_or_else(|| panic!("no container of the name …{end}"))
    }

    /// ID, name and start of every running container: equal when nothing was touched.
    #[track_caller]
    pub(crate) fn running(&self) -> BTreeSet<(String, String, String)> {
        let running = self.containers().into_iter().filter(|c| c.running);
        running.map(|c| (c.name, c.id, c.started)).collect()
    }

    /// ID by name of every running container.
    #[track_caller]
    pub(crate) fn running_ids(&self) -> BTreeMap<String, String> {
        self.containers().into_iter().filter(|c| c.running).map(|c| (c.name, c.id)).collect()
    }

    /// Names of its networks.
    pub(crate) fn networks(&self) -> Vec<String> {
        self.ids(&["network", "ls", "--format", "{{.Name}}"])
    }

    /// Names of its volumes, as the file calls them.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let prefix = format!("{}_", self.name);
        let mut names: Vec<String> = self.ids(&["volume", "ls", "--format", "{{.Name}}"]);
        names.sort();
        names.into_iter().map(|n| n.strip_prefix(&prefix).unwrap_or(&n).to_owned()).collect()
    }

    /// Nothing of it is on the engine but these volumes.
    #[track_caller]
    pub(crate) fn is_gone_but(&self, volumes: &[&str]) {
        let names: Vec<String> = self.containers().into_iter().map(|c| c.name).collect();
        assert_eq!((names, self.networks(), self.volumes()), (vec![], vec![], owned(volumes)));
    }

    /// Containers' names as the file gives them, without the project's: `web-1`.
    #[track_caller]
    pub(crate) fn short_names(&self) -> Vec<String> {
        let prefix = format!("{}-", self.name);
        let short = |c: Seen| c.name.strip_prefix(&prefix).unwrap_or(&c.name).to_owned();
        self.containers().into_iter().map(short).collect()
    }

    /// Lines of a container's log, each with the time at which the engine got it.
    pub(crate) fn log(&self, id: &str) -> Vec<(String, String)> {
        let text = self.docker(&["logs", "-t", id]);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(time, text)| (sortable(time), text.to_owned())).collect()
    }

    /// Waits until the engine has told of these events of a container: `WIDTHxHEIGHT` of a resize.
    #[track_caller]
    pub(crate) fn until_event(&self, container: &str, event: &str, wanted: &[&str]) {
        let filters = ["--filter", &format!("container={container}"), "--filter", &format!("event={event}")];
        let mut events = self.hermetic("docker");
        events.args(["events", "--since", "10m"]).args(filters);
        let mut events = Running::spawn({
            events.args(["--format", "{{.Actor.Attributes.width}}x{{.Actor.Attributes.height}}"]);
            events
        });
        for words in wanted {
            events.until(words);
        }
    }

    /// What is the same of a one-off container whoever made it: its definition on the engine. Removes it.
    #[track_caller]
    pub(crate) fn take_one_off(&self, name: &str) -> Value {
        let text = self.docker(&["inspect", name]);
        self.docker(&["rm", "-f", "-v", name]);
        let mut all: Vec<Value> = serde_json::from_str(&text).expect("JSON");
        let mut raw = all.remove(0);
        let labels = raw["Config"]["Labels"].as_object_mut().expect("labels");
        for own in ["slug", "version"] {
            labels.remove(&format!("com.docker.compose.{own}")).expect("a label");
        }
        raw["Config"].as_object_mut().expect("an object").remove("Hostname");
        // Compose sends maps in any order.
        for list in ["/Config/Env", "/HostConfig/Binds", "/HostConfig/Mounts"] {
            if let Some(list) = raw.pointer_mut(list).and_then(Value::as_array_mut) {
                list.sort_by_key(Value::to_string);
            }
        }
        let networks = raw["NetworkSettings"]["Networks"].as_object().expect("networks");
        let network = |(name, n): (&String, &Value)| (name.clone(), n["Aliases"].clone(), n["Links"].clone());
        let networks: Vec<_> = networks.iter().map(network).collect();
        serde_json::json!([raw["Config"], raw["HostConfig"], networks])
    }

    /// All files below the folder where runs are kept.
    pub(crate) fn kept(&self) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        collect(&self.folder.path().join("state"), &mut files);
        files
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            let text = std::fs::read(&path).expect("a file");
            files.insert(path.display().to_string(), String::from_utf8_lossy(&text).into_owned());
        }
    }
}

impl Seen {
    fn of(raw: Value) -> Self {
        let text = |at: &str| raw.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let service = &raw["Config"]["Labels"]["com.docker.compose.service"];
        Self {
            id: text("/Id"),
            name: text("/Name").trim_start_matches('/').to_owned(),
            service: service.as_str().unwrap_or_default().to_owned(),
            running: raw["State"]["Running"] == true,
            exit_code: raw["State"]["ExitCode"].as_i64().unwrap_or_default(),
            started: sortable(&text("/State/StartedAt")),
            finished: sortable(&text("/State/FinishedAt")),
            raw,
        }
    }

    /// Its aliases on a network.
    pub(crate) fn aliases(&self, network: &str) -> BTreeSet<String> {
        let aliases = &self.raw["NetworkSettings"]["Networks"][network]["Aliases"];
        let texts = aliases.as_array().into_iter().flatten().filter_map(Value::as_str);
        // The engine adds the container's ID.
        texts.filter(|a| !self.id.starts_with(*a)).map(str::to_owned).collect()
    }
}

/// A time of the engine, with nine digits behind the point: trailing zeros are left out by the engine.
fn sortable(time: &str) -> String {
    let (seconds, fraction) =
        time.trim_end_matches('Z').split_once('.').unwrap_or((time.trim_end_matches('Z'), ""));
    format!("{seconds}.{fraction:0<9}")
}

pub(crate) fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|t| (*t).to_owned()).collect()
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// It ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}{}", self.out, self.err);
        self
    }

    /// How it ended; -1: by a signal.
    pub(crate) fn exit_code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Its standard error has all these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "no `{word}` in:\n{}{}", self.out, self.err);
        }
        self
    }
}

/// A running call of the program; killed when it goes out of scope.
pub(crate) struct Running {
    child: Child,
    /// Lines as they come; `true`: from standard output.
    lines: Receiver<(bool, String)>,
    seen: Vec<(bool, String)>,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let (sender, lines) = channel();
        let streams: [(bool, Box<dyn Read + Send>); 2] = [
            (true, Box::new(child.stdout.take().expect("piped"))),
            (false, Box::new(child.stderr.take().expect("piped"))),
        ];
        for (out, stream) in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send((out, line)).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// The end of its input that is written to, where the command asked for a pipe.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("piped")
    }

    /// The next line before a moment; `None`: it has closed its output.
    fn next(&mut self, deadline: Instant) -> Result<Option<&str>, RecvTimeoutError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.seen.push(line);
                Ok(self.seen.last().map(|(_, text)| text.as_str()))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(timeout) => Err(timeout),
        }
    }

    /// Reads what it prints up to and with a line that has these words: that line.
    #[track_caller]
    pub(crate) fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Ok(Some(line)) if line.contains(words) => return line.to_owned(),
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without `{words}`:\n{}", self.text()),
                Err(late) => panic!("no `{words}`: {late}:\n{}", self.text()),
            }
        }
    }

    /// Lets it print this many lines and then run on for a while, unless it ends before; whether it still runs.
    pub(crate) fn let_run(&mut self, lines: usize, on: Duration) -> bool {
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..lines {
            if !matches!(self.next(deadline), Ok(Some(_))) {
                return false;
            }
        }
        let deadline = Instant::now() + on;
        loop {
            match self.next(deadline) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Sends it a signal: `INT`, `TERM`, `KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args(["-s", signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "it had ended before SIG{signal}");
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    fn text(&self) -> String {
        self.seen.iter().fold(String::new(), |mut text, (_, line)| {
            writeln!(text, "{line}").expect("a String");
            text
        })
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(late) => panic!("it does not end: {late}:\n{}", self.text()),
            }
        }
        let status = self.child.wait().expect("it is our child");
        let of = |wanted: bool| {
            let lines = self.seen.iter().filter(|(out, _)| *out == wanted);
            lines.flat_map(|(_, line)| [line.as_str(), "\n"]).collect::<String>()
        };
        Ran { status, out: of(true), err: of(false) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, and been waited for, already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

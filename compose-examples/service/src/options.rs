//! The service's flags. Each can be given as an environment variable too: `--ready-after` is `READY_AFTER`.

use std::time::Duration;

pub(crate) const HELP: &str = "\
service [FLAG…]              serve until told to stop
service probe URL            exit 0 when URL answers 2xx, else 1 (also as curl and wget)
service load URL             ask again and again until told to stop; exit 1 if a request failed (--clients N)
service connect HOST:PORT    exit 0 when the port accepts a connection, else 1
service sleep|true|false|exit|echo|cat|env|sh …

Times count from the start of the process and are written 500ms, 2s, 1m30s.
  --name NAME                in the health report (default: the host name)
  --port N                   answer HTTP here; may be repeated, as all flags marked *
  --bind ADDRESS             listen here (default 0.0.0.0)
  --tcp N                *   accept plain TCP connections here, from ready on
  --grpc N               *   answer the standard gRPC health checks here, of all and of the service called NAME
  --listen-after TIME        open the HTTP and gRPC ports only then
  --load TIME                keep one core busy this long before listening
  --memory SIZE              take this much memory (64m, 1g) before listening
  --stage NAME=TIME      *   /health/NAME answers 200 from then on (NAME=never: never)
  --ready-after TIME         /health and /ready answer 200 from then on (default: after the last stage); 'never'
  --dependency NAME=H:P  *   /health/NAME answers 200 while H:P accepts a connection; shown in the health report
  --requires H:P         *   exit 1 at once if this accepts no connection when the service starts
  --degraded-after TIME      the health report says degraded from then on
  --fail-health-after TIME   /health answers 503 from then on
  --errors-after TIME        the health report says that half of the requests fail, from then on
  --recover-after TIME       healthy again, and without errors, from then on
  --hang                     accept connections, never answer
  --hang-after TIME          the same, from then on
  --exit-after TIME          exit by itself
  --exit-code N              with this code (default 0)
  --oneshot                  exit as soon as ready
  --fail-starts N            the first N starts of this container exit 1
  --state FILE               counts the starts (default /tmp/starts)
  --ignore-term              do not stop on SIGTERM
  --term-after TIME          take this long to stop
  --drain                    on SIGTERM take no more requests, answer those under way, then stop
  --term-code N              exit code after SIGTERM (default 0)
  --log LINE             *   print at the start
  --log-every TIME           and again that often
  --log-when-ready LINE  *   print when ready
  --write FILE[=TEXT]    *   write this file when ready
  --expect FILE[=TEXT]   *   exit 1 at once unless this file is there (and contains TEXT)
HTTP: /health, /health/NAME, /health/ready, /health/startup, /ready, and for tests POST /control/fail, /control/degrade,
/control/recover, /control/hang, /control/exit/CODE. Every other path answers 200 when ready, else 503.
";

/// A moment counted from the start of the process; `None`: never.
pub(crate) type Moment = Option<Duration>;

/// Everything that the service was asked to do.
#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) bind: String,
    pub(crate) ports: Vec<u16>,
    pub(crate) tcp: Vec<u16>,
    pub(crate) grpc: Vec<u16>,
    pub(crate) listen_after: Duration,
    pub(crate) load: Duration,
    pub(crate) memory: usize,
    pub(crate) stages: Vec<(String, Moment)>,
    pub(crate) ready_after: Moment,
    pub(crate) dependencies: Vec<(String, String)>,
    pub(crate) requires: Vec<String>,
    pub(crate) degraded_after: Moment,
    pub(crate) fail_health_after: Moment,
    pub(crate) errors_after: Moment,
    pub(crate) recover_after: Moment,
    pub(crate) hang_after: Moment,
    pub(crate) exit_after: Moment,
    pub(crate) exit_code: i32,
    pub(crate) oneshot: bool,
    pub(crate) fail_starts: u32,
    pub(crate) state: String,
    pub(crate) ignore_term: bool,
    pub(crate) term_after: Duration,
    pub(crate) drain: bool,
    pub(crate) term_code: i32,
    pub(crate) log: Vec<String>,
    pub(crate) log_every: Moment,
    pub(crate) log_when_ready: Vec<String>,
    pub(crate) write: Vec<(String, String)>,
    pub(crate) expect: Vec<(String, String)>,
}

const SWITCHES: [&str; 4] = ["hang", "oneshot", "ignore-term", "drain"];
const VALUES: [&str; 28] = [
    "name",
    "bind",
    "port",
    "tcp",
    "grpc",
    "listen-after",
    "load",
    "memory",
    "stage",
    "ready-after",
    "dependency",
    "requires",
    "degraded-after",
    "fail-health-after",
    "errors-after",
    "recover-after",
    "hang-after",
    "exit-after",
    "exit-code",
    "fail-starts",
    "state",
    "term-after",
    "term-code",
    "log",
    "log-every",
    "log-when-ready",
    "write",
    "expect",
];

impl Options {
    /// Reads environment variables first, then flags; a flag given replaces its variable.
    pub(crate) fn parse(
        args: &[String],
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, String> {
        let mut given: Vec<(String, String)> = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let flag = arg.strip_prefix("--").ok_or_else(|| format!("unexpected argument '{arg}'"))?;
            let (flag, inline) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            let value = if SWITCHES.contains(&flag) {
                inline.unwrap_or_else(|| "true".to_owned())
            } else if VALUES.contains(&flag) {
                inline.or_else(|| args.next().cloned()).ok_or_else(|| format!("--{flag} needs a value"))?
            } else {
                return Err(format!("no flag --{flag}"));
            };
            given.push((flag.to_owned(), value));
        }
        for (key, value) in env {
            let flag = key.to_lowercase().replace('_', "-");
            let known = key.to_uppercase() == key
                && (SWITCHES.contains(&flag.as_str()) || VALUES.contains(&flag.as_str()));
            if known && !given.iter().any(|(f, _)| *f == flag) {
                given.push((flag, value));
            }
        }
        let mut options = Self {
            bind: "0.0.0.0".to_owned(),
            name: host_name(),
            state: "/tmp/starts".to_owned(),
            ..Self::default()
        };
        let mut ready_given = false;
        for (flag, value) in given {
            ready_given |= flag == "ready-after";
            options.set(&flag, &value).map_err(|why| format!("--{flag} {value}: {why}"))?;
        }
        if !ready_given {
            let last = options.stages.iter().filter_map(|(_, at)| *at).max();
            options.ready_after = Some(last.unwrap_or_default().max(options.listen_after));
        }
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "name" => value.clone_into(&mut self.name),
            "bind" => value.clone_into(&mut self.bind),
            "port" => self.ports.push(number(value)?),
            "tcp" => self.tcp.push(number(value)?),
            "grpc" => self.grpc.push(number(value)?),
            "listen-after" => self.listen_after = duration(value)?,
            "load" => self.load = duration(value)?,
            "memory" => self.memory = size(value)?,
            "stage" => {
                let (name, at) = value.split_once('=').ok_or("expected NAME=TIME")?;
                self.stages.push((name.to_owned(), moment(at)?));
            }
            "ready-after" => self.ready_after = moment(value)?,
            "dependency" => {
                let (name, address) = value.split_once('=').ok_or("expected NAME=HOST:PORT")?;
                self.dependencies.push((name.to_owned(), address.to_owned()));
            }
            "requires" => self.requires.push(value.to_owned()),
            "degraded-after" => self.degraded_after = moment(value)?,
            "fail-health-after" => self.fail_health_after = moment(value)?,
            "errors-after" => self.errors_after = moment(value)?,
            "recover-after" => self.recover_after = moment(value)?,
            "hang" => self.hang_after = switch(value)?.then_some(Duration::ZERO),
            "hang-after" => self.hang_after = moment(value)?,
            "exit-after" => self.exit_after = moment(value)?,
            "exit-code" => self.exit_code = number(value)?,
            "oneshot" => self.oneshot = switch(value)?,
            "fail-starts" => self.fail_starts = number(value)?,
            "state" => value.clone_into(&mut self.state),
            "ignore-term" => self.ignore_term = switch(value)?,
            "term-after" => self.term_after = duration(value)?,
            "drain" => self.drain = switch(value)?,
            "term-code" => self.term_code = number(value)?,
            "log" => self.log.push(value.to_owned()),
            "log-every" => self.log_every = moment(value)?,
            "log-when-ready" => self.log_when_ready.push(value.to_owned()),
            "write" => self.write.push(file_and_text(value)),
            "expect" => self.expect.push(file_and_text(value)),
            _ => return Err("no such flag".to_owned()),
        }
        Ok(())
    }
}

fn file_and_text(value: &str) -> (String, String) {
    let (file, text) = value.split_once('=').unwrap_or((value, ""));
    (file.to_owned(), text.to_owned())
}

fn host_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "service".to_owned())
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "expected a number".to_owned())
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" | "" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

fn moment(value: &str) -> Result<Moment, String> {
    if value == "never" { Ok(None) } else { duration(value).map(Some) }
}

/// `500ms`, `2s`, `1m30s`, `0.5s`; a bare number is seconds.
pub(crate) fn duration(value: &str) -> Result<Duration, String> {
    let wrong = || "expected a duration, such as 500ms, 2s or 1m30s".to_owned();
    let mut rest = value;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let amount: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += amount
            * match &rest[..letters] {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = &rest[letters..];
    }
    if value.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

fn size(value: &str) -> Result<usize, String> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let amount: usize = number(&value[..digits])?;
    let shift = match &value[digits..] {
        "" | "b" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err("expected a size, such as 64m".to_owned()),
    };
    Ok(amount << shift)
}

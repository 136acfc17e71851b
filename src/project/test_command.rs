//! What a HEALTHCHECK command means: plain `curl` and `wget` commands are the HTTP request that they make.
//!
//! Only what is certain is recognised; everything else stays a command that runs in the container.

use std::time::Duration;

use super::{Check, HealthSpec, Healthcheck, HttpProbe, ProbeSpec, Require, SignedDuration, Stage};

/// What a HEALTHCHECK test comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCommand {
    /// What is done.
    pub probe: ProbeSpec,
    /// The command's own time limit, where it has one.
    pub timeout: Option<Duration>,
}

impl TestCommand {
    /// Reads a test as Compose keeps it: `["CMD", …]` or `["CMD-SHELL", text]`; `None` for `NONE` and nothing.
    pub fn of(test: &[String]) -> Option<Self> {
        let (kind, rest) = test.split_first()?;
        let (command, words) = match kind.as_str() {
            "CMD" => (rest.to_vec(), Some(rest.to_vec())),
            "CMD-SHELL" => {
                let script = rest.first()?;
                let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
                (command, plain_words(script))
            }
            _ => return None,
        };
        if command.is_empty() {
            return None;
        }
        let request = words.and_then(|words| recognise(&words));
        Some(match request {
            Some(Request { probe, timeout }) => {
                let probe = HttpProbe { command: Some(command), ..probe };
                Self { probe: ProbeSpec::Http(probe), timeout }
            }
            None => Self { probe: ProbeSpec::Exec { command }, timeout: None },
        })
    }
}

impl HealthSpec {
    /// The readiness of a container with a HEALTHCHECK: `test` is the image's or the file's command, `times` what
    /// the file says. `None` where the test is none. Docker's defaults fill the gaps: 30 s, 30 s, 3 tries.
    pub fn of_healthcheck(test: &[String], times: Option<&Healthcheck>) -> Option<Self> {
        let TestCommand { probe, timeout } = TestCommand::of(test)?;
        let set = |pick: fn(&Healthcheck) -> Option<SignedDuration>| {
            times.and_then(pick).and_then(SignedDuration::positive)
        };
        let limit = set(|t| t.timeout).unwrap_or(Duration::from_secs(30));
        let retries = times.and_then(|t| t.retries).filter(|n| *n > 0).unwrap_or(3);
        let check = Check {
            name: "healthcheck".to_owned(),
            probe,
            interval: set(|t| t.interval).unwrap_or(Duration::from_secs(30)),
            timeout: timeout.map_or(limit, |own| own.min(limit)),
            success_threshold: 1,
            failure_threshold: u32::try_from(retries).unwrap_or(u32::MAX),
            start_period: set(|t| t.start_period).unwrap_or_default(),
            critical: true,
            breaker: None,
        };
        let stage = Stage {
            name: "healthcheck".to_owned(),
            checks: vec![check],
            require: Require::All,
            timeout: None,
            start_period: Duration::ZERO,
            critical: true,
            progress: None,
        };
        Some(Self { stages: vec![stage], liveness: None, recipe: None })
    }
}

struct Request {
    probe: HttpProbe,
    timeout: Option<Duration>,
}

/// The words of a shell text that a shell would not change, with `|| exit 1` and redirections to nowhere gone.
fn plain_words(text: &str) -> Option<Vec<String>> {
    let text = without_tail(text.trim());
    let mut quote = None;
    for letter in text.chars() {
        let means_more = match quote {
            Some('\'') => "",
            Some(_) => "$`\\",
            None => "$`\\;&|<>(){}*[]~#!\n",
        };
        if means_more.contains(letter) {
            return None;
        }
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (Some(_) | None, _) => {}
        }
    }
    shlex::split(text)
}

/// Takes off what changes neither the request nor whether it fails.
fn without_tail(mut text: &str) -> &str {
    loop {
        let shorter = ["1", "2", "&", ""]
            .iter()
            .flat_map(|stream| [format!("{stream}>/dev/null"), format!("{stream}> /dev/null")])
            .chain(["2>&1".to_owned()])
            .find_map(|tail| text.strip_suffix(tail.as_str()))
            .or_else(|| without_exit(text));
        match shorter {
            // `http://a/2>/dev/null` ends in `2`, which belongs to the address unless a space stands before it.
            Some(shorter) if shorter.ends_with(char::is_whitespace) => text = shorter.trim_end(),
            Some(_) | None => return text,
        }
    }
}

/// Takes off `|| exit 1`, `|| false`: they fail where the command fails.
fn without_exit(text: &str) -> Option<&str> {
    let (before, after) = text.rsplit_once("||")?;
    let fails = match after.trim().split_once(char::is_whitespace) {
        Some(("exit", code)) => code.trim().parse::<u8>().is_ok_and(|code| code > 0),
        Some(_) => false,
        None => after.trim() == "false",
    };
    // A space keeps the caller's rule; `a||exit 1` is as good as `a || exit 1`.
    fails.then_some(&text[..before.len()]).filter(|t| t.ends_with(char::is_whitespace))
}

fn recognise(words: &[String]) -> Option<Request> {
    let (program, arguments) = words.split_first()?;
    match program.rsplit('/').next()? {
        "curl" => Curl::default().read(arguments),
        "wget" => Wget::default().read(arguments),
        _ => None,
    }
}

/// What the options of a `curl` command say so far.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the tool has that many switches")]
struct Curl {
    fail: bool,
    head: bool,
    insecure: bool,
    follow: bool,
    method: Option<String>,
    headers: Vec<(String, String)>,
    timeout: Option<Duration>,
    url: Option<String>,
}

impl Curl {
    fn read(mut self, arguments: &[String]) -> Option<Request> {
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                match name {
                    "fail" | "fail-with-body" => self.fail = true,
                    "silent" | "show-error" | "no-progress-meter" | "include" | "no-buffer" => {}
                    "head" => self.head = true,
                    "insecure" => self.insecure = true,
                    "location" => self.follow = true,
                    "output" => self.value('o', value.or_else(|| rest.next())?)?,
                    "request" => self.value('X', value.or_else(|| rest.next())?)?,
                    "header" => self.value('H', value.or_else(|| rest.next())?)?,
                    "max-time" => self.value('m', value.or_else(|| rest.next())?)?,
                    "connect-timeout" => seconds(value.or_else(|| rest.next())?).map(drop)?,
                    "url" => self.url(value.or_else(|| rest.next())?)?,
                    _ => return None,
                }
            } else if let Some(short) = argument.strip_prefix('-') {
                self.short(short, &mut rest)?;
            } else {
                self.url(argument)?;
            }
        }
        let probe = request(self.url.as_deref()?, self.insecure)?;
        // Without --fail every answer is a success; with it all below 400 are. Followed redirects are the
        // command's own business.
        let status = match (self.fail, self.follow) {
            (true, false) => vec![(100, 399)],
            (true, true) => vec![(100, 299), (304, 304)],
            (false, false) => vec![(100, 999)],
            (false, true) => vec![(100, 299), (304, 304), (400, 999)],
        };
        let method = self.method.unwrap_or_else(|| if self.head { "HEAD" } else { "GET" }.to_owned());
        let probe = HttpProbe { status, method, headers: self.headers, ..probe };
        Some(Request { probe, timeout: self.timeout })
    }

    /// Letters behind one dash; the last may take a value.
    fn short<'a>(&mut self, letters: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Option<()> {
        for (at, letter) in letters.char_indices() {
            match letter {
                'f' => self.fail = true,
                's' | 'S' | 'i' | 'N' => {}
                'I' => self.head = true,
                'k' => self.insecure = true,
                'L' => self.follow = true,
                'o' | 'X' | 'H' | 'm' => {
                    let attached = &letters[at + 1..];
                    let value = if attached.is_empty() { rest.next()? } else { attached };
                    return self.value(letter, value);
                }
                _ => return None,
            }
        }
        (!letters.is_empty()).then_some(())
    }

    fn value(&mut self, option: char, value: &str) -> Option<()> {
        match option {
            'o' => (value == "/dev/null").then_some(()),
            'X' => {
                // curl waits for the body that an answer to HEAD does not have.
                self.method = Some(value.to_owned());
                (value != "HEAD" && value.chars().all(|c| c.is_ascii_uppercase())).then_some(())
            }
            'H' => {
                self.headers.push(header(value)?);
                Some(())
            }
            'm' => {
                self.timeout = Some(seconds(value)?);
                Some(())
            }
            _ => None,
        }
    }

    fn url(&mut self, url: &str) -> Option<()> {
        self.url.replace(url.to_owned()).is_none().then_some(())
    }
}

/// What the options of a `wget` command say so far.
#[derive(Default)]
struct Wget {
    nowhere: bool,
    insecure: bool,
    headers: Vec<(String, String)>,
    timeout: Option<Duration>,
    url: Option<String>,
}

impl Wget {
    fn read(mut self, arguments: &[String]) -> Option<Request> {
        let mut rest = arguments.iter().map(String::as_str);
        while let Some(argument) = rest.next() {
            if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v)));
                match name {
                    "quiet" | "no-verbose" | "server-response" => {}
                    "spider" => self.nowhere = true,
                    "no-check-certificate" => self.insecure = true,
                    "output-document" => self.value('O', value.or_else(|| rest.next())?)?,
                    "header" => self.headers.push(header(value.or_else(|| rest.next())?)?),
                    "timeout" => self.value('T', value.or_else(|| rest.next())?)?,
                    "tries" => self.value('t', value.or_else(|| rest.next())?)?,
                    _ => return None,
                }
            } else if argument == "-nv" {
            } else if let Some(short) = argument.strip_prefix('-') {
                self.short(short, &mut rest)?;
            } else if self.url.replace(argument.to_owned()).is_some() {
                return None;
            }
        }
        // Without -O or --spider it writes a file, which may fail on its own.
        let probe = request(self.url.as_deref()?, self.insecure).filter(|_| self.nowhere)?;
        // GET also for --spider: BusyBox has long sent it, and GNU wget tries it where HEAD is refused.
        let probe = HttpProbe { status: vec![(200, 299)], headers: self.headers, ..probe };
        Some(Request { probe, timeout: self.timeout })
    }

    fn short<'a>(&mut self, letters: &'a str, rest: &mut impl Iterator<Item = &'a str>) -> Option<()> {
        for (at, letter) in letters.char_indices() {
            match letter {
                'q' | 'S' => {}
                'O' | 'T' | 't' => {
                    let attached = &letters[at + 1..];
                    let value = if attached.is_empty() { rest.next()? } else { attached };
                    return self.value(letter, value);
                }
                _ => return None,
            }
        }
        (!letters.is_empty()).then_some(())
    }

    fn value(&mut self, option: char, value: &str) -> Option<()> {
        match option {
            'O' => {
                self.nowhere = true;
                (value == "-" || value == "/dev/null").then_some(())
            }
            'T' => {
                self.timeout = Some(seconds(value)?);
                Some(())
            }
            // How often it tries is ours to decide.
            't' => value.parse::<u32>().ok().map(drop),
            _ => None,
        }
    }
}

/// The request for a URL on the container's own loopback; any other name only the container can resolve.
fn request(url: &str, insecure: bool) -> Option<HttpProbe> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let default_port = match scheme {
        "http" => 80,
        // Both tools check certificates unless told otherwise; our probe does not.
        "https" if insecure => 443,
        _ => return None,
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|p| *p > 0)?),
        Some(_) | None => (authority, default_port),
    };
    if !matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "[::1]") {
        return None;
    }
    let path = path.split('#').next().unwrap_or("/");
    Some(HttpProbe {
        scheme: scheme.to_owned(),
        host: Some(host.to_owned()),
        port,
        path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: None,
        status: Vec::new(),
        body_contains: None,
        json: Vec::new(),
        command: None,
    })
}

fn header(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> TestCommand {
        TestCommand::of(&["CMD-SHELL".to_owned(), text.to_owned()]).unwrap()
    }

    fn http(text: &str) -> Option<HttpProbe> {
        match shell(text).probe {
            ProbeSpec::Http(probe) => Some(probe),
            _ => None,
        }
    }

    #[test]
    fn plain_commands_are_the_request_that_they_make() {
        for (text, expected) in [
            ("curl -f http://localhost:8200/health", "GET localhost:8200/health 100-399"),
            ("curl -f http://localhost:8200/health || exit 1", "GET localhost:8200/health 100-399"),
            ("curl --fail --silent http://127.0.0.1/a?b=1 || false", "GET 127.0.0.1:80/a?b=1 100-399"),
            ("curl -fsS -o /dev/null localhost:3000", "GET localhost:3000/ 100-399"),
            ("curl -sfo /dev/null 'http://localhost:3000/x'", "GET localhost:3000/x 100-399"),
            ("curl http://localhost:1/", "GET localhost:1/ 100-999"),
            ("curl -fI 'http://[::1]:8080/'", "HEAD [::1]:8080/ 100-399"),
            ("curl -f -XPOST http://localhost:1/ >/dev/null 2>&1", "POST localhost:1/ 100-399"),
            ("curl -fsSL http://localhost:1/", "GET localhost:1/ 100-299 304-304"),
            ("curl -fk https://localhost/", "GET localhost:443/ 100-399"),
            ("/usr/bin/wget -qO- http://localhost:80/ > /dev/null || exit 1", "GET localhost:80/ 200-299"),
            ("wget --no-verbose --tries=1 --spider http://localhost/ || exit 1", "GET localhost:80/ 200-299"),
            ("wget -q -T 3 -O /dev/null http://localhost:9/p", "GET localhost:9/p 200-299"),
        ] {
            let probe = http(text).unwrap_or_else(|| panic!("{text}"));
            let status: String =
                probe.status.iter().fold(String::new(), |all, (a, b)| format!("{all} {a}-{b}"));
            let HttpProbe { method, host, port, path, .. } = &probe;
            assert_eq!(
                format!("{method} {}:{port}{path}{status}", host.as_deref().unwrap()),
                expected,
                "{text}"
            );
            assert_eq!(
                probe.command.unwrap(),
                ["/bin/sh", "-c", text],
                "kept for where it must run after all"
            );
        }
    }

    #[test]
    fn headers_and_time_limits_are_read() {
        let test = shell(r#"curl -f -m 2.5 -H "X-A: b" http://localhost/"#);
        assert_eq!(test.timeout, Some(Duration::from_millis(2500)));
        let ProbeSpec::Http(probe) = test.probe else { panic!("{test:?}") };
        assert_eq!(probe.headers, [("X-A".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn what_is_not_certain_stays_a_command() {
        for text in [
            "pg_isready -U postgres",
            "curl -f http://localhost:$PORT/",
            "curl -f http://localhost/ | grep ok",
            "curl -f http://localhost/ && touch /ok",
            "curl -f http://localhost/ || exit 0",
            "curl -f http://localhost/ || echo down",
            "curl -f http://web:80/",
            "curl -f https://localhost/",
            "curl -f http://localhost/ http://localhost/2",
            "curl -f -d '{}' http://localhost/",
            "curl -f -o /tmp/x http://localhost/",
            "curl -f -X HEAD http://localhost/",
            "curl -f -u me:pass http://localhost/",
            "curl -f",
            "wget http://localhost/",
            "wget -q -O /tmp/x http://localhost/",
            "curl -f `echo http://localhost/`",
            r#"curl -f "http://localhost/$x""#,
        ] {
            assert_eq!(
                shell(text).probe,
                ProbeSpec::Exec { command: ["/bin/sh", "-c", text].map(str::to_owned).to_vec() },
                "{text}"
            );
        }
    }

    #[test]
    fn the_exec_form_is_read_word_by_word() {
        let of = |words: &[&str]| TestCommand::of(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        let test = of(&["CMD", "curl", "-f", "http://localhost:80/a b"]).unwrap();
        assert!(matches!(test.probe, ProbeSpec::Http(HttpProbe { ref path, .. }) if path == "/a b"));
        let test = of(&["CMD", "redis-cli", "ping"]).unwrap();
        assert_eq!(test.probe, ProbeSpec::Exec { command: vec!["redis-cli".to_owned(), "ping".to_owned()] });
        assert_eq!(of(&["NONE"]), None);
        assert_eq!(of(&["CMD"]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_healthcheck_becomes_one_stage_with_dockers_defaults() {
        let test = ["CMD-SHELL".to_owned(), "true".to_owned()];
        let spec = HealthSpec::of_healthcheck(&test, None).unwrap();
        let check = &spec.stages[0].checks[0];
        assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.failure_threshold), (30, 30, 3));
        let times = Healthcheck {
            interval: Some(Duration::from_secs(5).into()),
            timeout: Some(SignedDuration(-1)),
            retries: Some(9),
            start_period: Some(Duration::from_mins(1).into()),
            ..Healthcheck::default()
        };
        let spec = HealthSpec::of_healthcheck(&test, Some(&times)).unwrap();
        let check = &spec.stages[0].checks[0];
        assert_eq!((check.interval.as_secs(), check.timeout.as_secs(), check.failure_threshold), (5, 30, 9));
        assert_eq!(check.start_period, Duration::from_mins(1));
    }
}

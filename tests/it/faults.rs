//! Every request of a run fails once, stalls once and is cut off once: what is left is what the run says.
//!
//! One harm for each run, for each request of a run without harm. What changes something is failed, stalled and cut,
//! what only asks is harmed in one of these ways; `DOCKER_ORCH_FAULTS=all` does everything to every request.

#![expect(clippy::print_stdout, reason = "what a test did is part of its record")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{
    proxy::{Harm, Proxy, Request},
    stack::{Ran, Running, Stack},
};

/// Two networks, a volume, gates, a secret that is written into its container, a hook.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432
    volumes: [data:/data]
    secrets: [token]
    networks: {back: {aliases: [store]}}
    x-orch: {health_check: {tcp: 5432}}
    stop_grace_period: 2s
  api:
    image: docker-orch-example
    environment: {VERSION: '1'}
    depends_on: {db: {condition: service_healthy}}
    networks: [back, front]
    stop_grace_period: 2s
    post_start: [{command: [echo]}]
  web:
    image: docker-orch-example
    command: --port 80
    environment: {VERSION: '1'}
    depends_on: {api: {condition: service_started}}
    networks: [front]
    stop_grace_period: 2s
    x-orch: {health_check: {tcp: 80}}
volumes: {data: {}}
networks: {back: {}, front: {}}
secrets: {token: {environment: TOKEN}}
";

/// Of a call to the engine: far more than it takes, far less than anybody waits.
const LIMIT: &str = "3s";
/// At a time: the engine has addresses for some thirty networks.
const AT_ONCE: usize = 4;

/// The same with new containers for `api` and `web`, of which `web` exits at once.
fn failing() -> String {
    YAML.replace("VERSION: '1'", "VERSION: '2'").replace("--port 80", "--exit-after 1ms --exit-code 7")
}

/// The engine's own socket; `None`, with the reason, where these tests say nothing.
fn socket() -> Option<PathBuf> {
    let socket = match std::env::var("DOCKER_HOST") {
        Ok(host) => host.strip_prefix("unix://").map(PathBuf::from),
        Err(_) => Some("/var/run/docker.sock".into()),
    };
    if socket.is_none() {
        println!("not tried: the engine has no socket to stand in front of");
    }
    let asked = Command::new("docker").args(["version", "--format", "{{.Server.APIVersion}}"]).output();
    let version = String::from_utf8(asked.expect("docker").stdout).expect("text");
    let minor = version.trim().strip_prefix("1.").and_then(|minor| minor.parse::<u32>().ok());
    // A create that is asked for again there gives a second network of the same name, which no later request can name.
    if minor.is_none_or(|minor| minor < 44) {
        println!(
            "not tried: before API 1.44 the engine makes two networks of one name; this one speaks {version}"
        );
        return None;
    }
    socket
}

/// A project whose commands go through a proxy.
struct Harmed {
    stack: Stack,
    proxy: Proxy,
}

impl Harmed {
    fn new(test: &str, socket: PathBuf) -> Self {
        Self { stack: Stack::new(test, YAML), proxy: Proxy::new(socket) }
    }

    fn run(&self, words: &str, harm: Option<(Request, Harm)>) -> Ran {
        self.proxy.arm(harm);
        let mut command = self.stack.orch(words);
        command.env("DOCKER_HOST", self.proxy.host()).env("DOCKER_ORCH_ENGINE_TIMEOUT", LIMIT);
        command.env("TOKEN", "s3cr3t");
        Running::spawn(command).end()
    }

    /// Without harm and without the proxy.
    fn plainly(&self, words: &str) -> Ran {
        let mut command = self.stack.orch(words);
        command.env("TOKEN", "s3cr3t");
        Running::spawn(command).end()
    }
}

/// What is done to each of these requests.
fn harms(requests: &[Request]) -> Vec<(Request, Harm)> {
    let all = std::env::var("DOCKER_ORCH_FAULTS").is_ok_and(|v| v == "all");
    let fail = [Harm::Fail, Harm::DoAndFail];
    let stall = [Harm::DoAndStall, Harm::Stall];
    let cut = [Harm::Cut, Harm::DoAndCut, Harm::CutAnswer];
    let chosen = |n: usize, request: &Request| {
        let three = [fail[n % 2], stall[n % 2], cut[n % 3]];
        match (all, request.shape.starts_with("GET")) {
            (true, _) => Harm::ALL.to_vec(),
            (false, true) => vec![three[n % 3]],
            (false, false) => three.to_vec(),
        }
    };
    let each = requests.iter().enumerate();
    each.flat_map(|(n, request)| chosen(n, request).into_iter().map(|harm| (request.clone(), harm))).collect()
}

/// Does each harm in a run of its own, some at a time. `each` gets a project of its worker's own, ready for a run,
/// and says what is wrong after it; all of that fails the test together.
fn with_each(
    test: &str,
    requests: &[Request],
    ready: impl Fn(&Harmed) + Sync,
    each: impl Fn(&Harmed, (Request, Harm)) -> Result<(), String> + Sync,
) {
    let harms = harms(requests);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (harms, next, done, wrong, ready, each) = (&harms, &next, &done, &wrong, &ready, &each);
            scope.spawn(move || {
                let project = Harmed::new(&format!("{test}{worker}"), socket().unwrap());
                ready(&project);
                while let Some((request, harm)) = harms.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = each(&project, (request.clone(), *harm)) {
                        let what = format!("{harm:?} at {} ({}):\n{why}", request.shape, request.nth);
                        wrong.lock().unwrap().push(what);
                        project.plainly("down");
                        ready(&project);
                    }
                    done.fetch_add(usize::from(project.proxy.requests().1), Ordering::Relaxed);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let done = done.into_inner();
    println!("{done} of {} harms done", harms.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), harms.len(), wrong.join("\n\n"));
    // Which container is inspected how often depends on who is faster.
    assert!(done * 10 >= harms.len() * 8, "only {done} of {} were done", harms.len());
}

/// Its code is one of `codes`, and it says what happened.
fn ended(ran: &Ran, codes: &[i32]) -> Result<(), String> {
    let said = [
        "exited with code 7",
        "does it harm",
        "connection to the engine",
        "no answer",
        "cannot reach",
        "still runs",
    ];
    if !codes.contains(&ran.exit_code()) {
        return Err(format!("it ended with {}:\n{}", ran.exit_code(), ran.err));
    }
    if ran.exit_code() != 0 && !said.iter().any(|words| ran.err.contains(words)) {
        return Err(format!("it does not say what happened:\n{}", ran.err));
    }
    if ran.err.contains("panicked") || ran.err.contains("internal error") {
        return Err(ran.err.clone());
    }
    Ok(())
}

/// Nothing is left but the volume, which may be there.
fn gone(stack: &Stack, ran: &Ran) -> Result<(), String> {
    let (containers, networks) = (stack.short_names(), stack.networks());
    if containers.is_empty() && networks.is_empty() {
        return Ok(());
    }
    Err(format!("left: {containers:?} {networks:?}\n{}", ran.err))
}

/// Name, ID and aliases of everything that is there, and whether it runs.
fn whole(stack: &Stack) -> BTreeMap<String, String> {
    let containers = stack.containers().into_iter();
    let each = containers.map(|c| {
        let of = |network: &str| c.aliases(&format!("{}_{network}", stack.name));
        let text = format!("{} running={} {:?} {:?}", c.id, c.running, of("back"), of("front"));
        (c.name, text)
    });
    each.collect()
}

#[test]
fn no_request_of_a_first_up_that_fails_leaves_anything() {
    let Some(socket) = socket() else { return };
    let first = Harmed::new("faultup", socket);
    first.stack.write("compose.yaml", &failing());
    let ran = first.run("up -d", None).code(1).says(&["exited with code 7", "rolled back"]);
    gone(&first.stack, &ran).unwrap();
    let (requests, _) = first.proxy.requests();
    println!("{} requests:\n{requests:#?}", requests.len());
    with_each(
        "faultup",
        &requests,
        |project| project.stack.write("compose.yaml", &failing()),
        |project, harm| {
            let ran = project.run("up -d", Some(harm));
            ended(&ran, &[1, 3, 4])?;
            gone(&project.stack, &ran)
        },
    );
}

#[test]
fn no_request_of_an_update_that_fails_changes_anything() {
    let Some(socket) = socket() else { return };
    let ready = |project: &Harmed| {
        project.stack.write("compose.yaml", YAML);
        drop(project.plainly("up -d").code(0));
        project.stack.write("compose.yaml", &failing());
    };
    let first = Harmed::new("faultupdate", socket);
    ready(&first);
    let before = whole(&first.stack);
    drop(first.run("up -d", None).code(1).says(&["exited with code 7", "rolled back"]));
    assert_eq!(whole(&first.stack), before);
    let (requests, _) = first.proxy.requests();
    println!("{} requests", requests.len());
    with_each("faultupdate", &requests, ready, |project, harm| {
        let before = whole(&project.stack);
        let ran = project.run("up -d", Some(harm));
        ended(&ran, &[1, 3, 4])?;
        let after = whole(&project.stack);
        if after == before { Ok(()) } else { Err(format!("{before:#?}\nis now {after:#?}\n{}", ran.err)) }
    });
}

#[test]
fn no_request_of_a_down_leaves_anything() {
    let Some(socket) = socket() else { return };
    let first = Harmed::new("faultdown", socket);
    drop(first.plainly("up -d").code(0));
    let ran = first.run("down", None).code(0);
    gone(&first.stack, &ran).unwrap();
    let (requests, _) = first.proxy.requests();
    println!("{} requests", requests.len());
    with_each(
        "faultdown",
        &requests,
        |_| (),
        |project, harm| {
            drop(project.plainly("up -d").code(0));
            let ran = project.run("down", Some(harm));
            ended(&ran, &[0, 3, 4])?;
            if ran.exit_code() == 0 {
                return gone(&project.stack, &ran);
            }
            // It could not even look: nothing was changed, and the next one does it.
            let ran = project.plainly("down");
            gone(&project.stack, &ran)
        },
    );
}

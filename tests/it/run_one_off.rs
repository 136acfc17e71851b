//! `run`: one-off containers, from what they need to their exit code.

use std::{io::Write as _, process::Stdio};

use crate::support::{
    docker::has_compose,
    pty::Pty,
    stack::{Running, Stack},
};

/// A service that is ready after a stage, and one that needs it.
const YAML: &str = "
services:
  db:
    image: docker-orch-example
    command: --tcp 5432 --ready-after 300ms --port 80
    x-orch: {health_check: {type: staged, stages: [{name: up, tcp: 5432}, {name: loaded, http: ':80/ready'}]}}
  job:
    image: docker-orch-example
    command: --oneshot --log 'its own command'
    restart: always
    ports: ['127.0.0.1::80']
    depends_on: {db: {condition: service_healthy}}
  hidden: {image: docker-orch-example, command: --oneshot, profiles: [extra], scale: 0}
";

#[test]
fn the_exit_code_is_the_containers_and_what_it_needs_is_ready_before_and_stays() {
    let stack = Stack::new("runcode", YAML);
    let ran = stack.run("run job exit 7").code(7);
    assert!(ran.err.contains("db-1     ready"), "{}", ran.err);
    let (db, job) = (stack.container("db"), stack.container("job"));
    assert!(db.running && !job.running);
    assert!(job.started > db.started);
    let label = |name: &str| job.raw["Config"]["Labels"][format!("com.docker.compose.{name}")].clone();
    assert_eq!((label("oneoff"), label("container-number")), ("True".into(), serde_json::Value::Null));
    let slug = label("slug").as_str().unwrap().to_owned();
    assert_eq!((slug.len(), &job.name), (64, &format!("{}-job-run-{}", stack.name, &slug[..12])));
    // Older engines leave empty what was not asked for.
    let restart = job.raw["HostConfig"]["RestartPolicy"]["Name"].as_str().unwrap();
    assert!(["", "no"].contains(&restart), "{restart}");
    assert_eq!(job.raw["HostConfig"]["PortBindings"], serde_json::json!({}));
    // Again: the service stays as it is, `up` leaves the ended one, `down` does not.
    stack.run("run -q --rm job true").code(0);
    assert_eq!(stack.container("db").started, db.started);
    assert_eq!(stack.container("job").id, job.id);
    stack.run("up -d db").code(0);
    assert_eq!(stack.container("job").id, job.id);
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn an_ended_one_is_an_orphan_and_one_that_runs_is_not() {
    let stack = Stack::new("runorphan", YAML);
    let ran = stack.run("run -d --no-deps --name orch-runorphan-on job --tcp 1").code(0);
    assert_eq!(ran.out.trim(), stack.container("job").id);
    stack.run("run --no-deps job true").code(0);
    assert_eq!(stack.containers().len(), 2, "db was started");
    stack.run("up -d --remove-orphans db").code(0);
    let names: Vec<String> = stack.containers().into_iter().map(|c| c.name).collect();
    assert_eq!(names, [format!("{}-db-1", stack.name), "orch-runorphan-on".to_owned()]);
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn input_reaches_it_to_its_end_and_its_streams_stay_apart() {
    let stack = Stack::new("runinput", YAML);
    let mut command = stack.orch("run -q --rm -T --no-deps job sh -c");
    command.arg("cat /dev/stdin && cat /nowhere").stdin(Stdio::piped());
    let mut run = Running::spawn(command);
    let mut input = run.input();
    input.write_all(b"one\ntwo").unwrap();
    drop(input);
    let ran = run.end().code(1);
    assert_eq!((ran.out.as_str(), ran.err.contains("/nowhere")), ("one\ntwo\n", true), "{}", ran.err);
    assert!(stack.containers().is_empty());
}

#[test]
fn all_that_it_writes_comes_through() {
    let stack = Stack::new("runmuch", YAML);
    let text = (0..20_000).map(|n| format!("line {n} of what it writes\n")).collect::<Vec<_>>().concat();
    stack.write("much.txt", &text);
    let volume = format!("{}/much.txt:/much.txt:ro", stack.folder().display());
    let mut command = stack.orch("run -q --rm -T --no-deps -v");
    command.arg(volume).args(["job", "cat", "/much.txt"]);
    let ran = Running::spawn(command).end().code(0);
    assert!(ran.out == text, "{} of {} bytes", ran.out.len(), text.len());
}

#[test]
fn a_failed_dependency_is_told_and_undone_and_nothing_is_run() {
    let yaml = YAML.replace("--ready-after 300ms", "--ready-after never --exit-after 100ms --exit-code 3");
    let stack = Stack::new("runfailed", &yaml);
    let ran = stack.run("run job true").code(1);
    assert!(ran.err.contains("exited with code 3"), "{}", ran.err);
    stack.is_gone_but(&[]);
}

#[test]
fn a_program_that_is_not_there_ends_with_127_and_what_was_started_for_it_stays() {
    let stack = Stack::new("runrefused", YAML);
    for flags in ["--rm", ""] {
        let ran = stack.run(&format!("run {flags} --entrypoint /nowhere job")).code(127);
        assert_eq!(ran.err.matches("no such file or directory").count(), 1, "{}", ran.err);
        assert_eq!(stack.running_ids().len(), 1, "{}", ran.err);
    }
    stack.run("run --entrypoint /tmp job").code(126);
    stack.run("run nosuch").code(2);
    assert_eq!(stack.running_ids().len(), 1);
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn signals_are_its_own_and_the_third_kills() {
    let stack = Stack::new("runsignal", YAML);
    for (signal, words) in [("INT", "stopping on signal 2"), ("TERM", "stopping on signal 15")] {
        let mut run = stack.spawn("run -q --rm -T --no-deps job --tcp 1 --log up --term-code 9");
        run.until("up");
        run.signal(signal);
        let ran = run.end().code(9);
        assert!(ran.out.contains(words), "{}", ran.out);
        assert!(stack.containers().is_empty());
    }
    let mut run = stack.spawn("run -q --rm -T --no-deps job --tcp 1 --log up --ignore-term");
    run.until("up");
    for _ in 0..2 {
        run.signal("INT");
        run.until("ignoring signal");
    }
    run.signal("INT");
    run.end().code(137);
    assert!(stack.containers().is_empty());
}

#[test]
fn one_that_nobody_reads_is_stopped_and_not_killed() {
    let stack = Stack::new("rununread", YAML);
    let flags =
        "run -q -T --no-deps --name orch-rununread job --port 80 --log-every 50ms --log up --term-code 9";
    let mut command = stack.orch(flags);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = command.spawn().unwrap();
    drop(run.stdout.take());
    assert_eq!(run.wait().unwrap().code(), Some(9));
    assert!(!stack.container("job").running);
}

#[test]
fn interrupted_before_it_runs_what_was_started_for_it_goes() {
    let stack = Stack::new("runearly", &YAML.replace("--ready-after 300ms", "--ready-after never"));
    let mut run = stack.spawn("run job true");
    run.until("db-1     probing");
    run.signal("INT");
    run.end().code(130);
    stack.is_gone_but(&[]);
}

#[test]
fn what_a_killed_run_leaves_goes_with_the_next_down() {
    let stack = Stack::new("runkill", YAML);
    let mut run = stack.spawn("run -q --rm -T job --tcp 1 --log up");
    run.until("up");
    run.kill();
    assert_eq!(stack.running().len(), 2);
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn a_service_that_no_profile_brings_runs_by_name_and_goes_with_down() {
    let stack = Stack::new("runhidden", YAML);
    stack.run("run -T hidden exit 4").code(4);
    assert_eq!(stack.containers().len(), 1);
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn compose_makes_the_same_container() {
    if !has_compose() {
        return;
    }
    let yaml = YAML.replace("service_healthy", "service_started").replace(
        "    restart: always\n",
        "    restart: always\n    links: ['db:base']\n    environment: {A: '1', B: '2'}\n",
    );
    let stack = Stack::new("runinspect", &yaml);
    stack.run("up -d db").code(0);
    let flags =
        "-e A=9 -e C=3 -l k=v -u 1000 -w /tmp --cap-add net_admin --cap-drop chown -v data:/n -v /anon";
    for words in [
        "job".to_owned(),
        "--no-deps job true".to_owned(),
        "--rm -P --use-aliases job --tcp 1".to_owned(),
        format!("-p 127.0.0.1::81 {flags} --entrypoint sh job"),
    ] {
        let run = format!("run -d -T --name {0}-one {words}", stack.name);
        stack.run(&run).code(0);
        let name = format!("{}-one", stack.name);
        let ours = stack.take_one_off(&name);
        let mut compose = stack.hermetic("docker");
        compose.args(["compose", "-p", &stack.name, "-f", "compose.yaml"]).args(run.split_whitespace());
        Running::spawn(compose).end().code(0);
        let theirs = stack.take_one_off(&name);
        assert_eq!(ours, theirs, "{words}");
    }
    stack.docker(&["volume", "rm", "data"]);
}

#[test]
fn a_terminal_is_raw_while_it_runs_and_as_before_afterwards() {
    let stack = Stack::new("runpty", YAML);
    let mut pty = Pty::new(40, 120);
    let mut run = pty.spawn(stack.orch("run -q --rm --no-deps job sh -c").arg("cat /dev/stdin; exit 6"));
    run.until_raw();
    let id = stack.container("job").id;
    assert_eq!(stack.container("job").raw["Config"]["Tty"], true);
    // What is typed is repeated by the container's terminal; its line ends are not touched on the way.
    run.type_in("hello\r");
    run.until("hello\r\n");
    run.resize(33, 99);
    let size = |rows: u32, columns: u32| format!("{columns}x{rows}");
    stack.until_event(&id, "resize", &[&size(40, 120), &size(33, 99)]);
    run.type_in("\x04");
    run.until("hello\r\nhello\r\n");
    assert_eq!(run.end(), Some(6));
    assert!(!pty.is_raw());
    assert!(stack.containers().is_empty());
}

#[test]
fn the_detach_keys_leave_it_running() {
    let stack = Stack::new("rundetach", YAML);
    for (config, keys) in [("{}", "\x10\x11"), (r#"{"detachKeys": "ctrl-x,d"}"#, "\x18d")] {
        // A terminal of its own: who reads the other one would read this one's words too.
        let mut pty = Pty::new(24, 80);
        stack.write("docker/config.json", config);
        let mut command = stack.orch("run -q --rm --no-deps job --tcp 1 --log up");
        command.env("DOCKER_CONFIG", stack.folder().join("docker"));
        let mut run = pty.spawn(&mut command);
        run.until_raw();
        run.type_in(keys);
        run.until("detached");
        assert_eq!(run.end(), Some(0));
        assert!(!pty.is_raw());
        assert_eq!(stack.running().len(), 1);
        stack.run("down -t 1").code(0);
        stack.is_gone_but(&[]);
    }
}

#[test]
fn a_terminal_is_put_back_when_a_signal_ends_the_run() {
    let stack = Stack::new("runptykill", YAML);
    let mut pty = Pty::new(24, 80);
    let mut run = pty.spawn(&mut stack.orch("run -q --rm --no-deps job --tcp 1 --log up --term-code 5"));
    run.until_raw();
    run.until("up");
    run.signal("TERM");
    assert_eq!(run.end(), Some(5));
    assert!(!pty.is_raw());
    assert!(stack.containers().is_empty());
}

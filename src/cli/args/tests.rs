use clap::CommandFactory as _;
use insta::assert_snapshot;

use super::*;

fn parse(line: &str) -> Result<Root, clap::Error> {
    Root::try_parse_from(std::iter::once("docker-orch").chain(line.split(' ').filter(|w| !w.is_empty())))
}

fn flags(line: &str) -> ProjectFlags {
    let root = parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    root.command.unwrap().project_flags(root.project)
}

fn up(line: &str) -> UpArgs {
    match parse(line).unwrap_or_else(|e| panic!("{line}: {e}")).command {
        Some(Command::Up(args)) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Root::command().debug_assert();
}

#[test]
fn project_flags_are_taken_on_both_sides_of_the_command() {
    for line in [
        "-f a.yaml -f b.yaml -p shop --profile x up",
        "up -f a.yaml -f b.yaml -p shop --profile x",
        "-f a.yaml up web -f b.yaml -p shop --profile x",
    ] {
        let flags = flags(line);
        assert_eq!(flags.files, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")], "{line}");
        assert_eq!(flags.project_name.as_deref(), Some("shop"), "{line}");
        assert_eq!(flags.profiles, ["x"], "{line}");
    }
    assert_eq!(flags("-p a up -p b").project_name.as_deref(), Some("b"));
    assert!(flags("up --dry-run").dry_run);
    assert_eq!(flags("--parallel -1 up").parallel, Some(-1));
}

#[test]
fn bench_takes_files_with_and_without_f() {
    let paths = ["a.yaml", "b.yaml", "c.yaml"].map(PathBuf::from);
    assert_eq!(flags("-f a.yaml bench -f b.yaml c.yaml -n 1").files, paths);
    assert!(flags("bench").files.is_empty());
    let Some(Command::Bench(args)) = parse("bench --only orch,compose -t 3").unwrap().command else {
        panic!()
    };
    assert_eq!((args.runs, args.only), (3, vec![Way::Orch, Way::Compose]));
    for wrong in ["bench -n 0", "bench --only all"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_follows_the_service_of_a_run_is_its_command() {
    let run = |line: &str| match parse(line).unwrap_or_else(|e| panic!("{line}: {e}")).command {
        Some(Command::Run(args)) => *args,
        other => panic!("{other:?}"),
    };
    let args = run("run --rm -itp 80 -e A=1 web -it --rm -- sh --help");
    assert_eq!(args.words, ["web", "-it", "--rm", "--", "sh", "--help"]);
    assert_eq!((args.rm, args.interactive, args.tty, args.no_tty), (true, Some(true), Some(true), None));
    assert_eq!((args.publish, args.env), (vec!["80".to_owned()], vec!["A=1".to_owned()]));
    let args = run("run -T -i=false --volumes a:/b --labels x=y web");
    assert_eq!(
        (args.interactive, args.no_tty, args.volume.len(), args.label.len()),
        (Some(false), Some(true), 1, 1)
    );
    for wrong in ["run", "run -P -p 80 web", "run -t -T web"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn f_after_logs_follows() {
    let root = parse("-f a.yaml logs -f web").unwrap();
    let Some(Command::Logs(args)) = &root.command else { panic!() };
    assert!(args.follow);
    assert_eq!(args.services, ["web"]);
    assert_eq!(root.project.files, [PathBuf::from("a.yaml")]);
}

#[test]
fn docker_flags_stand_before_the_command() {
    let root = parse("--context c -D -H unix:///s --tlsverify --config /c up").unwrap();
    assert_eq!(root.docker.context.as_deref(), Some("c"));
    assert!(root.docker.debug);
    assert_eq!(root.docker.host, ["unix:///s"]);
    assert_eq!(root.docker.tlsverify, Some(true));
    assert_eq!(root.docker.config, Some(PathBuf::from("/c")));
    assert_eq!(parse("--tlsverify=false up").unwrap().docker.tlsverify, Some(false));
}

#[test]
fn timeouts_of_up_keep_composes_meaning() {
    let args = up("up -t 5 --start-timeout 1m30s --wait-timeout 20");
    assert_eq!(args.timeout, Some(StopTimeout::After(std::time::Duration::from_secs(5))));
    assert_eq!(args.start_timeout, Some(std::time::Duration::from_secs(90)));
    assert_eq!(args.wait_timeout, Some(std::time::Duration::from_secs(20)));
    assert_eq!(up("up -t -1").timeout, Some(StopTimeout::Never));
}

#[test]
fn up_takes_its_own_settings() {
    let args = up(
        "up --on-failure keep --max-parallel auto --mode graph --scale web=3 --scale db=1 --events e.jsonl",
    );
    assert_eq!(args.on_failure, Some(OnFailureArg::Keep));
    assert_eq!(args.max_parallel, Some(MaxParallel::Auto));
    assert_eq!(args.mode, Some(ModeArg::Graph));
    assert_eq!(args.scale.len(), 2);
    assert_eq!(args.events, Some(PathBuf::from("e.jsonl")));
    assert!(up("up -d").returns_when_ready());
    assert!(up("up --wait").returns_when_ready());
    assert!(!up("up").returns_when_ready());
}

#[test]
fn what_cannot_go_together_is_refused_with_code_2() {
    for line in [
        "up --build --no-build",
        "up -d --abort-on-container-exit",
        "up --wait --attach web",
        "up --no-recreate --force-recreate",
        "up --no-recreate -V",
        "up --abort-on-container-exit --abort-on-container-failure",
        "up --wait-timeout -1",
        "up --max-parallel 0",
        "up --scale web",
        "up --nonsense",
        "upp",
        "ps --filter name=x",
        "ps --filter status=gone",
        "ps -q --services",
        "config --services --volumes",
    ] {
        assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
    }
    // Compose takes it, too.
    assert!(parse("up -d --no-start").is_ok());
}

#[test]
fn listings_take_composes_flags() {
    let Some(Command::Ps(args)) = parse("ps -a --format json --filter status=exited web").unwrap().command
    else {
        panic!()
    };
    assert!(args.all && args.orphans);
    assert_eq!(args.filters, [ContainerStatus::Exited]);
    assert_eq!(args.services, ["web"]);
    let Some(Command::Ps(args)) = parse("ps --orphans=false").unwrap().command else { panic!() };
    assert!(!args.orphans);
    let Some(Command::Ps(args)) = parse("ps --services").unwrap().command else { panic!() };
    assert!(args.only_services);
}

#[test]
fn help_lists_every_command() {
    let help = Root::command().render_help().to_string();
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_snapshot!(commands.trim_end(), @"
    up          Start the project, or the named services and what they depend on
    down        Stop and remove the project's containers and networks
    stop        Stop containers and keep them
    start       Start containers that are there
    restart     Restart containers
    run         Run a command in a container of its own, with all that the service depends on
    plan        Show what `up` would do, and why
    ps          List containers
    health      Run every health check once and show what it finds
    logs        Show the logs of containers
    events      Show what happens to containers as it happens
    wait        Wait until services are ready, healthy or completed
    history     List what was done to the project, or show one run in full
    timeline    Show a run as a chart: where the time went, and what would have to be faster
    rollback    Go back to what ran before the last `up`
    serve       Stay, keep watch over what runs, and show it: a page, an HTTP API, metrics
    load        Have services loaded by the `serve` that stays, and wait until they are ready
    unload      Have services unloaded
    pin         Keep services loaded, whoever else needs room
    unpin       Let pinned services go again when others need room
    why         Show what services that are loaded on demand are doing, and why
    config      Show the project as it is understood
    doctor      Look at everything that a start needs, and say what is wrong
    gpu         List the GPUs of this machine and their memory
    bench       Compare a start one service after the other, in parallel, and with Docker Compose
    pull        Pull images
    build       Build images
    schema      Print the JSON Schema of `x-orch`
    completion  Print what a shell needs to complete commands of `docker-orch`
    version     Show the version
    help        Print this message or the help of the given subcommand(s)
    ");
}

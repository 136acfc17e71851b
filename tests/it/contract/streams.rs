//! What goes into a container, and what comes out of it.

use std::time::Duration;

use docker_orch::{
    engine::{
        AttachRequest, Attached, ContainerRequest, EngineErrorKind as Kind, TerminalSize, sim::Behaviour,
    },
    plan::OneOff,
};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::support::world::{Side, World, plain, service};

/// All that comes out of a container: standard output and standard error.
async fn written(attached: &mut Attached) -> (String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    while let Some(chunk) = attached.output.next().await {
        let chunk = chunk.unwrap();
        let to = if chunk.stderr { &mut err } else { &mut out };
        to.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    (out, err)
}

pub(crate) async fn streams_are_opened_before_the_start_and_end_with_the_container(side: Side) {
    let behaviour = Behaviour::new()
        .log(Duration::from_millis(1), "out")
        .log_error(Duration::from_millis(2), "cat: /nowhere: No such file or directory (os error 2)")
        .exits(1, Duration::from_millis(3));
    let mut job = service("job", "", behaviour);
    job.0.command = Some(vec!["sh".to_owned(), "-c".to_owned(), "echo out; cat /nowhere".to_owned()]);
    let world = World::new(side, "streams", vec![job]).await;
    let id = world.create("job").await;
    for _ in 0..2 {
        let mut attached = world.engine.attach(&id, &AttachRequest::default()).await.unwrap();
        world.engine.start(&id).await.unwrap();
        let (out, err) = written(&mut attached).await;
        let nowhere = "cat: /nowhere: No such file or directory (os error 2)\n";
        assert_eq!((out.as_str(), err.as_str()), ("out\n", nowhere));
        assert_eq!(world.ended(&id).await, 1);
    }
    let gone = world.engine.attach("no-such-container", &AttachRequest::default()).await.err().unwrap();
    assert_eq!(gone.kind, Kind::NotFound, "{gone}");
}

pub(crate) async fn what_is_written_to_a_container_reaches_it_to_its_end(side: Side) {
    let world =
        World::new(side, "input", vec![service("cat", "cat /dev/stdin", Behaviour::new().repeats_input())])
            .await;
    let oneoff = OneOff { slug: "5".repeat(64), interactive: true, ..OneOff::default() };
    let request = ContainerRequest { oneoff: Some(oneoff), ..world.request("cat") };
    let id = world.engine.create_container(&request).await.unwrap();
    let attach = AttachRequest { stdin: true, detach_keys: None };
    let mut attached = world.engine.attach(&id, &attach).await.unwrap();
    world.engine.start(&id).await.unwrap();
    attached.input.write_all(b"one\ntwo\n").await.unwrap();
    attached.input.shutdown().await.unwrap();
    assert_eq!(written(&mut attached).await.0, "one\ntwo\n");
    assert_eq!(world.ended(&id).await, 0);
}

pub(crate) async fn a_terminal_is_told_its_size(side: Side) {
    let (mut web, behaviour) = plain("web");
    web.tty = true;
    let world = World::new(side, "size", vec![(web, behaviour)]).await;
    let id = world.run("web").await;
    let small = TerminalSize { rows: 10, columns: 20 };
    world.engine.resize(&id, small).await.unwrap();
    world.engine.kill(&id, "SIGKILL").await.unwrap();
    world.ended(&id).await;
    // It needs none any more.
    world.engine.resize(&id, small).await.unwrap();
}

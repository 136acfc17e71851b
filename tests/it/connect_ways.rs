//! An engine behind TLS and behind SSH, reached as the Docker CLI reaches it: the real engine, with a front of the
//! test's own before it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use tokio_rustls::TlsAcceptor;

use crate::support::stack::{Ran, Running, Stack};

/// What goes over every kind of call: plain ones, one that is upgraded (the hook), streams (events, logs).
const YAML: &str = "
services:
  web:
    image: docker-orch-example
    command: --port 80 --log 'a line of web'
    post_start: [{command: [/bin/true]}]
    healthcheck: {test: [CMD, connect, 'localhost:80'], interval: 1s}
";

/// The socket of the engine that the tests run on; `None`, and it is said, where it has none here.
#[expect(clippy::print_stderr, reason = "a test that does not apply says so")]
fn socket() -> Option<PathBuf> {
    let asked = Command::new("docker")
        .args(["context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        .output();
    let host = String::from_utf8(asked.unwrap().stdout).unwrap();
    let path = host.trim().strip_prefix("unix://").map(PathBuf::from);
    if path.is_none() {
        eprintln!("not tried: the engine is at {host}, not behind a socket of this machine");
    }
    path
}

/// Brings the stack up and down; `prepare` says where the engine is.
fn up_and_down(stack: &Stack, prepare: &dyn Fn(&mut Command)) {
    let run = |words: &str| {
        let mut command = stack.orch(words);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        prepare(&mut command);
        Running::spawn(command).end()
    };
    run("up -d").code(0);
    assert!(stack.container("web").running);
    assert!(run("logs web").code(0).out.contains("a line of web"));
    run("down").code(0);
    stack.is_gone_but(&[]);
}

/// One call that only has to find the engine.
fn look(stack: &Stack, prepare: &dyn Fn(&mut Command)) -> Ran {
    let mut command = stack.orch("ps");
    command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    prepare(&mut command);
    Running::spawn(command).end()
}

/// Certificates made for these tests, and for nothing else.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/certificates").join(name)
}

fn read_certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(certificate(name)).unwrap()
}

/// TLS before the engine's socket, as long as the test runs; its port. `known`: clients have to show a certificate.
async fn front(socket: PathBuf, known: bool) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = RootCertStore::empty();
    authorities.add(read_certificate("ca.pem")).unwrap();
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.unwrap();
    let builder = if known {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(certificate("server.key.pem")).unwrap();
    let config = builder.with_single_cert(vec![read_certificate("server.pem")], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                // A client that does not trust us, or is not trusted, is told by TLS itself.
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut engine = UnixStream::connect(socket).await.unwrap();
                copy_bidirectional(&mut client, &mut engine).await.ok();
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_reached_without_verification() {
    let Some(socket) = socket() else { return };
    let host = format!("tcp://127.0.0.1:{}", front(socket, false).await);
    let stack = Stack::new("tls", YAML);
    up_and_down(&stack, &|command| {
        command.env("DOCKER_HOST", &host).env("DOCKER_TLS", "1");
    });
    // A context that says so.
    let meta =
        format!(r#"{{"Name":"loose","Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":true}}}}}}"#);
    let digest = format!("{:x}", Sha256::digest("loose"));
    stack.write(&format!("cli/contexts/meta/{digest}/meta.json"), &meta);
    let cli = stack.folder().join("cli");
    look(&stack, &|command| {
        command.env("DOCKER_CONFIG", &cli).env("DOCKER_CONTEXT", "loose");
    })
    .code(0);
    // Nobody has certified the engine to this client.
    stack.write("certificates/ca.pem", &fs::read_to_string(certificate("other-ca.pem")).unwrap());
    let certificates = stack.folder().join("certificates");
    look(&stack, &|command| {
        command
            .env("DOCKER_HOST", &host)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &certificates);
    })
    .code(3)
    .says(&["invalid peer certificate", &format!("is it running at {host}?")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_behind_tls_is_verified_and_shown_who_we_are() {
    let Some(socket) = socket() else { return };
    let host = format!("tcp://127.0.0.1:{}", front(socket, true).await);
    let stack = Stack::new("tlsverify", YAML);
    for (from, to) in [("ca.pem", "ca.pem"), ("client.pem", "cert.pem"), ("client.key.pem", "key.pem")] {
        stack.write(&format!("certificates/{to}"), &fs::read_to_string(certificate(from)).unwrap());
    }
    let certificates = stack.folder().join("certificates");
    up_and_down(&stack, &|command| {
        command
            .env("DOCKER_HOST", &host)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &certificates);
    });
    // Without them the engine takes nobody.
    look(&stack, &|command| {
        command.env("DOCKER_HOST", &host).env("DOCKER_TLS", "1").env("DOCKER_CERT_PATH", stack.folder());
    })
    .code(3);
}

/// An `ssh` that writes down how it is called, and then does this; the folder to put in front of the `PATH`.
fn fake_ssh(stack: &Stack, script: &str) -> String {
    stack.write("bin/ssh", &format!("#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/calls\"\n{script}\n"));
    let program = stack.folder().join("bin/ssh");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", stack.folder().join("bin").display(), std::env::var("PATH").unwrap())
}

#[test]
fn an_engine_behind_ssh_is_reached_as_the_docker_cli_does() {
    let Some(socket) = socket() else { return };
    let stack = Stack::new("ssh", YAML);
    let script = "while [ \"$1\" != -- ]; do shift; done\nshift 2\nunset DOCKER_CONTEXT\n";
    let there = format!("DOCKER_HOST=unix://{} exec \"$@\"", socket.display());
    let path = fake_ssh(&stack, &format!("{script}{there}"));
    up_and_down(&stack, &|command| {
        command.env("DOCKER_HOST", "ssh://me@far:2222").env("PATH", &path);
    });
    let calls = fs::read_to_string(stack.folder().join("bin/calls")).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    for call in &calls {
        assert!(call.ends_with("-T -l me -p 2222 -- far docker system dial-stdio"), "{call}");
    }
    // Not one for every request: over a network each takes its time.
    assert!(calls.len() < 25, "{} connections", calls.len());
}

#[test]
fn the_end_of_input_crosses_ssh() {
    let Some(socket) = socket() else { return };
    let stack = Stack::new("sshinput", YAML);
    let script = "while [ \"$1\" != -- ]; do shift; done\nshift 2\nunset DOCKER_CONTEXT\n";
    let there = format!("DOCKER_HOST=unix://{} exec \"$@\"", socket.display());
    let path = fake_ssh(&stack, &format!("{script}{there}"));
    let mut command = stack.orch("run -q -T --rm web sh -c");
    command.arg("cat /dev/stdin").env_remove("DOCKER_CONTEXT").stdin(Stdio::piped());
    command.env("DOCKER_HOST", "ssh://far").env("PATH", &path);
    let mut run = Running::spawn(command);
    let mut input = run.input();
    input.write_all(b"hello\n").unwrap();
    drop(input);
    assert_eq!(run.end().code(0).out, "hello\n");
}

#[test]
fn what_ssh_says_is_told() {
    let stack = Stack::new("nossh", YAML);
    let path = fake_ssh(&stack, "echo 'ssh: Could not resolve hostname far' >&2; exit 255");
    look(&stack, &|command| {
        command.env("DOCKER_HOST", "ssh://far").env("PATH", &path);
    })
    .code(3)
    .says(&["Could not resolve hostname far", "is it running at ssh://far?"]);
    // It may be gone before anything is sent, or after: what it says is told every time.
    for wait in ["", "read -r line; "] {
        let path = fake_ssh(&stack, &format!("{wait}echo 'Host key verification failed.' >&2; exit 255"));
        for _ in 0..5 {
            look(&stack, &|command| {
                command.env("DOCKER_HOST", "ssh://me@far").env("PATH", &path);
            })
            .code(3)
            .says(&[
                "Host key verification failed.",
                "`ssh me@far docker version` must work without questions",
            ]);
        }
    }
}

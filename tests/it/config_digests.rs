//! `config` with the digests that a registry has, asked for by the engine: the registry is a few lines of HTTP here.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::support::stack::Stack;

/// A manifest that stands for any image, and its digest.
const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const DIGEST: &str = "sha256:0de3ff5142db66fc26e560dd9a0f9c7e44db177caa5632c534a536a2c9337c5b";

/// Answers every request for a manifest but those for `gone`; ends with the test's process.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(&stream))));
    address
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let body = if request.contains("/manifests/") { MANIFEST } else { "{}" };
    let status = if request.contains("/gone/") { "404 Not Found" } else { "200 OK" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\n\
         Docker-Content-Digest: {DIGEST}\r\nContent-Length: {}\r\n\r\n{}",
        body.len(),
        if request.starts_with("HEAD") { "" } else { body },
    )
}

#[test]
fn images_get_the_digests_that_their_registry_has() {
    let registry = registry();
    let pinned = format!("{registry}/c@sha256:{}", "0".repeat(64));
    let yaml = format!(
        "services:\n  a: {{image: '{registry}/a/b:1', tty: true}}\n  b: {{build: .}}\n  c: {{image: '{pinned}'}}\n"
    );
    let stack = Stack::new("digests", &yaml);
    let lock = stack.run("config --lock-image-digests").code(0);
    let image = format!("{registry}/a/b:1@{DIGEST}");
    assert_eq!(
        lock.out,
        format!("services:\n  a:\n    image: {image}\n  b: {{}}\n  c:\n    image: {pinned}\n")
    );
    assert_eq!(stack.run("config --lock-image-digests --no-interpolate").code(0).out, lock.out);
    let all = stack.run("config --resolve-image-digests").code(0);
    assert!(all.out.contains(&image) && all.out.contains("tty: true"), "{}", all.out);
    stack.write("compose.yaml", &format!("services: {{a: {{image: '{registry}/gone'}}}}"));
    let gone = stack.run("config --lock-image-digests").code(3);
    assert!(
        gone.err.contains(&format!("failed to resolve the digest of {registry}/gone:latest")),
        "{}",
        gone.err
    );
}

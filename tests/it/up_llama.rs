//! A real model server: llama.cpp's, with a model that the test writes.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::Value;

use crate::support::{
    chance::Random,
    docker::has_llama,
    gguf,
    stack::{PATIENCE, Stack},
};

const YAML: &str = "
services:
  llm:
    image: docker-orch-llama
    command: --model /models/words.gguf --alias words --port 8081
    # So little that it is seen to load: it listens at once, and answers 503 until the model is there.
    cpus: 0.05
    volumes: [./words.gguf:/models/words.gguf:ro]
    ports: ['127.0.0.1::8081']
    x-orch: {health_check: {recipe: llama.cpp, interval: 100ms}}
";

#[test]
fn it_loads_in_stages_and_then_streams_words() {
    if !has_llama() {
        return;
    }
    let stack = Stack::new("llama", YAML);
    gguf::write(&stack.folder().join("words.gguf"), &mut Random::new());
    let mut up = stack.spawn("up -d --progress plain");
    up.until("stage listening (1/2) passed");
    let address = stack.docker(&["port", &stack.container("llm").id, "8081"]);
    let loading = answer(address.trim(), 503, "GET /health", "");
    assert!(loading.contains("Loading model"), "{loading}");
    up.end().code(0).says(&["stage ready (2/2) passed", "1 service ready"]);

    let ask = |line: &str, body: &str| answer(address.trim(), 200, line, body);
    let models = ask("GET /v1/models", "");
    let models: Value = serde_json::from_str(&models).expect(&models);
    assert_eq!(models["data"][0]["id"], "words");
    let asked = r#"{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5, "stream": true}"#;
    let events = ask("POST /v1/chat/completions", asked);
    assert_eq!(words(&events, "/choices/0/delta/content"), 5, "{events}");
    assert!(events.contains("data: [DONE]"), "{events}");
    let asked = r#"{"prompt": "the model", "n_predict": 7, "stream": true}"#;
    let events = ask("POST /completion", asked);
    assert_eq!(words(&events, "/content"), 7, "{events}");
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

/// What stands below the head of the answer to a request, which has this status.
fn answer(address: &str, status: u16, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody who listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: llm\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("a listener");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{text}");
    body.to_owned()
}

/// How many events have a word of the model at this place.
fn words(events: &str, at: &str) -> usize {
    let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
    let parsed = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let said = parsed.filter_map(|event| Some(event.pointer(at)?.as_str()?.trim().to_owned()));
    said.filter(|word| gguf::WORDS.contains(&word.as_str())).count()
}

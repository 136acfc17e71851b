//! A real model server: llama.cpp's, with a model that the test writes.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    chance::Random,
    docker::has_llama,
    gguf,
    http::{Answer, ask},
    stack::Stack,
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
    gguf::write(&stack.folder().join("words.gguf"), &gguf::WORDS, &mut Random::new());
    let mut up = stack.spawn("up -d --progress plain");
    up.until("stage listening (1/2) passed");
    let address = stack.docker(&["port", &stack.container("llm").id, "8081"]);
    let address: SocketAddr = address.trim().parse().expect("an address");
    let loading = ask(address, "GET /health", "").with(503).text();
    assert!(loading.contains("Loading model"), "{loading}");
    up.end().code(0).says(&["stage ready (2/2) passed", "1 service ready"]);

    let ask = |line: &str, body: &str| ask(address, line, body).with(200);
    assert_eq!(ask("GET /v1/models", "").json()["data"][0]["id"], "words");
    let asked = r#"{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5, "stream": true}"#;
    let events = ask("POST /v1/chat/completions", asked);
    assert_eq!(words(&events, "/choices/0/delta/content"), 5, "{events:?}");
    assert!(events.text().contains("data: [DONE]"), "{events:?}");
    let asked = r#"{"prompt": "the model", "n_predict": 7, "stream": true}"#;
    let events = ask("POST /completion", asked);
    assert_eq!(words(&events, "/content"), 7, "{events:?}");
    stack.run("down").code(0);
    stack.is_gone_but(&[]);
}

#[test]
fn its_port_is_found_where_the_file_gives_none() {
    if !has_llama() {
        return;
    }
    let yaml = YAML
        .replace(" --port 8081", "")
        .replace("cpus: 0.05", "cpus: 1")
        .replace("    ports: ['127.0.0.1::8081']\n", "");
    let stack = Stack::new("llama-port", &yaml);
    gguf::write(&stack.folder().join("words.gguf"), &gguf::WORDS, &mut Random::new());
    stack.run("up -d --progress plain").code(0).says(&["stage ready (2/2) passed", "1 service ready"]);
    let health = stack.run("health").code(0).out;
    assert!(health.contains("llm       healthy"), "{health}");
}

/// How many events have a word of the model at this place.
fn words(events: &Answer, at: &str) -> usize {
    let text = events.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let parsed = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let said = parsed.filter_map(|event| Some(event.pointer(at)?.as_str()?.trim().to_owned()));
    said.filter(|word| gguf::WORDS.contains(&word.as_str())).count()
}

//! An engine of API 1.41: what it cannot do is said before anything changes, what it ignores is said and done
//! without, and what it takes one by one is given to it one by one. A newer engine that is spoken to as an old one
//! serves as well.

use crate::support::stack::{Ran, Running, Stack};

/// Calls the program on the project, as to an engine of API 1.41.
#[track_caller]
fn old(stack: &Stack, words: &str) -> Ran {
    let mut command = stack.orch(words);
    command.env("DOCKER_API_VERSION", "1.41");
    Running::spawn(command).end()
}

#[test]
fn what_an_old_engine_cannot_do_is_refused_before_the_first_change() {
    let stack = Stack::new(
        "old-refused",
        "
services:
  eager:
    image: docker-orch-example
    healthcheck: {test: 'true', start_period: 5s, start_interval: 1s}
  part:
    image: docker-orch-example
    volumes: [{type: volume, source: data, target: /d, volume: {subpath: x}}]
  of-image:
    image: docker-orch-example
    volumes: [{type: image, source: docker-orch-example, target: /i}]
  interface:
    image: docker-orch-example
    networks: {default: {interface_name: web0}}
  named-device:
    image: docker-orch-example
    devices: [vendor.test/device=one]
  fine:
    image: docker-orch-example
  none:
    image: docker-orch-example
    scale: 0
    healthcheck: {test: 'true', start_period: 5s, start_interval: 1s}
volumes:
  data:
",
    );
    for words in ["plan", "up -d"] {
        let ran = old(&stack, words).code(2).says(&[
            "service `eager`: healthcheck.start_interval needs Engine API 1.44 (Docker Engine 25.0) or newer",
            "service `part`: volumes.volume.subpath needs Engine API 1.45 (Docker Engine 26.0) or newer",
            "service `of-image`: a volume of type image needs Engine API 1.48 (Docker Engine 28.0) or newer",
            "service `interface`: networks.default.interface_name needs Engine API 1.49 (Docker Engine 28.1) or",
            "service `named-device`: devices: vendor.test/device=one (a CDI name) needs Engine API 1.44",
            "this engine speaks 1.41 (Docker Engine ",
        ]);
        assert!(!ran.err.contains("`fine`") && !ran.err.contains("`none`"), "{}", ran.err);
        stack.is_gone_but(&[]);
    }
}

#[test]
fn what_an_old_engine_ignores_is_said_and_networks_are_connected_one_by_one() {
    let stack = Stack::new(
        "old-ignored",
        "
services:
  web:
    image: docker-orch-example
    annotations: {note: x}
    mac_address: 02:77:00:00:00:01
    networks:
      front: {priority: 5, aliases: [face]}
      back: {ipv4_address: 10.77.3.9, mac_address: '02:77:00:00:00:02', gw_priority: 1, aliases: [spine]}
      side:
networks:
  front: {enable_ipv4: true}
  back: {ipam: {config: [{subnet: 10.77.3.0/24}]}}
  side:
",
    );
    old(&stack, "up -d").code(0).says(&[
        "service `web`: ignoring annotations: it needs Engine API 1.43 (Docker Engine 24.0) or newer",
        "service `web`: ignoring mac_address of further networks: it needs Engine API 1.44",
        "service `web`: ignoring networks.gw_priority: it needs Engine API 1.48 (Docker Engine 28.0) or newer",
        "network `front`: ignoring enable_ipv4: it needs Engine API 1.48",
    ]);
    let web = stack.container("web");
    let [front, back, side] = ["front", "back", "side"].map(|key| format!("{}_{key}", stack.name));
    let networks = &web.raw["NetworkSettings"]["Networks"];
    assert_eq!(networks.as_object().unwrap().len(), 3, "{networks}");
    assert_eq!(networks[&front]["MacAddress"], "02:77:00:00:00:01");
    assert_eq!(networks[&back]["IPAddress"], "10.77.3.9");
    assert_eq!(web.raw["HostConfig"]["NetworkMode"], front.as_str());
    for (network, alias) in [(&front, "face"), (&back, "spine"), (&side, "web")] {
        assert!(web.aliases(network).contains(alias), "{alias}: {:?}", web.aliases(network));
    }
    old(&stack, "down").code(0);
    stack.is_gone_but(&[]);
}

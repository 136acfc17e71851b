//! Whom requests are served to: files in, projects and messages out.

use insta::assert_snapshot;

use super::{good, messages};
use crate::project::{KeySource, RequestLimits, Tenant};

#[test]
fn tiers_and_tenants_are_read() {
    let project = good(
        "
x-orch:
  tiers: {free: {requests: {inflight: 2}}, pro: {}}
  tenants:
    acme: {tier: pro, key_file: ./secrets/acme.key}
    lab: {tier: free, key_env: LAB_KEY}
    root: {key_file: /etc/root.key}
    default: {tier: free}
services:
  a: {image: x, scale: 0, x-orch: {load: on_demand, routes: [{port: 80, pass_key: true}, {port: 81}]}}
  store: {image: x, scale: 0, ports: [{target: 5432, published: '5432'}], x-orch: {load: on_demand}}
",
    );
    let orch = &project.orch;
    let tenant = |tier: Option<&str>, key| Tenant { tier: tier.map(str::to_owned), key };
    let file = |path: &str| Some(KeySource::File(path.to_owned()));
    assert_eq!(orch.tenants["acme"], tenant(Some("pro"), file("secrets/acme.key")));
    let variable = KeySource::Environment("LAB_KEY".to_owned());
    assert_eq!(orch.tenants["lab"], tenant(Some("free"), Some(variable)));
    assert_eq!(orch.tenants["root"], tenant(None, file("/etc/root.key")));
    assert_eq!(orch.tenants["default"], tenant(Some("free"), None));
    let most = |name: &str| orch.request_limits(&orch.tenants[name]);
    assert_eq!(most("lab"), RequestLimits { inflight: Some(2) });
    assert_eq!((most("acme"), most("root")), (RequestLimits::default(), RequestLimits::default()));
    let routes = project.services["a"].routes();
    assert_eq!((routes[0].pass_key, routes[1].pass_key), (true, false));
}

#[test]
#[expect(clippy::too_many_lines, reason = "every contradiction with its message")]
fn tenants_that_contradict_themselves_are_shown() {
    assert_snapshot!(messages(
        "x-orch:
  tiers: {free: {requests: {inflight: 0}, weight: 3}}
  tenants: {acme: {key: s3cret}, lab: }
services: {}
"
    ), @r###"
error[wrong-value]: x-orch.tiers.free.requests.inflight must be a whole number from 1 on
 --> compose.yaml:2:39
  |
2 |   tiers: {free: {requests: {inflight: 0}, weight: 3}}
  |                                       ^

error[unknown-attribute]: x-orch.tiers.free has no attribute `weight`
 --> compose.yaml:2:43
  |
2 |   tiers: {free: {requests: {inflight: 0}, weight: 3}}
  |                                           ^^^^^^
  |
  = help: it has requests

error[unknown-attribute]: x-orch.tenants.acme has no attribute `key`
 --> compose.yaml:3:20
  |
3 |   tenants: {acme: {key: s3cret}, lab: }
  |                    ^^^
  |
  = help: it has tier, key_file, key_env

error[wrong-value]: x-orch.tenants.lab must be a mapping
 --> compose.yaml:3:37
  |
3 |   tenants: {acme: {key: s3cret}, lab: }
  |                                     ^ this is null
"###);
    assert_snapshot!(messages(
        "x-orch:
  tiers: {free: {requests: {inflight: 2}}}
  tenants:
    acme: {tier: fre, key_file: ./a.key}
    lab: {tier: gold}
    both: {key_file: ./b.key, key_env: B_KEY}
    same: {key_file: ././a.key}
    default: {key_env: KEY}
services: {}
"
    ), @r###"
error[unknown-tier]: there is no tier `fre`
 --> compose.yaml:4:18
  |
4 |     acme: {tier: fre, key_file: ./a.key}
  |                  ^^^
  |
  = help: did you mean `free`?

error[unknown-tier]: there is no tier `gold`
 --> compose.yaml:5:17
  |
5 |     lab: {tier: gold}
  |                 ^^^^
  |
  = help: name it under `x-orch: {tiers: {gold: {requests: {inflight: 2}}}}`

error[missing-key]: `lab` has no key
 --> compose.yaml:5:5
  |
5 |     lab: {tier: gold}
  |     ^^^
  |
  = help: write `key_file: ./secrets/lab.key`, or `key_env: VARIABLE`; without a key everybody is `default`

error[two-keys]: the key of `both` is in two places
 --> compose.yaml:6:40
  |
6 |     both: {key_file: ./b.key, key_env: B_KEY}
  |                      -------           ^^^^^
  |                      |
  |                      the other one
  |
  = help: keep one of them

error[same-key]: `same` has the same key as `acme`
 --> compose.yaml:7:11
  |
4 |     acme: {tier: fre, key_file: ./a.key}
  |           ------------------------------ the other one
...
7 |     same: {key_file: ././a.key}
  |           ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: give each tenant a key of its own

error[misplaced-key]: `default` is whoever sends no key
 --> compose.yaml:8:24
  |
8 |     default: {key_env: KEY}
  |                        ^^^
  |
  = help: leave the key out, or give the tenant another name
"###);
    assert_snapshot!(messages("x-orch: {tenants: {}}\nservices: {}\n"), @r###"
error[no-tenants]: x-orch.tenants names nobody
 --> compose.yaml:1:19
  |
1 | x-orch: {tenants: {}}
  |                   ^^
  |
  = help: name somebody, or leave it out: then everybody is served
"###);
    assert_snapshot!(messages("x-orch: {tiers: {free: {}}}\nservices: {}\n"), @r###"
warning[no-effect]: x-orch.tiers has no effect without `tenants`
 --> compose.yaml:1:17
  |
1 | x-orch: {tiers: {free: {}}}
  |                 ^^^^^^^^^^
  |
  = help: write `tenants: {acme: {tier: …, key_file: …}}` beside it
"###);
}

#[test]
fn where_keys_are_needed_nothing_is_reached_over_plain_tcp() {
    let services = "
services:
  open: &open {image: x, scale: 0, ports: [{target: 80, published: '80'}], x-orch: {load: on_demand, health_check: {http: ':80/'}}}
  inside: {image: x, scale: 0, ports: [{target: 80}], x-orch: {load: on_demand}}
  plain: {image: x, ports: [{target: 5432, published: '5432'}]}
  said: {image: x, scale: 0, ports: [{target: 5433, published: '5433'}], x-orch: {load: manual, routes: [{port: 5433, protocol: tcp}]}}
  implied: {image: x, scale: 0, ports: [{target: 5434, published: '5434'}], x-orch: {load: on_demand}}
";
    let keys = "x-orch: {tenants: {acme: {key_file: ./a.key}}}";
    assert_snapshot!(messages(&format!("{keys}{services}")), @r###"
error[no-key-over-tcp]: `implied` is reached over plain TCP, where nobody can send a key
 --> compose.yaml:7:40
  |
7 |   implied: {image: x, scale: 0, ports: [{target: 5434, published: '5434'}], x-orch: {load: on_demand}}
  |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `protocol: http` in its `routes` if it speaks HTTP; else name a tenant `default`, who may then connect to it

error[no-key-over-tcp]: `said` is reached over plain TCP, where nobody can send a key
 --> compose.yaml:6:106
  |
6 |   said: {image: x, scale: 0, ports: [{target: 5433, published: '5433'}], x-orch: {load: manual, routes: [{port: 5433, protocol: tcp}]}}
  |                                                                                                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `protocol: http` in its `routes` if it speaks HTTP; else name a tenant `default`, who may then connect to it
"###);
    good(&format!("x-orch: {{tenants: {{acme: {{key_file: ./a.key}}, default: {{}}}}}}{services}"));
    good(services);
}

//! Services as bodies. A snapshot holds the JSON that is sent.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};

use super::*;
use crate::{
    engine::{ContainerRequest, EngineErrorKind, EngineInfo, InheritedVolume, OneOff},
    project::*,
};

fn engine(api: &str) -> EngineInfo {
    EngineInfo { api_version: api.to_owned(), os: "linux".to_owned(), ..EngineInfo::default() }
}

#[expect(clippy::unnecessary_wraps, reason = "attributes are optional")]
fn text(s: &str) -> Option<String> {
    Some(s.to_owned())
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|s| (*s).to_owned()).collect()
}

fn network(name: &str) -> Network {
    Network { name: name.to_owned(), ..Network::default() }
}

/// A project `p` with the networks `default` and `back`.
fn project() -> Project {
    Project {
        name: "p".to_owned(),
        working_dir: PathBuf::from("/src/p"),
        config_files: vec![PathBuf::from("/src/p/compose.yaml")],
        networks: [("default".to_owned(), network("p_default")), ("back".to_owned(), network("p_back"))]
            .into(),
        ..Project::default()
    }
}

/// A service `web` on the network `default`.
fn service() -> Service {
    Service {
        name: "web".to_owned(),
        image: text("nginx"),
        networks: [("default".to_owned(), None)].into(),
        ..Service::default()
    }
}

fn request<'a>(project: &'a Project, service: &'a Service) -> ContainerRequest<'a> {
    ContainerRequest {
        project,
        service,
        number: 1,
        name: "p-web-1".to_owned(),
        final_name: "p-web-1".to_owned(),
        config_hash: "hash".to_owned(),
        image_id: "sha256:0".to_owned(),
        replaces: None,
        links: Vec::new(),
        inherited: Vec::new(),
        oneoff: None,
        unnamed: Vec::new(),
    }
}

/// The JSON of the body on an engine of API 1.51, with its maps in order and without the labels.
fn body(service: &Service) -> Value {
    body_of(&project(), service)
}

fn body_of(project: &Project, service: &Service) -> Value {
    let creation = creation(&request(project, service), &engine("1.51"), &[]).expect("a body");
    let mut value = serde_json::to_value(creation.body).expect("JSON");
    value.as_object_mut().expect("an object").remove("Labels");
    sorted(value)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> =
                map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// What the service puts on top of the plain one, in `HostConfig`.
fn host(service: &Service) -> Value {
    let plain = body(&self::service())["HostConfig"].clone();
    let mut host = body(service)["HostConfig"].take();
    host.as_object_mut().expect("an object").retain(|k, v| plain.get(k) != Some(v));
    host
}

/// The words of the refusal on an engine of this API.
fn refused(service: &Service, api: &str) -> String {
    let error = creation(&request(&project(), service), &engine(api), &[]).expect_err("refused");
    assert_eq!(error.kind, EngineErrorKind::Invalid);
    error.message
}

#[test]
fn a_plain_service_sends_little() {
    insta::assert_snapshot!(body(&service()), @r#"{"AttachStderr":true,"AttachStdin":false,"AttachStdout":true,"HostConfig":{"ExtraHosts":[],"NetworkMode":"p_default","OomKillDisable":false,"PortBindings":{}},"Image":"nginx","NetworkingConfig":{"EndpointsConfig":{"p_default":{"Aliases":["p-web-1","web"]}}}}"#);
}

#[test]
fn labels_tell_what_is_whose() {
    let mut project = project();
    project.environment_files = vec![PathBuf::from("/src/p/.env.ci")];
    for name in ["a", "db"] {
        project.services.insert(name.to_owned(), service());
    }
    let mut service = service();
    service.labels =
        [("mine".to_owned(), "1".to_owned()), ("com.docker.compose.project".to_owned(), "theirs".to_owned())]
            .into();
    let healthy = Dependency { condition: Condition::ServiceHealthy, restart: true, ..Dependency::default() };
    service.depends_on = [("a", Dependency::default()), ("db", healthy), ("disabled", Dependency::default())]
        .map(|(name, dependency)| (name.to_owned(), dependency))
        .into();
    let mut request = request(&project, &service);
    request.number = 3;
    request.replaces = text("web-3");
    let labels = sorted(json!(labels::container_labels(&request))).to_string();
    insta::assert_snapshot!(labels.replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r#"{"com.docker.compose.config-hash":"hash","com.docker.compose.container-number":"3","com.docker.compose.depends_on":"a:service_started:false,db:service_healthy:true","com.docker.compose.image":"sha256:0","com.docker.compose.oneoff":"False","com.docker.compose.project":"p","com.docker.compose.project.config_files":"/src/p/compose.yaml","com.docker.compose.project.environment_file":"/src/p/.env.ci","com.docker.compose.project.working_dir":"/src/p","com.docker.compose.replace":"web-3","com.docker.compose.service":"web","com.docker.compose.version":"VERSION","mine":"1"}"#);
    request.oneoff = Some(OneOff { slug: "5lu9".to_owned(), ..OneOff::default() });
    let labels = labels::container_labels(&request);
    assert_eq!(labels["com.docker.compose.oneoff"], "True");
    assert_eq!(labels["com.docker.compose.slug"], "5lu9");
    assert!(!labels.contains_key("com.docker.compose.container-number"));
}

#[test]
fn the_process_is_as_the_service_says() {
    let mut service = service();
    service.command = Some(list(&["run", "--fast"]));
    service.entrypoint = Some(Vec::new());
    service.environment = [("A".to_owned(), text("1")), ("FROM_HOST".to_owned(), None)].into();
    service.hostname = text("h");
    service.user = text("1000:1000");
    service.working_dir = text("/app");
    service.tty = true;
    service.stdin_open = true;
    service.stop_signal = text("SIGQUIT");
    service.stop_grace_period = Some(Duration::from_millis(1500).into());
    service.expose = list(&["7000-7001", "53/udp"]);
    service.healthcheck = Some(Healthcheck {
        test: Some(list(&["CMD-SHELL", "true"])),
        interval: Some(Duration::from_secs(1).into()),
        retries: Some(2),
        start_period: Some(Duration::from_secs(3).into()),
        start_interval: Some(Duration::from_millis(100).into()),
        ..Healthcheck::default()
    });
    let mut body = body(&service);
    body.as_object_mut()
        .expect("an object")
        .retain(|key, _| key != "HostConfig" && key != "NetworkingConfig");
    insta::assert_snapshot!(body, @r#"{"AttachStderr":true,"AttachStdin":false,"AttachStdout":true,"Cmd":["run","--fast"],"Entrypoint":[],"Env":["A=1","FROM_HOST"],"ExposedPorts":{"53/udp":{},"7000-7001":{}},"Healthcheck":{"Interval":1000000000,"Retries":2,"StartInterval":100000000,"StartPeriod":3000000000,"Test":["CMD-SHELL","true"]},"Hostname":"h","Image":"nginx","OpenStdin":true,"StopSignal":"SIGQUIT","StopTimeout":1,"Tty":true,"User":"1000:1000","WorkingDir":"/app"}"#);
}

#[test]
fn a_health_check_can_be_switched_off() {
    let mut service = service();
    service.healthcheck = Some(Healthcheck { disable: true, ..Healthcheck::default() });
    assert_eq!(body(&service)["Healthcheck"], json!({"Test": ["NONE"]}));
}

#[test]
fn resources_of_deploy_win() {
    let mut service = service();
    service.cpus = Some(Float(0.5));
    service.mem_limit = Some(Bytes(1));
    service.mem_reservation = Some(Bytes(2));
    service.pids_limit = Some(3);
    service.shm_size = Some(Bytes(64));
    service.cpu_shares = Some(5);
    service.cpu_percent = Some(Float(50.0));
    service.ulimits =
        [("nofile".to_owned(), Ulimit::Range { soft: 1, hard: 2 }), ("nproc".to_owned(), Ulimit::Single(3))]
            .into();
    service.blkio_config = Some(Blkio {
        weight: Some(300),
        weight_device: vec![WeightDevice { path: "/dev/sda".to_owned(), weight: 400 }],
        device_read_bps: vec![ThrottleDevice { path: "/dev/sdb".to_owned(), rate: Bytes(10) }],
        ..Blkio::default()
    });
    insta::assert_snapshot!(host(&service), @r#"{"BlkioDeviceReadBps":[{"Path":"/dev/sdb","Rate":10}],"BlkioWeight":300,"BlkioWeightDevice":[{"Path":"/dev/sda","Weight":400}],"CpuPercent":5000,"CpuShares":5,"Memory":1,"MemoryReservation":2,"NanoCpus":500000000,"PidsLimit":3,"ShmSize":64,"Ulimits":[{"Hard":2,"Name":"nofile","Soft":1},{"Hard":3,"Name":"nproc","Soft":3}]}"#);
    let limits =
        Resource { cpus: Some(Float(1.7)), memory: Some(Bytes(100)), pids: Some(7), ..Resource::default() };
    let reservations = Resource { memory: Some(Bytes(50)), ..Resource::default() };
    service.deploy = Some(Deploy {
        resources: DeployResources {
            limits: Some(limits),
            reservations: Some(reservations),
            ..DeployResources::default()
        },
        ..Deploy::default()
    });
    let host = host(&service);
    let chosen = json!([host["NanoCpus"], host["Memory"], host["MemoryReservation"], host["PidsLimit"]]);
    assert_eq!(chosen, json!([1_700_000_000_i64, 100, 50, 7]));
}

#[test]
fn host_settings_are_mapped() {
    let mut service = service();
    service.annotations = [("a".to_owned(), "1".to_owned())].into();
    service.cap_add = list(&["net_admin", "ALL"]);
    service.cap_drop = list(&["CAP_CHOWN"]);
    service.cgroup = text("host");
    service.dns = list(&["1.1.1.1"]);
    service.dns_opt = list(&["ndots:1"]);
    service.dns_search = list(&["corp"]);
    service.extra_hosts = list(&["h=10.0.0.1", "h=::1"]);
    service.group_add = list(&["7"]);
    service.init = Some(false);
    service.ipc = text("container:abc");
    service.pid = text("host");
    service.logging = Some(Logging {
        driver: text("json-file"),
        options: [("max-size".to_owned(), "1m".to_owned())].into(),
        ..Logging::default()
    });
    service.privileged = true;
    service.read_only = true;
    service.restart = text("on-failure:3");
    service.runtime = text("runc");
    service.sysctls = [("net.core.somaxconn".to_owned(), "1024".to_owned())].into();
    service.tmpfs = list(&["/run", "/tmp:size=1m,mode=755"]);
    service.userns_mode = text("host");
    service.volumes_from = list(&["abc:ro", "container:def"]);
    insta::assert_snapshot!(host(&service), @r#"{"Annotations":{"a":"1"},"CapAdd":["ALL","CAP_NET_ADMIN"],"CapDrop":["CAP_CHOWN"],"CgroupnsMode":"host","Dns":["1.1.1.1"],"DnsOptions":["ndots:1"],"DnsSearch":["corp"],"ExtraHosts":["h:10.0.0.1","h:::1"],"GroupAdd":["7"],"Init":false,"IpcMode":"container:abc","LogConfig":{"Config":{"max-size":"1m"},"Type":"json-file"},"PidMode":"host","Privileged":true,"ReadonlyRootfs":true,"RestartPolicy":{"MaximumRetryCount":3,"Name":"on-failure"},"Runtime":"runc","Sysctls":{"net.core.somaxconn":"1024"},"Tmpfs":{"/run":"","/tmp":"size=1m,mode=755"},"UsernsMode":"host","VolumesFrom":["abc","def"]}"#);
}

#[test]
fn security_options_are_sorted_out() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("s.json"), "{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }").expect("a file");
    let mut service = service();
    service.security_opt = list(&[
        "seccomp=s.json",
        "no-new-privileges",
        "label:disable",
        "systempaths=unconfined",
        "apparmor=x",
    ]);
    let found = security::security(&service, dir.path()).expect("options");
    assert_eq!(
        found.options,
        [
            "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}",
            "no-new-privileges",
            "label:disable",
            "apparmor=x"
        ]
    );
    assert!(found.unconfined_paths);
    service.security_opt = list(&["seccomp=none.json"]);
    let words = security::security(&service, dir.path()).expect_err("no file").message;
    assert!(words.contains("none.json"), "{words}");
    service.security_opt = list(&["what"]);
    assert!(security::security(&service, dir.path()).is_err());
    service.security_opt = list(&["systempaths=unconfined"]);
    assert_eq!(host(&service), json!({"MaskedPaths": [], "ReadonlyPaths": []}));
}

#[test]
fn restart_policies_are_known_words() {
    let policy = |restart: &str| {
        let mut service = service();
        service.restart = text(restart);
        host(&service)["RestartPolicy"].clone()
    };
    assert_eq!(policy("any"), json!({"Name": "always"}));
    assert_eq!(policy("unless-stopped"), json!({"Name": "unless-stopped"}));
    let mut service = service();
    service.restart = text("sometimes");
    assert!(refused(&service, "1.51").contains("`restart: sometimes` is unknown"));
    service.deploy = Some(Deploy {
        restart_policy: Some(RestartPolicy {
            condition: text("none"),
            max_attempts: Some(2),
            ..RestartPolicy::default()
        }),
        ..Deploy::default()
    });
    assert_eq!(host(&service)["RestartPolicy"], json!({"Name": "no", "MaximumRetryCount": 2}));
}

#[test]
fn ports_are_bound_and_exposed() {
    let port = |target: u32, published: Option<&str>, host_ip: Option<&str>, protocol: &str| Port {
        target: Some(target),
        published: published.map(str::to_owned),
        host_ip: host_ip.map(str::to_owned),
        protocol: text(protocol),
        ..Port::default()
    };
    let mut service = service();
    service.ports = vec![
        port(80, Some("8080"), None, "tcp"),
        port(80, Some("8081-8090"), Some("127.0.0.1"), "tcp"),
        port(53, None, None, "udp"),
    ];
    insta::assert_snapshot!(host(&service), @r#"{"PortBindings":{"53/udp":[{"HostIp":"","HostPort":""}],"80/tcp":[{"HostIp":"","HostPort":"8080"},{"HostIp":"127.0.0.1","HostPort":"8081-8090"}]}}"#);
    assert_eq!(body(&service)["ExposedPorts"], json!({"53/udp": {}, "80/tcp": {}}));
}

#[test]
fn devices_are_paths_names_or_requests() {
    let device = |source: &str, target: Option<&str>| DeviceMapping {
        source: text(source),
        target: target.map(str::to_owned),
        permissions: text("rw"),
        ..DeviceMapping::default()
    };
    let mut service = service();
    service.devices =
        vec![device("/dev/fuse", Some("/dev/x")), device("nvidia.com/gpu=0", Some("nvidia.com/gpu=0"))];
    service.gpus = vec![DeviceRequest::default()];
    let reserved = DeviceRequest {
        capabilities: list(&["gpu"]),
        device_ids: list(&["0"]),
        driver: text("nvidia"),
        ..DeviceRequest::default()
    };
    let reservations = Some(Resource { devices: vec![reserved], ..Resource::default() });
    service.deploy = Some(Deploy {
        resources: DeployResources { reservations, ..DeployResources::default() },
        ..Deploy::default()
    });
    insta::assert_snapshot!(host(&service), @r#"{"DeviceRequests":[{"Capabilities":[["gpu"]],"DeviceIDs":["0"],"Driver":"nvidia"},{"DeviceIDs":["nvidia.com/gpu=0"],"Driver":"cdi"},{"Capabilities":[["gpu"]],"Count":-1}],"Devices":[{"CgroupPermissions":"rw","PathInContainer":"/dev/x","PathOnHost":"/dev/fuse"}]}"#);
}

#[test]
fn volumes_are_binds_where_they_can_be_and_mounts_elsewhere() {
    let volume = |kind: &str, source: Option<&str>, target: &str| ServiceMount {
        r#type: kind.to_owned(),
        source: source.map(str::to_owned),
        target: text(target),
        ..ServiceMount::default()
    };
    let bind = |options: BindOptions, target: &str| ServiceMount {
        bind: Some(options),
        ..volume("bind", Some("/h"), target)
    };
    let created = BindOptions { create_host_path: true, ..BindOptions::default() };
    let mut project = project();
    project.volumes.insert("data".to_owned(), Volume { name: "p_data".to_owned(), ..Volume::default() });
    let mut service = service();
    service.volumes = vec![
        volume("bind", Some("/src/p/x"), "/x"),
        bind(BindOptions { selinux: text("z"), ..created.clone() }, "/z"),
        bind(BindOptions::default(), "/must-exist"),
        bind(BindOptions { propagation: text("rshared"), ..created.clone() }, "/shared"),
        ServiceMount { read_only: true, ..volume("volume", Some("data"), "/data") },
        ServiceMount {
            volume: Some(VolumeOptions { nocopy: true, ..VolumeOptions::default() }),
            ..volume("volume", Some("data"), "/nocopy")
        },
        volume("volume", None, "/anonymous"),
        volume("volume", None, "/inherited"),
        ServiceMount {
            tmpfs: Some(TmpfsOptions { size: Some(Bytes(9)), mode: Some(0o755), ..TmpfsOptions::default() }),
            ..volume("tmpfs", None, "/t")
        },
        volume("image", Some("alpine"), "/i"),
    ];
    let mut request = request(&project, &service);
    request.inherited =
        vec![InheritedVolume { name: "old".to_owned(), target: "/inherited".to_owned(), read_only: false }];
    let mounts = mounts::mounts(&request, &engine("1.51")).expect("mounts");
    insta::assert_snapshot!(mounts.binds.join("\n"), @r#"
/src/p/x:/x:rw
/h:/z:rw,z
p_data:/data:ro
"#);
    let mounts: Vec<String> =
        mounts.mounts.iter().map(|m| sorted(serde_json::to_value(m).expect("JSON")).to_string()).collect();
    insta::assert_snapshot!(mounts.join("\n"), @r#"
{"BindOptions":{},"Source":"/h","Target":"/must-exist","Type":"bind"}
{"BindOptions":{"CreateMountpoint":true,"Propagation":"rshared"},"Source":"/h","Target":"/shared","Type":"bind"}
{"Source":"p_data","Target":"/nocopy","Type":"volume","VolumeOptions":{"NoCopy":true}}
{"Target":"/anonymous","Type":"volume"}
{"Target":"/t","TmpfsOptions":{"Mode":493,"SizeBytes":9},"Type":"tmpfs"}
{"Source":"alpine","Target":"/i","Type":"image"}
{"Source":"old","Target":"/inherited","Type":"volume"}
"#);
}

/// A service with a secret from a file, one from a variable, and an inline config.
fn with_files() -> (Project, Service) {
    let mut project = project();
    let file = FileObject { file: text("/src/p/key.pem"), ..FileObject::default() };
    let variable = FileObject {
        environment: text("TOKEN"),
        captured: Some(Sensitive::new("hush".to_owned())),
        ..FileObject::default()
    };
    project.secrets = [("key".to_owned(), file), ("token".to_owned(), variable)].into();
    let inline = FileObject { content: text("a=1"), ..FileObject::default() };
    project.configs = [("app".to_owned(), inline)].into();
    let reference = |source: &str| FileReference { source: text(source), ..FileReference::default() };
    let mut service = service();
    service.secrets = vec![
        FileReference { mode: Some(FileMode(0o400)), ..reference("key") },
        FileReference {
            target: text("t"),
            uid: text("7"),
            mode: Some(FileMode(0o440)),
            ..reference("token")
        },
    ];
    service.configs = vec![FileReference { target: text("/etc/app.conf"), ..reference("app") }];
    (project, service)
}

#[test]
fn secret_files_are_bound_and_values_are_uploaded() {
    let (mut project, mut service) = with_files();
    project.services.insert("web".to_owned(), service.clone());
    assert_eq!(
        body_of(&project, &service)["HostConfig"]["Mounts"],
        json!([{"BindOptions": {}, "ReadOnly": true, "Source": "/src/p/key.pem", "Target": "/run/secrets/key", "Type": "bind"}])
    );
    let uploads = file_uploads(&project, &service).expect("uploads");
    let told: Vec<String> = uploads
        .iter()
        .map(|u| {
            format!("{} {:o} {:?} {}", u.path, u.mode, u.uid, String::from_utf8_lossy(u.content.expose()))
        })
        .collect();
    assert_eq!(told, ["/run/secrets/t 440 Some(7) hush", "/etc/app.conf 444 None a=1"]);
    assert_eq!(
        unsupported(&project, &engine("1.51")),
        [
            "service `web`: ignoring uid, gid and mode of secret `key`: it is a file of the host and keeps its own"
        ]
    );
    service.read_only = true;
    let words = file_uploads(&project, &service).expect_err("read-only").message;
    assert_eq!(
        words,
        "service `web`: secret `token` cannot be written into a `read_only` container: give it a `file`"
    );
}

#[test]
fn external_secrets_are_refused() {
    let (mut project, service) = with_files();
    project.secrets["key"].external = true;
    let words = file_uploads(&project, &service).expect_err("external").message;
    assert!(words.contains("secret `key` is external"), "{words}");
    project.secrets.clear();
    let words = file_uploads(&project, &service).expect_err("unknown").message;
    assert_eq!(words, "service `web`: secret `key` is not defined");
}

/// A service on two networks, `back` with the higher priority.
fn on_two_networks() -> Service {
    let back = ServiceNetwork {
        aliases: list(&["api"]),
        priority: Some(10),
        ipv4_address: text("10.0.0.9"),
        gw_priority: Some(1),
        ..ServiceNetwork::default()
    };
    let mut service = service();
    service.networks = [("default".to_owned(), None), ("back".to_owned(), Some(back))].into();
    service.mac_address = text("02:00:00:00:00:01");
    service.external_links = list(&["old", "other:o"]);
    service
}

#[test]
fn a_new_engine_takes_all_endpoints_at_once() {
    let service = on_two_networks();
    let body = body(&service);
    assert_eq!(body["HostConfig"]["NetworkMode"], "p_back");
    insta::assert_snapshot!(body["NetworkingConfig"]["EndpointsConfig"], @r#"{"p_back":{"Aliases":["p-web-1","web","api"],"GwPriority":1,"IPAMConfig":{"IPv4Address":"10.0.0.9"},"Links":["old:old","other:o"],"MacAddress":"02:00:00:00:00:01"},"p_default":{"Aliases":["p-web-1","web"],"Links":["old:old","other:o"]}}"#);
}

#[test]
fn an_old_engine_is_asked_to_connect_the_other_networks() {
    let (project, service) = (project(), on_two_networks());
    let creation = creation(&request(&project, &service), &engine("1.41"), &[]).expect("a body");
    let endpoints = creation.body.networking_config.and_then(|c| c.endpoints_config).expect("endpoints");
    assert_eq!(endpoints.keys().collect::<Vec<_>>(), ["p_back"]);
    let after: Vec<&str> = creation.connect_after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(after, ["p_default"]);
}

#[test]
fn the_network_mode_replaces_networks() {
    let mut service = service();
    service.network_mode = text("host");
    let body = body(&service);
    assert_eq!(body["HostConfig"]["NetworkMode"], "host");
    assert!(body.get("NetworkingConfig").is_none());
    let lonely = Project { networks: indexmap::IndexMap::new(), ..project() };
    assert_eq!(body_of(&lonely, &self::service())["HostConfig"]["NetworkMode"], "none");
}

#[test]
fn a_one_off_has_no_service_alias_and_no_restart_policy() {
    let (project, mut service) = (project(), service());
    service.restart = text("always");
    let mut request = request(&project, &service);
    request.final_name = "p-web-run-1".to_owned();
    request.oneoff = Some(OneOff { auto_remove: true, interactive: true, ..OneOff::default() });
    let body = creation(&request, &engine("1.51"), &[]).expect("a body").body;
    let host = body.host_config.expect("a host configuration");
    assert_eq!((host.auto_remove, host.restart_policy), (Some(true), None));
    assert_eq!((body.attach_stdin, body.open_stdin, body.stdin_once), (Some(true), Some(true), Some(true)));
    let endpoints = body.networking_config.and_then(|c| c.endpoints_config).expect("endpoints");
    assert_eq!(endpoints["p_default"].aliases.as_deref(), Some(&["p-web-run-1".to_owned()][..]));
}

#[test]
fn proxies_are_added_where_the_service_says_nothing() {
    let (project, mut service) = (project(), service());
    service.environment = [("HTTP_PROXY".to_owned(), text("mine"))].into();
    let proxies = [("HTTP_PROXY".to_owned(), "theirs".to_owned()), ("NO_PROXY".to_owned(), "x".to_owned())];
    let body = creation(&request(&project, &service), &engine("1.51"), &proxies).expect("a body").body;
    assert_eq!(body.env.expect("variables"), ["NO_PROXY=x", "HTTP_PROXY=mine"]);
}

#[test]
fn old_engines_are_named_where_they_cannot_follow() {
    let mut check = service();
    check.healthcheck = Some(Healthcheck {
        start_period: Some(Duration::from_secs(1).into()),
        start_interval: Some(Duration::from_secs(1).into()),
        ..Healthcheck::default()
    });
    assert_eq!(
        refused(&check, "1.43"),
        "service `web`: healthcheck.start_interval needs Engine API 1.44 (Docker Engine 25.0) or newer; this engine speaks 1.43"
    );
    let mut image = service();
    image.volumes = vec![ServiceMount { r#type: "image".to_owned(), ..ServiceMount::default() }];
    assert!(refused(&image, "1.47").contains("1.48"));
    let mut named = service();
    let interface = ServiceNetwork { interface_name: text("eth7"), ..ServiceNetwork::default() };
    named.networks = [("default".to_owned(), Some(interface))].into();
    assert!(refused(&named, "1.48").contains("networks.default.interface_name needs Engine API 1.49"));
    let mut subpath = service();
    subpath.volumes = vec![ServiceMount {
        r#type: "volume".to_owned(),
        volume: Some(VolumeOptions { subpath: text("x"), ..VolumeOptions::default() }),
        ..ServiceMount::default()
    }];
    assert!(refused(&subpath, "1.44").contains("1.45"));
    let mut recursive = service();
    recursive.volumes = vec![ServiceMount {
        r#type: "bind".to_owned(),
        bind: Some(BindOptions { recursive: text("readonly"), ..BindOptions::default() }),
        ..ServiceMount::default()
    }];
    assert!(refused(&recursive, "1.43").contains("1.44"));
    let mut device = service();
    let name = text("vendor.test/class=one");
    device.devices = vec![DeviceMapping { source: name.clone(), target: name, ..DeviceMapping::default() }];
    assert!(
        refused(&device, "1.43")
            .contains("devices: vendor.test/class=one (a CDI name) needs Engine API 1.44")
    );
}

#[test]
fn what_is_ignored_is_said() {
    let ignored = |service: &Service, api: &str| {
        let mut project = project();
        project.services.insert("web".to_owned(), service.clone());
        project.networks["back"].enable_ipv4 = Some(true);
        unsupported(&project, &engine(api)).join("\n")
    };
    assert_eq!(ignored(&service(), "1.51"), "");
    let mut service = on_two_networks();
    let address = ServiceNetwork { mac_address: text("02:00:00:00:00:02"), ..ServiceNetwork::default() };
    service.networks["default"] = Some(address);
    service.annotations = [("a".to_owned(), "1".to_owned())].into();
    service.credential_spec = Some(CredentialSpec::default());
    service.deploy = Some(Deploy {
        mode: text("global"),
        placement: Placement { constraints: list(&["node.role==worker"]), ..Placement::default() },
        ..Deploy::default()
    });
    insta::assert_snapshot!(ignored(&service, "1.41"), @r#"
service `web`: ignoring credential_spec: Compose does not hand it to the engine
service `web`: ignoring deploy.mode: only swarm honours it
service `web`: ignoring deploy.placement: only swarm honours it
service `web`: ignoring annotations: it needs Engine API 1.43 (Docker Engine 24.0) or newer; this engine speaks 1.41
service `web`: ignoring mac_address of further networks: it needs Engine API 1.44 (Docker Engine 25.0) or newer; this engine speaks 1.41
service `web`: ignoring networks.gw_priority: it needs Engine API 1.48 (Docker Engine 28.0) or newer; this engine speaks 1.41
network `back`: ignoring enable_ipv4: it needs Engine API 1.48 (Docker Engine 28.0) or newer; this engine speaks 1.41
"#);
}

#[test]
fn a_project_is_refused_for_every_service_that_is_wanted() {
    let mut wrong = service();
    wrong.restart = text("sometimes");
    let mut project = project();
    for (name, scale) in [("one", None), ("two", Some(2)), ("none", Some(0))] {
        let service = Service { name: name.to_owned(), scale, ..wrong.clone() };
        project.services.insert(name.to_owned(), service);
    }
    let socket = Service { name: "socket".to_owned(), use_api_socket: true, ..service() };
    project.services.insert("socket".to_owned(), socket);
    let told = |os: &str| {
        let engine = EngineInfo { os: os.to_owned(), ..engine("1.51") };
        let told = super::refused(&project, &engine);
        told.iter().map(|why| why.split_once(':').expect("a service").0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(told("linux"), ["service `one`", "service `two`"]);
    assert_eq!(told("windows"), ["service `one`", "service `two`", "service `socket`"]);
}

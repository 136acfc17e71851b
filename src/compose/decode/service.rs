//! Services.

use indexmap::IndexMap;

use super::{
    build::{build, develop},
    deploy::{blkio, deploy, device_request},
    fields::Fields,
    mount::mount,
    network::{networks, port},
    parts::{
        credential_spec, dependency, device, env_file, extra_hosts, file_reference, healthcheck, hook,
        logging, models, provider, ulimits,
    },
};
use crate::project::{Dependency, Service, ServiceOrch};

#[expect(clippy::too_many_lines, reason = "one line for each attribute of the specification")]
pub(super) fn service(name: &str, fields: &Fields<'_>) -> Service {
    let scale = fields.count("scale");
    Service {
        pinned_image: None,
        name: name.to_owned(),
        profiles: fields.texts("profiles"),
        annotations: fields.mapping("annotations"),
        attach: fields.boolean("attach"),
        build: fields.object("build").map(|fields| build(&fields)),
        develop: fields.object("develop").map(|fields| develop(&fields)),
        blkio_config: fields.object("blkio_config").map(|fields| blkio(&fields)),
        cap_add: fields.texts("cap_add"),
        cap_drop: fields.texts("cap_drop"),
        cgroup_parent: fields.text("cgroup_parent"),
        cgroup: fields.text("cgroup"),
        cpu_count: fields.nonzero("cpu_count"),
        cpu_percent: fields.float("cpu_percent"),
        cpu_period: fields.nonzero("cpu_period"),
        cpu_quota: fields.nonzero("cpu_quota"),
        cpu_rt_period: fields.nonzero("cpu_rt_period"),
        cpu_rt_runtime: fields.nonzero("cpu_rt_runtime"),
        cpus: fields.float("cpus"),
        cpuset: fields.text("cpuset"),
        cpu_shares: fields.nonzero("cpu_shares"),
        command: fields.command("command"),
        configs: fields.objects("configs", file_reference),
        container_name: fields.text("container_name"),
        credential_spec: fields.object("credential_spec").map(|fields| credential_spec(&fields)),
        depends_on: depends_on(fields),
        deploy: fields.object("deploy").map(|fields| deploy(&fields, scale)),
        device_cgroup_rules: fields.texts("device_cgroup_rules"),
        devices: fields.objects("devices", device),
        dns: fields.texts("dns"),
        dns_opt: fields.texts("dns_opt"),
        dns_search: fields.texts("dns_search"),
        domainname: fields.text("domainname"),
        entrypoint: fields.command("entrypoint"),
        provider: fields.object("provider").map(|fields| provider(&fields)),
        environment: fields.variables("environment"),
        env_file: fields.objects("env_file", env_file),
        expose: fields.scalars("expose"),
        external_links: fields.texts("external_links"),
        extra_hosts: extra_hosts(fields, "extra_hosts"),
        group_add: fields.texts("group_add"),
        gpus: fields.objects("gpus", device_request),
        hostname: fields.text("hostname"),
        healthcheck: fields.object("healthcheck").map(|fields| healthcheck(&fields)),
        image: fields.text("image"),
        init: fields.boolean("init"),
        ipc: fields.text("ipc"),
        isolation: fields.text("isolation"),
        labels: fields.mapping("labels"),
        label_file: fields.texts("label_file"),
        links: fields.texts("links"),
        logging: fields.object("logging").map(|fields| logging(&fields)),
        mem_limit: fields.bytes("mem_limit"),
        mem_reservation: fields.bytes("mem_reservation"),
        memswap_limit: fields.bytes("memswap_limit"),
        mem_swappiness: fields.bytes("mem_swappiness"),
        mac_address: fields.text("mac_address"),
        models: models(fields),
        network_mode: fields.text("network_mode"),
        networks: networks(fields),
        oom_kill_disable: fields.is_on("oom_kill_disable"),
        oom_score_adj: fields.nonzero("oom_score_adj"),
        pid: fields.text("pid"),
        pids_limit: fields.nonzero("pids_limit"),
        platform: fields.text("platform"),
        ports: fields.objects("ports", port),
        privileged: fields.is_on("privileged"),
        pull_policy: fields.text("pull_policy"),
        read_only: fields.is_on("read_only"),
        restart: fields.text("restart"),
        runtime: fields.text("runtime"),
        scale,
        secrets: fields.objects("secrets", file_reference),
        security_opt: fields.texts("security_opt"),
        shm_size: fields.bytes("shm_size"),
        stdin_open: fields.is_on("stdin_open"),
        stop_grace_period: fields.duration("stop_grace_period"),
        stop_signal: fields.text("stop_signal"),
        storage_opt: fields.plain_mapping("storage_opt"),
        sysctls: fields.mapping("sysctls"),
        tmpfs: fields.texts("tmpfs"),
        tty: fields.is_on("tty"),
        ulimits: ulimits(fields),
        use_api_socket: fields.is_on("use_api_socket"),
        user: fields.text("user"),
        userns_mode: fields.text("userns_mode"),
        uts: fields.text("uts"),
        volumes: fields.objects("volumes", mount),
        volumes_from: fields.texts("volumes_from"),
        working_dir: fields.text("working_dir"),
        post_start: fields.objects("post_start", hook),
        pre_stop: fields.objects("pre_stop", hook),
        extensions: fields.extensions(),
        orch: ServiceOrch::default(),
    }
}

fn depends_on(fields: &Fields<'_>) -> IndexMap<String, Dependency> {
    fields
        .named("depends_on")
        .into_iter()
        .filter_map(|(name, entry)| {
            let path = fields.inner(&format!("depends_on.{name}"));
            Some((name.to_owned(), dependency(&Fields::of(&entry.value, path, fields.problems)?)))
        })
        .collect()
}

//! Services.

use super::{
    parts::{
        BLKIO, BUILD, CREDENTIAL_SPEC, DEPENDS_ON, DEPLOY, DEVELOP, DEVICES, ENV_FILE, EXTENDS, EXTRA_HOSTS,
        FILE_REFERENCES, GPUS, HEALTHCHECK, HOOKS, LABEL_FILE, LOGGING, MODELS, MOUNTS, NETWORKS, PORTS,
        PROVIDER, STORAGE, ULIMITS,
    },
    shape::{
        BOOLEAN, BOOLEAN_OR_TEXT, COMMAND, INTEGER_OR_TEXT, LIST_OF_TEXTS, List, MAP_OR_LIST, NO_SCALAR,
        NUMBER_OR_TEXT, Object, Shape, TEXT, TEXT_OR_LIST,
    },
};

const TEXTS_OR_NUMBERS: Shape = NO_SCALAR.or_list(&List::unique(&NUMBER_OR_TEXT));

pub(super) const SERVICE: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("annotations", MAP_OR_LIST),
    ("attach", BOOLEAN_OR_TEXT),
    ("blkio_config", BLKIO),
    ("build", BUILD),
    ("cap_add", LIST_OF_TEXTS),
    ("cap_drop", LIST_OF_TEXTS),
    ("cgroup", TEXT.one_of(&["host", "private"])),
    ("cgroup_parent", TEXT),
    ("command", COMMAND),
    ("configs", FILE_REFERENCES),
    (
        "container_name",
        TEXT.checked(is_container_name, "two characters or more, the first a letter or digit"),
    ),
    ("cpu_count", INTEGER_OR_TEXT.within(0, i64::MAX)),
    ("cpu_percent", INTEGER_OR_TEXT.within(0, 100)),
    ("cpu_period", NUMBER_OR_TEXT),
    ("cpu_quota", NUMBER_OR_TEXT),
    ("cpu_rt_period", NUMBER_OR_TEXT),
    ("cpu_rt_runtime", NUMBER_OR_TEXT),
    ("cpu_shares", NUMBER_OR_TEXT),
    ("cpus", NUMBER_OR_TEXT),
    ("cpuset", TEXT),
    ("credential_spec", CREDENTIAL_SPEC),
    ("depends_on", DEPENDS_ON),
    ("deploy", DEPLOY),
    ("develop", DEVELOP),
    ("device_cgroup_rules", LIST_OF_TEXTS),
    ("devices", DEVICES),
    ("dns", TEXT_OR_LIST),
    ("dns_opt", LIST_OF_TEXTS),
    ("dns_search", TEXT_OR_LIST),
    ("domainname", TEXT),
    ("entrypoint", COMMAND),
    ("env_file", ENV_FILE),
    ("environment", MAP_OR_LIST),
    ("expose", TEXTS_OR_NUMBERS),
    ("extends", EXTENDS),
    ("external_links", LIST_OF_TEXTS),
    ("extra_hosts", EXTRA_HOSTS),
    ("gpus", GPUS),
    ("group_add", TEXTS_OR_NUMBERS),
    ("healthcheck", HEALTHCHECK),
    ("hostname", TEXT),
    ("image", TEXT),
    ("init", BOOLEAN_OR_TEXT),
    ("ipc", TEXT),
    ("isolation", TEXT),
    ("label_file", LABEL_FILE),
    ("labels", MAP_OR_LIST),
    ("links", LIST_OF_TEXTS),
    ("logging", LOGGING),
    ("mac_address", TEXT),
    ("mem_limit", NUMBER_OR_TEXT),
    ("mem_reservation", INTEGER_OR_TEXT),
    ("mem_swappiness", INTEGER_OR_TEXT),
    ("memswap_limit", NUMBER_OR_TEXT),
    ("models", MODELS),
    ("network_mode", TEXT),
    ("networks", NETWORKS),
    ("oom_kill_disable", BOOLEAN_OR_TEXT),
    ("oom_score_adj", INTEGER_OR_TEXT.within(-1000, 1000)),
    ("pid", TEXT.or_null()),
    ("pids_limit", NUMBER_OR_TEXT),
    ("platform", TEXT),
    ("ports", PORTS),
    ("post_start", HOOKS),
    ("pre_stop", HOOKS),
    ("privileged", BOOLEAN_OR_TEXT),
    ("profiles", LIST_OF_TEXTS),
    ("provider", PROVIDER),
    (
        "pull_policy",
        TEXT.checked(is_pull_policy, "always, never, missing, build, daily, weekly or every_<time>"),
    ),
    ("pull_refresh_after", TEXT),
    ("read_only", BOOLEAN_OR_TEXT),
    ("restart", TEXT),
    ("runtime", TEXT),
    ("scale", INTEGER_OR_TEXT),
    ("secrets", FILE_REFERENCES),
    ("security_opt", LIST_OF_TEXTS),
    ("shm_size", NUMBER_OR_TEXT),
    ("stdin_open", BOOLEAN_OR_TEXT),
    ("stop_grace_period", TEXT),
    ("stop_signal", TEXT),
    ("storage_opt", STORAGE),
    ("sysctls", MAP_OR_LIST),
    ("tmpfs", TEXT_OR_LIST),
    ("tty", BOOLEAN_OR_TEXT),
    ("ulimits", ULIMITS),
    ("use_api_socket", BOOLEAN),
    ("user", TEXT),
    ("userns_mode", TEXT),
    ("uts", TEXT),
    ("volumes", MOUNTS),
    ("volumes_from", LIST_OF_TEXTS),
    ("working_dir", TEXT),
]));

/// A name of at least two characters somewhere in the text: Compose asks no more.
fn is_container_name(text: &str) -> bool {
    text.as_bytes().windows(2).any(|pair| {
        pair[0].is_ascii_alphanumeric() && (pair[1].is_ascii_alphanumeric() || b"_.-".contains(&pair[1]))
    })
}

/// One of the words somewhere in the text: Compose asks no more.
fn is_pull_policy(text: &str) -> bool {
    const WORDS: [&str; 8] =
        ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    let every = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(['w', 'd', 'h', 'm', 's'])
    };
    WORDS.iter().any(|word| text.contains(word)) || text.split("every_").skip(1).any(every)
}

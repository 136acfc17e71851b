//! What stands inside services.

use super::shape::{
    ANYTHING, BOOLEAN, BOOLEAN_OR_TEXT, COMMAND, DRIVER_OPTIONS, INTEGER_OR_TEXT, LIST_OF_REPEATING,
    LIST_OF_TEXTS, List, MAP_OR_LIST, NO_SCALAR, NUMBER, NUMBER_OR_TEXT, Object, PLAIN, REPEATING, Shape,
    TEXT, TEXT_OR_LIST, is_name, not_empty,
};

pub(super) const BUILD: Shape = TEXT.or_mapping(&Object::of(&[
    ("additional_contexts", MAP_OR_LIST),
    ("args", MAP_OR_LIST),
    ("cache_from", LIST_OF_REPEATING),
    ("cache_to", LIST_OF_REPEATING),
    ("context", TEXT),
    ("dockerfile", TEXT),
    ("dockerfile_inline", TEXT),
    ("entitlements", LIST_OF_REPEATING),
    ("extra_hosts", EXTRA_HOSTS),
    ("isolation", TEXT),
    ("labels", MAP_OR_LIST),
    ("network", TEXT),
    ("no_cache", BOOLEAN_OR_TEXT),
    ("platforms", LIST_OF_REPEATING),
    ("privileged", BOOLEAN_OR_TEXT),
    ("provenance", BOOLEAN_OR_TEXT),
    ("pull", BOOLEAN_OR_TEXT),
    ("sbom", BOOLEAN_OR_TEXT),
    ("secrets", FILE_REFERENCES),
    ("shm_size", INTEGER_OR_TEXT),
    ("ssh", MAP_OR_LIST),
    ("tags", LIST_OF_REPEATING),
    ("target", TEXT),
    ("ulimits", ULIMITS),
]));

pub(super) const BLKIO: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        ("device_read_bps", THROTTLES),
        ("device_read_iops", THROTTLES),
        ("device_write_bps", THROTTLES),
        ("device_write_iops", THROTTLES),
        ("weight", INTEGER_OR_TEXT),
        ("weight_device", NO_SCALAR.or_list(&List::of(&WEIGHT))),
    ])
    .without_extensions(),
);
const THROTTLES: Shape = NO_SCALAR.or_list(&List::of(&THROTTLE));
const THROTTLE: Shape =
    NO_SCALAR.or_mapping(&Object::of(&[("path", TEXT), ("rate", INTEGER_OR_TEXT)]).without_extensions());
const WEIGHT: Shape =
    NO_SCALAR.or_mapping(&Object::of(&[("path", TEXT), ("weight", INTEGER_OR_TEXT)]).without_extensions());

pub(super) const CREDENTIAL_SPEC: Shape =
    NO_SCALAR.or_mapping(&Object::of(&[("config", TEXT), ("file", TEXT), ("registry", TEXT)]));

pub(super) const DEPENDS_ON: Shape = LIST_OF_TEXTS.or_mapping(&Object::named(is_name, &DEPENDENCY));
const DEPENDENCY: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        ("condition", TEXT.one_of(&["service_started", "service_healthy", "service_completed_successfully"])),
        ("required", BOOLEAN),
        ("restart", BOOLEAN_OR_TEXT),
    ])
    .requiring(&["condition"]),
);

pub(super) const DEPLOY: Shape = NO_SCALAR.or_null().or_mapping(&Object::of(&[
    ("endpoint_mode", TEXT),
    ("labels", MAP_OR_LIST),
    ("mode", TEXT),
    ("placement", PLACEMENT),
    ("replicas", INTEGER_OR_TEXT),
    ("resources", RESOURCES),
    ("restart_policy", RESTART_POLICY),
    ("rollback_config", UPDATE_CONFIG),
    ("update_config", UPDATE_CONFIG),
]));
const UPDATE_CONFIG: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("delay", TEXT),
    ("failure_action", TEXT),
    ("max_failure_ratio", NUMBER_OR_TEXT),
    ("monitor", TEXT),
    ("order", TEXT.one_of(&["start-first", "stop-first"])),
    ("parallelism", INTEGER_OR_TEXT),
]));
const RESOURCES: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    (
        "limits",
        NO_SCALAR.or_mapping(&Object::of(&[
            ("cpus", NUMBER_OR_TEXT),
            ("memory", TEXT),
            ("pids", INTEGER_OR_TEXT),
        ])),
    ),
    (
        "reservations",
        NO_SCALAR.or_mapping(&Object::of(&[
            ("cpus", NUMBER_OR_TEXT),
            ("devices", NO_SCALAR.or_list(&List::of(&DEVICE_REQUEST))),
            ("generic_resources", NO_SCALAR.or_list(&List::of(&GENERIC_RESOURCE))),
            ("memory", TEXT),
        ])),
    ),
]));
const GENERIC_RESOURCE: Shape = NO_SCALAR.or_mapping(&Object::of(&[(
    "discrete_resource_spec",
    NO_SCALAR.or_mapping(&Object::of(&[("kind", TEXT), ("value", NUMBER_OR_TEXT)])),
)]));
const RESTART_POLICY: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("condition", TEXT),
    ("delay", TEXT),
    ("max_attempts", INTEGER_OR_TEXT),
    ("window", TEXT),
]));
const PLACEMENT: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("constraints", LIST_OF_REPEATING),
    ("max_replicas_per_node", INTEGER_OR_TEXT),
    ("preferences", NO_SCALAR.or_list(&List::of(&PREFERENCE))),
]));
const PREFERENCE: Shape = NO_SCALAR.or_mapping(&Object::of(&[("spread", TEXT)]));

const REQUEST_FIELDS: &[(&str, Shape)] = &[
    ("capabilities", LIST_OF_TEXTS),
    ("count", INTEGER_OR_TEXT),
    ("device_ids", LIST_OF_TEXTS),
    ("driver", TEXT),
    ("options", MAP_OR_LIST),
];
const DEVICE_REQUEST: Shape = NO_SCALAR.or_mapping(&Object::of(REQUEST_FIELDS).requiring(&["capabilities"]));
/// Unknown keys pass: the specification forgets to refuse them.
pub(super) const GPUS: Shape = TEXT
    .one_of(&["all"])
    .or_list(&List::of(&NO_SCALAR.or_mapping(&Object::of(REQUEST_FIELDS).ignoring_others())));

pub(super) const DEVELOP: Shape =
    NO_SCALAR.or_null().or_mapping(&Object::of(&[("watch", NO_SCALAR.or_list(&List::of(&WATCH)))]));
const WATCH: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        ("action", TEXT.one_of(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
        ("exec", HOOK),
        ("ignore", TEXT_OR_LIST),
        ("include", TEXT_OR_LIST),
        ("initial_sync", BOOLEAN),
        ("path", TEXT),
        ("target", TEXT),
    ])
    .requiring(&["path", "action"]),
);

pub(super) const HOOKS: Shape = NO_SCALAR.or_list(&List::of(&HOOK));
const HOOK: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        ("command", COMMAND),
        ("environment", MAP_OR_LIST),
        ("privileged", BOOLEAN_OR_TEXT),
        ("user", TEXT),
        ("working_dir", TEXT),
    ])
    .requiring(&["command"]),
);

pub(super) const DEVICES: Shape = NO_SCALAR.or_list(&List::of(&TEXT.or_mapping(
    &Object::of(&[("permissions", TEXT), ("source", TEXT), ("target", TEXT)]).requiring(&["source"]),
)));

pub(super) const ENV_FILE: Shape = TEXT.or_list(&List::of(
    &TEXT.or_mapping(
        &Object::of(&[("format", TEXT), ("path", TEXT), ("required", BOOLEAN_OR_TEXT)])
            .requiring(&["path"])
            .without_extensions(),
    ),
));
pub(super) const LABEL_FILE: Shape = TEXT.or_list(&REPEATING);

pub(super) const EXTENDS: Shape = TEXT.or_mapping(
    &Object::of(&[("file", TEXT), ("service", TEXT)]).requiring(&["service"]).without_extensions(),
);

pub(super) const EXTRA_HOSTS: Shape =
    LIST_OF_TEXTS.or_mapping(&Object::named(not_empty, &TEXT.or_list(&REPEATING)));

pub(super) const FILE_REFERENCES: Shape = NO_SCALAR.or_list(&List::of(&TEXT.or_mapping(&Object::of(&[
    ("gid", TEXT),
    ("mode", NUMBER_OR_TEXT),
    ("source", TEXT),
    ("target", TEXT),
    ("uid", TEXT),
]))));

pub(super) const HEALTHCHECK: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("disable", BOOLEAN_OR_TEXT),
    ("interval", TEXT),
    ("retries", NUMBER_OR_TEXT),
    ("start_interval", TEXT),
    ("start_period", TEXT),
    ("test", TEXT.or_list(&REPEATING)),
    ("timeout", TEXT),
]));

pub(super) const LOGGING: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("driver", TEXT),
    ("options", NO_SCALAR.or_mapping(&Object::named(not_empty, &NUMBER_OR_TEXT.or_null()).ignoring_others())),
]));

pub(super) const MODELS: Shape =
    LIST_OF_TEXTS.or_mapping(&Object::named(is_name, &MODEL_REFERENCE).ignoring_others());
const MODEL_REFERENCE: Shape =
    NO_SCALAR.or_null().or_mapping(&Object::of(&[("endpoint_var", TEXT), ("model_var", TEXT)]));

pub(super) const NETWORKS: Shape = LIST_OF_TEXTS.or_mapping(&Object::named(is_name, &ENDPOINT));
const ENDPOINT: Shape = NO_SCALAR.or_null().or_mapping(&Object::of(&[
    ("aliases", LIST_OF_TEXTS),
    ("driver_opts", DRIVER_OPTIONS),
    ("gw_priority", NUMBER),
    ("interface_name", TEXT),
    ("ipv4_address", TEXT),
    ("ipv6_address", TEXT),
    ("link_local_ips", LIST_OF_TEXTS),
    ("mac_address", TEXT),
    ("priority", NUMBER),
]));

pub(super) const PORTS: Shape = NO_SCALAR.or_list(&List::unique(&NUMBER_OR_TEXT.or_mapping(&Object::of(&[
    ("app_protocol", TEXT),
    ("host_ip", TEXT),
    ("mode", TEXT),
    ("name", TEXT),
    ("protocol", TEXT),
    ("published", INTEGER_OR_TEXT),
    ("target", INTEGER_OR_TEXT),
]))));

pub(super) const PROVIDER: Shape = NO_SCALAR.or_mapping(
    &Object::of(&[
        (
            "options",
            NO_SCALAR
                .or_mapping(&Object::named(not_empty, &PLAIN.or_list(&List::of(&PLAIN))).ignoring_others()),
        ),
        ("type", TEXT),
    ])
    .requiring(&["type"]),
);

pub(super) const STORAGE: Shape = NO_SCALAR.or_mapping(&Object::named(|_| true, &ANYTHING));

/// Names other than letters pass unseen: the specification forgets to refuse them.
pub(super) const ULIMITS: Shape =
    NO_SCALAR.or_mapping(&Object::named(is_limit_name, &ULIMIT).ignoring_others());
const ULIMIT: Shape = INTEGER_OR_TEXT.or_mapping(
    &Object::of(&[("hard", INTEGER_OR_TEXT), ("soft", INTEGER_OR_TEXT)]).requiring(&["soft", "hard"]),
);

fn is_limit_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase())
}

pub(super) const MOUNTS: Shape = NO_SCALAR.or_list(&List::unique(
    &TEXT.or_mapping(
        &Object::of(&[
            ("bind", BIND),
            ("consistency", TEXT),
            ("image", NO_SCALAR.or_mapping(&Object::of(&[("subpath", TEXT)]))),
            ("read_only", BOOLEAN_OR_TEXT),
            ("source", TEXT),
            ("target", TEXT),
            (
                "tmpfs",
                NO_SCALAR.or_mapping(&Object::of(&[
                    ("mode", NUMBER_OR_TEXT),
                    ("size", INTEGER_OR_TEXT.within(0, i64::MAX)),
                ])),
            ),
            ("type", TEXT.one_of(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
            (
                "volume",
                NO_SCALAR.or_mapping(&Object::of(&[
                    ("labels", MAP_OR_LIST),
                    ("nocopy", BOOLEAN_OR_TEXT),
                    ("subpath", TEXT),
                ])),
            ),
        ])
        .requiring(&["type"]),
    ),
));
const BIND: Shape = NO_SCALAR.or_mapping(&Object::of(&[
    ("create_host_path", BOOLEAN_OR_TEXT),
    ("propagation", TEXT),
    ("recursive", TEXT.one_of(&["enabled", "disabled", "writable", "readonly"])),
    ("selinux", TEXT.one_of(&["z", "Z"])),
]));

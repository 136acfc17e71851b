//! Every key of the language, once.

use super::{
    demand_keys::{COLD, GPU, IDLE, KEEPS, LOADS, ON_DEMAND, ROUTE, ROUTER, TENANT, TIER, VRAM},
    shape::{Key, Shape},
};

const COUNT: Shape = Shape::Whole(0, u32::MAX as i64);
/// A number that is not 0.
pub(super) const FROM_ONE: Shape = Shape::Whole(1, u32::MAX as i64);
/// A port.
pub(super) const PORT: Shape = Shape::Whole(1, 65_535);
const NAMES: Shape = Shape::List(&Shape::Text);
const COMMAND: Shape = Shape::OneOf(&[NAMES, Shape::Text]);

/// The top-level `x-orch`.
pub(super) const PROJECT: Shape = Shape::Object(&[
    Key::new("waves", WAVES, "Groups of services, each started when the one before is ready"),
    Key::new("startup", Shape::Object(STARTUP), "How the start is driven"),
    Key::new("on_failure", Shape::Word(ON_FAILURE), "What happens when something critical fails"),
    Key::new("rollback", Shape::Object(ROLLBACK), "What is watched after ready"),
    Key::new(
        "on_demand",
        Shape::Object(ON_DEMAND),
        "How services that are loaded on demand share what there is",
    ),
    Key::new("gpu", Shape::Object(GPU), "What may be taken of the machine's GPUs"),
    Key::new(
        "routers",
        Shape::Map(&Shape::Object(ROUTER)),
        "Addresses that stand for several services, by name",
    ),
    Key::new("tiers", Shape::Map(&Shape::Object(TIER)), "What tenants may have, by name"),
    Key::new(
        "tenants",
        Shape::Map(&Shape::Object(TENANT)),
        "Whom services that are loaded on demand are served to, by name; `default` is whoever sends no key. Default \
         everybody",
    ),
]);

/// Words of `on_failure`, the default first.
pub(super) const ON_FAILURE: &[&str] = &["rollback", "teardown", "stop", "keep"];
/// Words of `startup.mode`.
pub(super) const MODES: &[&str] = &["waves", "graph", "sequential"];

const WAVES: Shape = Shape::OneOf(&[
    Shape::List(&Shape::Object(WAVE_WITH_NAME)),
    Shape::Map(&Shape::OneOf(&[NAMES, Shape::Object(WAVE)])),
]);

const WAVE: &[Key] = &[
    Key::new("services", NAMES, "Started together; the same as `parallel`"),
    Key::new("parallel", NAMES, "Started together, beside the sequential ones"),
    Key::new("sequential", NAMES, "Started one after the other, each ready before the next"),
    Key::new("ready_when", Shape::Share, "How much of the wave's critical part must be ready; default all"),
    Key::new("timeout", Shape::Duration, "From the wave's opening until it is ready"),
];

const WAVE_WITH_NAME: &[Key] =
    &[Key::new("name", Shape::Text, "Unique in the project"), WAVE[0], WAVE[1], WAVE[2], WAVE[3], WAVE[4]];

const STARTUP: &[Key] = &[
    Key::new(
        "mode",
        Shape::Word(MODES),
        "What decides the order; default waves where waves are given, else graph",
    ),
    Key::new(
        "max_parallel",
        Shape::OneOf(&[FROM_ONE, Shape::Word(&["auto"])]),
        "Starts in flight; auto follows what the engine sustains",
    ),
    Key::new(
        "timeout",
        Shape::Duration,
        "Until everything must be ready; default 5m, and what the services' own deadlines need beside that",
    ),
];

const ROLLBACK: &[Key] = &[
    Key::new(
        "window",
        Shape::Duration,
        "How long after ready it goes on watching; until then the old containers are kept; default 0s",
    ),
    Key::new(
        "conditions",
        Shape::List(&Shape::Object(CONDITION)),
        "What rolls back inside the window, beside a critical service that becomes unhealthy",
    ),
];

const CONDITION: &[Key] = &[
    Key::new(
        "condition",
        Shape::Text,
        "critical_service_unhealthy, health_check_failures > 50% (of all checks since ready) or error_rate > 10% (as a \
         critical service's health report says)",
    ),
    Key::new(
        "action",
        Shape::Word(ACTIONS),
        "gradual_rollback: one service at a time; default immediate_rollback",
    ),
];

/// Words of a condition's `action`, the default first.
pub(super) const ACTIONS: &[&str] = &["immediate_rollback", "gradual_rollback"];

/// A service's `x-orch`.
pub(super) const SERVICE: Shape = Shape::Object(&[
    Key::new("wave", Shape::Text, "The wave it belongs to"),
    Key::new(
        "critical",
        Shape::Bool,
        "false: its failure degrades the project and never fails it; default true",
    ),
    Key::new("start", Shape::Object(START), "How its start is tried again"),
    Key::new("resources", Shape::Object(RESOURCES), "What must be free before it starts"),
    Key::new(
        "health_check",
        Shape::OneOf(&[Shape::Object(HEALTH_CHECK), Shape::Word(RECIPES)]),
        "When it is ready, and how it is watched after that; auto, or the name of a model server: its recipe",
    ),
    Key::new("depends_on", Shape::Map(&Shape::Object(DEPENDENCY)), "What Compose's depends_on cannot say"),
    Key::new("rerun", Shape::Word(&["always", "on_change"]), "always: a one-shot runs again on every up"),
    Key::new(
        "load",
        Shape::Word(LOADS),
        "What makes it start: the first request, `up` with its wave, or somebody by hand; default Compose's rules",
    ),
    Key::new("vram", VRAM, "GPU memory that it needs, in all or on each of its GPUs"),
    Key::new(
        "idle",
        Shape::OneOf(&[Shape::Object(IDLE), Shape::Duration]),
        "How long after the last byte of its last connection it is stopped",
    ),
    Key::new("routes", Shape::List(&Shape::Object(ROUTE)), "Ways to it; default its published ports"),
    Key::new("cold", Shape::Object(COLD), "What becomes of requests while it is not ready"),
    Key::new(
        "keep",
        Shape::Word(KEEPS),
        "How hard it is to evict: always stays, prefer goes only where others are not enough, never goes first",
    ),
    Key::new(
        "priority",
        Shape::Whole(-1000, 1000),
        "Higher: loaded before others, and not evicted for lower ones; default 0",
    ),
    Key::new("job", Shape::Any, "Makes it a template for short-lived workers").later(),
]);

const START: &[Key] = &[
    Key::new("retries", COUNT, "Further tries after the first; default 0"),
    Key::new("backoff", Shape::Duration, "Before the first further try, doubling each time; default 1s"),
    Key::new("max_backoff", Shape::Duration, "The longest pause between tries; default 30s"),
    Key::new("timeout", Shape::Duration, "From the first try until ready; default the startup timeout"),
];

const RESOURCES: &[Key] = &[Key::new("vram", VRAM, "The same as `vram` beside it: GPU memory that it needs")];

const DEPENDENCY: &[Key] = &[
    Key::new("stage", Shape::Text, "A stage of that service, rather than its whole readiness"),
    Key::new("check", Shape::Object(CHECK), "Something outside the project that must answer"),
    Key::new(
        "required",
        Shape::Bool,
        "false: it starts all the same, and the project is degraded; a check is then waited for as long as \
         failure_threshold intervals take; default true",
    ),
];

/// Words of `recipe`.
const RECIPES: &[&str] = &super::recipe::WORDS;

/// Words of `container`.
pub(super) const CONTAINER: &[&str] = &["running", "healthy", "exited"];

const TYPES: &[&str] = &["http", "tcp", "grpc", "exec", "log", "container", "service", "composite", "staged"];

const HTTP: Shape = Shape::OneOf(&[
    PORT,
    Shape::Object(&[
        Key::new("url", Shape::Text, "/path, :port/path or a whole URL"),
        Key::new("port", PORT, "Where the url has none"),
        Key::new("method", Shape::Text, "Default GET"),
        Key::new("headers", Shape::Map(&Shape::Text), "Sent as they are"),
        Key::new("body", Shape::Text, "Sent as the request's body"),
        Key::new(
            "status",
            Shape::OneOf(&[Shape::List(&Shape::Text), Shape::Text]),
            "Accepted status codes: 200, 2xx, 200-399, or a list; default 2xx",
        ),
        Key::new("body_contains", Shape::Text, "Must occur in the answer's body"),
        Key::new("json", Shape::Map(&Shape::Any), "Paths in the answer and the values they must have"),
    ]),
    Shape::Text,
]);

const GRPC: Shape = Shape::OneOf(&[
    PORT,
    Shape::Object(&[
        Key::new("port", PORT, "Of the server"),
        Key::new("service", Shape::Text, "Empty: the server as a whole"),
    ]),
]);

const BREAKER: &[Key] = &[
    Key::new("failures", FROM_ONE, "In a row until it opens; default the failure_threshold"),
    Key::new("open", Shape::Duration, "How long it stays open; default 60s"),
];

const PROGRESS: &[Key] = &[
    Key::new("log", Shape::Text, "A pattern; a match with another first group than before is progress"),
    Key::new("extend", Shape::Duration, "The deadline is at least this long after progress; default 60s"),
    Key::new("at_most", Shape::Duration, "From the stage's beginning, whatever the log says; default 15m"),
];

const DEPENDENCY_CHECK: &[Key] = &[
    Key::new("service", Shape::Text, "The other service"),
    Key::new("endpoint", Shape::Text, "Asked by HTTP; without it the service must be ready"),
    Key::new("name", Shape::Text, "Shown to the user"),
    Key::new("stage", Shape::Text, "A stage of the other service"),
    Key::new("port", PORT, "Where the endpoint has none"),
    Key::new("interval", Shape::Duration, "Between two probes of a ready service"),
    Key::new("timeout", Shape::Duration, "Of one probe"),
    Key::new("critical", Shape::Bool, "false: its failure degrades"),
    FAILURES,
    BREAKER_KEY,
];

const NAME: Key = Key::new("name", Shape::Text, "Shown to the user");
const TYPE: Key = Key::new("type", Shape::Word(TYPES), "May be left out where the other keys show it");
const HTTP_KEY: Key = Key::new("http", HTTP, "The answer's status is 2xx, or as given");
const TCP: Key = Key::new("tcp", Shape::OneOf(&[PORT, Shape::Text]), "The port accepts a connection");
const GRPC_KEY: Key = Key::new("grpc", GRPC, "The standard gRPC health service says SERVING");
const EXEC: Key = Key::new("exec", COMMAND, "The command in the container exits with 0");
const TEST: Key = Key::new("test", COMMAND, "As in Compose's healthcheck");
const LOG: Key = Key::new("log", Shape::Text, "A line of the container's log matches, since its start");
const CONTAINER_KEY: Key = Key::new("container", Shape::Word(CONTAINER), "The engine says so");
const SERVICE_KEY: Key = Key::new("service", Shape::Text, "Another service, ready or answering");
const STAGE_KEY: Key = Key::new("stage", Shape::Text, "A stage of that other service");
const ENDPOINT: Key = Key::new("endpoint", Shape::Text, "The url of an HTTP check");
const PORT_KEY: Key = Key::new("port", PORT, "Where the check has none");
const COMMAND_KEY: Key = Key::new("command", COMMAND, "The command of an exec check");
const PATTERN: Key = Key::new("pattern", Shape::Text, "The pattern of a log check");
const INTERVAL: Key =
    Key::new("interval", Shape::Duration, "Between two probes of a ready service; default 10s");
const TIMEOUT: Key = Key::new("timeout", Shape::Duration, "Of one probe; default 5s");
const STAGE_TIMEOUT: Key =
    Key::new("timeout", Shape::Duration, "From the stage's beginning until it has passed");
const RETRIES: Key = Key::new("retries", FROM_ONE, "The same as failure_threshold");
const START_PERIOD: Key = Key::new("start_period", Shape::Duration, "Failures this early do not count");
const SUCCESSES: Key =
    Key::new("success_threshold", FROM_ONE, "Successes in a row that make it pass; default 1");
const FAILURES: Key =
    Key::new("failure_threshold", FROM_ONE, "Failures in a row that make it fail; default 3");
const CRITICAL: Key = Key::new("critical", Shape::Bool, "false: its failure degrades; default true");
const BREAKER_KEY: Key = Key::new(
    "breaker",
    Shape::Object(BREAKER),
    "Leaves a check on another service, or on something outside, alone for a while after failures in a row",
);
const REQUIRE: Key =
    Key::new("require", Shape::Share, "How many of the critical checks must pass; default all");
const CHECKS: Key = Key::new("checks", Shape::List(&Shape::Object(CHECK)), "Checked together");
const DEPENDENCIES: Key = Key::new(
    "dependency_checks",
    Shape::List(&Shape::Object(DEPENDENCY_CHECK)),
    "Other services that must answer too",
);
const PROGRESS_KEY: Key =
    Key::new("progress", Shape::Object(PROGRESS), "The stage's deadline waits while its log moves");
const RECIPE: Key = Key::new(
    "recipe",
    Shape::Word(RECIPES),
    "The stages of a known model server; auto: the one of the service's image",
);

/// One check.
pub(super) const CHECK: &[Key] = &[
    NAME,
    TYPE,
    HTTP_KEY,
    TCP,
    GRPC_KEY,
    EXEC,
    TEST,
    LOG,
    CONTAINER_KEY,
    SERVICE_KEY,
    STAGE_KEY,
    ENDPOINT,
    PORT_KEY,
    COMMAND_KEY,
    PATTERN,
    INTERVAL,
    TIMEOUT,
    RETRIES,
    START_PERIOD,
    SUCCESSES,
    FAILURES,
    CRITICAL,
    BREAKER_KEY,
];

/// A stage: its checks, or one check of its own.
const STAGE: &[Key] = &[
    NAME,
    TYPE,
    HTTP_KEY,
    TCP,
    GRPC_KEY,
    EXEC,
    TEST,
    LOG,
    CONTAINER_KEY,
    SERVICE_KEY,
    STAGE_KEY,
    ENDPOINT,
    PORT_KEY,
    COMMAND_KEY,
    PATTERN,
    INTERVAL,
    STAGE_TIMEOUT,
    RETRIES,
    START_PERIOD,
    SUCCESSES,
    FAILURES,
    CRITICAL,
    BREAKER_KEY,
    REQUIRE,
    CHECKS,
    PROGRESS_KEY,
];

/// What goes on after ready: its checks, or one check of its own.
const LIVENESS: &[Key] = &[
    NAME,
    TYPE,
    HTTP_KEY,
    TCP,
    GRPC_KEY,
    EXEC,
    TEST,
    LOG,
    CONTAINER_KEY,
    SERVICE_KEY,
    STAGE_KEY,
    ENDPOINT,
    PORT_KEY,
    COMMAND_KEY,
    PATTERN,
    INTERVAL,
    TIMEOUT,
    RETRIES,
    START_PERIOD,
    SUCCESSES,
    FAILURES,
    CRITICAL,
    BREAKER_KEY,
    REQUIRE,
    CHECKS,
];

/// A whole health check: single, composite or staged.
pub(super) const HEALTH_CHECK: &[Key] = &[
    NAME,
    TYPE,
    HTTP_KEY,
    TCP,
    GRPC_KEY,
    EXEC,
    TEST,
    LOG,
    CONTAINER_KEY,
    SERVICE_KEY,
    STAGE_KEY,
    ENDPOINT,
    PORT_KEY,
    COMMAND_KEY,
    PATTERN,
    INTERVAL,
    TIMEOUT,
    RETRIES,
    START_PERIOD,
    SUCCESSES,
    FAILURES,
    CRITICAL,
    BREAKER_KEY,
    REQUIRE,
    CHECKS,
    DEPENDENCIES,
    PROGRESS_KEY,
    RECIPE,
    Key::new("stages", Shape::List(&Shape::Object(STAGE)), "Passed in order, each once"),
    Key::new("liveness", Shape::Object(LIVENESS), "Checked after ready; default the last stage"),
];

//! The keys of services that are loaded on demand.

use super::{
    keys::{FROM_ONE, PORT},
    shape::{Key, Shape},
};

/// Words of `load`.
pub(super) const LOADS: &[&str] = &["on_demand", "preload", "manual"];
/// Words of `keep`.
pub(super) const KEEPS: &[&str] = &["always", "prefer", "never"];
/// Words of `cold.mode`, the default first.
pub(super) const MODES: &[&str] = &["hold", "page", "reject", "sse"];
/// Words of `evict`.
pub(super) const EVICTS: &[&str] = &["cost", "lru", "largest"];

const NAMES: Shape = Shape::List(&Shape::Text);

/// GPU memory.
pub(super) const VRAM: Shape =
    Shape::OneOf(&[Shape::Object(&[Key::new("per_gpu", Shape::Size, "On each of its GPUs")]), Shape::Size]);

pub(super) const IDLE: &[Key] = &[
    Key::new("stop_after", Shape::Duration, "Until it is stopped; default the project's idle_timeout"),
    Key::new("sleep_after", Shape::Duration, "Until it gives its memory back and stays").later(),
];

pub(super) const ROUTE: &[Key] = &[
    Key::new("port", PORT, "The container's port; default the only one that it has"),
    Key::new("protocol", Shape::Word(&["http", "tcp"]), "What is spoken; default http"),
    Key::new("host", Shape::Text, "Only requests to this host"),
    Key::new("path", Shape::Text, "Only requests below this path"),
    Key::new("router", Shape::Text, "One of the project's routers, rather than a published port"),
    Key::new("models", NAMES, "Names that the router picks it by; default the service's name"),
    Key::new(
        "wake_on",
        Shape::Word(&["data", "connect"]),
        "What on a TCP connection loads it: the client's first byte (default), or the connection itself",
    ),
    Key::new(
        "pass_key",
        Shape::Bool,
        "true: where tenants are named, the service gets the key that its client sends, too; default false",
    ),
];

pub(super) const COLD: &[Key] = &[
    Key::new(
        "mode",
        Shape::Word(MODES),
        "hold the request (default), show a page that asks again, reject it with the time to come again, or keep a stream \
         of events alive",
    ),
    Key::new("max_wait", Shape::Duration, "How long a request waits at most; default 10m"),
    Key::new("queue", FROM_ONE, "How many wait at most; default 512"),
];

pub(super) const ON_DEMAND: &[Key] = &[
    Key::new("max_loaded", FROM_ONE, "How many are loaded at once; default as many as fit"),
    Key::new(
        "evict",
        Shape::Word(EVICTS),
        "Which goes first: idle longest for what its reload takes (cost, the default), idle longest, or the largest",
    ),
    Key::new("min_resident", Shape::Duration, "How long after its load none is evicted; default 1m"),
    Key::new("idle_timeout", Shape::Duration, "How long one is idle before it is stopped; default 30m"),
];

pub(super) const GPU: &[Key] = &[
    Key::new(
        "budget",
        Shape::OneOf(&[Shape::Map(&Shape::Size), Shape::Size]),
        "The most that services take of each GPU, or by its UUID and `default`; default all of it",
    ),
    Key::new("reserve", Shape::Size, "Left free on each GPU, whatever is asked for; default 0"),
    Key::new(
        "settle",
        Shape::Object(&[
            Key::new("timeout", Shape::Duration, "At most; default 15s"),
            Key::new("fraction", Shape::Fraction, "Until so much of it is free again; default 0.75"),
        ]),
        "How the memory of what was stopped is waited for",
    ),
    Key::new("loads_per_device", FROM_ONE, "Loads that go on at once on one GPU; default 1"),
];

pub(super) const ROUTER: &[Key] = &[
    Key::new("listen", Shape::Text, "ADDRESS:PORT, or a port on this machine alone"),
    Key::new("by", Shape::Word(&["model"]), "What in a request picks the service: the `model` of its body"),
    Key::new("alias", Shape::Map(&Shape::Text), "Further names, each for one of a route's models"),
];

pub(super) const TIER: &[Key] = &[Key::new(
    "requests",
    Shape::Object(&[Key::new(
        "inflight",
        FROM_ONE,
        "At the same time, each until the last byte of its answer; default any number",
    )]),
    "What a tenant may have of requests",
)];

pub(super) const TENANT: &[Key] = &[
    Key::new("tier", Shape::Text, "What it may have, one of `tiers`; default as much as it likes"),
    Key::new(
        "key_file",
        Shape::Text,
        "The file with the key that it sends, relative to the project's folder",
    ),
    Key::new("key_env", Shape::Text, "The variable with that key, rather than a file"),
];

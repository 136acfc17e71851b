//! What a file says of services that are loaded on demand, and what of it contradicts itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use indexmap::IndexMap;

use super::{
    check::{Reference, count, duration},
    shape::{boolean, fraction, text, whole},
};
use crate::{
    compose::{
        tree::{Entry, Node},
        units,
    },
    diagnostic::{Diagnostic, did_you_mean},
    project::{
        Bytes, Cold, ColdMode, Evict, Gpu, Idle, Keep, Load, OnDemand, Orch, Project, Protocol, Route,
        RouteBy, Router, Service, ServiceOrch, Settle, Vram, WakeOn,
    },
};

/// Keys of a service that say something only of one that is loaded on demand.
const NEED_LOAD: [&str; 5] = ["idle", "routes", "cold", "keep", "priority"];

/// What a key says, unless that is nothing.
pub(super) fn is_set<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.get(key).filter(|node| !node.is_null())
}

pub(super) fn word(node: &Node, key: &str) -> Option<String> {
    is_set(node, key).map(text)
}

fn size(node: &Node) -> Option<Bytes> {
    units::bytes(&text(node)).ok().map(Bytes)
}

/// Reads a service's own keys into `orch`.
pub(super) fn service(node: &Node, orch: &mut ServiceOrch, problems: &mut Vec<Diagnostic>) {
    orch.load = match word(node, "load").as_deref() {
        Some("on_demand") => Some(Load::OnDemand),
        Some("preload") => Some(Load::Preload),
        Some("manual") => Some(Load::Manual),
        _ => None,
    };
    orch.vram = vram(node, problems);
    orch.idle = match is_set(node, "idle") {
        Some(idle) if idle.as_mapping().is_some() => Idle { stop_after: duration(idle, "stop_after") },
        Some(_) => Idle { stop_after: duration(node, "idle") },
        None => Idle::default(),
    };
    let routes = is_set(node, "routes").into_iter().flat_map(Node::items);
    orch.routes = routes.map(|route| read_route(route, problems)).collect();
    orch.cold = is_set(node, "cold").map(cold).unwrap_or_default();
    orch.keep = match word(node, "keep").as_deref() {
        Some("always") => Keep::Always,
        Some("prefer") => Keep::Prefer,
        Some("never") => Keep::Never,
        _ => Keep::Normal,
    };
    orch.priority =
        is_set(node, "priority").and_then(whole).and_then(|n| i32::try_from(n).ok()).unwrap_or_default();
}

fn vram(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vram> {
    let (own, older) = (is_set(node, "vram"), node.at(&["resources", "vram"]).filter(|node| !node.is_null()));
    if let (Some(own), Some(older)) = (own, older) {
        let problem = Diagnostic::error("two-sizes", "`vram` is given twice").at(own.span, "");
        problems.push(problem.at(older.span, "the other one").help("keep one of them"));
    }
    let given = own.or(older)?;
    if given.as_mapping().is_none() {
        return size(given).map(Vram::InAll);
    }
    let each = is_set(given, "per_gpu").and_then(size);
    if each.is_none() {
        let problem = Diagnostic::error("missing-size", "`vram` does not say how much").at(given.span, "");
        problems.push(problem.help("write `vram: 18GiB`, or `vram: {per_gpu: 18GiB}`"));
    }
    each.map(Vram::PerGpu)
}

fn cold(node: &Node) -> Cold {
    let plain = Cold::default();
    Cold {
        mode: match word(node, "mode").as_deref() {
            Some("page") => ColdMode::Page,
            Some("reject") => ColdMode::Reject,
            Some("sse") => ColdMode::Sse,
            _ => ColdMode::Hold,
        },
        max_wait: duration(node, "max_wait").unwrap_or(plain.max_wait),
        queue: count(node, "queue").unwrap_or(plain.queue),
    }
}

fn read_route(node: &Node, problems: &mut Vec<Diagnostic>) -> Route {
    let tcp = word(node, "protocol").as_deref() == Some("tcp");
    let names = is_set(node, "models").into_iter().flat_map(Node::items);
    let route = Route {
        port: is_set(node, "port").and_then(whole).and_then(|port| u16::try_from(port).ok()),
        protocol: if tcp { Protocol::Tcp } else { Protocol::Http },
        host: word(node, "host"),
        path: word(node, "path"),
        router: word(node, "router"),
        models: names.map(text).collect(),
        wake_on: if word(node, "wake_on").as_deref() == Some("connect") {
            WakeOn::Connect
        } else {
            WakeOn::Data
        },
        pass_key: is_set(node, "pass_key").and_then(boolean).unwrap_or(false),
    };
    let mut wrong = |key: &str, message: &str, help: &str| {
        if let Some(value) = is_set(node, key) {
            problems.push(Diagnostic::error("misplaced-key", message).at(value.span, "").help(help));
        }
    };
    if tcp {
        let help = "leave it out, or leave out `protocol: tcp`";
        for key in ["host", "path", "router", "pass_key"] {
            wrong(key, &format!("`{key}` needs HTTP: over plain TCP nobody says it"), help);
        }
    } else {
        wrong(
            "wake_on",
            "`wake_on` is for plain TCP: an HTTP request loads the service by itself",
            "leave it out, or write `protocol: tcp` beside it",
        );
    }
    if route.router.is_none() {
        wrong("models", "`models` needs a router that picks by them", "write `router: NAME` beside it");
    } else if let Some(host) = is_set(node, "host").or_else(|| is_set(node, "path")) {
        let problem = Diagnostic::error("misplaced-key", "a router picks by the model, not by host or path");
        problems.push(problem.at(host.span, "").help("leave it out, or leave out the router"));
    }
    if let Some(path) = is_set(node, "path").filter(|path| !text(path).starts_with('/')) {
        let problem = Diagnostic::error("wrong-value", "a path begins with `/`").at(path.span, "");
        problems.push(problem.help(format!("write `/{}`", text(path))));
    }
    if node.as_mapping().is_some_and(|route| route.iter().next().is_none()) {
        let problem = Diagnostic::error("missing-port", "this route says nothing").at(node.span, "");
        problems.push(problem.help("write `{port: 8000}`, or `{router: NAME, models: […]}`"));
    }
    route
}

/// Reads the project's own keys.
pub(super) fn project(top: Option<&Node>, orch: &mut Orch, problems: &mut Vec<Diagnostic>) {
    let Some(top) = top else { return };
    orch.on_demand = is_set(top, "on_demand").map(on_demand).unwrap_or_default();
    orch.gpu = is_set(top, "gpu").map(gpu).unwrap_or_default();
    let mut listening: Vec<(SocketAddr, &Node)> = Vec::new();
    for (name, Entry { value, key }) in is_set(top, "routers").into_iter().flat_map(Node::entries) {
        let Some(listen) = is_set(value, "listen") else {
            let problem = Diagnostic::error("missing-address", format!("router `{name}` listens nowhere"));
            problems.push(problem.at(*key, "").help("write `listen: 127.0.0.1:8080`"));
            continue;
        };
        let Some(address) = address(&text(listen)) else {
            let problem = Diagnostic::error("wrong-value", format!("`{}` is no address", text(listen)));
            problems.push(problem.at(listen.span, "").help("write `127.0.0.1:8080`, `[::]:8080` or `8080`"));
            continue;
        };
        if let Some((_, other)) = listening.iter().find(|(taken, _)| meet(*taken, address)) {
            let problem = Diagnostic::error("port-taken", format!("two routers listen on {address}"));
            problems.push(problem.at(listen.span, "").at(other.span, "the other one"));
        }
        listening.push((address, listen));
        let alias = is_set(value, "alias").into_iter().flat_map(Node::entries);
        let alias: IndexMap<String, String> =
            alias.map(|(from, to)| (from.to_owned(), text(&to.value))).collect();
        orch.routers.insert(name.to_owned(), Router { listen: address, by: RouteBy::Model, alias });
    }
}

/// `127.0.0.1:8080`, or a port of this machine alone.
fn address(text: &str) -> Option<SocketAddr> {
    let here = |port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let address = text.parse().ok().or_else(|| text.trim_start_matches(':').parse().ok().map(here))?;
    (address.port() != 0).then_some(address)
}

/// Whether nobody can listen on both.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || everywhere)
}

fn on_demand(node: &Node) -> OnDemand {
    let plain = OnDemand::default();
    OnDemand {
        max_loaded: count(node, "max_loaded"),
        evict: match word(node, "evict").as_deref() {
            Some("lru") => Evict::Lru,
            Some("largest") => Evict::Largest,
            _ => Evict::Cost,
        },
        min_resident: duration(node, "min_resident").unwrap_or(plain.min_resident),
        idle_timeout: duration(node, "idle_timeout").unwrap_or(plain.idle_timeout),
    }
}

fn gpu(node: &Node) -> Gpu {
    let plain = Gpu::default();
    let budget = is_set(node, "budget");
    let mut budgets: IndexMap<String, Bytes> = budget
        .into_iter()
        .flat_map(Node::entries)
        .filter_map(|(device, entry)| Some((device.to_owned(), size(&entry.value)?)))
        .collect();
    let default = budgets.shift_remove("default");
    let settle = is_set(node, "settle").map_or(plain.settle, |settle| Settle {
        timeout: duration(settle, "timeout").unwrap_or(plain.settle.timeout),
        fraction: is_set(settle, "fraction").and_then(fraction).unwrap_or(plain.settle.fraction),
    });
    Gpu {
        budget: default.or_else(|| budget.filter(|budget| budget.as_mapping().is_none()).and_then(size)),
        budgets,
        reserve: is_set(node, "reserve").and_then(size).unwrap_or(plain.reserve),
        settle,
        loads_per_device: count(node, "loads_per_device").unwrap_or(plain.loads_per_device),
    }
}

/// Finds what contradicts itself once services and routers are known.
pub(super) fn check(tree: &Node, project: &Project, problems: &mut Vec<Diagnostic>) {
    // Who is picked by a name, by router.
    let mut picked: IndexMap<(String, String), (String, &Node)> = IndexMap::new();
    for (name, service) in project.services.iter().chain(&project.disabled_services) {
        let Some(node) = tree.at(&["services", name, "x-orch"]) else { continue };
        starts_twice(node, service, problems);
        if service.orch.load.is_none() {
            says_nothing(node, name, problems);
        }
        let written = is_set(node, "routes").into_iter().flat_map(Node::items);
        for (node, route) in written.zip(&service.orch.routes) {
            let Some(router) = &route.router else { continue };
            let place = is_set(node, "router").unwrap_or(node);
            if !project.orch.routers.contains_key(router) {
                let known = project.orch.routers.keys().map(String::as_str);
                let problem = Diagnostic::error("unknown-router", format!("there is no router `{router}`"))
                    .at(place.span, "");
                problems.push(match did_you_mean(router, known) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("name it under the top-level `x-orch: {routers: …}`"),
                });
                continue;
            }
            let models: Vec<(String, &Node)> = match is_set(node, "models") {
                Some(models) => models.items().map(|model| (text(model), model)).collect(),
                None => vec![(name.clone(), place)],
            };
            for (model, place) in models {
                let key = (router.clone(), model.clone());
                if let Some((other, first)) = picked.get(&key) {
                    let message = format!("`{model}` stands for {name} and for {other}");
                    let problem = Diagnostic::error("model-taken", message).at(place.span, "");
                    problems.push(problem.at(first.span, "the other one"));
                } else {
                    picked.insert(key, (name.clone(), place));
                }
            }
        }
    }
    aliases_exist(tree, project, &picked, problems);
}

/// Every alias stands for a model, and hides none.
fn aliases_exist(
    tree: &Node,
    project: &Project,
    picked: &IndexMap<(String, String), (String, &Node)>,
    problems: &mut Vec<Diagnostic>,
) {
    for name in project.orch.routers.keys() {
        let alias = tree.at(&["x-orch", "routers", name, "alias"]);
        for (from, Entry { key, value }) in alias.into_iter().flat_map(Node::entries) {
            let to = text(value);
            if !picked.contains_key(&(name.clone(), to.clone())) {
                let known =
                    picked.keys().filter(|(router, _)| router == name).map(|(_, model)| model.as_str());
                let problem =
                    Diagnostic::error("unknown-model", format!("router `{name}` has no model `{to}`"))
                        .at(value.span, "");
                problems.push(match did_you_mean(&to, known) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("give a service `routes: [{router: …, models: […]}]` with it"),
                });
            }
            if let Some((service, place)) = picked.get(&(name.clone(), from.to_owned())) {
                let problem = Diagnostic::error("model-taken", format!("`{from}` is a model of {service}"));
                problems.push(problem.at(*key, "").at(place.span, "named here"));
            }
        }
    }
}

/// A service that waits for its first request is started at once by plain Compose, unless it is told not to.
fn starts_twice(node: &Node, service: &Service, problems: &mut Vec<Diagnostic>) {
    let Some(load @ (Load::OnDemand | Load::Manual)) = service.orch.load else { return };
    if service.replicas_in_compose() > 0
        && let Some(place) = is_set(node, "load")
    {
        let (name, load) = (&service.name, load.word());
        let message = format!("`{name}` is `load: {load}`, but plain `docker compose up` starts it");
        let problem = Diagnostic::warning("starts-in-compose", message).at(place.span, "");
        problems.push(problem.help(format!("write `scale: 0` in `{name}`, beside `x-orch`")));
    }
}

/// A health check that asks a service that sleeps until somebody asks it would never pass.
pub(super) fn sleepers(project: &Project, references: &[Reference], problems: &mut Vec<Diagnostic>) {
    for Reference { from, on, span, before_start, .. } in references {
        let load = project.services.get(on).and_then(|service| service.orch.load);
        if let Some(load @ (Load::OnDemand | Load::Manual)) = load
            && !before_start
        {
            let message = format!("{from} is ready only with {on}, which is `load: {}`", load.word());
            let problem =
                Diagnostic::error("asks-a-sleeper", message).at(*span, "it sleeps until it is asked");
            let help = format!("leave the check out, or write `load: preload` in {on}");
            problems.push(problem.help(help));
        }
    }
}

/// Keys that say something only of a service that is loaded on demand.
fn says_nothing(node: &Node, name: &str, problems: &mut Vec<Diagnostic>) {
    for key in NEED_LOAD {
        if let Some(value) = is_set(node, key) {
            let message = format!("services.{name}.x-orch.{key} has no effect without `load`");
            let problem = Diagnostic::warning("no-effect", message).at(value.span, "");
            problems
                .push(problem.help("write `load: on_demand`, `load: preload` or `load: manual` beside it"));
        }
    }
}

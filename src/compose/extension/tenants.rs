//! Whom a file serves requests to, how much each may have, and what of it contradicts itself.

use super::{
    check::count,
    demand::{is_set, word},
    shape::text,
};
use crate::{
    compose::{
        paths,
        tree::{Entry, Node},
    },
    diagnostic::{Diagnostic, did_you_mean},
    project::{
        DEFAULT_TENANT, KeySource, Load, Project, Protocol, RequestLimits, Route, Service, Tenant, Tier,
    },
};

/// Reads tiers and tenants into the project.
pub(super) fn read(top: Option<&Node>, project: &mut Project, problems: &mut Vec<Diagnostic>) {
    let Some(top) = top else { return };
    for (name, Entry { value, .. }) in is_set(top, "tiers").into_iter().flat_map(Node::entries) {
        let inflight = is_set(value, "requests").and_then(|requests| count(requests, "inflight"));
        let tier = Tier { requests: RequestLimits { inflight } };
        project.orch.tiers.insert(name.to_owned(), tier);
    }
    let Some(tenants) = is_set(top, "tenants") else {
        if let Some(tiers) = is_set(top, "tiers") {
            let message = "x-orch.tiers has no effect without `tenants`";
            let problem = Diagnostic::warning("no-effect", message).at(tiers.span, "");
            problems.push(problem.help("write `tenants: {acme: {tier: …, key_file: …}}` beside it"));
        }
        return;
    };
    for (name, entry) in tenants.entries() {
        let tenant = tenant(name, entry, project, problems);
        if let Some(key) = &tenant.key
            && let Some((other, _)) =
                project.orch.tenants.iter().find(|(_, other)| other.key.as_ref() == Some(key))
        {
            let problem = Diagnostic::error("same-key", format!("`{name}` has the same key as `{other}`"));
            let place = tenants.get(other).map(|node| node.span);
            let problem = problem.at(entry.value.span, "").help("give each tenant a key of its own");
            problems.push(place.into_iter().fold(problem, |problem, span| problem.at(span, "the other one")));
        }
        project.orch.tenants.insert(name.to_owned(), tenant);
    }
    if project.orch.tenants.is_empty() {
        let problem = Diagnostic::error("no-tenants", "x-orch.tenants names nobody").at(tenants.span, "");
        problems.push(problem.help("name somebody, or leave it out: then everybody is served"));
    }
}

fn tenant(name: &str, entry: &Entry, project: &Project, problems: &mut Vec<Diagnostic>) -> Tenant {
    let Entry { key, value: node } = entry;
    let tier = is_set(node, "tier");
    if let Some(place) = tier
        && let tier = text(place)
        && !project.orch.tiers.contains_key(&tier)
    {
        let problem = Diagnostic::error("unknown-tier", format!("there is no tier `{tier}`"));
        let known = project.orch.tiers.keys().map(String::as_str);
        problems.push(problem.at(place.span, "").help(match did_you_mean(&tier, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("name it under `x-orch: {{tiers: {{{tier}: {{requests: {{inflight: 2}}}}}}}}`"),
        }));
    }
    let (file, variable) = (is_set(node, "key_file"), is_set(node, "key_env"));
    match (file, variable) {
        (Some(file), Some(variable)) => {
            let problem = Diagnostic::error("two-keys", format!("the key of `{name}` is in two places"));
            problems
                .push(problem.at(variable.span, "").at(file.span, "the other one").help("keep one of them"));
        }
        (None, None) if name != DEFAULT_TENANT => {
            let problem = Diagnostic::error("missing-key", format!("`{name}` has no key")).at(*key, "");
            problems.push(problem.help(format!(
                "write `key_file: ./secrets/{name}.key`, or `key_env: VARIABLE`; without a key everybody is `{DEFAULT_TENANT}`"
            )));
        }
        _ => {}
    }
    if name == DEFAULT_TENANT
        && let Some(place) = file.or(variable)
    {
        let message = format!("`{DEFAULT_TENANT}` is whoever sends no key");
        let problem = Diagnostic::error("misplaced-key", message).at(place.span, "");
        problems.push(problem.help("leave the key out, or give the tenant another name"));
    }
    let file = file.map(|file| {
        let home = project.environment.get("HOME").map(String::as_str);
        KeySource::File(paths::local(&project.working_dir.to_string_lossy(), home, &text(file)))
    });
    Tenant { tier: tier.map(text), key: file.or_else(|| word(node, "key_env").map(KeySource::Environment)) }
}

/// Over plain TCP nobody can send a key.
pub(super) fn check(tree: &Node, project: &Project, problems: &mut Vec<Diagnostic>) {
    if !project.orch.needs_key() {
        return;
    }
    for (name, service) in project.services.iter().chain(&project.disabled_services) {
        let Some(node) = tree.at(&["services", name]) else { continue };
        let routes = service.routes();
        let Some(number) = routes.iter().position(|route| is_open(service, route)) else { continue };
        let written = node.at(&["x-orch", "routes"]).and_then(|routes| routes.items().nth(number));
        let place = written.or_else(|| is_set(node, "ports")).unwrap_or(node);
        let message = format!("`{name}` is reached over plain TCP, where nobody can send a key");
        let problem = Diagnostic::error("no-key-over-tcp", message).at(place.span, "");
        problems.push(problem.help(format!(
            "write `protocol: http` in its `routes` if it speaks HTTP; else name a tenant `{DEFAULT_TENANT}`, who may then \
             connect to it"
        )));
    }
}

/// Whether a route is listened for, and speaks plain TCP.
fn is_open(service: &Service, route: &Route) -> bool {
    let published = service.ports.iter().filter(|port| port.published.is_some());
    let mut targets = published.map(|port| port.target.and_then(|target| u16::try_from(target).ok()));
    matches!(service.orch.load, Some(Load::OnDemand | Load::Manual))
        && route.protocol == Protocol::Tcp
        && targets.any(|target| route.port.is_none() || target == route.port)
}

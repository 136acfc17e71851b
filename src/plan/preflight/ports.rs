//! Host ports: who holds those that will be published.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{intent::Intent, names::project_of, on_machine};
use crate::{
    diagnostic::Diagnostic,
    plan::{Container, ContainerState, Home, PortRange, PublishedPort, Socket, Surroundings},
    project::{Condition, Port, Project, Service},
};

/// A port that containers of a service will publish.
pub(super) struct Wish<'a> {
    service: &'a Service,
    /// In the service's `ports`.
    index: usize,
    pub(super) range: PortRange,
    /// How many containers are started with it.
    containers: usize,
}

/// What is in the way of a port.
enum Holder<'a> {
    Container(&'a Container),
    Process(&'a Socket),
}

/// The ports that this plan publishes under a number that the file chose.
pub(super) fn wishes<'a>(intent: &Intent<'a>) -> Vec<Wish<'a>> {
    let publishing = intent.starting().filter(|(service, _)| publishes(intent, service));
    let wish =
        |(service, containers): (&'a Service, usize)| {
            service.ports.iter().enumerate().filter_map(move |(index, port)| {
                Some(Wish { service, index, range: range(port)?, containers })
            })
        };
    publishing.flat_map(wish).collect()
}

/// Whether the engine binds the service's ports on its host at all.
fn publishes(intent: &Intent<'_>, service: &Service) -> bool {
    if let Some(mode) = &service.network_mode {
        let shared = ["container:", "service:"].iter().any(|prefix| mode.starts_with(prefix));
        return !shared && mode != "host" && mode != "none";
    }
    let is_out_of_reach = |key: &String| {
        let own = intent.project.networks.get(key);
        let found = own.and_then(|network| intent.observed.networks.get(&network.name));
        let driver = found.map(|n| n.definition.driver.as_str()).or(own.and_then(|n| n.driver.as_deref()));
        own.is_some_and(|n| n.internal)
            || found.is_some_and(|n| n.definition.internal)
            || driver.is_some_and(|driver| ["host", "null", "none", "macvlan", "ipvlan"].contains(&driver))
    };
    service.networks.is_empty() || !service.networks.keys().all(is_out_of_reach)
}

/// `None`: the engine chooses a free one, or refuses what is written.
fn range(port: &Port) -> Option<PortRange> {
    let published = port.published.as_deref().filter(|text| !text.is_empty())?;
    let (first, last) = published.split_once('-').unwrap_or((published, published));
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let addresses = match port.host_ip.as_deref().filter(|text| !text.is_empty()) {
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
        Some(text) => vec![text.trim_matches(['[', ']']).parse().ok()?],
    };
    let protocol = port.protocol.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "tcp".to_owned());
    (first > 0 && first <= last).then_some(PortRange { addresses, ports: first..=last, protocol })
}

/// Ports that others hold, and those of which a service wants more than there are.
pub(super) fn held(intent: &Intent<'_>, around: &Surroundings) -> Vec<Diagnostic> {
    let (mut found, taken) = (Vec::new(), Taken::new(around));
    for wish in wishes(intent) {
        let others = taken.holders(intent, &wish);
        let is_own = |holder: &Holder<'_>| match holder {
            Holder::Container(container) => is_of(intent.project, container, wish.service),
            Holder::Process(_) => false,
        };
        let own = others.iter().filter(|(_, holder)| is_own(holder)).count();
        if own + wish.containers > wish.range.count() {
            found.push(too_many(intent, &wish, own + wish.containers));
        } else if let Some((port, holder)) = others.iter().find(|(_, holder)| !is_own(holder))
            && wish.range.count() - others.len() < wish.containers
        {
            found.extend(held_by(intent, around.home, &wish, *port, holder));
        }
    }
    found
}

fn is_of(project: &Project, container: &Container, service: &Service) -> bool {
    container.compose_label("project") == Some(&project.name)
        && container.service() == Some(&service.name)
        && !container.is_oneoff()
}

/// Who is on which port, in the order in which they were found.
#[derive(Default)]
struct Taken<'a> {
    containers: HashMap<u16, Vec<&'a Container>>,
    sockets: HashMap<u16, Vec<&'a Socket>>,
}

impl<'a> Taken<'a> {
    fn new(around: &'a Surroundings) -> Self {
        let mut taken = Self::default();
        // Without them nobody knows whose a socket is: it may be one that this plan frees.
        let Some(containers) = &around.containers else { return taken };
        let runs = |c: &&Container| matches!(c.state, ContainerState::Running | ContainerState::Paused);
        let mut of_engine: HashSet<(u16, &str)> = HashSet::new();
        for container in containers.iter().filter(runs) {
            for port in &container.ports {
                taken.containers.entry(port.public).or_default().push(container);
                of_engine.insert((port.public, &port.protocol));
            }
        }
        let sockets = around.machine.sockets.iter().filter(|_| around.home != Home::Elsewhere);
        for socket in sockets.filter(|s| !of_engine.contains(&(s.port, s.protocol.as_str()))) {
            taken.sockets.entry(socket.port).or_default().push(socket);
        }
        taken
    }

    /// The ports of a range that are held, each with one who holds it.
    fn holders(&self, intent: &Intent<'_>, wish: &Wish<'_>) -> Vec<(u16, Holder<'a>)> {
        let of_container = |port| {
            let stays =
                |c: &Container| !intent.stopped.contains(c.id.as_str()) && !ends_before(intent, c, wish);
            let mut on_port = self.containers.get(&port).into_iter().flatten();
            on_port.find(|c| holds(c, wish, port) && stays(c)).map(|c| Holder::Container(c))
        };
        let of_process = |port| {
            let meets = |s: &&&Socket| wish.range.meets(&s.protocol, s.address, port);
            self.sockets.get(&port).into_iter().flatten().find(meets).map(|s| Holder::Process(s))
        };
        let number = wish.range.ports.clone();
        number.filter_map(|port| Some((port, of_container(port).or_else(|| of_process(port))?))).collect()
    }
}

fn holds(container: &Container, wish: &Wish<'_>, port: u16) -> bool {
    let meets = |p: &&PublishedPort| {
        let address = p.ip.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        p.public == port && wish.range.meets(&p.protocol, address, port)
    };
    container.ports.iter().any(|p| meets(&p))
}

/// Whether a container of this project has ended when the service starts.
fn ends_before(intent: &Intent<'_>, container: &Container, wish: &Wish<'_>) -> bool {
    container.compose_label("project") == Some(&intent.project.name)
        && container.service().is_some_and(|service| completes_before(intent.project, service, wish.service))
}

/// Whether a service starts only once another one has exited.
fn completes_before(project: &Project, first: &str, then: &Service) -> bool {
    let mut seen = BTreeSet::from([then.name.as_str()]);
    let mut open = vec![then];
    while let Some(service) = open.pop() {
        for (on, dependency) in &service.depends_on {
            if on == first && dependency.condition == Condition::ServiceCompletedSuccessfully {
                return true;
            }
            if let Some(next) = project.services.get(on).filter(|_| seen.insert(on)) {
                open.push(next);
            }
        }
    }
    false
}

fn too_many(intent: &Intent<'_>, wish: &Wish<'_>, wanted: usize) -> Diagnostic {
    let (service, first) = (&wish.service.name, *wish.range.ports.start());
    let room = match wish.range.count() {
        1 => "only one can publish".to_owned(),
        count => format!("only {count} can publish one of"),
    };
    let message = format!(
        "service `{service}` is to have {wanted} containers, and {room} host port {}",
        written(&wish.range, None)
    );
    let last = usize::from(first).saturating_add(wanted - 1);
    let help = format!("publish a range such as `{first}-{last}`, or name no host port");
    place(intent, wish, Diagnostic::error("port-range", message).help(help))
}

fn held_by(
    intent: &Intent<'_>,
    home: Home,
    wish: &Wish<'_>,
    port: u16,
    holder: &Holder<'_>,
) -> Option<Diagnostic> {
    let which = match wish.range.count() {
        1 => format!("host port {}", written(&wish.range, Some(port))),
        _ => format!("of the host ports {} too few are free: {port}", written(&wish.range, None)),
    };
    let (who, help) = match holder {
        Holder::Container(c) => (format!("container `{}` of {}", c.name, project_of(c)), free(intent, c)),
        Holder::Process(socket) => match &socket.holder {
            Some(process) => (
                format!("process {} (`{}`)", process.pid, process.name),
                format!("end it with `kill {}`", process.pid),
            ),
            None => (
                "a process of this machine".to_owned(),
                format!("`sudo ss -lnp 'sport = :{port}'` shows which: end it"),
            ),
        },
    };
    let message = format!("{which}, for service `{}`, is held by {who}", wish.service.name);
    let help = format!("{help}, or publish another host port");
    let error = place(intent, wish, Diagnostic::error("port-held", message).help(help));
    match holder {
        Holder::Container(_) => Some(error),
        Holder::Process(_) => on_machine(home, error),
    }
}

/// How a container's port becomes free.
fn free(intent: &Intent<'_>, holder: &Container) -> String {
    let ours = holder.compose_label("project") == Some(&intent.project.name);
    let is_known = |name: &str| {
        intent.project.services.contains_key(name) || intent.project.disabled_services.contains_key(name)
    };
    if ours && !holder.is_oneoff() && !holder.service().is_some_and(is_known) {
        return "its service is not in the files any more: `--remove-orphans` removes it".to_owned();
    }
    format!("stop it with `docker stop {}`", holder.name)
}

/// `8080`, `127.0.0.1:8080/udp`, `8080-8090`.
fn written(range: &PortRange, port: Option<u16>) -> String {
    let number = match port {
        Some(port) => port.to_string(),
        None if range.count() == 1 => range.ports.start().to_string(),
        None => format!("{}-{}", range.ports.start(), range.ports.end()),
    };
    let address = match range.addresses.as_slice() {
        [IpAddr::V4(address)] => format!("{address}:"),
        [IpAddr::V6(address)] => format!("[{address}]:"),
        _ => String::new(),
    };
    let protocol = if range.protocol == "tcp" { String::new() } else { format!("/{}", range.protocol) };
    format!("{address}{number}{protocol}")
}

fn place(intent: &Intent<'_>, wish: &Wish<'_>, diagnostic: Diagnostic) -> Diagnostic {
    intent.project.point(diagnostic, &intent.item(wish.service, "ports", wish.index), "")
}

/// Ports that two services of this plan ask for at the same time.
pub(super) fn twice(intent: &Intent<'_>) -> Vec<Diagnostic> {
    let wishes = wishes(intent);
    let fixed: Vec<&Wish<'_>> = wishes.iter().filter(|wish| wish.range.count() == 1).collect();
    let mut found = Vec::new();
    let mut before: HashMap<u16, Vec<&Wish<'_>>> = HashMap::new();
    for second in fixed {
        let number = *second.range.ports.start();
        let meets = |first: &&&Wish<'_>| {
            let addresses = &first.range.addresses;
            addresses.iter().any(|address| second.range.meets(&first.range.protocol, *address, number))
        };
        let before = before.entry(number).or_default();
        if let Some(first) = before.iter().find(meets) {
            found.extend(both(intent, first, second));
        }
        before.push(second);
    }
    found
}

/// That two services publish one port; nothing where one has ended when the other starts.
fn both(intent: &Intent<'_>, first: &Wish<'_>, second: &Wish<'_>) -> Option<Diagnostic> {
    let (a, b) = (first.service, second.service);
    if completes_before(intent.project, &a.name, b) || completes_before(intent.project, &b.name, a) {
        return None;
    }
    let port = written(&second.range, None);
    let message = if a.name == b.name {
        format!("service `{}` publishes host port {port} twice", a.name)
    } else {
        format!("services `{}` and `{}` both publish host port {port}", a.name, b.name)
    };
    let may_end = [a, b].iter().any(|service| intent.oneshots.contains(service.name.as_str()));
    // One may be gone when the other comes.
    let diagnostic = if may_end {
        Diagnostic::warning("port-twice", message)
    } else {
        Diagnostic::error("port-twice", message)
    };
    let diagnostic = place(intent, second, diagnostic.help("publish another host port for one of them"));
    Some(intent.project.point(diagnostic, &intent.item(a, "ports", first.index), "also here"))
}

//! How containers are replaced where the file says so (`deploy.update_config`): how many at a time, and which comes
//! first, the stop of the old one or the start of the new one.

use std::{cell::OnceCell, collections::BTreeSet, time::Duration};

use super::Builder;
use crate::{
    plan::{Container, ContainerRef, Rollback, Update, graph},
    project::{OnFailure, Project, Service, SignedDuration},
};

/// A container that is replaced.
pub(super) struct Replacement<'a> {
    pub(super) container: &'a Container,
    /// Its batch in the service's update.
    pub(super) batch: Option<usize>,
    /// Its successor is started before it is stopped.
    pub(super) start_first: bool,
}

impl Replacement<'_> {
    pub(super) fn old(&self) -> ContainerRef {
        self.container.into()
    }
}

/// How the containers of a service with these numbers are replaced; `None`: all at once.
///
/// The keys mean what they mean to `docker stack deploy`: without `parallelism` one at a time, with 0 all at once.
pub(super) fn update(service: &Service, replaced: &[u32]) -> Option<Update> {
    let config = service.deploy.as_ref()?.update_config.as_ref().filter(|_| !replaced.is_empty())?;
    let tolerated = tolerated(config.max_failure_ratio.map(|ratio| ratio.0), replaced);
    let (tolerated, on_failure) = match config.failure_action.as_deref() {
        Some("continue") => (replaced.len(), None),
        Some("rollback") => (tolerated, Some(OnFailure::Rollback)),
        Some("pause") => (tolerated, Some(OnFailure::Keep)),
        Some(_) | None => (tolerated, None),
    };
    Some(Update {
        batches: Update::batched(replaced, at_once(config.parallelism)),
        delay: time(config.delay),
        monitor: time(config.monitor),
        tolerated,
        on_failure,
    })
}

/// How the containers of a service are put back. A rollback always goes to its end: `failure_action` and
/// `max_failure_ratio` of a `rollback_config` change nothing.
pub(super) fn rollback(service: &Service) -> Option<Rollback> {
    let config = service.deploy.as_ref()?.rollback_config.as_ref()?;
    Some(Rollback {
        parallelism: at_once(config.parallelism),
        delay: time(config.delay),
        monitor: time(config.monitor),
        start_first: config.order.as_deref() == Some("start-first"),
    })
}

/// How many at a time; 0: all.
fn at_once(parallelism: Option<u64>) -> usize {
    usize::try_from(parallelism.unwrap_or(1)).unwrap_or(usize::MAX)
}

fn time(given: Option<SignedDuration>) -> Duration {
    given.and_then(SignedDuration::positive).unwrap_or(Duration::ZERO)
}

/// So many containers are at most this part of all that are replaced.
fn tolerated(ratio: Option<f32>, replaced: &[u32]) -> usize {
    let ratio = ratio.unwrap_or(0.0);
    (1..=replaced.len()).rev().find(|n| part(*n, replaced.len()) <= ratio).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "a service has no sixteen million containers")]
fn part(some: usize, of: usize) -> f32 {
    some as f32 / of as f32
}

impl Builder<'_> {
    /// Whether the containers of a service start before those that they replace are stopped.
    pub(super) fn is_start_first(&mut self, service: &Service) -> bool {
        let config = service.deploy.as_ref().and_then(|deploy| deploy.update_config.as_ref());
        if config.and_then(|config| config.order.as_deref()) != Some("start-first") || self.options.no_start {
            return false;
        }
        let Some(obstacle) = obstacle(service) else { return true };
        self.warnings.push(format!(
            "`{}` is updated stop-first, although its `order` is start-first: {obstacle}",
            service.name
        ));
        false
    }

    /// Networks of a service, by key, on which others may ask for it by name: all but those on which there is nothing
    /// but what it depends on itself.
    pub(super) fn asked_on(&self, service: &Service) -> Vec<String> {
        let below = OnceCell::new();
        let is_below =
            |other: &str| below.get_or_init(|| dependencies(self.project, &service.name)).contains(other);
        let asks = |key: &String| {
            let is_external = self.project.networks.get(key).is_some_and(|network| network.external);
            let mut others = self.project.services.values().filter(|other| other.networks.contains_key(key));
            is_external
                // What comes later in the order of dependencies is nothing that it depends on.
                || self.last_on(key).is_some_and(|last| last != service.name)
                || others.any(|o| o.name != service.name && !is_below(&o.name))
        };
        service.networks.keys().filter(|key| asks(key)).cloned().collect()
    }

    /// The service on a network, by key, that comes last in the order of dependencies.
    fn last_on(&self, key: &str) -> Option<&str> {
        let last = self.last_on.get_or_init(|| {
            let order = graph::dependency_order(self.project).unwrap_or_default();
            let networks = |name: String| {
                let service = &self.project.services[name.as_str()];
                service.networks.keys().map(move |key| (key.as_str(), name.clone()))
            };
            order.into_iter().flat_map(networks).collect()
        });
        last.get(key).map(String::as_str)
    }

    /// What an update costs that the user may not expect.
    pub(super) fn warn_of_taking_names(&mut self, service: &Service) {
        let networks = self.asked_on(service);
        let on_them = |name: &&str| {
            let other = self.project.services.get(*name);
            other.is_some_and(|other| networks.iter().any(|key| other.networks.contains_key(key)))
        };
        let below = dependencies(self.project, &service.name);
        let mut cut = below.iter().copied().filter(on_them);
        if let Some(first) = cut.next() {
            let all = [first].into_iter().chain(cut).collect::<Vec<_>>().join(", ");
            self.warnings.push(format!(
                "`{}` is updated start-first: its new containers lose their connections to {all} once, when they take the \
                 names over on {} (a network for these alone avoids that)",
                service.name,
                networks.join(", "),
            ));
        }
    }
}

/// All services that one depends on, directly or not.
fn dependencies<'a>(project: &'a Project, service: &str) -> BTreeSet<&'a str> {
    let mut below = BTreeSet::new();
    let mut open: Vec<&str> =
        project.services.get(service).into_iter().flat_map(graph::dependencies).collect();
    while let Some(name) = open.pop() {
        if below.insert(name) {
            open.extend(project.services.get(name).into_iter().flat_map(graph::dependencies));
        }
    }
    below
}

/// What the old and the new container cannot both have.
pub(super) fn obstacle(service: &Service) -> Option<String> {
    let is_one_port = |published: &&String| published.parse::<u16>().is_ok_and(|port| port != 0);
    if let Some(port) = service.ports.iter().filter_map(|p| p.published.as_ref()).find(is_one_port) {
        return Some(format!("only one container at a time can have host port {port}"));
    }
    if service.mac_address.is_some() {
        return Some("only one container at a time can have its `mac_address`".to_owned());
    }
    for (key, network) in &service.networks {
        let Some(network) = network else { continue };
        if network.ipv4_address.is_some() || network.ipv6_address.is_some() || network.mac_address.is_some() {
            return Some(format!("only one container at a time can have its address on network `{key}`"));
        }
    }
    let mode = service.network_mode.as_deref()?;
    let shares = mode == "host" || mode.starts_with("service:") || mode.starts_with("container:");
    shares.then(|| format!("with `network_mode: {mode}` both would listen on the same ports"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Deploy, Float, Port, UpdateConfig};

    fn service(config: UpdateConfig) -> Service {
        let deploy = Deploy { update_config: Some(config), ..Deploy::default() };
        Service { name: "web".to_owned(), deploy: Some(deploy), ..Service::default() }
    }

    #[test]
    fn batches_are_as_large_as_the_parallelism() {
        let batches = |parallelism| {
            let config = UpdateConfig { parallelism, ..UpdateConfig::default() };
            update(&service(config), &[1, 2, 4, 5, 6]).unwrap().batches
        };
        assert_eq!(batches(None), [vec![1], vec![2], vec![4], vec![5], vec![6]]);
        assert_eq!(batches(Some(0)), [vec![1, 2, 4, 5, 6]]);
        assert_eq!(batches(Some(2)), [vec![1, 2], vec![4, 5], vec![6]]);
        assert_eq!(update(&service(UpdateConfig::default()), &[]), None);
        assert_eq!(update(&Service::default(), &[1]), None);
    }

    #[test]
    fn a_ratio_says_how_many_may_fail() {
        let tolerated = |ratio: f32, action: Option<&str>| {
            let config = UpdateConfig {
                max_failure_ratio: Some(Float(ratio)),
                failure_action: action.map(str::to_owned),
                ..UpdateConfig::default()
            };
            let update = update(&service(config), &[1, 2, 3, 4]).unwrap();
            (update.tolerated, update.on_failure)
        };
        assert_eq!(tolerated(0.0, None), (0, None));
        assert_eq!(tolerated(0.25, Some("rollback")), (1, Some(OnFailure::Rollback)));
        assert_eq!(tolerated(0.3, Some("pause")), (1, Some(OnFailure::Keep)));
        assert_eq!(tolerated(0.5, None), (2, None));
        assert_eq!(tolerated(0.0, Some("continue")), (4, None));
    }

    #[test]
    fn what_only_one_container_can_have_is_said() {
        let mut web = service(UpdateConfig::default());
        assert_eq!(obstacle(&web), None);
        let port = |published: &str| Port { published: Some(published.to_owned()), ..Port::default() };
        web.ports = vec![port("8000-8010"), port("0")];
        assert_eq!(obstacle(&web), None);
        web.ports.push(port("80"));
        assert!(obstacle(&web).unwrap().contains("host port 80"));
        let host = Service { network_mode: Some("host".to_owned()), ..service(UpdateConfig::default()) };
        assert!(obstacle(&host).unwrap().contains("network_mode: host"));
    }
}

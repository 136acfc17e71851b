//! Config hashes: what tells a container, network or volume that its definition changed.
//!
//! They are those of Docker Compose 2.40, so that each of the two tools recognises what the other one made: the
//! SHA-256 of the definition's JSON text, as Go writes it.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::project::{Network, Service, Volume, go_json};

/// The hash of what a container is made from. What only tells how it is built, pulled, ordered or repeated is not
/// part of it.
pub fn service_hash(service: &Service) -> String {
    hash(&hashed(service))
}

/// What of a service its hash is about.
pub(super) fn hashed(service: &Service) -> Service {
    let mut hashed = service.clone();
    hashed.build = None;
    hashed.pull_policy = None;
    hashed.scale = None;
    hashed.depends_on.clear();
    hashed.profiles.clear();
    if let Some(deploy) = &mut hashed.deploy {
        deploy.replicas = None;
    }
    hashed
}

/// The hash of a network's definition.
pub fn network_hash(network: &Network) -> String {
    hash(network)
}

/// The hash of a volume's definition. No driver is the local driver.
pub fn volume_hash(volume: &Volume) -> String {
    let mut hashed = volume.clone();
    hashed.driver.get_or_insert_with(|| "local".to_owned());
    hash(&hashed)
}

fn hash(definition: &impl Serialize) -> String {
    let digest = Sha256::digest(go_json(definition));
    format!("{digest:x}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indexmap::IndexMap;

    use super::*;
    use crate::project::{Deploy, Float, Healthcheck, Ulimit};

    fn service() -> Service {
        let text = |value: &str| Some(value.to_owned());
        Service {
            image: text("bb:latest"),
            command: Some(vec!["sleep".to_owned(), "600".to_owned()]),
            environment: IndexMap::from([
                ("EMPTY".to_owned(), None),
                ("LINE".to_owned(), text("x\ny\u{2028}z")),
                ("MARK".to_owned(), text("<a> & \"b\"")),
            ]),
            cpus: Some(Float(0.5)),
            stop_grace_period: Some(Duration::from_secs(90).into()),
            ulimits: IndexMap::from([
                ("nofile".to_owned(), Ulimit::Range { soft: 10, hard: 20 }),
                ("nproc".to_owned(), Ulimit::Single(5)),
            ]),
            healthcheck: Some(Healthcheck {
                test: Some(vec!["CMD-SHELL".to_owned(), "true".to_owned()]),
                retries: Some(0),
                ..Healthcheck::default()
            }),
            networks: IndexMap::from([("default".to_owned(), None)]),
            deploy: Some(Deploy { replicas: Some(2), ..Deploy::default() }),
            scale: Some(2),
            ..Service::default()
        }
    }

    #[test]
    fn a_service_has_the_hash_that_compose_gives_it() {
        assert_eq!(
            service_hash(&service()),
            "21b57b56473cab17e4a1314a5aea6b94a7948fddcf33c46fdf27e47d6215ac8b"
        );
    }

    #[test]
    fn how_many_and_how_built_is_no_part_of_the_hash() {
        let mut other = service();
        other.scale = None;
        other.deploy = Some(Deploy::default());
        other.pull_policy = Some("always".to_owned());
        other.profiles = vec!["debug".to_owned()];
        assert_eq!(service_hash(&other), service_hash(&service()));
    }

    #[test]
    fn a_network_and_a_volume_have_the_hashes_that_compose_gives_them() {
        let network = Network { name: "mtp_default".to_owned(), internal: true, ..Network::default() };
        assert_eq!(
            network_hash(&network),
            "6239bfa37123b8b9e4b5f3227ea11d135c11e00b2db2e6b714f376ae3dfd64e6"
        );
        let volume = Volume { name: "mtp_data".to_owned(), ..Volume::default() };
        assert_eq!(volume_hash(&volume), "2d867bffd2aeabbffd85fe1562d25af935757379dff12d2cc0812ddc5af92264");
    }
}

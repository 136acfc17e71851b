//! What was found on the engine: a snapshot, already stale when it is read.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// Everything of one project that the engine has, and the images that its services name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// Containers with the project's label, one-off containers and leftovers included, sorted by name.
    pub containers: Vec<Container>,
    /// Networks by name on the engine: the project's own, and those that it names.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Volumes by name on the engine: the project's own, and those that it names.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// Images by reference as the services write it; absent where the engine has none.
    pub images: BTreeMap<String, ImageInfo>,
}

impl Observed {
    /// The first container of a service, by number: the one whose namespaces others share.
    pub fn first_container(&self, service: &str) -> Option<&Container> {
        let of_it = |c: &&Container| {
            c.service() == Some(service) && !c.is_oneoff() && super::place(c) == super::Place::Current
        };
        self.containers.iter().filter(of_it).min_by_key(|c| c.number())
    }
}

/// A container as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// The reference it was created from.
    pub image: String,
    /// `sha256:…`, of the image it runs.
    pub image_id: String,
    /// Its life as the engine sees it.
    pub state: ContainerState,
    /// Of its own HEALTHCHECK; `None` without one.
    pub health: Option<EngineHealth>,
    /// Of its last run; `None` while it runs or before.
    pub exit_code: Option<i64>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Seconds since the epoch.
    pub created: i64,
    /// Its endpoints by network name.
    pub networks: BTreeMap<String, Endpoint>,
    /// What is mounted.
    pub mounts: Vec<ContainerMount>,
    /// Published ports.
    pub ports: Vec<PublishedPort>,
    /// The engine's words, such as `Up 5 minutes (healthy)`.
    pub status: String,
    /// Its command line, as the engine lists it.
    pub command: String,
}

impl Container {
    /// The value of a label under `com.docker.compose.`.
    pub fn compose_label(&self, name: &str) -> Option<&str> {
        self.labels.get(&format!("com.docker.compose.{name}")).map(String::as_str)
    }

    /// The service it belongs to.
    pub fn service(&self) -> Option<&str> {
        self.compose_label("service")
    }

    /// Its number in its service, from 1; 0 where it has none.
    pub fn number(&self) -> u32 {
        self.compose_label("container-number").and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Whether it was made by `run`.
    pub fn is_oneoff(&self) -> bool {
        self.compose_label("oneoff") == Some("True")
    }
}

/// The life of a container as the engine names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process is frozen.
    Paused,
    /// The engine is about to start it again.
    Restarting,
    /// Its process has ended.
    Exited,
    /// The engine is deleting it.
    Removing,
    /// The engine could not delete it.
    Dead,
}

/// What a container's own HEALTHCHECK says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineHealth {
    /// Not yet decided.
    Starting,
    /// The last check passed.
    Healthy,
    /// Too many checks failed in a row.
    Unhealthy,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Of the network; empty where the container never ran.
    pub network_id: String,
    /// Empty while the container does not run.
    pub ip_address: String,
    /// Empty where there is none.
    pub ipv6_address: String,
    /// Names by which others reach it. Of a single container alone, as all that follows: lists leave it out.
    pub aliases: Vec<String>,
    /// `container:alias` texts.
    pub links: Vec<String>,
    /// Options of the network's driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Addresses that were asked for.
    pub asked: AskedAddresses,
    /// Which network's gateway it takes.
    pub gw_priority: i64,
}

/// Addresses of an endpoint that were asked for, rather than given by the engine; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AskedAddresses {
    /// IPv4.
    pub ipv4: String,
    /// IPv6.
    pub ipv6: String,
    /// Link-local ones.
    pub link_local: Vec<String>,
}

/// Something mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerMount {
    /// `bind`, `volume`, `tmpfs`, …
    pub r#type: String,
    /// Of the volume; empty for other types.
    pub name: String,
    /// On the host.
    pub source: String,
    /// In the container.
    pub destination: String,
    /// Whether it can be written.
    pub rw: bool,
}

/// A port of the container on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PublishedPort {
    /// Host address; empty for an unpublished port.
    pub ip: String,
    /// Host port; 0 for an unpublished port.
    pub public: u16,
    /// Container port.
    pub private: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A network as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObservedNetwork {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it was made from.
    pub definition: NetworkDefinition,
    /// Every container on it, of whatever project, with its whole endpoint. Looked up only where the network is to be
    /// replaced.
    pub users: Vec<Container>,
}

/// What a network was made from, as the engine tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkDefinition {
    /// Empty: the engine's default.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Without a way out.
    pub internal: bool,
    /// For containers beside swarm services.
    pub attachable: bool,
    /// `None` where the engine does not say.
    pub enable_ipv4: Option<bool>,
    /// `None` where the engine does not say.
    pub enable_ipv6: Option<bool>,
    /// Who gives addresses; empty: the engine's default.
    pub ipam_driver: String,
    /// Its options.
    pub ipam_options: BTreeMap<String, String>,
    /// Where addresses are taken from.
    pub pools: Vec<AddressPool>,
}

/// A range of addresses; a part that is not given is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressPool {
    /// `10.0.0.0/24`
    pub subnet: String,
    /// The part of it that containers get.
    pub ip_range: String,
    /// The engine's own address.
    pub gateway: String,
    /// Addresses that are not given away, by name.
    pub auxiliary: BTreeMap<String, String>,
}

/// A volume as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ObservedVolume {
    /// Its name.
    pub name: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Every container that mounts it, of whatever project. Looked up only where the volume is to be replaced.
    pub users: Vec<Container>,
}

/// An image as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageInfo {
    /// `sha256:…`.
    pub id: String,
    /// Its own HEALTHCHECK's command; `None` without one, or where it is `NONE`.
    pub healthcheck: Option<Vec<String>>,
    /// Paths of its `VOLUME`s.
    pub volumes: Vec<String>,
    /// When it was last tagged, in seconds since the epoch.
    pub tagged: Option<i64>,
    /// `os/architecture[/variant]`.
    pub platform: String,
}

/// A container in detail, as `inspect` gives it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ContainerDetail {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// Its life.
    pub state: ContainerState,
    /// Of the last run; 0 while it runs.
    pub exit_code: i64,
    /// The kernel ended it for memory.
    pub oom_killed: bool,
    /// The engine's own error, such as a failed start.
    pub error: String,
    /// Of its main process on the engine's host; 0 while it does not run.
    pub pid: u32,
    /// RFC 3339, as the engine wrote it.
    pub started_at: String,
    /// RFC 3339, as the engine wrote it.
    pub finished_at: String,
    /// How often the engine started it again.
    pub restart_count: u64,
    /// Of its own HEALTHCHECK.
    pub health: Option<EngineHealth>,
    /// The HEALTHCHECK's command, image's or file's; `None` without one.
    pub healthcheck: Option<Vec<String>>,
    /// Its endpoints by network name.
    pub networks: BTreeMap<String, Endpoint>,
    /// `NetworkMode` of its host configuration.
    pub network_mode: String,
    /// Whether its streams are one terminal.
    pub tty: bool,
    /// The last output of its HEALTHCHECK.
    pub last_health_output: Option<String>,
    /// How long a stop waits before it kills; `None`: the engine's 10 s.
    pub stop_timeout: Option<Duration>,
    /// The whole answer, for saving.
    pub raw: serde_json::Value,
}

impl ContainerDetail {
    /// Its life in a few words: `running`, `exited with code 1`.
    pub fn state_words(&self) -> String {
        match self.state {
            ContainerState::Created => "created".to_owned(),
            ContainerState::Running => "running".to_owned(),
            ContainerState::Paused => "paused".to_owned(),
            ContainerState::Restarting => "restarting".to_owned(),
            ContainerState::Exited if self.oom_killed => {
                format!("exited with code {}, out of memory", self.exit_code)
            }
            ContainerState::Exited => format!("exited with code {}", self.exit_code),
            ContainerState::Removing => "being removed".to_owned(),
            ContainerState::Dead => "dead".to_owned(),
        }
    }
}

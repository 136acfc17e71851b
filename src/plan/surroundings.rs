//! What is known around a project before it is started: of its engine beyond the project, and of the machine that the
//! engine runs on. A snapshot too.

use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive};

use super::Container;

/// What the engine says of itself and of its machine. What it does not say is empty or 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineFacts {
    /// Host name of its machine.
    pub machine: String,
    /// `Debian GNU/Linux 12 (bookworm)`
    pub system: String,
    /// Cores that it may use.
    pub cpus: u64,
    /// Memory of its machine, in bytes.
    pub memory: u64,
    /// The folder on its machine that holds images, containers and volumes.
    pub data_root: String,
    /// `overlay2`, …
    pub storage_driver: String,
    /// `1` or `2`.
    pub cgroup_version: String,
    /// `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
    /// It runs without root's rights.
    pub rootless: bool,
    /// Containers go on while it is restarted.
    pub live_restore: bool,
    /// Names of the runtimes that containers can have, sorted.
    pub runtimes: Vec<String>,
    /// Devices of the Container Device Interface, such as `nvidia.com/gpu=0`; engines before 28.2 tell none.
    pub cdi_devices: Vec<String>,
    /// Its clock, in nanoseconds since the epoch.
    pub time: Option<i64>,
    /// What it warns of itself.
    pub warnings: Vec<String>,
}

impl EngineFacts {
    /// Whether anything that it says points to GPUs for containers.
    pub fn has_gpu(&self) -> bool {
        self.runtimes.iter().any(|name| name == "nvidia")
            || self.cdi_devices.iter().any(|id| id.contains("gpu"))
    }
}

/// What is known around a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Every container of the engine; `None`: not known.
    pub containers: Option<Vec<Container>>,
    /// `None`: nobody asked it.
    pub engine: Option<EngineFacts>,
    /// `os/architecture` of the engine; empty: not known.
    pub platform: String,
    /// What this machine has.
    pub machine: MachineFacts,
    /// Whether this machine is the engine's.
    pub home: Home,
}

/// Whether this machine is the engine's: whether what is missing here is missing for containers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Home {
    /// It is.
    Here,
    /// It is not, or not seen as the engine sees it: from a container, through a virtual machine.
    Elsewhere,
    /// Nobody asked the engine.
    #[default]
    Unknown,
}

/// What this machine has of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineFacts {
    /// Paths that are not there.
    pub missing: BTreeSet<String>,
    /// What listens on ports that were asked for, where nothing else can.
    pub sockets: Vec<Socket>,
    /// Where the engine keeps its data.
    pub space: Option<Space>,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What is left for those without special rights.
    pub free: u64,
    /// Its size.
    pub total: u64,
}

impl Space {
    /// Whether an image of common size may not fit any more: less than 1 GiB, or 2 % of a small disk.
    pub fn is_short(self) -> bool {
        const GIB: u64 = 1 << 30;
        self.free < GIB || (self.free < 5 * GIB && self.free < self.total / 50)
    }
}

/// A port that a process of this machine holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Where nothing else can be bound because of it.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whose it is, where that can be seen.
    pub holder: Option<Process>,
}

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its short name.
    pub name: String,
}

/// What has to be known of the surroundings of a plan, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one switch is one question")]
pub struct Questions {
    /// Every container of the engine: who holds which name and port.
    pub containers: bool,
    /// What the engine says of itself.
    pub engine: bool,
    /// Whether these ports of the engine's machine are free.
    pub ports: Vec<PortRange>,
    /// Whether the engine's machine has these.
    pub paths: BTreeSet<String>,
    /// Whether this machine has these, wherever the engine is: what is built from.
    pub sources: BTreeSet<String>,
    /// How much room there is for images.
    pub space: bool,
    /// Whose the sockets are; it takes a while to find out.
    pub holders: bool,
}

impl Questions {
    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Host ports that something is published on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange {
    /// Both wildcards where the file names none.
    pub addresses: Vec<IpAddr>,
    /// One, or those that the engine chooses from.
    pub ports: RangeInclusive<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl PortRange {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.ports.clone().count()
    }

    /// Whether something bound there is in the way of one of them.
    pub fn meets(&self, protocol: &str, address: IpAddr, port: u16) -> bool {
        self.protocol == protocol
            && self.ports.contains(&port)
            && self.addresses.iter().any(|own| overlap(*own, address))
    }
}

/// Whether two sockets cannot have one port at these addresses.
pub fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

//! What the machine has to know of a service and of the GPUs.

use std::{collections::BTreeMap, time::Duration};

use super::input::DeviceId;
use crate::project::{DeviceRequest, Evict, Gpu, Keep, Load, Project, Service, Vram};

/// What is known of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// As it is shown.
    pub name: String,
    /// Services of one project share its [`Rules`].
    pub project: String,
    /// What the project says of all its services.
    pub rules: Rules,
    /// What makes it start.
    pub load: Load,
    /// The devices that it uses.
    pub devices: Wanted,
    /// The memory that it needs.
    pub vram: Option<Vram>,
    /// After the last byte of its last connection. `None`: never.
    pub stop_after: Option<Duration>,
    /// How long a request waits at most.
    pub max_wait: Duration,
    /// How many requests wait at most.
    pub queue: u32,
    /// How hard it is to evict.
    pub keep: Keep,
    /// Higher: loaded before others, and not evicted for lower ones.
    pub priority: i32,
    /// What becomes of a load that nobody waits for any more.
    pub abandon: Abandon,
    /// A load that takes longer has failed.
    pub load_within: Duration,
    /// An unload that takes longer is done again without grace, and after that has failed.
    pub unload_within: Duration,
    /// How long a load takes, where none has been measured.
    pub load_guess: Duration,
}

/// What a project says of all its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How many are loaded at once.
    pub max_loaded: Option<u32>,
    /// Which goes first when one of them needs room.
    pub evict: Evict,
    /// How long after it was loaded a service is not evicted.
    pub min_resident: Duration,
    /// Who has waited so long is next, whoever else is asked for; but no longer than half of its longest wait.
    pub patience: Duration,
    /// The first pause after a load that failed; it doubles.
    pub backoff: Duration,
    /// The longest pause after loads that failed.
    pub max_backoff: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_loaded: None,
            evict: Evict::Cost,
            min_resident: Duration::from_mins(1),
            patience: Duration::from_secs(30),
            backoff: Duration::from_secs(5),
            max_backoff: Duration::from_mins(5),
        }
    }
}

/// The devices that a service uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// None.
    None,
    /// So many, whichever; at least 1.
    Any(usize),
    /// All that there are.
    All,
    /// These.
    These(Vec<DeviceId>),
}

/// What becomes of a load that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Abandon {
    /// It is finished: whoever asks next is served at once.
    #[default]
    Finish,
    /// It is given up.
    Cancel,
}

/// What may be taken of the GPUs.
#[derive(Debug, Clone, PartialEq)]
pub struct GpuRules {
    /// The most that services take of a device without a budget of its own. `None`: all of it.
    pub budget: Option<u64>,
    /// Budgets of single devices, in bytes.
    pub budgets: BTreeMap<DeviceId, u64>,
    /// Left free on every device, in bytes.
    pub reserve: u64,
    /// How long memory is waited for at most after an unload.
    pub settle: Duration,
    /// It is waited for until so much of what was reserved is free again, above 0 and at most 1.
    pub fraction: f64,
    /// Loads and unloads that go on at once on one device; at least 1.
    pub loads_per_device: usize,
}

impl Default for GpuRules {
    fn default() -> Self {
        Self::of(&Gpu::default())
    }
}

impl GpuRules {
    /// As a file says it.
    pub fn of(gpu: &Gpu) -> Self {
        let bytes = |bytes: crate::project::Bytes| u64::try_from(bytes.0).unwrap_or(0);
        Self {
            budget: gpu.budget.map(bytes),
            budgets: gpu.budgets.iter().map(|(id, size)| (DeviceId(id.clone()), bytes(*size))).collect(),
            reserve: bytes(gpu.reserve),
            settle: gpu.settle.timeout,
            fraction: gpu.settle.fraction,
            loads_per_device: gpu.loads_per_device.max(1) as usize,
        }
    }
}

/// The longest load of a service whose stages and start have no deadline.
const LOAD_WITHIN: Duration = Duration::from_mins(15);
/// How long a load takes until one has been measured.
const LOAD_GUESS: Duration = Duration::from_secs(30);
/// Beside the time that a service has to stop.
const UNLOAD_GRACE: Duration = Duration::from_secs(20);

impl ServiceSpec {
    /// As a project says it; `None` where nothing but Compose's rules makes the service start.
    ///
    /// Devices that are named in the file are taken as they are named there: where that is by index, the caller puts
    /// their UUIDs in.
    pub fn of(project: &Project, service: &Service) -> Option<Self> {
        Some(Self::loaded_by(service.orch.load?, project, service))
    }

    /// Of a service that `up` starts and that says what memory of GPUs it needs, as one to be preloaded: it has that memory
    /// for as long as it runs, and nobody asks whether it is there.
    pub fn started(project: &Project, service: &Service) -> Option<Self> {
        let is_started = matches!(service.orch.load, None | Some(Load::Preload));
        (is_started && service.orch.vram.is_some()).then(|| Self::loaded_by(Load::Preload, project, service))
    }

    fn loaded_by(load: Load, project: &Project, service: &Service) -> Self {
        let (orch, rules) = (&service.orch, &project.orch.on_demand);
        // What is loaded by hand, or stays, goes only after a time of its own.
        let stays = orch.keep == Keep::Always || load != Load::OnDemand;
        let stages = orch.health_check.as_ref().map(crate::project::HealthSpec::longest);
        let within = orch.start.timeout.or(stages).filter(|time| !time.is_zero());
        let grace = service.stop_grace_period.and_then(crate::project::SignedDuration::positive);
        Self {
            name: service.name.clone(),
            project: project.name.clone(),
            rules: Rules {
                max_loaded: rules.max_loaded,
                evict: rules.evict,
                min_resident: rules.min_resident,
                ..Rules::default()
            },
            load,
            devices: wanted(service),
            vram: orch.vram,
            stop_after: orch.idle.stop_after.or_else(|| (!stays).then_some(rules.idle_timeout)),
            max_wait: orch.cold.max_wait,
            queue: orch.cold.queue,
            keep: orch.keep,
            priority: orch.priority,
            abandon: Abandon::default(),
            load_within: within.unwrap_or(LOAD_WITHIN),
            unload_within: grace.unwrap_or(Duration::from_secs(10)) + UNLOAD_GRACE,
            load_guess: LOAD_GUESS,
        }
    }
}

/// The GPUs that a service asks for; one where it only says what memory it needs.
fn wanted(service: &Service) -> Wanted {
    let reserved = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
    let is_gpu = |request: &&DeviceRequest| request.capabilities.iter().any(|what| what == "gpu");
    let reserved = reserved.into_iter().flat_map(|reserved| &reserved.devices).filter(is_gpu);
    let requests: Vec<&DeviceRequest> = service.gpus.iter().chain(reserved).collect();
    let named: Vec<DeviceId> =
        requests.iter().flat_map(|request| &request.device_ids).map(|id| DeviceId(id.clone())).collect();
    if !named.is_empty() {
        return Wanted::These(named);
    }
    if requests.iter().any(|request| request.count.is_none_or(|count| count < 0)) {
        return Wanted::All;
    }
    let count: i64 = requests.iter().filter_map(|request| request.count).sum();
    match usize::try_from(count).unwrap_or(0) {
        0 if service.orch.vram.is_none() => Wanted::None,
        count => Wanted::Any(count.max(1)),
    }
}

//! `plan --vram`: what services need of the GPUs, where they are loaded, and beside whom.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    CliError, Exit, Invocation,
    args::{PlanArgs, PlanFormat},
    entry::{note, print},
    gpu,
    table::table,
};
use crate::{
    diagnostic::Diagnostic,
    gpu::{Device, Measured},
    ondemand::{DeviceId, Fate, GpuRules, Memory, Rival, ServiceSpec, Survey, Surveyed, Wanted},
    project::{Load, Project, Service, byte_words},
};

/// Prints how services would share the GPUs. Asks no engine.
///
/// # Errors
///
/// The place to look for GPUs is wrong, or a service can never be loaded.
pub(super) async fn run(
    invocation: &Invocation,
    args: &PlanArgs,
    project: &Project,
) -> Result<Exit, CliError> {
    if matches!(args.format, PlanFormat::Dot | PlanFormat::Mermaid) {
        return Err(CliError::usage("`plan --vram` is printed as a table or as JSON"));
    }
    let mut asking: Vec<Asking> = project.services.values().flat_map(|of| Asking::of(project, of)).collect();
    // What is there in any case takes its memory, whoever is asked about.
    asking.retain(|one| {
        let is_meant = args.up.services.is_empty() || args.up.services.contains(&one.service);
        is_meant || one.spec.load == Load::Preload
    });
    if asking.is_empty() {
        note("no service is loaded on demand, or says what memory of GPUs it needs");
        return Ok(Exit::Fine);
    }
    let (source, found) = gpu::look(invocation).await?;
    if found.gpus.is_none() && asking.iter().any(|one| one.spec.devices != Wanted::None) {
        gpu::none(&source, &found)?;
    }
    let gpus = found.gpus.map(|(_, measured)| measured).unwrap_or_default();
    for one in &mut asking {
        gpu::name_by_uuid(&mut one.spec, &gpus.devices);
    }
    let foretold = Foretold::of(&GpuRules::of(&project.orch.gpu), gpus, asking);
    let printed = print(&match args.format {
        PlanFormat::Json => format!("{:#}\n", foretold.json()),
        PlanFormat::Table | PlanFormat::Dot | PlanFormat::Mermaid => foretold.text(),
    });
    let faults = foretold.faults(project);
    if faults.is_empty() {
        return Ok(printed);
    }
    Err(CliError::in_the_way(&faults, &project.sources, invocation.display().err_colour))
}

/// Somebody who asks for GPUs: a service, or a container of one that `up` starts.
struct Asking {
    /// In the file.
    service: String,
    /// What starts it, in a word.
    load: &'static str,
    /// Named as it is shown.
    spec: ServiceSpec,
}

impl Asking {
    fn of(project: &Project, service: &Service) -> Vec<Self> {
        let name = &service.name;
        let asking = |name: String, load: Option<Load>, spec: ServiceSpec| Self {
            service: service.name.clone(),
            load: load.map_or("up", Load::word),
            spec: ServiceSpec { name, ..spec },
        };
        let load = service.orch.load;
        if let Some(spec) = ServiceSpec::started(project, service) {
            let least = u32::from(load == Some(Load::Preload));
            let count = service.replicas().max(least);
            let shown = |number| if count == 1 { name.clone() } else { format!("{name} {number}") };
            return (1..=count).map(|number| asking(shown(number), load, spec.clone())).collect();
        }
        let on_demand = ServiceSpec::of(project, service).filter(|spec| spec.load != Load::Preload);
        on_demand.map(|spec| asking(name.clone(), load, spec)).into_iter().collect()
    }

    fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it needs, where that was not found out by placing it.
    fn needs(&self) -> String {
        let (count, all) = match &self.spec.devices {
            Wanted::None => return "-".to_owned(),
            Wanted::Any(count) => (*count, false),
            Wanted::These(named) => (named.len(), false),
            Wanted::All => (1, true),
        };
        match (self.spec.vram, all) {
            (_, true) => "all GPUs".to_owned(),
            (None, _) if count == 1 => "a whole GPU".to_owned(),
            (None, _) => format!("{count} whole GPUs"),
            (Some(vram), _) => times(&byte_words(vram.on_each(count)), count),
        }
    }
}

/// What is foretold of a project's services.
struct Foretold {
    gpus: Measured,
    asking: Vec<Asking>,
    survey: Survey,
    /// Why each would have to wait now; `None`: it would not, or could never be loaded.
    now: Vec<Option<String>>,
}

impl Foretold {
    fn of(rules: &GpuRules, gpus: Measured, asking: Vec<Asking>) -> Self {
        let services: Vec<ServiceSpec> = asking.iter().map(|one| one.spec.clone()).collect();
        let survey = |now: bool, services: Vec<ServiceSpec>| {
            let known = gpus.devices.iter().filter_map(|device| Some((device, device.memory?)));
            let memory = |memory: Memory| Memory { free: memory.free.filter(|_| now), ..memory };
            let devices = known.map(|(device, known)| (device.id.clone(), memory(known))).collect();
            Surveyed { rules: rules.clone(), devices, services }.survey()
        };
        let whole = survey(false, services);
        let now = |(one, fate): (&Asking, &Fate)| {
            // Whoever is started by `up` may run already, and be what takes the room.
            let is_asked = one.spec.load != Load::Preload && matches!(fate, Fate::Loaded(_));
            match survey(true, is_asked.then(|| one.spec.clone()).into_iter().collect()).alone.pop() {
                Some(Fate::Waits(reason)) => Some(reason),
                _ => None,
            }
        };
        let now = asking.iter().zip(&whole.alone).map(now).collect();
        Self { survey: whole, now, gpus, asking }
    }

    fn name(&self, index: usize) -> &str {
        self.asking.get(index).map_or("", Asking::name)
    }

    fn device(&self, id: &DeviceId) -> Option<&Device> {
        self.gpus.devices.iter().find(|device| device.id == *id)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let gpus: Vec<Vec<String>> = self.gpus.devices.iter().map(|device| self.gpu_row(device)).collect();
        if !gpus.is_empty() {
            text = table(&["GPU", "NAME", "MEMORY", "FOR SERVICES", "FREE NOW", "UUID"], &gpus) + "\n";
        }
        let rows: Vec<Vec<String>> =
            self.asking.iter().zip(&self.survey.alone).map(|(one, fate)| self.row(one, fate)).collect();
        text += &table(&["SERVICE", "LOAD", "NEEDS", "GPU"], &rows);
        let groups = self.survey.groups.iter().map(|group| {
            let names: Vec<&str> = group.iter().map(|index| self.name(*index)).collect();
            names.join(", ")
        });
        let stays = |one: &&Asking| one.spec.load == Load::Preload;
        let staying: Vec<&str> = self.asking.iter().filter(stays).map(Asking::name).collect();
        let beside = if staying.is_empty() { String::new() } else { format!(", and {}", staying.join(", ")) };
        section(&mut text, &format!("side by side{beside}"), groups);
        section(&mut text, "one or the other", self.rivals());
        let waits = |(one, reason): (&Asking, &Option<String>)| {
            Some(format!("{} would wait: {}", one.name(), reason.as_deref()?))
        };
        section(&mut text, "now, beside what runs", self.asking.iter().zip(&self.now).filter_map(waits));
        text
    }

    fn gpu_row(&self, device: &Device) -> Vec<String> {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), byte_words);
        let budget = self.survey.budgets.iter().find(|(id, _)| *id == device.id);
        vec![
            device.index.to_string(),
            device.name.clone(),
            size(device.memory.map(|memory| memory.total)),
            // Of one that does not tell its memory nothing is given.
            size(Some(budget.map_or(0, |(_, budget)| *budget))),
            size(device.memory.and_then(|memory| memory.free)),
            device.id.to_string(),
        ]
    }

    fn row(&self, one: &Asking, fate: &Fate) -> Vec<String> {
        let (needs, on) = match fate {
            Fate::Loaded(devices) if devices.is_empty() => ("-".to_owned(), "-".to_owned()),
            Fate::Loaded(devices) => {
                let mut sizes: Vec<u64> = devices.iter().map(|(_, bytes)| *bytes).collect();
                sizes.dedup();
                let needs = match sizes.as_slice() {
                    [size] => times(&byte_words(*size), devices.len()),
                    sizes => sizes.iter().map(|size| byte_words(*size)).collect::<Vec<_>>().join(" + "),
                };
                let index = |(id, _): &(DeviceId, u64)| {
                    self.device(id).map_or_else(|| id.to_string(), |device| device.index.to_string())
                };
                (needs, devices.iter().map(index).collect::<Vec<_>>().join(", "))
            }
            Fate::Never(_) => (one.needs(), "never fits".to_owned()),
            Fate::Waits(_) | Fate::MakesWay(_) => (one.needs(), "no room".to_owned()),
        };
        vec![one.name().to_owned(), one.load.to_owned(), needs, on]
    }

    /// Those that are not loaded side by side, in a line for each two.
    fn rivals(&self) -> Vec<String> {
        let line = |two: &[Rival]| match two {
            [Rival { loaded, asked, fate: Fate::MakesWay(_) }, Rival { fate: Fate::MakesWay(_), .. }] => {
                format!("{} and {} push each other out", self.name(*loaded), self.name(*asked))
            }
            two => {
                let told: Vec<String> = two.iter().map(|rival| self.rival(rival)).collect();
                told.join("; ")
            }
        };
        // Both orders of two stand side by side.
        self.survey.rivals.chunks(2).map(line).collect()
    }

    fn rival(&self, rival: &Rival) -> String {
        let (asked, loaded) = (self.name(rival.asked), self.name(rival.loaded));
        match &rival.fate {
            Fate::Loaded(_) => format!("{asked} fits beside {loaded} where that is loaded first"),
            Fate::MakesWay(_) => format!("{asked} pushes {loaded} out"),
            Fate::Waits(reason) | Fate::Never(reason) => format!("{asked} waits for {loaded}: {reason}"),
        }
    }

    fn json(&self) -> Value {
        let gpu = |device: &Device| {
            let memory = device.memory;
            json!({
                "uuid": device.id,
                "index": device.index,
                "name": device.name,
                "memory": {"total": memory.map(|m| m.total), "free": memory.and_then(|m| m.free)},
                "budget": self.survey.budgets.iter().find(|(id, _)| *id == device.id).map(|(_, most)| most),
            })
        };
        let service = |((one, fate), now): ((&Asking, &Fate), &Option<String>)| {
            let (word, reason) = said(fate);
            let devices = match fate {
                Fate::Loaded(devices) => devices.as_slice(),
                Fate::MakesWay(_) | Fate::Waits(_) | Fate::Never(_) => &[],
            };
            let device = |(id, bytes): &(DeviceId, u64)| json!({"uuid": id, "bytes": bytes});
            json!({
                "name": one.name(),
                "service": one.service,
                "load": one.load,
                "fate": word,
                "reason": reason,
                "gpus": devices.iter().map(device).collect::<Vec<_>>(),
                "now": now,
            })
        };
        let names = |group: &std::collections::BTreeSet<usize>| -> Vec<&str> {
            group.iter().map(|index| self.name(*index)).collect()
        };
        let rival = |rival: &Rival| {
            let (word, reason) = said(&rival.fate);
            json!({
                "loaded": self.name(rival.loaded),
                "asked": self.name(rival.asked),
                "fate": word,
                "reason": reason,
            })
        };
        let services = self.asking.iter().zip(&self.survey.alone).zip(&self.now);
        json!({
            "gpus": self.gpus.devices.iter().map(gpu).collect::<Vec<_>>(),
            "services": services.map(service).collect::<Vec<_>>(),
            "side_by_side": self.survey.groups.iter().map(names).collect::<Vec<_>>(),
            "rivals": self.survey.rivals.iter().map(rival).collect::<Vec<_>>(),
        })
    }

    /// Services that can never be loaded, each with its place in a file.
    fn faults(&self, project: &Project) -> Vec<Diagnostic> {
        let fault = |(one, fate): (&Asking, &Fate)| {
            let (code, message) = match fate {
                Fate::Loaded(_) | Fate::MakesWay(_) => return None,
                Fate::Never(reason) => {
                    ("never-fits", format!("`{}` can never be loaded: {reason}", one.name()))
                }
                Fate::Waits(reason) => {
                    ("no-room", format!("`{}` has no room beside what `up` starts: {reason}", one.name()))
                }
            };
            let place = format!("services.{}", one.service);
            Some(project.point(Diagnostic::error(code, message), &[place], ""))
        };
        self.asking.iter().zip(&self.survey.alone).filter_map(fault).collect()
    }
}

/// What becomes of a service, in a word for programs, and why.
fn said(fate: &Fate) -> (&'static str, Option<&str>) {
    match fate {
        Fate::Loaded(_) => ("loaded", None),
        Fate::MakesWay(_) => ("makes_way", None),
        Fate::Waits(reason) => ("waits", Some(reason)),
        Fate::Never(reason) => ("never", Some(reason)),
    }
}

fn times(size: &str, count: usize) -> String {
    if count == 1 { size.to_owned() } else { format!("{count} × {size}") }
}

fn section(text: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        // Writing to a string cannot fail.
        writeln!(text, "\n{title}").ok();
    }
    for line in lines {
        writeln!(text, "  {line}").ok();
    }
}

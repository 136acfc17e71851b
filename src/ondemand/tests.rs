//! The machine in virtual time: every state with every input, stories, and random worlds.

use std::time::Duration;

use super::*;
use crate::{
    project::{Bytes, Evict, Keep, Load, Vram},
    time::Elapsed,
};

mod dice;
mod promises;
mod random;
mod stories;
mod survey;
mod table;
mod world;

const GIB: u64 = 1 << 30;

fn at(seconds: f64) -> Elapsed {
    Elapsed::new(Duration::from_secs_f64(seconds))
}

fn gpu(number: u32) -> DeviceId {
    DeviceId(format!("GPU-{number}"))
}

/// A service that needs so many GiB of one GPU.
fn spec(name: &str, gib: u64) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        project: "p".to_owned(),
        rules: Rules { min_resident: Duration::from_secs(5), ..Rules::default() },
        load: Load::OnDemand,
        devices: Wanted::Any(1),
        vram: Some(Vram::PerGpu(Bytes(i64::try_from(gib * GIB).unwrap()))),
        stop_after: None,
        max_wait: Duration::from_mins(10),
        queue: 1000,
        keep: Keep::Normal,
        priority: 0,
        abandon: Abandon::Finish,
        load_within: Duration::from_mins(2),
        unload_within: Duration::from_secs(20),
        load_guess: Duration::from_secs(10),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the input wants it")]
fn memory(total: u64, free: u64) -> Option<Memory> {
    Some(Memory { total: total * GIB, free: Some(free * GIB) })
}

fn declared(service: u32, spec: ServiceSpec) -> Input {
    Input::Declared { service: ServiceId(service), spec: Box::new(spec) }
}

fn device(number: u32, memory: Option<Memory>) -> Input {
    Input::Device { device: gpu(number), memory }
}

fn asked(request: u64, service: u32) -> Input {
    Input::Asked { request: RequestId(request), service: ServiceId(service), wait: Wait::Held(None) }
}

fn failure(out_of_memory: bool) -> LoadFailure {
    let message = if out_of_memory { "CUDA out of memory" } else { "exit code 1" };
    LoadFailure { out_of_memory, message: message.to_owned() }
}

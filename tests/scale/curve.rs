//! The curve: time, peak memory and allocations of each stage at each size.
//!
//! ```sh
//! cargo test --release --test scale -- --ignored --nocapture curve
//! ```
//!
//! `DOCKER_ORCH_SIZES=500,1000` chooses the numbers of services, `DOCKER_ORCH_SHAPE=layers` one shape.

use std::time::{Duration, Instant};

use allocation_counter::AllocationInfo;
use docker_orch::{
    engine::sim::{Script, SimEngine},
    event::Verdict,
};

use crate::{
    lab,
    shapes::{Kind, Shape},
    stages::{self, Gauge, Stage},
};

const SIZES: &str = "500,1000,2500,5000,10000";

/// What a stage cost.
struct Cost {
    stage: String,
    time: Duration,
    memory: AllocationInfo,
}

#[derive(Default)]
struct Costs(Vec<Cost>);

impl Gauge for Costs {
    fn stage<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.measured(stage.to_string(), work)
    }
}

impl Costs {
    fn measured<T>(&mut self, stage: String, work: impl FnOnce() -> T) -> T {
        let (mut result, began) = (None, Instant::now());
        let memory = allocation_counter::measure(|| result = Some(work()));
        self.0.push(Cost { stage, time: began.elapsed(), memory });
        result.expect("it was measured")
    }

    /// A whole `up` through executor and simulated engine.
    fn whole(&mut self, kind: Kind) {
        let yaml = kind.yaml();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        self.measured("up, simulated".to_owned(), || {
            let sim = SimEngine::new(Script::new());
            let ran = runtime.block_on(lab::up_of(&sim, yaml.strip_prefix("name: p\n").unwrap_or(&yaml)));
            assert_eq!(ran.ended.finished.verdict, Verdict::Succeeded, "{:?}", ran.ended);
        });
    }
}

#[test]
#[ignore = "a measurement: it takes minutes"]
fn curve() {
    let sizes = std::env::var("DOCKER_ORCH_SIZES").unwrap_or_else(|_| SIZES.to_owned());
    let sizes: Vec<usize> = sizes.split(',').map(|n| n.trim().parse().unwrap()).collect();
    let only = std::env::var("DOCKER_ORCH_SHAPE").unwrap_or_default().to_lowercase();
    let only_plans = std::env::var_os("DOCKER_ORCH_NO_ENGINE").is_some();
    println!(
        "{:<16} {:<14} {:>8} {:>10} {:>10} {:>15}",
        "shape", "stage", "services", "ms", "peak KiB", "allocs/service"
    );
    let kinds = Shape::ALL.into_iter().flat_map(|shape| {
        let sizes = sizes.clone();
        [false, true].into_iter().flat_map(move |checked| {
            sizes.clone().into_iter().map(move |services| Kind { shape, checked, services })
        })
    });
    for kind in kinds.filter(|kind| kind.to_string().contains(&only)) {
        let mut costs = Costs::default();
        stages::all(kind, &mut costs);
        if !only_plans {
            costs.whole(kind);
        }
        for Cost { stage, time, memory } in costs.0 {
            let (name, services) = (kind.to_string(), kind.services);
            let (ms, peak) = (time.as_secs_f64() * 1000.0, memory.bytes_max / 1024);
            let each = memory.count_total / services as u64;
            println!("{name:<16} {stage:<14} {services:>8} {ms:>10.1} {peak:>10} {each:>15}");
        }
    }
}

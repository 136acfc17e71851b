//! `gpu`: the GPUs of this machine, and how much of their memory is free.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    CliError, Exit, Invocation,
    args::{Format, GpuArgs},
    entry::{note, print},
    table::table,
};
use crate::{
    executor::Signals,
    gpu::{Device, Found, Gpus, Measured, Source, by_uuid, find},
    journal::rfc3339,
    ondemand::{ServiceSpec, Wanted},
    project::byte_words,
};

/// Names the place where GPUs are looked for.
const VARIABLE: &str = "DOCKER_ORCH_GPUS";
/// How often `--watch` asks.
const EVERY: Duration = Duration::from_secs(1);

/// Where this machine's GPUs are looked for, and what came of it.
///
/// # Errors
///
/// The place to look for them, named by the environment, is wrong.
pub(super) async fn look(invocation: &Invocation) -> Result<(Source, Found), CliError> {
    let source = Source::read(invocation.env(VARIABLE).unwrap_or_default())
        .map_err(|words| CliError::usage(format!("{VARIABLE}: {words}")))?;
    let found = find(&source).await;
    Ok((source, found))
}

/// Names the devices that a service asks for by their UUIDs, however its file names them.
pub(super) fn name_by_uuid(spec: &mut ServiceSpec, known: &[Device]) {
    if let Wanted::These(names) = &mut spec.devices {
        *names = by_uuid(names, known);
    }
}

/// Lists GPUs.
///
/// # Errors
///
/// The place to look for them, named by the environment, is wrong; or a driver that has answered before answers no more.
pub(super) async fn run(invocation: &Invocation, args: &GpuArgs) -> Result<Exit, CliError> {
    let (source, found) = look(invocation).await?;
    let Some((gpus, measured)) = &found.gpus else {
        return none(&source, &found);
    };
    if args.watch {
        return watch(invocation, args, &**gpus, measured).await;
    }
    Ok(print(&match args.format {
        Format::Table => text(measured),
        Format::Json => lines(&**gpus, measured, SystemTime::now()),
    }))
}

/// There is none: says so. A place that was named in so many words, and cannot be looked at, is a mistake.
pub(super) fn none(source: &Source, found: &Found) -> Result<Exit, CliError> {
    if *source != Source::Auto
        && let Some((place, error)) =
            found.tried.iter().find_map(|tried| Some((&tried.place, tried.error.as_ref()?)))
    {
        return Err(match source {
            Source::Fake(_) => CliError::usage(format!("{VARIABLE}: {error}")).hint(
                r#"it is to hold a list such as [{"uuid": "GPU-a", "name": "A", "total": 25769803776, "free": 25769803776}]"#,
            ),
            Source::Auto | Source::Nvml | Source::Smi | Source::Nowhere => {
                CliError::usage(format!("{VARIABLE}: {place}: {error}"))
            }
        });
    }
    note(&absence(found));
    Ok(Exit::Fine)
}

/// Where GPUs were looked for in vain, and what to do.
fn absence(found: &Found) -> String {
    let mut text = "No GPU found.\n".to_owned();
    for tried in &found.tried {
        let why = tried.error.as_ref().map_or_else(|| "lists none".to_owned(), ToString::to_string);
        // Writing to a string cannot fail.
        writeln!(text, "  {}: {why}", tried.place).ok();
    }
    text + "Where there is an NVIDIA GPU, `nvidia-smi` lists it once its driver is installed, and this command with it.\n\
            `docker orch doctor` says whether the engine can hand GPUs to containers.\n\
            DOCKER_ORCH_GPUS=fake:PATH reads made-up GPUs from a JSON file, to try things without one."
}

async fn watch(
    invocation: &Invocation,
    args: &GpuArgs,
    gpus: &dyn Gpus,
    first: &Measured,
) -> Result<Exit, CliError> {
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns.tick().await;
    let (mut measured, mut shown) = (first.clone(), String::new());
    loop {
        let next = match args.format {
            Format::Json => lines(gpus, &measured, SystemTime::now()),
            Format::Table => text(&measured),
        };
        let redrawn = match args.format {
            Format::Table if invocation.terminals.stdout => format!("{}{next}", over(&shown)),
            // Where nothing is drawn over, only news is printed.
            Format::Table if next == shown => String::new(),
            Format::Table | Format::Json => next.clone(),
        };
        if print(&redrawn) != Exit::Fine {
            return Ok(Exit::Failed);
        }
        shown = next;
        tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Interrupted),
            _ = turns.tick() => {}
        }
        measured = gpus
            .measure()
            .await
            .map_err(|e| CliError::failed(format!("lost the GPUs of {}", gpus.name())).caused_by(&e))?;
    }
}

/// Moves to where a text began, and clears what stands there.
fn over(shown: &str) -> String {
    match shown.lines().count() {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

fn text(measured: &Measured) -> String {
    let rows: Vec<Vec<String>> = measured.devices.iter().map(row).collect();
    table(&["GPU", "NAME", "MEMORY", "USED", "FREE", "PROCESSES", "UUID"], &rows)
}

fn row(device: &Device) -> Vec<String> {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), byte_words);
    let (total, free) = sizes(device);
    vec![
        device.index.to_string(),
        device.name.clone(),
        size(total),
        size(used(total, free)),
        size(free),
        device.processes.as_ref().map_or_else(|| "?".to_owned(), |processes| processes.len().to_string()),
        device.id.to_string(),
    ]
}

/// One object for each GPU.
fn lines(gpus: &dyn Gpus, measured: &Measured, now: SystemTime) -> String {
    let line = |device: &Device| {
        let (total, free) = sizes(device);
        let value = json!({
            "time": rfc3339(now),
            "uuid": device.id,
            "index": device.index,
            "name": device.name,
            "driver": measured.driver,
            "source": gpus.name(),
            "memory": {"total": total, "used": used(total, free), "free": free},
            "processes": device.processes,
        });
        format!("{value}\n")
    };
    measured.devices.iter().map(line).collect()
}

/// All of it, and what is free, in bytes.
fn sizes(device: &Device) -> (Option<u64>, Option<u64>) {
    (device.memory.map(|memory| memory.total), device.memory.and_then(|memory| memory.free))
}

/// What is not free, be it held by a process or by the driver itself.
fn used(total: Option<u64>, free: Option<u64>) -> Option<u64> {
    total?.checked_sub(free?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gpu::{Holder, Tried},
        ondemand::{DeviceId, Memory},
    };

    fn measured() -> Measured {
        let device = |index, name: &str, memory, processes| Device {
            id: DeviceId(format!("GPU-{index}")),
            index,
            name: name.to_owned(),
            memory,
            processes,
        };
        let h200 = Memory { total: 150_754_820_096, free: Some(150_213_754_880) };
        let holders = vec![Holder { pid: 7, memory: Some(1 << 30) }, Holder { pid: 8, memory: None }];
        Measured {
            driver: "570.86.15".to_owned(),
            devices: vec![
                device(0, "NVIDIA H200", Some(h200), Some(holders)),
                device(1, "NVIDIA L4", Some(Memory { total: 24 << 30, free: None }), None),
                device(2, "NVIDIA GB10", None, Some(Vec::new())),
            ],
        }
    }

    #[test]
    fn a_gpu_is_a_row() {
        insta::assert_snapshot!(text(&measured()), @"
        GPU       NAME          MEMORY    USED      FREE      PROCESSES   UUID
        0         NVIDIA H200   140 GiB   516 MiB   139 GiB   2           GPU-0
        1         NVIDIA L4     24 GiB    ?         ?         ?           GPU-1
        2         NVIDIA GB10   ?         ?         ?         0           GPU-2
        ");
    }

    #[tokio::test]
    async fn a_gpu_is_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpus.json");
        std::fs::write(&path, r#"[{"uuid":"GPU-a","total":9}]"#).unwrap();
        let (gpus, _) = find(&Source::Fake(path.clone())).await.gpus.unwrap();
        let lines = lines(&*gpus, &measured(), SystemTime::UNIX_EPOCH);
        insta::assert_snapshot!(lines.replace(&path.display().to_string(), "gpus.json"), @r#"
        {"time":"1970-01-01T00:00:00.000Z","uuid":"GPU-0","index":0,"name":"NVIDIA H200","driver":"570.86.15","source":"fake:gpus.json","memory":{"total":150754820096,"used":541065216,"free":150213754880},"processes":[{"pid":7,"memory":1073741824},{"pid":8,"memory":null}]}
        {"time":"1970-01-01T00:00:00.000Z","uuid":"GPU-1","index":1,"name":"NVIDIA L4","driver":"570.86.15","source":"fake:gpus.json","memory":{"total":25769803776,"used":null,"free":null},"processes":null}
        {"time":"1970-01-01T00:00:00.000Z","uuid":"GPU-2","index":2,"name":"NVIDIA GB10","driver":"570.86.15","source":"fake:gpus.json","memory":{"total":null,"used":null,"free":null},"processes":[]}
        "#);
    }

    #[test]
    fn where_there_is_none_it_says_what_to_do() {
        let tried = |place: &str, error| Tried { place: place.to_owned(), error };
        let found = Found { gpus: None, tried: vec![tried("nvidia-smi", None)] };
        insta::assert_snapshot!(absence(&found), @"
        No GPU found.
          nvidia-smi: lists none
        Where there is an NVIDIA GPU, `nvidia-smi` lists it once its driver is installed, and this command with it.
        `docker orch doctor` says whether the engine can hand GPUs to containers.
        DOCKER_ORCH_GPUS=fake:PATH reads made-up GPUs from a JSON file, to try things without one.
        ");
    }

    #[test]
    fn a_table_is_drawn_over_the_last_one() {
        assert_eq!(over(""), "");
        assert_eq!(over("a\nb\n"), "\x1b[2A\x1b[J");
    }
}

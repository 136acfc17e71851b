//! GPUs as `nvidia-smi` lists them: where NVIDIA's library cannot be loaded, as into a static program.

use std::{num::ParseIntError, process::Stdio};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{process::Command, time::timeout};

use super::{Device, GpuError, Gpus, Holder, Measured, error::PATIENCE};
use crate::ondemand::{DeviceId, Memory};

const PROGRAM: &str = "nvidia-smi";
/// The name stands last: it may contain what separates the fields.
const DEVICES: &str = "--query-gpu=index,uuid,driver_version,memory.total,memory.free,name";
const PROCESSES: &str = "--query-compute-apps=gpu_uuid,pid,used_gpu_memory";
/// Sizes are given in this, without saying so.
const MIB: u64 = 1 << 20;

/// What `nvidia-smi` says.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Smi;

impl Gpus for Smi {
    fn name(&self) -> String {
        PROGRAM.to_owned()
    }

    fn measure(&self) -> BoxFuture<'_, Result<Measured, GpuError>> {
        async {
            let (devices, processes) = futures::join!(ask(DEVICES), ask(PROCESSES));
            let mut measured = devices_of(&devices?)?;
            // Drivers that do not tell processes are no reason to do without the rest.
            if let Ok(holders) = processes.and_then(|text| holders_of(&text)) {
                for device in &mut measured.devices {
                    let own = holders.iter().filter(|(id, _)| *id == device.id);
                    device.processes = Some(own.map(|(_, holder)| holder.clone()).collect());
                }
            }
            Ok(measured)
        }
        .boxed()
    }
}

/// Runs it with one query.
async fn ask(query: &str) -> Result<String, GpuError> {
    let mut command = Command::new(PROGRAM);
    command.args([query, "--format=csv,noheader,nounits"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| GpuError::too_late("it"))?;
    let output = output.map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => GpuError::new("not on the search path"),
        _ => GpuError::new(format!("cannot be run: {e}")),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    // It complains on either.
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().chain(text.lines()).map(str::trim).find(|line| !line.is_empty());
    let words = first.map(|line| format!(": {line}")).unwrap_or_default();
    let end = output.status.code().map_or_else(|| output.status.to_string(), |code| code.to_string());
    Err(GpuError::new(format!("it ended with {end}{words}")))
}

fn devices_of(text: &str) -> Result<Measured, GpuError> {
    let mut measured = Measured::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (device, driver) = device(line).ok_or_else(|| unreadable(line))?;
        driver.clone_into(&mut measured.driver);
        measured.devices.push(device);
    }
    Ok(measured)
}

fn device(line: &str) -> Option<(Device, &str)> {
    let mut fields = line.splitn(6, ',').map(str::trim);
    let index = fields.next()?.parse().ok()?;
    let id = uuid(fields.next()?)?;
    let driver = fields.next()?;
    let (total, free) = (size(fields.next()?).ok()?, size(fields.next()?).ok()?);
    let memory = match (total, free) {
        (Some(total), free) if free.is_none_or(|free| free <= total) => Some(Memory { total, free }),
        (Some(_), _) => return None,
        (None, _) => None,
    };
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    Some((Device { id, index, name, memory, processes: None }, driver))
}

fn holders_of(text: &str) -> Result<Vec<(DeviceId, Holder)>, GpuError> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| holder(line).ok_or_else(|| unreadable(line))).collect()
}

fn holder(line: &str) -> Option<(DeviceId, Holder)> {
    let mut fields = line.split(',').map(str::trim);
    let id = uuid(fields.next()?)?;
    let pid = fields.next()?.parse().ok()?;
    let memory = size(fields.next()?).ok()?;
    fields.next().is_none().then_some((id, Holder { pid, memory }))
}

/// Bytes of a size; `None`: the driver does not tell it, as `[N/A]` or `[Not Supported]`.
fn size(field: &str) -> Result<Option<u64>, ParseIntError> {
    if field.starts_with('[') && field.ends_with(']') {
        return Ok(None);
    }
    field.parse::<u32>().map(|mib| Some(u64::from(mib) * MIB))
}

fn uuid(field: &str) -> Option<DeviceId> {
    let is_one = field.starts_with("GPU-") && field.len() > 4;
    is_one.then(|| DeviceId(field.to_owned()))
}

fn unreadable(line: &str) -> GpuError {
    GpuError::new(format!("it printed what cannot be read: `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read() {
        let text = "0, GPU-aa, 570.86.15, 143771, 143255, NVIDIA H200\n\
                    1, GPU-bb, 570.86.15, [N/A], [N/A], NVIDIA GB10, rev 2\n\
                    2, GPU-cc, 570.86.15, 24576, [Not Supported], NVIDIA L4\n\n";
        let measured = devices_of(text).unwrap();
        assert_eq!(measured.driver, "570.86.15");
        let seen: Vec<_> = measured.devices.iter().map(|d| (d.index, d.name.as_str(), d.memory)).collect();
        let h200 = Memory { total: 143_771 * MIB, free: Some(143_255 * MIB) };
        let l4 = Memory { total: 24_576 * MIB, free: None };
        assert_eq!(
            seen,
            [(0, "NVIDIA H200", Some(h200)), (1, "NVIDIA GB10, rev 2", None), (2, "NVIDIA L4", Some(l4))]
        );
        assert_eq!(devices_of("").unwrap(), Measured::default());
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for text in [
            "No devices were found",
            "Unable to determine the device handle for GPU0000:01:00.0: Unknown Error",
            "0, GPU-aa, 570.86.15, 100, 200, NVIDIA H200",
            "0, GPU-aa, 570.86.15, 100 MiB, 50 MiB, NVIDIA H200",
            "0, GPU-aa, 570.86.15, -1, 0, NVIDIA H200",
            "0, GPU-aa, 570.86.15, 18446744073709551615, 0, NVIDIA H200",
            "0, 0000:01:00.0, 570.86.15, 100, 50, NVIDIA H200",
            "0, GPU-aa, 570.86.15, 100, 50",
        ] {
            let error = devices_of(text).unwrap_err().to_string();
            assert_eq!(error, format!("it printed what cannot be read: `{text}`"));
        }
    }

    #[test]
    fn processes_are_told_with_their_memory() {
        let holders = holders_of("GPU-aa, 4711, 1024\nGPU-aa, 4712, [N/A]\n").unwrap();
        let told: Vec<_> = holders.iter().map(|(id, h)| (id.0.as_str(), h.pid, h.memory)).collect();
        assert_eq!(told, [("GPU-aa", 4711, Some(1 << 30)), ("GPU-aa", 4712, None)]);
        assert!(holders_of("GPU-aa, 4711").is_err());
        assert!(holders_of("GPU-aa, 4711, 1, 2").is_err());
    }
}

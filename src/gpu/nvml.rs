//! GPUs as NVIDIA's own library tells them. It is loaded while the program runs, where there is one.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use nvml_wrapper::{Nvml, enums::device::UsedGpuMemory, error::NvmlError};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Device, GpuError, Gpus, Holder, Measured, error::PATIENCE};
use crate::ondemand::{DeviceId, Memory};

/// The library, loaded.
pub(super) struct Library(Arc<Nvml>);

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

impl Library {
    /// Loads it and wakes the driver.
    ///
    /// # Errors
    ///
    /// There is none, or it finds no driver.
    pub(super) async fn load() -> Result<Self, GpuError> {
        let loaded = in_time(|| Nvml::init().map_err(|e| words(&e))).await?;
        Ok(Self(Arc::new(loaded)))
    }
}

impl Gpus for Library {
    fn name(&self) -> String {
        "NVML".to_owned()
    }

    fn measure(&self) -> BoxFuture<'_, Result<Measured, GpuError>> {
        let library = Arc::clone(&self.0);
        in_time(move || measured(&library).map_err(|e| words(&e))).boxed()
    }
}

/// A call may hang for as long as the driver does: it gets a thread of its own, which nobody waits for any longer.
async fn in_time<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, GpuError> + Send + 'static,
) -> Result<T, GpuError> {
    match timeout(PATIENCE, spawn_blocking(call)).await {
        Err(_) => Err(GpuError::too_late("the driver")),
        Ok(Err(_)) => Err(GpuError::new("the program is ending")),
        Ok(Ok(result)) => result,
    }
}

fn measured(library: &Nvml) -> Result<Measured, NvmlError> {
    let devices = (0..library.device_count()?).map(|index| device(library, index));
    Ok(Measured { driver: library.sys_driver_version()?, devices: devices.collect::<Result<_, _>>()? })
}

fn device(library: &Nvml, index: u32) -> Result<Device, NvmlError> {
    let device = library.device_by_index(index)?;
    let memory = match device.memory_info() {
        Ok(memory) if memory.total > 0 => {
            Some(Memory { total: memory.total, free: (memory.free <= memory.total).then_some(memory.free) })
        }
        // Memory of the machine is told as nothing, or not at all.
        Ok(_) | Err(NvmlError::NotSupported) => None,
        Err(error) => return Err(error),
    };
    let processes = device.running_compute_processes().ok().map(|processes| {
        let holder = |process: nvml_wrapper::struct_wrappers::device::ProcessInfo| Holder {
            pid: process.pid,
            memory: match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            },
        };
        processes.into_iter().map(holder).collect()
    });
    let id = DeviceId(device.uuid()?);
    Ok(Device { id, index, name: device.name()?, memory, processes })
}

fn words(error: &NvmlError) -> GpuError {
    match error {
        NvmlError::LibloadingError(error) => GpuError::new(error.to_string()),
        other => GpuError::new(other.to_string()),
    }
}

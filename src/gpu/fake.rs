//! GPUs that a file lists: to try things without a GPU.
//!
//! The file is read anew at each measure, so that whoever writes it plays the driver.

use std::{fs, path::PathBuf};

use futures::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;

use super::{Device, GpuError, Gpus, Measured};
use crate::ondemand::{DeviceId, Memory};

/// GPUs that a file lists.
#[derive(Debug)]
pub(super) struct Fake {
    path: PathBuf,
}

/// A GPU in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    uuid: String,
    name: Option<String>,
    /// In bytes.
    total: u64,
    /// In bytes.
    free: Option<u64>,
}

impl Fake {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn read(&self) -> Result<Measured, GpuError> {
        let text = fs::read_to_string(&self.path).map_err(|e| self.wrong(&e))?;
        let lines: Vec<Line> = serde_json::from_str(&text).map_err(|e| self.wrong(&e))?;
        let mut devices: Vec<Device> = Vec::new();
        for (index, line) in (0..).zip(lines) {
            let id = DeviceId(line.uuid);
            let free = line.free.unwrap_or_default();
            if free > line.total {
                return Err(self.wrong(&format!("`{id}` has {free} bytes free of {}", line.total)));
            }
            if devices.iter().any(|device| device.id == id) {
                return Err(self.wrong(&format!("`{id}` is there twice")));
            }
            let memory = Some(Memory { total: line.total, free: line.free });
            let name = line.name.unwrap_or_else(|| "made up".to_owned());
            devices.push(Device { id, index, name, memory, processes: None });
        }
        Ok(Measured { driver: String::new(), devices })
    }

    fn wrong(&self, why: &dyn std::fmt::Display) -> GpuError {
        GpuError::new(format!("cannot read GPUs from {}: {why}", self.path.display()))
    }
}

impl Gpus for Fake {
    fn name(&self) -> String {
        format!("fake:{}", self.path.display())
    }

    fn are_made_up(&self) -> bool {
        true
    }

    fn measure(&self) -> BoxFuture<'_, Result<Measured, GpuError>> {
        std::future::ready(self.read()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_anew_at_each_measure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpus.json");
        let fake = Fake::new(path.clone());
        let measure = |text: &str| {
            fs::write(&path, text).unwrap();
            fake.read().map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
        };
        let memory = |text: &str| measure(text).unwrap().devices[0].memory.unwrap();
        assert_eq!(memory(r#"[{"uuid":"GPU-a","total":9,"free":7}]"#), Memory { total: 9, free: Some(7) });
        assert_eq!(memory(r#"[{"uuid":"GPU-a","total":9}]"#), Memory { total: 9, free: None });
        assert_eq!(measure("[]").unwrap().devices, []);
        for (text, words) in [
            (r#"[{"uuid":"a","total":1,"free":2}]"#, "`a` has 2 bytes free of 1"),
            (r#"[{"uuid":"a","total":1},{"uuid":"a","total":1}]"#, "`a` is there twice"),
            (
                r#"[{"uuid":"a","total":"1GiB"}]"#,
                "invalid type: string \"1GiB\", expected u64 at line 1 column 27",
            ),
            (
                r#"[{"uuid":"a","total":1,"used":1}]"#,
                "unknown field `used`, expected one of `uuid`, `name`, `total`, `free` at line 1 column 29",
            ),
        ] {
            assert_eq!(measure(text).unwrap_err(), format!("cannot read GPUs from FILE: {words}"));
        }
        fs::remove_file(&path).unwrap();
        assert!(fake.read().unwrap_err().to_string().ends_with("No such file or directory (os error 2)"));
    }
}

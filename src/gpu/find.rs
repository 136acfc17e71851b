//! By which way this machine's GPUs are asked for.

use std::{path::PathBuf, sync::Arc};

use super::{GpuError, Gpus, Measured, fake::Fake, nvml::Library, smi::Smi};

/// Where GPUs are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// In NVIDIA's library, then in what `nvidia-smi` prints.
    #[default]
    Auto,
    /// Only in NVIDIA's library.
    Nvml,
    /// Only in what `nvidia-smi` prints.
    Smi,
    /// In this file.
    Fake(PathBuf),
    /// Nowhere: as if there were none.
    Nowhere,
}

impl Source {
    /// Reads `auto`, `nvml`, `nvidia-smi`, `none` or `fake:PATH`; empty text is `auto`.
    ///
    /// # Errors
    ///
    /// It is none of these: a sentence for the user.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "" | "auto" => Ok(Self::Auto),
            "nvml" => Ok(Self::Nvml),
            "nvidia-smi" => Ok(Self::Smi),
            "none" => Ok(Self::Nowhere),
            other => match other.strip_prefix("fake:") {
                Some(path) if !path.is_empty() => Ok(Self::Fake(path.into())),
                _ => Err(format!(
                    "`{other}` is no place to look for GPUs: expected auto, nvml, nvidia-smi, none or fake:PATH"
                )),
            },
        }
    }
}

/// What came of looking for GPUs.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// How to ask again, and what was said the first time: at least one GPU.
    pub gpus: Option<(Arc<dyn Gpus>, Measured)>,
    /// Where there was none, in the order in which it was looked for.
    pub tried: Vec<Tried>,
}

/// A place where no GPU was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its name, in a word for users.
    pub place: String,
    /// What it answered; `None`: that there is none.
    pub error: Option<GpuError>,
}

/// Looks for GPUs, and stops at the first place that has one. Where there is none it takes less than a millisecond.
pub async fn find(source: &Source) -> Found {
    let mut found = Found::default();
    if matches!(source, Source::Auto | Source::Nvml) {
        match Library::load().await {
            Ok(library) => found.ask(library).await,
            Err(error) => found.tried.push(Tried { place: "NVML".to_owned(), error: Some(error) }),
        }
    }
    if found.gpus.is_none() && matches!(source, Source::Auto | Source::Smi) {
        found.ask(Smi).await;
    }
    if let Source::Fake(path) = source {
        found.ask(Fake::new(path.clone())).await;
    }
    found
}

impl Found {
    async fn ask(&mut self, gpus: impl Gpus + 'static) {
        let place = gpus.name();
        match gpus.measure().await {
            Ok(measured) if !measured.devices.is_empty() => self.gpus = Some((Arc::new(gpus), measured)),
            Ok(_) => self.tried.push(Tried { place, error: None }),
            Err(error) => self.tried.push(Tried { place, error: Some(error) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_word_or_a_file() {
        assert_eq!(Source::read(""), Ok(Source::Auto));
        assert_eq!(Source::read("nvidia-smi"), Ok(Source::Smi));
        assert_eq!(Source::read("fake:/x y"), Ok(Source::Fake("/x y".into())));
        assert!(Source::read("fake:").is_err());
        let error = Source::read("cuda").unwrap_err();
        assert_eq!(
            error,
            "`cuda` is no place to look for GPUs: expected auto, nvml, nvidia-smi, none or fake:PATH"
        );
    }

    #[tokio::test]
    async fn where_there_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gpus.json");
        let source = Source::Fake(path.clone());
        let found = find(&source).await;
        assert!(found.gpus.is_none() && found.tried[0].error.is_some(), "{found:?}");
        std::fs::write(&path, "[]").unwrap();
        assert_eq!(find(&source).await.tried[0].error, None);
        std::fs::write(&path, r#"[{"uuid":"GPU-a","total":1}]"#).unwrap();
        let found = find(&source).await;
        assert!(found.tried.is_empty());
        assert_eq!(found.gpus.unwrap().1.devices[0].id.0, "GPU-a");
        assert!(find(&Source::Nowhere).await.tried.is_empty());
    }
}

//! Images: what is there, and pulls.

use std::{collections::BTreeMap, time::Duration};

use bollard::{
    Docker,
    auth::DockerCredentials,
    models::{CreateImageInfo, ImageInspect},
    query_parameters::CreateImageOptions,
};
use futures::{StreamExt, TryStreamExt as _};

use super::{
    error::{classify, within},
    inspect::health_command,
    timestamp,
};
use crate::{
    engine::{EngineError, EngineErrorKind, EngineProgress, ProgressFn},
    plan::ImageInfo,
};

/// Looks an image up; `None` where there is none, or only one of another platform.
pub(super) async fn lookup(
    docker: &Docker,
    reference: &str,
    platform: Option<&str>,
    limit: Duration,
) -> Result<Option<ImageInfo>, EngineError> {
    match within(limit, "inspect image", docker.inspect_image(reference)).await {
        Ok(answer) => {
            let info = image_info(answer);
            Ok(Some(info).filter(|i| platform.is_none_or(|p| same_platform(p, &i.platform))))
        }
        Err(e) if e.kind == EngineErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn image_info(answer: ImageInspect) -> ImageInfo {
    let config = answer.config.unwrap_or_default();
    let parts = [answer.os, answer.architecture, answer.variant];
    let parts: Vec<String> = parts.into_iter().flatten().filter(|p| !p.is_empty()).collect();
    let tagged = answer.metadata.and_then(|m| m.last_tag_time);
    ImageInfo {
        id: answer.id.unwrap_or_default(),
        healthcheck: health_command(config.healthcheck.as_ref()),
        volumes: config.volumes.unwrap_or_default(),
        tagged: tagged.and_then(|t| timestamp::nanos(&t)).map(|n| n / 1_000_000_000).filter(|s| *s > 0),
        platform: parts.join("/"),
    }
}

/// Whether an image of platform `actual` serves for `wanted`; a variant counts only where both name one.
fn same_platform(wanted: &str, actual: &str) -> bool {
    let parts = |text: &str| -> [String; 3] {
        let mut parts = text.to_ascii_lowercase();
        if !parts.contains('/') {
            parts = format!("linux/{parts}");
        }
        let mut parts = parts.splitn(3, '/').map(str::to_owned);
        let os = parts.next().unwrap_or_default();
        let architecture = match parts.next().unwrap_or_default().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        };
        [os, architecture, parts.next().unwrap_or_default()]
    };
    let ([os, architecture, variant], [its_os, its_architecture, its_variant]) =
        (parts(wanted), parts(actual));
    let variants = variant == its_variant || variant.is_empty() || its_variant.is_empty();
    os == its_os && architecture == its_architecture && variants
}

/// The digest that an image's registry has for it.
pub(super) async fn registry_digest(
    docker: &Docker,
    reference: &str,
    credentials: Option<DockerCredentials>,
    limit: Duration,
) -> Result<String, EngineError> {
    let call = docker.inspect_registry_image(reference, credentials);
    let answer = within(limit, "ask the registry", call).await?;
    answer.descriptor.digest.ok_or_else(|| {
        EngineError::new(EngineErrorKind::NotFound, format!("the registry has no digest for {reference}"))
    })
}

/// Pulls an image. There is no time limit: how long a pull may stay silent depends on its layers.
pub(super) async fn pull(
    docker: &Docker,
    reference: &str,
    platform: Option<&str>,
    credentials: Option<DockerCredentials>,
    progress: ProgressFn,
) -> Result<(), EngineError> {
    let options = CreateImageOptions {
        from_image: Some(with_tag(reference)),
        platform: platform.unwrap_or_default().to_owned(),
        ..CreateImageOptions::default()
    };
    let mut stream = std::pin::pin!(docker.create_image(Some(options), None, credentials));
    let mut layers = Layers::default();
    while let Some(message) = stream.next().await {
        progress(layers.take(message.map_err(classify)?));
    }
    Ok(())
}

/// Makes an image of an archive of its files.
pub(super) async fn import(
    docker: &Docker,
    reference: &str,
    archive: Vec<u8>,
) -> Result<(), bollard::errors::Error> {
    let (repository, tag) = reference.rsplit_once(':').unwrap_or((reference, "latest"));
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(repository.to_owned()),
        tag: Some(tag.to_owned()),
        ..CreateImageOptions::default()
    };
    let body = bollard::body_full(archive.into());
    let messages = docker.create_image(Some(options), Some(body), None);
    messages.try_for_each(|_| std::future::ready(Ok(()))).await
}

/// A reference that names one image: without a tag the engine would pull all of them.
fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains(':') || name.contains('@') {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// The layers of a pull, to sum their sizes up.
#[derive(Debug, Default)]
struct Layers {
    sizes: BTreeMap<String, (u64, u64)>,
}

impl Layers {
    fn take(&mut self, message: CreateImageInfo) -> EngineProgress {
        let status = message.status.unwrap_or_default();
        let id = message.id.unwrap_or_default();
        let size = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        if let Some(detail) = message.progress_detail
            && status == "Downloading"
            && let Some(total) = size(detail.total)
        {
            self.sizes.insert(id.clone(), (size(detail.current).unwrap_or(0), total));
        } else if (status == "Download complete" || status == "Pull complete")
            && let Some((current, total)) = self.sizes.get_mut(&id)
        {
            *current = *total;
        }
        let (current, total) =
            self.sizes.values().fold((0, 0), |(c, t), (current, total)| (c + current, t + total));
        EngineProgress {
            text: if id.is_empty() { status } else { format!("{id}: {status}") },
            current: (total > 0).then_some(current),
            total: (total > 0).then_some(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_platform_serves_where_nothing_contradicts() {
        for (wanted, actual, serves) in [
            ("linux/amd64", "linux/amd64", true),
            ("amd64", "linux/amd64", true),
            ("linux/x86_64", "linux/amd64", true),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/arm64", "linux/amd64", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(same_platform(wanted, actual), serves, "{wanted} {actual}");
        }
    }

    #[test]
    fn one_image_is_pulled() {
        assert_eq!(with_tag("alpine"), "alpine:latest");
        assert_eq!(with_tag("r:5000/a"), "r:5000/a:latest");
        assert_eq!(with_tag("r:5000/a:1"), "r:5000/a:1");
        assert_eq!(with_tag("a@sha256:00"), "a@sha256:00");
    }

    #[test]
    fn layers_are_summed_up() {
        let mut layers = Layers::default();
        let mut take = |id: &str, status: &str, current: i64, total: i64| {
            layers.take(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
                ..CreateImageInfo::default()
            })
        };
        take("a", "Downloading", 10, 100);
        let both = take("b", "Downloading", 5, 50);
        assert_eq!((both.text.as_str(), both.current, both.total), ("b: Downloading", Some(15), Some(150)));
        assert_eq!(take("a", "Download complete", 0, 0).current, Some(105));
    }
}

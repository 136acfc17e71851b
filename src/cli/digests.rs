//! `config --resolve-image-digests` and `--lock-image-digests`: images under the digests that their registries have.

use futures::future::try_join_all;

use super::{CliError, Invocation};
use crate::{engine::Engine, project::ImageName};

/// Puts an image's digest behind its name, in each of these texts; empty ones stay.
///
/// # Errors
///
/// A text is no name of an image, the engine cannot be reached, or a registry does not tell.
pub(super) async fn pin<'a>(
    invocation: &Invocation,
    images: impl Iterator<Item = &'a mut String>,
) -> Result<(), CliError> {
    let engine = invocation.connect().await?;
    try_join_all(images.filter(|image| !image.is_empty()).map(|image| pin_one(&*engine, image))).await?;
    Ok(())
}

async fn pin_one(engine: &dyn Engine, image: &mut String) -> Result<(), CliError> {
    let mut name = ImageName::parse(image).map_err(CliError::failed)?;
    if name.digest.is_none() {
        let written = name.to_string();
        let digest = engine.registry_digest(&written).await;
        name.digest = Some(digest.map_err(|error| {
            CliError::engine(format!("failed to resolve the digest of {written}"), &error)
        })?);
    }
    *image = name.to_string();
    Ok(())
}

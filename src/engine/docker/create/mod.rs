//! A service and a request, as the engine's container-create body.
//!
//! *Owns* the mapping of every Compose attribute to the Engine API (so that `inspect` of what we make equals that of
//! what Compose makes), the API version that an attribute needs, and the list of what the engine ignores.
//!
//! *Must not know* connections: what stands here is computed, apart from a seccomp profile that is read from its file.

mod body;
mod devices;
mod files;
mod gate;
mod host;
mod labels;
mod mounts;
mod networks;
mod security;
mod unsupported;

pub use files::file_uploads;
pub use gate::refused;
pub use unsupported::unsupported;

pub(super) use body::creation;
use gate::{invalid, needs, newer};
pub(super) use labels::{network_labels, volume_labels};
pub(super) use networks::endpoint;

#[cfg(test)]
mod tests;

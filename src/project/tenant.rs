//! The `x-orch` nouns of those whom a project serves: who they are, and how much each may have.

use serde::Serialize;

use super::Orch;

/// The tenant that everybody is who sends no key.
pub const DEFAULT_TENANT: &str = "default";

/// What each tenant of it may have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tier {
    /// Of requests.
    pub requests: RequestLimits,
}

/// What a tenant may have of requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RequestLimits {
    /// At the same time, each until the last byte of its answer; from 1 on. `None`: any number.
    pub inflight: Option<u32>,
}

/// Somebody whom a project serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Tenant {
    /// What it may have. `None`: as much as it likes.
    pub tier: Option<String>,
    /// Where the key is that it sends. `None`: it is [`DEFAULT_TENANT`].
    pub key: Option<KeySource>,
}

/// Where a key is; it never stands in a Compose file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// In the file with this absolute path.
    File(String),
    /// In this variable of the project's environment.
    Environment(String),
}

impl Orch {
    /// What a tenant may have of requests.
    pub fn request_limits(&self, tenant: &Tenant) -> RequestLimits {
        let tier = tenant.tier.as_ref().and_then(|tier| self.tiers.get(tier));
        tier.map(|tier| tier.requests.clone()).unwrap_or_default()
    }

    /// Whether requests must say who sends them: the file names tenants, and none for those who do not.
    pub fn needs_key(&self) -> bool {
        !self.tenants.is_empty() && !self.tenants.contains_key(DEFAULT_TENANT)
    }
}

//! `security_opt`: profiles are sent by content, not by path.

use std::{fs, path::Path};

use super::invalid;
use crate::{engine::EngineError, project::Service};

/// What becomes of `security_opt`.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) options: Vec<String>,
    /// `systempaths=unconfined`: nothing of `/proc` and `/sys` is masked or read-only.
    pub(super) unconfined_paths: bool,
}

/// Maps the options; a seccomp profile's path is relative to `base`.
pub(super) fn security(service: &Service, base: &Path) -> Result<Security, EngineError> {
    let mut security = Security::default();
    for option in &service.security_opt {
        if option == "systempaths=unconfined" {
            security.unconfined_paths = true;
            continue;
        }
        let Some((name, value)) = option.split_once('=').or_else(|| option.split_once(':')) else {
            if option != "no-new-privileges" {
                return Err(invalid(
                    service,
                    &format!("`security_opt: {option}` is unknown: expected `name=value`"),
                ));
            }
            security.options.push(option.clone());
            continue;
        };
        let inline = name == "seccomp" && option.contains('=') && value != "unconfined" && value != "builtin";
        security.options.push(if inline {
            format!("seccomp={}", seccomp(service, &base.join(value))?)
        } else {
            option.clone()
        });
    }
    Ok(security)
}

/// The profile as JSON without white space.
fn seccomp(service: &Service, path: &Path) -> Result<String, EngineError> {
    let text = fs::read_to_string(path)
        .map_err(|e| invalid(service, &format!("cannot read the seccomp profile {}: {e}", path.display())))?;
    let profile: serde_json::Value = serde_json::from_str(&text).map_err(|e| {
        invalid(service, &format!("the seccomp profile {} is not valid JSON: {e}", path.display()))
    })?;
    Ok(profile.to_string())
}

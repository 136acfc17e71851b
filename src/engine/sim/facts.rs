//! Labels, IDs and times, as an engine and Compose write them.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use sha2::{Digest, Sha256};

use crate::{
    engine::{ContainerRequest, NetworkRequest, VolumeRequest},
    project::{Condition, Mapping},
};

/// 2026-01-01T00:00:00Z: when every simulated engine is made.
pub(super) const EPOCH: u64 = 1_767_225_600;

/// 64 hexadecimal digits that depend on nothing but the text.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

/// A moment as RFC 3339 text with nanoseconds.
pub(super) fn rfc3339(at: Duration) -> String {
    let seconds = EPOCH + at.as_secs();
    let (days, rest) = (seconds / 86400, seconds % 86400);
    // Days to a civil date (proleptic Gregorian calendar, counted from March).
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        at.subsec_nanos()
    )
}

/// Whether a moment is not before `since`: RFC 3339 as [`rfc3339`] writes it, or seconds since the epoch.
pub(super) fn not_before(at: Duration, since: &str) -> bool {
    since.parse::<f64>().map_or_else(
        |_| rfc3339(at).as_str() >= since,
        |seconds| Duration::from_secs(EPOCH).saturating_add(at).as_secs_f64() >= seconds,
    )
}

fn compose(labels: &Mapping, own: Vec<(&str, String)>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    all.extend(own.into_iter().map(|(name, value)| (format!("com.docker.compose.{name}"), value)));
    all
}

fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The labels of a network.
pub(super) fn network_labels(request: &NetworkRequest<'_>) -> BTreeMap<String, String> {
    compose(
        &request.network.labels,
        vec![
            ("project", request.project.name.clone()),
            ("network", request.key.to_owned()),
            ("version", version()),
            ("config-hash", request.config_hash.clone()),
        ],
    )
}

/// The labels of a volume.
pub(super) fn volume_labels(request: &VolumeRequest<'_>) -> BTreeMap<String, String> {
    compose(
        &request.volume.labels,
        vec![
            ("project", request.project.name.clone()),
            ("volume", request.key.to_owned()),
            ("version", version()),
            ("config-hash", request.config_hash.clone()),
        ],
    )
}

/// The labels of a container.
pub(super) fn container_labels(request: &ContainerRequest<'_>) -> BTreeMap<String, String> {
    let (project, service) = (request.project, request.service);
    let paths = |list: &[std::path::PathBuf]| {
        list.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(",")
    };
    let depends_on = service.depends_on.iter().map(|(name, d)| {
        let condition = match d.condition {
            Condition::ServiceStarted => "service_started",
            Condition::ServiceHealthy => "service_healthy",
            Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        format!("{name}:{condition}:{}", d.restart)
    });
    let mut own = vec![
        ("project", project.name.clone()),
        ("service", service.name.clone()),
        ("version", version()),
        ("oneoff", if request.oneoff.is_some() { "True" } else { "False" }.to_owned()),
        ("config-hash", request.config_hash.clone()),
        ("image", request.image_id.clone()),
        ("depends_on", depends_on.collect::<Vec<_>>().join(",")),
        ("project.working_dir", project.working_dir.display().to_string()),
        ("project.config_files", paths(&project.config_files)),
    ];
    if !project.environment_files.is_empty() {
        own.push(("project.environment_file", paths(&project.environment_files)));
    }
    if let Some(replaced) = &request.replaces {
        own.push(("replace", replaced.clone()));
    }
    match &request.oneoff {
        Some(oneoff) => own.push(("slug", oneoff.slug.clone())),
        None => own.push(("container-number", request.number.to_string())),
    }
    compose(&service.labels, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_engines_write_them() {
        assert_eq!(rfc3339(Duration::ZERO), "2026-01-01T00:00:00.000000000Z");
        let later = Duration::from_secs(86_400 * 59 + 3_661) + Duration::from_nanos(5);
        assert_eq!(rfc3339(later), "2026-03-01T01:01:01.000000005Z");
        assert!(not_before(later, "2026-03-01T01:01:01.000000005Z"));
        assert!(!not_before(Duration::ZERO, "1767225601"));
    }
}

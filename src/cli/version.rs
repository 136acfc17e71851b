//! `version`.

use super::args::{VersionArgs, VersionFormat};

/// The text that `version` prints.
pub(super) fn text(args: &VersionArgs) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match args.format {
        _ if args.short => version.to_owned(),
        VersionFormat::Pretty => format!("docker orch version {version}"),
        VersionFormat::Json => serde_json::json!({ "version": version }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_wins_over_the_format() {
        let short = VersionArgs { format: VersionFormat::Json, short: true };
        assert_eq!(text(&short), env!("CARGO_PKG_VERSION"));
        let json = VersionArgs { format: VersionFormat::Json, short: false };
        let json: serde_json::Value = serde_json::from_str(&text(&json)).unwrap();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    }
}

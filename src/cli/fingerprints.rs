//! What containers were made from: the file that it is kept in, and what secrets and configs contain now.

use std::{collections::BTreeSet, fs};

use super::Invocation;
use crate::{
    executor::Ledger,
    journal::{FingerprintFile, state_dir},
    plan::{Fingerprint, Fingerprints},
    project::Project,
};

/// What is known of a project's containers on the engine at `host`, and where more is noted; `None` where nothing can
/// be kept: then a change is seen all the same, but not named.
pub(super) fn fingerprints(
    invocation: &Invocation,
    project: &Project,
    host: &str,
) -> Option<(Fingerprints, LedgerFile)> {
    let state = state_dir(|name| invocation.env(name))?;
    match FingerprintFile::open(&state, &project.name, host) {
        Ok(file) => {
            let mut fingerprints = file.fingerprints();
            // What cannot be read is said by whoever makes a container of it.
            // A pipe would be emptied, or waited for without end.
            let is_file = |path: &str| fs::metadata(path).is_ok_and(|found| found.is_file());
            fingerprints.take_contents(project, |path| is_file(path).then(|| fs::read(path).ok()).flatten());
            Some((fingerprints, LedgerFile(file)))
        }
        Err(error) => {
            tracing::debug!("what containers were made from is not known: {error}");
            None
        }
    }
}

/// Notes into the file. A run goes on without it.
pub(super) struct LedgerFile(FingerprintFile);

impl Ledger for LedgerFile {
    fn note(&mut self, container: &str, fingerprint: &Fingerprint) {
        if let Err(error) = self.0.note(container, fingerprint) {
            tracing::debug!("what {container} was made from cannot be noted: {error}");
        }
    }

    fn keep_only(&mut self, containers: &BTreeSet<String>) {
        if let Err(error) = self.0.keep_only(containers) {
            tracing::debug!("what is noted of containers that are gone cannot be dropped: {error}");
        }
    }
}

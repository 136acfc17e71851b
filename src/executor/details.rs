//! What is known of containers that run, as long as it holds: what probes need.

use std::{collections::BTreeMap, sync::Arc};

use crate::plan::ContainerDetail;

/// What is known, by ID.
#[derive(Default)]
pub(super) struct Details {
    known: BTreeMap<String, Arc<ContainerDetail>>,
    /// How often each was seen to start: what somebody knew before is of no use after.
    starts: BTreeMap<String, u64>,
}

impl Details {
    /// What is known of a container.
    pub(super) fn of(&self, id: &str) -> Option<Arc<ContainerDetail>> {
        self.known.get(id).cloned()
    }

    /// How often it was seen to start so far.
    pub(super) fn starts(&self, id: &str) -> u64 {
        self.starts.get(id).copied().unwrap_or_default()
    }

    /// It was started: it may be somewhere else than before.
    pub(super) fn started(&mut self, id: &str) {
        self.known.remove(id);
        *self.starts.entry(id.to_owned()).or_default() += 1;
    }

    /// Takes what somebody found out who began when it had started so often, unless it is known or out of date.
    pub(super) fn learn(&mut self, id: &str, starts: u64, detail: Arc<ContainerDetail>) {
        if self.starts(id) == starts {
            self.known.entry(id.to_owned()).or_insert(detail);
        }
    }

    /// It is somewhere else now.
    pub(super) fn moved(&mut self, detail: ContainerDetail) {
        self.known.insert(detail.id.clone(), Arc::new(detail));
    }
}

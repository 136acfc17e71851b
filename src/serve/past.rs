//! Runs that are recorded.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use crate::{
    journal::{KeptRun, read_events, runs},
    report::{Chart, PastRun, StoryOptions, page, past_json, story_json},
};

/// The record of a project's runs. What is over does not change any more and is read once.
#[derive(Debug)]
pub(super) struct Past {
    state: PathBuf,
    project: String,
    read: Mutex<BTreeMap<String, Value>>,
}

impl Past {
    pub(super) fn of(state: &Path, project: &str) -> Self {
        Self { state: state.to_owned(), project: project.to_owned(), read: Mutex::default() }
    }

    /// The newest runs, the newest first.
    pub(super) fn list(&self, most: usize) -> io::Result<Vec<Value>> {
        let kept: Vec<KeptRun> = runs(&self.state, &self.project)?.into_iter().take(most).collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|id, _| kept.iter().any(|run| run.id == *id));
        Ok(kept
            .iter()
            .map(|run| read.get(&run.id).cloned().unwrap_or_else(|| summary(run, &mut read)))
            .collect())
    }

    /// One run in full; `None`: there is none of this ID.
    pub(super) fn run(&self, id: &str) -> io::Result<Option<Value>> {
        let Some(run) = self.find(id)? else { return Ok(None) };
        let past = PastRun::of(&read_events(&run.events())?.events, run.is_live());
        let options = StoryOptions {
            id,
            project: &self.project,
            when: String::new(),
            command: String::new(),
            folder: &run.folder,
            files: Vec::new(),
        };
        let mut value = story_json(&past, &options);
        value["ready_at"] = value["timings"]["ready_at"].clone();
        Ok(Some(without_paths(value)))
    }

    /// The events of one run, one JSON object a line.
    pub(super) fn events(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(run) = self.find(id)? else { return Ok(None) };
        let mut lines = Vec::new();
        for event in read_events(&run.events())?.events {
            serde_json::to_writer(&mut lines, &event)?;
            lines.push(b'\n');
        }
        Ok(Some(lines))
    }

    /// One run as a chart; `None`: there is none of this ID, or it started nothing.
    pub(super) fn timeline(&self, id: &str) -> io::Result<Option<String>> {
        let Some(run) = self.find(id)? else { return Ok(None) };
        let past = PastRun::of(&read_events(&run.events())?.events, run.is_live());
        let chart = Chart::of(&past, id);
        Ok((!chart.is_empty()).then(|| page(&chart, None)))
    }

    fn find(&self, id: &str) -> io::Result<Option<KeptRun>> {
        Ok(runs(&self.state, &self.project)?.into_iter().find(|run| run.id == id))
    }
}

fn summary(run: &KeptRun, read: &mut BTreeMap<String, Value>) -> Value {
    let events = read_events(&run.events()).unwrap_or_default().events;
    let live = run.is_live();
    let past = PastRun::of(&events, live);
    let mut value = without_paths(past_json(&past, &run.id, &run.folder));
    value["live"] = live.into();
    value["ready_at"] = past.timings_json()["ready_at"].clone();
    if !live {
        read.insert(run.id.clone(), value.clone());
    }
    value
}

/// Where something lies on this machine is nobody else's concern.
fn without_paths(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        object.remove("folder");
        object.remove("files");
    }
    value
}

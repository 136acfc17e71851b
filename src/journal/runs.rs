//! The runs of a project that are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{folder::project_dir, is_written};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    /// Unique, and sorts by time.
    pub id: String,
    /// Where everything of it lies.
    pub folder: PathBuf,
}

impl KeptRun {
    /// The file of its events.
    pub fn events(&self) -> PathBuf {
        self.folder.join("events.jsonl")
    }

    /// Whether it goes on.
    pub fn is_live(&self) -> bool {
        is_written(&self.events())
    }

    /// Its files, relative to its folder, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(_) => files.extend(entry.path().strip_prefix(&self.folder).map(Path::to_owned)),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        files
    }
}

/// The runs of a project, the newest first; none where none is kept.
///
/// # Errors
///
/// The project's folder cannot be read.
pub fn runs(state: &Path, project: &str) -> io::Result<Vec<KeptRun>> {
    let entries = match fs::read_dir(project_dir(state, project)?) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().into_owned();
        // Only what a run has made: a folder that is named as runs are.
        if entry.file_type()?.is_dir() && is_id(&id) {
            runs.push(KeptRun { id, folder: entry.path() });
        }
    }
    runs.sort_by(|a, b| b.id.cmp(&a.id));
    Ok(runs)
}

/// `20261122T015000.123-4711`.
fn is_id(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = name.split_once('T').and_then(|(date, rest)| Some((date, rest.split_once('-')?)));
    parts.is_some_and(|(date, (time, process))| {
        date.len() == 8 && digits(date) && digits(&time.replace('.', "")) && digits(process)
    })
}

/// The shortest beginnings of IDs that tell each from all others; never shorter than the second in which it began.
pub fn short_ids(runs: &[KeptRun]) -> Vec<&str> {
    let mut short = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let others = runs.iter().enumerate().filter(|(other, _)| *other != index);
        let common = others.map(|(_, other)| common_prefix(&run.id, &other.id)).max().unwrap_or(0);
        let seconds = run.id.find('.').unwrap_or(run.id.len());
        short.push(&run.id[..(common + 1).max(seconds).min(run.id.len())]);
    }
    short
}

fn common_prefix(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> KeptRun {
        KeptRun { id: id.to_owned(), folder: PathBuf::new() }
    }

    #[test]
    fn runs_are_listed_the_newest_first_and_nothing_else_is() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(runs(state.path(), "shop").unwrap(), []);
        for name in ["20260102T000000.000-5", "20260103T000000.000-1", "notes", "20260103-7", "2026T1-"] {
            fs::create_dir_all(state.path().join("shop").join(name)).unwrap();
        }
        fs::write(state.path().join("shop/20260104T000000.000-1"), "a file").unwrap();
        let ids: Vec<String> = runs(state.path(), "shop").unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(ids, ["20260103T000000.000-1", "20260102T000000.000-5"]);
        assert!(runs(state.path(), "../shop").is_err());
    }

    #[test]
    fn short_ids_tell_runs_apart() {
        let all = [
            run("20260103T000000.123-71"),
            run("20260103T000000.123-7"),
            run("20260103T000000.000-1"),
            run("20260102T000000.000-5"),
        ];
        assert_eq!(
            short_ids(&all),
            ["20260103T000000.123-71", "20260103T000000.123-7", "20260103T000000.0", "20260102T000000",]
        );
    }

    #[test]
    fn the_files_of_a_run_are_found_at_any_depth() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("containers/db")).unwrap();
        for file in ["events.jsonl", "containers/db/log.txt"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let run = KeptRun { id: String::new(), folder: folder.path().to_owned() };
        assert_eq!(run.files(), [PathBuf::from("containers/db/log.txt"), "events.jsonl".into()]);
        assert!(!run.is_live());
    }
}

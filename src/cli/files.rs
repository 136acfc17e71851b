//! The files of this machine, for the loading of Compose files.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::Invocation;
use crate::compose::{Environment, FILE_BYTES, Files, LoadOptions, Skip};

/// The real file system and standard input.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalFiles;

impl Files for LocalFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        bounded(fs::File::open(path)?)
    }

    fn read_stdin(&self) -> io::Result<Vec<u8>> {
        bounded(io::stdin().lock())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

/// All bytes, where they are few enough for a Compose file: devices and logs that somebody names by mistake are not.
fn bounded(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        let message = format!("it is larger than {} MiB", FILE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

impl Invocation {
    /// The environment, as loading wants it.
    pub fn environment(&self) -> Environment {
        self.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What the command line says about the project, for the services named.
    pub fn load_options(&self, services: &[String]) -> LoadOptions {
        let project = &self.project;
        LoadOptions {
            current_dir: self.cwd.clone(),
            files: project.files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
            project_directory: project.project_directory.clone(),
            project_name: project.project_name.clone(),
            env_files: project.env_files.clone(),
            profiles: project.profiles.clone(),
            services: services.to_vec(),
            compatibility: project.compatibility,
            skip: Skip { pruning: project.all_resources, ..Skip::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "text").unwrap();
        assert_eq!(LocalFiles.read(&path).unwrap(), b"text");
        assert!(LocalFiles.exists(&path) && !LocalFiles.is_dir(&path) && LocalFiles.is_dir(folder.path()));
        assert!(!LocalFiles.exists(&folder.path().join("b")));
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let error = LocalFiles.read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 64 MiB");
    }
}

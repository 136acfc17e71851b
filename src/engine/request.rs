//! What the engine is asked and what it answers, in the project's own words.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream::BoxStream;
use tokio::io::AsyncWrite;

use super::EngineError;
pub use crate::plan::OneOff;
use crate::{
    plan::EngineHealth,
    project::{Build, Network, Project, Sensitive, Service, Volume},
};

/// What a connection knows of its engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineInfo {
    /// The API version in use, such as `1.41`.
    pub api_version: String,
    /// The engine's own version, such as `28.5.2`; empty until asked for.
    pub server_version: String,
    /// `linux` or `windows`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub arch: String,
    /// Where it listens, for messages.
    pub host: String,
    /// It runs on this machine (a local socket), so that container addresses may be reached.
    pub local: bool,
}

impl EngineInfo {
    /// Whether the API in use is at least `major.minor`.
    pub fn api_at_least(&self, major: u32, minor: u32) -> bool {
        let mut parts = self.api_version.split('.').map(|p| p.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }
}

/// What [`super::Engine::observe`] looks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scope {
    /// Project name.
    pub project: String,
    /// Images to look up: reference and platform.
    pub images: Vec<(String, Option<String>)>,
    /// Names of networks to look up beside the project's own.
    pub networks: Vec<String>,
    /// Names of volumes to look up beside the project's own.
    pub volumes: Vec<String>,
}

/// What containers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used<'a> {
    /// The network of this ID.
    Network(&'a str),
    /// The volume of this name.
    Volume(&'a str),
}

/// A network to create.
#[derive(Debug, Clone)]
pub struct NetworkRequest<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// Key in the file.
    pub key: &'a str,
    /// What the file says.
    pub network: &'a Network,
    /// For the `config-hash` label.
    pub config_hash: String,
}

/// A volume to create.
#[derive(Debug, Clone)]
pub struct VolumeRequest<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// Key in the file.
    pub key: &'a str,
    /// What the file says.
    pub volume: &'a Volume,
    /// For the `config-hash` label.
    pub config_hash: String,
}

/// A container to create.
#[derive(Debug, Clone)]
pub struct ContainerRequest<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// What the file says. Namespace references (`service:x` in `network_mode`, `ipc`, `pid`; services in
    /// `volumes_from`) are already replaced by `container:ID` and IDs.
    pub service: &'a Service,
    /// From 1; 0 for a one-off container.
    pub number: u32,
    /// The name to create it under: the final one, or a temporary one while another container holds that.
    pub name: String,
    /// The name it will have in the end, which is also its first network alias.
    pub final_name: String,
    /// For the `config-hash` label.
    pub config_hash: String,
    /// For the `image` label: `sha256:…`.
    pub image_id: String,
    /// For the `replace` label of a container that takes another's place.
    pub replaces: Option<String>,
    /// `container:alias` texts for links to services, beside `external_links`.
    pub links: Vec<String>,
    /// Anonymous volumes taken over from the container it replaces.
    pub inherited: Vec<InheritedVolume>,
    /// For `run`: a one-off container's settings.
    pub oneoff: Option<OneOff>,
    /// Networks, by key, on which it gets no names: another container has them.
    pub unnamed: Vec<String>,
}

/// An anonymous volume that moves from an old container to its successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedVolume {
    /// The volume's name on the engine.
    pub name: String,
    /// Where it is mounted.
    pub target: String,
    /// Whether it can only be read.
    pub read_only: bool,
}

/// A file to write into a container.
#[derive(Debug, Clone, PartialEq)]
pub struct FileUpload {
    /// Absolute path in the container.
    pub path: String,
    /// What it holds.
    pub content: Sensitive<Vec<u8>>,
    /// Permission bits.
    pub mode: u32,
    /// Owner, where the file says one.
    pub uid: Option<u64>,
    /// Group, where the file says one.
    pub gid: Option<u64>,
}

/// An image to build.
#[derive(Debug, Clone)]
pub struct BuildRequest<'a> {
    /// Whose it is.
    pub project: &'a Project,
    /// The service's key.
    pub service: &'a str,
    /// What the file says.
    pub build: &'a Build,
    /// The name that the result gets.
    pub image: String,
    /// The one platform to build for.
    pub platform: Option<String>,
    /// Build without the cache, whatever the file says.
    pub no_cache: bool,
    /// Pull base images, whatever the file says.
    pub pull: bool,
}

/// How far a pull or build is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EngineProgress {
    /// What is going on, in one line.
    pub text: String,
    /// Bytes done, where known.
    pub current: Option<u64>,
    /// Bytes in all, where known.
    pub total: Option<u64>,
}

/// Takes progress as it comes; must not block.
pub type ProgressFn = Arc<dyn Fn(EngineProgress) + Send + Sync>;

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineEvent {
    /// Its ID.
    pub container: String,
    /// Its labels and other attributes, as the event carries them.
    pub attributes: BTreeMap<String, String>,
    /// What happened.
    pub action: EngineAction,
    /// Nanoseconds since the epoch, by the engine's clock.
    pub at_nanos: i64,
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineAction {
    /// It was created.
    Created,
    /// Its process started.
    Started,
    /// Its process ended.
    Died {
        /// Exit code.
        code: i64,
    },
    /// The kernel ended it, or a part of it, for memory.
    OutOfMemory,
    /// A stop was asked for and done.
    Stopped,
    /// It was restarted by request.
    Restarted,
    /// It was frozen.
    Paused,
    /// It goes on.
    Unpaused,
    /// It has another name.
    Renamed,
    /// It is gone.
    Removed,
    /// Its HEALTHCHECK says something new.
    Health(EngineHealth),
    /// Anything else, by the engine's word.
    Other(String),
}

/// Which part of a log is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogOptions {
    /// Go on with what comes.
    pub follow: bool,
    /// Only the last lines; `None`: all.
    pub tail: Option<u64>,
    /// From this time on: RFC 3339 or seconds since the epoch, as the engine takes it.
    pub since: Option<String>,
    /// Up to this time.
    pub until: Option<String>,
    /// Fill in [`LogLine::timestamp`].
    pub timestamps: bool,
}

/// One line of a log, without its line end.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Standard error rather than standard output.
    pub stderr: bool,
    /// RFC 3339, where asked for.
    pub timestamp: Option<String>,
    /// The bytes, decoded with replacement characters.
    pub text: String,
}

/// Which streams of a container are opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttachRequest {
    /// Its input too.
    pub stdin: bool,
    /// The keys that end an attachment to a terminal, as the Docker CLI writes them; `None`: the engine's.
    pub detach_keys: Option<String>,
}

/// The streams of a container.
pub struct Attached {
    /// What it writes, in order; ends with the container.
    pub output: BoxStream<'static, Result<OutputChunk, EngineError>>,
    /// Its input; shutting it down is its end.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Something that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputChunk {
    /// Standard error; a terminal has none.
    pub stderr: bool,
    /// As it was written.
    pub bytes: Bytes,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// A command to run in a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `None`: the container's.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// `None`: the container's.
    pub working_dir: Option<String>,
    /// `KEY=VALUE` texts on top of the container's.
    pub environment: Vec<String>,
    /// How long it may run; `None`: for ever. The process is left alone when the time is over.
    pub timeout: Option<Duration>,
}

/// What a command in a container gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecOutput {
    /// Exit code.
    pub code: i64,
    /// Both streams as they came, the last 4 KiB.
    pub output: String,
}

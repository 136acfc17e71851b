//! What the engine was asked, in order.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use super::script::Effect;
use crate::engine::EngineErrorKind;

/// One request, as the engine got it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// When it came, since the engine was made.
    pub at: Duration,
    /// What was asked.
    pub verb: Verb,
    /// The name of the container, network, volume, image or project at that time.
    pub subject: String,
    /// The container's service; empty for other things.
    pub service: String,
    /// More: a new name, a network, a signal, a command.
    pub detail: String,
    /// When it was answered; `None`: not yet.
    pub ended: Option<Duration>,
    /// How it failed; `None`: it did not, or is not answered yet.
    pub error: Option<EngineErrorKind>,
    /// What the script made go wrong with it.
    pub met: Option<Effect>,
    /// For a start, where the script asks for it: how all containers stood when it came.
    pub standing: Arc<Vec<Standing>>,
}

/// What had become of a container by some moment, whatever anybody heard of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its ID.
    pub id: String,
    /// Its name at that moment.
    pub name: String,
    /// Its service.
    pub service: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// It has run.
    pub was_up: bool,
    /// Its checks passed at some time, or the engine said that they do.
    pub was_ready: bool,
    /// Scripted stages whose checks passed at some time.
    pub stages: BTreeSet<String>,
    /// It has exited with 0.
    pub completed: bool,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {} {}", self.at.as_secs_f64(), self.verb, self.subject)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        match (self.ended, self.error) {
            (None, _) => write!(f, " ..."),
            (Some(_), Some(kind)) => write!(f, " !{kind:?}"),
            (Some(_), None) => Ok(()),
        }
    }
}

/// The verbs of [`crate::engine::Engine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the methods of the trait, under their names")]
pub enum Verb {
    About,
    Containers,
    Observe,
    Image,
    Pull,
    Build,
    Import,
    CreateNetwork,
    RemoveNetwork,
    ConnectNetwork,
    Reconnect,
    RestoreNetwork,
    Users,
    DisconnectNetwork,
    CreateVolume,
    RemoveVolume,
    RemoveImage,
    Create,
    Upload,
    Start,
    Stop,
    Kill,
    Rename,
    Remove,
    Inspect,
    Events,
    Logs,
    Attach,
    Resize,
    Exec,
}

impl Verb {
    /// Whether the engine is another one afterwards.
    pub fn changes(self) -> bool {
        let asks = matches!(self, Self::Observe | Self::Image | Self::Inspect | Self::Events | Self::Logs);
        !asks
            && !matches!(self, Self::About | Self::Containers)
            && !matches!(self, Self::Attach | Self::Users | Self::Resize | Self::Exec)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::About => "about",
            Self::Containers => "containers",
            Self::Observe => "observe",
            Self::Image => "image",
            Self::Pull => "pull",
            Self::Build => "build",
            Self::Import => "import",
            Self::CreateNetwork => "create_network",
            Self::RemoveNetwork => "remove_network",
            Self::ConnectNetwork => "connect_network",
            Self::Reconnect => "reconnect",
            Self::RestoreNetwork => "restore_network",
            Self::Users => "users",
            Self::DisconnectNetwork => "disconnect_network",
            Self::CreateVolume => "create_volume",
            Self::RemoveVolume => "remove_volume",
            Self::RemoveImage => "remove_image",
            Self::Create => "create",
            Self::Upload => "upload",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Inspect => "inspect",
            Self::Events => "events",
            Self::Logs => "logs",
            Self::Attach => "attach",
            Self::Resize => "resize",
            Self::Exec => "exec",
        })
    }
}

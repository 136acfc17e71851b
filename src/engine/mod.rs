//! Docker's verbs, as one trait with two engines behind it.
//!
//! *Owns* the trait [`Engine`], its requests and answers, [`EngineError`], the Docker adapter ([`docker`]) and the
//! simulated engine. *Must not know* policy: no retries, no order, no decisions. One method is one thing that the
//! engine is asked for (an adapter may need several requests where an old API has no single one).

pub mod docker;
mod error;
mod request;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use error::*;
pub use request::*;

use futures::{future::BoxFuture, stream::BoxStream};

use crate::plan::{Container, ContainerDetail, Endpoint, EngineFacts, ImageInfo, Observed, ObservedNetwork};

/// What every verb gives: an answer or an [`EngineError`], later.
pub type EngineFuture<'a, T> = BoxFuture<'a, Result<T, EngineError>>;

/// A Docker Engine. Dropping a future does not undo what was asked: the engine may do it all the same.
pub trait Engine: Send + Sync {
    /// What is known of the engine since the connection was made; asks nothing.
    fn info(&self) -> &EngineInfo;

    /// What the engine says of itself and of its machine, now.
    fn about(&self) -> EngineFuture<'_, EngineFacts>;

    /// Every container of the engine, of whatever project, running or not, sorted by name.
    fn containers(&self) -> EngineFuture<'_, Vec<Container>>;

    /// Lists what the engine has of a project, and the images, networks and volumes that it names.
    fn observe<'a>(&'a self, scope: &'a Scope) -> EngineFuture<'a, Observed>;

    /// Looks an image up; `None` where the engine has none of that name (or none of that platform).
    fn image<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
    ) -> EngineFuture<'a, Option<ImageInfo>>;

    /// Asks an image's registry for the digest of its manifest.
    fn registry_digest<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, String>;

    /// Pulls an image.
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
        progress: ProgressFn,
    ) -> EngineFuture<'a, ()>;

    /// Builds a service's image under its name.
    fn build<'a>(&'a self, request: &'a BuildRequest<'a>, progress: ProgressFn) -> EngineFuture<'a, ()>;

    /// Makes an image that holds these files and nothing else.
    fn import<'a>(&'a self, reference: &'a str, files: &'a [FileUpload]) -> EngineFuture<'a, ()>;

    /// Creates a network; answers with its ID.
    fn create_network<'a>(&'a self, request: &'a NetworkRequest<'a>) -> EngineFuture<'a, String>;

    /// Removes a network by name or ID.
    fn remove_network<'a>(&'a self, network: &'a str) -> EngineFuture<'a, ()>;

    /// Puts a container on a network with the endpoint of the service's network `key`.
    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        request: &'a ContainerRequest<'a>,
        container: &'a str,
        key: &'a str,
    ) -> EngineFuture<'a, ()>;

    /// Takes a container off a network.
    fn disconnect_network<'a>(&'a self, network: &'a str, container: &'a str) -> EngineFuture<'a, ()>;

    /// Every container, of whatever project, running or not, that uses something.
    fn users<'a>(&'a self, of: Used<'a>) -> EngineFuture<'a, Vec<Container>>;

    /// Makes a network once more that was there before; fine if it still is.
    fn restore_network<'a>(&'a self, network: &'a ObservedNetwork) -> EngineFuture<'a, ()>;

    /// Puts a container that does not run on the network that has this name now, with an endpoint as it had on the one
    /// that had it before.
    fn reconnect<'a>(
        &'a self,
        network: &'a str,
        container: &'a str,
        endpoint: &'a Endpoint,
    ) -> EngineFuture<'a, ()>;

    /// Creates a volume; fine if it exists.
    fn create_volume<'a>(&'a self, request: &'a VolumeRequest<'a>) -> EngineFuture<'a, ()>;

    /// Removes a volume.
    fn remove_volume<'a>(&'a self, volume: &'a str) -> EngineFuture<'a, ()>;

    /// Removes an image by its reference.
    fn remove_image<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, ()>;

    /// Creates a container with everything that its service says; answers with its ID.
    fn create_container<'a>(&'a self, request: &'a ContainerRequest<'a>) -> EngineFuture<'a, String>;

    /// Writes files into a container that need not run.
    fn upload<'a>(&'a self, container: &'a str, files: &'a [FileUpload]) -> EngineFuture<'a, ()>;

    /// Starts a container; fine if it runs.
    fn start<'a>(&'a self, container: &'a str) -> EngineFuture<'a, ()>;

    /// Stops a container; fine if it does not run. `grace` of `None`: as the container says. Waits for its end.
    fn stop<'a>(&'a self, container: &'a str, grace: Option<std::time::Duration>) -> EngineFuture<'a, ()>;

    /// Sends a signal to a container; fine if it does not run.
    fn kill<'a>(&'a self, container: &'a str, signal: &'a str) -> EngineFuture<'a, ()>;

    /// Gives a container another name.
    fn rename<'a>(&'a self, container: &'a str, name: &'a str) -> EngineFuture<'a, ()>;

    /// Removes a container, killing it if it runs; fine if there is none. `volumes`: its anonymous ones too.
    fn remove<'a>(&'a self, container: &'a str, volumes: bool) -> EngineFuture<'a, ()>;

    /// One container in detail, by ID or name; `None` where there is none.
    fn inspect<'a>(&'a self, container: &'a str) -> EngineFuture<'a, Option<ContainerDetail>>;

    /// What happens to a project's containers from now on: when the future resolves, nothing later is missed.
    fn events<'a>(
        &'a self,
        project: &'a str,
    ) -> EngineFuture<'a, BoxStream<'static, Result<EngineEvent, EngineError>>>;

    /// A container's log, line by line. A lazy stream: it reads as fast as it is polled and never holds the container up.
    fn logs(&self, container: &str, options: &LogOptions)
    -> BoxStream<'static, Result<LogLine, EngineError>>;

    /// Opens a container's streams: what it writes from now on, and its input. When the future resolves, nothing of a
    /// start that follows is missed. The output ends when the container does.
    fn attach<'a>(&'a self, container: &'a str, request: &'a AttachRequest) -> EngineFuture<'a, Attached>;

    /// Tells a container's terminal its size; fine if it does not run.
    fn resize<'a>(&'a self, container: &'a str, size: TerminalSize) -> EngineFuture<'a, ()>;

    /// Runs a command in a container and waits for it.
    fn exec<'a>(&'a self, container: &'a str, request: &'a ExecRequest) -> EngineFuture<'a, ExecOutput>;
}

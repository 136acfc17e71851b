//! The verbs, each with its time limit.

use std::time::Duration;

use bollard::{
    Docker,
    models::{
        Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
        VolumeCreateRequest,
    },
    query_parameters::{
        CreateContainerOptions, ListNetworksOptions, RemoveVolumeOptions, RenameContainerOptions,
        StartContainerOptions, UploadToContainerOptions,
    },
};
use futures::{FutureExt, stream::BoxStream};

use super::{
    about, attach, build, connect,
    context::{ConnectOptions, Target},
    create::{creation, endpoint, network_labels, volume_labels},
    credentials, end,
    error::within,
    events, exec, image, inspect, logs, observe, restore,
};
use crate::{
    engine::{
        AttachRequest, Attached, BuildRequest, ContainerRequest, Engine, EngineError, EngineErrorKind,
        EngineEvent, EngineFuture, EngineInfo, ExecOutput, ExecRequest, FileUpload, LogLine, LogOptions,
        NetworkRequest, ProgressFn, Scope, TerminalSize, Used, VolumeRequest,
    },
    plan::{Container, ContainerDetail, Endpoint, EngineFacts, ImageInfo, Observed, ObservedNetwork},
    project::Mapping,
};

/// Of a call that the engine answers at once unless it is in trouble.
const LIMIT: Duration = Duration::from_mins(2);

/// A Docker Engine, reached through its API.
#[derive(Debug)]
pub struct DockerEngine {
    docker: Docker,
    info: EngineInfo,
    /// Of a call that the engine answers at once unless it is in trouble.
    limit: Duration,
    target: Target,
    proxies: Vec<(String, String)>,
    credentials: credentials::Source,
    cli: build::Cli,
    /// In which order containers stop, where the engine bears only one at a time.
    turns: Option<end::Turns>,
}

impl DockerEngine {
    /// Connects to the engine that the Docker CLI would talk to.
    ///
    /// # Errors
    /// `Invalid`: contradicting or unsupported options, an unknown context, an engine older than API 1.41.
    /// `Unreachable`, `TimedOut`: nobody answers.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, EngineError> {
        let connection = connect::connect(options).await?;
        Ok(Self {
            turns: end::Turns::of(&connection.info),
            docker: connection.docker,
            info: connection.info,
            limit: options.limit.unwrap_or(LIMIT),
            cli: build::Cli::new(options, &connection.target),
            target: connection.target,
            proxies: connection.proxies,
            credentials: credentials::Source::of(options),
        })
    }

    /// Name of the Docker context in use; `default` where flags or variables name the engine.
    pub fn context(&self) -> &str {
        &self.target.context
    }

    async fn create_network_now(&self, request: &NetworkRequest<'_>) -> Result<String, EngineError> {
        let network = request.network;
        if !self.info.api_at_least(1, 44) {
            self.refuse_second_network(&network.name).await?;
        }
        let pools = network.ipam.config.iter().map(|pool| IpamConfig {
            subnet: pool.subnet.clone(),
            ip_range: pool.ip_range.clone(),
            gateway: pool.gateway.clone(),
            auxiliary_addresses: non_empty(&pool.aux_addresses),
        });
        let pools: Vec<IpamConfig> = pools.collect();
        let has_ipam = network.ipam.driver.is_some() || !pools.is_empty();
        let body = NetworkCreateRequest {
            name: network.name.clone(),
            driver: network.driver.clone(),
            options: non_empty(&network.driver_opts),
            internal: network.internal.then_some(true),
            attachable: network.attachable.then_some(true),
            enable_ipv4: network.enable_ipv4,
            enable_ipv6: network.enable_ipv6,
            ipam: has_ipam.then(|| Ipam {
                driver: network.ipam.driver.clone(),
                config: (!pools.is_empty()).then_some(pools),
                options: None,
            }),
            labels: Some(network_labels(request)),
            ..NetworkCreateRequest::default()
        };
        Ok(within(self.limit, "create network", self.docker.create_network(body)).await?.id)
    }

    /// Below API 1.44 the engine makes a second network of the same name without a word.
    async fn refuse_second_network(&self, name: &str) -> Result<(), EngineError> {
        let filters = Some([("name".to_owned(), vec![name.to_owned()])].into());
        let call = self.docker.list_networks(Some(ListNetworksOptions { filters }));
        let networks = within(self.limit, "list networks", call).await?;
        if networks.iter().any(|n| n.name.as_deref() == Some(name)) {
            let message = format!("network with name {name} already exists");
            return Err(EngineError::new(EngineErrorKind::Conflict, message));
        }
        Ok(())
    }

    async fn create_container_now(&self, request: &ContainerRequest<'_>) -> Result<String, EngineError> {
        let creation = creation(request, &self.info, &self.proxies)?;
        let options =
            CreateContainerOptions { name: Some(request.name.clone()), platform: creation.platform };
        let call = self.docker.create_container(Some(options), creation.body);
        let id = within(self.limit, "create container", call).await?.id;
        for (network, endpoint) in creation.connect_after {
            let body = NetworkConnectRequest { container: id.clone(), endpoint_config: Some(endpoint) };
            let connected =
                within(self.limit, "connect network", self.docker.connect_network(&network, body)).await;
            if let Err(error) = connected {
                // A container without one of its networks is not what was asked for: it goes, as if never made.
                return match end::remove(&self.docker, &id, false, self.limit).await {
                    Ok(()) => Err(error),
                    Err(_) => Err(EngineError { kind: EngineErrorKind::Ambiguous, ..error }),
                };
            }
        }
        Ok(id)
    }

    async fn upload_now(&self, container: &str, files: &[FileUpload]) -> Result<(), EngineError> {
        for owned in [false, true] {
            let chosen: Vec<&FileUpload> =
                files.iter().filter(|f| (f.uid.is_some() || f.gid.is_some()) == owned).collect();
            if chosen.is_empty() {
                continue;
            }
            let options = UploadToContainerOptions {
                path: "/".to_owned(),
                no_overwrite_dir_non_dir: Some("true".to_owned()),
                copy_uidgid: owned.then(|| "true".to_owned()),
            };
            let body = bollard::body_full(archive(&chosen)?.into());
            within(
                self.limit,
                "upload files",
                self.docker.upload_to_container(container, Some(options), body),
            )
            .await?;
        }
        Ok(())
    }
}

fn non_empty(mapping: &Mapping) -> Option<std::collections::HashMap<String, String>> {
    (!mapping.is_empty()).then(|| mapping.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
}

/// A tar archive of files, relative to the root.
fn archive(files: &[&FileUpload]) -> Result<Vec<u8>, EngineError> {
    let failed =
        |e: std::io::Error| EngineError::new(EngineErrorKind::Invalid, format!("cannot pack a file: {e}"));
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let content = file.content.expose();
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.uid.unwrap_or(0));
        header.set_gid(file.gid.unwrap_or(0));
        builder
            .append_data(&mut header, file.path.trim_start_matches('/'), content.as_slice())
            .map_err(failed)?;
    }
    builder.into_inner().map_err(failed)
}

impl Engine for DockerEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn about(&self) -> EngineFuture<'_, EngineFacts> {
        about::about(&self.docker, self.limit).boxed()
    }

    fn containers(&self) -> EngineFuture<'_, Vec<Container>> {
        observe::all_containers(&self.docker, self.limit).boxed()
    }

    fn observe<'a>(&'a self, scope: &'a Scope) -> EngineFuture<'a, Observed> {
        observe::observe(&self.docker, scope, self.limit).boxed()
    }

    fn image<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
    ) -> EngineFuture<'a, Option<ImageInfo>> {
        image::lookup(&self.docker, reference, platform, self.limit).boxed()
    }

    fn registry_digest<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, String> {
        async move {
            let credentials = self.credentials.of_image(reference).await?;
            image::registry_digest(&self.docker, reference, credentials, self.limit).await
        }
        .boxed()
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        platform: Option<&'a str>,
        progress: ProgressFn,
    ) -> EngineFuture<'a, ()> {
        async move {
            let credentials = self.credentials.of_image(reference).await?;
            image::pull(&self.docker, reference, platform, credentials, progress).await
        }
        .boxed()
    }

    fn build<'a>(&'a self, request: &'a BuildRequest<'a>, progress: ProgressFn) -> EngineFuture<'a, ()> {
        build::build(&self.cli, request, progress).boxed()
    }

    fn import<'a>(&'a self, reference: &'a str, files: &'a [FileUpload]) -> EngineFuture<'a, ()> {
        async move {
            let packed = archive(&files.iter().collect::<Vec<_>>())?;
            within(self.limit, "import an image", image::import(&self.docker, reference, packed)).await
        }
        .boxed()
    }

    fn create_network<'a>(&'a self, request: &'a NetworkRequest<'a>) -> EngineFuture<'a, String> {
        self.create_network_now(request).boxed()
    }

    fn remove_network<'a>(&'a self, network: &'a str) -> EngineFuture<'a, ()> {
        end::remove_network(&self.docker, network, self.limit).boxed()
    }

    fn connect_network<'a>(
        &'a self,
        network: &'a str,
        request: &'a ContainerRequest<'a>,
        container: &'a str,
        key: &'a str,
    ) -> EngineFuture<'a, ()> {
        async move {
            let settings = endpoint(request, &self.info, key)?;
            let body =
                NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(settings) };
            within(self.limit, "connect network", self.docker.connect_network(network, body)).await
        }
        .boxed()
    }

    fn disconnect_network<'a>(&'a self, network: &'a str, container: &'a str) -> EngineFuture<'a, ()> {
        let body = NetworkDisconnectRequest { container: container.to_owned(), force: Some(true) };
        within(self.limit, "disconnect network", self.docker.disconnect_network(network, body)).boxed()
    }

    fn users<'a>(&'a self, of: Used<'a>) -> EngineFuture<'a, Vec<Container>> {
        observe::users(&self.docker, of, self.limit).boxed()
    }

    fn restore_network<'a>(&'a self, network: &'a ObservedNetwork) -> EngineFuture<'a, ()> {
        restore::network(&self.docker, network, self.limit).boxed()
    }

    fn reconnect<'a>(
        &'a self,
        network: &'a str,
        container: &'a str,
        endpoint: &'a Endpoint,
    ) -> EngineFuture<'a, ()> {
        restore::endpoint(&self.docker, &self.info, (network, container), endpoint, self.limit).boxed()
    }

    fn create_volume<'a>(&'a self, request: &'a VolumeRequest<'a>) -> EngineFuture<'a, ()> {
        let volume = request.volume;
        let body = VolumeCreateRequest {
            name: Some(volume.name.clone()),
            driver: volume.driver.clone(),
            driver_opts: non_empty(&volume.driver_opts),
            labels: Some(volume_labels(request)),
            ..VolumeCreateRequest::default()
        };
        within(self.limit, "create volume", self.docker.create_volume(body).map(|r| r.map(|_| ()))).boxed()
    }

    fn remove_volume<'a>(&'a self, volume: &'a str) -> EngineFuture<'a, ()> {
        let options = RemoveVolumeOptions { force: true };
        within(self.limit, "remove volume", self.docker.remove_volume(volume, Some(options))).boxed()
    }

    fn remove_image<'a>(&'a self, reference: &'a str) -> EngineFuture<'a, ()> {
        let call =
            self.docker.remove_image(reference, None::<bollard::query_parameters::RemoveImageOptions>, None);
        within(self.limit, "remove image", async { call.await.map(drop) }).boxed()
    }

    fn create_container<'a>(&'a self, request: &'a ContainerRequest<'a>) -> EngineFuture<'a, String> {
        self.create_container_now(request).boxed()
    }

    fn upload<'a>(&'a self, container: &'a str, files: &'a [FileUpload]) -> EngineFuture<'a, ()> {
        self.upload_now(container, files).boxed()
    }

    fn start<'a>(&'a self, container: &'a str) -> EngineFuture<'a, ()> {
        let call = self.docker.start_container(container, None::<StartContainerOptions>);
        within(self.limit, "start container", call).boxed()
    }

    fn stop<'a>(&'a self, container: &'a str, grace: Option<Duration>) -> EngineFuture<'a, ()> {
        end::stop(&self.docker, self.turns.as_ref(), (container, grace), self.limit).boxed()
    }

    fn kill<'a>(&'a self, container: &'a str, signal: &'a str) -> EngineFuture<'a, ()> {
        end::kill(&self.docker, container, signal, self.limit).boxed()
    }

    fn rename<'a>(&'a self, container: &'a str, name: &'a str) -> EngineFuture<'a, ()> {
        let options = RenameContainerOptions { name: name.to_owned() };
        within(self.limit, "rename container", self.docker.rename_container(container, options)).boxed()
    }

    fn remove<'a>(&'a self, container: &'a str, volumes: bool) -> EngineFuture<'a, ()> {
        end::remove(&self.docker, container, volumes, self.limit).boxed()
    }

    fn inspect<'a>(&'a self, container: &'a str) -> EngineFuture<'a, Option<ContainerDetail>> {
        inspect::inspect(&self.docker, container, self.limit).boxed()
    }

    fn events<'a>(
        &'a self,
        project: &'a str,
    ) -> EngineFuture<'a, BoxStream<'static, Result<EngineEvent, EngineError>>> {
        events::events(&self.docker, project, self.limit).boxed()
    }

    fn logs(
        &self,
        container: &str,
        options: &LogOptions,
    ) -> BoxStream<'static, Result<LogLine, EngineError>> {
        logs::logs(&self.docker, container, options)
    }

    fn attach<'a>(&'a self, container: &'a str, request: &'a AttachRequest) -> EngineFuture<'a, Attached> {
        attach::attach(&self.docker, container, request, self.limit).boxed()
    }

    fn resize<'a>(&'a self, container: &'a str, size: TerminalSize) -> EngineFuture<'a, ()> {
        attach::resize(&self.docker, container, size, self.limit).boxed()
    }

    fn exec<'a>(&'a self, container: &'a str, request: &'a ExecRequest) -> EngineFuture<'a, ExecOutput> {
        exec::exec(&self.docker, container, request, self.limit).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Sensitive;

    #[test]
    fn uploads_are_packed_with_mode_and_owner() {
        let file = FileUpload {
            path: "/run/secrets/a".to_owned(),
            content: Sensitive::new(b"hush".to_vec()),
            mode: 0o440,
            uid: Some(7),
            gid: None,
        };
        let packed = archive(&[&file]).expect("an archive");
        let mut archive = tar::Archive::new(packed.as_slice());
        let entry = archive.entries().expect("entries").next().expect("one").expect("readable");
        let header = entry.header();
        assert_eq!(entry.path().expect("a path").to_str(), Some("run/secrets/a"));
        assert_eq!(
            (header.mode().ok(), header.uid().ok(), header.gid().ok()),
            (Some(0o440), Some(7), Some(0))
        );
        assert_eq!(header.size().ok(), Some(4));
    }
}

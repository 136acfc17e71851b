//! Services that are loaded on demand, while `serve` or an attached `up` stays: who loads them, and the addresses that are listened on in
//! their place.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    pin::pin,
    rc::Rc,
    sync::Arc,
    thread,
    time::SystemTime,
};

use futures::future::{OptionFuture, join, join_all, select};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};

use super::{
    CliError, Invocation,
    activators::Standing,
    args::UpArgs,
    control::{self, Claim, Control},
    entry::note,
    gpu, tenants, up,
};
use crate::{
    engine::Engine,
    executor::Followed,
    journal::{rfc3339, run_id},
    ondemand::{Change, ServiceId, ServiceSpec, Told, Wanted},
    plan::EngineFacts,
    project::{Load, Project, Service},
    proxy::{self, Activated},
    run::RunLabel,
    supervisor::{Activators, Devices, Door, Ending, Handle, Supervised, Supervisor, doors, loadable},
};

/// More threads than this gain nothing: the services behind them are the limit.
const MOST_THREADS: usize = 8;

/// Who loads a project's services, and what is listened on for them.
pub(super) struct OnDemand {
    supervisor: Supervisor,
    /// The numbers of services, by name.
    ids: BTreeMap<String, ServiceId>,
    /// Ends every connection when it is dropped.
    gateway: Gateway,
    control: Control,
    activators: Option<Rc<Activators>>,
}

impl OnDemand {
    /// Tells of every container that comes up.
    pub(super) fn set_followers(&mut self, followers: mpsc::UnboundedSender<Followed>) {
        self.supervisor.set_followers(followers);
    }

    /// What stands in the place of services in networks, until it is taken down.
    pub(super) fn activators(&self) -> Option<Rc<Activators>> {
        self.activators.clone()
    }

    /// That nobody else loads services: also while what stands in their place is taken down.
    pub(super) fn claim(&self) -> Rc<Claim> {
        self.control.claim()
    }

    /// Nothing is loaded before `begins` resolves.
    pub(super) fn hold(&mut self, begins: impl Future<Output = ()> + 'static) {
        self.supervisor.hold(begins);
    }

    /// Loads and unloads until `ends` resolves, which says what becomes of what is loaded; every connection ends then.
    pub(super) async fn stay(self, ends: impl Future<Output = Ending>) {
        let Self { supervisor, ids, gateway, control, activators: _ } = self;
        let handle = supervisor.handle();
        let ends = async move {
            let ending = ends.await;
            drop(gateway);
            ending
        };
        select(pin!(supervisor.stay(ends)), pin!(control.stay(handle, ids))).await;
    }
}

/// Begins to listen. `None`: no service is loaded on demand or by hand. `claim`: that nobody else does. `say`: shows what
/// becomes of them, a line at a time.
///
/// # Errors
///
/// The project does not say how its services are reached, or an address cannot be had.
pub(super) async fn begin(
    invocation: &Invocation,
    project: &Project,
    engine: &Arc<dyn Engine>,
    claim: Claim,
    say: impl Fn(&str) + 'static,
) -> Result<Option<OnDemand>, CliError> {
    let (mut supervised, mut ids) = (Vec::new(), BTreeMap::new());
    for (number, (name, _)) in (0..).zip(services(project)) {
        ids.insert(name.to_owned(), ServiceId(number));
    }
    if ids.is_empty() {
        return Ok(None);
    }
    let now = SystemTime::now();
    let id = run_id(now, std::process::id());
    let label = RunLabel { id, time: rfc3339(now), command: "load".to_owned() };
    let options = up::options(invocation, &UpArgs::default());
    let mut doors = doors(project, &ids).map_err(|why| {
        CliError::usage(why).hint("`x-orch: {routes: [{port: 8000}]}` says how a service is reached")
    })?;
    let tenants = tenants::guard(invocation, project, &mut doors)?;
    let control = Control::open(invocation, &project.name, claim, tenants);
    let made = (options.clone(), label.clone());
    let say: Rc<dyn Fn(&str)> = Rc::new(say);
    let standing = Standing::begin(invocation, project, engine, &ids, made, &say)?;
    for (name, spec) in services(project) {
        // Alone, with what it depends on.
        let args = UpArgs { services: vec![name.to_owned()], ..UpArgs::default() };
        let alone = up::project(invocation, &args).await?;
        supervised.push(Supervised { name: name.to_owned(), spec, project: loadable(&alone, name) });
    }
    let devices = devices(invocation, project, engine).await?;
    for service in &mut supervised {
        gpu::name_by_uuid(&mut service.spec, &devices.known);
    }
    let tell = Box::new(move |service: &str, told: &Told| {
        if let Some(line) = line(service, told) {
            say(&line);
        }
    });
    let mut supervisor =
        Supervisor::new(Arc::clone(engine), project, supervised, (options, label), devices, tell);
    let gateway = Gateway::open(doors, standing.as_ref().map(Standing::door), &supervisor.handle())?;
    let activators = standing.map(|standing| standing.activators());
    if let Some(activators) = &activators {
        supervisor.set_activators(Rc::clone(activators));
    }
    Ok(Some(OnDemand { supervisor, ids, gateway, control, activators }))
}

/// Services of a project that something has to stay for: they are loaded on demand or by hand.
pub(super) fn services(project: &Project) -> impl Iterator<Item = (&str, ServiceSpec)> {
    let loaded = project
        .services
        .iter()
        .filter_map(|(name, service)| Some((name.as_str(), ServiceSpec::of(project, service)?)));
    loaded.filter(|(_, spec)| spec.load != Load::Preload)
}

/// Says that nobody loads services on demand, where there are some: whoever asks for one would be refused.
pub(super) fn say_who_loads(invocation: &Invocation, project: &Project) {
    let wait = |(name, spec): (_, ServiceSpec)| (spec.load == Load::OnDemand).then_some(name);
    let names: Vec<&str> = services(project).filter_map(wait).collect();
    if !names.is_empty() && !control::is_taken(invocation, &project.name) {
        note(&format!("{}: loaded at the first request, while `docker orch serve` stays", names.join(", ")));
    }
}

/// The GPUs of this machine, where a service wants one.
async fn devices(
    invocation: &Invocation,
    project: &Project,
    engine: &Arc<dyn Engine>,
) -> Result<Devices, CliError> {
    let wants = |service: &Service| {
        ServiceSpec::of(project, service).is_some_and(|spec| spec.devices != Wanted::None)
    };
    if !project.services.values().any(wants) {
        return Ok(Devices { gpus: None, known: Vec::new(), facts: EngineFacts::default() });
    }
    let (_, found) = gpu::look(invocation).await?;
    let facts = engine.about().await;
    let facts = facts.map_err(|error| CliError::engine("failed to ask the engine about itself", &error))?;
    let (gpus, known) = found.gpus.map(|(gpus, measured)| (gpus, measured.devices)).unzip();
    Ok(Devices { gpus, known: known.unwrap_or_default(), facts })
}

/// What a user wants to see go by.
fn line(service: &str, told: &Told) -> Option<String> {
    let word = match told.change {
        Change::Refused => {
            tracing::debug!("{service}: refused: {}", told.reason);
            return None;
        }
        Change::Waiting => "waits for room",
        Change::Loading => "is being loaded",
        Change::Ready => "is ready",
        Change::Draining => "takes no new requests",
        Change::Resumed => "takes requests again",
        Change::Unloading => "is being stopped",
        Change::Settling => "is stopped",
        Change::Cold => "is not loaded",
        Change::Failed => "failed",
        Change::Blocked => "cannot be loaded",
        Change::Stuck => "does not stop",
        Change::Pinned => "pin",
    };
    Some(format!("{service} {word}: {}", told.reason))
}

/// Addresses that are listened on, by threads of their own: bytes pass whatever else goes on here. Each thread carries
/// its connections alone, to the service and back: nobody has to be woken elsewhere.
struct Gateway {
    /// Threads end when it is dropped.
    _stays: watch::Sender<()>,
}

impl Gateway {
    fn open(
        doors: Vec<Door>,
        activated: Option<(&UnixListener, &Arc<Activated>)>,
        handle: &Handle,
    ) -> Result<Self, CliError> {
        let failed = |e: &std::io::Error| CliError::failed("failed to get threads for requests").caused_by(e);
        let mut bound = Vec::new();
        for Door { listen, site } in doors {
            let names: Vec<&str> = site.entries.iter().map(|entry| entry.name.as_str()).collect();
            let listener = bind(listen)?;
            note(&format!("listens on {listen} for {}", names.join(", ")));
            bound.push((listener, Arc::new(site)));
        }
        raise_file_limit();
        let stays = watch::Sender::new(());
        for number in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS) {
            let mut sites = Vec::new();
            for (listener, site) in &bound {
                sites.push((listener.try_clone().map_err(|e| failed(&e))?, Arc::clone(site)));
            }
            let activated = activated.map(|(listener, sites)| Ok((listener.try_clone()?, Arc::clone(sites))));
            let activated = activated.transpose().map_err(|e| failed(&e))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let (runtime, handle) = (runtime.map_err(|e| failed(&e))?, handle.clone());
            let mut ends = stays.subscribe();
            let carry = move || {
                let _inside = runtime.enter();
                let serve = |(listener, site)| {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    Ok::<_, std::io::Error>(proxy::serve(listener, site, Arc::new(handle.clone())))
                };
                let serve_activated = |(listener, sites)| {
                    let listener = tokio::net::UnixListener::from_std(listener)?;
                    Ok::<_, std::io::Error>(proxy::serve_activated(listener, sites, Arc::new(handle.clone())))
                };
                let sites = sites.into_iter().map(serve).collect::<Result<Vec<_>, _>>();
                match sites.and_then(|sites| Ok((sites, activated.map(serve_activated).transpose()?))) {
                    Ok((sites, activated)) => runtime.block_on(async {
                        let all = join(join_all(sites), OptionFuture::from(activated));
                        select(pin!(ends.changed()), pin!(all)).await;
                    }),
                    Err(error) => tracing::warn!("requests cannot be taken: {error}"),
                }
            };
            let thread = thread::Builder::new().name(format!("proxy-{number}")).spawn(carry);
            drop(thread.map_err(|e| failed(&e))?);
        }
        Ok(Self { _stays: stays })
    }
}

/// Lets this program open as many files as it may: a request that waits has two, and many may wait. The limit that a shell
/// begins with is meant for programs that look at each of them.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // An error means that it stays as it was, and that who comes when it is reached waits.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).ok();
}

fn bind(listen: SocketAddr) -> Result<TcpListener, CliError> {
    let bound =
        TcpListener::bind(listen).and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    bound.map_err(|e| {
        CliError::failed(format!("failed to listen on {listen}")).caused_by(&e).hint(
            "a service that is loaded on demand is listened for at its published port: stop whatever has it, or publish another",
        )
    })
}

//! The way from `load`, `unload`, `pin` and `why` to the `serve` that stays: a socket that only its user can open, one
//! request and one answer a connection, each a line of JSON.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{
        fs::{DirBuilderExt as _, PermissionsExt as _},
        net,
    },
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::oneshot,
};

use super::{
    CliError, Exit, Invocation,
    args::{Format, LoadArgs, PinArgs, UnloadArgs, WhyArgs},
    entry::{note, print},
    table::table,
};
use crate::{
    accept::accept,
    event::Holder,
    journal::{ProjectLock, state_dir},
    ondemand::{ServiceId, ServiceStatus, Why},
    proxy::Tenants,
    report::human_duration,
    supervisor::{Command, Handle},
};

/// A request is never longer than this, in bytes.
const REQUEST: u64 = 64 << 10;
/// Requests at the same time: `load` waits until it is done.
const CONNECTIONS: usize = 1024;

/// What is asked of a `serve`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "want", rename_all = "snake_case")]
enum Request {
    Load { service: String },
    Unload { service: String, force: bool },
    Pin { service: String, pinned: bool },
    Status,
    Why { service: String },
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done(Value),
    Failed(String),
}

/// Where the `serve` of a project listens; `None`: there is no place for it.
fn socket(invocation: &Invocation, project: &str) -> Option<PathBuf> {
    let runtime = invocation.env("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = runtime
        .map(|folder| folder.join("docker-orch"))
        .or_else(|| state_dir(|name| invocation.env(name)))?;
    Some(folder.join(format!("{project}.sock")))
}

/// Whether somebody loads services of a project on demand.
pub(super) fn is_taken(invocation: &Invocation, project: &str) -> bool {
    socket(invocation, project).is_some_and(|path| net::UnixStream::connect(path).is_ok())
}

/// The folder of the socket that a project's activators see, and nothing else.
pub(super) fn activators_folder(invocation: &Invocation, project: &str) -> Option<PathBuf> {
    Some(socket(invocation, project)?.with_extension("activators"))
}

/// That services of a project are loaded on demand here and by nobody else, until it is dropped.
pub(super) struct Claim {
    /// `None`: there is no place for one.
    _lock: Option<ProjectLock>,
}

impl Claim {
    /// Of a command, on a project of the engine at an address; or who has it.
    pub(super) fn take(
        invocation: &Invocation,
        project: &str,
        engine: &str,
        command: &str,
    ) -> Result<Self, Holder> {
        let lock = match state_dir(|name| invocation.env(name)) {
            None => None,
            Some(state) => match ProjectLock::take_on_demand(&state, project, engine, command) {
                Ok(taken) => Some(taken?),
                Err(error) => {
                    let below = state.display();
                    tracing::warn!("nothing keeps others from loading services: no lock in {below}: {error}");
                    None
                }
            },
        };
        // One whose records are elsewhere, or of another engine: there is one socket for both.
        if is_taken(invocation, project) {
            return Err(Holder::default());
        }
        Ok(Self { _lock: lock })
    }
}

/// What becomes of wishes while services are loaded here.
pub(super) struct Control {
    /// `None`: it could not be had.
    socket: Option<Socket>,
    tenants: Option<Arc<Tenants>>,
    /// Let go after the socket: whoever comes next has it where this one was.
    claim: Rc<Claim>,
}

/// A socket that is there while this is.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the project's socket. One that cannot be had is said so.
    pub(super) fn open(
        invocation: &Invocation,
        project: &str,
        claim: Claim,
        tenants: Option<Arc<Tenants>>,
    ) -> Self {
        let open = |path: PathBuf| match bind(&path).and_then(UnixListener::from_std) {
            Ok(listener) => Some(Socket { listener, path }),
            Err(error) => {
                note(&format!(
                    "warning: {} cannot be listened on, so `docker orch load` and its like do not work: {error}",
                    path.display()
                ));
                None
            }
        };
        Self { socket: socket(invocation, project).and_then(open), tenants, claim: Rc::new(claim) }
    }

    /// Nobody else loads services before everybody has dropped it.
    pub(super) fn claim(&self) -> Rc<Claim> {
        Rc::clone(&self.claim)
    }

    /// Answers until it is dropped.
    pub(super) async fn stay(&self, handle: Handle, ids: BTreeMap<String, ServiceId>) {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        let converse = |stream| converse(stream, handle.clone(), ids.clone(), self.tenants.clone());
        accept(&socket.listener, CONNECTIONS, converse).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever comes next removes it otherwise.
        fs::remove_file(&self.path).ok();
    }
}

/// A socket that only this user can open.
///
/// # Errors
///
/// There is no place for it.
pub(super) fn bind(path: &Path) -> io::Result<net::UnixListener> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // What one that was killed has left.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(
    stream: UnixStream,
    handle: Handle,
    ids: BTreeMap<String, ServiceId>,
    tenants: Option<Arc<Tenants>>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    if BufReader::new(reader.take(REQUEST)).read_line(&mut line).await.is_err() {
        return;
    }
    let answer = match serde_json::from_str(&line) {
        Ok(request) => answer(request, &handle, &ids, tenants.as_deref()).await,
        Err(error) => Answer::Failed(format!("the request cannot be read: {error}")),
    };
    let text = serde_json::to_string(&answer).unwrap_or_default() + "\n";
    // Nobody may wait for it any more.
    writer.write_all(text.as_bytes()).await.ok();
}

async fn answer(
    request: Request,
    handle: &Handle,
    ids: &BTreeMap<String, ServiceId>,
    tenants: Option<&Tenants>,
) -> Answer {
    let find = |service: &str| {
        let known = ids.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        ids.get(service).copied().ok_or_else(|| {
            Answer::Failed(format!("`{service}` is no service that is loaded on demand; those are {known}"))
        })
    };
    let done = async {
        Ok::<_, Answer>(match request {
            Request::Load { service } => {
                let id = find(&service)?;
                let loaded = want(handle, |answer| Command::Load(id, answer)).await?;
                loaded.map_err(|refusal| Answer::Failed(format!("{service}: {refusal}")))?;
                Value::Null
            }
            Request::Unload { service, force } => {
                let id = find(&service)?;
                want(handle, |answer| Command::Unload(id, force, answer)).await?;
                Value::Null
            }
            Request::Pin { service, pinned } => {
                let id = find(&service)?;
                want(handle, |answer| Command::Pin(id, pinned, answer)).await?;
                Value::Null
            }
            Request::Status => {
                let services = want(handle, Command::Status).await?;
                let services: Value = services.iter().map(|status| told(status, ids)).collect();
                let (tenants, strangers) = tenants.map(Tenants::tallies).unwrap_or_default();
                json!({"services": services, "tenants": tenants, "strangers": strangers})
            }
            Request::Why { service } => {
                let id = find(&service)?;
                let why = want(handle, |answer| Command::Why(id, answer)).await?;
                why.map_or(Value::Null, |why| explained(&service, &why))
            }
        })
    };
    done.await.map_or_else(|failed| failed, Answer::Done)
}

/// Hands a wish on, and waits for what comes of it.
async fn want<T>(handle: &Handle, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Answer> {
    let (answer, answered) = oneshot::channel();
    handle.want(command(answer));
    answered.await.map_err(|_| Answer::Failed("the `serve` that was asked has ended".to_owned()))
}

fn told(status: &ServiceStatus, ids: &BTreeMap<String, ServiceId>) -> Value {
    let name = ids.iter().find(|(_, id)| **id == status.service).map(|(name, _)| name);
    json!({"service": name, "status": status, "idle_left": status.idle_left.map(human_duration),
        "last_load": status.last_load.map(human_duration)})
}

fn explained(service: &str, why: &Why) -> Value {
    let past = why.past.iter().map(|(at, change, reason)| {
        json!({"after": human_duration(at.since_start()), "change": change, "reason": reason})
    });
    json!({"service": service, "state": why.state, "now": why.now, "past": past.collect::<Value>()})
}

/// Asks the `serve` of a project.
async fn ask(invocation: &Invocation, request: &Request) -> Result<Value, CliError> {
    let project = invocation.subject()?.name;
    let nobody = || {
        CliError::failed(format!("nobody loads services of {project} on demand"))
            .hint("`docker orch serve` does, while it stays, and so does an attached `docker orch up`")
    };
    let path = socket(invocation, &project).ok_or_else(nobody)?;
    let mut stream = UnixStream::connect(path).await.map_err(|_| nobody())?;
    let broke =
        |e: &std::io::Error| CliError::failed("the `serve` that was asked gave no answer").caused_by(e);
    let text = serde_json::to_string(request).unwrap_or_default() + "\n";
    stream.write_all(text.as_bytes()).await.map_err(|e| broke(&e))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.map_err(|e| broke(&e))?;
    match serde_json::from_str(&line) {
        Ok(Answer::Done(value)) => Ok(value),
        Ok(Answer::Failed(why)) => Err(CliError::failed(why)),
        Err(_) => Err(CliError::failed("the `serve` that was asked gave no answer")
            .hint("it may have ended, or be another version of this program")),
    }
}

/// `load`: returns when every service is ready.
///
/// # Errors
///
/// Nobody stays who could load it, or it cannot be loaded.
pub(super) async fn load(invocation: &Invocation, args: &LoadArgs) -> Result<Exit, CliError> {
    let wants = args.services.iter().map(|service| Request::Load { service: service.clone() });
    let wants: Vec<Request> = wants.collect();
    futures::future::try_join_all(wants.iter().map(|want| ask(invocation, want))).await?;
    Ok(Exit::Fine)
}

/// `unload`.
///
/// # Errors
///
/// Nobody stays who could.
pub(super) async fn unload(invocation: &Invocation, args: &UnloadArgs) -> Result<Exit, CliError> {
    for service in &args.services {
        ask(invocation, &Request::Unload { service: service.clone(), force: args.force }).await?;
    }
    Ok(Exit::Fine)
}

/// `pin` and `unpin`.
///
/// # Errors
///
/// Nobody stays who could.
pub(super) async fn pin(invocation: &Invocation, args: &PinArgs, pinned: bool) -> Result<Exit, CliError> {
    for service in &args.services {
        ask(invocation, &Request::Pin { service: service.clone(), pinned }).await?;
    }
    Ok(Exit::Fine)
}

/// `why`: a service with its reasons, or all of them in a table.
///
/// # Errors
///
/// Nobody stays who knows.
pub(super) async fn why(invocation: &Invocation, args: &WhyArgs) -> Result<Exit, CliError> {
    let Some(service) = &args.service else {
        let all = ask(invocation, &Request::Status).await?;
        return Ok(match args.format {
            Format::Json => print(&format!("{all:#}\n")),
            Format::Table => print(&statuses(&all)),
        });
    };
    let why = ask(invocation, &Request::Why { service: service.clone() }).await?;
    Ok(match args.format {
        Format::Json => print(&format!("{why:#}\n")),
        Format::Table => print(&reasons(&why)),
    })
}

fn statuses(all: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let row = |one: &Value| {
        let status = &one["status"];
        let state = match &status["stage"] {
            Value::String(stage) => format!("{} ({stage})", text(&status["state"])),
            _ => text(&status["state"]),
        };
        let pinned = if status["pinned"] == true { "yes" } else { "-" };
        vec![
            text(&one["service"]),
            state,
            text(&status["in_flight"]),
            text(&status["waiting"]),
            text(&one["idle_left"]),
            text(&one["last_load"]),
            pinned.to_owned(),
        ]
    };
    let rows = |of: &Value, row: &dyn Fn(&Value) -> Vec<String>| -> Vec<Vec<String>> {
        of.as_array().into_iter().flatten().map(row).collect()
    };
    let services = table(
        &["SERVICE", "STATE", "IN FLIGHT", "WAITING", "STOPS IN", "LAST LOAD", "PINNED"],
        &rows(&all["services"], &row),
    );
    let fields = ["tenant", "in_flight", "inflight", "admitted", "refused"];
    let tenants = rows(&all["tenants"], &|one| fields.map(|field| text(&one[field])).to_vec());
    if tenants.is_empty() {
        return services;
    }
    let tenants = table(&["TENANT", "IN FLIGHT", "AT MOST", "ADMITTED", "REFUSED"], &tenants);
    format!("{services}\n{tenants}\nrefused for want of a key: {}\n", text(&all["strangers"]))
}

fn reasons(why: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let first = format!("{} is {}: {}\n", text(&why["service"]), text(&why["state"]), text(&why["now"]));
    let line = |one: &Value| {
        format!("  {:>8}  {:<10}  {}\n", text(&one["after"]), text(&one["change"]), text(&one["reason"]))
    };
    let past = why["past"].as_array().into_iter().flatten();
    [first].into_iter().chain(past.map(line)).collect()
}

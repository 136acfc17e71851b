//! Raw TCP: what a client sends wakes the service, and is passed on once that is ready.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    Activation, Admission, Tenants,
    answer::Problem,
    limits::{self, Moving},
    site::Entry,
    tunnel::both_ways,
};
use crate::{accept::accept, ondemand::Wait, project::WakeOn};

/// How long a client that has sent nothing yet may stand there: a port scan is over long before.
const SILENT: Duration = Duration::from_mins(5);

pub(super) async fn serve(
    listener: TcpListener,
    entry: Arc<Entry>,
    tenants: Option<Arc<Tenants>>,
    activation: Arc<dyn Activation>,
) {
    let converse = |(client, _)| {
        let (entry, tenants, activation) = (Arc::clone(&entry), tenants.clone(), Arc::clone(&activation));
        async move {
            if let Err(error) = carry(client, &entry, tenants.as_deref(), activation.as_ref()).await {
                tracing::debug!("a connection to {} ended: {error}", entry.name);
            }
        }
    };
    accept(&listener, limits::CONNECTIONS, converse).await;
}

/// Carries one connection to its end. What cannot be served is closed without a word: only the service's protocol could
/// say why.
async fn carry(
    client: TcpStream,
    entry: &Entry,
    tenants: Option<&Tenants>,
    activation: &dyn Activation,
) -> io::Result<()> {
    limits::watch(&client);
    if entry.wake_on == WakeOn::Data {
        let mut first = [0];
        // Only looked at: it stays where it is until it is passed on. Nothing at all means that the client has left.
        if timeout(SILENT, client.peek(&mut first)).await?? == 0 {
            return Ok(());
        }
    }
    let refused = |denied| io::Error::other(Problem::Denied(denied).message());
    let place = tenants.map(Tenants::enter_raw).transpose().map_err(refused)?;
    let mut admission = admitted(entry, activation, left(&client)).await?;
    admission.serving.keep(place);
    pass(client, entry, admission).await
}

/// Waits until a connection may be passed on, or its client has left.
pub(super) async fn admitted(
    entry: &Entry,
    activation: &dyn Activation,
    left: impl Future<Output = ()>,
) -> io::Result<Admission> {
    let admission = tokio::select! {
        biased;
        admission = activation.ask(entry.service, Wait::Held(None)) => admission,
        () = left => return Err(io::Error::other("the client has left")),
    };
    admission.map_err(|refusal| io::Error::other(refusal.to_string()))
}

/// Passes a connection on, to its end.
pub(super) async fn pass(
    client: impl AsyncRead + AsyncWrite + Unpin,
    entry: &Entry,
    admission: Admission,
) -> io::Result<()> {
    let service = TcpStream::connect((admission.address, entry.port));
    let service = timeout(limits::CONNECT, service).await??;
    limits::watch(&service);
    let passed = both_ways(Moving::new(client), service).await;
    drop(admission.serving);
    passed
}

/// Waits until a client is gone. One that has only ended what it sends still waits for an answer, and cannot be told from
/// one that has gone until it is written to; so only a connection that broke counts.
async fn left(client: &TcpStream) {
    loop {
        match client.ready(tokio::io::Interest::ERROR).await {
            Ok(ready) if !ready.is_error() => {}
            _ => return,
        }
    }
}

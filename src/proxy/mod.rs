//! Requests on their way to services that may have to be loaded first.
//!
//! *Owns* the addresses that are listened on, who may ask there ([`Tenants`]), which service a request is for ([`Site`]),
//! what its client gets while that is not ready, and that everything is passed on as it is, both ways and unbuffered.
//! *Must not know* why or how a service is loaded, the engine, or the command line: it asks an [`Activation`].
//!
//! ```text
//! accept ─► who? ─► which service? ─► ask ──┬─► admitted ─► pass on, both ways ─► the last byte: it is over
//!                                           └─► refused ──► an answer that says why, and when to come again
//! ```

mod activated;
mod answer;
mod body;
mod cold;
mod http;
mod limits;
mod linger;
mod model;
mod pass;
mod site;
mod streams;
mod tcp;
mod tenant;
mod tunnel;
mod upstream;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::net::TcpListener;

pub use activated::{Activated, serve_activated};
pub use site::{Entry, Site};
pub use tenant::{Tally, Tenant, Tenants};

use crate::ondemand::{Refusal, ServiceId, State, Wait};

/// Whoever has services loaded.
pub trait Activation: Send + Sync + 'static {
    /// Waits until a request may be passed on. Dropping the future is the same as the client going away.
    fn ask(&self, service: ServiceId, wait: Wait) -> BoxFuture<'static, Result<Admission, Refusal>>;

    /// What a service is now; `None`: it is not known.
    fn state(&self, service: ServiceId) -> Option<State>;
}

/// That a request may be passed on.
#[derive(Debug)]
pub struct Admission {
    /// Where the service is.
    pub address: IpAddr,
    /// How long the request has waited for it.
    pub waited: Duration,
    /// To be kept until the last byte has passed.
    pub serving: Serving,
}

/// Something that is being answered; it is over when this is dropped.
pub struct Serving {
    over: Option<Box<dyn FnOnce() + Send + Sync>>,
    /// Of the tenant who asks, where there are any.
    place: Option<tenant::Place>,
}

impl Serving {
    /// What is called once it is over.
    pub fn until(over: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { over: Some(Box::new(over)), place: None }
    }

    /// Keeps the place of whoever asks until it is over.
    fn keep(&mut self, place: Option<tenant::Place>) {
        self.place = place;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(over) = self.over.take() {
            over();
        }
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

/// Takes connections until it is dropped, which ends all of them.
pub async fn serve(listener: TcpListener, site: Arc<Site>, activation: Arc<dyn Activation>) {
    match site.raw() {
        Some(entry) => tcp::serve(listener, entry, site.tenants.clone(), activation).await,
        None => http::serve(listener, site.clone(), activation).await,
    }
}

//! Connections to a port of a service, and whether it accepts one.

use std::{io, net::Ipv4Addr, net::Ipv6Addr, time::Duration};

use tokio::net::TcpStream;

use super::{
    Target,
    answer::io_words,
    netns,
    prober::{Answer, Attempt, reach},
    route::Route,
};
use crate::engine::EngineInfo;

/// How long a container's address may take to answer before another way is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);

/// Whether a port accepts a connection.
pub(super) async fn ask(
    host: Option<&str>,
    port: u16,
    target: &Target,
    engine: &EngineInfo,
    limit: Duration,
) -> Answer {
    let routes = reach(host, port, target, engine);
    let accepted = |_| std::future::ready(Answer::new(true, "accepts connections"));
    over(routes.open, routes.why_none, limit, accepted).await
}

/// Connects by every way in turn until one leads there, and gives what `talk` finds.
pub(super) async fn over<T, F>(ways: Vec<Route>, why_none: String, limit: Duration, talk: T) -> Answer
where
    T: FnOnce(TcpStream) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut why = if ways.is_empty() { why_none } else { String::new() };
    for route in ways {
        match attempt(&route, limit, talk.clone()).await {
            Attempt::Answered(answer) => return answer,
            Attempt::Refused(said) if matches!(route, Route::Inside { .. }) => {
                return Answer::new(false, said);
            }
            Attempt::Refused(said) => why = said,
            // The address's own words say more than that the namespace could not be entered.
            Attempt::Closed(said) | Attempt::Unclear(said) if why.is_empty() => why = said,
            Attempt::Closed(_) | Attempt::Unclear(_) => {}
        }
    }
    Answer::new(false, why)
}

async fn attempt<T, F>(route: &Route, limit: Duration, talk: T) -> Attempt
where
    T: FnOnce(TcpStream) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let answered = match route {
        Route::Address(address) => {
            let connect = TcpStream::connect(*address);
            match tokio::time::timeout(ADDRESS_PATIENCE, connect).await {
                Ok(Ok(stream)) => Ok(talk(stream).await),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Route::Name(host, port) => match TcpStream::connect((host.as_str(), *port)).await {
            Ok(stream) => Ok(talk(stream).await),
            Err(error) => Err(error),
        },
        Route::Inside { pid, container, port } => {
            let port = *port;
            let job = async move {
                let stream = local(port).await?;
                let answering = talk(stream);
                Ok(answering.await)
            };
            match netns::inside(*pid, container, limit, job).await {
                Ok(Some(answered)) => answered,
                Ok(None) => Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Attempt::Closed(io_words(&error)),
            }
        }
    };
    match answered {
        Ok(answer) => Attempt::Answered(answer),
        Err(error) => Attempt::Refused(io_words(&error)),
    }
}

/// A port of localhost, by IPv4 or else IPv6.
async fn local(port: u16) -> io::Result<TcpStream> {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(stream),
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
    }
}

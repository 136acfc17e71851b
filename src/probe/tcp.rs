//! Whether a port accepts a connection.

use std::{io, net::Ipv4Addr, net::Ipv6Addr, time::Duration};

use tokio::net::TcpStream;

use super::{
    Target, netns,
    prober::{Answer, Attempt, reach},
    route::Route,
};
use crate::engine::EngineInfo;

/// How long a container's address may take to answer before another way is tried.
const ADDRESS_PATIENCE: Duration = Duration::from_secs(1);

/// Tries every way in turn.
pub(super) async fn ask(
    host: Option<&str>,
    port: u16,
    target: &Target,
    engine: &EngineInfo,
    limit: Duration,
) -> Answer {
    let routes = reach(host, port, target, engine);
    let mut why = if routes.open.is_empty() { routes.why_none } else { String::new() };
    for route in routes.open {
        match attempt(&route, limit).await {
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

async fn attempt(route: &Route, limit: Duration) -> Attempt {
    let connected = match route {
        Route::Address(address) => {
            let connect = TcpStream::connect(*address);
            match tokio::time::timeout(ADDRESS_PATIENCE, connect).await {
                Ok(connected) => connected.map(drop),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Route::Name(host, port) => TcpStream::connect((host.as_str(), *port)).await.map(drop),
        Route::Inside { pid, container, port } => {
            let port = *port;
            let job = async move {
                match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error).map(drop)
                    }
                }
            };
            match netns::inside(*pid, container, limit, job).await {
                Ok(Some(connected)) => connected,
                Ok(None) => Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Attempt::Closed(super::answer::io_words(&error)),
            }
        }
    };
    match connected {
        Ok(()) => Attempt::Answered(Answer::new(true, "accepts connections")),
        Err(error) => Attempt::Refused(super::answer::io_words(&error)),
    }
}

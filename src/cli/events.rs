//! `events`: what happens to containers, as it happens.

use futures::StreamExt as _;
use serde_json::json;

use super::{CliError, Exit, Invocation, args::EventsArgs, entry::print};
use crate::{
    engine::{EngineAction, EngineEvent},
    executor::Signals,
    plan::EngineHealth,
};

/// Prints events until interrupted.
///
/// # Errors
///
/// The files are wrong, or the engine refuses.
pub(super) async fn run(invocation: &Invocation, args: &EventsArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let mut signals = Signals::listen(&invocation.signal_sources())
        .map_err(|e| CliError::failed("failed to listen to signals").caused_by(&e))?;
    let observed = subject.observe(&*engine).await?;
    subject.check_services(&args.services, &observed.containers)?;
    let mut events = engine
        .events(&subject.name)
        .await
        .map_err(|e| CliError::engine("failed to follow what happens", &e))?;
    loop {
        let event = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Interrupted),
            event = events.next() => event,
        };
        match event {
            None => return Ok(Exit::Fine),
            Some(Err(error)) => return Err(CliError::engine("lost the engine's events", &error)),
            Some(Ok(event)) if is_wanted(&event, &args.services) => {
                if print(&line(&event, args.json)) != Exit::Fine {
                    return Ok(Exit::Failed);
                }
            }
            Some(Ok(_)) => {}
        }
    }
}

/// Events of one-off containers are left out, as Compose does.
fn is_wanted(event: &EngineEvent, services: &[String]) -> bool {
    let label = |name: &str| event.attributes.get(&format!("com.docker.compose.{name}"));
    label("oneoff").is_none_or(|oneoff| oneoff != "True")
        && (services.is_empty() || label("service").is_some_and(|s| services.contains(s)))
}

fn line(event: &EngineEvent, as_json: bool) -> String {
    let attributes: serde_json::Map<String, serde_json::Value> = event
        .attributes
        .iter()
        .filter(|(key, _)| !key.starts_with("com.docker.compose."))
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    let service = event.attributes.get("com.docker.compose.service").map_or("", String::as_str);
    let (time, action) = (time(event.at_nanos), action(&event.action));
    if as_json {
        let value = json!({
            "time": time,
            "type": "container",
            "service": service,
            "id": event.container,
            "action": action,
            "attributes": attributes,
        });
        return format!("{value}\n");
    }
    let attributes: Vec<String> = attributes
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    format!("{time} container {action} {} ({})\n", event.container, attributes.join(", "))
}

/// RFC 3339 in UTC, to the nanosecond.
fn time(nanos: i64) -> String {
    let nanos = u64::try_from(nanos).unwrap_or_default();
    let millis = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
    let text = crate::journal::rfc3339(millis);
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    format!("{whole}.{:09}Z", nanos % 1_000_000_000)
}

/// The engine's word.
fn action(action: &EngineAction) -> String {
    match action {
        EngineAction::Created => "create",
        EngineAction::Started => "start",
        EngineAction::Died { .. } => "die",
        EngineAction::OutOfMemory => "oom",
        EngineAction::Stopped => "stop",
        EngineAction::Restarted => "restart",
        EngineAction::Paused => "pause",
        EngineAction::Unpaused => "unpause",
        EngineAction::Renamed => "rename",
        EngineAction::Removed => "destroy",
        EngineAction::Health(EngineHealth::Starting) => "health_status: starting",
        EngineAction::Health(EngineHealth::Healthy) => "health_status: healthy",
        EngineAction::Health(EngineHealth::Unhealthy) => "health_status: unhealthy",
        EngineAction::Other(word) => word,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn died() -> EngineEvent {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        EngineEvent {
            container: "c0ffee".into(),
            attributes: [
                pair("com.docker.compose.service", "db"),
                pair("com.docker.compose.project", "shop"),
                pair("exitCode", "1"),
                pair("name", "shop-db-1"),
            ]
            .into(),
            action: EngineAction::Died { code: 1 },
            at_nanos: 1_700_000_000_123_456_789,
        }
    }

    #[test]
    fn events_are_printed_as_compose_prints_them() {
        assert_snapshot!(line(&died(), false).trim_end(), @"2023-11-14T22:13:20.123456789Z container die c0ffee (exitCode=1, name=shop-db-1)");
        assert_snapshot!(line(&died(), true).trim_end(), @r#"{"time":"2023-11-14T22:13:20.123456789Z","type":"container","service":"db","id":"c0ffee","action":"die","attributes":{"exitCode":"1","name":"shop-db-1"}}"#);
    }

    #[test]
    fn other_services_and_one_off_containers_are_left_out() {
        let mut event = died();
        assert!(is_wanted(&event, &[]) && is_wanted(&event, &["db".into()]));
        assert!(!is_wanted(&event, &["web".into()]));
        event.attributes.insert("com.docker.compose.oneoff".into(), "True".into());
        assert!(!is_wanted(&event, &[]));
    }
}

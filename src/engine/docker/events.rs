//! What happens to a project's containers.

use std::time::Duration;

use bollard::{Docker, models::EventMessage, query_parameters::EventsOptions};
use futures::{StreamExt, stream::BoxStream};
use tokio::time::Instant;

use super::{
    error::{classify, within},
    timestamp,
};
use crate::{
    engine::{EngineAction, EngineError, EngineErrorKind, EngineEvent},
    plan::EngineHealth,
};

/// Events from now on. bollard asks only when the stream is first polled, so the engine's own clock is read first:
/// it then repeats what happened between that moment and the first poll.
pub(super) async fn events(
    docker: &Docker,
    project: &str,
    limit: Duration,
) -> Result<BoxStream<'static, Result<EngineEvent, EngineError>>, EngineError> {
    let asked = Instant::now();
    let info = within(limit, "info", docker.info()).await?;
    let now = info.system_time.as_deref().and_then(timestamp::nanos).ok_or_else(|| {
        EngineError::new(EngineErrorKind::Failed, "the engine does not say what time it is")
    })?;
    // It read its clock after it was asked: what happened since then is told too.
    let now = now.saturating_sub(i64::try_from(asked.elapsed().as_nanos()).unwrap_or_default());
    let filters = [
        ("type".to_owned(), vec!["container".to_owned()]),
        ("label".to_owned(), vec![format!("com.docker.compose.project={project}")]),
    ];
    let options = EventsOptions {
        since: Some(format!("{}.{:09}", now / 1_000_000_000, now % 1_000_000_000)),
        until: None,
        filters: Some(filters.into()),
    };
    let stream = docker.events(Some(options));
    Ok(stream.map(|message| message.map(event).map_err(classify)).boxed())
}

fn event(message: EventMessage) -> EngineEvent {
    let actor = message.actor.unwrap_or_default();
    let attributes: std::collections::BTreeMap<String, String> =
        actor.attributes.unwrap_or_default().into_iter().collect();
    let code = attributes.get("exitCode").and_then(|c| c.parse().ok());
    EngineEvent {
        container: actor.id.unwrap_or_default(),
        action: action(&message.action.unwrap_or_default(), code),
        at_nanos: message.time_nano.unwrap_or_default(),
        attributes,
    }
}

fn action(word: &str, exit_code: Option<i64>) -> EngineAction {
    match word {
        "create" => EngineAction::Created,
        "start" => EngineAction::Started,
        "die" => EngineAction::Died { code: exit_code.unwrap_or(-1) },
        "oom" => EngineAction::OutOfMemory,
        "stop" => EngineAction::Stopped,
        "restart" => EngineAction::Restarted,
        "pause" => EngineAction::Paused,
        "unpause" => EngineAction::Unpaused,
        "rename" => EngineAction::Renamed,
        "destroy" => EngineAction::Removed,
        other => match other.strip_prefix("health_status: ") {
            Some("healthy") => EngineAction::Health(EngineHealth::Healthy),
            Some("unhealthy") => EngineAction::Health(EngineHealth::Unhealthy),
            Some("starting") => EngineAction::Health(EngineHealth::Starting),
            _ => EngineAction::Other(other.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_their_names() {
        for (word, code, wanted) in [
            ("die", Some(137), EngineAction::Died { code: 137 }),
            ("health_status: unhealthy", None, EngineAction::Health(EngineHealth::Unhealthy)),
            ("destroy", None, EngineAction::Removed),
            ("exec_create: true", None, EngineAction::Other("exec_create: true".to_owned())),
        ] {
            assert_eq!(action(word, code), wanted);
        }
    }

    #[test]
    fn an_event_keeps_its_time_and_attributes() {
        let message: EventMessage = serde_json::from_value(serde_json::json!({
            "Type": "container", "Action": "die", "time": 1, "timeNano": 1_000_000_005_i64,
            "Actor": {"ID": "abc", "Attributes": {"exitCode": "3", "name": "p-web-1"}},
        }))
        .expect("an event");
        let event = event(message);
        assert_eq!((event.container.as_str(), event.at_nanos), ("abc", 1_000_000_005));
        assert_eq!(event.action, EngineAction::Died { code: 3 });
        assert_eq!(event.attributes["name"], "p-web-1");
    }
}

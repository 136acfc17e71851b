//! `ps`: what the engine has of the project, in Compose's columns.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use super::{
    CliError, Exit, Invocation,
    args::{ContainerStatus, Format, PsArgs},
    entry::print,
    scope::is_of,
    table::{human, table},
};
use crate::{
    journal::rfc3339,
    plan::{Container, ContainerState, EngineHealth, PublishedPort},
};

/// Lists containers.
///
/// # Errors
///
/// The files are wrong, a service is unknown, or the engine refuses.
pub(super) async fn run(invocation: &Invocation, args: &PsArgs) -> Result<Exit, CliError> {
    let subject = invocation.subject()?;
    let engine = invocation.connect().await?;
    let observed = subject.observe(&*engine).await?;
    subject.check_services(&args.services, &observed.containers)?;
    let is_orphan = |c: &Container| {
        subject.project.as_ref().is_some_and(|p| c.service().is_none_or(|s| !p.services.contains_key(s)))
    };
    let containers: Vec<&Container> = observed
        .containers
        .iter()
        .filter(|c| is_of(c, &args.services) && is_wanted(c, args) && (args.orphans || !is_orphan(c)))
        .collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(print(&text(&containers, args, now)))
}

/// Running ones, unless others are asked for.
fn is_wanted(container: &Container, args: &PsArgs) -> bool {
    let mut asked = args.filters.iter().chain(&args.status).peekable();
    if asked.peek().is_some() {
        return asked.any(|status| state_of(*status) == container.state);
    }
    args.all
        || (!container.is_oneoff()
            && matches!(
                container.state,
                ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
            ))
}

fn state_of(status: ContainerStatus) -> ContainerState {
    match status {
        ContainerStatus::Created => ContainerState::Created,
        ContainerStatus::Running => ContainerState::Running,
        ContainerStatus::Paused => ContainerState::Paused,
        ContainerStatus::Restarting => ContainerState::Restarting,
        ContainerStatus::Exited => ContainerState::Exited,
        ContainerStatus::Removing => ContainerState::Removing,
        ContainerStatus::Dead => ContainerState::Dead,
    }
}

/// What is printed; `now` is the time since the epoch.
fn text(containers: &[&Container], args: &PsArgs, now: Duration) -> String {
    if args.quiet {
        return containers.iter().flat_map(|c| [c.id.as_str(), "\n"]).collect();
    }
    if args.only_services {
        let services: BTreeSet<&str> = containers.iter().filter_map(|c| c.service()).collect();
        return services.into_iter().flat_map(|service| [service, "\n"]).collect();
    }
    match args.format {
        Format::Json => {
            containers.iter().flat_map(|c| [as_json(c, args, now).to_string(), "\n".to_owned()]).collect()
        }
        Format::Table => {
            let rows: Vec<Vec<String>> = containers.iter().map(|c| row(c, args, now)).collect();
            table(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"], &rows)
        }
    }
}

fn row(c: &Container, args: &PsArgs, now: Duration) -> Vec<String> {
    vec![
        c.name.clone(),
        c.image.clone(),
        command(c, args),
        c.service().unwrap_or_default().to_owned(),
        created(c, now),
        c.status.clone(),
        ports(&c.ports),
    ]
}

/// In quotes, cut to 20 characters.
fn command(c: &Container, args: &PsArgs) -> String {
    let cut = match c.command.char_indices().nth(19) {
        Some((at, _)) if !args.no_trunc && c.command.chars().count() > 20 => format!("{}…", &c.command[..at]),
        _ => c.command.clone(),
    };
    format!("\"{}\"", cut.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn created(c: &Container, now: Duration) -> String {
    let created = Duration::from_secs(u64::try_from(c.created).unwrap_or_default());
    format!("{} ago", human(now.saturating_sub(created)))
}

/// In the order of the container's ports; IPv4 stands before IPv6.
fn sorted(ports: &[PublishedPort]) -> Vec<&PublishedPort> {
    let mut ports: Vec<&PublishedPort> = ports.iter().collect();
    ports.sort_by_key(|port| (port.private, port.protocol.as_str(), port.public));
    ports
}

fn ports(ports: &[PublishedPort]) -> String {
    let texts: Vec<String> = sorted(ports)
        .into_iter()
        .map(|port| match port.public {
            0 => format!("{}/{}", port.private, port.protocol),
            public if port.ip.contains(':') => {
                format!("[{}]:{public}->{}/{}", port.ip, port.private, port.protocol)
            }
            public => format!("{}:{public}->{}/{}", port.ip, port.private, port.protocol),
        })
        .collect();
    texts.join(", ")
}

/// One object with Compose's keys, in its order.
fn as_json(c: &Container, args: &PsArgs, now: Duration) -> serde_json::Value {
    let labels: Vec<String> = c.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mounts: Vec<&str> = c
        .mounts
        .iter()
        .map(|m| if m.name.is_empty() { m.source.as_str() } else { m.name.as_str() })
        .collect();
    let networks: Vec<&str> = c.networks.keys().map(String::as_str).collect();
    let publishers: Vec<_> = sorted(&c.ports)
        .into_iter()
        .map(|p| json!({"URL": p.ip, "TargetPort": p.private, "PublishedPort": p.public, "Protocol": p.protocol}))
        .collect();
    let health = match c.health {
        None => "",
        Some(EngineHealth::Starting) => "starting",
        Some(EngineHealth::Healthy) => "healthy",
        Some(EngineHealth::Unhealthy) => "unhealthy",
    };
    let created = UNIX_EPOCH + Duration::from_secs(u64::try_from(c.created).unwrap_or_default());
    let created = rfc3339(created).replace('T', " ").replace(".000Z", " +0000 UTC");
    json!({
        "Command": command(c, args),
        "CreatedAt": created,
        "ExitCode": c.exit_code.unwrap_or(0),
        "Health": health,
        "ID": if args.no_trunc { c.id.as_str() } else { c.id.get(..12).unwrap_or(&c.id) },
        "Image": c.image,
        "Labels": labels.join(","),
        "LocalVolumes": c.mounts.iter().filter(|m| m.r#type == "volume").count().to_string(),
        "Mounts": mounts.join(","),
        "Name": c.name,
        "Names": c.name,
        "Networks": networks.join(","),
        "Ports": ports(&c.ports),
        "Project": c.compose_label("project").unwrap_or_default(),
        "Publishers": publishers,
        "RunningFor": self::created(c, now),
        "Service": c.service().unwrap_or_default(),
        "Size": "0B",
        "State": serde_json::to_value(c.state).unwrap_or_default(),
        "Status": c.status,
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn container(name: &str, state: ContainerState) -> Container {
        let label = |key: &str, value: &str| (format!("com.docker.compose.{key}"), value.to_owned());
        Container {
            id: "2f".repeat(32),
            name: format!("shop-{name}-1"),
            image: "nginx:1.29".into(),
            state,
            labels: [label("service", name), label("project", "shop")].into(),
            created: 1_700_000_000,
            status: "Up 5 minutes".into(),
            command: "/docker-entrypoint.sh nginx -g \"daemon off;\"".into(),
            ports: vec![
                PublishedPort { ip: "0.0.0.0".into(), public: 8080, private: 80, protocol: "tcp".into() },
                PublishedPort { ip: "::".into(), public: 8080, private: 80, protocol: "tcp".into() },
                PublishedPort { private: 443, protocol: "tcp".into(), ..PublishedPort::default() },
            ],
            ..Container::default()
        }
    }

    fn args() -> PsArgs {
        PsArgs { orphans: true, ..PsArgs::default() }
    }

    #[test]
    fn the_table_has_composes_columns() {
        let web = container("web", ContainerState::Running);
        assert_snapshot!(text(&[&web], &args(), Duration::from_secs(1_700_000_300)), @r#"
        NAME         IMAGE        COMMAND                  SERVICE   CREATED         STATUS         PORTS
        shop-web-1   nginx:1.29   "/docker-entrypoint.…"   web       5 minutes ago   Up 5 minutes   0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp
        "#);
    }

    #[test]
    fn json_has_composes_keys() {
        let web = container("web", ContainerState::Running);
        let line =
            text(&[&web], &PsArgs { format: Format::Json, ..args() }, Duration::from_secs(1_700_000_300));
        assert_snapshot!(line.trim_end(), @r#"{"Command":"\"/docker-entrypoint.…\"","CreatedAt":"2023-11-14 22:13:20 +0000 UTC","ExitCode":0,"Health":"","ID":"2f2f2f2f2f2f","Image":"nginx:1.29","Labels":"com.docker.compose.project=shop,com.docker.compose.service=web","LocalVolumes":"0","Mounts":"","Name":"shop-web-1","Names":"shop-web-1","Networks":"","Ports":"0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp","Project":"shop","Publishers":[{"URL":"0.0.0.0","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"::","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"","TargetPort":443,"PublishedPort":0,"Protocol":"tcp"}],"RunningFor":"5 minutes ago","Service":"web","Size":"0B","State":"running","Status":"Up 5 minutes"}"#);
    }

    #[test]
    fn only_what_runs_is_listed_unless_more_is_asked_for() {
        let [running, exited] =
            [ContainerState::Running, ContainerState::Exited].map(|s| container("web", s));
        let mut oneoff = running.clone();
        oneoff.labels.insert("com.docker.compose.oneoff".into(), "True".into());
        let wanted = |args: &PsArgs| [&running, &exited, &oneoff].map(|c| is_wanted(c, args));
        assert_eq!(wanted(&args()), [true, false, false]);
        assert_eq!(wanted(&PsArgs { all: true, ..args() }), [true, true, true]);
        assert_eq!(
            wanted(&PsArgs { filters: vec![ContainerStatus::Exited], ..args() }),
            [false, true, false]
        );
    }
}

//! One-off containers, as `run` makes them: a service's container with another command, beside those that `up` keeps.
//!
//! A one-off container is its service's replica number 0 (Compose gives it no number). Its definition takes the
//! service's place in the project of this command, so that everything else is planned as for `up`.

use crate::project::{Mapping, Port, Project, Service, ServiceMount};

/// What makes a one-off container different on the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneOff {
    /// 64 hexadecimal digits.
    pub slug: String,
    /// The engine removes it when it exits.
    pub auto_remove: bool,
    /// It is reached by its service's names too.
    pub use_aliases: bool,
    /// It gets standard input.
    pub interactive: bool,
}

/// A one-off container that an `up` is planned for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OneOffTarget {
    /// The service.
    pub service: String,
    /// What is special about its container.
    pub container: OneOff,
    /// Leave alone what the service depends on: `--no-deps`.
    pub no_deps: bool,
}

/// What `run` says of the container beyond the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OneOffChanges {
    /// Empty: the service's own, unless there is an entrypoint.
    pub command: Vec<String>,
    /// `--entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// `--env`, `--env-from-file`.
    pub environment: Mapping,
    /// `--label`.
    pub labels: Mapping,
    /// `--name`.
    pub name: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--workdir`.
    pub working_dir: Option<String>,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--volume`.
    pub volumes: Vec<ServiceMount>,
    /// Which ports are published.
    pub ports: OneOffPorts,
    /// Its streams are one terminal.
    pub tty: bool,
}

/// Which ports of a one-off container are published.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum OneOffPorts {
    /// None.
    #[default]
    None,
    /// Those of the service: `--service-ports`.
    Service,
    /// These: `--publish`.
    These(Vec<Port>),
}

impl Project {
    /// Puts a one-off container's definition in the place of its service.
    pub fn become_one_off(&mut self, target: &OneOffTarget, changes: &OneOffChanges) {
        let separator = self.separator();
        let slug: String = target.container.slug.chars().take(12).collect();
        let name = changes.name.clone().unwrap_or_else(|| {
            format!("{}{separator}{}{separator}run{separator}{slug}", self.name, target.service)
        });
        if let Some(service) = self.services.get_mut(&target.service) {
            *service = one_off(service, target, changes, name);
        }
    }
}

/// The definition of a one-off container; what is hashed for its label.
fn one_off(service: &Service, target: &OneOffTarget, changes: &OneOffChanges, name: String) -> Service {
    let mut one_off = service.clone();
    one_off.container_name = Some(name);
    one_off.scale = Some(1);
    one_off.orch.load = None;
    one_off.restart = None;
    if let Some(deploy) = &mut one_off.deploy {
        deploy.restart_policy = None;
    }
    one_off.tty = changes.tty;
    one_off.stdin_open = target.container.interactive;
    if target.no_deps {
        one_off.depends_on.clear();
        one_off.orch.depends_on.clear();
    }
    match (&changes.entrypoint, changes.command.is_empty()) {
        // Another program does not get the arguments that were meant for the first.
        (Some(_), true) => one_off.command = Some(Vec::new()),
        (None, true) => {}
        (_, false) => one_off.command = Some(changes.command.clone()),
    }
    if changes.entrypoint.is_some() {
        one_off.entrypoint.clone_from(&changes.entrypoint);
    }
    for (own, changed) in
        [(&mut one_off.user, &changes.user), (&mut one_off.working_dir, &changes.working_dir)]
    {
        if changed.is_some() {
            own.clone_from(changed);
        }
    }
    let environment = changes.environment.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
    one_off.environment.extend(environment);
    one_off.labels.extend(changes.labels.clone());
    // As the files' own are: the hash goes by it.
    one_off.environment.sort_unstable_keys();
    one_off.labels.sort_unstable_keys();
    one_off.volumes.extend(changes.volumes.iter().cloned());
    match &changes.ports {
        OneOffPorts::None => one_off.ports.clear(),
        OneOffPorts::Service => {}
        OneOffPorts::These(ports) => one_off.ports.clone_from(ports),
    }
    move_capabilities(&mut one_off.cap_add, &mut one_off.cap_drop, &changes.cap_add);
    move_capabilities(&mut one_off.cap_drop, &mut one_off.cap_add, &changes.cap_drop);
    one_off
}

/// Puts capabilities on one side and takes them off the other.
fn move_capabilities(to: &mut Vec<String>, from: &mut Vec<String>, which: &[String]) {
    to.extend(which.iter().cloned());
    from.retain(|capability| !which.contains(capability));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Dependency, Deploy};

    fn project() -> Project {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let web = Service {
            name: "web".to_owned(),
            command: Some(words("serve --port 80")),
            container_name: Some("fixed".to_owned()),
            restart: Some("always".to_owned()),
            deploy: Some(Deploy {
                restart_policy: Some(crate::project::RestartPolicy::default()),
                ..Deploy::default()
            }),
            ports: vec![Port { target: Some(80), ..Port::default() }],
            cap_add: words("NET_ADMIN SYS_TIME"),
            cap_drop: words("CHOWN"),
            environment: [("A".to_owned(), Some("1".to_owned()))].into(),
            depends_on: [("db".to_owned(), Dependency::default())].into(),
            ..Service::default()
        };
        let mut project = Project { name: "p".to_owned(), ..Project::default() };
        project.services.insert("web".to_owned(), web);
        project
    }

    fn made(target: &OneOffTarget, changes: &OneOffChanges) -> Service {
        let mut project = project();
        project.become_one_off(target, changes);
        project.services["web"].clone()
    }

    fn target() -> OneOffTarget {
        let container = OneOff { slug: "0123456789abcdef".repeat(4), ..OneOff::default() };
        OneOffTarget { service: "web".to_owned(), container, no_deps: false }
    }

    #[test]
    fn it_is_named_by_its_slug_publishes_nothing_and_is_never_restarted() {
        let web = made(&target(), &OneOffChanges::default());
        assert_eq!(web.container_name.as_deref(), Some("p-web-run-0123456789ab"));
        assert_eq!((web.restart, web.ports.len(), web.scale), (None, 0, Some(1)));
        assert!(web.deploy.unwrap().restart_policy.is_none());
        assert_eq!(web.command.unwrap(), ["serve", "--port", "80"]);
        assert_eq!(web.depends_on.len(), 1);
    }

    #[test]
    fn what_run_says_wins_over_the_file() {
        let text = |text: &str| text.to_owned();
        let changes = OneOffChanges {
            entrypoint: Some(vec![text("sh")]),
            environment: [(text("A"), text("2")), (text("B"), text("3"))].into(),
            cap_add: vec![text("CHOWN")],
            cap_drop: vec![text("SYS_TIME")],
            ports: OneOffPorts::Service,
            user: Some(text("agent")),
            name: Some(text("mine")),
            ..OneOffChanges::default()
        };
        let web = made(&OneOffTarget { no_deps: true, ..target() }, &changes);
        assert_eq!((web.command, web.entrypoint), (Some(vec![]), Some(vec![text("sh")])));
        assert_eq!(
            (web.cap_add, web.cap_drop),
            (vec![text("NET_ADMIN"), text("CHOWN")], vec![text("SYS_TIME")])
        );
        assert_eq!(web.environment.values().flatten().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!((web.ports.len(), web.user.as_deref(), web.depends_on.len()), (1, Some("agent"), 0));
        assert_eq!(web.container_name.as_deref(), Some("mine"));
        let with_words = OneOffChanges { command: vec![text("-c"), text("true")], ..changes };
        assert_eq!(made(&target(), &with_words).command.unwrap(), ["-c", "true"]);
    }
}

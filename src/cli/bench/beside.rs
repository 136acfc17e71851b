//! Whether a project can run a second time beside itself, as its files are, and leave alone what the first one has.

use crate::{
    diagnostic::Diagnostic,
    project::{Project, Service, ServiceMount, Volume},
};

/// Names that stay the same whatever the project is called. `project` is loaded under a name that nothing else has.
pub(super) fn fixed_names(project: &Project) -> Vec<Diagnostic> {
    let is_fixed = |name: &str| !name.contains(&project.name);
    let mut found = Vec::new();
    for service in project.services.values() {
        if let Some(name) = service.container_name.as_deref().filter(|name| is_fixed(name)) {
            let own = format!("services.{}", service.name);
            let message = format!("service `{}` has a container name of its own, `{name}`", service.name);
            found.push(fixed(project, &message, "container_name", own));
        }
    }
    let networks = project.networks.iter().map(|(key, n)| ("network", key, &n.name, n.external));
    let volumes = project.volumes.iter().map(|(key, v)| ("volume", key, &v.name, v.external));
    for (kind, key, name, external) in networks.chain(volumes) {
        if !external && is_fixed(name) {
            let message = format!("{kind} `{key}` has a name of its own, `{name}`");
            found.push(fixed(project, &message, "name", format!("{kind}s.{key}")));
        }
    }
    found
}

fn fixed(project: &Project, message: &str, attribute: &str, owner: String) -> Diagnostic {
    let message = format!("{message}: the project cannot be started a second time beside itself");
    let help = format!("leave out `{attribute}`, or write ${{COMPOSE_PROJECT_NAME}} into it");
    let places = [format!("{owner}.{attribute}"), owner];
    project.point(Diagnostic::error("fixed-name", message).help(help), &places, "")
}

/// What belongs to others, too, and would be written to, joined or listened on.
pub(super) fn shared(project: &Project) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for service in project.services.values() {
        let own = format!("services.{}", service.name);
        for (index, mount) in service.volumes.iter().enumerate() {
            if let Some(what) = writes_to(project, mount) {
                let message = format!("service `{}` may write to {what}", service.name);
                let places = [format!("{own}.volumes[{index}]"), format!("{own}.volumes"), own.clone()];
                found.push(project.point(Diagnostic::error("shared", message), &places, ""));
            }
        }
        if service.network_mode.as_deref() == Some("host") {
            let message = format!("service `{}` uses the network of the engine's machine", service.name);
            let places = [format!("{own}.network_mode"), own.clone()];
            found.push(project.point(Diagnostic::error("shared", message), &places, ""));
        }
    }
    for (key, network) in &project.networks {
        let is_joined = |service: &Service| service.networks.contains_key(key);
        if network.external && project.services.values().any(is_joined) {
            let message =
                format!("network `{key}` is external: on it two containers would have the same names");
            let places = [format!("networks.{key}.external"), format!("networks.{key}")];
            found.push(project.point(Diagnostic::error("shared", message), &places, ""));
        }
    }
    found
}

fn writes_to(project: &Project, mount: &ServiceMount) -> Option<String> {
    let source = mount.source.as_deref().filter(|_| !mount.read_only)?;
    match mount.r#type.as_str() {
        "bind" => Some(format!("{source} on the engine's machine")),
        "volume" => {
            let volume = project.volumes.get(source)?;
            if volume.external {
                return Some(format!("the external volume `{source}`"));
            }
            bound(volume).map(|device| format!("{device}, by volume `{source}`"))
        }
        _ => None,
    }
}

/// What a volume stands for that is there without it: a folder, a share.
fn bound(volume: &Volume) -> Option<&str> {
    volume.driver_opts.get("device").map(String::as_str).filter(|device| *device != "tmpfs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Invocation, diagnostic::render_all};

    fn project(yaml: &str) -> Project {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("compose.yaml"), yaml).unwrap();
        let mut invocation = Invocation { cwd: folder.path().to_owned(), ..Invocation::default() };
        invocation.project.project_name = Some("shop-bench-1a2b3c".to_owned());
        invocation.load(&invocation.load_options(&[])).unwrap()
    }

    fn said(found: &[Diagnostic]) -> Vec<String> {
        found.iter().map(|found| found.message.clone()).collect()
    }

    #[test]
    fn names_that_do_not_follow_the_project_are_in_the_way() {
        let project = project(
            "services:
  web: {image: x, container_name: shop-web, networks: [front, own, theirs], volumes: ['data:/d']}
  api: {image: x, container_name: '${COMPOSE_PROJECT_NAME}-api'}
networks:
  front: {name: shop-front}
  own: {}
  theirs: {name: theirs, external: true}
volumes:
  data: {name: '${COMPOSE_PROJECT_NAME}-data'}
",
        );
        let text = render_all(&fixed_names(&project), &project.sources, false);
        let text = text.replace(&project.working_dir.display().to_string(), ".");
        insta::assert_snapshot!(text, @r"
        error[fixed-name]: service `web` has a container name of its own, `shop-web`: the project cannot be started a second time beside itself
         --> compose.yaml:2:19
          |
        2 |   web: {image: x, container_name: shop-web, networks: [front, own, theirs], volumes: ['data:/d']}
          |                   ^^^^^^^^^^^^^^
          |
          = help: leave out `container_name`, or write ${COMPOSE_PROJECT_NAME} into it

        error[fixed-name]: network `front` has a name of its own, `shop-front`: the project cannot be started a second time beside itself
         --> compose.yaml:5:11
          |
        5 |   front: {name: shop-front}
          |           ^^^^
          |
          = help: leave out `name`, or write ${COMPOSE_PROJECT_NAME} into it
        ");
    }

    #[test]
    fn what_is_written_to_or_joined_is_shared() {
        let project = project(
            "services:
  web:
    image: x
    volumes: ['/data:/d', '/conf:/c:ro', 'mine:/m', 'theirs:/t', 'theirs:/r:ro', 'bound:/b', 'ram:/x', '/anonymous']
    networks: [theirs, mine]
  api: {image: x, network_mode: host}
networks: {theirs: {external: true}, mine: {}, unused: {external: true}}
volumes:
  mine: {}
  theirs: {external: true}
  bound: {driver_opts: {type: none, o: bind, device: /srv/data}}
  ram: {driver_opts: {type: tmpfs, device: tmpfs}}
",
        );
        insta::assert_snapshot!(said(&shared(&project)).join("\n"), @r"
        service `api` uses the network of the engine's machine
        service `web` may write to /data on the engine's machine
        service `web` may write to the external volume `theirs`
        service `web` may write to /srv/data, by volume `bound`
        network `theirs` is external: on it two containers would have the same names
        ");
        assert!(fixed_names(&project).is_empty());
    }
}

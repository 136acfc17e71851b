//! Which services take part: by profile, by name, and what is then left without use.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use crate::{
    diagnostic::{Diagnostic, did_you_mean},
    project::{Project, Service},
};

/// Sets services aside that no active profile asks for. A service without profiles is always in; `*` asks for all.
pub(super) fn apply(project: &mut Project, active: &[String]) {
    let mut all = std::mem::take(&mut project.services);
    all.extend(std::mem::take(&mut project.disabled_services));
    all.sort_unstable_keys();
    for (name, service) in all {
        let asked = |profile: &String| profile == "*" || service.profiles.contains(profile);
        let into = if service.profiles.is_empty() || active.iter().any(asked) {
            &mut project.services
        } else {
            &mut project.disabled_services
        };
        into.insert(name, service);
    }
}

/// Keeps the named services and what they depend on; their own profiles become active, also for other services.
pub(super) fn select(project: &mut Project, names: &[String], active: &[String]) -> Result<(), Diagnostic> {
    if names.is_empty() {
        return Ok(());
    }
    let mut active = active.to_vec();
    for name in names.iter().filter(|name| !project.services.contains_key(*name)) {
        match project.disabled_services.get(name) {
            Some(service) => active.extend(service.profiles.iter().cloned()),
            None => return Err(unknown(project, name)),
        }
    }
    apply(project, &active);
    let mut wanted = BTreeSet::new();
    let mut open: Vec<String> = names.to_vec();
    while let Some(name) = open.pop() {
        let Some(service) = project.services.get(&name) else { continue };
        if !wanted.insert(name.clone()) {
            continue;
        }
        for (dependency, how) in &service.depends_on {
            if how.required && !project.services.contains_key(dependency) {
                let message = format!("`{name}` depends on `{dependency}`, which no active profile brings");
                let mut problem = Diagnostic::error("inactive-dependency", message);
                if let Some(place) = project.places.get(&format!("services.{name}.depends_on.{dependency}")) {
                    problem = problem.at(*place, "");
                }
                return Err(problem.help("activate its profile with `--profile`, or say `required: false`"));
            }
            open.push(dependency.clone());
        }
    }
    let (mut kept, mut rest) = (IndexMap::new(), IndexMap::new());
    for (name, mut service) in std::mem::take(&mut project.services) {
        if wanted.contains(&name) {
            service.depends_on.retain(|dependency, _| wanted.contains(dependency));
            kept.insert(name, service);
        } else {
            rest.insert(name, service);
        }
    }
    project.services = kept;
    project.disabled_services.extend(rest);
    Ok(())
}

fn unknown(project: &Project, name: &str) -> Diagnostic {
    let problem = Diagnostic::error("unknown-service", format!("there is no service `{name}`"));
    let known = project.services.keys().chain(project.disabled_services.keys()).map(String::as_str);
    match did_you_mean(name, known) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help("`docker orch config --services` lists them"),
    }
}

/// Drops networks, volumes, secrets, configs and models that no active service uses.
pub(super) fn prune(project: &mut Project) {
    let used = |names: &dyn Fn(&Service) -> Vec<String>| -> BTreeSet<String> {
        project.services.values().flat_map(names).collect()
    };
    let networks = used(&|service| service.networks.keys().cloned().collect());
    let volumes = used(&|service| {
        service
            .volumes
            .iter()
            .filter(|mount| mount.r#type == "volume")
            .filter_map(|mount| mount.source.clone())
            .collect()
    });
    let secrets = used(&|service| {
        let of_build = service.build.iter().flat_map(|build| &build.secrets);
        service.secrets.iter().chain(of_build).filter_map(|secret| secret.source.clone()).collect()
    });
    let configs =
        used(&|service| service.configs.iter().filter_map(|config| config.source.clone()).collect());
    let models = used(&|service| service.models.keys().cloned().collect());
    project.networks.retain(|name, _| networks.contains(name));
    project.volumes.retain(|name, _| volumes.contains(name));
    project.secrets.retain(|name, _| secrets.contains(name));
    project.configs.retain(|name, _| configs.contains(name));
    project.models.retain(|name, _| models.contains(name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Dependency;

    fn project() -> Project {
        let service = |profiles: &[&str], needs: &[&str]| Service {
            profiles: profiles.iter().map(|profile| (*profile).to_owned()).collect(),
            depends_on: needs
                .iter()
                .map(|name| ((*name).to_owned(), Dependency { required: true, ..Dependency::default() }))
                .collect(),
            ..Service::default()
        };
        let services = vec![
            ("web", service(&[], &["db"])),
            ("db", service(&[], &[])),
            ("debug", service(&["dev"], &["db"])),
            ("shell", service(&["dev", "ops"], &[])),
            ("orphan", service(&[], &["shell"])),
        ];
        Project {
            services: services.into_iter().map(|(name, service)| (name.to_owned(), service)).collect(),
            ..Project::default()
        }
    }

    fn active(project: &Project) -> String {
        project.services.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn profiles_bring_services_in() {
        let mut project = project();
        apply(&mut project, &[]);
        assert_eq!(active(&project), "db orphan web");
        apply(&mut project, &names(&["ops"]));
        assert_eq!(active(&project), "db orphan shell web");
        apply(&mut project, &names(&["*"]));
        assert_eq!(active(&project), "db debug orphan shell web");
    }

    #[test]
    fn a_named_service_brings_its_profiles_and_dependencies() {
        let mut project = project();
        apply(&mut project, &[]);
        select(&mut project, &names(&["debug"]), &[]).unwrap();
        assert_eq!(active(&project), "db debug");
        assert_eq!(project.disabled_services.len(), 3);
    }

    #[test]
    fn names_and_dependencies_must_be_there() {
        let mut project = project();
        apply(&mut project, &[]);
        let unknown = select(&mut project, &names(&["wbe"]), &[]).unwrap_err();
        assert_eq!(unknown.help.as_deref(), Some("did you mean `web`?"));
        let inactive = select(&mut project, &names(&["orphan"]), &[]).unwrap_err();
        assert_eq!(inactive.code, "inactive-dependency");
    }
}

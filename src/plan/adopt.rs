//! What runs already, as a plan that changes nothing: to keep watch over it.

use super::{
    Container, ContainerRef, ContainerState, Found, Observed, Place, Plan, UnitReplica, graph, place,
    unit::{self, Lineup},
    up::{by_service, cycle_diagnostic, found},
};
use crate::{diagnostic::Diagnostic, project::Project};

/// Plans to look after the containers that are there, whatever the files say by now. Nothing is started: what does not run is
/// left as it is. What is ready, and what is not, shows without a limit of time: they have been at it for longer.
///
/// # Errors
///
/// A dependency cycle: without an order of the services there is no plan.
pub fn adopt(project: &Project, observed: &Observed) -> Result<Plan, Vec<Diagnostic>> {
    let order = graph::dependency_order(project).map_err(|cycle| vec![cycle_diagnostic(&cycle)])?;
    let containers = by_service(&observed.containers);
    let current = |name: &String| -> Vec<&Container> {
        let all = containers.get(name.as_str()).into_iter().flatten().copied();
        let mut own: Vec<&Container> = all.filter(|c| !c.is_oneoff() && place(c) == Place::Current).collect();
        own.sort_by_key(|c| c.number());
        own
    };
    let order: Vec<String> = order.into_iter().filter(|name| !current(name).is_empty()).collect();
    let lineup = Lineup::new(project, &order);
    let unit = |name: &String| {
        let service = &project.services[name.as_str()];
        let replica = |container: &&Container| UnitReplica {
            number: container.number(),
            start: None,
            existing: Some(ContainerRef::from(*container)),
            found: match container.state {
                // Who froze it decides when it goes on.
                ContainerState::Paused => Found::ToStart,
                ContainerState::Exited if container.exit_code == Some(0) => Found::Completed,
                _ => found(&lineup, service, container),
            },
        };
        lineup.unit(service, current(name).iter().map(replica).collect())
    };
    let mut waves = lineup.waves();
    for wave in &mut waves {
        wave.timeout = None;
    }
    let mut limits = unit::limits(project, 1);
    limits.timeout = None;
    Ok(Plan {
        project: project.name.clone(),
        steps: Vec::new(),
        units: order.iter().map(unit).collect(),
        waves,
        limits,
        window: None,
        warnings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Dependency, Service};

    fn container(service: &str, number: u32, state: ContainerState) -> Container {
        let label = |key: &str, value: String| (format!("com.docker.compose.{key}"), value);
        let labels =
            [label("service", service.to_owned()), label("container-number", number.to_string())].into();
        let name = format!("p-{service}-{number}");
        Container { id: name.clone(), name, state, labels, ..Container::default() }
    }

    #[test]
    fn what_runs_is_looked_after_and_nothing_is_done() {
        use ContainerState::{Exited, Paused, Running};
        use Found::{Completed, Running as Runs, ToStart};
        let mut project = Project { name: "p".to_owned(), ..Project::default() };
        for name in ["web", "db", "gone"] {
            let service = Service { name: name.to_owned(), ..Service::default() };
            project.services.insert(name.to_owned(), service);
        }
        project.services["web"].depends_on.insert("db".to_owned(), Dependency::default());
        let done = Container { exit_code: Some(0), ..container("web", 3, Exited) };
        let failed = Container { exit_code: Some(1), ..container("web", 4, Exited) };
        let containers = vec![
            container("web", 2, Paused),
            container("web", 1, Running),
            done,
            failed,
            container("db", 1, Running),
        ];
        let plan = adopt(&project, &Observed { containers, ..Observed::default() }).unwrap();
        assert_eq!((plan.steps.len(), plan.limits.timeout), (0, None));
        let found: Vec<(&str, Vec<(u32, Found)>)> = plan
            .units
            .iter()
            .map(|u| (u.service.as_str(), u.replicas.iter().map(|r| (r.number, r.found)).collect()))
            .collect();
        assert_eq!(
            found,
            [("db", vec![(1, Runs)]), ("web", vec![(1, Runs), (2, ToStart), (3, Completed), (4, ToStart)])]
        );
    }
}

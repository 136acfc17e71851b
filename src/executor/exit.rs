//! The end of a process that a step stops, told before the engine has cleaned up after it.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::oneshot;

use crate::{
    machine::Machine,
    plan::{Plan, StepId},
};

/// Stops for whose end other stops wait.
pub(super) fn awaited(plan: &Plan) -> BTreeSet<StepId> {
    let stops = plan.steps.iter().filter(|step| step.action.stops());
    let before = stops.flat_map(|step| &step.after).copied();
    before.filter(|id| plan.steps[id.index()].action.stops()).collect()
}

/// Waits until the process that `told` names has ended. `false`: nobody can tell.
pub(super) async fn ended(
    machine: Arc<dyn Machine>,
    container: String,
    told: oneshot::Receiver<u32>,
) -> bool {
    match told.await {
        Ok(pid) => machine.ended(pid, &container).await,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{Container, ContainerState, EndOptions, Observed, down},
        project::{Dependency, Project, Service},
    };

    #[test]
    fn only_the_ends_that_other_stops_wait_for_are_looked_for() {
        let mut project = Project { name: "p".to_owned(), ..Project::default() };
        for (name, on) in [("db", None), ("web", Some("db")), ("alone", None)] {
            let depends_on = on.map(|on| (on.to_owned(), Dependency::default())).into_iter().collect();
            let service = Service { name: name.to_owned(), depends_on, ..Service::default() };
            project.services.insert(name.to_owned(), service);
        }
        let container = |service: &str| Container {
            id: service.to_owned(),
            name: format!("p-{service}-1"),
            state: ContainerState::Running,
            labels: [("com.docker.compose.service".to_owned(), service.to_owned())].into(),
            ..Container::default()
        };
        let containers = ["alone", "db", "web"].map(container).into();
        let observed = Observed { containers, ..Observed::default() };
        let plan = down(&project, &observed, &EndOptions::default());
        let found = awaited(&plan);
        let targets: Vec<String> = found
            .iter()
            .map(|id| crate::event::StepAction::from(&plan.steps[id.index()].action).target)
            .collect();
        assert_eq!(targets, ["p-web-1"]);
    }
}

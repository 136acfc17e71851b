//! What tools have to say before anything can be planned: providers of services, and Docker's model plugin.
//!
//! What they say becomes part of the environment of services, and with it of their config hashes. So they are asked
//! by a plan of their own, and the plan of the containers is made with their answers.

use std::collections::BTreeMap;

use super::{
    Action, Cause, Limits, Phase, Plan, ProviderVerb, Step, StepId, Unit, UnitReplica, graph,
    up::cycle_diagnostic,
};
use crate::{
    diagnostic::Diagnostic,
    plan::unit,
    project::{Mapping, Project, Service},
};

/// Plans what tools are asked before an `up`; `None` where nothing of the project comes from one.
///
/// # Errors
///
/// A dependency cycle, or a provider that can be none.
pub fn supply(project: &Project, cores: usize) -> Result<Option<Plan>, Vec<Diagnostic>> {
    let order = graph::dependency_order(project).map_err(|cycle| vec![cycle_diagnostic(&cycle)])?;
    let mut faults = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut ask = |action: Action, after: Vec<StepId>| {
        let id = StepId(count(&steps));
        steps.push(Step {
            action,
            after,
            gate: None,
            awaits: None,
            unit: None,
            cause: Cause::FromTool,
            phase: Phase::Run,
        });
        id
    };
    for key in project.models.keys() {
        ask(Action::SetUpModel { key: key.clone() }, Vec::new());
    }
    // The calls that each service waits for, its own or those of what it depends on.
    let mut calls: BTreeMap<&str, Vec<StepId>> = BTreeMap::new();
    for name in &order {
        let service = &project.services[name.as_str()];
        let mut after: Vec<StepId> = graph::dependencies(service)
            .filter_map(|on| calls.get(on))
            .flat_map(|of| of.iter().copied())
            .collect();
        after.sort_unstable();
        after.dedup();
        if let Some(provider) = &service.provider {
            faults.extend(fault(name, &provider.r#type));
            let provider = provider.r#type.clone();
            let action = Action::CallProvider { service: name.clone(), provider, verb: ProviderVerb::Up };
            after = vec![ask(action, after)];
        }
        calls.insert(name, after);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if steps.is_empty() {
        return Ok(None);
    }
    Ok(Some(Plan {
        project: project.name.clone(),
        steps,
        units: Vec::new(),
        waves: Vec::new(),
        limits: unit::limits(project, cores),
        window: None,
        warnings: Vec::new(),
    }))
}

fn count(steps: &[Step]) -> u32 {
    u32::try_from(steps.len()).expect("fewer than 2^32 steps")
}

/// Why no tool of this name can provide a service.
fn fault(service: &str, provider: &str) -> Option<Diagnostic> {
    let why = match provider {
        "compose" => "Compose itself provides nothing",
        _ if provider.contains(['/', '\\']) => "it is looked for by its name, not by a path",
        _ => return None,
    };
    let message = format!("`{provider}` is no provider for service `{service}`: {why}");
    let help = "`provider.type: NAME` stands for the Docker CLI plugin `docker-NAME`, or a program `NAME`";
    Some(Diagnostic::error("invalid-provider", message).help(help))
}

/// Whether tools add to a service's environment.
pub fn is_supplied(project: &Project, service: &Service) -> bool {
    let provided = |on: &String| project.services.get(on).is_some_and(|s| s.provider.is_some());
    !service.models.is_empty() || service.depends_on.keys().any(provided)
}

/// What is not known of a plan that was made before tools were asked: one sentence for each service that would get
/// variables from them and has containers that stay.
pub fn unsupplied(project: &Project, plan: &Plan) -> Vec<String> {
    let stays = |unit: &&Unit| {
        let service = project.services.get(&unit.service);
        service.is_some_and(|s| is_supplied(project, s)) && unit.replicas.iter().any(|r| r.existing.is_some())
    };
    let sentence = |unit: &Unit| {
        let service = &unit.service;
        format!("whether `{service}` is recreated shows when what it depends on has said its variables")
    };
    plan.units.iter().filter(stays).map(sentence).collect()
}

/// The project with what tools have said: for each step of [`supply()`]'s plan, its variables.
///
/// A provider's variables go to the services that depend on it, behind its service's name in capitals. A model's go
/// to the services that use it, under the names that these chose. Both stand above what the file says.
pub fn supplied(project: &Project, said: &[(Action, Mapping)]) -> Project {
    let mut project = project.clone();
    for (action, variables) in said {
        for service in project.services.values_mut() {
            let named = match action {
                Action::CallProvider { service: provided, .. }
                    if service.depends_on.contains_key(provided) =>
                {
                    let prefix = provided.to_uppercase();
                    variables.iter().map(|(key, value)| (format!("{prefix}_{key}"), value)).collect()
                }
                Action::SetUpModel { key } => model_variables(service, key, variables),
                _ => Vec::new(),
            };
            for (name, value) in named {
                service.environment.insert(name, Some(value.clone()));
            }
            // As everywhere: the config hash is made of sorted names.
            service.environment.sort_unstable_keys();
        }
    }
    project
}

/// What a service calls a model's variables; empty where it does not use the model.
fn model_variables<'a>(service: &Service, model: &str, said: &'a Mapping) -> Vec<(String, &'a String)> {
    let Some(reference) = service.models.get(model) else { return Vec::new() };
    let prefix = model.to_uppercase().replace('-', "_");
    let chosen = |suffix: &str| {
        let reference = reference.as_ref()?;
        let name = if suffix == MODEL { &reference.model_var } else { &reference.endpoint_var };
        name.clone().filter(|name| !name.is_empty())
    };
    let name = |suffix: &String| chosen(suffix).unwrap_or_else(|| format!("{prefix}_{suffix}"));
    said.iter().map(|(suffix, value)| (name(suffix), value)).collect()
}

/// The variable of a model's name.
pub const MODEL: &str = "MODEL";
/// The variable of the address where a model answers.
pub const MODEL_URL: &str = "URL";

impl Plan {
    /// This plan behind another one, as one to look at.
    #[must_use]
    pub fn preceded_by(mut self, mut first: Self) -> Self {
        let shift = count(&first.steps);
        let shifted = |id: StepId| StepId(id.0 + shift);
        for step in &mut self.steps {
            step.after.iter_mut().for_each(|id| *id = shifted(*id));
        }
        let replicas = self.units.iter_mut().flat_map(|unit| &mut unit.replicas);
        replicas.for_each(|replica: &mut UnitReplica| replica.start = replica.start.map(shifted));
        first.steps.append(&mut self.steps);
        first.warnings.append(&mut self.warnings);
        Self { steps: first.steps, warnings: first.warnings, limits: Limits { ..self.limits }, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{Dependency, Model, ModelReference, Provider};

    /// Services, each with its provider's type, or none, and what it depends on.
    fn project(services: &[(&str, &str, &[&str])]) -> Project {
        let service = |(name, provider, depends_on): &(&str, &str, &[&str])| {
            let provider = Provider { r#type: (*provider).to_owned(), ..Provider::default() };
            let service = Service {
                name: (*name).to_owned(),
                provider: Some(provider).filter(|p| !p.r#type.is_empty()),
                depends_on: depends_on.iter().map(|on| ((*on).to_owned(), Dependency::default())).collect(),
                ..Service::default()
            };
            ((*name).to_owned(), service)
        };
        let services = services.iter().map(service).collect();
        Project { name: "p".to_owned(), services, ..Project::default() }
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
    }

    #[test]
    fn providers_are_called_in_the_order_of_dependencies_through_containers_too() {
        let project = project(&[
            ("account", "cloud", &[]),
            ("web", "", &["db"]),
            ("db", "cloud", &["migrate"]),
            ("migrate", "", &["account"]),
            ("mail", "other", &[]),
        ]);
        let plan = supply(&project, 2).unwrap().unwrap();
        let calls: Vec<(String, Vec<u32>)> = plan
            .steps
            .iter()
            .map(|step| match &step.action {
                Action::CallProvider { service, .. } => {
                    (service.clone(), step.after.iter().map(|s| s.0).collect())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [("account", vec![]), ("db", vec![0]), ("mail", vec![])];
        assert_eq!(calls, expected.map(|(name, after)| (name.to_owned(), after)));
    }

    #[test]
    fn a_project_without_tools_asks_none() {
        assert_eq!(supply(&project(&[("web", "", &[])]), 2), Ok(None));
    }

    #[test]
    fn neither_compose_nor_a_path_is_a_provider() {
        for (provider, why) in [("compose", "provides nothing"), ("./tool", "not by a path")] {
            let faults = supply(&project(&[("db", provider, &[])]), 2).unwrap_err();
            assert!(faults[0].message.contains(why), "{faults:?}");
        }
    }

    #[test]
    fn what_a_provider_says_goes_to_those_that_depend_on_it_above_what_the_file_says() {
        let mut project = project(&[("my-db", "cloud", &[]), ("api", "", &["my-db"]), ("web", "", &["api"])]);
        project.services["api"].environment = pairs(&[("MY-DB_URL", "old"), ("Z", "")]).into_iter().collect();
        let action = supply(&project, 2).unwrap().unwrap().steps[0].action.clone();
        let said = Mapping::from([("URL".to_owned(), "new".to_owned()), ("A".to_owned(), "=".to_owned())]);
        let supplied = supplied(&project, &[(action, said)]);
        let api: Vec<_> = supplied.services["api"].environment.clone().into_iter().collect();
        assert_eq!(api, pairs(&[("MY-DB_A", "="), ("MY-DB_URL", "new"), ("Z", "")]));
        assert!(supplied.services["web"].environment.is_empty());
    }

    #[test]
    fn a_models_variables_have_the_names_that_each_service_chose() {
        let mut project = project(&[("a", "", &[]), ("b", "", &[]), ("c", "", &[])]);
        project.models.insert("my-llm".to_owned(), Model::default());
        project.services["a"].models.insert("my-llm".to_owned(), None);
        let chosen = ModelReference { model_var: Some("NAME".to_owned()), ..ModelReference::default() };
        project.services["b"].models.insert("my-llm".to_owned(), Some(chosen));
        let said =
            Mapping::from([(MODEL.to_owned(), "m".to_owned()), (MODEL_URL.to_owned(), "u".to_owned())]);
        let supplied = supplied(&project, &[(Action::SetUpModel { key: "my-llm".to_owned() }, said)]);
        let names = |service: &str| -> Vec<String> {
            supplied.services[service].environment.keys().cloned().collect()
        };
        assert_eq!(names("a"), ["MY_LLM_MODEL", "MY_LLM_URL"]);
        assert_eq!(names("b"), ["MY_LLM_URL", "NAME"]);
        assert!(names("c").is_empty());
    }
}

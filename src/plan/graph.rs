//! The order that `depends_on` gives.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::project::{Project, Service};

/// A cycle in `depends_on`, as the services along it; the first is also the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

/// All services, dependencies first; services that do not depend on each other stand in the project's order.
///
/// # Errors
///
/// A [`Cycle`].
pub fn dependency_order(project: &Project) -> Result<Vec<String>, Cycle> {
    let edges = project
        .services
        .iter()
        .map(|(name, service)| (name.clone(), dependencies(service).map(str::to_owned).collect()))
        .collect();
    order(&edges)
}

/// Names of the services that a service depends on, by Compose's key or ours.
pub(crate) fn dependencies(service: &Service) -> impl Iterator<Item = &str> {
    let own = service.orch.depends_on.values().filter_map(|d| match &d.on {
        crate::project::OrchDependencyOn::Service { name, .. } => Some(name.as_str()),
        crate::project::OrchDependencyOn::Check(_) => None,
    });
    service.depends_on.keys().map(String::as_str).chain(own)
}

/// Names of the services that depend on each service, in the project's order.
pub(super) fn dependents(project: &Project) -> HashMap<&str, Vec<&str>> {
    let mut dependents: HashMap<&str, Vec<&str>> = HashMap::new();
    for (name, service) in &project.services {
        for on in dependencies(service) {
            let of_it = dependents.entry(on).or_default();
            if of_it.last() != Some(&name.as_str()) {
                of_it.push(name);
            }
        }
    }
    dependents
}

/// Keys of `edges`, each behind what it points to. Edges to unknown keys are ignored.
///
/// # Errors
///
/// A [`Cycle`].
pub fn order(edges: &IndexMap<String, Vec<String>>) -> Result<Vec<String>, Cycle> {
    let mut walk = Walk { edges, done: Vec::new(), path: Vec::new(), finished: vec![false; edges.len()] };
    for index in 0..edges.len() {
        walk.visit(index)?;
    }
    Ok(walk.done)
}

/// A depth-first walk with its own stack, so that a long chain cannot overflow the program's.
struct Walk<'a> {
    edges: &'a IndexMap<String, Vec<String>>,
    done: Vec<String>,
    path: Vec<(usize, usize)>,
    finished: Vec<bool>,
}

impl Walk<'_> {
    fn visit(&mut self, root: usize) -> Result<(), Cycle> {
        if self.finished[root] {
            return Ok(());
        }
        let mut on_path = std::collections::HashSet::from([root]);
        self.path.push((root, 0));
        while let Some((node, next)) = self.path.last_mut() {
            let node = *node;
            let target = self.edges[node].get(*next);
            *next += 1;
            let Some(target) = target else {
                self.finished[node] = true;
                on_path.remove(&node);
                self.path.pop();
                self.done.push(self.name(node));
                continue;
            };
            let Some(target) = self.edges.get_index_of(target) else { continue };
            if on_path.contains(&target) {
                return Err(self.cycle(target));
            }
            if !self.finished[target] {
                on_path.insert(target);
                self.path.push((target, 0));
            }
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.edges.get_index(index).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn cycle(&self, target: usize) -> Cycle {
        let along = self.path.iter().map(|(node, _)| *node).skip_while(|node| *node != target);
        Cycle(along.chain([target]).map(|node| self.name(node)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(list: &[(&str, &[&str])]) -> IndexMap<String, Vec<String>> {
        list.iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(|t| (*t).to_owned()).collect()))
            .collect()
    }

    #[test]
    fn dependencies_come_first_and_ties_keep_the_given_order() {
        let given = edges(&[("web", &["api", "cache"]), ("api", &["db"]), ("cache", &[]), ("db", &["gone"])]);
        assert_eq!(order(&given).unwrap(), ["db", "api", "cache", "web"]);
    }

    #[test]
    fn a_cycle_is_shown_with_its_path() {
        let given = edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        assert_eq!(order(&given).unwrap_err(), Cycle(vec!["b".into(), "c".into(), "b".into()]));
    }

    #[test]
    fn a_chain_of_ten_thousand_does_not_overflow() {
        let given: IndexMap<String, Vec<String>> =
            (0..10_000).map(|n| (n.to_string(), vec![(n + 1).to_string()])).collect();
        assert_eq!(order(&given).unwrap().first().map(String::as_str), Some("9999"));
    }
}

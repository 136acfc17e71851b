//! The look around before the first change: what a plan needs to know is asked at once, and what this machine seems to
//! lack is looked at twice.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    diagnostic::Diagnostic,
    engine::Engine,
    machine::Machine,
    plan::{
        self, Container, EngineFacts, Home, MachineFacts, Observed, Plan, Questions, Surroundings, UpOptions,
    },
    project::Project,
};

/// What has just ended lets go of its port within this time.
const PAUSE: Duration = Duration::from_millis(200);

/// A plan before it is carried out.
#[derive(Clone, Copy)]
pub struct Intended<'a> {
    /// Whose.
    pub project: &'a Project,
    /// What there is.
    pub observed: &'a Observed,
    /// What was asked.
    pub options: &'a UpOptions,
    /// What would be done.
    pub plan: &'a Plan,
}

/// What stands in the way of a plan. Where no engine is given, only what can be known without. What cannot be found
/// out is no fault.
pub async fn preflight(
    engine: Option<&dyn Engine>,
    machine: Option<&dyn Machine>,
    intended: Intended<'_>,
) -> Vec<Diagnostic> {
    let Intended { project, observed, options, plan } = intended;
    let questions = plan::questions(project, observed, plan);
    if options.no_preflight || questions.is_empty() {
        return Vec::new();
    }
    let find = |around: &Surroundings| plan::preflight(project, observed, (plan, options), around);
    let look = |questions: &Questions| machine.map(|m| m.look(questions)).unwrap_or_default();
    let Some(engine) = engine else {
        return find(&Surroundings { machine: look(&questions), ..Surroundings::default() });
    };
    let info = engine.info();
    let (containers, facts) = futures::join!(containers(engine, &questions), about(engine, questions.engine));
    let platform = format!("{}/{}", info.os, info.arch);
    let platform = if info.arch.is_empty() { String::new() } else { platform };
    let home = if info.local { Home::Here } else { Home::Elsewhere };
    let mut around = Surroundings { containers, engine: facts, platform, machine: look(&questions), home };
    if home == Home::Here && find(&around) != find(&Surroundings { home: Home::Elsewhere, ..around.clone() })
    {
        // It is a fault only where the engine sees what is seen here.
        sleep(PAUSE).await;
        if around.engine.is_none() {
            around.engine = about(engine, true).await;
        }
        around.machine = look(&Questions { holders: true, ..questions.clone() });
    }
    let is_home = |facts: &EngineFacts| machine.is_some_and(|machine| machine.is_home_of(facts));
    if home == Home::Here && around.engine.as_ref().is_some_and(is_home) {
        let root = around.engine.as_ref().map(|facts| facts.data_root.clone()).filter(|_| questions.space);
        let space = root.zip(machine).and_then(|(root, machine)| machine.space(&root));
        around.machine = MachineFacts { space, ..around.machine };
    } else {
        around.home = Home::Elsewhere;
    }
    find(&around)
}

async fn containers(engine: &dyn Engine, questions: &Questions) -> Option<Vec<Container>> {
    if !questions.containers {
        return None;
    }
    let answer = engine.containers().await;
    answer.inspect_err(|error| tracing::debug!("who holds ports and names is not known: {error}")).ok()
}

async fn about(engine: &dyn Engine, is_asked: bool) -> Option<EngineFacts> {
    if !is_asked {
        return None;
    }
    let answer = engine.about().await;
    answer.inspect_err(|error| tracing::debug!("the engine says nothing of itself: {error}")).ok()
}

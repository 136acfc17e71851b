//! The ways in turn, each step checked, and the end of all that was made.

use std::{collections::BTreeSet, process::Output, sync::Arc};

use tokio::process::Command;

use super::{
    calls::Calls,
    child::{self, Child, Ended, Next},
    figures::{Lap, Measured, Sample, Step},
    show::seconds,
};
use crate::{
    cli::{CliError, args::Way, entry::note},
    engine::{Engine, EngineError, Scope},
    executor::{CancelRequest, Signals},
    plan::{Container, ContainerState, EngineHealth, Observed, is_anonymous_volume},
    project::{Project, Service},
};

/// How much of what a program said before it failed is shown.
const QUOTED_LINES: usize = 20;

/// One comparison while it goes on.
pub(super) struct Turns<'a> {
    project: &'a Project,
    engine: Arc<dyn Engine>,
    calls: Calls<'a>,
    signals: Signals,
    quiet: bool,
    /// Volumes of containers that are gone: nothing else tells whose they were.
    anonymous: BTreeSet<String>,
}

/// Why a lap came to no end.
enum Stop {
    /// The way does not work.
    Failed(String),
    /// Somebody wants it all to end.
    Interrupted,
    /// It could not be measured.
    Broken(CliError),
}

impl<'a> Turns<'a> {
    pub(super) fn new(
        project: &'a Project,
        engine: Arc<dyn Engine>,
        calls: Calls<'a>,
        signals: Signals,
        quiet: bool,
    ) -> Self {
        Self { project, engine, calls, signals, quiet, anonymous: BTreeSet::new() }
    }

    /// Measures each way so often, after one start that does not count. `None`: somebody wanted it to end.
    ///
    /// # Errors
    ///
    /// A program cannot be run, an image cannot be had, or the engine does not answer.
    pub(super) async fn measure(
        &mut self,
        ways: &[Way],
        runs: u32,
        observed: &Observed,
    ) -> Result<Option<Vec<Measured>>, CliError> {
        match self.rounds(ways, runs, observed).await {
            Ok(measured) => Ok(Some(measured)),
            Err(Stop::Interrupted) => Ok(None),
            Err(Stop::Failed(why)) => Err(CliError::failed(why)),
            Err(Stop::Broken(error)) => Err(error),
        }
    }

    async fn rounds(&mut self, ways: &[Way], runs: u32, observed: &Observed) -> Result<Vec<Measured>, Stop> {
        let words: Vec<&str> = ways.iter().map(|way| way.word()).collect();
        let runs_words = if runs == 1 { "1 run" } else { &format!("{runs} runs") };
        self.say(&format!("{}: {runs_words} of each of {}", self.project.name, words.join(", ")));
        self.images(observed).await?;
        let mut measured: Vec<Measured> = ways.iter().map(|way| Measured::new(*way)).collect();
        for round in 0..=runs {
            let title = match round {
                0 => "warm-up".to_owned(),
                _ => format!("run {round} of {runs}"),
            };
            for way in &mut measured {
                if way.failed.is_some() {
                    continue;
                }
                let lap = self.lap(way.way).await;
                self.tell(&title, way.way, &lap);
                match lap {
                    Ok(lap) if round > 0 => way.laps.push(lap),
                    // Caches and volumes are filled: once is enough.
                    Ok(_) => break,
                    Err(Stop::Failed(why)) => {
                        way.failed = Some(why);
                        self.end_of_failure().await?;
                    }
                    Err(stop) => return Err(stop),
                }
            }
        }
        Ok(measured)
    }

    /// Builds and pulls what is not there; a build may be what another service's image comes from.
    async fn images(&mut self, observed: &Observed) -> Result<(), Stop> {
        let missing = |service: &&Service| {
            service.provider.is_none() && !observed.images.contains_key(&self.project.image_name(service))
        };
        let (built, pulled): (Vec<&Service>, Vec<&Service>) =
            self.project.services.values().filter(missing).partition(|service| service.build.is_some());
        let built_images: BTreeSet<String> = built.iter().map(|s| self.project.image_name(s)).collect();
        let pulled = pulled.into_iter().filter(|s| !built_images.contains(&self.project.image_name(s)));
        let names = |services: Vec<&Service>| services.into_iter().map(|s| s.name.clone()).collect();
        let calls: [(&str, &str, Vec<String>); 2] =
            [("build", "building", names(built)), ("pull", "pulling", names(pulled.collect()))];
        for (word, doing, services) in calls {
            if services.is_empty() {
                continue;
            }
            self.say(&format!("{doing} for {}", services.join(", ")));
            let words: Vec<String> = std::iter::once(word.to_owned()).chain(services).collect();
            let command = self.calls.orch(&words);
            self.call(command).await?;
        }
        Ok(())
    }

    /// The steps of a way, one after the other.
    async fn lap(&mut self, way: Way) -> Result<Lap, Stop> {
        let up = self.call(self.calls.step(way, Step::Up)).await?;
        self.check().await?;
        let no_op = self.call(self.calls.step(way, Step::NoOp)).await?;
        self.check().await?;
        let down = self.call(self.calls.step(way, Step::Down)).await?;
        Ok([up, no_op, down])
    }

    /// Runs a program that has to succeed, and ends it when somebody wants all of this to end.
    async fn call(&mut self, command: Command) -> Result<Sample, Stop> {
        let program = name(&command);
        let mut child = Child::start(command).map_err(|e| cannot_run(&program, &e))?;
        let mut interrupted = false;
        let Ended { sample, output } = loop {
            match child.next(&mut self.signals).await.map_err(|e| cannot_run(&program, &e))? {
                Next::Ended(ended) => break ended,
                Next::Asked(CancelRequest::Graceful) => {
                    // When it has ended its containers may be gone, and nothing tells of their volumes.
                    if let Ok(observed) = self.observe().await {
                        self.remember(&observed);
                    }
                    child.interrupt();
                }
                Next::Asked(CancelRequest::Force) => child.kill(),
            }
            interrupted = true;
        };
        match output.status.success() {
            _ if interrupted => Err(Stop::Interrupted),
            true => Ok(sample),
            false => {
                self.quote(&output);
                Err(Stop::Failed(self.short(&child::why(&output))))
            }
        }
    }

    /// Looks whether everything runs, whatever the program said.
    async fn check(&mut self) -> Result<(), Stop> {
        let observed = self.observe().await.map_err(Stop::Broken)?;
        self.remember(&observed);
        match not_up(self.project, &observed.containers) {
            Some(why) => Err(Stop::Failed(why)),
            None => Ok(()),
        }
    }

    async fn observe(&self) -> Result<Observed, CliError> {
        let scope = Scope { project: self.project.name.clone(), ..Scope::default() };
        self.engine.observe(&scope).await.map_err(|error| of_engine(&error))
    }

    /// Notes the volumes that nothing will tell of when the containers are gone.
    fn remember(&mut self, observed: &Observed) {
        let is_ours = |name: &str| self.project.volumes.values().any(|volume| volume.name == name);
        let mounts = observed.containers.iter().flat_map(|container| &container.mounts);
        let volumes = mounts.filter(|mount| mount.r#type == "volume" && !is_ours(&mount.name));
        let names = volumes.map(|mount| &mount.name).filter(|name| is_anonymous_volume(name));
        self.anonymous.extend(names.cloned());
    }

    /// Takes down what a failed way has left, so that the next one starts from nothing.
    async fn end_of_failure(&mut self) -> Result<(), Stop> {
        let observed = self.observe().await.map_err(Stop::Broken)?;
        self.remember(&observed);
        let command = self.calls.step(Way::Orch, Step::Down);
        self.call(command).await.map(|_| ())
    }

    /// Removes everything that was made.
    ///
    /// # Errors
    ///
    /// Something is left; the error says what, and how it can be removed.
    pub(super) async fn clean_up(&mut self) -> Result<(), CliError> {
        let mut why = self.take_down().await;
        for volume in &self.anonymous {
            if let Err(error) = self.engine.remove_volume(volume).await {
                tracing::debug!("volume {volume}: {error}");
            }
        }
        // Nobody looks for records there.
        std::fs::remove_dir_all(&self.calls.state).ok();
        let left = match self.observe().await {
            Ok(observed) => left(&observed),
            Err(error) => {
                why.get_or_insert(error.message);
                Vec::new()
            }
        };
        if left.is_empty() && why.is_none() {
            self.say(&format!("{}: removed", self.project.name));
            return Ok(());
        }
        let mut error = CliError::failed(format!("failed to remove all of {}", self.project.name));
        error.causes.extend(why);
        error.causes.extend((!left.is_empty()).then(|| format!("these are left: {}", left.join(", "))));
        let again = self.calls.invocation.again();
        Err(error.hint(format!("`{again} down --volumes --rmi local` removes the rest")))
    }

    /// Takes the project down with all that it has. What keeps it from that, if anything; only a second wish to end does.
    async fn take_down(&mut self) -> Option<String> {
        let mut child = match Child::start(self.calls.clean_up()) {
            Ok(child) => child,
            Err(error) => return Some(error.to_string()),
        };
        loop {
            match child.next(&mut self.signals).await {
                Ok(Next::Ended(ended)) if ended.output.status.success() => return None,
                Ok(Next::Ended(ended)) => return Some(child::why(&ended.output)),
                Ok(Next::Asked(CancelRequest::Graceful)) => {}
                Ok(Next::Asked(CancelRequest::Force)) => child.kill(),
                Err(error) => return Some(error.to_string()),
            }
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            note(text);
        }
    }

    fn tell(&self, title: &str, way: Way, lap: &Result<Lap, Stop>) {
        let words = match lap {
            Ok(lap) => {
                let steps = Step::ALL.iter().zip(lap);
                let steps = steps.map(|(step, sample)| format!("{} {}", step.word(), seconds(sample.took)));
                steps.collect::<Vec<_>>().join(", ")
            }
            Err(Stop::Failed(why)) => format!("failed: {why}"),
            Err(Stop::Interrupted) => "interrupted".to_owned(),
            Err(Stop::Broken(_)) => return,
        };
        self.say(&format!("{title}  {}: {words}", way.word()));
    }

    /// Without the name that only this comparison gives to things.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}{}", self.project.name, self.project.separator()), "")
    }

    /// The last words of a program that failed, but for what will be gone in a moment.
    fn quote(&self, output: &Output) {
        let said = String::from_utf8_lossy(&output.stderr);
        let state = self.calls.state.to_string_lossy();
        let stays = |line: &&str| !line.contains(&*state) && !line.starts_with("  try: ");
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).filter(stays).collect();
        for line in &lines[lines.len().saturating_sub(QUOTED_LINES)..] {
            self.say(&format!("    {line}"));
        }
    }
}

fn name(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

fn cannot_run(program: &str, error: &std::io::Error) -> Stop {
    Stop::Broken(CliError::failed(format!("failed to run {program}")).caused_by(error))
}

/// The engine does not say what it has.
pub(super) fn of_engine(error: &EngineError) -> CliError {
    CliError::engine("failed to list what the engine has", error)
}

/// Why a project is not up: which of its services has fewer containers than it wants that run, or have done their work.
fn not_up(project: &Project, containers: &[Container]) -> Option<String> {
    project.services.values().filter(|service| service.provider.is_none()).find_map(|service| {
        let own = || containers.iter().filter(|c| c.service() == Some(&service.name) && !c.is_oneoff());
        let wanted = service.replicas() as usize;
        if own().filter(|container| is_up(container)).count() >= wanted {
            return None;
        }
        let down = own().find(|container| !is_up(container));
        Some(match down {
            Some(container) => format!("{}: {}", service.name, container.status.to_lowercase()),
            None => format!("{}: {} of {wanted} containers are there", service.name, own().count()),
        })
    })
}

fn is_up(container: &Container) -> bool {
    match container.state {
        ContainerState::Running => container.health != Some(EngineHealth::Unhealthy),
        ContainerState::Exited => container.exit_code == Some(0),
        ContainerState::Created
        | ContainerState::Paused
        | ContainerState::Restarting
        | ContainerState::Removing
        | ContainerState::Dead => false,
    }
}

/// Names of what the engine still has of a project.
fn left(observed: &Observed) -> Vec<String> {
    let containers = observed.containers.iter().map(|container| &container.name);
    containers.chain(observed.networks.keys()).chain(observed.volumes.keys()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(service: &str, state: ContainerState, exit_code: Option<i64>) -> Container {
        let label = ("com.docker.compose.service".to_owned(), service.to_owned());
        Container {
            state,
            exit_code,
            status: format!("{state:?}"),
            labels: [label].into(),
            ..Container::default()
        }
    }

    #[test]
    fn a_project_is_up_when_every_service_runs_or_is_done() {
        use ContainerState::{Exited, Restarting, Running};
        let mut project = Project::default();
        for (name, replicas) in [("job", 1), ("web", 2)] {
            let service = Service { name: name.to_owned(), scale: Some(replicas), ..Service::default() };
            project.services.insert(name.to_owned(), service);
        }
        let (job, web) = (container("job", Exited, Some(0)), container("web", Running, None));
        let all = [job.clone(), web.clone(), web.clone()];
        assert_eq!(not_up(&project, &all), None);
        for (containers, why) in [
            (vec![web.clone(), web.clone()], "job: 0 of 1 containers are there"),
            (vec![job.clone(), web.clone()], "web: 1 of 2 containers are there"),
            (vec![container("job", Exited, Some(3)), web.clone(), web.clone()], "job: exited"),
            (vec![job, web.clone(), container("web", Restarting, None)], "web: restarting"),
        ] {
            assert_eq!(not_up(&project, &containers).as_deref(), Some(why));
        }
        let sick = Container { health: Some(EngineHealth::Unhealthy), ..web };
        assert_eq!(
            not_up(&project, &[all[0].clone(), all[1].clone(), sick]).as_deref(),
            Some("web: running")
        );
    }
}

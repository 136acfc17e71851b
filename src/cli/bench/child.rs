//! One run of a program, from its start to its end, and what it cost.

use std::{
    io,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::Command;

use super::figures::Sample;
use crate::executor::{CancelRequest, Signals};

/// A program that runs.
pub(super) struct Child {
    pid: Option<Pid>,
    ending: BoxFuture<'static, io::Result<Output>>,
    cpu: Option<Duration>,
    began: Instant,
}

/// What comes next while a program runs.
pub(super) enum Next {
    /// It has ended.
    Ended(Ended),
    /// Somebody wants all of this to end.
    Asked(CancelRequest),
}

/// How it ended.
pub(super) struct Ended {
    pub(super) sample: Sample,
    pub(super) output: Output,
}

impl Child {
    /// Starts a program; what it prints is kept.
    ///
    /// # Errors
    ///
    /// It cannot be run.
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        // A group of its own: what a terminal sends at Ctrl+C reaches this program alone, which decides what follows.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (cpu, began) = (children_cpu(), Instant::now());
        let child = command.spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { pid, ending: child.wait_with_output().boxed(), cpu, began })
    }

    /// Waits for its end, or for somebody who does not want to wait for it.
    ///
    /// # Errors
    ///
    /// It cannot be waited for.
    pub(super) async fn next(&mut self, signals: &mut Signals) -> io::Result<Next> {
        let output = tokio::select! {
            biased;
            output = &mut self.ending => output?,
            request = signals.next() => return Ok(Next::Asked(request)),
        };
        let took = self.began.elapsed();
        let cpu = self.cpu.zip(children_cpu()).map(|(before, after)| after.saturating_sub(before));
        Ok(Next::Ended(Ended { sample: Sample { took, cpu }, output }))
    }

    /// Wants it to end. One that has ended in this moment needs no signal.
    pub(super) fn interrupt(&self) {
        self.pid.map(|pid| kill_process(pid, Signal::INT).ok());
    }

    /// Ends it, and what it has started, at once.
    pub(super) fn kill(&self) {
        self.pid.map(|pid| kill_process_group(pid, Signal::KILL).ok());
    }
}

/// Time of processors that ended children have used; `None` where the system does not tell.
fn children_cpu() -> Option<Duration> {
    let ticks = of_children(&std::fs::read_to_string("/proc/self/stat").ok()?)?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(per_second)?))
}

/// `cutime` and `cstime` of proc(5). The name before them can hold anything, but ends with the last bracket.
fn of_children(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(13);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
}

/// What a program says of its failure, in one line.
pub(super) fn why(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find_map(|line| line.strip_prefix("error: "));
    // A run that failed: its first cause stands below its heading.
    let cause = || lines().skip_while(|line| !line.starts_with('✘')).nth(1);
    match error.or_else(cause).or_else(|| lines().next_back()) {
        Some(line) => line.to_owned(),
        None => output.status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;
    use crate::executor::SignalSources;

    #[test]
    fn the_time_of_children_is_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 200 0 0 5 6 70 8 20 0 1 0 100 200 300";
        assert_eq!(of_children(stat), Some(78));
        assert_eq!(of_children("7 (a"), None);
        assert!(children_cpu().is_some() || !std::path::Path::new("/proc/self/stat").exists());
    }

    #[test]
    fn a_failure_is_told_in_the_line_that_says_most() {
        for (said, words) in [
            (
                "   0.1s  web  failed\n✘ up failed after 0.3s\n\n  web: exited with code 3\n\n  try: x\n",
                "web: exited with code 3",
            ),
            ("warning: x\nerror: no such service: web\nhint: y\n", "no such service: web"),
            (" web Starting\ncontainer web exited (3)\n\n", "container web exited (3)"),
            ("", "exit status: 1"),
        ] {
            let output =
                Output { status: ExitStatus::from_raw(1 << 8), stdout: Vec::new(), stderr: said.into() };
            assert_eq!(why(&output), words);
        }
    }

    fn shell(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start(command).unwrap()
    }

    async fn end(mut child: Child) -> Ended {
        let mut signals = Signals::listen(&SignalSources::default()).unwrap();
        match child.next(&mut signals).await.unwrap() {
            Next::Ended(ended) => ended,
            Next::Asked(request) => panic!("{request:?}"),
        }
    }

    #[tokio::test]
    async fn a_program_is_timed_and_what_it_prints_is_kept() {
        let ended = end(shell("echo out; echo err >&2; sleep 0.05; exit 4")).await;
        assert_eq!((&*ended.output.stdout, &*ended.output.stderr), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(ended.output.status.code(), Some(4));
        assert!(ended.sample.took >= Duration::from_millis(50), "{:?}", ended.sample);
    }

    #[tokio::test]
    async fn a_kill_reaches_what_a_program_has_started() {
        // The second one holds standard output open: only its end is the end of the output.
        let child = shell("sleep 60 & sleep 60");
        child.kill();
        let ended = end(child).await;
        assert_eq!(ended.output.status.signal(), Some(9));
        assert!(ended.sample.took < Duration::from_secs(30), "{:?}", ended.sample);
    }
}

//! Runs something inside a container's network namespace.
//!
//! A namespace belongs to a thread, and a worker of the main runtime would carry other work into it: each namespace gets
//! a thread of its own with a small runtime in it. Making these costs far more than a probe, so they stay for as long as
//! probes come.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::{mpsc, oneshot};

/// How long a thread waits for another probe.
const IDLE: Duration = Duration::from_secs(1);

type Job = BoxFuture<'static, ()>;

type Threads = BTreeMap<(u32, String), mpsc::UnboundedSender<Job>>;

/// Those of this process, by the namespace's process and container.
static THREADS: Mutex<Threads> = Mutex::new(Threads::new());

/// Runs `job` in the network namespace of process `pid`, which must belong to `container`. `None`: it was not done
/// within `limit`.
///
/// # Errors
///
/// The namespace cannot be entered: no permission, no such process, or another container's.
pub(super) async fn inside<T, F>(pid: u32, container: &str, limit: Duration, job: F) -> io::Result<Option<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let key = (pid, container.to_owned());
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::pin(async move {
        // Nobody waits any more when the probe's time is over.
        drop(answer.send(tokio::time::timeout(limit, job).await.ok()));
    });
    if let Some(job) = hand_over(&key, job) {
        let thread = open(pid, container.to_owned(), job).await?;
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|_, thread| !thread.is_closed());
        threads.insert(key, thread);
    }
    answered.await.map_err(|_| io::Error::other("the probe's thread ended early"))
}

/// Gives a job to the thread that is there. The job, where there is none.
fn hand_over(key: &(u32, String), job: Job) -> Option<Job> {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    match threads.get(key) {
        Some(thread) => thread.send(job).err().map(|unsent| unsent.0),
        None => Some(job),
    }
}

/// Opens a thread in a namespace, with its first job.
async fn open(pid: u32, container: String, first: Job) -> io::Result<mpsc::UnboundedSender<Job>> {
    let (jobs, queue) = mpsc::unbounded_channel();
    let (entered, has_entered) = oneshot::channel();
    std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let runtime = enter(pid, &container)
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build());
        match runtime {
            Ok(runtime) => {
                // Whoever opened it may have given up.
                drop(entered.send(Ok(())));
                runtime.block_on(work(first, queue));
            }
            Err(error) => drop(entered.send(Err(error))),
        }
    })?;
    has_entered.await.unwrap_or_else(|_| Err(io::Error::other("the probe's thread ended early")))?;
    Ok(jobs)
}

/// Does jobs, several at once, until none has come for a while.
async fn work(first: Job, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut jobs = tokio::task::JoinSet::new();
    jobs.spawn(first);
    loop {
        tokio::select! {
            job = queue.recv() => match job {
                Some(job) => drop(jobs.spawn(job)),
                None => break,
            },
            Some(_) = jobs.join_next() => {}
            () = tokio::time::sleep(IDLE), if jobs.is_empty() => {
                // What was sent meanwhile is still done; nothing more can be.
                queue.close();
                while let Some(job) = queue.recv().await {
                    job.await;
                }
            }
        }
    }
    jobs.join_all().await;
}

/// Moves the current thread.
fn enter(pid: u32, container: &str) -> io::Result<()> {
    // Behind a virtual machine (Docker Desktop) the number is some other process of this machine.
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    if !groups.contains(container) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process is not the container's"));
    }
    let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

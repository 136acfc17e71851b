//! Runs something inside a container's network namespace.
//!
//! A namespace belongs to a thread, so each probe gets a thread of its own with a small runtime in it; a worker of
//! the main runtime would carry other work into the namespace.

use std::{fs::File, io, os::fd::AsFd, time::Duration};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `job` in the network namespace of process `pid`, which must belong to `container`.
///
/// # Errors
///
/// The namespace cannot be entered: no permission, no such process, or another container's.
pub(super) async fn inside<T, F>(pid: u32, container: &str, limit: Duration, job: F) -> io::Result<Option<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let container = container.to_owned();
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("probe".to_owned()).spawn(move || {
        let outcome = enter(pid, &container).and_then(|()| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            Ok(runtime.block_on(async { tokio::time::timeout(limit, job).await.ok() }))
        });
        // Nobody waits any more when the probe's time is over.
        drop(answer.send(outcome));
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the probe's thread ended early")))
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

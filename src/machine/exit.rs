//! The end of a process of a container, seen from outside of it.
//!
//! An engine answers to a stop once it has cleaned up, which takes far longer than the process: where both run on this
//! machine, the kernel tells of the end at once.

use std::{fs, io, os::fd::OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

/// Waits for the end of process `pid` of `container`. An answer of `false`: nobody can tell here, because it is no process
/// of this machine, or another container's.
pub(super) async fn ended(pid: u32, container: &str) -> bool {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // Once it is open, the number cannot come to mean another process unnoticed.
    let Ok(handle) = pidfd_open(process, PidfdFlags::empty()) else { return false };
    if !belongs(pid, container).is_ok_and(|belongs| belongs) {
        return false;
    }
    // A thread of its own: to hand the descriptor to the runtime takes unsafe code.
    let waited = tokio::task::spawn_blocking(move || wait(&handle));
    waited.await.is_ok_and(|waited| waited.is_ok())
}

fn wait(process: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], None) {
            Ok(0) | Err(Errno::INTR) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// Behind a virtual machine (Docker Desktop) the number is some other process of this machine.
fn belongs(pid: u32, container: &str) -> io::Result<bool> {
    Ok(!container.is_empty() && fs::read_to_string(format!("/proc/{pid}/cgroup"))?.contains(container))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn only_the_containers_own_process_is_waited_for() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
        assert!(!ended(child.id(), "no-such-container").await);
        assert!(!ended(child.id(), "").await);
        assert!(!ended(0, &groups).await);
        let mut waits = Box::pin(ended(child.id(), groups.trim()));
        assert!(futures::poll!(&mut waits).is_pending());
        drop(child.stdin.take());
        assert!(waits.await);
        child.wait().unwrap();
        assert!(!ended(child.id(), groups.trim()).await);
    }
}

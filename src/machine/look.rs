//! A look at this machine.

use std::{
    fs, io,
    net::{IpAddr, UdpSocket},
    path::Path,
};

use futures::{FutureExt as _, future::BoxFuture};

use super::{Machine, exit, sockets};
use crate::plan::{EngineFacts, MachineFacts, Questions, Space};

/// The machine that this program runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisMachine;

/// Bits of a process's capabilities: what moving into another process's network takes.
const PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;

impl ThisMachine {
    /// Whether one of its interfaces has this address.
    pub fn has_address(self, address: IpAddr) -> bool {
        UdpSocket::bind((address, 0)).is_ok()
    }

    /// Whether this process may move into the network namespaces of containers.
    pub fn may_enter_namespaces(self) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let held = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default();
        held & (PTRACE | SYS_ADMIN) == PTRACE | SYS_ADMIN
    }
}

impl Machine for ThisMachine {
    fn look(&self, questions: &Questions) -> MachineFacts {
        let paths = questions.paths.iter().chain(&questions.sources);
        MachineFacts {
            missing: paths.filter(|path| is_missing(path)).cloned().collect(),
            sockets: sockets::in_the_way(&questions.ports, questions.holders),
            space: None,
        }
    }

    /// The name alone is not enough: a container on the host's network has that too.
    fn is_home_of(&self, engine: &EngineFacts) -> bool {
        let name = rustix::system::uname();
        name.nodename().to_str().is_ok_and(|name| name == engine.machine)
            && !engine.data_root.is_empty()
            && Path::new(&engine.data_root).exists()
    }

    fn ended<'a>(&'a self, pid: u32, container: &'a str) -> BoxFuture<'a, bool> {
        exit::ended(pid, container).boxed()
    }

    fn space(&self, path: &str) -> Option<Space> {
        let found = rustix::fs::statvfs(path).ok()?;
        Some(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

/// What cannot be looked at, because others may not, may be there.
fn is_missing(path: &str) -> bool {
    fs::metadata(path)
        .is_err_and(|e| matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::plan::PortRange;

    #[test]
    fn only_what_is_missing_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("there"), "").unwrap();
        std::os::unix::fs::symlink(path("gone"), path("dangling")).unwrap();
        let paths = ["there", "gone", "dangling", "there/below"].map(path);
        let sources = [path("none")].into();
        let questions = Questions { paths: paths.into(), sources, ..Questions::default() };
        let missing = ["gone", "dangling", "there/below", "none"].map(path);
        assert_eq!(ThisMachine.look(&questions).missing, missing.into());
    }

    #[test]
    fn a_port_that_is_listened_on_is_in_the_way_and_its_holder_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let look = |address: &str, holders| {
            let addresses = vec![address.parse().unwrap()];
            let range = PortRange { addresses, ports: port..=port, protocol: "tcp".to_owned() };
            let questions = Questions { ports: vec![range], holders, ..Questions::default() };
            ThisMachine.look(&questions).sockets
        };
        let held = look("127.0.0.1", true);
        assert_eq!((held.len(), held[0].port), (1, port), "{held:?}");
        assert_eq!(held[0].holder.as_ref().map(|process| process.pid), Some(std::process::id()));
        assert_eq!(look("0.0.0.0", false)[0].holder, None);
        assert_eq!(look("127.0.0.2", true), []);
        drop(listener);
        assert_eq!(look("127.0.0.1", true), []);
    }

    #[test]
    fn a_machine_knows_the_engine_that_runs_on_it() {
        let name = rustix::system::uname().nodename().to_str().unwrap().to_owned();
        let engine = |machine: &str, data_root: &str| EngineFacts {
            machine: machine.to_owned(),
            data_root: data_root.to_owned(),
            ..EngineFacts::default()
        };
        assert!(ThisMachine.is_home_of(&engine(&name, "/")));
        for other in [engine("elsewhere", "/"), engine(&name, "/no/such/root"), engine(&name, "")] {
            assert!(!ThisMachine.is_home_of(&other), "{other:?}");
        }
        assert!(ThisMachine.space("/").is_some_and(|space| space.total >= space.free));
        assert_eq!(ThisMachine.space("/no/such/path"), None);
        assert!(ThisMachine.has_address(IpAddr::from([127, 0, 0, 1])));
        assert!(!ThisMachine.has_address(IpAddr::from([192, 0, 2, 1])));
    }
}

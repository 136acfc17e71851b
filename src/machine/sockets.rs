//! Who listens where: Linux tells it in `/proc`. Elsewhere nobody is found.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, bind, socket, sockopt},
};

use crate::plan::{PortRange, Process, Socket};

/// A listening TCP socket, and a UDP socket that hears everybody, by their states.
const LISTENING: [(&str, &str); 2] = [("tcp", "0A"), ("udp", "07")];

/// A socket as `/proc` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    protocol: &'static str,
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// Sockets because of which one of these ports cannot be bound; `holders`: with whose they are.
pub(super) fn in_the_way(wanted: &[PortRange], holders: bool) -> Vec<Socket> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let listed = listed();
    let mut found: Vec<(u64, Socket)> = Vec::new();
    for range in wanted {
        for other in listed.iter().filter(|l| l.protocol == range.protocol && range.ports.contains(&l.port)) {
            for address in range.addresses.iter().filter(|address| may_meet(**address, other.address)) {
                let (protocol, port) = (range.protocol.clone(), other.port);
                let socket = Socket { protocol, address: *address, port, holder: None };
                if !found.iter().any(|(_, known)| *known == socket) && is_refused(&socket) {
                    found.push((other.inode, socket));
                }
            }
        }
    }
    let mut processes = if holders && !found.is_empty() { processes() } else { BTreeMap::new() };
    let named = found.into_iter().map(|(inode, socket)| {
        let holder = processes.get_mut(&inode).cloned();
        Socket { holder, ..socket }
    });
    named.collect()
}

/// Whether two sockets of one port could meet. A wildcard of IPv6 often takes IPv4 too.
fn may_meet(own: IpAddr, other: IpAddr) -> bool {
    let same_kind = own.is_ipv4() == other.is_ipv4();
    (same_kind && (own == other || own.is_unspecified() || other.is_unspecified()))
        || (own.is_ipv4() && other == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

/// Whether nothing can be bound there: tried as the engine does it, and given back at once; nobody can connect to it.
fn is_refused(wanted: &Socket) -> bool {
    let family = if wanted.address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if wanted.protocol == "udp" { SocketType::DGRAM } else { SocketType::STREAM };
    let Ok(own) = socket(family, kind, None) else { return false };
    let mut set = Ok(());
    if kind == SocketType::STREAM {
        // As every server: what has ended a moment ago is in nobody's way.
        set = sockopt::set_socket_reuseaddr(&own, true);
    }
    if wanted.address.is_ipv6() {
        set = set.and_then(|()| sockopt::set_ipv6_v6only(&own, true));
    }
    set.is_ok() && bind(&own, &SocketAddr::new(wanted.address, wanted.port)) == Err(Errno::ADDRINUSE)
}

fn listed() -> Vec<Listed> {
    let tables = LISTENING.into_iter().flat_map(|(protocol, state)| {
        ["", "6"].map(|version| {
            let text = fs::read_to_string(format!("/proc/net/{protocol}{version}")).unwrap_or_default();
            table(protocol, state, &text)
        })
    });
    tables.flatten().collect()
}

/// The sockets of one table of `/proc/net`.
fn table(protocol: &'static str, state: &str, text: &str) -> Vec<Listed> {
    let socket = |line: &str| {
        let mut words = line.split_whitespace();
        let (address, port) = words.nth(1)?.split_once(':')?;
        if words.nth(1)? != state {
            return None;
        }
        Some(Listed {
            protocol,
            address: address_of(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: words.nth(5)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(socket).collect()
}

/// Words of 32 bits in the machine's own order, in hexadecimal.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The process of each socket, by the socket's number; of other users' processes only root is told.
fn processes() -> BTreeMap<u64, Process> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        for file in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(file.path()).ok();
            let target = target.as_ref().and_then(|target| target.to_str());
            let inode = target.and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            let Some(inode) = inode else { continue };
            found.entry(inode).or_insert_with(|| {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                Process { pid, name: name.trim_end().to_owned() }
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_of_proc_are_read() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let row = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
            )
        };
        let text = format!("{head}{}{}", row("0100007F:1F90", "0A"), row("0100007F:1F91", "01"));
        let listed =
            Listed { protocol: "tcp", address: "127.0.0.1".parse().unwrap(), port: 8080, inode: 4711 };
        assert_eq!(table("tcp", "0A", &text), std::slice::from_ref(&listed));
        let text = format!("{head}{}", row("B80D0120000000000000000001000000:0035", "07"));
        let v6 = Listed { protocol: "udp", address: "2001:db8::1".parse().unwrap(), port: 53, ..listed };
        assert_eq!(table("udp", "07", &text), [v6]);
        assert_eq!(table("tcp", "0A", "garbage\n1: x:y"), []);
    }

    #[test]
    fn a_wildcard_meets_its_own_kind_and_that_of_ipv6_may_meet_both() {
        for (own, other, expected) in [
            ("0.0.0.0", "127.0.0.1", true),
            ("127.0.0.1", "0.0.0.0", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::", true),
            ("127.0.0.1", "::1", false),
            ("::", "127.0.0.1", false),
            ("::", "::1", true),
        ] {
            assert_eq!(may_meet(own.parse().unwrap(), other.parse().unwrap()), expected, "{own} {other}");
        }
    }
}

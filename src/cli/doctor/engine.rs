//! The engine and its machine.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::finding::Finding;
use crate::{
    cli::CliError,
    engine::{Engine, EngineInfo, Scope},
    machine::{Machine as _, ThisMachine},
    plan::EngineFacts,
    project::byte_words,
};

/// Clocks may differ by this much before anybody is misled.
const SKEW: Duration = Duration::from_secs(2);

/// There is none.
pub(super) fn unreachable(error: &CliError) -> Finding {
    Finding::of_error("engine", error)
}

/// One that answers.
pub(super) async fn check(engine: &dyn Engine) -> Vec<Finding> {
    let info = engine.info();
    let version = format!(
        "Docker {} at {}, API {} (1.41 and later are spoken)",
        info.server_version, info.host, info.api_version
    );
    let mut findings = vec![Finding::fine("engine", version)];
    let asked = SystemTime::now();
    let facts = match engine.about().await {
        Ok(facts) => facts,
        Err(error) => {
            findings
                .push(Finding::of_error("machine", &CliError::engine("failed to ask the engine", &error)));
            return findings;
        }
    };
    let answered = SystemTime::now();
    let is_home = info.local && ThisMachine.is_home_of(&facts);
    findings.push(machine(info, &facts, is_home));
    findings.push(storage(&facts, is_home));
    findings.push(Finding::fine(
        "restarts",
        if facts.live_restore {
            "containers go on while the engine is restarted (live-restore is on)"
        } else {
            "containers stop when the engine is restarted (live-restore is off)"
        },
    ));
    findings.push(clock(facts.time, nanos(asked), nanos(answered)));
    let warnings = facts.warnings.iter().map(|w| w.trim().trim_start_matches("WARNING: "));
    findings.extend(warnings.filter(|w| !w.is_empty()).map(|w| Finding::warning("engine", w)));
    findings.push(gpu(&facts));
    findings.push(probes(engine, is_home).await);
    findings
}

fn machine(info: &EngineInfo, facts: &EngineFacts, is_home: bool) -> Finding {
    let whose = if is_home { "this machine".to_owned() } else { format!("machine `{}`", facts.machine) };
    let rights = if facts.rootless { ", without root's rights" } else { "" };
    Finding::fine(
        "machine",
        format!(
            "{whose}: {}, {}/{}, {} cores, {} of memory, cgroup v{} ({}){rights}",
            facts.system,
            info.os,
            info.arch,
            facts.cpus,
            byte_words(facts.memory),
            facts.cgroup_version,
            facts.cgroup_driver
        ),
    )
}

fn storage(facts: &EngineFacts, is_home: bool) -> Finding {
    let space = if is_home { ThisMachine.space(&facts.data_root) } else { None };
    let room = match space {
        Some(space) => format!(", {} of {} free", byte_words(space.free), byte_words(space.total)),
        None => String::new(),
    };
    let words = format!("{} in {}{room}", facts.storage_driver, facts.data_root);
    if space.is_some_and(crate::plan::Space::is_short) {
        return Finding::warning("storage", words).hint("`docker system df` shows what takes the room");
    }
    if facts.storage_driver == "vfs" {
        let why = "vfs copies every layer of every image: containers start slowly and take much room";
        return Finding::warning("storage", words).hint(format!("{why}; overlay2 does not"));
    }
    Finding::fine("storage", words)
}

/// Nanoseconds since the epoch.
fn nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The engine's moment lies between question and answer, where both clocks are right. All in nanoseconds.
fn clock(said: Option<i64>, asked: i64, answered: i64) -> Finding {
    let Some(said) = said else { return Finding::note("clock", "the engine does not tell its time") };
    let (behind, ahead) = (asked.saturating_sub(said), said.saturating_sub(answered));
    let (skew, way) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    let skew = Duration::from_nanos(skew.unsigned_abs() * u64::from(skew > 0));
    if skew <= SKEW {
        return Finding::fine("clock", "the engine's clock agrees with this machine's");
    }
    Finding::warning("clock", format!("the engine's clock is {} s {way} this machine's", skew.as_secs()))
        .hint("`logs --since`, pull policies with an age, and TLS go wrong: set both by NTP")
}

fn gpu(facts: &EngineFacts) -> Finding {
    let runtimes: Vec<&str> =
        facts.runtimes.iter().map(String::as_str).filter(|name| !name.contains('.')).collect();
    let runtimes = format!("runtimes: {}", runtimes.join(", "));
    if !facts.has_gpu() {
        return Finding::note("gpu", format!("nothing points to GPUs for containers; {runtimes}"));
    }
    let devices = match facts.cdi_devices.as_slice() {
        [] => String::new(),
        devices => format!("; CDI devices: {}", devices.join(", ")),
    };
    Finding::fine("gpu", format!("{runtimes}{devices}"))
}

/// By which ways checks reach containers.
async fn probes(engine: &dyn Engine, is_home: bool) -> Finding {
    if !engine.info().local {
        return Finding::note(
            "probes",
            "the engine is elsewhere: by published ports, and commands in containers",
        );
    }
    let direct = is_home && has_bridge(engine).await;
    let inside = is_home && ThisMachine.may_enter_namespaces();
    match (direct, inside) {
        (true, true) => Finding::fine("probes", "containers are reached directly, and inside their networks"),
        (true, false) => Finding::fine(
            "probes",
            "containers are reached directly; what listens on their own localhost only by commands in them",
        ),
        (false, true) => Finding::fine("probes", "containers are reached inside their networks"),
        (false, false) => Finding::warning("probes", "containers are reached only by commands in them")
            .hint("HTTP and TCP checks need `curl`, `wget` or their like in the image; as root, or on the engine's own machine, they do not"),
    }
}

/// Whether the gateway of the engine's default network is an address of this machine.
async fn has_bridge(engine: &dyn Engine) -> bool {
    let scope = Scope { networks: vec!["bridge".to_owned()], ..Scope::default() };
    let Ok(observed) = engine.observe(&scope).await else { return false };
    let pools = observed.networks.get("bridge").map(|network| network.definition.pools.as_slice());
    let gateways = pools.unwrap_or_default().iter().filter_map(|pool| pool.gateway.parse::<IpAddr>().ok());
    gateways.into_iter().any(|gateway| ThisMachine.has_address(gateway))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::doctor::finding::Mark,
        engine::sim::{Script, SimEngine},
    };

    #[test]
    fn a_clock_is_wrong_where_it_is_outside_of_question_and_answer() {
        let second = |n: i64| n * 1_000_000_000;
        let (asked, answered) = (second(100), second(105));
        for (said, expected) in [
            (100, None),
            (104, None),
            (98, None),
            (107, None),
            (40, Some("the engine's clock is 60 s behind this machine's")),
            (165, Some("the engine's clock is 60 s ahead of this machine's")),
        ] {
            let finding = clock(Some(second(said)), asked, answered);
            match expected {
                None => assert_eq!(finding.mark, Mark::Fine, "{said}: {}", finding.words),
                Some(words) => assert_eq!((finding.mark, finding.words.as_str()), (Mark::Warning, words)),
            }
        }
        assert_eq!(clock(None, asked, answered).mark, Mark::Note);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_engine_says_is_shown() {
        let facts = EngineFacts {
            machine: "far".to_owned(),
            system: "Debian".to_owned(),
            cpus: 8,
            memory: 16 << 30,
            storage_driver: "vfs".to_owned(),
            data_root: "/data".to_owned(),
            cgroup_version: "2".to_owned(),
            cgroup_driver: "systemd".to_owned(),
            rootless: true,
            runtimes: vec!["io.containerd.runc.v2".to_owned(), "nvidia".to_owned(), "runc".to_owned()],
            warnings: vec!["WARNING: No swap limit support".to_owned()],
            ..EngineFacts::default()
        };
        let engine = SimEngine::new(Script::new().about(facts));
        let findings = check(&engine).await;
        let said: Vec<(Mark, &str)> = findings.iter().map(|f| (f.mark, f.words.as_str())).collect();
        assert_eq!(said[0].1, "Docker 28.5.2 at sim://, API 1.51 (1.41 and later are spoken)");
        assert_eq!(
            said[1].1,
            "machine `far`: Debian, linux/amd64, 8 cores, 16 GiB of memory, cgroup v2 (systemd), without root's rights"
        );
        assert_eq!(said[2], (Mark::Warning, "vfs in /data"));
        assert_eq!(said[5], (Mark::Warning, "No swap limit support"));
        assert_eq!(said[6], (Mark::Fine, "runtimes: nvidia, runc"));
        assert_eq!(said[7], (Mark::Warning, "containers are reached only by commands in them"));
    }
}

//! Networks, volumes and images: what containers need before they can be created.

use super::Builder;
use crate::{
    diagnostic::Diagnostic,
    plan::{Action, Cause, StepId},
    project::{Build, Service},
};

impl Builder<'_> {
    pub(super) fn networks(&mut self) {
        let project = self.project;
        self.replace_networks();
        for (key, network) in &project.networks {
            match self.observed.networks.get(&network.name) {
                None if network.external => self.missing(("network", key), &network.name),
                None => {
                    let action = Action::CreateNetwork { key: key.clone(), name: network.name.clone() };
                    let id = self.plain(action, Cause::Missing, Vec::new(), None);
                    self.networks.insert(key.clone(), id);
                }
                Some(found) if !network.external => {
                    let labels = found.labels.clone();
                    self.check_owner(("network", key), &network.name, &labels);
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn volumes(&mut self) {
        let project = self.project;
        self.replace_volumes();
        for (key, volume) in &project.volumes {
            if let Some(found) = self.observed.volumes.get(&volume.name) {
                if !volume.external {
                    self.check_owner(("volume", key), &volume.name, &found.labels);
                }
            } else {
                if volume.external {
                    self.missing(("volume", key), &volume.name);
                    continue;
                }
                let action = Action::CreateVolume { key: key.clone(), name: volume.name.clone() };
                let id = self.plain(action, Cause::Missing, Vec::new(), None);
                self.volumes.insert(key.clone(), id);
            }
        }
    }

    /// What has the name of something of ours and is somebody else's is used as it is, as Compose does: with a
    /// warning, and not where it is a network under another key.
    fn check_owner(
        &mut self,
        (kind, key): (&str, &str),
        name: &str,
        labels: &std::collections::BTreeMap<String, String>,
    ) {
        let whose = match labels.get("com.docker.compose.project") {
            Some(project) if *project == self.project.name => None,
            Some(project) => Some(format!("belongs to project `{project}`")),
            None => Some("was not made for this project".to_owned()),
        };
        let help = format!("set `external: true` to use it as it is, or give `{key}` another `name`");
        let labelled = labels.get("com.docker.compose.network").map(String::as_str);
        if kind == "network" && labelled != Some(key) {
            let whose =
                whose.unwrap_or_else(|| format!("is `{}` of this project", labelled.unwrap_or_default()));
            let message = format!("there is a network `{name}` already, and it {whose}");
            let error = Diagnostic::error("foreign-network", message).help(help);
            self.errors.push(self.project.point(error, &[format!("networks.{key}")], ""));
        } else if let Some(whose) = whose {
            self.warnings.push(format!("{kind} `{name}` {whose}, and is used as it is: {help}"));
        }
    }

    /// What is external must be there before anything is done. Where no engine was asked, nobody knows.
    fn missing(&mut self, (kind, key): (&str, &str), name: &str) {
        let message = format!("{kind} `{name}` is external and does not exist");
        let help = format!("create it with `docker {kind} create {name}`");
        if self.options.offline {
            self.warnings.push(format!("{kind} `{name}` is external: it must exist"));
        } else {
            let error = Diagnostic::error("missing-external", message).help(help);
            self.errors.push(self.project.point(error, &[format!("{kind}s.{key}")], ""));
        }
    }

    /// The step that gets a service's image, where one is needed.
    pub(super) fn image(&mut self, service: &Service) -> Option<StepId> {
        self.image_within(service, &[])
    }

    /// `within`: the services whose builds take this one's image.
    fn image_within(&mut self, service: &Service, within: &[&str]) -> Option<StepId> {
        let image = self.project.image_name(service);
        if let Some(id) = self.images.get(&image) {
            return Some(*id);
        }
        let project = self.project;
        let owner = if service.build.is_some() {
            service
        } else {
            self.built.get(&image).copied().unwrap_or(service)
        };
        let (action, cause) = self.image_action(owner, &image)?;
        let within = [within, &[owner.name.as_str()]].concat();
        let bases = owner.build.iter().flat_map(Build::bases).filter(|base| !within.contains(base));
        let bases = bases.filter_map(|base| project.services.get(base));
        let after = bases.filter_map(|base| self.image_within(base, &within)).collect();
        let id = self.plain(action, cause, after, None);
        self.images.insert(image, id);
        Some(id)
    }

    /// What is to be done about an image before containers are made of it (compose-spec `pull_policy`).
    pub(super) fn image_action(&self, service: &Service, image: &str) -> Option<(Action, Cause)> {
        let there = self.observed.images.contains_key(image);
        let build = service.build.is_some();
        let policy = self.options.pull.as_deref().or(service.pull_policy.as_deref()).unwrap_or("missing");
        let build_action = || Action::BuildImage { service: service.name.clone(), image: image.to_owned() };
        let pull_action = || Action::PullImage {
            image: image.to_owned(),
            platform: service.platform.clone(),
            or_build: (build && !self.options.no_build).then(|| service.name.clone()),
        };
        if self.options.images_fresh && there {
            return None;
        }
        if build && !self.options.no_build && (self.options.build || policy == "build") {
            return Some((build_action(), Cause::PullPolicy("build".to_owned())));
        }
        let tagged = self.observed.images.get(image).and_then(|i| i.tagged);
        let too_old = |age| there && tagged.is_none_or(|at| self.options.now > at.saturating_add(age));
        match policy {
            "never" if there => None,
            "never" if build => Some((build_action(), Cause::Missing)),
            // That there is none is seen before anything is done.
            "never" => None,
            "always" => Some((pull_action(), Cause::PullPolicy("always".to_owned()))),
            _ if refreshed_after(policy).is_some_and(too_old) => {
                Some((pull_action(), Cause::PullPolicy(policy.to_owned())))
            }
            _ if there => None,
            // A name that only the build gives cannot be pulled.
            _ if build && service.image.is_none() && !self.options.no_build => {
                Some((build_action(), Cause::Missing))
            }
            _ => Some((pull_action(), Cause::Missing)),
        }
    }
}

/// After how many seconds a pull policy wants an image anew; `None` where its age is no matter.
fn refreshed_after(policy: &str) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60;
    match policy {
        "daily" => return Some(DAY),
        "weekly" => return Some(7 * DAY),
        _ => {}
    }
    let mut rest = policy.strip_prefix("every_").filter(|rest| !rest.is_empty())?;
    let mut seconds: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b's' => 1,
            b'm' => 60,
            b'h' => 60 * 60,
            b'd' => DAY,
            b'w' => 7 * DAY,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::refreshed_after;

    #[test]
    fn an_image_is_too_old_after_what_its_policy_says() {
        for (policy, seconds) in [
            ("daily", Some(86_400)),
            ("weekly", Some(604_800)),
            ("every_12h", Some(43_200)),
            ("every_1d12h", Some(129_600)),
            ("every_90m30s", Some(5_430)),
            ("every_2w", Some(1_209_600)),
            ("always", None),
            ("every_", None),
            ("every_1x", None),
            ("every_h", None),
            ("every_99999999999999999999h", None),
        ] {
            assert_eq!(refreshed_after(policy), seconds, "{policy}");
        }
    }
}

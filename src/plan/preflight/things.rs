//! Images, and what they are built from.

use super::intent::Intent;
use crate::{
    diagnostic::Diagnostic,
    plan::{MachineFacts, UpOptions},
    project::Service,
};

/// Images that containers are to be made of, that the engine does not have, and that nothing gets.
pub(super) fn images(intent: &Intent<'_>, options: &UpOptions) -> Vec<Diagnostic> {
    if options.offline {
        return Vec::new();
    }
    let missing = intent.created.values().filter_map(|service| {
        let image = intent.project.image_name(service);
        let there = intent.observed.images.contains_key(&image) || intent.images.contains(image.as_str());
        (!there).then(|| {
            let why = match options.pull.as_deref() {
                Some(policy) => format!("`--pull {policy}`"),
                None => format!("`pull_policy: {}`", service.pull_policy.as_deref().unwrap_or("never")),
            };
            let of = service.platform.as_ref().map(|p| format!(" for {p}")).unwrap_or_default();
            let message = format!(
                "image `{image}`, of service `{}`, is not on the engine{of}, and {why} forbids to pull it",
                service.name
            );
            let help = format!("get it with `docker pull {image}`, or change the policy");
            let own = format!("services.{}", service.name);
            let places = [format!("{own}.pull_policy"), format!("{own}.image"), own];
            intent.project.point(Diagnostic::error("no-image", message).help(help), &places, "")
        })
    });
    missing.collect()
}

/// A folder or file that an image is built from.
pub(super) struct Source<'a> {
    service: &'a Service,
    attribute: &'static str,
    pub(super) path: String,
}

/// What images are built from on this machine.
pub(super) fn sources<'a>(intent: &Intent<'a>) -> impl Iterator<Item = Source<'a>> {
    intent.built.iter().flat_map(|service| of_build(service))
}

fn of_build(service: &Service) -> Vec<Source<'_>> {
    let Some(build) = &service.build else { return Vec::new() };
    let Some(context) = build.context.as_deref().filter(|context| context.starts_with('/')) else {
        return Vec::new();
    };
    let mut sources = vec![Source { service, attribute: "context", path: context.to_owned() }];
    if build.dockerfile_inline.is_none() {
        let name = build.dockerfile.as_deref().unwrap_or("Dockerfile");
        let path = if name.starts_with('/') { name.to_owned() } else { format!("{context}/{name}") };
        sources.push(Source { service, attribute: "dockerfile", path });
    }
    sources
}

/// What images are to be built from and is not there: a folder, or its Dockerfile.
pub(super) fn missing_sources(intent: &Intent<'_>, machine: &MachineFacts) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for service in &intent.built {
        // Without the folder there is no file in it either.
        let Some(source) = of_build(service).into_iter().find(|s| machine.missing.contains(&s.path)) else {
            continue;
        };
        let what = if source.attribute == "context" { "the build context" } else { "the Dockerfile" };
        let message = format!("{what} of service `{}`, {}, does not exist", source.service.name, source.path);
        let error = Diagnostic::error("no-such-file", message)
            .help(format!("create it, or correct `build.{}`", source.attribute));
        let own = format!("services.{}", service.name);
        found.push(intent.project.point(error, &[format!("{own}.build"), own], ""));
    }
    found
}

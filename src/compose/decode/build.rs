//! `build` and `develop`.

use super::{
    fields::Fields,
    parts::{extra_hosts, file_reference, hook, ulimits},
};
use crate::project::{Build, Develop, SshKey, Watch};

pub(super) fn build(fields: &Fields<'_>) -> Build {
    Build {
        context: fields.text("context"),
        dockerfile: fields.text("dockerfile"),
        dockerfile_inline: fields.text("dockerfile_inline"),
        entitlements: fields.texts("entitlements"),
        args: fields.variables("args"),
        provenance: fields.text("provenance"),
        sbom: fields.text("sbom"),
        ssh: ssh(fields),
        labels: fields.mapping("labels"),
        cache_from: fields.texts("cache_from"),
        cache_to: fields.texts("cache_to"),
        no_cache: fields.is_on("no_cache"),
        additional_contexts: fields.texts_by_name("additional_contexts"),
        pull: fields.is_on("pull"),
        extra_hosts: extra_hosts(fields, "extra_hosts"),
        isolation: fields.text("isolation"),
        network: fields.text("network"),
        target: fields.text("target"),
        secrets: fields.objects("secrets", file_reference),
        shm_size: fields.bytes("shm_size"),
        tags: fields.texts("tags"),
        ulimits: ulimits(fields),
        platforms: fields.texts("platforms"),
        privileged: fields.is_on("privileged"),
        extensions: fields.extensions(),
    }
}

fn ssh(fields: &Fields<'_>) -> Vec<SshKey> {
    fields
        .named("ssh")
        .into_iter()
        .map(|(id, entry)| {
            let path = entry.value.value.scalar_text().filter(|path| !path.is_empty());
            SshKey { id: id.to_owned(), path }
        })
        .collect()
}

pub(super) fn develop(fields: &Fields<'_>) -> Develop {
    Develop { watch: fields.objects("watch", watch), extensions: fields.extensions() }
}

fn watch(fields: &Fields<'_>) -> Watch {
    Watch {
        path: fields.text("path").unwrap_or_default(),
        action: fields.text("action").unwrap_or_default(),
        target: fields.text("target"),
        exec: fields.object("exec").map(|fields| hook(&fields)).unwrap_or_default(),
        include: fields.texts("include"),
        ignore: fields.texts("ignore"),
        initial_sync: fields.is_on("initial_sync"),
        extensions: fields.extensions(),
    }
}

//! Networks, volumes, secrets, configs and models.

use super::fields::Fields;
use crate::project::{FileObject, Ipam, IpamPool, Model, Network, Sensitive, Volume};

pub(super) fn network(fields: &Fields<'_>) -> Network {
    Network {
        name: fields.text("name").unwrap_or_default(),
        driver: fields.text("driver"),
        driver_opts: fields.mapping("driver_opts"),
        ipam: fields.object("ipam").map(|fields| ipam(&fields)).unwrap_or_default(),
        external: fields.is_on("external"),
        internal: fields.is_on("internal"),
        attachable: fields.is_on("attachable"),
        labels: fields.mapping("labels"),
        enable_ipv4: fields.boolean("enable_ipv4"),
        enable_ipv6: fields.boolean("enable_ipv6"),
        extensions: fields.extensions(),
    }
}

fn ipam(fields: &Fields<'_>) -> Ipam {
    Ipam {
        driver: fields.text("driver"),
        config: fields.objects("config", |fields| IpamPool {
            subnet: fields.text("subnet"),
            gateway: fields.text("gateway"),
            ip_range: fields.text("ip_range"),
            aux_addresses: fields.mapping("aux_addresses"),
            extensions: fields.extensions(),
        }),
        extensions: fields.extensions(),
    }
}

pub(super) fn volume(fields: &Fields<'_>) -> Volume {
    Volume {
        name: fields.text("name").unwrap_or_default(),
        driver: fields.text("driver"),
        driver_opts: fields.mapping("driver_opts"),
        external: fields.is_on("external"),
        labels: fields.mapping("labels"),
        extensions: fields.extensions(),
    }
}

/// A secret or a config. `variable` looks up the environment variable that it may be made from.
pub(super) fn file_object(fields: &Fields<'_>, variable: &dyn Fn(&str) -> Option<String>) -> FileObject {
    let environment = fields.text("environment");
    FileObject {
        name: fields.text("name").unwrap_or_default(),
        file: fields.text("file"),
        captured: environment.as_deref().and_then(variable).map(Sensitive::new),
        content: if environment.is_some() { None } else { fields.text("content") },
        environment,
        external: fields.is_on("external"),
        labels: fields.mapping("labels"),
        driver: fields.text("driver"),
        driver_opts: fields.plain_mapping("driver_opts"),
        template_driver: fields.text("template_driver"),
        extensions: fields.extensions(),
    }
}

pub(super) fn model(fields: &Fields<'_>) -> Model {
    Model {
        name: fields.text("name").unwrap_or_default(),
        model: fields.text("model"),
        context_size: fields.nonzero("context_size"),
        runtime_flags: fields.texts("runtime_flags"),
        extensions: fields.extensions(),
    }
}

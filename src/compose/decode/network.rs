//! A service's ports and its places on networks.

use indexmap::IndexMap;

use super::fields::Fields;
use crate::project::{Port, ServiceNetwork};

pub(super) fn networks(fields: &Fields<'_>) -> IndexMap<String, Option<ServiceNetwork>> {
    fields
        .named("networks")
        .into_iter()
        .map(|(name, entry)| {
            let path = format!("{}.networks.{name}", fields.path);
            let place = Fields::of(&entry.value, path, fields.problems);
            (name.to_owned(), place.map(|fields| network(&fields)))
        })
        .collect()
}

fn network(fields: &Fields<'_>) -> ServiceNetwork {
    ServiceNetwork {
        aliases: fields.texts("aliases"),
        driver_opts: fields.mapping("driver_opts"),
        gw_priority: fields.nonzero("gw_priority"),
        interface_name: fields.text("interface_name"),
        ipv4_address: fields.text("ipv4_address"),
        ipv6_address: fields.text("ipv6_address"),
        link_local_ips: fields.texts("link_local_ips"),
        mac_address: fields.text("mac_address"),
        priority: fields.nonzero("priority"),
        extensions: fields.extensions(),
    }
}

pub(super) fn port(fields: &Fields<'_>) -> Port {
    Port {
        name: fields.text("name"),
        mode: fields.text("mode"),
        host_ip: fields.text("host_ip"),
        target: fields.nonzero("target"),
        published: fields.text("published"),
        protocol: fields.text("protocol"),
        app_protocol: fields.text("app_protocol"),
        extensions: fields.extensions(),
    }
}

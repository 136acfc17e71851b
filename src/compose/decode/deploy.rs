//! `deploy`, `blkio_config` and requests for devices.

use super::fields::Fields;
use crate::{
    diagnostic::Diagnostic,
    project::{
        Blkio, Bytes, Deploy, DeployResources, DeviceRequest, DiscreteResource, GenericResource, Placement,
        Preference, Resource, RestartPolicy, ThrottleDevice, UpdateConfig, WeightDevice,
    },
};

/// `scale` is the service's own; Compose writes it into `replicas` too.
pub(super) fn deploy(fields: &Fields<'_>, scale: Option<u32>) -> Deploy {
    Deploy {
        mode: fields.text("mode"),
        replicas: fields.count("replicas").or(scale),
        labels: fields.mapping("labels"),
        update_config: fields.object("update_config").map(|fields| update_config(&fields)),
        rollback_config: fields.object("rollback_config").map(|fields| update_config(&fields)),
        resources: fields.object("resources").map(|fields| resources(&fields)).unwrap_or_default(),
        restart_policy: fields.object("restart_policy").map(|fields| restart_policy(&fields)),
        placement: fields.object("placement").map(|fields| placement(&fields)).unwrap_or_default(),
        endpoint_mode: fields.text("endpoint_mode"),
        extensions: fields.extensions(),
    }
}

fn update_config(fields: &Fields<'_>) -> UpdateConfig {
    UpdateConfig {
        parallelism: fields.number("parallelism"),
        delay: fields.duration("delay").filter(|delay| !delay.is_zero()),
        failure_action: fields.text("failure_action"),
        monitor: fields.duration("monitor").filter(|monitor| !monitor.is_zero()),
        max_failure_ratio: fields.float("max_failure_ratio"),
        order: fields.text("order"),
        extensions: fields.extensions(),
    }
}

fn resources(fields: &Fields<'_>) -> DeployResources {
    DeployResources {
        limits: fields.object("limits").map(|fields| resource(&fields)),
        reservations: fields.object("reservations").map(|fields| resource(&fields)),
        extensions: fields.extensions(),
    }
}

fn resource(fields: &Fields<'_>) -> Resource {
    Resource {
        cpus: fields.float("cpus"),
        memory: fields.bytes("memory"),
        pids: fields.nonzero("pids"),
        devices: fields.objects("devices", device_request),
        generic_resources: fields.objects("generic_resources", |fields| GenericResource {
            discrete_resource_spec: fields.object("discrete_resource_spec").map(|spec| DiscreteResource {
                kind: spec.text("kind").unwrap_or_default(),
                value: spec.number("value").unwrap_or_default(),
                extensions: spec.extensions(),
            }),
            extensions: fields.extensions(),
        }),
        extensions: fields.extensions(),
    }
}

fn restart_policy(fields: &Fields<'_>) -> RestartPolicy {
    RestartPolicy {
        condition: fields.text("condition"),
        delay: fields.duration("delay"),
        max_attempts: fields.number("max_attempts"),
        window: fields.duration("window"),
        extensions: fields.extensions(),
    }
}

fn placement(fields: &Fields<'_>) -> Placement {
    Placement {
        constraints: fields.texts("constraints"),
        preferences: fields.objects("preferences", |fields| Preference {
            spread: fields.text("spread"),
            extensions: fields.extensions(),
        }),
        max_replicas_per_node: fields.nonzero("max_replicas_per_node"),
        extensions: fields.extensions(),
    }
}

/// `count: all` is -1.
pub(super) fn device_request(fields: &Fields<'_>) -> DeviceRequest {
    DeviceRequest {
        capabilities: fields.texts("capabilities"),
        driver: fields.text("driver"),
        count: count(fields).filter(|count| *count != 0),
        device_ids: fields.texts("device_ids"),
        options: fields.mapping("options"),
    }
}

fn count(fields: &Fields<'_>) -> Option<i64> {
    let node = fields.node("count")?;
    let Some(text) = node.as_str() else { return fields.integer("count") };
    if text.eq_ignore_ascii_case("all") {
        return Some(-1);
    }
    let count = text.parse().ok();
    if count.is_none() {
        fields.problems.push(
            Diagnostic::error(
                "bad-value",
                format!("{} must be `all` or a whole number", fields.inner("count")),
            )
            .at(node.span, ""),
        );
    }
    count
}

pub(super) fn blkio(fields: &Fields<'_>) -> Blkio {
    Blkio {
        weight: fields.exact("weight").filter(|weight| *weight != 0),
        weight_device: fields.objects("weight_device", |fields| WeightDevice {
            path: fields.text("path").unwrap_or_default(),
            weight: fields.exact("weight").unwrap_or_default(),
        }),
        device_read_bps: fields.objects("device_read_bps", throttle),
        device_read_iops: fields.objects("device_read_iops", throttle),
        device_write_bps: fields.objects("device_write_bps", throttle),
        device_write_iops: fields.objects("device_write_iops", throttle),
        extensions: fields.extensions(),
    }
}

fn throttle(fields: &Fields<'_>) -> ThrottleDevice {
    ThrottleDevice {
        path: fields.text("path").unwrap_or_default(),
        rate: fields.bytes("rate").unwrap_or(Bytes(0)),
    }
}

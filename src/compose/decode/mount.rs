//! `volumes` of a service.

use super::fields::Fields;
use crate::project::{BindOptions, ImageOptions, ServiceMount, TmpfsOptions, VolumeOptions};

pub(super) fn mount(fields: &Fields<'_>) -> ServiceMount {
    ServiceMount {
        r#type: fields.text("type").unwrap_or_default(),
        source: fields.text("source"),
        target: fields.text("target"),
        read_only: fields.is_on("read_only"),
        consistency: fields.text("consistency"),
        bind: fields.object("bind").map(|fields| BindOptions {
            selinux: fields.text("selinux"),
            propagation: fields.text("propagation"),
            create_host_path: fields.is_on("create_host_path"),
            recursive: fields.text("recursive"),
            extensions: fields.extensions(),
        }),
        volume: fields.object("volume").map(|fields| VolumeOptions {
            labels: fields.mapping("labels"),
            nocopy: fields.is_on("nocopy"),
            subpath: fields.text("subpath"),
            extensions: fields.extensions(),
        }),
        tmpfs: fields.object("tmpfs").map(|fields| TmpfsOptions {
            size: fields.bytes("size"),
            mode: fields.exact("mode").filter(|mode| *mode != 0),
            extensions: fields.extensions(),
        }),
        image: fields
            .object("image")
            .map(|fields| ImageOptions { subpath: fields.text("subpath"), extensions: fields.extensions() }),
        extensions: fields.extensions(),
    }
}

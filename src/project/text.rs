//! The model as `config` prints it, in JSON and in YAML.

use serde_json::{Map, Value, json};

use super::{Build, Deploy, Extensions, FileObject, Hook, Project, Service, Ulimit, Watch, order::sort_maps};

impl Project {
    /// The model as `config --format json` prints it: top-level keys sorted, extensions only at the top.
    ///
    /// # Panics
    ///
    /// Never: every key of the model is text.
    pub fn to_json(&self) -> Value {
        let mut value = value(self);
        if let Value::Object(fields) = &mut value {
            fields.sort_keys();
        }
        value
    }

    /// The model as `config --format yaml` prints it: with extensions everywhere, models, and without what says
    /// nothing.
    ///
    /// # Panics
    ///
    /// Never: every key of the model is text.
    pub fn to_yaml(&self) -> Value {
        let mut top = Map::new();
        if !self.name.is_empty() {
            top.insert("name".to_owned(), json!(self.name));
        }
        let services = self.services.iter().map(|(name, service)| (name.clone(), service_yaml(service)));
        top.insert("services".to_owned(), services.collect());
        let networks = self.networks.iter().map(|(name, network)| {
            let mut fields = with(network, &network.extensions);
            if let Some(ipam) = fields.get_mut("ipam") {
                extend(ipam, &network.ipam.extensions);
                extend_each(ipam.get_mut("config"), network.ipam.config.iter().map(|pool| &pool.extensions));
            }
            drop_empty(&mut fields, "ipam");
            (name.clone(), fields)
        });
        insert(&mut top, "networks", networks.collect());
        let volumes =
            self.volumes.iter().map(|(name, volume)| (name.clone(), with(volume, &volume.extensions)));
        insert(&mut top, "volumes", volumes.collect());
        let files = |objects: &indexmap::IndexMap<String, FileObject>| -> Map<String, Value> {
            objects.iter().map(|(name, object)| (name.clone(), with(object, &object.extensions))).collect()
        };
        insert(&mut top, "secrets", files(&self.secrets));
        insert(&mut top, "configs", files(&self.configs));
        let models = self.models.iter().map(|(name, model)| (name.clone(), with(model, &model.extensions)));
        insert(&mut top, "models", models.collect());
        let mut top = Value::Object(top);
        extend(&mut top, &self.extensions);
        sort_maps(&mut top);
        top
    }
}

fn value(part: &impl serde::Serialize) -> Value {
    serde_json::to_value(part).expect("every key of the model is text")
}

fn with(part: &impl serde::Serialize, extensions: &Extensions) -> Value {
    let mut value = value(part);
    extend(&mut value, extensions);
    value
}

fn insert(top: &mut Map<String, Value>, key: &str, entries: Map<String, Value>) {
    if !entries.is_empty() {
        top.insert(key.to_owned(), Value::Object(entries));
    }
}

/// Adds extensions behind a part's own keys.
fn extend(value: &mut Value, extensions: &Extensions) {
    if let Value::Object(fields) = value {
        fields.extend(extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

fn extend_at<'a>(value: &mut Value, path: &[&str], extensions: impl IntoIterator<Item = &'a Extensions>) {
    let found = path.iter().try_fold(value, |value, key| value.get_mut(*key));
    if let Some(found) = found {
        extensions.into_iter().for_each(|extensions| extend(found, extensions));
    }
}

fn extend_each<'a>(list: Option<&mut Value>, extensions: impl Iterator<Item = &'a Extensions>) {
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    items.zip(extensions).for_each(|(item, extensions)| extend(item, extensions));
}

fn drop_empty(value: &mut Value, key: &str) {
    if let Value::Object(fields) = value
        && fields.get(key).and_then(Value::as_object).is_some_and(Map::is_empty)
    {
        fields.shift_remove(key);
    }
}

/// A command that is not set is not said.
fn drop_null(value: &mut Value, key: &str) {
    if let Value::Object(fields) = value
        && fields.get(key).is_some_and(Value::is_null)
    {
        fields.shift_remove(key);
    }
}

fn service_yaml(service: &Service) -> Value {
    let mut yaml = with(service, &service.extensions);
    drop_null(&mut yaml, "command");
    drop_null(&mut yaml, "entrypoint");
    if let Some(build) = &service.build {
        yaml["build"] = build_yaml(build);
    }
    if let Some(deploy) = &service.deploy {
        yaml["deploy"] = deploy_yaml(deploy);
    }
    limits_yaml(&mut yaml, &service.ulimits);
    if let Some(develop) = &service.develop {
        let watch: Vec<Value> = develop.watch.iter().map(watch_yaml).collect();
        if !watch.is_empty() {
            yaml["develop"]["watch"] = Value::Array(watch);
        }
        extend(&mut yaml["develop"], &develop.extensions);
    }
    if let Some(Value::Object(blkio)) = yaml.get_mut("blkio_config") {
        blkio.values_mut().filter_map(Value::as_array_mut).flatten().for_each(lower_keys);
    }
    for (key, hooks) in [("post_start", &service.post_start), ("pre_stop", &service.pre_stop)] {
        if !hooks.is_empty() {
            yaml[key] = hooks.iter().map(hook_yaml).collect();
        }
    }
    for (name, dependency) in &service.depends_on {
        extend_at(&mut yaml, &["depends_on", name], [&dependency.extensions]);
    }
    for (name, network) in &service.networks {
        extend_at(&mut yaml, &["networks", name], network.as_ref().map(|network| &network.extensions));
    }
    for (name, model) in &service.models {
        extend_at(&mut yaml, &["models", name], model.as_ref().map(|model| &model.extensions));
    }
    extend_at(&mut yaml, &["blkio_config"], service.blkio_config.as_ref().map(|part| &part.extensions));
    extend_at(&mut yaml, &["credential_spec"], service.credential_spec.as_ref().map(|part| &part.extensions));
    extend_at(&mut yaml, &["healthcheck"], service.healthcheck.as_ref().map(|part| &part.extensions));
    extend_at(&mut yaml, &["logging"], service.logging.as_ref().map(|part| &part.extensions));
    extend_at(&mut yaml, &["provider"], service.provider.as_ref().map(|part| &part.extensions));
    extend_each(yaml.get_mut("ports"), service.ports.iter().map(|port| &port.extensions));
    extend_each(yaml.get_mut("devices"), service.devices.iter().map(|device| &device.extensions));
    extend_each(yaml.get_mut("secrets"), service.secrets.iter().map(|secret| &secret.extensions));
    extend_each(yaml.get_mut("configs"), service.configs.iter().map(|config| &config.extensions));
    mounts_yaml(&mut yaml, service);
    yaml
}

fn mounts_yaml(yaml: &mut Value, service: &Service) {
    let items = yaml.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten();
    for (item, mount) in items.zip(&service.volumes) {
        extend_at(item, &["bind"], mount.bind.as_ref().map(|part| &part.extensions));
        extend_at(item, &["volume"], mount.volume.as_ref().map(|part| &part.extensions));
        extend_at(item, &["tmpfs"], mount.tmpfs.as_ref().map(|part| &part.extensions));
        extend_at(item, &["image"], mount.image.as_ref().map(|part| &part.extensions));
        extend(item, &mount.extensions);
    }
}

/// YAML shows both ends of a range, and a single limit of zero as one.
fn limits_yaml(yaml: &mut Value, limits: &indexmap::IndexMap<String, Ulimit>) {
    for (name, limit) in limits {
        yaml["ulimits"][name] = match *limit {
            Ulimit::Single(0) => json!({"soft": 0, "hard": 0}),
            Ulimit::Single(limit) => json!(limit),
            Ulimit::Range { soft, hard } => json!({"soft": soft, "hard": hard}),
        };
    }
}

fn build_yaml(build: &Build) -> Value {
    let mut yaml = with(build, &build.extensions);
    limits_yaml(&mut yaml, &build.ulimits);
    extend_each(yaml.get_mut("secrets"), build.secrets.iter().map(|secret| &secret.extensions));
    yaml
}

fn deploy_yaml(deploy: &Deploy) -> Value {
    let mut yaml = with(deploy, &deploy.extensions);
    for (key, config) in
        [("update_config", &deploy.update_config), ("rollback_config", &deploy.rollback_config)]
    {
        extend_at(&mut yaml, &[key], config.as_ref().map(|config| &config.extensions));
    }
    extend_at(&mut yaml, &["restart_policy"], deploy.restart_policy.as_ref().map(|part| &part.extensions));
    extend_at(&mut yaml, &["resources"], [&deploy.resources.extensions]);
    let resources = &deploy.resources;
    for (key, resource) in [("limits", &resources.limits), ("reservations", &resources.reservations)] {
        extend_at(&mut yaml, &["resources", key], resource.as_ref().map(|resource| &resource.extensions));
    }
    extend_at(&mut yaml, &["placement"], [&deploy.placement.extensions]);
    drop_empty(&mut yaml, "resources");
    drop_empty(&mut yaml, "placement");
    yaml
}

fn watch_yaml(watch: &Watch) -> Value {
    let mut yaml = with(watch, &watch.extensions);
    yaml["exec"] = hook_yaml(&watch.exec);
    drop_empty(&mut yaml, "exec");
    yaml
}

fn hook_yaml(hook: &Hook) -> Value {
    let mut yaml = with(hook, &hook.extensions);
    drop_null(&mut yaml, "command");
    yaml
}

fn lower_keys(value: &mut Value) {
    if let Value::Object(fields) = value {
        *fields =
            std::mem::take(fields).into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
    }
}

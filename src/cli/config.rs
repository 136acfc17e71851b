//! `config`: the canonical model, exactly as `docker compose config` prints it, and lists of what is in it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
};

use serde_json::{Map, Value};

use super::{
    CliError, Exit, Invocation,
    args::{ConfigArgs, ConfigFormat},
    digests, settings, variables,
};
use crate::{
    compose::{self, LoadOptions, tree::Node, yaml},
    plan::{self, service_hash},
    project::{Project, Service, go_json_indented, sort_all},
};

/// Prints the model, or what was asked of it.
///
/// # Errors
///
/// The files are wrong, a service is unknown, or the output cannot be written.
pub(super) async fn run(invocation: &Invocation, args: &ConfigArgs) -> Result<Exit, CliError> {
    let text = match list(invocation, args)? {
        _ if args.effective => effective(invocation, args)?,
        _ if args.variables => {
            variables::text(invocation, options(invocation, args, &args.services), args.format)?
        }
        Some(lines) => lines.into_iter().map(|line| line + "\n").collect(),
        None => model(invocation, args).await?,
    };
    if args.quiet {
        return Ok(Exit::Fine);
    }
    match &args.output {
        Some(file) => fs::write(file, text)
            .map_err(|e| CliError::failed(format!("failed to write `{}`", file.display())).caused_by(&e))?,
        None => match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(CliError::failed("failed to write to standard output").caused_by(&error));
            }
            _ => {}
        },
    }
    Ok(Exit::Fine)
}

fn options(invocation: &Invocation, args: &ConfigArgs, services: &[String]) -> LoadOptions {
    let mut options = invocation.load_options(services);
    options.skip.interpolation = args.no_interpolate;
    // Compose leaves the names of its older version alone.
    options.skip.normalisation = args.no_normalize || options.compatibility;
    options.skip.path_resolution = args.no_path_resolution;
    options.skip.consistency = args.no_consistency;
    options.skip.env_resolution = args.no_env_resolution;
    options
}

/// The project without `label_file`, whose labels are among the others by now.
fn load(invocation: &Invocation, options: &LoadOptions) -> Result<Project, CliError> {
    let mut project = invocation.load(options)?;
    project.services.values_mut().for_each(|service| service.label_file.clear());
    Ok(project)
}

/// The lines that were asked for; nothing where the model itself was.
fn list(invocation: &Invocation, args: &ConfigArgs) -> Result<Option<Vec<String>>, CliError> {
    let load_for = |services: &[String]| {
        let mut options = options(invocation, args, services);
        options.skip.env_resolution = !args.environment;
        load(invocation, &options)
    };
    let keys = |project: Project, of: fn(&Project) -> Vec<&String>| -> Vec<String> {
        of(&project).into_iter().cloned().collect()
    };
    let lines = if args.list_services {
        if args.no_interpolate {
            let tree = invocation.load_tree(&options(invocation, args, &[]))?;
            tree.get("services")
                .into_iter()
                .flat_map(Node::entries)
                .map(|(name, _)| name.to_owned())
                .collect()
        } else {
            in_order_of_dependencies(&load_for(&[])?)
        }
    } else if args.volumes {
        keys(load_for(&[])?, |project| project.volumes.keys().collect())
    } else if args.networks {
        keys(load_for(&[])?, |project| project.networks.keys().collect())
    } else if args.models {
        load_for(&[])?.models.into_values().filter_map(|model| model.model).collect()
    } else if args.profiles {
        profiles(&load_for(&args.services)?)
    } else if args.images {
        let project = load_for(&args.services)?;
        project.services.values().map(|service| project.image_name(service)).collect()
    } else if args.environment {
        let mut lines: Vec<String> = load_for(&args.services)?
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        lines.sort();
        lines
    } else if let Some(wanted) = &args.hash {
        let mut project = load_for(&[])?;
        project.apply_default_platform();
        hashes(&project, wanted)?
    } else {
        return Ok(None);
    };
    Ok(Some(lines))
}

/// The settings of `x-orch`, and where each came from.
fn effective(invocation: &Invocation, args: &ConfigArgs) -> Result<String, CliError> {
    let mut project = load(invocation, &options(invocation, args, &args.services))?;
    let settings = settings::settle(&mut project, &settings::Flags::new())?;
    Ok(match args.format.unwrap_or_default() {
        ConfigFormat::Json => format!("{:#}\n", settings::json(&settings)),
        ConfigFormat::Yaml => settings::text(&settings),
    })
}

/// Services, each behind what it depends on.
fn in_order_of_dependencies(project: &Project) -> Vec<String> {
    let depends_on = |service: &Service| service.depends_on.keys().cloned().collect();
    let edges = project.services.iter().map(|(name, service)| (name.clone(), depends_on(service))).collect();
    // A circle is refused by the loader, unless it was told not to look.
    plan::order(&edges).unwrap_or_else(|_| project.services.keys().cloned().collect())
}

fn profiles(project: &Project) -> Vec<String> {
    let services = project.services.values().chain(project.disabled_services.values());
    let profiles: BTreeSet<&String> = services.flat_map(|service| &service.profiles).collect();
    profiles.into_iter().cloned().collect()
}

/// `name hash` for the services named, or for all of them.
fn hashes(project: &Project, wanted: &str) -> Result<Vec<String>, CliError> {
    let mut names: Vec<&str> = match wanted {
        "*" => project.services.keys().map(String::as_str).collect(),
        _ => wanted.split(',').collect(),
    };
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| {
            let services = &project.services;
            let service = services
                .get(name)
                .ok_or_else(|| CliError::no_such_service(name, services.keys().map(String::as_str)))?;
            Ok(format!("{name} {}", service_hash(service)))
        })
        .collect()
}

/// The model as text.
async fn model(invocation: &Invocation, args: &ConfigArgs) -> Result<String, CliError> {
    let options = options(invocation, args, &args.services);
    if args.no_interpolate {
        return tree(invocation, args, &options).await;
    }
    let mut project = load(invocation, &options)?;
    if args.resolve_image_digests || args.lock_image_digests {
        let images = project.services.values_mut().filter_map(|service| service.image.as_mut());
        digests::pin(invocation, images).await?;
    }
    if args.lock_image_digests {
        let only = |service: Service| Service { image: service.image, ..Service::default() };
        let services = project.services.into_iter().map(|(name, service)| (name, only(service))).collect();
        project = Project { services, ..Project::default() };
    }
    let text = match args.format.unwrap_or_default() {
        ConfigFormat::Json => {
            refuse_ssh_paths(&project)?;
            go_json_indented(&project.to_json())
        }
        ConfigFormat::Yaml => yaml::write(&project.to_yaml()),
    };
    // So that the text can be read again as a Compose file.
    Ok(text.replace('$', "$$"))
}

/// The merged files as text, their variables as they are written.
async fn tree(invocation: &Invocation, args: &ConfigArgs, options: &LoadOptions) -> Result<String, CliError> {
    let mut tree = compose::tree_json(&invocation.load_tree(options)?);
    if args.resolve_image_digests || args.lock_image_digests {
        let services = tree.get_mut("services").and_then(Value::as_object_mut);
        let images = services.into_iter().flat_map(Map::values_mut).filter_map(|service| {
            match service.get_mut("image") {
                Some(Value::String(image)) => Some(image),
                _ => None,
            }
        });
        digests::pin(invocation, images).await?;
    }
    if args.lock_image_digests
        && let Some(top) = tree.as_object_mut()
    {
        top.retain(|key, _| key == "services");
        let services = top.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
        services.filter_map(Value::as_object_mut).for_each(|service| service.retain(|key, _| key == "image"));
    }
    Ok(match args.format.unwrap_or_default() {
        ConfigFormat::Json => go_json_indented(&tree),
        ConfigFormat::Yaml => {
            sort_all(&mut tree);
            yaml::write(&tree)
        }
    })
}

/// In JSON, Compose writes no key with a path: its text for one is no JSON, and it fails.
fn refuse_ssh_paths(project: &Project) -> Result<(), CliError> {
    for (name, service) in &project.services {
        let keys = service.build.iter().flat_map(|build| &build.ssh);
        if let Some(key) = keys.into_iter().find(|key| key.path.is_some()) {
            let message =
                format!("JSON cannot show `build.ssh` of service `{name}`: key `{}` has a path", key.id);
            return Err(CliError::failed(message).hint("print the model as YAML: leave `--format` out"));
        }
    }
    Ok(())
}

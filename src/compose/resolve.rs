//! Values that come from the project's environment or from files: bare names in `environment`, `env_file`,
//! `label_file`, secrets and configs.

use super::{
    source::Environment,
    tree::{Node, Value},
};

/// Gives the bare names in lists under `environment` their values, and configs the content they take from a
/// variable.
pub(super) fn environment(tree: &mut Node, environment: &Environment) {
    if let Some(services) = tree.get_mut("services") {
        for (_, entry) in services.entries_mut() {
            let Some(variables) = entry.value.get_mut("environment").and_then(Node::as_sequence_mut) else {
                continue;
            };
            variables.retain(|variable| variable.as_str().is_some());
            for variable in variables {
                if let Value::String(text) = &mut variable.value
                    && let Some(value) = environment.get(text)
                {
                    *text = format!("{text}={value}");
                }
            }
        }
    }
}

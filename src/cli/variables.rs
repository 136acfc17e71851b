//! `config --variables`: what the files ask for, and what stands in for it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{CliError, Invocation, args::ConfigFormat};
use crate::compose::{self, LoadOptions, Variable, yaml};

/// The variables of the files as text: a table where no format is given.
///
/// # Errors
///
/// The files are wrong.
pub(super) fn text(
    invocation: &Invocation,
    mut options: LoadOptions,
    format: Option<ConfigFormat>,
) -> Result<String, CliError> {
    options.skip.interpolation = true;
    let variables = compose::variables(&invocation.load_tree(&options)?);
    Ok(match format {
        None => table(&variables),
        Some(ConfigFormat::Json) => json(&variables),
        Some(ConfigFormat::Yaml) => {
            let fields = |name: &String, variable: &Variable| {
                json!({
                    "name": name,
                    "defaultvalue": variable.default,
                    "presencevalue": variable.alternate,
                    "required": variable.required,
                })
            };
            let all: Map<String, Value> =
                variables.iter().map(|(name, variable)| (name.clone(), fields(name, variable))).collect();
            // This one list of Compose is indented by four.
            yaml::write(&Value::Object(all)).replace("\n  ", "\n    ")
        }
    })
}

/// Columns at least twenty wide and three apart.
fn table(variables: &BTreeMap<String, Variable>) -> String {
    let headings = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned);
    let rows = variables.iter().map(|(name, variable)| {
        [name.clone(), variable.required.to_string(), variable.default.clone(), variable.alternate.clone()]
    });
    let rows: Vec<[String; 4]> = std::iter::once(headings).chain(rows).collect();
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        (widest + 3).max(20)
    };
    let widths = [width(0), width(1), width(2)];
    let line = |[name, required, default, alternate]: &[String; 4]| {
        let [first, second, third] = widths;
        format!("{name:first$}{required:second$}{default:third$}{alternate}\n")
    };
    rows.iter().map(line).collect()
}

/// Indented by four, with an empty line behind it.
fn json(variables: &BTreeMap<String, Variable>) -> String {
    let quote = |text: &str| Value::String(text.to_owned()).to_string();
    let entries: Vec<String> = variables
        .iter()
        .map(|(name, variable)| {
            format!(
                "    {name}: {{\n        \"Name\": {name},\n        \"DefaultValue\": {},\n        \
                 \"PresenceValue\": {},\n        \"Required\": {}\n    }}",
                quote(&variable.default),
                quote(&variable.alternate),
                variable.required,
                name = quote(name),
            )
        })
        .collect();
    if entries.is_empty() { "{}\n\n".to_owned() } else { format!("{{\n{}\n}}\n\n", entries.join(",\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, Variable> {
        let default = Variable { default: "a \"b\"".to_owned(), ..Variable::default() };
        let required = Variable { required: true, ..Variable::default() };
        [("TAG".to_owned(), default), ("TOKEN".to_owned(), required)].into()
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        assert_eq!(
            table(&variables()).replace(' ', "."),
            "NAME................REQUIRED............DEFAULT.VALUE.......ALTERNATE.VALUE\n\
             TAG.................false...............a.\"b\"...............\n\
             TOKEN...............true....................................\n"
        );
    }

    #[test]
    fn json_is_read_again_as_the_same() {
        let read: Value = serde_json::from_str(&json(&variables())).expect("it is JSON");
        assert_eq!(read["TAG"]["DefaultValue"], "a \"b\"");
        assert_eq!(read["TOKEN"]["Required"], true);
        assert_eq!(json(&BTreeMap::new()), "{}\n\n");
    }
}

//! Extension values kept as they are written.

use serde_json::{Map, Number, Value as Json};

use crate::compose::tree::{Node, Value};

/// A node as JSON: keys sorted, dates as text.
pub fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => Json::from(*number),
        Value::UInt(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Time(text) | Value::String(text) => Json::String(text.clone()),
        Value::Sequence(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Mapping(mapping) => {
            let mut map: Map<String, Json> =
                mapping.iter().map(|(key, entry)| (key.to_owned(), to_json(&entry.value))).collect();
            map.sort_keys();
            Json::Object(map)
        }
    }
}

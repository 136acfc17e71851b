//! The JSON Schema of the language, from the same table that checks files.

use serde_json::{Map, Value, json};

use super::{keys, shape::Shape};

/// What `${…}` may stand for: any value may be written as text that holds a variable.
const DURATION: &str = r"^([0-9.]+(ns|us|µs|ms|s|m|h|d|w))+$|^0$|\$\{";
const SIZE: &str = r"^[0-9.]+ ?([kmgtpKMGTP]?i?[bB]?)$|\$\{";
const SHARE: &str = r"^(all|any|[1-9][0-9]*|[0-9]+%)$|\$\{";

/// The JSON Schema (draft 2020-12) of `x-orch` at the top of a Compose file and in its services.
pub fn json_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "x-orch",
        "description": "The extension of Compose files that docker orch reads.",
        "type": "object",
        "properties": {
            "x-orch": { "$ref": "#/$defs/project" },
            "services": {
                "type": "object",
                "additionalProperties": {
                    "type": ["object", "null"],
                    "properties": { "x-orch": { "$ref": "#/$defs/service" } }
                }
            }
        },
        "$defs": { "project": of(&keys::PROJECT), "service": of(&keys::SERVICE) }
    })
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({"type": ["boolean", "string"]}),
        Shape::Text => json!({"type": ["string", "number", "boolean"]}),
        Shape::Duration => json!({"type": ["string", "integer"], "pattern": DURATION}),
        Shape::Size => json!({"type": ["string", "integer"], "pattern": SIZE}),
        Shape::Share => json!({"type": ["string", "integer"], "minimum": 1, "pattern": SHARE}),
        Shape::Fraction => {
            json!({"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": 1, "pattern": r"^[0-9.]+$|\$\{"})
        }
        Shape::Whole(least, most) => {
            json!({"type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": r"^[0-9]+$|\$\{"})
        }
        Shape::Word(words) => json!({"enum": words}),
        Shape::Any => json!(true),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Map(value) => json!({"type": "object", "additionalProperties": of(value)}),
        Shape::OneOf(shapes) => json!({"anyOf": shapes.iter().map(of).collect::<Vec<_>>()}),
        Shape::Object(keys) => {
            let properties: Map<String, Value> = keys
                .iter()
                .map(|key| {
                    let mut schema = of(&key.shape);
                    let note = if key.is_later { " (not acted on yet)" } else { "" };
                    if let Value::Object(schema) = &mut schema {
                        schema.insert("description".to_owned(), format!("{}{note}", key.doc).into());
                    }
                    (key.name.to_owned(), schema)
                })
                .collect();
            json!({"type": "object", "additionalProperties": false, "properties": properties})
        }
    }
}

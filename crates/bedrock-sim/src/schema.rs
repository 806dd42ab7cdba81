//! Creates simple values that match a JSON schema.

use serde_json::{Map, Value, json};

/// Maximum depth of references and nesting, because a schema may refer to itself.
const DEEPEST: usize = 8;

/// A small value that matches `schema`. Limits other than those of length, item count, and minimum are ignored.
pub fn example(schema: &Value) -> Value {
    value(schema, schema, 0)
}

fn value(schema: &Value, root: &Value, depth: usize) -> Value {
    let Some(object) = schema.as_object() else { return Value::Null };
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |target| value(target, root, depth + 1));
    }
    if let Some(given) = object.get("const").or_else(|| object.get("default")).or_else(|| first(object, "enum")) {
        return given.clone();
    }
    if let Some(choice) = ["anyOf", "oneOf", "allOf"].iter().find_map(|name| first(object, name)) {
        return value(choice, root, depth + 1);
    }
    let kind = object.get("type").and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("array") => array(object, root, depth),
        Some("string") => text(object),
        Some("integer") => object.get("minimum").filter(|least| least.is_i64()).cloned().unwrap_or_else(|| json!(0)),
        Some("number") => object.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => self::object(object, root, depth),
    }
}

fn first<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name)?.get(0)
}

fn object(schema: &Map<String, Value>, root: &Value, depth: usize) -> Value {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, property)| (name.clone(), value(property, root, depth + 1))).collect()
}

fn array(schema: &Map<String, Value>, root: &Value, depth: usize) -> Value {
    let least = schema.get("minItems").and_then(Value::as_u64).and_then(|least| usize::try_from(least).ok());
    let item = schema.get("items").map_or(Value::Null, |items| value(items, root, depth + 1));
    vec![item; least.unwrap_or(1).min(64)].into()
}

fn text(schema: &Map<String, Value>) -> Value {
    match schema.get("format").and_then(Value::as_str) {
        Some("date") => json!("2026-11-26"),
        Some("date-time") => json!("2026-11-26T12:00:00Z"),
        Some("time") => json!("12:00:00Z"),
        Some("email") => json!("harbor@example.com"),
        Some("uri") => json!("https://example.com/"),
        Some("uuid") => json!("00000000-0000-4000-8000-000000000001"),
        _ => {
            let length = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            let least = length("minLength").unwrap_or(0).clamp(1, 10_000);
            let most = length("maxLength").unwrap_or(usize::MAX);
            "harbor".chars().cycle().take(least.max(6).min(most)).collect::<String>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_has_an_example() {
        let schema = json!({"type": "object", "$defs": {"place": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "properties": {
            "kind": {"enum": ["a", "b"]}, "n": {"type": "integer", "minimum": 3}, "x": {"type": "number"}, "ok": {"type": "boolean"},
            "when": {"type": "string", "format": "date"}, "code": {"type": "string", "maxLength": 2},
            "list": {"type": "array", "items": {"$ref": "#/$defs/place"}, "minItems": 2},
            "maybe": {"type": ["string", "null"]}, "either": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        }});
        let expected = json!({
            "kind": "a", "n": 3, "x": 0, "ok": true, "when": "2026-11-26", "code": "ha",
            "list": [{"name": "harbor"}, {"name": "harbor"}], "maybe": "harbor", "either": null,
        });
        assert_eq!(example(&schema), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}});
        assert!(example(&schema).is_object());
    }
}

//! Requests to DynamoDB as documents, for snapshots.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use serde_json::{Map, Value, json};

/// `attributes` with plain values: a number is an `N`, a text is an `S`. The shortest names come first, so `:v2` is
/// before `:v10`.
#[must_use]
pub fn attributes<'a>(attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>) -> Value {
    sorted(attributes, plain)
}

fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(number) => number.parse::<i64>().map_or_else(|_| json!({"N": number}), Value::from),
        AttributeValue::Bool(is) => json!(is),
        other => json!(format!("{other:?}")),
    }
}

fn sorted<'a, T: 'a>(entries: impl IntoIterator<Item = (&'a String, &'a T)>, value: impl Fn(&T) -> Value) -> Value {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(name, _)| (name.len(), *name));
    entries.into_iter().map(|(name, each)| (name.clone(), value(each))).collect::<Map<_, _>>().into()
}

/// The item that `update` changes, the expressions with their names and values, and the table.
#[must_use]
pub fn update(update: &Update) -> Value {
    json!({
        "table": update.table_name(),
        "key": attributes(update.key()),
        "update": update.update_expression(),
        "condition": update.condition_expression(),
        "names": update.expression_attribute_names().map(|names| sorted(names, |name| json!(name))),
        "values": update.expression_attribute_values().map(attributes),
    })
}

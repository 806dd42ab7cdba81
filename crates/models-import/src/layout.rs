//! The layout of the catalogue's files. Each field and each price has its own line, which makes diffs easy to review.

use std::io;

use anyhow::{Context, Result};
use sentry_models::catalogue::file::{Entry, ProviderFile};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::Formatter;

/// JSON on one line, with a space after commas and colons.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Serializes `value` on one line.
///
/// # Errors
/// If `value` cannot be serialized as JSON.
pub fn line(value: &impl Serialize) -> Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, OneLine))?;
    String::from_utf8(bytes).context("JSON is UTF-8")
}

/// Serializes the file of a provider.
///
/// # Errors
/// If the file cannot be serialized as JSON.
pub fn provider_file(file: &ProviderFile<Entry>) -> Result<String> {
    let mut models = Vec::new();
    for entry in &file.models {
        models.push(format!("    {{\n{}\n    }}", fields(entry)?.join(",\n")));
    }
    let (takes, profile_only) = (lines(&file.takes, 4)?, lines(&file.profile_only, 4)?);
    Ok(format!(
        "{{\n  \"provider\": {},\n  \"takes\": {takes},\n  \"profileOnly\": {profile_only},\n  \"models\": [\n{}\n  ]\n}}\n",
        line(&file.provider)?,
        models.join(",\n")
    ))
}

/// The fields of an entry in their fixed order, one for each line.
fn fields(entry: &Entry) -> Result<Vec<String>> {
    let value = serde_json::to_value(entry)?;
    let has = |name: &str| value.get(name).is_some();
    let mut fields = Vec::new();
    for (name, text) in [
        ("model", line(&entry.model)?),
        ("aliases", line(&entry.aliases)?),
        ("contextWindow", line(&entry.context_window)?),
        ("outputLimit", line(&entry.output_limit)?),
        ("maxTokens", line(&entry.max_tokens)?),
        ("takes", line(&entry.takes)?),
        ("ends", line(&entry.ends)?),
        ("successor", line(&entry.successor)?),
        ("fallback", line(&entry.fallback)?),
        ("offer", line(&entry.offer)?),
        ("forms", line(&entry.forms)?),
        ("kept", line(&entry.kept)?),
        ("prices", lines(&entry.prices, 8)?),
    ] {
        if has(name) {
            fields.push(format!("      \"{name}\": {text}"));
        }
    }
    Ok(fields)
}

/// A list with one value for each line, indented by `indent` spaces.
fn lines<T: Serialize>(values: &[T], indent: usize) -> Result<String> {
    if values.is_empty() {
        return Ok("[]".to_owned());
    }
    let values =
        values.iter().map(|value| Ok(format!("{:indent$}{}", "", line(value)?))).collect::<Result<Vec<_>>>()?;
    Ok(format!("[\n{}\n{:outer$}]", values.join(",\n"), "", outer = indent.saturating_sub(2)))
}

/// An object with one member for each line, sorted at every depth.
///
/// # Errors
/// If the object cannot be serialized as JSON.
pub fn rows(object: &serde_json::Map<String, Value>) -> Result<String> {
    let mut object = Value::Object(object.clone());
    object.sort_all_objects();
    let rows =
        object.as_object().into_iter().flatten().map(|(key, value)| Ok(format!("  {}: {}", line(key)?, line(value)?)));
    Ok(format!("{{\n{}\n}}\n", rows.collect::<Result<Vec<_>>>()?.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extract_is_sorted_so_a_new_row_is_the_only_difference() {
        let Ok(Value::Object(extract)) = serde_json::from_str(r#"{"b": {"d": [2], "c": 1}, "a": 3}"#) else { panic!() };
        assert_eq!(rows(&extract).unwrap(), "{\n  \"a\": 3,\n  \"b\": {\"c\": 1, \"d\": [2]}\n}\n");
    }
}

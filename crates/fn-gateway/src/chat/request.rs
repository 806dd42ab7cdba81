//! The body of a request.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{messages, tools};
use crate::document::{Prompt, raw, unsupported};
use crate::errors::ApiError;
use crate::fields::{Fields, invalid, is_text};

/// A request that was read.
pub struct Request {
    /// The model, by any name that a document accepts.
    pub model: String,
    /// The prompt of the document.
    pub prompt: Prompt,
    /// The field `metadata`, whose entries become tags.
    pub tags: BTreeMap<String, String>,
    /// `user`, the end user.
    pub user: Option<String>,
    /// `true` if the client wants the answer in events.
    pub in_events: bool,
    /// `true` if the client wants the usage in events.
    pub with_usage: bool,
}

/// Reads the body of a request.
///
/// # Errors
/// If a field has no place in a document, or is of another type.
pub fn read(body: &[u8]) -> Result<Request, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let model = fields.required_text("model")?;
    let in_events = fields.typed("stream", "true or false")?.unwrap_or(false);
    let with_usage = with_usage(&mut fields, in_events)?;
    rest(fields, model, in_events, with_usage)
}

/// Reads the body of `InvokeModel`. The path names the model, and the operation says how the answer comes.
///
/// # Errors
/// If a field contradicts the path or the operation, has no place in a document, or is of another type.
pub fn read_invoked(mut fields: Fields<'_>, model: &str, in_events: bool) -> Result<Request, ApiError> {
    if fields.text("model")?.is_some_and(|named| named != model) {
        return Err(invalid("model", "must be the model of the path"));
    }
    if fields.typed("stream", "true or false")? == Some(!in_events) {
        return Err(invalid("stream", "contradicts the operation"));
    }
    // Every answer of this operation has its usage.
    with_usage(&mut fields, in_events)?;
    rest(fields, model.to_owned(), in_events, false)
}

fn rest(mut fields: Fields<'_>, model: String, in_events: bool, with_usage: bool) -> Result<Request, ApiError> {
    let tags = fields.typed("metadata", "an object whose values are texts")?.unwrap_or_default();
    let user = fields.text("user")?;
    let (messages, uses_tools) = messages::read(&mut fields)?;
    let (tools, tool_choice) = tools::read(&mut fields, uses_tools)?;
    let prompt = Prompt {
        messages: Some(messages),
        parameters: parameters(&mut fields)?,
        tools,
        tool_choice,
        service_tier: fields.text("service_tier")?.filter(|tier| tier != "auto"),
        reasoning: reasoning(&mut fields)?,
        output_format: output_format(&mut fields)?,
        ..Prompt::default()
    };
    accept_defaults(&mut fields)?;
    fields.end()?;
    Ok(Request { model, prompt, tags, user, in_events, with_usage })
}

/// Reads `stream_options.include_usage`: `true` if the client wants the usage in events.
fn with_usage(fields: &mut Fields<'_>, in_events: bool) -> Result<bool, ApiError> {
    let Some(mut options) = fields.object("stream_options")? else { return Ok(false) };
    if !in_events {
        return Err(invalid("stream_options", "is only allowed with stream"));
    }
    let with_usage = options.typed("include_usage", "true or false")?.unwrap_or(false);
    // Random characters in each chunk, which hide its length.
    if options.typed("include_obfuscation", "true or false")? == Some(true) {
        return Err(unsupported("stream_options.include_obfuscation", "only false is supported"));
    }
    options.end()?;
    Ok(with_usage)
}

fn parameters(fields: &mut Fields<'_>) -> Result<BTreeMap<&'static str, Box<RawValue>>, ApiError> {
    let (old, new) = (fields.raw("max_tokens"), fields.raw("max_completion_tokens"));
    if old.is_some() && new.is_some() {
        return Err(invalid("max_tokens", "and max_completion_tokens cannot be given both"));
    }
    let stop = match fields.raw("stop") {
        Some(one) if is_text(&one) => Some(raw([one])?),
        several => several,
    };
    let given = [
        ("max_tokens", old.or(new)),
        ("temperature", fields.raw("temperature")),
        ("top_p", fields.raw("top_p")),
        ("stop_sequences", stop),
    ];
    Ok(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// `reasoning_effort`. The efforts `minimal` and `xhigh` exist only at OpenAI.
fn reasoning(fields: &mut Fields<'_>) -> Result<Option<Value>, ApiError> {
    match fields.text("reasoning_effort")?.as_deref() {
        None => Ok(None),
        Some("none") => Ok(Some(json!({"off": true}))),
        Some(effort @ ("low" | "medium" | "high" | "max")) => Ok(Some(json!({"effort": effort}))),
        Some(_) => Err(unsupported("reasoning_effort", "only none, low, medium, high and max are supported")),
    }
}

/// `response_format`. Structured output of Bedrock always follows the schema, so `strict` changes nothing.
fn output_format(fields: &mut Fields<'_>) -> Result<Option<Box<RawValue>>, ApiError> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    let wanted = match format.required_text("type")?.as_str() {
        "text" => None,
        "json_schema" => {
            let mut schema =
                format.object("json_schema")?.ok_or_else(|| invalid("response_format.json_schema", "is required"))?;
            let (name, definition) = (schema.required("name")?, schema.required("schema")?);
            let description = schema.take("description");
            schema.typed::<bool>("strict", "true or false")?;
            schema.end()?;
            Some(raw(OutputFormat { json_schema: NamedSchema { name, schema: definition, description } })?)
        }
        _ => return Err(unsupported("response_format.type", "only text and json_schema are supported")),
    };
    format.end()?;
    Ok(wanted)
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputFormat<'a> {
    json_schema: NamedSchema<'a>,
}

#[derive(serde::Serialize)]
struct NamedSchema<'a> {
    name: &'a RawValue,
    schema: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a RawValue>,
}

/// Accepts fields that have no place in a document, if their value is OpenAI's default.
fn accept_defaults(fields: &mut Fields<'_>) -> Result<(), ApiError> {
    let defaults = [
        ("n", json!([1])),
        ("store", json!([false])),
        ("logprobs", json!([false])),
        ("frequency_penalty", json!([0, 0.0])),
        ("presence_penalty", json!([0, 0.0])),
        ("logit_bias", json!([{}])),
        ("modalities", json!([["text"]])),
        ("parallel_tool_calls", json!([true])),
    ];
    for (name, accepted) in defaults {
        let Some(value) = fields.take(name) else { continue };
        let value: Value = serde_json::from_str(value.get()).map_err(|_| invalid(name, "cannot be read"))?;
        let accepted = accepted.as_array().map(Vec::as_slice).unwrap_or_default();
        if !accepted.contains(&value) {
            let default = accepted.first().map(Value::to_string).unwrap_or_default();
            return Err(unsupported(name, &format!("only {default} is supported")));
        }
    }
    Ok(())
}

//! The body of a request.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::Version;
use super::blocks::{cache_point, content, is_cached};
use crate::document::{Prompt, raw, unsupported};
use crate::errors::ApiError;
use crate::fields::{Fields, invalid, items, text};

/// The name of the schema of `output_config.format`, for which Anthropic has no name and Converse needs one.
const SCHEMA_NAME: &str = "answer";
/// Features that clients ask for with a header or a field, although they are generally available, or only permit a
/// field that the gateway reads or refuses by itself. Source: Claude Docs, "Beta headers" and the pages of the features.
const FEATURES: [&str; 11] = [
    "effort-2025-11-24",
    "extended-cache-ttl-2025-04-11",
    "fine-grained-tool-streaming-2025-05-14",
    "max-tokens-3-5-sonnet-2024-07-15",
    "messages-2023-12-15",
    "output-128k-2025-02-19",
    "pdfs-2024-09-25",
    "prompt-caching-2024-07-31",
    "structured-outputs-2025-11-13",
    "tools-2024-04-04",
    "tools-2024-05-16",
];

/// A body that was read.
pub struct Read {
    /// The prompt of the document.
    pub prompt: Prompt,
    /// The end user, from `metadata.user_id`.
    pub user: Option<String>,
    /// The stop sequence, if there is only one.
    pub only_stop: Option<String>,
}

/// Reads the fields of a body that are the same in `InvokeModel` and in Messages.
///
/// # Errors
/// If a field is not acceptable. The error has its path.
pub fn read(mut fields: Fields<'_>, version: Version) -> Result<Read, ApiError> {
    let mut prompt = Prompt { parameters: parameters(&mut fields, version)?, ..Prompt::default() };
    let stop: Option<Vec<String>> =
        prompt.parameters.get("stop_sequences").and_then(|stop| serde_json::from_str(stop.get()).ok());
    if stop.as_ref().is_some_and(|stop| stop.len() > 1) {
        // Converse has no other field for the one that the model wrote.
        prompt.additional_model_response_field_paths = Some(raw(["/stop_sequence"])?);
    }
    let only_stop = stop.filter(|stop| stop.len() == 1).and_then(|mut stop| stop.pop());
    let system = fields.take("system").filter(|system| system.get() != "\"\"");
    prompt.system = system.map(|system| content("system", system)).transpose()?;
    prompt.messages = Some(messages(&mut fields)?);
    prompt.tools = fields.list("tools")?.map(tools).transpose()?;
    prompt.tool_choice = fields.object("tool_choice")?.map(tool_choice).transpose()?;
    thinking(&mut fields, &mut prompt)?;
    output_config(&mut fields, &mut prompt)?;
    let user = match fields.object("metadata")? {
        Some(mut metadata) => {
            let user = metadata.text("user_id")?;
            metadata.end()?;
            user
        }
        None => None,
    };
    service_tier(&mut fields)?;
    for (path, feature) in fields.list("anthropic_beta")?.unwrap_or_default() {
        known_feature(&path, &text(&path, feature)?)?;
    }
    fields.end()?;
    Ok(Read { prompt, user: user.filter(|user| !user.is_empty()), only_stop })
}

/// Refuses a feature that the gateway cannot give.
///
/// # Errors
/// If it is not known.
pub fn known_feature(path: &str, feature: &str) -> Result<(), ApiError> {
    if FEATURES.contains(&feature) {
        return Ok(());
    }
    Err(unsupported(path, &format!("of these features, only {} can be named", FEATURES.join(", "))))
}

fn parameters(fields: &mut Fields<'_>, version: Version) -> Result<BTreeMap<&'static str, Box<RawValue>>, ApiError> {
    let names = ["max_tokens", "temperature", "top_p", "top_k", "stop_sequences"];
    let mut parameters = BTreeMap::new();
    for name in names {
        let sampling = matches!(name, "temperature" | "top_p" | "top_k");
        match fields.raw(name) {
            Some(_) if sampling && version == Version::Second => {
                return Err(invalid(name, "is no parameter of the API version 2026-10-21"));
            }
            Some(value) => drop(parameters.insert(name, value)),
            None if name == "max_tokens" => return Err(invalid(name, "is required")),
            None => {}
        }
    }
    Ok(parameters)
}

fn messages(fields: &mut Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    let list = items("messages", fields.required("messages")?)?;
    let messages = list.into_iter().map(|(path, message)| {
        let mut message = Fields::of(path, message)?;
        let role = message.required_text("role")?;
        if role != "user" && role != "assistant" {
            return Err(invalid(&message.path("role"), "must be user or assistant"));
        }
        let content = content(&message.path("content"), message.required("content")?)?;
        message.end()?;
        raw(json!({"role": role})).and_then(|role| with(&role, "content", &content))
    });
    raw(messages.collect::<Result<Vec<_>, _>>()?)
}

/// `object` with one more field, whose text is kept.
fn with(object: &RawValue, name: &str, value: &RawValue) -> Result<Box<RawValue>, ApiError> {
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_str(object.get()).unwrap_or_default();
    fields.insert(name, value);
    raw(fields)
}

fn tools(list: Vec<(String, &RawValue)>) -> Result<Box<RawValue>, ApiError> {
    let mut tools = Vec::new();
    for (path, tool) in list {
        let mut tool = Fields::of(path, tool)?;
        if tool.text("type")?.is_some_and(|kind| kind != "custom") {
            return Err(unsupported(&tool.path("type"), "only tools of the client, of the type custom, are supported"));
        }
        let mut spec = BTreeMap::from([("name", raw(tool.required_text("name")?)?)]);
        spec.insert("inputSchema", raw(BTreeMap::from([("json", tool.required("input_schema")?)]))?);
        for name in ["description", "strict"] {
            spec.extend(tool.raw(name).map(|value| (name, value)));
        }
        let cached = is_cached(&mut tool)?;
        tool.end()?;
        tools.push(raw(BTreeMap::from([("toolSpec", spec)]))?);
        tools.extend(cached.map(cache_point).transpose()?);
    }
    raw(tools)
}

fn tool_choice(mut choice: Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    let alone = "disable_parallel_tool_use";
    if choice.typed(alone, "true or false")?.unwrap_or(false) {
        return Err(unsupported(&choice.path(alone), "Converse cannot ask for one tool at a time"));
    }
    let chosen = match choice.required_text("type")?.as_str() {
        "auto" => json!({"auto": {}}),
        "any" => json!({"any": {}}),
        "tool" => json!({"tool": {"name": choice.required_text("name")?}}),
        "none" => return Err(unsupported(&choice.path("type"), "Converse has no none; leave the tools out")),
        _ => return Err(invalid(&choice.path("type"), "must be auto, any, tool or none")),
    };
    choice.end()?;
    raw(chosen)
}

/// `thinking` with only a budget, or disabled, is the sentry's `reasoning`. Any other form goes to the model as it is.
fn thinking(fields: &mut Fields<'_>, prompt: &mut Prompt) -> Result<(), ApiError> {
    let Some(given) = fields.take("thinking") else { return Ok(()) };
    let mut thinking = Fields::of("thinking".to_owned(), given)?;
    let kind = thinking.required_text("type")?;
    let budget: Option<u64> = thinking.typed("budget_tokens", "a whole number")?;
    prompt.reasoning = match (kind.as_str(), budget, thinking.end().is_ok()) {
        ("enabled", Some(tokens), true) => Some(json!({"budgetTokens": tokens})),
        ("disabled", None, true) => Some(json!({"off": true})),
        _ => None,
    };
    if prompt.reasoning.is_none() {
        prompt.additional_model_request_fields.insert("thinking".to_owned(), given.to_owned());
    }
    Ok(())
}

/// `output_config`, and the older field `output_format`.
fn output_config(fields: &mut Fields<'_>, prompt: &mut Prompt) -> Result<(), ApiError> {
    let older = fields.object("output_format")?;
    let Some(mut config) = fields.object("output_config")? else {
        prompt.output_format = older.map(output_format).transpose()?;
        return Ok(());
    };
    if let Some(effort) = config.raw("effort") {
        let effort = raw(BTreeMap::from([("effort", effort)]))?;
        prompt.additional_model_request_fields.insert("output_config".to_owned(), effort);
    }
    let newer = config.object("format")?;
    config.end()?;
    prompt.output_format = match (newer, older) {
        (Some(_), Some(_)) => return Err(invalid("output_format", "is there twice: also as output_config.format")),
        (newer, older) => newer.or(older).map(output_format).transpose()?,
    };
    Ok(())
}

fn output_format(mut format: Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    if format.required_text("type")? != "json_schema" {
        return Err(invalid(&format.path("type"), "must be json_schema"));
    }
    let schema = format.required("schema")?.to_owned();
    format.end()?;
    raw(BTreeMap::from([("jsonSchema", BTreeMap::from([("name", raw(SCHEMA_NAME)?), ("schema", schema)]))]))
}

/// `auto` and `standard_only` are the default tier, because the account has no priority tier of Anthropic.
fn service_tier(fields: &mut Fields<'_>) -> Result<(), ApiError> {
    match fields.text("service_tier")?.as_deref() {
        None | Some("auto" | "standard_only") => Ok(()),
        Some(_) => Err(invalid("service_tier", "must be auto or standard_only")),
    }
}

//! A Messages body as the Converse document with the same meaning.

use serde_json::{Map, Value, json};

use super::blocks;
use crate::{
    error::ApiError,
    fields::{self, Fields},
};

/// The only value of `anthropic_version` on Bedrock.
const VERSION: &str = "bedrock-2023-05-31";
/// Fields of the body. `model` and `stream` are not among them, because Bedrock has them in the path.
const KNOWN: [&str; 15] = [
    "anthropic_version",
    "anthropic_beta",
    "max_tokens",
    "messages",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "context_management",
    "metadata",
];
/// Fields that Converse has in `additionalModelRequestFields`.
const EXTRA: [&str; 4] = ["anthropic_beta", "top_k", "thinking", "context_management"];

/// The Converse document with the meaning of this body.
///
/// # Errors
/// A `ValidationException` that names the field that Bedrock or the simulator does not accept.
pub fn document(body: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let body = Fields::new(body, "#", &KNOWN)?;
    if body.text("anthropic_version")? != VERSION {
        // This message is the simulator's own. It is not from AWS.
        return Err(ApiError::validation(format!("anthropic_version: Input should be '{VERSION}'")));
    }
    if let Some(metadata) = body.object("metadata")? {
        Fields::new(metadata, "#/metadata", &["user_id"])?.string("user_id")?;
    }
    let mut extra: Map<String, Value> =
        EXTRA.iter().filter_map(|name| Some(((*name).to_owned(), body.get(name)?.clone()))).collect();
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("messages", messages(&body)?);
    set("inferenceConfig", settings(&body)?);
    if let Some(system) = body.get("system") {
        set("system", blocks::content(system, "system")?.into());
    }
    if let Some(tools) = body.list("tools")? {
        set("toolConfig", tool_config(tools, body.object("tool_choice")?)?);
    }
    if let Some(config) = body.object("output_config")? {
        let config = Fields::new(config, "#/output_config", &["effort", "format"])?;
        if let Some(effort) = config.string("effort")? {
            extra.insert("output_config".to_owned(), json!({"effort": effort}));
        }
        if let Some(format) = config.object("format")? {
            set("outputConfig", output_format(format)?);
        }
    }
    if !extra.is_empty() {
        set("additionalModelRequestFields", extra.into());
    }
    Ok(document)
}

fn settings(body: &Fields<'_>) -> Result<Value, ApiError> {
    let most = body.integer("max_tokens", 1)?.ok_or_else(|| body.missing("max_tokens"))?;
    let mut settings = json!({"maxTokens": most, "stopSequences": body.strings("stop_sequences")?});
    for (name, converse) in [("temperature", "temperature"), ("top_p", "topP")] {
        if let Some(number) = body.fraction(name)? {
            fields::set(&mut settings, converse, number);
        }
    }
    Ok(settings)
}

/// The messages. Consecutive messages of the same role are one turn. Source: Claude docs, Messages, `messages`.
fn messages(body: &Fields<'_>) -> Result<Value, ApiError> {
    let list = body.list("messages")?.ok_or_else(|| body.missing("messages"))?;
    let mut turns: Vec<(Value, Vec<Value>)> = Vec::new();
    for (index, message) in list.iter().enumerate() {
        let place = format!("messages.{index}");
        let message = blocks::object(message, &place)?;
        let message = Fields::new(message, &place, &["role", "content"])?;
        let role = message.get("role").cloned().ok_or_else(|| message.missing("role"))?;
        let content = message.get("content").ok_or_else(|| message.missing("content"))?;
        let content = blocks::content(content, &format!("{place}.content"))?;
        match turns.last_mut() {
            Some((before, blocks)) if *before == role => blocks.extend(content),
            _ => turns.push((role, content)),
        }
    }
    Ok(turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect())
}

fn tool_config(tools: &[Value], choice: Option<&Map<String, Value>>) -> Result<Value, ApiError> {
    let mut list = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let place = format!("tools.{index}");
        let tool = blocks::object(tool, &place)?;
        let known = ["type", "name", "description", "input_schema", "strict", "cache_control"];
        if tool.get("type").is_some_and(|kind| kind != "custom" && !kind.is_null()) {
            return Err(ApiError::validation(format!("bedrock-sim: {place}: only custom tools are served.")));
        }
        let tool = Fields::new(tool, &place, &known)?;
        let schema = tool.object("input_schema")?.ok_or_else(|| tool.missing("input_schema"))?;
        let mut spec = json!({"name": tool.text("name")?, "inputSchema": {"json": schema}});
        for name in ["description", "strict"] {
            if let Some(value) = tool.get(name) {
                fields::set(&mut spec, name, value.clone());
            }
        }
        list.push(json!({"toolSpec": spec}));
        list.extend(blocks::cache_point(&tool, &place)?);
    }
    let mut config = json!({"tools": list});
    if let Some(choice) = choice.map(tool_choice).transpose()?.flatten() {
        fields::set(&mut config, "toolChoice", choice);
    }
    Ok(config)
}

/// Converse has no form for `none`. The simulator asks for no tool without a choice, so it needs none.
fn tool_choice(choice: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let choice = Fields::new(choice, "#/tool_choice", &["type", "name", "disable_parallel_tool_use"])?;
    match choice.text("type")? {
        kind @ ("auto" | "any") => Ok(Some(json!({kind: {}}))),
        "tool" => Ok(Some(json!({"tool": {"name": choice.text("name")?}}))),
        "none" => Ok(None),
        _ => Err(ApiError::validation("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")),
    }
}

fn output_format(format: &Map<String, Value>) -> Result<Value, ApiError> {
    let format = Fields::new(format, "#/output_config/format", &["type", "schema"])?;
    let schema = format.object("schema")?.ok_or_else(|| format.missing("schema"))?;
    let schema = Value::from(schema.clone()).to_string();
    let structure = json!({"jsonSchema": {"schema": schema}});
    Ok(json!({"textFormat": {"type": format.text("type")?, "structure": structure}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: &Value) -> Result<Value, String> {
        let mut body =
            json!({"anthropic_version": VERSION, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        for (name, value) in more.as_object().unwrap() {
            fields::set(&mut body, name, value.clone());
        }
        document(body.as_object().unwrap()).map(Value::from).map_err(|error| error.message)
    }

    #[test]
    fn a_body_is_the_converse_document_of_the_same_meaning() {
        let schema = json!({"type": "object", "properties": {}});
        let found = read(&json!({
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            "temperature": 0.5, "top_p": 0.9, "top_k": 3, "stop_sequences": ["X"], "metadata": {"user_id": "u"},
            "tools": [{"type": "custom", "name": "find", "description": "Finds.", "input_schema": schema, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema}},
        }));
        let structure = json!({"jsonSchema": {"schema": schema.to_string()}});
        let expected = json!({
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["X"]},
            "toolConfig": {
                "tools": [
                    {"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": schema}}},
                    {"cachePoint": {"type": "default"}},
                ],
                "toolChoice": {"any": {}},
            },
            "additionalModelRequestFields": {"top_k": 3, "output_config": {"effort": "low"}},
            "outputConfig": {"textFormat": {"type": "json_schema", "structure": structure}},
        });
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn consecutive_messages_of_one_role_are_one_turn() {
        let user = |text: &str| json!({"role": "user", "content": text});
        let found =
            read(&json!({"messages": [user("a"), user("b"), {"role": "assistant", "content": "c"}, user("d")]}));
        let texts = |texts: &[&str]| texts.iter().map(|text| json!({"text": text})).collect::<Vec<_>>();
        let expected = json!([
            {"role": "user", "content": texts(&["a", "b"])},
            {"role": "assistant", "content": texts(&["c"])},
            {"role": "user", "content": texts(&["d"])},
        ]);
        assert_eq!(found.unwrap()["messages"], expected);
    }

    #[test]
    fn fields_that_bedrock_does_not_have_are_refused_by_name() {
        for (more, named) in [
            (json!({"stream": true}), "[stream]"),
            (json!({"model": "claude"}), "[model]"),
            (json!({"service_tier": "auto"}), "[service_tier]"),
            (json!({"mcp_servers": []}), "[mcp_servers]"),
            (json!({"anthropic_version": "2023-06-01"}), "anthropic_version"),
            (json!({"anthropic_version": null}), "[anthropic_version]"),
            (json!({"max_tokens": null}), "[max_tokens]"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"temperature": 2}), "temperature"),
            (json!({"messages": null}), "[messages]"),
            (json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}), "tools.0"),
            (json!({"tools": [], "tool_choice": {"type": "some"}}), "tool_choice.type"),
            (json!({"metadata": {"team": "a"}}), "[team]"),
        ] {
            let error = read(&more).unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
        }
    }
}

//! Content blocks of Anthropic as content blocks of Converse.

use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
};

/// The Converse blocks of a `content` or a `system`: a string, or a list of blocks.
///
/// # Errors
/// A `ValidationException` if a block is malformed or of a kind that the simulator does not have.
pub fn content(content: &Value, place: &str) -> Result<Vec<Value>, ApiError> {
    if let Value::String(text) = content {
        return Ok(vec![json!({"text": text})]);
    }
    let list = content.as_array();
    let list = list.ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONArray")))?;
    let mut blocks = Vec::new();
    for (index, block) in list.iter().enumerate() {
        let place = format!("{place}.{index}");
        let block = object(block, &place)?;
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        let fields = Fields::new(block, &place, &[known(kind, &place)?, &["type", "cache_control"]].concat())?;
        blocks.push(translated(kind, &fields, &place)?);
        blocks.extend(cache_point(&fields, &place)?);
    }
    Ok(blocks)
}

/// A value that must be an object.
///
/// # Errors
/// A `ValidationException` for every other value.
pub fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, ApiError> {
    value.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))
}

/// The `cachePoint` for the `cache_control` of a block or a tool. `None` if it has none.
///
/// # Errors
/// A `ValidationException` if the `cache_control` is not `ephemeral`.
pub fn cache_point(fields: &Fields<'_>, place: &str) -> Result<Option<Value>, ApiError> {
    let Some(control) = fields.object("cache_control")? else { return Ok(None) };
    let control = Fields::new(control, place, &["type", "ttl"])?;
    if control.text("type")? != "ephemeral" {
        return Err(ApiError::validation(format!("{place}.cache_control.type: Input should be 'ephemeral'")));
    }
    let mut point = json!({"type": "default"});
    if let Some(ttl) = control.string("ttl")? {
        fields::set(&mut point, "ttl", ttl);
    }
    Ok(Some(json!({"cachePoint": point})))
}

/// The fields of a kind of block, without `type` and `cache_control`.
fn known(kind: &str, place: &str) -> Result<&'static [&'static str], ApiError> {
    match kind {
        "" => Err(fields::malformed(format_args!("{place}: required key [type] not found"))),
        "text" => Ok(&["text", "citations"]),
        "image" => Ok(&["source"]),
        "tool_use" => Ok(&["id", "name", "input"]),
        "tool_result" => Ok(&["tool_use_id", "content", "is_error"]),
        "thinking" => Ok(&["thinking", "signature"]),
        "redacted_thinking" => Ok(&["data"]),
        _ => Err(ApiError::validation(format!("bedrock-sim: {place}: a block of type {kind} is not served."))),
    }
}

fn translated(kind: &str, fields: &Fields<'_>, place: &str) -> Result<Value, ApiError> {
    let text = |name: &str| fields.string(name)?.ok_or_else(|| fields.missing(name));
    let value = |name: &str| fields.get(name).ok_or_else(|| fields.missing(name));
    Ok(match kind {
        "text" if fields.get("citations").is_some() => {
            return Err(ApiError::validation(format!("bedrock-sim: {place}: citations are not served.")));
        }
        "text" => json!({"text": text("text")?}),
        "image" => image(value("source")?, place)?,
        "tool_use" => {
            json!({"toolUse": {"toolUseId": text("id")?, "name": text("name")?, "input": value("input")?}})
        }
        "tool_result" => tool_result(fields, place)?,
        "thinking" => {
            let mut thought = json!({"text": text("thinking")?});
            if let Some(signature) = fields.string("signature")? {
                fields::set(&mut thought, "signature", signature);
            }
            json!({"reasoningContent": {"reasoningText": thought}})
        }
        _ => json!({"reasoningContent": {"redactedContent": text("data")?}}),
    })
}

fn image(source: &Value, place: &str) -> Result<Value, ApiError> {
    let source = Fields::new(object(source, place)?, place, &["type", "media_type", "data"])?;
    let format = source.text("media_type")?.strip_prefix("image/");
    match (source.text("type")?, format) {
        ("base64", Some(format)) => Ok(json!({"image": {"format": format, "source": {"bytes": source.text("data")?}}})),
        _ => Err(ApiError::validation(format!("bedrock-sim: {place}.source: only images in base64 are served."))),
    }
}

fn tool_result(fields: &Fields<'_>, place: &str) -> Result<Value, ApiError> {
    let content = fields.get("content").map(|given| content(given, &format!("{place}.content"))).transpose()?;
    let failed = match fields.get("is_error") {
        None => false,
        Some(Value::Bool(failed)) => *failed,
        Some(_) => return Err(fields::malformed(format_args!("{place}/is_error: expected type: Boolean"))),
    };
    let status = if failed { "error" } else { "success" };
    let (id, content) = (fields.text("tool_use_id")?, content.unwrap_or_default());
    Ok(json!({"toolResult": {"toolUseId": id, "content": content, "status": status}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_block_has_its_block_of_converse() {
        let source = json!({"type": "base64", "media_type": "image/png", "data": "aGk="});
        let found = content(
            &json!([
                {"type": "text", "text": "a", "citations": null, "cache_control": {"type": "ephemeral"}},
                {"type": "image", "source": source},
                {"type": "thinking", "thinking": "b", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "tool_use", "id": "i", "name": "find", "input": {"n": 1}},
                {"type": "tool_result", "tool_use_id": "i", "content": "c", "is_error": true},
                {"type": "tool_result", "tool_use_id": "j", "content": [{"type": "text", "text": "d"}]},
                {"type": "tool_result", "tool_use_id": "k"},
            ]),
            "messages.0.content",
        );
        let result = |id: &str, content: &Value, status: &str| json!({"toolResult": {"toolUseId": id, "content": content, "status": status}});
        let expected = [
            json!({"text": "a"}),
            json!({"cachePoint": {"type": "default"}}),
            json!({"image": {"format": "png", "source": {"bytes": "aGk="}}}),
            json!({"reasoningContent": {"reasoningText": {"text": "b", "signature": "s"}}}),
            json!({"reasoningContent": {"redactedContent": "d"}}),
            json!({"toolUse": {"toolUseId": "i", "name": "find", "input": {"n": 1}}}),
            result("i", &json!([{"text": "c"}]), "error"),
            result("j", &json!([{"text": "d"}]), "success"),
            result("k", &json!([]), "success"),
        ];
        assert_eq!(found.unwrap(), expected);
    }

    #[test]
    fn other_blocks_and_fields_are_refused_with_their_place() {
        for (block, named) in [
            (json!({"text": "a"}), "required key [type]"),
            (json!({"type": "search_result"}), "search_result"),
            (json!({"type": "text", "text": "a", "more": 1}), "[more]"),
            (json!({"type": "text"}), "[text]"),
            (json!({"type": "text", "text": "a", "cache_control": {"type": "always"}}), "cache_control.type"),
            (json!({"type": "image", "source": {"type": "url", "media_type": "image/png"}}), "source"),
            (json!({"type": "tool_result", "tool_use_id": "i", "is_error": "yes"}), "is_error"),
        ] {
            let error = content(&json!([block]), "messages.0.content").unwrap_err().message;
            assert!(error.contains("messages.0.content.0") && error.contains(named), "{named}: {error}");
        }
        assert!(content(&json!(1), "system").is_err());
    }
}

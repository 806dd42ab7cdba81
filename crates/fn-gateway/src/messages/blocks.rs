//! Content blocks of a request as blocks of Converse.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use crate::document::{raw, unsupported};
use crate::errors::ApiError;
use crate::fields::{Fields, invalid, is_list, items};

/// The content of a message or of the system prompt: a text or a list of blocks. The result is always a list, because
/// the sentry answers lists with all blocks of the model.
pub fn content(path: &str, content: &RawValue) -> Result<Box<RawValue>, ApiError> {
    if !is_list(path, content)? {
        return raw([BTreeMap::from([("text", content)])]);
    }
    let mut blocks = Vec::new();
    for (path, block) in items(path, content)? {
        let mut block = Fields::of(path, block)?;
        let translated = translated(&mut block)?;
        let cached = is_cached(&mut block)?;
        block.end()?;
        blocks.push(translated);
        blocks.extend(cached.map(cache_point).transpose()?);
    }
    raw(blocks)
}

fn translated(block: &mut Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    let kind = block.required_text("type")?;
    Ok(match kind.as_str() {
        "text" => raw(BTreeMap::from([("text", block.required("text")?)]))?,
        "image" => raw(BTreeMap::from([("image", image(block)?)]))?,
        "document" => raw(BTreeMap::from([("document", document(block)?)]))?,
        "tool_use" => tool_use(block)?,
        "tool_result" => tool_result(block)?,
        "thinking" => {
            let mut thought = BTreeMap::from([("text", block.required("thinking")?)]);
            // Models of other vendors do not sign.
            thought.extend(block.take("signature").filter(|text| text.get() != "\"\"").map(|text| ("signature", text)));
            raw(json_path(["reasoningContent", "reasoningText"], raw(thought)?))?
        }
        "redacted_thinking" => {
            raw(json_path(["reasoningContent", "redactedContent"], block.required("data")?.to_owned()))?
        }
        _ => {
            let problem =
                "only text, image, document, tool_use, tool_result, thinking and redacted_thinking are supported";
            return Err(unsupported(&block.path("type"), problem));
        }
    })
}

/// An object in an object, with one field each.
fn json_path(
    [outer, inner]: [&'static str; 2],
    value: Box<RawValue>,
) -> BTreeMap<&'static str, BTreeMap<&'static str, Box<RawValue>>> {
    BTreeMap::from([(outer, BTreeMap::from([(inner, value)]))])
}

fn image(block: &mut Fields<'_>) -> Result<BTreeMap<&'static str, Box<RawValue>>, ApiError> {
    let mut source = source(block)?;
    if source.required_text("type")? != "base64" {
        return Err(unsupported(&source.path("type"), "the budget needs the bytes; only base64 is supported"));
    }
    let format = match source.required_text("media_type")?.as_str() {
        "image/png" => "png",
        "image/jpeg" => "jpeg",
        "image/gif" => "gif",
        "image/webp" => "webp",
        _ => {
            let expected = "must be image/png, image/jpeg, image/gif or image/webp";
            return Err(invalid(&source.path("media_type"), expected));
        }
    };
    let bytes = source.required("data")?;
    source.end()?;
    Ok(BTreeMap::from([("format", raw(format)?), ("source", raw(BTreeMap::from([("bytes", bytes)]))?)]))
}

fn document(block: &mut Fields<'_>) -> Result<BTreeMap<&'static str, Box<RawValue>>, ApiError> {
    let mut source = source(block)?;
    let kind = source.required_text("type")?;
    let media_type = source.text("media_type")?;
    let (format, form) = match (kind.as_str(), media_type.as_deref()) {
        ("base64", Some("application/pdf")) => ("pdf", "bytes"),
        ("text", Some("text/plain")) => ("txt", "text"),
        _ => {
            let problem = "only base64 of application/pdf and text of text/plain are supported";
            return Err(unsupported(&source.path("type"), problem));
        }
    };
    let data = source.required("data")?;
    source.end()?;
    if let Some(mut citations) = block.object("citations")? {
        if citations.typed("enabled", "true or false")?.unwrap_or(false) {
            return Err(unsupported(&citations.path("enabled"), "the sentry has no citations"));
        }
        citations.end()?;
    }
    // Converse needs a name of its own for each document. A path is one, with a space for each dot.
    let name = block.text("title")?.unwrap_or_else(|| block.path("").trim_end_matches('.').replace('.', " "));
    let source = raw(BTreeMap::from([(form, data)]))?;
    Ok(BTreeMap::from([("format", raw(format)?), ("name", raw(name)?), ("source", source)]))
}

fn source<'a>(block: &mut Fields<'a>) -> Result<Fields<'a>, ApiError> {
    block.object("source")?.ok_or_else(|| invalid(&block.path("source"), "is required"))
}

fn tool_use(block: &mut Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    let id = block.required("id")?;
    let asked =
        BTreeMap::from([("toolUseId", id), ("name", block.required("name")?), ("input", block.required("input")?)]);
    // The caller of a tool that the model asks for itself, which newer clients send back.
    if let Some(mut caller) = block.object("caller")? {
        if caller.required_text("type")? != "direct" {
            return Err(unsupported(&caller.path("type"), "only direct is supported"));
        }
        caller.end()?;
    }
    raw(BTreeMap::from([("toolUse", asked)]))
}

fn tool_result(block: &mut Fields<'_>) -> Result<Box<RawValue>, ApiError> {
    let mut result = BTreeMap::from([("toolUseId", block.required("tool_use_id")?.to_owned())]);
    if let Some(failed) = block.typed::<bool>("is_error", "true or false")? {
        result.insert("status", raw(if failed { "error" } else { "success" })?);
    }
    let path = block.path("content");
    let content = match block.take("content") {
        None => raw(json!([]))?,
        Some(text) if !is_list(&path, text)? => raw([BTreeMap::from([("text", text)])])?,
        Some(list) => {
            raw(items(&path, list)?.into_iter().map(|(path, item)| part(path, item)).collect::<Result<Vec<_>, _>>()?)?
        }
    };
    result.insert("content", content);
    raw(BTreeMap::from([("toolResult", result)]))
}

/// A part of the result of a tool.
fn part(path: String, item: &RawValue) -> Result<Box<RawValue>, ApiError> {
    let mut item = Fields::of(path, item)?;
    let kind = item.required_text("type")?;
    if !matches!(kind.as_str(), "text" | "image" | "document") {
        return Err(unsupported(&item.path("type"), "only text, image and document are supported in a tool_result"));
    }
    let part = match kind.as_str() {
        "image" => raw(BTreeMap::from([("image", image(&mut item)?)]))?,
        "document" => raw(BTreeMap::from([("document", document(&mut item)?)]))?,
        _ => raw(BTreeMap::from([("text", item.required("text")?)]))?,
    };
    // Converse has no cache point inside a result.
    item.end()?;
    Ok(part)
}

/// A cache point after a block or a tool, with its lifetime if the client gave one.
pub struct Cached(Option<Box<RawValue>>);

/// Reads `cache_control`. `None` if the block has none.
///
/// # Errors
/// If it has another form than that of Anthropic.
pub fn is_cached(block: &mut Fields<'_>) -> Result<Option<Cached>, ApiError> {
    let Some(mut control) = block.object("cache_control")? else { return Ok(None) };
    if control.required_text("type")? != "ephemeral" {
        return Err(invalid(&control.path("type"), "must be ephemeral"));
    }
    let cached = Cached(control.raw("ttl"));
    control.end()?;
    Ok(Some(cached))
}

/// The block of Converse.
///
/// # Errors
/// Never: it can be written.
pub fn cache_point(Cached(ttl): Cached) -> Result<Box<RawValue>, ApiError> {
    let mut point = BTreeMap::from([("type", raw("default")?)]);
    point.extend(ttl.map(|ttl| ("ttl", ttl)));
    raw(BTreeMap::from([("cachePoint", point)]))
}

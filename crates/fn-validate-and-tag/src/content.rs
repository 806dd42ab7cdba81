//! The rules for the content of messages: Converse's content blocks. A refusal names the field and its place.
//!
//! Source of the structures and constraints: the service model of bedrock-runtime, 2023-09-30.

use aws_smithy_types::base64;
use sentry_contract::content::{
    Block, CachePoint, CachePointType, Content, Document, DocumentFormat, DocumentSource, GuardContent, GuardQualifier,
    GuardText, Image, ImageFormat, ImageSource, ReasoningContent, ReasoningText, ResultBlock, ToolResult,
    ToolResultStatus, ToolUse,
};
use sentry_contract::request::Role;
use sentry_domain::CacheTtl;
use serde_json::Value;

use crate::field::{Field, Refusal};

/// Longest name of a document, in characters.
const MOST_NAME_CHARS: usize = 200;
/// Longest name of a tool, and longest id of a tool use, in characters.
const MOST_TOOL_CHARS: usize = 64;

/// Reads the content of a message: a text, or blocks that its role allows. Only a message of the assistant may be empty
/// or blank, because a model's answer can be.
pub fn content(field: &Field<'_>, role: Role) -> Result<Content, Refusal> {
    match field.text_or_list()? {
        Ok(text) if role == Role::Assistant => Ok(Content::Text(text.to_owned())),
        Ok(_) => Ok(Content::Text(field.visible_text()?.to_owned())),
        Err(blocks) if blocks.is_empty() && role != Role::Assistant => Err(field.refuse("must not be empty")),
        Err(blocks) => blocks.iter().map(|each| block(each, role)).collect::<Result<_, _>>().map(Content::Blocks),
    }
}

fn block(field: &Field<'_>, role: Role) -> Result<Block, Refusal> {
    let known: &[&str] = match role {
        Role::System => &["text", "cachePoint", "guardContent"],
        Role::User => &["text", "image", "document", "toolResult", "cachePoint", "guardContent"],
        Role::Assistant => &["text", "toolUse", "reasoningContent", "cachePoint"],
    };
    let speakers = [
        ("toolUse", "assistant"),
        ("reasoningContent", "assistant"),
        ("toolResult", "user"),
        ("image", "user"),
        ("document", "user"),
    ];
    for (kind, speaker) in speakers {
        if let (Some(misplaced), false) = (field.get(kind)?, known.contains(&kind)) {
            return Err(misplaced.refuse(format!("can only stand in a message whose role is {speaker}")));
        }
    }
    let (kind, inside) = field.only(known)?;
    Ok(match kind {
        "image" => Block::Image(image(&inside)?),
        "document" => Block::Document(document(&inside)?),
        "toolUse" => Block::ToolUse(tool_use(&inside)?),
        "toolResult" => Block::ToolResult(tool_result(&inside)?),
        "reasoningContent" => Block::ReasoningContent(reasoning_content(&inside)?),
        "cachePoint" => Block::CachePoint(cache_point(&inside)?),
        "guardContent" => Block::GuardContent(guard_content(&inside)?),
        _ if role == Role::Assistant => Block::Text(inside.string()?.to_owned()),
        _ => Block::Text(inside.visible_text()?.to_owned()),
    })
}

/// Reads a thought of the model. Its text may be empty, because some vendors do not disclose it.
fn reasoning_content(field: &Field<'_>) -> Result<ReasoningContent, Refusal> {
    let (kind, inside) = field.only(&["reasoningText", "redactedContent"])?;
    if kind == "redactedContent" {
        return encoded(&inside).map(ReasoningContent::RedactedContent);
    }
    inside.object_of(&["text", "signature"])?;
    let text = inside.required("text")?.string()?.to_owned();
    let signature = inside.optional("signature")?.map(|given| given.text().map(str::to_owned)).transpose()?;
    Ok(ReasoningContent::ReasoningText(ReasoningText { text, signature }))
}

/// Reads a cache point, the end of a cached part. It can be in messages, in `system` and among the tools.
pub fn cache_point(field: &Field<'_>) -> Result<CachePoint, Refusal> {
    field.object_of(&["type", "ttl"])?;
    let r#type = field.required("type")?.name_of(CachePointType::ALL, CachePointType::name)?;
    let ttl = field.optional("ttl")?.map(|given| given.name_of(CacheTtl::ALL, CacheTtl::name)).transpose()?;
    Ok(CachePoint { r#type, ttl })
}

fn guard_content(field: &Field<'_>) -> Result<GuardContent, Refusal> {
    let (kind, inside) = field.only(&["text", "image"])?;
    if kind == "image" {
        let image = image(&inside)?;
        return match image.format {
            ImageFormat::Png | ImageFormat::Jpeg => Ok(GuardContent::Image(image)),
            _ => Err(inside.refuse("must be png or jpeg: a guardrail looks at nothing else")),
        };
    }
    inside.object_of(&["text", "qualifiers"])?;
    let text = inside.required("text")?.visible_text()?.to_owned();
    let qualifiers = inside.optional("qualifiers")?.map(|given| given.list()).transpose()?.unwrap_or_default();
    let qualifiers = qualifiers.iter().map(|each| each.name_of(GuardQualifier::ALL, GuardQualifier::name));
    Ok(GuardContent::Text(GuardText { text, qualifiers: qualifiers.collect::<Result<_, _>>()? }))
}

fn image(field: &Field<'_>) -> Result<Image, Refusal> {
    field.object_of(&["format", "source"])?;
    let format = field.required("format")?.name_of(ImageFormat::ALL, ImageFormat::name)?;
    let source = field.required("source")?;
    no_location(&source)?;
    let (_, bytes) = source.only(&["bytes"])?;
    Ok(Image { format, source: ImageSource::Bytes(encoded(&bytes)?) })
}

fn document(field: &Field<'_>) -> Result<Document, Refusal> {
    field.object_of(&["format", "name", "source"])?;
    let format = field.required("format")?.name_of(DocumentFormat::ALL, DocumentFormat::name)?;
    let name = document_name(&field.required("name")?)?;
    let source = field.required("source")?;
    no_location(&source)?;
    let source = match source.only(&["bytes", "text"])? {
        ("bytes", bytes) => DocumentSource::Bytes(encoded(&bytes)?),
        (_, text) => DocumentSource::Text(text.text()?.to_owned()),
    };
    Ok(Document { format, name, source })
}

/// Reads a document's name.
///
/// Source: Amazon Bedrock API Reference, `DocumentBlock`. Its list does not have the underscore, but public reports show
/// that Bedrock accepts it.
fn document_name(field: &Field<'_>) -> Result<String, Refusal> {
    if field.text()?.chars().count() > MOST_NAME_CHARS {
        return Err(field.refuse(format!("must have at most {MOST_NAME_CHARS} characters")));
    }
    let expected = "letters, digits, single spaces, hyphens, underscores, parentheses and square brackets; name the file without its extension";
    let plain = |char: char| char.is_ascii_alphanumeric() || char == ' ' || "-_()[]".contains(char);
    field.matching(expected, |name| name.chars().all(plain) && !name.contains("  "))
}

fn no_location(source: &Field<'_>) -> Result<(), Refusal> {
    source.get("s3Location")?.map_or(Ok(()), |location| {
        Err(location.refuse("is not accepted, because the size of the file is not known. Send the bytes"))
    })
}

/// Reads base64 with padding, of at least one byte.
fn encoded(field: &Field<'_>) -> Result<String, Refusal> {
    let text = field.text()?;
    base64::decode(text).map_err(|_| field.refuse("must be base64 (RFC 4648, section 4, with padding)"))?;
    Ok(text.to_owned())
}

fn tool_use(field: &Field<'_>) -> Result<ToolUse, Refusal> {
    field.object_of(&["toolUseId", "name", "input"])?;
    Ok(ToolUse {
        tool_use_id: tool_use_id(field)?,
        name: tool_name(&field.required("name")?)?,
        input: json_object(&field.required("input")?)?,
    })
}

fn tool_result(field: &Field<'_>) -> Result<ToolResult, Refusal> {
    field.object_of(&["toolUseId", "content", "status"])?;
    let content = field.optional("content")?.map(|given| given.list()).transpose()?.unwrap_or_default();
    let content = content.iter().map(result_block).collect::<Result<_, _>>()?;
    let status = field.optional("status")?;
    let status = status.map(|each| each.name_of(ToolResultStatus::ALL, ToolResultStatus::name)).transpose()?;
    Ok(ToolResult { tool_use_id: tool_use_id(field)?, content, status })
}

fn result_block(field: &Field<'_>) -> Result<ResultBlock, Refusal> {
    Ok(match field.only(&["text", "json", "image", "document"])? {
        ("json", json) => ResultBlock::Json(json_object(&json)?),
        ("image", inside) => ResultBlock::Image(image(&inside)?),
        ("document", inside) => ResultBlock::Document(document(&inside)?),
        (_, text) => ResultBlock::Text(text.string()?.to_owned()),
    })
}

fn tool_use_id(field: &Field<'_>) -> Result<String, Refusal> {
    let id = field.required("toolUseId")?;
    id.matching("[a-zA-Z0-9_.:-]{1,64}", |text| text.len() <= MOST_TOOL_CHARS && text.bytes().all(in_tool_use_id))
}

fn in_tool_use_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte)
}

/// Reads the name of a tool, of at most 64 characters.
pub fn tool_name(field: &Field<'_>) -> Result<String, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    field.matching("[a-zA-Z0-9_-]{1,64}", |text| text.len() <= MOST_TOOL_CHARS && text.bytes().all(plain))
}

/// Reads a JSON object that reaches the model unchanged. [`crate::numbers`] checks its numbers, in the text of the
/// document.
pub fn json_object(field: &Field<'_>) -> Result<Value, Refusal> {
    Ok(Value::Object(field.object()?.clone()))
}

//! The content of messages, as texts and blocks of the document.

use serde::Serialize;
use serde_json::value::RawValue;

use super::tools::Call;
use crate::document::unsupported;
use crate::errors::ApiError;
use crate::fields::{Fields, invalid, is_text, items, text};

/// The content of a message of the document.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

impl Content {
    /// `true` if it has a use of a tool or its result.
    pub fn uses_tools(&self) -> bool {
        let about_tools = |block: &Block| matches!(block, Block::ToolUse(_) | Block::ToolResult { .. });
        matches!(self, Self::Blocks(blocks) if blocks.iter().any(about_tools))
    }
}

/// A content block of the document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Block {
    Text(String),
    Image { format: &'static str, source: Source },
    Document { format: &'static str, name: String, source: Source },
    ToolUse(Call),
    ToolResult { tool_use_id: String, content: Vec<ResultText> },
}

/// A block of the result of a tool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ResultText {
    Text(String),
}

/// The bytes of a file, in base64.
#[derive(Serialize)]
pub struct Source {
    bytes: String,
}

/// The formats of images by their media type.
const IMAGES: [(&str, &str); 5] =
    [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/jpg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")];
/// The formats of documents by their media type.
const DOCUMENTS: [(&str, &str); 9] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
];

/// The content of a message that has texts only.
///
/// # Errors
/// If it is neither a text nor a list of parts with texts.
pub fn texts(fields: &mut Fields<'_>, name: &str) -> Result<Content, ApiError> {
    content(fields, name, |path, part| Ok(Block::Text(text_of(path, part)?)))
}

/// The texts of a message. Empty if the field is `null`.
///
/// # Errors
/// If it is neither a text nor a list of parts with texts.
pub fn optional_texts(fields: &mut Fields<'_>, name: &str) -> Result<Vec<String>, ApiError> {
    let path = fields.path(name);
    match fields.take(name) {
        None => Ok(Vec::new()),
        Some(one) if is_text(one) => Ok(vec![text(&path, one)?]),
        Some(list) => items(&path, list)?.into_iter().map(|(path, part)| text_of(path, part)).collect(),
    }
}

/// The content of a message of the user.
///
/// # Errors
/// If a part has no place in a document.
pub fn parts(fields: &mut Fields<'_>, name: &str) -> Result<Content, ApiError> {
    content(fields, name, part)
}

fn content(
    fields: &mut Fields<'_>,
    name: &str,
    read: impl Fn(String, &RawValue) -> Result<Block, ApiError>,
) -> Result<Content, ApiError> {
    let path = fields.path(name);
    let given = fields.required(name)?;
    if is_text(given) {
        return Ok(Content::Text(text(&path, given)?));
    }
    let blocks = items(&path, given)?.into_iter().map(|(path, part)| read(path, part));
    Ok(Content::Blocks(blocks.collect::<Result<_, _>>()?))
}

fn text_of(path: String, part: &RawValue) -> Result<String, ApiError> {
    let mut fields = Fields::of(path, part)?;
    if fields.required_text("type")? != "text" {
        return Err(unsupported(&fields.path("type"), "only text is supported in a message of this role"));
    }
    let text = fields.required_text("text")?;
    fields.end()?;
    Ok(text)
}

fn part(path: String, part: &RawValue) -> Result<Block, ApiError> {
    let mut fields = Fields::of(path, part)?;
    let block = match fields.required_text("type")?.as_str() {
        "text" => Block::Text(fields.required_text("text")?),
        "image_url" => image(required_object(&mut fields, "image_url")?)?,
        "file" => file(required_object(&mut fields, "file")?)?,
        _ => return Err(unsupported(&fields.path("type"), "only text, image_url and file are supported")),
    };
    fields.end()?;
    Ok(block)
}

fn required_object<'a>(fields: &mut Fields<'a>, name: &str) -> Result<Fields<'a>, ApiError> {
    fields.object(name)?.ok_or_else(|| invalid(&fields.path(name), "is required"))
}

fn image(mut fields: Fields<'_>) -> Result<Block, ApiError> {
    let (format, bytes) = data(&fields.path("url"), &fields.required_text("url")?, &IMAGES)?;
    if fields.text("detail")?.is_some_and(|detail| detail != "auto") {
        return Err(unsupported(&fields.path("detail"), "only auto is supported"));
    }
    fields.end()?;
    Ok(Block::Image { format, source: Source { bytes } })
}

/// A file. Its name in the document has no extension.
fn file(mut fields: Fields<'_>) -> Result<Block, ApiError> {
    if fields.has("file_id") {
        return Err(unsupported(&fields.path("file_id"), "send the file itself as file_data"));
    }
    let (format, bytes) = data(&fields.path("file_data"), &fields.required_text("file_data")?, &DOCUMENTS)?;
    let name = fields.required_text("filename")?;
    let name = name.strip_suffix(format).and_then(|name| name.strip_suffix('.')).unwrap_or(&name).to_owned();
    fields.end()?;
    Ok(Block::Document { format, name, source: Source { bytes } })
}

/// The format and the base64 of a data URL whose media type is one of `formats`.
fn data(path: &str, url: &str, formats: &[(&str, &'static str)]) -> Result<(&'static str, String), ApiError> {
    let parts = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let Some((media_type, bytes)) = parts else {
        return Err(unsupported(path, "only a data URL in base64 is supported, because the sentry loads nothing"));
    };
    let known = formats.iter().find(|(known, _)| known.eq_ignore_ascii_case(media_type));
    let known = known.ok_or_else(|| {
        let all: Vec<&str> = formats.iter().map(|(known, _)| *known).collect();
        unsupported(path, &format!("its media type must be one of {}", all.join(", ")))
    });
    Ok((known?.1, bytes.to_owned()))
}

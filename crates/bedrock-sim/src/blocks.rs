//! Converse's content blocks: text, image, document, tool use, tool result.

use aws_smithy_types::base64;
use serde_json::{Map, Value};

use crate::{
    content::blank,
    error::ApiError,
    fields::{self, Fields},
    pictures,
    prompt::{Role, Turn},
    tokens,
};

const KINDS: [&str; 6] = ["text", "image", "document", "toolUse", "toolResult", "cachePoint"];
const IMAGES: [&str; 4] = ["png", "jpeg", "gif", "webp"];
/// The formats of documents: those that are text, then those that are compressed.
const TEXTS: [&str; 4] = ["csv", "html", "txt", "md"];
const COMPRESSED: [&str; 5] = ["pdf", "doc", "docx", "xls", "xlsx"];
/// Tokens of a compressed document, whatever its size.
const DOCUMENT_TOKENS: u64 = 1_500;
const MOST_IMAGES: usize = 20;
const MOST_DOCUMENTS: usize = 5;

/// What a message has, summed up.
#[derive(Default)]
struct Found {
    texts: Vec<String>,
    tokens: u64,
    /// Their sizes, where they can be told.
    images: Vec<Option<(u64, u64)>>,
    documents: usize,
    tool_uses: Vec<String>,
}

/// Reads the blocks of a message.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn turn(role: Role, content: &[Value], place: &str) -> Result<Turn, ApiError> {
    let mut found = Found::default();
    for (index, block) in content.iter().enumerate() {
        found.read(role, block, &format!("{place}.{index}"))?;
    }
    found.check(role, place)?;
    Ok(Turn {
        role,
        text: found.texts.join("\n"),
        more_tokens: found.tokens,
        images: found.images,
        tool_uses: found.tool_uses,
    })
}

impl Found {
    fn read(&mut self, role: Role, block: &Value, place: &str) -> Result<(), ApiError> {
        let block = union(block, place, &KINDS)?;
        if let Some(text) = block.string("text")? {
            return self.text(text, place);
        }
        if let Some(image) = block.object("image")? {
            return self.image(image, &format!("{place}.image"));
        }
        if let Some(document) = block.object("document")? {
            return self.document(document, &format!("{place}.document"));
        }
        if let Some(asked) = block.object("toolUse")? {
            return self.tool_use(role, asked, &format!("{place}.toolUse"));
        }
        if let Some(result) = block.object("toolResult")? {
            return self.tool_result(role, result, &format!("{place}.toolResult"));
        }
        Ok(())
    }

    fn count(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str, place: &str) -> Result<(), ApiError> {
        if text.trim().is_empty() {
            return Err(blank(place));
        }
        self.texts.push(text.to_owned());
        Ok(())
    }

    fn image(&mut self, image: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let image = Fields::new(image, place, &["format", "source"])?;
        one_of(&image, "format", place, &IMAGES)?;
        let source = image.object("source")?.ok_or_else(|| image.missing("source"))?;
        let bytes = bytes(&Fields::new(source, place, &["bytes"])?)?;
        self.images.push(pictures::size(&bytes));
        Ok(())
    }

    fn document(&mut self, document: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let document = Fields::new(document, place, &["format", "name", "source", "context", "citations"])?;
        let format = one_of(&document, "format", place, &[TEXTS.as_slice(), &COMPRESSED].concat())?;
        check_name(document.text("name")?)?;
        let source = document.object("source")?.ok_or_else(|| document.missing("source"))?;
        let source = Fields::new(source, place, &["bytes", "text"])?;
        let size = match source.string("text")? {
            Some(text) => Some(text.len()),
            None => Some(bytes(&source)?.len()).filter(|_| TEXTS.contains(&format)),
        };
        self.documents += 1;
        self.count(size.map_or(DOCUMENT_TOKENS, tokens::of_bytes));
        Ok(())
    }

    fn tool_use(&mut self, role: Role, asked: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        if role != Role::Assistant {
            return Err(ApiError::validation(format!("{place}: toolUse is only for the assistant role.")));
        }
        let asked = Fields::new(asked, place, &["toolUseId", "name", "input"])?;
        let input = asked.object("input")?.ok_or_else(|| {
            ApiError::validation(format!(
                "The format of the value at {place}.input is invalid. Provide a json object for the field and try again."
            ))
        })?;
        self.count(tokens::of_bytes(asked.text("name")?.len()).saturating_add(tokens::of_json(input)));
        self.tool_uses.push(asked.text("toolUseId")?.to_owned());
        Ok(())
    }

    fn tool_result(&mut self, role: Role, result: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        if role != Role::User {
            return Err(ApiError::validation(format!("{place}: toolResult is only for the user role.")));
        }
        let result = Fields::new(result, place, &["toolUseId", "content", "status"])?;
        if result.get("status").is_some() {
            one_of(&result, "status", place, &["success", "error"])?;
        }
        self.tool_uses.push(result.text("toolUseId")?.to_owned());
        for (index, block) in result.list("content")?.ok_or_else(|| result.missing("content"))?.iter().enumerate() {
            let place = format!("{place}.content.{index}");
            let block = union(block, &place, &["text", "json", "image", "document"])?;
            if let Some(text) = block.string("text")? {
                self.text(text, &place)?;
            } else if let Some(image) = block.object("image")? {
                self.image(image, &place)?;
            } else if let Some(document) = block.object("document")? {
                self.document(document, &place)?;
            } else if let Some(json) = block.object("json")? {
                self.count(tokens::of_json(json));
            }
        }
        Ok(())
    }

    /// API Reference, Message: images and documents are the user's, so many of each, and documents come with a text.
    fn check(&self, role: Role, place: &str) -> Result<(), ApiError> {
        let refused = |problem: &str| Err(ApiError::validation(format!("{place}: {problem}.")));
        if role == Role::Assistant && self.images.len() + self.documents > 0 {
            return refused("images and documents are only for the user role");
        }
        if self.images.len() > MOST_IMAGES || self.documents > MOST_DOCUMENTS {
            return refused("at most 20 images and 5 documents fit into a message");
        }
        if self.documents > 0 && self.texts.is_empty() {
            return refused("a document needs a text block beside it");
        }
        Ok(())
    }
}

/// An object with exactly one of these members.
fn union<'a>(value: &'a Value, place: &'a str, known: &[&str]) -> Result<Fields<'a>, ApiError> {
    let object =
        value.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let block = Fields::new(object, place, known)?;
    if object.len() == 1 {
        return Ok(block);
    }
    Err(fields::malformed(format_args!("{place}: a block must have exactly one member")))
}

fn one_of<'a>(fields: &Fields<'a>, name: &str, place: &str, known: &[&str]) -> Result<&'a str, ApiError> {
    let value = fields.text(name)?;
    if known.contains(&value) {
        return Ok(value);
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value at '{place}.{name}' failed to satisfy constraint: Member must satisfy enum value \
         set: [{}]",
        known.join(", ")
    )))
}

fn bytes(source: &Fields<'_>) -> Result<Vec<u8>, ApiError> {
    base64::decode(source.text("bytes")?).map_err(|_| fields::malformed("bytes: expected type: Blob"))
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "-()[]".contains(c);
    if name.chars().count() <= 200 && name.chars().all(fits) && !name.contains("  ") {
        return Ok(());
    }
    Err(ApiError::validation(
        "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square \
         brackets. The name can't contain more than one consecutive whitespace character.",
    ))
}

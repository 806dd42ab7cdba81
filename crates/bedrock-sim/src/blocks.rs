//! Converse content blocks: text, image, document, tool use, tool result, thoughts, cache point, and guarded content.

use aws_smithy_types::base64;
use serde_json::{Map, Value};

use crate::{
    error::ApiError,
    facts::Rule,
    fields::{self, Fields},
    models::Model,
    pictures,
    prompt::{Kind, Role, Turn},
    signature, tokens,
};

const KINDS: [&str; 8] =
    ["text", "image", "document", "toolUse", "toolResult", "cachePoint", "reasoningContent", "guardContent"];
const IMAGES: [&str; 4] = ["png", "jpeg", "gif", "webp"];
/// Document formats. The files of `TEXTS` are plain text, and those of `COMPRESSED` are compressed.
const TEXTS: [&str; 4] = ["csv", "html", "txt", "md"];
const COMPRESSED: [&str; 5] = ["pdf", "doc", "docx", "xls", "xlsx"];
/// Input tokens of a compressed document. They do not depend on its size.
const DOCUMENT_TOKENS: u64 = 1_500;
/// Maximum number of images in a message. Source: API Reference, Message
/// (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html>, read 2026-11-26). Claude
/// accepts more images. It accepted 29
/// (aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws issue 994).
const MOST_IMAGES: usize = 20;
const MOST_DOCUMENTS: usize = 5;
/// Limits of a file. Source: the same page (4.5 MB for a document, 3.75 MB and 8000 pixels for a picture).
const MOST_DOCUMENT_BYTES: usize = 4_718_592;
const MOST_IMAGE_BYTES: usize = 3_932_160;
const MOST_PIXELS: u64 = 8_000;
/// Claude's limit for a picture in base64, in bytes. Source: the same project, issue 778.
const MOST_BASE64_BYTES: usize = 5_242_880;
/// Maximum length of a tool use id. Source: shape `ToolUseId` of the service model (botocore 1.44.8).
const MOST_ID: usize = 64;

/// Reads the content blocks of the message at `place`.
///
/// # Errors
/// A `ValidationException` if Bedrock would return one.
pub fn turn(role: Role, content: &[Value], place: &str, model: Option<Model<'_>>) -> Result<Turn, ApiError> {
    let mut found = Found::new(role, model);
    for (index, block) in content.iter().enumerate() {
        found.read(block, &format!("{place}.{index}"))?;
    }
    found.check(place)?;
    Ok(found.turn)
}

/// Input tokens of these blocks of a message. 0 if a block cannot be read.
pub fn tokens_of(role: Role, content: &[Value], model: Option<Model<'_>>) -> u64 {
    let mut found = Found::new(role, model);
    let is_read = content.iter().all(|block| found.read(block, "").is_ok());
    if is_read { found.turn.tokens() } else { 0 }
}

/// State while the blocks of a message are read.
struct Found<'a> {
    model: Option<Model<'a>>,
    turn: Turn,
    documents: usize,
    ends_with_thoughts: bool,
}

impl<'a> Found<'a> {
    fn new(role: Role, model: Option<Model<'a>>) -> Self {
        Self { model, turn: Turn::of(role, String::new()), documents: 0, ends_with_thoughts: false }
    }

    fn has(&self, rule: Rule) -> bool {
        self.model.is_some_and(|model| model.has(rule))
    }

    fn is_claude(&self) -> bool {
        self.model.is_some_and(|model| model.is_claude())
    }

    fn read(&mut self, block: &Value, place: &str) -> Result<(), ApiError> {
        let block = union(block, place, &KINDS)?;
        let follows_thoughts = std::mem::take(&mut self.ends_with_thoughts);
        if let Some(text) = block.string("text")? {
            self.begin(Kind::Text);
            return self.text(text, place);
        }
        if let Some(image) = block.object("image")? {
            return self.image(image, place);
        }
        if let Some(document) = block.object("document")? {
            return self.document(document, &format!("{place}.document"));
        }
        if let Some(asked) = block.object("toolUse")? {
            self.begin(Kind::ToolUse);
            return self.tool_use(asked, &format!("{place}.toolUse"));
        }
        if let Some(result) = block.object("toolResult")? {
            return self.tool_result(result, &format!("{place}.toolResult"));
        }
        if let Some(thoughts) = block.object("reasoningContent")? {
            self.begin(Kind::Thoughts);
            self.ends_with_thoughts = true;
            return self.thoughts(thoughts, place);
        }
        if let Some(guarded) = block.object("guardContent")? {
            return self.guarded(guarded, place);
        }
        if follows_thoughts {
            // Source: rig issue 1673 (<https://github.com/0xPlaygrounds/rig/issues/1673>).
            return Err(ApiError::validation(
                "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and try again.",
            ));
        }
        Ok(())
    }

    /// Records the kind of the first block. Later calls change nothing.
    fn begin(&mut self, kind: Kind) {
        self.turn.begins_with.get_or_insert(kind);
    }

    fn count(&mut self, tokens: u64) {
        self.turn.more_tokens = self.turn.more_tokens.saturating_add(tokens);
    }

    fn text(&mut self, text: &str, place: &str) -> Result<(), ApiError> {
        if text.trim().is_empty() {
            return Err(blank(place));
        }
        self.add_text(text);
        Ok(())
    }

    fn add_text(&mut self, text: &str) {
        if self.turn.has_text {
            self.turn.text.push('\n');
        }
        self.turn.text.push_str(text);
        self.turn.has_text = true;
    }

    fn image(&mut self, image: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        if self.has(Rule::NoImages) {
            return Err(unsupported("image"));
        }
        let place = format!("{place}.image");
        let image = Fields::new(image, &place, &["format", "source"])?;
        one_of(&image, "format", &place, &IMAGES)?;
        let source = image.object("source")?.ok_or_else(|| image.missing("source"))?;
        let source = Fields::new(source, &place, &["bytes", "s3Location"])?;
        let size = match source.object("s3Location")? {
            Some(_) => None,
            None => self.picture(&source, &place)?,
        };
        self.count(pictures::tokens(self.model, size));
        self.turn.images.push(size);
        Ok(())
    }

    fn picture(&self, source: &Fields<'_>, place: &str) -> Result<Option<(u64, u64)>, ApiError> {
        let encoded = source.text("bytes")?;
        let bytes = bytes(source)?;
        if self.is_claude() && encoded.len() > MOST_BASE64_BYTES {
            return Err(ApiError::model(format!(
                "{place}.source.bytes: image exceeds 5 MB maximum: {} bytes > {MOST_BASE64_BYTES} bytes",
                encoded.len()
            )));
        }
        if bytes.len() > MOST_IMAGE_BYTES {
            // This message is the simulator's own. It is not from AWS.
            return Err(ApiError::validation(format!("{place}: the image is over 3.75 MB.")));
        }
        let size = pictures::size(&bytes);
        if size.is_some_and(|(width, height)| width.max(height) > MOST_PIXELS) {
            return Err(ApiError::model(format!(
                "{place}.source.bytes: image dimensions exceed max allowed size: {MOST_PIXELS} pixels"
            )));
        }
        Ok(size)
    }

    fn document(&mut self, document: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let document = Fields::new(document, place, &["format", "name", "source", "context", "citations"])?;
        let format = match document.get("format") {
            Some(_) => one_of(&document, "format", place, &[TEXTS.as_slice(), &COMPRESSED].concat())?,
            None => "txt",
        };
        check_name(document.text("name")?)?;
        let source = document.object("source")?.ok_or_else(|| document.missing("source"))?;
        let source = Fields::new(source, place, &["bytes", "text", "content", "s3Location"])?;
        let size = if let Some(text) = source.string("text")? {
            Some(text.len())
        } else if let Some(parts) = source.list("content")? {
            Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).map(str::len).sum())
        } else if source.object("s3Location")?.is_some() {
            None
        } else {
            let size = bytes(&source)?.len();
            if size > MOST_DOCUMENT_BYTES {
                // This message is the simulator's own. It is not from AWS.
                return Err(ApiError::validation(format!("{place}: the document is over 4.5 MB.")));
            }
            Some(size).filter(|_| TEXTS.contains(&format))
        };
        self.documents += 1;
        self.count(size.map_or(DOCUMENT_TOKENS, tokens::of_bytes));
        Ok(())
    }

    fn tool_use(&mut self, asked: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        if self.turn.role != Role::Assistant {
            return Err(ApiError::validation(format!("{place}: toolUse is only for the assistant role.")));
        }
        let asked = Fields::new(asked, place, &["toolUseId", "name", "input", "type"])?;
        let input = json_object(&asked, "input", place)?;
        check_tool_name(asked.text("name")?, &format!("{place}.name"))?;
        self.count(tokens::of_bytes(asked.text("name")?.len()).saturating_add(tokens::of_json(input)));
        self.turn.tool_uses.push(tool_use_id(&asked, place)?);
        Ok(())
    }

    fn tool_result(&mut self, result: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        if self.turn.role != Role::User {
            return Err(ApiError::validation(format!("{place}: toolResult is only for the user role.")));
        }
        let result = Fields::new(result, place, &["toolUseId", "content", "status", "type"])?;
        if result.get("status").is_some() {
            one_of(&result, "status", place, &["success", "error"])?;
        }
        self.turn.tool_uses.push(tool_use_id(&result, place)?);
        let content = result.list("content")?.ok_or_else(|| result.missing("content"))?;
        if content.is_empty() && self.has(Rule::NoEmptyToolResult) {
            // This message is the simulator's own. It is not from AWS.
            return Err(ApiError::model(format!("{place}.content is empty")));
        }
        for (index, block) in content.iter().enumerate() {
            self.result_block(block, &format!("{place}.content.{index}"))?;
        }
        Ok(())
    }

    /// Reads a block of a tool result. A text may be blank here: five kinds of empty text were accepted
    /// (NousResearch/hermes-agent issue 55092).
    fn result_block(&mut self, block: &Value, place: &str) -> Result<(), ApiError> {
        let block = union(block, place, &["text", "json", "image", "document"])?;
        if let Some(text) = block.string("text")? {
            self.add_text(text);
        } else if let Some(image) = block.object("image")? {
            if self.model.is_some_and(|model| !model.has(Rule::ToolResultImages)) {
                return Err(unsupported("image"));
            }
            self.image(image, place)?;
        } else if let Some(document) = block.object("document")? {
            self.document(document, place)?;
            self.documents -= 1;
        } else if block.get("json").is_some() {
            self.count(tokens::of_json(json_object(&block, "json", place)?));
        }
        Ok(())
    }

    /// Reads a block of thoughts. Claude requires a signature. Nova and MiniMax reject an empty signature. Source:
    /// <https://github.com/maximhq/bifrost/pull/6942>.
    fn thoughts(&mut self, thoughts: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let thoughts = Fields::new(thoughts, place, &["reasoningText", "redactedContent"])?;
        let owner = self.model.filter(|model| model.has(Rule::ThoughtsAreItsOwn)).map_or("", |model| model.base);
        if let Some(told) = thoughts.object("reasoningText")? {
            let told = Fields::new(told, place, &["text", "signature"])?;
            let text = told.string("text")?.ok_or_else(|| told.missing("text"))?;
            let signature = told.string("signature")?;
            match signature {
                None | Some("") if self.is_claude() => {
                    return Err(ApiError::model(format!("{place}.thinking.signature: Field required")));
                }
                Some(signature) if self.is_claude() && !signature::fits(signature, owner, text) => {
                    return Err(ApiError::model(format!("{place}: Invalid `signature` in `thinking` block")));
                }
                // This message is the simulator's own. It is not from AWS.
                Some("") => return Err(ApiError::model(format!("{place}: the signature is empty"))),
                _ => {}
            }
            self.count(tokens::of_bytes(text.len()));
            return Ok(());
        }
        let content = thoughts.text("redactedContent")?;
        let checks = self.is_claude() || self.has(Rule::ReasoningIsEncrypted);
        if checks && !signature::fits(content, owner, "") {
            // This message is the simulator's own. It is not from AWS.
            return Err(ApiError::model(format!("{place}: Invalid `data` in `redacted_thinking` block")));
        }
        self.count(tokens::of_bytes(content.len()));
        Ok(())
    }

    fn guarded(&mut self, guarded: &Map<String, Value>, place: &str) -> Result<(), ApiError> {
        let guarded = Fields::new(guarded, place, &["text", "image"])?;
        if let Some(image) = guarded.object("image")? {
            return self.image(image, place);
        }
        let text = guarded.object("text")?.ok_or_else(|| guarded.missing("text"))?;
        self.begin(Kind::Text);
        self.text(Fields::new(text, place, &["text", "qualifiers"])?.text("text")?, place)
    }

    /// Checks the limits of a message. Only a user message can have images and documents, and their number is
    /// limited. A document requires a text block. Source: the same page as for [`MOST_IMAGES`].
    fn check(&self, place: &str) -> Result<(), ApiError> {
        let refused = |problem: &str| Err(ApiError::validation(format!("{place}: {problem}.")));
        let turn = &self.turn;
        if turn.role == Role::Assistant && turn.images.len() + self.documents > 0 {
            return refused("images and documents are only for the user role");
        }
        if (turn.images.len() > MOST_IMAGES && !self.is_claude()) || self.documents > MOST_DOCUMENTS {
            return refused("at most 20 images and 5 documents fit into a message");
        }
        if self.documents > 0 && !turn.has_text {
            return refused("a document needs a text block beside it");
        }
        let mut seen = Vec::new();
        for id in &turn.tool_uses {
            if seen.contains(&id) {
                let kind = if turn.role == Role::User { "toolResult" } else { "toolUse" };
                return Err(ApiError::validation(format!("The {kind} blocks at {place} contain duplicate Ids: {id}")));
            }
            seen.push(id);
        }
        Ok(())
    }
}

/// A `ValidationException` for a text block whose text is blank.
pub fn blank(place: &str) -> ApiError {
    ApiError::validation(format!(
        "The text field in the ContentBlock object at {place} is blank. Add text to the text field, and try again."
    ))
}

/// A `ValidationException` for a content block that the model does not support. Sources: opencode issue 49443,
/// hermes-agent pull request 111438.
fn unsupported(field: &str) -> ApiError {
    ApiError::validation(format!(
        "This model doesn't support the {field} field for user messages. Remove {field} and try again."
    ))
}

/// Checks the name of a tool. Source: shape `ToolName` of the service model (botocore 1.44.8).
///
/// # Errors
/// A `ValidationException` if the name is too long or contains other characters.
pub fn check_tool_name(name: &str, place: &str) -> Result<(), ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    pattern(name, place, name.chars().all(fits), "[a-zA-Z0-9_-]+")
}

fn tool_use_id(fields: &Fields<'_>, place: &str) -> Result<String, ApiError> {
    let id = fields.text("toolUseId")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
    pattern(id, &format!("{place}.toolUseId"), id.chars().all(fits), "[a-zA-Z0-9_.:-]+")?;
    Ok(id.to_owned())
}

fn pattern(value: &str, place: &str, fits: bool, pattern: &str) -> Result<(), ApiError> {
    if value.len() > MOST_ID {
        return Err(ApiError::validation(format!(
            "1 validation error detected: Value at '{place}' failed to satisfy constraint: Member must have length less than or equal \
             to {MOST_ID}"
        )));
    }
    if fits {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{place}' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: {pattern}"
    )))
}

/// The field `name`, which must be a JSON object. Source: sigoden/aichat issue 1542.
fn json_object<'a>(fields: &Fields<'a>, name: &str, place: &str) -> Result<&'a Map<String, Value>, ApiError> {
    fields.get(name).and_then(Value::as_object).ok_or_else(|| {
        ApiError::validation(format!(
            "The format of the value at {place}.{name} is invalid. Provide a json object for the field and try again."
        ))
    })
}

/// The members of an object that must have exactly one of the members `known`.
pub fn union<'a>(value: &'a Value, place: &'a str, known: &[&str]) -> Result<Fields<'a>, ApiError> {
    let object =
        value.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let block = Fields::new(object, place, known)?;
    if object.len() == 1 {
        return Ok(block);
    }
    Err(fields::malformed(format_args!("{place}: a block must have exactly one member")))
}

/// The text of a field, which must be one of the values `known`.
pub fn one_of<'a>(fields: &Fields<'a>, name: &str, place: &str, known: &[&str]) -> Result<&'a str, ApiError> {
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

/// Checks the name of a document. These rules are measured. `test_name` is accepted, although the error message does
/// not allow an underscore. A tab and a full-width space are rejected. Sources: aws-samples/generative-ai-use-cases
/// issue 1671, vercel/ai pull request 20366.
fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || " _-()[]".contains(c);
    if name.chars().count() <= 200 && name.chars().all(fits) && !name.contains("  ") {
        return Ok(());
    }
    Err(ApiError::validation(
        "The document file name can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square \
         brackets. The name can't contain more than one consecutive whitespace character. Check that the file name conforms to these \
         restrictions and retry your request.",
    ))
}

//! The content of messages: a text, or Converse's content blocks in Converse's own JSON.
//!
//! Source: Amazon Bedrock API Reference, `ContentBlock` and the types that it names. Every `Debug` form omits texts,
//! bytes and inputs, so logs cannot contain them.

use std::borrow::Cow;
use std::fmt;

use sentry_domain::CacheTtl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The content of a message: a text, or a list of blocks.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// A single plain text.
    Text(String),
    /// A list of at least one block.
    Blocks(Vec<Block>),
}

impl Content {
    /// All texts, joined without a separator. Blocks that are not text are skipped.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Blocks(blocks) => blocks.iter().filter_map(Block::as_text).collect::<String>().into(),
        }
    }

    /// The content as blocks. A text becomes one text block.
    #[must_use]
    pub fn to_blocks(&self) -> Vec<Block> {
        match self {
            Self::Text(text) => vec![Block::Text(text.clone())],
            Self::Blocks(blocks) => blocks.clone(),
        }
    }

    /// The blocks of a list. A text has no blocks.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        match self {
            Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks,
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Blocks(blocks) => f.debug_list().entries(blocks).finish(),
        }
    }
}

/// A content block of Converse.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Block {
    /// A text that is not empty.
    Text(String),
    /// An image, in base64.
    Image(Image),
    /// A document, such as a PDF or a CSV file.
    Document(Document),
    /// A request of the model for a tool. Allowed only in messages of the assistant.
    ToolUse(ToolUse),
    /// The result of a tool. Allowed only in messages of the user.
    ToolResult(ToolResult),
    /// Reasoning of the model. Allowed only in messages of the assistant. It is sent back to the model unchanged.
    ReasoningContent(ReasoningContent),
    /// Marks that the prompt up to this point is cached.
    CachePoint(CachePoint),
    /// Content that the guardrail evaluates. If a prompt has guard content, the guardrail evaluates nothing else.
    GuardContent(GuardContent),
}

impl Block {
    /// The text, if this is a text block.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The blocks of a tool result. Other blocks have none.
    #[must_use]
    pub fn results(&self) -> &[ResultBlock] {
        match self {
            Self::ToolResult(result) => &result.content,
            _ => &[],
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Image(image) => image.fmt(f),
            Self::Document(document) => document.fmt(f),
            Self::ToolUse(_) => f.write_str("ToolUse"),
            Self::ToolResult(result) => write!(f, "ToolResult({:?})", result.content),
            Self::ReasoningContent(reasoning) => reasoning.fmt(f),
            Self::CachePoint(point) => point.fmt(f),
            Self::GuardContent(content) => content.fmt(f),
        }
    }
}

/// The reasoning of a model.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningContent {
    /// The reasoning as plain text.
    ReasoningText(ReasoningText),
    /// The reasoning, encrypted by the model's vendor, in base64.
    RedactedContent(String),
}

impl fmt::Debug for ReasoningContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReasoningText(ReasoningText { text, .. }) => write!(f, "ReasoningText({} bytes)", text.len()),
            Self::RedactedContent(_) => f.write_str("RedactedContent"),
        }
    }
}

/// The plain text of a model's reasoning.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasoningText {
    /// The text; empty if the vendor does not disclose it.
    pub text: String,
    /// Proof that the model itself wrote this reasoning. The model requires it when the reasoning comes back. Some
    /// models return none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// The end of a cached part of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachePoint {
    /// Always `default`, Converse's only type.
    pub r#type: CachePointType,
    /// Lifetime of the cache entry. If it is absent, the lifetime is five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<CacheTtl>,
}

/// Content that a guardrail evaluates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardContent {
    /// A text, with its qualifiers.
    Text(GuardText),
    /// An image: `png` or `jpeg`.
    Image(Image),
}

impl fmt::Debug for GuardContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(GuardText { text, .. }) => write!(f, "GuardText({} bytes)", text.len()),
            Self::Image(image) => image.fmt(f),
        }
    }
}

/// A text that a guardrail evaluates.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardText {
    /// The text to evaluate.
    pub text: String,
    /// Roles of the text in the guardrail's contextual grounding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qualifiers: Vec<GuardQualifier>,
}

/// A block of a tool result.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResultBlock {
    /// A text that is not empty.
    Text(String),
    /// A JSON object of any form.
    Json(Value),
    /// An image, in base64.
    Image(Image),
    /// A document, such as a PDF or a CSV file.
    Document(Document),
}

impl fmt::Debug for ResultBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Json(_) => f.write_str("Json"),
            Self::Image(image) => image.fmt(f),
            Self::Document(document) => document.fmt(f),
        }
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum $type { $(#[serde(rename = $name)] $variant,)+ }

        impl $type {
            /// All values, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, as documents write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}
pub(crate) use names;

names! {
    /// The image formats that Converse accepts.
    ImageFormat { Png = "png", Jpeg = "jpeg", Gif = "gif", Webp = "webp", }
}

names! {
    /// The document formats that Converse accepts.
    DocumentFormat {
        Pdf = "pdf", Csv = "csv", Doc = "doc", Docx = "docx", Xls = "xls", Xlsx = "xlsx", Html = "html", Txt = "txt", Md = "md",
    }
}

impl DocumentFormat {
    /// `true` if a file in this format is plain text. Other formats are compressed, so their size does not bound their
    /// text.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Html | Self::Txt | Self::Md)
    }
}

names! {
    /// The types of cache points.
    CachePointType { Default = "default", }
}

names! {
    /// The roles of a text in a guardrail's contextual grounding.
    GuardQualifier { GroundingSource = "grounding_source", Query = "query", GuardContent = "guard_content", }
}

names! {
    /// The status with which a tool ended.
    ToolResultStatus { Success = "success", Error = "error", }
}

/// An image in a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Format of the bytes in `source`.
    pub format: ImageFormat,
    /// The bytes of the image.
    pub source: ImageSource,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({})", self.format.name())
    }
}

/// The source of an image.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSource {
    /// The content of the file, in base64.
    Bytes(String),
}

/// A document in a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Format of the document in `source`.
    pub format: DocumentFormat,
    /// The name by which the model refers to the document: 1 to 200 characters.
    pub name: String,
    /// The content of the document.
    pub source: DocumentSource,
}

impl Document {
    /// `true` if the document's text can be longer than the bytes that were sent.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        matches!(self.source, DocumentSource::Bytes(_)) && !self.format.is_text()
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.format.name())
    }
}

/// The content of a document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DocumentSource {
    /// The content of the file, in base64.
    Bytes(String),
    /// The text of the document.
    Text(String),
}

/// A request of the model for a tool.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolUse {
    /// Id of this request. The tool's result refers to it.
    pub tool_use_id: String,
    /// Name of the requested tool.
    pub name: String,
    /// The arguments of the tool, by its own schema.
    pub input: Value,
}

/// The result of a tool.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolResult {
    /// Id of the [`ToolUse`] that this result answers.
    pub tool_use_id: String,
    /// The content that the tool returned.
    pub content: Vec<ResultBlock>,
    /// The status with which the tool ended, if the client sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ToolResultStatus>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn every_block() -> Value {
        let image = json!({"image": {"format": "png", "source": {"bytes": "c2VjcmV0"}}});
        let document = json!({"document": {"format": "md", "name": "secret", "source": {"text": "secret"}}});
        json!([
            {"text": "secret"}, image, document,
            {"document": {"format": "pdf", "name": "secret", "source": {"bytes": "c2VjcmV0"}}},
            {"toolUse": {"toolUseId": "secret", "name": "secret", "input": {"secret": 1}}},
            {"toolResult": {"toolUseId": "secret", "status": "error",
                            "content": [{"text": "secret"}, {"json": {"secret": 1}}, image, document]}},
            {"toolResult": {"toolUseId": "secret", "content": []}},
            {"reasoningContent": {"reasoningText": {"text": "secret", "signature": "secret"}}},
            {"reasoningContent": {"redactedContent": "c2VjcmV0"}},
            {"cachePoint": {"type": "default", "ttl": "1h"}}, {"cachePoint": {"type": "default"}},
            {"guardContent": {"text": {"text": "secret", "qualifiers": ["query"]}}},
            {"guardContent": image}
        ])
    }

    #[test]
    fn blocks_are_written_as_they_are_read_and_shown_without_what_is_in_them() {
        let content: Content = serde_json::from_value(every_block()).unwrap();
        assert_eq!(serde_json::to_value(&content).unwrap(), every_block());
        let shown = format!("{content:?}");
        assert!(!shown.contains("secret") && !shown.contains("c2VjcmV0"), "{shown}");
        assert!(shown.contains("Image(png)") && shown.contains("ToolUse"), "{shown}");
    }

    #[test]
    fn the_text_of_blocks_is_their_texts_joined() {
        let content: Content = serde_json::from_value(json!([{"text": "a"}, {"text": " b"}])).unwrap();
        assert_eq!((content.text().as_ref(), Content::Text("a b".into()).text().as_ref()), ("a b", "a b"));
        assert_eq!(Content::Text("a".into()).to_blocks(), [Block::Text("a".into())]);
    }

    #[test]
    fn a_block_that_is_not_known_is_refused() {
        for unknown in [
            json!([{"video": {}}]),
            json!([{"text": "a", "image": {}}]),
            json!([{"image": {"format": "bmp", "source": {"bytes": "YQ=="}}}]),
            json!([{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}]),
            json!([{"toolUse": {"toolUseId": "t", "name": "n", "input": {}, "type": "server_tool_use"}}]),
        ] {
            assert!(serde_json::from_value::<Content>(unknown).is_err());
        }
    }
}

//! What messages carry: text, or Converse's content blocks in Converse's own JSON.
//!
//! Source: Amazon Bedrock API Reference, ContentBlock and the types that it names. Every `Debug` form leaves texts, bytes and inputs out,
//! so that no log can carry them.

use std::borrow::Cow;
use std::fmt;

use sentry_domain::CacheTtl;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is said: a text, or a list of blocks.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// One text.
    Text(String),
    /// At least one block.
    Blocks(Vec<Block>),
}

impl Content {
    /// The texts, one after the other; what is not text has none.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Blocks(blocks) => blocks.iter().filter_map(Block::as_text).collect::<String>().into(),
        }
    }

    /// The same as blocks.
    #[must_use]
    pub fn to_blocks(&self) -> Vec<Block> {
        match self {
            Self::Text(text) => vec![Block::Text(text.clone())],
            Self::Blocks(blocks) => blocks.clone(),
        }
    }

    /// The blocks of a list; a text has none.
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

/// A content block.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Block {
    /// A text that is not empty.
    Text(String),
    /// A picture.
    Image(Image),
    /// A file.
    Document(Document),
    /// The model asks for a tool; only in messages of the assistant.
    ToolUse(ToolUse),
    /// What the tool gave; only in messages of the user.
    ToolResult(ToolResult),
    /// What the model thought; only in messages of the assistant. It goes back to the model as the model gave it.
    ReasoningContent(ReasoningContent),
    /// The prompt up to here is cached.
    CachePoint(CachePoint),
    /// Content that the guardrail looks at; where there is some, it looks at nothing else.
    GuardContent(GuardContent),
}

impl Block {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The blocks of a tool's result; other blocks have none.
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

/// What a model thought.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningContent {
    /// Its words.
    ReasoningText(ReasoningText),
    /// Its words, encrypted by the model's vendor, in base64.
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

/// The words of a thought.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasoningText {
    /// The words; empty where the vendor keeps them to itself.
    pub text: String,
    /// The proof that the model itself thought so, which it asks for when the thought comes back. Some models give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Where a cached part of the prompt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CachePoint {
    /// Always `default`.
    pub r#type: CachePointType,
    /// How long it is kept; five minutes where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<CacheTtl>,
}

/// Content that a guardrail looks at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardContent {
    /// A text.
    Text(GuardText),
    /// A picture: `png` or `jpeg`.
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

/// A text that a guardrail looks at.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardText {
    /// The text.
    pub text: String,
    /// What it is to the guardrail's contextual grounding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qualifiers: Vec<GuardQualifier>,
}

/// A block of a tool's result.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ResultBlock {
    /// A text that is not empty.
    Text(String),
    /// Any JSON object.
    Json(Value),
    /// A picture.
    Image(Image),
    /// A file.
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
            /// Every one.
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
    /// The formats of pictures.
    ImageFormat { Png = "png", Jpeg = "jpeg", Gif = "gif", Webp = "webp", }
}

names! {
    /// The formats of files.
    DocumentFormat {
        Pdf = "pdf", Csv = "csv", Doc = "doc", Docx = "docx", Xls = "xls", Xlsx = "xlsx", Html = "html", Txt = "txt", Md = "md",
    }
}

impl DocumentFormat {
    /// Whether a file of it is the text that it holds; the others are compressed, so that their size says nothing of their text's.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Html | Self::Txt | Self::Md)
    }
}

names! {
    /// The kinds of cache points.
    CachePointType { Default = "default", }
}

names! {
    /// The parts that a text can play in a guardrail's contextual grounding.
    GuardQualifier { GroundingSource = "grounding_source", Query = "query", GuardContent = "guard_content", }
}

names! {
    /// How a tool ended.
    ToolResultStatus { Success = "success", Error = "error", }
}

/// A picture.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What the bytes are.
    pub format: ImageFormat,
    /// Where they are from.
    pub source: ImageSource,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({})", self.format.name())
    }
}

/// Where a picture is from.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSource {
    /// The file, in base64.
    Bytes(String),
}

/// A file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is.
    pub format: DocumentFormat,
    /// What the model knows it by: 1 to 200 characters.
    pub name: String,
    /// What is in it.
    pub source: DocumentSource,
}

impl Document {
    /// Whether its text can be longer than what was sent.
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

/// What is in a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DocumentSource {
    /// The file, in base64.
    Bytes(String),
    /// Its text.
    Text(String),
}

/// The model asks for a tool.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolUse {
    /// What its result refers to.
    pub tool_use_id: String,
    /// Which tool.
    pub name: String,
    /// What is passed to it, by its own schema.
    pub input: Value,
}

/// What a tool gave.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolResult {
    /// The request that it answers.
    pub tool_use_id: String,
    /// What it gave.
    pub content: Vec<ResultBlock>,
    /// How it ended, if that is said.
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
    fn what_is_not_known_is_not_read() {
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

//! Content blocks, tools and JSON, as the SDK has them.

use aws_sdk_bedrockruntime::error::BuildError;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    AnyToolChoice, AutoToolChoice, CachePointBlock, ContentBlock, DocumentBlock, DocumentSource,
    GuardrailConverseContentBlock, GuardrailConverseImageBlock, GuardrailConverseImageSource,
    GuardrailConverseTextBlock, ImageBlock, ImageSource, ReasoningContentBlock, ReasoningTextBlock, SpecificToolChoice,
    SystemContentBlock, Tool, ToolChoice, ToolConfiguration, ToolInputSchema, ToolResultBlock, ToolResultContentBlock,
    ToolSpecification, ToolUseBlock,
};
use aws_smithy_types::{Document, Number, base64};
use sentry_contract::content::{self, Block, ResultBlock};
use sentry_contract::tools;
use serde_json::{Map, Value};

use super::ModelFailure;
use super::converse::ToolConfig;

/// A content block. Its bytes are base64, which validation has checked; the model router's own callers may not have.
pub fn block(block: Block) -> Result<ContentBlock, ModelFailure> {
    Ok(match block {
        Block::Text(text) => ContentBlock::Text(text),
        Block::Image(image) => ContentBlock::Image(self::image(image)?),
        Block::Document(file) => ContentBlock::Document(self::file(file)?),
        Block::ToolUse(asked) => {
            let block = ToolUseBlock::builder().tool_use_id(asked.tool_use_id).name(asked.name);
            ContentBlock::ToolUse(block.input(document(asked.input)).build().map_err(unwritable)?)
        }
        Block::ToolResult(result) => {
            let content = result.content.into_iter().map(result_block).collect::<Result<_, _>>()?;
            let block = ToolResultBlock::builder().tool_use_id(result.tool_use_id).set_content(Some(content));
            let status = result.status.map(|status| status.name().into());
            ContentBlock::ToolResult(block.set_status(status).build().map_err(unwritable)?)
        }
        Block::ReasoningContent(thought) => ContentBlock::ReasoningContent(reasoning(thought)?),
        Block::CachePoint(point) => ContentBlock::CachePoint(cache_point(point).map_err(unwritable)?),
        Block::GuardContent(content) => ContentBlock::GuardContent(guard_content(content)?),
    })
}

/// A block of a system message. A call whose parts are checked has no other kinds.
pub fn system_block(block: Block) -> Result<SystemContentBlock, ModelFailure> {
    Ok(match block {
        Block::Text(text) => SystemContentBlock::Text(text),
        Block::CachePoint(point) => SystemContentBlock::CachePoint(cache_point(point).map_err(unwritable)?),
        Block::GuardContent(content) => SystemContentBlock::GuardContent(guard_content(content)?),
        _ => return Err(ModelFailure::unwritable()),
    })
}

fn reasoning(thought: content::ReasoningContent) -> Result<ReasoningContentBlock, ModelFailure> {
    Ok(match thought {
        content::ReasoningContent::ReasoningText(content::ReasoningText { text, signature }) => {
            let text = ReasoningTextBlock::builder().text(text).set_signature(signature);
            ReasoningContentBlock::ReasoningText(text.build().map_err(unwritable)?)
        }
        content::ReasoningContent::RedactedContent(encoded) => ReasoningContentBlock::RedactedContent(bytes(&encoded)?),
    })
}

fn cache_point(point: content::CachePoint) -> Result<CachePointBlock, BuildError> {
    let ttl = point.ttl.map(|ttl| ttl.name().into());
    CachePointBlock::builder().r#type(point.r#type.name().into()).set_ttl(ttl).build()
}

fn guard_content(content: content::GuardContent) -> Result<GuardrailConverseContentBlock, ModelFailure> {
    Ok(match content {
        content::GuardContent::Text(content::GuardText { text, qualifiers }) => {
            let qualifiers = qualifiers.iter().map(|qualifier| qualifier.name().into()).collect::<Vec<_>>();
            let block = GuardrailConverseTextBlock::builder().text(text);
            let block = block.set_qualifiers((!qualifiers.is_empty()).then_some(qualifiers));
            GuardrailConverseContentBlock::Text(block.build().map_err(unwritable)?)
        }
        content::GuardContent::Image(image) => {
            let content::ImageSource::Bytes(encoded) = image.source;
            let source = GuardrailConverseImageSource::Bytes(bytes(&encoded)?);
            let block = GuardrailConverseImageBlock::builder().format(image.format.name().into()).source(source);
            GuardrailConverseContentBlock::Image(block.build().map_err(unwritable)?)
        }
    })
}

fn result_block(block: ResultBlock) -> Result<ToolResultContentBlock, ModelFailure> {
    Ok(match block {
        ResultBlock::Text(text) => ToolResultContentBlock::Text(text),
        ResultBlock::Json(value) => ToolResultContentBlock::Json(document(value)),
        ResultBlock::Image(image) => ToolResultContentBlock::Image(self::image(image)?),
        ResultBlock::Document(file) => ToolResultContentBlock::Document(self::file(file)?),
    })
}

fn image(image: content::Image) -> Result<ImageBlock, ModelFailure> {
    let content::ImageSource::Bytes(encoded) = image.source;
    let source = ImageSource::Bytes(bytes(&encoded)?);
    ImageBlock::builder().format(image.format.name().into()).source(source).build().map_err(unwritable)
}

fn file(file: content::Document) -> Result<DocumentBlock, ModelFailure> {
    let source = match file.source {
        content::DocumentSource::Bytes(encoded) => DocumentSource::Bytes(bytes(&encoded)?),
        content::DocumentSource::Text(text) => DocumentSource::Text(text),
    };
    let block = DocumentBlock::builder().format(file.format.name().into()).name(file.name);
    block.source(source).build().map_err(unwritable)
}

fn bytes(encoded: &str) -> Result<Blob, ModelFailure> {
    base64::decode(encoded).map(Blob::new).map_err(|_| ModelFailure::unwritable())
}

/// `toolConfig`.
pub fn tool_config(config: ToolConfig) -> Result<ToolConfiguration, ModelFailure> {
    let tools = config.tools.into_iter().map(tool).collect::<Result<_, _>>().map_err(unwritable)?;
    let choice = config.tool_choice.map(tool_choice).transpose().map_err(unwritable)?;
    ToolConfiguration::builder().set_tools(Some(tools)).set_tool_choice(choice).build().map_err(unwritable)
}

fn tool(tool: tools::Tool) -> Result<Tool, BuildError> {
    let spec = match tool {
        tools::Tool::ToolSpec(spec) => spec,
        tools::Tool::CachePoint(point) => return cache_point(point).map(Tool::CachePoint),
    };
    let tools::ToolSpec { name, description, input_schema: tools::InputSchema::Json(schema), strict } = spec;
    let schema = ToolInputSchema::Json(document(schema));
    let spec = ToolSpecification::builder().name(name).set_description(description).input_schema(schema);
    spec.set_strict(strict).build().map(Tool::ToolSpec)
}

fn tool_choice(choice: tools::ToolChoice) -> Result<ToolChoice, BuildError> {
    Ok(match choice {
        tools::ToolChoice::Auto {} => ToolChoice::Auto(AutoToolChoice::builder().build()),
        tools::ToolChoice::Any {} => ToolChoice::Any(AnyToolChoice::builder().build()),
        tools::ToolChoice::Tool { name } => ToolChoice::Tool(SpecificToolChoice::builder().name(name).build()?),
    })
}

fn unwritable(_: BuildError) -> ModelFailure {
    ModelFailure::unwritable()
}

/// JSON as the SDK has it.
pub fn document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Number::PosInt(value),
            (None, Some(value)) => Number::NegInt(value),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(value) => Document::String(value),
        Value::Array(values) => Document::Array(values.into_iter().map(document).collect()),
        Value::Object(fields) => {
            Document::Object(fields.into_iter().map(|(name, value)| (name, document(value))).collect())
        }
    }
}

/// What the SDK has, as JSON.
pub fn json(document: Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(value) => value.into(),
        Document::Number(Number::PosInt(value)) => value.into(),
        Document::Number(Number::NegInt(value)) => value.into(),
        Document::Number(Number::Float(value)) => value.into(),
        Document::String(value) => value.into(),
        Document::Array(values) => values.into_iter().map(json).collect(),
        Document::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, json(value))).collect::<Map<_, _>>())
        }
    }
}
